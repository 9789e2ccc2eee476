from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trials import config_of

from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import LATER_DEFAULTS, UNWRITTEN_DEFAULTS, EvaluationConfig, Trial, TrialConfig, setting_key
from gan_bench.core.canonical import canonical_json, derive_seed


@pytest.mark.parametrize("recipe", RECIPES)
def test_config_survives_json(recipe):
    config = config_of(recipe)
    again = TrialConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert again.id == config.id


def test_id_is_pinned():
    """A changed id orphans every record people have; it may only change with the schema version."""
    assert config_of("mnist-mlp-z100").id == "62953cc8"


def test_every_field_moves_the_id():
    config = config_of("mnist-mlp-z100")
    other = {
        "suite": "other", "suite_version": 2, "recipe": "x", "dataset": "digits", "image_size": 32,
        "architecture": "dcgan28", "latent_dim": 7, "latent": "uniform", "batch_size": 7, "last_batch": "drop",
        "fake_batch": "full", "step_fakes": "reuse", "init": "dcgan", "lr_g": 1e-5, "lr_d": 1e-5,
        "betas_g": (0.1, 0.2), "betas_d": (0.1, 0.2), "adam_eps": 1e-7, "epochs": 101, "dataset_repeats": 2,
        "train_limit": 10, "log_every": 7, "seed": 9, "profile": "quick",
        "evaluation": EvaluationConfig(epochs=(1,), samples=2), "loss": "hinge", "d_steps": 2, "optimizer_g": "sgd",
        "optimizer_d": "sgd", "momentum": 0.5, "label_smoothing": 0.1, "weight_clip": 0.1, "gradient_penalty": 1,
        "r1_gamma": 1, "spectral_norm": True, "ema_decay": 0.9, "precision": "bf16",
    }  # fmt: skip
    assert set(other) == {*config.to_json(), *UNWRITTEN_DEFAULTS}
    beside = {"momentum": {"optimizer_d": "rmsprop"}}  # Adam has none
    changed = {replace(config, **{name: value}, **beside.get(name, {})).id for name, value in other.items()}
    assert len({config.id, replace(config, optimizer_d="rmsprop").id, *changed}) == len(other) + 2


def test_a_setting_keeps_its_name_when_configs_grow():
    """Settings in MLflow are named by it, and seeds that are added later join the earlier ones."""
    config = config_of("mnist-mlp-z100")
    written = config.to_json()
    assert not set(UNWRITTEN_DEFAULTS) & set(written)
    assert setting_key(written) == setting_key({**UNWRITTEN_DEFAULTS, **written})
    assert hashlib.sha256(setting_key(written).encode()).hexdigest()[:16] == "6150f104af5f13aa"
    assert setting_key(replace(config, precision="bf16").to_json()) != setting_key(written)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr_g": 0.0}, "lr_g must lie between 0 and 1"),
        ({"betas_d": (0.5, 1.0)}, "betas_d must be two numbers"),
        ({"betas_d": (0.5,)}, "betas_d must be two numbers"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"latent": "cauchy"}, "latent must be one of normal, uniform"),
        ({"evaluation": EvaluationConfig(epochs=(101,), samples=2)}, "lies after the last"),
        ({"step_fakes": "reuse", "fake_batch": "full"}, "goes only with"),
        ({"ema_decay": 1.0}, "ema_decay must be at least 0 and below 1"),
        ({"r1_gamma": float("nan")}, "r1_gamma must be at least 0"),
        ({"d_steps": 0}, "d_steps must be at least 1"),
        ({"momentum": 0.5}, "momentum is that of sgd and rmsprop"),
        ({"optimizer_d": "lion"}, "optimizer_d must be one of adam, rmsprop, sgd"),
    ],
)
def test_misuse_is_refused_at_definition(change, message):
    with pytest.raises(ValueError, match=message):
        config_of("mnist-mlp-z100", **change)


def test_fields_that_came_later_are_no_part_of_an_id_at_their_defaults():
    """Records that were written before a field existed are those of today's trials."""
    config = config_of("mnist-mlp-z100")
    plain = config.to_json()
    assert set(plain) >= set(LATER_DEFAULTS) - set(UNWRITTEN_DEFAULTS)
    first = {name: value for name, value in plain.items() if name not in LATER_DEFAULTS}
    assert hashlib.sha256(canonical_json(first).encode()).hexdigest()[:8] == config.id
    again = TrialConfig.from_json(first)
    assert again == config
    assert again.to_json() == plain


def test_foreign_json_is_refused():
    plain = config_of("mnist-mlp-z100").to_json()
    with pytest.raises(ValueError, match="unknown trial fields: speed"):
        TrialConfig.from_json({**plain, "speed": 1})
    del plain["lr_g"]
    with pytest.raises(ValueError, match="incomplete trial"):
        TrialConfig.from_json(plain)


@given(st.integers(0, 2**40), st.text(max_size=20), st.text(max_size=20))
def test_purposes_have_seeds_of_their_own(seed, first, second):
    assert 0 <= derive_seed(seed, first) < 2**63
    assert (derive_seed(seed, first) == derive_seed(seed, second)) == (first == second)


def test_canonical_json_knows_no_order_and_no_nan():
    assert canonical_json({"b": 1, "a": [1.0, None]}) == canonical_json({"a": [1.0, None], "b": 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_directory_carries_name_and_id():
    trial = Trial(setting="mnist-mlp-z100", config=config_of("mnist-mlp-z100", seed=3))
    assert trial.directory == f"mnist-mlp-z100,seed=3--{trial.config.id}"
