"""Best of k: the score that a budget of random settings reaches, as the tuning budget decides rankings.

Lucic et al. 2018 ("Are GANs Created Equal?", section 5) compare losses by the best of k random settings; Dodge et al.
2019 ("Show Your Work") give its distribution in closed form. Here it is that of k settings drawn without replacement
from the n that were run, so nothing is resampled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.config.naming import title, value_text
from gan_bench.config.trial import setting_key
from gan_bench.report.findings.standings import standings
from gan_bench.report.study.study import ScoredStudy
from gan_bench.report.study.table import Column, Table

BUDGETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
LOW, HIGH = 0.1, 0.9
"""Quantiles that are shown around the median."""


@dataclass(frozen=True)
class Arm:
    """Random settings with common fixed values.

    Attributes:
        label: Recipe and the values that tell arms apart.
        values: The primary score of every setting, the median over its seeds, infinite where most were lost; sorted.
        seconds: Mean seconds of training for a setting, all seeds together.
    """

    label: str
    values: tuple[float, ...]
    seconds: float


def best_of(values: Sequence[float], k: int, share: float) -> float:
    """Return a quantile of the lowest of k values drawn without replacement.

    Of n sorted values the j-th or a lower one is among k with probability 1 - C(n - j, k) / C(n, k).

    Args:
        values: The n values, at least k; infinity is worse than all others.
        k: Values drawn.
        share: The quantile, in (0, 1].

    Returns:
        The least value that the lowest of k does not exceed with at least this probability.

    >>> best_of([3.0, 1.0, 2.0], 1, 0.5)
    2.0
    >>> best_of([3.0, 1.0, 2.0], 3, 0.1)
    1.0
    """
    ordered, n = sorted(values), len(values)
    for j, value in enumerate(ordered, 1):
        if 1 - math.comb(n - j, k) / math.comb(n, k) >= share - 1e-12:
            return value
    return ordered[-1]


def arms(scored: ScoredStudy) -> list[Arm]:
    """Group randomly drawn settings into arms that share all other values."""
    trials = scored.study.compared
    drawn = trials[trials["drawn"].map(len) > 0]
    if drawn.empty:
        return []
    first = drawn.drop_duplicates("group")
    settings = first.assign(
        arm=[setting_key(config, names) for config, names in zip(first["config"], first["drawn"], strict=True)],
        value=first["label"].map({each.label: each.median.estimate for each in standings(scored).rows}),
        seconds=first["group"].map(drawn.groupby("group")["train_seconds"].sum()),
    ).dropna(subset=["value"])
    labels = _labels(
        {
            row["arm"]: {name: value for name, value in row["config"].items() if name not in row["drawn"]}
            for row in settings.drop_duplicates("arm").to_dict("records")
        }
    )
    return [
        Arm(labels[str(arm)], tuple(sorted(members["value"])), sum(members["seconds"]) / len(members))
        for arm, members in settings.groupby("arm", sort=False)
    ]


def _labels(configs: dict[str, dict[str, object]]) -> dict[str, str]:
    """Name arms by their recipe and their differences."""
    ignored = {"recipe", "seed", "evaluation", "log_every"}
    names = sorted({name for config in configs.values() for name in config} - ignored)
    differing = [name for name in names if len({repr(config.get(name)) for config in configs.values()}) > 1]
    return {
        arm: " · ".join(
            [str(config["recipe"]), *(f"{title(n)} {value_text(config.get(n, 'random'))}" for n in differing)]
        )
        for arm, config in configs.items()
    }


def budgets(found: Sequence[Arm]) -> list[int]:
    """Return the budgets that at least one arm has settings for, the largest number of settings included."""
    most = max(len(arm.values) for arm in found)
    return sorted({k for k in BUDGETS if k <= most} | {most})


def tuning_table(scored: ScoredStudy) -> Iterator[Table]:
    """Lay out the best of k random settings, one row per arm; none without such settings."""
    found = arms(scored)
    if not found:
        return
    measure, ks = MEASURES[primary_measure()].title, budgets(found)
    shares = {"": 0.5, "_low": LOW, "_high": HIGH}
    rows = [
        {"arm": arm.label, "settings": len(arm.values), "seconds": arm.seconds}
        | {
            f"k{k}{end}": best_of(arm.values, k, share)
            for k in ks
            if k <= len(arm.values)
            for end, share in shares.items()
        }
        for arm in sorted(found, key=lambda arm: best_of(arm.values, len(arm.values), 0.5))
    ]
    columns = [
        Column("arm", "what is tuned", vital=True),
        Column("settings", "settings", "count"),
        *[Column(f"k{k}", f"best of {k} ↓", "range", vital=True) for k in ks],
        Column("seconds", "train s per setting", "seconds"),
    ]
    note = (
        f"Median (10 % to 90 %) of the lowest {measure} {scored} among k of the random settings, drawn without "
        "replacement; a setting's value is the median over its seeds. The budget decides rankings (Lucic et al. 2018)."
    )
    yield scored.study.table("tuning", "best of k random settings", columns, pd.DataFrame(rows), note, scored.protocol)


def tuning_sentences(scored: ScoredStudy) -> Iterator[str]:
    """Yield which arm leads with one random setting, and with as many as all arms have."""
    found = arms(scored)
    if len(found) < 2:
        return
    most = min(len(arm.values) for arm in found)
    primary = MEASURES[primary_measure()].title
    parts = []
    for k in (1, most):
        value, labels = _leading(found, k)
        score = f" (median best {primary} {value_text(float(f'{value:.4g}'))})"
        leading = f"{' and '.join(labels)}{score}" if math.isfinite(value) else "none, as most seeds were lost"
        parts.append(f"with {k} {leading}")
    yield f"random settings: {'; '.join(parts)}; no test says whether that is more than chance."


def _leading(found: Sequence[Arm], k: int) -> tuple[float, list[str]]:
    """Return the lowest median of the best of k random settings, and the arms that have it."""
    medians = {arm.label: best_of(arm.values, k, 0.5) for arm in found}
    lowest = min(medians.values())
    return lowest, [label for label, median in medians.items() if median == lowest]
