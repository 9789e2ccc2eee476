"""What a running trial tells those who watch it, and what it asks of the scheduler: steps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gan_bench.config.trial import Trial
from gan_bench.records.record import TrialRecord
from gan_bench.training.engine import Engine

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a trial stands at a log tick.

    Attributes:
        epoch: Epoch under way, from 1.
        fraction: Share of all steps done, in [0, 1].
        values: ``loss_d``, ``loss_g``, ``d_real`` and ``d_fake`` of the last step.
        images_per_second: Real images per second of training in this process.
    """

    epoch: int
    fraction: float
    values: Mapping[str, float]
    images_per_second: float


class Listener(Protocol):
    """Receives the events of trials, one trial after the other."""

    def started(self, trial: Trial, resumed_at: int | None) -> None:
        """A trial starts, or is resumed after so many finished epochs."""

    def progress(self, trial: Trial, progress: Progress) -> None:
        """A trial has come to a log tick."""

    def scored(self, trial: Trial, epoch: int, scores: Mapping[str, float | None]) -> None:
        """A trial has been scored."""

    def finished(self, trial: Trial, record: TrialRecord) -> None:
        """A trial has ended."""


class NullListener:
    """A listener that does nothing."""

    def started(self, trial: Trial, resumed_at: int | None) -> None:
        """Ignore the start."""

    def progress(self, trial: Trial, progress: Progress) -> None:
        """Ignore the progress."""

    def scored(self, trial: Trial, epoch: int, scores: Mapping[str, float | None]) -> None:
        """Ignore the scores."""

    def finished(self, trial: Trial, record: TrialRecord) -> None:
        """Ignore the end."""


@dataclass(frozen=True)
class StepRequest:
    """What a run asks for.

    Attributes:
        engine: Whose steps.
        most: How many at most; fewer come at an epoch's end.
        stop: Says that no more are wanted.
    """

    engine: Engine
    most: int
    stop: Callable[[], bool]


@dataclass(frozen=True)
class StepResult:
    """What a run is answered when it has taken steps.

    Attributes:
        seconds: What they took; of runs that take their steps together, an equal share.
        group: How many runs took them together.
        captured: Whether they were replayed from a CUDA graph.
        way: Which of several ways they were taken in.
    """

    seconds: float
    group: int = 1
    captured: bool = False
    way: str | None = None


Run = Generator[StepRequest, StepResult, T]
