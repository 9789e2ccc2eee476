"""Two sides over equal seeds: their difference on the scale of the measure, its interval and its test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gan_bench.config.measures import MEASURES
from gan_bench.report.study.stats import (
    ALPHA,
    FEW,
    Interval,
    paired_test,
    ratio_of,
    sign_flip_test,
    t_interval,
)

PERMUTATION_SEEDS = 6
"""Below so many seeds no permutation test reaches 0.05: 2 / 2**5 = 0.0625."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two sides compared over their common seeds.

    Attributes:
        metric: The measure.
        ratio: Whether side B is set against A as a ratio: differences are then of logarithms.
        first: Mean of A; the geometric mean for a ratio.
        second: The same of B.
        values: (n,) differences B - A on the test's scale, one per seed.
        interval: Their mean with its interval at ``1 - level``, on the test's scale.
        p: What ``paired_test`` says.
        permutation_p: What a permutation test says, or None below ``PERMUTATION_SEEDS``.
    """

    metric: str
    ratio: bool
    first: float
    second: float
    values: NDArray[np.float64]
    interval: Interval
    p: float
    permutation_p: float | None

    @property
    def second_is_better(self) -> bool:
        """True if B is ahead."""
        return (self.interval.estimate < 0) == MEASURES[self.metric].lower_is_better

    @property
    def is_even(self) -> bool:
        """True if neither is ahead, as when both sides are the same training."""
        return self.interval.estimate == 0

    @property
    def shown(self) -> Interval:
        """The displayed interval: of B / A for a ratio, else of B - A; without ends below ``FEW`` seeds."""
        i, back = self.interval, ratio_of if self.ratio else float
        ends = (None, None) if i.n < FEW else (i.low, i.high)
        low, high = (None if end is None else back(end) for end in ends)
        return Interval(back(i.estimate), low, high, i.n)


def paired(
    metric: str, first: ArrayLike, second: ArrayLike, seeds: ArrayLike | None = None, level: float = ALPHA
) -> Paired:
    """Compare two sides.

    Several pairs of one seed are averaged first: seeds are what is resampled, settings are not.

    Args:
        metric: The measure, which says whether ratios are compared.
        first: (k,) values of A.
        second: (k,) values of B, each with the seed of its partner.
        seeds: (k,) their seeds; all different when None.
        level: Of the test; the interval holds the mean in all but this share of studies.

    Raises:
        ValueError: Of several values one is not finite.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    ratio = MEASURES[metric].log_scale and bool((a > 0).all() and (b > 0).all())
    if ratio:
        a, b = np.log(a), np.log(b)
    gaps = b - a
    if seeds is not None:
        _, place = np.unique(np.asarray(seeds), return_inverse=True)
        counts = np.bincount(place)
        a, b, gaps = (np.bincount(place, each) / counts for each in (a, b, gaps))
    mean = float(gaps.mean())
    back = np.exp if ratio else np.asarray
    return Paired(
        metric=metric,
        ratio=ratio,
        first=float(back(a.mean())),
        second=float(back(b.mean())),
        values=gaps,
        interval=t_interval(gaps, 1 - level) if gaps.size > 1 else Interval(mean, None, None, 1),
        p=float(paired_test(gaps)),
        permutation_p=sign_flip_test(gaps) if gaps.size >= PERMUTATION_SEEDS else None,
    )
