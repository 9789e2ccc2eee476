"""The interface of feature extractors, and networks of colour images as extractors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from gan_bench.core.torch_settings import Tf32, tf32

PART = 50
"""Images in one pass of a network of 128x128 or larger: 500 of them would take gigabytes."""


@dataclass(frozen=True)
class Features:
    """The outputs of an extractor for N images.

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


class FrozenNetwork:
    """A network of colour images as a feature extractor, in float32.

    Args:
        name: Name of the extractor.
        sha256: Digest of the weights.
        network: From (N, 3, H, W) uint8 images it makes (N, D) features, or features and (N, classes) logits.
        device: Where it runs.
        feature_dim: D.
        classes: Number of classes of its logits, 0 where it gives none.
        part: Images in one pass, or None for as many as come.
    """

    def __init__(
        self,
        name: str,
        sha256: str,
        network: nn.Module,
        device: torch.device,
        *,
        feature_dim: int,
        classes: int = 0,
        part: int | None = PART,
    ) -> None:
        self.name, self.sha256, self.device = name, sha256, device
        self.feature_dim, self.classes, self._part = feature_dim, classes, part
        self._network = network.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images of any size, grey or colour; resized as the network's publishers do."""
        colour = images.to(self.device)
        if colour.shape[1] == 1:
            colour = colour.expand(-1, 3, -1, -1)
        seen = [self._network(part) for part in torch.split(colour, self._part or max(len(colour), 1))]
        features = torch.cat([each[0] for each in seen])
        logits = torch.cat([each[1] for each in seen]) if self.classes else features.new_zeros(len(features), 0)
        return Features(features, logits)


@contextmanager
def full_precision() -> Iterator[None]:
    """Disable TensorFloat-32 and autocast for scores, which must not depend on the GPU."""
    with tf32(Tf32(convolutions=False, products=False)), ExitStack() as off:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                off.enter_context(torch.autocast(kind, enabled=False))
        yield
