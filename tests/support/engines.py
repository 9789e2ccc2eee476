"""Engines at the beginning of small trials, steps of them, and how far apart they end."""

from __future__ import annotations

import torch

from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group.group import WARM_UP
from gan_bench.training.state import TrainState
from support.trials import config_of

CPU = torch.device("cpu")
BOTH = (ReferenceEngine, FastEngine)


def engines(name, kinds=BOTH, dtype=torch.float64, device=CPU, **changes):
    """Engines of both kinds at the beginning of the same trial, whose last batch is a partial one where it is kept."""
    size, count = (4, 10) if "mnist" in name else (2, 3)  # the large networks take long enough
    config = config_of(name, **{"batch_size": size, "dataset_repeats": 1, **changes})
    shape = ARCHITECTURES[config.architecture].image_shape
    images = torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return [kind(config, images.to(device), TrainState.start(config, device, dtype)) for kind in kinds]


def train(engine, steps):
    while steps:
        before = engine.state.step
        engine.advance(steps, lambda: False)
        steps -= engine.state.step - before
        if engine.state.batch == engine.steps and steps:
            engine.finish_epoch()


def tensors(value):
    if isinstance(value, torch.Tensor):
        yield value.double().cpu()
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from tensors(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)


def apart(first, second):
    """The largest difference of anything in two states: weights, buffers, moments, step counts, statistics."""
    pairs = list(zip(tensors(first.state_dict()), tensors(second.state_dict()), strict=True))
    assert len(pairs) > 30
    return float(torch.stack([(a - b).abs().max() for a, b in pairs if a.numel()]).max())  # NaN where one is


def off(first, second):
    """How far the weights of two engines are apart: the mean difference, in learning rates."""
    made = [
        torch.cat([p.detach().double().flatten() for n in (s.generator, s.discriminator) for p in n.parameters()])
        for s in (first.state, second.state)
    ]
    return float((made[0] - made[1]).abs().mean()) / first.config.lr_g


def memory(group):
    """Where everything lies that a graph reads and writes."""
    buffers = [group._orders, group._z_d, group._z_g, group._rows, group._images, *group._tensors()]
    networks = [network for m in group.members for network in (m.state.generator, m.state.discriminator)]
    gradients = [p.grad for network in networks for p in network.parameters()]
    return [tensor.data_ptr() for tensor in (*buffers, *gradients) if tensor is not None]


def fake_capture(body):
    """What a graph is to a GPU: something that repeats the iteration, on memory that must stay where it is."""
    for _ in range(WARM_UP):
        body()
    recorded = memory(body.__self__)

    def replay():
        assert memory(body.__self__) == recorded
        body()

    return replay


def members(name, kind, dtype=torch.float64, device=CPU, **changes):
    """Trials that differ in seed, learning rate and betas, of which two share their settings."""
    settings = (
        {"lr_g": 2e-4, "lr_d": 2e-4, "betas_g": (0.5, 0.999), "betas_d": (0.5, 0.999)},
        {"lr_g": 3e-4, "lr_d": 2e-4, "betas_g": (0.9, 0.999), "betas_d": (0.5, 0.999)},
        {"lr_g": 2e-4, "lr_d": 2e-4, "betas_g": (0.5, 0.999), "betas_d": (0.5, 0.999)},
    )
    return [engines(name, (kind,), dtype, device, seed=i, **s, **changes)[0] for i, s in enumerate(settings)]


def train_together(group, steps):
    """As ``train``, with every member."""
    first = group.members[0]
    while steps:
        before = first.state.step
        group.advance(steps, lambda: False)
        steps -= first.state.step - before
        if first.state.batch == first.steps and steps:
            for member in group.members:
                member.finish_epoch()
