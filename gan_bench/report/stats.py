"""Statistics over seeds, on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its confidence interval.

    Attributes:
        mean: The mean.
        low: Lower end, or None for fewer than two values.
        high: Upper end, or None for fewer than two values.
        n: Number of values.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean with Student's t interval, exact for normal values at any n >= 2 (Student 1908).

    A benchmark has few seeds; at n = 3 to 5 the t interval keeps its promise where a percentile bootstrap is far too
    narrow.

    Args:
        values: (n,) finite values, one per seed.
        confidence: Share of studies whose interval holds the true mean.

    Returns:
        The interval; without ends when n = 1.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError("a mean needs a non-empty list of finite values")
    mean = float(array.mean())
    if array.size == 1:
        return Interval(mean, None, None, 1)
    half = float(stats.t.ppf((1 + confidence) / 2, array.size - 1) * array.std(ddof=1) / np.sqrt(array.size))
    return Interval(mean, mean - half, mean + half, int(array.size))


def paired_difference(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean of ``second - first`` over equal seeds, with its interval.

    Args:
        first: (n,) values of one level, one per seed.
        second: (n,) values of the other, same seeds in the same order.
        confidence: As in ``mean_interval``.

    Raises:
        ValueError: Lengths differ, or a value is missing.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values must have equal lengths, got {a.shape} and {b.shape}")
    return mean_interval(b - a, confidence)
