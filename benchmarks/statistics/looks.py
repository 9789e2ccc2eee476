"""Levels of the t test at looks of 5, 8 and 12 seeds, and of 5, 8, 12 and 18: the constants of ``report.study.looks``.

    python benchmarks/statistics/looks.py [--points 24] [--repeats 2]

A design spends a total error in shares, look by look (Lan and DeMets 1983): its level at a look is the p value that
studies without a difference reach there, and at no look before, with the share's probability. Published tables of
group-sequential designs hold for normal statistics and are too generous with t over so few seeds, so the levels are
counted in studies: scrambled Sobol points over mean and sum of squares of every block of seeds.

Levels must not grow where the total falls, or Holm's step-down is not valid. No p of five seeds lies below 2 / 4**5;
below the total whose share it is, the levels of later looks stay until the total is what they spend, and then keep
their shares of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from scipy.stats import qmc

from gan_bench.report.study.stats import coincidence

Array = NDArray[np.float64]

DESIGNS: dict[tuple[int, ...], tuple[float, ...]] = {
    (5, 8, 12): (5 / 12, 8 / 12, 1.0),
    (5, 8, 12, 18): (0.4, 0.6, 0.8, 1.0),
}
"""What is spent up to every look, as a share of the total."""
TOTALS = (0.5, 0.3, 0.2, 0.1, *(0.05 / tests for tests in (1, 1.5, 2, 3, 4, 6, 9)))
"""Totals at which all looks can decide; tables above 0.05 are for p values that are shown."""
SMALL = (0.002, 0.001, 0.0005)


def p_values(looks: Sequence[int], points: int, seed: int, *, known_spread: bool = False) -> Array:
    """Draw the p values of studies without a difference.

    Args:
        looks: Seeds at every look.
        points: Binary logarithm of the number of studies.
        seed: Seed of the scrambling.
        known_spread: Whether the statistic is normal, as published tables have it.

    Returns:
        (looks, studies) two-sided p values.
    """
    uniform = qmc.Sobol(2 * len(looks), seed=seed).random_base2(points).clip(1e-12, 1 - 1e-12)
    n, mean, squares, found = 0, np.zeros(len(uniform)), np.zeros(len(uniform)), []
    for index, look in enumerate(looks):
        k = look - n
        block_mean = special.ndtri(uniform[:, 2 * index]) / np.sqrt(k)
        block_squares = special.chdtri(k - 1, uniform[:, 2 * index + 1])
        gap = block_mean - mean if n else block_mean * 0
        squares = squares + block_squares + gap**2 * (n * k / (n + k))
        mean = mean + gap * k / (n + k) if n else block_mean
        n = look
        if known_spread:
            found.append(2 * special.ndtr(-np.abs(mean) * np.sqrt(n)))
        else:
            found.append(2 * special.stdtr(n - 1, -np.abs(mean) / np.sqrt(squares / (n - 1) / n)))
    return np.stack(found)


def levels(p: Array, spent: Sequence[float]) -> list[float]:
    """Return the levels at which studies are decided with these probabilities, look by look.

    Args:
        p: (looks, studies) p values.
        spent: Probability of a decision up to every look.
    """
    studies, is_open, before, found = p.shape[1], np.ones(p.shape[1], dtype=bool), 0.0, []
    for values, upto in zip(p, spent, strict=True):
        rank = round((upto - before) * studies)
        level = float(np.partition(values[is_open], rank)[rank])
        is_open &= values > level
        found.append(level)
        before = upto
    return found


def table(looks: tuple[int, ...], shares: tuple[float, ...], points: int, repeats: int) -> pd.DataFrame:
    """Make the table of a design: by total, the levels of all looks but the first."""
    draws = [p_values(looks, points, seed) for seed in range(repeats)]

    def mean_levels(start: int, spent: Sequence[float]) -> list[float]:
        return list(np.mean([levels(p[start:], spent) for p in draws], axis=0))

    last = float(coincidence(looks[0])) / shares[0]  # the least total of which the first look can spend its share
    rows = {total: mean_levels(0, [share * total for share in shares])[1:] for total in (*TOTALS, last)}
    spends = np.mean([[(p[1:i] <= np.array(rows[last])[: i - 1, None]).any(axis=0).mean() for p in draws]
                      for i in range(2, len(looks) + 1)], axis=1)  # fmt: skip
    rows[float(spends[-1])] = rows[last]
    for total in SMALL:
        rows[total] = mean_levels(1, list(spends / spends[-1] * total))
    return pd.DataFrame.from_dict(rows, orient="index", columns=[f"at {n}" for n in looks[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=24, help="binary logarithm of the studies of one repeat")
    parser.add_argument("--repeats", type=int, default=2)
    asked = parser.parse_args()
    for looks, shares in DESIGNS.items():
        print(f"\n{looks}: of a total, {shares[0]:.4g} of it at {looks[0]} seeds")
        frame = table(looks, shares, asked.points, asked.repeats)
        for total, row in frame.iterrows():
            print(f"    ({total:.6g}, {', '.join(f'{value:.5g}' for value in row)}),")


if __name__ == "__main__":
    main()
