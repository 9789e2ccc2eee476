"""What the names of files say: which are images, which may hold some and what to do with them, which are notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from gan_bench.data.file_kinds import ARCHIVES

ENDINGS = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".ppm"}
    | {".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".avifs", ".jp2", ".j2k", ".jpx", ".jpf", ".tga"}
)
_SYSTEM = frozenset(
    {
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin", "recycler"),
        *("system volume information", "lost+found", "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@__thumb"),
        *("network trash folder", "temporary items", "__pycache__"),
    }
)
"""Names, in small letters, of what operating systems and network storage leave beside people's files."""
_PACKED = frozenset({".zip", *ARCHIVES})
_TO_SAVE = frozenset({".heic", ".heif", ".jxl", ".psd", ".exr", ".svg", ".ico", ".dcm", ".dng"})
_UNREAD = frozenset(
    _PACKED
    | _TO_SAVE
    | {".hdr", ".eps", ".dds", ".pcx", ".xcf", ".nii", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".raw"}
    | {".part", ".crdownload", ".download", ".hif", ".jxr", ".crw", ".nrrd", ".mha", ".fits", ".icloud"}
)
"""Endings of pictures that are not read, and of what may hold some: a folder of nothing else is no folder of notes."""
_REMEDIES = {
    **dict.fromkeys(_PACKED, "unpack {} files and name the folder"),
    **dict.fromkeys(_TO_SAVE, "save {} files as PNG"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), "save the frames of {} files as PNG"),
    **dict.fromkeys((".npy", ".npz"), "pass what {} files hold to gb.score in Python, or save it as PNG"),
    **dict.fromkeys(
        (".pt", ".pth"),
        "pass what {} files hold to gb.score in Python, or save it as PNG; of a generator in them, sample images into "
        "a folder",
    ),
    **dict.fromkeys(
        (".pkl", ".pickle", ".ckpt", ".safetensors", ".onnx"),
        "of a generator in {} files, sample images into a folder; of statistics, save mu and sigma as .npz; of images, "
        "export them as PNG",
    ),
    **dict.fromkeys(
        (".parquet", ".arrow", ".tfrecord", ".tfrecords", ".mdb", ".h5", ".hdf5", ".mat"),
        "export the images in {} files as PNG",
    ),
}
"""What to do with files that may hold images, by their ending."""
_LOOKS = 20
"""Most files without an ending, and most other endings, of a folder without images that are looked into."""


def remedy(*endings: str) -> str:
    """Return what to do with files of the first of some endings that may be of images; nothing where none is."""
    known = (each.lower() for each in endings)
    return next((_REMEDIES[each].format(each) for each in known if each in _REMEDIES), "")


def is_a_file_s(name: str) -> bool:
    """True if a name is hidden or that of a file, and not of a folder that may be a class or a split."""
    path = PurePosixPath(name)
    return bool(path.suffix) or not is_visible(name) or path.name.upper() in ("README", "LICENSE", "COPYING", "NOTICE")


IN_ICLOUD = "images that are in iCloud and not on this disk (download them)"
"""Why ``.cat.jpg.icloud`` is left out: it stands for ``cat.jpg``."""


def why_not(name: str) -> str:
    """Return why a file is no image of the set, or nothing."""
    path = PurePosixPath(name)
    ending = path.suffix.lower()
    if ending == ".icloud" and PurePosixPath(path.stem).suffix.lower() in ENDINGS:
        return IN_ICLOUD
    if not is_visible(name):
        return "hidden files and what systems leave behind"
    return "" if ending in ENDINGS else f"files of other kinds ({ending or 'without an ending'})"


def is_note(name: str) -> bool:
    """True for a visible file that is left out and is no picture of another kind: labels, notes, programs."""
    return is_visible(name) and PurePosixPath(name).suffix.lower() not in _UNREAD


def possible_images(notes: Sequence[str]) -> list[str]:
    """Return those of a folder's notes that may be images: some without an ending, then one of each other ending."""
    plain = [note for note in notes if not PurePosixPath(note).suffix]
    one_of_each = {PurePosixPath(note).suffix: note for note in notes}
    return [*plain[:_LOOKS], *list(one_of_each.values())[:_LOOKS]]


def is_visible(name: str) -> bool:
    """True for what is neither hidden nor left by systems in folders and archives."""
    return not any(part.startswith(".") or part.lower() in _SYSTEM for part in PurePosixPath(name).parts)
