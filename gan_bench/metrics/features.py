"""What every feature extractor takes and gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gan_bench.float32 import Tf32, tf32


@dataclass(frozen=True)
class Features:
    """What an extractor makes of N images.

    Attributes:
        features: (N, D) float.
        logits: (N, classes) float; (N, 0) of a network that knows no classes.
    """

    features: Tensor
    logits: Tensor


class Extractor(Protocol):
    """A frozen network.

    Attributes:
        name: Name with its version, as scores carry it.
        sha256: Digest of the weights.
        feature_dim: Length of a feature.
        classes: Number of classes of the logits, 0 where it knows none; it then has no inception score.
        device: Where it runs and its answers lie.
    """

    name: str
    sha256: str
    feature_dim: int
    classes: int
    device: torch.device

    def __call__(self, images: Tensor) -> Features:
        """Extract from (N, C, H, W) uint8 images on any device."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep TensorFloat-32 out of scores, as they must not depend on the GPU, and autocast that a part left on."""
    with tf32(Tf32(convolutions=False, products=False)), ExitStack() as off:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                off.enter_context(torch.autocast(kind, enabled=False))
        yield
