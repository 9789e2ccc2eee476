"""Cut trials into tasks that are worth their start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gan_bench.config.trial import Trial

LEAST_SECONDS = 60.0
"""Expected seconds of a task's trials: a task on a GPU starts a process and loads torch, images and extractors, which
takes several seconds."""

Group = tuple[Trial, ...]
"""Trials that train together; most groups have one."""


@dataclass(frozen=True)
class Bundle:
    """What one task carries out.

    Attributes:
        groups: The groups, one after the other.
        retry: Whether an earlier task with these trials was lost.
    """

    groups: tuple[Group, ...]
    retry: bool = False

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All its trials."""
        return tuple(trial for group in self.groups for trial in group)

    def without(self, done: Callable[[Trial], bool]) -> tuple[Group, ...]:
        """Return the groups with the trials that are not done, empty groups left out."""
        left = [tuple(trial for trial in group if not done(trial)) for group in self.groups]
        return tuple(group for group in left if group)


def make_bundles(groups: Iterable[Sequence[Trial]], seconds: Callable[[Trial], float], slots: int) -> list[Bundle]:
    """Put groups into bundles of at least ``LEAST_SECONDS``, or of an equal share for every place where that is less.

    Args:
        groups: Trials that train together.
        seconds: Expected seconds of a trial, or of its share of its group's.
        slots: How many tasks run at a time.
    """
    pieces = [tuple(group) for group in groups]
    costs = [sum(map(seconds, piece)) for piece in pieces]
    enough = min(LEAST_SECONDS, sum(costs) / max(slots, 1))
    bundles: list[Bundle] = []
    open_groups: list[Group] = []
    filled = 0.0
    for piece, cost in zip(pieces, costs, strict=True):
        open_groups.append(piece)
        filled += cost
        if filled >= enough:
            bundles.append(Bundle(tuple(open_groups)))
            open_groups, filled = [], 0.0
    if open_groups:
        bundles.append(Bundle(tuple(open_groups)))
    return bundles
