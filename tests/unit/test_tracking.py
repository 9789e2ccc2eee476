"""The mirror's surroundings: where the database is, what is shown of a location, and a process that answers slowly."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from gan_bench.core.errors import UserError
from gan_bench.tracking import sync_process
from gan_bench.tracking.database import point_into
from gan_bench.tracking.sync_process import SyncProcess
from gan_bench.tracking.uri import default_uri, shown

TALKS = """
import json, sys, time
assert sys.stdin.readline() == "http://me:secret@host\\n"
sys.stdin.read()
for _ in range(int(sys.argv[1])):
    time.sleep(0.4)
    print(json.dumps({"synced": 1}), flush=True)
if sys.argv[2] == "ends":
    print(json.dumps({"experiment": "1", "views": [], "error": None}), flush=True)
else:
    time.sleep(60)
"""


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Makes a mirror whose process is a script of ours, and keeps its command line."""
    real, commands = subprocess.Popen, []

    def make(lines, ending):
        def popen(command, **options):
            commands.append(command)
            return real([sys.executable, "-c", TALKS, str(lines), ending], **options)

        monkeypatch.setattr(sync_process.subprocess, "Popen", popen)
        (tmp_path / "suite").mkdir()
        return SyncProcess(tmp_path / "suite", "http://me:secret@host"), commands

    return make


def test_a_slow_server_is_waited_for_while_it_answers(mirror):
    process, commands = mirror(5, "ends")
    answer = process.close(patience=1.5)  # five trials of 0.4 s take longer than that
    assert answer == {"experiment": "1", "views": [], "error": None}
    assert "secret" not in str(commands)


def test_a_server_that_answers_no_more_is_given_up(mirror):
    process, _ = mirror(1, "hangs")
    answer = process.close(patience=1.0)
    assert answer["experiment"] is None
    assert "did not answer for 1 s" in answer["error"]


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("http://me:secret@host:5000/x", "http://me:***@host:5000/x"),
        ("postgresql://me:se%40cret@host/db", "postgresql://me:***@host/db"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("http://[broken", "the tracking server"),
    ],
)
def test_no_password_is_shown(uri, text):
    assert shown(uri) == text


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a#b"])
def test_a_path_that_mlflow_misreads_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="MLflow cannot open a database .* rename the folder"):
        default_uri(tmp_path / name)


def test_a_moved_database_points_to_where_it_is(tmp_path):
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("CREATE TABLE experiments (artifact_location TEXT)")
        database.execute("CREATE TABLE runs (artifact_uri TEXT)")
        database.execute("INSERT INTO experiments VALUES ('file:///old/results/mlartifacts/mnist'), ('s3://bucket/x')")
        database.execute("INSERT INTO runs VALUES ('file:///old/results/mlartifacts/mnist/1/artifacts')")
    database.close()
    point_into(tmp_path)
    database = sqlite3.connect(tmp_path / "mlflow.db")
    here = (tmp_path / "mlartifacts").as_uri()
    assert database.execute("SELECT * FROM experiments").fetchall() == [(f"{here}/mnist",), ("s3://bucket/x",)]
    assert database.execute("SELECT * FROM runs").fetchall() == [(f"{here}/mnist/1/artifacts",)]
    database.close()
