"""Nearest neighbours among two sets of features: precision, recall, density, coverage, and how close copies are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_bench.metrics.distances import require_finite

RADIUS_K = 3
"""The neighbour whose distance is a ball's radius for precision and recall (Kynkäänniemi et al. 2019)."""
DENSITY_K = 5
"""The same for density and coverage (Naeem et al. 2020)."""


SAME = 1e-5
"""Fraction of the longest feature below which two images count as equal: such distances are rounding errors of the
float32 extractor and of distances computed by matrix products."""


def _distances(rows: Tensor, centres: Tensor, least: float) -> Tensor:
    """Distances of all pairs, 0 below ``least``, so that copies lie in each other's balls of radius 0."""
    found = torch.cdist(rows, centres)
    return found.masked_fill_(found < least, 0.0)


def _rounding(*features: Tensor) -> float:
    return SAME * max(float(each.norm(dim=1).max()) for each in features)


def nearest_others(features: Tensor, k: int = DENSITY_K, chunk: int = 1000) -> Tensor:
    """Distances of every feature to its nearest other ones.

    Args:
        features: (N, D), N at least 2.
        k: How many; fewer where there are no more others.
        chunk: Rows per distance matrix; bounds memory to chunk x N.

    Returns:
        (N, min(k, N - 1)) float64, ascending.

    Raises:
        NotFiniteError: A feature is not finite.
    """
    require_finite(features, "features")
    wide = features.double()
    wanted, least = min(k + 1, len(wide)), _rounding(wide)  # itself is the nearest
    parts = [_distances(rows, wide, least).topk(wanted, dim=1, largest=False) for rows in torch.split(wide, chunk)]
    return torch.cat([part.values[:, 1:] for part in parts])


@dataclass(frozen=True)
class Neighbours:
    """Counts of nearest neighbours between two sets of features.

    Attributes:
        precision: Share of generated features inside a ball around a real one.
        recall: Share of real features inside a ball around a generated one.
        density: Mean number of balls around real features that hold a generated one, by ``DENSITY_K``; None where the
            real ones are too few for such balls.
        coverage: Share of real features whose ball holds a generated one; None likewise.
        authentic: Share of generated features that are farther from their nearest real one than that one is from the
            nearest other real one.
        nearest: (N,) float64, distance of every generated feature to its nearest real one.
    """

    precision: float
    recall: float
    density: float | None
    coverage: float | None
    authentic: float
    nearest: Tensor


def neighbours(generated: Tensor, real: Tensor, real_nearest: Tensor, chunk: int = 1000) -> Neighbours:
    """Compute all neighbour measures in one pass over all pairs.

    Precision and recall follow Kynkäänniemi et al. 2019, density and coverage Naeem et al. 2020, the authentic share
    Alaa et al. 2022.

    Args:
        generated: (N, D) features, N > ``RADIUS_K``.
        real: (M, D) features, M > ``RADIUS_K``.
        real_nearest: What ``nearest_others(real)`` gives.
        chunk: Rows per distance matrix; bounds memory to chunk x max(N, M).

    Raises:
        NotFiniteError: A generated feature is not finite.
    """
    radii = nearest_others(generated, RADIUS_K, chunk)[:, RADIUS_K - 1]
    wide, centres = generated.double(), real.double()
    balls = real_nearest[:, RADIUS_K - 1]
    wide_balls = real_nearest[:, DENSITY_K - 1] if real_nearest.shape[1] >= DENSITY_K else None
    reached = torch.zeros(len(centres), dtype=torch.bool, device=centres.device)
    closest = torch.full((len(centres),), torch.inf, dtype=torch.float64, device=centres.device)
    inside, nearest, authentic, holding = [], [], [], 0
    rounding = _rounding(wide, centres)
    for rows, row_radii in zip(torch.split(wide, chunk), torch.split(radii, chunk), strict=True):
        distances = _distances(rows, centres, rounding)
        inside.append((distances <= balls).any(1))
        reached |= (distances <= row_radii[:, None]).any(0)
        least = distances.min(1)
        nearest.append(least.values)
        authentic.append(least.values > real_nearest[least.indices, 0])
        if wide_balls is not None:
            holding += int(torch.count_nonzero(distances <= wide_balls))
            closest = torch.minimum(closest, distances.amin(0))
    return Neighbours(
        precision=float(torch.cat(inside).double().mean()),
        recall=float(reached.double().mean()),
        density=None if wide_balls is None else holding / (DENSITY_K * len(wide)),
        coverage=None if wide_balls is None else float((closest <= wide_balls).double().mean()),
        authentic=float(torch.cat(authentic).double().mean()),
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
    least = _rounding(points.double(), wide)
    return torch.cat([_distances(rows.double(), wide, least).amin(1) for rows in torch.split(points, chunk)])
