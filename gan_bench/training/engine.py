"""Engines train a trial; the reference engine reads like the articles."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from gan_bench.config.trial import TrialConfig
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.models.losses import LOSSES
from gan_bench.randomness import global_draws
from gan_bench.records.schema import STATISTICS
from gan_bench.training.draws import EpochDraws, steps_per_epoch
from gan_bench.training.objective import Objective
from gan_bench.training.precision import pair_in, tf32_flags
from gan_bench.training.state import TrainState
from gan_bench.training.step import Batch, GANPair, update


def normalise(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Map uint8 images to [-1, 1], bit for bit as ToTensor and Normalize(0.5, 0.5) do."""
    return images.to(dtype).div_(255).sub_(0.5).div_(0.5)


@dataclass(frozen=True)
class Snapshot:
    """The four statistics, read from the device.

    Attributes:
        mean: By name, averaged over the epoch under way.
        last: By name, of the last step.
        broken: The first step of the epoch under way with a value that is not finite, counted over the whole trial
            from 1, and the value's name; None when all are finite.
    """

    mean: dict[str, float]
    last: dict[str, float]
    broken: tuple[int, str] | None


class Engine(Protocol):
    """The interface of an engine.

    Attributes:
        name: ``reference`` or ``fast``.
        state: Where the trial stands.
        steps: Steps of an epoch.
        way: Which of several ways it takes its steps in, where there are several; resumed, a trial keeps its way.
    """

    name: str
    state: TrainState
    steps: int
    way: str | None

    @property
    def shown(self) -> int:
        """Return how many images an epoch draws from the dataset, repeats included."""

    @property
    def captured(self) -> bool:
        """True if steps are replayed from a CUDA graph."""

    def advance(self, most: int, stop: Callable[[], bool]) -> None:
        """Do at most this many steps, ending early at an epoch's end or when ``stop`` says so."""

    def finish_epoch(self) -> None:
        """Finish the present epoch."""

    def snapshot(self) -> Snapshot:
        """Read the statistics; the only call that waits for the device."""


def snapshot(state: TrainState) -> Snapshot:
    """Read the statistics of the present epoch after at least one step."""
    step_stats = state.step_stats[: state.batch].cpu()
    mean = dict(zip(STATISTICS, step_stats.mean(0).tolist(), strict=True))
    last = dict(zip(STATISTICS, step_stats[-1].tolist(), strict=True))
    wrong = (~step_stats.isfinite()).nonzero()
    if not len(wrong):
        return Snapshot(mean, last, None)
    row, column = wrong[0].tolist()
    return Snapshot(mean, last, (state.step - state.batch + row + 1, STATISTICS[column]))


def may_draw(config: TrialConfig) -> bool:
    """True if networks or loss may draw from torch's global generator, as dropout does; shipped ones never do."""
    return not (ARCHITECTURES.is_shipped(config.architecture) and LOSSES.is_shipped(config.loss))


def draws_globally(config: TrialConfig, state: TrainState) -> bool:
    """True if a trial's networks or loss draw from torch's global generator; copies of them are tried on two images.

    Those that fail there count as drawing: such a trial trains alone, and its own step meets the error.
    """
    if not may_draw(config):
        return False
    device, objective = state.step_stats.device, Objective.of(config)

    def numbers() -> list[Tensor]:
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]

    with global_draws(config.seed, "layers/0", device), torch.no_grad():
        before = numbers()
        try:
            generator, discriminator = copy.deepcopy(state.generator), copy.deepcopy(state.discriminator)
            weight = next(generator.parameters())
            outputs = discriminator(generator(weight.new_zeros(2, config.latent_dim)))
            objective.discriminator_loss(outputs, outputs)
            objective.loss.of_generator(outputs, lambda: outputs)
        except Exception:  # a part may raise any kind, and memory may run out
            return True
        return any(not torch.equal(a, b) for a, b in zip(before, numbers(), strict=True))


class ReferenceEngine:
    """Runs the update step by step, as the articles' loops do, on images held in memory.

    Args:
        config: The trial.
        images: (N, C, H, W) uint8 training images on the device that computes.
        state: Where the trial stands; changed in place.
    """

    name = "reference"
    way: str | None = None

    def __init__(self, config: TrialConfig, images: Tensor, state: TrainState) -> None:
        self.config = config
        self.images = images
        self.state = state
        self.objective = Objective.of(config)
        self.steps = steps_per_epoch(config, len(images))
        state.reserve(self.steps)
        self._dtype = next(state.generator.parameters()).dtype
        pair = GANPair(state.generator, state.discriminator, state.optimizer_g, state.optimizer_d)
        self._pair = pair_in(config.precision, pair)
        self._draws: tuple[int, EpochDraws] | None = None
        self._may_draw = may_draw(config)

    @cached_property
    def draws_itself(self) -> bool:
        """True if its networks or loss draw random numbers, so that its trials run one at a time."""
        return draws_globally(self.config, self.state)

    @property
    def shown(self) -> int:
        """Return how many images an epoch draws from the dataset, repeats included."""
        return len(self.images) * self.config.dataset_repeats

    @property
    def captured(self) -> bool:
        """True if steps are replayed from a CUDA graph."""
        return False

    def advance(self, most: int, stop: Callable[[], bool]) -> None:
        """Do at most this many steps, ending early at an epoch's end or when ``stop`` says so."""
        draws, state = self.draws_of(self.state.epoch + 1), self.state
        with tf32_flags(self.config.precision):
            for _ in range(min(most, self.steps - state.batch)):
                if stop():
                    return
                g_step = self.objective.is_g_step(state.step + 1)
                with self._numbers(state.step + 1):
                    state.step_stats[state.batch] = self._update(self.batch_of(draws, state.batch), g_step=g_step)
                if g_step:
                    state.follow()
                state.batch += 1
                state.step += 1

    def _numbers(self, step: int) -> AbstractContextManager[None]:
        """Seed layers and losses that draw random numbers for a step, so that a resumed trial draws the same."""
        if not self._may_draw:
            return nullcontext()
        return global_draws(self.config.seed, f"layers/{step}", self.images.device)

    def _update(self, batch: Batch, *, g_step: bool) -> Tensor:
        return update(self._pair, batch, self.objective, g_step=g_step)

    def finish_epoch(self) -> None:
        """Finish the present epoch."""
        self.state.epoch += 1
        self.state.batch = 0
        self._draws = None

    def snapshot(self) -> Snapshot:
        """Read the statistics; the only call that waits for the device."""
        return snapshot(self.state)

    def draws_of(self, epoch: int) -> EpochDraws:
        """Return the random draws of an epoch."""
        if self._draws is None or self._draws[0] != epoch:
            draws = EpochDraws.draw(self.config, len(self.images), epoch, self.images.device)
            self._draws = epoch, draws
        return self._draws[1]

    def batch_of(self, draws: EpochDraws, index: int) -> Batch:
        """Return one step's real images and noise."""
        size = self.config.batch_size
        real = normalise(self.images[draws.order[index * size : (index + 1) * size]], self._dtype)
        fakes = size if self.config.fake_batch == "full" else len(real)
        z_d = draws.z_d[index, :fakes].to(self._dtype)
        z_g = None if draws.z_g is None else draws.z_g[index, :fakes].to(self._dtype)
        mix = None if draws.mix is None else draws.mix[index].to(self._dtype)
        return Batch(real, z_d, z_g, mix)
