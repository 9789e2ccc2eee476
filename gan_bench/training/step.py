"""THE update: one D step, then one G step, as in all five articles; with the additions of other objectives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gan_bench.training.objective import ARTICLES, Objective, between, squared_gradient_norms


class Network(Protocol):
    """The interface of a network for the update; every ``nn.Module`` has it."""

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """Compute images or logits."""

    def parameters(self) -> Iterable[Tensor]:
        """Return the parameters, trained and frozen ones."""


class Optimizer(Protocol):
    """The interface of an optimizer for the update."""

    def zero_grad(self) -> None:
        """Clear the gradients."""

    def step(self) -> None:
        """Update the parameters from their gradients."""


@dataclass(frozen=True)
class Computed:
    """A network with a replaced forward pass."""

    network: Network
    forward: Callable[[Tensor], Tensor]

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """Compute images or logits."""
        return self.forward(inputs)

    def parameters(self) -> Iterable[Tensor]:
        """Return the parameters, trained and frozen ones."""
        return self.network.parameters()


class GANPair(NamedTuple):
    """Two networks and their optimizers."""

    generator: Network
    discriminator: Network
    optimizer_g: Optimizer
    optimizer_d: Optimizer


class Batch(NamedTuple):
    """The inputs of one step.

    Attributes:
        real: (N, C, H, W) images in [-1, 1]. Trials that train together stand along one more, leading axis, here and
            in everything below; each has its own loss.
        z_d: (M, latent_dim) noise of the D step's fakes.
        z_g: (N, latent_dim) noise of the G step's fakes, or None to take the D step's fakes again (A3).
        mix: (N,) places between real and fake images, where a gradient penalty looks; else None.
    """

    real: Tensor
    z_d: Tensor
    z_g: Tensor | None
    mix: Tensor | None = None


def update(pair: GANPair, batch: Batch, objective: Objective = ARTICLES, *, g_step: bool = True) -> Tensor:
    """Train D on one batch of real and fake images, then G against the updated D.

    G runs in train mode in both steps, so its batch-norm statistics move twice. The D step keeps no gradient of G
    unless the G step takes the same fakes again; D's weights need no gradient in the G step.

    Args:
        pair: Networks and optimisers, changed in place.
        batch: Images and noise.
        objective: What is minimised.
        g_step: Whether G steps too.

    Returns:
        (4,) float64 on the device, without gradient: ``loss_d`` with its penalties, ``loss_g``, ``d_real``, ``d_fake``.
        Without a G step, ``loss_g`` is that of the D step's fakes, before D's update.
    """
    generator, discriminator, loss = pair.generator, pair.discriminator, objective.loss
    real, reused = batch.real, g_step and batch.z_g is None

    with torch.set_grad_enabled(reused):
        fake = generator(batch.z_d)
    if objective.r1_gamma:
        real = real.detach().requires_grad_()
    outputs_real = discriminator(real)
    outputs_fake = discriminator(fake.detach())
    loss_d = objective.discriminator_loss(outputs_real, outputs_fake)
    if objective.r1_gamma:
        loss_d = loss_d + objective.r1_gamma / 2 * squared_gradient_norms(outputs_real, real).mean()
    if objective.gradient_penalty and batch.mix is not None:
        middle = between(real.detach(), fake.detach(), batch.mix).requires_grad_()
        norms = squared_gradient_norms(discriminator(middle), middle).add(_TINY).sqrt()
        loss_d = loss_d + objective.gradient_penalty * (norms - 1).square().mean()
    pair.optimizer_d.zero_grad()
    loss_d.sum().backward()  # type: ignore[no-untyped-call]
    pair.optimizer_d.step()
    objective.clip(discriminator.parameters())

    if g_step:
        with _frozen(discriminator.parameters()):
            if batch.z_g is not None:
                fake = generator(batch.z_g)
            loss_g = loss.of_generator(discriminator(fake), lambda: discriminator(batch.real))
            pair.optimizer_g.zero_grad()
            loss_g.sum().backward()  # type: ignore[no-untyped-call]
        pair.optimizer_g.step()
    else:
        loss_g = loss.of_generator(outputs_fake, lambda: outputs_real)

    statistics = (loss_d, loss_g, loss.mean_output(outputs_real), loss.mean_output(outputs_fake))
    return torch.stack([value.detach() for value in statistics], -1).double()


_TINY = 1e-12
"""Keeps the derivative of a norm finite at zero."""


@contextmanager
def _frozen(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Disable gradients of parameters; those that were frozen before stay frozen."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:  # a recording that fails here is done again without one
        for parameter in trained:
            parameter.requires_grad_(True)
