"""What the bytes of a file say: its kind, whatever its name is; of an image its notes, and whether it is whole."""

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
"""What PIL may open, where it is built with them. Its other formats include programs, such as EPS, which it gives to
Ghostscript to run."""
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\x00", b"II+\x00", b"MM\x00*", b"MM\x00+")
_KINDS = {
    b"version https://git-lfs": "a pointer of Git LFS and no image; get the file with `git lfs pull`",
    **dict.fromkeys(
        _TIFF,
        "a TIFF of a kind that is not read here, such as one of 64-bit floats or five channels, 16-bit grey with alpha "
        "or, big-endian, with white as 0, or WebP compression; save it as PNG",
    ),
    b"\xff\x0a": "in JPEG XL, which is not read here; save it as PNG",
    b"\x00\x00\x00\x0cJXL ": "in JPEG XL, which is not read here; save it as PNG",
    b"8BPS": "a file of Photoshop, which is not read here; save it as PNG",
    b"\x76\x2f\x31\x01": "in OpenEXR, which is not read here; save it as PNG",
    b"%PDF": "a PDF and no image; save its pictures as PNG",
    b"PK\x03\x04": "a zip file and no image; unpack it",
    b"\x93NUMPY": "an array of NumPy and no image; save it as PNG",
    b"\x89HDF": "a file of HDF5 and no image; save its images as PNG",
    b"PF\n": "a map of coloured floats, which is not read here; save it as PNG",
    b"P7\n": "in PAM, which is not read here; save it as PNG",
}
"""Beginnings of files that people have under the name of an image, with what they are and the remedy."""
ARCHIVES = frozenset({".tar", ".tgz", ".rar", ".7z", ".gz", ".xz", ".bz2", ".zst"})
_STARTS = (b"Rar!", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""Endings and beginnings of archives that are no zip files; a tar file is known by its 257th byte."""
_MAX_TAG_VALUES = 2**20
_NOTES, _ZEROS = re.compile(rb"EXIF|Exif"), 4096
"""Begin notes in an AVIF, and the zeros at the end that are more than the room that some keep in these."""
_WEBP_ZEROS = bytes(16)
"""End the pixels of a WebP that broke off, which decodes without them, too."""
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
"""Begins a segment of a JPEG, or ends it: none of those that stand in its pixels and have no length."""


@cache
def formats() -> tuple[str, ...]:
    """Return the names of the formats of PIL that are read, as far as it is built with them."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def is_image(data: bytes) -> bool:
    """True if data begin as a file of one of the usual kinds of images does."""
    is_bitmap = data[:2] == b"BM" and data[6:10] == bytes(4) and data[15:18] == bytes(3)  # "BM" begins words too
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return data.startswith((PNG, JPEG, b"GIF8", *_TIFF)) or is_bitmap or is_webp


def other_kind(data: bytes) -> str:
    """Return what a file is that no reader takes for an image, with the remedy; nothing where it cannot be told."""
    if not data:
        return "empty; get it again"
    if data[4:8] == b"ftyp":
        if data[8:10] in (b"he", b"mi", b"ms") or (data[8:10] == b"av" and "AVIF" not in formats()):
            kind = "AVIF" if data[8:10] == b"av" else "HEIC"
            return f"in {kind}, which is not read here; save it as PNG"
        is_film = data[8:10] in (b"is", b"mp", b"qt", b"M4", b"3g")
        return "a film; save its frames as PNG" if is_film else ""
    text = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<?xml", b"<!doctype", b"<html", b"<svg")):
        if not re.search(rb"<!doctype html|<html", text) and re.search(rb"<(!doctype )?svg", text):
            return "a drawing in SVG, which is not read here; save it as PNG"
        what = "a web page" if b"html" in text else "XML"
        return f"{what} and no image, as a server sends in place of one; get it again"
    return next((said for start, said in _KINDS.items() if data.startswith(start)), "")


def is_other_archive(data: bytes, endings: set[str]) -> bool:
    """True if a file is an archive and no zip file, by its first 512 bytes or by one of its endings."""
    return bool(endings & ARCHIVES) or data.startswith(_STARTS) or data[257:262] == b"ustar"


def wrong_with_zip(path: Path) -> str:
    """Return what is wrong with a zip file, by the checksums of all that it holds; nothing where it is whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # of many kinds: of the system, the archive, its compression
        return f"cannot be read ({brief(error)})"
    return f"is damaged at {printable(damaged)}" if damaged else ""


def breaks_off(data: bytes) -> bool:
    """True if an image ends before its file, though what decoded it went on: zeros decode, to grey or a smear.

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
    """True if the pixels of a WebP's first frame end in zeros, and decode without the last of these.

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
