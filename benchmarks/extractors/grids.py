"""Scores of a record beside its pictures: KID of the 64 images of every grid, also under other extractors.

Usage: python benchmarks/extractors/grids.py RECORD --data DIR [--extractor NAME ...] [--real N]

A record whose weights were not kept has 64 images of every evaluated epoch, in its grids. Of so few images only KID is
without bias; FID is not computed. The floor is 64 held-out real images, drawn 100 times: their mean and standard
deviation. One line of JSON for each epoch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.trial import TrialConfig
from gan_bench.data.datasets import load
from gan_bench.metrics.distances import unbiased_mmd
from gan_bench.metrics.evaluator import GRID
from gan_bench.metrics.extractors import load_extractor
from gan_bench.metrics.features import Extractor
from gan_bench.metrics.reference import chunks
from gan_bench.randomness import generator_for, shuffled
from gan_bench.records.reader import read_trial
from gan_bench.records.sample_grid import read_sample_grid

SHOWN = ("fid", "kid", "precision", "recall", "density", "coverage")
PAD = 2
"""Pixels between the images of a grid."""


def tiles(file: Path, config: TrialConfig) -> Tensor:
    """Return the images of a grid, (64, C, H, W) uint8."""
    grid = torch.from_numpy(np.array(read_sample_grid(file).convert("RGB"))).permute(2, 0, 1)
    side = config.image_size
    step = side + PAD
    found = [grid[:, PAD + y * step :, PAD + x * step :][:, :side, :side] for y in range(8) for x in range(8)]
    return torch.stack(found[:GRID])


def features(extractor: Extractor, images: Tensor) -> Tensor:
    return torch.cat([extractor(part).features for part in chunks(images)]).double()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--extractor", action="append", default=[])
    parser.add_argument("--real", type=int, default=2000, help="real images that grids are compared with, at most half")
    options = parser.parse_args()
    stored = read_trial(options.record)
    config = TrialConfig.from_json(stored.trial["config"])
    real = shuffled(load(config.dataset, DataRoot(options.data, given=True), "train", config.image_size).images)
    count = min(options.real, len(real) // 2)
    compared, held_out = real[:count], real[count : 2 * count]
    scored = {line["epoch"]: line["scores"] for line in stored.evaluations}
    lines = {
        epoch: {s["metric"]: round(s["value"], 4) for s in scores if s["value"] is not None and s["metric"] in SHOWN}
        for epoch, scores in scored.items()
    }
    floor: dict[str, tuple[float, float]] = {}
    grids = {
        int(file.stem.partition("-")[2]): file for file in sorted((options.record / "samples").glob("epoch-*.png"))
    }
    for name in options.extractor or ["cifar-v1"]:
        extractor = load_extractor(name, torch.device("cpu"))
        real_features = features(extractor, compared)
        others = features(extractor, held_out)
        source = generator_for(0, "grids/floor")
        floors = (others[torch.randperm(len(others), generator=source)[:GRID]] for _ in range(100))
        draws = torch.tensor([float(unbiased_mmd(each, real_features)) for each in floors])
        mean, spread = draws.mean(), draws.std()
        floor[name] = (round(float(mean), 4), round(float(spread), 4))
        for epoch, file in grids.items():
            images = tiles(file, config)[:, : real.shape[1]]
            value = float(unbiased_mmd(features(extractor, images), real_features))
            lines.setdefault(epoch, {})[f"kid[{name},{GRID} of the grid]"] = round(value, 4)
    print(json.dumps({"floor": floor}))
    for epoch, values in sorted(lines.items()):
        print(json.dumps({"epoch": epoch, **values}))


if __name__ == "__main__":
    main()
