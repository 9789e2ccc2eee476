"""Images in memory, of any kind -> (N, C, H, W) uint8, or one sentence about what they are."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gan_bench.core.caller import warn_caller
from gan_bench.core.errors import DataError, UserError, brief
from gan_bench.core.text import plural
from gan_bench.data.eight_bit import WIDE, UnknownRangeError, as_meant, eight_bit
from gan_bench.data.image_folders import DARK
from gan_bench.pillow_settings import pillow_defaults

_WHAT = "images must be (N, 1 or 3, size, size): uint8, or float in [-1, 1]"
_REMEDY = "pass images alone: one array or tensor, or a list of those (C, H, W) or of PIL images"


_ROUNDING = 1e-3
"""How far floats may lie outside of [-1, 1]: a resize or half precision gives 1.0000001 and 1.0005."""
_PIECE = 256
"""Images that are scaled at a time: float64 copies of all of them would take eight times their memory."""


def as_uint8(given: Any, value_range: tuple[float, float] | None = None) -> Tensor:  # noqa: ANN401 - of any kind
    """Convert images to uint8 if their range is unambiguous.

    Args:
        given: An array or tensor (N, C, H, W), or a sequence of arrays and tensors (C, H, W) or of PIL images.
        value_range: Values that are black and white; None takes whole numbers as they are, and floats as [-1, 1].
            Truth values are black and white of themselves.

    Returns:
        (N, C, H, W) uint8.

    Raises:
        UserError: It is none of these, holds NaN, or does not say which values are black and white.
    """
    if value_range is not None and not -math.inf < value_range[0] < value_range[1] < math.inf:
        raise UserError(f"value_range is two numbers, the lower first, not {value_range}")
    left = value_range
    if isinstance(given, (Tensor, np.ndarray)):
        array = _array(given)
    else:
        parts = [given] if isinstance(given, Image.Image) else _items_of(given)
        if parts and all(isinstance(each, Image.Image) for each in parts):
            parts, left = _read_pictures(parts, value_range)
        array = _stacked(parts)
    if array.dtype.kind not in "buif":
        raise UserError(f"{_WHAT}, got {array.dtype}; {_REMEDY}")
    _check_shape(array.shape)
    if array.dtype.kind == "f" and (bad := sum(not np.isfinite(image).all() for image in array)):
        raise UserError(
            f"{bad} of {len(array)} images hold NaN or infinite values, as those of a generator that diverged do; "
            "leave them out or train it again"
        )
    found = _converted(array, left)
    if remark := _darkness(int(found.max()), value_range, is_bytes=array.dtype == np.uint8):
        warn_caller(remark)
    return found


def _converted(array: NDArray[Any], value_range: tuple[float, float] | None) -> Tensor:
    if array.dtype.kind == "b":
        return torch.from_numpy(np.ascontiguousarray(array).astype(np.uint8) * np.uint8(255))
    if value_range is not None:
        _check_within(array, *value_range)
        return _to_bytes(array, *value_range)
    if array.dtype.kind in "ui":
        return _of_whole_numbers(array)
    least, most = float(array.min()), float(array.max())
    if max(-least, most) > 1 + _ROUNDING:
        raise UserError(
            f"{_WHAT}, got {array.dtype} from {least:.8g} to {most:.8g}; name what is black and white with "
            "value_range=(LOW, HIGH)"
        )
    if least >= 0 and most > 0:
        warn_caller(
            "no value of the images is below 0, and they are taken to be in [-1, 1]; if they are in [0, 1], pass "
            "value_range=(0, 1)"
        )
    return _to_bytes(array, -1.0, 1.0)


def _darkness(brightest: int, value_range: tuple[float, float] | None, *, is_bytes: bool) -> str:
    """Return that images are black or nearly so, and the remedy, as for folders; empty if they are not."""
    if brightest >= DARK:
        return ""
    if brightest == 1 and is_bytes and value_range is None:
        return (
            "no value of the images is above 1, and they are taken to be of 0 to 255, black; if 1 is white, pass "
            "value_range=(0, 1)"
        )
    named = "" if value_range is None else " in value_range=({:g}, {:g})".format(*value_range)
    return (
        f"no value of the images is above {brightest} of 255{named}, so they are {'nearly ' * (brightest > 1)}black; "
        "if they use a part of their range, such as 12 of 16 bits, name it with value_range=(LOW, HIGH)"
    )


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) == 4 and not shape[0]:
        raise UserError("there are no images; give at least two")
    if len(shape) != 4 or shape[1] not in (1, 3) or shape[2] != shape[3] or not shape[2]:
        raise UserError(f"{_WHAT}, got {tuple(shape)}{_hint(shape)}")


def _hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] not in (1, 3) and shape[1] == shape[2]:
        return "; of grey images x[:, None] adds the channel"
    if len(shape) == 4 and shape[1] == 4:
        return "; lay what is transparent over white, or leave it out: [each[:3] for each in x]"
    one = "; x[None] makes a set of one image" if len(shape) == 3 and {shape[0], shape[2]} & {1, 3} else ""
    is_last = len(shape) in (3, 4) and shape[-1] in (1, 3, 4)
    if len(shape) == 4 and shape[1] in (1, 3) and shape[2] and shape[3] and not is_last:
        return "; crop them to squares, or save them as files, which size= scales and crops"
    return f"{one}; channels come before height and width" if is_last else one


def _of_whole_numbers(array: NDArray[Any]) -> Tensor:
    if array.dtype == np.uint8:
        return torch.from_numpy(np.require(array, requirements=["C", "W"]))  # torch warns of memory it may not write
    least, most = int(array.min()), int(array.max())
    if array.dtype.itemsize == 2 or least < 0 or most > 255 or most <= 1:  # sixteen bits, or ones that may be white
        raise UserError(
            f"{_WHAT}, got {array.dtype} from {least} to {most}; name what is black and white with "
            "value_range=(LOW, HIGH)"
        )
    return torch.from_numpy(array.astype(np.uint8))


def _check_within(array: NDArray[Any], low: float, high: float) -> None:
    """Refuse values outside of the given range, up to the rounding of an 8-bit level."""
    least, most = float(array.min()), float(array.max())
    if max(low - least, most - high) > (high - low) / 255:
        raise UserError(
            f"the images hold values from {least:g} to {most:g}, outside of value_range=({low:g}, {high:g}); name what "
            "is black and white in them, or clip them"
        )


def _to_bytes(array: NDArray[Any], low: float, high: float) -> Tensor:
    made = np.empty(array.shape, dtype=np.uint8)
    for start in range(0, len(array), _PIECE):
        wide = array[start : start + _PIECE].astype(np.float64)
        made[start : start + _PIECE] = ((wide - low) / (high - low) * 255).round().clip(0, 255)
    return torch.from_numpy(made)


def _array(given: Tensor | NDArray[Any]) -> NDArray[Any]:
    if isinstance(given, Tensor):
        try:
            tensor = given.detach().cpu().resolve_conj().resolve_neg()
            is_narrow = tensor.dtype.is_floating_point and tensor.dtype not in (torch.float32, torch.float64)
            return np.asarray(tensor.float() if is_narrow else tensor)
        except (TypeError, RuntimeError) as error:  # sparse, quantized, without values, or of no such numbers
            raise UserError(
                f"{_WHAT}, got a tensor that NumPy cannot hold ({brief(error)}); make it a dense one of plain numbers"
            ) from None
    if isinstance(given, np.ma.MaskedArray) and np.ma.getmaskarray(given).any():
        raise UserError(f"{_WHAT}, got a masked array; call filled(VALUE) on it")
    # in the byte order of this machine, which torch asks for
    return given if given.dtype.isnative else given.astype(given.dtype.newbyteorder("="))


def _items_of(given: Any) -> list[Any]:  # noqa: ANN401 - of any kind
    """Return the items of a sequence; one with ``__len__`` and ``__getitem__`` alone is read to its length.

    Raises:
        UserError: It is no sequence, or one of no images.
    """
    if given is None or isinstance(given, (bytes, Mapping, set, int, float)):
        raise UserError(f"{_WHAT}, got {type(given).__name__}; {_REMEDY}")
    try:
        if not hasattr(given, "__iter__") and hasattr(given, "__len__") and hasattr(given, "__getitem__"):
            return [given[i] for i in range(len(given))]
        return list(given)
    except (TypeError, NotImplementedError):  # the latter of a memoryview of several dimensions
        raise UserError(f"{_WHAT}, got {type(given).__name__}; {_REMEDY}") from None


def _read_pictures(
    pictures: Sequence[Image.Image], value_range: tuple[float, float] | None
) -> tuple[list[NDArray[np.uint8]], tuple[float, float] | None]:
    """Read PIL images as their files would be, and return the value range that remains to be applied."""
    grey = all(picture.mode in ("1", "L", "LA", *WIDE) for picture in pictures)
    is_wide = any(picture.mode in WIDE for picture in pictures)
    read = [
        _read_picture(picture, number, 1 if grey else 3, value_range if is_wide else None)
        for number, picture in enumerate(pictures)
    ]
    if white := sum(each.size > 0 and int(each.min()) == 255 for each in read):
        are = "are" if white > 1 else "is"
        warn_caller(f"{plural(white, 'image')} {are} white all over; what is transparent is laid over white")
    return [each[None] if grey else each.transpose(2, 0, 1) for each in read], None if is_wide else value_range


def _read_picture(
    picture: Image.Image, number: int, channels: int, limits: tuple[float, float] | None
) -> NDArray[np.uint8]:
    """Read one PIL image; integers made in memory may be bytes, as in arrays.

    Raises:
        UserError: It cannot be read, or which of its values are black and white is not known.
    """
    try:
        if picture.mode in WIDE and picture.mode != "F" and picture.format is None and limits is None:
            is_bytes = 1 < np.asarray(picture).max() <= 255 and np.asarray(picture).min() >= 0
            limits = (0, 255) if is_bytes and picture.mode == "I" else None
            if limits is None:
                raise UnknownRangeError(f"the image number {number} holds whole numbers of no known range")
        data = _file_of(picture)  # read before loading, which may close the file
        with pillow_defaults():
            picture.load()
            return np.asarray(eight_bit(as_meant(picture, data), f"number {number}", channels, limits))
    except UnknownRangeError as error:
        told = str(error).partition(";")[0]
        raise UserError(f"{told}; name what is black and white with value_range=(LOW, HIGH)") from None
    except DataError as error:
        raise UserError(str(error).replace("range: [", "value_range [").replace("range:", "value_range")) from None
    except Exception as error:  # PIL raises any kind for damaged or closed images
        if "closed" in str(error) or (getattr(picture, "tile", None) and getattr(picture, "fp", None) is None):
            raise UserError(
                f"the file of the image number {number} was closed before it was read; open it without `with`, or call "
                "load() on it first"
            ) from None
        raise UserError(f"the image number {number} cannot be read ({brief(error)}); leave it out") from None


def _file_of(picture: Image.Image) -> bytes:
    """Return the file that a PIL image was opened from, if its kind needs it and it can still be read."""
    if picture.format not in ("PNG", "TGA"):
        return b""
    file = getattr(picture, "fp", None)
    with contextlib.suppress(Exception):  # a file of any kind, closed or gone
        if file is None:
            return Path(picture.filename).read_bytes()  # type: ignore[attr-defined]
        at = file.tell()
        try:
            file.seek(0)
            return bytes(file.read())
        finally:
            file.seek(at)
    return b""


def _stacked(parts: Sequence[Any]) -> NDArray[Any]:
    if not parts:
        raise UserError(f"{_WHAT}, got none")
    if not all(isinstance(part, (Tensor, np.ndarray)) for part in parts):
        kinds = sorted({type(part).__name__ for part in parts})
        raise UserError(f"{_WHAT}, got a {type(parts).__name__} of {', '.join(kinds[:3])}; {_REMEDY}")
    arrays = [_array(part) for part in parts]
    shapes = dict.fromkeys(array.shape for array in arrays)
    if len({array.dtype.kind == "b" for array in arrays}) > 1:
        raise UserError(f"{_WHAT}, got truth values and others in one list; bring all to uint8")
    if all(len(shape) == 4 for shape in shapes) and len({shape[1:] for shape in shapes}) == 1:
        return np.concatenate(arrays)  # batches, the last of which is often shorter
    if all(len(shape) == 2 for shape in shapes):
        raise UserError(f"{_WHAT}, got a list of {next(iter(shapes))}; of grey ones [each[None] for each in images]")
    if len(shapes) > 1:
        first, second = list(shapes)[:2]
        raise UserError(
            f"images must have one shape, got {first} and {second}; bring all to one size, and to grey or colour, and "
            "leave out what is no image"
        )
    return np.stack(arrays)
