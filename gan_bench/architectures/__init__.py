"""Generator and discriminator pairs by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from gan_bench.architectures import dcgan, mlp
from gan_bench.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A pair of networks.

    Attributes:
        description: One line for people.
        image_shape: (channels, height, width) that G makes and D takes.
        generator: Makes G for a latent dimension. G maps (N, latent_dim) to pictures in [-1, 1].
        discriminator: Makes D. D maps pictures to logits (N,).
    """

    description: str
    image_shape: tuple[int, int, int]
    generator: Callable[[int], nn.Module]
    discriminator: Callable[[], nn.Module]


ARCHITECTURES: Registry[Architecture] = Registry("architecture")

ARCHITECTURES.register(
    "mlp",
    Architecture(
        description="three linear layers of width 256 in each net (A2, A4)",
        image_shape=(1, 28, 28),
        generator=mlp.Generator,
        discriminator=mlp.Discriminator,
    ),
)
ARCHITECTURES.register(
    "dcgan28",
    Architecture(
        description="four convolutions in each net, 28x28 grey (A1)",
        image_shape=(1, 28, 28),
        generator=dcgan.Generator28,
        discriminator=dcgan.Discriminator28,
    ),
)
ARCHITECTURES.register(
    "dcgan64",
    Architecture(
        description="five convolutions in each net, 64x64 colour, first D block without batch-norm (A3)",
        image_shape=(3, 64, 64),
        generator=dcgan.Generator64,
        discriminator=partial(dcgan.Discriminator64, first_norm=False),
    ),
)
ARCHITECTURES.register(
    "dcgan64-bn",
    Architecture(
        description="five convolutions in each net, 64x64 colour, first D block with batch-norm (A0)",
        image_shape=(3, 64, 64),
        generator=dcgan.Generator64,
        discriminator=partial(dcgan.Discriminator64, first_norm=True),
    ),
)
