"""How trials are cut into tasks, and what the dispatcher asks of the transport that carries those to where they run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gan_bench.config.trial import Trial
from gan_bench.execution.trial.claim import Claim

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


Handle = Hashable
"""Names a task under way."""


@dataclass(frozen=True)
class Ended:
    """A task that ended.

    Attributes:
        handle: Which.
        claims: What came of its trials, by id.
        loss: Why it ended without all of them, in one sentence with the remedy, or None. An error of a trial itself is
            no loss but a claim, so what stands here may go better on another node.
    """

    handle: Handle
    claims: Mapping[str, Claim] = field(default_factory=dict)
    loss: str | None = None


class Transport(Protocol):
    """Carries bundles to where they run, and brings back what is said there."""

    def slots(self) -> int:
        """Return how many tasks can run at a time now."""

    def submit(self, bundle: Bundle) -> Handle:
        """Hand over a bundle; it runs when there is room."""

    def events(self) -> list[tuple[Handle, Mapping[str, object]]]:
        """Return what tasks said since the last call."""

    def wait(self, seconds: float) -> list[Ended]:
        """Return the tasks that have ended, after so many seconds at most when there is none."""

    def kill(self, handle: Handle) -> None:
        """End a task at once; it comes back as a loss."""

    def stop(self) -> None:
        """Ask all tasks to save checkpoints and end, and recall those that have not begun."""

    def recall(self) -> None:
        """Take back tasks that have not begun; they come back as losses."""

    def is_gone(self, host: str) -> bool:
        """True if a machine that tasks ran on is known to be gone."""
