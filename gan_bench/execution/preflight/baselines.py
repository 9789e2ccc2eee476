"""The baseline of real images: what a perfect generator would score."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.preparing import report_progress
from gan_bench.data.datasets import DATASETS
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.events import Interrupted
from gan_bench.metrics.evaluator import Evaluator
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.metrics.reference import compute
from gan_bench.randomness import generator_for, shuffled
from gan_bench.records.record import Score
from gan_bench.records.schema import Baseline

RESAMPLES = 3
HELD_OUT, HALVES = "held-out images", "images against the other half"
"""What rows call the real images that were scored."""


def real_baselines(trials: tuple[Trial, ...], known: Sequence[Baseline] = (), *, context: RunContext) -> list[Baseline]:
    """Score real images under every protocol of a plan: what perfect generators would score.

    Held-out images are set against the training split. A dataset without a held-out split is cut into random
    halves of its distinct images, one set against the other, so that no image is compared with itself.

    Args:
        trials: The trials of the plan.
        known: Rows of earlier runs; what they have of the images that are there now is not scored again.
        context: Where they are scored.

    Returns:
        New rows for ``anchors.json``, whose keys are documented in ``gan_bench.records.schema``.

    Raises:
        Interrupted: A stop was asked for.
    """

    def halt() -> None:
        if context.stop():
            raise Interrupted

    rows, seen = list[Baseline](), set[tuple[object, ...]]()
    for config in (trial.config for trial in trials):
        key = (config.dataset, config.image_size, config.evaluation.samples, config.evaluation.extractors)
        if key in seen:
            continue
        seen.add(key)
        if any(_is_of(row, config, context) for row in known):
            continue
        held_out, (train_sha256, held_out_sha256) = context.held_out(config), context.digests(config)
        report_progress(f"scoring real images of {config.dataset}: what a perfect generator would reach", 0.0)
        if held_out is not None:
            count, what = min(len(held_out.images), config.evaluation.samples), HELD_OUT
            evaluator = context.evaluator(config, halt)
            found = evaluator.score_images(held_out.images, count, halt)
            if context.device.type == "cuda" or not any(EXTRACTORS[each.name].slow for each in evaluator.extractors):
                found = _with_resampling_sd(found, held_out.images, count, evaluator, halt)
        else:
            count, found = _halves(config, context, halt)
            what = HALVES
        rows.append(
            {
                "dataset": config.dataset,
                "image_size": config.image_size,
                "samples": config.evaluation.samples,
                "pictures": count,
                "what": what,
                "data_sha256": train_sha256,
                "held_out_sha256": held_out_sha256,
                "scores": [score.to_json() for score in found],
            }
        )
    return rows


def _is_of(row: Baseline, config: TrialConfig, context: RunContext) -> bool:
    """True if a row has all scores of a trial's protocol, of the images that are there; old rows name none or few."""
    held_out, (train_sha256, held_out_sha256) = context.held_out(config), context.digests(config)
    now: dict[str, object] = {
        "dataset": config.dataset,
        "image_size": config.image_size,
        "samples": config.evaluation.samples,
        "data_sha256": train_sha256,
        "held_out_sha256": held_out_sha256,
        "what": HELD_OUT if held_out else HALVES,
        **({"pictures": min(len(held_out.images), config.evaluation.samples)} if held_out else {}),
    }
    scored = {score["extractor"] for score in row["scores"]}
    return {**now, **row}.items() >= now.items() and scored.issuperset(context.extractor_names(config))


def _with_resampling_sd(
    found: list[Score], images: Tensor, count: int, evaluator: Evaluator, halt: Callable[[], None]
) -> list[Score]:
    """Add the spread over bootstrap resamples of the real images: what a difference must exceed."""
    resampled = []
    for draw in range(RESAMPLES):
        source = generator_for(0, f"floor/{draw}")
        drawn = images[torch.randint(len(images), (count,), generator=source)]
        resampled.append(evaluator.score_images(drawn, between=halt))
    spreads = [[scores[i].value for scores in resampled] for i in range(len(found))]
    return [
        replace(score, draw_std=statistics.stdev(v for v in values if v is not None))
        if all(value is not None for value in values)
        else score
        for score, values in zip(found, spreads, strict=True)
    ]


def _halves(config: TrialConfig, context: RunContext, halt: Callable[[], None]) -> tuple[int, list[Score]]:
    images = context.images(config.dataset, "train", config.image_size).images
    first_of_each = {image.numpy().tobytes(): i for i, image in reversed(list(enumerate(images)))}
    distinct = images[torch.tensor(sorted(first_of_each.values()))]
    scored, against = shuffled(distinct).tensor_split(2)
    extractors = context.extractors(config)
    references = {e.name: compute(against, None, "train", e, between=halt) for e in extractors}
    count = min(len(scored), config.evaluation.samples)
    return count, Evaluator(extractors, references, DATASETS[config.dataset].class_extractor).score_images(
        scored, count, halt
    )
