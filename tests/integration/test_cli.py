"""The command line as users meet it, in processes of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import warm
from support.commands import HANG, gan_bench, measuring, python_code, python_module, wait_for
from support.records import edit
from support.studies import write
from support.suites import train_small
from typer.main import get_command

from gan_bench.cli import doctor
from gan_bench.cli.app import app, main
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.suite import find_suite, make_plan
from gan_bench.data.datasets import DATASETS
from gan_bench.records.command import parse_seeds
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.record import Status
from gan_bench.run_options import declared

SUITE = """\
suite: tiny
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 2, log_every: 4}
    sweep: {lr: [2e-4, 3e-4]}
seeds: [0]
evaluate: {samples: 64}
profiles: {quick: {epochs: 2, train_limit: 300}}
"""


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE)
    return path


@pytest.mark.makes_databases
def test_run_report_skip_and_mirror(tmp_path, suite):
    results = tmp_path / "results"
    first = gan_bench("run", suite, "--results", results, "--device", "cpu", env=measuring())
    assert first.returncode == 0, first.stderr
    assert "QUICK profile" in first.stdout
    assert "--profile full" in first.stdout
    assert "estimated time" in first.stdout
    last = first.stdout.rstrip().splitlines()[-1]
    assert last == f"MLflow: `gan-bench ui --results {results}` serves its leaderboard"
    assert "  reading the train images of digits" in first.stdout
    assert "% of the suite" in first.stdout
    assert "tiny, digits: settings" in first.stdout
    assert "tiny, digits: learning rate" not in first.stdout, "the ranking alone, unless --tables all asks for more"
    lines = first.stdout.rstrip().splitlines()
    (start,) = [i for i, line in enumerate(lines) if line.strip().startswith("No setting is of use yet: ")]
    end = "".join(lines[start:])
    assert "learning rate: not judged, as seeds are too few" in end
    assert "settings are no better than untrained generators." in end
    assert f"Next: the whole protocol, `gan-bench run {suite} --results {results} --device cpu --profile full`." in end
    answer = (results / "report" / "answer.md").read_text()
    assert "Best score: lr " in answer

    again = gan_bench("run", suite, "--results", results, "--device", "cpu", "--no-tracking")
    assert again.returncode == 0
    assert "2 finished, 0 to run" in again.stdout

    (results / "report" / "tables" / "tiny-quick-digits-trials.csv").unlink()
    report = python_module("gan_bench.report", results, "--tables", "all")
    assert report.returncode == 0, report.stderr
    assert "mnist-mlp-z100,lr=0.0002,seed=0" in report.stdout, "without what is the same"
    assert (results / "report" / "tables" / "tiny-quick-digits-trials.csv").exists()

    shutil.rmtree(results / "report")
    (results / "report").write_text("a user's own")
    without = gan_bench("run", suite, "--results", results, "--device", "cpu", "--no-tracking")
    assert without.returncode == 0, "its trials have ended all the same"
    assert f"no report: the report cannot be written to {results}/report (Not a directory)" in without.stdout
    assert f"`gan-bench report {results}` makes it from the records" in without.stdout
    (results / "report").unlink()

    sync = gan_bench("sync", results, env={**os.environ, "PYTHONWARNINGS": "error"})  # which are MLflow's own
    assert "2 runs up to date" in sync.stdout
    check_mlflow(results)


def check_mlflow(results):
    """Each trial is one finished run with its metrics, params and sample grids, also after a replay."""
    code = """
import sys, json
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
experiment = client.get_experiment_by_name("tiny")
out = []
for run in client.search_runs([experiment.experiment_id], "tags.`gan_bench.trial` LIKE '%'"):
    history = client.get_metric_history(run.info.run_id, "train/loss_d")
    images = [a.path for a in client.list_artifacts(run.info.run_id, "images")]
    out.append({"status": run.info.status, "params": run.data.params, "tags": run.data.tags,
                "metrics": run.data.metrics, "steps": [m.step for m in history], "images": images})
print(json.dumps(out))
"""
    done = python_code(code, f"sqlite:///{results / 'mlflow.db'}")
    runs = json.loads(done.stdout.splitlines()[-1])
    assert len(runs) == 2
    for found in runs:
        assert found["status"] == "FINISHED"
        assert found["steps"] == [1, 2]
        assert {"lr_g", "lr_d", "beta1_g", "epochs", "seed"} <= set(found["params"])
        assert {"eval/fid.lenet-mnist-v1", "eval/is.lenet-mnist-v1", "train/d_real"} <= set(found["metrics"])
        assert found["tags"]["profile"] == "quick"
        grids = [p for p in found["images"] if p.endswith(".png")]
        assert len([p for p in grids if "last_samples" not in p]) == 2, grids
        assert len([p for p in grids if "last_samples" in p]) == 1, grids


INTERRUPTED_AT_THE_END = """
import os, signal, sys
import gan_bench.records.writer as writer
from gan_bench.cli.app import main

finish = writer.finish


def interrupted(*arguments):
    found = finish(*arguments)
    os.kill(os.getpid(), signal.SIGINT)
    return found


writer.finish = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with Ctrl-C ignored
main(sys.argv[1:])
"""


def test_an_interrupt_as_the_last_trial_ends_says_what_makes_the_report(tmp_path):
    """The exit code was 0, without a ranking, and an older report stayed."""
    words = ["run", "quickstart", "--results", tmp_path / "r", "--only", "lr=0.001", "--seeds", "0", "--epochs", "1"]
    words += ["--train-limit", "100", "--samples", "64", "--no-tracking", "--executor", "inline"]
    done = python_code(INTERRUPTED_AT_THE_END, *words)
    assert done.returncode == 130, done.stdout + done.stderr
    said = f"interrupted: 1 of 1 trial done; `gan-bench report {tmp_path / 'r'}` makes the report"
    assert said in done.stdout
    assert not (tmp_path / "r" / "report").exists()


def test_interrupt_checkpoints_and_goes_on(tmp_path, suite):
    suite.write_text(SUITE.replace("epochs: 2", "epochs: 400"))
    results = tmp_path / "results"
    command = [*warm.command("gan_bench"), "run", str(suite), "--results", str(results), "--no-tracking"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any(results.glob("tiny/*/history.jsonl")) and any(
        p.stat().st_size > 3000 for p in results.glob("tiny/*/history.jsonl")))  # fmt: skip
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, err
    assert "the same command continues" in out
    assert "digits: settings" not in out, "no tables after an interrupt"
    record = next(results.glob("tiny/*/record.json"))
    assert json.loads(record.read_text())["status"] == "interrupted"
    report = gan_bench("report", results, "--tables", "all")
    assert "interrupted" in report.stdout
    assert "planned" in report.stdout
    planned = gan_bench("run", suite, "--results", results, "--dry-run").stdout
    assert re.search(r"^0 finished, 2 to run \([12] resumed\)$", planned, re.M)
    assert re.search(
        r"^  to run +mnist-mlp-z100\S*: 400 epochs, resumed (after at most \d+|in the first), seed 0$", planned, re.M
    )


def mnist_folder(tmp_path, real_data):
    folder = tmp_path / "data"
    shutil.copytree(real_data.path / "MNIST", folder / "MNIST")
    return folder


BAD_CALLS = {
    "a suite of many lines": (["run", "a\nb" * 3000], 'unknown suite "a ba ba'),
    "a part of many lines": (["show", "a\nb" * 3000], 'nothing is called "a ba ba'),
    "unknown suite": (["run", "mnits"], 'unknown suite "mnits" (did you mean "mnist"'),
    "seeds": (
        ["run", "digits", "--seeds", "a,b"],
        '--seeds takes whole numbers and ranges, such as 0,1,2 or 0-4, not "a,b"',
    ),
    "an empty variable": (["run", "digits", "--results", ""], "an empty word follows --results; leave it out"),
    "an empty value": (["run", "digits", "--only="], "an empty word follows --only; leave it out"),
    "an empty folder": (["board", ""], "an empty word follows board; leave it out"),
    "no data folder": (["run", "mnist", "--data", "{tmp}/nowhere"], "does not exist"),
    "empty data folder": (["run", "mnist", "--data", "{tmp}"], "cannot be read (No such file or directory)"),
    "unknown extractor": (["run", "digits", "--extractor", "lenet"], 'unknown extractor "lenet"'),
    "unknown loss": (["run", "digits", "--set", "loss=hing"], 'unknown loss "hing" (did you mean "hinge"?)'),
    "unknown device": (["run", "digits", "--device", "tpu"], 'device "tpu" is unknown'),
    "unwritable results": (["run", "digits", "--results", "/proc/results"], "cannot be written"),
    "results is a file": (["run", "digits", "--results", "{tmp}/file"], "cannot be written"),
    "report without records": (["report", "{tmp}"], "holds no trial records"),
    "report without folder": (["report", "{tmp}/nowhere"], "is no folder"),
    "tracking and none": (
        ["run", "digits", "--no-tracking", "--tracking-uri", "http://x"],
        "--no-tracking and --tracking-uri do not go together; leave one out",
    ),
    "a prefix of nothing": (
        ["run", "digits", "--no-tracking", "--experiment-prefix", "anna/"],
        "--no-tracking and --experiment-prefix do not go together; leave one out",
    ),
    "show nothing near": (["show", "nothing"], 'nothing is called "nothing" (`gan-bench list` lists what there is)'),
    "check unknown": (["check", "quikstart"], 'did you mean "quickstart"'),
    "show unknown": (["show", "mnist-dcgam"], 'did you mean "mnist-dcgan"'),
    "ui without results": (["ui", "--results", "{tmp}"], "does not exist; run a suite first, or name"),
    "two folders": (["report", "{tmp}", "b c", "d"], "got unexpected extra argument"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_one_sentence_and_code_2(tmp_path, name, capsys, monkeypatch):
    (tmp_path / "file").touch()
    arguments, message = BAD_CALLS[name]
    monkeypatch.delenv("GAN_BENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([a.format(tmp=tmp_path) for a in arguments])
    said = capsys.readouterr()
    assert ended.value.code == 2, said
    assert message in " ".join(said.err.split())
    assert said.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.name not in ("file", "results")) == []


def test_a_bad_call_has_no_traceback_and_leaves_with_code_2(tmp_path):
    done = gan_bench("run", "mnits", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith('error: unknown suite "mnits"')
    assert "Traceback" not in done.stderr


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has a CUDA device")
def test_cuda_without_one(tmp_path):
    done = gan_bench("run", "digits", "--device", "cuda", cwd=tmp_path)
    assert done.returncode == 2
    assert "torch sees no CUDA device" in done.stderr


def test_truncated_data_is_named(tmp_path, real_data):
    folder = mnist_folder(tmp_path, real_data)
    broken = folder / "MNIST" / "raw" / "train-images-idx3-ubyte"
    broken.write_bytes(broken.read_bytes()[:1000])
    done = gan_bench("run", "mnist", "--data", folder, "--results", tmp_path / "r", "--no-tracking")
    assert done.returncode == 2
    assert "train-images-idx3-ubyte is damaged or truncated" in done.stderr
    assert not list((tmp_path / "r").iterdir())


def test_given_data_is_never_written_to(tmp_path, real_data):
    folder = mnist_folder(tmp_path, real_data)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    suite = tmp_path / "one.yaml"
    suite.write_text(
        "suite: one\nversion: 1\ntrials: [{recipe: mnist-mlp-z100, set: {epochs: 1}}]\nevaluate: {samples: 50}\n"
    )
    done = python_module("support.page_command", "run", suite, "--data", folder, "--results", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_a_user_s_own_images_named_in_a_suite(tmp_path):
    """No code: a folder of images, a suite that names it, a table."""
    source = np.random.default_rng(0)
    (tmp_path / "mine").mkdir()
    for i in range(40):
        Image.fromarray(source.integers(0, 256, (30, 40), dtype=np.uint8)).save(tmp_path / "mine" / f"{i}.png")
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "suite: mine\nversion: 1\ndatasets: {mine: {path: mine, size: 28, channels: 1}}\n"
        "trials: [{recipe: mnist-dcgan, set: {dataset: mine, epochs: 1, batch_size: 16}}]\nevaluate: {samples: 30}\n"
    )
    done = gan_bench("run", suite, "--results", tmp_path / "r", "--no-tracking")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mnist-dcgan,dataset=mine,seed=0" in done.stdout
    smaller = suite.read_text().replace("batch_size: 16", "batch_size: 100")
    suite.write_text(smaller)
    done = gan_bench("run", suite, "--results", tmp_path / "r2", "--no-tracking")
    assert done.returncode == 2
    assert "fewer than one batch of 100" in done.stderr


def test_data_info_and_verify(tmp_path, real_data):
    cats = gan_bench("data", "info", "cats", "--data", real_data.path).stdout
    assert "15,747" in cats
    assert "9,303 distinct" in cats
    assert "359 distinct; by class: 0 27, 1 21" in " ".join(gan_bench("data", "info", "digits").stdout.split())
    verified = gan_bench("data", "verify", "mnist", "--data", real_data.path)
    assert verified.returncode == 0
    assert verified.stdout.count("complete") == 2


def test_score_folders_files_and_statistics(tmp_path, suite):
    """The same generator scored by the run and by hand gives the same number; statistics travel as a file."""
    results = tmp_path / "results"
    gan_bench("run", suite, "--results", results, "--no-tracking")
    record = sorted(results.glob("tiny/*/record.json"))[0]
    weights = record.with_name("generator.safetensors")
    stats = tmp_path / "stats.npz"
    exported = gan_bench("data", "stats", "digits", "--extractor", "lenet-mnist-v1", "--out", stats)
    assert exported.returncode == 0, exported.stderr
    expected = json.loads(record.read_text())["final"]["fid[lenet-mnist-v1,train,64]"]
    for against in ("digits", stats):
        done = gan_bench("score", weights, against, "--samples", 64, "--json")
        assert done.returncode == 0, done.stderr
        found = {line["metric"]: line["value"] for line in map(json.loads, done.stdout.splitlines())}
        # other noise moves it by percents; one grey level of one pixel, which another kernel may round, by 1e-5
        assert found["fid"] == pytest.approx(expected, rel=1e-4)
    told = gan_bench("score", weights, "digits", "--samples", 64).stdout
    assert "the generator: 64 images of 28x28, compared with 1,438 of digits:train by lenet-mnist-v1" in told
    fid, real = map(float, re.search(r"FID ↓ +│ +([\d.]+) │ +([\d.]+) │", told).groups())
    assert 0 < real < expected == pytest.approx(fid, rel=1e-3)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(60):
        Image.fromarray(np.full((28, 28), i, dtype=np.uint8)).save(folder / f"{i}.png")
    same = gan_bench("score", folder, folder, "--json")
    found = {line["metric"]: line["value"] for line in map(json.loads, same.stdout.splitlines())}
    assert found["fid"] == pytest.approx(0, abs=1e-6)
    assert found["precision"] == found["recall"] == 1.0
    nothing = gan_bench("score", tmp_path / "none", "digits")
    assert nothing.returncode == 2
    assert "does not exist" in nothing.stderr


def test_a_plan_without_data_downloads_nothing(tmp_path):
    done = gan_bench("run", "mnist", "--dry-run", "--data", tmp_path, "--results", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert "\n  to run  mnist-dcgan: 2 epochs, seed 0\n" in done.stdout
    assert "estimated time: unknown, because" in done.stdout
    elsewhere = gan_bench("run", "mnist", "--dry-run", cwd=tmp_path, env={**os.environ, "GAN_BENCH_DATA": ""})
    assert "estimated time: unknown, because" in elsewhere.stdout
    assert not list(tmp_path.iterdir())


def test_a_plan_has_a_row_for_a_setting(tmp_path):
    """A line for each seed overran the terminal."""
    done = gan_bench("run", "losses", "--dry-run", "--seeds", "0-2,7", "--data", tmp_path, "--results", tmp_path / "r")
    rows = [line for line in done.stdout.splitlines() if line.startswith("  to run  ")]
    assert len(rows) == 19, "one for each setting"
    assert rows[0] == "  to run  mnist-mlp-z100,lr=0.0002,betas=0.5-0.999: 16 epochs, seeds 0-2,7"


def test_a_plan_without_data_says_how_trials_stand(tmp_path):
    """By their records alone, since nothing says whether their images are the same."""
    results = tmp_path / "r"
    failed, damaged, busy, *_ = make_plan(find_suite("mnist"), PlanOptions(profile="quick")).trials
    for trial in (failed, damaged, busy):
        write(results, trial, 50.0, status=Status.FAILED)
    RecordDirectory.of(results, damaged).record.write_text("{")
    RecordDirectory.of(results, busy).record.unlink()
    plan = ("run", "mnist", "--dry-run", "--data", tmp_path / "none", "--results", results)
    (tmp_path / "none").mkdir()
    with trial_lock(RecordDirectory.of(results, busy)) as lock:
        assert lock.acquire() is None
        said = gan_bench(*plan).stdout
    assert "1 finished (1 failed), 12 to run (1 under way elsewhere)" in said
    marks = Counter(re.findall(r"^  (to run|finished|failed|under way) +mnist", said, re.M))
    assert marks == {"failed": 1, "under way": 1, "to run": 11}
    (why,) = re.findall(r"^retraining .*$", said, re.M)
    assert "record.json is damaged" in why
    assert "--fresh deletes 2 earlier records" in gan_bench(*plan, "--fresh").stdout, "the damaged one is kept"


def test_results_that_are_a_file_are_refused_by_a_plan_too(tmp_path, suite):
    done = gan_bench("run", suite, "--dry-run", "--results", suite)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_verify_says_what_it_checked(tmp_path):
    empty = gan_bench("verify", tmp_path)
    assert empty.returncode == 2
    assert "holds no trial records" in empty.stderr


def test_verify_counts_planned_trials_and_names_them_when_asked(tmp_path, suite):
    """A suite of 70 trials, stopped after 12, once took 58 lines to say so."""
    results = tmp_path / "results"
    options = ("--no-tracking", "--executor", "inline", "--seeds", "0,1", "--epochs", "1")
    done = gan_bench("run", suite, "--results", results, *options)
    assert done.returncode == 0, done.stderr
    _, *others = sorted(path.parent for path in results.glob("*/*/record.json"))
    for each in others:
        shutil.rmtree(each)
    short, long = gan_bench("verify", results), gan_bench("verify", results, "--verbose")
    assert f"{len(others)} trials are planned and not begun (--verbose names them)" in short.stdout, short.stderr
    named = [each.name.rpartition("--")[0] for each in others]
    assert not any(name in short.stdout for name in named)
    assert all(name in long.stdout for name in named)
    assert short.returncode == long.returncode == 0


INTERRUPTED_LOADING = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with Ctrl-C ignored
def interrupt(event, arguments):
    if event == "import" and arguments[0] == "MODULE":
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupt)
runpy.run_module("gan_bench", run_name="__main__")
"""


@pytest.mark.parametrize(
    "module",
    ["numpy", "numpy.linalg", np._core.multiarray.__name__ if hasattr(np, "_core") else "numpy.core.multiarray"],
)
def test_ctrl_c_while_libraries_load(module):
    """A library in C that loads another one lost it: the command went on, or ended in a traceback of that library."""
    command = [sys.executable, "-c", INTERRUPTED_LOADING.replace("MODULE", module), "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_values_of_the_command_line_are_no_whole_protocol(tmp_path, suite):
    done = gan_bench("run", suite, "--profile", "full", "--samples", 20_000, "--dry-run", "--results", tmp_path / "r")
    assert "full profile, with the values that the command line sets" in done.stdout


@pytest.mark.measures_speed
def test_dry_run_writes_nothing(tmp_path, suite):
    plan = ("run", suite, "--dry-run", "--results", tmp_path / "r")
    done = gan_bench(*plan, env=measuring())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("to run  ") == 2
    assert "estimated time" in done.stdout
    at_once = gan_bench(*plan, "--no-estimate", "--epochs", 3, env=measuring())
    assert (
        at_once.stdout.count("--epochs 3 caps nothing: no trial has more than 2; --set epochs=3 trains longer\n") == 1
    )
    assert at_once.stdout.count("to run  ") == 2
    assert "measuring" not in at_once.stdout
    assert "estimated time" not in at_once.stdout
    assert not (tmp_path / "r").exists()


def test_lists_take_a_line_for_each_on_a_terminal():
    """Suites printed whole paragraphs."""
    listed = gan_bench("list", env={**os.environ, "COLUMNS": "80"}).stdout.splitlines()
    assert all(len(line) <= 80 for line in listed)
    entries = [line for line in listed if line.startswith("  ")]
    assert all(re.match(r"  \S", line) for line in entries), "no line goes on"
    wide = gan_bench("list", "suites").stdout
    assert "ttur" in wide
    assert ". " not in re.findall(r"  quickstart +(.*)", wide)[0]


def test_lists_and_descriptions():
    listed = gan_bench("list").stdout
    for name in ("digits", "mnist-mlp-z64", "cats", "dcgan64-bn", "lenet-mnist-v1"):
        assert name in listed
    assert "lineage" in gan_bench("show", "mnist-dcgan").stdout
    assert "test_accuracy" in gan_bench("show", "lenet-mnist-v1").stdout


def test_a_server_that_is_away_costs_the_run_nothing(tmp_path, suite):
    results = tmp_path / "results"
    options = ["--results", results, "--tracking-uri", "http://127.0.0.1:9", "--experiment-prefix", "anna/"]
    done = gan_bench("run", suite, *options)
    commands = re.findall("`(gan-bench run [^`]*)`", done.stdout)
    assert commands
    assert all("--experiment-prefix anna/" in command for command in commands)
    assert "MLflow's address is in no file: give further commands --tracking-uri" in done.stdout
    assert "127.0.0.1" not in (results / "tiny" / "plan.json").read_text()
    assert done.returncode == 0, done.stderr
    assert "MLflow lacks 2 of 2 runs and the answer: " in done.stdout
    assert "sync" in done.stdout
    assert len(list(results.glob("tiny/*/record.json"))) == 2
    repaired = gan_bench("sync", results)
    assert repaired.returncode == 0, repaired.stderr
    assert "mlflow.db is new: where runs of these records kept MLflow elsewhere" in " ".join(repaired.stdout.split())
    assert "is new" not in gan_bench("sync", results).stdout
    check_mlflow(results)


def test_a_doctor_says_what_a_run_would_fail_of(tmp_path):
    found = gan_bench("doctor", "mnist", "--data", tmp_path, "--results", tmp_path / "results")
    assert found.returncode == 1
    assert "dataset mnist: not ready:" in found.stdout
    well = gan_bench("doctor", "digits", "--data", tmp_path, "--results", tmp_path / "results")
    assert well.returncode == 0, well.stdout
    assert re.findall(r"(?:dataset|extractor) (\S+):", well.stdout) == ["digits", "lenet-mnist-v1"]
    assert not (tmp_path / "results").exists()
    suite = "suite: s\nversion: 1\nseeds: [0]\ntrials: [{recipe: mnist-mlp-z100, sweep: {dataset: [digits]}}]\n"
    (tmp_path / "s.yaml").write_text(f"{suite}evaluate: {{epochs: [1], samples: 64, extractors: [inception]}}\n")
    nowhere = {**os.environ, "GAN_BENCH_INCEPTION": str(tmp_path / "none.pth")}
    lacking = gan_bench("doctor", tmp_path / "s.yaml", "--results", tmp_path / "results", env=nowhere)
    assert (lacking.returncode, "inception: not ready: its weights" in lacking.stdout) == (1, True), lacking.stdout


LEFT = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import gan_bench.__main__ as program

program.GRACE = float(sys.argv[2])
if sys.argv[1] == "stuck":
    threading.Thread(target=threading.Event().wait, name="heart").start()
idle = ThreadPoolExecutor(1)
idle.submit(int).result()
sys.argv = ["gan-bench", *sys.argv[3:]]
program.main()
"""


@pytest.mark.parametrize(("words", "code"), [(("list", "suites"), 0), (("show", "nothing"), 2)])
def test_a_thread_that_a_part_left_does_not_keep_a_command(words, code):
    """The command was over, and never returned."""
    done = python_code(LEFT, "stuck", 0.2, *words)
    assert done.returncode == code
    assert re.search(r"ended with the command: .*heart.*, threads that a part left; make them daemons\n", done.stderr)
    idle = python_code(LEFT, "idle", 600, *words)
    assert (idle.returncode, idle.stdout) == (code, done.stdout)
    assert "threads" not in idle.stderr


@pytest.mark.parametrize("results", ["file", "file/sub", "loop", "gone"])
def test_a_doctor_knows_what_no_results_can_lie_in(tmp_path, results):
    """It said that a run would work, and ended with a traceback at a link to itself."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    found = doctor._space(tmp_path / results)
    assert (found.fatal, "cannot be written; choose another folder with --results" in found.line) == (True, True)
    assert not doctor._space(tmp_path / "new" / "sub").fatal


def test_a_doctor_of_no_suite_prepares_no_images(tmp_path, monkeypatch, capsys):
    """It unpacked and prepared 60,000 images of CIFAR-10 and all cats into the cache, unasked."""
    monkeypatch.setattr(doctor, "_extractor", lambda name, **_: doctor.Finding(name))
    archive = tmp_path / "cats.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("1.png", b"no image, but whole" * 20)
    (tmp_path / "cifar10" / "train").mkdir(parents=True)

    def said():
        with pytest.raises(SystemExit):
            main(["doctor", "--data", str(tmp_path), "--results", str(tmp_path / "r")])
        return capsys.readouterr().out

    found = said()
    assert f"dataset cats: ready ({archive} is there; the first run prepares its images)" in found
    assert f"dataset cifar10: ready ({tmp_path / 'cifar10'} is there" in found
    assert "dataset digits: ready\n" in found
    content = archive.read_bytes()
    archive.write_bytes(content.replace(b"no image", b"NO image", 1))
    assert f"dataset cats: not ready: {archive} is damaged at 1.png; get it again" in said()
    archive.write_bytes(content[:40])
    assert f"dataset cats: not ready: {archive} cannot be read (" in said()


def test_a_doctor_looks_whether_a_suite_s_own_images_are_there(tmp_path):
    """It called them an unknown dataset, and stopped."""
    suite = "suite: s\nversion: 1\nseeds: [0]\ntrials: [{recipe: mnist-mlp-z100, set: {dataset: own}}]\n"
    (tmp_path / "s.yaml").write_text(f"{suite}datasets: {{own: {{path: mine, size: 28, channels: 1}}}}\n")
    (tmp_path / "mine").mkdir()
    empty = gan_bench("doctor", tmp_path / "s.yaml", "--results", tmp_path / "results")
    assert empty.returncode == 1
    assert re.search(r"dataset own: not ready: \S+mine holds no images", empty.stdout.replace("\n", " "))
    for grey in range(4):
        Image.new("L", (28, 28), 60 * grey).save(tmp_path / "mine" / f"{grey}.png")
    well = gan_bench("doctor", tmp_path / "s.yaml", "--results", tmp_path / "results")
    assert well.returncode == 0, well.stdout
    found = re.findall(r"(?:dataset|extractor) \S+: \w+", well.stdout)
    assert found == ["dataset own: ready", "extractor lenet-mnist-v1: ready"]
    (tmp_path / "s.yaml").write_text(suite)
    unknown = gan_bench("doctor", tmp_path / "s.yaml", "--results", tmp_path / "results")
    assert (unknown.returncode, 'unknown dataset "own"' in unknown.stdout) == (1, True), unknown.stderr
    assert "GiB free" in unknown.stdout


def test_data_fetch_fills_a_folder_and_checks_it(tmp_path, monkeypatch, capsys, registries):
    """In this process, where something stands for the download."""

    def two_images(folder):
        (folder / "cats").mkdir(parents=True)
        for index in range(2):
            pixels = np.full((64, 64, 3), 90 * index, np.uint8)
            Image.fromarray(pixels).save(folder / "cats" / f"{index}.png")

    def said(*words):
        with pytest.raises(SystemExit) as left:
            main(["data", "fetch", *words])
        shown = capsys.readouterr()
        return left.value.code or 0, shown.out, shown.err

    assert said("digits") == (0, "digits: nothing to download\n", "")
    registries(DATASETS, cats=replace(DATASETS["cats"], fetch=two_images, counts={"train": 2}))
    code, out, _ = said("cats", "--to", str(tmp_path / "data"))
    assert (code, out) == (0, f"cats: complete in {tmp_path / 'data'}\n")
    registries(DATASETS, cats=replace(DATASETS["cats"], fetch=two_images, counts={"train": 3}))
    code, out, err = said("cats", "--to", str(tmp_path / "other"))
    assert (code, out) == (2, "")
    assert "has 2 train images, not 3" in err


def marked(said):
    """How many trials of a printed plan stand how."""
    rows = re.findall(r"^  (to run|finished|failed|under way) +mnist.*, seeds? (\S+)$", said, re.M)
    return Counter(mark for mark, seeds in rows for _ in parse_seeds(seeds))


def test_a_plan_says_how_each_trial_stands(tmp_path):
    train_small(tmp_path)
    first, second, *_ = sorted((tmp_path / "results" / "small").glob("*--*/record.json"))
    edit(first, status="failed", reason="a fault")
    shutil.rmtree(second.parent)
    plan = ("run", tmp_path / "small.yaml", "--results", tmp_path / "results", "--profile", "full", "--dry-run")
    said = gan_bench(*plan).stdout
    assert "3 finished (1 failed), 1 to run" in said
    assert marked(said) == {"finished": 2, "to run": 1, "failed": 1}
    assert re.search(r"^2 finished, 2 to run$", gan_bench(*plan, "--retry-failed").stdout, re.M)
    with trial_lock(RecordDirectory(first.parent)) as lock:
        assert lock.acquire() is None
        elsewhere = gan_bench(*plan, "--retry-failed").stdout
    assert "2 finished, 2 to run (1 under way elsewhere)" in elsewhere
    assert marked(elsewhere)["under way"] == 1
    for damaged in sorted((tmp_path / "results" / "small").glob("*--*/history.jsonl"))[1:]:
        damaged.unlink()
    again = gan_bench(*plan).stdout
    assert "1 finished (1 failed), 3 to run" in again
    (why,) = re.findall(r"^retraining .*$", again, re.M)
    assert re.search(
        r"/history.jsonl is gone \(its earlier record goes to .*\.damaged\); 1 more for the same reason$", why
    )
    anew = gan_bench(*plan, "--fresh").stdout
    assert "--fresh deletes 3 earlier records, each when its trial starts" in anew
    assert marked(anew) == {"to run": 4}
    assert first.exists()


def test_a_plan_says_which_interrupted_trials_start_again(tmp_path):
    """Those of a GPU were trained from epoch 0 on a CPU, and the plan said that they were to run."""
    train_small(tmp_path)
    records = sorted((tmp_path / "results" / "small").glob("*--*/record.json"))
    for record in records[:2]:
        record.unlink()
        record.with_name("generator.safetensors").unlink()
        record.with_name("checkpoint.pt").write_bytes(b"")
        edit(record.with_name("environment.json"), device="cuda:0")
    before = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.json*")}
    plan = ("run", tmp_path / "small.yaml", "--results", tmp_path / "results", "--profile", "full", "--dry-run")
    said = gan_bench(*plan).stdout
    (why,) = re.findall(r"^starting again from epoch 0: .*$", said, re.M)
    assert "it was interrupted on cuda and cannot be resumed on cpu (its earlier record goes to " in why
    assert why.endswith("/small/.superseded); 1 more for the same reason")
    assert "2 finished, 2 to run\n" in said
    assert re.search(r"^  to run .*: 2 epochs, from epoch 0, seeds? ", said, re.M)
    assert {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.json*")} == before


@pytest.mark.parametrize("command", [["run", "digits", "--results", "/r"], ["list"]])
def test_a_current_folder_that_was_deleted_is_said(tmp_path, command):
    """A run ended with "Intel oneMKL FATAL ERROR: Cannot load libtorch_cpu.so"."""
    (tmp_path / "gone").mkdir()
    words = shlex.join([sys.executable, "-m", "gan_bench", *command])
    script = f"cd {shlex.quote(str(tmp_path / 'gone'))} && rmdir ../gone && exec {words}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=HANG)
    assert done.returncode == 2
    assert done.stderr == "error: the current folder was deleted; go to one that exists (cd) and try again\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "missing argument 'suite'; `gan-bench run --help` lists what it takes"),
        (["run", "digits", "--workers", "0"], "invalid value for '--workers': "),
        (["run", "digits", "--epochs", "many"], "invalid value for '--epochs': "),
        (["run", "digits", "--seedz", "3"], "no such option: --seedz"),
        (["run", "digits", "--lr", "1e-4"], "lr is a value of trials; `--set lr=VALUE` changes it"),
        (["run", "digits", "--batch-size=8"], "batch_size is a value of trials; `--set batch_size=VALUE` changes it"),
        (["run", "digits", "--seeds"], "option '--seeds' requires an argument; `gan-bench run --help` lists"),
        (["report", "a", "Foo: Bar"], "(Foo: Bar); `gan-bench report --help` lists what it takes"),
        (["data", "fech"], "no such command 'fech'"),
        (["data", "fetch", "--to"], "option '--to' requires an argument; `gan-bench data fetch --help` lists"),
        (["new"], "; `gan-bench new --help` lists what it takes"),
        (["--no-such"], "no such option: --no-such"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_said_in_a_sentence(words, said):
    done = gan_bench(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["data"]])
def test_a_command_line_without_a_command_shows_the_help(words):
    done = gan_bench(*words)
    assert done.returncode == 2
    assert done.stdout.count("Usage: ") == 1
    assert "Fetch" in done.stdout
    assert done.stderr == ""


def test_a_folder_without_records_gets_no_database(tmp_path):
    done = gan_bench("sync", tmp_path)
    assert done.returncode == 2
    assert "holds no trial records" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_old_python_is_named_before_an_environment_is_made(tmp_path):
    old = tmp_path / "python3.10"
    old.write_text('#!/bin/sh\ncase "$1" in -V) echo "Python 3.10.13";; *) exit 1;; esac\n')
    old.chmod(0o755)
    root = Path(__file__).parents[2]
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path)
    done = subprocess.run(["make", "bench", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "needs Python 3.11 or later" in done.stdout
    assert "make PYTHON=python3.12 bench" in done.stdout
    assert not (tmp_path / ".venv").exists()


@pytest.fixture
def workplace(tmp_path):
    """A folder with the Makefile, and a stand-in Python, whose environments have a pip and a uv that tell."""
    python = tmp_path / "a python"
    python.write_text("""#!/bin/sh
[ "$2" = venv ] || exit 0
mkdir -p $3/bin
cat > $3/bin/pip <<'END'
#!/bin/sh
case "$*" in
  "config list") cat settings;;
  "config get "*) cat "$3" 2>/dev/null;;
  *" uv") exit $NO_UV;;
  *) echo "pip $*" >> installed;;
esac
END
cat > $3/bin/uv <<'END'
#!/bin/sh
echo "$UV_EXTRA_INDEX_URL|$UV_FIND_LINKS|$UV_INDEX_STRATEGY" > places
echo "uv $*" >> installed; exit $NO_WAY
END
printf '#!/bin/sh\\necho "runs $*, bytecode ${PYTHONDONTWRITEBYTECODE-kept}"\\n' > $3/bin/gan-bench
chmod +x $3/bin/*
""")
    python.chmod(0o755)
    root = Path(__file__).parents[2]
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path)
    (tmp_path / "settings").write_text("")
    outer = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "ARGS", "SUITE", "RESULTS", "EXTRA"}  # of `make test ARGS=...`
    environment = {
        name: value for name, value in os.environ.items() if name not in outer and not name.startswith(("PIP_", "UV_"))
    }
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "NO_UV": "0", "NO_WAY": "0"}

    def bench(**more):
        make = ["make", "--silent", "bench", f"PYTHON='{python}'"]
        done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment | more)
        assert done.stdout.endswith("runs run quickstart --results results, bytecode kept\n")

    return tmp_path, bench


@pytest.mark.parametrize(
    ("settings", "trouble", "installed_by"),
    [
        ("global.extra-index-url='https://a'", {}, ["uv"]),
        ("global.index-url='https://a'", {}, ["pip"]),
        (":env:.no-index='1'", {}, ["pip"]),
        ("", {"NO_UV": "1"}, ["pip"]),
        ("", {"NO_WAY": "1"}, ["uv", "pip"]),
    ],
)
def test_pip_makes_the_environment_where_uv_cannot(workplace, settings, trouble, installed_by):
    folder, bench = workplace
    (folder / "settings").write_text(f"{settings}\n")
    for _ in range(2):  # the second finds it made
        bench(**trouble)
    installs = [line.split() for line in (folder / "installed").read_text().splitlines()]
    assert [words[0] for words in installs] == installed_by
    for words in installs:
        assert words[-2:] == ["--editable", "."]
        assert "--constraint" in words


@pytest.mark.parametrize(
    ("files", "environment", "places"),
    [
        ({}, {}, "||unsafe-best-match"),
        ({"global.extra-index-url": "\nhttps://a\nhttps://b"}, {}, "https://a https://b||unsafe-best-match"),
        ({"global.find-links": "/a /b", "install.find-links": "/c /d"}, {}, "|/c,/d|unsafe-best-match"),
        ({"global.find-links": "/a"}, {"PIP_FIND_LINKS": "/e /f"}, "|/e,/f|unsafe-best-match"),
        (
            {"global.extra-index-url": "https://a"},
            {"UV_EXTRA_INDEX_URL": "https://u", "UV_FIND_LINKS": "/u", "UV_INDEX_STRATEGY": "first-index"},
            "https://u|/u|first-index",
        ),
    ],
)
def test_uv_looks_where_pip_would_unless_it_has_settings_of_its_own(workplace, files, environment, places):
    folder, bench = workplace
    for name, text in files.items():
        (folder / name).write_text(text)
    bench(**environment)
    assert (folder / "places").read_text() == f"{places}\n"


def _words(command, words=()):
    yield words
    for name, each in getattr(command, "commands", {}).items():
        yield from _words(each, (*words, name))


def test_every_command_takes_h_for_help(capsys):
    for words in _words(get_command(app)):
        with pytest.raises(SystemExit) as end:
            main([*words, "-h"])
        assert end.value.code == 0, words
        assert "Usage: " in capsys.readouterr().out


def test_examples_of_the_help_can_be_pasted(capsys):
    """A remark after a colon was glued to each command."""
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    examples = capsys.readouterr().out.rpartition("Examples:")[2].splitlines()
    commands = [line.strip() for line in examples if line.strip().startswith("gan-bench")]
    assert len(commands) == 4
    for command in commands:
        assert not set(command) & set(":;"), command
        assert shlex.split(command)[1] == "run"


def test_options_that_belong_together_stand_together_and_rare_ones_last(capsys):
    panels = {name: option.panel for name, (_, option) in declared().items()}
    assert panels["until"] == panels["budget"] == panels["max_seeds"] == panels["seeds"]
    rare = ("ray_address", "gpus_per_trial", "cpus_per_trial", "group", "join", "precision", "engine")
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    common, _, last = capsys.readouterr().out.partition("For clusters and experts")
    assert set(re.findall("│ --([a-z-]+)", last)) == {name.replace("_", "-") for name in rare}
    assert "MLflow" in common


def test_the_help_says_that_fresh_deletes():
    """It said that earlier records are ignored."""
    assert "Delete" in declared()["fresh"][1].help


def test_no_help_shows_a_type_beside_a_flag(capsys):
    """`--fresh <bool>` reads as if a word had to follow."""
    for words in _words(get_command(app)):
        with pytest.raises(SystemExit) as end:
            main([*words, "--help"])
        said = capsys.readouterr().out
        assert end.value.code == 0
        assert "--help" in said
        assert "bool" not in said.lower(), words


def test_no_help_breaks_a_type_inside_its_words(capsys, monkeypatch):
    """`<architecture|loss|dataset|me` / `asure|extractor|suite>` was what `new` takes."""
    monkeypatch.setenv("COLUMNS", "80")
    for words in _words(get_command(app)):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        for line in capsys.readouterr().out.splitlines():
            assert not re.search(r"<[^>\s]*\|[^>\s]*(\s|$)", line), (words, line)


def test_every_command_that_a_run_shows_of_a_folder_with_a_dash_can_be_typed(tmp_path, monkeypatch):
    """`gan-bench report -q --tables all` said that there is no such option."""
    train_small(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("results").rename("-q")
    Path("small.yaml").rename("-s.yaml")
    share = gan_bench("run", "./-s.yaml", "--results", "-q", "--join")
    whole = gan_bench("run", "./-s.yaml", "--results", "-q", "--no-tracking")
    shown = re.findall("`(gan-bench [^`]*)`", share.stdout + whole.stdout)
    assert {shlex.split(each)[1] for each in shown} >= {"report", "sync", "run"}, share.stdout + whole.stdout
    for name, *words in (shlex.split(each)[1:] for each in shown):
        given = get_command(app).commands[name].make_context(name, words).params
        assert str(given["results"]) == "-q", (name, words)
        assert given.get("suite") in (None, "./-s.yaml")
