"""The one decision on an earlier record of a trial: is it finished, resumed, or trained from its start, and why."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import UnreadableError, is_stop
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier, Identity
from gan_bench.records.layout import DAMAGED, SUPERSEDED, RecordDirectory
from gan_bench.records.record import Status

Identify = Callable[[TrialConfig], Identity]
"""Returns the identity of trials: ``RunContext.identity``, or that of a survey."""


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
        return self.ignored is not None and _start_time(earlier) in self.ignored

    def fresh(self, results: Path, trials: Iterable[Trial]) -> Policy:
        """Return the policy that ignores every record that is there now."""
        starts = {""}
        for trial in trials:
            with contextlib.suppress(UnreadableError):  # reported when the trial is run
                starts.add(_start_time(Earlier(RecordDirectory.of(results, trial))))
        return replace(self, ignored=frozenset(starts))


def _start_time(earlier: Earlier) -> str:
    return str(earlier.environment.get("started", ""))


class Action(Enum):
    """What is to be done with a trial."""

    NOTHING = "it has ended, with the files, images and networks that are there now"
    REFUSE = "it can neither be read nor run here; what is there may belong to another user, and stays"
    RESUME = "it is resumed from its checkpoint"
    BEGIN = "it is begun: nothing is there, or the beginning of a killed run, which goes"
    DELETE = "it is begun, and what an earlier run left is deleted: --fresh asked for it"
    REPLACE = "it is begun, and what an earlier run left is kept aside"


@dataclass(frozen=True)
class Decision:
    """What is to be done with a trial, and why.

    Attributes:
        action: What.
        why: Why a record is refused or replaced, else None.
        keep: The suite's folder in which a replaced record is kept, else None.
        had_begun: Whether a replaced record is of an interrupted or killed run, which is said before a run and
            again when the trial starts; of others it is said before alone.
    """

    action: Action
    why: str | None = None
    keep: str | None = None
    had_begun: bool = False

    @property
    def is_written_over(self) -> bool:
        """Whether a row may be written where the trial is not run: nothing that is worth keeping is lost by that."""
        return self.action in (Action.BEGIN, Action.RESUME)


def decide(earlier: Earlier, config: TrialConfig, policy: Policy, identify: Identify | None) -> Decision:
    """Decide what is to be done with a trial, from what an earlier run left; nothing is written.

    Whether a checkpoint fits the record is found out when it is loaded (``Checkpointer.resume``).

    Args:
        earlier: What an earlier run left.
        config: The trial.
        policy: What counts as ended.
        identify: Returns the present digests of its images, networks and parts; None skips that check.
    """
    try:
        if policy.is_terminal(earlier):
            decision = _of_ended(earlier, config, identify)
        else:
            decision = _of_unfinished(earlier, config, policy, identify)
        if decision.action is not Action.NOTHING:
            earlier.require_access()
    except UnreadableError as error:
        return Decision(Action.REFUSE, str(error))
    return decision


def _of_ended(earlier: Earlier, config: TrialConfig, identify: Identify | None) -> Decision:
    if identify and (changed := earlier.changed(identify(config))):
        return Decision(Action.REPLACE, changed, SUPERSEDED)
    if damage := earlier.damage():
        return Decision(Action.REPLACE, damage, DAMAGED)
    return Decision(Action.NOTHING)


def _of_unfinished(earlier: Earlier, config: TrialConfig, policy: Policy, identify: Identify | None) -> Decision:
    if not os.path.lexists(earlier.directory.path):
        return Decision(Action.BEGIN)
    if fault := earlier.content_fault():
        return Decision(Action.REPLACE, fault, DAMAGED)
    if policy.is_outdated(earlier):
        if foreign := writer.foreign_files(earlier.directory):
            return Decision(Action.REPLACE, f"--fresh asked for it, and {foreign[0]} is no file of a record", DAMAGED)
        return Decision(Action.DELETE)
    earlier.require_known_checkpoints()
    if not earlier.directory.has_checkpoint:
        more = _more_than_a_beginning(earlier, config.epochs)
        return Decision(Action.REPLACE, more, DAMAGED, had_begun=True) if more else Decision(Action.BEGIN)
    try:
        other = made_of_other(earlier, identify(config)) if identify else None
    except BaseException as error:  # of images or third-party code: the run meets it again, or compares for itself
        if is_stop(error):
            raise
        other = None
    return Decision(Action.REPLACE, other, SUPERSEDED, had_begun=True) if other else Decision(Action.RESUME)


def _more_than_a_beginning(earlier: Earlier, epochs: int) -> str | None:
    """Return why a record without a checkpoint of a training of so many epochs is worth keeping, or None."""
    if lost := earlier.lost(epochs):
        return lost
    if foreign := writer.foreign_files(earlier.directory):
        return f"it has no checkpoint, and {foreign[0]} is no file of a record"
    return None


def made_of_other(earlier: Earlier, now: Identity) -> str | None:
    """Return why a checkpoint is not resumed: of other images or networks, or another kind of device, or None.

    CPU and CUDA draw different noise. Other processors, thread counts and library versions only round differently;
    the trial is resumed and its environment lists them.
    """
    before, here = (str(device).partition(":")[0] for device in (earlier.environment.get("device"), now["device"]))
    if before != here:
        return f"it was interrupted on {before} and cannot be resumed on {here}"
    return earlier.changed(now)
