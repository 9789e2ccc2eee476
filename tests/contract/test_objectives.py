"""What the articles lead to, against second transcriptions of the papers that share nothing with gan_bench but the
initial weights, the images and the noise; and the fast engine against the reference."""

from __future__ import annotations

import copy
import io
from functools import partial

import pytest
import torch
from support.engines import CPU, apart, engines, fake_capture, members, tensors, train, train_together
from support.trials import config_of
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gan_bench.config.trial import LATER_DEFAULTS
from gan_bench.models.losses import LOSSES
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast.engine import FastEngine, LinearStep, ModuleStep, unsupported
from gan_bench.training.group.group import CapturedEngine, Group, can_group, can_record
from gan_bench.training.group.ways import BRANCHES
from gan_bench.training.state import TrainState

STEPS = 12
WGAN = {"loss": "wasserstein", "optimizer_g": "rmsprop", "optimizer_d": "rmsprop", "d_steps": 5, "weight_clip": 0.01}
VARIANTS = {
    "non_saturating": {},
    "minimax": {"loss": "minimax"},
    "least_squares": {"loss": "least_squares"},
    "hinge": {"loss": "hinge"},
    "wgan": WGAN,
    "wgan-gp": {"loss": "wasserstein", "d_steps": 2, "gradient_penalty": 10, "betas_g": (0, 0.9), "betas_d": (0, 0.9)},
    "r1": {"r1_gamma": 10},
    "relativistic": {"loss": "relativistic", "d_steps": 2},
    "smoothed": {"label_smoothing": 0.1},
    "smoothed least squares": {"loss": "least_squares", "label_smoothing": 0.2},
    "sgd": {"optimizer_g": "sgd", "optimizer_d": "sgd", "momentum": 0.9, "lr_g": 0.01, "lr_d": 0.01},
    "d_steps": {"d_steps": 3},
    "reuse": {"d_steps": 2, "step_fakes": "reuse"},
}
SUPPORTED = [name for name, changes in VARIANTS.items() if not unsupported(config_of("mnist-mlp-z100", **changes))]


def paper_losses(name, target):
    """D's and G's loss as the papers write them, on what D's last layer gives."""
    bce, log, sigmoid = nn.BCELoss(), torch.log, torch.sigmoid

    def cross_entropy(real, fake):
        return bce(sigmoid(real), torch.full_like(real, target)) + bce(sigmoid(fake), torch.zeros_like(fake))

    return {
        "non_saturating": (cross_entropy, lambda fake: bce(sigmoid(fake), torch.ones_like(fake))),
        "minimax": (cross_entropy, lambda fake: log(1 - sigmoid(fake)).mean()),
        "least_squares": (
            lambda real, fake: 0.5 * ((real - target) ** 2).mean() + 0.5 * (fake**2).mean(),
            lambda fake: 0.5 * ((fake - 1) ** 2).mean(),
        ),
        "hinge": (
            lambda real, fake: (
                -torch.minimum(torch.zeros(()), real - 1).mean() - torch.minimum(torch.zeros(()), -fake - 1).mean()
            ),
            lambda fake: -fake.mean(),
        ),
        "wasserstein": (lambda real, fake: -(real.mean() - fake.mean()), lambda fake: -fake.mean()),
        "relativistic": (
            lambda real, fake: -log(sigmoid(real - fake)).mean(),
            lambda fake, real: -log(sigmoid(fake - real)).mean(),
        ),
    }[name]


def transcription(config, engine, steps):
    """Train two plain ``nn.Sequential`` as the papers' algorithms do; return each step's four values, and the two."""
    state = copy.deepcopy(engine.state)
    g, d = state.generator.layers, state.discriminator.layers

    def optimizer(name, net, lr, betas):
        return {
            "adam": lambda: torch.optim.Adam(net.parameters(), lr=lr, betas=betas),
            "rmsprop": lambda: torch.optim.RMSprop(net.parameters(), lr=lr, momentum=config.momentum),
            "sgd": lambda: torch.optim.SGD(net.parameters(), lr=lr, momentum=config.momentum),
        }[name]()

    opt_g = optimizer(config.optimizer_g, g, config.lr_g, config.betas_g)
    opt_d = optimizer(config.optimizer_d, d, config.lr_d, config.betas_d)
    loss_of_d, loss_of_g = paper_losses(config.loss, 1 - config.label_smoothing)

    def gradient_norm(x):
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(d(x[None]).squeeze(), x, create_graph=True)
        return torch.linalg.vector_norm(gradient)

    seen = []
    for step in range(steps):
        draws = engine.draws_of(step // engine.steps + 1)
        real, z_d, z_g, mix = engine.batch_of(draws, step % engine.steps)
        x = real.flatten(1)
        fake = g(z_d)
        out_real, out_fake = d(x).squeeze(1), d(fake.detach()).squeeze(1)
        loss_d = loss_of_d(out_real, out_fake)
        if config.gradient_penalty:
            middle = [e * a + (1 - e) * b for e, a, b in zip(mix[: len(x)], x, fake.detach(), strict=True)]
            loss_d = loss_d + config.gradient_penalty * sum((gradient_norm(m) - 1) ** 2 for m in middle) / len(x)
        if config.r1_gamma:
            loss_d = loss_d + config.r1_gamma / 2 * sum(gradient_norm(image) ** 2 for image in x) / len(x)
        shown = torch.sigmoid if config.loss in ("non_saturating", "minimax") else lambda out: out
        row = [loss_d.item(), None, shown(out_real).mean().item(), shown(out_fake).mean().item()]
        opt_d.zero_grad()
        loss_d.backward(retain_graph=True)
        opt_d.step()
        if config.weight_clip:
            for weight in d.parameters():
                weight.data.clamp_(-config.weight_clip, config.weight_clip)
        if (step + 1) % config.d_steps == 0:
            made = fake if z_g is None else g(z_g)
            seen_real = [d(x).squeeze(1).detach()] if config.loss == "relativistic" else []
            loss_g = loss_of_g(d(made).squeeze(1), *seen_real)
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
        else:
            loss_g = loss_of_g(out_fake, *([out_real] if config.loss == "relativistic" else []))
        row[1] = loss_g.item()
        seen.append(row)
    return torch.tensor(seen), g, d


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_objective_is_its_paper_s(variant):
    (engine,) = engines("mnist-mlp-z100", (ReferenceEngine,), **VARIANTS[variant])
    wanted, g, d = transcription(engine.config, engine, STEPS)
    first = copy.deepcopy(engine.state.generator.state_dict())
    found = []
    for _ in range(STEPS):
        train(engine, 1)
        found.append(engine.state.step_stats[engine.state.batch - 1].clone())
    torch.testing.assert_close(torch.stack(found), wanted.double(), rtol=1e-9, atol=1e-6)  # printed as float32
    for ours, theirs in ((engine.state.generator.layers, g), (engine.state.discriminator.layers, d)):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-8)
    moved = [(a - b).abs().max() for a, b in zip(first.values(), g.state_dict().values(), strict=False)]
    assert max(moved) > 1e-5, "nothing was trained"


@pytest.mark.parametrize("variant", SUPPORTED)
@pytest.mark.parametrize("name", ["mnist-mlp-z100", "mnist-dcgan"])
def test_the_fast_engine_does_the_same(name, variant):
    reference, fast = engines(name, **{**VARIANTS[variant], "ema_decay": 0.9, "init": "default"})
    assert isinstance(fast.step(), LinearStep if "mlp" in name else ModuleStep)
    for engine in (reference, fast):
        train(engine, 6)
    assert apart(reference.state, fast.state) < 1e-10


def test_what_the_fast_engine_cannot_do_is_named():
    names = {name: unsupported(config_of("mnist-mlp-z100", **changes)) for name, changes in VARIANTS.items()}
    assert {name: why for name, why in names.items() if why} == {
        "wgan": "optimizer_g=rmsprop",
        "wgan-gp": "gradient_penalty",
        "r1": "r1_gamma",
        "sgd": "optimizer_g=sgd",
        "relativistic": "loss=relativistic",
    }
    assert unsupported(config_of("mnist-mlp-z100", spectral_norm=True)) == "spectral_norm"


@pytest.mark.parametrize("changes", [{"loss": "hinge", "weight_clip": 0.05}, {"label_smoothing": 0.1}])
@pytest.mark.parametrize("name", ["mnist-mlp-z100", "mnist-dcgan"])
def test_groups_minimise_it_too(name, changes):
    alone = [engines(name, (ReferenceEngine,), seed=seed, **changes)[0] for seed in range(2)]
    together = [engines(name, (FastEngine,), seed=seed, **changes)[0] for seed in range(2)]
    train_together(Group(together), 6)
    for reference, member in zip(alone, together, strict=True):
        train(reference, 6)
        assert apart(reference.state, member.state) < 1e-10
    if "weight_clip" in changes:
        assert max(p.abs().max() for p in together[0].state.discriminator.parameters()) <= changes["weight_clip"]


@pytest.mark.parametrize("capture", [None, fake_capture])
@pytest.mark.parametrize("name", ["mnist-mlp-z100", "mnist-dcgan"])
def test_members_of_a_group_have_averages_of_their_own(name, capture):
    alone, together = (members(name, kind, ema_decay=0.9) for kind in (ReferenceEngine, FastEngine))
    assert can_group(together)
    group = Group(together, capture)
    assert group.seconds_per_step(2) > 0  # and changes nothing
    train_together(group, 7)
    for reference, member in zip(alone, together, strict=True):
        train(reference, 7)
        assert apart(reference.state, member.state) < 1e-10
        assert member.state.average.n_averaged == 7


def test_averages_of_branches_have_the_bits_of_trials_trained_alone():
    alone, together = (members("mnist-dcgan", FastEngine, torch.float32, ema_decay=0.9) for _ in range(2))
    train_together(Group(together, None, BRANCHES), 6)
    for engine, member in zip(alone, together, strict=True):
        train(engine, 6)
        assert apart(engine.state, member.state) == 0


def test_a_lone_trial_with_an_average_is_recorded():
    kinds = ReferenceEngine, partial(CapturedEngine, capture=fake_capture)
    reference, captured = engines("mnist-mlp-z100", kinds, ema_decay=0.9)
    assert can_record(captured)
    for engine in (reference, captured):
        train(engine, 7)
    assert captured.captured
    assert apart(reference.state, captured.state) < 1e-10


def test_steps_that_differ_are_not_recorded():
    found = engines("mnist-mlp-z100", (FastEngine, FastEngine), d_steps=2)
    assert not found[0].repeats
    assert not can_group(found)


def test_the_moving_average_is_the_sum_it_stands_for():
    """After n G steps: decay^(n-1) of the first weights, and (1 - decay) decay^k of those k steps before the last."""
    decay = 0.8
    (engine,) = engines("mnist-dcgan", (ReferenceEngine,), ema_decay=decay, d_steps=2)
    seen = []
    for _ in range(5):
        train(engine, 2)
        seen.append([p.detach().clone() for p in engine.state.generator.parameters()])
    shares = [decay**4, *((1 - decay) * decay**k for k in (3, 2, 1, 0))]
    for place, average in enumerate(engine.state.average.module.parameters()):
        wanted = sum(share * weights[place] for share, weights in zip(shares, seen, strict=True))
        torch.testing.assert_close(average, wanted, rtol=0, atol=1e-12)
    buffers = zip(engine.state.average.module.buffers(), engine.state.generator.buffers(), strict=True)
    assert all(torch.equal(a, b) for a, b in buffers)


class Calls(TorchDispatchMode):
    """Notes the operations that are done."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, call, types, given=(), named=None):
        self.names.append(call.__name__)
        return call(*given, **(named or {}))


def test_the_moving_average_copies_nothing_to_the_device_in_every_step():
    """A counter on the CPU that a device is given makes a GPU wait for all that it was told to do before."""
    state = TrainState.start(config_of("mnist-dcgan", ema_decay=0.9), torch.device("meta"))
    state.follow()
    with Calls() as calls:
        state.follow()
    assert state.average.n_averaged == 2
    assert calls.names
    assert "_to_copy.default" not in calls.names


@pytest.mark.parametrize("name", ["mnist-mlp-z100", "mnist-dcgan"])
def test_the_moving_average_is_pytorch_s_to_the_bit(name):
    (engine,) = engines(name, (FastEngine,), torch.float32, ema_decay=0.9)
    wanted = copy.deepcopy(engine.state.average)
    for _ in range(4):
        train(engine, 1)
        wanted.update_parameters(engine.state.generator)
    for ours, theirs in zip(*(list(tensors(a.state_dict())) for a in (engine.state.average, wanted)), strict=True):
        assert torch.equal(ours, theirs)


def test_spectral_norm_holds_every_layer_at_one():
    (engine,) = engines("mnist-dcgan", (ReferenceEngine,), spectral_norm=True, lr_d=1e-3, lr_g=1e-3)
    train(engine, 30)
    layers = [m for m in engine.state.discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 4
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
        assert largest.item() == pytest.approx(1, abs=0.05)
    states = [engines("mnist-dcgan", (ReferenceEngine,), spectral_norm=True, seed=s)[0].state for s in (0, 0, 1)]
    assert apart(*states[:2]) == 0
    assert apart(*states[1:]) > 1e-3


@pytest.mark.parametrize("changes", [{**WGAN, "ema_decay": 0.9}, {"spectral_norm": True, "loss": "hinge"}])
def test_checkpoints_carry_what_an_objective_needs(changes):
    whole, cut = (engines("mnist-mlp-z100", (ReferenceEngine,), torch.float32, **changes)[0] for _ in range(2))
    train(whole, 11)
    train(cut, 4)
    buffer = io.BytesIO()
    torch.save(cut.state.state_dict(), buffer)
    buffer.seek(0)
    (resumed,) = engines("mnist-mlp-z100", (ReferenceEngine,), torch.float32, **changes)
    resumed.state.load_state_dict(torch.load(buffer, weights_only=True))
    train(resumed, 7)
    assert all(
        torch.equal(a, b) for a, b in zip(*(tensors(e.state.state_dict()) for e in (whole, resumed)), strict=True)
    )


class HalfFrozen(nn.Module):
    """A discriminator on fixed features, as those that build on trained networks are."""

    def __init__(self):
        super().__init__()
        self.fixed = nn.Linear(784, 8).requires_grad_(False)
        self.head = nn.Linear(8, 1)

    def forward(self, images):
        return self.head(torch.tanh(self.fixed(images.flatten(1)))).squeeze(1)


@pytest.mark.parametrize("kind", [ReferenceEngine, FastEngine])
def test_what_its_author_froze_stays_frozen(kind, registries):
    from dataclasses import replace

    from gan_bench.models.architectures import ARCHITECTURES

    made = replace(ARCHITECTURES["mlp"], discriminator=HalfFrozen)
    registries(ARCHITECTURES, mlp=made)
    (engine,) = engines("mnist-mlp-z100", (kind,))
    before = engine.state.discriminator.fixed.weight.clone()
    train(engine, 3)
    assert torch.equal(engine.state.discriminator.fixed.weight, before)
    assert not engine.state.discriminator.fixed.weight.requires_grad


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_of_each_trial_and_scores_what_it_says(name):
    loss, source = LOSSES[name], torch.Generator().manual_seed(0)
    real, fake = torch.randn(3, 8, generator=source), torch.randn(3, 6, generator=source)
    stacked = loss.discriminator(real, fake), loss.of_generator(fake, lambda: real)
    alone = [[loss.discriminator(r, f), loss.of_generator(f, lambda r=r: r)] for r, f in zip(real, fake, strict=True)]
    torch.testing.assert_close(torch.stack(stacked, 1), torch.tensor(alone))
    if loss.smoothed:
        torch.testing.assert_close(loss.smoothed(real, fake, 1.0), loss.discriminator(real, fake))
    mean = torch.sigmoid(real).mean(1) if loss.output == "logit" else real.mean(1)
    torch.testing.assert_close(loss.mean_output(real), mean)


def test_defaults_are_the_articles():
    for name in ("mnist-mlp-z100", "cats-dcgan"):
        config = config_of(name)
        assert {field: getattr(config, field) for field in LATER_DEFAULTS} == dict(LATER_DEFAULTS)
        assert TrainState.start(config, CPU).average is None
