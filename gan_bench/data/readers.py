"""Files of the datasets: downloads, and readers into uint8 tensors."""

from __future__ import annotations

import functools
import hashlib
import shlex
import shutil
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_bench.config.image_folder import Transform
from gan_bench.core.errors import DataError, brief
from gan_bench.core.text import plural, printable
from gan_bench.data.image_folders import named_by_no_suite, prepare_images
from gan_bench.data.image_source import refuse_broken_link
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


def fetch_command(name: str, folder: Path) -> str:
    """Return the command that downloads a dataset, with the folder if it is not the default."""
    to = "" if folder == Path("data") else f" --to {shlex.quote(str(folder))}"
    return f"`gan-bench data fetch {name}{to}`"


def read_mnist(folder: Path, split: Split) -> tuple[Tensor, Tensor]:
    """Read a split from the four original files and check their digests."""
    raw = mnist_source(folder)
    for name, expected in MNIST_FILES[split].items():
        path = raw / name
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            for each in (raw.parent, raw, path):
                refuse_broken_link(each)
            packed = raw / f"{name}.gz"
            remedy = (
                f"get it with {fetch_command('mnist', folder)}, or name the folder that MNIST/raw lies in with --data"
            )
            if isinstance(error, FileNotFoundError) and packed.is_file():
                remedy = f"{packed.name} is there: unpack it with `gunzip -k {shlex.quote(str(packed))}`"
            raise DataError(f"MNIST file {path} cannot be read ({error.strerror}); {remedy}") from None
        if digest != expected:
            raise DataError(
                f"MNIST file {path} is damaged or truncated (its SHA-256 is not the original's); "
                f"delete it and get it again with {fetch_command('mnist', folder)}"
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
    """Read scikit-learn's digits; every fifth is held out."""
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


def from_images(path: Path, transform: Transform, split: Split | None) -> tuple[Tensor, None]:
    """Read a split of a folder or zip file of images, prepared once.

    Args:
        path: The folder or zip file.
        transform: How images become an array.
        split: The split, by the names of folders inside; None takes all images.

    Raises:
        DataError: It is not there, or an image cannot be used.
    """
    return torch.from_numpy(prepare_images(path, split, transform).images), None


def _find(folder: Path, *names: str, packed: str = "") -> Path:
    """Look for a folder of the last name, a zip file of that name, or one of a longer name, in the data folder.

    A letter or digit after the name begins another one: ``cifar100.zip`` is no CIFAR-10.

    Args:
        folder: The data folder.
        names: What folders of the dataset may be called.
        packed: What its download is called, where that must be unpacked.

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
    for each in (*names, f"{name}.zip"):
        refuse_broken_link(folder / each)
    if packed and (folder / packed).is_file():
        quoted = [shlex.quote(str(each)) for each in (folder / packed, folder)]
        raise DataError(f"{name} is packed in {folder / packed}; unpack it with `tar -xzf {quoted[0]} -C {quoted[1]}`")
    raise DataError(
        f"{name} is not in {folder} (neither a folder {' or '.join(names)} with files nor a zip file {name}.zip or "
        f"{name}-*.zip); get it with {fetch_command(name, folder)}, or name the folder that it lies in with --data"
    )


def _is_empty(path: Path) -> bool:
    """True for a folder without visible files; False for an unreadable one, so that reading it gives the reason."""
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
    return batches if batches.is_dir() else _find(folder, batches.name, "cifar10", packed="cifar-10-python.tar.gz")


def cats_source(folder: Path) -> Path:
    """Return the folder or zip file in the data folder that is read as the cats."""
    return _find(folder, "cats")


CIFAR10_CLASSES = 10


def read_cifar10(folder: Path, split: Split) -> tuple[Tensor, Tensor]:
    """Read torchvision's CIFAR-10, or images in class folders."""
    source = cifar10_source(folder)
    if source.name != "cifar-10-batches-py":
        with named_by_no_suite():
            found = prepare_images(source, split, Transform(size=32, channels=3))
        if len(found.classes) != CIFAR10_CLASSES or any(not name or "/" in name for name in found.classes):
            raise DataError(
                f"{source} has {plural(len(found.classes), 'folder')} of {split} images, and CIFAR-10 one for each of "
                f"{CIFAR10_CLASSES} classes; name the right folder with --data, or run other images as a suite's own "
                "(gan-bench try)"
            )
        counts = torch.tensor([*found.classes.values()])
        return torch.from_numpy(found.images), torch.arange(CIFAR10_CLASSES).repeat_interleave(counts)
    from torchvision.datasets import CIFAR10

    try:  # torchvision compares every file with its MD5 before it reads it
        opened = CIFAR10(str(folder), train=split == "train", download=False)
    except RuntimeError:
        raise DataError(
            f"CIFAR-10 in {folder / 'cifar-10-batches-py'} is incomplete or damaged; "
            f"delete it and get it again with {fetch_command('cifar10', folder)}"
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
