"""One factor at a time: its levels over equal seeds and otherwise equal settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations, pairwise
from typing import Any

import pandas as pd

from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.report.findings.pairs import Paired, paired
from gan_bench.report.study.frame import BAD, group_key
from gan_bench.report.study.settings import SEPARATOR
from gan_bench.report.study.stats import Verdict, effect_size, holm, improvement_probability, seeds_needed, verdict_of
from gan_bench.report.study.table import Column, arrow, put_interval

MANY_LEVELS = 8
"""Up to this many levels of a factor every two are compared; of more, each with the next."""

FACTORS: Mapping[str, tuple[str, ...]] = {
    "learning rate": ("lr_g", "lr_d"),
    "betas": ("betas_g", "betas_d"),
    "latent size": ("latent_dim",),
    "batch size": ("batch_size",),
    "architecture": ("architecture",),
    "loss": ("loss",),
    "optimizer": ("optimizer_g", "optimizer_d"),
    "D steps": ("d_steps",),
    "label smoothing": ("label_smoothing",),
    "weight clip": ("weight_clip",),
    "gradient penalty": ("gradient_penalty",),
    "R1": ("r1_gamma",),
    "spectral norm": ("spectral_norm",),
    "learning rates G and D": ("lr_g", "lr_d"),
}
"""Factors by name, with the config fields whose common value is the level."""
BESIDE: Mapping[tuple[str, ...], tuple[str, ...]] = {("optimizer_g", "optimizer_d"): ("betas_g", "betas_d", "momentum")}
"""Fields that belong to the levels of a factor, and may differ with them."""
AVERAGE_FACTOR = "EMA of G"
"""The factor whose levels are G and its moving average, compared setting by setting."""
HELD = "other values held"
"""Ends the name of a factor whose settings are compared one by one."""
APART = frozenset({"learning rates G and D"})
"""Factors whose levels are the values of G and D, equal or not, where several settings have unequal ones."""

COLUMNS = [
    Column("recipe", "recipe", vital=True),
    Column("metric", "score", vital=True),
    Column("first_level", "A", vital=True),
    Column("second_level", "B", vital=True),
    Column("first", "mean at A", "number"),
    Column("second", "mean at B", "number"),
    Column("ratio", "B / A", "range", "B / A: ratio of geometric means, where ratios are compared.", vital=True),
    Column("difference", "B - A", "interval"),
    Column(
        "verdict",
        "better",
        note="better: decided when the corrected p is at most 0.05, probably when p itself is; a tie when the whole "
        "interval is smaller than the noise of scoring, undecided when the mean is.",
        vital=True,
    ),
    Column("seeds", "seeds", "count"),
    Column("p", "p", "p", "p: Student's paired t test over seeds, at least 2 / 4^seeds."),
    Column("corrected", "p (Holm)", "p", "p (Holm): corrected over the table's rows of the primary score; the other "
           "scores are exploratory and never decided."),
    Column("permutation", "p (permutation)", "p", "p (permutation): sign-flip test, from six seeds on."),
    Column(
        "more",
        "additional seeds needed",
        note="additional seeds needed: for a decision with 80 % power, if the difference is as seen.",
    ),
    Column("improvement", "B win rate", "share", "B win rate: share of the seeds, ties counted half."),
    Column("effect", "effect", "number", "effect: mean difference over its spread."),
    Column("pairs", "pairs", "count"),
    Column("lost", "lost", "count", "lost: pairs with a trial that failed, diverged or has not run."),
]  # fmt: skip
NOTE = (
    "Pairs have equal seeds and otherwise equal settings; differences are averaged within a seed, and the 95 % "
    "interval is over seeds."
)

Sides = tuple[str, str, str, pd.DataFrame]
"""A comparison: recipe, level A, level B, and pairs with a seed and, for each side, columns ``METRIC_a`` and
``METRIC_b`` and whether it was lost, ``bad_a`` and ``bad_b``."""


def factor_rows(
    trials: pd.DataFrame,
    fields: tuple[str, ...],
    scores: pd.DataFrame,
    metrics: list[str],
    noise: Callable[[str], float],
    *,
    apart: bool = False,
    held: bool = False,
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
        apart: Whether the level is all values; recipes in which fewer than two levels are unequal ones give no rows.
        held: Whether settings that differ in other values are compared one by one, not averaged: where betas help at
            one learning rate alone, the average hides it. Their names are what both levels share.
    """
    sides = _sides(trials, fields, scores, metrics, apart=apart)
    return _rows(_one_by_one(sides) if held else sides, metrics, noise)


def _one_by_one(sides: Iterable[Sides]) -> Iterator[Sides]:
    for recipe, first, second, pairs in sides:
        found = [(str(a), str(b), members) for (a, b), members in pairs.groupby(["label_a", "label_b"], sort=True)]
        names = Counter(_shared(a, b) for a, b, _ in found)
        for a, b, members in found:
            name = _shared(a, b)
            yield (name or recipe) if names[name] == 1 else f"{a} against {b}", first, second, members


def _shared(first: str, second: str) -> str:
    """Return the parts that the labels of two settings share."""
    other = second.split(SEPARATOR)
    return SEPARATOR.join(part for part in first.split(SEPARATOR) if part in other)


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
                pairs = pd.DataFrame(columns).reset_index().assign(bad_a=False, bad_b=False)
                yield str(recipe), f"epoch {a}", f"epoch {b}", pairs.dropna(how="all", subset=list(columns))

    return _rows(sides(), metrics, noise)


def average_rows(
    trials: pd.DataFrame,
    scores: pd.DataFrame,
    averages: pd.DataFrame,
    metrics: list[str],
    noise: Callable[[str], float],
) -> list[dict[str, Any]]:
    """Compare G with its moving average within the same trials, setting by setting.

    Args:
        trials: One row per trial, as a study has them.
        scores: Final scores of G, indexed by trial, one column per metric.
        averages: The same of the moving average.
        metrics: Metrics to compare.
        noise: As in ``factor_rows``.
    """

    def sides() -> Iterator[Sides]:
        for label, members in trials[trials["trial"].isin(averages.index)].groupby("label", sort=True):
            columns = {
                f"{metric}_{side}": members["trial"].map(table[metric])
                for metric in metrics
                for side, table in (("a", scores), ("b", averages))
            }
            yield (
                str(label),
                "G",
                "EMA of G",
                pd.DataFrame({"seed": members["seed"], **columns}).assign(bad_a=False, bad_b=False),
            )

    return _rows(sides(), metrics, noise)


def _sides(
    trials: pd.DataFrame, fields: tuple[str, ...], scores: pd.DataFrame, metrics: list[str], *, apart: bool
) -> Iterator[Sides]:
    listed = trials[[not set(fields) & set(drawn) for drawn in trials["drawn"]]]  # random values are no levels
    for recipe, members in listed.groupby("recipe", sort=True):
        if apart and len(_unequal(members["config"], fields)) < 2:
            continue
        one_of_each = members.drop_duplicates("group").set_index("group")["config"]  # seeds have both in common
        without = (*fields, *BESIDE.get(fields, ()))
        rest = {group: group_key(config, without) for group, config in one_of_each.items()}
        level = {group: _level(config, fields, apart=apart) for group, config in one_of_each.items()}
        frame = pd.DataFrame(
            {
                "seed": members["seed"],
                "label": members["label"],
                "rest": [rest[group] for group in members["group"]],
                "level": [level[group] for group in members["group"]],
                "bad": members["status"].isin(BAD),
                **{metric: members["trial"].map(scores[metric]) for metric in metrics},
            }
        ).dropna(subset=["level"])
        by_level = {str(level): side for level, side in frame.groupby("level")}
        levels = sorted(by_level, key=_natural)
        for first, second in combinations(levels, 2) if len(levels) <= MANY_LEVELS else pairwise(levels):
            pairs = by_level[first].merge(by_level[second], on=["seed", "rest"], suffixes=("_a", "_b"))
            yield str(recipe), first, second, pairs


def _rows(sides: Iterator[Sides], metrics: list[str], noise: Callable[[str], float]) -> list[dict[str, Any]]:
    known = list(sides)
    compared = [
        (recipe, first, second, pairs, found)
        for recipe, first, second, pairs in known
        for metric in metrics
        if (found := _paired(pairs, metric)) is not None
    ]
    failed = [row for side in known if (row := _all_failed(*side)) is not None]
    family = [pair for *_, pair in compared if _is_tested(pair)]
    corrected = dict(zip(map(id, family), holm([pair.p for pair in family]), strict=True))
    rows = [
        _row(recipe, first, second, pairs, pair, corrected.get(id(pair)), len(family), noise(pair.metric))
        for recipe, first, second, pairs, pair in compared
    ]
    return [*rows, *failed]


def _is_tested(pair: Paired) -> bool:
    """True if a comparison is of the table's confirmatory family."""
    return pair.metric == primary_measure() and len(pair.values) > 1


def _all_failed(recipe: str, first: str, second: str, pairs: pd.DataFrame) -> dict[str, Any] | None:
    """Make the row of two levels one of which failed in every seed; None for others."""
    failed = [level for level, bad in ((first, pairs["bad_a"]), (second, pairs["bad_b"])) if len(pairs) and bad.all()]
    if not failed:
        return None
    metric = primary_measure()
    row: dict[str, Any] = {
        **dict.fromkeys(("first", "second", "effect", "improvement", "p", "corrected", "permutation", "needed")),
        **{"recipe": recipe, "key": metric, "metric": arrow(metric), "first_level": first, "second_level": second},
        **{"found": "undecided", "winner": "", "more": "", "pairs": 0, "seeds": 0},
        "lost": len(pairs),
        "verdict": f"undecided: {' and '.join(failed)} failed in every seed",
    }
    put_interval(row, "difference", None)
    put_interval(row, "ratio", None)
    return row


def _paired(pairs: pd.DataFrame, metric: str) -> Paired | None:
    a, b = f"{metric}_a", f"{metric}_b"
    if a not in pairs or b not in pairs:
        return None
    known = pairs[["seed", a, b]].dropna()
    return None if known.empty else paired(metric, known[a], known[b], known["seed"])


def _row(
    recipe: str,
    first: str,
    second: str,
    pairs: pd.DataFrame,
    pair: Paired,
    corrected: float | None,
    tests: int,
    noise: float,
) -> dict[str, Any]:
    known = int(pairs[[f"{pair.metric}_a", f"{pair.metric}_b"]].notna().all(axis=1).sum())
    winner, loser = (second, first) if pair.second_is_better else (first, second)
    lost = {first: int(pairs["bad_a"].sum()), second: int(pairs["bad_b"].sum())}
    found = verdict_of(pair.interval, noise, pair.p, corrected)
    survivor = found in ("decided", "probable") and lost[winner] > lost[loser]
    confirmatory = pair.metric == primary_measure()
    several = len(pair.values) > 1
    wanted = several and confirmatory and found not in ("tie", "decided")
    needed = seeds_needed(pair.values, tests=max(1, tests)) if wanted else None
    row: dict[str, Any] = {
        "recipe": recipe,
        "key": pair.metric,
        "metric": arrow(pair.metric),
        "first_level": first,
        "second_level": second,
        "first": pair.first,
        "second": pair.second,
        "found": "undecided" if survivor else found,
        "winner": winner,
        "effect": effect_size(pair.values),
        "improvement": improvement_probability(pair.values, lower_is_better=MEASURES[pair.metric].lower_is_better)
        if several
        else None,
        "p": pair.p if several else None,
        "corrected": corrected,
        "permutation": pair.permutation_p,
        "needed": needed,
        "more": ("over 1000" if needed is None else str(max(1, needed - len(pair.values)))) if wanted else "",
        "pairs": known,
        "lost": len(pairs) - known,
        "seeds": len(pair.values),
    }
    put_interval(row, "difference", None if pair.ratio else pair.shown)
    put_interval(row, "ratio", pair.shown if pair.ratio else None)
    words: Mapping[Verdict, str] = {"cannot say": "one seed: cannot say", "decided": winner}
    if confirmatory:
        words = {**words, "probable": f"probably {winner}"}
    else:
        words = {**words, "probable": f"exploratory: {winner}"}
    text = f"undecided: {winner} failed more often" if survivor else words.get(found, found)
    row["verdict"] = text + (f" ({lost[first] + lost[second]} lost)" if lost[first] + lost[second] else "")
    return row


def _unequal(configs: Iterable[Mapping[str, Any]], fields: tuple[str, ...]) -> set[str]:
    """Return the levels whose values are not all equal."""
    texts = [[_text(config[name]) for name in fields] for config in configs]
    return {" / ".join(each) for each in texts if len(set(each)) > 1}


def _level(config: Mapping[str, Any], fields: tuple[str, ...], *, apart: bool) -> str | None:
    """Name the level of a factor: the common value, or where they may differ those of G and D; else None."""
    texts = [_text(config[name]) for name in fields]
    if apart:
        return " / ".join(texts)
    return texts[0] if len(set(texts)) == 1 else None


def _text(value: object) -> str:
    if isinstance(value, list):
        return f"({', '.join(f'{v:g}' for v in value)})"
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else f"{value:g}"


def _natural(level: str) -> tuple[float, str]:
    """Sort levels that are numbers by size."""
    try:
        return float(level), level
    except ValueError:
        return 0.0, level
