"""Common fixtures: tiny trials, a private cache, and real data where GAN_BENCH_DATA names it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gan_bench.config.data_root import DataRoot
from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import EvaluationConfig, Trial, TrialConfig
from gan_bench.core.registry import REGISTRIES
from gan_bench.data import datasets  # noqa: F401 - with the imports below, every registry is there and filled
from gan_bench.metrics import extractors  # noqa: F401
from gan_bench.models import architectures, losses  # noqa: F401

os.environ.setdefault("GAN_BENCH_NO_ESTIMATE", "1")
"""Runs of tests last seconds, and nobody reads how long they will take. Tests that are about the measurement set this
to 0 (``support.commands.measuring``)."""


os.environ.pop("COLUMNS", None)  # lines of commands end nowhere, however narrow the terminal is that tests start from


@pytest.fixture(autouse=True)
def _no_width():
    """Keep the terminal's width from commands: readline, which pytest imports, writes it past ``os.environ``."""
    os.unsetenv("COLUMNS")
    os.unsetenv("LINES")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Share one cache of reference statistics over the test session, apart from the user's."""
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def registries():
    """Take back what a test registers: names of its datasets or parts are another's too. Yields one to override with.

    ``registries(ARCHITECTURES, mlp=other)`` lets another entry stand under a name until the test ends.
    """
    with ExitStack() as stack:
        for registry in REGISTRIES.values():
            stack.enter_context(registry.temporary())
        yield lambda registry, **entries: stack.enter_context(registry.temporary(**entries))


@pytest.fixture(autouse=True)
def _own_float_mode():
    """Take back flush-to-zero, which commands set for their process: other tests count on denormal numbers."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def real_data() -> DataRoot:
    folder = os.environ.get("GAN_BENCH_DATA")
    if not folder:
        pytest.skip("GAN_BENCH_DATA does not name a folder with real data")
    return DataRoot(Path(folder), given=True)


@pytest.fixture
def stranger():
    """Runs commands as a second user; needs root, or there is none to become."""
    from support.users import as_stranger, can_be_a_stranger

    if not can_be_a_stranger():
        assert not os.environ.get("CI"), "permissions are tested with a second user"
        pytest.skip("only root can be a second user")
    return as_stranger


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
