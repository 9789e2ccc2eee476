"""What the bytes of a file tell: its kind, regardless of its name; of an image its notes, and whether it is whole."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path

from PIL import Image

from gan_bench.core.errors import brief
from gan_bench.core.text import printable

FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000", "TGA")
"""Formats that PIL may open, if it is built with them. Others include programs, such as EPS, which Ghostscript would
run."""
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
_MAX_TAG_VALUES = 2**20
_NOTES, _ZEROS = re.compile(rb"EXIF|Exif"), 4096
"""Begin notes in an AVIF, and the zeros at the end that are more than the room that some keep in these."""
_WEBP_ZEROS = bytes(16)
"""Zeros that end the pixels of a truncated WebP, which decodes without them, too."""
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
"""Start of a JPEG segment or end of the image; not the markers inside pixel data, which have no length."""


@cache
def formats() -> tuple[str, ...]:
    """Return the names of the PIL formats that are read and that PIL is built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def wrong_with_zip(path: Path) -> str:
    """Return what is wrong with a zip file by its checksums, or an empty text."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # errors of the system, the archive or its compression
        return f"cannot be read ({brief(error)})"
    return f"is damaged at {printable(damaged)}" if damaged else ""


def breaks_off(data: bytes) -> bool:
    """True if an image is truncated although it was decoded: zeros decode to grey or a smear.

    A download that broke off may have zeros to its full size. Pixels that are not packed may be zeros themselves.
    """
    if data.startswith(PNG):
        return not _is_whole_png(data)
    if data[:4] == b"RIFF":
        return _webp_breaks_off(data)
    if data[4:8] == b"ftyp":  # AVIF, whose pixels never end in zeros
        return len(data) - len(data.rstrip(b"\0")) > max(_ZEROS if _NOTES.search(data) else 64, len(data) // 8)
    return data.startswith(JPEG) and data.endswith(b"\0") and not _has_end(data.rstrip(b"\0"))


def _webp_breaks_off(data: bytes) -> bool:
    """True if the pixels of a WebP's first frame end in superfluous zeros.

    Those of a whole one may end in thousands, where its lower part is plain, and decode with all of them alone.
    """
    at = 12
    while (kind := data[at : at + 4]).strip(b"\0"):
        start, end = at + 8, at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            packed = data[start:end]
            return packed.endswith(_WEBP_ZEROS) and _decodes(
                _chunk(b"RIFF", b"WEBP" + _chunk(kind, packed.removesuffix(_WEBP_ZEROS)))
            )
        at = start + 16 if kind == b"ANMF" else end + end % 2
    return False


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)


def _decodes(data: bytes) -> bool:
    with contextlib.suppress(OSError), Image.open(io.BytesIO(data)) as image:
        image.load()
        return True
    return False


def _is_whole_png(data: bytes) -> bool:
    """True if a PNG has its end and the checksums of its pixels hold, which Pillow does not check."""
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
    """True if a JPEG has the end of its main image; those of thumbnails lie inside its segments."""
    at = 2
    while found := _MARKER.search(data, at):
        if found[1] == b"\xd9":
            return True
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return False


def without_notes(data: bytes) -> bytes:
    """Return a PNG without the chunks that hold no pixels, no transparency and no orientation."""
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind[:1].isupper() or kind in (b"tRNS", b"eXIf"):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def check_tags(data: bytes) -> None:
    """Refuse a TIFF without tags, or with millions of numbers in one, which PIL would turn into Python objects.

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
