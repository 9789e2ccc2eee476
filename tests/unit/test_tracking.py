"""The mirror's surroundings: where the database is, what is shown of a location, and a process that answers slowly."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.commands import HANG
from support.studies import stored
from support.trials import config_of, digits_trial
from typer.testing import CliRunner

from gan_bench.bench import prepare
from gan_bench.cli import mlflow_commands
from gan_bench.cli.app import app
from gan_bench.cli.mlflow_commands import refuse_broken, serve
from gan_bench.config.naming import setting_name
from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import Trial
from gan_bench.core.errors import UserError
from gan_bench.records.layout import LOCKS
from gan_bench.records.lock import Lock, Owner
from gan_bench.records.plan import Suites
from gan_bench.records.reader import StoredTrial
from gan_bench.records.shared import results_identity
from gan_bench.run_options import RunOptions
from gan_bench.terminal.conclusion import say_tracking
from gan_bench.terminal.console import PlainConsole, console
from gan_bench.terminal.tables import how_to_call
from gan_bench.tracking import server, sync_process
from gan_bench.tracking.database import check_database, prepare_database, refused
from gan_bench.tracking.entities import Position, ended_ms, metrics_of, run_name, started_ms, tags_of
from gan_bench.tracking.server import check_no_password, default_uri, refuse_memory, server_page, shown
from gan_bench.tracking.store import OWN_TAG, mirror_lock, user_tags
from gan_bench.tracking.sync_process import MirrorResult, SyncProcess

TALKS = """
import json, os, sys, time
from gan_bench.core.channel import Sender
from gan_bench.tracking.sync_process import MirrorResult
channel = Sender()
print("whatever a library prints", flush=True)
os.write(1, b"even past Python")
assert sys.stdin.readline() == "http://me:secret@host\\n"
if sys.argv[2] != "sends early":
    sys.stdin.read()
def wait_for(number):
    while not os.path.exists(os.path.join(sys.argv[3], str(number))):
        time.sleep(0.01)
lines = int(sys.argv[1])
for number in range(lines):
    wait_for(number)
    channel({"complete": f"trial-{number}--00000000"})
if sys.argv[2] == "while others begin":  # another run of the suite, after the last pass
    path = os.path.join(os.path.dirname(sys.argv[3]), "suite", "trial-9--00000000")
    os.makedirs(path)
    open(os.path.join(path, "environment.json"), "w").close()
if sys.argv[2] in ("ends", "while others begin"):
    wait_for(lines)
    channel({"result": MirrorResult(experiment="1").to_json()})
if sys.argv[2] == "dies":
    sys.exit(3)
if sys.argv[2] == "hangs":
    time.sleep(60)
"""
PACE = "system/images_per_second"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Makes a mirror whose process is a script of ours, and keeps its command line."""
    real, commands = subprocess.Popen, []

    def make(lines, ending):
        def popen(command, **options):
            commands.append(command)
            return real([sys.executable, "-c", TALKS, str(lines), ending, str(tmp_path / "gates")], **options)

        monkeypatch.setattr(sync_process.subprocess, "Popen", popen)
        (tmp_path / "gates").mkdir()
        for number in range(8):
            (tmp_path / "suite" / f"trial-{number}--00000000").mkdir(parents=True)
            (tmp_path / "suite" / f"trial-{number}--00000000" / "environment.json").touch()
        return SyncProcess(tmp_path / "suite", "http://me:secret@host"), commands

    return make


class Paced(threading.Condition):
    """What the owner of a mirror waits on: with every wait the mirror may send a line, and some seconds have passed."""

    def __init__(self, gates, lines, seconds):
        super().__init__()
        self.gates, self.left, self.seconds, self.now = gates, list(range(lines)), seconds, 0.0

    def wait(self, timeout=None):
        self.now += self.seconds
        if not self.left:
            return super().wait(0)
        (self.gates / str(self.left.pop(0))).touch()
        return super().wait(HANG)


def closed(process, monkeypatch, pace, patience):
    """Close a mirror by the time of its owner's waits."""
    process._changed = pace
    monkeypatch.setattr(sync_process, "time", SimpleNamespace(monotonic=lambda: pace.now))
    return process.close(patience)


def test_trials_that_another_run_began_meanwhile_are_not_missed(mirror, monkeypatch, tmp_path):
    """Their records were said to be damaged."""
    process, _ = mirror(8, "while others begin")
    result = closed(process, monkeypatch, Paced(tmp_path / "gates", 9, seconds=1), patience=100)
    assert (tmp_path / "suite" / "trial-9--00000000").is_dir()
    assert result == MirrorResult(experiment="1", started=8, missing=0)


def test_a_run_that_was_complete_before_its_trial_was_resumed_is_so_no_more(mirror, tmp_path):
    """With a server that went away it was counted as complete all the same."""
    process, _ = mirror(2, "sends early")
    for number in range(2):
        (tmp_path / "gates" / str(number)).touch()
    with process._changed:
        assert process._changed.wait_for(lambda: len(process._complete) == 2, HANG)
    (tmp_path / "suite" / "trial-1--00000000" / "record.json").touch()
    assert process.close(patience=600).missing == 7


def test_a_slow_server_is_waited_for_while_it_answers(mirror, monkeypatch, tmp_path):
    process, commands = mirror(5, "ends")
    result = closed(process, monkeypatch, Paced(tmp_path / "gates", 6, seconds=90), patience=100)
    assert result == MirrorResult(experiment="1", started=8, missing=3)
    assert result.lacks == "3 of 8 runs"
    assert "secret" not in str(commands)


def test_a_server_that_answers_no_more_is_given_up(mirror, monkeypatch, tmp_path):
    process, _ = mirror(1, "hangs")
    result = closed(process, monkeypatch, Paced(tmp_path / "gates", 1, seconds=1), patience=1.5)
    assert result.experiment is None
    assert result.error == "the mirror did not answer for 1.5 s"
    assert result.lacks == "7 of 8 runs and the answer"


def test_a_mirror_that_dies_is_not_waited_for(mirror, tmp_path):
    process, _ = mirror(2, "dies")
    for number in range(2):
        (tmp_path / "gates" / str(number)).touch()
    result = process.close(patience=600)
    assert "the mirror ended with code 3" in result.error
    assert result.lacks == "6 of 8 runs and the answer"


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("http://me:secret@host:5000/x", "http://me:***@host:5000/x"),
        ("postgresql://me:se%40cret@host/db", "postgresql://me:***@host/db"),
        ("http://host:5000", "http://host:5000"),
        (" http://me:sec\nret@host ", "http://me:***@host"),
        ("http://t0ken@host:5000/x", "http://***@host:5000/x"),
        ("http://me:sec/ret@host:5000", "http://me:***@host:5000"),
        ("http://me:sec?r#t@host", "http://me:***@host"),
        ("me:secret@host", "me:***@host"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////srv/a@b/x:y.db", "sqlite:////srv/a@b/x:y.db"),
        ("http://[::1]:5000/a@b", "http://[::1]:5000/a@b"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("runs@home", "runs@home"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("http://[broken", "the tracking server"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
        ("postgresql://host/db?PassWord=secret&sslmode=require", "postgresql://host/db?PassWord=***&sslmode=require"),
        ("postgresql://me:secret@host/db?sslpassword=secret", "postgresql://me:***@host/db?sslpassword=***"),
        ("http://host/?access_token=secret&x=1", "http://host/?access_token=***&x=1"),
        ("http://host/?API-Key=secret;sig=secret", "http://host/?API-Key=***;sig=***"),
        ("mysql://host/db?pass%77ord=secret", "mysql://host/db?pass%77ord=***"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dsecret", "mssql+pyodbc:///?odbc_connect=***"),
        ("http://host/#/x?client_secret=secret", "http://host/#/x?client_secret=***"),
        ("postgresql://host/db?sslkey=/a/key.pem&passfile=/a/.pgpass&authSource=admin",
         "postgresql://host/db?sslkey=/a/key.pem&passfile=/a/.pgpass&authSource=admin"),
    ],
)  # fmt: skip
def test_no_password_is_shown(uri, text):
    assert shown(uri) == text
    if uri != text:
        with pytest.raises(UserError, match="must not hold a password"):
            check_no_password(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:se%40cret@host/db",
        "postgresql://host/db?password=se%40cret",
        "http://host?token=se%40cret",
        "http://host/?APIKEY=se%40cret",
    ],
)
def test_an_error_holds_no_credential_in_whatever_form_a_library_writes_it(uri):
    for text in (f"cannot reach {uri}/api/2.0", "password se@cret refused", "se%40cret", f"{uri.rstrip('/')} failed"):
        found = server.describe_error(ValueError(text), uri)
        assert "se@cret" not in found
        assert "se%40cret" not in found


def test_an_empty_password_leaves_messages_as_they_are():
    """Every letter of an error stood between stars."""
    uri = "postgresql://postgres:@localhost/x"
    assert server.describe_error(ValueError(f"cannot reach {uri}"), uri) == f"cannot reach {shown(uri)}"


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a#b", "a\udcffb"])
def test_a_path_that_mlflow_misreads_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="MLflow cannot open a database .* rename the folder"):
        default_uri(tmp_path / name)


def test_a_path_that_is_too_long_for_sqlite_is_refused(tmp_path):
    """MLflow tried for 100 seconds without a word."""
    with pytest.raises(UserError, match="MLflow cannot open a database .* more than 480 bytes in its path"):
        default_uri(tmp_path / "x" / ("y" * 250) / ("z" * 250))
    name = len("mlflow.db") + 1
    folder = tmp_path / ("y" * 200)
    folder /= "z" * (server.LONGEST - name - len(os.fsencode(folder)) - 1)
    folder.mkdir(parents=True)
    assert len(default_uri(folder)) == len("sqlite:///") + server.LONGEST
    aside = folder / ".mlflow.db.01234567.aside"
    with contextlib.closing(sqlite3.connect(aside)) as database:
        database.execute("CREATE TABLE journalled (x)")


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("http://me:secret@host:5000/x/", "http://host:5000/x"),
        ("https://host", "https://host"),
        ("sqlite:////a/b.db", None),
        ("postgresql://host/db", None),
        ("http://[broken", None),
    ],
)
def test_the_page_of_a_server(uri, page):
    assert server_page(uri) == page


def test_a_password_in_a_location_is_refused():
    with pytest.raises(UserError, match="MLFLOW_TRACKING_PASSWORD"):
        check_no_password("http://me:secret@host")
    check_no_password("postgresql://me@host")


def test_a_results_folder_keeps_its_identity(tmp_path):
    first, other = tmp_path / "a", tmp_path / "b"
    for folder in (first, other):
        folder.mkdir()
    identity = results_identity(first)
    assert results_identity(first) == identity != results_identity(other)
    first.rename(tmp_path / "moved")
    assert results_identity(tmp_path / "moved") == identity


def test_a_copy_of_a_results_folder_gets_an_identity_of_its_own_and_a_moved_one_keeps_it(tmp_path):
    first, said = tmp_path / "first", []
    first.mkdir()
    identity = results_identity(first, said.append)
    (tmp_path / "link").symlink_to(first)
    assert results_identity(tmp_path / "link", said.append) == identity, "the same folder by another path"
    moved = first.rename(tmp_path / "moved")
    assert results_identity(moved, said.append) == identity
    assert said == []
    copy = shutil.copytree(moved, tmp_path / "copy")
    own = results_identity(copy, said.append)
    assert own != identity
    (text,) = said
    assert text.startswith(f"{copy} is a copy of {moved}, and has an identity of its own now")
    assert results_identity(copy, said.append) == own, "for good"
    assert results_identity(moved, said.append) == identity
    shutil.rmtree(moved)
    assert results_identity(copy.rename(moved), said.append) == own
    assert len(said) == 1


def test_a_copy_that_is_made_again_and_again_keeps_one_identity(tmp_path):
    """A nightly copy brings the original's files along; every night made a new identity, and all runs once more."""
    first, copy, other = (tmp_path / name for name in ("first", "copy", "other"))
    first.mkdir()
    identity, nights = results_identity(first), []
    for _ in range(3):
        shutil.copytree(first, copy, dirs_exist_ok=True)
        assert results_identity(copy) != identity
        nights.append(results_identity(copy))
    assert len(set(nights)) == 1
    shutil.copytree(first, other)
    assert results_identity(other) not in (identity, nights[0])
    assert results_identity(first) == identity


def test_metrics_are_the_same_at_once_and_line_by_line():
    pytest.importorskip("mlflow")
    values = {"loss_d": 1.0, "loss_g": 1.0, "d_real": 0.5, "d_fake": 0.5}
    history = []
    for epoch in range(1, 5):
        history.append({"kind": "step", "epoch": epoch, "step": epoch * 10, **values})
        history.append({"kind": "epoch", "epoch": epoch, "step": epoch * 10, "images": epoch * 100,
                        "train_seconds": epoch * 2.0, "mean": values, "last": values})  # fmt: skip
    stored = StoredTrial(
        path=None,
        trial={"config": {"epochs": 4}},
        environment={"started": "2026-01-01T00:00:00+00:00"},
        history=history,
        evaluations=[],
        record=None,
    )

    def plain(metrics):
        return sorted((m.key, m.value, m.timestamp, m.step) for m in metrics if m.key != PACE)

    pieces, seconds, images = [], 0.0, 0
    for line in history:
        pieces += metrics_of(replace(stored, history=[line]), seconds, images)
        if line["kind"] == "epoch":
            seconds, images = line["train_seconds"], line["images"]
    assert plain(pieces) == plain(metrics_of(stored))
    assert len([m for m in pieces if m.key == PACE]) == 4, "one for every time that something is new"
    (pace,) = [m.value for m in metrics_of(stored) if m.key == PACE]
    assert pace == pytest.approx(history[-1]["images"] / history[-1]["train_seconds"])


@pytest.mark.parametrize("uri", ["http://me:secret@127.0.0.1:9/" + "x" * 300, "http://me:" + "secret" * 60 + "@host"])
def test_no_message_holds_a_password(uri):
    text = server.describe_error(OSError(f"Max retries exceeded with url {uri} after a while"), uri)
    assert "secret" not in text
    assert len(text) <= 200


def test_a_password_among_options_is_hidden():
    assert shown("postgresql://host/db?user=me&password=secret") == "postgresql://host/db?user=me&password=***"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10s", "MLFLOW_HTTP_REQUEST_TIMEOUT=10s cannot be read by MLflow; correct or"),
        ("MLFLOW_TRACKING_INSECURE_TLS", "yes", "MLFLOW_TRACKING_INSECURE_TLS=yes cannot be read by MLflow"),
        ("MLFLOW_LOGGING_LEVEL", "LOUD", "MLFLOW_LOGGING_LEVEL=LOUD is no level; use WARNING"),
    ],
)
def test_a_setting_of_mlflow_that_it_cannot_read_is_named(monkeypatch, name, value, said):
    """The tracking URI was blamed for it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=re.escape(said)):
        server.configure()


def test_an_empty_setting_of_mlflow_is_none(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "")
    server.configure()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == str(server.REQUEST_SECONDS)


@pytest.mark.parametrize("uri", ["localhost:5000", "10.0.0.7:80/mlflow"])
def test_an_address_without_a_scheme_is_refused(tmp_path, uri):
    for command in (["sync", str(tmp_path), "--tracking-uri", uri], ["run", "mnist"]):
        done = CliRunner().invoke(app, command, env={"MLFLOW_TRACKING_URI": uri})
        assert isinstance(done.exception, UserError)
        assert str(done.exception) == f"--tracking-uri {uri} lacks its scheme; write http://{uri}"


MEMORY = ["sqlite://", "sqlite:///", "sqlite:///:memory:", ":memory:", "sqlite+pysqlite://", "sqlite:///?timeout=5",
          "sqlite:///file::memory:?cache=shared&uri=true", "sqlite:///file:x?mode=memory&uri=true"]  # fmt: skip


@pytest.mark.parametrize("uri", MEMORY)
def test_a_database_in_memory_is_refused(tmp_path, uri):
    """Everything was reported to be there, and nothing was."""
    said = f"--tracking-uri {uri} names a database in memory, which keeps nothing; name a file, such as sqlite:///"
    for command in (["sync", str(tmp_path), "--tracking-uri", uri], ["run", "mnist"]):
        done = CliRunner().invoke(app, command, env={"MLFLOW_TRACKING_URI": uri})
        assert isinstance(done.exception, UserError)
        assert str(done.exception).startswith(said)
    with pytest.raises(UserError, match="database in memory"):
        prepare(RunOptions("digits", tracking=uri), lambda: False)


@pytest.mark.parametrize("uri", ["sqlite:///x.db", "sqlite:////a/b.db", "http://h/", "postgresql://h/memory", "mlruns"])
def test_other_databases_are_not_in_memory(uri):
    refuse_memory(uri)


def test_hints_are_for_servers_alone():
    assert server.hint(PermissionError(13, "Permission denied")) == ""
    assert server.hint(RuntimeError("run 9f403ab not found")) == ""
    assert server.hint(RuntimeError("(sqlite3.OperationalError) database or disk is full")) == "; free some space there"
    assert server.hint(RuntimeError("API request failed with error code 401 != 200")).startswith("; set or correct MLF")
    assert "EDIT" in server.hint(RuntimeError("API request failed with error code 403 != 200"))
    assert "its log says why" in server.hint(RuntimeError("API request failed with error code 500 != 200"))
    assert "its log says why" in server.hint(RuntimeError("Max retries exceeded (too many 503 error responses)"))


def test_a_run_ends_when_its_trial_did_however_long_it_stood_in_between():
    trial = stored(digits_trial(0), fid=20.0)
    trial.environment["started"] = "2026-01-01T00:00:00+00:00"
    seconds = trial.record["train_seconds"] + trial.record["evaluate_seconds"]
    trial.record.pop("ended", None)
    assert ended_ms(trial) - started_ms(trial) == int(1000 * seconds), "earlier versions did not say it"
    trial.record["ended"] = "2026-01-03T00:00:00.250+00:00"  # it was interrupted, and resumed two days later
    assert ended_ms(trial) - started_ms(trial) == 2 * 24 * 3600 * 1000 + 250
    trial.record["ended"] = "2025-12-31T00:00:00+00:00"  # the clock was set back
    assert ended_ms(trial) == started_ms(trial)


def test_a_suite_s_file_is_named_whole_where_its_path_has_blanks():
    planned = Suites(commands={"test": "gan-bench run '/my own/big cats.yaml' --results '/my own/results'"})
    trial = stored(digits_trial(0), fid=20.0)
    trial.environment["started"] = "2026-01-01T00:00:00+00:00"
    tags = tags_of(trial, "results", {}, planned)
    assert tags["mlflow.source.name"] == "gan-bench run big cats.yaml"


def test_a_position_survives_its_tag():
    position = Position(3, 400, frozenset({0, 1}), frozenset({0}), 12.5, 900, "abc")
    assert Position.from_tag(position.to_tag()) == position
    for broken in (None, "", "no", "[]", '{"evaluated": 3}', '{"epoch": "x"}'):
        assert Position.from_tag(broken) == Position()


def test_a_position_says_what_is_new():
    position = Position(3, 400, frozenset({0, 1}))
    assert [position.lacks({"kind": "epoch", "epoch": e}) for e in (3, 4)] == [False, True]
    assert [position.lacks({"kind": "step", "epoch": 9, "step": s}) for s in (400, 500)] == [False, True]
    assert [position.lacks({"epoch": e}) for e in (1, 2)] == [False, True]


def test_a_server_has_one_writer_however_its_address_ends(tmp_path):
    assert mirror_lock(tmp_path, "http://h:5000").file == mirror_lock(tmp_path, "http://h:5000/").file
    assert mirror_lock(tmp_path, "http://h:5000").file != mirror_lock(tmp_path, "http://h:5001").file


def test_a_server_is_tried_again_ever_later(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(server.time, "monotonic", lambda: now[0])
    pause, waits = server.Backoff(), []
    for _ in range(6):
        assert pause.due
        pause.failed()
        began = now[0]
        while not pause.due:
            now[0] += 1
        waits.append(now[0] - began)
    assert waits == [5, 10, 20, 40, 60, 60]
    pause.failed()
    pause.succeeded()
    assert pause.due


def test_files_have_more_time_than_answers(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    with server.uploading():
        assert int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) == server.UPLOAD_SECONDS
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "seed 3 · dcgan · lr 3e-4/2e-4 · β₁ 0.9"),
        ({"lr_d": 3e-4, "betas_g": (0.5, 0.999), "betas_d": (0.5, 0.999)}, "seed 3 · dcgan · lr 3e-4 · β₁ 0.5"),
        ({"lr_g": 0.05, "lr_d": 1.25e-5}, "seed 3 · dcgan · lr 0.05/1.25e-5 · β₁ 0.9"),
        ({"optimizer_g": "sgd", "optimizer_d": "sgd"}, "seed 3 · dcgan · lr 3e-4/2e-4 · optimizer sgd"),
        ({"loss": "hinge"}, "seed 3 · dcgan · lr 3e-4/2e-4 · β₁ 0.9 · loss hinge"),
    ],
)
def test_runs_are_called_by_what_people_compare(changes, name):
    """The list cuts names at their end: before, it showed betas and cut the recipe off, then the seed."""
    recipe = RECIPES["mnist-dcgan"]
    config = config_of("mnist-dcgan", seed=3, **changes)
    setting = setting_name(recipe.name, recipe.values(), config, cut=True)
    assert run_name(stored(Trial(setting=setting, config=config, provenance={}), fid=1.0)) == name


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        (True, "`gan-bench ui --results 'my results'`"),
        ("sqlite:///other.db", "`gan-bench ui --results 'my results' --tracking-uri sqlite:///other.db`"),
        ("postgresql://me:secret@db/x", "`gan-bench ui --results 'my results'`"),
    ],
)
def test_the_command_that_serves_the_page_fits_where_mlflow_is(uri, command):
    lines = console(file=io.StringIO())
    say_tracking(MirrorResult(experiment="1"), RunOptions("digits", results="my results", tracking=uri), lines)
    said = lines.file.getvalue()
    assert ("MLflow's address is in no file" in said) == (uri is not True)
    assert said.endswith(f"MLflow: {command} serves its leaderboard\n")
    assert "secret" not in said


def test_the_command_that_serves_the_page_leaves_out_the_usual_folder():
    lines = console(file=io.StringIO())
    say_tracking(MirrorResult(experiment="1"), RunOptions("digits", tracking=True), lines)
    assert lines.file.getvalue() == "MLflow: `gan-bench ui` serves its leaderboard\n"


@pytest.mark.parametrize("folder", ["my results", "my results/small"])
def test_records_without_a_database_are_said_to_make_one(tmp_path, folder):
    """Of a suite's folder the page wanted a database in it, where no sync makes one."""
    (tmp_path / "my results" / "small").mkdir(parents=True)
    (tmp_path / "my results" / "small" / "plan.json").write_text("{}")
    with pytest.raises(UserError, match="my results/mlflow.db .* `gan-bench sync '.*my results'` makes it"):
        serve(tmp_path / folder, None, "127.0.0.1", 5000, PlainConsole(), open_page=False)


def test_a_folder_that_begins_with_a_dash_is_an_argument(tmp_path, monkeypatch):
    (tmp_path / "-r" / "small").mkdir(parents=True)
    (tmp_path / "-r" / "small" / "plan.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="`gan-bench sync ./-r` makes it from the records"):
        serve(Path("-r"), None, "127.0.0.1", 5000, PlainConsole(), open_page=False)


OLD = "Detected out-of-date database schema (found version 1, but expected 2)"


def test_a_page_of_an_earlier_database_names_the_remedy_that_a_sync_names(tmp_path, monkeypatch):
    """It wanted variables checked, or another database."""

    def fail(*_):
        raise RuntimeError(OLD)

    (tmp_path / "mlflow.db").touch()
    monkeypatch.setattr("gan_bench.tracking.database.QUIET_SECONDS", 0.0)
    monkeypatch.setattr("gan_bench.tracking.database.check_database", fail)
    with pytest.raises(UserError) as error:
        refuse_broken(default_uri(tmp_path), tmp_path)
    assert f"cannot open {tmp_path}/mlflow.db ({OLD}){server.hint(RuntimeError(OLD))}" in str(error.value)


@pytest.mark.parametrize("error", ["Connection refused", OLD + server.hint(RuntimeError(OLD))])
def test_a_remedy_comes_before_the_sync_that_needs_it(error):
    lines = console(file=io.StringIO())
    say_tracking(MirrorResult(error=error, missing=1, started=2), RunOptions("digits", tracking=True), lines)
    then = "then " if "mlflow db upgrade" in error else ""
    said = " ".join(lines.file.getvalue().split())
    assert said == f"MLflow lacks 1 of 2 runs: {error}; {then}`gan-bench sync results` completes it"


@pytest.mark.parametrize("name", ["typo.db", "nowhere/typo.db"])
def test_a_page_of_a_database_that_is_not_there_is_refused(tmp_path, name):
    """MLflow made an empty one, and its folder, and its page showed nothing."""
    with pytest.raises(UserError, match=r"typo\.db does not exist; check --tracking-uri or \$MLFLOW_TRACKING_URI"):
        refuse_broken(f"sqlite:///{tmp_path / name}", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def ends_at_once(tmp_path, monkeypatch):
    """Let the server of a page end by itself."""
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setattr(mlflow_commands, "refuse_broken", lambda *_: None)
    monkeypatch.setattr(mlflow_commands, "_links", lambda *_: [])
    monkeypatch.setattr(mlflow_commands, "_SERVER", "")


@pytest.mark.usefixtures("ends_at_once")
@pytest.mark.parametrize("code", [0, 1])
def test_a_server_that_ends_by_itself_has_failed_whatever_its_code_says(tmp_path, monkeypatch, code):
    """MLflow's ends with 0 where its port was taken after the look for a free one, as by another page's."""
    monkeypatch.setattr(mlflow_commands, "_SERVER", f"raise SystemExit({code})")
    with pytest.raises(UserError, match=rf"on port \d+ ended with exit code {code}; .* another with --port"):
        serve(tmp_path, None, "127.0.0.1", 5000, PlainConsole(), open_page=False)


@pytest.mark.usefixtures("ends_at_once")
@pytest.mark.parametrize(
    ("host", "prefix", "base"),
    [("::1", "", "http://[::1]:5000"), ("127.0.0.1", "/mlflow", "http://127.0.0.1:5000/mlflow")],
)
def test_the_address_of_a_page_is_one_that_a_browser_opens(tmp_path, monkeypatch, host, prefix, base):
    """Without the brackets it is none, and without MLflow's prefix nothing is there."""
    asked = []
    monkeypatch.setenv("MLFLOW_STATIC_PREFIX", prefix)
    monkeypatch.setattr(mlflow_commands, "_free_port", lambda _, port: port)
    monkeypatch.setattr(mlflow_commands, "_links", lambda _, base: [base])
    monkeypatch.setattr(mlflow_commands, "_wait", lambda base, _: asked.append(base))
    lines = console(file=io.StringIO())
    with pytest.raises(UserError, match="ended"):
        serve(tmp_path, None, host, 5000, lines, open_page=True)
    assert f"MLflow starts on {base} (Ctrl-C ends it)\n{base}\n" in lines.file.getvalue()
    assert asked == [base]


def test_a_server_that_does_not_end_by_itself_is_gone_all_the_same(monkeypatch):
    """gan-bench had ended, and MLflow's processes stood for some time yet."""
    monkeypatch.setattr(mlflow_commands, "END_SECONDS", 0.1)
    code = "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b'.'); signal.pause()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout.read(1) == b"."
        mlflow_commands._end_server(process)
        assert process.returncode == -signal.SIGKILL


def test_who_ran_make_is_told_how_the_shell_finds_the_commands_that_are_named(tmp_path, monkeypatch):
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (scripts / "gan-bench").touch(mode=0o755)
    assert not how_to_call(), "of an environment that cannot be activated nobody can say"
    (scripts / "activate").touch()
    assert how_to_call() == "The shell finds `gan-bench` after `. .venv/bin/activate`."
    monkeypatch.setenv("PATH", str(scripts))
    assert not how_to_call()


@pytest.fixture
def opened_by_nobody(monkeypatch):
    """Leave out MLflow's part of a check: these databases are none of its own."""
    monkeypatch.setattr("gan_bench.tracking.database.open_database", lambda _uri: None)


@pytest.mark.usefixtures("opened_by_nobody")
def test_a_database_that_grows_while_it_is_checked_is_no_broken_one(tmp_path, monkeypatch):
    """Its size was asked for before its pages: a sync set aside the database that a run was filling."""
    file = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as other:
        other.execute("CREATE TABLE t(x)")
        before = file.stat().st_size
        look, said = Path.stat, []

        def look_and_grow(path, **options):
            found = look(path, **options)
            if path == file:
                try:
                    other.execute("INSERT INTO t VALUES (zeroblob(100000))")
                except sqlite3.OperationalError as error:
                    said.append(str(error))
            return found

        monkeypatch.setattr(Path, "stat", look_and_grow)
        check_database("sqlite://", file)
        monkeypatch.undo()
        assert file.stat().st_size == before, "nobody writes between one measure and the next"
        assert said == ["database is locked"]


@pytest.mark.usefixtures("opened_by_nobody")
def test_a_database_whose_journal_holds_its_newer_pages_is_no_broken_one(tmp_path):
    file = tmp_path / "shared.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = wal")
        other.execute("CREATE TABLE t(x)")
        other.execute("INSERT INTO t VALUES (zeroblob(100000))")
        assert file.stat().st_size < 100_000
        check_database("sqlite://", file)


@pytest.mark.usefixtures("opened_by_nobody")
def test_a_database_that_was_cut_is_a_broken_one(tmp_path):
    file = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("CREATE TABLE t(x)")
        database.execute("INSERT INTO t VALUES (zeroblob(100000))")
    os.truncate(file, 50_000)
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        check_database("sqlite://", file)


@pytest.fixture
def half_upgraded(tmp_path, monkeypatch):
    """A database as it is between two steps of an upgrade, and another process's connection to it."""

    def fail(_uri):
        raise sqlite3.OperationalError("table _alembic_tmp_runs already exists")

    monkeypatch.setattr("gan_bench.tracking.database.open_database", fail)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE t(x)")
        yield default_uri(tmp_path), tmp_path / "mlflow.db", other


def test_a_database_that_another_process_upgrades_is_no_broken_one(half_upgraded, monkeypatch):
    """A sync set it aside, with users' own runs, while `gan-bench ui` of a newer MLflow changed its tables."""
    uri, file, other = half_upgraded
    monkeypatch.setattr("time.sleep", lambda _: other.execute("INSERT INTO t VALUES (1)"))
    for use in (lambda: list(prepare_database(uri, file, is_ours=True)), lambda: refuse_broken(uri, file.parent)):
        with pytest.raises(UserError, match=r"mlflow\.db is being changed by another process"):
            use()
    assert not list(file.parent.glob("*.broken*"))


def test_a_database_in_a_long_step_of_an_upgrade_is_no_broken_one(half_upgraded, monkeypatch):
    uri, file, other = half_upgraded
    monkeypatch.setattr("gan_bench.tracking.database.QUIET_SECONDS", 0.0)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match=r"mlflow\.db is locked by another process"):
        list(prepare_database(uri, file, is_ours=True))
    assert not list(file.parent.glob("*.broken*"))


def test_a_page_s_look_at_its_database_waits_for_a_sync_and_has_it_wait(tmp_path, monkeypatch):
    """Either may upgrade it, which MLflow lets two processes do at once."""
    holders = []
    monkeypatch.setattr(
        "gan_bench.tracking.database.check_database",
        lambda *_: holders.append(Lock(tmp_path / LOCKS, "mlflow").holder()),
    )
    (tmp_path / "mlflow.db").touch()
    refuse_broken(default_uri(tmp_path), tmp_path)
    assert holders == [Owner.me()]


def test_a_database_that_is_gone_is_not_said_to_be_closed(tmp_path):
    assert refused(tmp_path / "mlflow.db", sqlite3.OperationalError("unable to open database file")) is None


def test_a_run_whose_list_of_tags_was_edited_has_none_of_people():
    tags = {"verdict.betas": "decided", "mlflow.note.content": "- best", "mlflow.user": "me", OWN_TAG: "[{}]"}
    assert user_tags(tags) == {}
    assert user_tags({**tags, OWN_TAG: "[]"}).keys() == {"verdict.betas", "mlflow.note.content"}
