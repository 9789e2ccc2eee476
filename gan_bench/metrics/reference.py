"""Statistics of real images that generated ones are compared with; computed once and cached by content."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan_bench.core.atomic import remove_leftovers, write_atomically
from gan_bench.core.cache import cache_folder
from gan_bench.core.canonical import canonical_json
from gan_bench.core.errors import DataError, brief
from gan_bench.core.text import printable
from gan_bench.data.datasets import ImageSet
from gan_bench.metrics.distances import Moments, add_to_sums, moments_of_sums
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.metrics.features import Extractor, full_precision
from gan_bench.metrics.neighbours import RADIUS_K, nearest_distances, nearest_others
from gan_bench.randomness import generator_for
from gan_bench.records.outputs import write_output

CHUNK = 500
"""Images per forward pass of an extractor; fixed, so that no score depends on a batch size."""

MAX_PAIRWISE_FEATURES = 10_000
"""Features kept of each side for the measures that compare pairs: KID, precision, recall, nearest neighbours."""

COPY_QUANTILE = 0.01
"""Fraction of held-out images that are as close to a training image as a copy may be."""

_FORM = 2


@dataclass(frozen=True)
class Reference:
    """Statistics of real images under one extractor.

    Attributes:
        split: Where the real images come from.
        moments: Moments of all their features.
        features: (n, D) float32, at most ``MAX_PAIRWISE_FEATURES`` of them in random order, or None when only moments
            are known.
        nearest: (n, 5) float64, distances to their five nearest others, ascending, or None where they are too few.
        classes: (K,) counts by predicted class, or None.
        copy_distance: Distance to the nearest of ``features`` that 1 % of held-out images fall below, or None.
    """

    split: str
    moments: Moments
    features: Tensor | None = None
    nearest: Tensor | None = None
    classes: Tensor | None = None
    copy_distance: float | None = None

    def to(self, device: torch.device) -> Reference:
        """Return the same statistics on a device."""

        def move(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device)

        return replace(
            self,
            moments=self.moments.to(device),
            features=move(self.features),
            nearest=move(self.nearest),
            classes=move(self.classes),
        )


def reference(
    images: ImageSet,
    held_out: ImageSet | None,
    split: str,
    extractor: Extractor,
    progress: Callable[[float], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
) -> Reference:
    """Return the statistics of real images, from the cache when it has them.

    The key is the digest of the prepared pixels and of the extractor, so nothing stale is ever found. A cache that
    cannot be read or written costs time, never a result.

    Args:
        images: The prepared split that generated images are compared with.
        held_out: Real images outside it, for the distance that makes a copy; None when there are none.
        split: The name scores carry.
        extractor: The frozen network.
        progress: Called with how much is done, in [0, 1], when statistics are computed.
        between: Called before every chunk of images then; what it raises ends the computation.
    """
    path = _cache_path(images, held_out, extractor)
    found = _read_cache(path, split, extractor)
    if found is None:
        outside = None if held_out is None else held_out.images
        found = compute(images.images, outside, split, extractor, progress, between)
        _write_cache(path, found)
    return found.to(extractor.device)


def is_cached(images: ImageSet, held_out: ImageSet | None, extractor: Extractor) -> bool:
    """True if the cache has the statistics of these images."""
    return _cache_path(images, held_out, extractor).exists()


def _cache_path(images: ImageSet, held_out: ImageSet | None, extractor: Extractor) -> Path:
    digests = [images.sha256, held_out.sha256 if held_out else None]
    source = EXTRACTORS.source(extractor.name) if extractor.name in EXTRACTORS else None
    code = {"code": source.sha256} if source else {}  # another's extractor may change and keep its digest
    key = canonical_json({"pixels": digests, "extractor": extractor.sha256, "form": _FORM, **code})
    return cache_folder() / "reference" / f"{extractor.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"


def chunks(images: Tensor, order: Tensor | None = None) -> Iterator[Tensor]:
    """Yield (N, C, H, W) images in pieces for an extractor: all, or those at given indices, in that order."""
    for start in range(0, len(images if order is None else order), CHUNK):
        piece = slice(start, start + CHUNK)
        yield images[piece if order is None else order[piece]]


@full_precision()
def compute(
    images: Tensor,
    held_out: Tensor | None,
    split: str,
    extractor: Extractor,
    progress: Callable[[float], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
) -> Reference:
    """Extract features of real images chunk by chunk and return their statistics.

    Args:
        images: (N, C, H, W) uint8.
        held_out: The same outside the split, for the distance that makes a copy; or None.
        split: The name scores carry.
        extractor: The frozen network.
        progress: Called with how much is done, in [0, 1].
        between: Called before every chunk; what it raises ends the computation.
    """
    device = extractor.device
    total = len(images)
    order = torch.randperm(total, generator=generator_for(0, "reference/order"))
    rank = torch.empty_like(order)
    rank[order] = torch.arange(total)
    kept = torch.empty(min(MAX_PAIRWISE_FEATURES, total), extractor.feature_dim, device=device)
    sums = torch.zeros(extractor.feature_dim, dtype=torch.float64, device=device)
    outer = torch.zeros(extractor.feature_dim, extractor.feature_dim, dtype=torch.float64, device=device)
    classes = torch.zeros(extractor.classes, dtype=torch.int64, device=device)
    for start, chunk in zip(range(0, total, CHUNK), chunks(images), strict=True):
        between()
        progress(start / total)
        seen = extractor(chunk)
        add_to_sums(sums, outer, seen.features)
        if extractor.classes:
            classes += torch.bincount(seen.logits.argmax(1), minlength=extractor.classes)
        place = rank[start : start + len(chunk)]
        chosen = place < len(kept)
        kept[place[chosen].to(device)] = seen.features[chosen.to(device)].float()
    copy_distance = None
    if held_out is not None:
        sample = []
        for chunk in chunks(held_out[:MAX_PAIRWISE_FEATURES]):
            between()
            sample.append(extractor(chunk).features.float())
        copy_distance = float(nearest_distances(torch.cat(sample), kept).quantile(COPY_QUANTILE))
    return Reference(split, moments_of_sums(total, sums, outer), kept, _nearest(kept), classes, copy_distance)


def _nearest(features: Tensor) -> Tensor | None:
    return nearest_others(features) if len(features) > RADIUS_K else None


def _read_cache(path: Path, split: str, extractor: Extractor) -> Reference | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            found = {name: torch.from_numpy(data[name]) for name in data.files}
        reference = Reference(
            split,
            Moments(int(found["count"]), found["mu"], found["sigma"]),
            found["features"],
            found["nearest"] if len(found["nearest"]) else None,
            found["classes"],
            float(found["copy_distance"]) if found["copy_distance"] == found["copy_distance"] else None,
        )
    except Exception:  # numpy and zipfile raise many kinds on a damaged file, and what is kept can be made again
        return None
    right = reference.moments.mean.shape == (extractor.feature_dim,) and found["classes"].shape == (extractor.classes,)
    return reference if right else None


def _write_cache(path: Path, found: Reference) -> None:
    assert found.features is not None  # noqa: S101 - compute always keeps some
    assert found.classes is not None  # noqa: S101
    arrays: dict[str, NDArray[Any] | np.generic] = {
        "count": np.int64(found.moments.count),
        "mu": found.moments.mean.cpu().numpy(),
        "sigma": found.moments.covariance.cpu().numpy(),
        "features": found.features.cpu().numpy(),
        "nearest": np.zeros(0) if found.nearest is None else found.nearest.cpu().numpy(),
        "classes": found.classes.cpu().numpy(),
        "copy_distance": np.float64("nan" if found.copy_distance is None else found.copy_distance),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        write_atomically(path, _npz(arrays))
    except OSError:
        return


def _npz(arrays: Mapping[str, NDArray[Any] | np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()})
    return buffer.getvalue()


def export_moments(path: Path, moments: Moments) -> None:
    """Write moments in the usual form, an ``.npz`` with ``mu`` (D,) and ``sigma`` (D, D), and their ``count``.

    Raises:
        OSError: The file cannot be written.
    """
    mean, covariance = moments.mean.cpu().numpy(), moments.covariance.cpu().numpy()
    write_output(path, _npz({"mu": mean, "sigma": covariance, "count": np.int64(moments.count)}))


def import_moments(path: Path, dim: int) -> Moments:
    """Read moments from an ``.npz`` with ``mu`` and ``sigma``, as this and other packages write it.

    Args:
        path: The file.
        dim: Length of the extractor's features.

    Raises:
        DataError: It is not such a file, or belongs to another extractor.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            mu, sigma, count = data["mu"], data["sigma"], _count_in(data)
    except Exception as error:  # numpy and zipfile raise many kinds on what is damaged, encrypted or of another form
        why = printable(brief(error))
        raise DataError(f"{path} is no .npz with the arrays mu and sigma ({why}); make it or get it again") from None
    if mu.dtype.kind not in "fiu" or sigma.dtype.kind not in "fiu":
        raise DataError(f"{path} holds {mu.dtype} and {sigma.dtype}, not the real numbers of a mean and a covariance")
    mean = mu[0] if mu.ndim == 2 and len(mu) == 1 else mu  # some programs keep a row
    if mean.ndim != 1 or sigma.shape != mean.shape * 2:
        raise DataError(f"{path} holds mu {mu.shape} and sigma {sigma.shape}, not (D,) and (D, D); make it again")
    if len(mean) != dim:
        raise DataError(
            f"{path} holds moments of {len(mean):,} features, and the extractor gives {dim:,}; name other moments or "
            "the extractor that they are of (`gan-bench list extractors` has the features of each)"
        )
    if fault := _not_a_covariance(mean, sigma):
        of = f" of {count:,} images" if count else ""
        raise DataError(f"the sigma in {path} ({dim} features{of}) is no covariance: {fault}; make it again")
    return Moments(count, torch.from_numpy(np.asarray(mean, float)), torch.from_numpy(np.asarray(sigma, float)))


def _count_in(data: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of images of statistics; 0 if it is not given, as by most programs."""
    try:
        count = int(np.asarray(data["count"]).item())
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0
    return count if 2 <= count < _FAR else 0


_FAR = 10**18
"""Bound of values and of counts: squares of larger ones would swamp all others in a sum."""
ROUNDING = 1e-4
"""Fraction of the largest value that rounding may explain, as statistics are often kept in float32."""


def _not_a_covariance(mean: NDArray[Any], sigma: NDArray[Any]) -> str:
    """Return why a matrix cannot be a covariance of features, or an empty text."""
    if not all((np.abs(each) < _FAR).all() for each in (mean, sigma)):
        return f"NaN, infinite, or above {_FAR:.0e}"
    scale = float(np.abs(sigma).max())
    if np.abs(sigma - sigma.T).max() > ROUNDING * scale:
        return "it is not symmetric"
    least = float(np.linalg.eigvalsh(sigma.astype(np.float64))[0])
    return f"its least eigenvalue is {least:.3g}" if least < -ROUNDING * scale else ""
