"""Files that are either the old ones or the new ones, never halves."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

ASIDE = ".aside"
"""End of the names of files that are being written; they begin with a dot."""
STALE_SECONDS = 86_400.0
"""Age from which what lies aside in a folder that several processes write to belongs to none that lives."""


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file aside, force it to disk and rename it over the old one.

    Args:
        path: The file; its folder must exist.
        content: Bytes, or text written as UTF-8.

    Raises:
        OSError: The file cannot be written; the old one stands and nothing is left beside it.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=ASIDE, dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o666 & ~_umask())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_leftovers(folder: Path, idle: float = STALE_SECONDS) -> None:
    """Remove what processes that were killed while writing have left aside in a folder.

    Args:
        folder: Where; files in folders below it stay.
        idle: Seconds since a file was last written; 0 takes all, for folders with one owner.
    """
    for path in folder.glob(f".*{ASIDE}"):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to remove
            if not idle or time.time() - path.stat().st_mtime > idle:
                path.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the platform can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
