"""Worker processes: what they are told, what they say, and what is written when one is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any

from gan_bench.config.trial import Trial
from gan_bench.core.errors import RecordError
from gan_bench.execution.claim import Outcome, Policy
from gan_bench.execution.events import Listener, Progress
from gan_bench.execution.worker import Order
from gan_bench.records.lock import Owner
from gan_bench.records.record import Failure, Status, TrialRecord
from gan_bench.records.store import RecordDirectory, read_trial

TIMEOUT_GRACE = 60.0
"""Seconds past a trial's time limit after which a worker that does not answer is killed."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Worker processes.

    Attributes:
        devices: Where workers run, one entry per worker.
        threads: CPU threads of each, or None for torch's own choice.
        folders: The user's own folders of images, as ``ImageFolder.to_json`` gives them.
    """

    devices: tuple[str, ...]
    threads: int | None
    folders: tuple[Mapping[str, Any], ...] = ()


_living: set[subprocess.Popen[str]] = set()


def kill_workers() -> None:
    """Kill the worker processes of this process at once; their trials lose the work since their last checkpoint."""
    for process in list(_living):
        with contextlib.suppress(OSError):
            process.kill()


class Worker:
    """A worker process and what it says.

    Args:
        order: What it is told.
        listener: Told how it goes, under ``telling``.
        telling: Held while the listener is told anything.
    """

    def __init__(self, order: Order, listener: Listener, telling: threading.Lock) -> None:
        self._order, self._listener, self._telling = order, listener, telling
        self._trials = {trial.id: trial for trial in order.trials}
        self._outcomes: dict[str, Outcome] = {}
        self._late = False
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in wait
        environment = {**os.environ}
        if order.threads:
            environment |= {"OMP_NUM_THREADS": str(order.threads), "MKL_NUM_THREADS": str(order.threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gan_bench.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C at a terminal is the parent's to hear
        )
        _living.add(self._process)

    def wait(self, stop: Callable[[], bool]) -> dict[str, Outcome]:
        """Hear the worker out.

        Args:
            stop: When it says so, the worker is asked to checkpoint and stop.

        Returns:
            What ``attempt`` returned in the worker, by trial id; for trials of a worker that died, what says so.
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
        for trial in self._trials.values():
            if trial.id not in self._outcomes:
                self._end(trial, self._lost(trial))
        self._errors.close()
        return self._outcomes

    def _watch(self, stop: Callable[[], bool], over: threading.Event) -> None:
        """Close the worker's input when it is to stop; kill it when it is long past its trials' time limit."""
        limit, waited = self._order.policy.get("time_limit"), 0.0
        while not over.wait(0.1):
            waited += 0.1
            if stop():
                with contextlib.suppress(OSError, ValueError):
                    self._process.stdin.close()  # type: ignore[union-attr]
            if limit is not None and waited > limit * len(self._trials) + TIMEOUT_GRACE:
                self._late = True
                self._process.kill()
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def _hear(self, said: dict[str, Any]) -> None:
        event = said.pop("event", None)
        if event == "warning":
            warnings.warn(said["text"], RuntimeWarning, stacklevel=2)
            return
        trial = self._trials[said.pop("trial")]
        match event:
            case "started":
                with self._telling:
                    self._listener.started(trial, said["resumed_at"])
            case "progress":
                with self._telling:
                    self._listener.progress(trial, Progress(**said))
            case "scored":
                with self._telling:
                    self._listener.scored(trial, said["epoch"], said["scores"])
            case "finished":
                self._end(trial, TrialRecord.from_json(said["record"]))
            case "held":
                self._end(trial, Owner(**said["owner"]))
            case "settled":
                self._end(trial, None)

    def _end(self, trial: Trial, outcome: Outcome) -> None:
        self._outcomes[trial.id] = outcome
        if isinstance(outcome, TrialRecord):
            with self._telling:
                self._listener.finished(trial, outcome)

    def _lost(self, trial: Trial) -> Outcome:
        """Write the row of a trial whose worker died without an answer."""
        policy, directory = Policy(**self._order.policy), RecordDirectory.of(self._order.results, trial)
        with directory.lock() as lock:
            if owner := lock.acquire():
                return owner
            if policy.settled(directory):
                return directory.record()
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
