"""The mirror as a user's shell has it: whole commands against a server over HTTP, and databases that are not whole."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support import warm
from support.commands import HANG, gan_bench, python_code, wait_for
from support.needs import SLOW, slow
from support.servers import free_port, mlflow_server
from support.studies import write
from support.suites import SMALL, train_small
from support.tracking import tagged_runs
from support.trials import digits_trial

from gan_bench.config.design import Design
from gan_bench.records.plan import write_plan

SEEDS = "0-5"
RUNS = 12 + 2 + 1
"""Trials, settings, and the answer."""
FEW_RUNS = 4 + 2 + 1
"""Those of ``few``."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Twelve finished trials, as many as the mirror's first fault needed, which no MLflow knows."""
    folder = tmp_path_factory.mktemp("mirror")
    train_small(folder)
    places = (folder / "small.yaml", "--results", folder / "results")
    done = gan_bench("run", *places, "--no-tracking", "--profile", "full", "--seeds", SEEDS, "--executor", "inline")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results"


@pytest.fixture
def results(trained, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    return shutil.copytree(trained, tmp_path / "results")


@pytest.fixture
def few(tmp_path):
    """Four such trials, for tests that are not about their number."""
    return train_small(tmp_path)


def run(results, *more, environment=None):
    there = {**os.environ, **(environment or {})}
    suite = results.parent / "small.yaml"
    return gan_bench("run", suite, "--results", results, "--profile", "full", *more, env=there)


@pytest.mark.starts_children
def test_a_run_that_mirrors_over_http_ends_with_every_run(few, tmp_path):
    """MLflow printed a line for every ended run into the channel: five of thirteen arrived, and the exit code was 0."""
    with mlflow_server(tmp_path / "server") as uri:
        for attempt in range(3 if SLOW else 1):
            (few / ".gan_bench-results").unlink(missing_ok=True)  # another folder, as far as the server knows
            done = run(few, environment={"MLFLOW_TRACKING_URI": uri})
            assert done.returncode == 0, done.stderr
            assert "MLflow lacks" not in done.stdout
            assert "did not answer" not in done.stdout
            identity = (few / ".gan_bench-results").read_text().strip()
            mine = [tags for tags in tagged_runs(uri) if tags["gan_bench.results"] == identity]
            assert len({tags["gan_bench.trial"] for tags in mine if "gan_bench.trial" in tags}) == 4, attempt
            assert len(mine) == FEW_RUNS


NOISY = """\
import builtins, os, sys
os.write(1, b"{\\"complete\\": 3}\\nnot JSON at all\\n")
print("a library says hello")
"""


@pytest.mark.slow
@pytest.mark.starts_children
def test_no_library_can_write_into_a_channel(results, tmp_path):
    """Whatever is printed at the start of every Python, in the mirror and in the workers."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "usercustomize.py").write_text(NOISY)
    (tmp_path / "site" / "sitecustomize.py").write_text(NOISY)
    shutil.rmtree(next(results.glob("small/*seed=0--*")))
    shutil.rmtree(next(results.glob("small/*seed=1--*")))
    done = run(results, "--seeds", SEEDS, "--executor", "processes", environment={"PYTHONPATH": str(tmp_path / "site")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MLflow lacks" not in done.stdout
    assert len(tagged_runs(f"sqlite:///{results / 'mlflow.db'}")) == RUNS
    assert b"a library says hello" in (results / ".mlflow.log").read_bytes()


@pytest.mark.slow
def test_a_server_that_goes_away_is_said_with_the_number_of_runs(results, tmp_path):
    port = free_port()
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    done = run(results, "--seeds", SEEDS, environment=away)
    assert done.returncode == 0
    assert "MLflow lacks 12 of 12 runs and the answer: " in done.stdout
    assert f"`gan-bench sync {results} --tracking-uri http://127.0.0.1:{port}` completes it" in done.stdout
    with mlflow_server(tmp_path / "server", port=port) as uri:
        assert "12 runs up to date" in gan_bench("sync", results, "--tracking-uri", uri).stdout


def test_a_mirror_that_is_killed_is_said_with_the_number_of_runs(few):
    """The mirror is killed while it sends; the run notices at once, and knows what arrived."""
    command = [*warm.command("gan_bench"), "run", few.parent / "small.yaml", "--results", few, "--profile", "full"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    stopped = threading.Event()

    def kill():
        while not stopped.is_set():
            found = subprocess.run(["pgrep", "-f", f"sync_process {few}"], capture_output=True, text=True, check=False)
            if (few / "mlflow.db").exists() and found.stdout.split():
                os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    said, _ = process.communicate(timeout=HANG)
    stopped.set()
    thread.join()
    assert process.returncode == 0
    assert "and the answer: the mirror ended with code -9" in said
    again = gan_bench("sync", few)
    assert "4 runs up to date" in again.stdout, again.stdout + again.stderr


# ------------------------------------------------------------------------------------------------- databases


@pytest.mark.slow
def test_a_new_database_is_whole_or_not_there_whenever_its_maker_is_killed(tmp_path, results):
    for kill in range(4):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        copy = shutil.copytree(results, tmp_path / "copy")
        process = subprocess.Popen([sys.executable, "-m", "gan_bench", "sync", str(copy)], stdout=subprocess.DEVNULL)
        wait_for(lambda: list(copy.glob(".mlflow.db.*")) or process.poll() is not None)  # noqa: B023
        time.sleep(random.Random(kill).random() * 0.6)
        process.kill()
        process.wait()
        done = gan_bench("sync", copy)
        assert "12 runs up to date" in done.stdout, done.stdout + done.stderr
        assert "was broken" not in done.stdout


HALF = """
import os, sys
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine
left = int(sys.argv[2])
@event.listens_for(Engine, "after_cursor_execute")
def after(connection, cursor, statement, *_):
    global left
    left -= statement.strip().upper().startswith(("CREATE", "ALTER", "DROP", "INSERT", "UPDATE"))
    if left == 0:
        os._exit(9)
MlflowClient(f"sqlite:///{sys.argv[1]}").search_experiments()
"""


def half_made(statements):
    """A database as a kill leaves it where MLflow makes its tables in place: after so many changes."""

    def make(path):
        assert python_code(HALF, path, statements).returncode == 9

    return make


def random_bytes(path):
    path.write_bytes(random.Random(1).randbytes(100_000))


def cut(path):
    gan_bench("sync", path.parent)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def punched(path):
    """Pages in the middle are gone: it opens, and fails where it is read."""
    gan_bench("sync", path.parent)
    with path.open("r+b") as file:
        size = path.stat().st_size
        file.seek(size // 3 // 4096 * 4096)
        file.write(b"\xff" * (size // 2 // 4096 * 4096))


@pytest.mark.ci
@pytest.mark.parametrize("damage", [half_made(60), *slow(punched, half_made(8), half_made(160), random_bytes, cut)])
def test_a_broken_database_is_set_aside_by_name_and_made_again(few, damage):
    damage(few / "mlflow.db")
    before = (few / "mlflow.db").read_bytes()
    served = gan_bench("ui", "--results", few, "--port", str(free_port()))
    assert served.returncode == 2, served.stdout
    assert len(served.stderr.splitlines()) == 1
    assert f"`gan-bench sync {few}` sets it aside" in served.stderr
    done = gan_bench("sync", few)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it is kept as mlflow.db.broken-1, and made again from the records" in done.stdout
    assert "4 runs up to date" in done.stdout
    assert (few / "mlflow.db.broken-1").read_bytes()[:4096] == before[:4096]
    assert len(tagged_runs(f"sqlite:///{few / 'mlflow.db'}")) == FEW_RUNS
    assert "was broken" not in gan_bench("sync", few).stdout


def test_a_run_mends_it_too(few):
    random_bytes(few / "mlflow.db")
    done = run(few)
    assert done.returncode == 0
    assert "it is kept as mlflow.db.broken-1" in done.stdout
    assert "MLflow lacks" not in done.stdout
    assert len(tagged_runs(f"sqlite:///{few / 'mlflow.db'}")) == FEW_RUNS


def test_a_broken_database_of_somebody_else_s_stays(few, tmp_path):
    random_bytes(tmp_path / "theirs.db")
    before = (tmp_path / "theirs.db").read_bytes()
    done = gan_bench("sync", few, "--tracking-uri", f"sqlite:///{tmp_path / 'theirs.db'}")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "theirs.db is broken" in done.stderr
    assert (tmp_path / "theirs.db").read_bytes() == before


SHARING = "abc" if SLOW else "ab"
"""Results folders that one new database is made for."""


def test_folders_make_one_new_database_at_the_same_time(few, tmp_path):
    folders = [shutil.copytree(few, tmp_path / name) for name in SHARING]
    uri = f"sqlite:///{tmp_path / 'shared.db'}"
    command = [*warm.command("gan_bench"), "sync"]
    both = [
        subprocess.Popen([*command, str(f), "--tracking-uri", uri], stdout=subprocess.PIPE, text=True) for f in folders
    ]
    said = [process.communicate(timeout=HANG)[0] for process in both]
    assert {process.returncode for process in both} == {0}, said
    assert len(tagged_runs(uri)) == len(SHARING) * FEW_RUNS
    assert sqlite3.connect(tmp_path / "shared.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_files_that_were_removed_are_sent_again(few):
    """`sync` said that all runs were up to date, and no image came back."""
    assert gan_bench("sync", few).returncode == 0
    files = {path.relative_to(few) for path in (few / "mlartifacts").rglob("*") if path.is_file()}
    before = run_ends(few / "mlflow.db")
    shutil.rmtree(few / "mlartifacts")
    assert gan_bench("sync", few).returncode == 0
    again = {path.relative_to(few) for path in (few / "mlartifacts").rglob("*") if path.is_file()}
    assert sorted(path.name for path in again) == sorted(path.name for path in files)
    assert run_ends(few / "mlflow.db") == before
    states = {path: path.stat().st_mtime_ns for path in (few / "mlartifacts").rglob("*")}
    assert gan_bench("sync", few).returncode == 0
    assert states == {path: path.stat().st_mtime_ns for path in (few / "mlartifacts").rglob("*")}


def run_ends(path):
    """Return how and when every run of a trial ended."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT name, status, end_time FROM runs WHERE name LIKE '%seed%'").fetchall()
    assert {status for _, status, _ in rows} == {"FINISHED"}
    return sorted(rows)


def test_the_tag_of_an_altered_record(few):
    gan_bench("sync", few)
    path = next(few.glob("small/*lr=0.0002*seed=0--*")) / "evaluations.jsonl"
    whole = path.read_bytes()
    path.write_text(path.read_text().replace('"epoch":2', '"epoch":2 '))
    done = gan_bench("sync", few)
    assert done.returncode == 1
    assert f"altered: {path} is not what was saved" in done.stdout
    uri = f"sqlite:///{few / 'mlflow.db'}"
    (tagged,) = [tags for tags in tagged_runs(uri) if tags.get("gan_bench.altered")]
    assert tagged["gan_bench.altered"] == f"{path} is not what was saved: its digest differs"
    path.write_bytes(whole)
    before = run_ends(few / "mlflow.db")
    with contextlib.closing(sqlite3.connect(few / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET status = 'FAILED', end_time = 1 WHERE name LIKE '%seed 0'")
        database.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE name LIKE '%seed 1'")
    assert gan_bench("sync", few).returncode == 0
    assert not [tags for tags in tagged_runs(uri) if tags.get("gan_bench.altered")]
    assert run_ends(few / "mlflow.db") == before, "a status that a person set stays no longer than the next sync"


SECRETS = (
    "mysql://me:hunter2secret@127.0.0.1:9/db?sslpassword=hunter3secret",
    "mysql://me@127.0.0.1:9/db?api%5Fkey=hunter2%2Dsecret&PassWord=hunter3",
    "http://me:hunter2secret@127.0.0.1:9/",
    "http://127.0.0.1:9/?access_token=hunter2secret",
)
"""Each fails at once: no driver for MySQL is installed, and nothing listens there."""


@pytest.mark.parametrize("uri", [SECRETS[0], *slow(*SECRETS[1:])])
def test_a_credential_in_the_environment_appears_nowhere(few, uri):
    done = run(few, environment={"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"})
    assert "MLflow lacks" in done.stdout
    assert f"`gan-bench sync {few}` completes it" in done.stdout
    refused = gan_bench("sync", few, "--tracking-uri", uri)
    assert refused.returncode == 2
    assert "must not hold a password" in refused.stderr
    files = [path for path in few.rglob("*") if path.is_file()]
    said = [done.stdout, done.stderr, refused.stdout, refused.stderr]
    for text in (*said, *(path.read_bytes().decode(errors="replace") for path in files)):
        assert "hunter" not in text


@pytest.mark.parametrize(
    ("design", "looks"),
    [(Design.of_looks((3, 4)), ["3", "3", "3", "4", "not declared"]), (Design.fixed(range(5)), ["5"] * 5)],
)
def test_runs_are_tagged_with_the_look_that_their_seed_counts_at(tmp_path, design, looks):
    results, trials = tmp_path / "results", [digits_trial(seed) for seed in range(5)]
    write_plan(results, "test", 1, trials[:3], design=design)
    write_plan(results, "test", 1, trials)
    for trial in trials:
        write(results, trial, 50.0)
    assert gan_bench("sync", results).returncode == 0
    tags = [each for each in tagged_runs(f"sqlite:///{results / 'mlflow.db'}") if "gan_bench.trial" in each]
    found = {each["mlflow.runName"]: each["look"] for each in tags}
    assert [look for _, look in sorted(found.items())] == looks


def places(database):
    """Return where a database says that the files of its runs with images lie, as folders."""
    with contextlib.closing(sqlite3.connect(database)) as found:
        rows = found.execute("SELECT r.artifact_uri, t.value FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid "
                             "WHERE t.key = 'gan_bench.results'").fetchall()  # fmt: skip
    by_owner = {}
    for uri, owner in rows:
        by_owner.setdefault(owner, set()).add(Path(uri.removeprefix("file://")).parents[3])
    return by_owner


def test_folders_that_share_a_database_keep_their_files_apart_and_take_them_along(few, tmp_path):
    """All files lay beside the results that were mirrored first, and were lost with them; a moved folder came again."""
    ignored = shutil.ignore_patterns("mlflow.db", "mlartifacts", ".gan_bench-results")
    first, second = (shutil.copytree(few, tmp_path / name, ignore=ignored) for name in "ab")
    database = tmp_path / "shared.db"
    for folder in (first, second, first):
        done = gan_bench("sync", folder, "--tracking-uri", f"sqlite:///{database}")
        assert done.returncode == 0, done.stderr
    owners = {(folder / ".gan_bench-results").read_text().strip(): folder for folder in (first, second)}
    assert sorted(map(sorted, places(database).values())) == [[first], [second]]
    files = {folder: len(list((folder / "mlartifacts").rglob("*.png"))) for folder in (first, second)}
    assert files[first] == files[second] > 0
    assert len(owners) == 2
    moved = second.rename(tmp_path / "moved")
    done = gan_bench("sync", moved, "--tracking-uri", f"sqlite:///{database}")
    assert done.returncode == 0, done.stderr
    assert sorted(map(sorted, places(database).values())) == [[first], [moved]]
    assert not second.exists()
    assert len(list((moved / "mlartifacts").rglob("*.png"))) == files[second]
    backup = shutil.copytree(moved, tmp_path / "backup")
    done = gan_bench("sync", backup, "--tracking-uri", f"sqlite:///{database}")
    assert done.returncode == 0, done.stderr
    assert f"{backup} is a copy of {moved}, and has an identity of its own now" in done.stdout
    assert sorted(map(sorted, places(database).values())) == [[first], [backup], [moved]], (
        "it takes nobody's files over"
    )


def test_a_copied_suite_gives_its_trials_no_second_runs(few):
    (suite,) = [path.parent for path in few.glob("*/plan.json")]
    shutil.copytree(suite, few / f"{suite.name}-gpu")
    done = gan_bench("sync", few)
    assert "is of a suite that is read from" in done.stdout + done.stderr
    trials = [each["gan_bench.trial"] for each in tagged_runs(f"sqlite:///{few / 'mlflow.db'}")
              if "gan_bench.trial" in each]  # fmt: skip
    assert sorted(trials) == sorted({path.name.rpartition("--")[2] for path in suite.glob("*--????????")})
    with contextlib.closing(sqlite3.connect(few / "mlflow.db")) as found:
        names = [name for (name,) in found.execute("SELECT name FROM experiments")]
    assert f"{suite.name}-gpu" not in names
