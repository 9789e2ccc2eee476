"""Guards of output paths: a command replaces its own earlier outputs, but no user's files or records."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from gan_bench.core.atomic import write_atomically
from gan_bench.core.errors import UserError, writing
from gan_bench.records.folders import trial_folders
from gan_bench.records.layout import HISTORY, TRIAL

HEAD = 4096
"""First bytes of a file, in which its mark is."""


def check_output(folder: Path, names: Iterable[str], what: str, is_ours: Callable[[Path], bool] | None = None) -> None:
    """Refuse a folder to write to where a user's own files would be replaced, or that holds records.

    Args:
        folder: The folder, which may be missing.
        names: Names of the files to write that a user's own may have.
        what: What such a command writes, for the message.
        is_ours: Whether an earlier command of the same kind wrote a file of such a name; without it, none did.

    Raises:
        UserError: One is there; the folder is a suite's with trials, or is or lies in a record; or it is no folder.
    """
    with writing(folder, "another folder"):
        place = Path(os.path.realpath(folder))
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is no folder; choose another with --out")
        in_record = any((each / TRIAL).exists() and (each / HISTORY).exists() for each in (place, *place.parents))
        if in_record or (folder.is_dir() and any((each / TRIAL).exists() for each in trial_folders(folder))):
            raise UserError(f"{folder} holds records; choose another folder with --out")
        for path in (folder / name for name in names):
            if path.is_file():
                is_free = not path.stat().st_size or is_standard_stream(path) or (is_ours is not None and is_ours(path))
            else:
                is_free = not os.path.lexists(path) or (path.exists() and not path.is_dir())  # a pipe or device
            if not is_free:
                said = f"{path} is not known to be of an earlier {what}, and stays as it is"
                raise UserError(f"{said}; move it away, or choose another place with --out")


def holds(file: Path, mark: str) -> bool:
    """True if the beginning of a file has the mark of a command's output."""
    if not file.is_file():  # reading a pipe would block
        return False
    with suppress(OSError), file.open("rb") as opened:
        return mark.encode() in opened.read(HEAD)
    return False


def is_standard_stream(file: Path) -> bool:
    """True if a path, such as ``/dev/stdout``, leads to where this process's output goes, be that a file."""
    return _standard_stream(file) is not None


def _standard_stream(file: Path) -> int | None:
    with suppress(OSError):
        there = file.stat()
        return next((number for number in (1, 2) if os.path.samestat(there, os.fstat(number))), None)
    return None


def write_output(out: Path, content: bytes | str) -> None:
    """Write a file, the target of a link, or into a pipe or device.

    Raises:
        OSError: It cannot be written.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    if (number := _standard_stream(out)) is not None:  # a shell may write into it before and after
        sys.stdout.flush()
        with open(number, "wb", closefd=False) as stream:
            stream.write(data)
    elif out.exists() and not out.is_file():
        out.write_bytes(data)
    else:
        write_atomically(Path(os.path.realpath(out)), data)
