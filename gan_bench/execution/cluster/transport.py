"""What the dispatcher asks of whatever carries bundles to where they run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gan_bench.execution.claim import Claim
from gan_bench.execution.cluster.bundles import Bundle

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

    def events(self) -> list[tuple[Handle, Mapping[str, Any]]]:
        """Return what tasks said since the last call."""

    def wait(self, seconds: float) -> list[Ended]:
        """Return the tasks that have ended, after so many seconds at most when there is none."""

    def kill(self, handle: Handle) -> None:
        """End a task at once; it comes back as a loss."""

    def stop(self) -> None:
        """Ask all tasks to save checkpoints and end, and recall those that have not begun."""

    def recall(self) -> None:
        """Take back tasks that have not begun; they come back as losses."""

    def release(self, trial_id: str) -> None:
        """Give back what a lost task still holds of a trial."""

    def is_gone(self, host: str) -> bool:
        """True if a machine that tasks ran on is known to be gone."""
