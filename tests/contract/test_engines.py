"""The fast engine is the reference engine: the same parameters, statistics and checkpoints, in float64."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import config_of
from torch import nn

from gan_bench.architectures import ARCHITECTURES
from gan_bench.architectures.dcgan import SequentialDiscriminator
from gan_bench.recipes import RECIPES
from gan_bench.training.captured import WARM_UP, CapturedEngine
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast import FastEngine
from gan_bench.training.state import TrainState

CPU = torch.device("cpu")
BOTH = (ReferenceEngine, FastEngine)


def engines(name, kinds=BOTH, dtype=torch.float64, **changes):
    """Engines of both kinds at the beginning of the same trial, whose last batch is a partial one where it is kept."""
    config = config_of(name, **{"batch_size": 4, "dataset_repeats": 1, **changes})
    shape = ARCHITECTURES[config.architecture].image_shape
    pictures = torch.randint(0, 256, (10, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return [kind(config, pictures, TrainState.start(config, CPU, dtype)) for kind in kinds]


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
    return max((a - b).abs().max().item() for a, b in pairs if a.numel())


@pytest.mark.parametrize("name", RECIPES)
def test_fast_is_reference(name):
    stacked = "mlp" in name
    reference, fast = engines(name)
    steps = 50 if stacked else 10
    train(reference, steps)
    train(fast, steps)
    assert (fast.name, reference.name) == ("fast", "reference")
    assert fast.state.step == steps
    assert apart(reference.state, fast.state) < (1e-12 if stacked else 1e-10)
    weights = [list(tensors(engine.state.generator.state_dict())) for engine in (engines(name)[0], fast)]
    assert max((a - b).abs().max() for a, b in zip(*weights, strict=True)) > 1e-3, "nothing was trained"


@pytest.mark.parametrize("name", ["mnist-dcgan", "mnist-mlp-z100", "cifar10-dcgan"])
def test_checkpoints_of_one_engine_are_those_of_the_other(name):
    for kinds in (BOTH, BOTH[::-1]):
        first, second = engines(name, kinds)
        whole = engines(name)[0]
        train(first, 3)
        second.state.load_state_dict(copy.deepcopy(first.state.state_dict()))
        train(second, 3)
        train(whole, 6)
        assert apart(whole.state, second.state) < 1e-10


@pytest.mark.parametrize("name", ["mnist-dcgan", "mnist-mlp-z100", "cats-dcgan"])
def test_repeats_are_the_same_bits(name):
    states = []
    for _ in range(2):
        (engine,) = engines(name, (FastEngine,), torch.float32)
        train(engine, 4)
        states.append(engine.state)
    assert apart(*states) == 0


class Biased(SequentialDiscriminator):
    """What a user may register: biases, another forward, layers the fast engine has no form for."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 14))


class Doubled(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent, 784), nn.Tanh())

    def forward(self, z):
        return self.layers(2 * z).view(-1, 1, 28, 28)


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 8), nn.GELU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x.flatten(1)).squeeze(1)


@pytest.mark.parametrize("pair", [(None, Biased), (Doubled, Odd), (Doubled, Biased)])
def test_unknown_networks_are_trained_as_they_are(pair, monkeypatch):
    dcgan = ARCHITECTURES["dcgan28"]
    made = replace(dcgan, generator=pair[0] or dcgan.generator, discriminator=pair[1])
    monkeypatch.setitem(ARCHITECTURES._entries, "dcgan28", made)
    reference, fast = engines("mnist-dcgan", init="default")
    train(reference, 5)
    train(fast, 5)
    weights = [list(tensors(engine.state.discriminator.state_dict())) for engine in (reference, fast)]
    assert max((a - b).abs().max() for a, b in zip(*weights, strict=True)) < 1e-10


def fake_capture(body):
    """What a graph is to a GPU: something that repeats the iteration and reads nothing but its buffers."""
    for _ in range(WARM_UP):
        body()
    return body


@pytest.mark.parametrize("name", RECIPES)
def test_captured_is_reference(name):
    """Buffers, counter, tail and the state before warming up, with a capture that a CPU can do."""
    reference, captured = engines(name, (ReferenceEngine, partial(CapturedEngine, capture=fake_capture)))
    train(reference, 7)
    train(captured, 3)
    train(captured, 4)
    assert captured._replay is not None
    assert apart(reference.state, captured.state) < 1e-10
    assert captured.snapshot().mean == pytest.approx(reference.snapshot().mean, abs=1e-9)


def nothing(body):
    return lambda: None


def impossible(body):
    body()
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


@pytest.mark.parametrize("capture", [nothing, impossible])
def test_a_capture_that_fails_or_errs_is_given_up(capture):
    reference, captured = engines("mnist-dcgan", (ReferenceEngine, partial(CapturedEngine, capture=capture)))
    train(reference, 5)
    with pytest.warns(RuntimeWarning, match="the CUDA graph is not used"):
        train(captured, 5)
    assert captured._replay is None
    assert apart(reference.state, captured.state) < 1e-10


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="this machine has no CUDA device")
@pytest.mark.parametrize("name", RECIPES)
def test_a_real_graph_is_what_its_steps_are(name):
    config = config_of(name, batch_size=4, dataset_repeats=1)
    device = torch.device("cuda")
    shape = ARCHITECTURES[config.architecture].image_shape
    pictures = torch.randint(0, 256, (10, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    made = [
        kind(config, pictures.to(device), TrainState.start(config, device, torch.float64))
        for kind in (ReferenceEngine, CapturedEngine)
    ]
    for engine in made:
        train(engine, 7)
    assert made[1]._replay is not None
    assert apart(*(engine.state for engine in made)) < 1e-8


def test_reused_fakes_of_a_stack():
    """No article trains fully connected nets so, but a suite may."""
    reference, fast = engines("mnist-mlp-z100", step_fakes="reuse")
    train(reference, 10)
    train(fast, 10)
    assert apart(reference.state, fast.state) < 1e-12
