"""Comparisons at the looks of their study -> verdicts: the rows of a factor's table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import pandas as pd

from gan_bench.config.design import Design, Look
from gan_bench.config.measures import COLLAPSED, MEASURES, primary_measure
from gan_bench.core.text import some_of
from gan_bench.report.findings.pairs import Paired, paired
from gan_bench.report.study.frame import BAD, ENDED, changed_between
from gan_bench.report.study.looks import FUTILE, is_equivalent, level, may_be_equivalent, repeated_p
from gan_bench.report.study.settings import shared_parts
from gan_bench.report.study.stats import (
    ALPHA,
    Interval,
    Verdict,
    coincidence,
    effect_size,
    holm,
    improvement_probability,
    seeds_needed,
    verdict_of,
)
from gan_bench.report.study.study import Scored, values_of
from gan_bench.report.study.table import arrow, put_interval

MOST_SEEDS = 1000
"""No study of more seeds is proposed."""
Sides = tuple[str, str, str, pd.DataFrame]
"""A comparison: recipe, level A, level B, and pairs with a seed and whether anything of the pair is left to train,
``open``; for each side, with the endings ``_a`` and ``_b``, a column ``METRIC``, and whether the trial was lost,
``bad``, as its images cannot be scored, ``unscored``, or its generator ``collapsed``; where settings are averaged, what
each is beside the level, ``rest``."""


def sides_of(scored: Scored, trials: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """Return trials as sides of comparisons have them, with their final scores by these measures."""
    final, unscored = scored.final(), trials["trial"].isin(scored.unscored())
    return trials[["seed", "label", "made_of"]].assign(
        bad=trials["status"].isin(BAD) | unscored,
        unscored=unscored,
        left=~trials["status"].isin(ENDED),
        collapsed=values_of(trials, final, COLLAPSED) > 0,
        **{metric: values_of(trials, final, metric) for metric in metrics},
    )


def side_by_side(first: pd.DataFrame, second: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Return the pairs of two frames of ``sides_of`` that are alike in some columns, as ``Sides`` has them."""
    pairs = first.merge(second, on=on, suffixes=("_a", "_b"))
    return pairs.assign(open=pairs["left_a"] | pairs["left_b"])


def in_whole_seeds(pairs: pd.DataFrame, settings: int) -> pd.Series[bool]:
    """Return which pairs are of seeds that have so many settings: averages over fewer are of other settings."""
    return pairs.groupby("seed")["rest"].transform("nunique") == settings


def _mostly_lost(pairs: pd.DataFrame, sides: Sequence[str]) -> set[str]:
    """Return the settings that are averaged of which a side lost most of its seeds; none where all are so.

    What is still to be trained is not lost. Where either side lost a few, in different seeds, most pairs may lack a
    score of a setting that is fair to compare: then its seeds are left out, not the setting.
    """
    ended = pairs[~pairs["open"]]
    if not ended[[*sides]].isna().to_numpy().any():
        return set()  # as in most studies, of which many measures of many levels are asked for
    seeds = pairs.groupby("rest")["seed"].nunique()
    lost = [ended[ended[side].isna()].groupby("rest")["seed"].nunique() for side in sides]
    found = {str(setting) for each in lost for setting in each.index[2 * each > seeds.reindex(each.index)]}
    return found if len(found) < len(seeds) else set()


@dataclass(frozen=True)
class Comparison:
    """Two sides at the look that they have reached.

    Attributes:
        pair: Their difference over the seeds that count.
        pairs: The pairs of these seeds.
        look: Where they stand in the design.
        design: Which seeds verdicts are made at.
        repeated: The p value that allows for all looks; None where nothing is judged yet.
        noise: Noise of scoring on the test's scale; smaller differences are ties.
        aside: The pairs, of them, of settings that are not averaged, as a side of each lost most of its seeds.
    """

    pair: Paired
    pairs: pd.DataFrame
    look: Look
    design: Design
    repeated: float | None
    noise: float
    aside: pd.DataFrame

    @property
    def in_family(self) -> bool:
        """Whether it is a test that others of its table are corrected for, now or at a later look."""
        return self.pair.metric == primary_measure() and (self.look.number > 1 or self.look.next is not None)

    def can_decide(self, tests: int) -> bool:
        """Whether the look has seeds enough to decide one of so many tests: no p is below ``coincidence``."""
        if self.design.extended or not self.look.number:
            return False
        least = float(coincidence(self.look.number))
        return tests * repeated_p(self.design.looks, self.look.number, least) <= ALPHA

    def is_open(self, found: Verdict, tests: int, *, with_equivalence: bool = True) -> bool:
        """Whether another look is worth its seeds.

        A comparison is given up when p exceeds 0.5 at the first look or 0.2 at the second and equivalence is out of
        reach; 98 of 100 differences that all looks would find are found nevertheless. Nothing binds to it.

        Args:
            found: The verdict on it.
            tests: Comparisons that it is corrected for.
            with_equivalence: Whether equivalence would be an answer.
        """
        if self.look.next is None or found in ("decided", "tie", "equivalent"):
            return False
        why = unequal(self.pairs, "A", "B")
        if why and (self.look.number > 1 or why.endswith(CHANGED)):
            return False
        if self.repeated is None:
            return True
        index = self.design.looks.index(self.look.number)
        is_futile = index < len(FUTILE) and self.pair.p > FUTILE[index]
        margin = self.margin if with_equivalence else None
        return not is_futile or (
            margin is not None and may_be_equivalent(self.design.looks, self.pair.values, margin, tests)
        )

    @property
    def margin(self) -> float | None:
        """Largest difference that counts as none, on the test's scale; None where none is declared."""
        known = self.design.margin if self.pair.ratio and self.pair.metric == primary_measure() else None
        return None if known is None else math.log1p(known)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A comparison of two levels, A and B, with the verdict on it.

    Attributes:
        recipe: What both levels share: a recipe, or parts of a setting's label.
        measure: Name of the measure that is compared.
        first_level: Level A.
        second_level: Level B.
        difference: B - A with its interval over seeds; None where ratios are compared.
        ratio: B / A with its interval; None where differences are compared.
        found: The verdict as one word.
        why: Why a test is withheld, or nothing.
        verdict: The verdict as people read it.
        winner: The level that is ahead; empty where there is no difference or no score.
        settings: Labels of the settings that are compared, with those that stand aside.
        aside: Labels of those that are not averaged, as they lost most of their seeds.
        open: Whether another look is worth its seeds.
        next: Seeds of the next look, or None.
        too_noisy: Whether the spread keeps every look from showing equivalence.
        needed: Seeds that a decision takes, or None where nobody can say.
        more: The same as people read it.
        seeds: Seeds that count.
        pairs: Pairs with a score on both sides.
        lost: Pairs without one.
        left_out: The same without the level that is compared, each once.
        collapses: Generators on either side that collapsed.
        numbers: What the table alone shows, by its columns.
    """

    recipe: str
    measure: str
    first_level: str
    second_level: str
    difference: Interval | None = None
    ratio: Interval | None = None
    found: Verdict
    why: str
    verdict: str = ""
    winner: str = ""
    settings: tuple[str, ...] = ()
    aside: frozenset[str] = frozenset()
    open: bool = False
    next: int | None = None
    too_noisy: bool = False
    needed: int | None = None
    more: str = ""
    seeds: int = 0
    pairs: int = 0
    lost: int = 0
    left_out: tuple[str, ...] = ()
    collapses: int = 0
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
    def size(self) -> Interval | None:
        """How far B is from A: their ratio, or their difference where ratios are not compared."""
        return self.ratio or self.difference

    def row(self) -> dict[str, object]:
        """Return it as a table has it; its columns are those of ``factor_tables``."""
        row = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "numbers"}
        row |= {"key": self.measure, "metric": arrow(self.measure), **self.numbers}
        put_interval(row, "difference", self.difference)
        put_interval(row, "ratio", self.ratio)
        return row


def _stand(scored: Scored, pairs: pd.DataFrame) -> tuple[Design, Look]:
    """Return the design of a comparison, and where in it the comparison stands."""
    seeds = set(pairs["seed"])
    design = scored.study.design.of(seeds)
    return design, design.at(seeds - set(pairs["seed"][pairs["open"]]))


def compared(scored: Scored, pairs: pd.DataFrame, metric: str) -> Comparison | None:
    """Compare two sides over the seeds of the last complete look, or before the first over all that are there.

    Args:
        scored: The study under one of its protocols.
        pairs: As in ``Sides``.
        metric: The measure.

    Returns:
        The comparison, or None where no seed has a pair with values of every setting that is averaged.
    """
    a, b = f"{metric}_a", f"{metric}_b"
    if a not in pairs or b not in pairs:
        return None
    design, look = _stand(scored, pairs)
    counted = pairs[pairs["seed"].isin(look.seeds)] if look.number else pairs
    aside, averaged = counted.iloc[:0], counted
    if "rest" in counted:
        lost = counted["rest"].isin(_mostly_lost(counted, (a, b)))
        aside, averaged = counted[lost], counted[~lost]
    known = averaged.dropna(subset=[a, b])
    if "rest" in counted:  # before the first look, settings of which nothing is known yet wait aside
        known = known[in_whole_seeds(known, (averaged if look.number else known)["rest"].nunique())]
    if known.empty:
        return None
    judged = look.number > 0 and not design.extended
    pair = paired(metric, known[a], known[b], known["seed"], level(design.looks, look.number) if judged else ALPHA)
    repeated = repeated_p(design.looks, look.number, pair.p) if judged else pair.p
    tested = look.number > 0 and len(pair.values) > 1
    noise = scored.measurement_sd(metric, relative=pair.ratio)
    return Comparison(pair, counted, look, design, repeated if tested else None, noise, aside)


def corrected(p_values: Sequence[float | None], design: Design) -> list[float]:
    """Correct the p values of one table for their number.

    Where equivalence may be claimed as well, no step-down is valid, and each is multiplied by their number.

    Args:
        p_values: Repeated ones; None, of a comparison whose look is to come, counts as one.
        design: Of the study.
    """
    known = [1.0 if p is None else p for p in p_values]
    return holm(known) if design.margin is None else [min(1.0, len(known) * p) for p in known]


CHANGED = "changed between them"
"""The end of a sentence that says why trials with other images or code are not compared."""


def unequal(pairs: pd.DataFrame, first: str, second: str) -> str:
    """Return how two sides differ in collapsed or lost trials, or in what they were trained on, or nothing.

    Such a difference no t test judges.

    Where one of two settings with equal geometric means collapses in 20 % of its runs and the other never, the test
    decides falsely in 31 % of studies of five seeds and in 8 % of twelve: most studies have not seen the collapse.
    """
    for column, what in (("bad", _how_lost(pairs, "ab")), ("collapsed", "collapsed")):
        counts = [int(pairs[f"{column}_{side}"].sum()) for side in "ab"]
        if counts[0] != counts[1]:
            shares = [f"{count} of {len(pairs)}" if count else "none" for count in counts]
            return f"{first} {what} in {shares[0]}, {second} in {shares[1]}"
    sides = [pairs[f"made_of_{side}"] for side in "ab" if f"made_of_{side}" in pairs]
    changed = {changed_between([a], [b]) for a, b in set(zip(*sides, strict=True))} if sides else set[str]()
    return f"{max(changed)} {CHANGED}" if any(changed) else ""


def _how_lost(pairs: pd.DataFrame, sides: str) -> str:
    """Return what became of the lost trials of sides: those that finished and cannot be scored did not fail."""
    lost, unscored = (sum(int(pairs[f"{column}_{side}"].sum()) for side in sides) for column in ("bad", "unscored"))
    return "failed" if not unscored else "could not be scored" if unscored == lost else "failed or could not be scored"


def judge(scored: Scored, sides: Iterable[Sides], metrics: Sequence[str], beside: int = 0) -> list[Judged]:
    """Judge comparisons that share a table.

    Args:
        scored: The study under one of its protocols.
        sides: The comparisons.
        metrics: Measures to compare; the tests of the primary one are corrected for their number, the others are
            exploratory.
        beside: Tests that count though they are not shown.

    Returns:
        Every comparison that has scores, then those whose failures leave nothing to compare.
    """
    known = list(sides)
    made = [(side, found) for side in known for each in metrics if (found := compared(scored, side[3], each))]
    there = [side for side, found in made if found.pair.metric == primary_measure()]
    without = (side for side in known if not any(side is each for each in there))
    lost = [each for side in without if (each := _without_mean(scored, side)) is not None]
    family = [found for _, found in made if found.in_family]
    beside = beside + sum(each.open for each in lost) if family else 0
    values = corrected([*(found.repeated for found in family), *[None] * beside], scored.study.design)
    own = iter(values)
    judged = [_judged(side, found, next(own) if found.in_family else None, len(values)) for side, found in made]
    return [*judged, *lost]


def _without_mean(scored: Scored, side: Sides) -> Judged | None:
    """Judge two levels that no seed has of all settings, as one was lost in every seed, or each seed lost some setting.

    A later look may have such seeds. Levels of which nothing is known are not judged.
    """
    recipe, first, second, pairs = side
    if pairs.empty:
        return None
    design, look = _stand(scored, pairs)
    columns = [f"{primary_measure()}_{each}" for each in "ab"]
    known = int(pairs[columns].notna().all(axis=1).sum()) if {*columns} <= {*pairs} else 0
    bad = pairs["bad_a"] | pairs["bad_b"]
    failed = {side: level for side, level in (("a", first), ("b", second)) if pairs[f"bad_{side}"].all()}
    how, why = _how_lost(pairs, "".join(failed) or "ab"), ""
    if failed:
        why = f"{' and '.join(failed.values())} {how} in {'any' if how == 'could not be scored' else 'every'} seed"
    elif look.next is None and "rest" in pairs and bad.groupby(pairs["seed"]).any().all():
        why = f"in every seed a setting {how}"
    elif look.next is None or not known:
        return None
    judged = Judged(
        recipe=recipe,
        measure=primary_measure(),
        first_level=first,
        second_level=second,
        found="undecided" if why else "not judged",
        why=why,
        settings=tuple(sorted(_labels(pairs))),
        open=not why,
        next=look.next,
        lost=int(bad.sum()) if why else len(pairs) - known,
    )
    return replace(judged, verdict=_words(judged, design, confirmatory=True))


def _judged(side: Sides, made: Comparison, corrected_p: float | None, tests: int) -> Judged:
    recipe, first, second, _ = side
    pair, pairs, look, design = made.pair, made.pairs, made.look, made.design
    known = int(pairs[[f"{pair.metric}_a", f"{pair.metric}_b"]].notna().all(axis=1).sum())
    tested, confirmatory = made.repeated is not None, pair.metric == primary_measure()
    found, why = verdict_on(made, corrected_p, tests, (first, second))
    wanted = tested and confirmatory and not why and found in ("undecided", "not judged") and not design.extended
    needed = _needed(made, max(1, tests)) if wanted else None
    shown = pair.shown if tested else replace(pair.shown, low=None, high=None)
    judged = Judged(
        recipe=recipe,
        measure=pair.metric,
        first_level=first,
        second_level=second,
        difference=None if pair.ratio else shown,
        ratio=shown if pair.ratio else None,
        found=found,
        why=why,
        winner="" if pair.is_even else second if pair.second_is_better else first,
        settings=tuple(sorted(_labels(pairs))),
        aside=frozenset(_labels(made.aside)),
        open=confirmatory and made.is_open(found, tests),
        next=look.next,
        too_noisy=_is_too_noisy(made, max(1, tests)),
        needed=needed,
        more="" if not wanted else str(needed) if needed else f"over {MOST_SEEDS}" if design.is_fixed else "no look",
        seeds=len(pair.values),
        pairs=known,
        lost=len(pairs) - known,
        left_out=tuple(_names(made.aside)),
        collapses=int(pairs["collapsed_a"].sum() + pairs["collapsed_b"].sum()),
        numbers={
            "first": pair.first,
            "second": pair.second,
            "p": pair.p if tested else None,
            "repeated": made.repeated if len(design.looks) > 1 else None,
            "corrected": corrected_p if tested else None,
            "permutation": pair.permutation_p,
            "improvement": improvement_probability(pair.values, lower_is_better=MEASURES[pair.metric].lower_is_better)
            if len(pair.values) > 1
            else None,
            "effect": effect_size(pair.values),
        },
    )
    lost = int((pairs["bad_a"] | pairs["bad_b"]).sum())  # pairs: one trial may be both sides
    words = _words(judged, design, confirmatory=confirmatory)
    counts = [f"{lost} lost"] if lost and not why else []
    counts += [f"without {some_of(judged.left_out, 1)}"] if judged.left_out else []
    return replace(judged, verdict=words + (f" ({', '.join(counts)})" if counts else ""))


def _labels(pairs: pd.DataFrame) -> set[str]:
    return {*pairs.get("label_a", ()), *pairs.get("label_b", ())}


def _names(pairs: pd.DataFrame) -> list[str]:
    """Return what the two settings of pairs have in common, each once."""
    if pairs.empty:
        return []
    return sorted({shared_parts(a, b) for a, b in zip(pairs["label_a"], pairs["label_b"], strict=True)})


def verdict_on(made: Comparison, corrected_p: float | None, tests: int, names: tuple[str, str]) -> tuple[Verdict, str]:
    """Return the verdict on a comparison, and why none is made where the test's is withheld.

    Args:
        made: The comparison.
        corrected_p: Its repeated p value, corrected for the tests beside it; None where it is exploratory.
        tests: How many tests it is corrected for.
        names: What its sides are called.
    """
    pair, look, design = made.pair, made.look, made.design
    confirmatory = pair.metric == primary_measure()
    if made.repeated is None:
        lost = unequal(made.pairs, *names) if confirmatory and look.number > 1 else ""  # all seeds of one side but one
        return ("undecided", lost) if lost else ("not judged", "")
    p = made.repeated if corrected_p is None or design.extended else corrected_p
    found = verdict_of(pair.interval, made.noise, p, may_decide=confirmatory and not design.extended)
    margin = made.margin if look.number == design.looks[-1] and not design.extended else None
    if margin is not None and found != "tie" and is_equivalent(design.looks, pair.values, margin, tests):
        found = "equivalent"
    if confirmatory and found != "tie" and (why := unequal(made.pairs, *names)):
        return "undecided", why
    if confirmatory and found == "undecided" and look.next and not made.can_decide(tests):
        return "not judged", ""
    return found, ""


def _is_too_noisy(made: Comparison, tests: int) -> bool:
    """Return whether the spread alone keeps the last look from showing equivalence."""
    values, margin = made.pair.values, made.margin
    if margin is None or len(values) < 2 or made.design.extended:
        return False
    return not may_be_equivalent(made.design.looks, values - values.mean(), margin, tests)


def _needed(made: Comparison, tests: int) -> int | None:
    """Estimate the seeds that a decision takes: a later look, or those of a new study where a list is fixed."""
    looks, values = made.design.looks, made.pair.values
    if made.design.is_fixed:
        return seeds_needed(values, range(2, MOST_SEEDS + 1), ALPHA / tests)  # shared out as Holm's first step does
    later = [look for look in looks if look > made.look.number]
    return seeds_needed(values, later, [level(looks, look, ALPHA / tests) for look in later])


def _words(judged: Judged, design: Design, *, confirmatory: bool) -> str:
    """Write a verdict, and when there is another one."""
    found, winner = judged.found, judged.winner
    if judged.why:
        return f"undecided: {judged.why}"
    if not confirmatory:
        return f"exploratory: {winner}" if found == "probable" else found
    if found == "not judged" and not judged.next:
        return "not judged: one seed"
    if found in ("undecided", "not judged"):
        following = f" (next look at {judged.next} seeds)" if judged.next else ""
        return f"{found}{following if judged.open else ', given up' if judged.next else ''}"
    if found == "equivalent":
        return f"equivalent within {design.margin:.0%}"
    return {"decided": winner, "probable": f"probably {winner}"}.get(found, found)
