"""Comparisons of a table -> verdicts, corrected for their number: rows, words and further looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from gan_bench.config.design import Design
from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.report.findings.sides import (
    LevelPair,
    PairedComparison,
    compared,
    design_and_look,
    labels_of,
)
from gan_bench.report.study.stats import (
    Interval,
    Verdict,
    effect_size,
    holm,
    improvement_probability,
)
from gan_bench.report.study.study import ScoredStudy
from gan_bench.report.study.table import arrow, put_interval


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A comparison of two levels, A and B, with the verdict on it.

    Attributes:
        recipe: What both levels share: a recipe, or parts of a setting's label.
        measure: Name of the measure that is compared.
        first_level: Level A.
        second_level: Level B.
        size: How far B is from A with its interval over seeds: B / A where ratios are compared, else B - A; None
            without a score.
        is_ratio: Whether ratios are compared.
        found: The verdict as one word.
        why: Why a test is withheld, or nothing.
        verdict: The verdict as people read it.
        winner: The level that is ahead; empty where there is no difference or no score.
        settings: Labels of the settings that are compared.
        open: Whether another look is worth its seeds.
        next: Seeds of the next look, or None.
        early: Whether its look was not the last one that was declared.
        too_noisy: Whether the spread keeps every look from showing equivalence.
        needed: Seeds that a decision takes, or None if that is unknown.
        seeds: Seeds that count.
        pairs: Pairs with a score on both sides.
        lost: Pairs without one.
        collapses: Generators on either side that collapsed; None where not all were looked at.
        numbers: What the table alone shows, by its columns.
    """

    recipe: str
    measure: str
    first_level: str
    second_level: str
    size: Interval | None = None
    is_ratio: bool = False
    found: Verdict
    why: str
    verdict: str = ""
    winner: str = ""
    settings: tuple[str, ...] = ()
    open: bool = False
    next: int | None = None
    early: bool = False
    too_noisy: bool = False
    needed: int | None = None
    seeds: int = 0
    pairs: int = 0
    lost: int = 0
    collapses: int | None = 0
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def is_sure(self) -> bool:
        """Whether one level is better, decided or probably."""
        return self.found in ("decided", "probable")

    @property
    def loser(self) -> str:
        """The level that is behind."""
        return self.first_level if self.winner == self.second_level else self.second_level

    @property
    def following(self) -> int | None:
        """Seeds of the look that may decide it, or None if none is likely to."""
        return self.next if self.open else None

    def row(self) -> dict[str, object]:
        """Return the row of a table; its columns are those of ``factor_tables``."""
        row = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("numbers", "size", "is_ratio")
        }
        row |= {"key": self.measure, "metric": arrow(self.measure), **self.numbers}
        put_interval(row, "difference", None if self.is_ratio else self.size)
        put_interval(row, "ratio", self.size if self.is_ratio else None)
        return row


def corrected(p_values: Sequence[float | None], design: Design) -> list[float]:
    """Correct the p values of one table for their number.

    Where equivalence may be claimed as well, no step-down is valid, and each is multiplied by their number. Where seeds
    were added that were not declared, none is claimed; looks are then corrected for by nothing.

    Args:
        p_values: Repeated ones; None, of a comparison whose look is to come, counts as one.
        design: Of the study.
    """
    known = [1.0 if p is None else p for p in p_values]
    return holm(known) if design.margin is None or design.extended else [min(1.0, len(known) * p) for p in known]


def correct_for_choice(p_values: Sequence[float | None]) -> list[float]:
    """Correct the p values of all comparisons with the best setting, which was chosen from the same data.

    Holm's correction alone calls some setting worse in 10 % of studies of 13 equal settings over five seeds (13 % of
    16 over ten); doubled, in 5.4 % (7.8 %). Two settings need no doubling: the test is two-sided. From 14 settings on
    five seeds decide nothing any more, at a look from seven. ``benchmarks/statistics/`` simulates it.

    Args:
        p_values: One for every setting beside the best; None, of a comparison whose look is to come, counts as one.
    """
    factor = min(2.0, (len(p_values) + 1) / 2)
    return [min(1.0, factor * p) for p in holm([1.0 if p is None else p for p in p_values])]


def judge(
    scored: ScoredStudy, level_pairs: Iterable[LevelPair], metrics: Sequence[str], beside: int = 0
) -> list[Judged]:
    """Judge comparisons that share a table.

    Args:
        scored: The study under one of its protocols.
        level_pairs: What is compared.
        metrics: Measures to compare; the tests of the primary one are corrected for their number, the others are
            exploratory.
        beside: Tests that count though they are not shown.

    Returns:
        Every comparison that has scores, then those whose failures leave nothing to compare.
    """
    known = list(level_pairs)
    made = [found for levels in known for each in metrics if (found := compared(scored, levels, each))]
    there = [each.levels for each in made if each.is_primary]
    without = [levels for levels in known if not any(levels is each for each in there)]
    lost = [judged for levels in without if (judged := _without_mean(scored, levels))]
    p_values = [each.repeated for each in made if each.in_family]
    if p_values:
        p_values += [None] * (beside + _tests(scored, known) - len(p_values))
    values = corrected(p_values, scored.study.design)
    return [*_judge_family(made, values, len(values)), *lost]


def _tests(scored: ScoredStudy, level_pairs: Iterable[LevelPair]) -> int:
    """Count the comparisons that are tests, now or at a later look.

    Those without a score are, too, planned or failed in every seed: else another failure elsewhere would decide a
    comparison, and a trial that is tried again take the decision back.
    """
    stands = (design_and_look(scored, each.pairs) for each in level_pairs if len(each.pairs))
    return sum(design.is_test(look) for design, look in stands)


def judge_rivals(scored: ScoredStudy, level_pairs: Iterable[LevelPair], beside: int = 0) -> list[Judged]:
    """Judge comparisons of the best setting, side A, with every other one by the primary measure.

    Args:
        scored: The study under one of its protocols.
        level_pairs: What is compared.
        beside: Tests that count though they are not shown.

    Returns:
        Every comparison that has scores.
    """
    known = list(level_pairs)
    made = [each for levels in known if (each := compared(scored, levels, primary_measure(), chosen=True))]
    p_values = [each.repeated for each in made if each.in_family]
    values = correct_for_choice([*p_values, *[None] * (beside + _tests(scored, known) - len(p_values))])
    return list(_judge_family(made, values, 2 * len(values) if len(values) > 1 else 1))


def _judge_family(made: Iterable[PairedComparison], p_values: Iterable[float], tests: int) -> Iterator[Judged]:
    """Yield the verdicts on comparisons, given the corrected p values of the family."""
    own = iter(p_values)
    for each in made:
        yield _judged(replace(each, corrected=next(own) if each.in_family else None, tests=max(1, tests)))


def _without_mean(scored: ScoredStudy, levels: LevelPair) -> Judged | None:
    """Judge two levels without any complete seed, as every seed lost some setting.

    A later look may have such seeds, unless one setting was lost in every seed of this one. Levels of which nothing is
    known are not judged.
    """
    recipe, first, second, pairs = levels
    if pairs.empty:
        return None
    design, look = design_and_look(scored, pairs)
    columns = [f"{primary_measure()}_{each}" for each in "ab"]
    known = int(pairs[columns].notna().all(axis=1).sum()) if {*columns} <= {*pairs} else 0
    bad = pairs["bad_a"] | pairs["bad_b"]
    failed = [level for side, level in (("a", first), ("b", second)) if pairs[f"bad_{side}"].all()]
    ended = pairs[pairs["seed"].isin(look.seeds)]
    is_lost = "rest" in pairs and ended.groupby("rest")[["bad_a", "bad_b"]].all().to_numpy().any()
    why = ""
    if failed:
        why = f"{' and '.join(failed)} failed in every seed"
    elif not (known or bad.any()):
        return None
    elif look.next is None or is_lost:
        why = "no seed has a score of every setting"
    judged = Judged(
        recipe=recipe,
        measure=primary_measure(),
        first_level=first,
        second_level=second,
        found="undecided" if why else "not judged",
        why=why,
        settings=tuple(sorted(labels_of(pairs))),
        open=not why,
        next=look.next,
        lost=int(bad.sum()) if why else len(pairs) - known,
    )
    return replace(judged, verdict=_verdict_text(judged, design))


def _judged(made: PairedComparison) -> Judged:
    (recipe, first, second, _), pair, pairs = made.levels, made.pair, made.pairs
    known = int(pairs[[f"{pair.metric}_a", f"{pair.metric}_b"]].notna().all(axis=1).sum())
    collapsed = pairs[["collapsed_a", "collapsed_b"]]
    tested, is_fixed, is_declared = made.repeated is not None, made.design.is_fixed, not made.design.extended
    found, why = made.verdict()
    wanted = tested and made.is_primary and not why and found in ("undecided", "not judged") and is_declared
    shown = pair.shown if tested else replace(pair.shown, low=None, high=None)
    judged = Judged(
        recipe=recipe,
        measure=pair.metric,
        first_level=first,
        second_level=second,
        size=shown,
        is_ratio=pair.ratio,
        found=found,
        why=why,
        winner="" if pair.is_even else second if pair.second_is_better else first,
        settings=tuple(sorted(labels_of(pairs))),
        open=made.is_open(found),
        next=made.look.next,
        early=0 < made.look.number < made.design.looks[-1] and not made.design.is_fixed,
        too_noisy=made.is_too_noisy,
        needed=made.needed if wanted else None,
        seeds=len(pair.values),
        pairs=known,
        lost=len(pairs) - known,
        collapses=None if collapsed.isna().to_numpy().any() else int(collapsed.to_numpy().sum()),
        numbers={
            "first": pair.first,
            "second": pair.second,
            "p": pair.p if tested else None,
            "repeated": None if is_fixed else made.repeated,
            "corrected": made.corrected if tested else None,
            "permutation": pair.permutation_p,
            "improvement": improvement_probability(pair.values, lower_is_better=MEASURES[pair.metric].lower_is_better)
            if len(pair.values) > 1
            else None,
            "effect": effect_size(pair.values),
        },
    )
    bad = pairs["bad_a"] | pairs["bad_b"]  # pairs: one trial may be both sides
    lost = int(bad.sum()) if made.is_primary else judged.lost
    words = _verdict_text(judged, made.design)
    return replace(judged, verdict=words + (f" ({lost} lost)" if lost and not why else ""))


def _verdict_text(judged: Judged, design: Design) -> str:
    """Write a verdict, and when it is made again."""
    found, winner = judged.found, judged.winner
    if judged.why:
        return f"undecided: {judged.why}"
    if judged.measure != primary_measure():
        return f"exploratory: {winner}" if found == "probable" else found
    if found == "not judged" and not judged.next:
        return "not judged: too few seeds"
    if found in ("undecided", "not judged"):
        following = f" (next look at {judged.next} seeds)" if judged.next else ""
        return f"{found}{following if judged.open else ', given up' if judged.next else ''}"
    if found == "equivalent":
        return f"equivalent within {design.margin:.0%}"
    return {"decided": winner, "probable": f"probably {winner}"}.get(found, found)
