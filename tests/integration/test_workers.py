"""Worker processes: one takes job after job, and none is left behind."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support import warm
from support.records import edit
from support.runs import READY, context, run, sites, stop_after, train, train_in_processes
from support.suites import train_small
from support.trials import digits_trial

from gan_bench import bench
from gan_bench.bench import ThisMachine, prepare
from gan_bench.config.image_folder import DataRoot, ImageFolder, Transform
from gan_bench.core.channel import spawn
from gan_bench.core.errors import UserError
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.trial.events import Scored, ignore
from gan_bench.execution.workers import pool as worker_pool
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Failure, Status, TrialRecord
from gan_bench.run_options import RunOptions
from gan_bench.terminal.announcement import announce_work
from gan_bench.terminal.console import console

pytestmark = pytest.mark.starts_children

SUITE = """
suite: small
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 200}
seeds: [0, 1]
evaluate: {epochs: [50, 200], samples: 64}
"""
ONE = sites("cpu")


@pytest.fixture
def started(monkeypatch):
    """Counts the worker processes that are started."""
    processes = []

    class Counted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            processes.append(self)

    monkeypatch.setattr(worker_pool.subprocess, "Popen", Counted)
    return processes


@pytest.mark.usefixtures("forked_children")
def test_a_worker_takes_job_after_job_and_ends_with_the_last(tmp_path, started):
    trials = [digits_trial(seed, architecture=a) for seed in (0, 1) for a in ("mlp", "dcgan28")]
    trials = [trial for trial in trials if trial.config.architecture == "mlp"] + trials[1::2]
    records = train_in_processes(tmp_path, trials, context(), ignore, Policy(), ONE).records
    assert {record.status for record in records.values()} == {Status.DONE}
    assert len(started) == 1
    assert started[0].poll() == 0


@pytest.mark.ci
def test_workers_import_what_their_parent_does_and_nothing_of_the_current_folder(tmp_path, monkeypatch):
    """A file ``random.py`` there ended every trial, and another ``gan_bench`` there was trained with."""
    (tmp_path / "gan_bench").mkdir()
    for name in ("random.py", "gan_bench/__init__.py"):
        (tmp_path / name).write_text("raise SystemExit('not this one')\n")
    monkeypatch.chdir(tmp_path)
    records = train_in_processes(tmp_path / "results", [digits_trial()], context(), ignore, Policy(), ONE).records
    assert {record.status for record in records.values()} == {Status.DONE}


PROBE = """
import sys, uuid
from gan_bench.core.channel import Sender
Sender()({"path": sys.path, "argv": sys.argv, "named": __name__, "uuid": hasattr(uuid, "uuid4")})
"""


def test_children_look_for_modules_where_their_parent_does_in_its_order(tmp_path, monkeypatch):
    """What a notebook or a user's site has behind the standard library stood before it, and a colon cut a path."""
    late = tmp_path / "a:b"
    late.mkdir()
    (late / "probe.py").write_text(PROBE)
    (late / "uuid.py").write_text("raise SystemExit('a backport of long ago')\n")
    monkeypatch.chdir(late)
    monkeypatch.setattr(sys, "path", [*sys.path, "__editable__.mine.finder.__path_hook__", str(late), ""])
    with (tmp_path / "errors").open("wb") as errors:
        process, lines = spawn("probe", ("one", "two"), errors, os.environ)
    with lines, process:
        said = lines.read()
    assert process.returncode == 0, (tmp_path / "errors").read_text()
    found = json.loads(said)
    hook = "__editable__.mine.finder.__path_hook__"
    assert hook in found["path"], "what an installer left is no folder"
    assert found["path"][-1] == str(late), "the current folder stands where the parent has it, and once"
    assert found["path"].index(hook) > 0
    assert (found["argv"][1:], found["named"], found["uuid"]) == (["one", "two"], "__main__", True)


def test_children_are_read_and_written_in_utf_8_whatever_the_terminal_has(tmp_path, monkeypatch):
    """A mirror whose results lay in a folder with an umlaut died of its first line."""
    (tmp_path / "probe.py").write_text(
        "import sys\nfrom gan_bench.core.channel import Sender\nSender()({'read': sys.stdin.readline()})\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with (tmp_path / "errors").open("wb") as errors:
        process, lines = spawn("probe", (), errors, {**os.environ, "PYTHONIOENCODING": "ascii"})
    with lines, process:
        process.stdin.write("results/zoë\n")
        process.stdin.flush()
        said = lines.read()
    assert process.returncode == 0, (tmp_path / "errors").read_text()
    assert json.loads(said) == {"read": "results/zoë\n"}


@pytest.mark.usefixtures("forked_children")
def test_a_worker_on_a_device_that_cannot_be_used_takes_no_trials(tmp_path):
    """It ended at once, was handed the next trial, and had failed most of a suite while others trained one each."""
    trials = [digits_trial(seed) for seed in range(3)]
    there = sites("cpu", "cuda:99")
    with pytest.warns(RuntimeWarning, match=r"in a worker on cuda:99: .*cuda.*; the run continues without it"):
        records = train_in_processes(tmp_path, trials, context(), ignore, Policy(), there).records
    assert [record.status for record in records.values()] == [Status.DONE] * 3


def test_without_a_worker_that_is_ready_no_trial_fails(tmp_path, monkeypatch):
    real = subprocess.Popen
    dies = [sys.executable, "-c", "import sys; sys.exit('CUDA error: CUDA-capable device(s) is/are busy')"]
    monkeypatch.setattr(worker_pool.subprocess, "Popen", lambda _, **options: real(dies, **options))
    said = r"on cpu: .* with code 1: CUDA error: .* busy; no other worker is left, and the same command continues$"
    with pytest.raises(UserError, match=said):
        train_in_processes(tmp_path, [digits_trial()], context(), ignore, Policy(), ONE)
    assert not list(tmp_path.glob("*/*/*.json"))
    assert not worker_pool._living


SLOW = """
import json, os, sys, time
channel, ids = os.fdopen(int(os.environ["GAN_BENCH_CHANNEL"]), "w"), {ids}
if os.path.exists({first!r}):  # the second process never gets ready
    time.sleep(600)
open({first!r}, "x").close()
for line in sys.stdin:
    for trial in json.loads(line)["trials"]:
        came = {{"claim": {{"record": {record}}}}}
        print(json.dumps({{"event": "claimed", "trial": ids[trial["config"]["seed"]], **came}}), file=channel)
    print('{{"event": "job_done"}}', file=channel, flush=True)
"""


@pytest.mark.parametrize(("fail_fast", "ran"), [(False, 3), (True, 1)])
def test_a_run_waits_for_no_worker_that_it_has_no_work_for(tmp_path, monkeypatch, fail_fast, ran):
    """All trials had ended, or one had failed, and a process that was getting ready held the end of the run up."""
    real, trials, starting = subprocess.Popen, [digits_trial(seed) for seed in range(3)], threading.Lock()
    record = TrialRecord(status=Status.FAILED, failure=Failure.CRASH, reason="x").to_json()
    words = {"ids": [trial.id for trial in trials], "record": record, "first": str(tmp_path / "first")}
    slow = [sys.executable, "-c", SLOW.format(**words)]

    def start(_, **options):
        with starting:
            process = real(slow, **options)
            while not (tmp_path / "first").exists() and process.poll() is None:
                time.sleep(0.01)
        return process

    monkeypatch.setattr(worker_pool.subprocess, "Popen", start)
    policy, there = Policy(fail_fast=fail_fast), sites("cpu", "cpu")
    records = train_in_processes(tmp_path / "r", trials, context(), ignore, policy, there).records
    assert sum(each.reason == "x" for each in records.values()) == ran


CRASHES = """
import json, os, sys
channel = os.fdopen(int(os.environ["GAN_BENCH_CHANNEL"]), "w")
for line in sys.stdin:
    for trial in json.loads(line)["trials"]:
        ids, came = {ids}, {{"claim": {{"record": {record}}}}}
        print(json.dumps({{"event": "claimed", "trial": ids[trial["config"]["seed"]], **came}}), file=channel)
    print('{{"event": "job_done"}}', file=channel, flush=True)
"""


@pytest.mark.parametrize(("device", "processes"), [("cpu", 1), ("cuda:0", 2)])
def test_a_trial_that_crashes_on_a_gpu_ends_the_process(tmp_path, monkeypatch, started, device, processes):
    """After an illegal access every call of CUDA in a process fails, and every later trial had failed with it."""
    counted = subprocess.Popen
    trials = [digits_trial(seed) for seed in (0, 1)]
    record = TrialRecord(status=Status.FAILED, failure=Failure.CRASH, reason="CUDA error").to_json()
    crashes = [sys.executable, "-c", CRASHES.format(ids=[trial.id for trial in trials], record=record)]
    monkeypatch.setattr(worker_pool.subprocess, "Popen", lambda _, **options: counted(crashes, **options))
    records = train_in_processes(tmp_path, trials, context(), ignore, Policy(), sites(device)).records
    assert [record.failure for record in records.values()] == [Failure.CRASH] * 2
    assert len(started) == processes


def test_a_worker_that_does_not_stop_at_its_time_limit_is_killed(tmp_path, monkeypatch):
    real = subprocess.Popen
    hangs = [sys.executable, "-c", f"{READY}time.sleep(60)"]
    monkeypatch.setattr(worker_pool.subprocess, "Popen", lambda _, **options: real(hangs, **options))
    monkeypatch.setattr(worker_pool, "seconds_allowed", lambda _, trials: 0.0 if trials else math.inf)
    policy = Policy(time_limit=1e-6)
    (record,) = train_in_processes(tmp_path, [digits_trial()], context(), ignore, policy, ONE).records.values()
    assert (record.status, record.failure) == (Status.FAILED, Failure.TIMEOUT)
    assert record.reason == (
        "the worker did not stop at its time limit and was killed; raise it and run with --retry-failed"
    )
    assert not worker_pool._living


def fail(event):
    if isinstance(event, Scored):
        raise ZeroDivisionError("a listener's own fault")


@pytest.mark.usefixtures("forked_children")
def test_an_exception_of_a_listener_is_raised_and_leaves_no_worker(tmp_path, started):
    with pytest.raises(ZeroDivisionError):
        train_in_processes(tmp_path, [digits_trial()], context(), fail, Policy(), ONE)
    assert started[0].poll() is not None
    assert not worker_pool._living


@pytest.mark.usefixtures("forked_children")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_images_that_are_away_when_a_worker_starts_fail_no_trial(tmp_path):
    """Its trials were failed ones for good, and counted as worst, when a share had been away for a moment."""
    away = ImageFolder(name="own", path=tmp_path / "away", transform=Transform(size=28, channels=1))
    there = [replace(site, folders=(away,)) for site in ONE]
    trials = [digits_trial(seed) for seed in (0, 1)]
    records = train_in_processes(tmp_path, trials, context(), ignore, Policy(), there).records
    said = {(record.status, record.reason) for record in records.values()}
    assert said == {(Status.SKIPPED, f"{away.path} does not exist; name a folder or zip of images")}
    assert not list(tmp_path.glob("*/*/record.json"))
    records = train_in_processes(tmp_path, trials, context(), ignore, Policy(), ONE).records
    assert [record.status for record in records.values()] == [Status.DONE] * 2


def test_an_exception_of_a_listener_is_no_fault_of_a_trial_in_this_process(tmp_path):
    """Such as that of a pipe whose reader has gone: the trial is saved, the next one not begun, and all continue."""
    trials = [digits_trial(seed) for seed in (0, 1)]
    with pytest.raises(ZeroDivisionError):
        train(tmp_path, trials, context(), fail)
    (record,) = (read_trial(path.parent).record for path in tmp_path.glob("*/*/trial.json"))
    assert (record["status"], record["failure"]) == ("interrupted", None)
    records = train(tmp_path, trials, context()).records
    assert [record.status for record in records.values()] == [Status.DONE] * 2


def test_a_reader_that_goes_ends_the_run_and_fails_no_trial(tmp_path):
    suite = tmp_path / "small.yaml"
    suite.write_text(SUITE)
    words = ["run", suite, "--results", tmp_path / "r", "--executor", "inline", "--no-tracking", "--device", "cpu"]
    command = [*warm.command("gan_bench"), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while "epochs" not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, "Traceback" in said) == (141, False), said
    (record,) = (read_trial(path.parent).record for path in tmp_path.glob("r/*/*/record.json"))
    assert record["status"] == "interrupted"


def test_what_is_left_of_a_plan_has_the_threads_of_its_workers(tmp_path, monkeypatch):
    """A trial that a run left alone was resumed in its own process, with all threads: other bits."""
    monkeypatch.setattr(bench, "cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    results = train_small(tmp_path)
    command = {"suite": str(tmp_path / "small.yaml"), "profile": "full", "results": str(results), "no_estimate": True}

    def sites_of(**options):
        prepared = prepare(RunOptions(**command, **options), lambda: False)
        said = io.StringIO()
        announce_work(prepared, RunOptions(**command, **options), console(file=said))
        return len(prepared.state.todo), [site.threads for site in prepared.place.sites], said.getvalue()

    assert sites_of()[:2] == (0, [])
    left = sorted((results / "small").glob("*--*"))
    for path in left[:2]:
        shutil.rmtree(path)
    assert sites_of()[:2] == (2, [1, 1])
    first, *_ = prepare(RunOptions(**command), lambda: False).state.todo
    only = first.name
    assert sites_of(only=only)[:2] == (1, []), "a plan of one trial has no workers"
    run(tmp_path, first, stop=stop_after(8))
    assert sites_of(only=only)[:2] == (1, []), "begun here, with as many threads"
    edit(RecordDirectory.of(results, first).environment, threads=1)
    assert sites_of(only=only)[:2] == (1, [1]), "begun in a worker"
    shutil.rmtree(RecordDirectory.of(results, first).path)
    train(results, prepare(RunOptions(**command), lambda: False).state.todo[1:], context())
    found, threads, said = sites_of()
    assert (found, threads) == (1, [1])
    assert "--workers 1" not in said
    found, threads, said = sites_of(workers=1)
    assert (found, threads) == (1, [])
    assert "--workers 1 trains in this process, with 2 threads, where workers have one each" in said


@pytest.mark.parametrize(
    ("device", "asked", "places", "devices"),
    [
        ("cuda", {}, ["cuda:0", "cuda:1"], 2),
        ("cuda", {"workers": 3}, ["cuda:0", "cuda:1", "cuda:0"], 2),
        ("cuda:1", {"workers": 2}, ["cuda:1", "cuda:1"], 1),
        ("cuda", {"group": 4}, ["cuda:0", "cuda:1"], 2),  # one of the two had nothing to do
        ("cuda:1", {"group": 4, "workers": 2}, [], 1),
    ],
)
def test_workers_on_one_card_are_counted_as_one_device(monkeypatch, device, asked, places, devices):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    place = ThisMachine(
        SimpleNamespace(device=torch.device(device), data=DataRoot(Path(), given=True), engine_choice="auto")
    )
    plan = SimpleNamespace(trials=range(8), folders=(), plugins=())
    found = SimpleNamespace(own_part=lambda: None, require_known=lambda: None)
    state = SimpleNamespace(todo=range(8), kept={})
    options = RunOptions("suite", device=device, **asked)
    place = replace(place, sites=bench._workers(options, place.context, plan, found, state))
    assert [site.device for site in place.sites] == places
    assert place.devices(8) == devices


def test_a_plan_is_told_how_many_devices_its_workers_have(tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(SUITE)
    told = {}
    monkeypatch.setattr(bench, "estimate", lambda *_, **given: told.update(given))
    monkeypatch.setattr(ThisMachine, "devices", lambda *_: 1)
    options = RunOptions(tmp_path / "small.yaml", results=tmp_path / "r", workers=2, no_estimate=False)
    prepare(options, lambda: False)
    assert (told["workers"], told["devices"]) == (2, 1)
