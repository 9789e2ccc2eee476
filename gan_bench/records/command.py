"""The last command of a suite in parts: which options choose trials, and which say where they run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gan_bench.config.changes import Several, parse_change
from gan_bench.config.suite import SET_MARK
from gan_bench.core.errors import UserError
from gan_bench.core.text import as_argument, as_typed

_OF_PLAN: Mapping[str, Callable[[Any, str], bool]] = {
    "--epochs": lambda config, value: config["epochs"] <= int(value),
    "--train-limit": lambda config, value: (config["train_limit"] or 0) <= int(value),
    "--samples": lambda config, value: config["evaluation"]["samples"] == int(value),
    "--extractor": lambda config, value: value in config["evaluation"]["extractors"],
    "--precision": lambda config, value: config["precision"] == value,
    "--set": lambda config, value: _is_set(config, value),  # noqa: PLW0108 - defined below
}
"""Options that change trials, with functions that check whether a trial has their value."""
CAPS = ("--epochs", "--train-limit", "--samples")
"""Options that cut a suite's protocol down."""
_CHOOSING = ("--only", "--seeds", "--profile")
"""Options that choose trials, which are replaced by a choice of the study's trials."""
SUITE_ENDINGS = (".yaml", ".yml")
"""Those of suites' files."""
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
        """Split a command before each option; empty if a quote is unclosed, as it is not a gan_bench command."""
        cut: list[list[str]] = [[]]
        try:
            words = shlex.split(text)
        except ValueError:
            words = []
        for word in words:
            if word.startswith("--"):
                cut.append([])
            cut[-1].append(word)
        return cls(tuple(cut[0]), tuple(map(tuple, cut[1:])))

    def __str__(self) -> str:
        """Return the command as text."""
        return shlex.join([*self.words, *(word for option in self.options for word in option)])

    def value(self, name: str) -> str | None:
        """Return the value of an option, or None."""
        return next((each[1] for each in self.options if each[0] == name and len(each) > 1), None)

    def without(self, *names: str) -> Command:
        """Return the command without some options."""
        return replace(self, options=tuple(each for each in self.options if each[0] not in names))

    def having(self, name: str, value: str) -> Command:
        """Return the command with an option set."""
        if any(each[0] == name for each in self.options):
            options = tuple((name, value, *each[2:]) if each[0] == name else each for each in self.options)
            return replace(self, options=options)
        return replace(self, options=(*self.options, (name, value)))

    def of_seeds(self, seeds: str) -> Command:
        """Return the command with these seeds instead of looks."""
        return self.without(*_LOOKING).having("--seeds", seeds)

    def without_places(self) -> Command:
        """Return the command without its results folder, cluster and MLflow options.

        Its suite's file stands for its path. The names of a group's experiments may begin with a person's.
        """
        words = tuple(as_argument(Path(word).name) if word.endswith(SUITE_ENDINGS) else word for word in self.words)
        return replace(self, words=words).without("--results", "--ray-address", "--experiment-prefix", "--no-tracking")

    def at(self, results: Path) -> Command:
        """Return the command for another results folder; ``results`` is the default."""
        return self.without("--results") if results == Path("results") else self.having("--results", str(results))

    def training(self, configs: Iterable[Mapping[str, Any]], suite: str, profile: str) -> Command | None:
        """Return the command that trains all of these trials, without options that do not fit, or None.

        Its other words are kept: the suite's file, the results folder, where trials run.

        Args:
            configs: What the trials are.
            suite: Their suite.
            profile: Their profile.

        Returns:
            The command, without what chooses some of the trials; None where several commands made them.
        """
        found = list(configs)
        command = replace(self, options=tuple(each for each in self.options if _is_of(found, *each)))
        is_cut = profile == "quick" and any(option[0] in CAPS for option in command.options)
        chosen = self.value("--profile") if is_cut else profile  # trials shortened by a cap are marked quick
        command = command.having("--profile", chosen) if chosen else command
        changes = any(option[0] in ("--set", "--precision") for option in command.options)
        return command if changes or not suite.endswith(SET_MARK) else None


def _is_of(configs: list[Mapping[str, object]], name: str, value: str = "", *_: str) -> bool:
    """True if an option does not change trials, or all of these trials have its value."""
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


MAX_SEEDS = 10_000
"""Most seeds of one range."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read ``--seeds``.

    Raises:
        UserError: It is no list of seeds.
    """
    try:
        seeds = tuple(seed for part in text.split(",") for seed in _range(part))
    except ValueError:
        raise UserError(
            f'--seeds takes whole numbers and ranges, such as 0,1,2 or 0-4, not "{as_typed(text)}"'
        ) from None
    if any(not 0 <= seed < 2**31 for seed in seeds):
        raise UserError(f"--seeds must lie between 0 and {2**31 - 1}, got {text}")
    return tuple(dict.fromkeys(seeds))


def _range(part: str) -> range:
    """Read a whole number, or the first and the last of several.

    Raises:
        ValueError: It is neither.
        UserError: They are too many.
    """
    first, dash, last = part.strip().partition("-")
    start = int(first)
    stop = int(last) if dash else start
    if stop < start:
        raise ValueError(part)
    if stop - start >= MAX_SEEDS:
        raise UserError(
            f"--seeds {part.strip()} names {stop - start + 1:,} seeds; {MAX_SEEDS:,} at a time are the most"
        )
    return range(start, stop + 1)
