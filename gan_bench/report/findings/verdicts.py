"""Comparisons at the looks of their study -> verdicts: the rows of a factor's table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from gan_bench.config.design import Design, Look
from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.report.findings.pairs import Paired, paired
from gan_bench.report.study.looks import FUTILE, is_equivalent, level, look_needed, may_be_equivalent, repeated_p
from gan_bench.report.study.stats import (
    ALPHA,
    Verdict,
    coincidence,
    effect_size,
    holm,
    improvement_probability,
    seeds_needed,
    verdict_of,
)
from gan_bench.report.study.table import arrow, put_interval

Sides = tuple[str, str, str, pd.DataFrame]
"""A comparison: recipe, level A, level B, and pairs with a seed and whether anything of the pair is left to train,
``open``; for each side, with the endings ``_a`` and ``_b``, a column ``METRIC``, and whether the trial was lost,
``bad``, or its generator ``collapsed``."""


@dataclass(frozen=True)
class Comparison:
    """Two sides at the look that they have reached.

    Attributes:
        pair: Their difference over the seeds that count.
        pairs: The pairs of these seeds.
        look: Where they stand in the design.
        design: Which seeds verdicts are made at.
        repeated: The p value that allows for all looks; None where nothing is judged yet.
    """

    pair: Paired
    pairs: pd.DataFrame
    look: Look
    design: Design
    repeated: float | None

    @property
    def in_family(self) -> bool:
        """Whether it is a test that others of its table are corrected for, now or at a later look."""
        return self.pair.metric == primary_measure() and (self.repeated is not None or self.look.next is not None)

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
        if self.repeated is None:
            return True
        if unequal(self.pairs, "A", "B"):
            return False
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


def compared(pairs: pd.DataFrame, metric: str, design: Design) -> Comparison | None:
    """Compare two sides over the seeds of the last complete look, or before the first over all that are there.

    Args:
        pairs: As in ``Sides``.
        metric: The measure.
        design: Which seeds verdicts are made at.

    Returns:
        The comparison, or None where no pair has values.
    """
    a, b = f"{metric}_a", f"{metric}_b"
    if a not in pairs or b not in pairs:
        return None
    design = design.of(set(pairs["seed"]))
    look = design.at(set(pairs["seed"]) - set(pairs["seed"][pairs["open"]]))
    counted = pairs[pairs["seed"].isin(look.seeds)] if look.number else pairs
    known = counted[["seed", a, b]].dropna()
    if known.empty:
        return None
    judged = look.number > 0 and not design.extended
    pair = paired(metric, known[a], known[b], known["seed"], level(design.looks, look.number) if judged else ALPHA)
    repeated = repeated_p(design.looks, look.number, pair.p) if judged else pair.p
    tested = look.number > 0 and len(pair.values) > 1
    return Comparison(pair, counted, look, design, repeated if tested else None)


def corrected(p_values: Sequence[float | None], design: Design) -> list[float]:
    """Correct the p values of one table for their number.

    Where equivalence may be claimed as well, no step-down is valid, and each is multiplied by their number.

    Args:
        p_values: Repeated ones; None, of a comparison whose look is to come, counts as one.
        design: Of the study.
    """
    known = [1.0 if p is None else p for p in p_values]
    return holm(known) if design.margin is None else [min(1.0, len(known) * p) for p in known]


def unequal(pairs: pd.DataFrame, first: str, second: str) -> str:
    """Return how two sides differ in collapsed or lost trials, or nothing: such a difference no t test judges.

    Where one of two settings with equal geometric means collapses in 20 % of its runs and the other never, the test
    decides falsely in 31 % of studies of five seeds and in 8 % of twelve: most studies have not seen the collapse.
    """
    for column, what in (("bad", "failed"), ("collapsed", "collapsed")):
        counts = [int(pairs[f"{column}_{side}"].sum()) for side in "ab"]
        if counts[0] != counts[1]:
            shares = [f"{count} of {len(pairs)}" if count else "none" for count in counts]
            return f"{first} {what} in {shares[0]}, {second} in {shares[1]}"
    return ""


def verdict_rows(
    sides: Iterable[Sides],
    metrics: Sequence[str],
    noise: Callable[[str], float],
    design: Design,
    beside: int = 0,
) -> list[dict[str, object]]:
    """Judge comparisons that share a table.

    Args:
        sides: The comparisons.
        metrics: Measures to compare; the tests of the primary one are corrected for their number, the others are
            exploratory.
        noise: The noise of scoring, by measure; smaller differences are ties.
        design: Which seeds verdicts are made at.
        beside: Tests that count though they are not shown.

    Returns:
        Rows for ``factors.COLUMNS``; also ``found``, the verdict as one word, ``why`` a test is withheld, ``open``,
        whether another look is worth its seeds, ``too_noisy``, whether equivalence is out of reach, and ``settings``,
        the labels of those that the row compares.
    """
    known = list(sides)
    made = [(side, found) for side in known for each in metrics if (found := compared(side[3], each, design))]
    family = [found for _, found in made if found.in_family]
    values = corrected([*(found.repeated for found in family), *[None] * (beside if family else 0)], design)
    by_test = {id(found): p for found, p in zip(family, values, strict=False)}
    tests = len(values)
    rows = [_row(side, found, by_test.get(id(found)), tests, noise(found.pair.metric)) for side, found in made]
    return [*rows, *(row for side in known if (row := _all_failed(*side)) is not None)]


def _all_failed(recipe: str, first: str, second: str, pairs: pd.DataFrame) -> dict[str, object] | None:
    """Make the row of two levels one of which failed in every seed; None for others."""
    failed = [level for level, bad in ((first, pairs["bad_a"]), (second, pairs["bad_b"])) if len(pairs) and bad.all()]
    if not failed:
        return None
    metric = primary_measure()
    empty = ("first", "second", "effect", "improvement", "p", "repeated", "corrected", "permutation", "needed", "next")
    row: dict[str, object] = {
        **dict.fromkeys(empty),
        **{"recipe": recipe, "key": metric, "metric": arrow(metric), "first_level": first, "second_level": second},
        **{"found": "undecided", "winner": "", "more": "", "pairs": 0, "seeds": 0, "open": False, "too_noisy": False},
        "settings": (),
        "collapses": 0,
        "why": f"{' and '.join(failed)} failed in every seed",
        "lost": len(pairs),
    }
    row["verdict"] = f"undecided: {row['why']}"
    put_interval(row, "difference", None)
    put_interval(row, "ratio", None)
    return row


def _row(side: Sides, made: Comparison, corrected_p: float | None, tests: int, noise: float) -> dict[str, object]:
    recipe, first, second, _ = side
    pair, pairs, look, design = made.pair, made.pairs, made.look, made.design
    known = int(pairs[[f"{pair.metric}_a", f"{pair.metric}_b"]].notna().all(axis=1).sum())
    tested, confirmatory = made.repeated is not None, pair.metric == primary_measure()
    found, why = _verdict(made, corrected_p, tests, noise, (first, second))
    wanted = tested and confirmatory and not why and found in ("undecided", "not judged") and not design.extended
    needed = _needed(made, max(1, tests)) if wanted else None
    row: dict[str, Any] = {
        "recipe": recipe,
        "key": pair.metric,
        "metric": arrow(pair.metric),
        "first_level": first,
        "second_level": second,
        "first": pair.first,
        "second": pair.second,
        "found": found,
        "why": why,
        "open": confirmatory and made.is_open(found, tests),
        "too_noisy": _is_too_noisy(made, max(1, tests)),
        "settings": tuple(sorted({*pairs.get("label_a", ()), *pairs.get("label_b", ())})),
        "winner": second if pair.second_is_better else first,
        "effect": effect_size(pair.values),
        "improvement": improvement_probability(pair.values, lower_is_better=MEASURES[pair.metric].lower_is_better)
        if len(pair.values) > 1
        else None,
        "p": pair.p if tested else None,
        "repeated": made.repeated if len(design.looks) > 1 else None,
        "corrected": corrected_p if tested else None,
        "permutation": pair.permutation_p,
        "needed": needed,
        "collapses": int(pairs["collapsed_a"].sum() + pairs["collapsed_b"].sum()),
        "next": look.next,
        "more": "" if not wanted else str(needed) if needed else "over 1000" if design.is_fixed else "no look",
        "pairs": known,
        "lost": len(pairs) - known,
        "seeds": len(pair.values),
    }
    shown = pair.shown if tested else replace(pair.shown, low=None, high=None)
    put_interval(row, "difference", None if pair.ratio else shown)
    put_interval(row, "ratio", shown if pair.ratio else None)
    lost = int(pairs["bad_a"].sum() + pairs["bad_b"].sum())
    row["verdict"] = _words(row, design, confirmatory=confirmatory) + (f" ({lost} lost)" if lost and not why else "")
    return row


def _verdict(
    made: Comparison, corrected_p: float | None, tests: int, noise: float, names: tuple[str, str]
) -> tuple[Verdict, str]:
    """Return the verdict on a comparison, and why none is made where the test's is withheld."""
    pair, look, design = made.pair, made.look, made.design
    confirmatory = pair.metric == primary_measure()
    if made.repeated is None:
        return "not judged", ""
    p = made.repeated if corrected_p is None or design.extended else corrected_p
    found = verdict_of(pair.interval, noise, p, may_decide=confirmatory and not design.extended)
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
    if made.design.is_fixed:
        return seeds_needed(made.pair.values, tests=tests)
    return look_needed(made.design.looks, made.look.number, made.pair.values, tests)


def _words(row: Mapping[str, Any], design: Design, *, confirmatory: bool) -> str:
    """Write a verdict, and when there is another one."""
    found, following = row["found"], f" (next look at {row['next']} seeds)" if row["next"] else ""
    if row["why"]:
        return f"undecided: {row['why']}"
    if not confirmatory:
        return f"exploratory: {row['winner']}" if found == "probable" else str(found)
    if found == "not judged" and not row["next"]:
        return "not judged: one seed"
    if found in ("undecided", "not judged"):
        return f"{found}{following if row['open'] else ', given up' if row['next'] else ''}"
    if found == "equivalent":
        return f"equivalent within {design.margin:.0%}"
    return {"decided": str(row["winner"]), "probable": f"probably {row['winner']}"}.get(found, str(found))
