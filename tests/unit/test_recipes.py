"""The transcription of the articles, against a second, independent one."""

from __future__ import annotations

from typing import get_args

import pytest

from gan_bench.config.recipes import RECIPES, Provenance

HALF, DEFAULT = (0.5, 0.999), (0.9, 0.999)
FIELDS = (
    "dataset", "image_size", "architecture", "latent_dim", "latent", "batch_size", "last_batch", "fake_batch",
    "step_fakes", "init", "lr_g", "lr_d", "betas_g", "betas_d", "epochs", "dataset_repeats",
)  # fmt: skip
TABLE = {
    "cats-dcgan": (
        "cats", 64, "dcgan64-bn", 128, "normal", 128, "keep", "full", "fresh", "default", 2e-4, 2e-4, HALF, HALF, 60, 2,
    ),
    "mnist-dcgan": (
        "mnist", 28, "dcgan28", 100, "uniform", 64, "drop", "real", "fresh", "default", 3e-4, 2e-4, DEFAULT, DEFAULT,
        10, 1,
    ),
    "mnist-mlp-z64": (
        "mnist", 28, "mlp", 64, "normal", 100, "keep", "real", "fresh", "default", 2e-4, 2e-4, DEFAULT, DEFAULT, 300, 1,
    ),
    "cifar10-dcgan": (
        "cifar10", 64, "dcgan64", 100, "normal", 64, "keep", "real", "reuse", "dcgan", 2e-4, 2e-4, HALF, HALF, 25, 1,
    ),
    "mnist-mlp-z100": (
        "mnist", 28, "mlp", 100, "normal", 128, "keep", "real", "fresh", "default", 3e-4, 3e-4, DEFAULT, DEFAULT,
        100, 1,
    ),
}  # fmt: skip
STATED = {
    "cats-dcgan": {"dataset", "image_size", "latent_dim", "lr_g", "lr_d", "epochs"},
    "mnist-dcgan": {"dataset", "image_size", "epochs"},
    "mnist-mlp-z64": {
        "dataset", "image_size", "architecture", "latent_dim", "lr_g", "lr_d", "step_fakes", "log_every",
    },
    "cifar10-dcgan": set(),
    "mnist-mlp-z100": set(),
}  # fmt: skip


def test_all_five_articles_are_there():
    assert sorted(recipe.article.key for recipe in RECIPES.values()) == ["A0", "A1", "A2", "A3", "A4"]
    assert set(RECIPES) == set(TABLE)


@pytest.mark.parametrize("name", RECIPES)
def test_values(name):
    values = RECIPES[name].values()
    assert tuple(values[field] for field in FIELDS) == TABLE[name]
    assert values["adam_eps"] == 1e-8


@pytest.mark.parametrize("name", RECIPES)
def test_provenance(name):
    marks = RECIPES[name].provenance()
    assert set(marks.values()) <= set(get_args(Provenance))
    assert {field for field, mark in marks.items() if mark == "stated"} == STATED[name]


def test_reported_epochs_of_a0():
    reported = {r.epoch: (r.loss_g, r.loss_d, r.d_real, r.d_fake) for r in RECIPES["cats-dcgan"].reported}
    assert reported == {
        1: (5.9449, 0.7790, 0.8575, 0.4179),
        10: (7.0182, 0.4998, 0.9931, 0.3561),
        20: (5.2367, 0.3041, 0.9015, 0.1611),
        40: (10.9030, 0.9792, 0.9332, 0.5048),
        60: (5.8587, 0.0268, 0.9781, 0.0043),
    }
