"""Before a suite runs: what would stop it, how long it will take, and the floor of its scores."""

from __future__ import annotations

import time
from typing import Any

import torch

from gan_bench.architectures import ARCHITECTURES
from gan_bench.datasets import DATASETS
from gan_bench.errors import UserError
from gan_bench.evaluation import Evaluator, generated_chunks, shuffled
from gan_bench.metrics.extractors import resolve
from gan_bench.reference import CHUNK, compute
from gan_bench.scores import Score
from gan_bench.training.draws import steps_per_epoch
from gan_bench.trial import Trial, TrialConfig
from gan_bench.workplace import Workplace


def preflight(trials: tuple[Trial, ...], place: Workplace) -> None:
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
                f"{config.recipe}: the architecture {config.architecture} makes pictures of {made}, but "
                f"{config.dataset} is prepared as {given}; change image_size, dataset or architecture"
            )
        resolve(config.evaluation.extractors, dataset.channels, place.device)
    for config in configs:
        steps_per_epoch(config, len(place.training_pictures(config)))
        place.extractors(config)


def expected_seconds(trials: list[Trial], place: Workplace) -> float:
    """Expect the seconds of training and evaluation, from a short measurement of every kind of step."""
    steps: dict[tuple[object, ...], float] = {}
    looks: dict[tuple[object, ...], float] = {}
    total = 0.0
    for config in (trial.config for trial in trials):
        kind = (config.architecture, config.dataset, config.batch_size, config.latent_dim, config.step_fakes)
        if kind not in steps:
            steps[kind] = _seconds_per_step(config, place)
            looks[kind] = _seconds_per_picture(config, place)
        evaluations = len(config.evaluation.epochs) + config.evaluation.draws - 1
        total += steps[kind] * config.epochs * steps_per_epoch(config, len(place.training_pictures(config)))
        total += looks[kind] * config.evaluation.samples * evaluations
    return total


def _seconds_per_step(config: TrialConfig, place: Workplace, budget: float = 0.5) -> float:
    """Measure how long one update takes, on the trial's own networks and pictures, within a time budget."""
    engine = place.engine(config)
    engine.advance(2, place.stop)
    engine.snapshot()
    started, first = time.perf_counter(), engine.state.step
    while time.perf_counter() - started < budget and engine.state.batch < engine.steps:
        engine.advance(1, place.stop)
        engine.snapshot()
    return (time.perf_counter() - started) / max(engine.state.step - first, 1)


def _seconds_per_picture(config: TrialConfig, place: Workplace) -> float:
    """Measure generated pictures on their way through the extractors; the second pass counts."""
    generator = place.engine(config).state.generator
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        for pictures in generated_chunks(generator, config, CHUNK, "calibration"):
            for extractor in place.extractors(config):
                extractor(pictures).features.sum().item()
        seconds = time.perf_counter() - started
    return seconds / CHUNK


def real_anchors(trials: tuple[Trial, ...], place: Workplace) -> list[dict[str, Any]]:
    """Score real pictures under every protocol of a plan: the floor of its tables.

    Held-out pictures are set against the training split. A dataset without a held-out split is cut into random
    halves of its distinct pictures, one set against the other, so that no picture is compared with itself.

    Returns:
        Rows for ``anchors.json``, whose keys are documented in ``gan_bench.schema``.
    """
    rows: dict[tuple[object, ...], dict[str, Any]] = {}
    for config in (trial.config for trial in trials):
        key = (config.dataset, config.image_size, config.evaluation.samples, config.evaluation.extractors)
        if key in rows:
            continue
        held_out = place.held_out(config)
        if held_out is not None:
            count, what = min(len(held_out.images), config.evaluation.samples), "held-out pictures"
            found = place.evaluator(config).score_images(held_out.images, count)
        else:
            count, found = _one_half_against_the_other(config, place)
            what = "pictures against the other half"
        rows[key] = {
            "dataset": config.dataset,
            "image_size": config.image_size,
            "samples": config.evaluation.samples,
            "pictures": count,
            "what": what,
            "scores": [score.to_json() for score in found],
        }
    return list(rows.values())


def _one_half_against_the_other(config: TrialConfig, place: Workplace) -> tuple[int, list[Score]]:
    images = place.pictures(config.dataset, "train", config.image_size).images
    first_of_each = {image.numpy().tobytes(): i for i, image in reversed(list(enumerate(images)))}
    distinct = images[torch.tensor(sorted(first_of_each.values()))]
    scored, against = shuffled(distinct).tensor_split(2)
    extractors = place.extractors(config)
    references = {e.name: compute(against, None, "train", e) for e in extractors}
    count = min(len(scored), config.evaluation.samples)
    return count, Evaluator(extractors, references, DATASETS[config.dataset].judge).score_images(scored, count)
