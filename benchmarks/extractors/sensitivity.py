"""What scores under an extractor make of real images that are spoilt a little: the floor, and how far they leave it.

Usage: python benchmarks/extractors/sensitivity.py --data DIR [--dataset cifar10] [--extractor NAME ...] [--images N]

Half of the test images are the reference; the other half is scored as it is (the floor) and after each change. A score
that does not rise far above the floor does not see that change.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from gan_bench.config.image_folder import DataRoot
from gan_bench.data.datasets import DATASETS, load
from gan_bench.metrics.evaluator import Evaluator
from gan_bench.metrics.extractors import load_extractor
from gan_bench.metrics.reference import chunks, compute
from gan_bench.randomness import generator_for, shuffled

SHOWN = ("fid", "kid", "sw2", "precision", "recall", "density", "coverage")


def jpeg(images: Tensor, quality: int) -> Tensor:
    """Compress images as JPEG, and decode them again."""
    made = []
    for image in images.permute(0, 2, 3, 1).numpy():
        buffer = io.BytesIO()
        Image.fromarray(image.squeeze()).save(buffer, "JPEG", quality=quality)
        made.append(np.asarray(Image.open(buffer)).reshape(image.shape))
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2)


def noisy(images: Tensor, sd: float) -> Tensor:
    """Add normal noise of so many grey levels."""
    noise = torch.randn(images.shape, generator=generator_for(0, "sensitivity/noise")) * sd
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "none: the floor": lambda images, labels: images,
    "blur, sd 0.7 pixels": lambda images, labels: gaussian_blur(images, [5, 5], [0.7, 0.7]),
    "JPEG, quality 30": lambda images, labels: jpeg(images, 30),
    "shifted by 2 pixels": lambda images, labels: torch.roll(images, (2, 2), (2, 3)),
    "noise, sd 10 of 255": lambda images, labels: noisy(images, 10.0),
    "half of the classes": lambda images, labels: images[labels < labels.max() / 2],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--extractor", action="append", default=[])
    parser.add_argument("--images", type=int, default=2000, help="images that are scored, and as many for reference")
    options = parser.parse_args()
    found = load(options.dataset, DataRoot(options.data, given=True), "test", DATASETS[options.dataset].size)
    assert found.labels is not None
    images, labels = shuffled(found.images), shuffled(found.labels)
    kept, other = slice(0, options.images), slice(options.images, 2 * options.images)
    for name in options.extractor or ["cifar-v1"]:
        extractor = load_extractor(name, torch.device("cpu"))
        reference = compute(images[kept], None, "test", extractor)
        evaluator = Evaluator([extractor], {name: reference})
        for what, change in CHANGES.items():
            changed = change(images[other], labels[other])
            scores = {s.metric: s.value for s in evaluator.score(chunks(changed), len(changed))}
            shown = {metric: round(value, 4) for metric in SHOWN if (value := scores.get(metric)) is not None}
            print(json.dumps({"extractor": name, "change": what, "images": len(changed), **shown}), flush=True)


if __name__ == "__main__":
    main()
