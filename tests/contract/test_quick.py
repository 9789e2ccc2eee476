"""The quick profile of every shipped suite gives its trials about the same arithmetic."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.recipes import RECIPES
from gan_bench.config.suite import make_plan
from gan_bench.config.trial import EvaluationConfig, TrialConfig
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.state import TrainState

SUITES = sorted(Path("benchmarks").glob("*.yaml"))
COUNTS = {"mnist": 60_000, "cifar10": 50_000, "cats": 15_747, "digits": 1_438}


@cache
def flops_per_image(recipe):
    """Count the multiplications and additions of one update, per real image."""
    evaluation = EvaluationConfig(epochs=(0,), samples=2)
    values = {**RECIPES[recipe].values(), "batch_size": 8}
    config = TrialConfig(
        suite="s", suite_version=1, recipe=recipe, seed=0, profile="full", evaluation=evaluation, **values
    )
    shape = (8, *ARCHITECTURES[config.architecture].image_shape)
    engine = ReferenceEngine(
        config, torch.zeros(shape, dtype=torch.uint8), TrainState.start(config, torch.device("cpu"))
    )
    with FlopCounterMode(display=False) as counter:
        engine.advance(1, lambda: False)
    return counter.get_total_flops() / 8


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_quick_trials_cost_about_the_same(path):
    whole = {t.config.recipe: t.config.epochs for t in make_plan(path, PlanOptions()).trials}
    work = {}
    for trial in make_plan(path, PlanOptions(profile="quick")).trials:
        config = trial.config
        if config.epochs == whole[config.recipe]:
            continue  # nothing is cut: there is no more of it
        images = min(config.train_limit or COUNTS[config.dataset], COUNTS[config.dataset])
        work[config.recipe] = flops_per_image(config.recipe) * images * config.epochs * config.dataset_repeats
    if not work:
        pytest.skip("its quick profile cuts nothing")
    assert max(work.values()) <= 1.25 * min(work.values()), {k: f"{v / 1e12:.2f} TFLOP" for k, v in work.items()}
