"""The shipped metrics: sums over all images that store none, and those of a bounded sample of features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_bench.metrics.distances import (
    add_to_sums,
    class_divergence,
    covered_classes,
    frechet_at_infinity,
    frechet_distance,
    gaussian_distance,
    kernel_distance,
    moments_of_sums,
    random_directions,
    require_finite,
    sliced_wasserstein,
)
from gan_bench.metrics.measures.base import Estimate, FeatureMetric, MeasureSetup
from gan_bench.metrics.neighbours import DENSITY_K, RADIUS_K, neighbours
from gan_bench.metrics.reference import MAX_PAIRWISE_FEATURES
from gan_bench.randomness import generator_for

SPLITS = 10
"""Consecutive parts of the images that the inception score is averaged over."""


class FrechetDistance(FeatureMetric):
    """Fréchet inception distance (Heusel et al. 2017) from sums; neither images nor features are stored."""

    count: Tensor
    total: Tensor
    outer: Tensor
    gives: tuple[str, ...] = ("fid",)

    def __init__(self, setup: MeasureSetup) -> None:
        super().__init__(setup)
        dim = setup.feature_dim
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("outer", torch.zeros(dim, dim, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, features: Tensor, logits: Tensor) -> None:
        """Add (N, D) features to their first and second moments."""
        self.count += len(features)
        add_to_sums(self.total, self.outer, features)

    def compute(self) -> dict[str, Estimate]:
        """Return the distance, at least 0; with a note where the covariance cannot have full rank."""
        moments = moments_of_sums(int(self.count), self.total, self.outer)
        few = None
        for what, count in (("images", moments.count), ("real images", self.reference.moments.count)):
            if few is None and 0 < count <= self.setup.feature_dim:  # 0 of statistics that do not say
                few = f"fewer {what} than feature dimensions"
        return {self.gives[0]: Estimate(frechet_distance(moments, self.reference.moments), None, few)}


class FrechetDistanceDinoV2(FrechetDistance):
    """The same distance under its own name, for features of DINOv2 (Stein et al. 2023)."""

    gives = ("fd_dinov2",)


class InceptionScore(FeatureMetric):
    """Inception score (Salimans et al. 2016) over consecutive, nearly equal splits; no logits are stored."""

    count: Tensor
    probabilities: Tensor
    negentropy: Tensor

    def __init__(self, setup: MeasureSetup, splits: int = SPLITS) -> None:
        super().__init__(setup)
        self.splits = min(splits, setup.samples)
        self.add_state("count", torch.zeros((), dtype=torch.float64))
        self.add_state("probabilities", torch.zeros(self.splits, setup.logits, dtype=torch.float64))
        self.add_state("negentropy", torch.zeros(self.splits, dtype=torch.float64))

    @property
    def gives(self) -> tuple[str, ...]:
        """``is``, where the extractor tells classes apart."""
        return ("is",) if self.setup.logits > 1 else ()

    def update(self, features: Tensor, logits: Tensor) -> None:
        """Add (N, classes) logits of the next N images to the splits they fall into."""
        logs = logits.double().log_softmax(1)
        position = self.count.long() + torch.arange(len(logs), device=logs.device)
        split = position * self.splits // self.setup.samples
        probabilities = logs.exp()
        self.probabilities.index_add_(0, split, probabilities)
        self.negentropy.index_add_(0, split, (probabilities * logs).sum(1))
        self.count += len(logs)

    def compute(self) -> dict[str, Estimate]:
        """Return ``is``, at least 1: the mean over splits and their standard deviation (ddof 0, as in the literature).

        Raises:
            ValueError: Fewer or more images came than the setup says.
            NotFiniteError: A logit was not finite.
        """
        total = self.setup.samples
        if int(self.count) != total:
            raise ValueError(f"{int(self.count)} images were added, {total} were promised")
        require_finite(self.negentropy, "logits")
        index = torch.arange(total, device=self.negentropy.device) * self.splits // total
        sizes = torch.bincount(index, minlength=self.splits).double()
        marginal = self.probabilities / sizes[:, None]
        divergence = self.negentropy / sizes - torch.special.xlogy(marginal, marginal).sum(1)
        scores = divergence.exp()
        std = float(scores.std(correction=0)) if self.splits > 1 else None
        alone = "one image a split, so it is 1" if total <= self.splits else None
        return {"is": Estimate(max(1.0, float(scores.mean())), std, alone)}  # which rounding may fall short of


class ClassHistogram(FeatureMetric):
    """Predicted classes against those of real images: coverage, divergence, and whether the generator collapsed."""

    counts: Tensor
    checksum: Tensor

    def __init__(self, setup: MeasureSetup) -> None:
        super().__init__(setup)
        self.add_state("counts", torch.zeros(setup.logits, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("checksum", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    @property
    def gives(self) -> tuple[str, ...]:
        """All three where the extractor knows the dataset's classes."""
        return () if self.reference.classes is None else ("classes", "class_kl", "collapsed")

    def update(self, features: Tensor, logits: Tensor) -> None:
        """Count the predicted classes of (N, classes) logits, and note whether the features were finite."""
        self.counts += torch.bincount(logits.argmax(1), minlength=self.setup.logits)
        self.checksum += features.sum(dtype=torch.float64)

    def compute(self) -> dict[str, Estimate]:
        """Return ``classes`` (a count), ``class_kl`` (nats, at least 0) and ``collapsed`` (0 or 1).

        Raises:
            NotFiniteError: A feature was not finite: a histogram of such images would mean nothing.
        """
        require_finite(self.checksum, "features")
        real = self.reference.classes
        assert real is not None  # noqa: S101 - `gives` looked
        covered = covered_classes(self.counts, real)
        largest = float(self.counts.max()) / self.setup.samples
        collapsed = covered <= int((real > 0).sum()) / 2 or largest > 0.5
        return {
            "classes": Estimate(covered),
            "class_kl": _divergence(self.counts, real),
            "collapsed": Estimate(float(collapsed)),
        }


def _divergence(counts: Tensor, real: Tensor) -> Estimate:
    """Return the divergence of classes, without a value if it would be infinite: real images miss a class."""
    value = class_divergence(counts, real)
    return Estimate(value) if math.isfinite(value) else Estimate(None, note="infinite: real images miss a class")


class FeatureSample(FeatureMetric):
    """Keeps the first ``MAX_PAIRWISE_FEATURES`` features for pairwise measures, so that memory is bounded.

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
