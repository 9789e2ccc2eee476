"""How long MLflow takes to mirror a results folder: into a fresh database, again, and after one more trial.

Usage: python benchmarks/speed/mirror.py [--trials 1000] [--epochs 300] [--server]

The records are made up as in ``report.py`` beside this. With ``--server`` they go through an MLflow server on this
machine instead of straight into SQLite.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
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
from gan_bench.records.shared import write_plan

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


def sync(results: Path, uri: str | None) -> float:
    """Return the seconds that a replay takes, start of Python included."""
    command = [sys.executable, "-m", "gan_bench", "sync", str(results)]
    started = time.perf_counter()
    subprocess.run(command + (["--tracking-uri", uri] if uri else []), stdout=subprocess.DEVNULL, check=True)
    return round(time.perf_counter() - started, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--server", action="store_true")
    options = parser.parse_args()
    *planned, last = trials(-(-options.trials // SEEDS), SEEDS, options.epochs)[: options.trials]
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        results = Path(scratch) / "results"
        environment, grids = describe_environment(torch.device("cpu"), "fast"), digit_grids(20)
        for trial in track(planned, "writing records"):
            write(results, trial, environment, grids)
        write_plan(results, "scale", 1, [*planned, last])
        uri = stack.enter_context(server(Path(scratch))) if options.server else None
        fresh, again = sync(results, uri), sync(results, uri)
        write(results, last, environment, grids)
        one_more = sync(results, uri)
    measured = {"trials": options.trials, "epochs": options.epochs, "server": options.server}
    print(json.dumps({**measured, "fresh": fresh, "again": again, "one more trial": one_more}))


if __name__ == "__main__":
    main()
