"""Distances between feature distributions, in float64, with explicit generators: no nets, no files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


class NotFiniteError(ArithmeticError):
    """Features or logits hold NaN or infinities, which have no score."""


def require_finite(values: Tensor, what: str) -> None:
    """Refuse NaN and infinities before linear algebra, as some LAPACK builds crash the process on them.

    Raises:
        NotFiniteError: A value is not finite.
    """
    if not bool(torch.isfinite(values).all()):
        raise NotFiniteError(f"{what} are not finite")


@dataclass(frozen=True)
class Moments:
    """First and second moments of a set of features.

    Attributes:
        count: Number of features, at least 2.
        mean: (D,) float64.
        covariance: (D, D) float64, unbiased (divided by N - 1), symmetric.
    """

    count: int
    mean: Tensor
    covariance: Tensor

    @cached_property
    def root(self) -> Tensor:
        """(D, D) float64, the symmetric square root of the covariance, computed once."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        return root

    def to(self, device: torch.device) -> Moments:
        """Return the moments on a device; the same object, with its cached root, if they are there."""
        mean, covariance = self.mean.to(device), self.covariance.to(device)
        return self if covariance is self.covariance else Moments(self.count, mean, covariance)


def add_to_sums(total: Tensor, outer: Tensor, features: Tensor) -> None:
    """Add features in place to the running sums of moments.

    Args:
        total: (D,) float64, sum of features.
        outer: (D, D) float64, sum of their outer products.
        features: (N, D) of any float dtype.
    """
    wide = features.double()
    total += wide.sum(0)
    outer += wide.T @ wide


def moments_of_sums(count: int, total: Tensor, outer: Tensor) -> Moments:
    """Return the moments of features from the sums of ``add_to_sums``.

    Args:
        count: Number of features.
        total: (D,) float64, sum of features.
        outer: (D, D) float64, sum of their outer products.

    Raises:
        ValueError: There are fewer than two features.
        NotFiniteError: A feature was not finite.
    """
    if count < 2:
        raise ValueError(f"moments need at least 2 features, got {count}")
    require_finite(outer, "features")
    mean = total / count
    covariance = (outer - count * torch.outer(mean, mean)) / (count - 1)
    return Moments(count, mean, (covariance + covariance.T) / 2)


def moments_of(features: Tensor) -> Moments:
    """Return the moments of a whole set of features.

    Args:
        features: (N, D) of any float dtype.

    Raises:
        ValueError: There are fewer than two features.
        NotFiniteError: A feature is not finite.
    """
    total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
    outer = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64, device=features.device)
    add_to_sums(total, outer, features)
    return moments_of_sums(len(features), total, outer)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Fréchet distance of two Gaussians (Dowson & Landau 1982; FID: Heusel et al. 2017).

    |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1 S2)^½, the last trace from the eigenvalues of the symmetric
    S2^½ S1 S2^½, which exist for rank-deficient covariances too.

    Args:
        a: Moments of one set.
        b: Moments of the other, of the same length; where several distances are asked for, the set they have in common.

    Returns:
        The distance, at least 0.

    Raises:
        NotFiniteError: A moment is not finite.
    """
    for moments in (a, b):
        require_finite(moments.mean, "feature means")
        require_finite(moments.covariance, "feature covariances")
    cross = torch.linalg.eigvalsh(b.root @ a.covariance @ b.root).clamp_min(0).sqrt().sum()
    difference = a.mean - b.mean
    distance = difference @ difference + a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(float(distance), 0.0)


def kernel_distance(x: Tensor, y: Tensor, block: int = 1000) -> tuple[float, float]:
    """Unbiased squared MMD with the kernel (a·b / D + 1)³, averaged over disjoint blocks (KID: Bińkowski et al. 2018).

    Disjoint blocks of independent features give independent estimates, so their spread gives the standard error.

    Args:
        x: (N, D) features of one set, in random order.
        y: (M, D) features of the other, in random order.
        block: Features per block; 1,000 is the size published scores use.

    Returns:
        The mean over blocks (it may be negative) and its standard error, NaN when there is one block only.

    Raises:
        NotFiniteError: A feature is not finite.
        ValueError: A set has fewer than two features.
    """
    for values in (x, y):
        require_finite(values, "features")
    size = min(block, len(x), len(y))
    if size < 2:
        raise ValueError("a kernel distance needs at least 2 features of each set")
    blocks = min(len(x), len(y)) // size
    estimates = torch.stack(
        [unbiased_mmd(*(v[i * size : (i + 1) * size].double() for v in (x, y))) for i in range(blocks)]
    )
    error = float(estimates.std() / blocks**0.5) if blocks > 1 else math.nan
    return float(estimates.mean()), error


def unbiased_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Return the estimate of one block, () float64, from (N, D) and (M, D) float64 features; N and M may differ."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    m, n = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    within_x = (xx.sum() - xx.trace()) / (m * (m - 1))
    within_y = (yy.sum() - yy.trace()) / (n * (n - 1))
    return within_x + within_y - 2 * kernel(x, y).mean()


GAUSSIAN_WIDTH = 10.0
"""Standard deviation of the kernel of ``gaussian_distance``, that of CMMD (Jayasumana et al. 2024)."""


def gaussian_distance(x: Tensor, y: Tensor, width: float = GAUSSIAN_WIDTH, rows: int = 1000) -> float:
    """Unbiased squared MMD of features of unit length with the kernel exp(-|a - b|² / (2 width²)).

    Args:
        x: (N, D) features of one set, brought to unit length here.
        y: (M, D) features of the other.
        width: Standard deviation of the kernel.
        rows: Features whose kernel with all others is in memory at once; the value does not depend on it.

    Returns:
        The distance; it may be negative.

    Raises:
        NotFiniteError: A feature is not finite.
        ValueError: A set has fewer than two features.
    """
    for values in (x, y):
        require_finite(values, "features")
    if min(len(x), len(y)) < 2:
        raise ValueError("a kernel distance needs at least 2 features of each set")
    x, y = (values.double() / values.double().norm(dim=1, keepdim=True).clamp_min(1e-12) for values in (x, y))

    def excess(a: Tensor, b: Tensor) -> Tensor:
        """Sum of the kernel minus 1, which keeps the precision of a kernel near 1."""
        # |a - b|² = 2 - 2 ab for features of unit length
        parts = ((part @ b.T).sub_(1).div_(width**2).expm1_().sum() for part in torch.split(a, rows))
        return torch.stack(list(parts)).sum()

    def within(a: Tensor) -> Tensor:
        """Mean over pairs of different features."""
        own = a.square().sum(1).sub_(1).div_(width**2).expm1_().sum()
        return (excess(a, a) - own) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * excess(x, y) / (len(x) * len(y)))


EXTRAPOLATION_POINTS = 10
"""Numbers of samples at which ``frechet_at_infinity`` fits its line."""


def frechet_at_infinity(features: Tensor, real: Moments, generator: torch.Generator) -> float:
    """Fréchet distance extrapolated to infinitely many samples (FID∞: Chong & Forsyth 2020).

    The bias of the distance falls as 1/N, so a line through distances at growing N, drawn over 1/N, meets 1/N = 0 at
    the value without bias. Subsets are random, of N/5 to N features, and of more than D where N allows: below that
    the covariance loses rank and the line bends.

    Args:
        features: (N, D) generated features.
        real: Moments of the reference.
        generator: CPU source of the subsets.

    Returns:
        The intercept; it may be slightly negative.

    Raises:
        NotFiniteError: A feature is not finite.
        ValueError: There are fewer than 50 features.
    """
    total = len(features)
    if total < 50:
        raise ValueError(f"an extrapolation needs at least 50 features, got {total}")
    smallest = max(total / 5, min(features.shape[1] + 1, total / 2))
    sizes = torch.linspace(smallest, total, EXTRAPOLATION_POINTS).round().long().tolist()
    distances = []
    for size in sizes:
        chosen = torch.randperm(total, generator=generator)[:size].to(features.device)
        distances.append(frechet_distance(moments_of(features[chosen]), real))
    inverse = 1 / torch.tensor(sizes, dtype=torch.float64)
    value = torch.tensor(distances, dtype=torch.float64)
    centred = inverse - inverse.mean()
    slope = (centred * value).sum() / centred.square().sum()
    return float(value.mean() - slope * inverse.mean())


DIRECTIONS = 256
"""Random directions of a sliced distance; its value has a standard error of a few per cent of itself."""


def sliced_wasserstein(x: Tensor, y: Tensor, directions: Tensor) -> float:
    """Squared 2-Wasserstein distance of two samples, averaged over one-dimensional projections (Bonneel et al. 2015).

    On a line the distance is exact: the mean squared difference of the sorted values. Of two samples of different size
    as many are taken of each.

    Args:
        x: (N, D) features of one set, in random order.
        y: (M, D) features of the other, in random order.
        directions: (K, D) unit vectors.

    Returns:
        The mean over directions, at least 0, in squared units of features.

    Raises:
        NotFiniteError: A feature is not finite.
    """
    for values in (x, y):
        require_finite(values, "features")
    size, axes = min(len(x), len(y)), directions.double().T
    first, second = ((values[:size].double() @ axes).sort(dim=0).values for values in (x, y))
    return float((first - second).square().mean())


def random_directions(dim: int, generator: torch.Generator, count: int = DIRECTIONS) -> Tensor:
    """Draw unit vectors, evenly over the sphere.

    Args:
        dim: Their length.
        generator: CPU source.
        count: How many.

    Returns:
        (count, dim) float64.
    """
    drawn = torch.randn(count, dim, dtype=torch.float64, generator=generator)
    unit: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
    return unit


def class_divergence(counts: Tensor, reference: Tensor) -> float:
    """Kullback-Leibler divergence of a class histogram from a reference histogram, in nats.

    Args:
        counts: (K,) counts of generated images by predicted class.
        reference: (K,) counts of real images by predicted class, each above 0 where ``counts`` is.

    Returns:
        The divergence, at least 0; infinite when a class appears that the reference does not have.
    """
    p, q = counts.double() / counts.sum(), reference.double() / reference.sum()
    return float(torch.special.xlogy(p, p).sum() - torch.special.xlogy(p, q).sum())


COVERED_SHARE = 0.1
"""Frequency of a class among generated images, relative to real ones, from which it counts as covered."""


def covered_classes(counts: Tensor, reference: Tensor) -> int:
    """Number of classes that appear at least ``COVERED_SHARE`` times as often as among real images.

    Args:
        counts: (K,) counts of generated images by predicted class.
        reference: (K,) counts of real images by predicted class.
    """
    p, q = counts.double() / counts.sum(), reference.double() / reference.sum()
    return int(((p >= COVERED_SHARE * q) & (q > 0)).sum())
