"""``run`` in the terminal: announcement, progress, conclusion; with ``--until decided``, look after look."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from gan_bench.bench import Outcome, Preparation, carry_out, cluster_of, prepare
from gan_bench.config.trial import setting_key
from gan_bench.core.errors import UserError
from gan_bench.core.preparing import progress_listener
from gan_bench.core.text import as_argument, duration, plural
from gan_bench.execution.cluster.connection import Cluster
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.record import Status
from gan_bench.report.build import Report, build_report
from gan_bench.report.findings.proposals import Question, counted, questions
from gan_bench.report.study.frame import ENDED
from gan_bench.report.study.studies import read_studies
from gan_bench.report.study.study import Study
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

PATIENCE = 2.0
"""Seconds between two checks of trials that other processes train."""


def run_suite(
    options: RunOptions,
    console: PlainConsole,
    *,
    all_tables: bool = False,
    signals: bool = True,
    looked_at: Path | None = None,
) -> int:
    """Run a suite with terminal output.

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
    # a signal may also end parts of the cluster, so signals are handled throughout
    on_cluster = options.executor == "ray"
    stop = StopRequest(console, CONNECTING_GRACE_SECONDS if on_cluster else GRACE_SECONDS, hears=signals)
    by_looks = options.until == "decided"
    with stop.listening() if on_cluster else nullcontext():
        try:
            with (
                progress_listener(PreparationLines(console)),
                cluster_of(options) as cluster,
                stop.listening() if by_looks else nullcontext(),  # signals are handled between looks, too
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
    """Plan and train the requested trials, or those of one look of a run until all is decided.

    Raises:
        UserError: The suite's text is not the one that was begun with any more.

    Returns:
        What was planned, what came of it, None for a dry run and where the budget is less than the estimate, and
        whether another look may follow.
    """
    if targets and options.retry_failed:  # the first look has retried them
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
            stop.grace = CLUSTER_GRACE_SECONDS  # from here on, work can be lost
        outcome, report = _carry_out(prepared, options, stop, console)
        if not (options.join and options.until == "decided") or not _wait_for_others(prepared, options, stop):
            return prepared, (prepared, outcome, report), not outcome.results.enough()


def _wait_for_others(prepared: Preparation, options: RunOptions, stop: StopRequest) -> bool:
    """Wait until all trials of a look have ended in any process; True if some are left to this one."""
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
    """Run the remaining trials of a plan with progress, and make the report."""
    assert prepared.estimate is not None  # noqa: S101 - only a dry run has none
    reports, faults = list[Report](), list[str]()
    stop.last_words = LAST_WORDS
    several = bool(prepared.estimate.largest_group > 1 or prepared.place.cluster) or len(prepared.place.sites) > 1

    def report() -> None:
        if not stop.asked and not options.join:  # a user who interrupts wants to leave
            try:
                reports.append(build_report(options.folder))
            except UserError as error:  # a report that fails does not undo the trials
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
        again = shlex.join(["gan-bench", "report", as_argument(options.folder)])
        console.say(f"no report: {fault}; `{again}` makes it from the records", style="red")
    return outcome, reports[0] if reports else None


NAMED = 5
"""Most open questions that are named; the report has all."""

Part = TypeVar("Part")


def look_by_look(
    options: RunOptions,
    stop: StopRequest,
    console: PlainConsole,
    train: Callable[[Mapping[str, int], str | None], tuple[Preparation, Part | None, bool]],
) -> Part | None:
    """Train one look after another until no question is open.

    Everything follows from the records: a run that was stopped finds the same questions, and goes on at the same look.

    Args:
        options: What is asked for.
        stop: Whether it should stop.
        console: Where it is said how far it is.
        train: Trains settings up to the looks that they are to reach, by ``setting_key``, of the suite whose text it
            gets where that is known; returns what was planned, what came of it, None where the budget does not
            suffice, and whether to go on.

    Returns:
        What the last training came to, or None where the budget did not suffice for any.
    """
    targets, last, text = dict[str, int](), None, None
    stop.deadline = None if options.seconds is None else time.monotonic() + options.seconds
    while True:
        prepared, made, goes_on = train(targets, text)
        text = prepared.plan.text
        if options.dry_run:
            _say_what_may_follow(prepared, options, console)
        if made is None:
            return last
        last = made
        if stop() or not goes_on:
            return last
        first = prepared.plan.design.looks[0]
        studies = _studies(options, prepared)
        planned = _planned(prepared)
        found = [
            replace(question, text=f"{study.dataset}: {question.text}") if len(studies) > 1 else question
            for study in studies
            for question in questions(study)
        ]
        asked = [question for question in found if question.settings <= planned]
        most = _most_seeds(options, prepared)
        going_on = [each for each in asked if each.next is not None and each.next <= most]
        wanted = dict(targets)
        for question in going_on:
            for setting in question.settings:
                wanted[setting] = max(wanted.get(setting, first), question.next or 0)
        if asked:
            _say_how_far(asked, going_on, studies, prepared, most, console)
        else:
            console.say("nothing to compare: this run has no two settings with a score")
        if wanted == targets:
            return last
        targets = wanted


def _most_seeds(options: RunOptions, prepared: Preparation) -> int:
    """Return the most seeds of a setting: those of the last allowed look."""
    looks = prepared.plan.design.looks
    return max(look for look in looks if options.max_seeds is None or look <= options.max_seeds)


def _say_what_may_follow(prepared: Preparation, options: RunOptions, console: PlainConsole) -> None:
    """Print that a plan is the first look's, and the most that all looks may cost."""
    design, trials = prepared.plan.design, prepared.plan.trials
    first, most = design.looks[0], _most_seeds(options, prepared)
    if most <= first:
        console.say(f"this is all: the look at {first} seeds is the last")
        return
    count = len(_planned(prepared)) * (most - first)
    seconds = prepared.estimate.seconds if prepared.estimate and len(prepared.state.todo) == len(trials) else None
    time_ = f", about {duration(seconds * count / len(trials))}" if seconds else ""
    console.say(
        f"these are the trials of the look at {first} seeds; later looks add seeds to settings in an open question "
        f"alone, up to {most}: at most {plural(count, 'more trial')}{time_}"
    )


def _studies(options: RunOptions, prepared: Preparation) -> list[Study]:
    """Read the studies of a plan's trials."""
    profiles = {str(trial.config.profile) for trial in prepared.plan.trials}
    found = read_studies(options.folder / prepared.plan.suite)[1]
    return [study for study in found if study.profile in profiles and not study.outdated]


def _planned(prepared: Preparation) -> set[str]:
    return {setting_key(trial.config.to_json()) for trial in prepared.plan.trials}


def _say_how_far(
    asked: list[Question],
    going_on: list[Question],
    studies: list[Study],
    prepared: Preparation,
    most: int,
    console: PlainConsole,
) -> None:
    """Print decided and open questions, and the most that the rest costs."""
    settled = all(each.state not in ("undecided", "not judged") or each.next is not None for each in asked)
    left = f"{len(going_on) or 'none'} open"
    if not (going_on or settled):
        left += ", as no look is left that is likely to decide more"
    console.say(f"{plural(len(asked), 'question')}: {counted(asked)}; {left}")
    for question in going_on[:NAMED]:
        console.say(f"  open: {question.text} (next look at {question.next} seeds)")
    if len(going_on) > NAMED:
        console.say(f"  and {len(going_on) - NAMED} more")
    later = [each for each in asked if each.next is not None and each not in going_on]
    if later:
        seeds = min(each.next for each in later if each.next is not None)
        are = "question is" if len(later) == 1 else "questions are"
        console.say(f"{len(later)} {are} still open; the next look, at {seeds} seeds, was not asked for")
    if going_on:
        settings = frozenset[str]().union(*(each.settings for each in going_on))
        trials, seconds = _rest(studies, settings, most)
        jobs = prepared.place.jobs(trials)
        console.say(f"the rest takes at most {plural(trials, 'trial')}, about {duration(seconds / jobs)}")


def _rest(studies: list[Study], settings: frozenset[str], most: int) -> tuple[int, float]:
    """Return the number of remaining trials up to the last look, and their time one after another."""
    count, seconds = 0, 0.0
    for study in studies:
        of = study.trials[study.trials["group"].isin(settings)]
        each = of[["train_seconds", "evaluate_seconds"]].dropna().sum(axis=1)
        for group, members in of.groupby("group"):
            left = max(0, most - members["seed"][members["status"].isin(ENDED)].nunique())
            mean = each[of["group"] == group].median()
            count += left
            seconds += left * float(mean if mean == mean else each.mean())  # noqa: PLR0124 - NaN where none has ended
    return count, seconds
