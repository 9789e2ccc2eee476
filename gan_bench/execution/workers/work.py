"""What every executor is given and gives back: trials on common terms, what is left of them and became of lost ones."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import DiskFullError, RecordError, UnreadableError, UserError
from gan_bench.execution.trial.claim import Claim
from gan_bench.execution.trial.decision import Action, Policy, decide
from gan_bench.execution.trial.events import Listener, ignore
from gan_bench.execution.trial.run import blocked
from gan_bench.execution.workers.job import group_trials
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import Owner, trial_lock
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Failure, Status, TrialRecord

_BAD = (Status.FAILED, Status.DIVERGED)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be trained, and on which terms: the same for every executor.

    Attributes:
        trials: What to run.
        results: The results folder.
        policy: What becomes of trials that ended before or end badly.
        listener: Receives progress events, one at a time.
        stop: Returns True once the run should stop.
        sizes: Says how many trials like this one train together at most, in one process.
        seconds: Says what a trial is expected to take.
        ends: How trials had ended when the work was given out, by trial id.
    """

    trials: Sequence[Trial]
    results: Path
    policy: Policy = field(default_factory=Policy)
    listener: Listener = ignore
    stop: Callable[[], bool] = lambda: False
    sizes: Callable[[TrialConfig], int] = lambda _: 1
    seconds: Callable[[Trial], float] = lambda _: 0.0
    ends: dict[str, TrialRecord | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for trial in self.trials:
            with contextlib.suppress(UnreadableError):
                self.ends[trial.id] = Earlier(RecordDirectory.of(self.results, trial)).record

    def finished_elsewhere(self, trial: Trial) -> bool:
        """True if another process has finished a trial since; one that failed again is not retried by every process.

        A new end was written by the trial's owner: where hundreds of processes share a suite, none should read all
        files of all trials again, as the look at what is left did.
        """
        earlier = Earlier(RecordDirectory.of(self.results, trial))
        try:
            is_old = earlier.record == self.ends.get(trial.id) or self.policy.is_outdated(earlier)
            return earlier.status in (Status.DONE, *_BAD) and not is_old
        except UnreadableError:  # the claim reports it
            return False


@dataclass
class Results:
    """What became of trials, and what is left to run of them.

    Attributes:
        work: What is run.
        records: Ends of the trials that ran, by trial id.
        held: Trials that other processes own, by trial id.
    """

    work: Work
    records: dict[str, TrialRecord] = field(default_factory=dict)
    held: dict[str, Owner] = field(default_factory=dict)

    def note(self, trial: Trial, claim: Claim) -> None:
        """Take in what came of a claim."""
        self.held.pop(trial.id, None)
        if isinstance(claim, TrialRecord):
            self.records[trial.id] = claim
        elif isinstance(claim, Owner):
            self.held[trial.id] = claim

    def enough(self) -> bool:
        """True if no further trial is to start, because one failed or diverged."""
        return self.work.policy.fail_fast and any(each.status in _BAD for each in list(self.records.values()))

    def rounds(self, stop: Callable[[], bool]) -> Iterator[list[list[Trial]]]:
        """Yield what is left to run, in groups that train together: all trials, then those whose owners gave them up.

        The rest is recorded as skipped. The caller notes, before it goes on, what became of the trials it was given.

        Args:
            stop: Returns True once the run should stop.
        """
        work = self.work
        for suite in {RecordDirectory.of(work.results, trial).path.parent for trial in work.trials}:
            with contextlib.suppress(OSError):  # the claims say why
                suite.mkdir(parents=True, exist_ok=True)
        left = list(work.trials)
        while left and not stop():
            yield group_trials(left, work.sizes)
            waiting = [trial for trial in left if trial.id in self.held]
            if len(waiting) == len(left) or self.enough():
                break
            left = waiting
        if self.enough():
            first = next(record for record in self.records.values() if record.status in _BAD)
            for trial in work.trials:
                if trial.id not in self.records and (
                    row := _skip(work, trial, f"not run: --fail-fast, and a trial {first.status}")
                ):
                    self.records[trial.id] = row

    def left_of(self, groups: Iterable[list[Trial]]) -> Iterator[list[Trial]]:
        """Yield groups without the trials that other processes have finished by the time of their turn."""
        for group in groups:
            done = [trial for trial in group if self.work.finished_elsewhere(trial)]
            for trial in done:
                self.note(trial, None)
            if left := [trial for trial in group if trial not in done]:
                yield left


def _skip(work: Work, trial: Trial, reason: str) -> TrialRecord | None:
    """Leave a row for a trial that was not run, where nothing or the beginning of a run is; all else stays as it is.

    Returns:
        The row, which may not be on disk; None if an earlier run left one, even if that is removed later.
    """
    directory = RecordDirectory.of(work.results, trial)
    try:
        with trial_lock(directory) as lock:
            if lock.acquire() is not None:
                return None
            earlier = Earlier(directory)
            if earlier.status in (Status.DONE, *_BAD):
                return None
            decision = decide(earlier, trial.config, work.policy, None)
            if not decision.is_written_over:
                return blocked(f"{reason}; {decision.why}" if decision.action is Action.REFUSE else reason)
            return writer.skip(directory, trial, reason)
    except (UserError, OSError) as error:  # a row that cannot be written must not stop the report
        return blocked(f"{reason} ({error})")


GRACE_SECONDS = 300.0
"""Seconds past its trials' time limit after which a worker that does not answer is killed.

Its trials' clocks do not count what precedes them: on a GPU rehearsing ways, compiling and recording take minutes.
"""
_LATE = "the worker did not stop at its time limit and was killed; raise it and run with --retry-failed"


def seconds_allowed(policy: Policy, trials: int) -> float:
    """Return the seconds after which a worker that has so many trials is killed."""
    return math.inf if policy.time_limit is None else policy.time_limit * trials + GRACE_SECONDS


def write_lost(work: Work, trial: Trial, loss: str | None) -> Claim:
    """Write the row of a trial whose worker died without an answer.

    Where an earlier run trained it to its end, and the worker died before it put that aside, nothing is written: the
    records of a suite whose images are away for a moment are worth more than the news of it. Nor is it where something
    is damaged, or is deleted when the trial starts: that stays as it was for the next run.

    Args:
        work: What it is of; an end that was there then is of an earlier run, which this one was to replace.
        trial: The trial.
        loss: What became of the worker; None where it was killed for being past the time limit.

    Returns:
        The row; or the end that the worker did write; or the process that owns the trial now.
    """
    directory, before = RecordDirectory.of(work.results, trial), work.ends.get(trial.id)
    failure, reason = (Failure.TIMEOUT, _LATE) if loss is None else (Failure.CRASH, loss)
    with trial_lock(directory) as lock:
        try:
            if owner := lock.acquire():
                return owner
            earlier = Earlier(directory)
            if work.policy.is_terminal(earlier) and earlier.record != before:
                return earlier.record
            decision = decide(earlier, trial.config, work.policy, None)
            if decision.action is Action.REFUSE:
                raise UnreadableError(str(decision.why))
        except UnreadableError as error:
            return blocked(str(error))
        except DiskFullError as error:
            return TrialRecord(status=Status.FAILED, failure=Failure.DISK_FULL, reason=f"{reason}; {error}")
        is_end = earlier.record == before and earlier.status in (Status.DONE, Status.DIVERGED)
        if is_end or not decision.is_written_over:
            reason += f"; {'it had not begun, and its earlier record' if is_end else 'what is there'} stays as it was"
            return TrialRecord(status=Status.FAILED, failure=failure, reason=reason)
        if directory.has_checkpoint and loss is not None:
            reason += "; --retry-failed continues from its checkpoint"
        record = replace(_so_far(directory, work.policy), status=Status.FAILED, failure=failure, reason=reason)
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
