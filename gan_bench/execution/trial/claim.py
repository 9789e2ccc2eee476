"""One process's claim to one trial: take its lock, see what is left to do, run it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import DiskFullError, UnreadableError
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.events import Listener, Run, classify
from gan_bench.execution.trial.run import run_trial
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier, Identity
from gan_bench.records.json_files import is_gone
from gan_bench.records.layout import DAMAGED, SUPERSEDED, RecordDirectory
from gan_bench.records.lock import PATIENCE_SECONDS, Lock, Owner, trial_lock
from gan_bench.records.record import Status, TrialRecord

Claim = TrialRecord | Owner | None
"""What came of a claim: the trial's record; or the process that owns it; or None when it needed no further run."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What becomes of trials that ended before or end badly.

    Attributes:
        retry_failed: Run failed trials again, from their checkpoints; otherwise they keep their row.
        fail_fast: After a failed or diverged trial, leave the rest as skipped.
        time_limit: Seconds of one trial's training and evaluation, or None.
        ignored: Start times, as records say them, of the trials whose records are ignored; None ignores none. Each is
            removed when its trial starts, so that an interrupted run loses no other. Clocks may be wrong, so that no
            time is compared with another one.
    """

    retry_failed: bool = False
    fail_fast: bool = False
    time_limit: float | None = None
    ignored: frozenset[str] | None = None

    def is_terminal(self, earlier: Earlier) -> bool:
        """True if a record says that its trial needs no further run."""
        ends = {Status.DONE, Status.DIVERGED} if self.retry_failed else {Status.DONE, Status.DIVERGED, Status.FAILED}
        return earlier.status in ends and not self.is_outdated(earlier)

    def is_outdated(self, earlier: Earlier) -> bool:
        """True if a record is of a run that is to be ignored; one that does not say when it began is."""
        return self.ignored is not None and _started(earlier) in self.ignored

    def fresh(self, results: Path, trials: Iterable[Trial]) -> Policy:
        """Return the policy that ignores every record that is there now."""
        starts = {""}
        for trial in trials:
            with contextlib.suppress(UnreadableError):  # its own turn says so
                starts.add(_started(Earlier(RecordDirectory.of(results, trial))))
        return replace(self, ignored=frozenset(starts))


def _started(earlier: Earlier) -> str:
    return str(earlier.environment.get("started", ""))


@dataclass(frozen=True)
class State:
    """What an earlier run left of a trial.

    Attributes:
        status: How it ended, where it needs no further run; else None.
        retrain: Why a trial is trained from its start although an earlier run left something, or None.
        keep: The suite's folder in which what was left is kept then; None deletes it, which ``--fresh`` asks for.
        blocked: Why the trial can neither be read nor run here, or None: what is there may belong to another user.
    """

    status: Status | None = None
    retrain: str | None = None
    keep: str | None = None
    blocked: str | None = None

    @property
    def finished(self) -> bool:
        """Whether it needs no further run."""
        return self.status is not None


Identify = Callable[[TrialConfig], Identity]
"""Says what trials are made of: ``RunContext.identity``, or that of a survey."""


def state_of(earlier: Earlier, trial: Trial, identify: Identify | None, policy: Policy) -> State:
    """Find out what an earlier run left: is it finished, with the files, images and networks that are there now?

    Args:
        earlier: What it left.
        trial: The trial.
        identify: Says what its images, networks and parts are now; None where that is not known, and nobody asks.
        policy: What counts as finished.
    """
    try:
        state = _judge(earlier, trial, identify, policy)
        if not state.finished:
            earlier.require_access()
    except UnreadableError as error:
        return State(blocked=str(error))
    return state


def _judge(earlier: Earlier, trial: Trial, identify: Identify | None, policy: Policy) -> State:
    if not policy.is_terminal(earlier):
        if fault := earlier.content_fault():
            return State(retrain=fault, keep=DAMAGED)
        if earlier.directory.record.exists() and earlier.status is None:
            return State(retrain=earlier.damage(), keep=DAMAGED)
        return State()
    if identify and (changed := earlier.changed(identify(trial.config))):
        return State(retrain=changed, keep=SUPERSEDED)
    if damage := earlier.damage():
        return State(retrain=damage, keep=DAMAGED)
    return State(status=earlier.status)


def _to_continue(directory: RecordDirectory, trial: Trial, context: RunContext, policy: Policy) -> Earlier | None:
    """Put out of the way what a new run of a trial replaces; the caller holds its lock.

    Returns:
        What the run may continue; None when there is nothing to run: the trial is finished, or a stop was asked for
        and what would be replaced is worth more than an empty beginning.

    Raises:
        UnreadableError: What is there can neither be read nor replaced.
    """
    earlier = Earlier(directory)
    state = state_of(earlier, trial, context.identity, policy)
    if state.blocked:
        raise UnreadableError(state.blocked)
    if state.finished:
        return None
    if not state.retrain and not policy.is_outdated(earlier):
        return earlier
    if context.stop():
        return None
    if state.keep:
        writer.set_aside(directory, state.keep)
    else:
        writer.clear(directory)
    return Earlier(directory)


def blocked(reason: str) -> TrialRecord:
    """Return the end of a trial that can neither be read nor run here; nothing of it is written."""
    return TrialRecord(status=Status.SKIPPED, reason=reason)


def _acquire(lock: Lock, patience: float, stop: Callable[[], bool]) -> Owner | None:
    """Take a lock, or return its owner after so many seconds, or when a stop is asked for."""
    until = time.monotonic() + patience
    while owner := lock.acquire():
        if time.monotonic() >= until or stop():
            return owner
    return None


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
    if is_gone(directory.path.parent):  # a lock would make it anew, without the plan
        return blocked(f"{directory.path.parent} was removed or renamed while the suite ran")
    with trial_lock(directory) as lock:
        try:
            if owner := _acquire(lock, patience, context.stop):
                return owner
            earlier = _to_continue(directory, trial, context, policy)
        except UnreadableError as error:
            return blocked(str(error))
        except (DiskFullError, OSError) as error:  # nothing of it can be written either
            status, failure, reason = classify(error, context.device, directory.path)
            return TrialRecord(status=status, failure=failure, reason=reason)
        if earlier is None:
            return None
        return (yield from run_trial(trial, earlier, context, listener, policy.time_limit))
