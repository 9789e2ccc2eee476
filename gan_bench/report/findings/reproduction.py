"""Values of articles and papers beside measured ones, and protocols with the provenance of every value."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd
import yaml

from gan_bench.config.recipes import RECIPES, Fact, Recipe
from gan_bench.config.trial import LATER_DEFAULTS
from gan_bench.core.errors import UserError
from gan_bench.core.text import some_of
from gan_bench.records.record import Protocol
from gan_bench.report.study.frame import STATISTIC_TITLES, Frames
from gan_bench.report.study.stats import Interval, prediction_interval
from gan_bench.report.study.study import Study
from gan_bench.report.study.table import Column, Table, arrow, name_table

COLUMNS = [
    Column("article", "article"),
    Column("recipe", "recipe"),
    Column("epoch", "epoch", "count"),
    Column("quantity", "quantity"),
    Column("reported", "reported", "number"),
    Column("measured", "measured", "number"),
    Column("least", "least", "number"),
    Column("most", "most", "number"),
    Column("seeds", "seeds", "count"),
    Column("low", "one more seed: from", "number"),
    Column("high", "to", "number"),
    Column("verdict", "reported value"),
]
NOTE = (
    "Values of the last batch of the epoch, as the articles print them: mean, least and greatest over seeds. "
    "Inside: where one more seed like these would lie (95 % prediction interval of a normal distribution, cut at 0 and "
    "1 for probabilities). It is given from five seeds on: that of three is wide enough for anything."
)
MARKS = "In brackets where a value comes from: the article's text (stated), its code, its lineage, or our choice."
HERE = 'After "here": what trials of this suite and profile have instead.'
MOST_VALUES = 4
"""Values of a field that are named one by one."""
JUDGED = 5
"""Seeds from which a reported value is judged. Three seeds' interval for a loss of A0 ran from -11 to 19."""
PROBABILITIES = ("d_real", "d_fake")


def article_tables(frames: Frames) -> Iterator[Table]:
    """Make tables of the articles' values beside measured ones, by suite and profile."""
    for (suite, profile), trials in frames.trials.groupby(["suite", "profile"], sort=True):
        names = (str(suite), str(profile))
        rows = list(reproduction_rows(trials, frames.history))
        if rows:
            yield name_table(names, "reproduction", "reproduction", COLUMNS, pd.DataFrame(rows), NOTE)
        columns, frame = protocol_table(trials)
        if len(columns) > 1:  # otherwise no trial has a known recipe
            differs = frame.map(lambda text: _HERE in str(text)).to_numpy().any()
            title = f"what the articles used{', and what was trained here instead' if differs else ''}"
            note = f"{MARKS} {HERE}" if differs else MARKS
            yield name_table(names, "protocol", title, columns, frame, note)


def reproduction_rows(trials: pd.DataFrame, history: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Compare every article's own setting with the values it reports.

    Args:
        trials: One row per trial, as ``build_frames`` makes them.
        history: One row per trial and epoch with the last batch's four values.

    Yields:
        A row for every reported number whose epoch was reached; for an article that reports none, one for each
        quantity at its last epoch.
    """
    for name, recipe in _recipes_of(trials).items():
        own = _own(trials, recipe)
        lines = history[history["trial"].isin(own["trial"])]
        probable = set(own[own["probabilities"]]["trial"])
        if lines.empty:
            continue
        reported = {r.epoch: r for r in recipe.reported}
        for epoch in sorted(reported) or [int(lines["epoch"].max())]:
            at = lines[lines["epoch"] == epoch]
            if at.empty:
                continue
            for quantity in ("loss_g", "loss_d", *PROBABILITIES):
                value = getattr(reported[epoch], quantity) if epoch in reported else None
                values = at[quantity].dropna().astype(float)
                expected = prediction_interval(values) if len(values) >= JUDGED else None
                if expected and quantity in PROBABILITIES and at["trial"].isin(probable).all():
                    expected = expected.within(0.0, 1.0)
                yield {
                    "article": recipe.article.key,
                    "recipe": name,
                    "epoch": epoch,
                    "quantity": STATISTIC_TITLES[quantity],
                    "reported": value,
                    "measured": values.mean() if len(values) else None,
                    "least": values.min() if len(values) > 1 else None,
                    "most": values.max() if len(values) > 1 else None,
                    "low": expected.low if expected else None,
                    "high": expected.high if expected else None,
                    "seeds": len(values),
                    "verdict": _verdict(value, expected, len(values)),
                }


def own_trials(trials: pd.DataFrame) -> Iterator[str]:
    """Yield the trials whose histories are compared with articles."""
    for _, mine in trials.groupby(["suite", "profile"], sort=True):
        for recipe in _recipes_of(mine).values():
            yield from _own(mine, recipe)["trial"]


def _own(trials: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Return the trials of an article's own setting, the longest of each seed."""
    exact = pd.Series([_follows(config, recipe) for config in trials["config"]], index=trials.index)
    return trials[exact].sort_values("epochs_done", kind="stable").drop_duplicates("seed", keep="last")


def _recipes_of(trials: pd.DataFrame) -> dict[str, Recipe]:
    """Return the recipes of trials, in the order of registration; unavailable ones are left out."""
    found, used = {}, set(trials["recipe"])
    for name in (name for name in RECIPES if name in used):
        with contextlib.suppress(UserError):  # a package that is broken now
            found[name] = RECIPES[name]
    return found


def _follows(config: dict[str, object], recipe: Recipe) -> bool:
    """True if a trial is the article's protocol in every value.

    The number of epochs apart: nothing in the update depends on it, so a shorter run is the exact beginning of the
    article's.
    """
    article = _as_read({**_ADDED, **recipe.values(), "recipe": recipe.name})
    return all(config[name] == value for name, value in article.items() if name != "epochs")


def _verdict(reported: float | None, expected: Interval | None, seeds: int) -> str:
    if reported is None:
        return "the article reports none"
    if expected is None or expected.low is None or expected.high is None:
        words = {1: "one seed", 2: "two seeds", 3: "three seeds", 4: "four seeds"}
        return f"{words.get(seeds, 'no seed')} cannot say"
    return "inside" if expected.low <= reported <= expected.high else "outside"


def protocol_table(trials: pd.DataFrame) -> tuple[list[Column], pd.DataFrame]:
    """Lay the protocols of recipes side by side: each value with its provenance, and the trials' own values.

    Returns:
        Columns and rows; one row per field, one column per recipe that the trials use.
    """
    recipes = _recipes_of(trials)
    facts = {name: recipe.facts() for name, recipe in recipes.items()}
    rows: list[dict[str, object]] = [
        {"field": "article", **{name: f"{r.article.key}: {r.article.title}" for name, r in recipes.items()}}
    ]
    configs = {name: [config for config in trials["config"] if config["recipe"] == name] for name in recipes}
    later = [field for field in _ADDED if any(c[field] != _ADDED[field] for of in configs.values() for c in of)]
    rows += [
        {
            "field": field,
            **{name: _cell(known.get(field), field, configs[name]) for name, known in facts.items()},
        }
        for field in dict.fromkeys([*(field for known in facts.values() for field in known), *later])
    ]
    return [Column("field", "field"), *[Column(name, name) for name in recipes]], pd.DataFrame(rows)


_ADDED: Mapping[str, object] = {**LATER_DEFAULTS, "train_limit": None}
"""Values of articles that their recipes leave out."""
_HERE = "; here: "


def _cell(fact: Fact[Any] | None, field: str, configs: Sequence[Mapping[str, object]]) -> str:
    """Return the article's value of a field with its provenance, and the trials' own if they differ."""
    value = _ADDED[field] if fact is None else fact.value
    text = _as_fact(value) if fact is None else f"{value} ({fact.provenance})"
    values = list({json.dumps(config[field]): config[field] for config in configs}.values())
    if all(each == _as_read(value) for each in values):
        return text
    numbers = sorted(each for each in values if isinstance(each, (int, float)))
    is_numeric = len(numbers) == len(values)
    if is_numeric and len(values) > MOST_VALUES:
        return f"{text}{_HERE}{len(values)} values from {numbers[0]} to {numbers[-1]}"
    shown = some_of([*map(_as_fact, numbers if is_numeric else values)], MOST_VALUES, " or ")
    return f"{text}{_HERE}{shown}"


def _as_fact(value: object) -> str:
    """Write a value like a fact; None stands for all images."""
    return "all" if value is None else str(tuple(value) if isinstance(value, list) else value)


def _as_read(value: Any) -> Any:  # noqa: ANN401 - any value of a config
    """Return a value as in a config read from JSON."""
    return json.loads(json.dumps(value))


_PUBLISHED_COLUMNS = [
    Column("model", "published model"),
    Column("metric", "score"),
    Column("value", "value", "number"),
    Column("std", "±", "number"),
    Column("protocol", "protocol"),
    Column("citation", "source"),
    Column("comparable", "with our scores"),
]


@cache
def references() -> list[dict[str, Any]]:
    """Return the published values that come with gan_bench."""
    text = (resources.files("gan_bench.report.findings") / "references.yaml").read_text(encoding="utf-8")
    content: list[dict[str, object]] = yaml.safe_load(text)
    return content


NATIVE_SIZE = {"mnist": 28, "cifar10": 32}
"""Height and width of the images that published scores are about."""


def published_table(study: Study) -> Iterator[Table]:
    """Make a table of published values beside a study's, if there are any for its dataset."""
    rows = published_rows(study.dataset, study.image_size, [each.protocol for each in study.scored], study.profile)
    if rows:
        yield study.table("published", "published values", _PUBLISHED_COLUMNS, pd.DataFrame(rows))


def published_rows(
    dataset: str, image_size: int, protocols: Sequence[Protocol], profile: str
) -> list[dict[str, object]]:
    """Return rows of the published values of a dataset beside protocols.

    Args:
        dataset: Name of the dataset.
        image_size: Height and width our images are prepared to.
        protocols: Our protocols, such as ``lenet-mnist-v1,train,10000``.
        profile: Profile of our trials; quick ones are comparable with nothing published.
    """
    return [
        {
            "model": entry["model"],
            "metric": arrow(entry["metric"]),
            "value": entry["value"],
            "std": entry.get("std"),
            "protocol": Protocol.of(entry["extractor"], entry["split"], entry["generated"]),
            "citation": entry["citation"],
            "comparable": _comparable(entry, protocols, profile, image_size),
        }
        for entry in references()
        if entry["dataset"] == dataset
    ]


def _comparable(entry: Mapping[str, Any], ours: Sequence[Protocol], profile: str, image_size: int) -> str:
    if profile != "full":
        return "not comparable: ours are of the quick profile"
    native = NATIVE_SIZE[entry["dataset"]]
    resized = [] if image_size == native else [f"images of {image_size}x{image_size}, not {native}x{native}"]
    differences = []
    for protocol in ours:
        mine = {"extractor": protocol.extractor, "split": protocol.reference, "generated": protocol.generated}
        others = [f"{what} {value}, not {entry[what]}" for what, value in mine.items() if value != entry[what]]
        differences.append(resized + others)
    if not differences:
        return "not comparable: no scores"
    fewest = min(differences, key=len)
    return f"not comparable: ours have {' and '.join(fewest)}" if fewest else "comparable"
