"""Trials of a second or less."""

from __future__ import annotations

from dataclasses import replace

from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import EvaluationConfig, Trial, TrialConfig


def config_of(recipe: str, **changes) -> TrialConfig:
    """A trial of a recipe, small unless told otherwise."""
    values = {
        "suite": "test",
        "suite_version": 1,
        "recipe": recipe,
        "seed": 0,
        "profile": "full",
        "evaluation": EvaluationConfig(epochs=(0,), samples=2),
        **RECIPES[recipe].values(),
    }
    return TrialConfig(**{**values, **changes})


def digits_trial(seed: int = 0, **changes) -> Trial:
    """A fully connected trial on 300 digits, two epochs."""
    small = {
        "dataset": "digits",
        "epochs": 2,
        "train_limit": 300,
        "log_every": 2,
        "seed": seed,
        "evaluation": EvaluationConfig(epochs=(0, 1, 2), samples=64, extractors=("lenet-mnist-v1",)),
    }
    return Trial(setting="mnist-mlp-z100,dataset=digits", config=config_of("mnist-mlp-z100", **{**small, **changes}))


def reseed(trial: Trial, seed: int) -> Trial:
    return replace(trial, config=replace(trial.config, seed=seed))
