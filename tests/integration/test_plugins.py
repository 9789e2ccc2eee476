"""A package outside gan_bench with one part of each kind, and a local file: checked, run, killed, resumed, removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import HANG, gan_bench, python_code, wait_for
from support.tracking import mlflow_runs

from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.places import find_code

PACKAGE = Path(__file__).parents[1] / "support" / "plugins"
SUITE = """\
suite: mine
version: 1
trials:
  - recipe: stripes-norms
    set: {epochs: EPOCHS}
seeds: [0, 1]
evaluate: {epochs: [1], samples: 64, extractors: [pool-v1]}
"""


@pytest.fixture
def installed(tmp_path):
    """A copy of the package, and an environment in which it is installed."""
    folder = tmp_path / "site"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return folder, {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def environments(results):
    return {path.parent.name: json.loads(path.read_text()) for path in results.glob("mine/*/environment.json")}


@pytest.mark.slow
def test_a_package_of_parts(tmp_path, installed):
    folder, there = installed
    checked = gan_bench("check", "my_parts", env=there)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "23 checks: every part keeps its contract" in checked.stdout

    suite, results = tmp_path / "mine.yaml", tmp_path / "results"
    suite.write_text(SUITE.replace("EPOCHS", "80"))
    command = [sys.executable, "-m", "gan_bench", "run", suite, "--results", results, "--no-tracking", "--workers", "2"]
    running = subprocess.Popen(command, env=there, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(results.glob("mine/*/history.jsonl"))) == 2)
    wait_for(lambda: all(path.stat().st_size > 1000 for path in results.glob("mine/*/history.jsonl")))
    running.kill()  # its workers notice, save a checkpoint and end
    running.wait()
    records = [RecordDirectory(path.parent) for path in results.glob("mine/*/history.jsonl")]
    wait_for(lambda: all(trial_lock(record).holder() is None for record in records))
    assert all(record.checkpoint.exists() for record in records)
    first = environments(results)
    assert len(first) == 2
    parts = next(iter(first.values()))["parts"]
    assert set(parts) == {
        *("architectures/norms", "losses/softer", "datasets/stripes"), *("extractors/pool-v1", "measures/brightness")
    }  # fmt: skip
    assert {(part["name"], part["version"]) for part in parts.values()} == {("my-parts", "1.0")}

    resumed = gan_bench("run", suite, "--results", results, "--executor", "inline", env=there)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "resumed after epoch" in resumed.stdout
    assert {name: env["started"] for name, env in environments(results).items()} == {
        name: env["started"] for name, env in first.items()
    }
    assert "brightness" in (results / "report/tables/mine-full-stripes-settings-pool-v1-train-64.md").read_text()
    runs = mlflow_runs(results, "mine")
    assert [run["params"]["architecture"] for run in runs] == ["norms", "norms"]
    assert all("eval/brightness.pool-v1" in run["metrics"] for run in runs)

    layers = folder / "my_parts/layers.py"  # imported by the module of the networks, and by nothing else
    layers.write_text(f"{layers.read_text()}# a change that no layer shows\n")
    stale = gan_bench("run", suite, "--results", results, "--dry-run", env=there)
    assert "retraining stripes-norms,seed=0: the code of architectures/norms changed" in stale.stdout

    gone = gan_bench("run", suite, "--results", results)
    assert gone.returncode == 2
    assert len(gone.stderr.splitlines()) == 1
    assert 'unknown recipe "stripes-norms"' in gone.stderr
    report = gan_bench("report", results, "--no-html")
    assert report.returncode == 0
    assert "brightness" in (results / "report/tables/mine-full-stripes-settings-pool-v1-train-64.md").read_text()


INSTALLED = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from gan_bench.cli.app import main
"""
"""Begins what a Python in which a package is installed does."""
OTHERS = """
for words in ["list"], ["run", "digits", "--results", sys.argv[1], "--dry-run", "--no-tracking"]:
    try:
        main(words)
    except SystemExit as end:
        print("code", end.code or 0)
"""


def test_a_broken_package_fails_its_users_and_nobody_else(tmp_path, installed):
    folder, _ = installed
    (folder / "my_parts/layers.py").write_text("raise RuntimeError('no such card')\n")
    points = folder / "my_parts-1.0.dist-info/entry_points.txt"
    points.write_text(points.read_text() + "\n[gan_bench.nothing]\nx = my_parts:x\n")
    suite = tmp_path / "mine.yaml"
    suite.write_text(SUITE.replace("EPOCHS", "2"))
    run = ("run", suite, "--results", tmp_path / "r", "--no-tracking")
    user = python_code(f"{INSTALLED}main(sys.argv[1:])", folder, *run)
    assert (user.returncode, len(user.stderr.splitlines())) == (2, 1)
    assert (
        'the architecture "norms" of my-parts 1.0 cannot be loaded (RuntimeError: no such card); repair or uninstall'
        in user.stderr
    )
    others = python_code(INSTALLED + OTHERS, folder, tmp_path / "r")
    assert (others.returncode, others.stdout.count("code 0\n")) == (0, 2), others.stderr
    assert "dcgan28" in others.stdout
    assert "broken: the architecture" in others.stdout


def test_a_broken_measure_of_a_package_is_a_line(tmp_path, installed):
    """It was a warning of Python's, with lines of code, and no list named it."""
    folder, there = installed
    (folder / "my_parts/measures.py").write_text("raise RuntimeError('no such card')\n")
    why = 'the measure "brightness" of my-parts 1.0 cannot be loaded (RuntimeError: no such card); repair or uninstall'
    for words in (("list", "measures"), ("show", "brightness")):
        done = gan_bench(*words, env=there)
        said = " ".join(done.stderr.split())
        assert said.startswith(f"warning: left out: {why} my-parts")
        assert "RuntimeWarning" not in said
        assert (f"broken: {why}" in done.stdout) == (words[0] == "list")
        assert (f"error: {why}" in said, done.returncode == 2) == (words[0] == "show",) * 2, said


FILE = """\
import gan_bench as gb
from torch import nn


class Generator(nn.Sequential):
    def __init__(self, latent):
        super().__init__(nn.Linear(latent, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))


class Discriminator(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))


gb.ARCHITECTURES.register(
    "linear",
    gb.Architecture(
        description="one layer each", image_shape=(1, 28, 28), generator=Generator, discriminator=Discriminator
    ),
)
"""
LOCAL = """\
suite: mine
version: 1
plugins: [./my_nets.py]
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, architecture: linear, epochs: 2}
seeds: [0, 1]
evaluate: {samples: 64}
"""


def test_a_local_file_runs_when_it_is_allowed(tmp_path):
    suite, results = tmp_path / "mine.yaml", tmp_path / "results"
    suite.write_text(LOCAL)
    (tmp_path / "my_nets.py").write_text(FILE)
    refused = gan_bench("run", suite, "--results", results)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "mine.yaml:3:11: plugins[0]: the suite runs the Python file './my_nets.py'; read it" in refused.stderr
    assert not results.exists()
    options = ("--results", results, "--no-tracking", "--workers", "2", "--allow-plugins")
    done = gan_bench("run", suite, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    (part,) = next(iter(environments(results).values()))["parts"].values()
    assert (part["name"], part["path"]) == ("my_nets.py", str(tmp_path / "my_nets.py"))
    trial = next(results.glob("mine/*seed=0*"))
    wanted = gan_bench("sample", trial, "--out", tmp_path / "out")
    assert "the architecture linear is of the file" in wanted.stderr
    made = gan_bench("sample", trial, "--out", tmp_path / "out", "--allow-plugins")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "out/grid.png").exists()


def test_a_moved_project_knows_its_networks(tmp_path):
    """They were looked for at their old absolute paths alone."""
    first, moved = tmp_path / "first", tmp_path / "moved"
    first.mkdir()
    (first / "mine.yaml").write_text(LOCAL.replace("[0, 1]", "[0]"))
    (first / "my_nets.py").write_text(FILE)
    done = gan_bench("run", "mine.yaml", "--no-tracking", "--allow-plugins", cwd=first)
    assert done.returncode == 0, done.stdout + done.stderr
    first.rename(moved)
    trial = next(moved.glob("results/mine/*seed=0*"))
    made = gan_bench("sample", trial, "--out", tmp_path / "out", "--allow-plugins")
    assert made.returncode == 0, made.stderr
    (part,) = next(iter(environments(moved / "results").values()))["parts"].values()
    assert find_code(trial, part).read_text() == FILE, "which a card takes along"
    (moved / "my_nets.py").write_text(f"{FILE}# changed\n")
    refused = gan_bench("sample", trial, "--out", tmp_path / "out", "--allow-plugins")
    assert (refused.returncode, "needs the code of the architecture linear" in refused.stderr) == (2, True)


RECIPE = """\
from dataclasses import replace

import gan_bench as gb

mlp = gb.RECIPES["mnist-mlp-z100"]
gb.RECIPES.register("tall", replace(mlp, name="tall", dataset=gb.Fact("digits", "chosen")))
"""


def test_a_suite_whose_recipe_is_of_its_file_can_be_looked_at(tmp_path):
    """``show`` advised an option that it did not heed, and ``doctor`` one that it did not have."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "recipe.py").write_text(RECIPE)
    (folder / "mine.yaml").write_text(
        "suite: mine\nversion: 1\nplugins: [recipe.py]\ntrials: [{recipe: tall}]\nseeds: [0]\nevaluate: {samples: 64}\n"
    )

    def look(*words):
        done = gan_bench(*words, cwd=tmp_path)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    for suite in ("benchmarks/mine.yaml", "mine"):
        code, said = look("show", suite)
        assert (code, "--allow-plugins runs them" in said) == (2, True), said
        code, said = look("show", suite, "--allow-plugins")
        assert (code, "tall" in said, "recipe.py, which ran now too" in said) == (0, True, True), said
    code, said = look("list", "suites")
    assert (code, "mine needs its plug-ins: `gan-bench show mine --allow-plugins` runs them" in said) == (0, True), said
    code, said = look("doctor", "mine")
    assert (
        code,
        "plug-in recipe.py: there not looked at: what else the suite needs: benchmarks/mine.yaml:4:19: " in said,
    ) == (
        0,
        True,
    )
    code, said = look("doctor", "mine", "--allow-plugins")
    assert (code, "dataset digits: ready extractor lenet-mnist-v1: ready" in said) == (0, True), said
    with (folder / "mine.yaml").open("a") as file:
        file.write("datasets: {theirs: {path: nowhere, size: 28}}\n")
    code, said = look("doctor", "mine")
    assert (code, "dataset theirs: not ready: " in said) == (1, True), "a run would fail of its images"
    (folder / "mine.yaml").write_text((folder / "mine.yaml").read_text().partition("datasets:")[0])
    (folder / "recipe.py").unlink()
    code, said = look("doctor", "mine")
    assert (code, "plug-in recipe.py: not ready: " in said) == (1, True), "a run would fail of the missing file"


def test_a_doctor_leaves_out_what_may_be_of_files_that_did_not_run(tmp_path):
    (tmp_path / "parts.py").write_text("print('ran')\n")
    text = (
        "suite: mine\nversion: 1\nplugins: [parts.py]\nseeds: [0]\n"
        "trials: [{recipe: mnist-mlp-z100, sweep: {dataset: [digits, theirs]}}]\n"
        "evaluate: {samples: 64, extractors: [lenet-mnist-v1, pool]}\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    done = gan_bench("doctor", "mine.yaml", cwd=tmp_path)
    assert (done.returncode, "ran" in done.stdout.split()) == (0, False), done.stderr
    assert "plug-in parts.py: there\n" in done.stdout
    unlooked = "not looked at, as plug-ins did not run (parts.py); --allow-plugins runs them"
    for part in ("dataset theirs", "extractor pool"):
        assert f"{part}: {unlooked}" in done.stdout
    assert "dataset digits: ready" in done.stdout
    lacking = gan_bench("doctor", "mine.yaml", "--allow-plugins", cwd=tmp_path)
    assert lacking.returncode == 1
    assert 'dataset theirs: not ready: unknown dataset "theirs"' in lacking.stdout
    (tmp_path / "parts.py").unlink()
    gone = gan_bench("doctor", "mine.yaml", cwd=tmp_path)
    assert (gone.returncode, "plug-in parts.py: not ready: " in gone.stdout) == (1, True)


SCRIPT = """\
import sys
from pathlib import Path
exec(Path(sys.argv[1]).read_text())
suite = Path(sys.argv[2])
print(gb.run(suite, results=suite.parent / "alone", tracking=False, workers=2).statuses())
try:
    gb.run(suite, results=suite.parent / "refused", tracking=False, workers=2, executor="processes")
except gb.UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_script_s_own_part_is_trained_by_the_script(tmp_path):
    """Workers would not know it: by itself a run stays in this process, and asked for them it says what to do."""
    (tmp_path / "my_nets.py").write_text(FILE)
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "mine.yaml").write_text(LOCAL.replace("plugins: [./my_nets.py]\n", ""))
    command = [sys.executable, "script.py", "my_nets.py", "mine.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "{'done': 2}" in lines
    assert lines[-1].startswith('worker processes do not know the architecture "linear", which this program registered')


COUNTING = """
import hashlib, os, pathlib, signal
import gan_bench as gb
import torch


class Counting:
    name, feature_dim, classes, sha256 = "counting", 8, 2, hashlib.sha256(b"counting").hexdigest()

    def __init__(self, device):
        self.device = device

    def __call__(self, images):
        with pathlib.Path(__file__).with_name("chunks").open("a") as file:
            file.write("1")
        os.kill(os.getpid(), signal.SIGINT if STOPS else 0)
        features = images.float().flatten(1)[:, :8] / 255
        return gb.Features(features, features[:, :2])


gb.EXTRACTORS.register("counting", gb.ExtractorEntry(description="x", channels=None, load=Counting))
"""


@pytest.mark.parametrize("stops", [True, False])
def test_a_stop_while_real_images_are_scored_is_heard(tmp_path, stops):
    """Nothing looked at it: a run with a slow extractor was aborted after its period of grace, without a word."""
    (tmp_path / "counting.py").write_text(COUNTING.replace("STOPS", str(stops)))
    (tmp_path / "counted.yaml").write_text(
        "suite: counted\nversion: 1\nplugins: [./counting.py]\ntrials:\n  - recipe: mnist-mlp-z100\n"
        "    set: {dataset: digits, epochs: 1}\n"
        "evaluate: {epochs: [1], samples: 64, extractors: [counting]}\n"
    )
    words = ["run", tmp_path / "counted.yaml", "--allow-plugins", "--train-limit", "64", "--results", tmp_path / "r"]
    env = {**os.environ, "GAN_BENCH_CACHE": str(tmp_path / "cache")}
    done = gan_bench(*words, "--no-tracking", "--executor", "inline", env=env)
    chunks = len((tmp_path / "chunks").read_text())
    if stops:
        assert (done.returncode, chunks) == (130, 1), done.stdout + done.stderr
        assert "interrupted: 0 of 5 trials done; the same command continues" in done.stdout
        assert not (tmp_path / "r" / "counted" / "anchors.json").exists()
    else:
        assert (done.returncode, chunks > 4) == (0, True), done.stdout + done.stderr
