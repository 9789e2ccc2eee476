"""Frozen feature extractors: uint8 pictures in; features and class logits out; a name, a version and a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor
from torch.nn import functional as F

from gan_bench.errors import DataError
from gan_bench.metrics.classifiers import CifarNet, LeNet28
from gan_bench.registry import Registry


@dataclass(frozen=True)
class Features:
    """What an extractor makes of N pictures.

    Attributes:
        features: (N, D) float.
        logits: (N, classes) float.
    """

    features: Tensor
    logits: Tensor


class Extractor(Protocol):
    """A frozen network.

    Attributes:
        name: Name with its version, as scores carry it.
        sha256: Digest of the weights.
        feature_dim: Length of a feature.
        classes: Number of classes of the logits.
        device: Where it runs and its answers lie.
    """

    name: str
    sha256: str
    feature_dim: int
    classes: int
    device: torch.device

    def __call__(self, pictures: Tensor) -> Features:
        """Extract from (N, C, H, W) uint8 pictures on any device."""


@dataclass(frozen=True, kw_only=True)
class ExtractorEntry:
    """A registered extractor.

    Attributes:
        description: One line for people.
        channels: Channels for which ``auto`` takes it, or None.
        load: Loads it onto a device.
    """

    description: str
    channels: int | None
    load: Callable[[torch.device], Extractor]


EXTRACTORS: Registry[ExtractorEntry] = Registry("extractor")


class ShippedClassifier:
    """A small classifier whose weights are part of the package.

    Args:
        name: Name of the weights file and its card.
        network: The network class.
        device: Where it runs.

    Raises:
        DataError: The weights are not those of the card.
    """

    def __init__(self, name: str, network: type[LeNet28] | type[CifarNet], device: torch.device) -> None:
        data = (resources.files("gan_bench.metrics") / "weights" / f"{name}.safetensors").read_bytes()
        self.name = name
        self.sha256 = hashlib.sha256(data).hexdigest()
        if self.sha256 != card(name)["sha256"]:
            raise DataError(f"the shipped weights of {name} are damaged; install gan_bench again")
        self.feature_dim = network.feature_dim
        self.classes = 10
        self._shape = network.image_shape
        self.device = device
        self._network = network().eval().requires_grad_(False)
        self._network.load_state_dict({key: value.float() for key, value in load_safetensors(data).items()})
        self._network.to(device)

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Features:
        """Extract from uint8 pictures; other sizes are area-resized, other channel counts converted."""
        channels, height, width = self._shape
        x = pictures.to(self.device).float().div_(255)
        if x.shape[1] != channels:
            x = x.mean(1, keepdim=True) if channels == 1 else x.expand(-1, channels, -1, -1)
        if x.shape[2:] != (height, width):
            x = F.interpolate(x, size=(height, width), mode="area")
        features, logits = self._network(x)
        return Features(features, logits)


def card(name: str) -> dict[str, Any]:
    """Return the training record of a shipped extractor."""
    text = (resources.files("gan_bench.metrics") / "weights" / f"{name}.json").read_text()
    content: dict[str, Any] = json.loads(text)
    return content


def resolve(names: tuple[str, ...], channels: int) -> tuple[str, ...]:
    """Turn ``auto`` into the extractors this machine has for pictures of so many channels.

    Raises:
        UserError: A name is unknown.
    """
    if names != ("auto",):
        return tuple(name for name in names if EXTRACTORS[name])
    return tuple(name for name, entry in EXTRACTORS.items() if entry.channels == channels)


EXTRACTORS.register(
    "lenet-mnist-v1",
    ExtractorEntry(
        description="small classifier of MNIST digits, 128 features, shipped",
        channels=1,
        load=lambda device: ShippedClassifier("lenet-mnist-v1", LeNet28, device),
    ),
)
