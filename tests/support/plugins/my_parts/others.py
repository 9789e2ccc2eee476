"""A loss, a dataset and an extractor."""

import torch
from torch.nn import functional as F

from gan_bench.data.datasets import Dataset
from gan_bench.metrics.extractors import ExtractorEntry
from gan_bench.metrics.features import Features
from gan_bench.models.losses import Loss

SOFTER = Loss(
    description="half of the non-saturating loss",
    source="this test",
    discriminator=lambda real, fake: (F.softplus(-real).mean(-1) + F.softplus(fake).mean(-1)) / 2,
    generator=lambda fake: F.softplus(-fake).mean(-1) / 2,
)


def read(folder, split):
    source = torch.Generator().manual_seed(0 if split == "train" else 1)
    count = {"train": 96, "test": 32}[split]
    images = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
    for image, place in zip(images, torch.randint(0, 28, (count,), generator=source), strict=True):
        image[:, :, place] = 255
    return images + torch.randint(0, 9, images.shape, generator=source, dtype=torch.uint8), None


STRIPES = Dataset(
    name="stripes", description="one bright column", channels=1, size=28, counts={"train": 96, "test": 32},
    classes=0, read=read, fetch=None,
)  # fmt: skip


class Pool:
    name, sha256, feature_dim, classes = "pool-v1", "5" * 64, 16, 4

    def __init__(self, device):
        self.device = device

    def __call__(self, images):
        small = F.adaptive_avg_pool2d(images.to(self.device).float().mean(1, keepdim=True) / 255, 4).flatten(1)
        return Features(small, small.view(-1, 4, 4).mean(2))


POOL = ExtractorEntry(description="averages of a 4x4 grid", channels=None, load=Pool)
