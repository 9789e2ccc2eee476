"""Files of a record, read without following links: JSON with a digest of its content, and JSON lines."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from gan_bench.core.atomic import open_own, write_atomically
from gan_bench.core.canonical import canonical_json
from gan_bench.core.errors import DamagedError, RecordError, UnreadableError
from gan_bench.records.schema import VERSION, Form

T = TypeVar("T")
SEAL = "sha256"
"""Key of a JSON file's own digest; files of earlier versions have none."""
REMEDY = "run the suite again to replace it"


def without_remedy(error: RecordError) -> str:
    """Return an error message without its remedy."""
    return error.bare or str(error).removesuffix(f"; {REMEDY}")


_NO_FILE = {errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}
"""Errors of opening that mean that there is no regular file, not that access is denied."""


def is_link(path: Path) -> bool:
    """True if a path is a visible link; ``Path.is_symlink`` raises in an inaccessible folder."""
    return os.path.islink(path)  # noqa: PTH114


def is_gone(path: Path) -> bool:
    """True if a path is known not to exist; network file systems may not know for a while."""
    try:
        os.stat(path)  # noqa: PTH116 - some ask at every step
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def is_regular(path: Path) -> bool:
    """True if a path is a regular file, not a link."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def read_file(path: Path) -> bytes:
    """Read a file of a record without following links, which could expose any file as part of the record.

    Raises:
        FileNotFoundError: There is none.
        RecordError: It is a link, a folder or anything else but a file.
        UnreadableError: The system does not let this process read it.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DamagedError(f"{path} is no file; {REMEDY}")
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        if is_link(path):
            raise DamagedError(f"{path} is a link, and records have none; {REMEDY}") from None
        if error.errno in _NO_FILE:
            raise DamagedError(f"{path} is no file ({error.strerror}); {REMEDY}") from None
        raise unreadable(path, error) from None


def read_if_there(path: Path) -> bytes | None:
    """Read a file of a record as ``read_file`` does, or return None when there is none."""
    try:
        return read_file(path)
    except FileNotFoundError:
        return None


def read_start(path: Path, count: int) -> bytes:
    """Read the first bytes of a file of a record; empty if it is unreadable, a link or no file."""
    with contextlib.suppress(OSError), open_own(path, os.O_RDONLY) as file:
        return file.read(count)
    return b""


def unreadable(path: Path, error: OSError, done: str = "read") -> UnreadableError:
    """Make the error for an inaccessible file or folder: reason, owner and remedy.

    Args:
        path: The file or folder.
        error: What the system said.
        done: What cannot be done: ``read``, ``written``, ``locked``.
    """
    why = f"{path} cannot be {done} ({error.strerror or type(error).__name__})"
    if error.errno in (errno.EACCES, errno.EPERM):
        whose = _owner(path)
        return UnreadableError(f"{why}: it belongs to {whose}; ask {whose} for access, or run as {whose}")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return UnreadableError(f"{why}; raise the limit with `ulimit -n` and try again")
    return UnreadableError(f"{why}; check the disk or the network share, and try again")


def _owner(path: Path) -> str:
    """Return the name of the user who owns a file, or of the nearest folder that may be looked at."""
    for each in (path, *path.parents):
        try:
            number = os.lstat(each).st_uid
        except OSError:
            continue
        try:
            import pwd

            return pwd.getpwuid(number).pw_name
        except (ImportError, KeyError):  # not on every system; a container's user may have no name
            return f"user {number}"
    return "another user"


def finite(value: Any) -> Any:  # noqa: ANN401 - any JSON-able value
    """Replace NaN and infinities, which JSON does not have, by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _digest(content: Mapping[str, object]) -> str:
    """Return the SHA-256 of a JSON object without its own digest."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    return hashlib.sha256(canonical_json(rest).encode(errors="surrogatepass")).hexdigest()


def write_object(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON object atomically, with its digest.

    Raises:
        OSError: The file cannot be written; the old one stands.
    """
    write_atomically(path, object_text(content))


def object_text(content: Mapping[str, object]) -> str:
    """Return a JSON object as text, with its digest."""
    plain: dict[str, object] = json.loads(json.dumps(finite(content), allow_nan=False))
    return json.dumps({**plain, SEAL: _digest(plain)}, indent=2) + "\n"


def parse_object(path: Path, text: bytes) -> dict[str, object]:
    """Return the JSON object that a file holds.

    Raises:
        RecordError: It is none, or is not what was written.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged ({str(error)[:200]}); {REMEDY}") from None
    if not isinstance(content, dict):
        raise DamagedError(f"{path} does not hold a JSON object; {REMEDY}")
    try:
        whole = content.get(SEAL) in (None, _digest(content))
    except ValueError:  # NaN, or nested too deeply
        whole = False
    if not whole:
        raise DamagedError(f"{path} is damaged: its content is not what its digest says; {REMEDY}")
    return content


def read_known(path: Path, form: Form[T]) -> T:
    """Read a JSON object of a documented form.

    Raises:
        RecordError: There is none, it is not what was written, or is of another form.
        UnreadableError: The system does not let this process read it, or another version of gan_bench wrote it.
    """
    found = read_optional(path, form)
    if found is None:
        raise DamagedError(f"{path} is not there; {REMEDY}")
    return found


def read_optional(path: Path, form: Form[T], forgiven: type[RecordError] | tuple[()] = ()) -> T | None:
    """Read a JSON object of a documented form as ``read_known`` does, or return None when there is none.

    Args:
        path: Its file.
        form: Its form.
        forgiven: What counts as if there were none: DamagedError, so that other errors are raised; or RecordError,
            where an object is of use only if it can be read and believed.
    """
    try:
        text = read_if_there(path)
        return None if text is None else parse_known(path, text, form)
    except forgiven:
        return None


def parse_known(path: Path, text: bytes, form: Form[T]) -> T:
    """Return the object in a file; one without a digest may hold documented keys only.

    Raises:
        RecordError: It is none, is not what was written, or is of another form.
        UnreadableError: Another version of gan_bench wrote it.
    """
    content = parse_object(path, text)
    version = content.get("schema")
    if type(version) is int and version != VERSION:
        raise other_version(path, "record version", version, VERSION)
    unknown = set(content) - form.keys
    if unknown and SEAL not in content:
        raise DamagedError(f"{path} is damaged: unknown key {min(unknown)[:40]!r}; {REMEDY}")
    try:
        return form.validate(content)
    except ValidationError as error:
        raise DamagedError(f"{path} is damaged: {first_problem(error)}; {REMEDY}") from None


def other_version(path: Path, what: str, version: int, known: int) -> UnreadableError:
    """Make the error for a file that another version of gan_bench wrote; it is not damaged, and is kept."""
    told = f"{path} has {what} {str(version)[:20]}, and this gan_bench reads {known}"
    return UnreadableError(f"{told}; use the one that wrote it, or another results folder")


def first_problem(error: ValidationError) -> str:
    """Return the first thing that a validation found, with its place."""
    detail = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, detail["loc"]))
    return f"{place}: {detail['msg']}" if place else detail["msg"]


def parse_lines(path: Path, text: bytes, form: TypeAdapter[list[T]], skipped: bytes = b"") -> list[T]:
    """Parse the lines of a file, except a truncated last one and those that start with ``skipped``.

    Raises:
        DamagedError: A line before the last is not of the documented form.
    """
    *whole, rest = text.split(b"\n")
    raw = [*whole, rest] if _is_json(rest) else whole
    numbered = [(i, line) for i, line in enumerate(raw, 1) if line and not (skipped and line.startswith(skipped))]
    with contextlib.suppress(ValidationError):  # whole files are read at once; only damage is looked at closely
        lines: list[T] = form.validate_json(b"[" + b",".join(line for _, line in numbered) + b"]")
        if len(lines) == len(numbered):
            return lines
    found: list[T] = []
    for number, line in numbered:
        try:
            values = form.validate_json(b"[" + line + b"]")
        except ValidationError as error:
            raise DamagedError(f"{path}:{number} is damaged: {first_problem(error)}; {REMEDY}") from None
        if len(values) != 1:
            raise DamagedError(f"{path}:{number} is damaged: it holds {len(values)} values; {REMEDY}")
        found += values
    return found


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
