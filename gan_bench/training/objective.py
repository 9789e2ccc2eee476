"""The objective of an update: loss, penalties, clipping, and steps of D per step of G."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_bench.config.trial import TrialConfig
from gan_bench.models.losses import LOSSES, Loss


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The objective of a trial; its fields are those of ``TrialConfig``, where 0 means none.

    Attributes:
        loss: What D and G minimise.
        label_smoothing: Real images get the target 1 minus this.
        weight_clip: D's weights are clamped to plus and minus this after each D step.
        gradient_penalty: Weight of the penalty between real and fake images.
        r1_gamma: Half of it weighs the penalty at real images.
        d_steps: D steps for each G step.
    """

    loss: Loss
    label_smoothing: float = 0.0
    weight_clip: float = 0.0
    gradient_penalty: float = 0.0
    r1_gamma: float = 0.0
    d_steps: int = 1

    @classmethod
    def of(cls, config: TrialConfig) -> Objective:
        """Return the objective of a trial.

        Raises:
            UserError: No loss has that name.
        """
        return cls(
            loss=LOSSES[config.loss],
            label_smoothing=config.label_smoothing,
            weight_clip=config.weight_clip,
            gradient_penalty=config.gradient_penalty,
            r1_gamma=config.r1_gamma,
            d_steps=config.d_steps,
        )

    def is_g_step(self, step: int) -> bool:
        """True if G is updated, too, in a step; steps are counted from 1 over the whole trial."""
        return step % self.d_steps == 0

    def discriminator_loss(self, outputs_real: Tensor, outputs_fake: Tensor) -> Tensor:
        """Return D's loss without penalties, (...) from (..., N) and (..., M)."""
        if self.label_smoothing and self.loss.smoothed is not None:
            return self.loss.smoothed(outputs_real, outputs_fake, 1 - self.label_smoothing)
        return self.loss.discriminator(outputs_real, outputs_fake)

    def clip(self, parameters: Iterable[Tensor]) -> None:
        """Clamp D's weights, if the objective clips them."""
        if self.weight_clip:
            with torch.no_grad():
                for parameter in parameters:
                    parameter.clamp_(-self.weight_clip, self.weight_clip)


ARTICLES = Objective(loss=LOSSES["non_saturating"])
"""The objective of all five articles."""


def squared_gradient_norms(outputs: Tensor, images: Tensor) -> Tensor:
    """Return the squared norm of the gradient of each output with respect to its image, differentiable again.

    Args:
        outputs: (N,) of D.
        images: (N, C, H, W) that they were computed from, with ``requires_grad``.

    Returns:
        (N,), at least 0.
    """
    (gradient,) = torch.autograd.grad(outputs.sum(), images, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def between(real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Return images between real and fake ones, as many as there are of both.

    Args:
        real: (N, C, H, W).
        fake: (M, C, H, W).
        mix: (at least min(N, M),) shares of the real image, in [0, 1).
    """
    n = min(len(real), len(fake))
    share = mix[:n, None, None, None]
    return share * real[:n] + (1 - share) * fake[:n]
