"""Features of nothing, and their scores."""

from __future__ import annotations

import torch

from gan_bench.metrics.distances import moments_of
from gan_bench.metrics.evaluator import Evaluator
from gan_bench.metrics.features import Features
from gan_bench.metrics.neighbours import nearest_others
from gan_bench.metrics.reference import Reference

DIM, CLASSES, COUNT = 12, 5, 700


def seen(count=COUNT, seed=0, scale=1.0):
    source = torch.Generator().manual_seed(seed)
    features = torch.randn(count, DIM, generator=source).mul(scale).relu()
    return features, torch.randn(count, CLASSES, generator=source) * 2


def real(count=900):
    features, logits = seen(count, seed=1, scale=1.2)
    return Reference(
        "train",
        moments_of(features),
        features,
        nearest_others(features),
        torch.bincount(logits.argmax(1), minlength=CLASSES),
        copy_distance=1.0,
    )


class Recorded:
    """An extractor whose images are the indices of recorded features."""

    name, sha256, feature_dim, classes, device = "recorded", "0", DIM, CLASSES, torch.device("cpu")

    def __init__(self, features, logits):
        self.features, self.logits = features, logits

    def __call__(self, images):
        chosen = images.flatten().long()
        return Features(self.features[chosen], self.logits[chosen])


def score(count=200, *, bad=None, reference=None, class_extractor="recorded"):
    features, logits = seen(count)
    if bad is not None:
        features[1, 2] = bad
    evaluator = Evaluator([Recorded(features, logits)], {"recorded": reference or real()}, class_extractor)
    return {s.metric: s for s in evaluator.score(torch.arange(count).view(-1, 1, 1, 1).split(64), count)}
