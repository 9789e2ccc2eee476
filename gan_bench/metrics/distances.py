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
    """Gathers moments batch by batch and never keeps pictures or features.

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


class InceptionScoreAccumulator:
    """Gathers the inception score (Salimans et al. 2016) over consecutive splits, keeping no logits.

    Args:
        total: Number of pictures that will be added.
        classes: Number of classes.
        splits: Number of consecutive, nearly equal parts the score is averaged over.
        device: Where the sums live.
    """

    def __init__(self, total: int, classes: int, splits: int = 10, device: torch.device | str = "cpu") -> None:
        self.total, self.splits, self.count = total, min(splits, total), 0
        self._probabilities = torch.zeros(self.splits, classes, dtype=torch.float64, device=device)
        self._negentropy = torch.zeros(self.splits, dtype=torch.float64, device=device)

    def add(self, logits: Tensor) -> None:
        """Add (N, classes) logits of the next N pictures."""
        logs = logits.double().log_softmax(1)
        position = torch.arange(self.count, self.count + len(logs), device=logs.device)
        split = position * self.splits // self.total
        self._probabilities.index_add_(0, split, logs.exp())
        self._negentropy.index_add_(0, split, (logs.exp() * logs).sum(1))
        self.count += len(logs)

    def score(self) -> tuple[float, float]:
        """Return the mean over splits and their standard deviation with ddof 0, as published scores use it.

        Raises:
            ValueError: Fewer or more pictures were added than promised.
            NotFiniteError: A logit was not finite.
        """
        if self.count != self.total:
            raise ValueError(f"{self.count} pictures were added, {self.total} were promised")
        require_finite(self._negentropy, "logits")
        index = torch.arange(self.total, device=self._negentropy.device) * self.splits // self.total
        sizes = torch.bincount(index, minlength=self.splits).double()
        marginal = self._probabilities / sizes[:, None]
        divergence = self._negentropy / sizes - torch.special.xlogy(marginal, marginal).sum(1)
        scores = divergence.exp()
        return float(scores.mean()), float(scores.std(correction=0)) if self.splits > 1 else math.nan
