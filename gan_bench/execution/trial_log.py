"""The lines that a trial adds to its history and its evaluations; ``gan_bench.records.schema`` documents their keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gan_bench.config.trial import TrialConfig
from gan_bench.records import writer
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.record import Score
from gan_bench.training.engine import Engine, Snapshot


class TrialLog:
    """Writes the lines of one trial.

    Args:
        directory: Its record.
        config: The trial.
    """

    def __init__(self, directory: RecordDirectory, config: TrialConfig) -> None:
        self._directory, self._config = directory, config

    def step(self, engine: Engine, seen: Snapshot) -> None:
        """Write where the trial stands at a log interval."""
        line = {"kind": "step", "epoch": engine.state.epoch + 1, "step": engine.state.step, **seen.last}
        writer.append(self._directory.history, [line])

    def epoch(self, engine: Engine, seen: Snapshot, train_seconds: float) -> None:
        """Write what an epoch came to, before the engine closes it."""
        position = self._position(engine, engine.state.epoch + 1, train_seconds)
        line = {"kind": "epoch", **position, "mean": seen.mean, "last": seen.last}
        writer.append(self._directory.history, [line])

    def evaluation(self, engine: Engine, scores: Iterable[Score], train_seconds: float, seconds: float) -> None:
        """Write the scores of an evaluation, which took so many seconds."""
        position = self._position(engine, engine.state.epoch, train_seconds)
        line = {**position, "seconds": round(seconds, 3), "scores": [score.to_json() for score in scores]}
        writer.append(self._directory.evaluations, [line])

    def images(self, engine: Engine, epochs: int, batches: int) -> int:
        """Count real images shown after so many epochs and further batches."""
        shown = engine.shown
        size = self._config.batch_size
        per_epoch = engine.steps * size if self._config.last_batch == "drop" else shown
        return epochs * per_epoch + min(batches * size, per_epoch)

    def _position(self, engine: Engine, epochs: int, train_seconds: float) -> dict[str, Any]:
        return {
            "epoch": epochs,
            "step": engine.state.step,
            "images": self.images(engine, epochs, 0),
            "train_seconds": round(train_seconds, 3),
        }
