"""Settings as values: short unique names, what is shared, what differs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trials import config_of

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.naming import value_text
from gan_bench.config.suite import find_suite, make_plan
from gan_bench.config.trial import EvaluationConfig, setting_key
from gan_bench.report.study.settings import settings_of

EVALUATION = EvaluationConfig(epochs=(0,), samples=100)


def of(*configs):
    plain = [config.to_json() for config in configs]
    keys = [setting_key(config) for config in plain]
    found = settings_of(dict(zip(keys, plain, strict=True)))
    return [found.labels[key] for key in keys], found


def mlp(**changes):
    return config_of("mnist-mlp-z100", evaluation=EVALUATION, **changes)


def test_what_differs_names_a_setting_and_what_is_shared_does_not():
    labels, found = of(mlp(lr_g=2e-4, lr_d=2e-4), mlp(lr_g=3e-4, lr_d=3e-4))
    assert labels == ["lr 2e-4", "lr 3e-4"]
    assert found.columns == ("lr",)
    assert "β₁ 0.9, β₂ 0.999" in found.shared
    assert "lr" not in found.shared.split(", ")


def test_networks_that_differ_have_a_value_each():
    labels, found = of(mlp(lr_g=3e-4, lr_d=2e-4, betas_g=(0.5, 0.999)), mlp(lr_g=3e-4, lr_d=3e-4))
    assert labels == ["lr D 2e-4 · β₁ G 0.5", "lr D 3e-4 · β₁ G 0.9"], "G's learning rate is one"
    assert {"lr_d", "beta1_g"} <= set(found.columns)


def test_one_setting_is_its_recipe():
    assert of(mlp())[0] == ["mnist-mlp-z100"]


def test_what_follows_from_the_recipe_is_left_to_the_recipe():
    """Recipes differ in batch size and much else; their names say so."""
    z64 = config_of("mnist-mlp-z64", evaluation=EVALUATION)
    labels, found = of(mlp(), z64)
    assert labels == ["mnist-mlp-z100", "mnist-mlp-z64"]
    assert found.columns == ()


def test_looks_alone_name_a_setting_only_when_nothing_else_does():
    other = EvaluationConfig(epochs=(0, 1), samples=100)
    labels, _ = of(mlp(), replace(mlp(), evaluation=other))
    assert labels == ["evaluated at 0", "evaluated at 0-1"]
    labels, _ = of(mlp(epochs=1), replace(mlp(epochs=2), evaluation=other))
    assert labels == ["epochs 1", "epochs 2"]


@pytest.mark.parametrize("profile", ["full", "quick"])
@pytest.mark.parametrize("suite", ["mnist", "cats", "cifar10", "digits", "articles"])
def test_every_shipped_setting_has_a_short_name_of_its_own(suite, profile):
    """The full mnist suite once lost its learning rates in legends of 44 characters."""
    configs = {}
    for trial in make_plan(find_suite(suite), PlanOptions(profile=profile)).trials:
        by_dataset = configs.setdefault(trial.config.dataset, {})
        by_dataset[setting_key(trial.config.to_json())] = trial.config.to_json()
    for members in configs.values():
        labels = settings_of(members).labels
        assert len(set(labels.values())) == len(members)
        assert max(map(len, labels.values())) <= 60, labels


def test_mnist_full_by_name():
    plan = make_plan(find_suite("mnist"), PlanOptions(seeds=(0,)))
    configs = {setting_key(t.config.to_json()): t.config.to_json() for t in plan.trials}
    found = settings_of(configs)
    labels = set(found.labels.values())
    assert "mnist-mlp-z100 · lr 3e-4 · β₁ 0.5 · epochs 300" in labels
    assert "mnist-dcgan · lr 3e-4/2e-4 · β₁ 0.9 · epochs 10" in labels
    assert found.columns == ("lr_g", "lr_d", "beta1", "epochs")


@given(st.lists(st.floats(1e-6, 0.5), min_size=2, max_size=6, unique=True))
def test_names_stay_unique_whatever_is_rounded(rates):
    labels, _ = of(*(mlp(lr_g=rate, lr_d=rate) for rate in rates))
    assert len(set(labels)) == len(rates)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2e-4, "2e-4"), (2.5e-4, "2.5e-4"), (0.5, "0.5"), (1e-8, "1e-8"), (300, "300"), (20_000, "20,000"), (None, "all"),
     ("a\nb", "a b"), ((0, 1, 2), "0-1-2")],
)  # fmt: skip
def test_values_are_written_short(value, text):
    assert value_text(value) == text
