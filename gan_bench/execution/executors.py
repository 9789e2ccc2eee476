"""Carry a plan's trials to their ends, in this process or in worker processes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.execution.claim import Claim, Policy, claim_and_run
from gan_bench.execution.context import RunContext
from gan_bench.execution.events import Listener
from gan_bench.execution.grouping import group_trials
from gan_bench.execution.job import Job
from gan_bench.execution.scheduler import schedule
from gan_bench.execution.worker_pool import Worker, WorkerPoolConfig
from gan_bench.records import writer
from gan_bench.records.earlier import status_of
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import Owner, trial_lock
from gan_bench.records.record import Status, TrialRecord

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


def run_inline(
    results: Path,
    trials: Iterable[Trial],
    context: RunContext,
    listener: Listener,
    policy: Policy | None = None,
    sizes: Callable[[TrialConfig], int] = lambda _: 1,
) -> Results:
    """Run trials in this process; a failed one does not stop the rest, a request to stop does.

    Args:
        results: The results folder.
        trials: What to run.
        context: Where and how.
        listener: Learns how it goes.
        policy: What becomes of trials that ended before or end badly.
        sizes: Says how many trials like this one train together at most.
    """
    policy = policy or Policy()

    def carry_out(left: list[Trial], into: Results) -> None:
        for group in group_trials(left, sizes):
            if context.stop() or _enough(into, policy):
                return
            claims = schedule(claim_and_run(trial, results, context, listener, policy) for trial in group)
            for trial, claim in zip(group, claims, strict=True):
                into.note(trial, claim)

    return _until_nothing_moves(results, list(trials), policy, context.stop, carry_out)


def run_processes(
    results: Path,
    trials: Iterable[Trial],
    context: RunContext,
    listener: Listener,
    policy: Policy,
    pool: WorkerPoolConfig,
    sizes: Callable[[TrialConfig], int] = lambda _: 1,
) -> Results:
    """Run trials in worker processes, one job at a time in each; a lost process loses the job it had.

    Args:
        results: The results folder.
        trials: What to run.
        context: Data folder, engine and the request to stop; its device is not used.
        listener: Learns how it goes, one event at a time.
        policy: What becomes of trials that ended before or end badly.
        pool: The workers.
        sizes: Says how many trials like this one train together at most, in one process.
    """
    listening = threading.Lock()
    workers = [(device, Worker(pool.threads, listener, listening)) for device in pool.devices]

    def carry_out(left: list[Trial], into: Results) -> None:
        jobs = deque(group_trials(left, sizes))
        failed = threading.Event()

        def work(device: str, worker: Worker) -> None:
            while not context.stop() and not _enough(into, policy) and not failed.is_set():
                try:
                    group = jobs.popleft()
                except IndexError:
                    return
                job = Job(
                    trials=tuple(group),
                    results=results,
                    data=context.data.path,
                    data_given=context.data.given,
                    device=device,
                    engine=context.engine_choice,
                    threads=pool.threads,
                    folders=pool.folders,
                    plugins=pool.plugins,
                    policy=policy,
                )
                try:
                    claims = worker.run(job, context.stop)
                except BaseException:  # a listener's own fault: nobody would see the rest
                    failed.set()
                    raise
                with listening:
                    for trial in group:
                        into.note(trial, claims[trial.id])

        with ThreadPoolExecutor(len(workers)) as threads:
            list(threads.map(lambda pair: work(*pair), workers))

    try:
        return _until_nothing_moves(results, list(trials), policy, context.stop, carry_out)
    finally:
        for _, worker in workers:
            worker.dismiss()


def _until_nothing_moves(
    results: Path,
    trials: list[Trial],
    policy: Policy,
    stop: Callable[[], bool],
    carry_out: Callable[[list[Trial], Results], None],
) -> Results:
    """Run what is free, then what has become free meanwhile; in the end write down what was skipped."""
    into, left = Results(), trials
    while left and not stop():
        carry_out(left, into)
        waiting = [trial for trial in left if trial.id in into.held]
        if len(waiting) == len(left) or _enough(into, policy):
            break
        left = waiting
    if _enough(into, policy):
        first = next(record for record in into.records.values() if record.status in _BAD)
        for trial in trials:
            if trial.id not in into.records and (
                row := _skip(results, trial, f"not run: --fail-fast, and a trial {first.status}")
            ):
                into.records[trial.id] = row
    return into


def _enough(into: Results, policy: Policy) -> bool:
    return policy.fail_fast and any(record.status in _BAD for record in list(into.records.values()))


def _skip(results: Path, trial: Trial, reason: str) -> TrialRecord | None:
    """Leave a row for a trial that was not run, unless an earlier run left one, whatever becomes of that later."""
    directory = RecordDirectory.of(results, trial)
    with trial_lock(directory) as lock:
        if lock.acquire() is None and status_of(directory) not in (Status.DONE, *_BAD):
            return writer.skip(directory, trial, reason)
    return None
