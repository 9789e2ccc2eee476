"""Run one trial: resume or start, train, evaluate, record."""

from __future__ import annotations

import contextlib
import hashlib
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from safetensors.torch import save as save_safetensors
from torch import nn

from gan_bench.config.trial import Trial
from gan_bench.core.atomic import write_atomically
from gan_bench.core.errors import DataError, is_stop
from gan_bench.execution.trial import checkpoints, environment
from gan_bench.execution.trial.checkpoints import CHECKPOINT_SECONDS, Checkpointer
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import made_of_other
from gan_bench.execution.trial.events import (
    Diverged,
    Finished,
    Interrupted,
    Listener,
    Progress,
    Run,
    Scored,
    Started,
    StepRequest,
    TimeLimit,
    classify,
)
from gan_bench.execution.trial.meter import Meter
from gan_bench.metrics.evaluator import Evaluator, sample_grid
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import DAMAGED, SUPERSEDED, RecordDirectory
from gan_bench.records.record import Score, Status, TrialRecord, best_scores
from gan_bench.training.engine import Engine, Snapshot

TICK_SECONDS = 5.0
"""Seconds of training between two checks of the clock: progress, checkpoints by time."""


def blocked(reason: str) -> TrialRecord:
    """Return the end of a trial that can neither be read nor run here; nothing of it is written."""
    return TrialRecord(status=Status.SKIPPED, reason=reason)


def run_trial(
    trial: Trial,
    directory: RecordDirectory,
    context: RunContext,
    listener: Listener,
    time_limit: float | None = None,
) -> Run[TrialRecord]:
    """Run one trial to its end, of any status, and write its record.

    Args:
        trial: The trial; the caller holds its lock.
        directory: Its record; a checkpoint found there is resumed, and without one the beginning there goes.
        context: Where and how it runs.
        listener: Receives progress events.
        time_limit: Seconds of training and evaluation, those of earlier parts included, after which the trial fails;
            its checkpoint stays, so that a longer limit continues.

    Returns:
        The record, as written. A trial whose images or weights cannot be read before its first step has not begun: its
        record says so and is not written.
    """
    run = _TrialRun(trial, directory, context, listener, time_limit)
    status, failure, reason = Status.DONE, None, None
    try:
        yield from run.to_the_end()
    except BaseException as error:  # networks and losses may be third-party code
        if is_stop(error) or (run.waiting and isinstance(error, GeneratorExit)):  # it is closed
            run.let_go()
            raise
        if isinstance(error, DataError) and run.engine is None:  # a network folder may be away for a moment
            run.let_go()
            return blocked(str(error))
        status, failure, reason = classify(error, context.device, directory.path)
    record = replace(run.record(), status=status, failure=failure, reason=reason)
    run.let_go()
    try:
        record = writer.finish(directory, record)
    except OSError as error:
        if status is Status.FAILED:  # the first fault tells more
            reason = f"{reason} (nor can its record be written)"
        else:
            _, failure, reason = classify(error, context.device, directory.path)
            reason = f"the record cannot be written: {reason}"
        record = replace(record, status=Status.FAILED, failure=failure, reason=reason)
    if record.status in (Status.DONE, Status.DIVERGED):
        with contextlib.suppress(OSError):  # a remaining checkpoint does no harm
            checkpoints.remove(directory)
    listener(Finished(trial, record))
    return record


def keep_aside(trial: Trial, directory: RecordDirectory, why: str, folder: str) -> None:
    """Keep what cannot be continued out of the way, and say so."""
    kept = writer.set_aside(directory, folder, why)
    warn_of(trial, f"{why}; training from the start, what was there is kept in {kept}")


def warn_of(trial: Trial, text: str) -> None:
    """Warn of a trial."""
    warnings.warn(f"{trial.name}: {text}", RuntimeWarning, stacklevel=3)


class _TrialRun:
    """One trial under way."""

    def __init__(
        self,
        trial: Trial,
        directory: RecordDirectory,
        context: RunContext,
        listener: Listener,
        time_limit: float | None,
    ) -> None:
        self.trial, self.config, self.directory = trial, trial.config, directory
        self.context, self.listener = context, listener
        self.meter = Meter(context.device, time_limit)
        self.checkpointer = Checkpointer(trial, self.directory, self._progress, lambda: self.meter.sharing)
        self.engine: Engine | None = None
        self.evaluator: Evaluator | None = None
        self.scores: list[tuple[int, dict[str, float | None]]] = []
        self.epoch_means: dict[str, float] = {}
        self.weights_sha256: str | None = None
        self.waiting = False
        self._reported = time.monotonic()

    def let_go(self) -> None:
        """Let go of networks and optimizers at once: the checkpointer's way back here is a cycle that holds them."""
        self.engine = self.evaluator = None
        del self.checkpointer

    def to_the_end(self) -> Run[None]:
        """Train what is left, evaluate at the epochs that are asked for, and keep the generator."""
        engine = self._start()
        try:
            self._evaluate_if_due(engine)
            while engine.state.epoch < self.config.epochs:
                yield from self._train_epoch(engine)
                self.checkpointer.save_if_due(engine)
                self._evaluate_if_due(engine)
        except (Interrupted, TimeLimit):
            self.checkpointer.save(engine)
            raise
        self._save_weights(engine)

    # ------------------------------------------------------------------------------------- resume or start

    def _start(self) -> Engine:
        writer.write_trial(self.directory, self.trial)
        if self.context.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.context.device)
        identity, engine = self.context.identity(self.config), self.context.engine(self.config)
        self.evaluator = self.context.evaluator(self.config)
        described = environment.describe_environment(self.context.device, engine.name, identity, self.config.precision)
        if self.directory.has_checkpoint and (why := made_of_other(Earlier(self.directory), identity)):
            keep_aside(self.trial, self.directory, why, SUPERSEDED)
        self.directory.record.unlink(missing_ok=True)  # a kill must not leave an outdated end
        had_checkpoint = self.directory.has_checkpoint
        if had_checkpoint:
            checkpoints.note_changes(self.directory, described)
        else:
            writer.clear(self.directory)  # without a checkpoint, nothing can be resumed
        writer.begin(self.directory, self.trial, described)
        self.engine = engine
        progress, unusable = self.checkpointer.resume(engine)
        if progress is not None:
            self._load_progress(progress)
            engine.way = self.meter.way
            if unusable:
                warn_of(self.trial, f"{unusable}; it goes on from an older checkpoint")
        elif had_checkpoint:
            keep_aside(self.trial, self.directory, f"no checkpoint fits, as {unusable}", DAMAGED)
            writer.begin(self.directory, self.trial, described)
        self.listener(Started(self.trial, None if progress is None else engine.state.epoch))
        return engine

    def _progress(self) -> dict[str, object]:
        """Return what a checkpoint keeps beside the training state."""
        return {
            **self.meter.state_dict(),
            # version 0.1.0 reads this key when it resumes
            "evaluated": self.scores[-1][0] if self.scores else -1,
            "scores": [[epoch, values] for epoch, values in self.scores],
            "epoch_means": self.epoch_means,
        }

    def _load_progress(self, progress: Mapping[str, Any]) -> None:
        self.meter.load_state_dict(progress)
        self.scores = [(epoch, values) for epoch, values in progress["scores"]]
        self.epoch_means = progress["epoch_means"]

    # ------------------------------------------------------------------------------------------------ train

    def _train_epoch(self, engine: Engine) -> Run[None]:
        state, every = engine.state, self.config.log_every
        while state.batch < engine.steps:
            self._halt_if_asked(time.perf_counter())
            before = state.step
            per_tick = max(1, int(TICK_SECONDS * (self.meter.steps_per_second or 0)))  # slow nets must not go silent
            yield from self._advance(engine, min(every - state.step % every, per_tick))
            if state.step > before and state.step % every == 0:
                self._log_step(engine)
            elif state.batch and time.monotonic() - self._reported > TICK_SECONDS:
                self._report(engine, engine.snapshot().last)
            self.checkpointer.save_if_due(engine, CHECKPOINT_SECONDS)
        self._log_epoch(engine)
        engine.finish_epoch()

    def _advance(self, engine: Engine, most: int) -> Run[None]:
        started, before = time.perf_counter(), engine.state.step
        self.waiting = True
        result = yield StepRequest(
            engine, most, lambda: self.context.stop() or self.meter.exceeds_limit(started, shared=True)
        )
        self.waiting = False
        at_tick = engine.state.step % self.config.log_every == 0 or engine.state.batch == engine.steps
        self.meter.add_steps(result, engine.state.step - before, at_tick=at_tick)

    def _halt_if_asked(self, since: float) -> None:
        """Raise where a stop was asked for, or the time limit is over with what has run since a time."""
        if self.context.stop():
            raise Interrupted
        if self.meter.exceeds_limit(since):
            raise TimeLimit(self.meter.limit)

    def _log_step(self, engine: Engine) -> None:
        state, seen = engine.state, engine.snapshot()
        self._log(seen, {"kind": "step", "epoch": state.epoch + 1, "step": state.step, **seen.last})
        self._report(engine, seen.last)

    def _log_epoch(self, engine: Engine) -> None:
        state, seen = engine.state, engine.snapshot()
        self.epoch_means = seen.mean
        position = self._position(engine, state.epoch + 1)
        self._log(seen, {"kind": "epoch", **position, "mean": seen.mean, "last": seen.last})
        if not state.finite():
            raise Diverged(f"weights are not finite at step {state.step}, the end of epoch {state.epoch + 1}")

    def _log(self, seen: Snapshot, line: dict[str, object]) -> None:
        """Write a line of the history; one whose numbers are not finite is the last."""
        writer.append(self.directory.history, [line])
        if seen.broken:
            step, name = seen.broken
            raise Diverged(f"{name} is not finite at step {step}")

    def _position(self, engine: Engine, epochs: int) -> dict[str, object]:
        return {
            "epoch": epochs,
            "step": engine.state.step,
            "images": self._images(engine, epochs, 0),
            "train_seconds": round(self.meter.train_seconds, 3),
        }

    def _images(self, engine: Engine, epochs: int, batches: int) -> int:
        """Count real images shown after so many epochs and further batches."""
        size = self.config.batch_size
        per_epoch = engine.steps * size if self.config.last_batch == "drop" else engine.shown
        return epochs * per_epoch + min(batches * size, per_epoch)

    def _report(self, engine: Engine, last: Mapping[str, float]) -> None:
        """Report to the listener where the trial stands."""
        state = engine.state
        progress = Progress(
            trial=self.trial,
            epoch=state.epoch + 1,
            fraction=state.step / (engine.steps * self.config.epochs),
            values=last,
            images_per_second=(self.meter.steps_per_second or 0.0) * self.config.batch_size,
        )
        self.listener(progress)
        self._reported = time.monotonic()

    # --------------------------------------------------------------------------------------------- evaluate

    def _evaluate_if_due(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if epoch not in self.config.evaluation.epochs or (self.scores and self.scores[-1][0] >= epoch):
            return
        started = time.perf_counter()
        try:
            writer.save_sample(self.directory, epoch, sample_grid(engine.state.generator, self.config))
            scores = self._score(engine, started)
        finally:
            seconds = time.perf_counter() - started
            self.meter.evaluate_seconds += seconds
        if self.config.evaluation.keep == "weights" and epoch < self.config.epochs:  # the last are kept anyway
            writer.keep_weights(self.directory, epoch, self._packed(engine.state.generator))
            if engine.state.average is not None:
                packed = self._packed(engine.state.average.module)
                writer.keep_weights(self.directory, epoch, packed, average=True)
        values = {score.name: score.value for score in scores}
        self.scores.append((epoch, values))
        line = {
            **self._position(engine, epoch),
            "seconds": round(seconds, 3),
            "scores": [score.to_json() for score in scores],
        }
        writer.append(self.directory.evaluations, [line])
        self.checkpointer.save_if_due(engine)
        self.listener(Scored(self.trial, epoch, values))

    def _score(self, engine: Engine, started: float) -> list[Score]:
        last = engine.state.epoch == self.config.epochs
        draws = self.config.evaluation.draws if last else 1
        evaluator = self.evaluator
        assert evaluator is not None  # noqa: S101 - a run that has started has one
        average = None if engine.state.average is None else engine.state.average.module
        halt = partial(self._halt_if_asked, started)
        return evaluator.evaluate(engine.state.generator, self.config, draws, halt, average=average)

    # ---------------------------------------------------------------------------------------------- the end

    def _save_weights(self, engine: Engine) -> None:
        data = self._packed(engine.state.generator)
        write_atomically(self.directory.weights, data)
        self.weights_sha256 = hashlib.sha256(data).hexdigest()
        if engine.state.average is not None:
            write_atomically(self.directory.average_weights, self._packed(engine.state.average.module))

    def _packed(self, network: nn.Module) -> bytes:
        # Copies: tied weights are one tensor under two names, which safetensors does not take.
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
        # One metadata key only: safetensors writes several in an order that changes from process to process.
        return save_safetensors(tensors, metadata={"trial": self.trial.id})

    def record(self) -> TrialRecord:
        """Return the record of the trial as far as it went."""
        engine = self.engine
        state = engine.state if engine else None
        final: dict[str, float | None] = dict(self.epoch_means)
        if self.scores:
            final.update(self.scores[-1][1])
        return TrialRecord(
            status=Status.DONE,
            reason=None,
            epochs=state.epoch if state else 0,
            steps=state.step if state else 0,
            images=self._images(engine, state.epoch, state.batch) if engine and state else 0,
            final=final,
            best=best_scores(self.scores),
            train_seconds=round(self.meter.train_seconds, 3),
            evaluate_seconds=round(self.meter.evaluate_seconds, 3),
            peak_memory_bytes=environment.peak_memory(self.context.device),
            energy_joules=self.meter.energy_joules,
            weights_sha256=self.weights_sha256,
            group=self.meter.group,
            captured=self.meter.captured,
            way=self.meter.way,
        )
