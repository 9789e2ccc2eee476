"""What every executor is given and gives back: trials on common terms, what is left of them, what became of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import UnreadableError, UserError
from gan_bench.execution.trial.claim import Claim, blocked
from gan_bench.execution.trial.decision import Action, Policy, decide
from gan_bench.execution.trial.events import Listener, ignore
from gan_bench.execution.workers.job import group_trials
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import Owner, trial_lock
from gan_bench.records.record import Status, TrialRecord

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
        except UnreadableError:  # the claim says so
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
        The row, which may be written nowhere; None where an earlier run left one, whatever becomes of that later.
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
    except (UserError, OSError) as error:  # the report is made all the same
        return blocked(f"{reason} ({error})")
