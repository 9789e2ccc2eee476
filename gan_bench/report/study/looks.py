"""Levels of the paired t test at several looks, which keep verdicts valid when seeds are added.

A test at 5, 8 and 12 seeds, each at 0.05, errs in 11 % of studies without a difference. A design with declared looks
spends the 5 % over them, in proportion to seeds, and every p value becomes a *repeated* one: the least total level at
which its look decides. Holm's correction takes it as it takes any other (Maurer and Bretz 2013).

``benchmarks/statistics/looks.py`` computes the levels; ``docs/statistics.md`` explains them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import count

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gan_bench.config.design import FEWEST, Design, Look
from gan_bench.report.study.stats import ALPHA, coincidence

Levels = NDArray[np.float64]

FIRST = {(5, 8, 12): 5 / 12, (5, 8, 12, 18): 0.4}
"""Fraction of the total level spent at the first look."""
TABLES = {
    (5, 8, 12): (
        (0.5, 0.24411, 0.37137),
        (0.3, 0.13434, 0.19781),
        (0.2, 0.084117, 0.12175),
        (0.1, 0.038229, 0.054111),
        (0.05, 0.017619, 0.024588),
        (0.0333333, 0.011264, 0.015631),
        (0.025, 0.0082193, 0.011386),
        (0.0166667, 0.0052985, 0.0072823),
        (0.0125, 0.0038838, 0.0053284),
        (0.00833333, 0.0025146, 0.003448),
        (0.00555556, 0.0016371, 0.002239),
        (0.0046875, 0.0013685, 0.0018732),
        (0.00296926, 0.0013685, 0.0018732),
        (0.002, 0.00091851, 0.001242),
        (0.001, 0.00046114, 0.00060303),
        (0.0005, 0.0002296, 0.00029487),
    ),
    (5, 8, 12, 18): (
        (0.5, 0.20566, 0.24762, 0.29311),
        (0.3, 0.11244, 0.12986, 0.14702),
        (0.2, 0.07008, 0.078929, 0.087527),
        (0.1, 0.031626, 0.03453, 0.037408),
        (0.05, 0.01449, 0.015472, 0.016547),
        (0.0333333, 0.0092325, 0.0097793, 0.010374),
        (0.025, 0.0067314, 0.0070948, 0.0074934),
        (0.0166667, 0.0043247, 0.0045289, 0.0047647),
        (0.0125, 0.0031648, 0.0032954, 0.0034673),
        (0.00833333, 0.0020438, 0.0021228, 0.0022313),
        (0.00555556, 0.0013276, 0.0013704, 0.0014324),
        (0.00488281, 0.0011574, 0.0011927, 0.0012476),
        (0.00315177, 0.0011574, 0.0011927, 0.0012476),
        (0.002, 0.00073424, 0.00074068, 0.00077125),
        (0.001, 0.00036739, 0.00036129, 0.00037446),
        (0.0005, 0.00018383, 0.00017652, 0.00018174),
    ),
}
"""By design: total level, and the levels at its second and later looks. From 33,554,432 studies each; the last digits
are noise. Where the total falls, no level grows."""


FUTILE = (0.5, 0.2)
"""P values above which a comparison is given up at the first and at the second look."""


@cache
def _columns(looks: tuple[int, ...], index: int) -> tuple[Levels, Levels]:
    """Return totals and levels of a look as increasing logarithms."""
    rows = np.log(np.array(TABLES[looks]))[::-1]
    return rows[:, 0], rows[:, index]


def level(looks: Sequence[int], look: int, total: float = ALPHA) -> float:
    """Return the level of the t test at one look, so that all looks together err in ``total`` of studies.

    Args:
        looks: Numbers of seeds of all looks.
        look: One of them.
        total: In (0, 1].

    Returns:
        The level. Where no levels were computed for these looks, the share of the total that the look's new seeds
        are of all seeds: valid for any looks (Bonferroni), and smaller.
    """
    every = tuple(looks)
    index = every.index(look)
    if len(every) == 1:
        return total
    if every not in TABLES:
        return total * (look - (every[index - 1] if index else 0)) / every[-1]
    if index == 0:
        return total * FIRST[every]
    totals, found = _columns(every, index)
    return float(np.exp(_line(np.log(total), totals, found)))


def level_at(design: Design, look: Look) -> float:
    """Return the level of the interval at a look: that of its test, if it may decide."""
    return level(design.looks, look.number) if design.may_decide(look) else ALPHA


def repeated_p(looks: Sequence[int], look: int, p: float) -> float:
    """Return the least total level at which a look decides: the p value that allows for all looks.

    Args:
        looks: Numbers of seeds of all looks.
        look: One of them.
        p: What the t test says at it, in [0, 1].
    """
    every = tuple(looks)
    index = every.index(look)
    if len(every) == 1 or p == 0:
        return p
    if every not in TABLES:
        return min(1.0, p * every[-1] / (look - (every[index - 1] if index else 0)))
    if index == 0:
        return min(1.0, p / FIRST[every])
    totals, found = _columns(every, index)
    above = found + 1e-9 * np.append(False, np.diff(found) == 0)  # if two totals have one level, the smaller is used
    return min(1.0, float(np.exp(_line(np.log(p), above, totals))))


def can_decide(design: Design, look: Look, seeds: int, tests: int) -> bool:
    """True if so many seeds of a look can decide one of so many tests; no p is below ``coincidence``."""
    return design.may_decide(look) and tests * repeated_p(design.looks, look.number, float(coincidence(seeds))) <= ALPHA


def fewest_seeds(tests: int) -> int:
    """Return the fewest seeds of a fixed list that can decide one of so many tests."""
    return next(seeds for seeds in count(FEWEST) if tests * float(coincidence(seeds)) <= ALPHA)


def is_equivalent(looks: Sequence[int], values: ArrayLike, margin: float, tests: int) -> bool:
    """True if paired differences are shown to lie within a margin, at the last look.

    Two one-sided t tests (Schuirmann 1987), the larger p at least ``coincidence``, at the level of the look for its
    share of the total. It costs no error beside the test of a difference: where one of them is false the other is not
    (Goeman, Solari and Stijnen 2010).

    Args:
        looks: Numbers of seeds of all looks.
        values: (n,) paired differences.
        margin: Largest mean difference that counts as none.
        tests: Comparisons of the table.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return False
    mean, error = abs(float(array.mean())), float(array.std(ddof=1)) / np.sqrt(array.size)
    if mean >= margin:
        return False
    p = float(special.stdtr(array.size - 1, (mean - margin) / error)) if error > 0 else 0.0
    return max(p, float(coincidence(array.size))) <= level(looks, looks[-1], ALPHA / tests)


def may_be_equivalent(looks: Sequence[int], values: ArrayLike, margin: float, tests: int) -> bool:
    """True if the last look could show equivalence with the present mean and spread.

    Args:
        looks: Numbers of seeds of all looks.
        values: (n,) paired differences, n at least 2.
        margin: Largest mean difference that counts as none.
        tests: Comparisons of the table.
    """
    array = np.asarray(values, dtype=np.float64)
    quantile = special.stdtrit(looks[-1] - 1, 1 - level(looks, looks[-1], ALPHA / tests))
    reach = quantile * float(array.std(ddof=1)) / np.sqrt(looks[-1])
    return bool(abs(float(array.mean())) + reach <= margin)


def _line(x: float, xs: Levels, ys: Levels) -> float:
    """Interpolate; extrapolate in proportion, with a slope of one between logarithms."""
    if x <= xs[0]:
        return float(ys[0] + x - xs[0])
    if x >= xs[-1]:
        return float(ys[-1] + x - xs[-1])
    return float(np.interp(x, xs, ys))
