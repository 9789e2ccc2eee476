"""Where a command may write: what its like wrote earlier is replaced, a user's own files and records stay."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from gan_bench.core.errors import UserError, writing
from gan_bench.records.folders import trial_folders
from gan_bench.records.layout import HISTORY, TRIAL


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
        if in_record or (folder.is_dir() and trial_folders(folder)):
            raise UserError(f"{folder} holds records; choose another folder with --out")
    for name in others:
        if os.path.lexists(folder / name):
            said = f"{folder / name} is of no earlier {what}, and stays as it is"
            raise UserError(f"{said}; choose another place with --out")


def holds(file: Path, mark: str) -> bool:
    """True if a file holds the bytes that tell what a command writes from a user's own, or nothing at all."""
    try:
        content = file.read_bytes() if file.is_file() else b"of a device or a pipe"
    except OSError:
        return False
    return not content or mark.encode() in content
