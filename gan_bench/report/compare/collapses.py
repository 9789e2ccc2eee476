"""How many runs of a setting collapsed or diverged in two folders, and whether more of them are chance.

Both are events: equal code has them at random in other runs, so that only their counts say whether it got worse.
``benchmarks/statistics/collapses.py`` simulates how often these rules err, and what they find.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from gan_bench.core.text import plural
from gan_bench.report.study.stats import ALPHA, FEW

TOGETHER = ALPHA / 2
"""Level of the test of all settings together, beside that of each at ``ALPHA``.

These tests are discrete: of up to 20 settings both err in less than ``ALPHA`` together, of 40 in up to 5.8 %.
"""


@dataclass(frozen=True)
class Collapses:
    """Runs of a setting that collapsed or diverged, of those that ended in both folders.

    Attributes:
        study: Title of its study.
        setting: Its label in the older folder.
        old: How many did in the older folder.
        new: How many in the newer one.
        runs: How many runs either side has.
        is_unpaired: Whether some diverged and no seed has a score in both folders.
    """

    study: str
    setting: str
    old: int
    new: int
    runs: int
    is_unpaired: bool = False

    @property
    def are_more(self) -> bool:
        """Whether the newer folder has more."""
        return self.new > self.old

    @property
    def p(self) -> float:
        """The chance of as many in the newer folder or more, given how many both have together: see ``fisher``."""
        return fisher(self.old, self.new, self.runs)

    @property
    def least_p(self) -> float:
        """What it would be, had the newer folder as many of them as it can have."""
        most = min(self.old + self.new, self.runs)
        return fisher(self.old + self.new - most, most, self.runs)

    @property
    def is_total(self) -> bool:
        """Whether all runs did, and none before."""
        return self.runs >= FEW and self.old == 0 and self.new == self.runs

    def __str__(self) -> str:
        """Return the counts."""
        return f"{self.new} of {plural(self.runs, 'run')} collapsed or diverged, {self.old} before"


@cache
def _chances(runs: int, total: int) -> tuple[int, tuple[float, ...]]:
    """Return the least count of a side, given the total of both, and the chances of it and of all higher ones."""
    counts = range(max(0, total - runs), min(total, runs) + 1)
    ways = math.comb(2 * runs, total)
    return counts[0], tuple(math.comb(runs, k) * math.comb(runs, total - k) / ways for k in counts)


def fisher(old: int, new: int, runs: int) -> float:
    """Return Fisher's (1935) exact one-sided p value that a newer side has no higher chance of an event.

    Args:
        old: Events of the older side.
        new: Events of the newer side.
        runs: Runs of either side.
    """
    least, chances = _chances(runs, old + new)
    return min(1.0, math.fsum(chances[new - least :]))


def fisher_together(settings: Iterable[Collapses]) -> float:
    """Return the same of settings together, each with a chance of its own (Cochran 1954; exact)."""
    least, more, chances = 0, 0, np.ones(1)
    for each in settings:
        start, own = _chances(each.runs, each.old + each.new)
        least, more, chances = least + start, more + each.new, np.convolve(chances, own)
    return min(1.0, float(chances[more - least :].sum()))


def worse_settings(settings: Sequence[Collapses]) -> list[Collapses]:
    """Return the settings of which more collapsed than chance explains.

    Holm's steps over the settings whose test can reach the level at all, with the events that they have (Tarone 1990):
    one in which nothing collapsed is no test. Besides, all runs of a setting that had no event before are worse where
    the chance of that, at most 1 / 4^runs of a setting, is small for all settings that have events.

    Args:
        settings: All that two folders have.
    """
    steps = 1
    while sum(each.least_p <= ALPHA / steps for each in settings) > steps:
        steps += 1
    able = [each for each in settings if each.least_p <= ALPHA / steps]
    found = set[Collapses]()
    for left, each in zip(range(len(able), 0, -1), sorted(able, key=lambda one: one.p), strict=True):
        if each.p > ALPHA / left:
            break
        found.add(each)
    eventful = sum(each.old + each.new > 0 for each in settings)
    found |= {each for each in settings if each.is_total and eventful * 0.25**each.runs <= ALPHA}
    return [each for each in settings if each in found]


def better_settings(settings: Sequence[Collapses]) -> list[Collapses]:
    """Return the settings of which fewer collapsed than chance explains: those that are worse the other way round."""
    turned = [replace(each, old=each.new, new=each.old) for each in settings]
    worse = worse_settings(turned)
    return [each for each, other in zip(settings, turned, strict=True) if other in worse]


def worse_together(settings: Sequence[Collapses]) -> str:
    """Return how many runs of all settings collapsed where these are more than chance explains, or nothing."""
    eventful = [each for each in settings if each.old + each.new]
    old, new, runs = (sum(getattr(each, name) for each in settings) for name in ("old", "new", "runs"))
    is_total = runs >= FEW and old == 0 and new == runs  # a chance of 1 / 4^runs at most, as of all runs of a setting
    if len(eventful) < 2 or (fisher_together(eventful) > TOGETHER and not is_total):
        return ""
    return f"of all {len(settings)} settings together {new} of {runs} runs collapsed or diverged, {old} before"
