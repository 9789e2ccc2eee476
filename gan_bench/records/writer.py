"""Write one trial's record as the trial runs; the caller must hold the trial's lock."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_bench.config.trial import Trial
from gan_bench.core.atomic import CLEARED, move_aside, open_own, remove_leftovers, sync_folder, write_atomically
from gan_bench.core.text import printable
from gan_bench.records import schema
from gan_bench.records.json_files import finite, is_regular, read_file, write_object
from gan_bench.records.layout import (
    ADDED,
    CHECKPOINT,
    EVALUATIONS,
    HISTORY,
    KEPT,
    RECORD,
    SAMPLES,
    SAVED,
    WHY,
    RecordDirectory,
)
from gan_bench.records.record import Status, TrialRecord

GROWING = (HISTORY, EVALUATIONS)
"""Files that grow while a trial runs; checkpoints store their lengths."""


def clear(directory: RecordDirectory) -> None:
    """Remove what an earlier run of the trial left, on request or because it cannot be resumed.

    The directory goes aside in one step first: killed at any instant, either all of it is there or nothing.
    """
    aside = directory.path.with_name(f".{directory.path.name}{CLEARED}")
    if aside.exists():
        shutil.rmtree(aside)
    if directory.path.exists():
        directory.path.rename(aside)
        shutil.rmtree(aside)


def foreign_files(directory: RecordDirectory) -> list[str]:
    """Return the names of files in a record that no run writes, except hidden ones."""
    if not directory.path.is_dir():
        return []
    names = {*SAVED, RECORD, CHECKPOINT, SAMPLES, KEPT, ADDED}
    ours = (f"{CHECKPOINT}.", "epoch-", ".")
    folders = (directory.path, directory.samples, directory.kept)
    files = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    return sorted(path.name for path in files if path.name not in names and not path.name.startswith(ours))


def set_aside(directory: RecordDirectory, folder: str, why: str) -> Path | None:
    """Move aside what an earlier run of the trial left; nothing is lost.

    Args:
        directory: The record.
        folder: Name of the suite's folder for it, ``DAMAGED`` or ``SUPERSEDED``.
        why: Why it is not continued, which a file beside it says later.

    Returns:
        Where it is kept, or None when there was nothing.

    Raises:
        OSError: It cannot be moved.
    """
    if not directory.path.is_symlink() and not directory.path.exists():
        return None
    kept = move_aside(directory.path, directory.path.parent / folder)
    said = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC  {printable(kept.name)}: {printable(why)}\n"
    with contextlib.suppress(OSError), open_own(kept.parent / WHY, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
        file.write(said.encode())
    return kept


def write_trial(directory: RecordDirectory, trial: Trial) -> None:
    """Write ``trial.json``, so that the trial is a row however it ends."""
    directory.path.mkdir(exist_ok=True)  # no parents: a removed suite folder, which had the plan, is not created again
    write_object(directory.trial, {"schema": schema.VERSION, "id": trial.id, "name": trial.name, **trial.to_json()})


def begin(directory: RecordDirectory, trial: Trial, environment: Mapping[str, object]) -> None:
    """Write the files known before training, and remove an earlier end; an existing environment is kept."""
    write_trial(directory, trial)
    directory.samples.mkdir(exist_ok=True)
    _remove_temporary_files(directory)
    directory.record.unlink(missing_ok=True)
    if not directory.environment.exists():
        write_object(directory.environment, environment)
    for name in GROWING:
        open_own(directory.path / name, os.O_WRONLY | os.O_CREAT).close()


def note_change(directory: RecordDirectory, environment: schema.EnvironmentFile, changes: Mapping[str, object]) -> None:
    """Record that a trial is resumed in another environment."""
    listed = [*environment.get("changes", []), dict(changes)]
    write_object(directory.environment, {**environment, "changes": listed})


def append(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    """Append lines to the history or the evaluations, in one write."""
    text = "".join(json.dumps(finite(line), separators=(",", ":"), allow_nan=False) + "\n" for line in lines)
    if text:
        with open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
            file.write(text.encode())


def save_sample(directory: RecordDirectory, epoch: int, grid: NDArray[np.uint8]) -> None:
    """Write a sample grid (H, W, 3) uint8 as a PNG.

    A search for the smallest file made grids of MNIST no smaller than the first try does and those of 64x64 images 10 %
    smaller, in 3 to 18 times the time; and training waits for it.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, format="PNG", compress_level=1)
    write_atomically(directory.sample(epoch), buffer.getvalue())


def keep_weights(directory: RecordDirectory, epoch: int, data: bytes, *, average: bool = False) -> None:
    """Write the packed weights of G, or of its moving average, at an evaluated epoch."""
    directory.kept.mkdir(exist_ok=True)
    write_atomically(directory.kept_weights(epoch, average=average), data)


def finish(directory: RecordDirectory, record: TrialRecord) -> TrialRecord:
    """Write ``record.json``, atomically and last, with the digests of the other files, which are on disk by then.

    Its checkpoint is removed once this is there: after a power cut the end must not vouch for lines that are lost.

    Returns:
        The record with those digests, and with this moment as its end unless it has one.
    """
    _force_to_disk(directory)
    ended = record.ended or datetime.now(UTC).isoformat(timespec="milliseconds")
    complete = replace(record, files=digests(directory), ended=ended)
    write_object(directory.record, complete.to_json())
    return complete


def _force_to_disk(directory: RecordDirectory) -> None:
    """Force the growing files to disk, and the name of their directory; all others were when they were written."""
    for name in GROWING:
        if is_regular(directory.path / name):
            with open_own(directory.path / name, os.O_RDONLY) as file:
                os.fsync(file.fileno())
    sync_folder(directory.path.parent)


def skip(directory: RecordDirectory, trial: Trial, reason: str) -> TrialRecord:
    """Write the row of a planned trial that was not run; files of an unfinished run are kept."""
    write_trial(directory, trial)
    return finish(directory, TrialRecord(status=Status.SKIPPED, reason=reason))


def fail(directory: RecordDirectory, trial: Trial, record: TrialRecord) -> TrialRecord:
    """Write the row of a trial whose process was lost, and remove its temporary files.

    Returns:
        The record with the digests of its files.
    """
    _remove_temporary_files(directory)
    write_trial(directory, trial)
    return finish(directory, record)


def digests(directory: RecordDirectory) -> dict[str, str]:
    """Return the SHA-256 of every file of the record but its end and its checkpoints, by name.

    Raises:
        UnreadableError: The system does not let this process read one.
    """
    files = [directory.path / name for name in SAVED]
    if not directory.samples.is_symlink():
        files += sorted(directory.samples.glob("epoch-*.png"))
    if not directory.kept.is_symlink():
        files += sorted(directory.kept.glob("epoch-*.safetensors"))
    return {
        file.relative_to(directory.path).as_posix(): hashlib.sha256(read_file(file)).hexdigest()
        for file in files
        if file.is_file() and not file.is_symlink()
    }


def _remove_temporary_files(directory: RecordDirectory) -> None:
    """Remove what killed processes were writing; the directory has one owner, who calls this."""
    for folder in (directory.path, directory.samples, directory.kept):
        remove_leftovers(folder, idle=0)


# --------------------------------------------------------------------- what a checkpoint knows of the record


def snapshot(directory: RecordDirectory) -> dict[str, object]:
    """Force the growing files to disk and return their lengths, so that a checkpoint never exceeds them.

    Returns:
        ``offsets``, the lengths of the growing files in bytes; ``digests``, the SHA-256 of these and of the samples.
    """
    offsets: dict[str, int] = {}
    found: dict[str, str] = {}
    for name in GROWING:
        with open_own(directory.path / name, os.O_RDONLY) as file:
            content = file.read()
            os.fsync(file.fileno())
        offsets[name], found[name] = len(content), hashlib.sha256(content).hexdigest()
    for path in sorted(directory.samples.glob("epoch-*.png")):
        found[f"{directory.samples.name}/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"offsets": offsets, "digests": found}


def truncate(directory: RecordDirectory, known: Mapping[str, Any]) -> str | None:
    """Truncate the growing files to the lengths in a checkpoint, and remove newer samples.

    Args:
        directory: The record.
        known: What ``snapshot`` returned; earlier versions kept no digests.

    Returns:
        Why the checkpoint cannot be used: what precedes it is not what it was. None when everything is.
    """
    offsets, found = known["offsets"], known.get("digests")
    for name in GROWING:
        head = read_file(directory.path / name)[: offsets[name]]
        if len(head) < offsets[name] or (found and hashlib.sha256(head).hexdigest() != found[name]):
            return f"{directory.path / name} is not what it was when the checkpoint was written"
    samples = {} if found is None else {name: value for name, value in found.items() if name not in GROWING}
    for name, value in samples.items():
        file = directory.path / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != value:
            there = "is not what was written" if file.is_file() else "is gone"
            return f"{file} {there}"
    for name in GROWING:
        with open_own(directory.path / name, os.O_RDWR) as file:
            file.truncate(offsets[name])
    if found is not None:
        for file in directory.samples.glob("epoch-*.png"):
            if f"{directory.samples.name}/{file.name}" not in samples:
                file.unlink()
    return None
