"""One image file of any format -> a PIL image or a uint8 array."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gan_bench.config.image_folder import Transform
from gan_bench.core.errors import DataError, brief
from gan_bench.core.text import printable
from gan_bench.data.eight_bit import PNG_BITS, as_meant, eight_bit, tag_number
from gan_bench.data.file_kinds import PNG, breaks_off, check_tags, formats, without_notes
from gan_bench.pillow_settings import pillow_silenced

MAX_PIXELS = 64_000_000
MAX_SIDE = 32_768
ONE_SIZE = "bring all images to one size, or write crop: center where a suite names them"
_PIXELS_AT_A_TIME = 2 * MAX_PIXELS
_SUBFILE = 254
"""TIFF tag: whether a page is a thumbnail of another."""


def decode(
    data: bytes, name: str, channels: int, limits: tuple[float, float] | None = None, size: int | None = None
) -> Image.Image:
    """Decode an image as viewers show it: EXIF rotation applied, any colour mode, wide greys scaled to 8 bits.

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
                f"the image {printable(name)} has {image.width}x{image.height} pixels, not {size}x{size}; {ONE_SIZE}"
            )
        array = np.array(fit(image, size))
    return array[None] if transform.channels == 1 else array.transpose(2, 0, 1)


def fit(image: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to ``size`` with PIL's bilinear filter and crop the centre, as torchvision does."""
    if image.size == (size, size):
        return image
    resized = _scaled_size(*image.size, size)
    if resized != image.size:
        image = image.resize(resized, Image.Resampling.BILINEAR)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def _scaled_size(width: int, height: int, size: int) -> tuple[int, int]:
    return (size, int(size * height / width)) if width <= height else (int(size * width / height), size)


@contextlib.contextmanager
def _opened(data: bytes, name: str, size: int | None = None) -> Iterator[Image.Image]:
    """Open an image whose header is within the limits, and turn any decoding error into a DataError.

    Its shorter side will be scaled to ``size``.
    """
    try:
        check_tags(data)
        with pillow_silenced(), _open(data) as image, _budget.take(_pixels(image, name, size)):
            loaded = _loaded(image, data)
            if breaks_off(data):
                raise OSError("image file is truncated")
            if data.startswith(PNG):
                loaded.info[PNG_BITS] = data[24]
            yield as_meant(loaded, data)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(_too_large(name, "too many")) from None
    except MemoryError as error:  # not the file's fault alone, so it is never skipped in silence
        raise DataError(f"memory ran out while {printable(name)} was decoded; free some or remove it") from error
    except Exception as error:  # damaged data make PIL and its libraries raise any kind
        why = "of no known format" if isinstance(error, UnidentifiedImageError) else brief(error)
        raise DataError(
            f"the image {printable(name)} cannot be decoded ({printable(why)}); repair or remove it"
        ) from None


def shorter_side(data: bytes) -> int:
    """Return the shorter side of an image in pixels, as its header says; 0 where it cannot be opened."""
    try:
        with pillow_silenced(), _open(data) as image:
            return min(image.size)
    except Exception:  # damaged: decoding it says how
        return 0


def _open(data: bytes) -> Image.Image:
    """Open an image; a PNG with damaged or enormous text chunks without these, as viewers do."""
    try:
        return _beyond_thumbnails(Image.open(io.BytesIO(data), formats=formats()))
    except (UnidentifiedImageError, ValueError, SyntaxError):
        if not data.startswith(PNG):
            raise
    return Image.open(io.BytesIO(without_notes(data)), formats=formats())


def _is_thumbnail(image: Image.Image) -> bool:
    """True if the page of a TIFF is marked as a thumbnail of another."""
    return (tag_number(getattr(image, "tag_v2", {}).get(_SUBFILE)) or 0) % 2 == 1


def _beyond_thumbnails(image: Image.Image) -> Image.Image:
    """Go to the first page of a TIFF that is not a thumbnail, if there is one."""
    try:
        while _is_thumbnail(image):
            image.seek(image.tell() + 1)
    except Exception as error:  # none follows, or one that is damaged
        if isinstance(error, MemoryError):
            raise
        image.seek(0)
    return image


def _loaded(image: Image.Image, data: bytes) -> Image.Image:
    """Decode an opened image; a PNG with unreadable text chunks after its pixels without these.

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
        image = Image.open(io.BytesIO(without_notes(data)), formats=formats())
        image.load()
    return image


def more_frames(data: bytes) -> int:
    """Return how many frames a decodable image has after the first, which is used."""
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
    """Return how many pixels an image will have at most; refuse one that is too large before it is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise DataError(_too_large(name, f"{width:,}x{height:,}"))
    tags = getattr(image, "tag_v2", {})
    if tags.get(322, 1) * tags.get(323, 1) > MAX_PIXELS:  # the tile of a TIFF may be larger than its image
        raise DataError(_too_large(name, "tiles of too many"))
    scaled = (width, height) if size is None else _scaled_size(width, height, size)
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


class _PixelBudget:
    """Limits how many pixels threads decode at the same time."""

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
