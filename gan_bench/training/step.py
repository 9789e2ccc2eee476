"""THE update: one D step, then one G step, as all five articles do it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from gan_bench.models.losses import discriminator_loss, generator_loss, mean_probability


class Network(Protocol):
    """What the update needs of a network; every ``nn.Module`` is one."""

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """Compute images or logits."""

    def requires_grad_(self, requires_grad: bool, /) -> Any:  # noqa: ANN401 - as nn.Module has it
        """Freeze the parameters or set them free."""


class Optimizer(Protocol):
    """What the update needs of an optimizer."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> None:
        """Update the parameters from their gradients."""


class GANPairLike(Protocol):
    """Two networks and their optimizers; a ``TrainState`` is one pair."""

    @property
    def generator(self) -> Network:
        """G."""

    @property
    def discriminator(self) -> Network:
        """D."""

    @property
    def optimizer_g(self) -> Optimizer:
        """Adam over G."""

    @property
    def optimizer_d(self) -> Optimizer:
        """Adam over D."""


class GANPair(NamedTuple):
    """GANPairLike that are computed in another way than as modules."""

    generator: Network
    discriminator: Network
    optimizer_g: Optimizer
    optimizer_d: Optimizer


def update(pair: GANPairLike, real: Tensor, z_d: Tensor, z_g: Tensor | None) -> Tensor:
    """Train D on one batch of real and fake images, then G against the D that comes out.

    G runs in train mode in both steps, so its batch-norm statistics move twice. The D step keeps no gradient of G
    unless the G step takes the same fakes again; D's weights need no gradient in the G step.

    Args:
        pair: Networks and optimisers, changed in place.
        real: (N, C, H, W) images in [-1, 1]. Trials that train together stand along one more, leading axis, here
            and in everything below; each has its own loss.
        z_d: (M, latent_dim) noise of the D step's fakes.
        z_g: (N, latent_dim) noise of the G step's fakes, or None to take the D step's fakes again (A3).

    Returns:
        (4,) float64 on the device, without gradient: ``loss_d, loss_g, d_real, d_fake``.
    """
    generator, discriminator = pair.generator, pair.discriminator

    with torch.set_grad_enabled(z_g is None):
        fake = generator(z_d)
    logits_real = discriminator(real)
    logits_fake = discriminator(fake.detach())
    loss_d = discriminator_loss(logits_real, logits_fake)
    pair.optimizer_d.zero_grad()
    loss_d.sum().backward()  # type: ignore[no-untyped-call]
    pair.optimizer_d.step()

    discriminator.requires_grad_(False)
    try:
        if z_g is not None:
            fake = generator(z_g)
        loss_g = generator_loss(discriminator(fake))
        pair.optimizer_g.zero_grad()
        loss_g.sum().backward()  # type: ignore[no-untyped-call]
    finally:  # a recording that fails here is done again without one
        discriminator.requires_grad_(True)
    pair.optimizer_g.step()

    statistics = (loss_d, loss_g, mean_probability(logits_real), mean_probability(logits_fake))
    return torch.stack([value.detach() for value in statistics], -1).double()
