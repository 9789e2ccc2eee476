"""Two sides, seed by seed -> a comparison at the reached look of their study, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from gan_bench.config.design import Design, Look
from gan_bench.config.measures import primary_measure
from gan_bench.core.canonical import canonical_json
from gan_bench.report.findings.pairs import Paired, paired
from gan_bench.report.study.frame import BAD, FAULTY, changed_between, is_left
from gan_bench.report.study.looks import (
    FUTILE,
    can_decide,
    is_equivalent,
    level,
    level_at,
    may_be_equivalent,
    repeated_p,
)
from gan_bench.report.study.stats import (
    ALPHA,
    Verdict,
    seeds_needed,
    verdict_of,
)
from gan_bench.report.study.study import ScoredStudy, cached_on_study, values_of

MOST_SEEDS = 1000
"""Most seeds of a proposed study."""
CHANGED = "changed between them"
"""End of the sentence why trials with other images or code are not compared."""


class LevelPair(NamedTuple):
    """Two levels, A and B, with the trials of each, seed by seed.

    Attributes:
        recipe: What both have in common: a recipe, or parts of a setting's label.
        first: Level A.
        second: Level B.
        pairs: Pairs with a seed and whether anything of the pair is left to train, ``open``; for each level, with the
            endings ``_a`` and ``_b``, a column ``METRIC``, and whether the trial was lost, ``bad``, as it
            failed or its images cannot be scored, or its record is ``gone`` for good, or its generator ``collapsed``,
            NaN if that was not counted; where settings are averaged, what each is beside the level, ``rest``. A column
            ``later`` says that B is a later epoch of the trials of A: many begin collapsed and learn.
    """

    recipe: str
    first: str
    second: str
    pairs: pd.DataFrame


@cached_on_study
def scored_so(scored: ScoredStudy, *, counted: bool = False) -> pd.DataFrame:
    """Return the trials to compare that have, or should have, the protocol's scores.

    Args:
        scored: The study under one of its protocols.
        counted: Whether those come with them that are not compared and count as tests.
    """

    def evaluation_key(config: Mapping[str, Mapping[str, object]]) -> str:
        return canonical_json([config["evaluation"].get(name) for name in ("samples", "extractors")])

    trials, every = scored.study.counted if counted else scored.study.compared, scored.study.trials
    keys = set(every["config"][every["trial"].isin(scored.final().index)].map(evaluation_key))
    has_scores = trials["trial"].isin(scored.final().index)
    is_open = (trials["status"] != "done") & trials["config"].map(lambda config: evaluation_key(config) in keys)
    return trials[has_scores | is_open]


@cached_on_study
def to_come(scored: ScoredStudy) -> pd.DataFrame:
    """Return the trials to compare that are still to be trained."""
    trials = scored_so(scored)
    return trials[is_left(trials)]


def sides_of(scored: ScoredStudy, trials: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """Return trials as sides of comparisons, with their final scores by these measures."""
    final, left = scored.final(), is_left(trials)
    is_lost = trials["status"].isin(FAULTY) & ~left  # the lost record may have been a collapse
    return trials[["seed", "label", "made_of"]].assign(
        bad=trials["status"].isin(BAD) | trials["trial"].isin(scored.unscored()) | is_lost,
        gone=is_lost,
        left=left,
        collapsed=scored.study.collapsed(trials["trial"]),
        **{metric: values_of(trials, final, metric) for metric in metrics},
    )


def side_by_side(first: pd.DataFrame, second: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Join two frames of ``sides_of`` on some columns, for a ``LevelPair``."""
    pairs = first.merge(second, on=on, suffixes=("_a", "_b"))
    return pairs.assign(open=pairs["left_a"] | pairs["left_b"])


def in_whole_seeds(pairs: pd.DataFrame, settings: int) -> pd.Series[bool]:
    """Return a mask of pairs whose seeds have all of so many settings."""
    return pairs.groupby("seed")["rest"].transform("nunique") == settings


@dataclass(frozen=True)
class PairedComparison:
    """Two sides at their reached look.

    Attributes:
        levels: The two sides.
        pair: Their difference over the seeds that count.
        pairs: The pairs of these seeds.
        look: Where they stand in the design.
        design: Which seeds verdicts are made at.
        repeated: The p value that allows for all looks; None where nothing is judged yet.
        noise: Noise of scoring on the test's scale; smaller differences are ties.
        chosen: Whether side A is the best of all, chosen from the same data: then equivalence is no answer.
        corrected: The repeated p value, corrected for the tests beside it; None where it is exploratory.
        tests: How many tests it is corrected for.
    """

    levels: LevelPair
    pair: Paired
    pairs: pd.DataFrame
    look: Look
    design: Design
    repeated: float | None
    noise: float
    chosen: bool
    corrected: float | None = None
    tests: int = 1

    @property
    def is_primary(self) -> bool:
        """True for the primary measure; others are exploratory."""
        return self.pair.metric == primary_measure()

    @property
    def in_family(self) -> bool:
        """True if it is a test, now or at a later look, and counts in the correction of its table."""
        return self.is_primary and self.design.is_test(self.look)

    @cached_property
    def unequal(self) -> str:
        """How the sides differ in ways that no test judges; empty if they do not."""
        return _unequal(self.pairs, self.levels.first, self.levels.second)

    def is_open(self, found: Verdict) -> bool:
        """True if another look is worth its seeds.

        A comparison is given up when p exceeds 0.5 at the first look or 0.2 at the second and equivalence is out of
        reach; 98 of 100 differences that all looks would find are found nevertheless. Nothing binds to it.

        Args:
            found: The verdict on it.
        """
        if not self.is_primary or self.look.next is None or found in ("decided", "tie", "equivalent"):
            return False
        if self.unequal and (self.look.number > 1 or self.unequal.endswith(CHANGED)):
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
        """True if the spread is too large for the last look to show equivalence."""
        values, margin = self.pair.values, self.margin
        if margin is None or len(values) < 2 or self.design.extended:
            return False
        return not may_be_equivalent(self.design.looks, values - values.mean(), margin, self.tests)

    @property
    def needed(self) -> int | None:
        """Seeds needed for a decision: a later look, or a new study if the list is fixed; None if none helps."""
        looks, values = self.design.looks, self.pair.values
        if self.design.is_fixed:
            return seeds_needed(values, range(2, MOST_SEEDS + 1), ALPHA / self.tests)  # the level of Holm's first step
        later = [look for look in looks if look > self.look.number]
        return seeds_needed(values, later, [level(looks, look, ALPHA / self.tests) for look in later])

    def verdict(self) -> tuple[Verdict, str]:
        """Return the verdict, and the reason if the test's is withheld."""
        look, design = self.look, self.design
        if self.repeated is None:
            # all seeds of one side except one are lost
            lost = self.unequal if self.is_primary and look.number > 1 else ""
            return ("undecided", lost) if lost else ("not judged", "")
        p = self.repeated if self.corrected is None else self.corrected
        found = verdict_of(self.pair.interval, self.noise, p, may_decide=self.is_primary and not design.extended)
        margin = self.margin if look.number == design.looks[-1] and not design.extended else None
        if margin is not None and found != "tie" and is_equivalent(design.looks, self.pair.values, margin, self.tests):
            found = "equivalent"
        if self.is_primary and self.unequal:
            return "undecided", self.unequal
        is_open = self.is_primary and found == "undecided" and not design.extended
        return ("not judged" if is_open and not can_decide(design, look, look.number, self.tests) else found), ""


def design_and_look(scored: ScoredStudy, pairs: pd.DataFrame) -> tuple[Design, Look]:
    """Return the design of a comparison, and its look."""
    seeds = set(pairs["seed"])
    design = scored.study.design.of(seeds)
    look = design.at(seeds - set(pairs["seed"][pairs["open"]]))
    if look.next and not reachable_seeds(scored, pairs).issuperset(design.first(look.next)):
        look = replace(look, next=None)
    return design, look


def reachable_seeds(scored: ScoredStudy, pairs: pd.DataFrame) -> set[int]:
    """Return the seeds that a comparison has or may get.

    All settings that are compared are brought to their first look, and to all of a fixed list. Later seeds are for open
    questions, and none is asked about a setting that the suite asks for no longer: beside such settings there are no
    others than those that each of them is paired in.
    """
    seeds = set(pairs["seed"])
    design = scored.study.design.of(seeds)
    paired_in = [pairs["seed"][_is_of(pairs, label)] for label in scored.study.withdrawn_labels]
    every = seeds.union(design.seeds)
    if design.is_fixed:
        return every
    return every.intersection(*filter(len, paired_in)).union(design.first(design.looks[0]))


def labels_of(pairs: pd.DataFrame) -> set[str]:
    """Return the labels of the settings on either side of pairs."""
    return {*pairs.get("label_a", ()), *pairs.get("label_b", ())}


def _is_of(pairs: pd.DataFrame, label: str) -> pd.Series[bool]:
    return (pairs[[name for name in ("label_a", "label_b") if name in pairs]] == label).any(axis=1)


def compared(scored: ScoredStudy, levels: LevelPair, metric: str, *, chosen: bool = False) -> PairedComparison | None:
    """Compare two sides over the seeds of the last complete look, or over all before the first.

    Args:
        scored: The study under one of its protocols.
        levels: The two sides.
        metric: The measure.
        chosen: Whether side A is the best of all, chosen from the same data.

    Returns:
        The comparison, or None where no seed has a pair with values of every setting that is averaged.
    """
    a, b, pairs = f"{metric}_a", f"{metric}_b", levels.pairs
    if a not in pairs or b not in pairs:
        return None
    design, look = design_and_look(scored, pairs)
    counted = pairs[pairs["seed"].isin(look.seeds)] if look.number else pairs
    known = counted.dropna(subset=[a, b])
    if "rest" in counted:  # before the first look, settings without any score are not counted
        known = known[in_whole_seeds(known, (counted if look.number else known)["rest"].nunique())]
    if known.empty:
        return None
    pair = paired(metric, known[a], known[b], known["seed"], level_at(design, look))
    repeated = repeated_p(design.looks, look.number, pair.p) if design.may_decide(look) else pair.p
    tested = look.number > 0 and len(pair.values) > 1
    noise = scored.measurement_sd(metric, relative=pair.ratio, seeds=look.seeds if look.number else None)
    return PairedComparison(levels, pair, counted, look, design, repeated if tested else None, noise, chosen)


def _unequal(pairs: pd.DataFrame, first: str, second: str) -> str:
    """Return how two sides differ in collapsed or lost trials, or in what they were trained on, or nothing.

    Such a difference no t test judges.

    Where one of two settings with equal geometric means collapses in 20 % of its runs and the other never, the test
    decides falsely in 31 % of studies of five seeds and in 8 % of twelve: most studies have not seen the collapse.
    """
    failed = "failed or lost its record" if pairs.filter(like="gone_").to_numpy().any() else "failed"
    for column, what in (("bad", failed), ("collapsed", "collapsed")):
        known = pairs[[f"{column}_{side}" for side in "ab"]].dropna()
        counts = [int(known[name].sum()) for name in known]
        has_learned = column == "collapsed" and "later" in pairs and counts[0] > counts[1]
        if counts[0] != counts[1] and not has_learned:
            shares = [f"{count} of {len(known)}" if count else "none" for count in counts]
            return f"{first} {what} in {shares[0]}, {second} in {shares[1]}"
    sides = [pairs[f"made_of_{side}"] for side in "ab" if f"made_of_{side}" in pairs]
    changed = {changed_between([a], [b]) for a, b in set(zip(*sides, strict=True))} if sides else set[str]()
    return f"{max(changed)} {CHANGED}" if any(changed) else ""
