"""The same update in less time: what pays was measured, and each trick stands in one place.

Fully connected nets: passes written out into fixed buffers (``stack``), real and fake pictures in one pass of D.
Convolutional nets: channels last in memory, weak kernels replaced (``layers``). Both: one fused Adam (``flat``).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_bench.architectures.dcgan import SequentialDiscriminator, SequentialGenerator
from gan_bench.training import layers
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.flat import FlatAdam
from gan_bench.training.stack import LinearStack
from gan_bench.training.state import TrainState
from gan_bench.training.step import Network, update


class Step(Protocol):
    """What does one update."""

    def __call__(self, real: Tensor, noise_d: Tensor, noise_g: Tensor | None) -> Tensor:
        """Train on one batch; as ``step.update`` without the state."""


class FastEngine(ReferenceEngine):
    """Does what the reference engine does, faster; its checkpoints are interchangeable."""

    name = "fast"
    _step: Step | None = None

    def _update(self, real: Tensor, noise_d: Tensor, noise_g: Tensor | None) -> Tensor:
        if self._step is None:  # not before the first step: a checkpoint may be loaded until then
            self._step = make_step(self.state, self.config.batch_size)
        return self._step(real, noise_d, noise_g)


def make_step(state: TrainState, batch_size: int) -> Step:
    """Choose the fast update for a pair of networks; any pair has one, and an unknown one at least one Adam call."""
    if LinearStack.fits(state.generator) and LinearStack.fits(state.discriminator):
        return StackedStep(state, batch_size)
    return ConvolutionalStep(state)


class StackedStep:
    """The update of two fully connected nets, with its gradients written out.

    Args:
        state: The trial; its networks and optimisers are changed in place.
        rows: Most real and most fake pictures of a step.
    """

    def __init__(self, state: TrainState, rows: int) -> None:
        self._adam_g = FlatAdam(state.generator, state.optimizer_g)
        self._adam_d = FlatAdam(state.discriminator, state.optimizer_d)
        self._g = LinearStack(state.generator.layers, rows)  # type: ignore[arg-type]
        self._d = LinearStack(state.discriminator.layers, 2 * rows)  # type: ignore[arg-type]
        weight = next(state.discriminator.parameters())
        self._both = weight.new_empty(2 * rows, weight.shape[1])
        self._slope = weight.new_empty(2 * rows, 1)

    @torch.no_grad()
    def __call__(self, real: Tensor, noise_d: Tensor, noise_g: Tensor | None) -> Tensor:
        """Train on one batch; as ``step.update`` without the state."""
        n, m = len(real), len(noise_d)
        pictures, slope = self._both[: n + m], self._slope[: n + m]
        pictures[:n] = real.flatten(1)
        pictures[n:] = self._g.forward(noise_d)
        logits = self._d.forward(pictures)
        logits_real, logits_fake = logits[:n], logits[n:]
        loss_d = F.softplus(-logits_real).mean() + F.softplus(logits_fake).mean()
        probabilities = torch.sigmoid(logits)
        d_real, d_fake = probabilities[:n].mean(), probabilities[n:].mean()
        torch.sub(probabilities[:n], 1, out=slope[:n]).div_(n)  # d softplus(-s) / ds = sigmoid(s) - 1
        torch.div(probabilities[n:], m, out=slope[n:])
        self._d.backward(slope, weights=True, inputs=False)
        self._adam_d.step()

        fake = self._g.forward(noise_d if noise_g is None else noise_g)
        logits = self._d.forward(fake)
        loss_g = F.softplus(-logits).mean()
        slope = torch.sub(torch.sigmoid(logits), 1, out=self._slope[: len(fake)]).div_(len(fake))
        gradient = self._d.backward(slope, weights=False, inputs=True)
        assert gradient is not None  # noqa: S101 - it was asked for
        self._g.backward(gradient, weights=True, inputs=False)
        self._adam_g.step()
        return torch.stack([loss_d, loss_g, d_real, d_fake]).double()


class ConvolutionalStep:
    """The update of any two nets, through autograd, with one Adam call and, on a CPU, the faster layers.

    Args:
        state: The trial; its networks and optimisers are changed in place.
    """

    def __init__(self, state: TrainState) -> None:
        self._state = state
        self._networks: tuple[Network, Network] | None = None
        known = (
            type(state.generator).forward is SequentialGenerator.forward
            and type(state.discriminator).forward is SequentialDiscriminator.forward
        )
        if known and next(state.generator.parameters()).device.type == "cpu":
            for network in (state.generator, state.discriminator):
                network.to(memory_format=torch.channels_last)
            self._g = layers.forward(state.generator.layers)  # type: ignore[arg-type]
            self._d = layers.forward(state.discriminator.layers)  # type: ignore[arg-type]
            self._networks = self._generate, self._discriminate
        adams = FlatAdam(state.generator, state.optimizer_g), FlatAdam(state.discriminator, state.optimizer_d)
        self._adams = adams

    def __call__(self, real: Tensor, noise_d: Tensor, noise_g: Tensor | None) -> Tensor:
        """Train on one batch; as ``step.update`` without the state."""
        if self._networks:
            real = real.contiguous(memory_format=torch.channels_last)
        return update(self._state, real, noise_d, noise_g, self._networks, self._adams)

    def _generate(self, noise: Tensor) -> Tensor:
        return self._g(noise[:, :, None, None])

    def _discriminate(self, pictures: Tensor) -> Tensor:
        return self._d(pictures).flatten()
