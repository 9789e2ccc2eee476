"""Whole trials in this process: determinism, resume, divergence, and what the record says."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support.records import bits, edit
from support.runs import CPU, context, is_finished, run, stop_after, train
from support.trials import digits_trial

import gan_bench as gb
from gan_bench.config.image_folder import DataRoot
from gan_bench.config.trial import EvaluationConfig
from gan_bench.core.errors import StopProcess
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.trial.events import ignore
from gan_bench.execution.trial.run import run_trial
from gan_bench.execution.workers.inline import run_alone
from gan_bench.metrics.extractors import Features
from gan_bench.records import schema
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import BASELINES, CHECKPOINT, EVALUATIONS, HISTORY, RecordDirectory
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Failure, Status
from gan_bench.records.shared import read_baselines
from gan_bench.training import engine


@pytest.fixture(scope="module", params=["mlp", "dcgan28"])
def trial(request):
    return digits_trial(architecture=request.param, batch_size=8, train_limit=38)


@pytest.fixture(scope="module")
def whole(trial, tmp_path_factory):
    """The bits of the trial when nothing disturbs it."""
    directory, _ = run(tmp_path_factory.mktemp("whole"), trial)
    return bits(directory)


def test_same_seed_twice_is_the_same_bits(tmp_path, trial):
    first, _ = run(tmp_path, trial, "a")
    torch.rand(5)  # the global generator must not matter
    second, _ = run(tmp_path, trial, "b")
    assert bits(first) == bits(second)
    other, _ = run(tmp_path, replace(trial, config=replace(trial.config, seed=1)), "a")
    assert bits(other)[2] != bits(first)[2]


def test_the_global_generator_is_not_touched(tmp_path):
    before = torch.get_rng_state()
    run(tmp_path, digits_trial())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("looks", [0, 1, 3, 6, 8, 9, 12, 15])
def test_stopped_anywhere_and_resumed_is_the_same_bits(tmp_path, trial, whole, looks):
    asked = iter(range(10_000))
    directory, record = run(tmp_path, trial, "cut", stop=lambda: next(asked) >= looks)
    assert record.status is Status.INTERRUPTED
    assert Earlier(directory).status is Status.INTERRUPTED
    directory, record = run(tmp_path, trial, "cut")
    assert record.status is Status.DONE
    assert bits(directory) == whole


class Killed(StopProcess):
    """What no handler of the runner catches, as no handler catches SIGKILL."""


@pytest.mark.parametrize("looks", [1, 5, 9, 12, 15])
def test_killed_anywhere_and_resumed_is_the_same_bits(tmp_path, trial, whole, looks):
    """Between two checkpoints: lines already written are cut back, not doubled."""
    asked = iter(range(10_000))

    def kill():
        if next(asked) >= looks:
            raise Killed
        return False

    with pytest.raises(Killed):
        run(tmp_path, trial, "cut", stop=kill)
    directory = RecordDirectory.of(tmp_path / "cut", trial)
    assert Earlier(directory).status is None
    with (directory.path / HISTORY).open("a") as file:
        file.write('{"kind":"step","cut sh')
    directory, _ = run(tmp_path, trial, "cut")
    assert bits(directory) == whole


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a checkpoint", None])
def test_a_damaged_checkpoint_is_set_aside_and_the_trial_starts_anew(tmp_path, damage):
    trial = digits_trial()
    whole, _ = run(tmp_path, trial, "whole")
    asked = iter(range(10_000))
    directory, _ = run(tmp_path, trial, "cut", stop=lambda: next(asked) >= 6)
    content = directory.checkpoint.read_bytes()
    directory.checkpoint.write_bytes(content[: len(content) // 2] if damage is None else damage)
    with pytest.warns(RuntimeWarning, match=r"checkpoint.pt cannot be used; (it goes on|training from the start)"):
        directory, _ = run(tmp_path, trial, "cut")
    assert bits(directory) == bits(whole)
    assert (directory.path / f"{CHECKPOINT}.broken").exists()


def test_a_checkpoint_of_another_trial_is_not_used(tmp_path):
    first, _ = run(tmp_path, digits_trial(), "a", stop=iter([False] * 6 + [True] * 9).__next__)
    other = digits_trial(seed=1)
    directory = RecordDirectory.of(tmp_path / "b", other)
    directory.path.mkdir(parents=True)
    directory.checkpoint.write_bytes(first.checkpoint.read_bytes())
    with pytest.warns(RuntimeWarning, match="training from the start, what was there is kept in"):
        run_alone(run_trial(other, directory, context(), ignore))
    undisturbed, _ = run(tmp_path, other, "c")
    assert bits(directory) == bits(undisturbed)


def test_the_record_holds_the_documented_keys_and_no_others(tmp_path):
    directory, _ = run(tmp_path, digits_trial())

    def read(name):
        return json.loads((directory.path / name).read_text())

    def lines(name):
        return [json.loads(line) for line in (directory.path / name).read_text().splitlines()]

    assert set(read("trial.json")) == set(schema.TrialFile.__annotations__)
    assert set(read("environment.json")) == set(schema.EnvironmentFile.__annotations__)
    assert set(read("record.json")) == set(schema.RecordFile.__annotations__) - {"way"}  # alone on a CPU there is one
    for line in lines(HISTORY):
        assert set(line) == set((schema.StepLine if line["kind"] == "step" else schema.EpochLine).__annotations__)
    for line in lines(EVALUATIONS):
        assert set(line) == set(schema.EvaluationLine.__annotations__)
        assert all(set(score) == set(schema.ScoreLine.__annotations__) for score in line["scores"])
    files = {p.name for p in directory.path.iterdir()}
    assert files == {
        "trial.json", "environment.json", "history.jsonl", "evaluations.jsonl", "samples", "generator.safetensors",
        "record.json",
    }  # fmt: skip


def test_the_history_is_one_line_a_tick_and_one_an_epoch(tmp_path):
    directory, record = run(tmp_path, digits_trial())  # 300 images, batches of 128: 3 steps an epoch, 2 epochs
    history = read_trial(directory.path).history
    assert [(line["kind"], line["epoch"], line["step"]) for line in history] == [
        ("step", 1, 2),
        ("epoch", 1, 3),
        ("step", 2, 4),
        ("step", 2, 6),
        ("epoch", 2, 6),
    ]
    assert history[-1]["images"] == record.images == 600
    assert history[-1]["last"] == {k: history[-2][k] for k in ("loss_d", "loss_g", "d_real", "d_fake")}


def test_saved_weights_are_the_generator_that_was_scored(tmp_path):
    directory, record = run(tmp_path, digits_trial())
    weights = load_file(directory.weights)
    assert sum(v.numel() for v in weights.values()) == 293_136
    assert set(record.final) >= {
        "loss_d", "loss_g", "d_real", "d_fake", "fid[lenet-mnist-v1,train,64]", "is[lenet-mnist-v1,train,64]",
    }  # fmt: skip


class OwnImages:
    """A suite of one trial on images in a folder, with held-out ones, and its results."""

    def __init__(self, place):
        self.folder, self._place = place / "images", place
        self.baselines = place / "results" / "own" / BASELINES
        self.write("train", 0, 255)
        self.write("test", 0, 255)
        (place / "own.yaml").write_text(OWN)

    def write(self, split, least, most):
        """Replace the images of a split by others."""
        source = np.random.default_rng(most)
        (self.folder / split).mkdir(parents=True, exist_ok=True)
        for number in range(24):
            values = source.integers(least, most, (28, 28), dtype=np.uint8)
            Image.fromarray(values).save(self.folder / split / f"{number}.png")

    def real(self):
        """Run the suite, and return the baseline that it has then."""
        gb.run(self._place / "own.yaml", results=self._place / "results", executor="inline", profile="full")
        (row,) = read_baselines(self.baselines.parent)
        return row

    def trials(self):
        """Read the records."""
        return [read_trial(path.parent) for path in self.baselines.parent.glob("*/record.json")]


OWN = """
suite: own
version: 1
datasets: {own: {path: images, size: 28, channels: 1}}
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: own, epochs: 1, batch_size: 8}
seeds: [0]
evaluate: {epochs: [1], samples: 16, extractors: [lenet-mnist-v1]}
"""


@pytest.fixture
def own(tmp_path):
    return OwnImages(tmp_path)


def test_changed_images_make_a_finished_trial_unfinished(tmp_path):
    trial = digits_trial()
    directory, _ = run(tmp_path, trial)
    assert is_finished(tmp_path / "results", trial)
    edit(directory.environment, data_sha256="0" * 64)
    assert not is_finished(tmp_path / "results", trial)


def test_real_images_are_scored_again_where_they_changed_and_no_trial_is_left(own):
    """What a perfect generator would score was of the images before for good, or of none that a trial had seen."""
    before = own.real()
    own.write("test", 0, 64)
    after = own.real()
    assert after["held_out_sha256"] != before["held_out_sha256"]
    assert after["scores"] != before["scores"]
    assert own.real() == after
    (trial,) = own.trials()
    assert trial.held_out_sha256 == before["held_out_sha256"], "the finished trial stays"
    edited = json.loads(own.baselines.read_text())
    edited["anchors"][0]["data_sha256"] = (
        "0" * 64
    )  # as of a run on other images that was stopped before its first trial
    own.baselines.write_text(json.dumps(edited))
    assert own.real() == after
    shutil.rmtree(own.folder / "test")
    halves = own.real()
    assert (halves["what"], halves["held_out_sha256"]) == ("images against the other half", None)
    assert own.real() == halves


@pytest.mark.parametrize(("name", "other"), [("threads", 99), ("device_name", "another processor")])
def test_going_on_with_other_threads_or_on_another_processor_is_written_down(tmp_path, name, other):
    trial = digits_trial()
    directory, _ = run(tmp_path, trial, stop=iter([False] * 6 + [True] * 9).__next__)
    path = directory.path / "environment.json"
    before = json.loads(path.read_text())
    edit(path, **{name: other})
    run(tmp_path, trial)
    assert json.loads(path.read_text())["changes"] == [{name: before[name]}]


def test_a_limited_trial_takes_a_random_subset():
    where = RunContext(DataRoot(Path(), given=True), CPU, lambda: False)
    labels = where.images("digits", "train", 28).labels
    subset = where.training_images(digits_trial(train_limit=200).config)
    assert len(subset) == 200
    images = where.images("digits", "train", 28).images
    found = {i for image in subset for i in (images == image).flatten(1).all(1).nonzero().flatten().tolist()}
    assert torch.bincount(labels[sorted(found)], minlength=10).min() >= 8
    assert max(found) > 1000


def test_divergence_is_a_row_with_a_reason(tmp_path, monkeypatch):
    plain = engine.update
    calls = iter(range(1000))

    def poisoned(*given, **named):
        values = plain(*given, **named)
        return values * float("nan") if next(calls) == 3 else values

    monkeypatch.setattr(engine, "update", poisoned)
    directory, record = run(tmp_path, digits_trial(), engine="reference")
    assert record.status is Status.DIVERGED
    assert record.reason == "loss_d is not finite at step 4"
    assert read_trial(directory.path).record["status"] == "diverged"


def test_features_that_are_not_finite_give_scores_without_values(tmp_path, monkeypatch):
    class Broken:
        name, sha256, feature_dim, classes, device = "lenet-mnist-v1", "0", 128, 10, CPU

        def __call__(self, images):
            nan = torch.full((len(images), 128), float("nan"))
            return Features(nan, nan[:, :10])

    where = context()
    reference = where.reference(digits_trial().config, where.extractor("lenet-mnist-v1"))
    monkeypatch.setattr(RunContext, "extractor", lambda *_: Broken())
    monkeypatch.setattr(RunContext, "reference", lambda *_: reference)
    directory, record = run(tmp_path, digits_trial())
    assert record.status is Status.DONE
    scores = read_trial(directory.path).evaluations[-1]["scores"]
    assert {s["value"] for s in scores} == {None}
    assert {s["note"] for s in scores if s["metric"] != "fid_inf"} == {
        "features are not finite",
        "logits are not finite",
    }


def test_a_crash_is_a_row_and_the_suite_goes_on(tmp_path, monkeypatch):
    plain = RunContext.engine

    def crash(where, config):
        if config.seed == 0:
            raise RuntimeError("boom\nsecond line")
        return plain(where, config)

    monkeypatch.setattr(RunContext, "engine", crash)
    trials = [digits_trial(0), digits_trial(1)]
    records = train(tmp_path, trials, context()).records
    assert [records[t.id].status for t in trials] == [Status.FAILED, Status.DONE]
    failed = records[trials[0].id]
    assert (failed.failure, failed.reason) == (Failure.CRASH, "RuntimeError: boom")
    assert [is_finished(tmp_path, t) for t in trials] == [True, True]
    assert [is_finished(tmp_path, t, Policy(retry_failed=True)) for t in trials] == [False, True]


@pytest.mark.parametrize("end", ["done", "failed", "interrupted"])
def test_a_trial_that_ended_holds_no_memory(tmp_path, monkeypatch, end):
    """Its networks and optimizers lay in a cycle until a collection of garbage: a run grew by each of its trials."""
    made, engine_of = [], RunContext.engine

    def watched(self, *arguments):
        found = engine_of(self, *arguments)
        made.append(weakref.ref(found.state.generator))
        return found

    def breaks(*_, **__):
        raise ValueError("odd")

    monkeypatch.setattr(RunContext, "engine", watched)
    if end == "failed":
        monkeypatch.setattr("gan_bench.execution.trial.run.sample_grid", breaks)
    gc.disable()
    try:
        _, record = run(tmp_path, digits_trial(), stop=stop_after(3) if end == "interrupted" else lambda: False)
        assert record.status == end
        assert [each() for each in made] == [None]
    finally:
        gc.enable()


def test_training_moves_towards_the_data(tmp_path):
    """Not only runs: fully connected nets come far closer to the digits than they start."""
    evaluation = replace(digits_trial().config.evaluation, epochs=(0, 15), samples=500)
    fast = {"lr_g": 3e-3, "lr_d": 3e-3, "betas_g": (0.5, 0.999), "betas_d": (0.5, 0.999)}
    trial = digits_trial(epochs=15, train_limit=None, batch_size=64, evaluation=evaluation, **fast)
    directory, _ = run(tmp_path, trial)
    fids = [line["scores"][0]["value"] for line in read_trial(directory.path).evaluations]
    assert fids[1] < 0.6 * fids[0]


@pytest.mark.slow
def test_engines_score_alike_over_seeds(tmp_path):
    """Single precision takes engines and groups apart step by step; the scores they end with must not be."""
    fids = {}
    for kind, size in (("reference", 1), ("fast", 1), ("auto", 8)):
        trials = [digits_trial(seed, epochs=4, evaluation=EvaluationConfig(epochs=(4,), samples=500,
                  extractors=("lenet-mnist-v1",))) for seed in range(8)]  # fmt: skip
        there = context(engine=kind)
        records = train(tmp_path / kind, trials, there, ignore, sizes=lambda _, n=size: n).records
        assert {records[trial.id].group for trial in trials} == {size}
        fids[kind] = [records[trial.id].final["fid[lenet-mnist-v1,train,500]"] for trial in trials]
    spread = np.std(fids["reference"], ddof=1)
    for kind in ("fast", "auto"):
        assert abs(np.mean(fids[kind]) - np.mean(fids["reference"])) < spread
