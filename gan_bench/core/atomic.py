"""Atomic files: written in one step, moved aside, sealed by a digest."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

ASIDE = ".aside"
"""Suffix of the names of files being written; they begin with a dot."""
CLEARED = f".cleared{ASIDE}"
"""Suffix of the names of folders being deleted on request, or filled; they begin with a dot."""
STALE_SECONDS = 86_400.0
"""Age from which a temporary file in a shared folder belongs to no live process."""


def write_atomically(path: Path, content: bytes | str, mode: int | None = None) -> None:
    """Write a temporary file, force it to disk and rename it over the old one.

    Args:
        path: The file; its folder must exist.
        content: Bytes, or text written as UTF-8; what of a file name is none is escaped.
        mode: Its permissions, or None for those of every new file.

    Raises:
        OSError: The file, which the error names, cannot be written; the old one stands and nothing is left beside it.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    with naming(path):
        handle, aside = new_file_beside(path)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if mode is not None:
                    aside.chmod(mode)
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make the system's errors name the file that is written, not a temporary one."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).endswith(ASIDE):
            error.filename = str(path)
            del error.filename2  # else the message would end in "-> None"
        raise


def write_new(texts: Mapping[Path, str]) -> None:
    """Write text files that are not there yet: whole and all of them, or none.

    Args:
        texts: What is written as UTF-8, by file; their folders must exist.

    Raises:
        FileExistsError: One is there, and stays as it is.
        OSError: One cannot be written; nothing is left of any.
    """
    written = list[Path]()
    try:
        for path, text in texts.items():
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            write_atomically(path, text)
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def move_aside(path: Path, folder: Path) -> Path:
    """Move a file or folder into another folder, under a free name; the caller holds a lock.

    Returns:
        Where it is now.

    Raises:
        OSError: It cannot be moved.
    """
    folder.mkdir(exist_ok=True)
    place, numbers = folder / path.name, itertools.count(2)
    while place.is_symlink() or place.exists():  # raises if the file system fails, unlike lexists
        place = folder / f"{path.name}.{next(numbers)}"
    return path.rename(place)


@contextlib.contextmanager
def filled_at_once(folder: Path) -> Iterator[Path]:
    """Fill a new or empty folder atomically: its content appears when all of it is written.

    Args:
        folder: The folder; missing ones above it are made.

    Yields:
        The folder to write to, beside it.

    Raises:
        OSError: It cannot be made, or what was written cannot be moved.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent)
    aside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}{CLEARED}"
    aside.mkdir()
    try:
        yield aside
        folder.mkdir(exist_ok=True)
        for path in sorted(aside.iterdir()):
            path.rename(folder / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def new_file_beside(path: Path) -> tuple[int, Path]:
    """Create an empty file with a random name in the folder of another.

    It has the mode that every new file of this process has. ``tempfile.mkstemp`` gives 0600 instead, and correcting
    that means to read the umask, which can only be read by changing it for all threads.

    Args:
        path: The file that the new one will replace.

    Returns:
        A handle open for writing, and the path; ``remove_leftovers`` finds it should the process be killed.

    Raises:
        OSError: The folder does not exist or cannot be written to.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    while True:
        aside = path.parent / f".{path.name}.{secrets.token_hex(4)}{ASIDE}"
        with contextlib.suppress(FileExistsError):
            return os.open(aside, flags, 0o666), aside


def remove_leftovers(folder: Path, idle: float = STALE_SECONDS) -> None:
    """Remove temporary files that killed processes left in a folder.

    Args:
        folder: Where; files in folders below it stay. Of folders only those go that were being deleted.
        idle: Seconds since a file was last written; 0 takes all, for folders with one owner.
    """
    for path in folder.glob(f".*{ASIDE}"):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to remove
            if idle and time.time() - path.lstat().st_mtime <= idle:
                continue
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            elif path.name.endswith(CLEARED):
                shutil.rmtree(path)


def open_own(path: Path, flags: int) -> IO[bytes]:
    """Open a file of gan_bench to read or write, never through a link, which may lead to any file.

    A file that has other names too, as backups by hard links have, becomes one of its own before it is written.

    Args:
        path: The file.
        flags: Those of ``os.open``.

    Raises:
        OSError: It is a link or no file, or cannot be opened.
    """
    handle = _open_regular(path, flags)
    if flags & (os.O_WRONLY | os.O_RDWR) and os.fstat(handle).st_nlink > 1:
        os.close(handle)
        own_copy(path)
        handle = _open_regular(path, flags)
    access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
    return os.fdopen(handle, {os.O_RDONLY: "rb", os.O_WRONLY: "ab", os.O_RDWR: "r+b"}[access])


def _open_regular(path: Path, flags: int) -> int:
    more = ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")  # opening a pipe without a reader would block
    handle = os.open(path, flags & ~os.O_TRUNC | sum(getattr(os, name, 0) for name in more), 0o666)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        if flags & os.O_TRUNC and os.fstat(handle).st_nlink <= 1:
            os.ftruncate(handle, 0)
    except OSError:
        os.close(handle)
        raise
    return handle


def own_copy(path: Path) -> None:
    """Replace one hard link of a file by a copy, so that the others keep their content."""
    mode = stat.S_IMODE(path.stat().st_mode)
    write_atomically(path, path.read_bytes(), mode)


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, if the platform can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def seal(payload: bytes, magic: bytes) -> bytes:
    """Return a payload behind its magic line and its SHA-256.

    Args:
        payload: Any bytes.
        magic: What kind of file it is, ending in a newline.
    """
    return magic + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def unseal(content: bytes, magic: bytes) -> bytes | None:
    """Return the payload that was given to ``seal``, or None if any byte of the file changed.

    Args:
        content: The file.
        magic: What kind of file it must be.
    """
    payload = content[len(seal(b"", magic)) :]
    return payload if content == seal(payload, magic) else None
