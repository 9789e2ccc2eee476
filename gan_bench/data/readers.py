"""The files behind the datasets: read into uint8 tensors, and downloaded."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_bench.config.image_folder import Transform
from gan_bench.core.errors import DataError, brief
from gan_bench.core.text import plural, printable
from gan_bench.data.file_endings import ENDINGS
from gan_bench.data.file_kinds import is_other_archive
from gan_bench.data.image_folders import named_by_no_suite, prepare_images
from gan_bench.data.splits import Split

MNIST_FILES: dict[Split, dict[str, str]] = {
    "train": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    "test": {
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
}
"""SHA-256 of the four original, unpacked files."""


def read_mnist(folder: Path, split: Split) -> tuple[Tensor, Tensor]:
    """Read a split from the four original files, whose digests must be right."""
    raw = mnist_source(folder)
    for name, expected in MNIST_FILES[split].items():
        path = raw / name
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(
                f"MNIST file {path} cannot be read ({error.strerror}); "
                f"{_near(folder, str(path.relative_to(folder)))}"
                "get it with `gan-bench data fetch mnist` or name the right folder with --data"
            ) from None
        if digest != expected:
            raise DataError(
                f"MNIST file {path} is damaged or truncated (its SHA-256 is not the original's); "
                "delete it and get it again with `gan-bench data fetch mnist`"
            )
    from torchvision.datasets.mnist import read_image_file, read_label_file

    images_name, labels_name = MNIST_FILES[split]
    images: Tensor = read_image_file(str(raw / images_name))
    labels: Tensor = read_label_file(str(raw / labels_name))
    return images[:, None], labels.long()


def fetch_mnist(folder: Path) -> None:
    """Download MNIST with torchvision, which tries its mirrors."""
    from torchvision.datasets import MNIST

    MNIST(str(folder), download=True)


def read_digits(folder: Path, split: Split) -> tuple[Tensor, Tensor]:
    """Take scikit-learn's digits; every fifth is held out."""
    grey, labels = _digits()
    held_out = torch.arange(len(grey)) % 5 == 4
    keep = held_out if split == "test" else ~held_out
    box = F.interpolate(grey[keep], size=(20, 20), mode="bicubic")
    return F.pad(box, (4, 4, 4, 4)), labels[keep]


@functools.cache
def _digits() -> tuple[Tensor, Tensor]:
    """Read scikit-learn's digits, which takes 20 ms of parsing text: uint8 (1797, 1, 8, 8), and labels (1797,)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)
    return grey[:, None], torch.from_numpy(bunch.target).long()


def from_images(path: Path, transform: Transform, split: Split | None) -> tuple[Tensor, Tensor | None]:
    """Read a split of a dataset that is a folder or zip file of images, prepared once.

    Args:
        path: The folder or zip file.
        transform: How images become an array.
        split: The split, by the names of folders inside; None takes all images.

    Raises:
        DataError: It is not there, or an image cannot be used.
    """
    prepared = prepare_images(path, split, transform)
    images = torch.from_numpy(prepared.images)
    if prepared.labels is None:
        return images, None
    labels = torch.from_numpy(prepared.labels)
    if split != "test":
        return images, labels
    known = prepare_images(path, "train", transform).classes  # of train, a class has its number in both
    numbers = {name: number for number, name in enumerate(dict.fromkeys((*known, *prepared.classes)))}
    return images, torch.tensor([numbers[name] for name in prepared.classes])[labels]


def _near(folder: Path, *names: str) -> str:
    """Say where data lie that are not where they are read in a data folder, and the remedy; or nothing.

    Args:
        folder: The data folder.
        names: What may lie in it; the last one is missed.
    """
    missing = folder / names[-1]
    for above in Path(os.path.abspath(folder)).parents[: max(1, names[-1].count("/"))]:  # noqa: PTH100 - links stay
        if _holds_any(above, names):
            return f"it is in the folder above: --data {shlex.quote(str(above))}; or "
    for path in _alike(folder, names[-1]):
        target, ending = missing, path.suffix.lower()
        if path == target:
            continue
        while len(path.parts) == len(target.parts) and path.name == target.name:
            path, target = path.parent, target.parent  # noqa: PLW2901 - a folder above is called otherwise
        shown = f"{printable(str(path))} is there"
        if re.search(r"cifar.*[\W_](bin|mat)", path.name.lower()):
            return f"{shown}, of another version than cifar-10-python.tar.gz, which is read; or "
        if path.is_dir() and _holds_any(path, names):
            remedy = f"name it: --data {shlex.quote(str(path))}"
        elif is_other_archive(b"", {ending}):
            remedy = f"unpack it into {missing.parent}"
        else:
            instead = ", in the place of that folder" if target in path.parents else ""
            remedy = f"move it to {target}{ending if ending == '.zip' else ''}{instead}"
        return f"{shown}: if it is meant, {remedy}; or "
    is_source = "/" not in names[-1] and any(path.suffix.lower() in ENDINGS for path in folder.glob("*"))
    return f"if the images in it are meant, move them into {missing}; or " if is_source else ""


def _alike(folder: Path, name: str) -> Iterator[Path]:
    """Yield what lies in a data folder under nearly a name; of one in folders, files alone, even in one of its name."""
    *above, last = name.split("/")
    places = [folder]
    for part in above:
        places += [found for place in places for found in _matching(place, part)]
    for place in reversed(places):
        for path in _matching(place, last):
            found = _matching(path, last) if above and path.is_dir() else [path]
            yield from (each for each in found if not above or each.is_file())


def _matching(folder: Path, name: str) -> list[Path]:
    """Return what lies in a folder and is called so, sorted.

    Case, hyphens, dots and blanks may differ, and more may follow after one of these.
    """
    like = re.compile(r"[\W_]*".join(re.findall(r"[a-z]|\d", name.lower())) + r"(?![a-z\d])", re.ASCII)
    with contextlib.suppress(OSError):
        return [path for path in sorted(folder.iterdir()) if like.match(path.name.lower())]
    return []


def _holds_any(folder: Path, names: Iterable[str]) -> bool:
    """True if a folder holds something of one of some names that is no empty folder."""
    return any((folder / name).exists() and not _is_empty(folder / name) for name in names)


def _find(folder: Path, *names: str) -> Path:
    """Look for a folder of the last name, a zip file of that name, or one of a longer name, in the data folder.

    A letter or digit after the name begins another one: ``cifar100.zip`` is no CIFAR-10.

    Raises:
        DataError: There is none, or there are several of longer names.
    """
    name = names[-1]
    for exact in (folder / name, folder / f"{name}.zip"):
        if exact.exists() and not _is_empty(exact):
            return exact
    longer = sorted(folder.glob(f"{name}[!0-9A-Za-z]*.zip"))
    if len(longer) > 1:
        found = ", ".join(printable(each.name) for each in longer)
        raise DataError(
            f"{folder} has several zip files that may be {name} ({found}); rename the right one to {name}.zip"
        )
    if longer:
        return longer[0]
    raise DataError(
        f"{name} is not in {folder} (neither a folder {' or '.join(names)} with files nor a zip file {name}.zip or "
        f"{name}-*.zip); {_near(folder, f'{name}.zip', *names)}get it with `gan-bench data fetch {name}` or name the "
        "right folder with --data"
    )


def _is_empty(path: Path) -> bool:
    """True for a folder in which nothing is to be seen; one that cannot be read is not, so that reading it says why."""
    try:
        return path.is_dir() and all(each.name.startswith(".") for each in path.iterdir())
    except OSError:
        return False


def mnist_source(folder: Path) -> Path:
    """Return where the files of MNIST lie in the data folder."""
    return folder / "MNIST" / "raw"


def cifar10_source(folder: Path) -> Path:
    """Return the folder or zip file in the data folder that is read as CIFAR-10: torchvision's first."""
    batches = folder / "cifar-10-batches-py"
    return batches if batches.is_dir() else _find(folder, batches.name, "cifar10")


def cats_source(folder: Path) -> Path:
    """Return the folder or zip file in the data folder that is read as the cats."""
    return _find(folder, "cats")


CIFAR10_CLASSES = 10


def read_cifar10(folder: Path, split: Split) -> tuple[Tensor, Tensor]:
    """Read torchvision's CIFAR-10, or images in class folders."""
    source = cifar10_source(folder)
    if source.name != "cifar-10-batches-py":
        with named_by_no_suite():
            images, labels = from_images(source, Transform(size=32, channels=3), split)
        found = 0 if labels is None else len(set(labels.tolist()))
        if labels is None or found != CIFAR10_CLASSES:
            raise DataError(
                f"{source} has {plural(found, 'class folder') if found else 'no class folders'} of {split} images, and "
                f"CIFAR-10 has {CIFAR10_CLASSES}; name the right folder with --data, or run other images as a suite's "
                "own (gan-bench try)"
            )
        return images, labels
    from torchvision.datasets import CIFAR10

    try:  # torchvision compares every file with its MD5 before it reads it
        opened = CIFAR10(str(folder), train=split == "train", download=False)
    except RuntimeError:
        raise DataError(
            f"CIFAR-10 in {folder / 'cifar-10-batches-py'} is incomplete or damaged; "
            "delete it and get it again with `gan-bench data fetch cifar10`"
        ) from None
    return torch.from_numpy(opened.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(opened.targets)


def fetch_cifar10(folder: Path) -> None:
    """Download CIFAR-10 with torchvision."""
    from torchvision.datasets import CIFAR10

    CIFAR10(str(folder), download=True)


CATS_HANDLE = "spandan2/cats-faces-64x64-for-generative-models"


def read_cats(folder: Path, split: Split) -> tuple[Tensor, Tensor | None]:
    """Read the cat faces, a folder or zip file of images."""
    with named_by_no_suite():
        images, _ = from_images(cats_source(folder), Transform(size=64, channels=3), None)
    return images, None


def fetch_cats(folder: Path) -> None:
    """Download the cat faces with kagglehub."""
    try:
        import kagglehub
    except ImportError:
        raise DataError(
            "cats is fetched with kagglehub, which is not installed; `pip install kagglehub` here, or download "
            f"{CATS_HANDLE} from Kaggle and put its zip file into {folder} as cats.zip"
        ) from None
    try:
        found = Path(kagglehub.dataset_download(CATS_HANDLE))
    except Exception as error:  # kagglehub raises many kinds
        raise DataError(f"kagglehub could not download {CATS_HANDLE} ({brief(error)})") from error
    with tempfile.TemporaryDirectory(dir=folder) as aside:  # a copy cut short must not pass for the dataset
        copy = shutil.copytree(found, Path(aside) / "cats")
        copy.rename(folder / "cats")
