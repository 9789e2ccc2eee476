"""Generator and discriminator pairs by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from gan_bench.core.errors import is_stop
from gan_bench.core.registry import Registry
from gan_bench.models import dcgan, mlp


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A pair of networks.

    Attributes:
        description: One line for people.
        image_shape: (channels, height, width) that G makes and D takes.
        generator: Makes G for a latent dimension. G maps (N, latent_dim) to images in [-1, 1].
        discriminator: Makes D. D maps images to logits (N,).
    """

    description: str
    image_shape: tuple[int, int, int]
    generator: Callable[[int], nn.Module]
    discriminator: Callable[[], nn.Module]


ARCHITECTURES: Registry[Architecture] = Registry("architecture", "architectures", Architecture)


def without_memory(architecture: Architecture, latent_dim: int) -> tuple[nn.Module, nn.Module]:
    """Make both networks without memory for their weights, where they allow that."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return architecture.generator(latent_dim), architecture.discriminator()
        except BaseException as error:  # a user's own initialisation may want real memory
            if is_stop(error):
                raise
            return architecture.generator(latent_dim), architecture.discriminator()


def fingerprint(architecture: Architecture, latent_dim: int) -> str:
    """Digest what tells one pair of networks from another: kinds, settings and shapes of their layers, by name.

    What stands in code alone, such as the order of calls in a ``forward``, is not seen. Another version of torch may
    describe the same layers in other words.
    """
    digest = hashlib.sha256()
    for network in without_memory(architecture, latent_dim):
        for name, module in network.named_modules():
            settings = re.sub(r" at 0x[0-9a-fA-F]+", "", module.extra_repr())  # where a function lies in memory
            digest.update(f"{name}\0{type(module).__qualname__}\0{settings}\n".encode())
        for name, tensor in network.state_dict().items():
            digest.update(f"{name}\0{tuple(tensor.shape)}\n".encode())
    return digest.hexdigest()


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
ARCHITECTURES.close_shipped()
