"""What stands where a file of ours should be: other names of it, pipes, folders, and what killed processes left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager

import pytest
from support.commands import HANG, gan_bench
from support.needs import slow
from support.records import bits
from support.runs import context, run, stop_after, train
from support.suites import SMALL, train_small
from support.trials import digits_trial
from typer.testing import CliRunner

import gan_bench as gb
from gan_bench.cli.app import app
from gan_bench.core.atomic import open_own
from gan_bench.core.errors import UserError
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.trial.events import ignore
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.record import Status
from gan_bench.records.verify import verify
from gan_bench.tracking.database import prepare_database
from gan_bench.tracking.replay import replay
from gan_bench.tracking.server import default_uri

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A trial that was interrupted after its second checkpoint, and the same one undisturbed."""
    folder = tmp_path_factory.mktemp("stopped")
    trial = digits_trial(epochs=6)
    whole, _ = run(folder, trial, "whole")
    run(folder, trial, "results", stop=stop_after(6))
    _, record = run(folder, trial, "results", stop=stop_after(6))
    assert record.status is Status.INTERRUPTED
    return folder / "results", trial, whole


@pytest.fixture
def results(stopped, tmp_path):
    return shutil.copytree(stopped[0], tmp_path / "results")


def go_on(results, trial):
    """Run the trial on, whatever is said of what was found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(results, [trial], context(), ignore, Policy()).records[trial.id]


def test_a_backup_by_hard_links_keeps_what_it_has(stopped, results, tmp_path):
    """``cp -al`` and ``rsync --link-dest`` make such ones."""
    _, trial, whole = stopped
    backup = tmp_path / "backup"
    shutil.copytree(results, backup, copy_function=os.link)
    before = {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()}
    assert go_on(results, trial).status is Status.DONE
    assert bits(RecordDirectory.of(results, trial)) == bits(whole)
    assert {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()} == before


def test_the_database_of_such_a_backup_keeps_what_it_has(tmp_path):
    results = train_small(tmp_path)
    replay(results, default_uri(results))
    shutil.copytree(results, tmp_path / "backup", copy_function=os.link)
    before = (tmp_path / "backup" / "mlflow.db").read_bytes()
    shutil.rmtree(next((results / "small").glob("*seed=0--*")))
    replay(results, default_uri(results), "again-")
    assert (tmp_path / "backup" / "mlflow.db").read_bytes() == before


def test_an_interrupted_record_without_its_checkpoint_is_kept(stopped, results):
    _, trial, _ = stopped
    directory = RecordDirectory.of(results, trial)
    for path in directory.path.glob("checkpoint*"):
        path.unlink()
    history = directory.history.read_bytes()
    assert go_on(results, trial).status is Status.DONE
    (kept,) = (results / trial.config.suite / ".damaged").glob("*--*")
    assert (kept / "history.jsonl").read_bytes() == history


def test_a_user_s_file_in_the_beginning_of_a_record_is_kept(stopped, tmp_path):
    _, trial, _ = stopped
    directory = RecordDirectory.of(tmp_path, trial)
    directory.path.mkdir(parents=True)
    (directory.path / "notes.txt").write_text("mine")
    assert go_on(tmp_path, trial).status is Status.DONE
    (kept,) = (tmp_path / trial.config.suite / ".damaged").glob("*--*")
    assert (kept / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("what", ["folder", "pipe", "link"])
def test_a_checkpoint_that_is_no_file_is_set_aside(stopped, results, what):
    """The one before it goes on."""
    _, trial, whole = stopped
    directory = RecordDirectory.of(results, trial)
    shutil.copy(directory.checkpoint, directory.previous_checkpoint)
    replaced_by(directory.checkpoint, what)
    faults = [fault for verdict in verify(results) for fault in verdict.faults]
    assert any("checkpoint.pt" in fault for fault in faults)
    assert go_on(results, trial).status is Status.DONE
    assert bits(directory) == bits(whole)


def replaced_by(path, what):
    path.unlink(missing_ok=True)
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc/hostname")


PIPES = ("small/RECORD/history.jsonl", "small/RECORD/evaluations.jsonl", "small/RECORD/record.json",
         "small/.locks/ID.owner", "small/.locks/suite.owner", ".mlflow.log", ".gan_bench-results", "mlflow.db-journal",
         "small/suite.yaml", "small/plan.json", "small/anchors.json")  # fmt: skip


@contextmanager
def no_wait():
    """Let what waits for ever fail."""

    def fail(*_):
        pytest.fail("it waits")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.parametrize("name", [*PIPES[::3], *slow(*(name for i, name in enumerate(PIPES) if i % 3))])
def test_no_command_waits_for_a_pipe(whole, tmp_path, name):
    results = shutil.copytree(whole, tmp_path / "results")
    record = next(results.glob("small/*lr=0.0002*seed=0--*"))
    path = results / name.replace("RECORD", record.name).replace("ID", record.name[-8:])
    replaced_by(path, "pipe")
    (tmp_path / "small.yaml").write_text(SMALL)
    with no_wait():
        for command in (("verify",), ("report", "--no-html"), *([("sync",)] if path.parent == results else [])):
            done = CliRunner().invoke(app, [command[0], str(results), *command[1:]])
            assert isinstance(done.exception, (SystemExit, UserError, type(None))), done.exception
        with contextlib.suppress(UserError):
            gb.run(tmp_path / "small.yaml", results=results, executor="inline", profile="full")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("places"))


@pytest.mark.parametrize("what", ["folder", "link"])
def test_a_lock_that_is_no_file_costs_its_own_trial_alone(whole, tmp_path, what):
    results = shutil.copytree(whole, tmp_path / "results")
    (tmp_path / "small.yaml").write_text(SMALL)
    record = next(results.glob("small/*lr=0.0002*seed=0--*"))
    (record / "record.json").write_text("no record")
    replaced_by(results / "small" / ".locks" / f"{record.name[-8:]}.lock", what)
    shutil.rmtree(next(path for path in results.glob("small/*seed=1--*") if "lr=" not in path.name))
    done = gan_bench(
        *("run", tmp_path / "small.yaml", "--profile", "full", "--results", results, "--no-tracking"),
        *("--executor", "inline"),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{record.name[-8:]}.lock is no file, so that nothing can be locked; remove it" in done.stdout
    assert len(list(results.glob("small/*/record.json"))) == 4, "the others ran"


def test_a_journal_of_a_database_that_is_gone_stays_out_of_the_new_one(whole, tmp_path):
    results = shutil.copytree(whole, tmp_path / "results")
    other = sqlite3.connect(tmp_path / "other.db")
    other.executescript("PRAGMA cache_size=1; CREATE TABLE a (b); BEGIN;")
    other.executemany("INSERT INTO a VALUES (?)", [("x" * 4000,) for _ in range(400)])
    journal = (tmp_path / "other.db-journal").read_bytes()
    (results / "mlflow.db-journal").write_bytes(journal)
    notices = [replay(results, default_uri(results)).notices for _ in range(2)]
    assert "mlflow.db.broken-1" in notices[0][0]
    assert notices[1] == ()
    assert (results / "mlflow.db.broken-1-journal").read_bytes() == journal


@pytest.mark.ci
def test_a_database_that_is_locked_is_no_broken_one(whole, tmp_path):
    results = shutil.copytree(whole, tmp_path / "results")
    replay(results, default_uri(results))
    holder = sqlite3.connect(results / "mlflow.db")
    holder.execute("BEGIN EXCLUSIVE")
    done = gan_bench("sync", results, timeout=HANG)
    assert done.returncode == 2
    assert "is locked by another process; try again when that has ended" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    holder.rollback()
    assert gan_bench("sync", results).returncode == 0


def test_a_database_without_a_table_is_mended_in_silence(whole, tmp_path):
    results = shutil.copytree(whole, tmp_path / "results")
    replay(results, default_uri(results))
    with sqlite3.connect(results / "mlflow.db") as database:
        database.execute("DROP TABLE runs")
    done = gan_bench("sync", results)
    assert (done.returncode, "Traceback" in done.stderr + done.stdout) == (0, False), done.stderr


OF_A_PIPE = ("--results", "r", "--epochs", "1", "--executor", "inline", "--no-tracking")


@pytest.mark.parametrize("named", [True, *slow(False)])
def test_a_suite_from_a_pipe_is_kept_as_it_was_read(tmp_path, named):
    """It can be read once, and the shell's `<(cat small.yaml)` has no name of its own."""
    suite = tmp_path / "small.yaml"
    if named:
        os.mkfifo(suite)
        threading.Thread(target=suite.write_text, args=(SMALL,), daemon=True).start()
        done = gan_bench("run", suite, *OF_A_PIPE, cwd=tmp_path)
    else:
        suite.write_text(SMALL)
        command = f"{sys.executable} -m gan_bench run <(cat small.yaml) {' '.join(OF_A_PIPE)}"
        bash = ["bash", "-c", command]
        done = subprocess.run(bash, cwd=tmp_path, capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "small" / "suite.yaml").read_text() == SMALL


def test_only_what_gan_bench_was_making_is_removed_beside_a_database(whole, tmp_path):
    results = shutil.copytree(whole, tmp_path / "results")
    kept = [
        results / name
        for name in (".notes.aside", ".x.aside-old.txt", ".mlflow.db.aside", ".mlflow.db.12345678.asidex")
    ]
    left = [results / f".mlflow.db.0123abcd.aside{end}" for end in ("", "-journal")]
    for path in (*kept, *left):
        path.write_text("x")
        os.utime(path, (0, 0))
    replay(results, default_uri(results))
    assert [path.exists() for path in (*kept, *left)] == [True] * 4 + [False] * 2


def test_a_database_that_another_program_makes_is_left_to_it(tmp_path):
    """It has a journal and no bytes yet."""
    file = tmp_path / "shared.db"
    maker = sqlite3.connect(file, isolation_level=None)
    maker.execute("BEGIN IMMEDIATE")
    maker.execute("CREATE TABLE a (b)")
    with contextlib.suppress(Exception):
        list(prepare_database(f"sqlite:///{file}", file, is_ours=False))
    assert not list(tmp_path.glob("*.broken*"))
    maker.execute("COMMIT")


def test_a_copy_of_its_own_keeps_its_rights(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"x")
    file.chmod(0o600)
    os.link(file, tmp_path / "b")
    with open_own(file, os.O_WRONLY | os.O_APPEND) as own:
        own.write(b"y")
    assert (file.read_bytes(), (tmp_path / "b").read_bytes(), file.stat().st_mode & 0o777) == (b"xy", b"x", 0o600)


def test_what_is_kept_is_kept_before_anything_that_may_be_interrupted(stopped, results, monkeypatch):
    """The end of the record that says so is taken away a moment later."""
    _, trial, _ = stopped
    directory = RecordDirectory.of(results, trial)
    for path in directory.path.glob("checkpoint*"):
        path.unlink()
    monkeypatch.setattr(RunContext, "identity", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        go_on(results, trial)
    monkeypatch.undo()
    assert go_on(results, trial).status is Status.DONE
    assert len(list((results / trial.config.suite / ".damaged").glob("*--*"))) == 1


def test_a_new_database_has_the_rights_of_every_new_file(tmp_path):
    before = os.umask(0o002)
    try:
        list(prepare_database(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlflow.db", is_ours=True))
    finally:
        os.umask(before)
    assert oct((tmp_path / "mlflow.db").stat().st_mode & 0o777) == "0o664"


def test_a_database_that_may_not_be_written_is_said_to_be_at_once(tmp_path, monkeypatch):
    """SQLite reads it, and each of MLflow's writes failed with pages of its own words."""
    file = tmp_path / "mlflow.db"
    sqlite3.connect(file).execute("CREATE TABLE t (x)").connection.close()
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(UserError, match=r"mlflow.db .*Permission denied"):
        list(prepare_database(f"sqlite:///{file}", file, is_ours=True))


def test_a_suite_s_folder_or_a_record_is_no_results_folder(tmp_path):
    """A run into one trained beside its records what no report of the results showed, and ended with their answer."""
    results = train_small(tmp_path)
    record = next(path for path in (results / "small").glob("*--????????") if path.is_dir())
    for place in (results / "small", record):
        for words in (("--dry-run",), ()):
            done = gan_bench("run", "digits", "--results", place, "--no-tracking", *words)
            assert done.returncode == 2
            assert done.stderr.endswith(f"name the results folder that it lies in, {results}, with --results\n")
        assert not (place / "digits").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "plan.json").write_text("{}")  # another program's
    done = gan_bench("run", "digits", "--results", tmp_path / "other", "--no-tracking", "--dry-run")
    assert done.returncode == 0, done.stderr
