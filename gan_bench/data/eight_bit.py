"""One PIL image of any mode -> 8 bits per sample, upright and on white, as viewers show it."""

from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan_bench.core.errors import DataError
from gan_bench.core.text import printable
from gan_bench.data.file_kinds import PNG, formats, without_notes

WIDE = ("I", "I;16", "I;16B", "I;16L", "I;16N", "I;16S", "F")
_WITH_ALPHA = ("P", "PA", "LA", "La", "RGBA", "RGBa")
_KEYED = ("1", "L", "RGB")
"""Modes, besides wide greys, in which a file may name one transparent colour."""
_BITS, _PHOTOMETRIC, _PLANES, _FORMAT, _LEAST, _MOST = 258, 262, 284, 339, 340, 341
"""Tags of TIFF: bits of a sample, whether white is 0, whether each channel stands apart, whether a sample has a sign or
is a float, and the least and greatest value it declares. 280 and 281 are statistics, which no reader may scale by."""
_FULL = frozenset(
    {(-1.0, 1.0)}
    | {(0.0, 2.0**bits - 1) for bits in (1, *range(8, 17), 24, 31, 32)}
    | {(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) for bits in (8, 16, 32)}
)
"""Ranges that a file may declare: the least and greatest value of one image are hardly ever these."""
PNG_BITS = "gan_bench: bits"
"""Key of ``info`` for the bits per sample of a PNG, which Pillow does not give."""
SET_RANGE = "write range: [LOW, HIGH] where a suite names the images"
HEAD = 26
"""First bytes of a file that tell the depth of a PNG, and whether a TGA has an alpha channel."""
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnknownRangeError(DataError):
    """The values of black and white in an image are unknown."""


def as_meant(image: Image.Image, data: bytes) -> Image.Image:
    """Return an image with the transparency of its file, where Pillow misreads it.

    A PNG names its transparent colour in samples of its own depth: Pillow spreads grey samples of 2 and 4 bits to 8,
    and keeps the high byte of colours of 16. A TGA says how many of its bits are alpha, and may have none.

    Args:
        image: As Pillow opened it; it stays as it is.
        data: Its file; fewer bytes than ``HEAD`` tell nothing.
    """
    key = image.info.get("transparency")
    if key is not None and data.startswith(PNG) and len(data) >= HEAD:
        depth = data[24]
        if image.mode == "L" and depth in (2, 4):
            image = image.copy()
            image.info["transparency"] = key * (255 // (2**depth - 1))
        elif image.mode == "RGB" and depth == 16:
            image = _with_alpha(image, data, key)
    has_no_alpha = image.format == "TGA" and len(data) >= HEAD and not data[17] & 15
    if image.mode == "RGBA" and image.format in ("TGA", "BMP", "DIB"):  # many programs write 0 for no alpha
        has_no_alpha = has_no_alpha or image.getchannel("A").getextrema() == (0, 0)
    return image.convert("RGB") if image.mode == "RGBA" and has_no_alpha else image


def _with_alpha(image: Image.Image, data: bytes, key: tuple[int, int, int]) -> Image.Image:
    """Return a 16-bit PNG with 8 bits and an alpha channel for its transparent colour, compared in all 16 bits."""
    low = Image.open(io.BytesIO(without_notes(data)), formats=formats())
    low.tile = [(*tile[:3], "RGB;16L") for tile in low.tile]  # type: ignore[misc]  # the other bytes
    clear = ((np.asarray(image, np.uint16) << 8 | np.asarray(low)) == key).all(-1)
    image = image.copy()
    image.putalpha(Image.fromarray(np.where(clear, np.uint8(0), np.uint8(255))))
    del image.info["transparency"]
    return image


def eight_bit(image: Image.Image, name: str, channels: int, limits: tuple[float, float] | None) -> Image.Image:
    """Bring an image to 8 bits, upright and on white, in grey or RGB.

    Args:
        image: Of any mode.
        name: Named in errors.
        channels: 1 or 3.
        limits: Values of greys that become black and white, those of 8 bits too where the second is at most 255; None
            takes what the file says.

    Raises:
        DataError: The range of a wide grey is not known or given for colours, or Pillow would misread it.
    """
    tags = getattr(image, "tag_v2", {})
    if len(image.getbands()) > 1 and tags.get(_PLANES) == 2 and (tag_number(tags.get(_BITS)) or 8) > 8:
        raise DataError(  # Pillow reads other values without an error
            f"the image {printable(name)} keeps colours of more than 8 bits in planes, which is not read here; save it "
            "with 8 bits, or as PNG"
        )
    image.load()
    key = image.info.get("transparency")
    method = None
    with contextlib.suppress(SyntaxError, struct.error, ValueError, TypeError, KeyError):  # of notes that are damaged
        method = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    sample, bits = tag_number(tags.get(_FORMAT, 1)), tag_number(tags.get(_BITS))
    is_signed = image.mode == "L" and sample == 2
    if limits is not None and not is_signed and image.mode not in (*WIDE, "1"):
        key = key if image.mode == "L" else None
        image = _grey_of(image, name, limits, bits or image.info.get(PNG_BITS, 8))
    is_wide = image.mode in WIDE or is_signed or (limits is not None and limits[1] <= 255 and image.mode == "L")
    known = _declared_range(image) if limits is None and image.mode in WIDE else limits
    is_negative = tag_number(tags.get(_PHOTOMETRIC, 1)) == 0 and image.mode in WIDE
    if method is not None:
        image = image.transpose(method)
    if is_wide:
        wide = np.array(image)
        if is_signed:
            wide = wide.view(np.int8)
        elif image.mode == "I" and (bits, sample) == (32, 1):  # Pillow has no mode for them
            wide = wide.view(np.uint32)
        clear = wide == key if isinstance(key, int) else None
        grey = _scaled_to_bytes(wide, known, name)
        grey = 255 - grey if is_negative else grey  # Pillow turns those of 8 bits alone
        image = Image.fromarray(grey if clear is None else np.where(clear, np.uint8(255), grey))
    elif (over := with_alpha(image, key)) is not None:
        image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    if channels == 1 and image.mode not in ("1", "L", "RGB", "RGBA"):
        image = image.convert("RGB")  # not every colour space has a way to grey
    return image.convert("L" if channels == 1 else "RGB")


def with_alpha(image: Image.Image, key: object) -> Image.Image | None:
    """Return an 8-bit image as RGBA if it may be transparent, else None.

    Args:
        image: As it is meant.
        key: The transparent colour that its file names, or None.
    """
    if image.mode not in _WITH_ALPHA and (image.mode not in _KEYED or key is None):
        return None
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _grey_of(image: Image.Image, name: str, limits: tuple[float, float], bits: float) -> Image.Image:
    """Return an image that Pillow reads with 8 bits as the grey whose range is given.

    Args:
        image: Of no wide grey.
        name: Named in errors.
        limits: Values that become black and white; where the second is above 255, no grey of 8 bits is meant.
        bits: Bits of a sample in its file.

    Raises:
        DataError: It has colours or transparency, or values above the range: it is not of the kind that was meant.
    """
    if image.mode != "L":
        bands = [np.asarray(band) for band in image.convert("RGBA").split()]
        differ = any((band != bands[0]).any() for band in bands[1:3]) or (bands[3] < 255).any()
        if differ or bits > 8:  # of colours Pillow keeps the first 8 bits, and others may differ
            raise DataError(
                f"the image {printable(name)} has colours or transparency, and range: is of greys; make it grey, or "
                "leave range: out"
            )
        image = Image.fromarray(bands[0])
    if limits[1] <= 255 and (most := int(np.asarray(image).max())) > limits[1]:
        raise DataError(
            f"the image {printable(name)} holds values up to {most}, above those of range: [{limits[0]:g}, "
            f"{limits[1]:g}]; keep images of one range, or give one that holds all"
        )
    return image


def _declared_range(image: Image.Image) -> tuple[float, float] | None:
    """Return the values of black and white of a wide grey, if the file or its format defines them."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return None if image.mode == "F" else (0, 65_535)  # of a PNG; PGM files are scaled to 16 bits when opened
    bits, sample = tag_number(tags.get(_BITS, 0)) or 0, tag_number(tags.get(_FORMAT, 1))
    if sample == 1 and bits <= 16 and image.mode != "F":
        return (0, 2.0**bits - 1)
    declared = tag_number(tags.get(_LEAST, 0)) or 0, tag_number(tags.get(_MOST)) or 0
    # Many programs write what the image holds, by which each image would be stretched in its own way.
    return declared if declared in _FULL else None


def tag_number(value: object) -> float | None:
    """Return the first number of a tag, or None if there is none."""
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        return float(first)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _scaled_to_bytes(values: NDArray[np.generic], limits: tuple[float, float] | None, name: str) -> NDArray[np.uint8]:
    """Scale wide greys to 8 bits.

    Raises:
        UnknownRangeError: Their range is not known.
    """
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        raise ValueError("NaN or infinite pixels")
    if limits is None and values.dtype.kind == "f" and wide.min() >= 0 and wide.max() <= 1:
        limits = (0, 1)  # as floats are kept; none of 0 to 255, as a dark one of them would be taken for these
    if limits is None:
        raise UnknownRangeError(
            f"the image {printable(name)} holds numbers from {wide.min():g} to {wide.max():g} and does not say which "
            f"are black and white; {SET_RANGE}, or save them with 8 bits"
        )
    low, high = limits
    return np.asarray(((wide - low) / (high - low) * 255).clip(0, 255).round(), dtype=np.uint8)
