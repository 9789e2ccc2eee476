"""A generator, frozen extractors and accumulators in; scores out."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import UserError
from gan_bench.metrics.distances import (
    FeatureSample,
    InceptionScoreAccumulator,
    MomentAccumulator,
    NotFiniteError,
    class_divergence,
    covered_classes,
    frechet_at_infinity,
    frechet_distance,
    kernel_distance,
    neighbours,
)
from gan_bench.metrics.features import Extractor
from gan_bench.metrics.reference import CHUNK, MAX_PAIRWISE_FEATURES, Reference, chunks
from gan_bench.models.randomness import draw_latent, generator_for
from gan_bench.records.record import Score

_Make = Callable[..., Score]

GRID = 64
"""Images of a sample grid, in rows of eight."""


def to_uint8(images: Tensor) -> Tensor:
    """Map images in [-1, 1] to uint8 by rounding to the nearest of 256 levels; NaN becomes 0."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).nan_to_num(0).to(torch.uint8)


def _to_look_at(generator: nn.Module) -> nn.Module:
    """Copy a generator into eval mode and into the memory of a fresh one.

    Engines lay weights out as suits them, and kernels round by layout and alignment: with the copy a generator gives
    the same images in the run that trained it and when it is read from its file. Looking changes nothing.
    """
    copied = copy.deepcopy(generator).eval().requires_grad_(False)
    for tensor in copied.parameters():
        tensor.data = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device).copy_(tensor)
    return copied


def generated_chunks(generator: nn.Module, config: TrialConfig, count: int, purpose: str) -> Iterator[Tensor]:
    """Yield images of a generator in eval mode, chunk by chunk.

    Args:
        generator: G.
        config: Gives latent and seed.
        count: Images in all.
        purpose: Names the noise; the same purpose gives the same noise at every epoch.

    Yields:
        (n, C, H, W) uint8 on G's device.
    """
    network = _to_look_at(generator)
    parameter = next(network.parameters())
    source = generator_for(config.seed, purpose, parameter.device)
    for start in range(0, count, CHUNK):
        shape = (min(CHUNK, count - start), config.latent_dim)
        with torch.no_grad():
            made = network(draw_latent(shape, config.latent, source).to(parameter.dtype))
        yield to_uint8(made)


def sample_grid(generator: nn.Module, config: TrialConfig) -> NDArray[np.uint8]:
    """Lay 64 images of the trial's fixed noise into one.

    Returns:
        (H, W, 3) uint8.
    """
    from torchvision.utils import make_grid

    (images,) = generated_chunks(generator, config, GRID, "fixed_noise")
    grid: NDArray[np.uint8] = make_grid(images, nrow=8, pad_value=255).permute(1, 2, 0).cpu().numpy()
    return grid


def shuffled(images: Tensor, limit: int | None = None) -> Tensor:
    """Return images in a random order that is always the same, or the first of them."""
    order = torch.randperm(len(images), generator=generator_for(0, "subset"))
    return images[order[:limit]]


@contextmanager
def _full_precision() -> Iterator[None]:
    """Keep TensorFloat-32 out of scores: they must not depend on the kind of GPU."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


class Evaluator:
    """Scores generators of one dataset.

    Args:
        extractors: The frozen networks.
        references: Statistics of the real images, by extractor name, on the extractors' device.
        class_extractor: Name of the extractor that knows the dataset's classes; only it gives class measures.
    """

    def __init__(
        self, extractors: list[Extractor], references: Mapping[str, Reference], class_extractor: str | None = None
    ) -> None:
        self.extractors = extractors
        self.references = references
        self.class_extractor = class_extractor

    def evaluate(
        self, generator: nn.Module, config: TrialConfig, draws: int = 1, between: Callable[[], None] = lambda: None
    ) -> list[Score]:
        """Score the images of the trial's evaluation noise with every extractor.

        Images that cannot be scored (features that are not finite) give scores without a value and with a note.

        Args:
            generator: G.
            config: Gives latent, seed and the number of samples.
            draws: Evaluations with noise of their own. Values are those of the first; from two draws on, ``draw_std``
                is the standard deviation over draws (ddof 1): the noise of evaluating, apart from that of training.
            between: Called before every chunk of images; what it raises ends the evaluation.
        """
        count = config.evaluation.samples

        def images(draw: int) -> Iterator[Tensor]:
            for chunk in generated_chunks(generator, config, count, f"evaluation/{draw}"):
                between()
                yield chunk

        first, *others = (self.score(images(draw), count, config.seed) for draw in range(draws))
        return [_with_spread(score, [other[i] for other in others]) for i, score in enumerate(first)]

    def score(self, images: Iterable[Tensor], count: int, seed: int = 0) -> list[Score]:
        """Score images with every extractor.

        Args:
            images: Chunks of (n, C, H, W) uint8.
            count: Images in all.
            seed: Seeds the subsets of the extrapolated FID.

        Raises:
            UserError: There are fewer than two images.
            ValueError: The chunks do not add up to ``count``.
        """
        if count < 2:
            raise UserError("scores need at least 2 images; give more of them")
        gatherers = [_Gatherer(extractor, count) for extractor in self.extractors]
        with _full_precision():
            for chunk in images:
                for gatherer in gatherers:
                    gatherer.add(chunk)
        return [
            score
            for gatherer in gatherers
            for score in gatherer.scores(
                self.references[gatherer.extractor.name],
                seed,
                class_extractor=gatherer.extractor.name == self.class_extractor,
            )
        ]

    def score_images(self, images: Tensor, limit: int | None = None) -> list[Score]:
        """Score images that are all there, in a fixed random order: blocks and splits must not be classes.

        Args:
            images: (N, C, H, W) uint8.
            limit: Score a random subset of this size.
        """
        picked = shuffled(images, limit)
        return self.score(chunks(picked), len(picked))


def _with_spread(score: Score, others: list[Score]) -> Score:
    values = [s.value for s in (score, *others)]
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(known) < len(values):
        return score
    return replace(score, draw_std=statistics.stdev(known))


class _Gatherer:
    """Accumulates what one extractor says about generated images."""

    def __init__(self, extractor: Extractor, count: int) -> None:
        device = extractor.device
        self.extractor = extractor
        self.count = count
        self._moments = MomentAccumulator(extractor.feature_dim, device)
        self._inception_score = InceptionScoreAccumulator(count, extractor.classes, device=device)
        self._sample = FeatureSample(min(MAX_PAIRWISE_FEATURES, count), extractor.feature_dim, device)
        self._classes = torch.zeros(extractor.classes, dtype=torch.int64, device=device)

    def add(self, images: Tensor) -> None:
        seen = self.extractor(images)
        self._moments.add(seen.features)
        self._inception_score.add(seen.logits)
        self._sample.add(seen.features)
        self._classes += torch.bincount(seen.logits.argmax(1), minlength=self.extractor.classes)

    def scores(self, reference: Reference, seed: int, *, class_extractor: bool) -> list[Score]:
        """Return every score the reference allows."""

        def score(
            metric: str, value: float | None, std: float | None = None, note: str | None = None, *, kept: bool = False
        ) -> Score:
            return Score(
                metric=metric,
                value=value,
                std=None if std is None or math.isnan(std) else std,
                extractor=self.extractor.name,
                split=reference.split,
                real=reference.moments.count,
                generated=self.count,
                kept=MAX_PAIRWISE_FEATURES
                if kept and max(self.count, reference.moments.count) > MAX_PAIRWISE_FEATURES
                else None,
                note=note,
            )

        measures = {
            "fid": self._fid,
            "is": self._is,
            "kid": self._kid,
            "fid_inf": self._fid_inf,
            "neighbours": self._neighbours,
        }
        if class_extractor and reference.classes is not None:
            measures["classes"] = self._class_measures
        found: list[Score] = []
        for name, measure in measures.items():
            try:
                found += measure(reference, seed, score)
            except NotFiniteError as error:
                names = _PARTS.get(name, (name,))
                found += [score(part, None, None, str(error), kept=part not in ("fid", "is")) for part in names]
        return found

    def _fid(self, reference: Reference, seed: int, score: _Make) -> list[Score]:
        few = "fewer images than feature dimensions" if self.count <= self.extractor.feature_dim else None
        return [score("fid", frechet_distance(self._moments.moments(), reference.moments), None, few)]

    def _is(self, reference: Reference, seed: int, score: _Make) -> list[Score]:
        return [score("is", *self._inception_score.score())]

    def _kid(self, reference: Reference, seed: int, score: _Make) -> list[Score]:
        if reference.features is None:
            return []
        return [score("kid", *kernel_distance(self._sample.features(), reference.features), kept=True)]

    def _fid_inf(self, reference: Reference, seed: int, score: _Make) -> list[Score]:
        features = self._sample.features()
        few = max(50, 2 * self.extractor.feature_dim)
        if len(features) < few:
            return [score("fid_inf", None, None, f"needs {few} generated images", kept=True)]
        source = generator_for(seed, "evaluation/fid_inf")
        return [score("fid_inf", frechet_at_infinity(features, reference.moments, source), kept=True)]

    def _neighbours(self, reference: Reference, seed: int, score: _Make) -> list[Score]:
        if reference.features is None or reference.radii is None or self._sample.count <= 3:
            return []
        found = neighbours(self._sample.features(), reference.features, reference.radii)
        scores = [score("precision", found.precision, kept=True), score("recall", found.recall, kept=True)]
        if reference.copy_distance is not None:
            share = float((found.nearest < reference.copy_distance).double().mean())
            scores.append(score("copies", share, kept=True))
        return scores

    def _class_measures(self, reference: Reference, seed: int, score: _Make) -> list[Score]:
        assert reference.classes is not None  # noqa: S101 - the caller looked
        self._moments.moments()  # a histogram of images whose features are not finite would mean nothing
        covered = covered_classes(self._classes, reference.classes)
        present = int((reference.classes > 0).sum())
        largest = int(self._classes.max()) / self.count
        collapsed = covered <= present / 2 or largest > 0.5
        return [
            score("classes", covered),
            score("class_kl", class_divergence(self._classes, reference.classes)),
            score("collapsed", float(collapsed)),
        ]


_PARTS = {"neighbours": ("precision", "recall", "copies"), "classes": ("classes", "class_kl", "collapsed")}
