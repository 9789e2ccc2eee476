"""Comparisons at the looks of their study -> verdicts: the rows of a factor's table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        side: The two sides.
        pair: Their difference over the seeds that count.
        pairs: The pairs of these seeds.
        look: Where they stand in the design.
        design: Which seeds verdicts are made at.
        repeated: The p value that allows for all looks; None where nothing is judged yet.
        noise: Noise of scoring on the test's scale; smaller differences are ties.
        aside: The pairs, of them, of settings that are not averaged, as a side of each lost most of its seeds.
        chosen: Whether side A is the best of all, chosen from the same data: then equivalence is no answer.
        corrected: The repeated p value, corrected for the tests beside it; None where it is exploratory.
        tests: How many tests it is corrected for.
    """

    side: Sides
    pair: Paired
    pairs: pd.DataFrame
    look: Look
    design: Design
    repeated: float | None
    noise: float
    aside: pd.DataFrame
    chosen: bool
    corrected: float | None = None
    tests: int = 1

    @property
    def is_primary(self) -> bool:
        """Whether it is of the measure that decides; those of others are exploratory."""
        return self.pair.metric == primary_measure()

    @property
    def in_family(self) -> bool:
        """Whether it is a test that others of its table are corrected for, now or at a later look."""
        return self.is_primary and (self.look.number > 1 or self.look.next is not None)

    @property
    def can_decide(self) -> bool:
        """Whether the look has seeds enough to decide one of so many tests: no p is below ``coincidence``."""
        if self.design.extended or not self.look.number:
            return False
        least = float(coincidence(self.look.number))
        return self.tests * repeated_p(self.design.looks, self.look.number, least) <= ALPHA

    def is_open(self, found: Verdict) -> bool:
        """Whether another look is worth its seeds.

        A comparison is given up when p exceeds 0.5 at the first look or 0.2 at the second and equivalence is out of
        reach; 98 of 100 differences that all looks would find are found nevertheless. Nothing binds to it.

        Args:
            found: The verdict on it.
        """
        if not self.is_primary or self.look.next is None or found in ("decided", "tie", "equivalent"):
            return False
        why = _unequal(self.pairs, "A", "B")
        if why and (self.look.number > 1 or why.endswith(CHANGED)):
            return False
        if self.repeated is None:
            return True
        index = self.design.looks.index(self.look.number)
        is_futile = index < len(FUTILE) and self.pair.p > FUTILE[index]
        margin = None if self.chosen else self.margin
        return not is_futile or (
            margin is not None and may_be_equivalent(self.design.looks, self.pair.values, margin, self.tests)
        )

    @property
    def margin(self) -> float | None:
        """Largest difference that counts as none, on the test's scale; None where none is declared."""
        known = self.design.margin if self.pair.ratio and self.is_primary else None
        return None if known is None else math.log1p(known)

    @property
    def is_too_noisy(self) -> bool:
        """Whether the spread alone keeps the last look from showing equivalence."""
        values, margin = self.pair.values, self.margin
        if margin is None or len(values) < 2 or self.design.extended:
            return False
        return not may_be_equivalent(self.design.looks, values - values.mean(), margin, self.tests)

    @property
    def needed(self) -> int | None:
        """Seeds that a decision takes: a later look, or those of a new study where a list is fixed; None for none."""
        looks, values = self.design.looks, self.pair.values
        if self.design.is_fixed:
            return seeds_needed(values, range(2, MOST_SEEDS + 1), ALPHA / self.tests)  # shared out as Holm's first step
        later = [look for look in looks if look > self.look.number]
        return seeds_needed(values, later, [level(looks, look, ALPHA / self.tests) for look in later])

    def verdict(self) -> tuple[Verdict, str]:
        """Return the verdict, and why none is made where the test's is withheld."""
        look, design, (_, *names, _) = self.look, self.design, self.side
        if self.repeated is None:
            lost = (
                _unequal(self.pairs, *names) if self.is_primary and look.number > 1 else ""
            )  # all of one side but one
            return ("undecided", lost) if lost else ("not judged", "")
        p = self.repeated if self.corrected is None or design.extended else self.corrected
        found = verdict_of(self.pair.interval, self.noise, p, may_decide=self.is_primary and not design.extended)
        margin = self.margin if look.number == design.looks[-1] and not design.extended else None
        if margin is not None and found != "tie" and is_equivalent(design.looks, self.pair.values, margin, self.tests):
            found = "equivalent"
        if self.is_primary and (why := _unequal(self.pairs, *names)):
            return "undecided", why
        if self.is_primary and found == "undecided" and look.next and not self.can_decide:
            return "not judged", ""
        return found, ""


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
    size: Interval | None = None
    is_ratio: bool = False
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
    def is_tested(self) -> bool:
        """Whether the seeds of some look were tested, decisive or not."""
        return self.numbers.get("p") is not None

    @property
    def loser(self) -> str:
        """The level that is behind."""
        return self.first_level if self.winner == self.second_level else self.second_level

    @property
    def following(self) -> int | None:
        """Seeds of the look that may decide it, or None where no look is likely to."""
        return self.next if self.open else None

    def row(self) -> dict[str, object]:
        """Return it as a table has it; its columns are those of ``factor_tables``."""
        row = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("numbers", "size", "is_ratio")
        }
        row |= {"key": self.measure, "metric": arrow(self.measure), **self.numbers}
        put_interval(row, "difference", None if self.is_ratio else self.size)
        put_interval(row, "ratio", self.size if self.is_ratio else None)
        return row


def _stand(scored: Scored, pairs: pd.DataFrame) -> tuple[Design, Look]:
    """Return the design of a comparison, and where in it the comparison stands."""
    seeds = set(pairs["seed"])
    design = scored.study.design.of(seeds)
    return design, design.at(seeds - set(pairs["seed"][pairs["open"]]))


def _compared(scored: Scored, side: Sides, metric: str, *, chosen: bool = False) -> Comparison | None:
    """Compare two sides over the seeds of the last complete look, or before the first over all that are there.

    Args:
        scored: The study under one of its protocols.
        side: The two sides.
        metric: The measure.
        chosen: Whether side A is the best of all, chosen from the same data.

    Returns:
        The comparison, or None where no seed has a pair with values of every setting that is averaged.
    """
    a, b, pairs = f"{metric}_a", f"{metric}_b", side[-1]
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
    return Comparison(side, pair, counted, look, design, repeated if tested else None, noise, aside, chosen)


def corrected(p_values: Sequence[float | None], design: Design) -> list[float]:
    """Correct the p values of one table for their number.

    Where equivalence may be claimed as well, no step-down is valid, and each is multiplied by their number.

    Args:
        p_values: Repeated ones; None, of a comparison whose look is to come, counts as one.
        design: Of the study.
    """
    known = [1.0 if p is None else p for p in p_values]
    return holm(known) if design.margin is None else [min(1.0, len(known) * p) for p in known]


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


CHANGED = "changed between them"
"""The end of a sentence that says why trials with other images or code are not compared."""


def _unequal(pairs: pd.DataFrame, first: str, second: str) -> str:
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
    made = [found for side in known for each in metrics if (found := _compared(scored, side, each))]
    there = [each.side for each in made if each.is_primary]
    without = (side for side in known if not any(side is each for each in there))
    lost = [each for side in without if (each := _without_mean(scored, side)) is not None]
    p_values = [each.repeated for each in made if each.in_family]
    waiting = [None] * (beside + sum(each.open for each in lost)) if p_values else []
    values = corrected([*p_values, *waiting], scored.study.design)
    return [*_judge_family(made, values, len(values)), *lost]


def judge_rivals(scored: Scored, sides: Iterable[Sides]) -> list[Judged]:
    """Judge comparisons of the best setting, side A, with every other one by the primary measure.

    Args:
        scored: The study under one of its protocols.
        sides: The comparisons.

    Returns:
        Every comparison that has scores.
    """
    made = [found for side in sides if (found := _compared(scored, side, primary_measure(), chosen=True))]
    values = correct_for_choice([each.repeated for each in made if each.in_family])
    return list(_judge_family(made, values, 2 * len(values) if len(values) > 1 else 1))


def _judge_family(made: Iterable[Comparison], p_values: Iterable[float], tests: int) -> Iterator[Judged]:
    """Yield the verdicts on comparisons, given the corrected p values of those of the family."""
    own = iter(p_values)
    for each in made:
        yield _judged(replace(each, corrected=next(own) if each.in_family else None, tests=max(1, tests)))


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
    return replace(judged, verdict=_words(judged, design))


def _judged(made: Comparison) -> Judged:
    (recipe, first, second, _), pair, pairs = made.side, made.pair, made.pairs
    known = int(pairs[[f"{pair.metric}_a", f"{pair.metric}_b"]].notna().all(axis=1).sum())
    tested, is_fixed, is_declared = made.repeated is not None, made.design.is_fixed, not made.design.extended
    found, why = made.verdict()
    wanted = tested and made.is_primary and not why and found in ("undecided", "not judged") and is_declared
    needed = made.needed if wanted else None
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
        settings=tuple(sorted(_labels(pairs))),
        aside=frozenset(_labels(made.aside)),
        open=made.is_open(found),
        next=made.look.next,
        too_noisy=made.is_too_noisy,
        needed=needed,
        more="" if not wanted else str(needed) if needed else f"over {MOST_SEEDS}" if is_fixed else "no look",
        seeds=len(pair.values),
        pairs=known,
        lost=len(pairs) - known,
        left_out=tuple(_names(made.aside)),
        collapses=int(pairs["collapsed_a"].sum() + pairs["collapsed_b"].sum()),
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
    lost = int((pairs["bad_a"] | pairs["bad_b"]).sum())  # pairs: one trial may be both sides
    words = _words(judged, made.design)
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


def _words(judged: Judged, design: Design) -> str:
    """Write a verdict, and when there is another one."""
    found, winner = judged.found, judged.winner
    if judged.why:
        return f"undecided: {judged.why}"
    if judged.measure != primary_measure():
        return f"exploratory: {winner}" if found == "probable" else found
    if found == "not judged" and not judged.next:
        return "not judged: one seed"
    if found in ("undecided", "not judged"):
        following = f" (next look at {judged.next} seeds)" if judged.next else ""
        return f"{found}{following if judged.open else ', given up' if judged.next else ''}"
    if found == "equivalent":
        return f"equivalent within {design.margin:.0%}"
    return {"decided": winner, "probable": f"probably {winner}"}.get(found, found)
