"""The contracts of what a trial is made of: architectures, losses, datasets and recipes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from gan_bench.config.data_root import DataRoot
from gan_bench.config.recipes import Recipe
from gan_bench.contract.base import CPU, LATENT, Body, require, tiny_config
from gan_bench.data.datasets import DATASETS, Dataset, load
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.models.architectures import ARCHITECTURES, Architecture, fingerprint
from gan_bench.models.initialise import build
from gan_bench.models.losses import LOSSES, Loss
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.state import TrainState


def architecture_checks(entry: Architecture, name: str, _data: DataRoot) -> Iterator[tuple[str, Body]]:
    """Yield the checks of a pair of networks."""
    checks = _ArchitectureChecks(entry, name)
    yield "images and outputs have the right shapes and range", checks.shapes
    yield "in eval mode every image stands alone", checks.alone
    yield "every parameter is used", checks.gradients
    yield "one seed gives one network", checks.same_bits
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

    def saved(self) -> None:
        from safetensors.torch import load as load_tensors
        from safetensors.torch import save as save_tensors

        generator, other = self.networks()[0], self.entry.generator(LATENT)
        tensors = {key: value.detach().contiguous() for key, value in generator.state_dict().items()}
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
            require(tuple(loss.shape) == (3,), f"{role}'s loss of three trials is {tuple(loss.shape)}, not (3,)")
            require(bool(loss.isfinite().all()), f"{role}'s loss is not finite")
        for each, what in ((real, "real"), (fake, "fake")):
            (slope,) = torch.autograd.grad(losses["D"].sum(), each, retain_graph=True, allow_unused=True)
            require(slope is not None and bool(slope.isfinite().all()), f"D's loss has no gradient in {what} outputs")
        (slope,) = torch.autograd.grad(losses["G"].sum(), fake, allow_unused=True)
        require(slope is not None and bool(slope.abs().sum() > 0), "G's loss has no gradient in fake outputs")

    def own() -> None:
        real, fake = outputs(8), outputs(6)
        for index in range(3):
            r, f = real[index], fake[index]
            both = entry.of_generator(fake, lambda: real)[index], entry.of_generator(f, lambda r=r: r)  # type: ignore[misc]
            pairs = ((entry.discriminator(real, fake)[index], entry.discriminator(r, f)), both)
            require(all(torch.allclose(a, b) for a, b in pairs), "the loss of a trial depends on others beside it")

    def smooth() -> None:
        real, fake = outputs(8), outputs(6)
        if entry.smoothed is not None:
            same = torch.allclose(entry.smoothed(real, fake, 1.0), entry.discriminator(real, fake))
            require(same, "with the target 1 the smoothed loss differs from the plain one")

    yield "losses are finite and have gradients", values
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
            if entry.classes:
                labels = [] if found.labels is None else sorted(set(found.labels.tolist()))
                require(labels == list(range(entry.classes)), f"{split} labels are not 0 to {entry.classes - 1}")
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
