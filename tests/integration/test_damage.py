"""Damaged records: every damage is found, named and healed, and never stops a whole command."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
import torch
from support.commands import HANG, gan_bench, python_code
from support.needs import SLOW, slow
from support.records import bits, edit
from support.runs import READY, context, decision_on, is_finished, run, sites, stop_after, train, train_in_processes
from support.suites import train_small
from support.trials import digits_trial

import gan_bench as gb
from gan_bench.core.errors import DamagedError, DiskFullError, RecordError, UnreadableError, UserError
from gan_bench.execution.trial import checkpoints
from gan_bench.execution.trial.claim import claim_and_run
from gan_bench.execution.trial.decision import Action, Policy
from gan_bench.execution.trial.events import Started, ignore
from gan_bench.execution.workers import pool as worker_pool
from gan_bench.execution.workers.inline import run_alone
from gan_bench.execution.workers.work import Work, write_lost
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.folders import scan
from gan_bench.records.layout import DAMAGED, RecordDirectory
from gan_bench.records.lock import Lock
from gan_bench.records.plan import write_plan
from gan_bench.records.reader import StoredTrial, read_trial
from gan_bench.records.record import Failure, Status, TrialRecord
from gan_bench.records.shared import read_baselines, write_baselines
from gan_bench.records.verify import verify
from gan_bench.report.build import build_report

FILES = (
    *("trial.json", "environment.json", "record.json", "history.jsonl", "evaluations.jsonl"),
    *("generator.safetensors", "samples/epoch-0001.png"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    trial = digits_trial()
    run(folder, trial)
    write_plan(folder / "results", "test", 1, [trial])
    return folder / "results", trial


@pytest.fixture
def finished(trained, tmp_path):
    """A results folder with one finished trial that may be damaged."""
    shutil.copytree(trained[0], tmp_path / "results")
    return tmp_path / "results", trained[1], RecordDirectory.of(tmp_path / "results", trained[1])


def gone(path):
    path.unlink()


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def folder(path):
    path.unlink()
    path.mkdir()


def link_loop(path):
    path.unlink()
    path.symlink_to(path.name)


def link_elsewhere(path):
    other = path.parent / "elsewhere"
    path.rename(other)
    path.symlink_to(other)


EVERYWHERE, OTHER = (gone, flipped), (cut, folder, link_loop, link_elsewhere)
"""Damages that are done to every file, and those that are done to the end and the history alone by default."""
VITAL = ("record.json", "history.jsonl")


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        *product(EVERYWHERE, FILES),
        *product(OTHER, VITAL),
        *slow(*product(OTHER, [name for name in FILES if name not in VITAL])),
    ],
)
def test_every_damage_is_found_and_a_run_heals_it(finished, name, damage):
    results, trial, directory = finished
    before = bits(directory)
    damage(directory.path / name)
    assert not is_finished(results, trial)
    if name != "record.json" or damage is not gone:  # without its end a trial is simply not over
        assert [verdict for verdict in verify(results) if verdict.faults]
        assert Earlier(directory).damage() or Earlier(directory).status is None
    build_report(results, html=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without its end, that of a trial with a generator is gone
        (record,) = train(results, [trial], context()).records.values()
    assert record.status is Status.DONE
    assert bits(directory) == before
    assert is_finished(results, trial)
    (kept,) = (results / "test" / ".damaged").glob("*--*")
    assert kept.name == directory.path.name
    assert len(list(kept.rglob("*"))) >= len(FILES), "nothing of what was there is deleted"


def test_every_bit_of_the_small_files_counts(finished):
    """No flip of one bit in a record's end, its plan or its baselines passes unseen."""
    results, _, directory = finished
    score = {"name": "fid[x,train,64]", "metric": "fid", "value": 1.5, "std": None, "extractor": "x", "split": "train"}
    row = {"dataset": "digits", "image_size": 28, "samples": 64, "pictures": 64, "what": "held-out images"}
    write_baselines(results, "test", 1, [{**row, "scores": [{**score, "real": 9, "generated": 64}]}])
    unseen = []
    for path in (directory.record, results / "test" / "plan.json", results / "test" / "anchors.json"):
        content = path.read_bytes()
        for position in range(0, len(content), 3 if SLOW else 11):
            changed = bytearray(content)
            changed[position] ^= 1 << position % 8
            path.write_bytes(changed)
            if json_or_none(content) != json_or_none(bytes(changed)) and not any(v.faults for v in verify(results)):
                unseen.append((path.name, position))
        path.write_bytes(content)
    assert unseen == []


def json_or_none(content):
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_one_damaged_trial_does_not_hide_the_others(finished):
    results, trial, directory = finished
    other = replace(trial, config=replace(trial.config, seed=1))
    train(results, [other], context())
    write_plan(results, "test", 1, [trial, other])
    directory.history.unlink()
    directory.history.mkdir()
    found = list(scan(results))
    assert [type(item) for item in found] == [DamagedError, StoredTrial, StoredTrial]
    assert "history.jsonl" in str(found[2].fault)
    table = build_report(results, html=False).tables[0].rows
    assert sorted(table["status"]) == ["damaged", "done"]


@pytest.mark.parametrize("ended", [True, False])
def test_a_record_of_another_trial_is_set_aside_and_the_trial_trained(finished, ended):
    results, trial, directory = finished
    other = replace(trial, config=replace(trial.config, seed=1))
    there = shutil.copytree(directory.path, RecordDirectory.of(results, other).path)
    if not ended:
        (there / "record.json").unlink()
    write_plan(results, "test", 1, [trial, other])
    train(results, [trial, other], context())
    assert sorted(stored.trial["config"]["seed"] for stored in scan(results)) == [0, 1]
    assert [path.name for path in (results / "test/.damaged").glob("*--*")] == [there.name]


def test_a_score_changed_before_a_checkpoint_is_not_resumed_from(tmp_path):
    """A false FID written into an interrupted trial ended in the tables as its best."""
    trial = digits_trial(epochs=3)
    undisturbed, _ = run(tmp_path, trial, "whole")
    directory, _ = run(tmp_path, trial, stop=stop_after(12))
    content = directory.evaluations.read_text()
    assert '"value":' in content
    line = json.loads(content.splitlines()[0])
    line["scores"][0]["value"] = 0.001
    lines = [json.dumps(line), *content.splitlines()[1:]]
    directory.evaluations.write_text("\n".join(lines) + "\n")
    with pytest.warns(
        RuntimeWarning,
        match=r"no checkpoint fits, as \S+evaluations.jsonl is not what it was when .* training from the start",
    ):
        directory, record = run(tmp_path, trial)
    assert record.status is Status.DONE
    assert bits(directory) == bits(undisturbed)


def test_without_its_environment_an_interrupted_trial_is_damaged(tmp_path):
    """Nothing says what its checkpoint is of; it was called interrupted on the device None."""
    trial = digits_trial(epochs=3)
    undisturbed, _ = run(tmp_path, trial, "whole")
    directory, _ = run(tmp_path, trial, stop=stop_after(12))
    directory.environment.unlink()
    decision = decision_on(tmp_path / "results", trial)
    assert (decision.why, decision.keep) == (f"{directory.environment} is gone", ".damaged")
    records = train(tmp_path / "results", [trial], context()).records
    assert records[trial.id].status is Status.DONE
    assert bits(directory) == bits(undisturbed)
    assert list(tmp_path.glob("results/*/.damaged/*/checkpoint.pt"))


def test_a_finished_training_without_its_end_is_kept(finished):
    """With the generator gone too, its history, scores and samples were deleted as the beginning of a killed run."""
    results, trial, directory = finished
    before = {path.name: path.read_bytes() for path in (directory.history, directory.evaluations, directory.sample(1))}
    directory.record.unlink()
    for path in directory.path.glob("generator*"):
        path.unlink()
    with pytest.warns(
        RuntimeWarning, match=r"history tells of \d+ epochs?, and it has no checkpoint; training from the start"
    ):
        train(results, [trial], context())
    (kept,) = results.glob("*/.damaged/*--*")
    assert {path.name: path.read_bytes() for path in kept.rglob("*") if path.name in before} == before


@pytest.mark.parametrize("gone", ["record.json", "checkpoint.pt"])
def test_what_a_run_would_put_aside_is_not_whole(finished, tmp_path, gone):
    """Of a training that had lost its end, or its checkpoint, it was said that every record is whole."""
    results, _, directory = finished
    said = "record.json is gone; the next run keeps it in .damaged and trains the trial"
    if gone == "checkpoint.pt":
        results, said = (
            tmp_path / "stopped",
            "its checkpoint is gone; the next run keeps it in .damaged and trains the trial",
        )
        directory, _ = run(tmp_path, digits_trial(epochs=3, seed=7), "stopped", stop=stop_after(12))
        assert [verdict.faults for verdict in verify(results) if verdict.checked] == [()]
    for path in directory.path.glob(f"{gone}*"):
        path.unlink()
    assert [verdict.faults for verdict in verify(results) if verdict.checked] == [(said,)]


@pytest.mark.parametrize("end", [None, "failed"])
@pytest.mark.parametrize(("lines", "kept"), [(0, False), (1, False), (2, True), ("{", True)])
def test_what_a_killed_run_began_goes_and_what_is_more_is_kept(tmp_path, lines, kept, end):
    """A run writes a checkpoint after its first epoch: two epochs without one are no beginning."""
    trial = digits_trial(epochs=3)
    directory, _ = run(tmp_path, trial)
    for path in (directory.record, *directory.path.glob("generator*"), *directory.path.glob("checkpoint*")):
        path.unlink()
    if end:
        writer.fail(directory, trial, TrialRecord(status=Status.FAILED, reason="lost", failure=Failure.CRASH, steps=1))
    epochs = [line for line in directory.history.read_text().splitlines(keepends=True) if '"kind":"epoch"' in line]
    directory.history.write_text("{\n" + epochs[0] if lines == "{" else "".join(epochs[:lines]))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        policy = Policy(retry_failed=True)
        records = train(tmp_path / "results", [trial], context(), ignore, policy).records
    assert records[trial.id].status is Status.DONE
    assert bool(list(tmp_path.glob("results/*/.damaged/*"))) is kept
    assert any("training from the start" in str(each.message) for each in said) is kept


# ------------------------------------------------------------------------------------------------------ --fresh


def test_a_kill_while_a_record_is_cleared_leaves_no_half_of_it(finished, monkeypatch):
    results, trial, directory = finished

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        writer.clear(directory)
    monkeypatch.undo()
    assert not directory.path.exists()
    assert not is_finished(results, trial)
    (record,) = train(results, [trial], context()).records.values()
    assert record.status is Status.DONE
    writer.clear(directory)
    assert not list((results / "test").glob(".*.aside"))


def test_fresh_ignores_what_started_before_and_keeps_what_started_since(finished):
    results, trial, directory = finished
    other = replace(trial, config=replace(trial.config, seed=1))
    writer.finish(directory, replace(run_record(directory), train_seconds=1.0))
    policy = Policy().fresh(results, [trial, other])
    train(results, [other], context())
    assert not is_finished(results, trial, policy)
    assert is_finished(results, other, policy)
    records = train(results, [trial, other], context(), ignore, policy).records
    assert list(records) == [trial.id]
    assert is_finished(results, trial, policy)


@pytest.mark.parametrize("seconds", [-7200, 5, 300, 7200])
def test_fresh_ignores_what_is_there_whatever_its_clock_said(finished, seconds):
    """By a clock that was ahead it was taken for what the run itself had begun, and kept without a word."""
    results, trial, directory = finished
    began = datetime.now(UTC) + timedelta(seconds=seconds)
    edit(directory.environment, started=began.isoformat(timespec="milliseconds"))
    writer.finish(directory, run_record(directory))
    assert is_finished(results, trial)
    policy = Policy().fresh(results, [trial])
    assert not is_finished(results, trial, policy)
    train(results, [trial], context(), ignore, policy)
    assert is_finished(results, trial, policy), "its own record is no earlier one"
    edit(directory.environment, started="2026-01-01T00:00:00.000+00:00")
    writer.finish(directory, run_record(directory))
    assert is_finished(results, trial, policy), "also where the clock of its machine is behind"


def test_a_trial_that_a_full_disk_lets_not_begin_has_failed_of_it(finished, monkeypatch):
    results, trial, _ = finished

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Lock, "acquire", full)
    other = replace(trial, config=replace(trial.config, seed=1))
    record = train(results, [other], context()).records[other.id]
    assert record.failure is Failure.DISK_FULL
    assert record.reason.endswith("; free some and run with --retry-failed")


def test_a_full_disk_without_room_for_a_lock_fails_a_trial_and_not_the_run(finished, monkeypatch):
    results, trial, _ = finished
    other = replace(trial, config=replace(trial.config, seed=1))
    real = Lock.acquire

    def full(lock, *arguments):
        if lock.file.stem == other.id[:8]:
            raise DiskFullError("no space left at .locks (bytes or files); free some")
        return real(lock, *arguments)

    monkeypatch.setattr(Lock, "acquire", full)
    third = replace(trial, config=replace(trial.config, seed=2))
    records = train(results, [other, third], context()).records
    assert (records[other.id].status, records[other.id].failure) == (Status.FAILED, Failure.DISK_FULL)
    assert records[third.id].status is Status.DONE
    lost = write_lost(Work(trials=[other], results=results), other, "the worker died")
    assert lost.failure is Failure.DISK_FULL
    assert lost.reason == "the worker died; no space left at .locks (bytes or files); free some"


@pytest.mark.parametrize("asked", ["afresh", "other images"])
def test_a_worker_that_dies_before_it_begins_leaves_the_end_of_an_earlier_run(finished, monkeypatch, asked):
    """It reads images then, which take memory, and may be away: every finished trial of a suite had "failed"."""
    results, trial, directory = finished
    policy = Policy().fresh(results, [trial]) if asked == "afresh" else Policy()
    before, real = bits(directory), subprocess.Popen
    dies = [sys.executable, "-c", f"{READY}os.kill(os.getpid(), 9)"]
    monkeypatch.setattr(worker_pool.subprocess, "Popen", lambda _, **options: real(dies, **options))
    record = train_in_processes(results, [trial], context(), ignore, policy, sites("cpu")).records[trial.id]
    assert (record.status, record.failure) == (Status.FAILED, Failure.CRASH)
    assert "killed by SIGKILL" in record.reason
    assert record.reason.endswith("; it had not begun, and its earlier record stays as it was")
    assert bits(directory) == before
    monkeypatch.undo()
    if asked == "other images":
        assert is_finished(results, trial, policy), "when the images are back"


KILLED_WORKERS = """
import os, signal, sys
if "gan_bench.execution.workers.worker" in sys.orig_argv:
    os.kill(os.getpid(), signal.SIGKILL)
"""


STARTING = """
import os, sys
from gan_bench.cli.app import main
os.environ["PYTHONPATH"] = os.pathsep.join([sys.argv.pop(1), os.environ.get("PYTHONPATH", "")])  # of its children
main(sys.argv[1:])
"""


@pytest.mark.starts_children
def test_a_run_whose_workers_die_early_fails_though_earlier_records_stay(tmp_path):
    """The old scores were shown as those of the run, and its exit code was 0."""
    (tmp_path / "sitecustomize.py").write_text(KILLED_WORKERS)
    words = ["run", "quickstart", "--results", tmp_path / "r", "--only", "lr=0.001", "--seeds", "0"]
    words += ["--epochs", "1", "--train-limit", "100", "--samples", "64", "--no-tracking"]
    assert gan_bench(*words, "--executor", "inline").returncode == 0
    (record,) = (tmp_path / "r").glob("quickstart/*/record.json")
    before = record.read_bytes()
    done = python_code(STARTING, tmp_path, *words, "--executor", "processes", "--workers", "1", "--fresh")
    assert done.returncode == 2, done.stdout
    said = " ".join(done.stderr.split())
    assert "no trial runs in a worker on cpu: the worker process was killed by SIGKILL" in said
    assert "no other worker is left, and the same command continues" in said
    assert record.read_bytes() == before


def test_a_lost_worker_promises_no_checkpoint_that_is_not_there(finished):
    results, trial, _ = finished
    other = replace(trial, config=replace(trial.config, seed=1))
    assert write_lost(Work(trials=[other], results=results), other, "the worker died").reason == "the worker died"
    third = replace(trial, config=replace(trial.config, seed=2))
    directory = RecordDirectory.of(results, third)
    directory.path.mkdir()
    directory.checkpoint.write_bytes(b"")
    shutil.copy(RecordDirectory.of(results, trial).environment, directory.environment)
    lost = write_lost(Work(trials=[third], results=results), third, "the worker died")
    assert lost.reason == "the worker died; --retry-failed continues from its checkpoint"


def run_record(directory):
    from gan_bench.records.earlier import Earlier

    return Earlier(directory).record


def test_an_interrupted_fresh_run_keeps_what_it_did_not_reach(finished):
    results, trial, directory = finished
    before = bits(directory)
    policy = Policy().fresh(results, [trial])
    train(results, [trial], context(stop=lambda: True), ignore, policy)
    assert bits(directory) == before


@pytest.mark.parametrize("name", ["notes.txt", "mine/a.png", "samples/mine.png"])
def test_fresh_deletes_no_file_of_a_user_s_own(finished, name):
    results, trial, directory = finished
    mine = directory.path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    train(results, [trial], context(), ignore, Policy().fresh(results, [trial]))
    assert Earlier(directory).status is Status.DONE
    assert not mine.exists()
    assert (directory.path.parent / ".damaged" / directory.path.name / name).read_text() == "mine"


def test_fail_fast_under_fresh_keeps_the_ends_of_earlier_runs(finished):
    """Nothing replaced them, so a row that says skipped would only lose them."""
    results, trial, directory = finished
    broken = replace(trial, config=replace(trial.config, seed=1))
    policy = Policy(fail_fast=True, time_limit=1e-6).fresh(results, [trial])
    records = train(results, [broken, trial], context(), ignore, policy).records
    assert records[broken.id].status is Status.FAILED
    assert Earlier(directory).status is Status.DONE
    other = replace(trial, config=replace(trial.config, seed=2))
    records = train(results, [broken, other], context(), ignore, policy.fresh(results, [broken])).records
    assert (records[other.id].status, records[other.id].reason) == (
        Status.SKIPPED,
        "not run: --fail-fast, and a trial failed",
    )


def test_fail_fast_writes_no_row_over_what_is_damaged(finished):
    results, trial, directory = finished
    damaged = directory.record.read_bytes()[:-40]
    directory.record.write_bytes(damaged)
    broken = replace(trial, config=replace(trial.config, seed=1))
    records = train(results, [broken, trial], context(), ignore, Policy(fail_fast=True, time_limit=1e-6)).records
    assert (records[trial.id].status, records[trial.id].reason) == (
        Status.SKIPPED,
        "not run: --fail-fast, and a trial failed",
    )
    assert directory.record.read_bytes() == damaged
    assert any("record.json is damaged" in fault for verdict in verify(results) for fault in verdict.faults)
    writer.skip(directory, trial, "as an earlier version wrote it there")
    (faults,) = (verdict.faults for verdict in verify(results) if verdict.faults)
    generator = "it is recorded as skipped, and its generator is that of a whole training"
    assert faults == (f"{generator}; the next run keeps it in .damaged and trains the trial",)
    assert decision_on(results, trial).keep == DAMAGED


def test_fail_fast_leaves_the_unfinished_record_of_another_trial_alone(tmp_path):
    first, other, broken = digits_trial(), digits_trial(2), digits_trial(1)
    source, _ = run(tmp_path, first, stop=stop_after(8))
    directory = RecordDirectory.of(tmp_path / "results", other)
    shutil.copytree(source.path, directory.path)
    before = {path.name: path.read_bytes() for path in directory.path.iterdir() if path.is_file()}
    train(tmp_path / "results", [broken, other], context(), ignore, Policy(fail_fast=True, time_limit=1e-6))
    assert {path.name: path.read_bytes() for path in directory.path.iterdir() if path.is_file()} == before


def test_a_row_that_fail_fast_cannot_write_ends_no_run(tmp_path, monkeypatch):
    """The rows of the others are written, and the report is made."""
    trials = [digits_trial(seed) for seed in range(3)]
    real = writer.write_trial

    def full(directory, trial):
        if trial is trials[1]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(directory, trial)

    monkeypatch.setattr(writer, "write_trial", full)
    records = train(tmp_path, trials, context(), ignore, Policy(fail_fast=True, time_limit=1e-6)).records
    assert [records[trial.id].status for trial in trials] == [Status.FAILED, Status.SKIPPED, Status.SKIPPED]
    assert "Input/output error" in records[trials[1].id].reason
    assert Earlier(RecordDirectory.of(tmp_path, trials[2])).status is Status.SKIPPED


def test_the_row_of_a_lost_worker_is_not_written_over_what_is_damaged(finished):
    results, trial, directory = finished
    damaged = directory.record.read_bytes()[:-40]
    directory.record.write_bytes(damaged)
    lost = write_lost(Work(trials=[trial], results=results), trial, "the worker died")
    assert (lost.status, lost.reason) == (
        Status.FAILED,
        "the worker died; what is there stays as it was",
    )
    assert directory.record.read_bytes() == damaged


def test_a_worker_that_dies_before_it_replaces_an_end_does_not_report_it(finished, monkeypatch):
    results, trial, directory = finished
    edit(directory.environment, data_sha256="0" * 64)
    writer.finish(directory, run_record(directory))
    real = subprocess.Popen
    dies = [sys.executable, "-c", f"{READY}sys.exit(3)"]
    monkeypatch.setattr(worker_pool.subprocess, "Popen", lambda _, **options: real(dies, **options))
    pool = sites("cpu")
    (record,) = train_in_processes(results, [trial], context(), ignore, Policy(), pool).records.values()
    assert record.status is Status.FAILED
    assert "ended with code 3" in record.reason


def test_a_stop_before_a_trial_starts_clears_nothing(finished):
    results, trial, directory = finished
    before = bits(directory)
    edit(directory.environment, data_sha256="0" * 64)
    writer.finish(directory, run_record(directory))
    claim = run_alone(claim_and_run(trial, results, context(stop=lambda: True), ignore, Policy()))
    assert claim is None
    assert bits(directory)[1:] == before[1:]


@pytest.mark.parametrize("name", ["record.json", "environment.json", "trial.json"])
def test_a_record_of_another_version_is_neither_damaged_nor_replaced(finished, name):
    results, trial, directory = finished
    path = directory.path / name
    edit(path, schema=7, novel=[1])
    before = {file: file.read_bytes() for file in directory.path.rglob("*") if file.is_file()}
    decision = decision_on(results, trial)
    assert decision.action is Action.REFUSE
    assert "has record version 7, and this gan_bench reads 1" in decision.why
    claim = run_alone(claim_and_run(trial, results, context(), ignore, Policy()))
    assert claim.reason == decision.why
    (left_out,) = build_report(results, html=False).unreadable
    assert left_out.startswith(f"unreadable: {path} has record version 7")
    assert {file: file.read_bytes() for file in directory.path.rglob("*") if file.is_file()} == before


def test_an_unfinished_trial_of_another_version_is_left_alone(finished):
    results, trial, directory = finished
    for path in (directory.record, directory.weights, directory.checkpoint):
        path.unlink(missing_ok=True)
    edit(directory.trial, schema=7, novel=[1])
    before = directory.trial.read_bytes()
    for policy in (Policy(), Policy().fresh(results, [trial])):
        assert "has record version 7" in (decision_on(results, trial, policy).why or "")
        claim = run_alone(claim_and_run(trial, results, context(), ignore, policy))
        assert "has record version 7" in claim.reason
    assert directory.trial.read_bytes() == before


def test_the_real_images_scores_of_another_version_hide_no_forgery(finished):
    """``verify`` left the whole suite out, and ``audit`` called it contradicted."""
    results, _, directory = finished
    write_baselines(results, directory.path.parent.name, 1, [])
    edit(directory.path.parent / "anchors.json", schema=7)
    text = directory.evaluations.read_bytes()
    directory.evaluations.write_bytes(text.replace(b'"epoch":1', b'"epoch": 1', 1))
    shared, record = verify(results)
    assert (shared.unreadable, "has record version 7" in shared.faults[0]) == (True, True)
    assert record.faults
    assert not record.unreadable


@pytest.mark.parametrize(("name", "schema"), [("plan.json", 10**4000), ("anchors.json", 2)])
def test_a_run_says_at_once_that_another_version_wrote_a_shared_file(tmp_path, name, schema):
    """It scored the real images first, and wrote a new plan."""
    results = train_small(tmp_path)
    for path in results.glob("small/*seed=1*"):
        shutil.rmtree(path)
    edit(results / "small" / name, schema=schema)
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"has record version \d{1,20}, and this gan_bench reads 1;") as caught:
        gb.run(tmp_path / "small.yaml", results=results, executor="inline", profile="full")
    assert len(str(caught.value)) < 400
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["plan.json", "anchors.json"])
def test_a_shared_file_of_another_version_is_not_set_aside(tmp_path, name):
    """A plan of another version was moved away as damaged, and a new one declared other looks."""
    trial = digits_trial()
    write_plan(tmp_path, "test", 1, [trial])
    write_baselines(tmp_path, "test", 1, [])
    path = tmp_path / "test" / name
    edit(path, schema=7)
    before = path.read_bytes()
    write, rows = (write_plan, [trial]) if name == "plan.json" else (write_baselines, [])
    with pytest.raises(UnreadableError, match="has record version 7"):
        write(tmp_path, "test", 1, rows)
    assert path.read_bytes() == before
    assert not (tmp_path / "test" / ".damaged").exists()


# ---------------------------------------------------------------------------------------------- shared files


def test_a_damaged_row_of_a_plan_is_not_sealed(tmp_path):
    trial, other = digits_trial(0), digits_trial(1)
    write_plan(tmp_path, "test", 1, [trial])
    path = tmp_path / "test" / "plan.json"
    (row,) = json.loads(path.read_text())["trials"]
    edit(path, trials=[{**row, "config": {**row["config"], "batch_size": 7}}])
    assert isinstance(next(scan(tmp_path)), RecordError)
    write_plan(tmp_path, "test", 1, [other])
    assert [stored.trial["id"] for stored in scan(tmp_path)] == [other.id]


def test_simultaneous_plans_lose_no_row(tmp_path):
    code = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from support.suites import train_small
from support.trials import digits_trial
from gan_bench.records.plan import write_plan
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + 10):
    write_plan(Path(sys.argv[1]), "test", 1, [digits_trial(seed)])
"""
    tests = str(Path(__file__).parents[1])
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(first), tests]) for first in range(0, 40, 10)
    ]
    assert [process.wait(HANG) for process in processes] == [0] * 4
    assert len(list(scan(tmp_path))) == 40


def test_baselines_of_another_extractor_are_kept(tmp_path):
    row = {"dataset": "digits", "image_size": 28, "samples": 64, "pictures": 64, "what": "x", "data_sha256": "a"}

    def score(extractor, value):
        return {
            "name": f"fid[{extractor},train,64]", "metric": "fid", "value": value, "std": None,
            "extractor": extractor, "split": "train", "real": 9, "generated": 64,
        }  # fmt: skip

    write_baselines(tmp_path, "test", 1, [{**row, "scores": [score("small", 1.0), score("large", 2.0)]}])
    write_baselines(tmp_path, "test", 1, [{**row, "scores": [score("large", 3.0)]}])
    (kept,) = read_baselines(tmp_path / "test")
    assert {s["extractor"]: s["value"] for s in kept["scores"]} == {"small": 1.0, "large": 3.0}
    write_baselines(tmp_path, "test", 1, [{**row, "data_sha256": "b", "scores": [score("large", 4.0)]}])
    (kept,) = read_baselines(tmp_path / "test")
    assert {s["extractor"]: s["value"] for s in kept["scores"]} == {"large": 4.0}


# ------------------------------------------------------------------------------------------------ checkpoints


def test_two_names_of_one_checkpoint_leave_no_third(tmp_path):
    """After a kill between the two renames both names are of one file; renaming one onto another does nothing."""
    directory = RecordDirectory(tmp_path)
    checkpoints.save(directory, "0", checkpoints.Checkpoint({"a": torch.ones(3)}, {}))
    os.link(directory.checkpoint, directory.previous_checkpoint)
    checkpoints.save(directory, "0", checkpoints.Checkpoint({"a": torch.zeros(3)}, {}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "checkpoint.pt.previous"]
    newest, older = checkpoints.candidates(directory, "0")
    assert (newest.state["a"].sum(), older.state["a"].sum()) == (0, 3)


# ----------------------------------------------------------------------------------- records of earlier versions


@pytest.fixture
def earlier(tmp_path, registries):
    """What version 0.1.0 left: a finished trial, an interrupted one, and a planned one, of a small own network."""
    from torch import nn

    from gan_bench.models.architectures import ARCHITECTURES, Architecture

    class G(nn.Module):
        def __init__(self, latent_dim):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(latent_dim, 784), nn.Tanh())

        def forward(self, z):
            return self.layers(z).reshape(-1, 1, 28, 28)

    class D(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(784, 1))

        def forward(self, images):
            return self.layers(images.flatten(1)).flatten()

    entry = Architecture(description="", image_shape=(1, 28, 28), generator=G, discriminator=D)
    registries(ARCHITECTURES, tiny=entry)
    with zipfile.ZipFile(Path(__file__).parents[1] / "golden" / "records-0.1.0.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path / "results"


def test_records_of_the_first_version_are_read_reported_verified_and_resumed(earlier):
    found = list(scan(earlier))
    assert [stored.record and stored.record["status"] for stored in found] == ["done", "interrupted", None]
    assert not [verdict for verdict in verify(earlier) if verdict.faults]
    tables = {table.name: table for table in build_report(earlier, html=False).tables}
    settings = tables["test-full-digits-settings-lenet-mnist-v1-train-64"].rows
    assert settings["fid"].notna().sum() >= 3  # the setting and both baselines
    stored = read_trial(found[1].path)
    trial = digits_trial_of(stored)
    heard = []
    (record,) = train(earlier, [trial], context(engine="reference"), heard.append).records.values()
    assert record.status is Status.DONE
    assert heard[0] == Started(trial, 1)
    assert not [verdict for verdict in verify(earlier) if verdict.faults]


def digits_trial_of(stored):
    from gan_bench.config.trial import Trial, TrialConfig

    return Trial(setting=stored.trial["setting"], config=TrialConfig.from_json(stored.trial["config"]))
