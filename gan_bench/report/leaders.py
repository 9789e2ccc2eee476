"""The best setting of a study, and which others it cannot be told from."""

from __future__ import annotations

from dataclasses import dataclass

from gan_bench.config.measures import primary_measure
from gan_bench.report.pairs import paired
from gan_bench.report.stats import ALPHA, Interval, holm
from gan_bench.report.study import Study, pick
from gan_bench.report.table import interval_of


@dataclass(frozen=True)
class Leaders:
    """The best setting of a study under one protocol.

    Attributes:
        best: Its label.
        score: Its primary score over finished seeds.
        behind: Labels of settings that are decidedly worse: paired over shared seeds, corrected over all settings.
        tied: Labels of the other settings that share two seeds or more with it.
        unknown: Labels of settings that share fewer: nothing can be said of them.
    """

    best: str
    score: Interval
    behind: tuple[str, ...]
    tied: tuple[str, ...]
    unknown: tuple[str, ...]


def leaders(study: Study, protocol: str) -> Leaders | None:
    """Compare every setting with the best one; None where no setting has a score."""
    ranking, final, primary = study.ranking(protocol), study.final(protocol), primary_measure()
    if not ranking:
        return None
    by_label = {row["setting"]: done for row, done in study.settings()}
    values = {
        label: by_label[label].assign(score=pick(by_label[label], final, primary)).set_index("seed")["score"].dropna()
        for label in ranking
    }
    best, *others = ranking
    pairs = {}
    for label in others:
        shared = values[best].index.intersection(values[label].index)
        if len(shared) > 1:
            pairs[label] = paired(primary, values[best].loc[shared], values[label].loc[shared])
    corrected = holm([pair.p for pair in pairs.values()])
    behind = [label for (label, pair), p in zip(pairs.items(), corrected, strict=True)
              if p <= ALPHA and not pair.second_is_better]  # fmt: skip
    score = interval_of(values[best], primary)
    assert score is not None  # noqa: S101 - it is ranked
    return Leaders(
        best,
        score,
        tuple(behind),
        tuple(label for label in pairs if label not in behind),
        tuple(label for label in others if label not in pairs),
    )
