"""Run one trial: resume or start, train, evaluate, record."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import save as save_safetensors

from gan_bench import environment
from gan_bench.atomic import write_atomically
from gan_bench.errors import UserError
from gan_bench.evaluation import sample_grid
from gan_bench.events import Listener, Progress
from gan_bench.scores import MEASURES, Score
from gan_bench.store import EVALUATIONS, HISTORY, RecordDirectory
from gan_bench.training import checkpoint
from gan_bench.training.engine import Engine
from gan_bench.trial import Status, Trial, TrialRecord
from gan_bench.workplace import Workplace

CHECKPOINT_SECONDS = 60.0
WINDOW_SECONDS = 5.0
"""Seconds of training between two looks at the clock: progress, checkpoints by time."""


class Diverged(Exception):  # noqa: N818 - it is an outcome, not an error
    """Training produced numbers that are not finite."""


class Interrupted(Exception):  # noqa: N818 - it is an outcome, not an error
    """Somebody asked the trial to stop."""


def run_trial(trial: Trial, directory: RecordDirectory, place: Workplace, listener: Listener) -> TrialRecord:
    """Run one trial to its end, whatever that is, and leave its record.

    Args:
        trial: The trial.
        directory: Where its record goes; a checkpoint found there is resumed.
        place: Where and how it runs.
        listener: Told how it goes.

    Returns:
        The record, as written.
    """
    run = _Run(trial, directory, place, listener)
    status, reason = Status.DONE, None
    try:
        run.to_the_end()
    except Interrupted:
        status, reason = Status.INTERRUPTED, "stopped on request; run the suite again to go on"
    except Diverged as outcome:
        status, reason = Status.DIVERGED, str(outcome)
    except torch.OutOfMemoryError:
        status, reason = Status.FAILED, f"out of memory on {place.device}; lower batch_size or samples"
    except UserError as error:
        status, reason = Status.FAILED, str(error)
    except Exception as error:
        status, reason = Status.FAILED, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    record = run.record(status, reason)
    try:
        directory.finish(record)
        if status in (Status.DONE, Status.DIVERGED):
            directory.checkpoint.unlink(missing_ok=True)
    except OSError as error:
        record = replace(record, status=Status.FAILED, reason=f"the record cannot be written: {error.strerror}")
    listener.finished(trial, record)
    return record


class _Run:
    """One trial under way."""

    def __init__(self, trial: Trial, directory: RecordDirectory, place: Workplace, listener: Listener) -> None:
        self.trial, self.config = trial, trial.config
        self.directory, self.place, self.listener = directory, place, listener
        self.train_seconds = 0.0
        self.evaluate_seconds = 0.0
        self.evaluated = -1
        self.scores: list[tuple[int, dict[str, float | None]]] = []
        self.epoch_means: dict[str, float] = {}
        self.engine: Engine | None = None
        self.weights_sha256: str | None = None
        self._saved = self._told = time.monotonic()
        self._rate = (0.0, 0)

    # ------------------------------------------------------------------------------------- the way

    def to_the_end(self) -> None:
        data = self.place.pictures(self.config.dataset, "train", self.config.image_size)
        described = environment.describe(self.place.device, "reference", data.sha256)
        if not self._can_go_on(described):
            self.directory.clear()
        self.directory.begin(self.trial, described)
        engine = self.engine = self.place.engine(self.config)
        resumed = self._resume(engine)
        self.listener.started(self.trial, engine.state.epoch if resumed else None)
        self._evaluate_if_due(engine)
        while engine.state.epoch < self.config.epochs:
            self._train_epoch(engine)
            self._save(engine)
            self._evaluate_if_due(engine)
        self._save_weights(engine)

    def _can_go_on(self, described: Mapping[str, Any]) -> bool:
        """Say whether an earlier part of the trial may be continued: same pictures, and a device of the same kind.

        CPU and CUDA draw different noise. Other thread counts and library versions only round differently; the
        trial goes on and its environment lists them.
        """
        before = self.directory.environment()
        if not self.directory.checkpoint.exists():
            return not before
        kinds = [str(facts.get("device")).partition(":")[0] for facts in (before, described)]
        if before.get("data_sha256") != described["data_sha256"] or kinds[0] != kinds[1]:
            return False
        changes = {key: described[key] for key in ("device", "threads", "libraries") if before[key] != described[key]}
        if changes:
            self.directory.note_change(before, changes)
        return True

    def _train_epoch(self, engine: Engine) -> None:
        state, every = engine.state, self.config.log_every
        while state.batch < engine.steps:
            if self.place.stop():
                self._save(engine)
                raise Interrupted
            before = state.step
            self._advance(engine, min(every - state.step % every, self._steps_in(WINDOW_SECONDS)))
            if state.step > before and state.step % every == 0:
                self._log_step(engine)
            elif time.monotonic() - self._told > WINDOW_SECONDS:
                self._tell(engine, engine.snapshot().last)
            if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
                self._save(engine)
        self._log_epoch(engine)
        engine.finish_epoch()

    def _advance(self, engine: Engine, most: int) -> None:
        started, before = time.perf_counter(), engine.state.step
        engine.advance(most, self.place.stop)
        at_tick = engine.state.step % self.config.log_every == 0 or engine.state.batch == engine.steps
        if self.place.device.type == "cuda" and at_tick:
            torch.cuda.synchronize(self.place.device)  # the tick waits anyway; here the wait counts as training
        seconds = time.perf_counter() - started
        self.train_seconds += seconds
        self._rate = (self._rate[0] + seconds, self._rate[1] + engine.state.step - before)

    # ----------------------------------------------------------------------------------- the record

    def _log_step(self, engine: Engine) -> None:
        state, last = engine.state, engine.snapshot().last
        line = {"kind": "step", "epoch": state.epoch + 1, "step": state.step, **last}
        self.directory.append(HISTORY, [line])
        self._check_finite(last, state.step)
        self._tell(engine, last)

    def _steps_in(self, wished: float) -> int:
        """Return how many steps fit into so many seconds, from the rate so far; slow nets must not go silent."""
        seconds, steps = self._rate
        return max(1, int(wished * steps / seconds)) if seconds else 1

    def _tell(self, engine: Engine, last: Mapping[str, float]) -> None:
        """Tell the listener where the trial stands."""
        state = engine.state
        seconds, steps = self._rate
        progress = Progress(
            epoch=state.epoch + 1,
            fraction=state.step / (engine.steps * self.config.epochs),
            values=last,
            images_per_second=steps * self.config.batch_size / seconds if seconds else 0.0,
        )
        self.listener.progress(self.trial, progress)
        self._told = time.monotonic()

    def _log_epoch(self, engine: Engine) -> None:
        state = engine.state
        snapshot = engine.snapshot()
        self.epoch_means = snapshot.mean
        line = {
            "kind": "epoch",
            "epoch": state.epoch + 1,
            "step": state.step,
            "images": self._images(engine, state.epoch + 1, 0),
            "train_seconds": round(self.train_seconds, 3),
            "mean": snapshot.mean,
            "last": snapshot.last,
        }
        self.directory.append(HISTORY, [line])
        self._check_finite({**snapshot.last, **{f"mean {k}": v for k, v in snapshot.mean.items()}}, state.step)

    def _check_finite(self, values: Mapping[str, float], step: int) -> None:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise Diverged(f"{bad[0]} is not finite at or before step {step}")

    def _images(self, engine: Engine, epochs: int, batches: int) -> int:
        """Count real pictures shown after so many epochs and further batches."""
        pictures = len(self.place.training_pictures(self.config)) * self.config.dataset_repeats
        size = self.config.batch_size
        per_epoch = engine.steps * size if self.config.last_batch == "drop" else pictures
        return epochs * per_epoch + min(batches * size, per_epoch)

    def record(self, status: Status, reason: str | None) -> TrialRecord:
        state = self.engine.state if self.engine else None
        images = self._images(self.engine, state.epoch, state.batch) if self.engine and state else 0
        final: dict[str, float | None] = dict(self.epoch_means)
        if self.scores:
            final.update(self.scores[-1][1])
        return TrialRecord(
            status=status,
            reason=reason,
            epochs=state.epoch if state else 0,
            steps=state.step if state else 0,
            images=images,
            final=final,
            best=best_scores(self.scores),
            train_seconds=round(self.train_seconds, 3),
            evaluate_seconds=round(self.evaluate_seconds, 3),
            weights_sha256=self.weights_sha256,
        )

    # ------------------------------------------------------------------------------------ evaluation

    def _evaluate_if_due(self, engine: Engine) -> None:
        state, config = engine.state, self.config
        if state.epoch not in config.evaluation.epochs or state.epoch <= self.evaluated:
            return
        started = time.perf_counter()
        self.directory.save_sample(state.epoch, sample_grid(state.generator, config))
        scores = self._score(engine)
        seconds = time.perf_counter() - started
        self.evaluate_seconds += seconds
        values = {score.name: score.value for score in scores}
        self.scores.append((state.epoch, values))
        self.evaluated = state.epoch
        line = {
            "epoch": state.epoch,
            "step": state.step,
            "images": self._images(engine, state.epoch, 0),
            "train_seconds": round(self.train_seconds, 3),
            "seconds": round(seconds, 3),
            "scores": [score.to_json() for score in scores],
        }
        self.directory.append(EVALUATIONS, [line])
        self._save(engine)
        self.listener.scored(self.trial, state.epoch, values)

    def _score(self, engine: Engine) -> list[Score]:
        last = engine.state.epoch == self.config.epochs
        draws = self.config.evaluation.draws if last else 1
        return self.place.evaluator(self.config).evaluate(engine.state.generator, self.config, draws)

    # ------------------------------------------------------------------------- checkpoint and weights

    def _save(self, engine: Engine) -> None:
        progress = {
            "offsets": self.directory.offsets(),
            "train_seconds": self.train_seconds,
            "evaluate_seconds": self.evaluate_seconds,
            "evaluated": self.evaluated,
            "scores": [[epoch, values] for epoch, values in self.scores],
            "epoch_means": self.epoch_means,
        }
        checkpoint.save(self.directory.checkpoint, self.trial.id, engine.state.state_dict(), progress)
        self._saved = time.monotonic()

    def _resume(self, engine: Engine) -> bool:
        found = checkpoint.load(self.directory.checkpoint, self.trial.id)
        if found is None or not self.directory.cut_back(found[1]["offsets"]):
            self.directory.cut_back(dict.fromkeys((HISTORY, EVALUATIONS), 0))
            return False
        state, progress = found
        engine.state.load_state_dict(state)
        self._take_over(progress)
        return True

    def _take_over(self, progress: Mapping[str, Any]) -> None:
        self.train_seconds = progress["train_seconds"]
        self.evaluate_seconds = progress["evaluate_seconds"]
        self.evaluated = progress["evaluated"]
        self.scores = [(epoch, values) for epoch, values in progress["scores"]]
        self.epoch_means = progress["epoch_means"]

    def _save_weights(self, engine: Engine) -> None:
        tensors = {k: v.detach().cpu().contiguous() for k, v in engine.state.generator.state_dict().items()}
        # One metadata key only: safetensors writes several in an order that changes from process to process.
        data = save_safetensors(tensors, metadata={"trial": self.trial.id})
        write_atomically(self.directory.weights, data)
        self.weights_sha256 = hashlib.sha256(data).hexdigest()


def best_scores(scores: list[tuple[int, dict[str, float | None]]]) -> dict[str, dict[str, float]]:
    """Pick the best value of every score over a trial's evaluations, with its epoch."""
    best: dict[str, dict[str, float]] = {}
    for epoch, values in scores:
        for name, value in values.items():
            if value is None or epoch == 0:
                continue
            sign = 1 if MEASURES[name.split("[")[0]].lower_is_better else -1
            if name not in best or sign * value < sign * best[name]["value"]:
                best[name] = {"value": value, "epoch": epoch}
    return best
