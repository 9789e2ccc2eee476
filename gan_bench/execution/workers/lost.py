"""What becomes of trials whose worker is lost: a process or a task that ended without an answer, or came to no end."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

from gan_bench.config.trial import Trial
from gan_bench.core.errors import DiskFullError, RecordError, UnreadableError
from gan_bench.execution.trial.claim import Claim, blocked
from gan_bench.execution.trial.decision import Action, Policy, decide
from gan_bench.execution.workers.work import Work
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Failure, Status, TrialRecord

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
