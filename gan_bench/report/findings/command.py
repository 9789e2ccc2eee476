"""The command that trains a study's own trials, in parts that proposals change."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gan_bench.config.changes import Several, parse_change
from gan_bench.config.naming import means
from gan_bench.config.suite import SET_MARK
from gan_bench.core.errors import UserError
from gan_bench.core.text import matches
from gan_bench.report.study.study import Study

_OF_PLAN: Mapping[str, Callable[[Any, str], bool]] = {
    "--epochs": lambda config, value: config["epochs"] <= int(value),
    "--train-limit": lambda config, value: (config["train_limit"] or 0) <= int(value),
    "--samples": lambda config, value: config["evaluation"]["samples"] == int(value),
    "--extractor": lambda config, value: value in config["evaluation"]["extractors"],
    "--precision": lambda config, value: config["precision"] == value,
    "--set": lambda config, value: _is_set(config, value),  # noqa: PLW0108 - defined below
}
"""Options that change trials, with what says whether a trial has their value."""
CAPS = ("--epochs", "--train-limit", "--samples")
"""Options that cut a suite's protocol down."""
SHORTER = ("--epochs", "--train-limit")
"""Those of them that shorten training."""
_CHOOSING = ("--only", "--seeds", "--profile")
"""Options that choose trials: those of the study are chosen by what they are."""
_LOOKING = ("--until", "--max-seeds")
"""Options that a fixed list does not have."""


@dataclass(frozen=True)
class Command:
    """A command in parts.

    Attributes:
        words: The command itself.
        options: Its options in order, each with its value.
    """

    words: tuple[str, ...]
    options: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Command:
        """Cut a command's words before each option."""
        cut: list[list[str]] = [[]]
        for word in shlex.split(text):
            if word.startswith("--"):
                cut.append([])
            cut[-1].append(word)
        return cls(tuple(cut[0]), tuple(map(tuple, cut[1:])))

    def __str__(self) -> str:
        """Return it as it is typed."""
        return shlex.join([*self.words, *(word for option in self.options for word in option)])

    def value(self, name: str) -> str | None:
        """Return the value of an option, or None."""
        return next((each[1] for each in self.options if each[0] == name and len(each) > 1), None)

    def without(self, *names: str) -> Command:
        """Return it without some options."""
        return replace(self, options=tuple(each for each in self.options if each[0] not in names))

    def having(self, name: str, value: str) -> Command:
        """Return it with an option set."""
        if any(each[0] == name for each in self.options):
            options = tuple((name, value, *each[2:]) if each[0] == name else each for each in self.options)
            return replace(self, options=options)
        return replace(self, options=(*self.options, (name, value)))

    def of_seeds(self, seeds: str) -> Command:
        """Return it with these seeds, in the place of looks."""
        return self.without(*_LOOKING).having("--seeds", seeds)


def last_command(study: Study) -> Command:
    """Return what the suite of a study was last run with, of whichever part of it; no words where no plan says so."""
    return Command.parse(study.command or "")


def planned_command(study: Study) -> Command | None:
    """Return the command that trains a study's own trials.

    A suite's plan keeps the last command alone, of whichever part of it; what it chose and changed need not be what
    this study was made with. Its other words are kept: the suite's file, the results folder, where trials run.

    Returns:
        The command, without seeds; None where the plan does not keep one.
    """
    last, trials = last_command(study), study.of_command
    configs, names = list(trials["config"]), list(trials["name"])
    if not study.command:
        return None
    command = replace(last, options=tuple(each for each in last.options if _is_of(configs, *each)))
    is_cut = study.profile == "quick" and any(option[0] in CAPS for option in command.options)
    profile = last.value("--profile") if is_cut else study.profile  # trials that a cap cut are marked quick
    command = command.having("--profile", profile) if profile else command
    only = last.value("--only")
    if only and all(means(name, config, only) for name, config in zip(names, configs, strict=True)):
        command = command.having("--only", only)
    elif len(study.others) and (pattern := _pattern(names, study.others["name"])):
        command = command.having("--only", pattern)
    if study.suite.endswith(SET_MARK) and not any(option[0] in ("--set", "--precision") for option in command.options):
        return None  # it was made by several commands, with other values each
    return command


def whole_command(study: Study) -> Command | None:
    """Return the command that trains all of these trials, or None where none does, as for parts that a program has.

    It has their seeds where the last command chose some, or an earlier one did: the suite alone may have fewer.
    """
    command, seeds = None if study.of_program else planned_command(study), seeds_argument(study)
    were_chosen = study.design.extended or last_command(study).value("--seeds")
    return command.of_seeds(seeds) if command and seeds and were_chosen else command


def seeds_argument(study: Study) -> str:
    """Return all seeds of these trials, as ``--seeds`` takes them."""
    return ",".join(map(str, sorted({int(seed) for seed in study.asked_for["seed"]})))


def _is_of(configs: list[Mapping[str, object]], name: str, value: str = "", *_: str) -> bool:
    """True if an option says nothing of trials, or what all of these trials have."""
    fits = _OF_PLAN.get(name)
    try:
        return name not in _CHOOSING and (fits is None or all(fits(config, value) for config in configs))
    except (ValueError, KeyError, TypeError, UserError):
        return False


def _is_set(config: Mapping[str, object], change: str) -> bool:
    """True if a trial has a value that ``--set NAME=VALUE`` gives; of both networks where it names both."""
    name, given = parse_change(change)
    if isinstance(given, Several):
        return any(_is_set(config, f"{name}={json.dumps(each)}") for each in given)
    names = [name] if name in config else [f"{name}_g", f"{name}_d"]
    return all(config[each] == given for each in names)


def _pattern(names: list[str], others: Iterable[str]) -> str | None:
    """Return a glob that matches these names and none of the others, or None."""
    prefix = os.path.commonprefix(names)  # noqa: RUF071 - names, no paths
    prefix = prefix.partition(",")[0].rstrip("-")
    is_theirs = not prefix or any(matches(other, f"{prefix}*") for other in others)
    return None if is_theirs else f"{prefix}*"


_MOST_SEEDS = 10_000
"""Most seeds of a range that are looked at, as many as ``--seeds`` takes."""


def named_seeds(seeds: str) -> set[int]:
    """Return the seeds that ``--seeds`` names, such as 0-4 or 0,1,7."""
    found = set[int]()
    with contextlib.suppress(ValueError, OverflowError):  # a plan may hold any text
        for first, _, last in (part.partition("-") for part in seeds.split(",")):
            found |= set(range(int(first), min(int(last or first), int(first) + _MOST_SEEDS) + 1))
    return found
