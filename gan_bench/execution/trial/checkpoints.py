"""When a trial's checkpoint is written, what it says of the record, and how a run resumes from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gan_bench.config.trial import Trial
from gan_bench.core.errors import RecordError, UnreadableError
from gan_bench.core.text import plural
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier, Identity
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.record import Failure, Status
from gan_bench.records.schema import EnvironmentFile
from gan_bench.training import checkpoint
from gan_bench.training.engine import Engine

CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 100
"""Checkpoints wait until the time since the last one is this many times what that one cost: they take under 1 %."""


class Checkpointer:
    """Saves one trial.

    Args:
        trial: The trial.
        directory: Its record.
        progress: Gives what the run must know beside the training state.
    """

    def __init__(
        self,
        trial: Trial,
        directory: RecordDirectory,
        progress: Callable[[], Mapping[str, object]],
    ) -> None:
        self._trial, self._directory, self._progress = trial, directory, progress
        self._saved, self._cost = time.monotonic(), 0.0

    def save_if_due(self, engine: Engine, least: float = 0.0) -> None:
        """Write a checkpoint when the last one is old enough, in seconds and against what it cost."""
        if time.monotonic() - self._saved > max(least, CHECKPOINT_SHARE * self._cost):
            self.save(engine)

    def save(self, engine: Engine) -> None:
        """Write a checkpoint."""
        started = time.monotonic()
        progress = {**writer.snapshot(self._directory), **self._progress()}
        state = checkpoint.Checkpoint(engine.state.state_dict(), progress)
        checkpoint.save(self._directory, self._trial.id, state)
        self._saved = time.monotonic()
        self._cost = self._saved - started

    def resume(self, engine: Engine) -> tuple[Mapping[str, object] | None, str | None]:
        """Load the newest checkpoint that fits the record.

        Returns:
            The progress that was saved with it, or None when none does; and why the newest was not it, or None.
        """
        newest = self._directory.checkpoint
        why = None if newest.exists() else f"{newest} is gone"
        for found in checkpoint.candidates(self._directory, self._trial.id):
            if not (newest.exists() or why):
                why = f"{newest} cannot be used"
            fault = writer.truncate(self._directory, found.progress)
            if fault is None:
                engine.state.load_state_dict(found.state)
                return found.progress, why
            why = why or fault
        return None, why or f"{newest} cannot be used"


def why_kept(earlier: Earlier, epochs: int) -> str | None:
    """Return why a record without a checkpoint is more than the beginning of a killed run, or None.

    Args:
        earlier: The record.
        epochs: Epochs of the whole training.
    """
    ended = earlier.record
    if earlier.directory.weights.exists():
        return f"{earlier.directory.record.name} is gone"
    stopped = ended is not None and (ended.status is Status.INTERRUPTED or ended.failure is Failure.TIMEOUT)
    if ended is not None and stopped and ended.steps:
        return "its checkpoint is gone"
    try:
        trained = earlier.epochs_trained()
    except UnreadableError:
        raise
    except RecordError:
        return "its history is damaged, and it has no checkpoint"
    if trained > 1 or trained == epochs:  # after the first epoch a run writes a checkpoint
        return f"its history tells of {plural(trained, 'epoch')}, and it has no checkpoint"
    if foreign := writer.foreign_files(earlier.directory):
        return f"it has no checkpoint, and {foreign[0]} is no file of a record"
    return None


def why_not_resumed(earlier: Earlier, described: EnvironmentFile, identity: Identity) -> str | None:
    """Return why an earlier part cannot be resumed: other images or networks, or another kind of device.

    CPU and CUDA draw different noise. Other thread counts and library versions only round differently; the
    trial is resumed and its environment lists them.
    """
    before = earlier.environment
    kinds = [str(facts.get("device")).partition(":")[0] for facts in (before, described)]
    if kinds[0] != kinds[1]:
        return f"it was interrupted on {kinds[0]} and cannot be resumed on {kinds[1]}"
    if changed := earlier.changed(identity):
        return changed
    watched, now = ("device", "engine", "threads", "libraries"), dict(described)
    changes = {key: now[key] for key in watched if before.get(key) != now[key]}
    if changes:
        writer.note_change(earlier.directory, before, changes)
    return None
