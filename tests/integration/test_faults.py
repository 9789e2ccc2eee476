"""Faults made for real: full disks, damaged checkpoints, dead workers and parents, rivals, clocks, hung servers."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
from support import runs, warm
from support.commands import HANG, gan_bench, wait_for
from support.needs import SLOW, slow
from support.records import assert_whole, bits, edit
from support.runs import sites, stop_after, train, train_in_processes
from support.suites import SMALL, train_small
from support.tracking import mlflow_runs
from support.trials import digits_trial

import gan_bench as gb
from gan_bench.config.image_folder import DataRoot
from gan_bench.config.trial import EvaluationConfig
from gan_bench.core.channel import spawn
from gan_bench.core.errors import DeviceError
from gan_bench.execution.trial import checkpoints, environment
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.trial.events import Scored, classify, ignore
from gan_bench.execution.workers import inline
from gan_bench.execution.workers.job import Job, Site
from gan_bench.execution.workers.work import Work
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.folders import scan
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import Failure, Status, TrialRecord
from gan_bench.records.verify import verify
from gan_bench.training import engine

pytestmark = pytest.mark.starts_children

ONE_WORKER, TWO_WORKERS = (sites(*["cpu"] * n) for n in (1, 2))


context = partial(runs.context, engine="reference")
run = partial(runs.run, engine="reference")


# ---------------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    trial = digits_trial(epochs=3)
    undisturbed, _ = run(tmp_path, trial, "whole")
    directory, _ = run(tmp_path, trial, stop=stop_after(6))
    content = bytearray(directory.checkpoint.read_bytes())
    assert directory.previous_checkpoint.exists()
    if damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
    else:
        other, _ = run(tmp_path, digits_trial(seed=1), "other", stop=stop_after(4))
        content = other.checkpoint.read_bytes()
    directory.checkpoint.write_bytes(content)
    assert any("damaged" in fault for verdict in verify(tmp_path / "results") for fault in verdict.faults)
    heard = []
    with pytest.warns(RuntimeWarning, match=r"checkpoint.pt cannot be used; it goes on from an older checkpoint"):
        directory, record = run(tmp_path, trial, listener=heard.append)
    assert record.status is Status.DONE
    assert heard[0].resumed_at is not None
    assert bits(directory) == bits(undisturbed)
    assert (directory.path / "checkpoint.pt.broken").exists()


def test_the_checkpoint_before_survives_alone(tmp_path):
    """Its newer one was set aside, and the process was killed before the next."""
    trial = digits_trial(epochs=3)
    undisturbed, _ = run(tmp_path, trial, "whole")
    directory, _ = run(tmp_path, trial, stop=stop_after(6))
    directory.checkpoint.unlink()
    heard = []
    with pytest.warns(RuntimeWarning, match=r"checkpoint.pt is gone; it goes on from an older checkpoint"):
        directory, _ = run(tmp_path, trial, listener=heard.append)
    assert heard[0].resumed_at is not None
    assert bits(directory) == bits(undisturbed)


def test_a_checkpoint_runs_no_code(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/exploded",)

    directory = RecordDirectory(tmp_path)
    checkpoints.save(directory, "0", checkpoints.Checkpoint({"bomb": Bomb()}, {}))
    assert checkpoints.read(directory.checkpoint, "0") is None
    assert list(checkpoints.candidates(directory, "0")) == []
    assert not (tmp_path / "exploded").exists()


# ---------------------------------------------------------------------------------------------------- disks, memory


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, and a way to change it."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        return subprocess.run(
            ["mount", "-o", options, "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False
        )

    if mount("size=4m").returncode:
        pytest.skip("mounting a small file system needs rights this process does not have")
    yield folder, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_fails_the_trial_and_spares_what_stood(tmp_path, small_disk, monkeypatch):
    folder, remount = small_disk
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SHARE", 10**6)  # one small checkpoint, however slow the machine is
    trials = [digits_trial(0), digits_trial(1)]
    outcome = train(folder, trials, context()).records
    assert [outcome[t.id].failure for t in trials] == [None, Failure.DISK_FULL]
    assert "no space left" in outcome[trials[1].id].reason
    assert_whole(folder)
    remount("size=64m")
    again = train(folder, trials, context(), ignore, Policy(retry_failed=True)).records
    assert {i: r.status for i, r in again.items()} == {trials[1].id: Status.DONE}
    assert_whole(folder)
    for trial in trials:
        assert bits(RecordDirectory.of(folder, trial)) == bits(run(tmp_path, trial, "whole")[0])


def test_too_little_space_and_a_read_only_folder_are_said_at_once(small_disk):
    folder, remount = small_disk
    small = gan_bench("run", "digits", "--results", folder, "--no-tracking", "--seeds", "0")
    assert (small.returncode, "are free; free some space" in small.stderr) == (2, True), small.stderr
    remount("ro")
    closed = gan_bench("run", "digits", "--results", folder, "--no-tracking", "--seeds", "0")
    assert (closed.returncode, "cannot be written" in closed.stderr) == (2, True), closed.stderr


@pytest.mark.slow
def test_a_worker_out_of_memory_is_named(tmp_path):
    trials = [digits_trial(0, latent_dim=100_000, batch_size=1_000_000), digits_trial(1)]
    records = train_in_processes(tmp_path, trials, context(), ignore, Policy(), ONE_WORKER).records
    assert [records[t.id].failure for t in trials] == [Failure.OUT_OF_MEMORY, None]
    assert "lower batch_size" in records[trials[0].id].reason


# ---------------------------------------------------------------------------------------------------- policies


@pytest.mark.parametrize(("failure", "is_gone"), [(Failure.CRASH, True), (Failure.CRASH, False), (Failure.DATA, True)])
def test_a_gpu_that_computes_no_more_fails_no_further_trial(tmp_path, monkeypatch, failure, is_gone):
    """Most errors of CUDA stay with the process: every later trial failed of the first one's."""
    begun, tried = [], []

    def claimed(trial, *_):
        begun.append(trial)
        return TrialRecord(status=Status.FAILED, reason="CUDA error: an illegal memory access", failure=failure)
        yield

    def tries(name):
        tried.append(name)
        if is_gone:
            raise environment.unusable(torch.device(name), RuntimeError("CUDA error"))

    monkeypatch.setattr(inline, "claim_and_run", claimed)
    monkeypatch.setattr(inline, "choose_device", tries)
    where, trials = replace(context(), device=torch.device("cuda:0")), [digits_trial(seed) for seed in range(3)]
    if failure is Failure.CRASH and is_gone:
        with pytest.raises(DeviceError, match=r"cuda:0 cannot be used .*; free or repair it"):
            train(tmp_path, trials, where)
        assert begun == trials[:1]
    else:
        train(tmp_path, trials, where)
        assert begun == trials
    assert set(tried) == ({"cuda:0"} if failure is Failure.CRASH else set())


def test_what_had_ended_before_a_device_failed_is_reported(tmp_path, monkeypatch):
    def fails(*_):
        raise DeviceError("cuda:0 cannot be used (made up)")

    monkeypatch.setattr(inline, "_check_device", fails)
    (tmp_path / "two.yaml").write_text(SMALL)
    with pytest.raises(DeviceError, match="made up"):
        gb.run(tmp_path / "two.yaml", results=tmp_path / "results", executor="inline", profile="full")
    assert gb.load(tmp_path / "results").trials["status"].value_counts().to_dict() == {"done": 1, "planned": 3}
    assert (tmp_path / "results" / "report" / "answer.md").exists()


def test_weights_that_are_not_finite_are_a_divergence_although_losses_are(tmp_path, monkeypatch):
    """An infinite weight before tanh still gives images in [-1, 1]."""
    plain = engine.update

    def poisoned(state, *given, **named):
        values = plain(state, *given, **named)
        state.generator.layers[4].bias.data[0] = float("inf")
        return values

    monkeypatch.setattr(engine, "update", poisoned)
    _, record = run(tmp_path, digits_trial())
    assert record.status is Status.DIVERGED
    assert record.reason == "weights are not finite at step 3, the end of epoch 1"


def test_a_time_limit_fails_the_trial_and_a_longer_one_goes_on(tmp_path):
    trial = digits_trial(epochs=3)
    directory, record = run(tmp_path, trial, time_limit=1e-6)
    assert (record.status, record.failure) == (Status.FAILED, Failure.TIMEOUT)
    assert directory.checkpoint.exists()
    directory, record = run(tmp_path, trial)
    assert record.status is Status.DONE
    assert bits(directory) == bits(run(tmp_path, trial, "whole")[0])


def test_fail_fast_leaves_the_rest_as_skipped_rows(tmp_path):
    trials = [digits_trial(0), digits_trial(1), digits_trial(2)]
    outcome = train(tmp_path, trials, context(), ignore, Policy(fail_fast=True, time_limit=1e-6))
    statuses = [Earlier(RecordDirectory.of(tmp_path, t)).status for t in trials]
    assert statuses == [Status.FAILED, Status.SKIPPED, Status.SKIPPED]
    assert [outcome.records[trial.id].status for trial in trials] == statuses
    assert_whole(tmp_path)
    train(tmp_path, trials, context(), ignore, Policy(retry_failed=True))
    assert {Earlier(RecordDirectory.of(tmp_path, t)).status for t in trials} == {Status.DONE}


# ---------------------------------------------------------------------------------------------------- processes


@pytest.mark.usefixtures("forked_children")
def test_any_number_of_workers_gives_the_same_bits(tmp_path):
    trials = [digits_trial(seed) for seed in range(3)]
    train(tmp_path / "none", trials, context())
    for name, pool in (("two", TWO_WORKERS), *([("one", ONE_WORKER)] if SLOW else [])):
        records = train_in_processes(tmp_path / name, trials, context(), ignore, Policy(), pool).records
        assert {r.status for r in records.values()} == {Status.DONE}
        assert_whole(tmp_path / name)
        for trial in trials:
            pair = [RecordDirectory.of(tmp_path / each, trial) for each in ("none", name)]
            assert bits(pair[0]) == bits(pair[1])


class KillsWorkers:
    """Kills the first worker that says its trial has been scored."""

    def __init__(self, results):
        self.results, self.struck = results, None

    def __call__(self, event):
        if isinstance(event, Scored) and self.struck is None:
            self.struck = event.trial.id
            os.kill(trial_lock(RecordDirectory.of(self.results, event.trial)).holder().pid, signal.SIGKILL)


@pytest.mark.usefixtures("forked_children")
def test_a_lost_worker_loses_one_trial_for_a_while(tmp_path):
    trials = [digits_trial(seed, epochs=20) for seed in range(2)]
    results, killer = tmp_path / "results", KillsWorkers(tmp_path / "results")
    records = train_in_processes(results, trials, context(), killer, Policy(), TWO_WORKERS).records
    lost = records[killer.struck]
    assert (lost.status, lost.failure) == (Status.FAILED, Failure.CRASH)
    assert "killed by SIGKILL" in lost.reason
    assert Counter(r.status for r in records.values()) == {Status.FAILED: 1, Status.DONE: 1}
    train(results, trials, context(), ignore, Policy(retry_failed=True))
    assert_whole(results)
    (trial,) = [trial for trial in trials if trial.id == killer.struck]
    assert bits(RecordDirectory.of(results, trial)) == bits(run(tmp_path, trial, "whole")[0])


SUITE = """\
suite: tiny
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 300, log_every: 4}
seeds: [0, 1]
evaluate: {samples: 64}
profiles: {quick: {}}
"""


def start(tmp_path, *arguments, epochs=300, python=(sys.executable, "-m", "gan_bench")):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(SUITE.replace("300", str(epochs)))
    command = [*python, "run", suite, "--results", tmp_path / "results", *arguments]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # several run at once
    return subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=alone
    )


KILLED_RENAMING = """
import os, runpy, signal, sys
name = sys.argv.pop(1)
def die(event, arguments):
    if event == "os.rename" and os.path.basename(str(arguments[1])).startswith(name):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
runpy.run_module("gan_bench", run_name="__main__")
"""


@pytest.mark.slow
def test_what_a_kill_leaves_aside_is_cleared_away(tmp_path):
    """A process killed between writing a file aside and renaming it cannot clean up after itself."""
    results, whole_results = tmp_path / "results", tmp_path / "whole"
    suite = tmp_path / "tiny.yaml"
    suite.write_text(SUITE.replace("300", "2").replace("[0, 1]", "[0]"))
    command = ["run", suite, "--no-tracking", "--executor", "inline", "--device", "cpu", "--results"]

    def hidden():
        (folder,) = results.glob("*/*--*")
        return [path.name for path in folder.rglob(".*")]

    for name in ("epoch-0002", "checkpoint.pt", "generator", "record.json"):
        killed = [sys.executable, "-c", KILLED_RENAMING, name, *map(str, [*command, results])]
        assert subprocess.run(killed, capture_output=True, check=False).returncode == -signal.SIGKILL
        assert len(hidden()) == 1, name
    for folder in (results, whole_results):
        assert gan_bench(*command, folder).returncode == 0
    assert hidden() == []
    assert_whole(results)
    (pair,) = zip(results.glob("*/*--*"), whole_results.glob("*/*--*"), strict=True)
    assert bits(RecordDirectory(pair[0])) == bits(RecordDirectory(pair[1]))


def owners(results):
    pids = []
    for path in results.glob("*/.locks/????????.owner"):
        try:
            pids.append(json.loads(path.read_text())["pid"])
        except (OSError, ValueError):
            continue
    return pids


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, *slow(signal.SIGTERM, signal.SIGINT)])
def test_no_worker_outlives_its_parent(tmp_path, how):
    results = tmp_path / "results"
    options = ("--executor", "processes", "--workers", "2", "--no-tracking")
    process = start(tmp_path, *options, python=warm.command("gan_bench"))
    wait_for(lambda: len(owners(results)) == 2 and len(list(results.glob("*/*/history.jsonl"))) == 2)
    pids = owners(results)
    process.send_signal(how)
    process.communicate(timeout=HANG)
    assert process.returncode == (130 if how != signal.SIGKILL else -how)
    wait_for(lambda: not any(running(pid) for pid in pids))
    found = [json.loads(path.read_text())["status"] for path in results.glob("*/*/record.json")]
    assert found == ["interrupted"] * 2


@pytest.mark.usefixtures("forked_children")
def test_a_worker_that_nobody_listens_to_stops_as_asked(tmp_path):
    """A dead parent may be felt first when something is told; that is no crash of the trial."""
    trial = digits_trial(epochs=300, evaluation=EvaluationConfig(epochs=(0,), samples=64))
    job = Job(
        trials=(trial,),
        results=tmp_path,
        site=Site(data=DataRoot(tmp_path, given=True), device="cpu", engine="auto", threads=1),
        policy=Policy(),
    )
    RecordDirectory.of(tmp_path, trial).path.parent.mkdir()
    with (tmp_path / "errors").open("wb") as errors:
        process, said = spawn("gan_bench.execution.workers.worker", (), errors, os.environ)
    said.close()
    with process:
        process.stdin.write(job.to_json() + "\n")
        process.stdin.flush()
        assert process.wait(HANG) == 0, (tmp_path / "errors").read_text()
    record = Earlier(RecordDirectory.of(tmp_path, trial)).record
    assert (record.status, record.failure) == (Status.INTERRUPTED, None)


@pytest.mark.slow
def test_the_tasks_of_an_array_share_a_suite(tmp_path):
    """As a queue starts them, one of them killed: the others go on, and a second array does the rest."""
    suite, results = tmp_path / "tiny.yaml", tmp_path / "results"
    suite.write_text(SUITE.replace("300", "30").replace("[0, 1]", "[0, 1, 2, 3]"))
    script = Path(__file__).parents[2] / "benchmarks" / "slurm" / "array.sh"
    program = tmp_path / "gan-bench"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gan_bench "$@"\n')
    program.chmod(0o755)
    asked = {"SUITE": suite, "RESULTS": results, "GAN_BENCH": program, "SLURM_CPUS_PER_TASK": 1}
    environment = {**os.environ, **{name: str(value) for name, value in asked.items()}}

    def array(size):
        out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return [subprocess.Popen(["bash", script], env=environment, **out) for _ in range(size)]

    first, second = array(2)
    wait_for(lambda: len(list(results.glob("*/*/checkpoint.pt"))) == 2)
    first.kill()  # the script became the program
    first.communicate()
    said = second.communicate(timeout=HANG)[0]
    assert second.returncode == 0, said
    (last,) = array(1)
    rest = last.communicate(timeout=HANG)[0]
    assert last.returncode == 0, rest
    assert "4 of 4 trials done" in rest
    assert not (results / "report").exists()
    assert not list(tmp_path.rglob("mlflow.db"))
    assert_whole(results)
    started = [line.split(":")[0].partition("] ")[2] for line in (said + rest).splitlines() if line[:1] == "["]
    assert len(started) == len(set(started)) <= 4


def test_processes_that_share_a_suite_may_not_start_it_afresh(tmp_path):
    rival = start(tmp_path, "--join", "--fresh", python=warm.command("gan_bench"))
    said = rival.communicate(timeout=HANG)[0]
    assert rival.returncode == 2, said
    assert "--join and --fresh do not go together" in said


def test_who_shares_a_suite_reads_what_makes_its_report(tmp_path):
    results = train_small(tmp_path)
    join = ("run", tmp_path / "small.yaml", "--join", "--results", results, "--profile", "full")
    done = gan_bench(*join, "--tracking-uri", "http://127.0.0.1:1", "--no-estimate")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-2:] == [
        "0 trials of this process; of all, 4 of 4 trials done",
        f"Once all have ended, `gan-bench report {results}` makes the report; `gan-bench sync {results} --tracking-uri "
        "http://127.0.0.1:1` brings them to MLflow.",
    ]
    assert "MLflow" not in gan_bench(*join, "--no-tracking", "--no-estimate").stdout.splitlines()[-1]


def test_what_failed_anew_is_not_tried_again_by_everybody(tmp_path):
    trial = digits_trial()
    directory, _ = run(tmp_path, trial)
    policy = Policy(retry_failed=True)
    edit(directory.record, status="failed", reason="of an earlier run")
    work = Work(trials=[trial], results=tmp_path / "results", policy=policy)
    assert not work.finished_elsewhere(trial)
    edit(directory.record, status="failed", reason="of another process, just now")
    assert work.finished_elsewhere(trial)
    edit(directory.record, status="interrupted", reason="of another process, just now")
    assert not work.finished_elsewhere(trial)


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_results_that_are_renamed_meanwhile_end_the_run_and_are_not_begun_anew(tmp_path, executor):
    """The run went on in a new folder, without a plan, and what had been declared was lost."""
    suite, results = tmp_path / "tiny.yaml", tmp_path / "results"
    forked = warm.command("gan_bench")
    process = start(tmp_path, "--executor", executor, "--no-tracking", epochs=3000, python=forked)
    wait_for(lambda: any(results.glob("tiny/*/history.jsonl")), process)
    results.rename(tmp_path / "renamed")
    said, _ = process.communicate(timeout=HANG)
    assert process.returncode == 2, said
    assert f"error: {results}/tiny/plan.json was removed or renamed while the suite ran" in said
    assert not results.exists()
    (tmp_path / "renamed").rename(results)
    planned = gan_bench("run", suite, "--results", results, "--dry-run").stdout
    rows = re.findall(r"^  (\S.*?)  +mnist.*?, seeds? \S+$", planned, re.M)  # one more where one has a checkpoint
    assert rows, planned
    assert not {*rows} & {"finished", "failed", "diverged"}, "they are not taken for ended"


def test_the_first_fault_is_the_reason_where_a_record_cannot_be_written_either(tmp_path, monkeypatch):
    """A folder that could not be made was said to have been removed."""

    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted", str(tmp_path))

    for name in ("write_trial", "finish"):
        monkeypatch.setattr(writer, name, refuse)
    _, record = run(tmp_path, digits_trial())
    assert (record.status, record.failure) == (Status.FAILED, Failure.CRASH)
    assert "Operation not permitted" in record.reason
    assert record.reason.endswith("(nor can its record be written)")


@pytest.mark.parametrize("first", ["write_trial", "finish"], ids=["while training", "at the end"])
def test_a_full_disk_that_takes_no_record_is_the_reason(tmp_path, monkeypatch, first):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    for name in {first, "finish"}:
        monkeypatch.setattr(writer, name, refuse)
    _, record = run(tmp_path, digits_trial())
    assert (record.status, record.failure) == (Status.FAILED, Failure.DISK_FULL)
    assert f"no space left at {tmp_path}; free some and run with --retry-failed" in record.reason


def test_two_runners_share_a_suite(tmp_path):
    """Neither repeats what the other did, and both say what became of it."""
    forked = warm.command("gan_bench")
    rivals = [start(tmp_path, "--executor", "inline", epochs=5, python=forked) for _ in range(2)]
    said = [rival.communicate(timeout=HANG)[0] for rival in rivals]
    assert {rival.returncode for rival in rivals} <= {0, 1}, said
    assert any(rival.returncode == 0 for rival in rivals), said
    begun = Counter(line.split("] ")[1].split(":")[0] for text in said for line in text.splitlines() if line[:1] == "[")
    assert set(begun.values()) == {1}, said
    assert len(begun) == 2
    assert_whole(tmp_path / "results")
    gan_bench("sync", tmp_path / "results")
    runs = mlflow_runs(tmp_path / "results", "tiny")
    assert [run["status"] for run in runs] == ["FINISHED"] * 2
    assert len({run["trial"] for run in runs}) == 2


# ---------------------------------------------------------------------------------------------------- clocks


def test_a_clock_that_steps_back_changes_nothing(tmp_path, monkeypatch):
    trial = digits_trial()
    undisturbed, _ = run(tmp_path, trial, "whole")

    class Earlier(datetime):
        steps = 0

        @classmethod
        def now(cls, tz=None):
            cls.steps += 1
            return datetime.now(tz) - timedelta(hours=cls.steps)

    real = time.time
    steps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: real() - 3600 * next(steps))
    monkeypatch.setattr(environment, "datetime", Earlier)
    run(tmp_path, trial, stop=stop_after(6))
    directory, record = run(tmp_path, trial)
    assert record.train_seconds >= 0
    assert bits(directory) == bits(undisturbed)
    assert_whole(tmp_path / "results")


# ---------------------------------------------------------------------------------------------------- verify


def test_verify_finds_what_was_changed(tmp_path):
    trial = digits_trial()
    directory, _ = run(tmp_path, trial)

    def faults():
        (verdict,) = (each for each in verify(tmp_path / "results") if each.checked)
        return " ".join(verdict.faults)

    assert faults() == ""
    for name in (
        "history.jsonl",
        "evaluations.jsonl",
        "samples/epoch-0001.png",
        "generator.safetensors",
        "environment.json",
    ):
        path = directory.path / name
        before = path.read_bytes()
        path.write_bytes(before.replace(b"1", b"2", 1))
        assert f"{name} has changed" in faults() or f"{name} is damaged" in faults(), name
        path.write_bytes(before)
    config = json.loads(directory.trial.read_text())["config"]
    before = directory.trial.read_text()
    edit(directory.trial, config={**config, "lr_g": 2e-4})
    assert "is not that of its config" in faults()
    directory.trial.write_text(before)
    (directory.path / "samples" / "epoch-0002.png").unlink()
    assert "is gone" in faults()


def test_verify_finds_doubled_and_missing_lines(tmp_path):
    directory, record = run(tmp_path, digits_trial())
    path = directory.path / "history.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for changed in (lines[:-1], [*lines, lines[-1]], lines[1:]):
        path.write_text("".join(changed))
        writer.finish(directory, record)  # with digests that fit
        (verdict,) = (each for each in verify(tmp_path / "results") if each.checked)
        assert verdict.faults, changed


# ---------------------------------------------------------------------------------------------------- tracking


@pytest.fixture
def server(tmp_path):
    """A tracking server of its own, in a process group that can be stopped and killed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--artifacts-destination", str(tmp_path / "art"),
    ]  # fmt: skip
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, cwd=tmp_path, env={**os.environ, **quiet}
        )

    def answers():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        except OSError:
            return False

    wait_for(answers)
    yield f"http://127.0.0.1:{port}", lambda number: os.killpg(process.pid, number)
    for number in (signal.SIGCONT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
    process.wait()


@pytest.mark.slow
def test_a_server_that_hangs_and_one_that_dies_cost_training_nothing(tmp_path, server):
    uri, kill = server
    results = tmp_path / "results"
    first = start(tmp_path, "--tracking-uri", uri, "--seeds", "0", epochs=60)
    wait_for(lambda: any(p.stat().st_size > 2000 for p in results.glob("*/*/history.jsonl")))
    kill(signal.SIGSTOP)
    said, _ = first.communicate(timeout=HANG)
    assert first.returncode == 0, said
    assert "MLflow lacks 1 of 1 run" in said
    assert "completes it" in said
    kill(signal.SIGCONT)
    repaired = gan_bench("sync", results, "--tracking-uri", uri)
    assert "1 run up to date" in repaired.stdout, repaired.stderr

    second = start(tmp_path, "--tracking-uri", uri, "--seeds", "1", epochs=60)
    wait_for(lambda: len(list(results.glob("*/*/history.jsonl"))) == 2)
    kill(signal.SIGKILL)
    said, _ = second.communicate(timeout=HANG)
    assert second.returncode == 0, said
    assert re.search(r"MLflow lacks [12] of 2 runs and the answer: ", said), (
        said
    )  # of the first, it may have heard before
    assert {s.record["status"] for s in scan(results) if isinstance(s, StoredTrial)} == {"done"}
    local = gan_bench("sync", results)
    assert "2 runs up to date" in local.stdout
    runs = mlflow_runs(results, "tiny")
    assert [run["status"] for run in runs] == ["FINISHED"] * 2
    assert {len(run["steps"]) for run in runs} == {30}, "a point for every two epochs"


@pytest.mark.parametrize(
    ("error", "failure", "said"),
    [
        (OSError(errno.ENOSPC, "No space left"), Failure.DISK_FULL, "no space left at {place}; free some"),
        (OSError(errno.ENOSPC, "No space left", "file"), Failure.DISK_FULL, "no space left at file; free some"),
        (FileNotFoundError(errno.ENOENT, "gone", "x"), Failure.CRASH, "{place} was removed while the trial ran"),
    ],
)
def test_what_the_system_refused_is_said_with_its_place(tmp_path, error, failure, said):
    place = tmp_path / "gone"
    status, found, reason = classify(error, torch.device("cpu"), place)
    assert (status, found) == (Status.FAILED, failure)
    assert said.format(place=place) in reason
