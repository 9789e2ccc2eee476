"""One atomic file that holds where a trial stands, and the one before it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_bench.core.atomic import ASIDE, write_atomically

_MAGIC = b"gan_bench checkpoint 2\n"
_DIGEST = 64


@dataclass(frozen=True)
class Checkpoint:
    """Where a trial stood.

    Attributes:
        state: Tensors, on the CPU, and plain values of the training state.
        progress: Plain values of the runner: offsets of the history, seconds so far.
    """

    state: Mapping[str, Any]
    progress: Mapping[str, Any]


def previous(path: Path) -> Path:
    """Return where the checkpoint before the last lies."""
    return path.with_name(f"{path.name}.previous")


def save(path: Path, trial_id: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that at any instant a whole one is there; the one before it is kept beside it.

    Args:
        path: The file.
        trial_id: Identity of the trial, a hash of its config, checked on reading.
        checkpoint: Where the trial stands.

    Raises:
        OSError: The file cannot be written; the checkpoints that were there still are.
    """
    buffer = io.BytesIO()
    state = _copied(checkpoint.state)
    torch.save({"trial": trial_id, "state": state, "progress": dict(checkpoint.progress)}, buffer)
    payload = buffer.getvalue()
    older = previous(path).with_name(f".{previous(path).name}{ASIDE}")
    if path.exists():  # a second name for the old file first, so that no instant is without one
        older.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a file system without hard links keeps one checkpoint
            older.hardlink_to(path)
            older.replace(previous(path))
    write_atomically(path, _MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def _copied(value: Any) -> Any:  # noqa: ANN401 - tensors and plain values, in containers
    """Copy tensors out of whatever memory they are views of, all of which would be written with them."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(each) for each in value)
    return value


def candidates(path: Path, trial_id: str) -> Iterator[Checkpoint]:
    """Yield the usable checkpoints of a trial, the newest first; unusable ones are set aside as ``.broken``.

    Nothing in a file is executed: only tensors and plain values are read.
    """
    for file in (path, previous(path)):
        if not file.exists():
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
    """
    data = path.read_bytes()
    head, payload = data[: len(_MAGIC) + _DIGEST + 1], data[len(_MAGIC) + _DIGEST + 1 :]
    if head != _MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n":
        return None
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        found = Checkpoint(content["state"], content["progress"])
    except Exception:  # a inputs_changed file may raise anything
        return None
    return found if content["trial"] == trial_id else None


def remove(path: Path) -> None:
    """Remove a finished trial's checkpoints."""
    for file in (path, previous(path)):
        file.unlink(missing_ok=True)
