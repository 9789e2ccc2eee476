"""Carry a plan's trials to their ends: one after the other in this process, or each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from gan_bench.attempt import Outcome, Policy, attempt
from gan_bench.driver import batches, drive
from gan_bench.errors import RecordError
from gan_bench.events import Listener, Progress
from gan_bench.lock import Owner
from gan_bench.store import RecordDirectory, read_trial
from gan_bench.trial import Failure, Status, Trial, TrialConfig, TrialRecord
from gan_bench.worker import Order
from gan_bench.workplace import Workplace

TIMEOUT_GRACE = 60.0
"""Seconds past a trial's time limit after which a worker that does not answer is killed."""
_BAD = (Status.FAILED, Status.DIVERGED)


@dataclass
class Results:
    """What became of trials.

    Attributes:
        records: Ends of the trials that ran, by trial id.
        held: Trials that other processes own, by trial id.
    """

    records: dict[str, TrialRecord] = field(default_factory=dict)
    held: dict[str, Owner] = field(default_factory=dict)

    def note(self, trial: Trial, outcome: Outcome) -> None:
        """Take in what an attempt gave."""
        self.held.pop(trial.id, None)
        if isinstance(outcome, TrialRecord):
            self.records[trial.id] = outcome
        elif isinstance(outcome, Owner):
            self.held[trial.id] = outcome


def run_inline(
    results: Path,
    trials: Iterable[Trial],
    place: Workplace,
    listener: Listener,
    policy: Policy | None = None,
    sizes: Callable[[TrialConfig], int] = lambda _: 1,
) -> Results:
    """Run trials in this process; a failed one does not stop the rest, a wish to stop does.

    Args:
        results: The results folder.
        trials: What to run.
        place: Where and how.
        listener: Told how it goes.
        policy: What becomes of trials that ended before or end badly.
        sizes: Says how many trials like this one train together at most.
    """
    policy = policy or Policy()

    def go(left: list[Trial], into: Results) -> None:
        for batch in batches(left, sizes):
            if place.stop() or _enough(into, policy):
                return
            outcomes = drive(attempt(trial, results, place, listener, policy) for trial in batch)
            for trial, outcome in zip(batch, outcomes, strict=True):
                into.note(trial, outcome)

    return _until_settled(results, list(trials), policy, place.stop, go)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Worker processes.

    Attributes:
        devices: Where workers run, one entry per worker.
        threads: CPU threads of each, or None for torch's own choice.
        folders: The user's own folders of pictures, as ``ImageFolder.to_json`` gives them.
    """

    devices: tuple[str, ...]
    threads: int | None
    folders: tuple[Mapping[str, Any], ...] = ()


def run_processes(
    results: Path, trials: Iterable[Trial], place: Workplace, listener: Listener, policy: Policy, fleet: Fleet
) -> Results:
    """Run every trial in a process of its own, several at a time; a lost process loses one trial.

    Args:
        results: The results folder.
        trials: What to run.
        place: Data folder, engine and the wish to stop; its device is not used.
        listener: Told how it goes, by one trial at a time.
        policy: What becomes of trials that ended before or end badly.
        fleet: The workers.
    """
    telling = threading.Lock()

    def go(left: list[Trial], into: Results) -> None:
        queue = deque(left)

        def work(device: str) -> None:
            while queue and not place.stop() and not _enough(into, policy):
                try:
                    trial = queue.popleft()
                except IndexError:
                    return
                order = _order(trial, results, place, policy, fleet, device)
                outcome = _Process(order, listener, telling).wait(place.stop)
                with telling:
                    into.note(trial, outcome)

        with ThreadPoolExecutor(len(fleet.devices)) as pool:
            list(pool.map(work, fleet.devices))

    return _until_settled(results, list(trials), policy, place.stop, go)


def _until_settled(
    results: Path,
    trials: list[Trial],
    policy: Policy,
    stop: Callable[[], bool],
    go: Callable[[list[Trial], Results], None],
) -> Results:
    """Run what is free, then what has become free meanwhile, until nothing moves; then write down what was skipped."""
    into, left = Results(), trials
    while left and not stop():
        go(left, into)
        waiting = [trial for trial in left if trial.id in into.held]
        if len(waiting) == len(left) or _enough(into, policy):
            break
        left = waiting
    if _enough(into, policy):
        first = next(record for record in into.records.values() if record.status in _BAD)
        for trial in trials:
            if trial.id not in into.records:
                _skip(results, trial, policy, f"not run: --fail-fast after a trial was {first.status}")
    return into


def _enough(into: Results, policy: Policy) -> bool:
    return policy.fail_fast and any(record.status in _BAD for record in list(into.records.values()))


def _skip(results: Path, trial: Trial, policy: Policy, reason: str) -> None:
    directory = RecordDirectory.of(results, trial)
    with directory.lock() as lock:
        if lock.acquire() is None and not policy.settled(directory):
            directory.skip(trial, reason)


# ------------------------------------------------------------------------------------------ processes


def _order(trial: Trial, results: Path, place: Workplace, policy: Policy, fleet: Fleet, device: str) -> Order:
    return Order(
        trial=trial,
        results=results.resolve(),
        data=place.data.path.resolve(),
        given=place.data.given,
        device=device,
        engine=place.engine_wish,
        threads=fleet.threads,
        folders=fleet.folders,
        policy=asdict(policy),
    )


_living: set[subprocess.Popen[str]] = set()


def kill_workers() -> None:
    """Kill the worker processes of this process at once; their trials lose the work since their last checkpoint."""
    for process in list(_living):
        with contextlib.suppress(OSError):
            process.kill()


class _Process:
    """A worker process and what it says."""

    def __init__(self, order: Order, listener: Listener, telling: threading.Lock) -> None:
        self._order, self._listener, self._telling = order, listener, telling
        self._outcome: Outcome = None
        self._answered = self._late = False
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in wait
        environment = {**os.environ}
        if order.threads:
            environment |= {"OMP_NUM_THREADS": str(order.threads), "MKL_NUM_THREADS": str(order.threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gan_bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C at a terminal is the parent's to hear
        )
        _living.add(self._process)

    def wait(self, stop: Callable[[], bool]) -> Outcome:
        """Hear the worker out.

        Args:
            stop: When it says so, the worker is asked to checkpoint and stop.

        Returns:
            What ``attempt`` returned in the worker; for a worker that died, a record that says so.
        """
        process, over = self._process, threading.Event()
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - they are pipes
        with contextlib.suppress(OSError):
            process.stdin.write(self._order.to_line())
            process.stdin.flush()
        watch = threading.Thread(target=self._watch, args=(stop, over), daemon=True)
        watch.start()
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                self._hear(json.loads(line))
        process.wait()
        over.set()
        watch.join()
        _living.discard(process)
        process.stdout.close()
        if not self._answered:
            self._outcome = self._lost()
        self._errors.close()
        if isinstance(self._outcome, TrialRecord):
            with self._telling:
                self._listener.finished(self._order.trial, self._outcome)
        return self._outcome

    def _watch(self, stop: Callable[[], bool], over: threading.Event) -> None:
        """Close the worker's input when it is to stop; kill it when it is long past its time limit."""
        limit, waited = self._order.policy.get("time_limit"), 0.0
        while not over.wait(0.1):
            waited += 0.1
            if stop():
                with contextlib.suppress(OSError, ValueError):
                    self._process.stdin.close()  # type: ignore[union-attr]
            if limit is not None and waited > limit + TIMEOUT_GRACE:
                self._late = True
                self._process.kill()
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def _hear(self, said: dict[str, Any]) -> None:
        trial, event = self._order.trial, said.pop("event", None)
        with self._telling:
            match event:
                case "started":
                    self._listener.started(trial, said["resumed_at"])
                case "progress":
                    self._listener.progress(trial, Progress(**said))
                case "scored":
                    self._listener.scored(trial, said["epoch"], said["scores"])
                case "finished":
                    self._outcome, self._answered = TrialRecord.from_json(said["record"]), True
                case "held":
                    self._outcome, self._answered = Owner(**said["owner"]), True
                case "settled":
                    self._answered = True

    def _lost(self) -> Outcome:
        """Write the row of a trial whose worker died without an answer."""
        trial, policy = self._order.trial, Policy(**self._order.policy)
        directory = RecordDirectory.of(self._order.results, trial)
        with directory.lock() as lock:
            if owner := lock.acquire():
                return owner
            if policy.settled(directory):
                return TrialRecord.from_json(read_trial(directory.path).record or {})
            failure = Failure.TIMEOUT if self._late else Failure.CRASH
            record = replace(_so_far(directory), status=Status.FAILED, failure=failure, reason=self._why())
            with contextlib.suppress(OSError):
                record = directory.fail(trial, record)
        return record

    def _why(self) -> str:
        code = self._process.returncode
        if self._late:
            return "the worker did not stop at its time limit and was killed; raise it and run with --retry-failed"
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            hint = "; memory may have run out" if -code == signal.SIGKILL else ""
            return f"the worker process was killed by {name}{hint}; --retry-failed goes on from its checkpoint"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"the worker process ended with code {code}: {lines[-1][:300] if lines else 'no message'}"


def _so_far(directory: RecordDirectory) -> TrialRecord:
    """Return how far a trial came, from its history."""
    record = TrialRecord(status=Status.FAILED, reason=None)
    with contextlib.suppress(RecordError):
        for line in read_trial(directory.path).history:
            record = replace(record, steps=line["step"])
            if line["kind"] == "epoch":
                done = {"epochs": line["epoch"], "images": line["images"], "train_seconds": line["train_seconds"]}
                record = replace(record, **done)
    return record
