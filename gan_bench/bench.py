"""``run``: a suite -> plan -> what is not finished -> executor -> report."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from rich.console import Console

from gan_bench.cli.display import ProgressDisplay
from gan_bench.config.suite import Plan, PlanOptions, find_suite, make_plan
from gan_bench.config.trial import Trial
from gan_bench.core.errors import DataError, UserError
from gan_bench.data.datasets import DATASETS, DataRoot, register_folder
from gan_bench.execution.claim import Policy, is_finished
from gan_bench.execution.context import RunContext
from gan_bench.execution.environment import choose_device, cores, fix_bits
from gan_bench.execution.estimate import Estimate, check_space, expect, preflight, real_baselines
from gan_bench.execution.executors import Results, run_inline, run_processes
from gan_bench.execution.worker_pool import Fleet, kill_workers
from gan_bench.records.record import Status
from gan_bench.records.store import RecordDirectory, write_baselines, write_plan
from gan_bench.report.build import build_report, print_report
from gan_bench.tracking.views import link

BUSY = 1.3
"""One thread is advised when it is so many times as fast as all. On two cores of an AMD EPYC beside one busy process it
was 3.0 (fully connected), 2.9 (DCGAN 28x28) and 1.7 (DCGAN 64x64); on the quiet machine 0.60 to 0.64 and 0.56 to 0.59
for the first two."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What the command line asks for.

    Attributes:
        group: How many trials train together in this process; None lets a measurement on a GPU decide.
        tracking_uri: MLflow; empty for the SQLite default, None for no tracking.
    """

    suite: str
    results: Path
    data: Path | None
    device: str
    profile: Literal["auto", "full", "quick"]
    plan: PlanOptions
    engine: str
    executor: Literal["inline", "processes"]
    workers: int | None
    group: int | None
    policy: Policy
    tracking_uri: str | None
    fresh: bool
    dry_run: bool


def data_root(wish: Path | None) -> DataRoot:
    """Choose the data folder: the one given, else ``$GAN_BENCH_DATA``, else ``data``, which may be filled."""
    given = wish or (Path(found) if (found := os.environ.get("GAN_BENCH_DATA")) else None)
    if given is not None and not given.is_dir():
        raise UserError(f"the data folder {given} does not exist; name another with --data or leave it out")
    return DataRoot(given or Path("data"), given is not None)


class _StopWish:
    """Becomes true at the first Ctrl-C or SIGTERM; the second leaves at once."""

    def __init__(self, console: Console) -> None:
        self.asked = False
        self._console = console

    def __call__(self) -> bool:
        return self.asked

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            kill_workers()
            os._exit(130)
        self.asked = True
        self._console.print("\nstopping: saving a checkpoint (once more leaves at once)", style="yellow")

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = {n: signal.signal(n, self.handle) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def bench(options: BenchOptions, console: Console) -> int:
    """Run a suite.

    Returns:
        0 when all trials are done, 1 when one failed or diverged, 130 when interrupted.

    Raises:
        UserError: Something asked for cannot be.
    """
    device = choose_device(options.device)
    fix_bits(device)
    profile = options.profile if options.profile != "auto" else "full" if device.type == "cuda" else "quick"
    plan = make_plan(find_suite(options.suite), replace(options.plan, profile=profile))
    stop = _StopWish(console)
    root = data_root(options.data)
    if options.dry_run:
        root = replace(root, given=True)  # a plan downloads no dataset
    context = RunContext(root, device, stop, options.engine)
    for folder in plan.folders:
        register_folder(folder)
    for name in dict.fromkeys(trial.config.dataset for trial in plan.trials):
        DATASETS[name]
    _check_writable(options.results, make=not options.dry_run)
    policy = options.policy
    try:
        preflight(plan.trials, context)
        todo = [t for t in plan.trials if options.fresh or not is_finished(options.results, t, context, policy)]
        fleet = _fleet(options, device, plan, len(todo))
        changed = [] if options.fresh else [t for t in todo if policy.settled(RecordDirectory.of(options.results, t))]
        done = {} if options.fresh else {trial.id: _epochs_kept(options.results, trial, context) for trial in todo}
        expected = expect(todo, context, len(fleet.devices) if fleet else None, options.group, done)
    except DataError as error:
        if not options.dry_run:
            raise
        left = [t for t in plan.trials if not policy.settled(RecordDirectory.of(options.results, t))]
        _list(plan, left, console)
        console.print(f"expected time: unknown, because {error}", style="yellow", markup=False)
        return 0
    _announce(plan, todo, context, fleet, expected, options, console)
    if changed:
        text = f"{len(changed)} finished trials are trained anew: their images or networks are not what they were"
        console.print(text, style="yellow", markup=False)
    if options.dry_run:
        _list(plan, todo, console)
        return 0
    at_a_time = (len(fleet.devices) if fleet else 1) * max(expected.groups.values(), default=1)
    check_space(todo, at_a_time, options.results)
    if options.fresh:
        _forget(options.results, todo)
    write_plan(options.results, plan.suite, plan.version, plan.trials)
    if todo:
        write_baselines(options.results, plan.suite, plan.version, real_baselines(plan.trials, context))
    outcome = _run(plan, todo, options, context, stop, fleet, expected, console)
    return _conclude(plan, outcome, options, console, interrupted=stop.asked)


def _epochs_kept(results: Path, trial: Trial, context: RunContext) -> int:
    """Count the epochs of an earlier run that will not be trained again."""
    directory = RecordDirectory.of(results, trial)
    kind = str(directory.environment().get("device")).partition(":")[0]
    inputs_changed = kind != context.device.type or directory.inputs_changed(context.identity(trial.config))
    return 0 if inputs_changed else directory.epochs_kept()


def _list(plan: Plan, todo: list[Trial], console: Console) -> None:
    for trial in plan.trials:
        mark = "to run" if trial in todo else "finished"
        console.print(f"  {mark:<9} {trial.name} ({trial.config.epochs} epochs)", markup=False, highlight=False)


def _fleet(options: BenchOptions, device: torch.device, plan: Plan, count: int) -> Fleet | None:
    """Choose the worker processes: a thread each on a CPU, one process per GPU, never more than there are trials."""
    if options.executor == "inline":
        return None
    cuda = device.type == "cuda"
    places = [str(device)]
    if cuda and options.device in ("auto", "cuda"):
        places = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    wished = options.workers or (len(places) if cuda else cores())
    workers = max(1, min(wished, count))
    devices = tuple(places[i % len(places)] for i in range(workers))
    return Fleet(devices=devices, threads=None if cuda else 1, folders=tuple(f.to_json() for f in plan.folders))


def _forget(results: Path, trials: list[Trial]) -> None:
    """Remove earlier records of trials, but none that another process is writing."""
    for trial in trials:
        directory = RecordDirectory.of(results, trial)
        with directory.lock() as lock:
            if lock.acquire() is None:
                directory.clear()


def _run(
    plan: Plan,
    todo: list[Trial],
    options: BenchOptions,
    context: RunContext,
    stop: _StopWish,
    fleet: Fleet | None,
    expected: Estimate,
    console: Console,
) -> Results:
    from gan_bench.tracking.mirror import default_uri
    from gan_bench.tracking.sync_process import Follower

    several = bool(expected.groups) or (fleet is not None and len(fleet.devices) > 1)
    follower = None
    if options.tracking_uri is not None:
        follower = Follower(options.results / plan.suite, options.tracking_uri or default_uri(options.results))
    try:
        with stop.listening(), ProgressDisplay(console, len(todo), several=several) as watch:
            if fleet:
                outcome = run_processes(options.results, todo, context, watch, options.policy, fleet, expected.group)
            else:
                outcome = run_inline(options.results, todo, context, watch, options.policy, expected.group)
    finally:
        answer = follower.close() if follower else None
    _say_tracking(answer, options, console)
    return outcome


def _say_tracking(answer: dict[str, Any] | None, options: BenchOptions, console: Console) -> None:
    if answer is None:
        return
    if answer["error"]:
        text = f"MLflow is incomplete: {answer['error']}; `gan-bench sync {options.results}` repairs it"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
    if answer["experiment"]:
        where = "" if options.tracking_uri else f" (start it with `gan-bench ui --results {options.results}`)"
        names = ("MLflow", "MLflow, averaged over seeds")
        for name, view in zip(names, answer["views"] or [None], strict=False):
            address = link(answer["experiment"], view)
            console.print(f"{name}: {address}{where}", markup=False, highlight=False, soft_wrap=True)


def _conclude(plan: Plan, outcome: Results, options: BenchOptions, console: Console, *, interrupted: bool) -> int:
    wide = console if console.is_terminal else Console(width=400, file=console.file)
    print_report(build_report(options.results), wide, plan.suite)
    statuses = [RecordDirectory.of(options.results, trial).status() for trial in plan.trials]
    if interrupted:
        done = statuses.count(Status.DONE)
        console.print(
            f"interrupted: {done} of {len(statuses)} trials are done; the same command goes on", style="yellow"
        )
        return 130
    bad = [trial for trial, status in zip(plan.trials, statuses, strict=True) if status is not Status.DONE]
    for trial in bad:
        console.print(f"{trial.name}: {_why(trial, outcome, options)}", style="red", markup=False, soft_wrap=True)
    return 1 if bad else 0


def _why(trial: Trial, outcome: Results, options: BenchOptions) -> str:
    """Say why a trial is not done."""
    if trial.id in outcome.held:
        return f"being run by another process ({outcome.held[trial.id]}); this one has nothing left to do"
    directory = RecordDirectory.of(options.results, trial)
    record = directory.record()
    if record is None:
        return "not run"
    again = "" if trial.id in outcome.records else ", in an earlier run"
    hint = "; --retry-failed tries again" if again and record.status is Status.FAILED else ""
    return f"{record.status}{again}: {record.reason}{hint}"


def _check_writable(results: Path, *, make: bool) -> None:
    try:
        if not make and not results.exists():
            return
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UserError(
            f"the results folder {results} cannot be written ({error.strerror}); choose another with --results"
        ) from None


def _announce(
    plan: Plan,
    todo: list[Trial],
    context: RunContext,
    fleet: Fleet | None,
    expected: Estimate,
    options: BenchOptions,
    console: Console,
) -> None:
    quick = sum(trial.config.profile == "quick" for trial in plan.trials)
    if plan.profile == "quick" and quick:
        how = "QUICK profile: fewer epochs, images and samples (--profile full for the other)"
    elif plan.profile == "quick":
        how = "full profile: the suite has no quick one that cuts anything"
    elif quick:
        how = f"full profile, but {quick} trials are cut down by the command line and marked as quick"
    else:
        how = "full profile: the suite's whole protocol (--profile quick for a first look)"
    if options.workers and not fleet:
        console.print("--workers has no effect without --executor processes", style="yellow")
    ready = len(plan.trials) - len(todo)
    console.print(
        f"{plan.suite}: {len(plan.trials)} trials, {ready} finished, {len(todo)} to run on {context.device}",
        markup=False,
    )
    console.print(how, style="bold" if quick else None, markup=False)
    if todo:
        threads = fleet.threads if fleet else torch.get_num_threads()
        how = f", threads: {threads}" if context.device.type == "cpu" else ""
        how += f", processes: {len(fleet.devices)}" if fleet else ""
        how += f", trials that train together: up to {max(expected.groups.values())}" if expected.groups else ""
        if (options.group or 1) > 1 and not expected.groups:
            console.print("--group has no effect: none of these trials can train together here", style="yellow")
        console.print(
            f"expected time: {_duration(expected.seconds)} (measured just now on this machine{how})", markup=False
        )
        if expected.one_thread > BUSY:
            text = (
                f"one thread is {expected.one_thread:.1f} times as fast here as {torch.get_num_threads()}, as on a "
                "machine that is busy with other work: stop that, or run with OMP_NUM_THREADS=1"
            )
            console.print(text, style="yellow", soft_wrap=True)
        if fleet is None and context.device.type == "cpu" and len(todo) > 1 and cores() > 1:
            console.print("--executor processes trains several trials at a time, a thread each: less time in all")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
