"""One process's attempt at one trial: become its owner, see what is left to do, run it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gan_bench.config.trial import Trial
from gan_bench.execution.context import RunContext
from gan_bench.execution.events import Listener
from gan_bench.execution.trial_run import Run, run_trial
from gan_bench.records.lock import Owner
from gan_bench.records.record import Status, TrialRecord
from gan_bench.records.store import RecordDirectory

Outcome = TrialRecord | Owner | None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What becomes of trials that ended before or end badly.

    Attributes:
        retry_failed: Run failed trials again, from their checkpoints; otherwise they keep their row.
        fail_fast: After a failed or diverged trial, leave the rest as skipped.
        time_limit: Seconds of one trial's training and evaluation, or None.
    """

    retry_failed: bool = False
    fail_fast: bool = False
    time_limit: float | None = None

    def settled(self, directory: RecordDirectory) -> bool:
        """Say whether a record says that its trial needs no further run."""
        ends = {Status.DONE, Status.DIVERGED} if self.retry_failed else {Status.DONE, Status.DIVERGED, Status.FAILED}
        return directory.status() in ends


def is_finished(results: Path, trial: Trial, context: RunContext, policy: Policy) -> bool:
    """Say whether a trial needs no further run, with the images and networks that are there now."""
    directory, config = RecordDirectory.of(results, trial), trial.config
    if not policy.settled(directory):
        return False
    return not directory.inputs_changed(context.identity(config))


def attempt(trial: Trial, results: Path, context: RunContext, listener: Listener, policy: Policy) -> Run[Outcome]:
    """Run a trial unless another process owns it or it is finished.

    Args:
        trial: The trial.
        results: The results folder.
        context: Where and how it runs.
        listener: Told how it goes.
        policy: What counts as finished.

    Returns:
        Its record; or the process that owns it; or None when another process finished it meanwhile.
    """
    directory = RecordDirectory.of(results, trial)
    with directory.lock() as lock:
        if owner := lock.acquire():
            return owner
        if is_finished(results, trial, context, policy):
            return None
        here = replace(context, stop=lambda: context.stop() or lock.lost)
        return (yield from run_trial(trial, directory, here, listener, policy.time_limit, lambda: not lock.lost))
