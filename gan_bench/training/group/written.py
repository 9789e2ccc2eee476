"""The update of several trials with explicit passes: no autograd, real and fake images in one pass of D.

Networks are stacks with a ``forward`` and a ``backward`` of their own: fully connected ones here, as batched products;
convolutional ones in ``gan_bench.training.kernels``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from gan_bench.training.fast.engine import no_real_images, slope_of
from gan_bench.training.fast.linear_stack import activate_, carry_back_
from gan_bench.training.group.stacked import StackedAdam, stack_buffers
from gan_bench.training.objective import ARTICLES, Objective
from gan_bench.training.state import TrainState
from gan_bench.training.step import Batch


class Stack(Protocol):
    """K equal networks with explicit passes."""

    def forward(self, inputs: Tensor, counts: Tensor) -> Tensor:
        """Compute (K, sets, N, ...) outputs of (K, sets, N, ...) inputs.

        Args:
            inputs: What each network computes; images are (rows, columns, channels). A trial's sets share its weights.
            counts: (sets,) int32, how many of the N are there.
        """

    def backward(self, gradient: Tensor, *, weights: bool, inputs: bool) -> Tensor | None:
        """Backpropagate the gradient of the last outputs in place; write weight gradients if asked."""


MakeStack = Callable[[Sequence[nn.Module], dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]], Stack]
"""Makes a stack of networks, their parameters, their gradients and their buffers, each (K, ...) by name."""


class WrittenStep:
    """The update of several trials.

    Args:
        states: Trials of equal networks that stand at the same step; their tensors are moved into one memory.
        make: Makes the stacks of both networks.
        objective: What all of them minimise; nothing that differentiates gradients.
    """

    def __init__(self, states: Sequence[TrainState], make: MakeStack, objective: Objective = ARTICLES) -> None:
        self._adam_g, self._g = _stack([s.generator for s in states], [s.optimizer_g for s in states], make)
        self._adam_d, self._d = _stack([s.discriminator for s in states], [s.optimizer_d for s in states], make)
        self._objective = objective
        self._device = next(states[0].generator.parameters()).device
        self._known_counts: dict[tuple[int, ...], Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Train every trial on its own batch, stacked along a leading axis.

        Returns:
            (K, 4) float64, as ``step.update`` gives it.
        """
        k, n, m, loss = len(batch.real), batch.real.shape[1], batch.z_d.shape[1], self._objective.loss
        real = batch.real.permute(0, 1, 3, 4, 2)
        fake = self._g.forward(_noise(batch.z_d), self._counts(m))
        both = real.new_zeros(k, 2, max(n, m), *real.shape[2:])
        both[:, 0, :n] = real
        both[:, 1, :m] = fake.view(k, m, *real.shape[2:])
        logits = self._d.forward(both, self._counts(n, m)).view(k, 2, -1)
        outputs_real, outputs_fake = logits[:, 0, :n], logits[:, 1, :m]
        loss_of = self._objective.discriminator_loss
        loss_d, slope = slope_of(lambda leaf: loss_of(leaf[:, 0, :n], leaf[:, 1, :m]), logits)
        statistics = [loss_d, loss_d, loss.mean_output(outputs_real), loss.mean_output(outputs_fake)]
        self._d.backward(slope, weights=True, inputs=False)
        self._adam_d.step()
        self._objective.clip(self._adam_d.weights)

        if batch.z_g is not None:
            fake = self._g.forward(_noise(batch.z_g), self._counts(batch.z_g.shape[1]))
        count = fake.shape[2]
        logits = self._d.forward(fake.view(k, 1, count, *real.shape[2:]), self._counts(count)).view(k, 1, -1)
        statistics[1], slope = slope_of(lambda leaf: loss.of_generator(leaf[:, 0], no_real_images), logits)
        gradient = self._d.backward(slope, weights=False, inputs=True)
        assert gradient is not None  # noqa: S101 - it was asked for
        self._g.backward(gradient.view(fake.shape), weights=True, inputs=False)
        self._adam_g.step()
        return torch.stack(statistics, -1).double()

    def _counts(self, *counts: int) -> Tensor:
        """Return the numbers of images of each set on the device, where a recorded graph reads them."""
        if counts not in self._known_counts:
            self._known_counts[counts] = torch.tensor(counts, dtype=torch.int32, device=self._device)
        return self._known_counts[counts]


def _stack(networks: Sequence[nn.Module], optimizers: Sequence[torch.optim.Optimizer], make: MakeStack) -> tuple[
    StackedAdam, Stack
]:  # fmt: skip
    adam = StackedAdam(networks, optimizers)
    names = [name for name, _ in networks[0].named_parameters()]
    weights = dict(zip(names, adam.weights, strict=True))
    gradients = dict(zip(names, adam.gradients, strict=True))
    return adam, make(networks, weights, gradients, stack_buffers(networks))


def _noise(z: Tensor) -> Tensor:
    """Noise (K, N, latent_dim) as one set of images of one pixel."""
    return z[:, None, :, None, None, :]


class LinearStacks:
    """K equal fully connected networks as batched products.

    Args:
        networks: The networks: linear layers, each followed by ReLU, LeakyReLU, Tanh or nothing.
        weights: Stacks of their parameters, by name.
        gradients: The same for gradients.
        buffers: Nothing: such networks have none.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        weights: dict[str, Tensor],
        gradients: dict[str, Tensor],
        buffers: dict[str, Tensor],
    ) -> None:
        assert not buffers  # noqa: S101 - such networks have none
        self._linears: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._activations: list[nn.Module | None] = []
        layers = networks[0].layers
        assert isinstance(layers, nn.Sequential)  # noqa: S101 - LinearStack.fits looked
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.Linear):
                names = f"layers.{index}.weight", f"layers.{index}.bias"
                self._linears.append((*(weights[n] for n in names), *(gradients[n] for n in names)))  # type: ignore[arg-type]
                self._activations.append(None)
            else:
                self._activations[-1] = layer
        self._made: list[Tensor] = []

    def forward(self, inputs: Tensor, counts: Tensor) -> Tensor:
        """Compute all networks; as ``Stack.forward``."""
        k, sets, n = inputs.shape[:3]
        x = inputs.reshape(k, sets * n, -1)
        self._made = [x]
        for (weight, bias, _, _), activation in zip(self._linears, self._activations, strict=True):
            x = torch.baddbmm(bias[:, None], x, weight.mT)
            activate_(activation, x)
            self._made.append(x)
        return x.view(k, sets, n, -1)

    def backward(self, gradient: Tensor, *, weights: bool, inputs: bool) -> Tensor | None:
        """Carry a gradient back; as ``Stack.backward``."""
        k, sets, n = gradient.shape[:3]
        gradient = gradient.reshape(k, sets * n, -1)
        for i in range(len(self._linears) - 1, -1, -1):
            (weight, _, of_weight, of_bias), below, output = self._linears[i], self._made[i], self._made[i + 1]
            carry_back_(self._activations[i], gradient, output)
            if weights:
                torch.bmm(gradient.mT, below, out=of_weight)
                torch.sum(gradient, 1, out=of_bias)
            if i or inputs:
                gradient = torch.bmm(gradient, weight)
        return gradient.view(k, sets, n, -1) if inputs else None
