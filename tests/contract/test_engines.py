"""The fast engine is the reference engine: the same parameters, statistics and checkpoints, in float64."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest
import torch
from support.engines import BOTH, CPU, apart, engines, fake_capture, members, tensors, train, train_together
from support.needs import slow
from torch import nn

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.recipes import RECIPES
from gan_bench.core.errors import is_out_of_memory
from gan_bench.execution.trial import checkpoints
from gan_bench.execution.trial.context import RunContext
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.models.dcgan import SequentialDiscriminator, SequentialGenerator
from gan_bench.models.losses import LOSSES
from gan_bench.records.layout import RecordDirectory
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast.engine import FastEngine, ModuleStep
from gan_bench.training.group import ways
from gan_bench.training.group.group import CapturedEngine, Group, can_group
from gan_bench.training.state import TrainState


@pytest.mark.parametrize("name", RECIPES)
def test_fast_is_reference(name):
    stacked = "mlp" in name
    reference, fast = engines(name)
    steps = 50 if stacked else 10 if "mnist" in name else 3
    train(reference, steps)
    train(fast, steps)
    assert (fast.name, reference.name) == ("fast", "reference")
    assert fast.state.step == steps
    assert apart(reference.state, fast.state) < (1e-12 if stacked else 1e-10)
    weights = [list(tensors(engine.state.generator.state_dict())) for engine in (engines(name)[0], fast)]
    assert max((a - b).abs().max() for a, b in zip(*weights, strict=True)) > 1e-3, "nothing was trained"


@pytest.mark.parametrize("name", ["mnist-dcgan", "mnist-mlp-z100", *slow("cifar10-dcgan")])
def test_checkpoints_of_one_engine_are_those_of_the_other(name):
    for kinds in (BOTH, BOTH[::-1]):
        first, second = engines(name, kinds)
        whole = engines(name)[0]
        train(first, 2)
        second.state.load_state_dict(copy.deepcopy(first.state.state_dict()))
        train(second, 2)
        train(whole, 4)
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
def test_unknown_networks_are_trained_as_they_are(pair, registries):
    dcgan = ARCHITECTURES["dcgan28"]
    made = replace(dcgan, generator=pair[0] or dcgan.generator, discriminator=pair[1])
    registries(ARCHITECTURES, dcgan28=made)
    reference, fast = engines("mnist-dcgan", init="default")
    train(reference, 5)
    train(fast, 5)
    weights = [list(tensors(engine.state.discriminator.state_dict())) for engine in (reference, fast)]
    assert max((a - b).abs().max() for a, b in zip(*weights, strict=True)) < 1e-10


@pytest.mark.parametrize("name", [*(name for name in RECIPES if name != "cats-dcgan"), *slow("cats-dcgan")])
def test_captured_is_reference(name):
    """Buffers, counter, tail and the state before warming up, with a capture that a CPU can do."""
    reference, captured = engines(name, (ReferenceEngine, partial(CapturedEngine, capture=fake_capture)))
    steps = 4 if "mnist" in name else 1
    train(reference, 3 + steps)
    train(captured, 3)
    train(captured, steps)
    assert captured.captured
    assert apart(reference.state, captured.state) < 1e-10
    assert captured.snapshot().mean == pytest.approx(reference.snapshot().mean, abs=1e-9)


def nothing(body):
    return lambda: None


def impossible(body):
    body()
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


def halfway(body):
    """What cannot be recorded may show in the G step, while D is frozen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gan_bench.training.step.generator_loss", lambda _: 1 / 0)
        body()


def without_statistics(body):
    """A replay that trains the weights, and leaves out what batch-norm keeps."""

    def replay():
        (state,) = body.__self__._states
        buffers = [buffer for buffer in state.generator.buffers() if buffer.is_floating_point()]
        before = [buffer.clone() for buffer in buffers]
        body()
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)

    return replay


@pytest.mark.parametrize("capture", [nothing, impossible, halfway, without_statistics])
def test_a_capture_that_fails_or_errs_is_given_up(capture):
    reference, captured = engines("mnist-dcgan", (ReferenceEngine, partial(CapturedEngine, capture=capture)))
    train(reference, 5)
    with pytest.warns(RuntimeWarning, match="the CUDA graph is not used"):
        train(captured, 5)
    assert not captured.captured
    assert apart(reference.state, captured.state) < 1e-10


def test_reused_fakes_of_a_stack():
    """No article trains fully connected nets so, but a suite may."""
    reference, fast = engines("mnist-mlp-z100", step_fakes="reuse")
    train(reference, 10)
    train(fast, 10)
    assert apart(reference.state, fast.state) < 1e-12


LARGE = [name for name in RECIPES if "mnist" not in name]


@pytest.mark.parametrize(
    ("name", "capture"),
    [
        *((name, fake_capture) for name in RECIPES if name not in LARGE),
        ("mnist-dcgan", None),
        *slow(*((name, fake_capture) for name in LARGE)),
    ],
)
def test_a_member_of_a_group_is_itself(name, capture):
    """Weights, buffers, moments, counts and statistics, over several epochs and their smaller last batches."""
    stacked = "mlp" in name
    steps = 20 if stacked else 7 if "mnist" in name else 3
    alone, together = members(name, ReferenceEngine), members(name, FastEngine)
    assert can_group(together)
    train_together(Group(together, capture), steps)
    for reference, member in zip(alone, together, strict=True):
        train(reference, steps)
        assert apart(reference.state, member.state) < (1e-12 if stacked else 1e-10)
        assert member.snapshot().mean == pytest.approx(reference.snapshot().mean, abs=1e-9)
    assert apart(together[0].state, together[2].state) > 1e-3, "other seeds, other weights"


@pytest.mark.parametrize("name", ["mnist-dcgan", "mnist-mlp-z100"])
def test_members_come_and_go(name):
    """Alone, in a group, in a smaller one, alone again, and through a checkpoint: nothing is lost on the way."""
    alone, together = members(name, ReferenceEngine), members(name, FastEngine)
    for engine in together:
        train(engine, 2)
    train_together(Group(together), 3)
    train_together(Group(together[:2]), 2)
    loaded = members(name, FastEngine)
    loaded[0].state.load_state_dict(copy.deepcopy(together[0].state.state_dict()))
    together[0] = loaded[0]
    for engine in together:
        train(engine, 9 - engine.state.step)
    for reference, member in zip(alone, together, strict=True):
        train(reference, 9)
        assert apart(reference.state, member.state) < 1e-10


@pytest.mark.parametrize("name", ["mnist-dcgan", "mnist-mlp-z64"])
def test_repeats_of_a_group_are_the_same_bits(name):
    runs = []
    for _ in range(2):
        together = members(name, FastEngine, torch.float32)
        train_together(Group(together), 4)
        runs.append([engine.state for engine in together])
    assert max(apart(*pair) for pair in zip(*runs, strict=True)) == 0


def test_measuring_a_group_changes_nothing():
    alone, together = members("mnist-dcgan", FastEngine), members("mnist-dcgan", FastEngine)
    group = Group(together)
    assert group.seconds_per_step(3) > 0
    train_together(group, 4)
    for engine, member in zip(alone, together, strict=True):
        train(engine, 4)
        assert apart(engine.state, member.state) < 1e-10


def test_what_cannot_be_stacked_is_not_grouped(registries):
    dcgan = ARCHITECTURES["dcgan28"]
    registries(ARCHITECTURES, dcgan28=replace(dcgan, generator=Doubled))
    assert not can_group(engines("mnist-dcgan", (FastEngine, FastEngine), init="default"))
    assert not can_group(engines("mnist-mlp-z64", BOTH))


NO_ALGORITHM = "GET was unable to find an engine to execute this computation"


@pytest.mark.parametrize(
    "error", ["CUDA out of memory. Tried to allocate 2 GiB", "Triton Error [CUDA]: out of memory", NO_ALGORITHM]
)
def test_a_group_that_does_not_fit_changes_nothing(error):
    def too_large(body):
        body()
        raise RuntimeError(error)

    alone, together = members("mnist-dcgan", ReferenceEngine), members("mnist-dcgan", FastEngine)
    with pytest.raises(RuntimeError, match=re.escape(error)):
        Group(together, too_large).advance(1, lambda: False)
    for reference, member in zip(alone, together, strict=True):
        train(reference, 3)
        train(member, 3)
        assert apart(reference.state, member.state) < 1e-10


def test_a_kept_way_without_an_algorithm_is_replaced_and_the_group_stays_whole(monkeypatch):
    """It was split in half again and again, down to single trials that kept the way."""
    made = ways.make_step

    def without(way, *of):
        if way == "branches, channels last":
            raise RuntimeError(NO_ALGORITHM)
        return made(way, *of)

    monkeypatch.setattr("gan_bench.training.group.group.make_step", without)
    group = Group(members("mnist-dcgan", FastEngine), None, "branches, channels last")
    with pytest.warns(RuntimeWarning, match="the way 'branches, channels last' of training is not used"):
        group.advance(1, lambda: False)
    assert group.way != "branches, channels last"


@pytest.mark.parametrize("text", [NO_ALGORITHM, "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED"])
def test_what_may_be_want_of_memory_is_that_of_several_trials_alone(text):
    assert not is_out_of_memory(RuntimeError(text))
    assert is_out_of_memory(RuntimeError(text), 2)
    assert is_out_of_memory(RuntimeError("CUDA driver error: out of memory"))


class Scaled(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) / 2


class WithScaled(SequentialDiscriminator):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2), Scaled(4, 1, 14))


def test_layers_of_a_user_s_own_are_not_stacked(registries):
    dcgan = ARCHITECTURES["dcgan28"]
    registries(ARCHITECTURES, dcgan28=replace(dcgan, discriminator=WithScaled))
    assert not can_group(engines("mnist-dcgan", (FastEngine, FastEngine), init="default"))


class Frozen(Biased):
    def __init__(self):
        super().__init__()
        self.layers[0].weight.requires_grad_(False)


class Scale(Biased):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)


class Shared(SequentialDiscriminator):
    def __init__(self):
        super().__init__()
        twice = nn.Conv2d(4, 4, 3, 1, 1)
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), twice, nn.Tanh(), twice, nn.Tanh(), nn.Conv2d(4, 1, 14))


class Halved(nn.Sequential):
    def forward(self, x):
        return super().forward(x / 2)


class OfHalved(Biased):
    def __init__(self):
        super().__init__()
        self.layers = Halved(*self.layers)


class Hooked(Biased):
    def __init__(self):
        super().__init__()
        self.register_forward_hook(lambda _, inputs, outputs: 2 * outputs)


def assert_trained_as_it_is(reference, fast):
    """No group takes it, and the fast engine does with it what the reference engine does."""
    assert not can_group([fast])
    for engine in (reference, fast):
        train(engine, 4)
    assert apart(reference.state, fast.state) < 1e-10


class AtTimes(nn.Module):
    """A residual block that every other call leaves out, as stochastic depth does: its weights get no gradient then."""

    def __init__(self):
        super().__init__()
        self.conv, self.calls = nn.Conv2d(4, 4, 3, 1, 1), 0

    def forward(self, x):
        self.calls += self.training
        return x + self.conv(x) if self.calls % 4 < 2 else x


class OfABlock(SequentialDiscriminator):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2), AtTimes(), nn.Conv2d(4, 1, 14))


class Rows(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1)  # channels last, it has no such view


class OfRows(SequentialDiscriminator):
    def __init__(self):
        super().__init__()
        into = (nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 8, 4, 2, 1), nn.BatchNorm2d(8))
        self.layers = nn.Sequential(*into, nn.LeakyReLU(0.2), Rows(), nn.Linear(8 * 7 * 7, 1))


class CalledOtherwise(Biased):
    def _call_impl(self, *inputs):
        return super()._call_impl(*inputs) / 2


class Fixed(Biased):
    def __init__(self):
        super().__init__()
        weight = self.layers[0].weight.detach()
        del self.layers[0].weight
        self.layers[0].register_buffer("weight", weight)


class MadeAnew(Biased):
    """Its layers are another container's at every call, and grow."""

    calls = 0

    def __init__(self):
        super().__init__()
        self.first, *_, self.last = self.layers
        self.more = nn.Conv2d(4, 4, 3, 1, 1)
        del self.layers

    @property
    def layers(self):
        self.calls += self.training
        return nn.Sequential(self.first, *([self.more] if self.calls > 4 else []), self.last)


@pytest.mark.parametrize(
    "discriminator",
    [Frozen, Scale, Shared, OfHalved, Hooked, OfABlock, OfRows, CalledOtherwise, Fixed, MadeAnew],
)
def test_what_is_more_than_its_layers_is_trained_as_it_is(registries, discriminator):
    """A group trained frozen layers, and the fast engine left out a forward or a hook around the layers.

    With a layer of a user's own among them it counted steps of Adam in which weights had no gradient, or failed.
    """
    registries(ARCHITECTURES, dcgan28=replace(ARCHITECTURES["dcgan28"], discriminator=discriminator))
    reference, fast = engines("mnist-dcgan", init="default")
    assert_trained_as_it_is(reference, fast)


def halved_by_subclass(state):
    state.discriminator.layers[2].__class__ = HalfLinear


class HalfLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) / 2


HOOKS = {
    "network": lambda s: s.generator.register_forward_hook(lambda *of: of[2] / 2),
    "before": lambda s: s.discriminator.register_forward_pre_hook(lambda _, x: (x[0] / 2,)),
    "layers": lambda s: s.generator.layers.register_forward_hook(lambda *of: of[2] / 2),
    "layer": lambda s: s.generator.layers[0].register_forward_hook(lambda *of: of[2] / 2),
    "subclass": halved_by_subclass,
    "gradient": lambda s: s.generator.layers[2].register_full_backward_hook(lambda *_: None),
    "weight": lambda s: s.generator.layers[0].weight.register_hook(lambda gradient: -gradient),
}


@pytest.mark.parametrize("recipe", ["mnist-mlp-z100", "mnist-dcgan"])
@pytest.mark.parametrize("where", HOOKS)
def test_what_hooks_and_subclasses_do_is_done(recipe, where):
    """Fully connected networks left hooks and subclasses of layers out, and groups those of gradients."""
    if (recipe, where) == ("mnist-dcgan", "subclass"):
        pytest.skip("its layers are convolutions")
    reference, fast = engines(recipe, init="default")
    for engine in (reference, fast):
        HOOKS[where](engine.state)
    assert not can_group([fast])
    for engine in (reference, fast):
        train(engine, 2)
    assert apart(reference.state, fast.state) < 1e-10


def halve(module):
    before = module.forward
    module.forward = lambda x: before(x) / 2


class DoubledLeakyReLU(nn.LeakyReLU):
    def forward(self, x):
        return 2 * super().forward(x)


class HalfUsed(Biased):
    """Does without a layer at first, as networks that grow do."""

    calls = 0

    def __init__(self):
        super().__init__()
        self.more = nn.Conv2d(1, 1, 3, 1, 1)

    def forward(self, images):
        self.calls += self.training
        return super().forward(self.more(images) if self.calls > 4 else images)


def of_class(layers, old, new):
    next(layer for layer in layers if type(layer) is old).__class__ = new


CHANGES = [
    ("mnist-mlp-z100", lambda s: halve(s.generator.layers[2])),
    ("mnist-mlp-z100", lambda s: halve(s.discriminator)),
    ("mnist-mlp-z100", lambda s: s.discriminator.layers[2].weight.requires_grad_(False)),
    ("mnist-mlp-z100", lambda s: setattr(s.discriminator.layers[1], "negative_slope", -0.1)),
    ("mnist-dcgan", lambda s: halve(s.generator.layers[0])),
    ("mnist-dcgan", lambda s: halve(s.discriminator)),
    ("mnist-dcgan", lambda s: of_class(s.discriminator.layers, nn.LeakyReLU, DoubledLeakyReLU)),
    ("mnist-dcgan", lambda s: next(m for m in s.generator.layers if isinstance(m, nn.BatchNorm2d)).eval()),
]


@pytest.mark.parametrize(("recipe", "change"), CHANGES)
def test_what_a_factory_changed_of_a_network_is_done(recipe, change):
    """Forwards of objects, subclasses of activations and batch-norm in eval mode were left out without a word."""
    reference, fast = engines(recipe, init="default")
    for engine in (reference, fast):
        change(engine.state)
    assert_trained_as_it_is(reference, fast)


@pytest.mark.parametrize("recipe", ["mnist-dcgan", "mnist-mlp-z100"])
def test_weights_that_are_one_memory_stay_one(recipe):
    """Flat and stacked, each had its own. Engines in float64 copy weights, which unties them."""
    reference, fast = engines(recipe, init="default")
    for engine in (reference, fast):
        generator = list(engine.state.generator.parameters())
        one, other = next((p, q) for p, q in combinations(generator, 2) if p.shape == q.shape)
        other.data = one.data
    assert_trained_as_it_is(reference, fast)


def test_a_layer_of_both_networks_is_trained_as_it_is(registries):
    def generator(latent):
        made = Of(nn.ConvTranspose2d(latent, 4, 14), nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1))
        shared.append(made.layers[-1])
        made.layers.extend([nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh()])
        return made

    def discriminator():
        made = Biased()
        made.layers.insert(2, shared.pop())
        return made

    class Of(SequentialGenerator):
        def __init__(self, *layers):
            super().__init__()
            self.layers = nn.Sequential(*layers)

    shared = []
    registries(
        ARCHITECTURES, dcgan28=replace(ARCHITECTURES["dcgan28"], generator=generator, discriminator=discriminator)
    )
    reference, fast = engines("mnist-dcgan", init="default")
    assert_trained_as_it_is(reference, fast)


def test_trials_that_drew_other_layers_train_apart(registries):
    """A group computed all trials with the slopes and momenta of the first."""

    class Drawn(Biased):
        def __init__(self):
            super().__init__()
            self.layers[1] = nn.LeakyReLU(float(torch.rand(())))

    registries(ARCHITECTURES, dcgan28=replace(ARCHITECTURES["dcgan28"], discriminator=Drawn))
    first, second = (engines("mnist-dcgan", (FastEngine,), init="default", seed=seed)[0] for seed in (0, 1))
    assert can_group([first])
    assert can_group([second])
    assert not can_group([first, second])


def test_adam_waits_for_parameters_without_a_gradient(registries):
    """One call for all parameters counted steps in which some had none."""
    registries(ARCHITECTURES, dcgan28=replace(ARCHITECTURES["dcgan28"], discriminator=HalfUsed))
    reference, fast = engines("mnist-dcgan", init="default")
    for engine in (reference, fast):
        train(engine, 4)
    assert apart(reference.state, fast.state) < 1e-10


@pytest.mark.parametrize(
    "changes",
    [
        {"discriminator": lambda real, fake: nn.functional.softplus(fake.mean() - real).mean(-1)},
        {"discriminator": lambda real, fake: (fake - 1).square().sum(-1) / len(real)},
        {"generator": lambda fake: -fake.mean(-1) * fake.std()},
        {"smoothed": lambda real, fake, target: target * nn.functional.softplus(-real).mean()},
        {"discriminator": lambda real, fake: nn.functional.softplus(fake[: len(real)]).mean(-1) - real.mean(-1)},
        {"generator": lambda fake: -fake.squeeze().mean(-1)},
        {"generator": lambda fake: fake.sum() * 0},
    ],
)
def test_a_loss_that_mixes_trials_trains_them_alone(registries, changes):
    """Its shape was looked at: sums over all trials, and lengths that were their number, made other numbers."""
    registries(LOSSES, non_saturating=replace(LOSSES["non_saturating"], **changes))
    assert not can_group(engines("mnist-mlp-z100", (FastEngine, FastEngine)))


def test_a_loss_whose_spread_of_one_output_is_none_trains_together(registries):
    spread = replace(LOSSES["non_saturating"], generator=lambda fake: -fake.mean(-1) + fake.std(-1))
    registries(LOSSES, non_saturating=spread)
    assert can_group(engines("mnist-mlp-z100", (FastEngine, FastEngine)))


class HandWritten(nn.Module):
    """Batch-norm as a textbook writes it: its statistics are new tensors after every batch."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(784))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        return x - self.mean


class Normed(Doubled):
    def __init__(self, latent):
        super().__init__(latent)
        self.layers.insert(1, HandWritten())


class Fading(Doubled):
    """Fades its layers in over the first calls, as progressive growing does."""

    calls = 0

    def forward(self, z):
        self.calls += self.training
        return super().forward(min(self.calls / 40, 1) * z)


def test_a_recording_of_a_state_that_moves_is_given_up(monkeypatch):
    """A replay would train on the first statistics for good."""
    step = ModuleStep.__call__

    def moving(self, batch, *, g_step=True):
        found = step(self, batch, g_step=g_step)
        (norm, *_) = (m for m in self._pair.generator.network.modules() if isinstance(m, nn.BatchNorm2d))
        norm.running_mean = norm.running_mean.clone()
        return found

    monkeypatch.setattr(ModuleStep, "__call__", moving)
    reference, captured = engines("mnist-dcgan", (ReferenceEngine, partial(CapturedEngine, capture=partial)))
    train(reference, 4)
    with pytest.warns(RuntimeWarning, match="the CUDA graph is not used .*new tensors"):
        train(captured, 4)
    assert not captured.captured
    assert apart(reference.state, captured.state) < 1e-10


@pytest.mark.parametrize(
    ("networks", "loss", "kind"),
    [
        ({}, "hinge", CapturedEngine),
        ({"discriminator": Biased}, "hinge", CapturedEngine),
        ({"generator": Fading}, "hinge", FastEngine),
        ({"generator": Normed}, "hinge", FastEngine),
        ({"discriminator": Hooked}, "hinge", FastEngine),
        ({}, "own", FastEngine),
    ],
)
def test_only_code_that_is_known_is_recorded(monkeypatch, registries, networks, loss, kind):
    """A replay runs no Python: a network that counts its calls would train as at its first one."""
    registries(LOSSES, own=LOSSES["non_saturating"])
    registries(ARCHITECTURES, dcgan28=replace(ARCHITECTURES["dcgan28"], **networks))
    (reference,), start = engines("mnist-dcgan", (ReferenceEngine,), init="default", loss=loss), TrainState.start
    monkeypatch.setattr(TrainState, "start", lambda config, _: start(config, CPU, torch.float64))
    config = reference.config
    card = RunContext(DataRoot(Path(), given=True), torch.device("cuda"), lambda: False)
    card._shared["on the device", config.dataset, config.image_size, config.train_limit] = reference.images
    engine = card.engine(config)
    assert type(engine) is kind
    if kind is FastEngine:
        for each in (reference, engine):
            train(each, 4)
        assert apart(reference.state, engine.state) < 1e-10


@pytest.mark.parametrize("capture", [None, fake_capture])
def test_a_dataset_of_less_than_one_batch(capture):
    alone = members("mnist-mlp-z100", ReferenceEngine, batch_size=16)
    together = members("mnist-mlp-z100", FastEngine, batch_size=16)
    group = Group(together, capture)
    assert group.seconds_per_step(2) > 0
    train_together(group, 3)
    for reference, member in zip(alone, together, strict=True):
        train(reference, 3)
        assert apart(reference.state, member.state) < 1e-12


def test_statistics_are_right_after_a_group_came_to_nothing(monkeypatch):
    """Engines that were captured alone before go on as if nothing had been."""
    kind = partial(CapturedEngine, capture=fake_capture)
    alone, together = members("mnist-dcgan", ReferenceEngine), members("mnist-dcgan", kind)
    for engine in together:
        train(engine, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Group, "_load_draws", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Group(together).prepare()
    for reference, engine in zip(alone, together, strict=True):
        train(reference, 2)
        train(engine, 1)
        assert engine.snapshot().last == pytest.approx(reference.snapshot().last, abs=1e-9)


def test_a_member_s_checkpoint_is_as_small_as_a_lone_one_s(tmp_path):
    alone, together = members("mnist-mlp-z100", FastEngine), members("mnist-mlp-z100", FastEngine)
    train(alone[0], 2)
    train_together(Group(together), 2)
    sizes = []
    for name, state in (("alone", alone[0].state), ("member", together[0].state)):
        directory = RecordDirectory(tmp_path / name)
        directory.path.mkdir()
        checkpoints.save(directory, "trial", checkpoints.Checkpoint(state.state_dict(), {}))
        sizes.append(directory.checkpoint.stat().st_size)
    assert sizes[1] < 1.05 * sizes[0]
