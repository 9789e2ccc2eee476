"""Datasets by name: their files, downloads, and images as uint8 tensors."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_bench.config.image_folder import DataRoot, ImageFolder
from gan_bench.core.errors import DataError, brief
from gan_bench.core.registry import Registry
from gan_bench.core.sources import calling
from gan_bench.core.text import plural, printable
from gan_bench.data.image_folders import count_shared, said_of_shared
from gan_bench.data.readers import (
    CATS_HANDLE,
    CIFAR10_CLASSES,
    cats_source,
    cifar10_source,
    fetch_cats,
    fetch_cifar10,
    fetch_command,
    fetch_mnist,
    mnist_source,
    read_cats,
    read_cifar10,
    read_digits,
    read_mnist,
)
from gan_bench.data.splits import Split


@dataclass(frozen=True)
class ImageSet:
    """A prepared split.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, or None without classes.
        sha256: Digest of the prepared pixels; what a cache of their statistics is keyed by.
    """

    images: Tensor
    labels: Tensor | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset, and how it is read and fetched.

    Attributes:
        name: Its name in recipes and suites.
        description: One line for people.
        channels: 1 for grey, 3 for colour.
        size: Height and width of the images as they come.
        counts: Images per split.
        classes: Number of classes, 0 without; those of a user's images are folders, without labels.
        class_extractor: Name of the shipped extractor that knows these classes, or None.
        prepared_size: Height and width its user asked for, which trials must take as they are; None for any.
        folder: The user's images it stands for, with an absolute path; None for a dataset that is shipped.
        files: What to bring where it cannot be downloaded, for errors.
        read: Reads (images, labels) of a split from the data folder; raises DataError, or a third-party one
            FileNotFoundError, where they are not there.
        fetch: Downloads the files into a folder, or None when there is nothing to download.
        contents: What a user's images are: how many of which class, and what is left out and why, a line each.
        fetch_needs: Module that ``fetch`` needs beside what gan_bench installs, or nothing.
        source: Finds the file or folder that is read in the data folder, for people; raises DataError. None where there
            is none.
    """

    name: str
    description: str
    channels: int
    size: int
    counts: dict[Split, int]
    classes: int
    read: Callable[[Path, Split], tuple[Tensor, Tensor | None]]
    fetch: Callable[[Path], None] | None
    class_extractor: str | None = None
    prepared_size: int | None = None
    folder: ImageFolder | None = None
    files: str = "its files"
    contents: tuple[str, ...] = ()
    fetch_needs: str = ""
    source: Callable[[Path], Path] | None = None

    @property
    def can_fetch(self) -> bool:
        """True if this machine has the packages that the download needs."""
        return self.fetch is not None and (not self.fetch_needs or find_spec(self.fetch_needs) is not None)


def load(name: str, root: DataRoot, split: Split, size: int) -> ImageSet:
    """Prepare a split of a dataset, downloading it first if that is allowed.

    Args:
        name: Dataset name.
        root: The data folder.
        split: ``train`` or ``test``.
        size: Height and width to prepare.

    Raises:
        DataError: Files are missing, damaged or cannot be fetched.
        UserError: No dataset has that name.
    """
    images, labels = _read_or_fetch(DATASETS[name], root, split)
    images = resize(images, size).contiguous()
    if not len(images):
        raise DataError(f"{name} has no {split} images in {root.path}")
    labels = None if labels is None else labels.contiguous()
    return ImageSet(images, labels, hashlib.sha256(images.numpy().data).hexdigest())


def _read_or_fetch(dataset: Dataset, root: DataRoot, split: Split) -> tuple[Tensor, Tensor | None]:
    """Read a split; if that fails, download and read it again, unless the user gave the folder."""
    try:
        return read_split(dataset, root.path, split)
    except DataError:
        if root.given or dataset.fetch is None:
            raise
    fetch(dataset, root.path)
    return read_split(dataset, root.path, split)


def read_split(dataset: Dataset, folder: Path, split: Split) -> tuple[Tensor, Tensor | None]:
    """Read a split from a data folder; nothing is fetched.

    Returns:
        (N, C, H, W) uint8 images, and (N,) labels or None.

    Raises:
        DataError: Files are missing or damaged.
        UserError: A third-party dataset fails, or gives no such images.
    """
    with _asking(dataset, folder):
        images, labels = dataset.read(folder, split)
        if not _is_of_others(dataset):
            return images, labels
        wanted = (dataset.counts.get(split, 0), dataset.channels, dataset.size, dataset.size)
        if _form(images) != (declared := f"torch.uint8 {wanted}"):
            raise TypeError(f"it gives {split} images {_form(images)}, and declares a tensor {declared}")
        if labels is not None and (not isinstance(labels, Tensor) or labels.shape != images.shape[:1]):
            raise TypeError(
                f"it gives {split} labels {_form(labels)}, and must give a tensor ({len(images)},), or None"
            )
        if labels is not None and dataset.classes and not set(labels.tolist()) <= set(range(dataset.classes)):
            raise ValueError(f"it declares {dataset.classes} classes, and gives labels that are not of 0, 1, 2, ...")
        # one that fills the same memory for every split would have its held-out images trained on
        return images.clone(), None if labels is None else labels.clone()


def source_of(dataset: Dataset, folder: Path) -> Path | None:
    """Return the file or folder that is read in a data folder; None where there is none.

    Raises:
        DataError: It is not there, or damaged.
        UserError: A third-party dataset fails.
    """
    with _asking(dataset, folder):
        return Path(dataset.source(folder)) if dataset.source else None


def _is_of_others(dataset: Dataset) -> bool:
    return dataset.name not in DATASETS.shipped() and dataset.folder is None


@contextlib.contextmanager
def _asking(dataset: Dataset, folder: Path) -> Iterator[None]:
    """Turn errors of a third-party dataset into a sentence; for a missing file, with the command that fetches it."""
    if not _is_of_others(dataset):
        yield
        return
    with calling(f'dataset "{dataset.name}"'):
        try:
            yield
        except FileNotFoundError as error:
            if dataset.fetch is None:
                raise
            remedy = "a run without --data fetches it, or name its folder with --data"
            raise DataError(f"{dataset.name} is not in {folder} ({brief(error)}); {remedy}") from error


def _form(given: object) -> str:
    return f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else f"as {type(given).__name__}"


def fetch(dataset: Dataset, folder: Path) -> None:
    """Download a dataset into a folder and check it.

    Raises:
        DataError: The download failed or what arrived is not the dataset.
        UserError: A third-party dataset fails.
    """
    if dataset.fetch is None:
        return
    new = not folder.exists()
    with _asking(dataset, folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            dataset.fetch(folder)
        except DataError:
            raise
        except (OSError, RuntimeError) as error:
            if new:
                _remove_empty(folder)
            why = " ".join(str(error).split())[:300]
            raise DataError(
                f"{dataset.name} could not be downloaded into {folder} ({why}); "
                f"check the connection, or bring {dataset.files} into a folder and name it with --data; "
                "the suite digits needs no download"
            ) from error
    for split in dataset.counts:
        verify(dataset, folder, split)


def verify(dataset: Dataset, folder: Path, split: Split) -> int:
    """Read a split and count its images; MNIST and CIFAR-10 are also compared with their published digests.

    Returns:
        The number of images.

    Raises:
        DataError: Something is missing, damaged or too much.
    """
    images, _ = read_split(dataset, folder, split)
    if len(images) != dataset.counts[split]:
        raise DataError(
            f"{dataset.name} in {folder} has {len(images):,} {split} images, not {dataset.counts[split]:,}; "
            f"get it again with {fetch_command(dataset.name, folder)}"
        )
    return len(images)


def remarks_on(dataset: Dataset, folder: Path, splits: Mapping[Split, Tensor]) -> Iterator[str]:
    """Yield that a dataset has another number of images than it should, or images in two splits.

    Args:
        dataset: The dataset.
        folder: The data folder.
        splits: The images of its splits, of one size; (N, C, H, W) uint8.
    """
    other = [
        f"{plural(len(images), f'{split} image')}, not {dataset.counts[split]:,}"
        for split, images in splits.items()
        if len(images) != dataset.counts[split]
    ]
    if other:
        yield (
            f"{dataset.name} in {printable(str(folder))} has {', and '.join(other)}: scores do not compare with those "
            f"of all {dataset.name}; name the folder of all with --data, or name these images in a suite as its own"
        )
    train, test = splits.get("train"), splits.get("test")
    if train is not None and test is not None and (shared := count_shared(train.numpy(), test.numpy())):
        yield f"{dataset.name} test: {said_of_shared(shared, len(test))}"


def _remove_empty(folder: Path) -> None:
    """Remove the empty folders that a failed download leaves."""
    for path, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(path).rmdir()


_CHUNK = 1000


def resize(images: Tensor, size: int) -> Tensor:
    """Resize square uint8 images as PIL's bilinear filter does, bit for bit when enlarging.

    Args:
        images: (N, C, H, H) uint8.
        size: New height and width.
    """
    if images.shape[-1] == size:
        return images
    resized = torch.empty(*images.shape[:2], size, size, dtype=torch.uint8)
    for start in range(0, len(images), _CHUNK):
        piece = images[start : start + _CHUNK]
        resized[start : start + _CHUNK] = F.interpolate(
            piece, size=(size, size), mode="bilinear", antialias=size < images.shape[-1]
        )
    return resized


_DATASETS = (
    Dataset(
        name="mnist",
        description="handwritten digits (LeCun et al. 1998), 28x28 grey",
        channels=1,
        size=28,
        counts={"train": 60_000, "test": 10_000},
        classes=10,
        read=read_mnist,
        source=mnist_source,
        fetch=fetch_mnist,
        files="its four original files as MNIST/raw/train-images-idx3-ubyte and so on",
        class_extractor="lenet-mnist-v1",
    ),
    Dataset(
        name="digits",
        description="scikit-learn's 1,797 real 8x8 digits, 20x20 inside 28x28 grey as in MNIST; every fifth held out",
        channels=1,
        size=28,
        counts={"train": 1438, "test": 359},
        classes=10,
        read=read_digits,
        fetch=None,
        class_extractor="lenet-mnist-v1",
    ),
    Dataset(
        name="cifar10",
        description="CIFAR-10 (Krizhevsky 2009), 32x32 colour; torchvision's files, or images in class folders",
        channels=3,
        size=32,
        counts={"train": 50_000, "test": 10_000},
        classes=CIFAR10_CLASSES,
        read=read_cifar10,
        source=cifar10_source,
        fetch=fetch_cifar10,
        files="torchvision's cifar-10-batches-py/",
        class_extractor="cifar-v1",
    ),
    Dataset(
        name="cats",
        description=f"cat faces, Kaggle {CATS_HANDLE}, 64x64 colour",
        channels=3,
        size=64,
        counts={"train": 15_747},
        classes=0,
        read=read_cats,
        source=cats_source,
        fetch=fetch_cats,
        files="a folder cats or cats.zip of images",
        fetch_needs="kagglehub",
    ),
)
DATASETS: Registry[Dataset] = Registry("dataset", "datasets", Dataset, {each.name: each for each in _DATASETS})
