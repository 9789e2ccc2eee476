"""A user's own folder or zip file of images, made a dataset."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gan_bench.config.image_folder import ImageFolder
from gan_bench.core.errors import DataError, UserError
from gan_bench.core.text import printable
from gan_bench.data.datasets import DATASETS, Dataset
from gan_bench.data.image_folders import prepare_images
from gan_bench.data.image_source import open_source
from gan_bench.data.readers import from_images
from gan_bench.data.splits import Split, layout_of

LEAST_DISTINCT = 4
"""Distinct images that a split needs: precision and recall look at the third neighbour of every image."""


def register_folder(folder: ImageFolder, *, anew: bool = False) -> Dataset:
    """Make a user's images a dataset: with a training split and a held-out one if it has them, else all for training.

    Registering the same folder again returns the dataset that is there; the images are prepared here, so mistakes
    show at once.

    Args:
        folder: The folder.
        anew: Whether it takes the place of another of the user's folders that has its name: that of an earlier run in
            this process.

    Raises:
        DataError: There are fewer than ``LEAST_DISTINCT`` different images, or one cannot be used.
        UserError: The name belongs to another dataset; nothing was prepared.
    """
    folder = replace(folder, path=Path(os.path.realpath(folder.path)))
    if anew and folder.name in DATASETS and DATASETS[folder.name].folder not in (None, folder):
        DATASETS.drop(folder.name)
    if folder.name in DATASETS:
        known = DATASETS[folder.name]
        _check_same(known, folder)
        return known
    with open_source(folder.path) as opened:
        layout = layout_of(opened.names, str(folder.path))

    def read(data: Path, split: Split) -> tuple[Tensor, Tensor | None]:
        return from_images(folder.name, folder.path, folder.transform, split, data)

    prepared = {split: prepare_images(folder.path, split, folder.transform) for split in layout.splits}
    for split, found in prepared.items():
        _check_distinct(found.images, split, folder)
    dataset = Dataset(
        name=folder.name,
        description=f"images of {printable(str(folder.path))}",
        channels=folder.transform.channels,
        size=folder.transform.size,
        prepared_size=folder.transform.size,
        folder=folder,
        counts={split: len(p.images) for split, p in prepared.items()},
        classes=len(prepared["train"].classes),
        contents=tuple(f"{split}: {line}" for split, found in prepared.items() for line in found.contents()),
        read=read,
        fetch=None,
    )
    return DATASETS.register(folder.name, dataset)


def _check_same(known: Dataset, folder: ImageFolder) -> None:
    """Refuse a folder under the name of another dataset.

    Raises:
        UserError: The dataset of that name is not made from this folder.
    """
    if known.folder is None:
        raise UserError(
            f'datasets.{folder.name}: the dataset name "{folder.name}" is taken by a built-in dataset; '
            "choose another in the suite"
        )
    if known.folder != folder:
        raise UserError(
            f'datasets.{folder.name}: the dataset name "{folder.name}" is taken by {known.folder.path}; '
            "choose another in the suite"
        )


def _check_distinct(images: NDArray[np.uint8], split: str, folder: ImageFolder) -> None:
    """Refuse a split in which an image has no third neighbour, which precision and recall ask for."""
    seen: set[bytes] = set()
    for image in images:
        seen.add(hashlib.sha256(image.tobytes()).digest())
        if len(seen) == LEAST_DISTINCT:
            return
    count = f"{len(seen)} distinct {split} image{'s' if len(seen) > 1 else ''}"
    raise DataError(f"{folder.name} has only {count} in {folder.path}; scores need {LEAST_DISTINCT}, so add more")
