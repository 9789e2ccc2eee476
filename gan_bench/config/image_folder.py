"""A user's own images as a suite file names them, and the folder of datasets."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from gan_bench.config.trial import LIMITS
from gan_bench.core.errors import UserError
from gan_bench.core.text import as_typed, at_home, odd_path


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
        if folder.exists():
            raise UserError(f"the data folder {folder} is no folder; name the one that it lies in, {folder.parent}")
        where = "--data" if given else "GAN_BENCH_DATA"
        remedy = odd_path(str(folder)) or f"name another with {where} or leave it out"
        raise UserError(f"the data folder {folder} does not exist; {remedy}")
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

    def __post_init__(self) -> None:
        """Refuse values that no suite could name; convert NumPy numbers to Python's.

        Raises:
            UserError: A value is none of those above.
        """
        size, channels = _whole(self.size), _whole(self.channels)
        if size is None or size < 1:
            raise UserError(f"size must be a whole number of pixels from 1 on, got {as_typed(repr(self.size))}")
        if channels not in (1, 3):
            raise UserError(f"channels must be 1 for grey or 3 for colour, got {as_typed(repr(self.channels))}")
        if not isinstance(self.crop, str) or self.crop not in ("center", "none"):
            raise UserError(f"crop must be 'center' or 'none', got {as_typed(repr(self.crop))}")
        if not isinstance(self.unreadable, str) or self.unreadable not in ("stop", "skip"):
            raise UserError(f"unreadable must be 'stop' or 'skip', got {as_typed(repr(self.unreadable))}")
        limits = None if self.range is None else _limits(self.range)
        for name, value in (("size", size), ("channels", channels), ("range", limits)):
            object.__setattr__(self, name, value)


def _whole(value: Any) -> int | None:  # noqa: ANN401 - of any kind
    """Return a whole number of any library as an int, or None."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _limits(given: object) -> tuple[float, float]:
    """Return the values of black and white.

    Raises:
        UserError: They are not two finite numbers, the lower first.
    """
    found = [*given] if isinstance(given, Iterable) else []
    if len(found) == 2 and all(isinstance(each, Real) and not isinstance(each, bool) for each in found):
        with suppress(OverflowError):  # whole numbers beyond the range of floats
            low, high = map(float, found)
            if -math.inf < low < high < math.inf:
                return low, high
    raise UserError(f"range must be two numbers, the lower first, got {as_typed(repr(given))}")


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

    def __post_init__(self) -> None:
        """Refuse values that no suite could name; convert the path to ``Path``.

        Raises:
            UserError: A value is none of those above, or the size is no dataset's.
        """
        if not isinstance(self.name, str) or not self.name:
            raise UserError(f"name must be text, got {as_typed(repr(self.name))}")
        if not isinstance(self.path, (str, bytes, os.PathLike)) or not self.path:
            raise UserError(f"path must name a folder or zip file of images, got {as_typed(repr(self.path))}")
        if not isinstance(self.transform, Transform):
            raise UserError(f"transform must be a Transform, got {as_typed(repr(self.transform))}")
        if self.transform.size > (most := LIMITS["image_size"][1]):
            raise UserError(f"size must be at most {most:,} pixels, got {self.transform.size:,}")
        object.__setattr__(self, "path", Path(at_home(os.fsdecode(self.path))))
