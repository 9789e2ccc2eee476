"""How long MLflow takes to mirror a results folder: into a fresh database, again, and after one more trial.

Usage: python benchmarks/speed/mirror.py [--trials 1000] [--epochs 300] [--server] [--against FOLDER]

The records are made up as in ``report.py`` beside this. With ``--server`` they go through an MLflow server on this
machine instead of straight into SQLite. ``--against`` names a checkout of another version, whose times into a fresh
database are taken in turns with ours. Last, one replay is timed from within: how much of it MLflow's calls take.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from report import digit_grids, trials, write
from rich.progress import track

from gan_bench.execution.trial.environment import describe_environment
from gan_bench.records.plan import write_plan

SEEDS = 10


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run an MLflow server; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(command, env={**os.environ, **quiet}, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.2)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


WITHIN = """
import json, sys, time
from pathlib import Path
import mlflow
from gan_bench.report.build import refresh_summaries
from gan_bench.tracking.replay import replay
spent, depth = 0.0, 0
def timed(call):
    def wrapper(*given, **named):
        global spent, depth
        depth, started = depth + 1, time.perf_counter()
        try:
            return call(*given, **named)
        finally:
            depth -= 1
            spent += 0 if depth else time.perf_counter() - started
    return wrapper
for name, call in list(vars(mlflow.MlflowClient).items()):
    if callable(call) and (name == "__init__" or not name.startswith("_")):
        setattr(mlflow.MlflowClient, name, timed(call))
started = time.perf_counter()
refresh_summaries(Path(sys.argv[1]))
replay(Path(sys.argv[1]), sys.argv[2])
print(json.dumps({"all": round(time.perf_counter() - started, 2), "calls": round(spent, 2)}))
"""
"""A replay that says how long it took, and how much of that it spent in calls of MLflow's client."""


def sync(results: Path, uri: str | None, checkout: Path | None = None) -> float:
    """Return the seconds that a replay takes, start of Python included."""
    command = [sys.executable, "-m", "gan_bench", "sync", str(results)]
    where = {**os.environ, **({"PYTHONPATH": str(checkout)} if checkout else {})}
    started = time.perf_counter()
    command += ["--tracking-uri", uri] if uri else []
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=where, cwd=checkout)
    return round(time.perf_counter() - started, 1)


def forget(results: Path) -> None:
    """Remove the database beside the results, and what a report said."""
    for made in ("mlartifacts", "report"):
        shutil.rmtree(results / made, ignore_errors=True)
    (results / "mlflow.db").unlink(missing_ok=True)


def within(results: Path) -> dict[str, float]:
    """Return the seconds of a replay into a fresh database, all of them and those in MLflow's calls."""
    uri = f"sqlite:///{results.resolve() / 'mlflow.db'}"
    done = subprocess.run([sys.executable, "-c", WITHIN, str(results), uri], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--server", action="store_true")
    parser.add_argument("--against", type=Path, help="a checkout of another version")
    parser.add_argument("--rounds", type=int, default=2, help="replays of each version")
    options = parser.parse_args()
    *planned, last = trials(-(-options.trials // SEEDS), SEEDS, options.epochs)[: options.trials]
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        results = Path(scratch) / "results"
        environment, grids = describe_environment(torch.device("cpu"), "fast"), digit_grids(20)
        write_plan(results, "scale", 1, [*planned, last])
        for trial in track(planned, "writing records"):
            write(results, trial, environment, grids)
        uri = stack.enter_context(server(Path(scratch))) if options.server else None
        fresh, again = sync(results, uri), sync(results, uri)
        write(results, last, environment, grids)
        one_more = sync(results, uri)
        turns: dict[str, list[float]] = {"ours": [], "other": []}
        for _ in range(options.rounds if options.against else 0):
            for name, checkout in (("ours", None), ("other", options.against.resolve())):
                forget(results)
                turns[name].append(sync(results, uri, checkout))
        forget(results)
        inside = None if options.server else within(results)
    measured = {"trials": options.trials, "epochs": options.epochs, "server": options.server}
    print(
        json.dumps(
            {**measured, "fresh": fresh, "again": again, "one more trial": one_more, "turns": turns, "within": inside}
        )
    )


if __name__ == "__main__":
    main()
