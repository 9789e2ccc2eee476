"""Random generators for named purposes. gan_bench never draws from torch's global generator.

A purpose such as ``epoch/3/noise_d`` names its draws completely, so a resumed trial makes the same draws without
any generator state having been stored, and a member of a group makes those of its solo run. Layers of others, such as
dropout, draw from the global one: ``global_draws`` names those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from gan_bench.core.canonical import derive_seed
from gan_bench.core.torch_settings import folder_kept


def generator_for(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Make a generator for one purpose of one trial.

    Args:
        seed: The trial's seed.
        purpose: What the draws are for.
        device: Where the draws are made; CPU and CUDA give different numbers.
    """
    generator = torch.Generator(device=device)
    generator.manual_seed(derive_seed(seed, purpose))
    return generator


@contextmanager
def global_draws(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """Seed torch's global generator for a purpose, for third-party networks; restore it and the current folder.

    Args:
        seed: The trial's seed.
        purpose: What the draws are for.
        device: What computes.
    """
    number = derive_seed(seed, purpose)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), folder_kept():
        torch.default_generator.manual_seed(number)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield


def draw_latent(shape: tuple[int, ...], latent: Literal["normal", "uniform"], generator: torch.Generator) -> Tensor:
    """Draw noise for a generator network.

    Args:
        shape: Shape of the result; the last axis is the latent dimension.
        latent: Standard normal, or uniform on [-1, 1].
        generator: Source of randomness; decides the device.

    Returns:
        A float32 tensor of that shape.
    """
    draw = torch.randn if latent == "normal" else torch.rand
    drawn = draw(shape, generator=generator, device=generator.device, dtype=torch.float32)
    return drawn if latent == "normal" else drawn.mul_(2).sub_(1)


def random_order(count: int, limit: int | None = None) -> Tensor:
    """Return indices of images in a fixed random order, or the first of them."""
    return torch.randperm(count, generator=generator_for(0, "subset"))[:limit]


def shuffled(images: Tensor, limit: int | None = None) -> Tensor:
    """Return images in their random order, or the first of them."""
    return images[random_order(len(images), limit)]
