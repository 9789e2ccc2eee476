"""The Triton kernels, without a card: interpreted, compiled for cards that are not there, and left out when wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from support.commands import python_file
from support.engines import apart, engines, fake_capture, members, train, train_together
from torch import nn

from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.models.dcgan import SequentialDiscriminator
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group import group as groups
from gan_bench.training.group.group import CapturedEngine, Group, can_group
from gan_bench.training.group.ways import BRANCHES, STACKED, WRITTEN, make_step

ROOT = Path(__file__).resolve().parents[2]


def run(*command, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    call = [sys.executable, *command]
    return subprocess.run(
        call, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, timeout=1800, check=False
    )


@pytest.mark.ci
def test_interpreted_kernels_are_autograd():
    pytest.importorskip("triton", reason="Triton comes with PyTorch on Linux alone")
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist")
    done = run("-m", "pytest", *options, "tests/support/interpreted_kernels.py", TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert re.search(r"(\d+) passed", done.stdout)


@pytest.mark.ci
def test_kernels_compile_for_cards_without_one():
    """For sm_80 and sm_90, every launch of a small pair, and none spills registers."""
    pytest.importorskip("triton", reason="Triton comes with PyTorch on Linux alone")
    done = python_file(ROOT / "benchmarks/speed/kernels.py", "--small")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| `")]
    assert {line.split("|")[2].strip() for line in lines} == {"sm_80", "sm_90"}
    assert {"`convolve`", "`weight_gradient`", "`add_parts`", "`norm_forward`", "`norm_backward`"} == {
        line.split("|")[1].strip() for line in lines
    }
    assert all(line.split("|")[5].strip() == "0" for line in lines), done.stdout


@pytest.mark.parametrize("way", [WRITTEN, BRANCHES])
@pytest.mark.parametrize("name", ["mnist-mlp-z64", "mnist-mlp-z100"])
def test_ways_of_linear_networks_are_the_reference(name, way):
    alone, together = members(name, ReferenceEngine), members(name, FastEngine)
    train_together(Group(together, fake_capture, way), 20)  # past the partial batch at an epoch's end
    for reference, member in zip(alone, together, strict=True):
        train(reference, 20)
        assert apart(reference.state, member.state) < 1e-12
        assert member.snapshot().mean == pytest.approx(reference.snapshot().mean, abs=1e-9)


@pytest.mark.parametrize("name", ["mnist-dcgan", "mnist-mlp-z100"])
def test_branches_have_the_bits_of_trials_trained_alone(name):
    alone, together = members(name, FastEngine, torch.float32), members(name, FastEngine, torch.float32)
    train_together(Group(together, None, BRANCHES), 6)
    for engine, member in zip(alone, together, strict=True):
        train(engine, 6)
        assert apart(engine.state, member.state) == 0


@pytest.fixture
def rehearsed(monkeypatch):
    """Rehearse on the CPU, with given ways and given times, and forget what was chosen."""

    def prepare(found, seconds, made=make_step):
        monkeypatch.setattr(groups, "_CHOSEN", {})
        monkeypatch.setattr(groups, "ways", lambda members, device: found)
        monkeypatch.setattr(groups, "make_step", made)
        monkeypatch.setattr(Group, "seconds_per_step", lambda self: seconds[self.way])

    return prepare


@pytest.mark.parametrize(("seconds", "chosen"), [(0.5, WRITTEN), (0.95, STACKED), (2.0, STACKED)])
def test_another_way_is_taken_where_it_is_clearly_faster(rehearsed, seconds, chosen):
    rehearsed([STACKED, WRITTEN], {STACKED: 1.0, WRITTEN: seconds})
    alone, together = members("mnist-mlp-z100", ReferenceEngine), members("mnist-mlp-z100", FastEngine)
    group = Group(together, fake_capture)
    train_together(group, 4)
    assert group.way == chosen
    for reference, member in zip(alone, together, strict=True):  # rehearsing changed nothing
        train(reference, 4)
        assert apart(reference.state, member.state) < 1e-12


def test_a_way_that_computes_something_else_is_left_out_with_a_sentence(rehearsed):
    def wrong(way, engines):
        step = make_step(way, engines)
        if way == STACKED:
            return step
        return lambda batch: step(batch._replace(real=-batch.real))

    rehearsed([STACKED, WRITTEN], {STACKED: 1.0, WRITTEN: 0.1}, wrong)
    group = Group(members("mnist-mlp-z100", FastEngine))
    with pytest.warns(RuntimeWarning, match="'written out' of training is not used .*its step is off by"):
        group.prepare()
    assert group.way == STACKED


@pytest.mark.parametrize("factor", [0.5, float("nan")])
@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_a_way_that_leaves_other_statistics_is_left_out(rehearsed, name, factor):
    """Scores are made from batch-norm's statistics, which no weight shows."""

    def wrong(way, engines):
        step = make_step(way, engines)

        def other(batch):
            made = step(batch)
            for engine in engines:
                for each, buffer in engine.state.generator.named_buffers():
                    if each.endswith(name):
                        buffer.mul_(factor)
            return made

        return step if way == STACKED else other

    rehearsed([STACKED, BRANCHES], {STACKED: 1.0, BRANCHES: 0.1}, wrong)
    group = Group(members("mnist-dcgan", FastEngine, torch.float32))
    with pytest.warns(RuntimeWarning, match="'branches' of training is not used .*its step is off by"):
        group.prepare()
    assert group.way == STACKED


def altered(change):
    """Return what makes ways of equal steps, but for what ``change(name, before, weights)`` does to the last trial."""

    def make(way, engines):
        step = make_step(way, engines)

        def other(batch):
            before = {name: p.detach().clone() for name, p in weights_of(engines[-1])}
            made = step(batch)
            for name, p in weights_of(engines[-1]):
                change(name, before[name], p.data)
            return made

        return step if way == STACKED else other

    return make


def weights_of(engine):
    for network in ("generator", "discriminator"):
        yield from ((f"{network}.{n}", p) for n, p in getattr(engine.state, network).named_parameters())


def untrained(name, before, weights):
    weights.copy_(before)


def uphill(layer):
    def change(name, before, weights):
        if name == layer:
            weights.copy_(2 * before - weights)

    return change


@pytest.mark.parametrize(
    ("name", "count", "change"),
    [
        ("mnist-mlp-z100", 24, untrained),
        ("mnist-mlp-z100", 2, uphill("discriminator.layers.0.bias")),
        ("mnist-mlp-z100", 2, uphill("discriminator.layers.4.weight")),
        ("mnist-dcgan", 2, uphill("discriminator.layers.0.weight")),
        ("mnist-dcgan", 2, uphill("generator.layers.7.weight")),
    ],
)
def test_a_way_that_errs_in_one_tensor_or_trial_is_left_out(rehearsed, name, count, change):
    """A mean over all weights of all trials hid it."""
    rehearsed([STACKED, BRANCHES], {STACKED: 1.0, BRANCHES: 0.1}, altered(change))
    group = Group([engines(name, (FastEngine,), torch.float32, seed=seed)[0] for seed in range(count)])
    with pytest.warns(RuntimeWarning, match="'branches' of training is not used .*its step is off by"):
        group.prepare()
    assert group.way == STACKED


def test_a_replay_that_errs_in_one_tensor_is_given_up():
    def capture(body):
        (network,) = [state.discriminator for state in body.__self__._states]
        weights = network.layers[0].bias.data

        def replay():
            before = weights.clone()
            body()
            weights.copy_(2 * before - weights)

        return replay

    (engine,) = engines("mnist-mlp-z100", (partial(CapturedEngine, capture=capture),), torch.float32)
    with pytest.warns(RuntimeWarning, match="the CUDA graph is not used .*its first replay is off by"):
        train(engine, 1)
    assert not engine.captured


def test_rounding_is_measured_in_the_learning_rate_of_each_trial(rehearsed):
    """It was measured in the lowest one, of which a step of the highest is many."""

    def rounded(name, before, weights):
        some = slice(None, None, 100)
        weights.view(-1)[some] = 2 * before.view(-1)[some] - weights.view(-1)[some]

    rehearsed([STACKED, BRANCHES], {STACKED: 1.0, BRANCHES: 0.1}, altered(rounded))
    rates = ({"lr_g": lr, "lr_d": lr} for lr in (1e-5, 1e-2))
    group = Group([engines("mnist-mlp-z100", (FastEngine,), torch.float32, **lr)[0] for lr in rates])
    group.prepare()
    assert group.way == BRANCHES


class Biased(SequentialDiscriminator):
    """Its first bias is subtracted again, so that its gradient is rounding."""

    def __init__(self):
        super().__init__()
        first = nn.Conv2d(1, 64, 4, 2, 1), nn.BatchNorm2d(64)
        self.layers = nn.Sequential(*first, nn.LeakyReLU(0.2), nn.Conv2d(64, 1, 14))


def test_a_bias_that_batch_norm_subtracts_may_go_either_way(rehearsed, registries):
    registries(ARCHITECTURES, dcgan28=replace(ARCHITECTURES["dcgan28"], discriminator=Biased))
    rehearsed([STACKED, BRANCHES], {STACKED: 1.0, BRANCHES: 0.1})
    together = [engines("mnist-dcgan", (FastEngine,), torch.float32, seed=seed)[0] for seed in range(2)]
    assert can_group(together)
    group = Group(together)
    group.prepare()
    assert group.way == BRANCHES


def test_ways_agree_where_nothing_but_rounding_differs(rehearsed):
    """Also of trials that diverged, and of statistics that hardly change any more."""
    rehearsed([STACKED, BRANCHES], {STACKED: 1.0, BRANCHES: 0.1})
    together = members("mnist-dcgan", FastEngine, torch.float32)
    train_together(Group(together, None, STACKED), 6)
    with torch.no_grad():
        next(together[0].state.generator.parameters())[0, 0] = float("nan")
    group = Group(together)
    group.prepare()
    assert group.way == BRANCHES


def test_a_way_that_cannot_be_made_is_left_out_with_a_sentence(rehearsed):
    def refused(way, engines):
        if way == WRITTEN:
            raise RuntimeError("no compiler was found")
        return make_step(way, engines)

    rehearsed([STACKED, WRITTEN], {STACKED: 1.0, WRITTEN: 0.1}, refused)
    group = Group(members("mnist-mlp-z100", FastEngine))
    with pytest.warns(RuntimeWarning, match="no compiler was found"):
        group.prepare()
    assert group.way == STACKED


def test_groups_of_about_the_same_size_rehearse_once(rehearsed):
    rehearsed([STACKED, WRITTEN], {STACKED: 1.0, WRITTEN: 0.1})
    Group(members("mnist-mlp-z100", FastEngine)).prepare()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smaller = Group(members("mnist-mlp-z100", FastEngine)[:2])
        smaller._rehearse = None  # calling it would fail
        smaller.prepare()
    assert smaller.way == WRITTEN
