"""Which version of a suite counts where a folder has trials of several: one rule for trials and for settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Protocol, TypeVar

import pandas as pd

from gan_bench.config.design import UNKNOWN
from gan_bench.records.plan import Suites
from gan_bench.report.study.frame import ENDED, FAULTY, WITHDRAWN

VERSIONS = (
    "Of several versions of a suite the newest counts of which all seeds of the first look have ended, or where no "
    "seeds were declared all that were planned; where that is known of none, the one with most finished seeds. One "
    "without a score to compare is passed over."
)
"""The rule, as people read it."""


@dataclass(frozen=True)
class Version:
    """How far a version of a suite has come with a setting.

    Attributes:
        number: The version.
        finished: Seeds with a finished trial, at each length of training.
        is_whole: Whether all seeds of the first look have ended, at all lengths of training that it asks for.
    """

    number: int
    finished: int
    is_whole: bool

    @property
    def rank(self) -> tuple[bool, int, int]:
        """What the version that counts has most of."""
        return (True, self.number, 0) if self.is_whole else (False, self.finished, self.number)


class _HasVersion(Protocol):
    """What is of a version."""

    @property
    def version(self) -> Version: ...


_T = TypeVar("_T", bound=_HasVersion)


def by_preference(olds: Iterable[_T], news: Iterable[_T]) -> list[tuple[_T, _T]]:
    """Return all pairs of two folders' versions, those first whose lesser version ranks highest.

    No pair comes before another one both of whose versions rank higher: where all can be compared, the first pair is
    that of the versions that count. Exchanging the folders changes no order but of pairs that are equal in it.
    """

    def preference(pair: tuple[_T, _T]) -> list[tuple[bool, int, int]]:
        old, new = (each.version.rank for each in pair)
        return [*sorted((old, new)), new]

    return sorted(product(olds, news), key=preference, reverse=True)


def version_of(rows: pd.DataFrame, plan: Suites) -> Version:
    """Return how far a version has come, from the rows of its trials of one setting as ``build_frames`` makes them."""
    lengths = [each for _, each in rows.groupby("epochs")]
    come = [_has_come(each, plan) for each in lengths]
    is_given_up = [bool((each["status"] == WITHDRAWN).any()) for each in lengths]
    is_whole = any(come) and all(map(max, come, is_given_up))
    finished = rows[rows["status"] == "done"].drop_duplicates(["epochs", "seed"])
    return Version(int(rows["suite_version"].iloc[0]), len(finished), is_whole)


def _has_come(rows: pd.DataFrame, plan: Suites) -> bool:
    """True if all seeds of the first look of a training have ended, or all planned where none is declared.

    Seeds that were added to those declared change no first look, but what an unknown plan declared is not known.
    """
    ended, config = set(rows["seed"][rows["status"].isin((*ENDED, *FAULTY))]), rows["config"].iloc[0]
    design = plan.design(*(config[name] for name in ("suite", "suite_version", "profile", "dataset")))
    if design is None:  # planned before there were designs
        return bool(ended) and set(rows["seed"][rows["status"] != WITHDRAWN]) <= ended
    return design != UNKNOWN and set(design.first(design.looks[0])) <= ended
