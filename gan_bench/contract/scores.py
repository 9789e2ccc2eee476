"""The contracts of extractors and measures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gan_bench.config.data_root import DataRoot
from gan_bench.config.measures import COLUMNS, MEASURES, Measure
from gan_bench.contract.base import CPU, Body, require
from gan_bench.core.errors import DataError
from gan_bench.metrics.extractors import ExtractorEntry


def extractor_checks(entry: ExtractorEntry, name: str, _data: DataRoot) -> Iterator[tuple[str, Body]]:
    """Yield the checks of an extractor."""

    def features() -> None:
        extractor = entry.load(CPU)
        require(extractor.name == name, f'it calls itself "{extractor.name}"')
        require(len(extractor.sha256) == 64, "its sha256 has not 64 digits")
        where = getattr(extractor, "device", None)
        require(where == CPU, f"its device is {where}, and not the one it was loaded for")
        source = torch.Generator().manual_seed(0)
        for shape in ((5, 1, 28, 28), (5, 3, 32, 32), (2, 3, 64, 64)):
            images = torch.randint(0, 256, shape, generator=source, dtype=torch.uint8)
            seen = extractor(images)
            sizes = tuple(seen.features.shape), tuple(seen.logits.shape)
            wanted = (shape[0], extractor.feature_dim), (shape[0], extractor.classes)
            require(sizes == wanted, f"features and logits of {shape} images are {sizes}, not {wanted}")
            require(bool(seen.features.isfinite().all()), "features are not finite")
            require(not seen.features.requires_grad, "features carry gradients")
            single = torch.cat([extractor(image[None]).features for image in images])
            require(torch.allclose(seen.features, single, rtol=1e-3, atol=1e-4), "features depend on the batch")

    yield "features have their shapes and stand alone", features


def measure_checks(entry: Measure, name: str, _data: DataRoot) -> Iterator[tuple[str, Body]]:
    """Yield the checks of a measure."""

    def setup() -> tuple[Any, Tensor, Tensor]:
        from gan_bench.metrics.features import Features
        from gan_bench.metrics.measures.base import MeasureSetup
        from gan_bench.metrics.reference import compute

        class Fixed:
            name, sha256, feature_dim, classes, device = "fixed", "0" * 64, 6, 4, CPU

            def __call__(self, images: Tensor) -> Features:
                flat = images.flatten(1).double()
                return Features(flat[:, :6], flat[:, 6:10])

        source = torch.Generator().manual_seed(0)
        real = torch.randint(0, 256, (400, 1, 4, 4), generator=source, dtype=torch.uint8)
        held_out = torch.randint(0, 256, (200, 1, 4, 4), generator=source, dtype=torch.uint8)
        reference = compute(real, held_out, "train", Fixed())
        fake = torch.rand(120, 10, generator=source, dtype=torch.float64) * 255
        given = MeasureSetup(
            reference=reference, samples=120, logits=4, seed=0, extractor=entry.extractors or Fixed.name
        )
        return given, fake[:, :6], fake[:, 6:]

    def scores() -> None:
        from pkgutil import resolve_name

        from gan_bench.metrics.measures.base import FeatureMetric

        made = resolve_name(entry.metric)
        require(isinstance(made, type) and issubclass(made, FeatureMetric), f"{entry.metric} is no FeatureMetric")
        given, features, logits = setup()
        whole, parts = made(given), made(given)
        if name not in whole.gives:
            raise DataError(f"{entry.metric} gives {', '.join(whole.gives) or 'nothing'} for plain features")
        whole.update(features, logits)
        for start, stop in ((0, 50), (50, 51), (51, 120)):
            parts.update(features[start:stop], logits[start:stop])
        first, second = whole.compute()[name].value, parts.compute()[name].value
        require(first is not None, "it gives no value for 120 images")
        close = abs(first - second) <= 1e-9 * max(1.0, abs(first))
        require(close, f"in one batch it is {first:.6g}, in three {second:.6g}")
        whole.reset()
        whole.update(features, logits)
        require(whole.compute()[name].value == first, "after reset it differs")
        low, high = entry.bounds
        require(low is None or first >= low, f"{first:.6g} lies below its bound {low}")
        require(high is None or first <= high, f"{first:.6g} lies above its bound {high}")

    def roles() -> None:
        primary = [other for other, measure in MEASURES.items() if "primary" in measure.roles]
        require(len(primary) == 1, f"several measures rank settings: {', '.join(primary)}")

    def named() -> None:
        free = name.isidentifier() and name not in COLUMNS
        require(free, f'"{name}" is a column of tables, or no plain name; choose another')

    yield "its name is free", named
    yield "scores do not depend on batches", scores
    yield "one measure ranks settings", roles
