"""A user's own images as a suite file names them, and the folder of datasets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gan_bench.core.errors import UserError
from gan_bench.core.text import at_home


@dataclass(frozen=True)
class DataRoot:
    """The folder datasets are read from.

    Attributes:
        path: The folder.
        given: Whether the user named it. A folder that was given is only read; the default one may be filled.
    """

    path: Path
    given: bool


def data_root(given: Path | None) -> DataRoot:
    """Choose the data folder: the one given, else ``$GAN_BENCH_DATA``, else ``data``, which may be filled.

    Raises:
        UserError: The folder that was given does not exist.
    """
    named = str(given) if given else os.environ.get("GAN_BENCH_DATA")
    folder = Path(at_home(named)) if named else None
    if folder is not None and not folder.is_dir():
        where = "--data" if given else "GAN_BENCH_DATA"
        what = "is no folder" if folder.exists() else "does not exist"
        raise UserError(f"the data folder {folder} {what}; name another with {where} or leave it out")
    return DataRoot(folder or Path("data"), folder is not None)


@dataclass(frozen=True, kw_only=True)
class Transform:
    """How images become an array.

    Attributes:
        size: Height and width; the shorter side is scaled to it and the centre cropped.
        channels: 1 for grey, 3 for colour.
        crop: ``none`` refuses images of any other size instead.
        unreadable: Whether an image that cannot be read stops the preparation or is skipped and counted.
        range: Values of greys that become black and white, of those of 8 bits where the second is at most 255; None
            takes what files declare.
    """

    size: int
    channels: int
    crop: Literal["center", "none"] = "center"
    unreadable: Literal["stop", "skip"] = "stop"
    range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """A user's folder or zip file of images, as a suite file names it.

    Attributes:
        name: Dataset name.
        path: The folder or zip file.
        transform: How its images become an array.
    """

    name: str
    path: Path
    transform: Transform
