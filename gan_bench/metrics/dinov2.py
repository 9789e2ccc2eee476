"""DINOv2 (Oquab et al. 2023): the graph of timm, the weights and the position table of its authors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 224
"""Height and width that images are brought to: 16 x 16 patches of 14 pixels."""
_PATCH = 14
_GRAPHS = {"dinov2-vit-s-14": "small", "dinov2-vit-b-14": "base", "dinov2-vit-l-14": "large"}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, which the network was trained with."""
_OFFSET = 0.1
"""What the authors add to the number of patches when they interpolate positions; their features depend on it."""


class DinoV2(nn.Module):
    """A DINOv2 network: the normalised class token as feature.

    Images are resized by antialiased bicubic interpolation, as for FD-DINOv2 (Stein et al. 2023, ``dgm-eval`` with its
    clean resize).

    Args:
        name: ``dinov2-vit-s-14``, ``-b-14`` or ``-l-14``.
        weights: Tensors by the authors' keys.

    Raises:
        RuntimeError: The weights do not fit.
        KeyError: They have no ``pos_embed``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: dict[str, Tensor]) -> None:
        super().__init__()
        import timm

        fitting = {key: value.float() for key, value in weights.items() if key != "mask_token"}
        fitting["pos_embed"] = positions(fitting["pos_embed"], SIZE // _PATCH)
        with torch.device("meta"):  # no weights are drawn, so the global generator stays where it is
            network: Any = timm.create_model(f"vit_{_GRAPHS[name]}_patch14_dinov2", num_classes=0, img_size=SIZE)
        network.load_state_dict(fitting, assign=True)
        self.network = network
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Extract from images.

        Args:
            images: (N, 3, H, W) uint8.

        Returns:
            Features (N, D).
        """
        x = images.float()
        if x.shape[2:] != (SIZE, SIZE):
            x = F.interpolate(x, size=(SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False).clamp_(0, 255)
        return (self.network((x / 255 - self.mean) / self.std),)


def positions(table: Tensor, side: int) -> Tensor:
    """Interpolate a position table to another number of patches as DINOv2's authors do.

    Args:
        table: (1, 1 + n * n, D), the class token first.
        side: Patches along an edge.

    Returns:
        (1, 1 + side * side, D).
    """
    old = math.isqrt(table.shape[1] - 1)
    if old == side:
        return table
    grid = table[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    scale = (side + _OFFSET) / old
    resized = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat((table[:, :1], resized.permute(0, 2, 3, 1).flatten(1, 2)), dim=1)
