"""Feature statistics of real pictures, cached by content so that they are computed once."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gan_bench.atomic import write_atomically
from gan_bench.datasets import Pictures, Split
from gan_bench.metrics.distances import MomentAccumulator, Moments
from gan_bench.metrics.extractors import Extractor
from gan_bench.trial import canonical_json

CHUNK = 500
"""Pictures per forward pass of an extractor; fixed, so that no score depends on a batch size."""


@dataclass(frozen=True)
class Reference:
    """What generated pictures are compared with.

    Attributes:
        moments: Moments of the real features.
        split: Where the real pictures come from.
    """

    moments: Moments
    split: Split


def cache_folder() -> Path:
    """Return the user's cache folder: ``$GAN_BENCH_CACHE``, else ``$XDG_CACHE_HOME/gan_bench``."""
    given = os.environ.get("GAN_BENCH_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan_bench"


def reference(pictures: Pictures, split: Split, extractor: Extractor) -> Reference:
    """Return the statistics of real pictures, from the cache when it has them.

    The key is the digest of the prepared pixels and of the extractor, so nothing stale is ever found. A cache that
    cannot be read or written costs time, never a result.

    Args:
        pictures: The prepared split.
        split: Its name.
        extractor: The frozen network.
    """
    key = canonical_json({"pixels": pictures.sha256, "extractor": extractor.sha256, "form": 1})
    path = cache_folder() / "reference" / f"{extractor.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    moments = _read(path, extractor.feature_dim)
    if moments is None:
        moments = compute_moments(pictures, extractor)
        _write(path, moments)
    return Reference(moments, split)


def compute_moments(pictures: Pictures, extractor: Extractor) -> Moments:
    """Run all pictures through the extractor and return the moments of their features."""
    accumulator = MomentAccumulator(extractor.feature_dim, extractor.device)
    for start in range(0, len(pictures.images), CHUNK):
        accumulator.add(extractor(pictures.images[start : start + CHUNK]).features)
    return accumulator.moments()


def _read(path: Path, dim: int) -> Moments | None:
    try:
        with np.load(path, allow_pickle=False) as data:
            count, mean, covariance = int(data["count"]), data["mu"], data["sigma"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if mean.shape != (dim,) or covariance.shape != (dim, dim):
        return None
    return Moments(count, torch.from_numpy(mean), torch.from_numpy(covariance))


def _write(path: Path, moments: Moments) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, count=moments.count, mu=moments.mean.cpu().numpy(), sigma=moments.covariance.cpu().numpy())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    except OSError:
        return
