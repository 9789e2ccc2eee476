"""What a running trial tells those who watch it, what it asks of its executor, and how it can end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from gan_bench.config.trial import Trial
from gan_bench.core.errors import FULL, DataError, DiskFullError, UserError, brief, is_out_of_memory
from gan_bench.records.record import Failure, Status, TrialRecord
from gan_bench.training.engine import Engine

T = TypeVar("T")


@dataclass(frozen=True)
class Started:
    """A trial starts, or is resumed after so many finished epochs."""

    trial: Trial
    resumed_at: int | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A trial has come to a log tick.

    Attributes:
        trial: The trial.
        epoch: Epoch under way, from 1.
        fraction: Share of all steps done, in [0, 1].
        values: ``loss_d``, ``loss_g``, ``d_real`` and ``d_fake`` of the last step.
        images_per_second: Real images per second of training in this process.
    """

    trial: Trial
    epoch: int
    fraction: float
    values: Mapping[str, float]
    images_per_second: float


@dataclass(frozen=True)
class Scored:
    """A trial has been scored."""

    trial: Trial
    epoch: int
    scores: Mapping[str, float | None]


@dataclass(frozen=True)
class Finished:
    """A trial has ended."""

    trial: Trial
    record: TrialRecord


Event = Started | Progress | Scored | Finished
"""What a running trial tells."""
Listener = Callable[[Event], None]
"""Takes the events of trials, one after the other."""


def ignore(event: Event) -> None:
    """Ignore an event: the default listener."""


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


class Diverged(Exception):  # noqa: N818 - it is an outcome, not an error
    """Training produced numbers that are not finite."""


class Interrupted(Exception):  # noqa: N818 - it is an outcome, not an error
    """A stop of the trial was requested."""


class TimeLimit(Exception):  # noqa: N818 - it is an outcome, not an error
    """The trial used up its time.

    Args:
        seconds: Its limit.
    """

    def __init__(self, seconds: float | None) -> None:
        super().__init__(f"the time limit of {seconds or 0:g} s is reached; raise it and run with --retry-failed")


def classify(error: BaseException, device: torch.device, place: Path) -> tuple[Status, Failure | None, str]:
    """Classify how a trial ended, from the exception it raised.

    Args:
        error: What ended it.
        device: Where it ran.
        place: The folder that it writes to: errors of writing do not always say where.

    Returns:
        Status, class of a failure, and the reason as one sentence.
    """
    failure, reason = Failure.CRASH, brief(error)
    match error:
        case Interrupted():
            return Status.INTERRUPTED, None, "stopped on request; run the suite again to continue"
        case Diverged():
            return Status.DIVERGED, None, str(error)
        case SystemExit():
            reason = f"code that the trial uses tried to end the process ({reason}); correct it"
        case TimeLimit():
            failure, reason = Failure.TIMEOUT, str(error)
        case _ if is_out_of_memory(error):
            failure, reason = Failure.OUT_OF_MEMORY, f"out of memory on {device}; lower batch_size, samples or --group"
        case DataError():
            failure, reason = Failure.DATA, str(error)
        case DiskFullError():
            failure, reason = Failure.DISK_FULL, str(error)
        case UserError():
            failure, reason = Failure.SETUP, str(error)
        case OSError():
            failure, reason = _of_writing(error, place)
    return Status.FAILED, failure, reason


def _of_writing(error: OSError, place: Path) -> tuple[Failure, str]:
    """Classify an error of the system."""
    where = error.filename or place
    if error.errno in FULL:
        return Failure.DISK_FULL, f"no space left at {where}; free some and run with --retry-failed"
    if isinstance(error, FileNotFoundError) and not place.exists():
        return Failure.CRASH, f"{place} was removed while the trial ran; the same command trains it again"
    return Failure.CRASH, brief(error)
