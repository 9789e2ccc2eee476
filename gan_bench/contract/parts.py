"""The contracts of all kinds of parts: functions that raise with a sentence where a contract is broken."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.measures import COLUMNS, MEASURES, Measure
from gan_bench.config.recipes import RECIPES, Recipe
from gan_bench.config.trial import EvaluationConfig, TrialConfig
from gan_bench.core.errors import DataError
from gan_bench.data.datasets import DATASETS, Dataset, load
from gan_bench.metrics.extractors import EXTRACTORS, ExtractorEntry
from gan_bench.models.architectures import ARCHITECTURES, Architecture, build, fault_of_state, fingerprint
from gan_bench.models.losses import LOSSES, Loss
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.state import TrainState

CPU = torch.device("cpu")
LATENT = 16
Body = Callable[[], None]


class BrokenContractError(Exception):
    """A contract is broken; the message says how."""


def require(condition: object, fault: str) -> None:
    """Refuse what breaks a contract.

    Raises:
        BrokenContractError: The condition does not hold.
    """
    if not condition:
        raise BrokenContractError(fault)


def tiny_config(**changes: Any) -> TrialConfig:  # noqa: ANN401 - values of a config
    """Return a trial of four images a step, with some values changed."""
    values = RECIPES["mnist-mlp-z100"].values() | {"latent_dim": LATENT, "batch_size": 4, "dataset_repeats": 1}
    given = {"suite": "check", "suite_version": 1, "recipe": "check", "seed": 0, "profile": "quick"}
    evaluation = EvaluationConfig(epochs=(0,), samples=64)
    return TrialConfig(**{**values, **given, "evaluation": evaluation, **changes})


def architecture_checks(entry: Architecture, name: str, _data: DataRoot) -> Iterator[tuple[str, Body]]:
    """Yield the checks of a pair of networks."""
    checks = _ArchitectureChecks(entry, name)
    yield "images and outputs have the right shapes and range", checks.shapes
    yield "in eval mode every image stands alone", checks.alone
    yield "every parameter is used", checks.gradients
    yield "one seed gives one network", checks.same_bits
    yield "what changes in training is in its state", checks.kept
    yield "generators survive copying and saving", checks.saved
    yield "its layers tell it from others", checks.told_apart
    yield "it trains, the same in both engines", checks.trains


@dataclass(frozen=True)
class _ArchitectureChecks:
    entry: Architecture
    name: str

    def networks(self) -> tuple[nn.Module, nn.Module]:
        source = torch.Generator().manual_seed(0)
        make = partial(self.entry.generator, LATENT)
        return build(make, "default", source), build(self.entry.discriminator, "default", source)

    def noise(self, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(count, LATENT, generator=torch.Generator().manual_seed(1), dtype=dtype)

    def shapes(self) -> None:
        generator, discriminator = (network.eval() for network in self.networks())
        for count in (1, 5):
            made = generator(self.noise(count))
            wanted = (count, *self.entry.image_shape)
            require(tuple(made.shape) == wanted, f"G gives {tuple(made.shape)} for {count} vectors, not {wanted}")
            require(made.dtype == torch.float32, f"G gives {made.dtype}, not float32")
            require(float(made.detach().abs().max()) <= 1, "G leaves [-1, 1]; end it in tanh")
            logits = tuple(discriminator(made).shape)
            require(logits == (count,), f"D gives {logits} for {count} images, not ({count},); flatten its output")

    def alone(self) -> None:
        generator, discriminator = (network.eval().double() for network in self.networks())
        rows = self.noise(6, torch.float64)
        with torch.no_grad():
            together, single = generator(rows), torch.cat([generator(row[None]) for row in rows])
            require(torch.allclose(together, single, atol=1e-9), "in eval mode an image depends on its batch")
            outputs, each = discriminator(together), torch.cat([discriminator(image[None]) for image in together])
            require(torch.allclose(outputs, each, atol=1e-9), "in eval mode D's output depends on the batch")

    def gradients(self) -> None:
        pair = self.networks()
        nn.functional.softplus(-pair[1](pair[0](self.noise(8)))).mean().backward()  # type: ignore[no-untyped-call]
        for role, network in zip("GD", pair, strict=True):
            idle = [key for key, p in network.named_parameters() if p.requires_grad and p.grad is None]
            require(not idle, f"{role} never uses its parameters {', '.join(idle[:3])}")

    def same_bits(self) -> None:
        for first, second in zip(self.networks(), self.networks(), strict=True):
            for key, tensor in first.state_dict().items():
                require(
                    torch.equal(tensor, second.state_dict()[key]),
                    f"{key} differs between two networks of one seed; draw from torch's own generator",
                )

    def kept(self) -> None:
        for role, fault in (
            ("G", fault_of_state("G", partial(self.entry.generator, LATENT), (2, LATENT))),
            ("D", fault_of_state("D", self.entry.discriminator, (2, *self.entry.image_shape))),
        ):
            require(not fault, f"{role} {fault}")

    def saved(self) -> None:
        from safetensors.torch import load as load_tensors
        from safetensors.torch import save as save_tensors

        generator, other = self.networks()[0], self.entry.generator(LATENT)
        generator(self.noise(2))  # state that it keeps must not prevent a copy
        tensors = {key: value.detach().contiguous().clone() for key, value in generator.state_dict().items()}
        other.load_state_dict(load_tensors(save_tensors(tensors)))
        copied = copy.deepcopy(generator)
        made = [network.eval()(self.noise(2)) for network in (generator, other, copied)]
        require(torch.equal(made[0], made[1]), "a generator read from its file makes other images")
        require(torch.equal(made[0], made[2]), "a copied generator makes other images")

    def told_apart(self) -> None:
        first, again = fingerprint(self.entry, LATENT), fingerprint(self.entry, LATENT)
        require(first == again, "two networks of the same architecture have different layers")
        require(first != fingerprint(self.entry, LATENT + 1), "the latent dimension changes no layer of G")

    def trains(self) -> None:
        config = tiny_config(architecture=self.name, image_size=self.entry.image_shape[1])
        images = torch.randint(0, 256, (10, *self.entry.image_shape), dtype=torch.uint8,
                               generator=torch.Generator().manual_seed(2))  # fmt: skip
        states = [TrainState.start(config, CPU, torch.float64) for _ in range(3)]
        for engine in (ReferenceEngine(config, images, states[0]), FastEngine(config, images, states[1])):
            engine.advance(3, lambda: False)
            require(engine.state.finite(), f"weights are not finite after 3 steps of the {engine.name} engine")
        apart, moved = (_distance(states[0], states[i]) for i in (1, 2))
        require(moved > 0, "three steps change nothing")
        require(apart < 1e-8, f"the fast engine differs from the reference by {apart:.2g}; does it draw at random?")


def _distance(first: TrainState, second: TrainState) -> float:
    """Return the largest difference of any trained weight."""
    pairs = [(first.generator, second.generator), (first.discriminator, second.discriminator)]
    return max(
        float((a - b).detach().abs().max())
        for left, right in pairs
        for a, b in zip(left.parameters(), right.parameters(), strict=True)
    )


def loss_checks(entry: Loss, _name: str, _data: DataRoot) -> Iterator[tuple[str, Body]]:
    """Yield the checks of a loss."""

    def outputs(count: int) -> Tensor:
        return torch.randn(3, count, generator=torch.Generator().manual_seed(count), dtype=torch.float64)

    def values() -> None:
        real, fake = (outputs(count).requires_grad_() for count in (8, 6))
        losses = {"D": entry.discriminator(real, fake), "G": entry.of_generator(fake, lambda: real)}
        for role, loss in losses.items():
            shape = tuple(loss.shape)
            require(shape == (3,), f"{role}'s loss of three trials is {shape}, not (3,): take means as .mean(-1)")
            require(bool(loss.isfinite().all()), f"{role}'s loss is not finite")
        for each, what in ((real, "real"), (fake, "fake")):
            (slope,) = torch.autograd.grad(losses["D"].sum(), each, retain_graph=True, allow_unused=True)
            require(slope is not None and bool(slope.isfinite().all()), f"D's loss has no gradient in {what} outputs")
        (slope,) = torch.autograd.grad(losses["G"].sum(), fake, allow_unused=True)
        require(slope is not None and bool(slope.abs().sum() > 0), "G's loss has no gradient in fake outputs")

    def stateless() -> None:
        require(
            not entry.has_state(),
            "it keeps something between calls, which trials would share, or draws other than from torch",
        )

    def own() -> None:
        fault = "the loss of a trial depends on others beside it, or on random numbers"
        require(entry.is_of_each_trial, f"{fault}: take means as .mean(-1), and draw nothing")

    def smooth() -> None:
        real, fake = outputs(8), outputs(6)
        if entry.smoothed is not None:
            same = torch.allclose(entry.smoothed(real, fake, 1.0), entry.discriminator(real, fake))
            require(same, "with the target 1 the smoothed loss differs from the plain one")

    yield "losses are finite and have gradients", values
    yield "it keeps nothing between calls", stateless
    yield "every trial has its own loss", own
    yield "smoothing by nothing changes nothing", smooth


def dataset_checks(entry: Dataset, name: str, data: DataRoot) -> Iterator[tuple[str, Body]]:
    """Yield the checks of a dataset."""

    def described() -> None:
        require(entry.name == name, f'it calls itself "{entry.name}"')
        require("train" in entry.counts, "it has no train split")
        require(entry.channels in (1, 3), f"it has {entry.channels} channels, not 1 or 3")
        known = entry.class_extractor is None or entry.class_extractor in EXTRACTORS
        require(known, f"its class_extractor {entry.class_extractor} is unknown")

    def images() -> None:
        for split, count in entry.counts.items():
            found = load(name, replace(data, given=True), split, entry.size)  # a check downloads nothing
            wanted = (count, entry.channels, entry.size, entry.size)
            shape = tuple(found.images.shape)
            require(shape == wanted, f"{split} images are {shape}, not {wanted}")
            require(found.images.dtype == torch.uint8, f"{split} images are {found.images.dtype}, not uint8")
            require(int(found.images.max()) > 1, f"{split} images hold no value above 1; black is 0 and white is 255")
            labels = [] if found.labels is None else sorted(set(found.labels.tolist()))
            wanted_labels = f"0 to {entry.classes - 1}" if entry.classes else "left out, though it declares no classes"
            require(labels == list(range(entry.classes)), f"{split} labels are not {wanted_labels}")
            again = load(name, replace(data, given=True), split, entry.size)
            require(again.sha256 == found.sha256, f"{split} images differ when they are read again")

    yield "it says what it is", described
    yield "images are what it says, and the same every time", images


def recipe_checks(entry: Recipe, name: str, _data: DataRoot) -> Iterator[tuple[str, Body]]:
    """Yield the checks of a recipe."""

    def values() -> None:
        require(entry.name == name, f'it calls itself "{entry.name}"')
        config = tiny_config(**{**entry.values(), "recipe": name})
        architecture, dataset = ARCHITECTURES[config.architecture], DATASETS[config.dataset]
        LOSSES[config.loss]
        made, given = architecture.image_shape, (dataset.channels, config.image_size, config.image_size)
        require(made == given, f"{config.architecture} makes images of {made}, {config.dataset} has {given}")

    yield "its values fit each other", values


def extractor_checks(entry: ExtractorEntry, name: str, _data: DataRoot) -> Iterator[tuple[str, Body]]:
    """Yield the checks of an extractor."""

    def features() -> None:
        extractor = entry.load(CPU)
        require(extractor.name == name, f'it calls itself "{extractor.name}"')
        require(len(extractor.sha256) == 64, "its sha256 has not 64 digits")
        where = getattr(extractor, "device", None)
        require(where == CPU, f"its device is {where}, and not the one it was loaded for")
        source = torch.Generator().manual_seed(0)
        for shape in ((5, 1, 28, 28), (5, 3, 32, 32), (2, 3, 64, 64)):
            images = torch.randint(0, 256, shape, generator=source, dtype=torch.uint8)
            given = images.clone()
            seen = extractor(given)
            require(torch.equal(given, images), "it writes into the images it is given; begin with images.clone()")
            sizes = tuple(seen.features.shape), tuple(seen.logits.shape)
            wanted = (shape[0], extractor.feature_dim), (shape[0], extractor.classes)
            require(sizes == wanted, f"features and logits of {shape} images are {sizes}, not {wanted}")
            require(bool(seen.features.isfinite().all()), "features are not finite")
            require(not seen.features.requires_grad, "features carry gradients")
            single = torch.cat([extractor(image[None]).features for image in images])
            require(torch.allclose(seen.features, single, rtol=1e-3, atol=1e-4), "features depend on the batch")

    yield "features have their shapes and stand alone", features


def measure_checks(entry: Measure, name: str, _data: DataRoot) -> Iterator[tuple[str, Body]]:
    """Yield the checks of a measure."""

    def setup() -> tuple[Any, Tensor, Tensor]:
        from gan_bench.metrics.features import Features
        from gan_bench.metrics.measures.base import MeasureSetup
        from gan_bench.metrics.reference import compute

        class Fixed:
            name, sha256, feature_dim, classes, device = "fixed", "0" * 64, 6, 4, CPU

            def __call__(self, images: Tensor) -> Features:
                flat = images.flatten(1).double()
                return Features(flat[:, :6], flat[:, 6:10])

        source = torch.Generator().manual_seed(0)
        real = torch.randint(0, 256, (400, 1, 4, 4), generator=source, dtype=torch.uint8)
        held_out = torch.randint(0, 256, (200, 1, 4, 4), generator=source, dtype=torch.uint8)
        reference = compute(real, held_out, "train", Fixed())
        fake = torch.rand(120, 10, generator=source, dtype=torch.float64) * 255
        given = MeasureSetup(
            reference=reference, samples=120, logits=4, seed=0, extractor=entry.extractors or Fixed.name
        )
        return given, fake[:, :6], fake[:, 6:]

    def scores() -> None:
        from pkgutil import resolve_name

        from gan_bench.metrics.measures.base import FeatureMetric

        made = resolve_name(entry.metric)
        require(isinstance(made, type) and issubclass(made, FeatureMetric), f"{entry.metric} is no FeatureMetric")
        given, features, logits = setup()
        whole, parts = made(given), made(given)
        if name not in whole.gives:
            raise DataError(f"{entry.metric} gives {', '.join(whole.gives) or 'nothing'} for plain features")
        whole.update(features, logits)
        for start, stop in ((0, 50), (50, 51), (51, 120)):
            parts.update(features[start:stop], logits[start:stop])
        first, second = whole.compute()[name].value, parts.compute()[name].value
        require(first is not None, "it gives no value for 120 images")
        close = abs(first - second) <= 1e-9 * max(1.0, abs(first))
        require(close, f"in one batch it is {first:.6g}, in three {second:.6g}")
        whole.reset()
        whole.update(features, logits)
        require(whole.compute()[name].value == first, "after reset it differs")
        low, high = entry.bounds
        require(low is None or first >= low, f"{first:.6g} lies below its bound {low}")
        require(high is None or first <= high, f"{first:.6g} lies above its bound {high}")

    def roles() -> None:
        primary = [other for other, measure in MEASURES.items() if "primary" in measure.roles]
        require(len(primary) == 1, f"several measures rank settings: {', '.join(primary)}")

    def named() -> None:
        free = name.isidentifier() and name not in COLUMNS
        require(free, f'"{name}" is a column of tables, or no plain name; choose another')

    yield "its name is free", named
    yield "scores do not depend on batches", scores
    yield "one measure ranks settings", roles
