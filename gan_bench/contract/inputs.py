"""The contracts of datasets and recipes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from gan_bench.config.data_root import DataRoot
from gan_bench.config.recipes import Recipe
from gan_bench.contract.base import Body, require, tiny_config
from gan_bench.data.datasets import DATASETS, Dataset, load
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.models.losses import LOSSES


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
