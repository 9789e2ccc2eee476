"""The command that trains a study's own trials, in parts that proposals change."""

from __future__ import annotations

import os
from collections.abc import Iterable

from gan_bench.config.naming import means
from gan_bench.core.text import matches
from gan_bench.records.command import Command
from gan_bench.report.study.study import Study


def last_command(study: Study) -> Command:
    """Return what the suite of a study was last run with, of whichever part of it; no words where no plan says so."""
    return Command.parse(study.command or "")


def planned_command(study: Study) -> Command | None:
    """Return the command that trains a study's own trials.

    A suite's plan keeps the last command alone, of whichever part of it; what it chose and changed need not be what
    this study was made with. Its other words are kept: the suite's file, the results folder, where trials run.

    Returns:
        The command, without seeds; None where the plan does not keep one, or a program registered what they are of.
    """
    last, trials = last_command(study), study.of_command
    configs, names = list(trials["config"]), list(trials["name"])
    command = last.training(configs, study.suite, study.profile) if study.command and not study.of_program else None
    if command is None:
        return None
    only = last.value("--only")
    if only and all(means(name, config, only) for name, config in zip(names, configs, strict=True)):
        return command.having("--only", only)
    pattern = _pattern(names, study.others["name"]) if len(study.others) else None
    return command.having("--only", pattern) if pattern else command


def whole_command(study: Study) -> Command | None:
    """Return the command that trains all of these trials, or None where none does, as for parts that a program has.

    It names their seeds where some were chosen or are of later looks: the suite alone may have fewer.
    """
    command, design = planned_command(study), study.design
    seeds = sorted({int(seed) for seed in study.asked_for["seed"]})
    if command is None or not seeds:
        return command
    are_of_suite = set(seeds) <= set(design.first(design.looks[0])) and not last_command(study).value("--seeds")
    if (are_of_suite or command.value("--until")) and not design.extended:
        is_beyond = len(seeds) > int(command.value("--max-seeds") or len(seeds))
        return command.without("--max-seeds") if is_beyond else command
    return command.of_seeds(",".join(map(str, seeds)))


def _pattern(names: list[str], others: Iterable[str]) -> str | None:
    """Return a glob that matches these names and none of the others, or None."""
    prefix = os.path.commonprefix(names)  # noqa: RUF071 - names, no paths
    prefix = prefix.partition(",")[0].rstrip("-")
    is_theirs = not prefix or any(matches(other, f"{prefix}*") for other in others)
    return None if is_theirs else f"{prefix}*"
