"""A contract that cannot be broken says nothing: every check finds the mistake it is there for."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.measures import MEASURES
from gan_bench.config.recipes import RECIPES, chosen
from gan_bench.contract.check import check_part
from gan_bench.core.registry import REGISTRIES
from gan_bench.data.datasets import DATASETS
from gan_bench.metrics.extractors import EXTRACTORS, ExtractorEntry
from gan_bench.metrics.features import Features
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.models.losses import LOSSES

NOWHERE = DataRoot(Path("nowhere"), given=True)
MLP = ARCHITECTURES["mlp"]


class Other(nn.Module):
    """The shipped generator, with something added to its images."""

    def __init__(self, latent, change):
        super().__init__()
        self.inner = MLP.generator(latent)
        self.change = change

    def forward(self, z):
        return self.change(self.inner(z))


class Idle(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.inner, self.unused = MLP.generator(latent), nn.Linear(3, 3)

    def forward(self, z):
        return self.inner(z)


class Restless(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.inner = MLP.generator(latent)
        self.scale = nn.Parameter(torch.rand((), generator=torch.Generator().manual_seed(torch.seed() % 2**31)))

    def forward(self, z):
        return self.inner(z) * self.scale


class Fixed(nn.Module):
    """It has no layer that depends on the latent dimension."""

    def __init__(self, latent):
        super().__init__()
        self.inner = MLP.generator(1)

    def forward(self, z):
        return self.inner(z[:, :1])


def unflattened():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1))


class Counting(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.inner, self.steps = MLP.generator(latent), 0

    def forward(self, z):
        self.steps += self.training
        return self.inner(z) * 0.9**self.steps


def old_norm(latent):
    made = MLP.generator(latent)
    with warnings.catch_warnings(action="ignore"):
        nn.utils.weight_norm(next(each for each in made.modules() if isinstance(each, nn.Linear)))
    return made


def generator(change):
    return lambda latent: Other(latent, change)


ARCHITECTURE_FAULTS = {
    "it leaves the range": ({"generator": generator(lambda x: 2 * x)}, "G leaves [-1, 1]"),
    "another size": ({"generator": generator(lambda x: x[..., :14, :14])}, "G gives (1, 1, 14, 14) for 1 vectors"),
    "another dtype": ({"generator": generator(lambda x: x.double())}, "not float32"),
    "logits by image": ({"discriminator": unflattened}, "D gives (1, 1) for 1 images, not (1,); flatten"),
    "batch norm by hand": ({"generator": generator(lambda x: x - x.mean(0))}, "an image depends on its batch"),
    "unused": ({"generator": Idle}, "G never uses its parameters unused.weight, unused.bias"),
    "own randomness": ({"generator": Restless}, "scale differs between two networks of one seed"),
    "latent ignored": ({"generator": Fixed}, "the latent dimension changes no layer of G"),
    "it counts": ({"generator": Counting}, "G keeps something that is not in its state_dict"),
    "it keeps an old norm": ({"generator": old_norm}, "deepcopy"),
    "it draws": ({"generator": generator(lambda x: x * torch.rand(()))}, "a generator read from its file makes other"),
}


def faults(plural, name):
    return [check.fault for check in check_part(plural, name, NOWHERE) if check.fault]


@pytest.fixture
def part(registries):
    """Registers a part for one test, and returns what is wrong with it."""

    def wrong(plural, entry):
        registries(REGISTRIES[plural], mine=entry)
        return faults(plural, "mine")

    return wrong


@pytest.mark.parametrize("case", ARCHITECTURE_FAULTS)
def test_mistakes_of_architectures(case, part):
    changes, said = ARCHITECTURE_FAULTS[case]
    assert any(said in fault for fault in part("architectures", replace(MLP, **changes)))
    assert part("architectures", MLP) == []


def remembering(real, fake, seen=[]):  # noqa: B006 - the mistake
    seen.append(real.detach().mean())
    return real.mean(-1) * len(seen) + fake.mean(-1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"discriminator": lambda real, fake: real.mean() + fake.mean()}, "D's loss of three trials is (), not (3,)"),
        ({"discriminator": lambda real, fake: real.mean(-1) + 0 * real.log().mean(-1)}, "D's loss is not finite"),
        ({"discriminator": lambda real, fake: real.mean(-1)}, "D's loss has no gradient in fake outputs"),
        ({"generator": lambda fake: fake.mean(-1).detach() + 0 * fake.mean(-1)}, "no gradient in fake outputs"),
        ({"discriminator": remembering}, "it keeps something between calls"),
        ({"generator": lambda fake: fake.mean(-1) + fake.mean()}, "the loss of a trial depends on others beside it"),
        ({"smoothed": lambda real, fake, target: real.mean(-1)}, "with the target 1 the smoothed loss differs"),
    ],
)
def test_mistakes_of_losses(changes, said, part):
    assert any(said in fault for fault in part("losses", replace(LOSSES["non_saturating"], **changes)))


def test_an_extractor_says_where_it_is(part):
    class Lost:
        name, sha256, feature_dim, classes = "mine", "0" * 64, 2, 2

        def __call__(self, images):
            flat = images.flatten(1).float()
            return Features(flat[:, :2], flat[:, 2:4])

    made = ExtractorEntry(description="", channels=None, load=lambda device: Lost())
    assert any("its device is None" in fault for fault in part("extractors", made))


def growing():
    reads = iter(range(2, 100))

    def read(folder, split):
        return torch.full((4, 1, 28, 28), next(reads), dtype=torch.uint8), None

    return read


def black(folder, split):
    return torch.ones((4, 1, 28, 28), dtype=torch.uint8), None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "other"}, 'it calls itself "other"'),
        ({"counts": {"test": 359}}, "it has no train split"),
        ({"class_extractor": "none"}, "its class_extractor none is unknown"),
        ({"counts": {"train": 7}}, "(1438, 1, 28, 28), and declares a tensor torch.uint8 (7, 1, 28, 28)"),
        ({"classes": 12}, "train labels are not 0 to 11"),
        ({"classes": 0}, "train labels are not left out, though it declares no classes"),
        ({"read": growing(), "counts": {"train": 4}, "classes": 0}, "train images differ when they are read again"),
        ({"read": black, "counts": {"train": 4}, "classes": 0}, "hold no value above 1; black is 0 and white is 255"),
    ],
)
def test_mistakes_of_datasets(changes, said, part):
    assert any(said in fault for fault in part("datasets", replace(DATASETS["digits"], **{"name": "mine", **changes})))


def test_mistakes_of_extractors(part):
    entry = EXTRACTORS["lenet-mnist-v1"]
    assert part("extractors", entry) == ['it calls itself "lenet-mnist-v1"']

    def load(device):
        inner = entry.load(device)

        class Normalising:
            name, sha256, feature_dim, classes = "mine", inner.sha256, inner.feature_dim, inner.classes
            device = inner.device

            def __call__(self, images):
                seen = inner(images)
                return replace(seen, features=seen.features - seen.features.mean(0))

        return Normalising()

    assert part("extractors", replace(entry, load=load)) == ["features depend on the batch"]


def test_an_extractor_leaves_its_images_as_they_are(part):
    class Writing:
        name, sha256, feature_dim, classes, device = "mine", "0" * 64, 2, 2, torch.device("cpu")

        def __call__(self, images):
            images[images < 200] = 0
            flat = images.flatten(1).float()
            return Features(flat[:, :2], flat[:, 2:4])

    made = ExtractorEntry(description="", channels=None, load=lambda device: Writing())
    assert part("extractors", made) == ["it writes into the images it is given; begin with images.clone()"]


def test_mistakes_of_measures(part):
    fid = MEASURES["fid"]
    assert "several measures rank settings: fid, mine" in part("measures", fid)
    plain = replace(fid, roles=frozenset())
    assert any("is no FeatureMetric" in fault for fault in part("measures", replace(plain, metric="torch.nn:Linear")))
    assert any("ModuleNotFoundError" in fault for fault in part("measures", replace(plain, metric="nowhere:X")))


def test_mistakes_of_recipes(part):
    recipe = RECIPES["mnist-dcgan"]
    assert part("recipes", recipe) == ['it calls itself "mnist-dcgan"']
    assert "makes images of (1, 28, 28)" in part("recipes", replace(recipe, name="mine", dataset=chosen("cats")))[0]
    assert 'unknown loss "hing"' in part("recipes", replace(recipe, name="mine", extras={"loss": chosen("hing")}))[0]
    assert (
        "d_steps must be at least 1" in part("recipes", replace(recipe, name="mine", extras={"d_steps": chosen(0)}))[0]
    )
