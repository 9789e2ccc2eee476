"""How long scoring takes: all measures on 10,000 images, and FID beside torchmetrics on the same features.

Usage: python benchmarks/speed/scores.py --data DIR [--repeats 3]

The two FIDs run one after the other in the same process, repeatedly; the ratio of their medians is what counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torchmetrics.image.fid import _compute_fid

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.image_folder import DataRoot
from gan_bench.config.suite import find_suite, make_plan
from gan_bench.data.datasets import load
from gan_bench.execution.trial.environment import choose_device, describe_environment, fix_bits
from gan_bench.metrics.distances import frechet_distance, moments_of
from gan_bench.metrics.evaluator import Evaluator, generated_chunks
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.metrics.reference import Reference, compute
from gan_bench.training.state import TrainState


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def frechet_pair(dim: int, count: int, repeats: int) -> dict[str, float]:
    """Time both implementations of the distance on the moments of the same features.

    The first of ours decomposes the reference's covariance, which the further ones of a run share.
    """
    source = torch.Generator().manual_seed(dim)
    a, b = (moments_of(torch.randn(count, dim, generator=source).relu()) for _ in range(2))
    first = seconds(lambda: frechet_distance(a, b))
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(seconds(lambda: frechet_distance(a, b)))
        theirs.append(seconds(lambda: _compute_fid(a.mean, a.covariance, b.mean, b.covariance)))
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = other / mine
    return {"features": dim, "first_s": first, "gan_bench_s": mine, "torchmetrics_s": other, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    device = choose_device("auto")
    fix_bits(device)
    root = DataRoot(options.data, given=True)
    extractor = EXTRACTORS["lenet-mnist-v1"].load(device)
    train, test = (load("mnist", root, split, 28) for split in ("train", "test"))
    references: dict[str, Reference] = {}
    first = seconds(lambda: references.update({extractor.name: compute(train.images, test.images, "train", extractor)}))
    evaluator = Evaluator([extractor], references, class_extractor=extractor.name)
    config = make_plan(find_suite("mnist"), PlanOptions()).trials[0].config
    generator = TrainState.start(config, device).generator
    drawn = [*generated_chunks(generator, config, 10_000, "evaluation/0")]
    imported = seconds(lambda: evaluator.score(drawn[:1], len(drawn[0])))  # the first evaluation loads torchmetrics
    result = {
        "machine": describe_environment(device, "reference"),
        "reference_statistics_s": first,
        "first_score_500_images_s": imported,
        "score_10000_images_s": statistics.median(
            seconds(lambda: evaluator.score(drawn, 10_000)) for _ in range(options.repeats)
        ),
        "frechet": [frechet_pair(dim, 4000, options.repeats if dim < 2000 else 1) for dim in (128, 2048)],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
