"""Unpaired comparisons of two samples of scores, such as of two machines, and verdicts on a table of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gan_bench.report.study.stats import ALPHA, FEW, coincidence, holm

Judgement = Literal["equivalent", "different", "undecided", "not judged"]


def welch_test(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Return the difference of the means of two unpaired samples, its standard error and its degrees of freedom.

    Args:
        first: (n,) values, n at least 2.
        second: (m,) values, m at least 2.

    Returns:
        Second minus first; its error, 0 where neither sample varies; degrees of freedom (Welch 1947).
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    shares = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    weights = shares[0] ** 2 / (len(a) - 1) + shares[1] ** 2 / (len(b) - 1)
    return float(b.mean() - a.mean()), math.sqrt(sum(shares)), sum(shares) ** 2 / weights if weights else math.inf


@dataclass(frozen=True)
class Welch:
    """Two unpaired samples, compared by Welch's t (1947).

    Attributes:
        difference: Mean of the second minus mean of the first.
        low: Lower end of its 95 % interval.
        high: Upper end.
        seeds: Values of the smaller sample.
        p: Two-sided p value that there is no difference, at least ``coincidence`` of the smaller sample.
        p_equivalent: The larger of two one-sided tests against the margin (Schuirmann 1987), at least the same.
    """

    difference: float
    low: float
    high: float
    seeds: int
    p: float
    p_equivalent: float


def welch(first: ArrayLike, second: ArrayLike, margin: float) -> Welch:
    """Compare two unpaired samples.

    Args:
        first: (n,) values, n at least 2.
        second: (m,) values, m at least 2.
        margin: Largest difference that counts as none.
    """
    difference, error, freedom = welch_test(first, second)
    half = float(special.stdtrit(freedom, 1 - ALPHA / 2)) * error
    size = abs(difference)
    if error:
        p, beyond = (float(special.stdtr(freedom, x / error)) for x in (-size, size - margin))
    else:
        p, beyond = float(size == 0) / 2, float(size > margin)
    seeds = min(np.size(first), np.size(second))
    least = float(coincidence(seeds))
    return Welch(difference, difference - half, difference + half, seeds, max(2 * p, least), max(beyond, least))


def judged_together(found: Sequence[Welch], *, collapsed: Sequence[bool] = ()) -> list[tuple[Judgement, float | None]]:
    """Judge the comparisons of a table.

    Equivalent: both one-sided tests hold at the level divided by their number, as in reports, and no run was seen to
    collapse: so few seeds do not say how often that happens. Different: the p value with Holm's steps is at most the
    level. Both can hold, of a small difference known well: then it is equivalent. Fewer than ``FEW`` values of a side
    are not judged and are no test.

    Args:
        found: The comparisons.
        collapsed: Of each whether runs of either side collapsed; none did when it is empty.

    Returns:
        For each the judgement and the corrected p value, None without one.
    """
    tested = [i for i, each in enumerate(found) if each.seeds >= FEW]
    p_values = dict(zip(tested, holm([found[i].p for i in tested]), strict=True)) if tested else {}
    verdicts = list[tuple[Judgement, float | None]]()
    for i, each in enumerate(found):
        is_equivalent = each.p_equivalent * len(tested) <= ALPHA and not (collapsed and collapsed[i])
        judgement: Judgement = (
            "not judged" if i not in p_values
            else "equivalent" if is_equivalent
            else "different" if p_values[i] <= ALPHA
            else "undecided"
        )  # fmt: skip
        verdicts.append((judgement, p_values.get(i)))
    return verdicts
