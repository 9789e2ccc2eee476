"""A user's own folder or zip file of images: registered as a dataset, and inspected for ``try``."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gan_bench.config.image_folder import ImageFolder
from gan_bench.core.errors import DataError, UserError
from gan_bench.core.text import plural, printable
from gan_bench.data.datasets import DATASETS, Dataset
from gan_bench.data.image_files import shorter_side
from gan_bench.data.image_folders import Prepared, count_shared, digests_of_pixels, prepare_images
from gan_bench.data.image_source import open_source
from gan_bench.data.readers import from_images
from gan_bench.data.splits import Layout, Split, layout_of

LEAST_DISTINCT = 4
"""Distinct images that a split needs: precision and recall look at the third neighbour of every image."""


def registered(folder: ImageFolder) -> Dataset | None:
    """Return the dataset registered for a folder, or None.

    Raises:
        UserError: The name belongs to another dataset.
    """
    known = DATASETS.get(folder.name)
    if known and known.folder != _resolved(folder):
        raise UserError(
            f'datasets.{folder.name}: the dataset name "{folder.name}" is taken by '
            f"{known.folder.path if known.folder else 'a built-in dataset'}; choose another in the suite"
        )
    return known


def _resolved(folder: ImageFolder) -> ImageFolder:
    return replace(folder, path=Path(os.path.realpath(folder.path)))


def find_layout(folder: ImageFolder) -> Layout:
    """Find a folder's splits and classes by names; no image is read.

    Raises:
        DataError: It is not there, holds no images, or its folders cannot be told apart.
    """
    with open_source(folder.path) as opened:
        opened.require_images(folder.path)
        return layout_of(opened.names, str(folder.path))


def register_folder(folder: ImageFolder, *, anew: bool = False) -> Dataset:
    """Register a user's images as a dataset: with training and held-out splits if it has them, else all for training.

    Registering the same folder again returns the dataset that is there, unless ``anew``; the images are prepared here,
    so mistakes show at once.

    Args:
        folder: The folder.
        anew: Whether it takes the place of a folder of the user's that has its name, even of itself: an earlier run in
            this process may have had another, or seen other files in it. Pixels that were prepared are not again.

    Raises:
        DataError: There are fewer than ``LEAST_DISTINCT`` different images, or one cannot be used.
        UserError: The name belongs to another dataset; nothing was prepared.
    """
    folder = _resolved(folder)
    if anew and folder.name in DATASETS and DATASETS[folder.name].folder is not None:
        DATASETS.drop(folder.name)
    if known := registered(folder):
        return known

    prepared = prepare_folder(folder)
    dataset = Dataset(
        name=folder.name,
        description=f"images of {printable(str(folder.path))}",
        channels=folder.transform.channels,
        size=folder.transform.size,
        prepared_size=folder.transform.size,
        folder=folder,
        counts={split: len(p.images) for split, p in prepared.items()},
        classes=len(prepared["train"].classes) if len(prepared["train"].classes) > 1 else 0,
        contents=tuple(f"{split}: {line}" for split, found in prepared.items() for line in found.contents()),
        read=lambda _, split: from_images(folder.path, folder.transform, split),
        fetch=None,
    )
    return DATASETS.register(folder.name, dataset)


def prepare_folder(folder: ImageFolder) -> dict[Split, Prepared]:
    """Prepare every split of a user's folder, from the cache if possible; refuse images that no run could use.

    Raises:
        DataError: There are fewer than ``LEAST_DISTINCT`` different images, or one cannot be used.
    """
    folder = _resolved(folder)
    prepared = {split: prepare_images(folder.path, split, folder.transform) for split in find_layout(folder).folders}
    for split, found in prepared.items():
        _check_distinct(found, split, folder)
    if "test" in prepared:
        shared = count_shared(prepared["train"].images, prepared["test"].images)
        prepared["test"] = replace(prepared["test"], shared=shared)
    return prepared


def _check_distinct(prepared: Prepared, split: str, folder: ImageFolder) -> None:
    """Refuse a split in which an image has no third neighbour, which precision and recall ask for."""
    if (found := len(set(digests_of_pixels(prepared.images)))) < LEAST_DISTINCT:
        raise DataError(
            f"{folder.name} has only {plural(found, f'distinct {split} image')} in {folder.path}; scores need "
            f"{LEAST_DISTINCT}, so add more"
        )


SIDE = 8
"""Side to which images are scaled for the comparison, so that compression and scaling hardly matter."""
NEAR = 6.0
"""Root mean square difference, in grey levels of 255, up to which two scaled images may be the same picture."""
OF_CONTRAST = 0.2
"""The same as a fraction of the image's own standard deviation, so that dark and flat images do not all match."""
ALONE, OTHERS = 0.5, 5
"""A copy is nearer than half the distance of the fifth nearest: many handwritten ones are as near as the first."""
PAIRS = 10**9
"""Most pairs of a held-out and a training image that are compared, some ten seconds of two cores."""
COLOURED = 12
"""Difference of two channels, of 255, from which a pixel has colour: JPEG gives grey images up to about 8."""


def sizes_of(source: Path) -> list[int]:
    """Return the shorter sides of the training images of a folder or zip file in pixels, as their headers say."""
    found = []
    with open_source(source) as opened:
        for name in layout_of(opened.names, str(source)).names(opened.names, "train"):
            with suppress(DataError):
                found.append(shorter_side(opened.read(name)))
    return sorted(filter(None, found))


def count_coloured(images: NDArray[np.uint8]) -> int:
    """Count the images (N, 3, H, W) of which one pixel in a hundred has colour."""
    return sum(float((np.ptp(image.astype(np.int16), axis=0) > COLOURED).mean()) > 0.01 for image in images)


def count_near(held_out: NDArray[np.uint8], training: NDArray[np.uint8]) -> tuple[int, int]:
    """Count the held-out images (N, 3, 64, 64) that are the same picture as a training image, or nearly.

    Returns:
        How many are, and how many were compared: all, or as many first ones as make ``PAIRS`` with the training images.
    """
    compared = min(len(held_out), max(1, PAIRS // len(training)))
    small, reference = _scaled(held_out[:compared]), _scaled(training)
    if len(reference) < OTHERS:
        return 0, compared
    near = 0
    piece = max(1, 2**25 // len(reference))
    for some in (small[i : i + piece] for i in range(0, len(small), piece)):
        # Products of matrices find the nearest soon, and their distances hardly: to pixels that are equal it is not 0.
        nearest = torch.cdist(some, reference).topk(min(2 * OTHERS, len(reference)), largest=False).indices
        apart = (some[:, None] - reference[nearest]).square().mean(2).sqrt().sort(1).values
        limits = torch.stack([torch.full((len(some),), NEAR), OF_CONTRAST * some.std(1), ALONE * apart[:, OTHERS - 1]])
        near += int((apart[:, 0] <= limits.amin(0)).sum())
    return near, compared


def _scaled(images: NDArray[np.uint8]) -> torch.Tensor:
    pieces = (torch.from_numpy(np.asarray(images[i : i + 1024])).float() for i in range(0, len(images), 1024))
    return torch.cat([torch.nn.functional.adaptive_avg_pool2d(each, SIDE).flatten(1) for each in pieces])
