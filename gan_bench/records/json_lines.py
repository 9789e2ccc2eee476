"""JSON-lines files: read whole, or from where they were read before."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from gan_bench.core.errors import RecordError
from gan_bench.records.json_files import REMEDY, first_problem, read_file

T = TypeVar("T")


def read_lines(path: Path, form: TypeAdapter[list[T]], skipped: bytes = b"") -> list[T]:
    """Read a JSON-lines file, leaving out a last line that a kill cut short and lines that start with ``skipped``.

    Raises:
        RecordError: A line before the last is not of the documented form.
        UnreadableError: The system does not let this process read it.
    """
    try:
        return parse_lines(path, read_file(path), form, skipped)
    except FileNotFoundError:
        return []


def parse_lines(path: Path, text: bytes, form: TypeAdapter[list[T]], skipped: bytes = b"") -> list[T]:
    """Return the lines that a file holds, as ``read_lines`` does.

    Raises:
        RecordError: A line before the last is not of the documented form.
    """
    raw = text.split(b"\n")
    numbered = [(i, line) for i, line in enumerate(raw, 1) if line and not (skipped and line.startswith(skipped))]
    with contextlib.suppress(ValidationError):  # whole files are read at once; only damage is looked at closely
        lines: list[T] = form.validate_json(b"[" + b",".join(line for _, line in numbered) + b"]")
        if len(lines) == len(numbered):
            return lines
    found: list[T] = []
    for number, line in numbered:
        if number == len(raw) and not _is_json(line):
            break
        try:
            values = form.validate_json(b"[" + line + b"]")
        except ValidationError as error:
            raise RecordError(f"{path}:{number} is damaged: {first_problem(error)}; {REMEDY}") from None
        if len(values) != 1:
            raise RecordError(f"{path}:{number} is damaged: it holds {len(values)} values; {REMEDY}")
        found += values
    return found


def read_new_lines(path: Path, form: TypeAdapter[list[T]], offset: int) -> tuple[list[T], int]:
    """Read what was appended to a JSON-lines file; a last line that is still being written is left for later.

    Args:
        path: The file; it may not exist yet.
        form: The documented form of its lines.
        offset: Bytes that were read before; a file that has become shorter is read from its beginning.

    Returns:
        The new lines, and the bytes read so far.

    Raises:
        RecordError: A line is not of the documented form.
        UnreadableError: The system does not let this process read it.
    """
    try:
        text = read_file(path)
    except FileNotFoundError:
        return [], 0
    start = offset if offset <= len(text) and text[offset - 1 : offset] in (b"", b"\n") else 0
    whole, _, _ = text[start:].rpartition(b"\n")  # a line ends at the start, unless the file was cut back since
    if not whole:
        return [], start
    try:
        lines: list[T] = form.validate_json(b"[" + whole.replace(b"\n", b",") + b"]")
    except ValidationError as error:
        raise RecordError(f"{path} is damaged after byte {start}: {first_problem(error)}; {REMEDY}") from None
    return lines, start + len(whole) + 1


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
