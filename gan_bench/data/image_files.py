"""Folders and zip files of images, and how one of them is decoded."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gan_bench.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True)
class Source:
    """An open folder or zip file.

    Attributes:
        names: Names of its images with forward slashes, sorted.
        folders: Names of its folders, as far as they are listed.
        read: Gives the bytes of one.
    """

    names: list[str]
    folders: list[str]
    read: Callable[[str], bytes]

    def empty_folder(self) -> str | None:
        """Return a folder without images beside folders with some: a class that would silently be missing."""
        filled = {
            "/".join(parts[:i]) for name in self.names for parts in [name.split("/")] for i in range(1, len(parts))
        }
        beside = {folder.rpartition("/")[0] for folder in filled}
        return next((f for f in self.folders if f not in filled and f.rpartition("/")[0] in beside), None)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a folder (with its subfolders) or a zip file of images.

    A zip is read member by member and never unpacked, so no member can leave any folder.

    Raises:
        DataError: It is neither, is damaged, or holds names that point outside.
    """
    if path.is_dir():
        files = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}

        def read_file(name: str) -> bytes:
            try:
                return files[name].read_bytes()
            except OSError as error:
                raise DataError(f"the image {path}/{name} cannot be read ({error.strerror})") from None

        folders = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_dir())
        yield Source(_images(files), _visible(folders), read_file)
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; name a folder or zip file of images") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} is neither a folder nor an intact zip file ({error}); get it again") from None
    with archive:
        names = archive.namelist()
        for name in names:
            if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts:
                raise DataError(f"{path} holds {name!r}, a name that leaves its folder; do not use this file")

        def read(name: str) -> bytes:
            try:
                return archive.read(name)
            except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
                raise DataError(f"{path} is damaged at {name} ({error}); get it again") from None

        folders = sorted(name.rstrip("/") for name in names if name.endswith("/"))
        yield Source(_images(names), _visible(folders), read)


def _images(names: object) -> list[str]:
    listed: list[str] = list(names)  # type: ignore[call-overload]
    return sorted(_visible([name for name in listed if PurePosixPath(name).suffix.lower() in ENDINGS]))


def _visible(names: list[str]) -> list[str]:
    """Leave out what systems hide in folders and archives."""
    return [n for n in names if not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(n).parts)]


def decode(data: bytes, name: str, channels: int) -> Image.Image:
    """Decode a image as people see it: EXIF rotation applied, any colour mode, 16 bits scaled to 8.

    Args:
        data: Bytes of the file.
        name: Named in errors.
        channels: 1 for grey, 3 for colour.

    Returns:
        A PIL image of mode L or RGB. Transparency is laid over white.

    Raises:
        DataError: It cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode in _SIXTEEN_BIT:
                wide = np.asarray(image).astype(np.int64)
                image = Image.fromarray((wide // 257).clip(0, 255).astype(np.uint8))
            if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa"):
                over = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
            return image.convert("L" if channels == 1 else "RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        why = "of no known format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"the image {name} cannot be decoded ({why}); repair or remove it") from None


def fit(image: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to ``size`` with PIL's bilinear filter and crop the centre, as torchvision does."""
    width, height = image.size
    if (width, height) == (size, size):
        return image
    resized = (size, int(size * height / width)) if width <= height else (int(size * width / height), size)
    if resized != (width, height):
        image = image.resize(resized, Image.Resampling.BILINEAR)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))
