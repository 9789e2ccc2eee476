"""One process's claim to one trial: take its lock, see what is left to do, run it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gan_bench.config.trial import Trial
from gan_bench.core.errors import DataError, DiskFullError, UnreadableError
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Action, Policy, decide
from gan_bench.execution.trial.events import Listener, Run, classify
from gan_bench.execution.trial.run import blocked, keep_aside, run_trial
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.json_files import is_gone
from gan_bench.records.layout import SUPERSEDED, RecordDirectory
from gan_bench.records.lock import PATIENCE_SECONDS, Lock, Owner, trial_lock
from gan_bench.records.record import Status, TrialRecord

Claim = TrialRecord | Owner | None
"""What came of a claim: the trial's record; or the process that owns it; or None when it needed no further run."""


def _acquire(lock: Lock, patience: float, stop: Callable[[], bool]) -> Owner | None:
    """Take a lock, or return its owner after so many seconds, or when a stop is asked for."""
    until = time.monotonic() + patience
    while owner := lock.acquire():
        if time.monotonic() >= until or stop():
            return owner
    return None


def _take_up(trial: Trial, directory: RecordDirectory, context: RunContext, policy: Policy) -> bool:
    """Put out of the way what a run of a trial replaces; the caller holds its lock.

    Returns:
        Whether it is to run: not where it is finished, nor where a stop was asked for and what would be replaced is
        worth more than an empty beginning.

    Raises:
        UnreadableError: What is there can neither be read nor replaced.
        DataError: The images cannot be read that an earlier record is compared with.
    """
    earlier = Earlier(directory)
    decision = decide(earlier, trial.config, policy, context.identity)
    if decision.action is Action.REFUSE:
        raise UnreadableError(str(decision.why))
    replaces = decision.action in (Action.DELETE, Action.REPLACE)
    if decision.action is Action.NOTHING or (replaces and context.stop()):
        return False
    if decision.action is Action.DELETE:
        writer.clear(directory)
    elif decision.keep == SUPERSEDED and _may_be_resumed(earlier):
        pass  # the run moves it aside once it can start, not earlier
    elif decision.had_begun:
        keep_aside(trial, directory, str(decision.why), str(decision.keep))
    elif replaces:
        writer.set_aside(directory, str(decision.keep), str(decision.why))
    return True


def _may_be_resumed(earlier: Earlier) -> bool:
    """True if a record has a checkpoint that is of use where what changed since is changed back.

    Of a trial that is done nothing is resumed, and the run writes no row over its end: its record is worth more.
    """
    return earlier.directory.has_checkpoint and earlier.status not in (Status.DONE, Status.DIVERGED)


def claim_and_run(
    trial: Trial,
    results: Path,
    context: RunContext,
    listener: Listener,
    policy: Policy,
    patience: float = PATIENCE_SECONDS,
) -> Run[Claim]:
    """Run a trial unless another process owns it or it is finished.

    Args:
        trial: The trial.
        results: The results folder.
        context: Where and how it runs.
        listener: Receives progress events.
        policy: What counts as finished.
        patience: Seconds to wait for its owner.

    Returns:
        Its record; or the process that owns it; or None when another process finished it meanwhile. A trial that can
        neither be read nor run here has a record that says so and is not written.
    """
    directory = RecordDirectory.of(results, trial)
    if is_gone(directory.path.parent):  # a lock would create the folder again, without the plan
        return blocked(f"{directory.path.parent} was removed or renamed while the suite ran")
    with trial_lock(directory) as lock:
        try:
            if owner := _acquire(lock, patience, context.stop):
                return owner
            if not _take_up(trial, directory, context, policy):
                return None
        except (UnreadableError, DataError) as error:
            return blocked(str(error))
        except (DiskFullError, OSError) as error:  # nothing can be written there, either
            status, failure, reason = classify(error, context.device, directory.path)
            return TrialRecord(status=status, failure=failure, reason=reason)
        return (yield from run_trial(trial, directory, context, listener, policy.time_limit))
