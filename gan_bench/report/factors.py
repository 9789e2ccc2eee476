"""One factor at a time: its levels over equal seeds and otherwise equal settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, pairwise
from typing import Any

import pandas as pd

from gan_bench.config.measures import MEASURES
from gan_bench.report.frame import group_key
from gan_bench.report.stats import (
    Interval,
    differences,
    effect_size,
    holm,
    improvement_probability,
    mean_interval,
    seeds_needed,
    sign_flip_test,
    verdict_of,
)
from gan_bench.report.table import Column, arrow, put

ALPHA = 0.05
MANY_LEVELS = 8
"""Up to this many levels of a factor every two are compared; of more, each with the next."""

FACTORS: Mapping[str, tuple[str, ...]] = {
    "learning rate": ("lr_g", "lr_d"),
    "betas": ("betas_g", "betas_d"),
    "latent size": ("latent_dim",),
    "batch size": ("batch_size",),
    "architecture": ("architecture",),
}
"""Factors by name, with the config fields whose common value is the level."""

COLUMNS = [
    Column("recipe", "recipe", vital=True),
    Column("metric", "score", vital=True),
    Column("first_level", "A", vital=True),
    Column("second_level", "B", vital=True),
    Column("first", "mean at A", "number"),
    Column("second", "mean at B", "number"),
    Column("difference", "B - A", "interval", vital=True),
    Column(
        "verdict",
        "better",
        note="better: decided when p is at most 0.05 and the interval excludes zero; probably when the interval "
        "alone does; a tie when all of it is smaller than the noise of scoring, undecided when the mean is.",
        vital=True,
    ),
    Column("seeds", "seeds", "count"),
    Column("p", "p (Holm)", "p", "p: sign-flip permutation test, corrected over the table."),
    Column(
        "more",
        "additional seeds needed",
        note="additional seeds needed: for a decision with 80 % power, if the difference is as seen.",
    ),
    Column("improvement", "B win rate", "share", "B win rate: share of the seeds, ties counted half."),
    Column("effect", "effect", "number", "effect: mean difference over its spread."),
    Column("pairs", "pairs", "count"),
    Column("lost", "lost", "count", "lost: pairs with a trial that failed, diverged or has not run."),
]
NOTE = (
    "Pairs have equal seeds and otherwise equal settings; differences are averaged within a seed, and the 95 % "
    "interval is over seeds."
)

Sides = tuple[str, str, str, pd.DataFrame]
"""A comparison: recipe, level A, level B, and pairs with a seed, and for each metric columns ``_a`` and ``_b``."""


def factor_rows(
    trials: pd.DataFrame,
    fields: tuple[str, ...],
    scores: pd.DataFrame,
    metrics: list[str],
    noise: Callable[[str], float],
) -> list[dict[str, Any]]:
    """Compare every two levels of a factor, recipe by recipe.

    Differences are averaged within a seed before they meet the interval: seeds are what is resampled, settings
    are not.

    Args:
        trials: One row per trial, as ``build_frames`` makes them.
        fields: Config fields whose common value is the level.
        scores: Final scores, indexed by trial, one column per metric.
        metrics: Metrics to compare.
        noise: The noise of scoring, by metric; smaller differences are ties.
    """
    return _rows(_sides(trials, fields, scores, metrics), metrics, noise)


def epoch_rows(kept: pd.DataFrame, metrics: list[str], noise: Callable[[str], float]) -> list[dict[str, Any]]:
    """Compare every two successive evaluated epochs within the same finished trials, recipe by recipe.

    Args:
        kept: Scores of one protocol: trial, recipe, seed, epoch, metric, value.
        metrics: Metrics to compare.
        noise: As in ``factor_rows``.
    """

    def sides() -> Iterator[Sides]:
        trained = kept[kept["epoch"] > 0]
        looks = trained.groupby("trial")["epoch"].agg(lambda epochs: str(sorted(set(epochs))))
        trained = trained.assign(looks=trained["trial"].map(looks))  # only trials that were looked at alike
        for (recipe, _), members in trained.groupby(["recipe", "looks"], sort=True):
            wide = members.pivot_table(index=["trial", "seed"], columns=["metric", "epoch"], values="value")
            for a, b in pairwise(sorted(int(e) for e in members["epoch"].unique())):
                columns = {
                    f"{metric}_{side}": wide[(metric, epoch)]
                    for metric in metrics
                    for side, epoch in (("a", a), ("b", b))
                    if (metric, epoch) in wide
                }
                pairs = pd.DataFrame(columns).reset_index()
                yield str(recipe), f"epoch {a}", f"epoch {b}", pairs.dropna(how="all", subset=list(columns))

    return _rows(sides(), metrics, noise)


def _sides(trials: pd.DataFrame, fields: tuple[str, ...], scores: pd.DataFrame, metrics: list[str]) -> Iterator[Sides]:
    for recipe, members in trials.groupby("recipe", sort=True):
        frame = pd.DataFrame(
            {
                "seed": members["seed"],
                "rest": [group_key(config, fields) for config in members["config"]],
                "level": [_level(config, fields) for config in members["config"]],
                **{metric: members["trial"].map(scores[metric]) for metric in metrics},
            }
        ).dropna(subset=["level"])
        by_level = {str(level): side for level, side in frame.groupby("level")}
        levels = sorted(by_level, key=_natural)
        for first, second in combinations(levels, 2) if len(levels) <= MANY_LEVELS else pairwise(levels):
            pairs = by_level[first].merge(by_level[second], on=["seed", "rest"], suffixes=("_a", "_b"))
            yield str(recipe), first, second, pairs


def _rows(sides: Iterator[Sides], metrics: list[str], noise: Callable[[str], float]) -> list[dict[str, Any]]:
    rows = [
        row
        for recipe, first, second, pairs in sides
        for metric in metrics
        if (row := _compare(recipe, first, second, pairs, metric)) is not None
    ]
    tested = [row for row in rows if row["seeds"] > 1]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p"] = p
    for row in rows:
        values = row.pop("values")
        row["verdict"] = _verdict(row, noise(row["key"]))
        needed = seeds_needed(values, ALPHA, tests=max(1, len(tested)))
        undecided = row["verdict"] not in ("tie", row["first_level"], row["second_level"])
        row["more"] = _more(needed, len(values)) if undecided and len(values) > 1 else ""
    return rows


def _more(needed: int | None, have: int) -> str:
    return "over 1000" if needed is None else str(max(1, needed - have))


def _compare(recipe: str, first: str, second: str, pairs: pd.DataFrame, metric: str) -> dict[str, Any] | None:
    a, b = f"{metric}_a", f"{metric}_b"
    if a not in pairs or b not in pairs:
        return None
    known = pairs[["seed", a, b]].dropna()
    if known.empty:
        return None
    by_seed = known.groupby("seed").mean() if known["seed"].duplicated().any() else known
    values = differences(by_seed[a], by_seed[b])
    interval = mean_interval(values)
    row: dict[str, Any] = {
        "recipe": recipe,
        "key": metric,
        "metric": arrow(metric),
        "first_level": first,
        "second_level": second,
        "first": by_seed[a].mean(),
        "second": by_seed[b].mean(),
        "effect": effect_size(values),
        "improvement": improvement_probability(values, lower_is_better=MEASURES[metric].lower_is_better)
        if len(values) > 1
        else None,
        "p": sign_flip_test(values) if len(values) > 1 else None,
        "pairs": len(known),
        "lost": len(pairs) - len(known),
        "seeds": len(by_seed),
        "values": values,
    }
    put(row, "difference", interval)
    return row


def _level(config: Mapping[str, Any], fields: tuple[str, ...]) -> str | None:
    """Name the level of a factor, or None when the two nets differ in it."""
    value, *others = (config[name] for name in fields)
    if any(other != value for other in others):
        return None
    if isinstance(value, list):
        return f"({', '.join(f'{v:g}' for v in value)})"
    return value if isinstance(value, str) else f"{value:g}"


def _natural(level: str) -> tuple[float, str]:
    """Sort levels that are numbers by size."""
    try:
        return float(level), level
    except ValueError:
        return 0.0, level


def _verdict(row: Mapping[str, Any], noise: float) -> str:
    interval = Interval(row["difference"], row["difference_low"], row["difference_high"], row["seeds"])
    lower = MEASURES[row["key"]].lower_is_better
    winner: str = row["second_level"] if (interval.mean < 0) == lower else row["first_level"]
    words = {"one seed": "one seed: undecided", "decided": winner, "probable": f"probably {winner}"}
    found = verdict_of(interval, noise, row["p"], ALPHA)
    return words.get(found, found)
