"""What a trial has cost so far, and how fast it goes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from gan_bench.execution.trial import environment
from gan_bench.execution.trial.events import StepResult
from gan_bench.training.group.ways import ALONE

HALF_LIFE_SECONDS = 10.0
"""Seconds of training after which a step counts half in the pace: it must follow a machine that becomes busy."""


class Meter:
    """Adds up what one trial costs.

    Attributes:
        train_seconds: Seconds of training; of trials that train together, an equal share.
        evaluate_seconds: Seconds of evaluation.
        energy_joules: Energy of the GPU while training, or None where it reports none.
        group: Most trials that took their steps together.
        sharing: How many took the last ones.
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
        self.sharing = 1
        self.captured = False
        self.way: str | None = None
        self.limit = limit
        self._device = device
        self._metered = 0.0
        self._pace = (0.0, 0.0)

    def add_steps(self, result: StepResult, steps: int, *, at_tick: bool) -> None:
        """Count steps of training.

        Args:
            result: What they took.
            steps: How many there were.
            at_tick: Whether the GPU's power is read now, for all seconds since the last reading.
        """
        self.group, self.sharing = max(self.group, result.group), result.group
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

    def exceeds_limit(self, since: float, *, shared: bool = False) -> bool:
        """True if the limit is reached, with what has run since a time.

        Args:
            since: The time.
            shared: Whether it is training, of which trials that train together have a share each.
        """
        more = (time.perf_counter() - since) / (self.sharing if shared else 1)
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
