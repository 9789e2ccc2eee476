"""One process's attempt at one trial: become its owner, see what is left to do, run it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gan_bench.events import Listener
from gan_bench.lock import Owner
from gan_bench.runner import Run, run_trial
from gan_bench.store import RecordDirectory
from gan_bench.trial import Status, Trial, TrialRecord
from gan_bench.workplace import Workplace

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


def is_finished(results: Path, trial: Trial, place: Workplace, policy: Policy) -> bool:
    """Say whether a trial needs no further run, with the pictures and networks that are there now."""
    directory, config = RecordDirectory.of(results, trial), trial.config
    if not policy.settled(directory):
        return False
    return not directory.foreign(place.identity(config))


def attempt(trial: Trial, results: Path, place: Workplace, listener: Listener, policy: Policy) -> Run[Outcome]:
    """Run a trial unless another process owns it or it is finished.

    Args:
        trial: The trial.
        results: The results folder.
        place: Where and how it runs.
        listener: Told how it goes.
        policy: What counts as finished.

    Returns:
        Its record; or the process that owns it; or None when another process finished it meanwhile.
    """
    directory = RecordDirectory.of(results, trial)
    with directory.lock() as lock:
        if owner := lock.acquire():
            return owner
        if is_finished(results, trial, place, policy):
            return None
        here = replace(place, stop=lambda: place.stop() or lock.lost)
        return (yield from run_trial(trial, directory, here, listener, policy.time_limit, lambda: not lock.lost))
