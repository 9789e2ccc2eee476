"""Distances between feature distributions, in float64, with explicit generators: no nets, no files."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


class NotFiniteError(ArithmeticError):
    """Features or logits hold NaN or an infinity; a score of them would be none."""


def require_finite(values: Tensor, what: str) -> None:
    """Refuse NaN and infinities before linear algebra meets them: some LAPACK builds crash the process on them.

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


class MomentAccumulator:
    """Gathers moments batch by batch and never keeps images or features.

    Args:
        dim: Length of a feature.
        device: Where the sums live.
    """

    def __init__(self, dim: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self._sum = torch.zeros(dim, dtype=torch.float64, device=device)
        self._outer = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    def add(self, features: Tensor) -> None:
        """Add (N, D) features of any float dtype."""
        wide = features.double()
        self.count += len(wide)
        self._sum += wide.sum(0)
        self._outer += wide.T @ wide

    def merge(self, other: MomentAccumulator) -> None:
        """Take over what another accumulator gathered."""
        self.count += other.count
        self._sum += other._sum
        self._outer += other._outer

    def moments(self) -> Moments:
        """Return the moments so far.

        Raises:
            ValueError: Fewer than two features were added.
            NotFiniteError: A feature was not finite.
        """
        if self.count < 2:
            raise ValueError(f"moments need at least 2 features, got {self.count}")
        require_finite(self._outer, "features")
        mean = self._sum / self.count
        covariance = (self._outer - self.count * torch.outer(mean, mean)) / (self.count - 1)
        return Moments(self.count, mean, (covariance + covariance.T) / 2)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Fréchet distance of two Gaussians (Dowson & Landau 1982; FID: Heusel et al. 2017).

    |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1 S2)^½, the last trace from the eigenvalues of the symmetric
    S1^½ S2 S1^½, which exist for rank-deficient covariances too.

    Args:
        a: Moments of one set.
        b: Moments of the other, of the same length.

    Returns:
        The distance, at least 0.

    Raises:
        NotFiniteError: A moment is not finite.
    """
    for moments in (a, b):
        require_finite(moments.mean, "feature means")
        require_finite(moments.covariance, "feature covariances")
    values, vectors = torch.linalg.eigh(a.covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    difference = a.mean - b.mean
    distance = difference @ difference + a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(float(distance), 0.0)


class FeatureSample:
    """Keeps the first features that come, up to a fixed number, so that memory does not grow with the images.

    Args:
        most: How many are kept.
        dim: Length of a feature.
        device: Where they live.
    """

    def __init__(self, most: int, dim: int, device: torch.device | str = "cpu") -> None:
        self._kept = torch.empty(most, dim, device=device)
        self.count = 0

    def add(self, features: Tensor) -> None:
        """Add (N, D) features; those beyond the limit are dropped."""
        taken = features[: len(self._kept) - self.count]
        self._kept[self.count : self.count + len(taken)] = taken
        self.count += len(taken)

    def features(self) -> Tensor:
        """Return what was kept, (count, D) float32."""
        return self._kept[: self.count]


class InceptionScoreAccumulator:
    """Gathers the inception score (Salimans et al. 2016) over consecutive splits, keeping no logits.

    Args:
        total: Number of images that will be added.
        classes: Number of classes.
        splits: Number of consecutive, nearly equal parts the score is averaged over.
        device: Where the sums live.
    """

    def __init__(self, total: int, classes: int, splits: int = 10, device: torch.device | str = "cpu") -> None:
        self.total, self.splits, self.count = total, min(splits, total), 0
        self._probabilities = torch.zeros(self.splits, classes, dtype=torch.float64, device=device)
        self._negentropy = torch.zeros(self.splits, dtype=torch.float64, device=device)

    def add(self, logits: Tensor) -> None:
        """Add (N, classes) logits of the next N images."""
        logs = logits.double().log_softmax(1)
        position = torch.arange(self.count, self.count + len(logs), device=logs.device)
        split = position * self.splits // self.total
        self._probabilities.index_add_(0, split, logs.exp())
        self._negentropy.index_add_(0, split, (logs.exp() * logs).sum(1))
        self.count += len(logs)

    def score(self) -> tuple[float, float]:
        """Return the mean over splits and their standard deviation with ddof 0, as published scores use it.

        Raises:
            ValueError: Fewer or more images were added than promised.
            NotFiniteError: A logit was not finite.
        """
        if self.count != self.total:
            raise ValueError(f"{self.count} images were added, {self.total} were promised")
        require_finite(self._negentropy, "logits")
        index = torch.arange(self.total, device=self._negentropy.device) * self.splits // self.total
        sizes = torch.bincount(index, minlength=self.splits).double()
        marginal = self._probabilities / sizes[:, None]
        divergence = self._negentropy / sizes - torch.special.xlogy(marginal, marginal).sum(1)
        scores = divergence.exp()
        return float(scores.mean()), float(scores.std(correction=0)) if self.splits > 1 else math.nan


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
        [_unbiased_mmd(*(v[i * size : (i + 1) * size].double() for v in (x, y))) for i in range(blocks)]
    )
    error = float(estimates.std() / blocks**0.5) if blocks > 1 else math.nan
    return float(estimates.mean()), error


def _unbiased_mmd(x: Tensor, y: Tensor) -> Tensor:
    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    m, n = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    within_x = (xx.sum() - xx.trace()) / (m * (m - 1))
    within_y = (yy.sum() - yy.trace()) / (n * (n - 1))
    return within_x + within_y - 2 * kernel(x, y).mean()


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


def frechet_at_infinity(features: Tensor, real: Moments, generator: torch.Generator, points: int = 10) -> float:
    """Fréchet distance extrapolated to infinitely many samples (FID∞: Chong & Forsyth 2020).

    The bias of the distance falls as 1/N, so a line through distances at growing N, drawn over 1/N, meets 1/N = 0 at
    the value without bias. Subsets are random, of N/5 to N features, and of more than D where N allows: below that
    the covariance loses rank and the line bends.

    Args:
        features: (N, D) generated features.
        real: Moments of the reference.
        generator: CPU source of the subsets.
        points: Distances the line goes through.

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
    sizes = torch.linspace(smallest, total, points).round().long().tolist()
    distances = []
    for size in sizes:
        chosen = torch.randperm(total, generator=generator)[:size].to(features.device)
        accumulator = MomentAccumulator(features.shape[1], features.device)
        accumulator.add(features[chosen])
        distances.append(frechet_distance(accumulator.moments(), real))
    inverse = 1 / torch.tensor(sizes, dtype=torch.float64)
    value = torch.tensor(distances, dtype=torch.float64)
    centred = inverse - inverse.mean()
    slope = (centred * value).sum() / centred.square().sum()
    return float(value.mean() - slope * inverse.mean())


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


def covered_classes(counts: Tensor, reference: Tensor, share: float = 0.1) -> int:
    """Number of classes that appear at least a tenth as often as among real images.

    Args:
        counts: (K,) counts of generated images by predicted class.
        reference: (K,) counts of real images by predicted class.
        share: What counts as appearing.
    """
    p, q = counts.double() / counts.sum(), reference.double() / reference.sum()
    return int(((p >= share * q) & (q > 0)).sum())
