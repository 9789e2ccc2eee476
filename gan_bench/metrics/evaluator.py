"""A generator and frozen extractors in, scores out."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import UserError
from gan_bench.metrics.distances import NotFiniteError
from gan_bench.metrics.features import Extractor, full_precision
from gan_bench.metrics.reference import CHUNK, Reference, chunks
from gan_bench.models.architectures import ARCHITECTURES, require_images
from gan_bench.randomness import draw_latent, generator_for, global_draws, random_order
from gan_bench.records.record import Score

if TYPE_CHECKING:
    from gan_bench.metrics.measures.base import MetricSet

GRID = 64
"""Images of a sample grid, in rows of eight."""


def to_uint8(images: Tensor) -> Tensor:
    """Map images in [-1, 1] to uint8 by rounding to the nearest of 256 levels; NaN becomes 0."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).nan_to_num(0).to(torch.uint8)


def _eval_copy(generator: nn.Module) -> nn.Module:
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

    Raises:
        NotFiniteError: After the last chunk, if images hold values that are not finite.
        TypeError: A third-party generator gives no images.
    """
    network = _eval_copy(generator)
    parameter = next(network.parameters())
    source = generator_for(config.seed, purpose, parameter.device)
    is_own = ARCHITECTURES.is_shipped(config.architecture)
    odd = torch.zeros((), dtype=torch.int64, device=parameter.device)
    for start in range(0, count, CHUNK):
        shape = (min(CHUNK, count - start), config.latent_dim)
        noise = draw_latent(shape, config.latent, source).to(parameter.dtype)
        numbers = nullcontext() if is_own else global_draws(config.seed, f"layers/{purpose}/{start}", parameter.device)
        with torch.no_grad(), numbers:
            made = network(noise)
        if not is_own:
            require_images(made, ARCHITECTURES[config.architecture], len(noise))
        odd += made.isfinite().flatten(1).all(1).logical_not().sum()
        yield to_uint8(made)
    if odd:
        raise NotFiniteError(f"{int(odd)} of {count} generated images have values that are not finite")


def sample_grid(generator: nn.Module, config: TrialConfig) -> NDArray[np.uint8]:
    """Lay 64 images of the trial's fixed noise into one.

    Returns:
        (H, W, 3) uint8.
    """
    from torchvision.utils import make_grid

    images = next(generated_chunks(generator, config, GRID, "fixed_noise"))
    grid: NDArray[np.uint8] = make_grid(images, nrow=8, pad_value=255).permute(1, 2, 0).cpu().numpy()
    return grid


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
        self,
        generator: nn.Module,
        config: TrialConfig,
        draws: int = 1,
        between: Callable[[], None] = lambda: None,
        *,
        average: nn.Module | None = None,
    ) -> list[Score]:
        """Score the images of the trial's evaluation noise with every extractor.

        Images that cannot be scored (they or their features are not finite) give scores without a value and with a
        note.

        Args:
            generator: G.
            config: Gives latent, seed and the number of samples.
            draws: Evaluations with noise of their own. Values are those of the first; from two draws on, ``draw_std``
                is the standard deviation over draws (ddof 1): the noise of evaluating, apart from that of training.
            between: Called before every chunk of images; what it raises ends the evaluation.
            average: The moving average of G, which is scored beside it where there is one.
        """
        if average is not None:
            scores = self.evaluate(generator, config, draws, between)
            return scores + [replace(each, weights="ema") for each in self.evaluate(average, config, draws, between)]
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
        from gan_bench.metrics.measures.base import MeasureSetup, MetricSet

        sets = []
        for extractor in self.extractors:
            reference = self.references[extractor.name]
            if extractor.name != self.class_extractor or extractor.classes < 2:
                reference = replace(reference, classes=None)
            setup = MeasureSetup(
                reference=reference, samples=count, logits=extractor.classes, seed=seed, extractor=extractor.name
            )
            sets.append(MetricSet(setup))
        note = None
        with full_precision():
            try:
                for chunk in images:
                    for extractor, metrics in zip(self.extractors, sets, strict=True):
                        seen = extractor(chunk)
                        metrics.update(seen.features, seen.logits)
            except NotFiniteError as error:  # raised by the generator after its last chunk
                note = str(error)
        scores = [score for metrics in sets for score in _scores(metrics)]
        if note:
            scores = [replace(score, value=None, std=None, note=note) for score in scores]
        for metrics in sets:
            metrics.free()
        return scores

    def score_images(
        self, images: Tensor, limit: int | None = None, between: Callable[[], None] = lambda: None
    ) -> list[Score]:
        """Score a whole set of images in a fixed random order, so that blocks and splits are not classes.

        Args:
            images: (N, C, H, W) uint8.
            limit: Score a random subset of this size.
            between: Called before every chunk of images; what it raises ends the evaluation.
        """
        order = random_order(len(images), limit)

        def pieces() -> Iterator[Tensor]:
            for chunk in chunks(images, order):
                between()
                yield chunk

        return self.score(pieces(), len(order))


def _with_spread(score: Score, others: list[Score]) -> Score:
    values = [s.value for s in (score, *others)]
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(known) < len(values):
        return score
    return replace(score, draw_std=statistics.stdev(known))


def _scores(metrics: MetricSet) -> list[Score]:
    """Compute every measure of an extractor; return the values with their protocol."""
    setup, reference = metrics.setup, metrics.setup.reference
    most = max(setup.samples, reference.moments.count)
    return [
        Score(
            metric=name,
            value=estimate.value,
            std=estimate.std,
            extractor=setup.extractor,
            split=reference.split,
            real=reference.moments.count,
            generated=setup.samples,
            kept=limit if limit and most > limit else None,
            note=estimate.note,
        )
        for name, (estimate, limit) in metrics.compute().items()
    ]
