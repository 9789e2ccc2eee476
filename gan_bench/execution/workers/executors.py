"""Carry a plan's trials to their ends, in this process or in worker processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.execution.trial.claim import Policy, claim_and_run
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.events import Listener
from gan_bench.execution.workers.job import Job
from gan_bench.execution.workers.pool import Worker, WorkerPoolConfig
from gan_bench.execution.workers.results import FinishedElsewhere, Results, until_nothing_moves
from gan_bench.execution.workers.scheduler import group_trials, schedule
from gan_bench.execution.workers.site import Site


def run_inline(
    results: Path,
    trials: Iterable[Trial],
    context: RunContext,
    listener: Listener,
    policy: Policy | None = None,
    sizes: Callable[[TrialConfig], int] = lambda _: 1,
    seconds: Callable[[Trial], float] = lambda _: 0.0,
) -> Results:
    """Run trials in this process; a failed one does not stop the rest, a request to stop does.

    Args:
        results: The results folder.
        trials: What to run.
        context: Where and how.
        listener: Receives progress events.
        policy: What becomes of trials that ended before or end badly.
        sizes: Says how many trials like this one train together at most.
        seconds: Says what a trial is expected to take. Of groups the shortest goes first: then most trials have ended
            whenever somebody looks.
    """
    policy, listed = policy or Policy(), list(trials)
    meanwhile = FinishedElsewhere(results, listed, policy)

    def carry_out(left: list[Trial], into: Results) -> None:
        groups = group_trials(left, sizes)
        if any(len(group) > 1 for group in groups):
            groups = _by_length(groups, seconds)
        for group in _left_of(groups, meanwhile, into):
            if context.stop() or into.enough(policy):
                return
            claims = schedule(claim_and_run(trial, results, context, listener, policy) for trial in group)
            for trial, claim in zip(group, claims, strict=True):
                into.note(trial, claim)

    return until_nothing_moves(results, listed, policy, context.stop, carry_out)


def _by_length(groups: list[list[Trial]], seconds: Callable[[Trial], float], sign: int = 1) -> list[list[Trial]]:
    """Sort groups from short to long, or with a sign of -1 from long to short; equal ones stay in the suite's order."""
    return sorted(groups, key=lambda group: sign * sum(map(seconds, group)))


def _left_of(groups: Iterable[list[Trial]], meanwhile: FinishedElsewhere, into: Results) -> Iterator[list[Trial]]:
    """Yield groups without the trials that other processes have finished by the time of their turn."""
    for group in groups:
        done = [trial for trial in group if meanwhile.finished(trial)]
        for trial in done:
            into.note(trial, None)
        if left := [trial for trial in group if trial not in done]:
            yield left


def run_processes(
    results: Path,
    trials: Iterable[Trial],
    context: RunContext,
    listener: Listener,
    policy: Policy,
    pool: WorkerPoolConfig,
    sizes: Callable[[TrialConfig], int] = lambda _: 1,
    seconds: Callable[[Trial], float] = lambda _: 0.0,
) -> Results:
    """Run trials in worker processes, one job at a time in each; a lost process loses the job it had.

    Args:
        results: The results folder.
        trials: What to run.
        context: Data folder, engine and the request to stop; its device is not used.
        listener: Receives progress events, one at a time.
        policy: What becomes of trials that ended before or end badly.
        pool: The workers.
        sizes: Says how many trials like this one train together at most, in one process.
        seconds: Says what a trial is expected to take. On GPUs the longest goes first, so that none is waited for in
            the end.
    """
    listening = threading.Lock()
    workers = [(device, Worker(pool.threads, listener, listening)) for device in pool.devices]
    listed = list(trials)
    meanwhile = FinishedElsewhere(results, listed, policy)

    def carry_out(left: list[Trial], into: Results) -> None:
        groups = group_trials(left, sizes)
        jobs = _left_of(_by_length(groups, seconds, -1) if pool.devices[0] != "cpu" else groups, meanwhile, into)
        failed = threading.Event()

        def stop() -> bool:
            return context.stop() or failed.is_set()

        def work(device: str, worker: Worker) -> None:
            while not stop() and not into.enough(policy):
                with listening:
                    group = next(jobs, None)
                if group is None:
                    return
                job = Job(
                    trials=tuple(group),
                    results=results,
                    site=Site(
                        data=context.data.path,
                        data_given=context.data.given,
                        device=device,
                        engine=context.engine_choice,
                        threads=pool.threads,
                        folders=pool.folders,
                        plugins=pool.plugins,
                    ),
                    policy=policy,
                )
                try:
                    claims = worker.run(job, stop)
                except BaseException:  # a listener's own fault: the rest would be invisible
                    failed.set()
                    raise
                with listening:
                    for trial in group:
                        into.note(trial, claims[trial.id])

        with ThreadPoolExecutor(len(workers)) as threads:
            try:
                list(threads.map(lambda pair: work(*pair), workers))
            except BaseException:  # KeyboardInterrupt, where no handler takes signals: workers save checkpoints and end
                failed.set()
                raise

    try:
        return until_nothing_moves(results, listed, policy, context.stop, carry_out)
    finally:
        for _, worker in workers:
            worker.dismiss()
