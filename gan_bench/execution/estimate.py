"""Before a suite runs: what would stop it, how long it will take, and the floor of its scores."""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import DataError, UserError, brief, is_out_of_memory
from gan_bench.data.datasets import DATASETS
from gan_bench.execution.context import RunContext
from gan_bench.execution.grouping import batches, kind
from gan_bench.metrics.evaluator import GRID, Evaluator, generated_chunks, shuffled
from gan_bench.metrics.extractors import resolve
from gan_bench.metrics.reference import CHUNK, compute
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.models.randomness import generator_for
from gan_bench.records.record import Score
from gan_bench.training.draws import steps_per_epoch
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group.group import CapturedEngine, Group, can_group

BASELINE_RESAMPLES = 3
MEASURED = 2000
"""Most images of the evaluation that is timed."""
WORKER_START = 4.0
"""Seconds a worker process needs before its first step, to load torch, images and extractors: 3.1 were measured on
an AMD EPYC, and other machines are slower."""
GROUPS = (4, 16, 64)
"""Sizes of groups that are tried on a GPU."""
WORTH = 0.9
"""Share of the time of a smaller group that a larger one may take."""
GROUP_STEPS = 20
LONG = 0.5
"""Seconds of a step from which it is not measured again with one thread."""
_LINE = 250
_SPARE = 16_000_000
"""Bytes of a history line, and of what else is written: plan, anchors, tables, the database."""


def preflight(trials: tuple[Trial, ...], context: RunContext) -> None:
    """Find out before hours are spent what would stop a plan: names, shapes, data and weights.

    Raises:
        UserError: Something the plan names does not exist or does not fit.
    """
    configs = [trial.config for trial in trials]
    for config in configs:
        dataset, architecture = DATASETS[config.dataset], ARCHITECTURES[config.architecture]
        made, given = architecture.image_shape, (dataset.channels, config.image_size, config.image_size)
        if made != given:
            raise UserError(
                f"{config.recipe}: the architecture {config.architecture} makes images of {made}, but "
                f"{config.dataset} is prepared as {given}; change image_size, dataset or architecture"
            )
        resolve(config.evaluation.extractors, dataset.channels, context.device)
        prepared = dataset.prepared_size
        if prepared not in (None, config.image_size):
            raise UserError(
                f"{config.dataset} is prepared at {prepared}x{prepared}, and {config.recipe} takes "
                f"{config.image_size}x{config.image_size}; write size: {config.image_size} where the suite names it"
            )
    for config in {(config.architecture, config.latent_dim): config for config in configs}.values():
        _try_networks(config)
    for config in configs:
        images = len(context.training_images(config))
        if images < 2:
            raise DataError(f"{config.dataset} has one training image; scores need at least 2, so add more")
        steps_per_epoch(config, images)
        context.extractors(config)


def _try_networks(config: TrialConfig) -> None:
    """Let both networks of a trial work once, on two images.

    Raises:
        UserError: One of them fails, or gives something of another shape than the update takes.
    """
    architecture, name = ARCHITECTURES[config.architecture], config.architecture
    shape = (2, *architecture.image_shape)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            generator, discriminator = architecture.generator(config.latent_dim), architecture.discriminator()
            images, logits = generator(torch.zeros(2, config.latent_dim)), discriminator(torch.zeros(shape))
    except Exception as error:  # the user's own code
        raise UserError(
            f"the architecture {name} does not run: {brief(error)}; try its networks on their own"
        ) from None
    for what, made, wanted in (("G", images, shape), ("D", logits, (2,))):
        if not isinstance(made, Tensor):
            raise UserError(f"the architecture {name}: {what} gives a {type(made).__name__}, and must give a tensor")
        if tuple(made.shape) != wanted:
            raise UserError(
                f"the architecture {name}: {what} gives {tuple(made.shape)} for a batch of two, and must give {wanted}"
                + ("; flatten its logits to one per image" if what == "D" else "")
            )


def check_space(trials: list[Trial], at_a_time: int, results: Path) -> None:
    """Find out before hours are spent whether the results folder has room for what trials will write.

    Counted are generators and sample grids, twice because MLflow keeps copies, history lines, and three checkpoints
    of every trial that runs at the same time: the last, the one before, and the next while it is written.

    Raises:
        UserError: It has not.
    """
    lasting, passing = 0, 0
    for config in (trial.config for trial in trials):
        architecture = ARCHITECTURES[config.architecture]
        with torch.device("meta"):
            sizes = [
                _weight_bytes(n) for n in (architecture.generator(config.latent_dim), architecture.discriminator())
            ]
        pixels = GRID * architecture.image_shape[0] * config.image_size**2
        lasting += 2 * (sizes[0] + len(config.evaluation.epochs) * pixels) + _LINE * config.epochs * 4
        passing = max(passing, 3 * 3 * sum(sizes))  # Adam keeps two moments beside each weight
    needed = lasting + at_a_time * passing + _SPARE
    free = shutil.disk_usage(results).free
    if free < needed:
        raise UserError(
            f"the suite will write about {needed / 1e6:,.0f} MB to {results}, where {free / 1e6:,.0f} MB are free; "
            "free some space or choose another folder with --results"
        )


def _weight_bytes(network: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in network.parameters())


@dataclass(frozen=True)
class Estimate:
    """What a short measurement of every kind of step says.

    Attributes:
        seconds: Seconds of training and evaluation until all is done.
        groups: How many trials of a kind should train together, by ``kind``; those of one only are left out.
        one_thread: How many times as fast as with all threads a step was with one: far above 1 on a machine that is
            busy with other work, where threads wait for each other.
    """

    seconds: float
    groups: Mapping[Hashable, int] = field(default_factory=dict)
    one_thread: float = 1.0

    def group(self, config: TrialConfig) -> int:
        """Say how many trials like this one should train together."""
        return self.groups.get(kind(config), 1)


def expect(
    trials: list[Trial],
    context: RunContext,
    workers: int | None = None,
    group: int | None = None,
    done: Mapping[str, int] | None = None,
) -> Estimate:
    """Measure every kind of step shortly, alone and in groups where they may pay.

    Args:
        trials: What will run.
        context: Where.
        workers: Processes that share the trials, with a thread each on a CPU; None when they run in this process.
        group: How many trials train together; None finds what is fastest on a GPU, and is 1 on a CPU, where
            stacking was measured not to pay.
        done: Epochs that trials have behind them, by trial id.
    """
    done = done or {}
    if workers is None:
        paces = _paces(trials, context, group)
        seconds = sum(_seconds(trial, context, paces, done) for trial in trials)
        return Estimate(seconds, _groups(paces), _one_thread(trials, context, paces))
    threads = torch.get_num_threads()
    cpu = context.device.type == "cpu"
    try:
        if cpu:
            torch.set_num_threads(1)
        with _load(workers - 1 if cpu else 0):
            paces = _paces(trials, context, group, workers)
            each = [
                WORKER_START + sum(_seconds(trial, context, paces, done) for trial in batch)
                for batch in batches(trials, lambda config: paces[kind(config)].group)
            ]
    finally:
        torch.set_num_threads(threads)
    return Estimate(max(sum(each) / workers, max(each, default=0.0)), _groups(paces))


def _one_thread(trials: list[Trial], context: RunContext, paces: Mapping[Hashable, _Pace]) -> float:
    """Measure how many times as fast one thread is as all; the two take turns, because other work comes and goes.

    Steps of half a second and more are not worth the wait.
    """
    threads = torch.get_num_threads()
    if not trials or context.device.type != "cpu" or threads == 1 or paces[kind(trials[0].config)].step > LONG:
        return 1.0
    config, spent = trials[0].config, {threads: 0.0, 1: 0.0}
    try:
        for count in (threads, 1) * 2:
            torch.set_num_threads(count)
            spent[count] += _unless_too_large(lambda: _seconds_per_step(config, context, budget=0.2)) or 1.0
    finally:
        torch.set_num_threads(threads)
    return spent[threads] / spent[1]


@dataclass(frozen=True)
class _Pace:
    """Seconds of a trial's step, in groups of this size, and of one image's evaluation."""

    step: float
    image: float
    group: int = 1


def _groups(paces: Mapping[Hashable, _Pace]) -> dict[Hashable, int]:
    return {key: pace.group for key, pace in paces.items() if pace.group > 1}


def _paces(trials: list[Trial], context: RunContext, group: int | None, workers: int = 1) -> dict[Hashable, _Pace]:
    """Measure every kind. One that does not fit into memory counts nothing: it will fail, and say so."""
    counts = Counter(kind(trial.config) for trial in trials)
    paces: dict[Hashable, _Pace] = {}
    for config in (trial.config for trial in trials):
        key = kind(config)
        if key in paces:
            continue
        step = _unless_too_large(lambda c=config: _seconds_per_step(c, context)) or 0.0  # type: ignore[misc]
        image = _unless_too_large(lambda c=config: _seconds_per_image(c, context)) or 0.0  # type: ignore[misc]
        best = _Pace(step, image)
        for size in _sizes(-(-counts[key] // workers), context, group):
            seconds = _seconds_per_group_step(config, context, size)
            if seconds is None or (group is None and seconds > WORTH * best.step):
                break
            best = _Pace(seconds, image, size)
        paces[key] = best
    return paces


def _sizes(count: int, context: RunContext, group: int | None) -> list[int]:
    """List the sizes of groups that are tried, from small to large."""
    wished = (group,) if group else GROUPS if context.device.type == "cuda" else ()
    return sorted({min(size, count) for size in wished} - {1})


def _seconds(trial: Trial, context: RunContext, paces: Mapping[Hashable, _Pace], done: Mapping[str, int]) -> float:
    """Expect the seconds of what is left of a trial, or its share of those of its group."""
    config, behind = trial.config, done.get(trial.id, 0)
    pace = paces[kind(config)]
    ahead = [epoch for epoch in config.evaluation.epochs if epoch > behind or not behind]
    evaluations = len(ahead) + config.evaluation.draws - 1
    epochs = max(config.epochs - behind, 0)
    train = pace.step * epochs * steps_per_epoch(config, len(context.training_images(config)))
    return train + pace.image * config.evaluation.samples * evaluations


def _unless_too_large(measure: Callable[[], float | None]) -> float | None:
    try:
        return measure()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _seconds_per_group_step(config: TrialConfig, context: RunContext, size: int) -> float | None:
    """Measure how long a step takes in a group, per member; None when such trials cannot train together."""
    try:
        members = [context.engine(replace(config, seed=config.seed + index)) for index in range(size)]
        if not can_group(members):
            return None
        group = Group([member for member in members if isinstance(member, FastEngine)], context.capture)
        return group.seconds_per_step(GROUP_STEPS if context.device.type == "cuda" else 2) / size
    except (RuntimeError, MemoryError):  # of what kind ever: this size does not work here, and smaller ones do
        return None


def _seconds_per_step(config: TrialConfig, context: RunContext, budget: float = 0.5) -> float:
    """Measure how long one update takes, on the trial's own networks and images, within a time budget."""
    engine = context.engine(config)
    if isinstance(engine, CapturedEngine):  # replays must not wait for the device one by one
        return Group([engine], engine.capture).seconds_per_step(GROUP_STEPS)
    engine.advance(2, context.stop)
    engine.snapshot()
    started, first = time.perf_counter(), engine.state.step
    while time.perf_counter() - started < budget:
        if engine.state.batch == engine.steps:
            engine.finish_epoch()
        engine.advance(1, context.stop)
        engine.snapshot()
    return (time.perf_counter() - started) / max(engine.state.step - first, 1)


def _seconds_per_image(config: TrialConfig, context: RunContext) -> float:
    """Measure one evaluation of up to ``MEASURED`` images; of slow extractors, generated images on their way."""
    generator, extractors = context.engine(config).state.generator, context.extractors(config)
    if context.device.type == "cpu" and any(extractor.name == "inception" for extractor in extractors):
        started = time.perf_counter()
        for images in generated_chunks(generator, config, CHUNK, "calibration"):
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


def real_baselines(trials: tuple[Trial, ...], context: RunContext) -> list[dict[str, Any]]:
    """Score real images under every protocol of a plan: the floor of its tables.

    Held-out images are set against the training split. A dataset without a held-out split is cut into random
    halves of its distinct images, one set against the other, so that no image is compared with itself.

    Returns:
        Rows for ``anchors.json``, whose keys are documented in ``gan_bench.records.schema``.
    """
    rows: dict[tuple[object, ...], dict[str, Any]] = {}
    for config in (trial.config for trial in trials):
        key = (config.dataset, config.image_size, config.evaluation.samples, config.evaluation.extractors)
        if key in rows:
            continue
        held_out = context.held_out(config)
        if held_out is not None:
            count, what = min(len(held_out.images), config.evaluation.samples), "held-out images"
            evaluator = context.evaluator(config)
            found = evaluator.score_images(held_out.images, count)
            if context.device.type == "cuda" or all(e.name != "inception" for e in evaluator.extractors):
                found = _with_resampling_sd(found, held_out.images, count, evaluator)
        else:
            count, found = _one_half_against_the_other(config, context)
            what = "images against the other half"
        rows[key] = {
            "dataset": config.dataset,
            "image_size": config.image_size,
            "samples": config.evaluation.samples,
            "pictures": count,
            "what": what,
            "scores": [score.to_json() for score in found],
        }
    return list(rows.values())


def _with_resampling_sd(found: list[Score], images: Tensor, count: int, evaluator: Evaluator) -> list[Score]:
    """Add the spread of the floor over bootstrap resamples of the real images: what a difference must exceed."""
    resampled = []
    for draw in range(BASELINE_RESAMPLES):
        source = generator_for(0, f"floor/{draw}")
        resampled.append(evaluator.score_images(images[torch.randint(len(images), (count,), generator=source)]))
    spreads = [[scores[i].value for scores in resampled] for i in range(len(found))]
    return [
        replace(score, draw_std=statistics.stdev(v for v in values if v is not None))
        if all(value is not None for value in values)
        else score
        for score, values in zip(found, spreads, strict=True)
    ]


def _one_half_against_the_other(config: TrialConfig, context: RunContext) -> tuple[int, list[Score]]:
    images = context.images(config.dataset, "train", config.image_size).images
    first_of_each = {image.numpy().tobytes(): i for i, image in reversed(list(enumerate(images)))}
    distinct = images[torch.tensor(sorted(first_of_each.values()))]
    scored, against = shuffled(distinct).tensor_split(2)
    extractors = context.extractors(config)
    references = {e.name: compute(against, None, "train", e) for e in extractors}
    count = min(len(scored), config.evaluation.samples)
    return count, Evaluator(extractors, references, DATASETS[config.dataset].class_extractor).score_images(
        scored, count
    )
