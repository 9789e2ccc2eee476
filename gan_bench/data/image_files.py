"""One image file -> a PIL image or a uint8 array, whatever the file holds."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import threading
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gan_bench.config.image_folder import Transform
from gan_bench.core.errors import DataError, brief
from gan_bench.core.text import printable
from gan_bench.data.file_kinds import JPEG, PNG, formats, other_kind
from gan_bench.pillow_settings import pillow_silenced

MAX_PIXELS = 64_000_000
MAX_SIDE = 32_768
_PIXELS_AT_A_TIME = 2 * MAX_PIXELS
_MAX_TAG_VALUES = 2**20
WIDE = ("I", "I;16", "I;16B", "I;16L", "I;16N", "I;16S", "F")
_WITH_ALPHA = ("P", "PA", "LA", "La", "RGBA", "RGBa")
_KEYED = ("1", "L", "RGB")
"""Modes in which a file may name one colour that is transparent, beside wide greys."""
_SUBFILE, _BITS, _PHOTOMETRIC, _PLANES, _FORMAT, _LEAST, _MOST = 254, 258, 262, 284, 339, 340, 341
"""Tags of TIFF: whether a page is a small one of another, bits of a sample, whether white is 0, whether each channel
stands apart, whether a sample has a sign or is a float, and the least and greatest value it declares. 280 and 281 are
statistics, which no reader may scale by."""
_FULL = frozenset(
    {(-1.0, 1.0)}
    | {(0.0, 2.0**bits - 1) for bits in (1, *range(8, 17), 24, 31, 32)}
    | {(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) for bits in (8, 16, 32)}
)
"""Ranges that a file may declare: the least and greatest value of one image are hardly ever these."""
_PNG_BITS = "gan_bench: bits"
"""Where an image keeps the bits of a sample in its PNG, which Pillow does not tell."""
SET_RANGE = "write range: [LOW, HIGH] where a suite names the images"
_NOTES, _ZEROS = re.compile(rb"EXIF|Exif"), 4096
"""Begin notes in an AVIF, and the zeros at the end that are more than the room that some keep in these.

Packed pixels end in zeros, too: those of a WebP of one colour are a twentieth of it.
"""
HEAD = 26
"""First bytes of a file that tell the depth of a PNG, and whether a TGA has an alpha channel."""
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
"""Begins a segment of a JPEG, or ends it: none of those that stand in its pixels and have no length."""
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
    """An image holds numbers, and nothing says which of them are black and white."""


def decode(
    data: bytes, name: str, channels: int, limits: tuple[float, float] | None = None, size: int | None = None
) -> Image.Image:
    """Decode an image as people see it: EXIF rotation applied, any colour mode, wide greys scaled to 8 bits.

    Wide greys have the range that their file declares: the bits of a PNG, a PGM or a TIFF of whole numbers without a
    sign; of other TIFFs what their tags say, where that is a full range, such as 0 to 4095, and no statistic of the
    image. Floats that declare none are taken as [0, 1] when all are; others are refused.

    Args:
        data: Bytes of the file.
        name: Named in errors.
        channels: 1 for grey, 3 for colour.
        limits: Values of greys that become black and white, in place of what files declare; others are clipped. Where
            the second is above 255, greys of 8 bits stay as they are.
        size: What its shorter side will be scaled to, which refuses images that are too long then; None is not asked.

    Returns:
        A PIL image of mode L or RGB. Transparency is laid over white. Of several frames it is the first, but for
        thumbnails.

    Raises:
        DataError: It cannot be decoded, is larger than ``MAX_PIXELS`` or ``MAX_SIDE``, too long, or holds numbers
            whose range is not known.
    """
    with _opened(data, name, size) as image:
        return eight_bit(image, name, channels, limits)


def decode_square(data: bytes, name: str, transform: Transform) -> NDArray[np.uint8]:
    """Decode an image and bring it to the size and channels of a dataset.

    Args:
        data: Bytes of the file.
        name: Named in errors.
        transform: Size, channels and crop.

    Returns:
        (C, H, W) uint8.

    Raises:
        DataError: It cannot be decoded, is too large or too long, or has another size and may not be cropped.
    """
    with _opened(data, name, transform.size) as opened:
        image, size = eight_bit(opened, name, transform.channels, transform.range), transform.size
        if transform.crop == "none" and image.size != (size, size):
            raise DataError(
                f"the image {printable(name)} has {image.width}x{image.height} pixels, not {size}x{size}; "
                "bring all images to one size, or write crop: center where a suite names them"
            )
        array = np.array(fit(image, size))
    return array[None] if transform.channels == 1 else array.transpose(2, 0, 1)


def fit(image: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to ``size`` with PIL's bilinear filter and crop the centre, as torchvision does."""
    if image.size == (size, size):
        return image
    resized = _scaled(*image.size, size)
    if resized != image.size:
        image = image.resize(resized, Image.Resampling.BILINEAR)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def _scaled(width: int, height: int, size: int) -> tuple[int, int]:
    return (size, int(size * height / width)) if width <= height else (int(size * width / height), size)


@contextlib.contextmanager
def _opened(data: bytes, name: str, size: int | None = None) -> Iterator[Image.Image]:
    """Open an image whose header keeps the limits, and turn any error of decoding it into a DataError.

    Its shorter side will be scaled to ``size``.
    """
    try:
        _check_tags(data)
        with pillow_silenced(), _open(data) as image, _budget.take(_pixels(image, name, size)):
            loaded = _loaded(image, data)
            if _breaks_off(data):
                raise OSError("image file is truncated")
            if data.startswith(PNG):
                loaded.info[_PNG_BITS] = data[24]
            yield as_meant(loaded, data)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(_too_large(name, "too many")) from None
    except MemoryError as error:  # not the file's fault alone, so it is never skipped in silence
        raise DataError(f"memory ran out while {printable(name)} was decoded; free some or remove it") from error
    except Exception as error:  # damaged data make PIL and its libraries raise any kind
        if isinstance(error, UnidentifiedImageError) and (kind := other_kind(data)):
            raise DataError(f"the image {printable(name)} is {kind}, or remove it") from None
        why = "of no known format" if isinstance(error, UnidentifiedImageError) else brief(error)
        raise DataError(
            f"the image {printable(name)} cannot be decoded ({printable(why)}); repair or remove it"
        ) from None


def _open(data: bytes) -> Image.Image:
    """Open an image; a PNG whose notes are damaged or enormous without them, as viewers do."""
    try:
        return _beyond_thumbnails(Image.open(io.BytesIO(data), formats=formats()))
    except (UnidentifiedImageError, ValueError, SyntaxError):
        if not data.startswith(PNG):
            raise
    return Image.open(io.BytesIO(_without_notes(data)), formats=formats())


def _is_thumbnail(image: Image.Image) -> bool:
    """True at a page of a TIFF that says that it is a small one of another."""
    return (_number(getattr(image, "tag_v2", {}).get(_SUBFILE)) or 0) % 2 == 1


def _beyond_thumbnails(image: Image.Image) -> Image.Image:
    """Go to the first page of a TIFF that is no small one of another, where there is any."""
    try:
        while _is_thumbnail(image):
            image.seek(image.tell() + 1)
    except Exception as error:  # none follows, or one that is damaged
        if isinstance(error, MemoryError):
            raise
        image.seek(0)
    return image


def _loaded(image: Image.Image, data: bytes) -> Image.Image:
    """Decode an image that was opened; a PNG with notes behind its pixels that cannot be read, without them.

    Raises:
        UnidentifiedImageError: It is a TIFF that the library of TIFF cannot unpack.
        OSError: It is damaged.
    """
    try:
        image.load()
    except OSError as error:
        if image.info.get("compression") == "webp":  # in a TIFF: few builds of its library have it
            raise UnidentifiedImageError from error
        raise
    except (ValueError, SyntaxError):
        if not data.startswith(PNG):
            raise
        image = Image.open(io.BytesIO(_without_notes(data)), formats=formats())
        image.load()
    return image


def as_meant(image: Image.Image, data: bytes) -> Image.Image:
    """Return an image whose transparency is what its file says, where Pillow takes it for something else.

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
    """Return a PNG of 16 bits with an alpha channel in place of its transparent colour, which all 16 bits tell."""
    low = Image.open(io.BytesIO(_without_notes(data)), formats=formats())
    low.tile = [(*tile[:3], "RGB;16L") for tile in low.tile]  # type: ignore[misc]  # the other bytes
    clear = ((np.asarray(image, np.uint16) << 8 | np.asarray(low)) == key).all(-1)
    image = image.copy()
    image.putalpha(Image.fromarray(np.where(clear, np.uint8(0), np.uint8(255))))
    del image.info["transparency"]
    return image


def _without_notes(data: bytes) -> bytes:
    """Return a PNG without the chunks that hold no pixels, no transparency and no orientation."""
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind[:1].isupper() or kind in (b"tRNS", b"eXIf"):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _breaks_off(data: bytes) -> bool:
    """True if an image ends before its file, though what decoded it went on: zeros decode, to grey or a smear.

    A download that broke off may have zeros to its full size. Pixels that are not packed may be zeros themselves.
    """
    if data.startswith(PNG):
        return not _is_whole_png(data)
    if data[:4] == b"RIFF" or data[4:8] == b"ftyp":  # WebP and AVIF
        packed, has_notes = (_to_last_pixels(data), False) if data[:4] == b"RIFF" else (data, _NOTES.search(data))
        return len(packed) - len(packed.rstrip(b"\0")) > max(_ZEROS if has_notes else 64, len(packed) // 8)
    return data.startswith(JPEG) and data.endswith(b"\0") and not _has_end(data.rstrip(b"\0"))


def _to_last_pixels(data: bytes) -> bytes:
    """Return a WebP without the notes behind its pixels, which may keep room of zeros."""
    at = last = 12
    while (kind := data[at : at + 4]).strip(b"\0"):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        last = end if kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF") else last
        at = end + end % 2
    return data[:last]


def _is_whole_png(data: bytes) -> bool:
    """True if the checksums of a PNG's pixels, which Pillow passes over, hold, and its end is there."""
    view, at, last = memoryview(data), 8, 8
    while (kind := data[at + 4 : at + 8]).isalpha():
        end = at + 12 + int.from_bytes(view[at : at + 4])
        if kind == b"IDAT":
            if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
                return False
            last = end
        at = end
    return data.find(b"IEND", last) >= 0  # not by its place: notes before it may be damaged


def _has_end(data: bytes) -> bool:
    """True if the end of a JPEG's own image is there; those of thumbnails lie inside of its segments."""
    at = 2
    while found := _MARKER.search(data, at):
        if found[1] == b"\xd9":
            return True
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return False


def more_frames(data: bytes) -> int:
    """Return how many frames an image that can be decoded has after its first, which is the one that is taken."""
    is_png = data.startswith(PNG) and b"acTL" in data.partition(b"IDAT")[0]
    if not is_png and data[4:8] != b"ftyp" and not data.startswith((b"GIF8", b"RIFF", b"II", b"MM")):
        return 0
    try:
        with pillow_silenced(), _open(data) as image:
            frames, thumbnails = int(getattr(image, "n_frames", 1)), 0
            for page in range(frames if image.format == "TIFF" else 0):
                image.seek(page)
                thumbnails += _is_thumbnail(image)
            return max(1, frames - thumbnails) - 1
    except Exception:  # damaged behind the first frame
        return 0


def _pixels(image: Image.Image, name: str, size: int | None) -> int:
    """Return how many pixels an image will have at most; refuse what memory should not hold before it is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise DataError(_too_large(name, f"{width:,}x{height:,}"))
    tags = getattr(image, "tag_v2", {})
    if tags.get(322, 1) * tags.get(323, 1) > MAX_PIXELS:  # the tile of a TIFF may be larger than its image
        raise DataError(_too_large(name, "tiles of too many"))
    scaled = (width, height) if size is None else _scaled(width, height, size)
    if scaled[0] * scaled[1] > MAX_PIXELS:
        raise DataError(
            f"the image {printable(name)} of {width:,}x{height:,} pixels is too long: with its shorter side at {size} "
            f"it has {scaled[0]:,}x{scaled[1]:,}; cut or remove it"
        )
    return max(width * height, scaled[0] * scaled[1])


def _too_large(name: str, pixels: str) -> str:
    return (
        f"the image {printable(name)} has {pixels} pixels, more than {MAX_PIXELS // 10**6} million or {MAX_SIDE:,} "
        "to a side; scale it down or remove it"
    )


def _check_tags(data: bytes) -> None:
    """Refuse a TIFF without tags, or with millions of numbers in one: PIL makes Python objects of all as it opens it.

    Raises:
        OSError: It is cut short, or runs into zeros.
        ValueError: A tag is too long.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or data[2:4] not in (b"*\0", b"\0*", b"+\0", b"\0+"):
        return
    big = data[2:3] == b"+"
    entries = start = 0
    with contextlib.suppress(struct.error, OverflowError):  # they lie behind the end, as most programs write them last
        (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    form = struct.Struct(order + ("HHQ8x" if big else "HHI4x"))
    start += 8 if big else 2
    if not 0 < entries <= (len(data) - start) // form.size:
        raise OSError("image file is truncated")
    for tag, kind, count in form.iter_unpack(data[start : start + form.size * entries]):
        if kind not in (1, 2, 6, 7) and count > _MAX_TAG_VALUES:
            raise ValueError(f"its tag {tag} has {count:,} values")


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
    if len(image.getbands()) > 1 and tags.get(_PLANES) == 2 and (_number(tags.get(_BITS)) or 8) > 8:
        raise DataError(  # Pillow reads other values without an error
            f"the image {printable(name)} keeps colours of more than 8 bits in planes, which is not read here; save it "
            "with 8 bits, or as PNG"
        )
    image.load()
    key = image.info.get("transparency")
    method = None
    with contextlib.suppress(SyntaxError, struct.error, ValueError, TypeError, KeyError):  # of notes that are damaged
        method = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    sample, bits = _number(tags.get(_FORMAT, 1)), _number(tags.get(_BITS))
    is_signed = image.mode == "L" and sample == 2
    if limits is not None and not is_signed and image.mode not in (*WIDE, "1"):
        key = key if image.mode == "L" else None
        image = _grey_of(image, name, limits, bits or image.info.get(_PNG_BITS, 8))
    is_wide = image.mode in WIDE or is_signed or (limits is not None and limits[1] <= 255 and image.mode == "L")
    known = _declared_range(image) if limits is None and image.mode in WIDE else limits
    is_negative = _number(tags.get(_PHOTOMETRIC, 1)) == 0 and image.mode in WIDE
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
    elif image.mode in _WITH_ALPHA or (image.mode in _KEYED and key is not None):
        over = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    if channels == 1 and image.mode not in ("1", "L", "RGB", "RGBA"):
        image = image.convert("RGB")  # not every colour space has a way to grey
    return image.convert("L" if channels == 1 else "RGB")


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
    """Return the values that are black and white in a wide grey, where the file says or its format does."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return None if image.mode == "F" else (0, 65_535)  # of a PNG; PGM files are scaled to 16 bits when opened
    bits, sample = _number(tags.get(_BITS, 0)) or 0, _number(tags.get(_FORMAT, 1))
    if sample == 1 and bits <= 16 and image.mode != "F":
        return (0, 2.0**bits - 1)
    declared = _number(tags.get(_LEAST, 0)) or 0, _number(tags.get(_MOST)) or 0
    # Many programs write what the image holds, by which each image would be stretched in its own way.
    return declared if declared in _FULL else None


def _number(value: object) -> float | None:
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


class _PixelBudget:
    """Lets threads decode at the same time only as many pixels as memory should hold."""

    def __init__(self, pixels: int) -> None:
        self._left = pixels
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Wait for a share; no image has more pixels than there are in all."""
        with self._changed:
            self._changed.wait_for(lambda: self._left >= pixels)
            self._left -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._left += pixels
                self._changed.notify_all()


_budget = _PixelBudget(_PIXELS_AT_A_TIME)
