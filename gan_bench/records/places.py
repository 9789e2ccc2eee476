"""Folders of this machine in what is to be published: taken out of the sources of parts, and found elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gan_bench.core.text import printable
from gan_bench.records.json_files import SEAL, is_regular, object_text, parse_object, read_file
from gan_bench.records.layout import ENVIRONMENT, RECORD


@dataclass(frozen=True, kw_only=True)
class NamedPlace:
    """Something on this machine that published files name.

    Attributes:
        place: What is named, a path up to the first blank or quote.
        where: What names it in each of them: a field of JSON, or a line.
        files: These files.
    """

    place: str
    where: str
    files: tuple[Path, ...]


def portable(files: Mapping[str, bytes], name: str | None = None) -> dict[str, bytes]:
    """Return files of a record without the paths that a user's own code has on this machine; the digests fit again.

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
    """Return what is published of a record's environment and end where they name the places of code; else nothing."""
    names = [name for name in (ENVIRONMENT, RECORD) if is_regular(record / name)]
    files = {name: read_file(record / name) for name in names}
    return {name: content for name, content in portable(files).items() if content != files[name]}


def portable_digest(record: Path) -> str:
    """Return the SHA-256 that the ``record.json`` of a trial has in a publication: one for a record and its copies."""
    return hashlib.sha256(portable_end(record).get(RECORD) or read_file(record / RECORD)).hexdigest()


def named_places(files: Iterable[tuple[Path, bytes]], folders: Collection[Path]) -> tuple[NamedPlace, ...]:
    """Return what JSON and YAML files name in some folders, alike in files of one name once.

    Args:
        files: Files with their content; others than JSON and YAML are left out.
        folders: The folders; the root of a file system is none, as it has everything.
    """
    begun = "|".join(re.escape(f"{folder}/") for folder in folders if folder.parent != folder)
    pattern = re.compile(rf"(?:{begun})[^\s\"'<>|;,)\]}}]*")
    found: dict[tuple[str, str, str], list[Path]] = {}
    for file, content in files:
        said = _texts(file, content) if begun and file.suffix in (".json", ".yaml") else ()
        for where, place in dict.fromkeys(
            (where, match[0]) for where, text in said for match in pattern.finditer(text)
        ):
            found.setdefault((file.name, where, place), []).append(file)
    return tuple(
        NamedPlace(place=printable(place), where=printable(where), files=tuple(own))
        for (_, where, place), own in found.items()
    )


def _texts(file: Path, content: bytes) -> Iterator[tuple[str, str]]:
    """Yield the texts of a file with where they stand: fields of JSON, lines of anything else."""
    if file.suffix == ".json":
        yield from _fields(json.loads(content), ())
        return
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        yield f"line {number}", line


def _fields(value: object, keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield ".".join(keys), value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield ".".join(keys), key
            yield from _fields(each, (*keys, key))
    elif isinstance(value, list):
        for each in value:
            yield from _fields(each, keys)
