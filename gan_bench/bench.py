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
from typing import Literal

import torch
from rich.console import Console

from gan_bench.datasets import DATASETS, DataRoot, register_folder
from gan_bench.environment import choose_device, fix_bits
from gan_bench.errors import UserError
from gan_bench.executors import run_inline, unfinished
from gan_bench.mlflow_views import link
from gan_bench.preflight import expected_seconds, preflight, real_anchors
from gan_bench.report.build import build_report, print_report
from gan_bench.store import RecordDirectory, write_anchors, write_plan
from gan_bench.suite import Plan, PlanOptions, find_suite, make_plan
from gan_bench.terminal import Watch
from gan_bench.trial import Status, Trial, TrialRecord
from gan_bench.workplace import Workplace


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What the command line asks for.

    Attributes:
        tracking_uri: MLflow; empty for the SQLite default, None for no tracking.
    """

    suite: str
    results: Path
    data: Path | None
    device: str
    profile: Literal["auto", "full", "quick"]
    plan: PlanOptions
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
    fix_bits()
    device = choose_device(options.device)
    profile = options.profile if options.profile != "auto" else "full" if device.type == "cuda" else "quick"
    plan = make_plan(find_suite(options.suite), replace(options.plan, profile=profile))
    stop = _StopWish(console)
    place = Workplace(data_root(options.data), device, stop)
    for folder in plan.folders:
        register_folder(folder)
    for name in dict.fromkeys(trial.config.dataset for trial in plan.trials):
        DATASETS[name]
    if not options.dry_run:
        _check_writable(options.results)
    preflight(plan.trials, place)
    todo = list(plan.trials) if options.fresh else unfinished(options.results, plan.trials, place)
    _announce(plan, todo, options, place, console)
    if options.dry_run:
        for trial in plan.trials:
            mark = "to run" if trial in todo else "finished"
            console.print(f"  {mark:<9} {trial.name} ({trial.config.epochs} epochs)", markup=False, highlight=False)
        return 0
    if options.fresh:
        for trial in todo:
            RecordDirectory.of(options.results, trial).clear()
    write_plan(options.results, plan.suite, plan.version, plan.trials)
    if todo:
        write_anchors(options.results, plan.suite, plan.version, real_anchors(plan.trials, place))
    records = _run(plan, todo, options, place, stop, console)
    return _conclude(plan, records, options, console, interrupted=stop.asked)


def _run(
    plan: Plan, todo: list[Trial], options: BenchOptions, place: Workplace, stop: _StopWish, console: Console
) -> dict[str, TrialRecord]:
    from gan_bench.tracking import Follower, default_uri

    follower = None
    if options.tracking_uri is not None:
        follower = Follower(options.results / plan.suite, options.tracking_uri or default_uri(options.results))
    try:
        with stop.listening(), Watch(console, len(todo)) as watch:
            records = run_inline(options.results, todo, place, watch)
    finally:
        answer = follower.close() if follower else None
    _say_tracking(answer, options, console)
    return records


def _say_tracking(answer: dict[str, str | None] | None, options: BenchOptions, console: Console) -> None:
    if answer is None:
        return
    if answer["error"]:
        text = f"MLflow is incomplete: {answer['error']}; `gan-bench sync {options.results}` repairs it"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
    if answer["experiment"]:
        where = "" if options.tracking_uri else f" (start it with `gan-bench ui --results {options.results}`)"
        address = link(answer["experiment"], answer["view"])
        console.print(f"MLflow: {address}{where}", markup=False, highlight=False, soft_wrap=True)


def _conclude(
    plan: Plan, records: dict[str, TrialRecord], options: BenchOptions, console: Console, *, interrupted: bool
) -> int:
    report = build_report(options.results, suite=plan.suite)
    print_report(report, console if console.is_terminal else Console(width=400, file=console.file))
    statuses = [RecordDirectory.of(options.results, trial).status() for trial in plan.trials]
    if interrupted:
        done = statuses.count(Status.DONE)
        console.print(
            f"interrupted: {done} of {len(statuses)} trials are done; the same command goes on", style="yellow"
        )
        return 130
    bad = [trial for trial, status in zip(plan.trials, statuses, strict=True) if status is not Status.DONE]
    for trial in bad:
        record = records.get(trial.id)
        text = f"{record.status}: {record.reason}" if record else "ended without being done in an earlier run"
        console.print(f"{trial.name}: {text}", style="red", markup=False, soft_wrap=True)
    return 1 if bad else 0


def _check_writable(results: Path) -> None:
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UserError(
            f"the results folder {results} cannot be written ({error.strerror}); choose another with --results"
        ) from None


def _announce(plan: Plan, todo: list[Trial], options: BenchOptions, place: Workplace, console: Console) -> None:
    quick = sum(trial.config.profile == "quick" for trial in plan.trials)
    if plan.profile == "quick":
        how = "QUICK profile: fewer epochs, pictures and samples (--profile full for the other)"
    elif quick:
        how = f"full profile, but {quick} trials are cut down by the command line and marked as quick"
    else:
        how = "full profile: the suite's whole protocol (--profile quick for a first look)"
    ready = len(plan.trials) - len(todo)
    console.print(
        f"{plan.suite}: {len(plan.trials)} trials, {ready} finished, {len(todo)} to run on {place.device}", markup=False
    )
    console.print(how, style="bold" if quick else None, markup=False)
    if todo:
        seconds = expected_seconds(todo, place)
        threads = f", {torch.get_num_threads()} threads" if place.device.type == "cpu" else ""
        console.print(f"expected time: {_duration(seconds)} (measured just now on this machine{threads})", markup=False)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
