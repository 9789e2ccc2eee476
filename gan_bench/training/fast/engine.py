"""The same update in less time: what pays was measured, and each trick stands in one place.

Fully connected nets: passes written out into fixed buffers (``stack``), real and fake images in one pass of D.
Convolutional nets: channels last in memory, weak kernels replaced (``layers``). Both: one fused Adam (``flat``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_bench.models.dcgan import SequentialDiscriminator, SequentialGenerator
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast import conv_layers
from gan_bench.training.fast.flat_adam import FlatAdam
from gan_bench.training.fast.linear_stack import LinearStack
from gan_bench.training.state import TrainState
from gan_bench.training.step import GANPair, update


class Step(Protocol):
    """What does one update."""

    def __call__(self, real: Tensor, z_d: Tensor, z_g: Tensor | None) -> Tensor:
        """Train on one batch; as ``step.update`` without the state."""


Body = Callable[[], None]
Capture = Callable[[Body], Body]
"""Takes an iteration and returns what repeats it."""


class FastEngine(ReferenceEngine):
    """Does what the reference engine does, faster; its checkpoints are interchangeable.

    Attributes:
        capture: What records an iteration on its device, or None.
    """

    name = "fast"
    capture: Capture | None = None
    _step: Step | None = None

    def _update(self, real: Tensor, z_d: Tensor, z_g: Tensor | None) -> Tensor:
        return self.step()(real, z_d, z_g)

    def step(self) -> Step:
        """Return what does one update; made at the first one, because a checkpoint may be loaded until then."""
        if self._step is None:
            self._step = make_step(self.state, self.config.batch_size)
        return self._step

    def moved(self) -> None:
        """Learn that the state's tensors lie elsewhere now."""
        self._step = None


def make_step(state: TrainState, batch_size: int) -> Step:
    """Choose the fast update for a pair of networks; any pair has one, and an unknown one at least one Adam call."""
    if LinearStack.fits(state.generator) and LinearStack.fits(state.discriminator):
        return StackedStep(state, batch_size)
    return ConvolutionalStep(state)


class StackedStep:
    """The update of two fully connected nets, with its gradients written out.

    Args:
        state: The trial; its networks and optimisers are changed in place.
        rows: Most real and most fake images of a step.
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
    def __call__(self, real: Tensor, z_d: Tensor, z_g: Tensor | None) -> Tensor:
        """Train on one batch; as ``step.update`` without the state."""
        n, m = len(real), len(z_d)
        images, slope = self._both[: n + m], self._slope[: n + m]
        images[:n] = real.flatten(1)
        images[n:] = self._g.forward(z_d)
        logits = self._d.forward(images)
        logits_real, logits_fake = logits[:n], logits[n:]
        loss_d = F.softplus(-logits_real).mean() + F.softplus(logits_fake).mean()
        probabilities = torch.sigmoid(logits)
        d_real, d_fake = probabilities[:n].mean(), probabilities[n:].mean()
        torch.sub(probabilities[:n], 1, out=slope[:n]).div_(n)  # d softplus(-s) / ds = sigmoid(s) - 1
        torch.div(probabilities[n:], m, out=slope[n:])
        self._d.backward(slope, weights=True, inputs=False)
        self._adam_d.step()

        fake = self._g.forward(z_d if z_g is None else z_g)
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
        generator, discriminator = state.generator, state.discriminator
        replaced = next(generator.parameters()).device.type == "cpu" and is_sequential(state)
        if replaced:
            for network in (generator, discriminator):
                network.to(memory_format=torch.channels_last)
        adams = FlatAdam(generator, state.optimizer_g), FlatAdam(discriminator, state.optimizer_d)
        if replaced:
            grow, class_extractor = (conv_layers.forward(network.layers) for network in (generator, discriminator))  # type: ignore[arg-type]
            self._pair = GANPair(
                _Computed(generator, lambda noise: grow(noise[:, :, None, None])),
                _Computed(discriminator, lambda images: class_extractor(images).flatten()),
                *adams,
            )
        else:
            self._pair = GANPair(generator, discriminator, *adams)

    def __call__(self, real: Tensor, z_d: Tensor, z_g: Tensor | None) -> Tensor:
        """Train on one batch; as ``step.update`` without the state."""
        return update(self._pair, real, z_d, z_g)


def is_sequential(state: TrainState) -> bool:
    """Say whether both convolutional networks are their layers and nothing else."""
    forwards = type(state.generator).forward, type(state.discriminator).forward
    return forwards == (SequentialGenerator.forward, SequentialDiscriminator.forward)


@dataclass(frozen=True)
class _Computed:
    """A module whose outputs are computed in another way."""

    module: nn.Module
    forward: Callable[[Tensor], Tensor]

    def __call__(self, inputs: Tensor, /) -> Tensor:
        return self.forward(inputs)

    def requires_grad_(self, requires_grad: bool, /) -> nn.Module:
        return self.module.requires_grad_(requires_grad)
