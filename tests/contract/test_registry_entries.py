"""One contract for every registry entry, a user's own included."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from support.needs import slow
from support.trials import config_of
from torch import nn

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.recipes import RECIPES
from gan_bench.contract.check import check_part
from gan_bench.core.registry import REGISTRIES
from gan_bench.data.datasets import load
from gan_bench.metrics import classifiers
from gan_bench.metrics.extractors import EXTRACTORS, extractor_card
from gan_bench.models.architectures import ARCHITECTURES, fingerprint
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.state import TrainState
from gan_bench.training.step import Batch, update

CPU = torch.device("cpu")

# weights and batch-norm affine of G and D, as ARTICLES counts them
PARAMETERS = {
    "cats-dcgan": ((3_804_160, 1_920), (2_763_776, 1_920)),
    "mnist-dcgan": ((311_808, 448), (109_056, 384)),
    "mnist-mlp-z64": ((283_920, 0), (267_009, 0)),
    "cifar10-dcgan": ((3_574_784, 1_920), (2_763_776, 1_792)),
    "mnist-mlp-z100": ((293_136, 0), (267_009, 0)),
}


def count(net):
    norm = sum(p.numel() for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    return sum(p.numel() for p in net.parameters()) - norm, norm


@pytest.fixture(scope="module")
def states():
    return {name: TrainState.start(config_of(name), CPU) for name in RECIPES}


def images(name, number):
    shape = ARCHITECTURES[RECIPES[name].architecture.value].image_shape
    return torch.rand(number, *shape, generator=torch.Generator().manual_seed(0)).mul(2).sub(1)


@pytest.mark.parametrize("name", RECIPES)
def test_parameter_counts_are_the_articles(name, states):
    assert (count(states[name].generator), count(states[name].discriminator)) == PARAMETERS[name]


@pytest.mark.parametrize("name", RECIPES)
def test_convolutions_have_no_bias(name, states):
    for net in (states[name].generator, states[name].discriminator):
        assert all(m.bias is None for m in net.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)))


@pytest.mark.parametrize("name", RECIPES)
def test_shapes_and_ranges(name, states):
    state, recipe = states[name], RECIPES[name]
    fake = state.generator(torch.randn(3, recipe.latent_dim.value, generator=torch.Generator().manual_seed(1)))
    assert fake.shape[1:] == ARCHITECTURES[recipe.architecture.value].image_shape
    assert fake.shape[2] == recipe.image_size.value
    assert fake.abs().max() <= 1
    logits = state.discriminator(fake)
    assert logits.shape == (3,)


def frozen_adam(optimizer):
    for group in optimizer.param_groups:
        group["lr"] = 0.0


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_changes_each_net_through_its_own_optimizer_only(name):
    config = config_of(name)

    def after(freeze_g, freeze_d):
        state = TrainState.start(config, CPU)
        if freeze_g:
            frozen_adam(state.optimizer_g)
        if freeze_d:
            frozen_adam(state.optimizer_d)
        noise = torch.randn(2, 4, config.latent_dim, generator=torch.Generator().manual_seed(2))
        update(state, Batch(images(name, 4), noise[0], None if config.step_fakes == "reuse" else noise[1]))
        return state

    def changed(a, b):
        return [k for k, p in dict(a.named_parameters()).items() if not torch.equal(p, dict(b.named_parameters())[k])]

    start, both = TrainState.start(config, CPU), after(False, False)
    for net in ("generator", "discriminator"):
        everything = {k for k, _ in getattr(start, net).named_parameters()}
        moved = set(changed(getattr(start, net), getattr(both, net)))
        # A batch-norm before D's sum makes some gradients vanish exactly; most parameters must move all the same.
        assert len(moved) > 0.6 * len(everything)
    only_d, only_g = after(True, False), after(False, True)
    assert not changed(start.generator, only_d.generator)
    assert changed(start.discriminator, only_d.discriminator)
    assert not changed(start.discriminator, only_g.discriminator)
    assert changed(start.generator, only_g.generator)


@pytest.mark.parametrize("name", RECIPES)
def test_the_step_yields_finite_statistics_and_probabilities(name, states):
    config = config_of(name)
    state = copy.deepcopy(states[name])
    noise = torch.randn(2, 4, config.latent_dim, generator=torch.Generator().manual_seed(2))
    values = update(state, Batch(images(name, 4), noise[0], None if config.step_fakes == "reuse" else noise[1]))
    loss_d, loss_g, d_real, d_fake = values.tolist()
    assert values.dtype == torch.float64
    assert loss_d > 0
    assert loss_g > 0
    assert 0 <= d_real <= 1
    assert 0 <= d_fake <= 1


@pytest.mark.parametrize("name", RECIPES)
def test_last_batch_and_fake_batch(name):
    """Seven images in batches of four: kept, dropped, or met by a full batch of fakes, as the recipe says."""
    config = config_of(name, batch_size=4, dataset_repeats=1)
    seen = []
    uint8 = torch.zeros(7, *ARCHITECTURES[config.architecture].image_shape, dtype=torch.uint8)
    engine = ReferenceEngine(config, uint8, TrainState.start(config, CPU))
    draws = engine.draws_of(1)
    for index in range(engine.steps):
        real, noise_d, noise_g, _ = engine.batch_of(draws, index)
        seen.append((len(real), len(noise_d), None if noise_g is None else len(noise_g)))
    expected = {
        "cats-dcgan": [(4, 4, 4), (3, 4, 4)],
        "mnist-dcgan": [(4, 4, 4)],
        "mnist-mlp-z64": [(4, 4, 4), (3, 3, 3)],
        "cifar10-dcgan": [(4, 4, None), (3, 3, None)],
        "mnist-mlp-z100": [(4, 4, 4), (3, 3, 3)],
    }
    assert seen == expected[name]


LARGE = ("cifar10", "cats", "dcgan64", "dcgan64-bn")
"""Many JPEGs, and networks of which test_faithfulness and test_engines try more."""
PARTS = [
    pytest.param(plural, name, marks=[pytest.mark.slow] if name in LARGE else [])
    for plural, registry in REGISTRIES.items()
    for name in registry.shipped()
]


@pytest.mark.parametrize(("plural", "name"), PARTS)
def test_every_part_that_is_shipped_keeps_its_contract(plural, name):
    """The same checks as ``gan-bench check``; data and weights that are not here skip, and nothing is fetched."""
    weights = EXTRACTORS[name].weights if plural == "extractors" else None
    if weights and not weights.path():
        pytest.skip(f"the weights of {name} are not here ({weights.megabytes} MB; ${weights.variable})")
    root = DataRoot(Path(os.environ.get("GAN_BENCH_DATA", "data")), given=True)
    found = list(check_part(plural, name, root))
    assert [check for check in found if check.fault] == []
    assert len(found) >= 2
    if missing := [check.skipped for check in found if check.skipped]:
        pytest.skip(missing[0])


def test_an_architecture_is_told_from_every_other():
    prints = {fingerprint(architecture, 16) for architecture in ARCHITECTURES.shipped().values()}
    assert len(prints) == len(ARCHITECTURES.shipped())


@pytest.mark.parametrize("name", [name for name, entry in EXTRACTORS.items() if entry.channels])
def test_shipped_extractors(name):
    extractor = EXTRACTORS[name].load(CPU)
    assert extractor.name == name
    assert extractor.sha256 == extractor_card(name)["sha256"]
    source = torch.Generator().manual_seed(0)
    uint8 = torch.randint(0, 256, (5, 1, 28, 28), generator=source, dtype=torch.uint8)
    seen = extractor(uint8)
    assert seen.features.shape == (5, extractor.feature_dim)
    assert seen.logits.shape == (5, extractor.classes)
    assert not seen.features.requires_grad
    for other in (uint8.expand(-1, 3, -1, -1), torch.zeros(2, 3, 64, 64, dtype=torch.uint8)):
        assert torch.isfinite(extractor(other).features).all()


@pytest.mark.parametrize(
    ("name", "dataset", "size", "least"),
    [("lenet-mnist-v1", "mnist", 28, 0.99), *slow(("cifar-v1", "cifar10", 32, 0.88))],
)
def test_shipped_extractors_are_as_accurate_as_their_cards_say(name, dataset, size, least, real_data):
    test = load(dataset, real_data, "test", size)
    extractor = EXTRACTORS[name].load(CPU)
    right = sum(
        int((extractor(images).logits.argmax(1) == labels).sum())
        for images, labels in zip(test.images.split(500), test.labels.split(500), strict=True)
    ) / len(test.images)
    assert right == pytest.approx(extractor_card(name)["test_accuracy"], abs=2e-4)
    assert right >= least


def test_the_weights_are_small():
    folder = Path(classifiers.__file__).parent / "weights"
    sizes = {path.stem: path.stat().st_size for path in folder.glob("*.safetensors")}
    assert sizes["lenet-mnist-v1"] < 2_000_000
    assert sizes["cifar-v1"] < 3_000_000
