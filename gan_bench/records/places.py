"""Finds files of a user's own code, in moved folders too, and removes paths of this machine from publications."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from gan_bench.config.suite import named_files
from gan_bench.core.errors import UserError
from gan_bench.core.text import printable
from gan_bench.records import schema
from gan_bench.records.json_files import SEAL, is_regular, object_text, parse_object, read_file
from gan_bench.records.layout import ENVIRONMENT, RECORD
from gan_bench.records.plan import suite_files


def portable(files: Mapping[str, bytes], name: str | None = None) -> dict[str, bytes]:
    """Return files of a record without this machine's paths of a user's code, with matching digests.

    Args:
        files: Content by name; without both ``environment.json`` and ``record.json`` it stays as it is.
        name: What stands in the place of a path; None takes the name of the file.
    """
    if ENVIRONMENT not in files or RECORD not in files:
        return dict(files)
    environment = parse_object(Path(ENVIRONMENT), files[ENVIRONMENT])

    def without_path(part: dict[str, object]) -> dict[str, object]:
        is_file = {"path", "sha256"} <= part.keys() and isinstance(part["path"], str)
        return {**part, "path": name or Path(str(part["path"])).name} if is_file else part

    placeless = json.loads(json.dumps(environment), object_hook=without_path)
    if placeless == environment:
        return dict(files)
    text = _sealed(placeless)
    record = parse_object(Path(RECORD), files[RECORD])
    digests = record.get("files")
    if isinstance(digests, dict) and ENVIRONMENT in digests:
        digests[ENVIRONMENT] = hashlib.sha256(text).hexdigest()
    return {**files, ENVIRONMENT: text, RECORD: _sealed(record)}


def _sealed(content: dict[str, object]) -> bytes:
    return object_text({key: value for key, value in content.items() if key != SEAL}).encode()


def portable_end(record: Path) -> dict[str, bytes]:
    """Return the published forms of a record's environment and end if they name paths of code; else nothing."""
    names = [name for name in (ENVIRONMENT, RECORD) if is_regular(record / name)]
    files = {name: read_file(record / name) for name in names}
    return {name: content for name, content in portable(files).items() if content != files[name]}


def portable_digest(record: Path) -> str:
    """Return the SHA-256 of a trial's published ``record.json``, equal for a record and its copies."""
    return hashlib.sha256(portable_end(record).get(RECORD) or read_file(record / RECORD)).hexdigest()


def named_places(files: Iterable[tuple[Path, bytes]], folders: Collection[Path]) -> dict[str, list[Path]]:
    """Return paths in some folders that JSON and YAML files name, up to a blank or quote, with these files.

    Args:
        files: Files with their content; others than JSON and YAML are left out.
        folders: The folders; the root of a file system is none, as it has everything.
    """
    begun = "|".join(re.escape(f"{folder}/") for folder in folders if folder.parent != folder)
    pattern = re.compile(rf"(?:{begun})[^\s\"'<>|;,)\]}}\\]*")
    found: dict[str, list[Path]] = {}
    for file, content in files:
        if not begun or file.suffix not in (".json", ".yaml"):
            continue
        text = content.decode(errors="replace")
        if file.suffix == ".json":  # where JSON has escapes of its own
            text = json.dumps(json.loads(text), ensure_ascii=False)
        for place in dict.fromkeys(pattern.findall(text)):
            found.setdefault(printable(place), []).append(file)
    return found


def find_code(record: Path, part: schema.Part) -> Path | None:
    """Return the file of code that a trial was trained with, or None.

    Args:
        record: The record directory, or a card.
        part: What it says of the file: its path, name and SHA-256.
    """
    return next((file for file in _candidates(record, part) if _digest(file) == part["sha256"]), None)


def _candidates(record: Path, part: schema.Part) -> Iterator[Path]:
    """Yield the recorded path, then that in the present suite file, and the files beside it."""
    yield record / (part.get("path") or "")  # relative in a card, else absolute
    for suite in suite_files(record.parent):
        with contextlib.suppress(UserError):  # the file has changed
            yield from named_files(suite)[0]
        yield suite.parent / Path(part["name"]).name


def _digest(file: Path) -> str:
    """Return the SHA-256 of a file; empty for an unreadable one."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, ValueError):  # a name that no file can have
        return ""
