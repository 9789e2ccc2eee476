"""Carry a plan's trials to their ends, in this process or in worker processes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.execution.claim import Outcome, Policy, attempt
from gan_bench.execution.context import RunContext
from gan_bench.execution.events import Listener
from gan_bench.execution.grouping import batches
from gan_bench.execution.scheduler import drive
from gan_bench.execution.worker import Order
from gan_bench.execution.worker_pool import Fleet, Worker
from gan_bench.records.lock import Owner
from gan_bench.records.record import Status, TrialRecord
from gan_bench.records.store import RecordDirectory

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

    def note(self, trial: Trial, outcome: Outcome) -> None:
        """Take in what an attempt gave."""
        self.held.pop(trial.id, None)
        if isinstance(outcome, TrialRecord):
            self.records[trial.id] = outcome
        elif isinstance(outcome, Owner):
            self.held[trial.id] = outcome


def run_inline(
    results: Path,
    trials: Iterable[Trial],
    context: RunContext,
    listener: Listener,
    policy: Policy | None = None,
    sizes: Callable[[TrialConfig], int] = lambda _: 1,
) -> Results:
    """Run trials in this process; a failed one does not stop the rest, a wish to stop does.

    Args:
        results: The results folder.
        trials: What to run.
        context: Where and how.
        listener: Told how it goes.
        policy: What becomes of trials that ended before or end badly.
        sizes: Says how many trials like this one train together at most.
    """
    policy = policy or Policy()

    def go(left: list[Trial], into: Results) -> None:
        for batch in batches(left, sizes):
            if context.stop() or _enough(into, policy):
                return
            outcomes = drive(attempt(trial, results, context, listener, policy) for trial in batch)
            for trial, outcome in zip(batch, outcomes, strict=True):
                into.note(trial, outcome)

    return _until_settled(results, list(trials), policy, context.stop, go)


def run_processes(
    results: Path,
    trials: Iterable[Trial],
    context: RunContext,
    listener: Listener,
    policy: Policy,
    fleet: Fleet,
    sizes: Callable[[TrialConfig], int] = lambda _: 1,
) -> Results:
    """Run trials in worker processes, several at a time; a lost process loses the trials it had.

    Args:
        results: The results folder.
        trials: What to run.
        context: Data folder, engine and the wish to stop; its device is not used.
        listener: Told how it goes, by one trial at a time.
        policy: What becomes of trials that ended before or end badly.
        fleet: The workers.
        sizes: Says how many trials like this one train together at most, in one process.
    """
    telling = threading.Lock()

    def go(left: list[Trial], into: Results) -> None:
        queue = deque(batches(left, sizes))

        def work(device: str) -> None:
            while queue and not context.stop() and not _enough(into, policy):
                try:
                    batch = queue.popleft()
                except IndexError:
                    return
                order = Order(
                    trials=tuple(batch),
                    results=results.resolve(),
                    data=context.data.path.resolve(),
                    given=context.data.given,
                    device=device,
                    engine=context.engine_choice,
                    threads=fleet.threads,
                    folders=fleet.folders,
                    policy=asdict(policy),
                )
                outcomes = Worker(order, listener, telling).wait(context.stop)
                with telling:
                    for trial in batch:
                        into.note(trial, outcomes[trial.id])

        with ThreadPoolExecutor(len(fleet.devices)) as pool:
            list(pool.map(work, fleet.devices))

    return _until_settled(results, list(trials), policy, context.stop, go)


def _until_settled(
    results: Path,
    trials: list[Trial],
    policy: Policy,
    stop: Callable[[], bool],
    go: Callable[[list[Trial], Results], None],
) -> Results:
    """Run what is free, then what has become free meanwhile, until nothing moves; then write down what was skipped."""
    into, left = Results(), trials
    while left and not stop():
        go(left, into)
        waiting = [trial for trial in left if trial.id in into.held]
        if len(waiting) == len(left) or _enough(into, policy):
            break
        left = waiting
    if _enough(into, policy):
        first = next(record for record in into.records.values() if record.status in _BAD)
        for trial in trials:
            if trial.id not in into.records:
                _skip(results, trial, policy, f"not run: --fail-fast after a trial was {first.status}")
    return into


def _enough(into: Results, policy: Policy) -> bool:
    return policy.fail_fast and any(record.status in _BAD for record in list(into.records.values()))


def _skip(results: Path, trial: Trial, policy: Policy, reason: str) -> None:
    directory = RecordDirectory.of(results, trial)
    with directory.lock() as lock:
        if lock.acquire() is None and not policy.settled(directory):
            directory.skip(trial, reason)
