"""The random draws of one epoch: which images in which order, and every noise vector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import DataError
from gan_bench.randomness import draw_latent, generator_for


def steps_per_epoch(config: TrialConfig, images: int) -> int:
    """Count the updates of one epoch.

    Args:
        config: The trial.
        images: Training images at hand.

    Raises:
        DataError: A dropped last batch would leave nothing.
    """
    shown = images * config.dataset_repeats
    steps = shown // config.batch_size if config.last_batch == "drop" else -(-shown // config.batch_size)
    if steps == 0:
        raise DataError(
            f"{config.dataset} has {shown} training images per epoch, fewer than one batch of {config.batch_size} "
            f"whose remainder {config.recipe} drops; lower batch_size or raise train_limit"
        )
    return steps


@dataclass(frozen=True)
class EpochDraws:
    """All randomness of one epoch, drawn at once from the trial's named generators.

    Attributes:
        order: (shown,) int64, indices of images; batch i is ``order[i * batch_size:][:batch_size]``.
        z_d: (steps, batch_size, latent_dim), noise of the D steps.
        z_g: The same for the G steps, or None when they take the D step's fakes again.
        mix: (steps, batch_size) places between real and fake images in [0, 1), or None without a gradient penalty.
    """

    order: Tensor
    z_d: Tensor
    z_g: Tensor | None
    mix: Tensor | None = None

    @classmethod
    def draw(cls, config: TrialConfig, images: int, epoch: int, device: torch.device) -> EpochDraws:
        """Draw an epoch.

        Args:
            config: The trial.
            images: Training images at hand.
            epoch: The epoch, from 1.
            device: Where noise is drawn. The order is drawn on the CPU and so is the same on every device.
        """
        steps = steps_per_epoch(config, images)
        shown = images * config.dataset_repeats
        generator = generator_for(config.seed, f"epoch/{epoch}/order")
        order = torch.randperm(shown, generator=generator).remainder_(images)
        shape = (steps, config.batch_size, config.latent_dim)

        def noise(purpose: str) -> Tensor:
            return draw_latent(shape, config.latent, generator_for(config.seed, f"epoch/{epoch}/{purpose}", device))

        z_g = noise("noise_g") if config.step_fakes == "fresh" else None
        mix = None
        if config.gradient_penalty:
            source = generator_for(config.seed, f"epoch/{epoch}/interpolation", device)
            mix = torch.rand(shape[:2], generator=source, device=device)
        return cls(order.to(device), noise("noise_d"), z_g, mix)
