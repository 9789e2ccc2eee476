"""What a file is by its first bytes, whatever its name says: an image, or what people have in place of one."""

from __future__ import annotations

import re
import zipfile
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
