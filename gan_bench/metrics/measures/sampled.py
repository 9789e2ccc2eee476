"""Metrics of a bounded sample of features: kernel and sliced distances, FID at infinity, measures of neighbours."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_bench.metrics.distances import (
    frechet_at_infinity,
    gaussian_distance,
    kernel_distance,
    random_directions,
    sliced_wasserstein,
)
from gan_bench.metrics.measures.base import Estimate, FeatureMetric, MeasureSetup
from gan_bench.metrics.neighbours import DENSITY_K, RADIUS_K, neighbours
from gan_bench.metrics.reference import MAX_PAIRWISE_FEATURES
from gan_bench.randomness import generator_for


class FeatureSample(FeatureMetric):
    """Keeps the first ``MAX_PAIRWISE_FEATURES`` features, for measures of pairs: memory does not grow with the images.

    Those that come first are a random sample, because generated images are independent and sets are shuffled.
    """

    features: list[Tensor]
    max_pairwise = MAX_PAIRWISE_FEATURES

    def __init__(self, setup: MeasureSetup) -> None:
        super().__init__(setup)
        self.add_state("features", [], dist_reduce_fx="cat")

    def update(self, features: Tensor, logits: Tensor) -> None:
        """Keep (N, D) features as float64; those beyond the limit are dropped."""
        room = MAX_PAIRWISE_FEATURES - sum(len(kept) for kept in self.features)
        if room > 0:
            self.features.append(features[:room].double())

    def sample(self) -> Tensor:
        """Return what was kept, (n, D) float64."""
        return torch.cat(self.features)


class KernelDistance(FeatureSample):
    """Kernel inception distance (Bińkowski et al. 2018) over disjoint blocks of features, with its standard error."""

    @property
    def gives(self) -> tuple[str, ...]:
        """``kid``, where features of real images are known."""
        return () if self.reference.features is None else ("kid",)

    def compute(self) -> dict[str, Estimate]:
        """Return ``kid``; it is unbiased, so it may be negative."""
        assert self.reference.features is not None  # noqa: S101 - `gives` looked
        value, error = kernel_distance(self.sample(), self.reference.features)
        return {"kid": Estimate(value, None if math.isnan(error) else error)}


class ClipDistance(FeatureSample):
    """Maximum mean discrepancy of CLIP features with a Gaussian kernel, times 1,000 (after Jayasumana et al. 2024)."""

    @property
    def gives(self) -> tuple[str, ...]:
        """``clip_mmd``, where features of real images are known; its entry says under which extractors."""
        return () if self.reference.features is None else ("clip_mmd",)

    def compute(self) -> dict[str, Estimate]:
        """Return ``clip_mmd``; it is unbiased, so it may be negative."""
        assert self.reference.features is not None  # noqa: S101 - `gives` looked
        return {"clip_mmd": Estimate(1000 * gaussian_distance(self.sample(), self.reference.features))}


class FrechetDistanceAtInfinity(FeatureSample):
    """Fréchet distance extrapolated to infinitely many images (Chong & Forsyth 2020), over seeded subsets."""

    gives = ("fid_inf",)

    def compute(self) -> dict[str, Estimate]:
        """Return ``fid_inf``; it may be slightly negative, and is None where the images are too few for a line."""
        features = self.sample()
        few = max(50, 2 * self.setup.feature_dim)
        if len(features) < few:
            return {"fid_inf": Estimate(None, note=f"needs {few} generated images")}
        source = generator_for(self.setup.seed, "evaluation/fid_inf")
        return {"fid_inf": Estimate(frechet_at_infinity(features, self.reference.moments, source))}


class PrecisionRecall(FeatureSample):
    """Precision, recall, density, coverage, copies and the authentic share, from one pass over all pairs."""

    @property
    def gives(self) -> tuple[str, ...]:
        """All from four images on; density and coverage need six real ones, ``copies`` held-out ones."""
        nearest = self.reference.nearest
        if self.reference.features is None or nearest is None or self.setup.samples <= RADIUS_K:
            return ()
        dense = ("density", "coverage") if nearest.shape[1] >= DENSITY_K else ()
        copies = ("copies",) if self.reference.copy_distance is not None else ()
        return ("precision", "recall", *dense, *copies, "authentic")

    def compute(self) -> dict[str, Estimate]:
        """Return the measures, all of them shares from 0 to 1 but ``density``, which may exceed 1."""
        real, nearest = self.reference.features, self.reference.nearest
        assert real is not None and nearest is not None  # noqa: S101, PT018 - `gives` looked
        found = neighbours(self.sample(), real, nearest)
        values = {**vars(found), "copies": None}
        if self.reference.copy_distance is not None:
            values["copies"] = float((found.nearest < self.reference.copy_distance).double().mean())
        return {name: Estimate(values[name]) for name in self.gives}


class SlicedWasserstein(FeatureSample):
    """Sliced 2-Wasserstein distance of features, along directions that are the same for every generator."""

    @property
    def gives(self) -> tuple[str, ...]:
        """``sw2``, where features of real images are known."""
        return () if self.reference.features is None else ("sw2",)

    def compute(self) -> dict[str, Estimate]:
        """Return ``sw2``, at least 0."""
        real = self.reference.features
        assert real is not None  # noqa: S101 - `gives` looked
        directions = random_directions(self.setup.feature_dim, generator_for(0, "measure/sw2")).to(real.device)
        return {"sw2": Estimate(sliced_wasserstein(self.sample(), real, directions))}
