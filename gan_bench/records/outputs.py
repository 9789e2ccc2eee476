"""Where a command may write: what its like wrote earlier is replaced, a user's own files and records stay."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from gan_bench.core.atomic import write_atomically
from gan_bench.core.errors import UserError, writing
from gan_bench.records.folders import trial_folders
from gan_bench.records.layout import HISTORY, TRIAL

HEAD = 4096
"""Bytes at the beginning of a file in which its mark stands."""


def check_output(folder: Path, others: Iterable[str], what: str) -> None:
    """Refuse a folder to write to where a user's own files would be replaced, or that holds records.

    Args:
        folder: The folder, which may be missing.
        others: Names of the files to write that, where they are there, no earlier command of the same kind wrote.
        what: What such a command writes, for the message.

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
    for path in (folder / name for name in others):
        is_stream = path.exists() and not (path.is_file() or path.is_dir())
        is_empty = path.is_file() and not path.stat().st_size
        if os.path.lexists(path) and not (is_stream or is_empty):
            said = f"{path} is of no earlier {what}, and stays as it is"
            raise UserError(f"{said}; choose another place with --out")


def holds(file: Path, mark: str) -> bool:
    """True if the beginning of a file has the text that tells what a command writes from a user's own."""
    if not file.is_file():  # a pipe would wait for who writes into it
        return False
    try:
        with file.open("rb") as opened:
            return mark.encode() in opened.read(HEAD)
    except OSError:
        return False


def write_output(out: Path, content: bytes | str) -> None:
    """Write a file, the one that a link leads to, or into what is none, such as a pipe.

    Raises:
        OSError: It cannot be written.
    """
    if out.exists() and not out.is_file():
        out.write_bytes(content.encode() if isinstance(content, str) else content)
    else:
        write_atomically(out.resolve(), content)
