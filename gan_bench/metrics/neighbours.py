"""Nearest neighbours among two sets of features: precision, recall, and how close copies are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_bench.metrics.distances import require_finite


def neighbour_radii(features: Tensor, k: int = 3, chunk: int = 1000) -> Tensor:
    """Distance of every feature to its k-th nearest other one.

    Args:
        features: (N, D), N > k.
        k: 3 as in Kynkäänniemi et al. 2019.
        chunk: Rows per distance matrix; bounds memory to chunk x N.

    Returns:
        (N,) float64.
    """
    require_finite(features, "features")
    wide = features.double()
    parts = [torch.cdist(rows, wide).topk(k + 1, dim=1, largest=False) for rows in torch.split(wide, chunk)]
    return torch.cat([part.values[:, k] for part in parts])


@dataclass(frozen=True)
class Neighbours:
    """How two sets of features lie among each other.

    Attributes:
        precision: Share of generated features inside a ball around a real one.
        recall: Share of real features inside a ball around a generated one.
        nearest: (N,) float64, distance of every generated feature to its nearest real one.
    """

    precision: float
    recall: float
    nearest: Tensor


def neighbours(generated: Tensor, real: Tensor, real_radii: Tensor, k: int = 3, chunk: int = 1000) -> Neighbours:
    """Precision and recall (Kynkäänniemi et al. 2019) and nearest distances, from one pass over all pairs.

    Args:
        generated: (N, D) features, N > k.
        real: (M, D) features.
        real_radii: (M,) from ``neighbour_radii(real, k)``.
        k: The neighbour whose distance is a ball's radius.
        chunk: Rows per distance matrix; bounds memory to chunk x max(N, M).

    Raises:
        NotFiniteError: A generated feature is not finite.
    """
    radii = neighbour_radii(generated, k, chunk)
    wide, centres = generated.double(), real.double()
    reached = torch.zeros(len(centres), dtype=torch.bool, device=centres.device)
    inside, nearest = [], []
    for rows, row_radii in zip(torch.split(wide, chunk), torch.split(radii, chunk), strict=True):
        distances = torch.cdist(rows, centres)
        inside.append((distances <= real_radii).any(1))
        nearest.append(distances.amin(1))
        reached |= (distances <= row_radii[:, None]).any(0)
    return Neighbours(
        precision=float(torch.cat(inside).double().mean()),
        recall=float(reached.double().mean()),
        nearest=torch.cat(nearest),
    )


def nearest_distances(points: Tensor, centres: Tensor, chunk: int = 1000) -> Tensor:
    """Distance of every point to its nearest centre.

    Args:
        points: (N, D).
        centres: (M, D).
        chunk: Rows per distance matrix; bounds memory to chunk x M.

    Returns:
        (N,) float64.
    """
    require_finite(points, "features")
    wide = centres.double()
    return torch.cat([torch.cdist(rows.double(), wide).amin(1) for rows in torch.split(points, chunk)])
