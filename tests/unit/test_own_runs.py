"""Whose runs in the database beside some results are, with the tables of MLflow and none of its code."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from gan_bench.core.errors import UserError
from gan_bench.records.shared import identity_of_copy
from gan_bench.tracking.own_runs import adopt_runs

MINE, OTHER = "0e984725-c51c-4bf4-9960-e1c80e27aba0", "1f3870be-274f-4c49-b3e3-1a0c6728957f"
TABLES = """
    CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT);
    CREATE TABLE experiment_tags (experiment_id INTEGER, key TEXT, value TEXT);
    CREATE TABLE runs (run_uuid TEXT, artifact_uri TEXT, experiment_id INTEGER, lifecycle_stage TEXT);
    CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT);
    CREATE TABLE model_versions (source TEXT, storage_location TEXT);
"""


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def place(folder):
    return (folder / "mlartifacts").as_uri()


@contextlib.contextmanager
def tables(results):
    with contextlib.closing(sqlite3.connect(results / "mlflow.db")) as database, database:
        yield database


def put(results, *runs):
    """Write runs: name, owner or None, folder whose files it has, and further tags."""
    with tables(results) as database:
        database.executescript(TABLES)
        for name, owner, folder, tags in runs:
            stage = tags.pop("stage", "active")
            database.execute("INSERT INTO runs VALUES (?, ?, 1, ?)", (name, f"{place(folder)}/x/{name}", stage))
            rows = {**tags, **({"gan_bench.results": owner} if owner else {})}
            database.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(name, *row) for row in rows.items()])


def found(results):
    """Return owner and folder of every run."""
    asked = (
        "SELECT r.run_uuid, t.value, r.artifact_uri FROM runs r LEFT JOIN tags t"
        " ON t.run_uuid = r.run_uuid AND t.key = 'gan_bench.results'"
    )
    with tables(results) as database:
        return {name: (owner, uri.partition("/mlartifacts/")[0]) for name, owner, uri in database.execute(asked)}


def trial(**more):
    return {"gan_bench.trial": "t", **more}


def test_runs_of_a_moved_folder_lie_where_it_lies_and_those_of_others_where_they_lay(results, tmp_path):
    theirs, old = tmp_path / "theirs", tmp_path / "gone"
    theirs.mkdir()
    put(results, ("a", MINE, old, trial()), ("b", OTHER, theirs, trial()))
    with tables(results) as database:
        rows = [(1, f"{place(old)}/mnist"), (2, "s3://bucket/x"), (3, f"{place(theirs)}/x"), (4, place(old) + "2/y")]
        database.executemany("INSERT INTO experiments VALUES (?, ?)", rows)
        database.execute("INSERT INTO experiment_tags VALUES (1, 'gan_bench.results', 'mnist')")
        rows = [("models:/m-1", f"{place(old)}/m-1"), ("models:/m-2", f"{place(theirs)}/m-2")]
        database.executemany("INSERT INTO model_versions VALUES (?, ?)", rows)
    adopt_runs(results, MINE)
    assert found(results) == {"a": (MINE, results.as_uri()), "b": (OTHER, theirs.as_uri())}
    with tables(results) as database:
        kept = [uri for (uri,) in database.execute("SELECT artifact_location FROM experiments")]
        assert kept == [f"{place(results)}/mnist", "s3://bucket/x", f"{place(theirs)}/x", f"{place(old)}2/y"]
        kept = [uri for (uri,) in database.execute("SELECT storage_location FROM model_versions")]
        assert kept == [f"{place(results)}/m-1", f"{place(theirs)}/m-2"]


def test_a_copy_takes_in_the_runs_of_its_original_once(results, tmp_path):
    """Those that the original brings into the copy's database later are the original's."""
    original = tmp_path / "original"
    original.mkdir()
    mine = identity_of_copy(OTHER, results)
    put(results, ("a", OTHER, original, trial()))
    adopt_runs(results, mine)
    assert found(results) == {"a": (mine, results.as_uri())}
    with tables(results) as database:
        database.execute("INSERT INTO runs VALUES ('b', ?, 1, 'active')", (f"{place(original)}/x/b",))
        database.execute("INSERT INTO tags VALUES ('b', 'gan_bench.results', ?)", (OTHER,))
    adopt_runs(results, mine)
    assert found(results)["b"] == (OTHER, original.as_uri())


@pytest.mark.parametrize(("of", "is_mine"), [("here", True), ("there", False)])
def test_where_an_identity_was_lost_its_files_tell(results, tmp_path, of, is_mine):
    there = tmp_path / "there"
    there.mkdir()
    folder = {"here": results, "there": there}[of]
    put(results, ("a", OTHER, folder, trial()))
    adopt_runs(results, MINE)
    assert found(results) == {"a": (MINE, results.as_uri()) if is_mine else (OTHER, folder.as_uri())}


def test_beside_runs_of_others_those_whose_files_lie_here_are_the_folder_s(results, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    put(results, ("a", "lost", results, trial()), ("b", OTHER, there, trial()))
    adopt_runs(results, MINE)
    assert found(results) == {"a": (MINE, results.as_uri()), "b": (OTHER, there.as_uri())}


def test_a_locked_database_is_said_and_changed_by_nobody(results, monkeypatch):
    put(results, ("a", "lost", results, trial()))
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args: connect(*args, timeout=0))
    with contextlib.closing(connect(results / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match="is locked by another process"):
            adopt_runs(results, MINE)
    adopt_runs(results, MINE)
    assert found(results)["a"][0] == MINE


def test_files_of_a_user_s_own_runs_that_were_moved_along_are_where_they_are_now(results, tmp_path):
    """MLflow listed none of them. Those that lie elsewhere, or where the folder still is, stay."""
    away = tmp_path / "away"
    away.mkdir()
    put(results, ("a", MINE, tmp_path / "before", {}), ("b", None, tmp_path / "before", {}), ("c", None, away, {}))
    adopt_runs(results, MINE)
    assert {name: uri for name, (_, uri) in found(results).items()} == {
        "a": results.as_uri(),
        "b": results.as_uri(),
        "c": away.as_uri(),
    }
