"""A generator, frozen extractors and accumulators in; scores out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.metrics.distances import (
    InceptionScoreAccumulator,
    MomentAccumulator,
    Moments,
    NotFiniteError,
    frechet_distance,
)
from gan_bench.metrics.extractors import Extractor
from gan_bench.randomness import draw_latent, generator_for
from gan_bench.reference import CHUNK, Reference
from gan_bench.trial import TrialConfig

GRID = 64
"""Pictures of a sample grid, in rows of eight."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number with its protocol. Keys are documented in ``gan_bench.schema``."""

    metric: str
    value: float | None
    std: float | None
    extractor: str
    split: str
    real: int
    generated: int
    note: str | None = None

    @property
    def name(self) -> str:
        """The metric with its protocol, for example ``fid[lenet-mnist-v1,train,10000]``."""
        return f"{self.metric}[{self.extractor},{self.split},{self.generated}]"

    def to_json(self) -> dict[str, Any]:
        """Return the score as a JSON-able dict."""
        return {"name": self.name, **asdict(self)}


def to_uint8(pictures: Tensor) -> Tensor:
    """Map pictures in [-1, 1] to uint8 by rounding to the nearest of 256 levels; NaN becomes 0."""
    return pictures.float().add(1).mul(127.5).round().clamp(0, 255).nan_to_num(0).to(torch.uint8)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode without gradients, so that looking at it changes nothing."""
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train()


def generated_chunks(generator: nn.Module, config: TrialConfig, count: int, purpose: str) -> Iterator[Tensor]:
    """Yield pictures of a generator in eval mode, chunk by chunk.

    Args:
        generator: G.
        config: Gives latent and seed.
        count: Pictures in all.
        purpose: Names the noise; the same purpose gives the same noise at every epoch.

    Yields:
        (n, C, H, W) uint8 on G's device.
    """
    parameter = next(generator.parameters())
    source = generator_for(config.seed, purpose, parameter.device)
    with _frozen(generator):
        for start in range(0, count, CHUNK):
            shape = (min(CHUNK, count - start), config.latent_dim)
            yield to_uint8(generator(draw_latent(shape, config.latent, source).to(parameter.dtype)))


def sample_grid(generator: nn.Module, config: TrialConfig) -> NDArray[np.uint8]:
    """Lay 64 pictures of the trial's fixed noise into one.

    Returns:
        (H, W, 3) uint8.
    """
    from torchvision.utils import make_grid

    (pictures,) = generated_chunks(generator, config, GRID, "fixed_noise")
    grid: NDArray[np.uint8] = make_grid(pictures, nrow=8, pad_value=255).permute(1, 2, 0).cpu().numpy()
    return grid


class Evaluator:
    """Scores generators of one dataset.

    Args:
        extractors: The frozen networks.
        references: Statistics of the real pictures, by extractor name.
    """

    def __init__(self, extractors: list[Extractor], references: Mapping[str, Reference]) -> None:
        self.extractors = extractors
        self.references = references

    def evaluate(self, generator: nn.Module, config: TrialConfig) -> list[Score]:
        """Generate the evaluation's pictures once and score them with every extractor.

        Pictures that cannot be scored (features that are not finite) give scores without a value and with a note.
        """
        count = config.evaluation.samples
        gatherers = [_Gatherer(extractor, count) for extractor in self.extractors]
        for pictures in generated_chunks(generator, config, count, "evaluation"):
            for gatherer in gatherers:
                gatherer.add(pictures)
        return [score for g in gatherers for score in g.scores(self.references[g.extractor.name])]


class _Gatherer:
    """Accumulates what one extractor says about generated pictures."""

    def __init__(self, extractor: Extractor, count: int) -> None:
        self.extractor = extractor
        self.count = count
        self._moments = MomentAccumulator(extractor.feature_dim, extractor.device)
        self._inception_score = InceptionScoreAccumulator(count, extractor.classes, device=extractor.device)

    def add(self, pictures: Tensor) -> None:
        seen = self.extractor(pictures)
        self._moments.add(seen.features)
        self._inception_score.add(seen.logits)

    def scores(self, reference: Reference) -> list[Score]:
        def score(metric: str, value: float | None, std: float | None, note: str | None) -> Score:
            return Score(
                metric=metric,
                value=value,
                std=std,
                extractor=self.extractor.name,
                split=reference.split,
                real=reference.moments.count,
                generated=self.count,
                note=note,
            )

        try:
            moments = self._moments.moments()
            real = _on(reference.moments, moments.mean.device)
            fid = frechet_distance(moments, real)
            mean, std = self._inception_score.score()
        except NotFiniteError as error:
            return [score("fid", None, None, str(error)), score("is", None, None, str(error))]
        few = "fewer pictures than feature dimensions" if self.count <= self.extractor.feature_dim else None
        return [score("fid", fid, None, few), score("is", mean, std, None)]


def _on(moments: Moments, device: torch.device) -> Moments:
    return Moments(moments.count, moments.mean.to(device), moments.covariance.to(device))
