"""Engines carry a trial forward; the reference one reads like the articles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gan_bench.training.draws import EpochDraws, steps_per_epoch
from gan_bench.training.state import STATISTICS, TrainState
from gan_bench.training.step import update
from gan_bench.trial import TrialConfig


def normalise(pictures: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Map uint8 pictures to [-1, 1], bit for bit as ToTensor and Normalize(0.5, 0.5) do."""
    return pictures.to(dtype).div_(255).sub_(0.5).div_(0.5)


@dataclass(frozen=True)
class Snapshot:
    """The four statistics, read from the device.

    Attributes:
        mean: By name, averaged over the epoch under way.
        last: By name, of the last step.
    """

    mean: dict[str, float]
    last: dict[str, float]


class Engine(Protocol):
    """What the runner needs of an engine."""

    state: TrainState
    steps: int

    def advance(self, most: int, stop: Callable[[], bool]) -> None:
        """Do at most this many steps, ending early at an epoch's end or when ``stop`` says so."""

    def finish_epoch(self) -> None:
        """Close the epoch under way."""

    def snapshot(self) -> Snapshot:
        """Read the statistics; the only call that waits for the device."""


class ReferenceEngine:
    """Runs the update step by step, as the articles' loops do, on pictures held in memory.

    Args:
        config: The trial.
        pictures: (N, C, H, W) uint8 training pictures on the device that computes.
        state: Where the trial stands; changed in place.
    """

    def __init__(self, config: TrialConfig, pictures: Tensor, state: TrainState) -> None:
        self.config = config
        self.pictures = pictures
        self.state = state
        self.steps = steps_per_epoch(config, len(pictures))
        self._dtype = next(state.generator.parameters()).dtype
        self._draws: tuple[int, EpochDraws] | None = None

    def advance(self, most: int, stop: Callable[[], bool]) -> None:
        """Do at most this many steps, ending early at an epoch's end or when ``stop`` says so."""
        draws, state = self._draws_of(self.state.epoch + 1), self.state
        for _ in range(min(most, self.steps - state.batch)):
            if stop():
                return
            state.last = update(state, *self._batch(draws, state.batch))
            state.sums += state.last
            state.batch += 1
            state.step += 1

    def finish_epoch(self) -> None:
        """Close the epoch under way."""
        self.state.epoch += 1
        self.state.batch = 0
        self.state.sums.zero_()
        self._draws = None

    def snapshot(self) -> Snapshot:
        """Read the statistics; the only call that waits for the device."""
        sums, last = torch.stack([self.state.sums, self.state.last]).tolist()
        count = max(self.state.batch, 1)
        return Snapshot(
            mean={name: value / count for name, value in zip(STATISTICS, sums, strict=True)},
            last=dict(zip(STATISTICS, last, strict=True)),
        )

    def _draws_of(self, epoch: int) -> EpochDraws:
        if self._draws is None or self._draws[0] != epoch:
            draws = EpochDraws.draw(self.config, len(self.pictures), epoch, self.pictures.device)
            self._draws = epoch, draws
        return self._draws[1]

    def _batch(self, draws: EpochDraws, index: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Cut one step's real pictures and noise out of the epoch."""
        size = self.config.batch_size
        real = normalise(self.pictures[draws.order[index * size : (index + 1) * size]], self._dtype)
        fakes = size if self.config.fake_batch == "full" else len(real)
        noise_d = draws.noise_d[index, :fakes].to(self._dtype)
        noise_g = None if draws.noise_g is None else draws.noise_g[index, :fakes].to(self._dtype)
        return real, noise_d, noise_g
