"""One factor at a time: its levels over equal seeds and otherwise equal settings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pandas as pd

from gan_bench.report.frame import group_key
from gan_bench.report.stats import Interval, paired_difference
from gan_bench.report.table import Column, arrow, put
from gan_bench.scores import MEASURES

FACTORS = {"learning rate": ("lr_g", "lr_d"), "betas": ("betas_g", "betas_d")}
"""Factors by name, with the config fields whose common value is the level."""

COLUMNS = [
    Column("recipe", "recipe"),
    Column("metric", "score"),
    Column("first_level", "A"),
    Column("second_level", "B"),
    Column("first", "mean at A", "number"),
    Column("second", "mean at B", "number"),
    Column("difference", "B - A", "interval"),
    Column("pairs", "pairs", "count"),
    Column("lost", "lost", "count"),
    Column("seeds", "seeds", "count"),
    Column("verdict", "better"),
]


def factor_rows(
    trials: pd.DataFrame, fields: tuple[str, str], scores: pd.DataFrame, metrics: list[str]
) -> Iterator[dict[str, Any]]:
    """Compare every two levels of a factor, recipe by recipe.

    Differences are averaged within a seed before they meet the interval: seeds are what is resampled, settings
    are not.

    Args:
        trials: One row per trial, as ``build_frames`` makes them.
        fields: Config fields of the generator and the discriminator.
        scores: Final scores, indexed by trial, one column per metric.
        metrics: Metrics to compare.
    """
    for recipe, members in trials.groupby("recipe", sort=True):
        frame = pd.DataFrame(
            {
                "seed": members["seed"],
                "rest": [group_key(config, fields) for config in members["config"]],
                "level": [_level(config, fields) for config in members["config"]],
                **{metric: members["trial"].map(scores[metric]) for metric in metrics},
            }
        ).dropna(subset=["level"])
        for first, second in combinations(sorted(frame["level"].unique()), 2):
            sides = [frame[frame["level"] == level] for level in (first, second)]
            pairs = sides[0].merge(sides[1], on=["seed", "rest"], suffixes=("_a", "_b"))
            for metric in metrics:
                yield from _compare(str(recipe), first, second, pairs, metric)


def _compare(recipe: str, first: str, second: str, pairs: pd.DataFrame, metric: str) -> Iterator[dict[str, Any]]:
    a, b = f"{metric}_a", f"{metric}_b"
    known = pairs.dropna(subset=[a, b])
    if known.empty:
        return
    by_seed = known.groupby("seed")[[a, b]].mean()
    interval = paired_difference(by_seed[a], by_seed[b])
    row: dict[str, Any] = {
        "recipe": recipe,
        "metric": arrow(metric),
        "first_level": first,
        "second_level": second,
        "first": by_seed[a].mean(),
        "second": by_seed[b].mean(),
        "pairs": len(known),
        "lost": len(pairs) - len(known),
        "seeds": len(by_seed),
        "verdict": _verdict(interval, first, second, lower=MEASURES[metric].lower_is_better),
    }
    put(row, "difference", interval)
    yield row


def _level(config: dict[str, Any], fields: tuple[str, str]) -> str | None:
    """Name the level of a factor, or None when the two nets differ in it."""
    g, d = (config[name] for name in fields)
    if g != d:
        return None
    return f"({g[0]:g}, {g[1]:g})" if isinstance(g, list) else f"{g:g}"


def _verdict(interval: Interval, first: str, second: str, *, lower: bool) -> str:
    if interval.low is None or interval.high is None:
        return "one seed: undecided"
    if interval.low <= 0 <= interval.high:
        return "undecided"
    return second if (interval.mean < 0) == lower else first
