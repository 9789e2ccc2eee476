"""Collapsed and diverged runs of settings in two folders, and whether an increase is chance.

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


Counts = tuple[int, int, int]
"""Events of the older folder, those of the newer one, and how many runs either has."""


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
        unseen: Those of them that were not looked at for collapses in both folders, of which divergence alone counts.
    """

    study: str
    setting: str
    old: int
    new: int
    runs: int
    is_unpaired: bool = False
    unseen: Counts = (0, 0, 0)

    @property
    def all_runs(self) -> Counts:
        """The counts of all runs."""
        return self.old, self.new, self.runs

    @property
    def seen(self) -> Counts:
        """The counts of runs that both folders looked at."""
        old, new, runs = self.unseen
        return self.old - old, self.new - new, self.runs - runs

    @property
    def are_more(self) -> bool:
        """Whether the newer folder has more."""
        return self.new > self.old

    @property
    def p(self) -> float:
        """The chance of at least as many in the newer folder, given the total of both."""
        return fisher_together([self])

    @property
    def least_p(self) -> float:
        """The least possible ``p``: with as many events in the newer folder as possible."""
        return math.prod(_chances(runs, old + new)[1][-1] for old, new, runs in (self.seen, self.unseen))

    @property
    def turned(self) -> Collapses:
        """The same with the folders exchanged."""
        old, new, runs = self.unseen
        return replace(self, old=self.new, new=self.old, unseen=(new, old, runs))

    def __str__(self) -> str:
        """Return the counts."""
        return f"{self.new} of {plural(self.runs, 'run')} collapsed or diverged, {self.old} before"


@cache
def _chances(runs: int, total: int) -> tuple[int, tuple[float, ...]]:
    """Return the least count of a side, given the total of both, and the chances of it and of all higher ones."""
    counts = range(max(0, total - runs), min(total, runs) + 1)
    ways = math.comb(2 * runs, total)
    return counts[0], tuple(math.comb(runs, k) * math.comb(runs, total - k) / ways for k in counts)


def fisher_together(settings: Iterable[Collapses]) -> float:
    """Return Fisher's (1935) exact one-sided p value that newer sides of settings have no higher chance of an event.

    Each setting has a chance of its own (Cochran 1954; exact). Those runs of a setting that were not looked at
    have another one: one more of them that diverges never makes p larger, as it may where both kinds are added up.
    """
    least, more, chances = 0, 0, np.ones(1)
    for old, new, runs in (counts for each in settings for counts in (each.seen, each.unseen)):
        start, own = _chances(runs, old + new)
        least, more, chances = least + start, more + new, np.convolve(chances, own)
    return min(1.0, float(chances[more - least :].sum()))


def chance_of_all(settings: Sequence[Collapses]) -> float:
    """Return an upper bound of the chance that all newer runs of settings have an event and no older one; else 1.

    Asked of all runs, and of those that both folders looked at: others must not excuse these.
    """
    kinds = [each.all_runs for each in settings], [each.seen for each in settings]
    totals = (np.sum(counts, axis=0).tolist() for counts in kinds)
    return min((0.25**runs for old, new, runs in totals if old == 0 and new == runs >= FEW), default=1.0)


def tests_of(settings: Sequence[Collapses], level: float) -> int:
    """Return the number of tests that can reach a level (Tarone 1990).

    Those that can reach it at all with the events that they have: one in which nothing collapsed is no test.
    """
    number = 1
    while sum(each.least_p <= level / number for each in settings) > number:
        number += 1
    return number


def worse_settings(settings: Sequence[Collapses]) -> list[Collapses]:
    """Return the settings with more collapses than chance explains.

    Holm's steps over the settings whose test can reach the level at all: see ``tests_of``. Besides, all runs
    of a setting that had no event before are worse where the chance of that, at most 1 / 4^runs of a setting, is small
    for all settings that have events.

    Args:
        settings: All that two folders have.
    """
    able = [each for each in settings if each.least_p <= ALPHA / tests_of(settings, ALPHA)]
    found = set[Collapses]()
    for left, each in zip(range(len(able), 0, -1), sorted(able, key=lambda one: one.p), strict=True):
        if each.p > ALPHA / left:
            break
        found.add(each)
    eventful = [each for each in settings if each.old + each.new]
    found |= {each for each in eventful if len(eventful) * chance_of_all([each]) <= ALPHA}
    return [each for each in settings if each in found]


def better_settings(settings: Sequence[Collapses]) -> list[Collapses]:
    """Return the settings with fewer collapses than chance explains."""
    turned = [each.turned for each in settings]
    worse = worse_settings(turned)
    return [each for each, other in zip(settings, turned, strict=True) if other in worse]


def worse_together(settings: Sequence[Collapses]) -> str:
    """Return the collapses over all settings if they are more than chance explains, else an empty text."""
    eventful = [each for each in settings if each.old + each.new]
    old, new, runs = (sum(getattr(each, name) for each in settings) for name in ("old", "new", "runs"))
    if len(eventful) < 2 or (fisher_together(eventful) > TOGETHER and chance_of_all(settings) > TOGETHER):
        return ""
    return f"of all {len(settings)} settings together {new} of {runs} runs collapsed or diverged, {old} before"
