"""Train a shipped feature extractor and write its weights and card.

Usage: python benchmarks/extractors/train.py lenet-mnist-v1 --data DIR [--out DIR]

The result depends on the machine's arithmetic in its last bits; the shipped file is what counts, and its
SHA-256 is in the card beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from gan_bench.config.image_folder import DataRoot
from gan_bench.data.datasets import load
from gan_bench.metrics.classifiers import CifarNet, LeNet28
from gan_bench.models.architectures import build
from gan_bench.randomness import generator_for

SEED = 0
BATCH = 256


@dataclass(frozen=True)
class Plan:
    network: type[LeNet28] | type[CifarNet]
    dataset: str
    epochs: int
    peak_lr: float
    pad: int
    flip: bool
    half: bool
    data_note: str


PLANS = {
    "lenet-mnist-v1": Plan(LeNet28, "mnist", 10, 0.1, 2, flip=False, half=False, data_note="the original MNIST"),
    "cifar-v1": Plan(CifarNet, "cifar10", 25, 0.4, 3, flip=True, half=True, data_note="CIFAR-10, JPEG-compressed"),
}


def augment(x: Tensor, pad: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Shift by up to ``pad`` pixels and mirror half of the images, each image on its own."""
    count, size = len(x), x.shape[-1]
    x = F.pad(x, (pad,) * 4, mode="reflect")
    dx, dy = torch.randint(0, 2 * pad + 1, (2, count), generator=generator)
    mirrored = torch.rand(count, generator=generator) < (0.5 if flip else 0.0)
    rows, columns = dy[:, None] + torch.arange(size), dx[:, None] + torch.arange(size)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    picked = x[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    metric = MulticlassAccuracy(num_classes=10, average="micro")  # the share of all images, not the mean over classes
    network.eval()
    for x, y in zip(images.split(1000), labels.split(1000), strict=True):
        metric.update(network(x.float().div(255))[1], y)
    network.train()
    return round(float(metric.compute()), 6)  # it is a float32


def train(plan: Plan, root: DataRoot) -> tuple[nn.Module, dict[str, object]]:
    size = plan.network.image_shape[-1]
    data, held_out = (load(plan.dataset, root, split, size) for split in ("train", "test"))
    assert data.labels is not None
    assert held_out.labels is not None
    network = build(plan.network, "default", generator_for(SEED, "init"))
    network.to(memory_format=torch.channels_last)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=plan.peak_lr, momentum=0.9, nesterov=True)
    steps = len(data.images) // BATCH * plan.epochs
    rise = steps // 5
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: (s + 1) / rise if s < rise else max(1e-3, (steps - s) / (steps - rise))
    )
    generator = generator_for(SEED, "train")
    for epoch in range(plan.epochs):
        order = torch.randperm(len(data.images), generator=generator)
        for index in order.split(BATCH):
            if len(index) < BATCH:
                continue
            x = augment(data.images[index].float().div(255), plan.pad, plan.flip, generator)
            loss = F.cross_entropy(network(x)[1], data.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: test accuracy {accuracy(network, held_out.images, held_out.labels):.4f}", flush=True)
    if plan.half:
        network.half().float()
    card: dict[str, object] = {
        "trained_on": f"{plan.data_note}, {len(data.images)} training images",
        "train_sha256": data.sha256,
        "test_accuracy": accuracy(network, held_out.images, held_out.labels),
        "test_images": len(held_out.images),
        "epochs": plan.epochs,
        "recipe": (
            f"SGD with Nesterov momentum 0.9, peak lr {plan.peak_lr} after a fifth of the steps, then linear to 0.001 "
            f"of it, batch {BATCH}, weight decay 5e-4, shifts up to {plan.pad} pixels"
            + (", mirroring" if plan.flip else "")
        ),
        "seed": SEED,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} CPU threads",
        "features": plan.network.feature_dim,
        "stored_as": "float16" if plan.half else "float32",
    }
    return network, card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(PLANS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("gan_bench/metrics/weights"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    plan = PLANS[options.name]
    network, card = train(plan, DataRoot(options.data, given=True))
    keep = torch.float16 if plan.half else torch.float32
    state = {
        key: (value.to(keep) if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
    }
    weights = save(state)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{options.name}.safetensors").write_bytes(weights)
    card = {"name": options.name, "sha256": hashlib.sha256(weights).hexdigest(), **card}
    (options.out / f"{options.name}.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
