"""What holds on a CPU must hold on a GPU: steps, groups, resumed trials, scores.

``pytest -m cuda`` runs them where a CUDA device is. With ``GAN_BENCH_REHEARSE=1``, as in CI, they run on a CPU with
few small shapes, where steps are recorded by a stand-in: that shows that the tests work, and nothing of a GPU.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from functools import partial
from typing import get_args

import pytest
import torch
from support.commands import gan_bench, measuring, wait_for
from support.engines import apart, engines, fake_capture, members, off, train, train_together
from support.needs import REHEARSED
from support.records import bits

from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import Precision
from gan_bench.execution.trial.environment import fix_bits
from gan_bench.metrics import natural
from gan_bench.metrics.evaluator import to_uint8
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.metrics.features import full_precision
from gan_bench.randomness import draw_latent, generator_for
from gan_bench.records.layout import RecordDirectory
from gan_bench.training import draws
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group.group import CapturedEngine, Group, cuda_capture
from gan_bench.training.group.ways import ASKED, BRANCHES, KERNELS, LAST, STACKED, WRITTEN, ways
from gan_bench.training.precision import why_not

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.filterwarnings("ignore:.*does not have a deterministic implementation"),
    pytest.mark.filterwarnings("ignore:.*no current CUDA context"),
]
STEPPED = [name for name in RECIPES if not REHEARSED or name.startswith("mnist")]
"""Recipes whose steps are taken; on a CPU the larger networks take long, and have tests of their own."""
SUITE = """\
suite: gpu
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: MLP}
    sweep: {lr: [2e-4, 3e-4]}
  - recipe: mnist-dcgan
    set: {dataset: digits, epochs: DCGAN}
seeds: [0, 1]
evaluate: {epochs: [1, DCGAN], samples: 256}
"""


@pytest.fixture(scope="module")
def device():
    found = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")  # the CPU rehearses
    before = torch.are_deterministic_algorithms_enabled()
    fix_bits(found)
    yield found
    torch.use_deterministic_algorithms(before)


@pytest.fixture(scope="module")
def capture(device):
    return cuda_capture if device.type == "cuda" else fake_capture


@pytest.mark.parametrize("kind", [ReferenceEngine, FastEngine])
@pytest.mark.parametrize("name", STEPPED)
def test_an_engine_trains_as_on_a_cpu(name, kind, device, monkeypatch):
    """With the same noise, which devices draw differently: here all of it is drawn on the CPU."""
    (there,), (here,) = engines(name, (kind,), device=device), engines(name, (ReferenceEngine,))
    for engine in (there, here):
        where = engine.images.device
        monkeypatch.setattr(draws, "generator_for", lambda seed, purpose, device="cpu": generator_for(seed, purpose))
        monkeypatch.setattr(draws, "draw_latent", lambda *given, to=where: draw_latent(*given).to(to))
        train(engine, 1)
    assert apart(there.state, here.state) < 1e-6  # Adam's first step moves weights of tiny gradients either way


@pytest.mark.parametrize("name", STEPPED)
def test_recorded_steps_are_the_reference_s(name, device, capture):
    recorded = partial(CapturedEngine, capture=capture)
    reference, captured = engines(name, (ReferenceEngine, recorded), device=device)
    for engine in (reference, captured):
        train(engine, 7)
    assert captured.captured
    assert apart(reference.state, captured.state) < 1e-8


@pytest.mark.parametrize("name", STEPPED)
def test_recorded_steps_repeat_their_bits(name, device, capture):
    states = []
    for _ in range(2):
        (engine,) = engines(name, (partial(CapturedEngine, capture=capture),), torch.float32, device)
        train(engine, 7)
        states.append(engine.state)
    assert apart(*states) == 0


@pytest.mark.parametrize("name", STEPPED)
def test_members_of_a_recorded_group_are_the_reference_s(name, device, capture):
    alone, together = members(name, ReferenceEngine, device=device), members(name, FastEngine, device=device)
    group = Group(together, capture)
    train_together(group, 7)
    assert group.captured
    for reference, member in zip(alone, together, strict=True):
        train(reference, 7)
        assert apart(reference.state, member.state) < 1e-8


def train_in_the_way(way, together, capture, steps):
    """Train trials together, which take another way where theirs fails: that one would be what is tested."""
    group = Group(together, capture, way)
    train_together(group, steps)
    assert (group.way, group.captured) == (way, True)


@pytest.mark.parametrize("way", [WRITTEN, KERNELS, BRANCHES, BRANCHES + LAST])
@pytest.mark.parametrize("name", STEPPED)
def test_ways_of_a_group_are_the_reference(name, way, device, capture):
    """In float64, where an order of sums is all that differs."""
    if ("mlp" in name) != (way == WRITTEN) and way != BRANCHES:
        pytest.skip(f"{way!r} is no way for these networks")
    if way == KERNELS and name == "cifar10-dcgan":
        pytest.skip("the 64x64 networks of cats have all of its layers, and kernels of float64 take long to compile")
    if way == KERNELS and not REHEARSED:
        there = torch.cuda.get_device_properties(device).shared_memory_per_block_optin
        if there < 182_272:  # what tiles of float64 take; training has none
            pytest.skip(f"tiles of float64 do not fit the {there} bytes of shared memory of this card")
    if way == KERNELS and os.environ.get(ASKED) != "1":
        pytest.skip(f"kernels are a way where {ASKED}=1 asks for them")
    if way == KERNELS and REHEARSED:
        pytest.skip("tests/contract/test_kernels.py interprets the kernels where no GPU is")
    alone, together = members(name, ReferenceEngine, device=device), members(name, FastEngine, device=device)
    train_in_the_way(way, together, capture, 7)
    for reference, member in zip(alone, together, strict=True):
        train(reference, 7)
        assert apart(reference.state, member.state) < 1e-8


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("way", [WRITTEN, KERNELS, BRANCHES, BRANCHES + LAST])
@pytest.mark.parametrize("name", STEPPED)
def test_ways_err_at_most_twice_as_much_as_the_library(name, way, precision, device, capture):
    """After one step in float32, against one in float64: beside the stacked step, whose products are the library's."""
    if not REHEARSED and (why := why_not(precision, device)):
        pytest.skip(why)
    exact = members(name, ReferenceEngine, device=device)
    library, other = (members(name, FastEngine, torch.float32, device, precision=precision) for _ in range(2))
    if (way == KERNELS and REHEARSED) or (way not in ways(other, device) and not (REHEARSED and way == BRANCHES)):
        pytest.skip(f"{way!r} is no way for these networks here")
    for reference in exact:
        train(reference, 1)
    train_in_the_way(STACKED, library, capture, 1)
    train_in_the_way(way, other, capture, 1)

    def error(engines):
        return sum(off(a, b) for a, b in zip(engines, exact, strict=True)) / len(exact)

    assert error(other) <= 2 * error(library) + NEGLIGIBLE


NEGLIGIBLE = 1e-3
"""Learning rates by which a step may be off in any case: some gradients lie so close to zero that all rounding decides
their sign."""


@pytest.mark.parametrize("name", [name for name, entry in EXTRACTORS.shipped().items() if not entry.weights])
def test_features_are_a_cpu_s(name, device):
    if name == "efficientnet-lite0" and not importlib.util.find_spec(natural.PACKAGE):
        pytest.skip("the weights of efficientnet-lite0 are in the extra natural")
    images = to_uint8(torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    with full_precision():
        there = EXTRACTORS[name].load(device)(images.to(device))
        here = EXTRACTORS[name].load(torch.device("cpu"))(images)
    for a, b in ((there.features, here.features), (there.logits, here.logits)):
        assert (a.cpu() - b).abs().max() < 1e-4 * b.abs().max()


# ----------------------------------------------------------------------------------------- whole commands


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "gpu.yaml"
    mlp, dcgan = ("3", "1") if REHEARSED else ("800", "60")
    path.write_text(SUITE.replace("MLP", mlp).replace("DCGAN", dcgan))
    return path


def command(suite, results, device, *more):
    return ["run", str(suite), "--results", str(results), "--no-tracking", "--device", device.type, "--profile", "full",
            "--executor", "inline", *(FEW if REHEARSED else []), *more]  # fmt: skip


FEW = ["--train-limit", "200", "--samples", "64"]
"""Images of a rehearsal."""


@pytest.fixture(scope="module")
def undisturbed(suite, device, tmp_path_factory):
    results = tmp_path_factory.mktemp("undisturbed") / "results"
    done = gan_bench(*command(suite, results, device, "--group", "1"))
    assert done.returncode == 0, done.stdout + done.stderr
    return results


def records(results):
    return {path.parent.name: json.loads(path.read_text()) for path in results.glob("gpu/*/record.json")}


def test_trials_are_done(undisturbed, device):
    found = records(undisturbed)
    assert {record["status"] for record in found.values()} == {"done"}
    assert len(found) == 6
    assert all(record["captured"] == (device.type == "cuda") for record in found.values())


@pytest.mark.skipif(REHEARSED, reason="a rehearsal is over too soon; kills on a CPU have tests of their own")
def test_a_trial_that_is_stopped_and_killed_ends_in_the_same_bits(suite, device, undisturbed, tmp_path):
    chosen = command(suite, tmp_path / "results", device, "--group", "1", "--only", "*mlp*lr=0.0002*seed=0")
    line = [sys.executable, "-m", "gan_bench", *chosen]

    def interrupt(how, after):
        with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            wait_for(lambda: epochs(tmp_path / "results") > after)
            process.send_signal(how)
        return epochs(tmp_path / "results")

    stopped = interrupt(signal.SIGINT, 2)
    interrupt(signal.SIGKILL, stopped + 2)
    done = gan_bench(*chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed" in done.stdout
    (trial,) = (tmp_path / "results").glob("gpu/*--????????")
    assert bits(RecordDirectory(trial)) == bits(RecordDirectory(undisturbed / "gpu" / trial.name))


def epochs(results):
    """Epochs in the history of the one trial."""
    return sum(path.read_text().count('"kind":"epoch"') for path in results.glob("gpu/*/history.jsonl"))


@pytest.mark.slow
def test_groups_leave_the_records_of_lone_trials(suite, device, undisturbed, tmp_path):
    done = gan_bench(*command(suite, tmp_path / "results", device, "--group", "4"))
    assert done.returncode == 0, done.stdout + done.stderr
    alone, together = records(undisturbed), records(tmp_path / "results")
    assert alone.keys() == together.keys()
    assert max(record["group"] for record in together.values()) == 4
    for name, record in together.items():
        assert record["steps"] == alone[name]["steps"]
        assert record["status"] == "done"


def test_the_fastest_group_is_measured_before_a_run(suite, device, tmp_path):
    done = gan_bench(*command(suite, tmp_path / "results", device, "--dry-run"), env=measuring())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "estimated time: " in done.stdout
    assert "unknown" not in done.stdout


def test_worker_processes_share_a_gpu(suite, device, tmp_path):
    words = [word if word != "inline" else "processes" for word in command(suite, tmp_path / "results", device)]
    done = gan_bench(*words, "--workers", "1", "--only", "mlp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {record["status"] for record in records(tmp_path / "results").values()} == {"done"}
