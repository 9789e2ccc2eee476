"""How long a plan will take, from a short measurement of every kind of step."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import is_of_cuda, is_out_of_memory
from gan_bench.core.preparing import report_progress
from gan_bench.core.sources import calling
from gan_bench.core.text import trained_parts
from gan_bench.core.torch_settings import torch_settings_kept
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.environment import choose_device, unusable
from gan_bench.execution.workers.job import group_trials, shape_key
from gan_bench.metrics.evaluator import generated_chunks
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.metrics.reference import CHUNK
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.models.losses import LOSSES
from gan_bench.training.draws import steps_per_epoch
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group.group import CapturedEngine, Group, can_group

MEASURED = 2000
"""Most images of the evaluation that is timed."""
WORKER_START = 4.0
"""Seconds a worker process needs before its first step, to load torch, images and extractors: 3.1 were measured on
an AMD EPYC, and other machines are slower."""
GROUPS = {"cpu": (), "cuda": (4, 16, 64)}
"""Sizes of groups that are tried, by the kind of device; on a CPU, stacking was measured not to pay."""
WORTH = 0.97
"""Share of the time until all trials of a kind have ended that one group less may take, to be worth the memory."""
GroupLimit = Literal["trials", "rate", "failed", "tried", "asked"]
"""Why no more trials train together: there are no more, more would end later, more failed when they were tried, no more
were tried, or so many were asked for."""
GROUP_STEPS = 20
FEWEST_STEPS = 50
"""Steps that are measured of however short a trial: longer ones of its kind are expected to be as fast."""


@dataclass(frozen=True)
class Pace:
    """How fast trials of one kind go.

    Attributes:
        group: How many should train together.
        limit: What limits this number; None where nothing was measured.
        step: Seconds of a trial's step in groups of this size, 0 where nothing was measured.
        image: Seconds of one image's evaluation, likewise.
    """

    group: int
    limit: GroupLimit | None = None
    step: float = 0.0
    image: float = 0.0

    def seconds(self, config: TrialConfig, images: int, behind: int = 0) -> float:
        """Expect the seconds of what is left of a trial, or its share of those of its group.

        Args:
            config: The trial.
            images: Training images at hand.
            behind: Epochs that it has behind it.
        """
        ahead = [epoch for epoch in config.evaluation.epochs if epoch > behind or not behind]
        evaluations = len(ahead) + config.evaluation.draws - 1
        train = self.step * max(config.epochs - behind, 0) * steps_per_epoch(config, images)
        return train + self.image * config.evaluation.samples * evaluations


@dataclass(frozen=True)
class TimeEstimate:
    """What a short measurement of every kind of step says.

    Attributes:
        seconds: Seconds of training and evaluation until all is done; None where nothing was measured.
        paces: How fast trials go, by ``shape_key``; a kind of which nothing is known is left out.
        work: What is left of each trial, by its id, in seconds; in epochs where nothing was measured.
        sharing: Processes that share a device, and its pace.
    """

    seconds: float | None
    paces: Mapping[Hashable, Pace] = field(default_factory=dict)
    work: Mapping[str, float] = field(default_factory=dict)
    sharing: int = 1

    def images_per_second(self, config: TrialConfig) -> float | None:
        """Return the pace to expect of a trial that trains by itself, as it was measured, or None."""
        pace = self._pace(config)
        return config.batch_size / pace.step / self.sharing if pace.group == 1 and pace.step else None

    def group(self, config: TrialConfig) -> int:
        """Return how many trials like this one should train together."""
        return self._pace(config).group

    def _pace(self, config: TrialConfig) -> Pace:
        return self.paces.get(shape_key(config), Pace(1))

    @property
    def largest_group(self) -> int:
        """How many trials train together at most."""
        return max((pace.group for pace in self.paces.values()), default=1)


@torch_settings_kept(random=False)  # threads, and settings of users' code
def estimate(
    trials: list[Trial],
    context: RunContext,
    workers: int | None = None,
    group: int | None = None,
    done: Mapping[str, int] | None = None,
    *,
    apart: bool = False,
    devices: int | None = None,
) -> TimeEstimate:
    """Measure every kind of step shortly, alone and in groups where they may pay.

    Args:
        trials: What will run.
        context: Where.
        workers: Processes that share the trials, with a thread each on a CPU; None when they run in this process.
        group: How many trials train together; None finds what is fastest on a GPU, and is 1 on a CPU.
        done: Epochs that trials have behind them, by trial id.
        apart: Whether each has a place of its own, such as nodes give; else they share this machine, and on a CPU the
            load of the others is imitated.
        devices: Devices that the processes share, where these take turns on them; None where each has one of its own.
    """
    at_a_time = min(workers or 1, devices or workers or 1)
    shared = workers is not None and not apart and context.device.type == "cpu"
    if shared:
        torch.set_num_threads(1)
    with _load((workers or 1) - 1) if shared else nullcontext():
        paces = _paces(trials, context, group, at_a_time)
        each = {
            trial.id: paces[shape_key(trial.config)].seconds(
                trial.config, len(context.training_images(trial.config)), (done or {}).get(trial.id, 0)
            )
            for trial in trials
        }
    found = TimeEstimate(sum(each.values()), paces, work=each)
    if workers is None:
        return found
    jobs = [sum(each[trial.id] for trial in batch) for batch in group_trials(trials, found.group)]
    seconds = WORKER_START + max(sum(jobs) / at_a_time, max(jobs, default=0.0))
    return replace(found, seconds=seconds, sharing=-(-workers // at_a_time))


def unmeasured(trials: list[Trial], group: int | None = None, done: Mapping[str, int] | None = None) -> TimeEstimate:
    """Count what is left without measuring anything.

    Args:
        trials: What will run.
        group: How many trials train together; none do when None, because what is fastest is not known.
        done: Epochs that trials have behind them, by trial id.
    """
    paces = {shape_key(trial.config): Pace(group or 1) for trial in trials}
    work = {trial.id: float(max(trial.config.epochs - (done or {}).get(trial.id, 0), 0)) for trial in trials}
    return TimeEstimate(None, paces, work=work)


def _paces(trials: list[Trial], context: RunContext, group: int | None, at_a_time: int) -> dict[Hashable, Pace]:
    """Measure every kind, by the first trial of it."""
    counts = Counter(shape_key(trial.config) for trial in trials)
    kinds = {shape_key(trial.config): trial for trial in reversed(trials)}
    return {key: _pace(kinds[key], counts[key], context, group, at_a_time) for key in counts}


def _pace(trial: Trial, count: int, context: RunContext, group: int | None, at_a_time: int) -> Pace:
    """Measure trials of one kind, and return their pace in groups of the best size, or of the size that is asked for.

    What runs out of memory counts as 0 s; the trial reports it.

    Args:
        trial: One of them.
        count: How many there are.
        context: Where.
        group: How many train together; None finds it.
        at_a_time: Groups that train at a time, each as fast as by itself.
    """
    config, each = trial.config, -(-count // at_a_time)
    report_progress(f"measuring how fast {trained_parts(trial.setting)} trains and is scored here", 0.0)
    with _of_own_parts(config):
        step = _unless_too_large(lambda: _seconds_per_step(config, context), context.device) or 0.0
    image = _unless_too_large(lambda: _seconds_per_image(config, context), context.device) or 0.0
    measured, failed = {1: step}, False
    for size in sorted({min(size, each) for size in ((group,) if group else GROUPS[context.device.type])} - {1}):
        seconds = _seconds_per_group_step(config, context, size)
        if failed := seconds is None:
            break
        measured[size] = seconds
        if group is None and seconds > min(measured.values()):
            break  # larger groups are slower
    most = max(measured)
    size = most if group else group_size(measured, count, at_a_time)
    tried: GroupLimit = "rate" if size < most else "failed" if failed else "tried"
    limit: GroupLimit = "trials" if size >= each else "asked" if group else tried
    return Pace(size, limit, measured[size], image)


def group_size(measured: Mapping[int, float], count: int, at_a_time: int = 1) -> int:
    """Choose how many trials of one kind train together, of the sizes that were measured: all have ended soonest.

    Larger groups do more images per second, and fewer trials wait; but where several train at a time all must have
    some.

    Args:
        measured: Seconds of a step for each member, by the size of its group; 1 is one of them.
        count: Trials.
        at_a_time: Groups that train at a time, each as fast as by itself.

    Returns:
        The most trials of a group, when they are cut evenly as ``group_trials`` does.
    """
    best, soonest = 1, math.inf
    for size in sorted(measured):
        groups = -(-count // size)
        end = -(-groups // at_a_time) * -(-count // groups) * measured[size]
        if end <= WORTH * soonest:
            best, soonest = size, end
    return best


def _unless_too_large(measure: Callable[[], float], device: torch.device) -> float | None:
    """Measure on a device; None where memory runs out.

    Raises:
        DeviceError: The device cannot be used.
    """
    try:
        return measure()
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return None
        if isinstance(error, torch.AcceleratorError):
            raise unusable(device, error) from error
        if device.type != "cpu" and is_of_cuda(error):
            choose_device(str(device))  # otherwise it may be a part's own fault
        raise


def _of_own_parts(config: TrialConfig) -> AbstractContextManager[None]:
    """Turn what a network or a loss of the user's own raises into a sentence about it."""
    used = ((ARCHITECTURES, config.architecture), (LOSSES, config.loss))
    own = [f'{registry.kind} "{name}"' for registry, name in used if not registry.is_shipped(name)]
    return calling(f"training with the {' or the '.join(own)}") if own else nullcontext()


def _seconds_per_group_step(config: TrialConfig, context: RunContext, size: int) -> float | None:
    """Measure how long a step takes in a group, per member; None when such trials cannot train together."""
    try:
        engines = [context.engine(replace(config, seed=config.seed + index)) for index in range(size)]
        if not can_group(engines):
            return None
        members = [engine for engine in engines if isinstance(engine, FastEngine)]
        group = Group(members, members[0].capture)
        return group.seconds_per_step(GROUP_STEPS if context.device.type == "cuda" else 2) / size
    except (RuntimeError, MemoryError):  # any error: this size fails here, smaller ones work
        return None


def _seconds_per_step(config: TrialConfig, context: RunContext, budget: float = 0.5) -> float:
    """Measure how long one update takes, on the trial's own networks and images.

    No step is taken after ``budget`` seconds, and a short trial is not measured for longer than it takes.
    """
    engine = context.engine(config)
    if isinstance(engine, CapturedEngine):  # replays must not wait for the device one by one
        return Group([engine], engine.capture).seconds_per_step(GROUP_STEPS)
    engine.advance(2, context.stop)
    engine.snapshot()
    most = max(FEWEST_STEPS, config.epochs * engine.steps)
    started, first = time.perf_counter(), engine.state.step
    while time.perf_counter() - started < budget and engine.state.step - first < most:
        if engine.state.batch == engine.steps:
            engine.finish_epoch()
        engine.advance(1, context.stop)
        engine.snapshot()
    return (time.perf_counter() - started) / max(engine.state.step - first, 1)


def _seconds_per_image(config: TrialConfig, context: RunContext) -> float:
    """Measure one evaluation of up to ``MEASURED`` images.

    Where an extractor is slow, or its reference statistics would have to be computed first, only generated images on
    their way through it are timed, which is most of it.
    """
    generator, extractors = context.engine(config).state.generator, context.extractors(config)
    slow = context.device.type == "cpu" and any(EXTRACTORS[extractor.name].slow for extractor in extractors)
    if slow or not context.has_references(config):
        started = time.perf_counter()
        images = next(generated_chunks(generator, config, CHUNK, "calibration"))
        for extractor in extractors:
            extractor(images).features.sum().item()
        return (time.perf_counter() - started) / CHUNK
    count = min(MEASURED, config.evaluation.samples)
    short = replace(config, evaluation=replace(config.evaluation, samples=count))
    evaluator = context.evaluator(config)
    evaluator.score(generated_chunks(generator, short, 2, "calibration"), 2)  # the first is slower
    started = time.perf_counter()
    evaluator.evaluate(generator, short)
    return (time.perf_counter() - started) / count


@contextmanager
def _load(threads: int) -> Iterator[None]:
    """Keep other cores busy, as the other worker processes will: cores share caches, memory and often more."""
    over = threading.Event()

    def burn() -> None:
        a = torch.ones(256, 256)
        out = torch.empty_like(a)
        while not over.is_set():
            torch.mm(a, a, out=out)

    burning = [threading.Thread(target=burn, daemon=True) for _ in range(threads)]
    for thread in burning:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in burning:
            thread.join()
