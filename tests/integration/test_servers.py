"""The mirror with real tracking servers: shared by two folders, with PostgreSQL, with passwords, away and back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from base64 import b64encode
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from support import warm
from support.commands import HANG, gan_bench, python_code, wait_for
from support.needs import slow
from support.servers import free_port, mlflow_server, postgres, proxy

from gan_bench.core.channel import spawn
from gan_bench.tracking import database
from gan_bench.tracking.sync_process import follow

SUITE = """\
suite: tiny
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 2, log_every: 4}
    sweep: {lr: [2e-4, 3e-4]}
seeds: [0, 1]
evaluate: {epochs: [1], samples: 64}
"""
PASSWORD = "long enough 4711"  # noqa: S105 - of a server that lives for a test

ASK = """
import sys, json
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
out = []
for experiment in client.search_experiments():
    for run in client.search_runs([experiment.experiment_id]):
        out.append({"experiment": experiment.name, "id": run.info.run_id, "status": run.info.status,
            "tags": {k: v for k, v in run.data.tags.items()}, "params": run.data.params, "metrics": run.data.metrics,
            "name": run.info.run_name, "artifacts": [a.path for a in client.list_artifacts(run.info.run_id)],
            "record": [a.path for a in client.list_artifacts(run.info.run_id, "record")],
            "models": len(run.outputs.model_outputs) if run.outputs else 0,
            "seconds": ((run.info.end_time or run.info.start_time) - run.info.start_time) / 1000,
            "datasets": [d.dataset.name for d in run.inputs.dataset_inputs],
            "steps": [m.step for m in client.get_metric_history(run.info.run_id, "train/loss_d")],
            "rows": len(client.get_metric_history(run.info.run_id, "step/loss_d"))})
print(json.dumps(out))
"""


def runs_at(uri, environment=None):
    done = python_code(ASK, uri, env={**os.environ, **(environment or {})})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def trials_of(found):
    return [run for run in found if "gan_bench.trial" in run["tags"]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Four trials that were never mirrored, with their report."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(SUITE)
    done = gan_bench("run", folder / "tiny.yaml", "--results", folder / "results", "--no-tracking", "--device", "cpu",
                     "--executor", "inline")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results"


@pytest.fixture
def folders(trained, tmp_path):
    """Two results folders with the same trials."""
    return [shutil.copytree(trained, tmp_path / name) for name in ("a", "b")]


@pytest.mark.ci
@pytest.mark.postgres
def test_two_results_folders_share_a_server_with_postgresql(folders, tmp_path):
    with postgres() as database, mlflow_server(tmp_path / "server", backend=database) as uri:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
        for path in [path for folder in folders for path in folder.glob("tiny/*seed=1--*")]:
            shutil.rmtree(path)  # two runs of each do
        command = [*warm.command("gan_bench"), "sync"]
        both = [
            subprocess.Popen([*command, str(f)], env=environment, stdout=subprocess.PIPE, text=True) for f in folders
        ]
        said = [process.communicate(timeout=HANG)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        found = runs_at(uri)
        first = trials_of(found)
        assert len(first) == 4, "two of each folder"
        assert len({run["tags"]["gan_bench.results"] for run in first}) == 2
        assert len(found) - len(first) == 2 * (2 + 1), "two settings and an answer of each"
        assert f"tiny: Leaderboard (lenet-mnist-v1): {uri}/#/experiments/1/runs" in said[0]

        again = gan_bench("sync", folders[0], env=environment)
        assert "2 runs up to date" in again.stdout, again.stderr
        after = trials_of(runs_at(uri))
        assert {run["id"] for run in after} == {run["id"] for run in first}
        assert [run["rows"] for run in after] == [run["rows"] for run in first]

        # The database itself, without a server: files then lie beside the results.
        direct = {**environment, "MLFLOW_TRACKING_URI": database}
        done = gan_bench("sync", folders[0], "--experiment-prefix", "direct-", env=direct)
        assert done.returncode == 0, done.stderr
        assert list((folders[0] / "mlartifacts" / "tiny").glob("*/artifacts/record/record.json"))


def test_a_run_has_what_people_look_for(folders, tmp_path):
    done = gan_bench("sync", folders[0])
    assert "4 runs up to date" in done.stdout, done.stderr
    found = runs_at(f"sqlite:///{folders[0] / 'mlflow.db'}")
    for run in trials_of(found):
        assert run["status"] == "FINISHED"
        assert run["steps"] == [1, 2]
        assert run["rows"] == 6, "of two epochs the single steps are there too"
        assert {"lr_g", "beta1_d", "batch_size", "epochs", "evaluation_samples"} <= set(run["params"])
        assert float(run["params"]["lr_g"]) in (2e-4, 3e-4)
        assert re.match(r"seed [01] · mnist-mlp-z100 · lr ", run["name"]), "the seed, the recipe, then what differs"
        assert {"mlflow.source.name", "mlflow.source.type", "mlflow.user", "mlflow.runColor"} <= set(run["tags"])
        assert run["tags"]["mlflow.source.name"] == "gan-bench run tiny.yaml"
        assert run["datasets"] == ["digits train", "digits train (reference)"]
        assert {"record/record.json", "record/history.jsonl", "record/environment.json"} <= set(run["record"])
        record = next(folders[0].glob(f"tiny/*--{run['tags']['gan_bench.trial']}/record.json"))
        final = json.loads(record.read_text())["final"]
        assert run["metrics"]["eval/fid.lenet-mnist-v1"] == final["fid[lenet-mnist-v1,train,64]"], "all digits"
        assert not [key for key in run["metrics"] if key.startswith("final/")]
    colours = {run["tags"]["setting"]: run["tags"]["mlflow.runColor"] for run in trials_of(found)}
    assert len(set(colours.values())) == 2
    (answer,) = [run for run in found if "gan_bench.answer" in run["tags"]]
    assert answer["tags"]["mlflow.note.content"].startswith("- No setting is of use yet: ")
    assert {"report.html", "suite.yaml", "plan.json", "tables"} <= set(answer["artifacts"])


@pytest.mark.slow
def test_passwords_and_permissions(folders, tmp_path):
    secret = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "x", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
    with mlflow_server(tmp_path / "server", arguments=["--app-name", "basic-auth"], environment=secret) as uri:

        def sync(user, password, *more):
            who = {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password} if user else {}
            return gan_bench("sync", folders[0], "--tracking-uri", uri, *more, env={**os.environ, **who})

        stranger = sync(None, None)
        assert stranger.returncode == 2
        assert "set or correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in stranger.stderr
        done = sync("admin", PASSWORD)
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in done.stdout + done.stderr

        body = json.dumps({"username": "reader", "password": PASSWORD}).encode()
        basic = b64encode(f"admin:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        asked = urllib.request.Request(f"{uri}/api/2.0/mlflow/users/create", body, headers)  # noqa: S310
        urllib.request.urlopen(asked, timeout=HANG)  # noqa: S310
        shutil.rmtree(folders[1] / "report")
        who = {"MLFLOW_TRACKING_USERNAME": "reader", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        reader = gan_bench("sync", folders[1], "--tracking-uri", uri, env={**os.environ, **who})
        assert reader.returncode == 2, "the default permission is READ"
        assert "ask its administrator for the permission EDIT" in reader.stderr
        assert reader.stderr.count("\n") == 1
        assert (
            len(trials_of(runs_at(uri, {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD})))
            == 4
        )
    for path in folders[0].rglob("*.json"):
        assert PASSWORD not in path.read_text()


def test_a_password_on_the_command_line_is_refused(folders):
    for command in (["run", "digits"], ["sync", folders[0]], ["ui", "--results", folders[0]]):
        done = gan_bench(*command, "--tracking-uri", "http://me:secret@127.0.0.1:9")
        assert done.returncode == 2
        assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in done.stderr
        assert "secret" not in done.stdout + done.stderr


@pytest.mark.slow
def test_the_mirror_comes_back_when_the_server_does(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    port, over, answers = free_port(), threading.Event(), []
    uri = f"http://127.0.0.1:{port}"
    thread = threading.Thread(target=lambda: answers.append(follow(folders[0] / "tiny", uri, over)))
    thread.start()
    time.sleep(4)  # the first try has failed
    with mlflow_server(tmp_path / "server", port=port):
        wait_for(lambda: len(trials_of(runs_at(uri))) == 4)
        over.set()
        thread.join(HANG)
        assert answers[0].error is None
        assert [name.partition(" ")[0] for name, _ in answers[0].views] == ["Leaderboard", "Curves", "Trials"]


def test_a_decided_setting_becomes_a_model(folders, tmp_path):
    shared = f"sqlite:///{folders[1] / 'mlflow.db'}"
    gan_bench("sync", folders[1])
    refused = gan_bench("sync", folders[0], "--register")
    assert "not registered: " in refused.stdout, refused.stdout + refused.stderr
    code = """
import sys, warnings
from pathlib import Path
from gan_bench.tracking.registration import register
results = Path(sys.argv[1])
trial = sorted((results / "tiny").glob("*--*"))[0]
uri = sys.argv[2]
print(register(results, uri, "", trial))
import mlflow, numpy as np
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model("models:/tiny@champion")
a, b, c = model.predict(16), model.predict(16), model.predict(16, params={"seed": 1})
print(a.shape, a.dtype, (a == b).all(), (a == c).all())
"""
    done = python_code(code, folders[0], shared)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "models:/tiny/1" in done.stdout
    assert "(16, 28, 28, 1) uint8 True False" in done.stdout
    found = trials_of(runs_at(shared))
    (chosen,) = [run for run in found if run["models"]]
    assert chosen["tags"]["gan_bench.results"] == (folders[0] / ".gan_bench-results").read_text().strip()
    assert chosen["seconds"] < 60, "it ended when its training did"


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")
def test_of_runs_made_twice_one_stays_and_a_lost_answer_makes_none_twice(folders, tmp_path):
    """Seven of twenty runs were twins, and the next replay deleted complete ones."""
    from mlflow import MlflowClient

    def lose_every_third(path, number):
        return "lose" if path.endswith("runs/create") and number % 3 == 1 else None

    with mlflow_server(tmp_path / "server") as uri, proxy(uri, lose_every_third) as lossy:
        first = gan_bench("sync", folders[0], "--tracking-uri", lossy)
        assert first.returncode == 0, first.stdout + first.stderr
        whole, client = runs_at(uri), MlflowClient(uri)
        assert len(whole) == 4 + 2 + 1
        assert {run["status"] for run in whole} == {"FINISHED"}
        for run in whole:  # an earlier version made them so
            there = client.get_run(run["id"])
            kept = ("gan_bench.synced", "gan_bench.shown", "gan_bench.curves", "gan_bench.report")
            tags = {name: value for name, value in there.data.tags.items() if name not in kept}
            client.create_run(there.info.experiment_id, start_time=there.info.start_time + 1, tags=tags)
        done = gan_bench("sync", folders[0], "--tracking-uri", uri)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {run["id"] for run in runs_at(uri)} == {run["id"] for run in whole}


@pytest.mark.ci
@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (413, "raise that limit (in nginx client_max_body_size) and sync again"),
        *slow((403, "the right to write artifacts, and sync again"), (500, "its log says why")),
    ],
)
def test_a_server_that_takes_no_files_has_every_number(folders, tmp_path, status, remedy):
    """It had none: files go first, and the first that was refused ended the sync."""

    def spoil(path, _):
        return status if "/mlflow-artifacts/artifacts/" in path else None

    with mlflow_server(tmp_path / "server") as uri:
        with proxy(uri, spoil) as limited:
            for _ in range(2):
                done = gan_bench("sync", folders[0], "--tracking-uri", limited)
                said = " ".join(done.stdout.split())
                assert done.returncode == 1
                assert said.count("MLflow does not take all files of runs (") == 1
                assert remedy in said
        found = runs_at(uri)
        assert (len(found), len(trials_of(found))) == (7, 4)
        for run in found:
            assert run["status"] == "FINISHED"
            assert run["artifacts"] == []
            assert "gan_bench.answer" in run["tags"] or run["metrics"]
        before = {run["id"]: run["metrics"] for run in found if "gan_bench.answer" not in run["tags"]}
        assert gan_bench("sync", folders[0], "--tracking-uri", uri).returncode == 0
        after = runs_at(uri)
        assert all(run["artifacts"] for run in after)
        assert {run["id"]: run["metrics"] for run in after if "gan_bench.answer" not in run["tags"]} == before


def test_a_server_that_asks_for_an_hour_is_left_at_once(folders, tmp_path):
    with proxy("http://127.0.0.1:9", lambda *_: 429) as busy:
        done = gan_bench("sync", folders[0], "--tracking-uri", busy)
    assert done.returncode == 2
    assert "(too many 429 error responses)" in done.stderr


@pytest.mark.ci
def test_who_waits_for_a_server_that_hangs_may_leave_with_the_answer(folders, tmp_path):
    """After 90 seconds of silence there was neither an answer nor what completes MLflow."""
    over = threading.Event()
    words = ["run", folders[0].parent / "tiny.yaml", "--results", folders[0], "--device", "cpu"]
    (folders[0].parent / "tiny.yaml").write_text(SUITE)
    with proxy("http://127.0.0.1:9", lambda *_: over.wait(HANG) and 503) as uri:
        command = [*warm.command("gan_bench"), *map(str, words), "--tracking-uri", uri]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            lines = iter(process.stdout.readline, "")
            assert any("waiting for MLflow (Ctrl-C ends the waiting)" in line for line in lines)
            process.send_signal(signal.SIGINT)
            said = "".join(lines)
        over.set()
    assert process.returncode == 0, said
    assert "ending without waiting for MLflow, after 90 s in any case" in said
    assert "digits: settings" in said
    assert "MLflow lacks 4 of 4 runs and the answer: the mirror was not waited for any longer; `gan-bench sync" in said


ORPHAN = """
import sys, time
from gan_bench.tracking import sync_process
sync_process.LAST_PASS_SECONDS = sync_process.END_SECONDS = 0.1
sync_process.follow = lambda *_: time.sleep(3600)
sys.argv = ["", "suite"]
sync_process._main()
"""


def test_a_mirror_that_hangs_and_that_nobody_waits_for_ends(tmp_path, monkeypatch):
    """It held the suite's lock for as long as the server did not answer: `sync` left everything to it."""
    (tmp_path / "orphan.py").write_text(ORPHAN)
    monkeypatch.syspath_prepend(str(tmp_path))
    process, lines = spawn("orphan", (), subprocess.DEVNULL, os.environ)
    process.stdin.close()
    with lines:
        assert lines.read() == ""
    assert process.wait(HANG) == 1


@pytest.mark.ci
@pytest.mark.parametrize(("options", "sent"), [(["--open"], signal.SIGINT), *slow(([], signal.SIGTERM))])
def test_a_page_ends_with_its_command(folders, tmp_path, options, sent):
    """The command waited for a server that nobody ended; Ctrl-C printed two tracebacks of the server's."""
    warm.copy_database(folders[0] / "mlflow.db")
    port = free_port()
    command = [*warm.command("gan_bench"), "ui", "--results", folders[0], "--port", port, *options]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            list(map(str, command)), stdout=said, stderr=said, env={**os.environ, "BROWSER": "true"}
        )
    try:
        wait_for(lambda: is_answered(port), process)
        assert is_answered(port, "")
        process.send_signal(sent)
        assert process.wait(HANG) == 128 + sent, (tmp_path / "said").read_text()
        assert not is_answered(port)
        assert "Traceback" not in (tmp_path / "said").read_text()
    finally:
        process.kill()


def is_answered(port, page="health"):
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=HANG).read())
    except OSError:
        return False


def test_a_database_server_that_is_away_is_left_at_once(folders):
    """A trial of a second took 255 seconds to return, and a sync was silent for two minutes."""
    pytest.importorskip("psycopg")
    uri = f"postgresql+psycopg://u@127.0.0.1:{free_port()}/x"
    for command in (("sync", folders[0]), ("ui", "--results", folders[0])):
        begun = time.monotonic()
        done = gan_bench(*command, "--tracking-uri", uri)
        assert done.returncode == 2
        assert f"MLflow {'at' if command[0] == 'sync' else 'cannot open'} {uri}" in done.stderr
        assert "onnection refused" in done.stderr
        assert time.monotonic() - begun < 60, "MLflow alone tries for 100 s"


def test_a_database_server_that_says_nothing_is_left_after_a_few_seconds(monkeypatch):
    psycopg = pytest.importorskip("psycopg")
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(OperationalError) as error:
            database.probe(f"postgresql+psycopg://u:secret@127.0.0.1:{silent.getsockname()[1]}/x")
    assert isinstance(error.value.orig, psycopg.OperationalError)
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    "connect", [database.probe, lambda uri: database.move_run(uri, "run", "file:///here")], ids=["probe", "move"]
)
def test_a_database_server_is_shown_the_certificates_that_mlflow_shows_it(monkeypatch, connect):
    """One that takes no connection without TLS was refused, though MLflow connected to it."""

    class Error(Exception):
        """Every error of a driver."""

    def reached(**options):
        raise Error(json.dumps(options))

    driver = ModuleType("pymysql")
    kinds = ("Operational", "Internal", "Programming", "Database", "Interface", "Data", "Integrity", "NotSupported")
    vars(driver).update({f"{kind}Error": Error for kind in kinds})
    vars(driver).update(Error=Error, paramstyle="pyformat", VERSION=(1, 1, 1), connect=reached)
    monkeypatch.setitem(sys.modules, "pymysql", driver)
    monkeypatch.setenv("MLFLOW_MYSQL_SSL_CA", "/etc/ssl/rds.pem")
    with pytest.raises(SQLAlchemyError) as error:
        connect("mysql+pymysql://u:p@db.example/mlflow")
    passed = json.loads(str(error.value.orig))
    assert passed["ssl_ca"] == "/etc/ssl/rds.pem"
    assert passed.get("connect_timeout") == (database.CONNECT_SECONDS if connect is database.probe else None)


@pytest.mark.parametrize("uri", ["sqlite:///x.db", "http://127.0.0.1:9", "mlruns", "file:///x", "databricks"])
def test_other_locations_are_not_connected_to(uri):
    database.probe(uri)


SERVES = """
import pathlib, sys
from gan_bench.cli import mlflow_commands
from gan_bench.terminal.console import console

mlflow_commands.refuse_broken = lambda *_: None
mlflow_commands._links = lambda *_: []
mlflow_commands.serve(pathlib.Path(sys.argv[1]), None, "127.0.0.1", int(sys.argv[2]), console(), open_page=False)
"""
IDLE = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
with open(os.environ["PIDS"] + ".new", "w") as file:
    file.write(f"{os.getpid()} {child.pid} {sys.argv[1]}")
os.rename(os.environ["PIDS"] + ".new", os.environ["PIDS"])
signal.pause()
"""


def test_the_server_of_a_page_that_is_killed_keeps_no_port(tmp_path):
    """MLflow's server, and what it started, stayed for good."""
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").touch()
    (tmp_path / "mlflow" / "__main__.py").write_text(IDLE)
    (tmp_path / "mlflow.db").touch()
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths, "PIDS": str(tmp_path / "pids")}
    command = [sys.executable, "-c", SERVES, str(tmp_path), str(free_port())]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        wait_for((tmp_path / "pids").exists, process)
        server, child, word = (tmp_path / "pids").read_text().split()
        assert word == "ui"
        assert os.getpgid(int(child)) == int(server) != os.getpgid(process.pid)
        process.kill()

    def is_over():
        try:
            os.killpg(int(server), 0)
        except ProcessLookupError:
            return True
        return all(is_zombie(pid) for pid in (server, child))

    try:
        wait_for(is_over)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(server), signal.SIGKILL)


def is_zombie(pid):
    """True if a process has ended, and nobody has asked for its end yet, or is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
