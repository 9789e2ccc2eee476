"""Run one trial: resume or start, train, evaluate, record.

A run is a coroutine: it asks for training steps and is told the seconds they took. Who grants them may let several
runs take their steps together (``gan_bench.execution.scheduler``); everything else of a trial is its own.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from safetensors.torch import save as save_safetensors

from gan_bench.config.trial import Trial
from gan_bench.core.atomic import write_atomically
from gan_bench.execution import environment
from gan_bench.execution.context import RunContext
from gan_bench.execution.events import Listener, Progress
from gan_bench.execution.failures import Diverged, Interrupted, TimeLimit, classify
from gan_bench.metrics.evaluator import sample_grid
from gan_bench.records.record import Score, Status, TrialRecord, best_scores
from gan_bench.records.store import EVALUATIONS, HISTORY, RecordDirectory
from gan_bench.training import checkpoint
from gan_bench.training.engine import Engine, Snapshot

T = TypeVar("T")

CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 100
"""Checkpoints wait until the time since the last one is this many times what that one cost: they take under 1 %."""
WINDOW_SECONDS = 5.0
"""Seconds of training between two looks at the clock: progress, checkpoints by time."""


@dataclass(frozen=True)
class StepRequest:
    """What a run asks for.

    Attributes:
        engine: Whose steps.
        most: How many at most; fewer come at an epoch's end.
        stop: Says that no more are wanted.
    """

    engine: Engine
    most: int
    stop: Callable[[], bool]


@dataclass(frozen=True)
class StepResult:
    """What a run is told when it has taken steps.

    Attributes:
        seconds: What they took; of runs that take their steps together, an equal share.
        group: How many runs took them together.
        captured: Whether they were replayed from a CUDA graph.
    """

    seconds: float
    group: int = 1
    captured: bool = False


Run = Generator[StepRequest, StepResult, T]


def run_trial(
    trial: Trial,
    directory: RecordDirectory,
    context: RunContext,
    listener: Listener,
    time_limit: float | None = None,
    owned: Callable[[], bool] = lambda: True,
) -> Run[TrialRecord]:
    """Run one trial to its end, whatever that is, and leave its record.

    Args:
        trial: The trial.
        directory: Where its record goes; a checkpoint found there is resumed.
        context: Where and how it runs.
        listener: Told how it goes.
        time_limit: Seconds of training and evaluation, those of earlier parts included, after which the trial fails;
            its checkpoint stays, so that a longer limit goes on.
        owned: Says whether the directory is still ours to write in.

    Returns:
        The record, as written.
    """
    run = _Run(trial, directory, context, listener, time_limit, owned)
    status, failure, reason = Status.DONE, None, None
    try:
        yield from run.to_the_end()
    except Exception as error:
        status, failure, reason = classify(error, context.device)
    record = replace(run.record(), status=status, failure=failure, reason=reason)
    if not owned():
        record = replace(record, status=Status.INTERRUPTED, failure=None, reason="another process took the trial over")
    else:
        try:
            record = directory.finish(record)
            if status in (Status.DONE, Status.DIVERGED):
                checkpoint.remove(directory.checkpoint)
        except OSError as error:
            _, failure, reason = classify(error, context.device)
            reason = f"the record cannot be written: {reason}"
            record = replace(record, status=Status.FAILED, failure=failure, reason=reason)
    listener.finished(trial, record)
    return record


class _Run:
    """One trial under way."""

    def __init__(
        self,
        trial: Trial,
        directory: RecordDirectory,
        context: RunContext,
        listener: Listener,
        time_limit: float | None,
        owned: Callable[[], bool],
    ) -> None:
        self.trial, self.config = trial, trial.config
        self.directory, self.context, self.listener = directory, context, listener
        self.time_limit, self.owned = time_limit, owned
        self.train_seconds = 0.0
        self.evaluate_seconds = 0.0
        self.energy_joules: float | None = None
        self.group = self._sharing = 1
        self.captured = False
        self.evaluated = -1
        self.scores: list[tuple[int, dict[str, float | None]]] = []
        self.epoch_means: dict[str, float] = {}
        self.engine: Engine | None = None
        self.weights_sha256: str | None = None
        self._saved = self._told = time.monotonic()
        self._save_seconds = self._metered = 0.0
        self._rate = (0.0, 0)

    # ------------------------------------------------------------------------------------- the way

    def to_the_end(self) -> Run[None]:
        self.directory.describe(self.trial)
        if self.context.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.context.device)
        identity = self.context.identity(self.config)
        engine = self.context.engine(self.config)
        described = environment.describe(self.context.device, engine.name, identity)
        if not self._can_go_on(described, identity):
            self.directory.clear()
        self.directory.begin(self.trial, described)
        self.engine = engine
        resumed = self._resume(engine)
        self.listener.started(self.trial, engine.state.epoch if resumed else None)
        try:
            self._evaluate_if_due(engine)
            while engine.state.epoch < self.config.epochs:
                yield from self._train_epoch(engine)
                self._save_if_due(engine, 0)
                self._evaluate_if_due(engine)
        except (Interrupted, TimeLimit):
            self._save(engine)
            raise
        self._save_weights(engine)

    def _can_go_on(self, described: Mapping[str, Any], identity: Mapping[str, str]) -> bool:
        """Say whether an earlier part may be continued: same images and networks, and a device of the same kind.

        CPU and CUDA draw different noise. Other thread counts and library versions only round differently; the
        trial goes on and its environment lists them.
        """
        before = self.directory.environment()
        if not any(p.exists() for p in (self.directory.checkpoint, checkpoint.previous(self.directory.checkpoint))):
            return not before
        kinds = [str(facts.get("device")).partition(":")[0] for facts in (before, described)]
        if kinds[0] != kinds[1] or self.directory.inputs_changed(identity):
            return False
        watched = ("device", "engine", "threads", "libraries")
        changes = {key: described[key] for key in watched if before.get(key) != described[key]}
        if changes:
            self.directory.note_change(before, changes)
        return True

    def _train_epoch(self, engine: Engine) -> Run[None]:
        state, every = engine.state, self.config.log_every
        while state.batch < engine.steps:
            self._halt_if_asked()
            before = state.step
            yield from self._advance(engine, min(every - state.step % every, self._steps_in(WINDOW_SECONDS)))
            if state.step > before and state.step % every == 0:
                self._log_step(engine)
            elif state.batch and time.monotonic() - self._told > WINDOW_SECONDS:
                self._tell(engine, engine.snapshot().last)
            self._save_if_due(engine, CHECKPOINT_SECONDS)
        self._log_epoch(engine)
        engine.finish_epoch()

    def _advance(self, engine: Engine, most: int) -> Run[None]:
        started, before = time.perf_counter(), engine.state.step
        grant = yield StepRequest(engine, most, lambda: self.context.stop() or self._out_of_time(started))
        seconds = grant.seconds
        self.group = max(self.group, grant.group)
        self.captured = self.captured or grant.captured
        self.train_seconds += seconds
        at_tick = engine.state.step % self.config.log_every == 0 or engine.state.batch == engine.steps
        if at_tick and (watts := environment.power_watts(self.context.device)) is not None:
            self.energy_joules = (self.energy_joules or 0.0) + watts * (self.train_seconds - self._metered)
            self._metered = self.train_seconds
        self._sharing = grant.group
        self._rate = (self._rate[0] + seconds * grant.group, self._rate[1] + engine.state.step - before)

    def _out_of_time(self, since: float) -> bool:
        """Say whether the time limit is reached, counting what has run since then and is not yet in the sums."""
        spent = self.train_seconds + self.evaluate_seconds + (time.perf_counter() - since) / self._sharing
        return self.time_limit is not None and spent > self.time_limit

    def _halt_if_asked(self, since: float | None = None) -> None:
        if self.context.stop():
            raise Interrupted
        if self._out_of_time(time.perf_counter() if since is None else since):
            raise TimeLimit(f"the time limit of {self.time_limit:g} s is reached; raise it and run with --retry-failed")

    # ----------------------------------------------------------------------------------- the record

    def _log_step(self, engine: Engine) -> None:
        state, seen = engine.state, engine.snapshot()
        line = {"kind": "step", "epoch": state.epoch + 1, "step": state.step, **seen.last}
        self.directory.append(HISTORY, [line])
        _check_finite(seen)
        self._tell(engine, seen.last)

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
        _check_finite(snapshot)
        if not state.finite():
            raise Diverged(f"weights are not finite at step {state.step}, the end of epoch {state.epoch + 1}")

    def _images(self, engine: Engine, epochs: int, batches: int) -> int:
        """Count real images shown after so many epochs and further batches."""
        images = len(self.context.training_images(self.config)) * self.config.dataset_repeats
        size = self.config.batch_size
        per_epoch = engine.steps * size if self.config.last_batch == "drop" else images
        return epochs * per_epoch + min(batches * size, per_epoch)

    def record(self) -> TrialRecord:
        """Return the record of the trial as far as it went."""
        state = self.engine.state if self.engine else None
        images = self._images(self.engine, state.epoch, state.batch) if self.engine and state else 0
        final: dict[str, float | None] = dict(self.epoch_means)
        if self.scores:
            final.update(self.scores[-1][1])
        return TrialRecord(
            status=Status.DONE,
            reason=None,
            epochs=state.epoch if state else 0,
            steps=state.step if state else 0,
            images=images,
            final=final,
            best=best_scores(self.scores),
            train_seconds=round(self.train_seconds, 3),
            evaluate_seconds=round(self.evaluate_seconds, 3),
            peak_memory_bytes=environment.peak_memory(self.context.device),
            energy_joules=self.energy_joules,
            weights_sha256=self.weights_sha256,
            group=self.group,
            captured=self.captured,
        )

    # ------------------------------------------------------------------------------------ evaluation

    def _evaluate_if_due(self, engine: Engine) -> None:
        state, config = engine.state, self.config
        if state.epoch not in config.evaluation.epochs or state.epoch <= self.evaluated:
            return
        started = time.perf_counter()
        try:
            self.directory.save_sample(state.epoch, sample_grid(state.generator, config))
            scores = self._score(engine, started)
        finally:
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
        self._save_if_due(engine, 0)
        self.listener.scored(self.trial, state.epoch, values)

    def _score(self, engine: Engine, started: float) -> list[Score]:
        last = engine.state.epoch == self.config.epochs
        draws = self.config.evaluation.draws if last else 1
        evaluator = self.context.evaluator(self.config)
        return evaluator.evaluate(
            engine.state.generator, self.config, draws, between=lambda: self._halt_if_asked(started)
        )

    # ------------------------------------------------------------------------- checkpoint and weights

    def _save_if_due(self, engine: Engine, least: float) -> None:
        """Write a checkpoint when the last one is old enough, in seconds and against what it cost."""
        if time.monotonic() - self._saved > max(least, CHECKPOINT_SHARE * self._save_seconds):
            self._save(engine)

    def _save(self, engine: Engine) -> None:
        if not self.owned():
            raise Interrupted
        started = time.monotonic()
        progress = {
            "offsets": self.directory.fsync(),
            "train_seconds": self.train_seconds,
            "evaluate_seconds": self.evaluate_seconds,
            "energy_joules": self.energy_joules,
            "evaluated": self.evaluated,
            "scores": [[epoch, values] for epoch, values in self.scores],
            "epoch_means": self.epoch_means,
            "group": self.group,
            "captured": self.captured,
        }
        stand = checkpoint.Checkpoint(engine.state.state_dict(), progress)
        checkpoint.save(self.directory.checkpoint, self.trial.id, stand)
        self._saved = time.monotonic()
        self._save_seconds = self._saved - started

    def _resume(self, engine: Engine) -> bool:
        for found in checkpoint.candidates(self.directory.checkpoint, self.trial.id):
            if self.directory.truncate(found.progress["offsets"]):
                engine.state.load_state_dict(found.state)
                self._take_over(found.progress)
                return True
        self.directory.truncate(dict.fromkeys((HISTORY, EVALUATIONS), 0))
        return False

    def _take_over(self, progress: Mapping[str, Any]) -> None:
        self.train_seconds = progress["train_seconds"]
        self.evaluate_seconds = progress["evaluate_seconds"]
        self.energy_joules, self._metered = progress["energy_joules"], self.train_seconds
        self.evaluated = progress["evaluated"]
        self.scores = [(epoch, values) for epoch, values in progress["scores"]]
        self.epoch_means = progress["epoch_means"]
        self.group = progress.get("group", 1)
        self.captured = progress.get("captured", False)

    def _save_weights(self, engine: Engine) -> None:
        tensors = {k: v.detach().cpu().contiguous() for k, v in engine.state.generator.state_dict().items()}
        # One metadata key only: safetensors writes several in an order that changes from process to process.
        data = save_safetensors(tensors, metadata={"trial": self.trial.id})
        write_atomically(self.directory.weights, data)
        self.weights_sha256 = hashlib.sha256(data).hexdigest()


def _check_finite(seen: Snapshot) -> None:
    if seen.broken:
        step, name = seen.broken
        raise Diverged(f"{name} is not finite at step {step}")
