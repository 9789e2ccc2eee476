"""Folders and zip files of pictures -> uint8 tensors."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from gan_bench.datasets import Pictures
from gan_bench.errors import DataError

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L")

Member = tuple[str, Callable[[], bytes]]


def members(path: Path) -> Iterator[Member]:
    """Yield the pictures of a folder (with its subfolders) or a zip file, in the order of their names.

    A zip is read member by member and never unpacked, so no member can leave any folder.

    Args:
        path: The folder or zip file.

    Yields:
        Each picture's name and a function that reads its bytes.

    Raises:
        DataError: It is neither, or is damaged.
    """
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file()):
            yield str(file.relative_to(path)), file.read_bytes
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if PurePosixPath(name).suffix.lower() in ENDINGS and not name.startswith("__MACOSX/"):
                    yield name, lambda name=name: archive.read(name)  # type: ignore[misc]
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; name a folder or zip file of pictures") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} is neither a folder nor an intact zip file ({error}); get it again") from None


def decode(data: bytes, name: str, channels: int) -> Image.Image:
    """Decode a picture as people see it: EXIF rotation applied, any colour mode, 16 bits scaled to 8.

    Args:
        data: Bytes of the file.
        name: Named in errors.
        channels: 1 for grey, 3 for colour.

    Returns:
        A PIL picture of mode L or RGB.

    Raises:
        DataError: It cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode in _SIXTEEN_BIT:
                picture = Image.fromarray((np.asarray(picture).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
            if picture.mode in ("P", "PA", "LA", "La"):
                picture = picture.convert("RGBA")
            return picture.convert("L" if channels == 1 else "RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"the picture {name} cannot be decoded ({error}); repair or remove it") from None


def fit(picture: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to ``size`` with PIL's bilinear filter and crop the centre, as torchvision does."""
    width, height = picture.size
    if (width, height) == (size, size):
        return picture
    scale = size / min(width, height)
    resized = (size, int(size * height / width)) if width <= height else (int(size * width / height), size)
    picture = picture.resize(resized, Image.Resampling.BILINEAR) if scale != 1 else picture
    left, top = round((picture.width - size) / 2), round((picture.height - size) / 2)
    return picture.crop((left, top, left + size, top + size))


def read_pictures(path: Path, channels: int, size: int | None = None) -> Pictures:
    """Read all pictures of a folder or zip file.

    Args:
        path: The folder or zip file.
        channels: 1 for grey, 3 for colour.
        size: Height and width to prepare; None keeps pictures that all have one size.

    Returns:
        The pictures, without labels.

    Raises:
        DataError: There are none, one cannot be decoded, or sizes differ and none was asked for.
    """
    arrays: list[NDArray[np.uint8]] = []
    first = ""
    for name, read in members(path):
        picture = decode(read(), f"{path}/{name}", channels)
        array = np.asarray(picture if size is None else fit(picture, size))
        if arrays and array.shape != arrays[0].shape:
            raise DataError(
                f"{path} holds pictures of different sizes ({first} and {name}); give a size to bring them to"
            )
        first = first or name
        arrays.append(array)
    if not arrays:
        raise DataError(f"{path} holds no pictures ({', '.join(sorted(ENDINGS))})")
    stacked = torch.from_numpy(np.stack(arrays))
    images = stacked[:, None] if channels == 1 else stacked.permute(0, 3, 1, 2)
    images = images.contiguous()
    return Pictures(images, None, hashlib.sha256(images.numpy().data).hexdigest())
