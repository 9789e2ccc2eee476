"""Suite files: every mistake is named with its place; plans are what the file says."""

from __future__ import annotations

import itertools
import math
import re
import shlex
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.trials import config_of

from gan_bench.config.changes import Changes, RandomValues, Several, parse_change, parse_changes
from gan_bench.config.cuts import PlanOptions, idle_cap
from gan_bench.config.naming import misnamed, setting_name
from gan_bench.config.plugins import keep_plugins
from gan_bench.config.recipes import RECIPES, Fact
from gan_bench.config.suite import find_suite, make_plan
from gan_bench.config.suite_file import parse, read
from gan_bench.config.yaml_document import YamlDocument, as_yaml
from gan_bench.core.errors import SuiteError, UserError
from gan_bench.core.fields import as_python
from gan_bench.records.command import Command, parse_seeds
from gan_bench.run_options import RunOptions
from gan_bench.terminal.display import short_names

GOOD = """\
suite: s
version: 1
trials:
  - recipe: mnist-mlp-z100
  - recipe: mnist-mlp-z100
    sweep: {lr: [2e-4, 3.0e-4], betas: [[0.5, 0.999], [0.9, 0.999]]}
seeds: [0, 1]
evaluate: {epochs: [1, 10, 300], samples: 100, extractors: auto}
profiles: {quick: {epochs: 2, train_limit: 500, samples: 50, seeds: [7]}}
"""


def plan_of(tmp_path, text, **options):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return make_plan(path, PlanOptions(**options))


def test_sweep_is_the_product_and_repeats_are_planned_once(tmp_path):
    plan = plan_of(tmp_path, GOOD)
    assert [trial.name for trial in plan.trials[:4]] == [
        "mnist-mlp-z100,seed=0",
        "mnist-mlp-z100,lr=0.0002,betas=0.5-0.999,seed=0",
        "mnist-mlp-z100,lr=0.0002,seed=0",
        "mnist-mlp-z100,betas=0.5-0.999,seed=0",
    ]
    assert len(plan.trials) == 8
    assert len({trial.id for trial in plan.trials}) == 8


def test_swept_values_are_chosen_not_the_article_s(tmp_path):
    swept = plan_of(tmp_path, GOOD).trials[1]
    assert swept.provenance["lr_g"] == swept.provenance["lr_d"] == swept.provenance["betas_g"] == "chosen"
    assert swept.provenance["batch_size"] == "code"


def test_evaluation_epochs_are_those_reached_with_first_and_last(tmp_path):
    assert plan_of(tmp_path, GOOD).trials[0].config.evaluation.epochs == (0, 1, 10, 100)


def test_quick_cuts_and_is_another_trial(tmp_path):
    quick = plan_of(tmp_path, GOOD, profile="quick").trials
    assert {t.config.seed for t in quick} == {7}
    config = quick[0].config
    assert (config.epochs, config.train_limit, config.evaluation.samples) == (2, 500, 50)
    assert config.evaluation.epochs == (0, 1, 2)
    assert config.profile == "quick"


BOTH = GOOD.replace(
    "  - recipe: mnist-mlp-z100\n    sweep", "  - recipe: mnist-dcgan\n  - recipe: mnist-mlp-z100\n    sweep"
)
CUTS = "{epochs: {mnist-dcgan: 2, mnist-mlp-z100: 24}, train_limit: {mnist-dcgan: 15000, mnist-mlp-z100: 20000}}"


def test_quick_cuts_recipe_by_recipe(tmp_path):
    text = BOTH.replace("{epochs: 2, train_limit: 500, samples: 50, seeds: [7]}", CUTS)
    trials = plan_of(tmp_path, text, profile="quick").trials
    cuts = {(t.config.recipe, t.config.epochs, t.config.train_limit) for t in trials}
    assert cuts == {("mnist-dcgan", 2, 15_000), ("mnist-mlp-z100", 24, 20_000)}
    capped = plan_of(tmp_path, text, profile="quick", epochs=5).trials
    assert {t.config.epochs for t in capped} == {2, 5}
    assert {t.config.train_limit for t in plan_of(tmp_path, text).trials} == {None}


@pytest.mark.parametrize(
    ("cuts", "place", "message"),
    [
        (
            "{epochs: {mnist-dcgan: 2}}",
            "10:20",
            "profiles.quick.epochs: no number for the recipe mnist-mlp-z100; add one",
        ),
        ("{epochs: {mnist-dcgan: 2, mnist-mlp: 3}}", "10:45", 'no trial has the recipe "mnist-mlp" (did you mean'),
        ("{epochs: {mnist-dcgan: 0, mnist-mlp-z100: 3}}", "10:42", "whole number from 1 to 1,000,000, got 0"),
        ("{epochs: {mnist-dcgan: [2], mnist-mlp-z100: 3}}", "10:42", "whole number from 1 to 1,000,000, got [2]"),
        ("{train_limit: {mnist-dcgan: 1, mnist-mlp-z100: 3}}", "10:47", "whole number from 2 to 1,000,000,000, got 1"),
    ],
)
def test_cuts_by_recipe_are_checked(tmp_path, cuts, place, message):
    text = BOTH.replace("{epochs: 2, train_limit: 500, samples: 50, seeds: [7]}", cuts)
    for profile in ("full", "quick"):
        with pytest.raises(SuiteError) as caught:
            plan_of(tmp_path, text, profile=profile)
        assert message in str(caught.value)
        assert f"s.yaml:{place}" in str(caught.value)


def test_command_line_caps_and_filters(tmp_path):
    plan = plan_of(tmp_path, GOOD, epochs=5, train_limit=40, samples=9, seeds=(3,), only="*betas*")
    assert [t.name for t in plan.trials] == [
        "mnist-mlp-z100,lr=0.0002,betas=0.5-0.999,seed=3",
        "mnist-mlp-z100,betas=0.5-0.999,seed=3",
    ]
    config = plan.trials[0].config
    assert (config.epochs, config.train_limit, config.evaluation.samples) == (5, 40, 9)


@pytest.mark.parametrize("cut", [{"epochs": 5}, {"train_limit": 40}, {"samples": 9}])
def test_what_the_command_line_cuts_is_no_longer_full(tmp_path, cut):
    assert {t.config.profile for t in plan_of(tmp_path, GOOD, **cut).trials} == {"quick"}


@pytest.mark.parametrize("same", [{"epochs": 100}, {"samples": 100}, {"seeds": (4,)}])
def test_what_cuts_nothing_stays_full(tmp_path, same):
    assert {t.config.profile for t in plan_of(tmp_path, GOOD, **same).trials} == {"full"}


def test_a_filter_that_leaves_nothing_is_said(tmp_path):
    with pytest.raises(UserError, match="no trial of s matches --only"):
        plan_of(tmp_path, GOOD, only="nothing*")


BAD = [
    ("  - recipe: mnist-mlp-z100\n", "  - recipe: mnist-mpl-z100\n", "4:13", 'did you mean "mnist-mlp-z100"'),
    ("suite: s\n", "suite: s\nsamples: 3\n", "2:1", "samples: unknown field"),
    ("    sweep:", "    sweeps:", "6:5", 'trials[1].sweeps: unknown field (did you mean "sweep"'),
    ("{lr: [2e-4", "{lrr: [2e-4", "6:13", 'unknown field (did you mean "lr"'),
    ("{lr: [2e-4", "{train_limit: [2e-4", "6:13", "unknown field (run has an option for it: --train-limit; runs of"),
    ("2e-4", "fast", "6:18", "must be a number, got 'fast'"),
    ("2e-4", "-1", "6:18", "greater than 0, got -1"),
    ("[0.5, 0.999]", "[0.5]", "6:", "must be two numbers, such as [0.5, 0.999], got [0.5]"),
    ("seeds: [0, 1]", "seeds: []", "7:8", "name at least one"),
    ("seeds: [0, 1]", "equivalence: 10", "7:14", "a share from 0 to 1, such as 0.1 for 10 %, got 10"),
    ("seeds: [0, 1]", "equivalence: 10%", "7:14", "a share from 0 to 1, such as 0.1 for 10 %"),
    ("seeds: [0, 1]", "seeds: [a]", "7:9", "whole number from 0 to 2,147,483,647, got 'a'"),
    ("version: 1\n", "", "1:1", "version: this field is required; write version: 1"),
    ("suite: s", "suite: ../etc", "1:8", "use small letters, digits, - and _"),
    ("suite: s", "suite: [", "3:7", "not YAML"),
    ("version: 1", "version: 1\nversion: 2", "3:1", "version is given twice"),
    ("samples: 100", "samples: 1", "8:", "whole number from 2 to 10,000,000, got 1"),
    ("{lr: [2e-4, 3.0e-4]", "{lr_g: [1e-4], lr: [2e-4]", "6:", "lr sets both networks"),
    ("quick:", "fast:", "9:12", "unknown field"),
    ("seeds: [0, 1]", "datasets: {own: {pth: x}}", "7:18", 'unknown field (did you mean "path"'),
]


@pytest.mark.parametrize(("old", "new", "place", "message"), BAD, ids=[b[3] + b[1][:12] for b in BAD])
def test_mistakes_are_named_with_their_place(tmp_path, old, new, place, message):
    assert old in GOOD
    with pytest.raises(SuiteError) as caught:
        plan_of(tmp_path, GOOD.replace(old, new, 1))
    text = str(caught.value)
    assert message in text
    if not message.startswith("lr sets"):
        assert f"s.yaml:{place}" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the suite is empty"),
        ("- 1", "a suite is a mapping"),
        ("\x00", "not YAML"),
        ("a: &x [*x]", r"s.yaml:1:4: a\[0\]: an alias refers to the value that contains it"),
    ],
)
def test_what_is_no_suite(tmp_path, text, message):
    with pytest.raises(SuiteError, match=message):
        plan_of(tmp_path, text)


def test_not_text_and_not_there(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SuiteError, match=r"s.yaml:1:1: byte 0 is not UTF-8 text; save"):
        make_plan(path, PlanOptions())
    with pytest.raises(SuiteError, match="cannot be read"):
        make_plan(tmp_path / "none.yaml", PlanOptions())
    with pytest.raises(SuiteError, match='unknown suite "digit".*did you mean "digits"'):
        find_suite("digit")


def test_alias_bombs_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(SuiteError, match="too large or too deep"):
        plan_of(tmp_path, "\n".join(lines))


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=300))
def test_any_text_is_a_suite_or_a_clear_error(text):
    try:
        parse(Path("x.yaml"), text)
    except SuiteError as error:
        assert str(error).startswith("x.yaml")


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_damage_to_a_good_suite_is_a_plan_or_a_clear_error(tmp_path_factory, data):
    """Cut, repeat and replace pieces of a good file."""
    position = data.draw(st.integers(0, len(GOOD)))
    length = data.draw(st.integers(0, 30))
    piece = data.draw(
        st.sampled_from(["", "x", ": ", "- ", "[", "{", "1e400", "null", "~", "'", "&a ", "*a ", "!!int "])
    )
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_text(GOOD[:position] + piece + GOOD[position + length :])
    try:
        make_plan(path, PlanOptions())
    except SuiteError as error:
        assert "damaged.yaml" in str(error)


SHIPPED = sorted(path.stem for path in Path("benchmarks").glob("*.yaml"))


@pytest.mark.parametrize(("name", "profile"), list(itertools.product(SHIPPED, ["full", "quick"])))
def test_shipped_suites_plan(name, profile):
    plan = make_plan(find_suite(name), PlanOptions(profile=profile))
    assert plan.suite == name
    assert len({trial.name for trial in plan.trials}) == len(plan.trials)
    assert {misnamed(trial.setting, trial.config) for trial in plan.trials} == {""}


NAMED = {"lr_g": 2e-4, "lr_d": 3e-4, "betas_g": (0.5, 0.99), "betas_d": (0.5, 0.99), "loss": "soft,2x,lr=9"}
"""Changes of a recipe, of which a loss of somebody's own has commas in its name."""


@pytest.mark.parametrize(
    "rest",
    ["", ",lr_g=0.0002,lr_d=0.0003", ",betas=0.5-0.99,loss=soft,2x,lr=9", ",loss=soft,2x,lr=9,spectral_norm=False"],
)
def test_a_setting_says_values_of_its_config(rest):
    """A value with a comma in it made an honest record invalid."""
    config = config_of("mnist-mlp-z100", **NAMED)
    assert misnamed(f"mnist-mlp-z100{rest}", config) == ""
    assert misnamed(setting_name("mnist-mlp-z100", RECIPES["mnist-mlp-z100"].values(), config, cut=False), config) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mnist-dcgan", "mnist-dcgan"),
        ("own label", "own label"),
        ("mnist-mlp-z100,lr_g=0.0002", "lr_g=0.0002"),  # of both networks are written together
        ("mnist-mlp-z100,lr=0.0002", "lr=0.0002"),
        ("mnist-mlp-z100,betas=0.5-0.990", "betas=0.5-0.990"),
        ("mnist-mlp-z100,betas=0.5-0.99,betas=0.5-0.99", "betas=0.5-0.99"),
        ("mnist-mlp-z100,beta1=0.5", "beta1=0.5"),
        ("mnist-mlp-z100,loss=soft", "loss=soft"),
        ("mnist-mlp-z100,loss=soft,2x,lr=99", "loss=soft"),
        ("mnist-mlp-z100,spectral_norm=True", "spectral_norm=True"),
        ("mnist-mlp-z100,Spectral_norm=False", "Spectral_norm=False"),
        ("mnist-mlp-z100, spectral_norm=False", " spectral_norm=False"),
        ("mnist-mlp-z100,spectral_norm=", "spectral_norm="),
        ("mnist-mlp-z100,FID=3", "FID=3"),
        ("mnist-mlp-z100,seed=0", "seed=0"),
        ("mnist-mlp-z100 / lr 0.5", " / lr 0.5"),
        ("mnist-mlp-z100,", ","),
        ("mnist-mlp-z100xy", "xy"),
    ],
)
def test_a_setting_that_says_anything_else_is_found(name, said):
    """Most false names passed: with a blank, in another case, of another recipe, of a field that there is not."""
    assert misnamed(name, config_of("mnist-mlp-z100", **NAMED)) == said


def test_mnist_covers_the_question_of_the_articles():
    trials = make_plan(find_suite("mnist"), PlanOptions()).trials
    for recipe in ("mnist-dcgan", "mnist-mlp-z64", "mnist-mlp-z100"):
        mine = [t.config for t in trials if t.config.recipe == recipe]
        swept = {(c.lr_g, c.betas_g) for c in mine if c.lr_g == c.lr_d and c.epochs == 300}
        assert swept == set(itertools.product((2e-4, 3e-4), ((0.5, 0.999), (0.9, 0.999))))
        assert any(t.setting == recipe for t in trials), "the article's own setting"
        assert {c.seed for c in mine} == {0, 1, 2, 3, 4}
    assert {1, 10, 25, 60, 100, 300} <= set(trials[1].config.evaluation.epochs)


# ------------------------------------------------------------------- random values, and what the command line adds

RANDOM = """\
suite: s
version: 1
trials:
  - recipe: mnist-mlp-z100
    sweep: {SWEEP}
seeds: [0, 1]
"""


def random_plan(tmp_path, sweep, **options):
    path = tmp_path / "s.yaml"
    path.write_text(RANDOM.replace("SWEEP", sweep))
    return make_plan(path, PlanOptions(**options))


def test_random_values_are_drawn_together_and_the_first_ones_stay(tmp_path):
    sweep = (
        "loss: [hinge, minimax], lr: {log: [1e-5, 1e-3], count: COUNT}, batch_size: {choice: [32, 64], count: COUNT}"
    )
    few = random_plan(tmp_path, sweep.replace("COUNT", "5"))
    many = random_plan(tmp_path, sweep.replace("COUNT", "40"))
    assert (len(few.trials), len(many.trials)) == (2 * 2 * 5, 2 * 2 * 40)
    assert {trial.id for trial in few.trials} <= {trial.id for trial in many.trials}
    rates = [trial.config.lr_g for trial in many.trials]
    assert all(1e-5 <= rate <= 1e-3 for rate in rates)
    assert 0.3 < sum(rate < 1e-4 for rate in rates) / len(rates) < 0.7, "half of them lie below the middle"
    assert len({(t.config.lr_g, t.config.batch_size) for t in many.trials}) == 40, "drawn together, not multiplied"
    assert {t.config.batch_size for t in many.trials} == {32, 64}
    assert all(trial.config.lr_g == trial.config.lr_d for trial in many.trials)
    assert {trial.drawn for trial in many.trials} == {("lr_g", "lr_d", "batch_size")}
    other = random_plan(tmp_path, sweep.replace("COUNT", "5, seed: 1"))
    assert not {t.config.lr_g for t in other.trials} & set(rates)


def test_adam_s_epsilon_is_drawn_between_bounds_as_other_numbers_are(tmp_path):
    """It was told to be none."""
    drawn = [trial.config.adam_eps for trial in random_plan(tmp_path, "adam_eps: {log: [1e-9, 1e-6], count: 4}").trials]
    assert len(set(drawn)) == 4
    assert all(1e-9 <= value <= 1e-6 for value in drawn)


@pytest.mark.parametrize(
    ("bounds", "shares"),
    [
        ({"uniform": [1, 3]}, {1: 1 / 3, 2: 1 / 3, 3: 1 / 3}),
        ({"uniform": [1.5, 3.2]}, {2: 1 / 2, 3: 1 / 2}),
        ({"log": [1, 4]}, {1: 0.5, 2: 0.2325, 3: 0.1531, 4: 0.1144}),
    ],
)
def test_random_whole_numbers_have_the_same_room(bounds, shares):
    """Numbers at the bounds had half of it."""
    values = RandomValues(count=4000, **bounds).values("d_steps", whole=True)
    found = {value: values.count(value) / len(values) for value in sorted(set(values))}
    assert found == pytest.approx(shares, abs=0.03)
    assert all(isinstance(value, int) for value in values)


def test_draws_that_coincide_are_trained_once(tmp_path):
    few = random_plan(tmp_path, "loss: [hinge, minimax], d_steps: {uniform: [1, 2], count: 6}")
    assert len({trial.setting for trial in few.trials}) == 2 * 2


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ("d_steps: {uniform: [1.2, 1.8], count: 3}", "sweep.d_steps: no whole number lies between 1.2 and 1.8; widen"),
        ("lr: {log: [0, 1e-3], count: 3}", "trials[0].sweep.lr: bounds must be two numbers above 0, the lower first"),
        ("lr: {uniform: [2, 1], count: 3}", "trials[0].sweep.lr: bounds must be two numbers, the lower first"),
        ("lr: {count: 3}", "trials[0].sweep.lr: give one of log, uniform and choice"),
        ("lr: {log: [1e-5, 1e-3], cuont: 3}", 'trials[0].sweep.lr.cuont: unknown field (did you mean "count"?)'),
        ("loss: {log: [1, 2], count: 3}", "trials[0].sweep.loss.log: only numbers lie between bounds; use choice"),
        ("batch_size: {choice: [a], count: 3}", "trials[0].sweep.batch_size.choice[0]: must be a whole number"),
        ("lr: {uniform: [0.5, 5], count: 9}", "trials[0]: lr_g must lie between 0 and 1"),
        ("lr: {log: [1e-5, 1e-3], count: 0}", "trials[0].sweep.lr.count: must be a whole number from 1 to 10,000"),
        (
            "lr: {log: [1e-5, 1e-3], count: 3}, batch_size: {choice: [8], count: 4}",
            "their counts must be equal, got lr 3, batch_size 4",
        ),
        ("lr: {log: [1e-5, 1e-3], count: 3}, lr_d: [1e-4]", "lr sets both networks, so lr_d cannot be given beside it"),
        ("loss: [hinge], optimizer: [sgd], betas: [[0.5, 0.9]]", "betas_g: sgd has no betas; leave them out"),
        (
            "loss: [hinge], optimizer_g: [rmsprop], betas: [[0.5, 0.9]]",
            "betas_g: rmsprop has no betas; set betas_d alone",
        ),
    ],
)
def test_random_values_that_cannot_be(tmp_path, sweep, said):
    with pytest.raises(SuiteError) as caught:
        random_plan(tmp_path, sweep)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "at", "said"),
    [
        ("sweep: {betas: [0.5, 0.999]}", "5:21", "sweep.betas[0]: must be two numbers, such as [0.5, 0.999], got 0.5"),
        ("sweep: {betas: 0.5}", "5:20", "sweep.betas: must be a list, got 0.5; write it in brackets, such as [[0.5"),
        ("sweep: {lr: 0.002}", "5:17", "sweep.lr: must be a list, got 0.002; write it in brackets"),
        ("set: {betas_g: 0.5}", "5:20", "set.betas_g: must be two numbers, such as [0.5, 0.999], got 0.5"),
        ("set: {lr: [1e-3, 2e-3]}", "5:15", "must be a number, got [0.001, 0.002]; several values stand under sweep"),
        ("set: {spectral_norm: 1}", "5:26", "set.spectral_norm: must be true or false, got 1"),
        ("set: 1", "5:10", "trials[0].set: must be a mapping of NAME: VALUE, got 1"),
    ],
)
def test_values_of_another_form_are_said_with_the_remedy(tmp_path, entry, at, said):
    (tmp_path / "s.yaml").write_text(f"suite: s\nversion: 1\ntrials:\n  - recipe: mnist-mlp-z100\n    {entry}\n")
    with pytest.raises(SuiteError) as caught:
        read(tmp_path / "s.yaml")
    assert f"s.yaml:{at}: " in str(caught.value)
    assert said in str(caught.value)


def test_lists_of_a_program_are_swept_as_those_of_the_command_line_are():
    given = {"lr": [1e-4, 3e-4], "betas": ((0.5, 0.9), (0.9, 0.999)), "betas_g": (0.5, 0.9), "loss": "hinge"}
    options = RunOptions("digits", changes={**given, "batch_size": np.array([16, 32])})
    assert [options.changes[name] for name in given] == [(1e-4, 3e-4), ((0.5, 0.9), (0.9, 0.999)), (0.5, 0.9), "hinge"]
    swept = {name for name, value in options.changes.items() if isinstance(value, Several)}
    assert swept == {"lr", "betas", "batch_size"}
    again = parse_changes(["lr=1e-4,3e-4", "betas=[0.5,0.9],[0.9,0.999]", "batch_size=16,32"])
    assert {name: options.changes[name] for name in again} == again
    with pytest.raises(UserError, match="changes lr: a value is missing"):
        PlanOptions(changes=RunOptions("digits", changes={"lr": []}).changes)


def test_changes_of_the_command_line_mark_the_suite(tmp_path):
    plain = random_plan(tmp_path, "lr: [1e-4, 2e-4]")
    plan = random_plan(tmp_path, "lr: [1e-4, 2e-4]", changes={"lr": 5e-4, "loss": "hinge", "betas": [0.5, 0.9]})
    assert plan.suite == "s+set"
    assert {trial.setting for trial in plan.trials} == {"mnist-mlp-z100,lr=0.0005,betas=0.5-0.9,loss=hinge"}
    assert {trial.config.suite for trial in plan.trials} == {"s+set"}
    assert not {trial.id for trial in plan.trials} & {trial.id for trial in plain.trials}
    assert plan.trials[0].provenance["lr_g"] == "chosen"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr", 'NAME=VALUE, such as lr=1e-4 or loss=hinge, not "lr"'),
        ("lr=5", "--set lr: must be less than 1, got 5"),
        ("looss=hinge", '--set: no field "looss" (did you mean "loss"?)'),
        ("betas=[0.5]", "--set betas: must be two numbers, such as betas=[0.5,0.999], got [0.5]"),
        (
            "betas=[[0.5,0.9],[0.9,0.9]]",
            "--set betas: must be two numbers, such as betas=[0.5,0.999], got [0.5, 0.9]",
        ),
        ("lr=[", "--set lr: not YAML"),
        ("lr=1e-4,x", "--set lr: must be a number, got 'x'"),
        (
            "betas=0.5,0.999",
            "--set betas: must be two numbers, such as betas=[0.5,0.999], got 0.5",
        ),
        ("lr=1e-4,5", "--set lr: must be less than 1, got 5"),
        ("learning_rate=1e-4", '--set: no field "learning_rate" (did you mean "lr"?)'),
        ("batch=32", '--set: no field "batch" (did you mean "batch_size"?)'),
        ("z_dim=32", '--set: no field "z_dim" (did you mean "latent_dim"?)'),
        (
            "train_limit=200,400",
            '"train_limit" (run has an option for it: --train-limit; runs of several into one results folder are comp',
        ),
        ("samples=100", '--set: no field "samples" (run has an option for it: --samples)'),
        ("seeds=0,1", '--set: no field "seeds" (run has an option for it: --seeds)'),
        ("profile=quick", '--set: no field "profile" (run has an option for it: --profile)'),
    ],
)
def test_changes_that_cannot_be(text, said):
    with pytest.raises(UserError) as caught:
        parse_changes([text])
    assert said in str(caught.value)
    assert dict(map(parse_change, ["lr=1e-4", "loss=hinge", "spectral_norm=true"])) == {
        "lr": 1e-4, "loss": "hinge", "spectral_norm": True
    }  # fmt: skip


def test_a_field_is_changed_once():
    assert parse_changes(["lr=1e-4", "loss=hinge"]) == {"lr": 1e-4, "loss": "hinge"}
    with pytest.raises(UserError, match="--set lr is given twice; name all of its values in one: --set lr=VALUE,VALUE"):
        parse_changes(["lr=1e-4", " lr =2e-4"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"only": 5}, "only must be text, not 5"),
        ({"results": 3}, "results must be text or a path, not 3"),
        ({"epochs": 1.5}, "epochs must be a whole number, not 1.5"),
        ({"extractors": "abc"}, "extractors must be a list of names, not 'abc'"),
        ({"seeds": "0,1"}, "seeds must be a list of whole numbers, not '0,1'"),
        ({"changes": [1]}, r"changes must be names with values, not \[1\]"),
        ({"fresh": "yes"}, "fresh must be True or False, not 'yes'"),
        ({"time_limit": "3"}, "time_limit must be a number, not '3'"),
        ({"tracking": 3}, "tracking must be True or False or text, not 3"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"engine": "x"}, "engine must be one of auto, reference, fast, not 'x'"),
        ({"extractors": [1]}, r"extractors must be a list of names, not \[1\]"),
        ({"seeds": []}, "seeds is empty; leave it out"),
        ({"results": ""}, "results is empty; leave it out"),
        ({"only": ""}, "only is empty; leave it out"),
        ({"cpus_per_trial": 0}, "cpus_per_trial must be at least 0.01, not 0.0"),
        ({"gpus_per_trial": -1}, "gpus_per_trial must be at least 0, not -1.0"),
        ({"time_limit": float("nan")}, "time_limit must be at least 1, not nan"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(UserError, match=said):
        RunOptions("digits", **options)


def test_options_of_any_number_s_type_and_none_are_taken():
    found = RunOptions(
        "digits", epochs=np.int64(3), time_limit=np.float32(2), seeds=range(2), changes=None, device=None
    )
    assert (found.epochs, found.time_limit, found.changes, found.device) == (3, 2.0, {}, "auto")
    assert type(found.epochs) is int
    assert type(found.time_limit) is float
    assert found.plan.seeds == (0, 1)
    assert found.command() == "gan-bench run digits --epochs 3 --seeds 0,1 --no-tracking"
    changed = RunOptions("digits", changes={"batch_size": np.int64(32), "lr": np.float64(1e-3)}).plan.changes
    assert [(type(value), value) for value in changed.values()] == [(int, 32), (float, 1e-3)]
    changes = {"lr": torch.tensor(1e-4), "betas": (np.float32(0.9), np.float64(0.999))}
    assert RunOptions("digits", changes=changes).plan.changes == {"lr": 1e-4, "betas": (0.9, 0.999)}
    for seeds in (np.arange(2), [np.int64(0), 1], {0, 1}, (each for each in (0, 1))):
        assert RunOptions("digits", seeds=seeds, epochs=3).command() == found.command()
    assert RunOptions("digits", seeds=np.array([0]), tracking=True).command() == "gan-bench run digits --seeds 0"
    shared = RunOptions("digits", tracking="http://me:secret@server", experiment_prefix="anna/")
    assert shared.command() == "gan-bench run digits --experiment-prefix anna/", "an address may hold a password"
    alone = RunOptions("digits", tracking=False, experiment_prefix="anna/")
    assert alone.command() == "gan-bench run digits --no-tracking"
    far = RunOptions("digits", executor="ray", ray_address="10.0.0.1:6379").command()
    assert far == "gan-bench run digits --executor ray --ray-address 10.0.0.1:6379 --no-tracking"
    assert str(Command.parse(far).without_places()) == "gan-bench run digits --executor ray", "as others have it"
    assert RunOptions("digits", extractors=(each for each in "ab")).plan.extractors == ("a", "b")
    assert RunOptions(Path("a b.yaml"), gpus_per_trial=0, seeds=[0]).command() == (
        "gan-bench run 'a b.yaml' --seeds 0 --gpus-per-trial 0.0 --no-tracking"
    )
    assert RunOptions(Path("./-a.yaml")).command() == "gan-bench run ./-a.yaml --no-tracking", "else it were an option"
    assert str(Command.parse("gan-bench run 'my suites/-a.yaml'").without_places()) == "gan-bench run ./-a.yaml"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("lr=1e-4", 1),
        ("lr=1e-4,3e-4", 2),
        ("betas=[0.5,0.999]", 1),
        ("betas=[0.5, 0.999], [0.9, 0.999]", 2),
        ("loss=hinge,bce", 2),
        ("lr=1e-4,1e-4", 1),
    ],
)
def test_a_change_with_several_values_is_swept(tmp_path, text, count):
    """As a suite's own sweep of the same values is, trial by trial."""
    once = random_plan(tmp_path, "dataset: [digits]")
    swept = random_plan(tmp_path, "dataset: [digits]", changes=dict([parse_change(text)]))
    assert len(swept.trials) == count * len(once.trials)
    name, value = parse_change(text)
    options = RunOptions("s", changes={name: value}, tracking=True)
    assert dict([parse_change(shlex.split(options.command())[-1])]) == {name: value}


def test_sweeps_of_two_changes_are_their_product_and_are_counted(tmp_path):
    both = dict(map(parse_change, ["lr=1e-4,2e-4,3e-4", "batch_size=32,64"]))
    once = random_plan(tmp_path, "dataset: [digits]")
    assert len(random_plan(tmp_path, "dataset: [digits]", changes=both).trials) == 6 * len(once.trials)
    many = "lr=" + ",".join(f"{i}e-7" for i in range(1, 400)) + "\n"
    wide = dict(map(parse_change, [many.strip(), "batch_size=" + ",".join(map(str, range(2, 402)))]))
    with pytest.raises(UserError, match="trials; at most"):
        random_plan(tmp_path, "dataset: [digits]", changes=wide)


def test_only_takes_a_glob_or_a_part_of_a_name(tmp_path):
    def names(only):
        return len(random_plan(tmp_path, "lr: [1e-4, 2e-4]", only=only).trials)

    assert names("mlp") == 4
    assert names("lr=0.0001") == 2
    assert names("*seed=1") == 2
    with pytest.raises(UserError, match="no trial of s matches"):
        names("mlp*seed")  # with a star it is a glob, and matches the whole name


def test_only_takes_the_names_that_a_run_prints(tmp_path):
    """They leave out what all trials share, and mean one trial each."""
    swept = "dataset: [digits], batch_size: [64], lr: [1e-4, 1e-3, 2e-4], loss: [minimax, hinge]"
    trials = random_plan(tmp_path, swept).trials
    printed = short_names(trials)
    for trial in trials:
        short = printed[trial.id]
        assert "batch_size" in trial.name
        assert "batch_size" not in short
        assert [each.id for each in random_plan(tmp_path, swept, only=short).trials] == [trial.id]


def test_a_whole_name_means_no_setting_with_further_values(tmp_path):
    plan = plan_of(tmp_path, GOOD, only="mnist-mlp-z100,seed=0")
    assert [trial.name for trial in plan.trials] == ["mnist-mlp-z100,seed=0"]
    some = plan_of(tmp_path, GOOD, only="seed=1,lr=0.0002").trials
    assert {trial.name for trial in some} == {
        "mnist-mlp-z100,lr=0.0002,betas=0.5-0.999,seed=1",
        "mnist-mlp-z100,lr=0.0002,seed=1",
    }, "parts in any order"


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ("lr 1e-3", 2),
        ("lr=1e-3", 2),
        ("LR = 0.0010", 2),
        ("lr 2e-4", 2),  # the recipe's own, which no name has
        ("lr=2e-4,seed=1", 1),
        ("mlp,lr=1e-3", 2),
        ("β₁ 0.5", 6),
        ("mnist-mlp-z100 · lr 1e-3/2e-4", 2),
        ("beta1=0.5 · epochs 1,000", 6),
        ("betas=0.50-0.999", 6),
        ("batch 64", 6),
        ("digits,seed 0", 3),
    ],
)
def test_only_takes_values_as_tables_show_them(tmp_path, only, count):
    """Tables say ``lr 1e-3``, names ``lr=0.001``, and the recipe's own value stands in no name."""
    path = tmp_path / "s.yaml"
    path.write_text(
        "suite: s\nversion: 1\nseeds: [0, 1]\ntrials:\n- recipe: mnist-mlp-z100\n"
        "  set: {dataset: digits, epochs: 1000, batch_size: 64, betas: [0.5, 0.999]}\n"
        "  sweep: {lr: [1.0e-3, 2.0e-4]}\n"
        "- recipe: mnist-mlp-z100\n"
        "  set: {dataset: digits, epochs: 1000, batch_size: 64, betas: [0.5, 0.999], lr_g: 1.0e-3, lr_d: 2.0e-4}\n"
    )
    assert len(make_plan(path, PlanOptions(only=only)).trials) == count


@pytest.mark.parametrize("only", ["lr=0.0002", "lr=2e-4", "lr 2e-4", "lr 0.0002"])
def test_only_means_the_same_trials_however_a_number_is_written(only):
    """As names write it, it meant those alone whose names have it: a recipe's own value stands in no name."""
    plan = make_plan(find_suite("mnist"), PlanOptions(only=only, seeds=(0,)))
    assert len(plan.trials) == 6
    assert {trial.config.lr_g for trial in plan.trials} == {trial.config.lr_d for trial in plan.trials} == {2e-4}


THERE = "there are mnist-mlp-z100; "


@pytest.mark.parametrize(
    ("only", "hint"),
    [
        ("mnist-mpl-z100,seed=1", THERE),
        ("lr=1e-9", THERE),
        ("mnist-mlp-z100,seed=7", THERE),
        ("nothing", THERE),
    ],
)
def test_only_that_matches_nothing_says_what_would(tmp_path, only, hint):
    with pytest.raises(UserError, match=re.escape(f'no trial of s matches --only "{only}"; {hint}')):
        plan_of(tmp_path, GOOD, only=only)


def test_names_in_place_of_a_wrong_one_are_short_and_few(tmp_path):
    """Each of them can be given, and leaves out what all trials share."""
    rates = [f"{i}e-4" for i in range(1, 8)]
    swept = f"dataset: [digits], batch_size: [64], lr: [{', '.join(rates)}]"
    with pytest.raises(UserError, match="; and 2 more$") as refused:
        random_plan(tmp_path, swept, only="nothing")
    named = str(refused.value).partition("there are ")[2].split("; ")[:-1]
    assert len(named) == 5
    for name in named:
        assert "batch_size" not in name
        assert len(random_plan(tmp_path, swept, only=name).trials) == 2


def test_names_of_other_kinds_and_cases():
    assert find_suite("MNIST").name == "mnist.yaml"
    with pytest.raises(SuiteError, match='"mnist-dcgan" is a recipe, not a suite; add --only mnist-dcgan'):
        find_suite("mnist-dcgan")


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", (0, 1, 2, 3, 4)), ("3, 0-1", (3, 0, 1)), ("7", (7,)), ("1,1", (1,))]
)
def test_ranges_of_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["4-0", "-1", "a", "0-", "0-99999", ""])
def test_ranges_of_seeds_that_cannot_be(text):
    with pytest.raises(UserError, match="--seeds"):
        parse_seeds(text)


@pytest.mark.parametrize("text", ["lr=", "loss=null", "dataset=", "epochs=~"])
def test_a_change_without_a_value(text):
    name = text.partition("=")[0]
    with pytest.raises(UserError, match=f"--set {name}: a value is missing, such as {name}="):
        parse_changes([text])


def test_a_change_of_a_random_field_is_no_draw_and_one_of_the_epochs_is_not_cut(tmp_path):
    sweep = "lr: {log: [1e-5, 1e-3], count: 5}"
    plan = random_plan(tmp_path, sweep, changes={"lr": 1e-4})
    assert {trial.drawn for trial in plan.trials} == {()}
    assert len(plan.trials) == 2
    with pytest.raises(UserError, match="lr sets both networks, so lr_g cannot be given beside it"):
        PlanOptions(changes={"lr": 1e-4, "lr_g": 1e-4})
    quick = make_plan(find_suite("mnist"), PlanOptions(profile="quick", changes={"epochs": 40}))
    assert {trial.config.epochs for trial in quick.trials} == {40}
    near_one = random_plan(tmp_path, "ema_decay: {uniform: [0.99, 0.9999], count: 50}")
    assert all(0.99 <= trial.config.ema_decay <= 0.9999 for trial in near_one.trials)


def test_a_plug_in_in_nobody_s_home(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(RANDOM.replace("SWEEP", "lr: [1e-4]") + 'plugins: ["~nobody-of-that-name/x.py"]\n')
    with pytest.raises(SuiteError, match=r"plugins\[0\]: the home folder of"):
        make_plan(path, PlanOptions(allow_plugins=True))


def a_suite(**changes):
    return {
        "suite": "mine",
        "version": 1,
        "trials": [{"recipe": "mnist-dcgan", "sweep": {"lr": (1e-4, 1e-5), "loss": ["hinge", "wgan"]}}],
        "seeds": range(2),
        **changes,
    }


def test_a_suite_as_a_dict_is_the_suite_of_its_file(tmp_path):
    made = make_plan(a_suite(), PlanOptions())
    kept = tmp_path / "suite.yaml"
    kept.write_text(made.text)
    read = make_plan(kept, PlanOptions())
    assert [trial.id for trial in made.trials] == [trial.id for trial in read.trials]
    assert len(made.trials) == 8


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists))
def test_values_written_as_yaml_are_read_back(value):
    text = as_yaml({"value": value})
    try:
        content = YamlDocument(Path("x"), text).content
    except SuiteError as error:  # a character that no suite may have
        assert "is not allowed" in str(error) or "too large or too deep" in str(error)
        return
    assert repr(content["value"]) == repr(value)


@pytest.mark.parametrize(
    "text", ["1e-4", "0.5", "12", "true", "null", "~", "", ".inf", "yes", "a: b", "- x", "# y", "\x85", "a\u2028b\n"]
)
def test_texts_stay_texts(text):
    assert YamlDocument(Path("x"), as_yaml({"value": text})).content == {"value": text}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "1"}, "suite: version: must be a whole number"),
        ({"trials": [{"recipe": "nope"}]}, 'suite: trials[0].recipe: unknown recipe "nope"'),
        ({"trials": [{"recipe": object()}]}, "cannot stand in a suite"),
        ({"trials": [{"recipe": "mnist-dcgan", "sweep": {"learning_rate": [1]}}]}, 'did you mean "lr"?'),
        ({"suite": "../x"}, "suite: suite: "),
    ],
)
def test_a_dict_that_is_no_suite_is_refused_without_lines_and_columns(changes, said):
    with pytest.raises(SuiteError) as caught:
        make_plan(a_suite(**changes), PlanOptions())
    assert said in str(caught.value)


def test_paths_of_a_dict_start_at_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/in")
    trials = [{"recipe": "mnist-dcgan", "sweep": {"dataset": ["mine", "home", "beside"]}}]
    paths = {"mine": "tiles", "home": "~/tiles", "beside": "link/../tiles"}
    datasets = {name: {"path": path, "size": 28} for name, path in paths.items()}
    text = make_plan(a_suite(datasets=datasets, trials=trials, plugins=[]), PlanOptions()).text
    content = YamlDocument(Path("x"), text).content
    assert content["datasets"]["mine"]["path"] == str(tmp_path / "tiles")
    assert content["datasets"]["home"]["path"] == "~/tiles"
    assert content["datasets"]["beside"]["path"] == str(tmp_path / "far" / "tiles"), "as the system reads it"


OWN = "suite: s\nversion: 1\nseeds: [0]\ndatasets:\n  pics: {path: pics, size: 28}\n  more: {path: more, size: 28}\n"


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        (
            "[{recipe: mnist-mlp-z100}]",
            ["5:3: datasets.pics: used by no trial", "6:3: datasets.more: used by no trial"],
        ),
        (
            "[{recipe: mnist-mlp-z100, set: {dataset: pics}}]",
            ["6:3: datasets.more: used by no trial; add set: {dataset: more} to one, or remove it"],
        ),
        (
            "[{recipe: mnist-mlp-z100, sweep: {dataset: [pics, mores]}}]",
            ['6:3: datasets.more: used by no trial; write more in place of "mores", or remove it'],
        ),
    ],
)
def test_own_images_that_no_trial_uses_are_refused(tmp_path, trials, said):
    """The recipe's own dataset was trained on without a word, under a plan that listed them."""
    for only in (None, "nothing"):  # a filter leaves trials out, and is no reason
        with pytest.raises(SuiteError) as caught:
            plan_of(tmp_path, f"{OWN}trials: {trials}\n", only=only)
        found = str(caught.value).splitlines()
        assert len(found) == len(said)
        assert all(f"s.yaml:{each}" in line for each, line in zip(said, found, strict=True))


def test_own_images_are_used_wherever_a_trial_may_name_them(tmp_path):
    both = "trials: [{recipe: mnist-mlp-z100, set: {dataset: pics}}, {recipe: mnist-mlp-z64, set: {dataset: more}}]\n"
    assert len(plan_of(tmp_path, OWN + both, only="*z64*").trials) == 1
    assert len(plan_of(tmp_path, OWN + both, changes={"dataset": "digits"}).trials) == 2
    for swept in ("[pics, more]", "{choice: [pics, more], count: 1}"):
        plan_of(tmp_path, f"{OWN}trials: [{{recipe: mnist-mlp-z100, sweep: {{dataset: {swept}}}}}]\n")
    plain = f"{OWN}trials: [{{recipe: mnist-mlp-z100}}]\n"
    assert len(plan_of(tmp_path, plain, changes={"dataset": Several(("pics", "more"))}).trials) == 2
    (tmp_path / "my.py").write_text(
        "from dataclasses import replace\nimport gan_bench as gb\nbase = gb.RECIPES['mnist-mlp-z100']\n"
        "gb.RECIPES.register('of-pics', replace(base, name='of-pics', dataset=replace(base.dataset, value='pics')))\n"
    )
    trials = "trials: [{recipe: of-pics}, {recipe: of-pics, set: {dataset: more}}]\n"
    planned = plan_of(tmp_path, f"{OWN}plugins: [my.py]\n{trials}", allow_plugins=True).trials
    assert [trial.config.dataset for trial in planned] == ["pics", "more"]
    keep_plugins(())


def test_a_suite_that_was_run_may_name_images_that_no_trial_uses(tmp_path):
    """Scores are added to its records."""
    (tmp_path / "s.yaml").write_text(f"{OWN}trials: [{{recipe: mnist-mlp-z100}}]\n")
    assert len(make_plan(tmp_path / "s.yaml", PlanOptions(), has_run=True).folders) == 2


def test_a_plan_to_look_at_runs_no_plugin(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text("raise SystemExit('it ran')")
    made = make_plan(a_suite(plugins=[plugin]), PlanOptions(), may_skip_plugins=True)
    assert made.files == (plugin,)
    assert made.plugins == ()


def test_short_floats_of_a_dict_are_what_they_print():
    rates = np.array([2e-4, 3e-4], np.float32)
    for listed in (rates, torch.from_numpy(rates)):
        trials = [{"recipe": "mnist-dcgan", "set": {"ema_decay": np.float16(0.5)}, "sweep": {"lr": listed}}]
        made = make_plan(a_suite(trials=trials), PlanOptions())
        assert {trial.config.lr_g for trial in made.trials} == {2e-4, 3e-4}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_short_floats_become_decimals_of_which_they_are_the_nearest(dtype):
    unsigned = np.dtype(f"u{dtype().itemsize}")
    bits = np.random.default_rng(0).integers(0, np.iinfo(unsigned).max, 5_000, unsigned)
    values = np.concatenate([bits.view(dtype), np.array([0, np.finfo(dtype).max, np.inf, -np.inf, np.nan], dtype)])
    found = np.array(as_python(values))
    assert np.array_equal(found.astype(dtype), values, equal_nan=True)
    assert [each for each in found if np.isfinite(each)] == [float(str(each)) for each in values if np.isfinite(each)]


def test_rounding_errors_of_computed_values_make_no_settings():
    computed = [np.arange(1, 4) * 1e-4, [1 * 1e-4, 2 * 1e-4, 3 * 1e-4], torch.arange(1, 4, dtype=torch.float64) * 1e-4]
    assert 3 * 1e-4 != 3e-4
    for listed in computed:
        made = make_plan(a_suite(trials=[{"recipe": "mnist-dcgan", "sweep": {"lr": listed}}]), PlanOptions())
        assert {trial.config.lr_g for trial in made.trials} == {1e-4, 2e-4, 3e-4}


def test_numbers_of_many_digits_are_kept():
    values = [*np.random.default_rng(0).uniform(-1, 1, 1_000).tolist(), 1 / 3, math.nan, math.inf, -0.0, 1e300]
    assert [struct.pack("d", each) for each in map(as_python, values)] == [struct.pack("d", each) for each in values]
    assert as_python(np.array(values[:3])) == values[:3]


def test_rounding_errors_in_files_are_none(tmp_path):
    text = "suite: a\nversion: 1\ntrials: [{recipe: mnist-dcgan, set: {lr: 0.00020000000000000002}}]\n"
    (tmp_path / "a.yaml").write_text(text)
    assert {trial.config.lr_g for trial in make_plan(tmp_path / "a.yaml", PlanOptions()).trials} == {2e-4}


def test_settings_that_round_to_one_name_are_refused():
    trials = [{"recipe": "mnist-dcgan", "sweep": {"betas": [[0.5, 0.999], [0.5, 0.99900001]]}}]
    with pytest.raises(SuiteError, match=r"betas_g is .*0\.999\) and .*0\.99900001\) in two settings.*round"):
        make_plan(a_suite(trials=trials), PlanOptions())


def test_every_value_that_the_documentation_names_can_be_set():
    text = (Path(__file__).parents[2] / "docs" / "suites.md").read_text()
    table = text.partition("## Every value")[2].strip().partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {"epochs", "adam_eps", "loss"} <= named
    assert named <= Changes.model_fields.keys()


def swept(field, value):
    """Return the trials of a suite that sweeps a field."""
    return f"trials: [{{recipe: mnist-dcgan, sweep: {{{field}: {value}}}}}]"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("trials:\n\t- recipe: mnist-dcgan", "; indent with blanks in place of tabs"),
        ("description: a: b", "; quote a text that holds a colon"),
        ('description: "C:\\Users"', "; put a path with backslashes in single quotes"),
        ("trials: [*x]", "; name a value with & before * refers to it"),
        ("a: 1\n---\nb: 2", "; keep one suite in a file, and remove ---"),
        ('description: "open', "; close the quote"),
        ("seeds: [0, 1", "; close the bracket"),
        ("trials:\n- &x {recipe: mnist-dcgan}\n- {<<: *x}", "a merge key (<<) is not supported; write the values out"),
        (
            "trials: [{recipe: mnist-dcgan, set: {batch_size: 064}}]",
            'batch_size: a number begins with 0; write 64, or "064" for a text',
        ),
        (
            "trials: [{recipe: mnist-dcgan, sweep: {batch_size: [1,024]}}]",
            "batch_size[1]: a number begins with 0; write 24, or",
        ),
        ("trials: [{recipe: mnist-dcgan, sweep: {betas: [0.5, 0.9]}}]", "; a sweep of pairs is [[0.5, 0.999]]"),
        ("trials:\n- recipe: mnist-dcgan\n - recipe: mnist-dcgan", "; indent the items of one list alike"),
        ("seeds: 0-4", "must be a list, got '0-4'; write it in brackets, such as [0, 1, 2]"),
        ("plugins: my.py", "must be a list, got 'my.py'; write it in brackets, such as [./mine.py]"),
        (
            "trials: {recipe: mnist-dcgan}",
            "must be a list, got {'recipe': 'mnist-dcgan'}; begin every item with a hyphen",
        ),
        ("trials: mnist-dcgan", "got 'mnist-dcgan'; write it as [{recipe: NAME}]"),
        ("trials: [mnist-dcgan]", "got 'mnist-dcgan'; write it as {recipe: NAME}"),
        ("trials: [recipe:mnist-dcgan]", "got 'recipe:mnist-dcgan'; put a blank behind the colon"),
        ("datasets: {own: C:/images}", "got 'C:/images'; write it as {path: ./images, size: 64}"),
        (swept("batch_size", "'64,128'"), "got '64,128'; write it in brackets, such as [64, 128]"),
        (swept("lr", "'1e-4, 2e-4'"), "got '1e-4, 2e-4'; write it in brackets, such as [2.0e-4, 3.0e-4]"),
        (swept("optimizer", "adam"), "got 'adam'; write it in brackets, such as [one, another]"),
        (swept("latent_dim", "{choice: 64, count: 2}"), "choice: must be a list, got 64; write it in brackets"),
        (swept("latent_dim", "{log: 64-128, count: 2}"), "two numbers, such as [64, 256], got '64-128'"),
        (swept("lr", "{uniform: [1e-5], count: 3}"), "two numbers, such as [1.0e-5, 1.0e-3], got [1e-05]"),
        (
            "trials: [{recipe: mnist-dcgan, set: {lr: 0,0002}}]",
            "a comma ends a value here; put several values in brackets, and write decimals with a point",
        ),
        (
            "trials: [{recipe: mnist-dcgan, set: {lr: '2e-4'}}]",
            "must be a number, got '2e-4'; write it as 0.0002, without quotes",
        ),
        ("trials: [{recipe: mnist-dcgan, set: {epochs: '5'}}]", "got '5'; write it as 64, without"),
        ("trials:\n- recipe: mnist-dcgan\n  set:\n    lr:0.0002", "must be a mapping of NAME: VALUE, got 'lr:0.0002'"),
        ("datasets: {own: {path: x, size: 28, range: 0-255}}", "must be two numbers, such as [0, 255], got '0-255'"),
        ("datasets: {own: {path: x, size: 28, range: [0]}}", "must be two numbers, such as [0, 255], got [0]"),
    ],
)
def test_mistakes_of_writing_come_with_their_remedy(text, remedy):
    start = "suite: a\nversion: 1\n" + ("" if "trials" in text else "trials: [{recipe: mnist-dcgan}]\n")
    with pytest.raises(SuiteError) as failure:
        parse(Path("a.yaml"), start + text)
    assert remedy in str(failure.value)


@pytest.fixture
def own_recipe():
    """A recipe of a user whose betas are a list and whose rate is a product that no table writes in full."""
    recipe = replace(
        RECIPES["mnist-mlp-z100"],
        name="own",
        betas_g=Fact([0.5, 0.999], "chosen"),
        lr_g=Fact(3 * 1e-4, "chosen"),
    )
    RECIPES.register("own", recipe)
    yield recipe
    RECIPES.drop("own")


def test_values_of_an_own_recipe_have_no_rounding_errors_and_all_their_digits(own_recipe):
    many = replace(own_recipe, lr_g=Fact(1.2345678e-4, "chosen"))
    assert many.values()["lr_g"] == 1.2345678e-4
    assert own_recipe.lr_g.value != 3e-4
    assert own_recipe.facts()["lr_g"] == Fact(3e-4, "chosen"), "what is shown is what is trained"
    made = make_plan(a_suite(trials=[{"recipe": "own"}, {"recipe": "own", "set": {"lr": 3e-4}}]), PlanOptions())
    assert {trial.setting for trial in made.trials} == {"own"}, "the recipe's own rate"
    assert {(trial.config.lr_g, trial.config.betas_g) for trial in made.trials} == {(3e-4, (0.5, 0.999))}


def test_values_of_an_own_recipe_are_python_s(own_recipe):
    """A rate of float32 was trained with all its digits, and its report was a TypeError."""
    numbers = {
        "lr_g": Fact(np.float32(3e-4), "chosen"),
        "lr_d": Fact(np.float64(3 * 1e-4), "chosen"),
        "betas_g": Fact(np.array([0.5, 0.999], np.float32), "chosen"),
        "betas_d": Fact((np.float32(0.5), 0.999), "chosen"),
        "epochs": Fact(np.int64(7), "chosen"),
    }
    values = replace(own_recipe, **numbers).values()
    wanted = {"lr_g": 3e-4, "lr_d": 3e-4, "betas_g": (0.5, 0.999), "betas_d": (0.5, 0.999), "epochs": 7}
    assert {name: repr(values[name]) for name in wanted} == {name: repr(value) for name, value in wanted.items()}


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"epochs": 500}, 100),
        ({"epochs": 100}, None),
        ({"epochs": 10}, None),
        ({"epochs": 500, "changes": {"epochs": 500}}, None),
        ({"epochs": 30, "profile": "quick"}, 2),
    ],
)
def test_a_cap_that_cuts_nothing_is_said_with_what_does(tmp_path, options, most):
    """`--epochs 200` of a suite with 100 planned 100 without a word."""
    cap = options["epochs"]
    said = f"--epochs {cap} caps nothing: no trial has more than {most}; --set epochs={cap} trains longer"
    found = list(idle_cap(PlanOptions(**options), plan_of(tmp_path, GOOD, **options).trials))
    assert found == ([said] if most else [])
