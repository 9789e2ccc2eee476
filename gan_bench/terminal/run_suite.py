"""``run`` as people see it: look after look, it is announced, shown as it goes, and concluded."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from gan_bench.bench import Outcome, Preparation, carry_out, cluster_of, prepare
from gan_bench.core.errors import UserError
from gan_bench.core.preparing import progress_listener
from gan_bench.core.text import duration
from gan_bench.execution.cluster.connection import Cluster
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.record import Status
from gan_bench.report.build import Report, build_report
from gan_bench.run_options import RunOptions
from gan_bench.terminal.announcement import announce_plan, announce_work, list_trials
from gan_bench.terminal.conclusion import conclude, recorded_status
from gan_bench.terminal.console import (
    CLUSTER_GRACE_SECONDS,
    CONNECTING_GRACE_SECONDS,
    GRACE_SECONDS,
    LAST_WORDS,
    PlainConsole,
    PreparationLines,
    StopRequest,
)
from gan_bench.terminal.display import ProgressDisplay, short_names
from gan_bench.terminal.until import look_by_look

PATIENCE = 2.0
"""Seconds between two looks at trials that other processes train."""


def run_suite(
    options: RunOptions,
    console: PlainConsole,
    *,
    all_tables: bool = False,
    signals: bool = True,
    looked_at: Path | None = None,
) -> int:
    """Run a suite and say what becomes of it.

    Args:
        options: What is asked for.
        console: Where it is said.
        all_tables: Whether every table is printed, or the ranking alone.
        signals: Whether Ctrl-C and SIGTERM end it with a checkpoint of every trial under way. Without, no handler is
            installed, and a trial under way continues from its last checkpoint.
        looked_at: A folder of images whose contents were said before.

    Returns:
        0 when no trial failed or diverged, 1 when one did or cannot be read, 130 when interrupted. Trials that others
        were training count for nothing.

    Raises:
        UserError: Something asked for cannot be.
    """
    on_cluster = options.executor == "ray"  # a signal may end parts of it too, so it is heard from first to last
    stop = StopRequest(console, CONNECTING_GRACE_SECONDS if on_cluster else GRACE_SECONDS, hears=signals)
    by_looks = options.until == "decided"
    with stop.listening() if on_cluster else nullcontext():
        try:
            with (
                progress_listener(PreparationLines(console)),
                cluster_of(options) as cluster,
                stop.listening() if by_looks else nullcontext(),  # also between looks
            ):
                train = partial(_train, options, stop, console, cluster, looked_at=looked_at)
                last = look_by_look(options, stop, console, train) if by_looks else train()[1]
            return 0 if last is None else conclude(*last, options, console, stop, all_tables=all_tables)
        except UserError as error:
            if not (on_cluster and stop.asked):
                raise
            console.say(f"interrupted: {error}", style="yellow")
            return 130


_Part = tuple[Preparation, Outcome, Report | None]


def _train(
    options: RunOptions,
    stop: StopRequest,
    console: PlainConsole,
    cluster: Cluster | None,
    targets: Mapping[str, int] | None = None,
    text: str | None = None,
    looked_at: Path | None = None,
) -> tuple[Preparation, _Part | None, bool]:
    """Plan and train what is asked for, or of a run until all is decided what a look takes.

    Raises:
        UserError: The suite's text is not the one that was begun with any more.

    Returns:
        What was planned, what came of it, None for a dry run and where the budget is less than the estimate, and
        whether another look may follow.
    """
    if targets and options.retry_failed:  # they were, at the first look
        options = replace(options, retry_failed=False)
    while True:
        planned = partial(announce_plan, asked=options.plan, console=console)
        prepared = prepare(options, stop, planned, cluster, targets)
        if text not in (None, prepared.plan.text):
            raise UserError(
                f"the suite {options.suite} was changed since this run began, and may ask other questions now; undo "
                "that, or run the same command for what it says now"
            )
        text = prepared.plan.text
        announce_work(prepared, options, console, looked_at)
        if options.dry_run:
            list_trials(prepared, console)
            return prepared, None, False
        expected = prepared.estimate.seconds if prepared.estimate and prepared.state.todo else None
        if stop.deadline is not None and expected is not None and time.monotonic() + expected > stop.deadline:
            console.say(
                f"the budget of {duration(options.seconds or 0)} does not suffice for it: nothing more is trained",
                style="yellow",
            )
            return prepared, None, False
        if cluster:
            stop.grace = CLUSTER_GRACE_SECONDS  # from here on something can be lost
        outcome, report = _carry_out(prepared, options, stop, console)
        if not (options.join and options.until == "decided") or not _wait_for_others(prepared, options, stop):
            return prepared, (prepared, outcome, report), not outcome.results.enough()


def _wait_for_others(prepared: Preparation, options: RunOptions, stop: StopRequest) -> bool:
    """Wait until all trials of a look have ended, wherever they run; True if some are left to this process."""
    while not stop():
        places = (
            RecordDirectory.of(options.folder, t) for t in prepared.plan.trials if t.id not in prepared.state.blocked
        )
        left = [place for place in places if recorded_status(place) in (None, Status.INTERRUPTED)]
        if not left:
            return False
        if any(trial_lock(place).holder() is None for place in left):
            return True
        time.sleep(PATIENCE)
    return False


def _carry_out(
    prepared: Preparation, options: RunOptions, stop: StopRequest, console: PlainConsole
) -> tuple[Outcome, Report | None]:
    """Run what is left of a plan, shown as it goes, and make the report."""
    assert prepared.estimate is not None  # noqa: S101 - only a dry run has none
    reports, faults = list[Report](), list[str]()
    stop.last_words = LAST_WORDS
    several = bool(prepared.estimate.largest_group > 1 or prepared.place.cluster) or len(prepared.place.sites) > 1

    def report() -> None:
        if not stop.asked and not options.join:  # a user who interrupts wants to leave
            try:
                reports.append(build_report(options.folder))
            except UserError as error:  # the trials have ended all the same
                faults.append(str(error))
        if options.tracking_uri is not None:
            stop.last_words = "ending without waiting for MLflow"

    with (
        stop.listening(),
        ProgressDisplay(
            console,
            len(prepared.state.todo),
            several=several,
            estimate=prepared.estimate,
            names=short_names(prepared.plan.trials),
        ) as display,
    ):
        outcome = carry_out(prepared, options, display, report, lambda: stop.asked)
    for fault in faults:
        again = shlex.join(["gan-bench", "report", str(options.folder)])
        console.say(f"no report: {fault}; `{again}` makes it from the records", style="red")
    return outcome, reports[0] if reports else None
