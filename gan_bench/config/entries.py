"""Expands the entries of a suite's trials: fixed, swept and randomly drawn changes."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from gan_bench.config.changes import Changes, RandomValues, Several, both, clash
from gan_bench.config.recipes import RECIPES
from gan_bench.config.suite_file import SuiteFile, TrialEntry
from gan_bench.config.trial import LIMITS
from gan_bench.config.yaml_document import YamlDocument, dotted
from gan_bench.core.errors import SuiteError
from gan_bench.core.text import as_typed

MAX_TRIALS = 100_000


def listed_and_drawn(entry: TrialEntry) -> tuple[dict[str, list[Any]], dict[str, RandomValues]]:
    """Return the lists and the random values under an entry's sweep, in the order of the fields."""
    given: set[str] = entry.sweep.model_fields_set  # type: ignore[attr-defined]
    values = {name: getattr(entry.sweep, name) for name in Changes.model_fields if name in given}
    drawn = {name: each for name, each in values.items() if isinstance(each, RandomValues)}
    return {name: each for name, each in values.items() if name not in drawn}, drawn


def _draws(fields: Mapping[str, RandomValues], where: str) -> list[dict[str, object]]:
    """Return the random values of an entry, one dict per setting; fields are drawn jointly, not multiplied.

    Raises:
        SuiteError: Fields have different counts, or no whole number lies between bounds.
    """
    if len({each.count for each in fields.values()}) > 1:
        counts = ", ".join(f"{name} {each.count}" for name, each in fields.items())
        raise SuiteError(f"{where}: random fields are drawn together, so their counts must be equal, got {counts}")
    try:
        columns = {name: each.values(name, whole=name in LIMITS) for name, each in fields.items()}
    except ValueError as error:
        raise SuiteError(f"{where}.sweep.{error}") from None
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] if columns else [{}]


def changes_of(entry: TrialEntry, where: str) -> Iterator[dict[str, object]]:
    """Yield the field changes of every trial an entry stands for: the product of all lists.

    Raises:
        SuiteError: A field is given twice.
    """
    fixed = entry.set.model_dump(exclude_none=True)
    swept, drawn = listed_and_drawn(entry)
    draws = _draws(drawn, where)
    named = [*fixed, *swept, *draws[0]]
    if said := clash(named):
        raise SuiteError(f"{where}: {said}")
    twice = sorted(set(fixed) & {*swept, *draws[0]})
    if twice:
        raise SuiteError(f"{where}: {twice[0]} stands in set and in sweep; keep one")
    for draw, values in itertools.product(draws, itertools.product(*swept.values())):
        yield both({**fixed, **dict(zip(swept, values, strict=True)), **draw})


def check_count(suite: SuiteFile, seeds: int, document: YamlDocument) -> None:
    """Refuse a suite of too many trials; they are counted without being created."""
    total = 0
    for index, entry in enumerate(suite.trials):
        listed, drawn = listed_and_drawn(entry)
        counts = [max(each.count for each in drawn.values())] if drawn else []
        factors = [n for n in (*map(len, listed.values()), *counts, seeds) if n > 1]
        count = math.prod(factors)
        total += count
        if count > MAX_TRIALS:
            at = document.nearest(("trials", index, "sweep"), key=False)
            product = " \N{MULTIPLICATION SIGN} ".join(f"{n:,}" for n in factors)
            said = f"{product} = {count:,}" if len(factors) > 1 else product
            raise SuiteError(f"{at}: trials[{index}].sweep: {said} trials; at most {MAX_TRIALS:,}; shorten a list")
    if total > MAX_TRIALS:
        at = document.nearest(("trials",), key=True)
        raise SuiteError(f"{at}: trials: {total:,} trials; at most {MAX_TRIALS:,}; split the suite")


def check_datasets(suite: SuiteFile, changes: Mapping[str, object], document: YamlDocument) -> None:
    """Refuse images that no trial of the suite uses: it would silently train on the recipe's own.

    Args:
        suite: The suite, whose recipes are all known.
        changes: Those of the command line, which may name a dataset too.
        document: Its file.

    Raises:
        SuiteError: There are such.
    """
    asked = changes.get("dataset")
    named: list[object] = [*asked] if isinstance(asked, Several) else [asked]
    for entry in suite.trials:
        named += _datasets_of(entry)
    of_recipes = {RECIPES[entry.recipe].values()["dataset"] for entry in suite.trials if not _datasets_of(entry)}
    others = [each for each in named if isinstance(each, str) and each not in suite.datasets]
    said = []
    for name in suite.datasets:
        if name not in named and name not in of_recipes:
            place = ("datasets", name)
            near = difflib.get_close_matches(name, others, 1)
            remedy = (
                f'write {name} in place of "{as_typed(near[0])}"' if near else f"add set: {{dataset: {name}}} to one"
            )
            said.append(
                f"{document.nearest(place, key=True)}: {dotted(place)}: used by no trial; {remedy}, or remove it"
            )
    if said:
        raise SuiteError("\n".join(said))


def _datasets_of(entry: TrialEntry) -> list[object]:
    """Return the datasets that an entry names, with all choices of a random one."""
    swept = getattr(entry.sweep, "dataset", None)
    found = (swept.choice or ()) if isinstance(swept, RandomValues) else (swept or ())
    return [*found, *([entry.set.dataset] if entry.set.dataset else [])]
