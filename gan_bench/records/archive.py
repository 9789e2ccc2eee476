"""A record as one piece of bytes, to travel between machines that share no folder."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

from gan_bench.core.atomic import write_atomically
from gan_bench.core.errors import RecordError
from gan_bench.records.layout import CHECKPOINT, RECORD, SAMPLES, RecordDirectory

_NAME = re.compile(rf"({SAMPLES}/)?[A-Za-z0-9][A-Za-z0-9._-]*")


def _last(name: str) -> tuple[bool, bool, str]:
    """Order names so that what others rely on comes first: a checkpoint needs the history, the end needs everything."""
    return name == RECORD, name.startswith(CHECKPOINT), name


def _files(directory: RecordDirectory) -> dict[str, Path]:
    found = [path for path in directory.path.rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.relative_to(directory.path).as_posix(): path for path in found}
    return {name: names[name] for name in sorted(names, key=_last) if _NAME.fullmatch(name)}


def pack(directory: RecordDirectory) -> bytes:
    """Return the files of a record as a tar archive, with its last checkpoint and without what is being written."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, path in _files(directory).items():
            if path == directory.previous_checkpoint and directory.checkpoint.exists():
                continue
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def unpack(directory: RecordDirectory, content: bytes) -> None:
    """Bring a record up to what an archive holds; whoever does owns the trial.

    Every file is replaced in one step, and the end of the trial comes last: killed at any instant, the record is one
    that a killed run could have left. Files that the archive does not hold are removed, an earlier end first of all.

    Raises:
        RecordError: The archive is not one of a record.
        OSError: A file cannot be written.
    """
    files = _read(content)
    directory.samples.mkdir(parents=True, exist_ok=True)
    if RECORD not in files:
        directory.record.unlink(missing_ok=True)
    for name in sorted(files, key=_last):
        path = directory.path / name
        if not path.is_file() or path.read_bytes() != files[name]:
            write_atomically(path, files[name])
    for name, path in _files(directory).items():
        if name not in files:
            path.unlink(missing_ok=True)


def _read(content: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for entry in archive:
                data = archive.extractfile(entry)
                if data is None or not entry.isreg() or not _NAME.fullmatch(entry.name):
                    raise RecordError(f"an archive of a record holds {entry.name!r}, which is no file of a record")
                files[entry.name] = data.read()
    except tarfile.TarError as error:
        raise RecordError(f"an archive of a record cannot be read ({error})") from None
    return files
