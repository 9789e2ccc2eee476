"""A trial's checkpoints: when one is written, what it says of the record, and how a run resumes from it.

A checkpoint is one atomic file that holds where a trial stands; the one before it is kept beside it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_bench.config.trial import Trial
from gan_bench.core.atomic import ASIDE, seal, unseal, write_atomically
from gan_bench.core.errors import DamagedError
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier, refuse_other_format
from gan_bench.records.json_files import read_file
from gan_bench.records.layout import CHECKPOINT_MAGIC, RecordDirectory
from gan_bench.records.schema import EnvironmentFile
from gan_bench.training.engine import Engine

CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 100
"""Checkpoints wait until the time since the last one is this many times what that one cost, and those of trials that
train together with it, which all wait for it: they take under 1 %."""
LOST_SECONDS = 900.0
"""Training that a kill may cost a large group; its checkpoints take more than their share then: 64 that save for half a
second each, 4 %."""


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
            os.replace(file, _free_name(file))  # noqa: PTH105
        else:
            yield found


def _free_name(file: Path) -> Path:
    """Return a name for a checkpoint that cannot be used; what was set aside before keeps its own."""
    names = (file.with_name(f"{file.name}{f'.{number}' if number > 1 else ''}.broken") for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def read(path: Path, trial_id: str) -> Checkpoint | None:
    """Read a checkpoint.

    Returns:
        None when it is damaged or of another trial.

    Raises:
        UnreadableError: The system does not let this process read it, or another version of gan_bench wrote it.
    """
    refuse_other_format(path)
    try:
        payload = unseal(read_file(path), CHECKPOINT_MAGIC)
    except DamagedError:  # a link, a folder or a device
        payload = None
    if payload is None:
        return None
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        found = Checkpoint(content["state"], content["progress"])
    except Exception:  # a file from elsewhere may raise anything
        return None
    return found if content["trial"] == trial_id else None


def remove(directory: RecordDirectory) -> None:
    """Remove a finished trial's checkpoints."""
    for file in (directory.checkpoint, directory.previous_checkpoint):
        file.unlink(missing_ok=True)


class Checkpointer:
    """Saves one trial.

    Args:
        trial: The trial.
        directory: Its record.
        progress: Gives what the run must know beside the training state.
        together: Gives how many trials train together now.
    """

    def __init__(
        self,
        trial: Trial,
        directory: RecordDirectory,
        progress: Callable[[], Mapping[str, object]],
        together: Callable[[], int],
    ) -> None:
        self._trial, self._directory, self._progress, self._together = trial, directory, progress, together
        self._saved, self._cost = time.monotonic(), 0.0

    def save_if_due(self, engine: Engine, least: float = 0.0) -> None:
        """Write a checkpoint when the last one is old enough, in seconds and against what it cost."""
        alone = CHECKPOINT_SHARE * self._cost
        if time.monotonic() - self._saved > max(least, min(alone * self._together(), max(alone, LOST_SECONDS))):
            self.save(engine)

    def save(self, engine: Engine) -> None:
        """Write a checkpoint."""
        started = time.monotonic()
        progress = {**writer.snapshot(self._directory), **self._progress()}
        save(self._directory, self._trial.id, Checkpoint(engine.state.state_dict(), progress))
        self._saved = time.monotonic()
        self._cost = self._saved - started

    def resume(self, engine: Engine) -> tuple[Mapping[str, object] | None, str | None]:
        """Load the newest checkpoint that fits the record.

        Returns:
            The progress that was saved with it, or None when none does; and why the newest was not it, or None.
        """
        newest = self._directory.checkpoint
        why = None if newest.exists() else f"{newest} is gone"
        for found in candidates(self._directory, self._trial.id):
            if not (newest.exists() or why):
                why = f"{newest} cannot be used"
            fault = writer.truncate(self._directory, found.progress)
            if fault is None:
                engine.state.load_state_dict(found.state)
                return found.progress, why
            why = why or fault
        return None, why or f"{newest} cannot be used"


def note_changes(directory: RecordDirectory, described: EnvironmentFile) -> None:
    """Write down what has changed of the environment of a trial that is resumed."""
    before, now = Earlier(directory).environment, dict(described)
    watched = ("device", "device_name", "engine", "threads", "libraries", "held_out_sha256")
    known = {key: value for part in (before, *before.get("changes", ())) for key, value in part.items()}
    if changes := {key: now[key] for key in watched if key in known and known[key] != now[key]}:
        writer.note_change(directory, before, changes)
