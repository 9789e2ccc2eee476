"""What a trial writes as it goes, and what it has cost so far."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from gan_bench.config.trial import TrialConfig
from gan_bench.execution.trial import environment
from gan_bench.execution.trial.events import StepResult
from gan_bench.records import writer
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.record import Score
from gan_bench.training.engine import Engine, Snapshot
from gan_bench.training.group.ways import ALONE


class TrialLog:
    """Writes the lines of one trial.

    Args:
        directory: Its record.
        config: The trial.
    """

    def __init__(self, directory: RecordDirectory, config: TrialConfig) -> None:
        self._directory, self._config = directory, config

    def step(self, engine: Engine, seen: Snapshot) -> None:
        """Write where the trial stands at a log interval."""
        line = {"kind": "step", "epoch": engine.state.epoch + 1, "step": engine.state.step, **seen.last}
        writer.append(self._directory.history, [line])

    def epoch(self, engine: Engine, seen: Snapshot, train_seconds: float) -> None:
        """Write what an epoch came to, before the engine closes it."""
        position = self._position(engine, engine.state.epoch + 1, train_seconds)
        line = {"kind": "epoch", **position, "mean": seen.mean, "last": seen.last}
        writer.append(self._directory.history, [line])

    def evaluation(self, engine: Engine, scores: Iterable[Score], train_seconds: float, seconds: float) -> None:
        """Write the scores of an evaluation, which took so many seconds."""
        position = self._position(engine, engine.state.epoch, train_seconds)
        line = {**position, "seconds": round(seconds, 3), "scores": [score.to_json() for score in scores]}
        writer.append(self._directory.evaluations, [line])

    def images(self, engine: Engine, epochs: int, batches: int) -> int:
        """Count real images shown after so many epochs and further batches."""
        shown = engine.shown
        size = self._config.batch_size
        per_epoch = engine.steps * size if self._config.last_batch == "drop" else shown
        return epochs * per_epoch + min(batches * size, per_epoch)

    def _position(self, engine: Engine, epochs: int, train_seconds: float) -> dict[str, object]:
        return {
            "epoch": epochs,
            "step": engine.state.step,
            "images": self.images(engine, epochs, 0),
            "train_seconds": round(train_seconds, 3),
        }


HALF_LIFE_SECONDS = 10.0
"""Seconds of training after which a step counts half in the pace: it must follow a machine that becomes busy."""


class Meter:
    """Adds up what one trial costs.

    Attributes:
        train_seconds: Seconds of training; of trials that train together, an equal share.
        evaluate_seconds: Seconds of evaluation.
        energy_joules: Energy of the GPU while training, or None where it reports none.
        group: Most trials that took their steps together.
        captured: Whether steps were replayed from a CUDA graph.
        way: Which of several ways the last steps were taken in.

    Args:
        device: Where the trial trains.
        limit: Seconds of training and evaluation it may take in all, or None.
    """

    def __init__(self, device: torch.device, limit: float | None) -> None:
        self.train_seconds = 0.0
        self.evaluate_seconds = 0.0
        self.energy_joules: float | None = None
        self.group = 1
        self.captured = False
        self.way: str | None = None
        self.limit = limit
        self._device = device
        self._sharing = 1
        self._metered = 0.0
        self._pace = (0.0, 0.0)

    def add_steps(self, result: StepResult, steps: int, *, at_tick: bool) -> None:
        """Count steps of training.

        Args:
            result: What they took.
            steps: How many there were.
            at_tick: Whether the GPU's power is read now, for all seconds since the last reading.
        """
        self.group, self._sharing = max(self.group, result.group), result.group
        self.captured = self.captured or result.captured
        self.way = result.way
        self.train_seconds += result.seconds
        if at_tick and (watts := environment.power_watts(self._device)) is not None:
            self.energy_joules = (self.energy_joules or 0.0) + watts * (self.train_seconds - self._metered)
            self._metered = self.train_seconds
        wall = result.seconds * result.group
        kept = 0.5 ** (wall / HALF_LIFE_SECONDS)
        self._pace = (self._pace[0] * kept + wall, self._pace[1] * kept + steps)

    @property
    def steps_per_second(self) -> float | None:
        """Steps per second of the last seconds of training, or None before the first."""
        seconds, steps = self._pace
        return steps / seconds if seconds else None

    def training_exceeds_limit(self, since: float) -> bool:
        """True if the limit is reached, with this trial's share of what has run since a time."""
        return self._exceeds((time.perf_counter() - since) / self._sharing)

    def evaluation_exceeds_limit(self, since: float) -> bool:
        """True if the limit is reached, with all of what has run since a time: evaluations are not shared."""
        return self._exceeds(time.perf_counter() - since)

    def _exceeds(self, more: float) -> bool:
        return self.limit is not None and self.train_seconds + self.evaluate_seconds + more > self.limit

    def state_dict(self) -> dict[str, object]:
        """Return what a checkpoint keeps."""
        names = ("train_seconds", "evaluate_seconds", "energy_joules", "group", "captured", "way")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; earlier versions kept no ``group``, ``captured`` and ``way``."""
        self.train_seconds = self._metered = state["train_seconds"]
        self.evaluate_seconds, self.energy_joules = state["evaluate_seconds"], state["energy_joules"]
        self.group, self.captured = state.get("group", 1), state.get("captured", False)
        self.way = state.get("way", ALONE if self.group == 1 else None)
