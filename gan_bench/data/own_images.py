"""A user's own folder or zip file of images: made a dataset, and inspected before anything is proposed for it."""

from __future__ import annotations

import hashlib
import os
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan_bench.config.image_folder import ImageFolder
from gan_bench.core.errors import DataError, UserError
from gan_bench.core.preparing import report_progress
from gan_bench.core.text import plural, printable
from gan_bench.data.datasets import DATASETS, Dataset
from gan_bench.data.image_files import decode, is_transparent, more_frames
from gan_bench.data.image_folders import (
    FRAMES,
    NESTED,
    Prepared,
    count_shared,
    darkness,
    digests_of_pixels,
    prepare_images,
    without_copies,
)
from gan_bench.data.image_source import ImageSource, open_source
from gan_bench.data.readers import from_images
from gan_bench.data.splits import Layout, Split, layout_of

LEAST_DISTINCT = 4
"""Distinct images that a split needs: precision and recall look at the third neighbour of every image."""


def registered(folder: ImageFolder) -> Dataset | None:
    """Return the dataset that a folder was made, or None.

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
    """Find a folder's splits and classes by the names in it; no image is read.

    Raises:
        DataError: It is not there, holds no images, or its folders cannot be told apart.
    """
    with open_source(folder.path) as opened:
        opened.require_images(folder.path)
        return layout_of(opened.names, str(folder.path))


def register_folder(folder: ImageFolder, *, anew: bool = False) -> Dataset:
    """Make a user's images a dataset: with a training split and a held-out one if it has them, else all for training.

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
    """Prepare every split of a user's folder, from the cache when it has them; what no run can use is refused.

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
    seen: set[bytes] = set()
    for digest in digests_of_pixels(prepared.images):
        seen.add(digest)
        if len(seen) == LEAST_DISTINCT:
            return
    count = plural(len(seen), f"distinct {split} image")
    why = darkness(prepared.brightest)
    if not why and prepared.white == len(prepared.images):
        why = "all are white; what is transparent is laid over white"
    remedy = f": {why}" if why else f"; scores need {LEAST_DISTINCT}, so add more"
    raise DataError(f"{folder.name} has only {count} in {folder.path}{remedy}")


SIDE = 8
"""Images are compared after scaling to so many pixels square, where compression and scaling hardly show."""
NEAR = 6.0
"""Root mean square difference, in grey levels of 255, up to which two scaled images may be the same picture."""
OF_CONTRAST = 0.2
"""The same as a share of the image's own standard deviation, so that dark and flat images are not all alike."""
ALONE, OTHERS = 0.5, 5
"""A copy is nearer than half the distance of the fifth nearest: many handwritten ones are as near as the first.

Of 500 cats, copies at half the size and JPEG quality 50 were found in 99 %, at quality 30 in 99.6 %, larger ones in
all; of CIFAR-10 40 %, 86 % and all. Of 1,000 images of either none was called a copy of another; of handwritten ones
1.5 %.
"""
COMPARED = 5_000
"""Most images of a split that are compared with the other."""
COLOURED = 12
"""Difference of two channels, of 255, from which a pixel has colour: JPEG gives grey images up to about 8."""
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in a folder or zip file of images.

    Attributes:
        classes: Images that can be used, by split, then by the folder that they lie in.
        left_out: How many files are in no split or no images, by reason.
        unreadable: Images that cannot be used, by name, with the reason.
        kinds: Usable images by the ending of their names.
        sides: Shorter sides of usable images in pixels, with how many have each.
        square: How many are square.
        elongated: How many are more than twice as long as wide, or as wide as long.
        coloured: How many have colour.
        distinct: How many different images, by their pixels, each split has.
        shared: Held-out images that are also among the training images, or nearly so: their name, and the other's.
        compared: Whether all held-out images were compared with all training images.
        brightest: The greatest value of all images.
        transparent: How many have pixels that are transparent.
    """

    classes: Mapping[Split, Mapping[str, int]]
    left_out: Mapping[str, int]
    unreadable: Mapping[str, str]
    kinds: Mapping[str, int]
    sides: Mapping[int, int]
    square: int
    elongated: int
    coloured: int
    distinct: Mapping[Split, int]
    shared: tuple[tuple[str, str], ...]
    compared: bool
    brightest: int
    transparent: int

    @property
    def usable(self) -> int:
        """How many images can be used."""
        return sum(map(self.count, self.classes))

    def count(self, split: Split) -> int:
        """Return how many images of a split can be used."""
        return sum(self.classes.get(split, {}).values())

    @property
    def copies(self) -> int:
        """How many have the pixels of an earlier one of their split."""
        return self.usable - sum(self.distinct.values())

    @property
    def median_side(self) -> int:
        """The median of the shorter sides."""
        return statistics.median_high(Counter(self.sides).elements())


@dataclass(frozen=True)
class _Seen:
    """One image as it was looked at."""

    name: str
    why: str = ""
    more_frames: int = 0
    brightest: int = 0
    size: tuple[int, int] = (0, 0)
    coloured: bool = False
    transparent: bool = False
    pixels: bytes = b""
    small: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


def inspect_images(source: Path, size: int | None = None, limits: tuple[float, float] | None = None) -> Inspection:
    """Look at every image of a folder or zip file; nothing is written.

    Args:
        source: The folder or zip file.
        size: What shorter sides will be scaled to; images that are too long then cannot be used.
        limits: Values of greys that become black and white, in place of what files declare, as ``decode`` takes them.

    Raises:
        DataError: It is neither, holds no images, or it cannot be told whether its folders are splits or classes.
    """
    with open_source(source) as opened:
        opened.require_images(source)
        layout = layout_of(opened.names, str(source))
        top = Path(os.path.realpath(source))
        single = {split: without_copies(top, opened, layout.names(opened.names, split)) for split in layout.folders}
        seen = {split: list(_seen(opened, names, split, size, limits)) for split, (names, _) in single.items()}
    usable = {split: [each for each in found if not each.why] for split, found in seen.items()}
    images = [each for found in usable.values() for each in found]
    classes = {split: Counter(layout.class_of(each.name) for each in found) for split, found in usable.items()}
    more = {FRAMES: sum(each.more_frames for each in images), NESTED: sum(copies for _, copies in single.values())}
    whole = all(len(found) <= COMPARED for found in usable.values())
    return Inspection(
        classes={
            split: {name or source.name or top.name: n for name, n in found.items()} for split, found in classes.items()
        },
        left_out={**opened.left_out, **layout.left_out, **{reason: count for reason, count in more.items() if count}},
        unreadable={each.name: each.why for found in seen.values() for each in found if each.why},
        kinds=Counter(os.path.splitext(each.name)[1].lower() for each in images),  # noqa: PTH122 - a name in a zip
        sides=Counter(min(each.size) for each in images),
        square=sum(each.size[0] == each.size[1] for each in images),
        elongated=sum(max(each.size) > 2 * min(each.size) for each in images),
        coloured=sum(each.coloured for each in images),
        distinct={split: len({each.pixels for each in found}) for split, found in usable.items()},
        shared=tuple(shared_images(usable.get("test", [])[:COMPARED], usable.get("train", [])[:COMPARED])),
        compared=whole,
        brightest=max((each.brightest for each in images), default=255),
        transparent=sum(each.transparent for each in images),
    )


def _seen(
    opened: ImageSource, names: list[str], split: Split, size: int | None, limits: tuple[float, float] | None
) -> Iterator[_Seen]:
    """Yield every image as it was looked at, in the order of the names."""

    def look(name: str) -> _Seen:
        try:
            data = opened.read(name)
            image = decode(data, name, 3, limits, size)
        except DataError as error:
            return _Seen(name, why=str(error))
        small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
        digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest()
        return _Seen(
            name=name,
            more_frames=more_frames(data),
            brightest=int(np.asarray(image).max()),
            size=image.size,
            coloured=_has_colour(image),
            transparent=is_transparent(data, name),
            pixels=digest,
            small=small.reshape(-1),
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(names), _CHUNK):  # few at a time: they are large
            report_progress(f"looking at the {split} images", start / len(names))
            yield from pool.map(look, names[start : start + _CHUNK])


def _has_colour(image: Image.Image) -> bool:
    """True if one pixel in a hundred has colour, of at most 64x64."""
    small = image.copy()
    small.thumbnail((64, 64))
    values = np.asarray(small, dtype=np.int16)
    return float(((values.max(-1) - values.min(-1)) > COLOURED).mean()) > 0.01


def shared_images(held_out: list[_Seen], training: list[_Seen]) -> Iterator[tuple[str, str]]:
    """Yield held-out images that are the same picture as a training image, or nearly, each with the nearest one."""
    if not held_out or not training:
        return
    reference = np.stack([each.small for each in training])
    lengths = (reference**2).sum(1)
    for start in range(0, len(held_out), _CHUNK):
        block = held_out[start : start + _CHUNK]
        small = np.stack([each.small for each in block])
        squares = (small**2).sum(1)[:, None] + lengths - 2 * small @ reference.T
        order = np.argpartition(squares, min(OTHERS, len(training)) - 1, axis=1)[:, :OTHERS]
        for each, mine, near in zip(block, small, order, strict=True):
            apart = np.sqrt(((mine - reference[near]) ** 2).mean(1))  # exact, where the matrix is rounded
            first = int(apart.argmin())
            other, distance = training[int(near[first])], float(apart[first])
            limit = min(NEAR, OF_CONTRAST * float(mine.std()), ALONE * float(apart.max()))
            if each.pixels == other.pixels or (len(training) >= OTHERS and distance <= limit):
                yield each.name, other.name
