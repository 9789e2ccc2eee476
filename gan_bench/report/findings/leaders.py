"""The best setting of a study, and those statistically indistinguishable from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.report.findings.pairs import paired
from gan_bench.report.study.stats import ALPHA, Interval, holm
from gan_bench.report.study.study import Scored, values_of
from gan_bench.report.study.table import interval_of


@dataclass(frozen=True)
class Leaders:
    """The best setting of a study under one protocol.

    Attributes:
        best: Its label.
        score: Its primary score over finished seeds.
        behind: Labels of settings that are decidedly worse: paired over shared seeds, corrected over all settings
            and for the choice of the best from the same data, and not failing less often.
        tied: Labels of the other settings that share two seeds or more with it.
        unknown: Labels of settings that share fewer: nothing can be said of them.
    """

    best: str
    score: Interval
    behind: tuple[str, ...]
    tied: tuple[str, ...]
    unknown: tuple[str, ...]


def correct_for_choice(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of all comparisons with the best setting, which was chosen from the same data.

    Holm's correction alone calls some setting worse in 10 % of studies of 13 equal settings over five seeds (13 % of
    16 over ten); doubled, in 5.4 % (7.8 %). Two settings need no doubling: the test is two-sided. From 14 settings on
    five seeds decide nothing any more. ``benchmarks/statistics/`` simulates it.

    Args:
        p_values: One for every setting beside the best.
    """
    factor = min(2.0, (len(p_values) + 1) / 2)
    return [min(1.0, factor * p) for p in holm(p_values)]


def leaders(scored: Scored) -> Leaders | None:
    """Compare every setting with the best one; None where no setting has a score."""
    ranking, final, primary = scored.ranking(), scored.final(), primary_measure()
    if not ranking:
        return None
    by_label = {row["setting"]: done for row, done in scored.study.settings()}
    values = {
        label: by_label[label]
        .assign(score=values_of(by_label[label], final, primary))
        .set_index("seed")["score"]
        .dropna()
        for label in ranking
    }
    best, *others = ranking
    pairs = {}
    for label in others:
        shared = values[best].index.intersection(values[label].index)
        if len(shared) > 1:
            pairs[label] = paired(primary, values[best].loc[shared], values[label].loc[shared])
    lost = {row["setting"]: row["bad"] for row, _ in scored.study.settings()}
    corrected = correct_for_choice([pair.p for pair in pairs.values()])
    behind = [
        label
        for (label, pair), p in zip(pairs.items(), corrected, strict=True)
        if p <= ALPHA and not pair.second_is_better and lost[best] <= lost[label]
    ]
    score = interval_of(values[best], MEASURES[primary].bounds)
    assert score is not None  # noqa: S101 - it is ranked
    return Leaders(
        best,
        score,
        tuple(behind),
        tuple(label for label in pairs if label not in behind),
        tuple(label for label in others if label not in pairs),
    )
