"""Initial weights, draws and normalisation: exactly what the articles' libraries would give."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest
import torch
from support.trials import config_of
from torch import nn
from torchvision import transforms

from gan_bench.core.errors import DataError
from gan_bench.models.architectures import ARCHITECTURES, build
from gan_bench.training.draws import EpochDraws, steps_per_epoch
from gan_bench.training.engine import normalise
from gan_bench.training.state import TrainState

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_default_init_is_what_the_constructors_draw(name):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        theirs = ARCHITECTURES[name].discriminator().state_dict()
    before = torch.get_rng_state()
    ours = build(ARCHITECTURES[name].discriminator, "default", torch.Generator().manual_seed(5)).state_dict()
    assert torch.equal(before, torch.get_rng_state()), "the global generator moved"
    assert list(ours) == list(theirs)
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key


def test_dcgan_init_has_the_stated_moments():
    net = build(lambda: ARCHITECTURES["dcgan64"].generator(100), "dcgan", torch.Generator().manual_seed(0))
    conv = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.ConvTranspose2d)])
    norm = torch.cat([m.weight for m in net.modules() if isinstance(m, nn.BatchNorm2d)])
    assert conv.mean().abs() < 1e-4
    assert conv.std().item() == pytest.approx(0.02, rel=0.01)
    assert norm.mean().item() == pytest.approx(1.0, abs=0.003)
    assert norm.std().item() == pytest.approx(0.02, rel=0.1)
    assert all((m.bias == 0).all() for m in net.modules() if isinstance(m, nn.BatchNorm2d))


class Own(nn.Module):
    """Layers and buffers of a user's own, of kinds that no article has."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((3,), 0.5))
        self.register_buffer("table", torch.arange(4.0))
        self.register_buffer("noise", torch.randn(5), persistent=False)
        self.layers = nn.ModuleList(
            [
                *(nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.Embedding(3, 4), nn.PReLU(), nn.Linear(4, 4)),
                *(nn.BatchNorm2d(4, affine=False), nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))),
            ]
        )


@pytest.mark.parametrize("init", ["default", "dcgan"])
def test_any_layer_and_buffer_is_what_its_author_meant(init):
    before = torch.get_rng_state()
    made = [build(Own, init, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(before, torch.get_rng_state())
    net = made[0]
    assert net.table.tolist() == [0, 1, 2, 3]
    assert net.scale.tolist() == [0.5] * 3
    assert (net.layers[5].running_mean.tolist(), net.layers[5].running_var.tolist()) == ([0.0] * 4, [1.0] * 4)
    assert net.layers[0].weight.tolist() == [1.0] * 4
    assert net.layers[3].weight.item() == 0.25
    states = [torch.cat([*(p.flatten() for p in n.parameters()), *(b.flatten() for b in n.buffers())]) for n in made]
    assert states[0].isfinite().all()
    assert torch.equal(states[0], states[1])
    assert not torch.equal(net.noise, made[2].noise)


@pytest.mark.parametrize("error", [KeyError("uid not found: 54321"), ImportError("pwd"), OSError("no username")])
def test_a_user_without_a_name_can_train(monkeypatch, error):
    """As in a container with a number for a user: the first optimizer of torch 2.11 asked for a name, and failed.

    The error is that of Python before 3.13, of Windows and of later versions.
    """

    def unknown():
        raise error

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setattr(getpass, "getuser", unknown)
    TrainState.start(config_of("mnist-mlp-z100"), CPU)
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).parent.stat().st_uid == os.getuid()


def test_normalise_is_bit_identical_to_torchvision():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    theirs = transforms.Normalize((0.5,), (0.5,))(levels.float().div(255))
    assert torch.equal(normalise(levels[None])[0], theirs)


@pytest.mark.parametrize(
    ("recipe", "images", "steps"),
    [
        ("cats-dcgan", 15_747, 247),
        ("mnist-dcgan", 60_000, 937),
        ("mnist-mlp-z64", 60_000, 600),
        ("cifar10-dcgan", 50_000, 782),
        ("mnist-mlp-z100", 60_000, 469),
    ],
)
def test_steps_per_epoch_are_the_articles(recipe, images, steps):
    assert steps_per_epoch(config_of(recipe), images) == steps


def test_too_few_images_for_one_dropped_batch():
    with pytest.raises(DataError, match="fewer than one batch of 64"):
        steps_per_epoch(config_of("mnist-dcgan"), 63)


def test_an_epoch_shows_every_image_as_often_as_the_recipe_says():
    draws = EpochDraws.draw(config_of("cats-dcgan", batch_size=4), 11, 1, CPU)
    assert torch.bincount(draws.order).tolist() == [2] * 11


def test_draws_depend_on_seed_epoch_and_purpose_alone():
    config = config_of("mnist-mlp-z100")
    first, again = (EpochDraws.draw(config, 300, 1, CPU) for _ in range(2))
    torch.rand(3)  # the global generator must not matter
    assert torch.equal(first.order, again.order)
    assert torch.equal(first.z_d, again.z_d)
    assert first.z_g is not None
    assert not torch.equal(first.z_d, first.z_g)
    later = EpochDraws.draw(config, 300, 2, CPU)
    other = EpochDraws.draw(config_of("mnist-mlp-z100", seed=1), 300, 1, CPU)
    for different in (later, other):
        assert not torch.equal(first.order, different.order)
        assert not torch.equal(first.z_d, different.z_d)


def test_noise_has_the_recipe_s_distribution():
    uniform = EpochDraws.draw(config_of("mnist-dcgan"), 3200, 1, CPU).z_d
    assert uniform.min() >= -1
    assert uniform.max() <= 1
    assert uniform.std().item() == pytest.approx(1 / 3**0.5, rel=0.01)
    normal = EpochDraws.draw(config_of("mnist-mlp-z100"), 3200, 1, CPU).z_d
    assert normal.std().item() == pytest.approx(1.0, rel=0.01)


def test_reused_fakes_need_no_second_noise():
    assert EpochDraws.draw(config_of("cifar10-dcgan"), 100, 1, CPU).z_g is None
