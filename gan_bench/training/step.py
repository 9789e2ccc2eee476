"""THE update: one D step, then one G step, as all five articles do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from gan_bench.losses import discriminator_loss, generator_loss, mean_probability
from gan_bench.training.state import TrainState


class Optimizer(Protocol):
    """What the update needs of an optimizer."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> None:
        """Update the parameters from their gradients."""


Network = Callable[[Tensor], Tensor]


def update(
    state: TrainState,
    real: Tensor,
    noise_d: Tensor,
    noise_g: Tensor | None,
    networks: tuple[Network, Network] | None = None,
    optimizers: tuple[Optimizer, Optimizer] | None = None,
) -> Tensor:
    """Train D on one batch of real and fake pictures, then G against the D that comes out.

    G runs in train mode in both steps, so its batch-norm statistics move twice. The D step keeps no gradient of G
    unless the G step takes the same fakes again; D's weights need no gradient in the G step.

    Args:
        state: The trial; its networks and optimisers are changed in place.
        real: (N, C, H, W) pictures in [-1, 1].
        noise_d: (M, latent_dim) noise of the D step's fakes.
        noise_g: (N, latent_dim) noise of the G step's fakes, or None to take the D step's fakes again (A3).
        networks: Other ways to compute G and D on the same parameters.
        optimizers: Other ways to step G's and D's optimizers.

    Returns:
        (4,) float64 on the device, without gradient: ``loss_d, loss_g, d_real, d_fake``.
    """
    generator, discriminator = networks or (state.generator, state.discriminator)
    optimizer_g, optimizer_d = optimizers or (state.optimizer_g, state.optimizer_d)

    with torch.set_grad_enabled(noise_g is None):
        fake = generator(noise_d)
    logits_real = discriminator(real)
    logits_fake = discriminator(fake.detach())
    loss_d = discriminator_loss(logits_real, logits_fake)
    optimizer_d.zero_grad()
    loss_d.backward()  # type: ignore[no-untyped-call]
    optimizer_d.step()

    state.discriminator.requires_grad_(False)
    if noise_g is not None:
        fake = generator(noise_g)
    loss_g = generator_loss(discriminator(fake))
    optimizer_g.zero_grad()
    loss_g.backward()  # type: ignore[no-untyped-call]
    optimizer_g.step()
    state.discriminator.requires_grad_(True)

    statistics = (loss_d, loss_g, mean_probability(logits_real), mean_probability(logits_fake))
    return torch.stack([value.detach() for value in statistics]).double()
