"""What became of the trials of a run, how often the executor goes over them, and the row of a lost one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from gan_bench.config.trial import Trial
from gan_bench.core.errors import DiskFullError, RecordError, UnreadableError
from gan_bench.execution.trial.claim import Claim, Policy, blocked
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier, end_of
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import Owner, trial_lock
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Failure, Status, TrialRecord

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
        self._before = {trial.id: _end_of(RecordDirectory.of(results, trial)) for trial in trials}

    def finished(self, trial: Trial) -> bool:
        """True if a trial has a new end; a trial that failed again is not retried by every process."""
        directory = RecordDirectory.of(self._results, trial)
        try:
            if end_of(directory) == self._before[trial.id] or self._policy.is_outdated(Earlier(directory)):
                return False
            return Earlier(directory).status in (Status.DONE, *_BAD)
        except UnreadableError:  # the claim says so
            return False


def _end_of(directory: RecordDirectory) -> bytes | None:
    with contextlib.suppress(UnreadableError):
        return end_of(directory)
    return None


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


LATE = "the worker did not stop at its time limit and was killed; raise it and run with --retry-failed"


def write_lost(
    results: Path, trial: Trial, policy: Policy, reason: str, before: bytes | None, *, late: bool = False
) -> Claim:
    """Write the row of a trial whose worker died without an answer.

    Args:
        results: The results folder.
        trial: The trial.
        policy: What it ran under.
        reason: What became of the worker.
        before: What ``end_of`` returned before the job: an end of an earlier run, which this one was to replace.
        late: Whether it was killed for being past its time limit.

    Returns:
        The row; or the end that the worker did write; or the process that owns the trial now.
    """
    directory = RecordDirectory.of(results, trial)
    with trial_lock(directory) as lock:
        try:
            if owner := lock.acquire():
                return owner
            earlier = Earlier(directory)
            if policy.is_terminal(earlier) and end_of(directory) != before:
                return earlier.record
            earlier.require_access()
        except UnreadableError as error:
            return blocked(str(error))
        except DiskFullError as error:
            return TrialRecord(status=Status.FAILED, failure=Failure.DISK_FULL, reason=f"{reason}; {error}")
        failure = Failure.TIMEOUT if late else Failure.CRASH
        record = replace(_so_far(directory, policy), status=Status.FAILED, failure=failure, reason=reason)
        with contextlib.suppress(OSError):
            record = writer.fail(directory, trial, record)
    return record


def _so_far(directory: RecordDirectory, policy: Policy) -> TrialRecord:
    """Return how far a trial came, from its history."""
    record = TrialRecord(status=Status.FAILED, reason=None)
    if policy.is_outdated(Earlier(directory)):
        return record
    with contextlib.suppress(RecordError):
        for line in read_trial(directory.path).history:
            record = replace(record, steps=line["step"])
            if line["kind"] == "epoch":
                record = replace(
                    record, epochs=line["epoch"], images=line["images"], train_seconds=line["train_seconds"]
                )
    return record
