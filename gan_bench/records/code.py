"""Where the file of a user's own network lies, also after the folder that it was trained in was moved."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gan_bench.config.suite import named_files
from gan_bench.core.errors import UserError
from gan_bench.records.plan import suite_files


def find_code(record: Path, part: Mapping[str, Any]) -> Path | None:
    """Return a file that is what a trial was trained with; None where there is none.

    Args:
        record: The record directory, or a card.
        part: What it says of the file: its path, name and SHA-256.
    """
    return next((file for file in _candidates(record, part) if _digest(file) == part["sha256"]), None)


def _candidates(record: Path, part: Mapping[str, Any]) -> Iterator[Path]:
    """Yield where it lay, then where the suite that was run names it now, and what lies beside that."""
    yield record / part["path"]  # of a card beside it, else absolute
    for suite in suite_files(record.parent):
        with contextlib.suppress(UserError):  # it is another now
            yield from named_files(suite)[0]
        yield suite.parent / Path(part["name"]).name


def _digest(file: Path) -> str:
    """Return the SHA-256 of a file; nothing for one that cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, ValueError):  # a name that no file can have
        return ""
