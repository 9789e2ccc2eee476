"""``run --until decided``: look after look, with the next seeds for settings in an open question alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from gan_bench.bench import Preparation
from gan_bench.config.trial import setting_key
from gan_bench.core.text import duration, plural
from gan_bench.report.findings.questions import Question, counted, questions
from gan_bench.report.study.frame import ENDED
from gan_bench.report.study.studies import read_studies
from gan_bench.report.study.study import Study
from gan_bench.run_options import RunOptions
from gan_bench.terminal.console import PlainConsole, StopRequest

NAMED = 5
"""Open questions that are named; the report has them all."""

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
    """Return how many seeds a setting may come to: those of the last look that is allowed."""
    looks = prepared.plan.design.looks
    return max(look for look in looks if options.max_seeds is None or look <= options.max_seeds)


def _say_what_may_follow(prepared: Preparation, options: RunOptions, console: PlainConsole) -> None:
    """Print that a plan is the first look's alone, and what all looks come to if no question is ever decided."""
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
    """Read the studies that a plan's trials are of."""
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
    """Print what is decided, what is open, and what the rest costs at most."""
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
    """Return how many trials are left up to the last look, and how long they take one after another."""
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
