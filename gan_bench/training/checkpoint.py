"""One atomic file that holds where a trial stands, and the one before it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_bench.core.atomic import ASIDE, seal, unseal, write_atomically
from gan_bench.core.errors import RecordError, UnreadableError
from gan_bench.records.json_files import read_file
from gan_bench.records.layout import CHECKPOINT_MAGIC, RecordDirectory


@dataclass(frozen=True)
class Checkpoint:
    """Where a trial stood.

    Attributes:
        state: Tensors, on the CPU, and plain values of the training state.
        progress: Plain values of the runner: offsets of the history, seconds so far.
    """

    state: Mapping[str, object]
    progress: Mapping[str, object]


def save(directory: RecordDirectory, trial_id: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that at any instant a whole one is there; the one before it is kept beside it.

    Args:
        directory: Whose.
        trial_id: Identity of the trial, a hash of its config, checked on reading.
        checkpoint: Where the trial stands.

    Raises:
        OSError: The file cannot be written; the checkpoints that were there still are.
    """
    buffer = io.BytesIO()
    state = _copied(checkpoint.state)
    torch.save({"trial": trial_id, "state": state, "progress": dict(checkpoint.progress)}, buffer)
    _keep_previous(directory.checkpoint, directory.previous_checkpoint)
    write_atomically(directory.checkpoint, seal(buffer.getvalue(), CHECKPOINT_MAGIC))


def _keep_previous(current: Path, previous: Path) -> None:
    """Give the file that is about to be replaced a second name, so that no instant is without a whole checkpoint.

    After a kill at the wrong instant both names may be of one file already. A further link would then stay for good:
    renaming one name of a file onto another does nothing (POSIX ``rename``).
    """
    if not current.exists() or (previous.exists() and current.samefile(previous)):
        return
    aside = previous.with_name(f".{previous.name}{ASIDE}")
    aside.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a file system without hard links keeps one checkpoint
        aside.hardlink_to(current)
        aside.replace(previous)


def _copied(value: Any) -> Any:  # noqa: ANN401 - tensors and plain values, in containers
    """Copy tensors out of the memory they are views of, all of which would be written with them."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(each) for each in value)
    return value


def candidates(directory: RecordDirectory, trial_id: str) -> Iterator[Checkpoint]:
    """Yield the usable checkpoints of a trial, the newest first; unusable ones are set aside as ``.broken``.

    Nothing in a file is executed: only tensors and plain values are read.
    """
    for file in (directory.checkpoint, directory.previous_checkpoint):
        if not os.path.lexists(file):
            continue
        found = read(file, trial_id)
        if found is None:
            os.replace(file, file.with_name(f"{file.name}.broken"))  # noqa: PTH105
        else:
            yield found


def read(path: Path, trial_id: str) -> Checkpoint | None:
    """Read a checkpoint.

    Returns:
        None when it is damaged, of another version or of another trial.

    Raises:
        UnreadableError: The system does not let this process read it.
    """
    try:
        payload = unseal(read_file(path), CHECKPOINT_MAGIC)
    except UnreadableError:
        raise
    except RecordError:  # it is no file
        payload = None
    if payload is None:
        return None
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        found = Checkpoint(content["state"], content["progress"])
    except Exception:  # a file from elsewhere may raise anything
        return None
    return found if content["trial"] == trial_id else None


def exists(directory: RecordDirectory) -> bool:
    """True if there is a checkpoint, usable or not."""
    return directory.checkpoint.exists() or directory.previous_checkpoint.exists()


def remove(directory: RecordDirectory) -> None:
    """Remove a finished trial's checkpoints."""
    for file in (directory.checkpoint, directory.previous_checkpoint):
        file.unlink(missing_ok=True)
