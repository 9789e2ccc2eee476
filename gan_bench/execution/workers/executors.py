"""Carry a plan's trials to their ends, in this process or in worker processes, and note what became of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import DiskFullError, UnreadableError, is_stop
from gan_bench.execution.trial.claim import Claim, Policy, claim_and_run
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.events import Listener, Progress
from gan_bench.execution.workers.job import Job, Site
from gan_bench.execution.workers.pool import Worker, WorkerPoolConfig
from gan_bench.execution.workers.scheduler import group_trials, schedule
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier, end_of
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import Owner, trial_lock
from gan_bench.records.record import Status, TrialRecord

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

    def note(self, trial: Trial, claim: Claim) -> None:
        """Take in what came of a claim."""
        self.held.pop(trial.id, None)
        if isinstance(claim, TrialRecord):
            self.records[trial.id] = claim
        elif isinstance(claim, Owner):
            self.held[trial.id] = claim

    def enough(self, policy: Policy) -> bool:
        """True if no further trial is to start, because one failed or diverged."""
        return policy.fail_fast and any(record.status in _BAD for record in list(self.records.values()))


class FinishedElsewhere:
    """Tells which trials other processes have finished since a run looked at what is left.

    A run looked closely at every end that was there then. A new one was written by the trial's owner, and where
    hundreds of processes share a suite, none should read all files of all trials again.

    Args:
        results: The results folder.
        trials: What is left.
        policy: What counts as finished.
    """

    def __init__(self, results: Path, trials: Iterable[Trial], policy: Policy) -> None:
        self._results, self._policy = results, policy
        self._before: dict[str, bytes | None] = {}
        for trial in trials:
            with contextlib.suppress(UnreadableError):
                self._before[trial.id] = end_of(RecordDirectory.of(results, trial))

    def finished(self, trial: Trial) -> bool:
        """True if a trial has a new end; a trial that failed again is not retried by every process."""
        directory = RecordDirectory.of(self._results, trial)
        try:
            if end_of(directory) == self._before.get(trial.id) or self._policy.is_outdated(Earlier(directory)):
                return False
            return Earlier(directory).status in (Status.DONE, *_BAD)
        except UnreadableError:  # the claim says so
            return False


def rounds(
    results: Path, trials: list[Trial], policy: Policy, stop: Callable[[], bool], into: Results
) -> Iterator[list[Trial]]:
    """Yield what is left to run: all trials, then those whose owners gave them up; the rest is recorded as skipped.

    Args:
        results: The results folder.
        trials: What to run.
        policy: What becomes of trials that end badly.
        stop: Returns True once the run should stop.
        into: Where the caller notes, before it goes on, what became of the trials it was given.
    """
    for suite in {RecordDirectory.of(results, trial).path.parent for trial in trials}:
        with contextlib.suppress(OSError):  # the claims say why
            suite.mkdir(parents=True, exist_ok=True)
    left = trials
    while left and not stop():
        yield left
        waiting = [trial for trial in left if trial.id in into.held]
        if len(waiting) == len(left) or into.enough(policy):
            break
        left = waiting
    if into.enough(policy):
        first = next(record for record in into.records.values() if record.status in _BAD)
        for trial in trials:
            if trial.id not in into.records and (
                row := _skip(results, trial, f"not run: --fail-fast, and a trial {first.status}")
            ):
                into.records[trial.id] = row


def _skip(results: Path, trial: Trial, reason: str) -> TrialRecord | None:
    """Leave a row for a trial that was not run, unless an earlier run left one, whatever becomes of that later."""
    directory = RecordDirectory.of(results, trial)
    with contextlib.suppress(UnreadableError, DiskFullError), trial_lock(directory) as lock:
        if lock.acquire() is None and Earlier(directory).status not in (Status.DONE, *_BAD):
            return writer.skip(directory, trial, reason)
    return None


# ------------------------------------------------------------------------------------------ executors


def run_inline(
    results: Path,
    trials: Iterable[Trial],
    context: RunContext,
    listener: Listener,
    policy: Policy | None = None,
    sizes: Callable[[TrialConfig], int] = lambda _: 1,
    seconds: Callable[[Trial], float] = lambda _: 0.0,
) -> Results:
    """Run trials in this process; a failed one does not stop the rest, a request to stop does.

    Args:
        results: The results folder.
        trials: What to run.
        context: Where and how.
        listener: Receives progress events.
        policy: What becomes of trials that ended before or end badly.
        sizes: Says how many trials like this one train together at most.
        seconds: Says what a trial is expected to take. Of groups the shortest goes first: then most trials have ended
            whenever somebody looks.
    """
    policy, listed, into = policy or Policy(), list(trials), Results()
    meanwhile, heard = FinishedElsewhere(results, listed, policy), _Heard(listener)
    asked = context.stop
    context = replace(context, stop=lambda: heard.fault is not None or asked())
    for left in rounds(results, listed, policy, context.stop, into):
        groups = group_trials(left, sizes)
        if any(len(group) > 1 for group in groups):
            groups.sort(key=lambda group: sum(map(seconds, group)))
        for group in _left_of(groups, meanwhile, into):
            if context.stop() or into.enough(policy):
                break
            claims = schedule(claim_and_run(trial, results, context, heard, policy) for trial in group)
            for trial, claim in zip(group, claims, strict=True):
                into.note(trial, claim)
    if heard.fault is not None:
        raise heard.fault
    return into


class _Heard(Listener):
    """A listener whose errors, such as those of a closed pipe, stop the run: no trial may fail of them.

    Attributes:
        fault: What it raised; nothing more is said to it.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.fault: BaseException | None = None

    def started(self, trial: Trial, resumed_at: int | None) -> None:
        self._say(lambda: self._listener.started(trial, resumed_at))

    def progress(self, trial: Trial, progress: Progress) -> None:
        self._say(lambda: self._listener.progress(trial, progress))

    def scored(self, trial: Trial, epoch: int, scores: Mapping[str, float | None]) -> None:
        self._say(lambda: self._listener.scored(trial, epoch, scores))

    def finished(self, trial: Trial, record: TrialRecord) -> None:
        self._say(lambda: self._listener.finished(trial, record))

    def _say(self, event: Callable[[], None]) -> None:
        try:
            if self.fault is None:
                event()
        except BaseException as error:
            if is_stop(error) and not isinstance(error, BrokenPipeError):
                raise
            self.fault = error


def _left_of(groups: Iterable[list[Trial]], meanwhile: FinishedElsewhere, into: Results) -> Iterator[list[Trial]]:
    """Yield groups without the trials that other processes have finished by the time of their turn."""
    for group in groups:
        done = [trial for trial in group if meanwhile.finished(trial)]
        for trial in done:
            into.note(trial, None)
        if left := [trial for trial in group if trial not in done]:
            yield left


def run_processes(
    results: Path,
    trials: Iterable[Trial],
    context: RunContext,
    listener: Listener,
    policy: Policy,
    pool: WorkerPoolConfig,
    sizes: Callable[[TrialConfig], int] = lambda _: 1,
    seconds: Callable[[Trial], float] = lambda _: 0.0,
) -> Results:
    """Run trials in worker processes, one job at a time in each; a lost process loses the job it had.

    Args:
        results: The results folder.
        trials: What to run.
        context: Data folder, engine and the request to stop; its device is not used.
        listener: Receives progress events, one at a time.
        policy: What becomes of trials that ended before or end badly.
        pool: The workers.
        sizes: Says how many trials like this one train together at most, in one process.
        seconds: Says what a trial is expected to take. On GPUs the longest goes first, so that none is waited for in
            the end.
    """
    listed, into = list(trials), Results()
    meanwhile = FinishedElsewhere(results, listed, policy)
    lock, failed = threading.Lock(), threading.Event()
    workers = [(device, Worker(pool.threads, listener, lock)) for device in pool.devices]

    def stop() -> bool:
        return context.stop() or failed.is_set()

    def work(device: str, worker: Worker, groups: Iterator[list[Trial]]) -> None:
        """Hand a worker groups of trials until none is left or a stop is asked for."""
        site = Site.of(context, device, pool.threads, pool.folders, pool.plugins)
        while not stop() and not into.enough(policy):
            with lock:
                group = next(groups, None)
            if group is None:
                return
            claims = worker.run(Job(trials=tuple(group), results=results.resolve(), site=site, policy=policy), stop)
            with lock:
                for trial in group:
                    into.note(trial, claims[trial.id])

    try:
        for left in rounds(results, listed, policy, context.stop, into):
            groups = group_trials(left, sizes)
            if pool.devices[0] != "cpu":
                groups.sort(key=lambda group: sum(map(seconds, group)), reverse=True)
            shared = _left_of(groups, meanwhile, into)
            _in_threads([partial(work, device, worker, shared) for device, worker in workers], failed)
    finally:
        for _, worker in workers:
            worker.dismiss()
    return into


def _in_threads(tasks: Sequence[Callable[[], None]], failed: threading.Event) -> None:
    """Run functions, each in a thread; when one raises, ``failed`` tells the others to end."""
    with ThreadPoolExecutor(len(tasks)) as threads:
        try:
            for each in as_completed([threads.submit(task) for task in tasks]):
                each.result()
        except BaseException:  # a listener's own fault, or KeyboardInterrupt, where no handler takes signals
            failed.set()
            raise
