"""The two small classifiers whose frozen features score images without a download.

Both take float images in [0, 1] and return ``(features, logits)``; the extractors in
``gan_bench.metrics.extractors`` handle uint8 input, resizing and the shipped weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LeNet28(nn.Module):
    """A LeNet-style classifier for 28x28 grey digits, 128 penultimate features.

    The layout follows LeNet-5 (LeCun et al. 1998) with ReLU, max pooling and batch normalisation.
    """

    feature_dim = 128
    image_shape = (1, 28, 28)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, self.feature_dim),
            nn.ReLU(),
        )
        self.head = nn.Linear(self.feature_dim, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Classify images.

        Args:
            images: (N, 1, 28, 28) float in [0, 1].

        Returns:
            Features (N, 128), non-negative, and class logits (N, 10).
        """
        features = self.body((images - 0.1307) / 0.3081)
        return features, self.head(features)


def _conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(_conv(channels, channels), _conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.convs(x)
        return x + change


class CifarNet(nn.Module):
    """A slim residual classifier for 32x32 colour images, 192 penultimate features.

    The layout follows the ResNet-9 family (stem, three stages, residual blocks), narrowed so that
    the half-precision weights stay below 3 MB.
    """

    feature_dim = 192
    image_shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(3, 32),
            _conv(32, 64, stride=2),
            _Residual(64),
            _conv(64, 128, stride=2),
            _Residual(128),
            _conv(128, self.feature_dim, stride=2),
            _Residual(self.feature_dim),
        )
        self.head = nn.Linear(self.feature_dim, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Classify images.

        Args:
            images: (N, 3, 32, 32) float in [0, 1].

        Returns:
            Features (N, 192), non-negative, and class logits (N, 10).
        """
        maps = self.body((images - 0.473) / 0.251)
        features = torch.flatten(F.adaptive_avg_pool2d(maps, 1), 1)
        return features, self.head(features)
