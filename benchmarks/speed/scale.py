"""Where the time goes when ten thousand trials run on a hundred GPUs: everything but the training, which is pretended.

Usage: python benchmarks/speed/scale.py [--trials 1000 3000 10000] [--gpus 100] [--mirrored 1000] [--out DIR]

A suite of that many trials is planned from a file; the dispatcher of ``--executor ray`` hands them to a made-up
cluster, whose clock is not ours and whose trials take some minutes each. Whatever would be written is written, under
the trials' locks: records of 20 epochs with four evaluations. Then the plan is looked at again, as a second run does,
and the report is made. Seconds are of this machine, on which the tasks of all GPUs take turns.
"""

from __future__ import annotations

import argparse
import heapq
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from report import digit_grids, write

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.suite import Plan, make_plan
from gan_bench.config.trial import Trial
from gan_bench.execution.cluster.dispatcher import Dispatcher, make_bundles
from gan_bench.execution.cluster.task import Handle
from gan_bench.execution.cluster.transport import Bundle, Ended
from gan_bench.execution.preflight.checks import Survey
from gan_bench.execution.trial.claim import Claim
from gan_bench.execution.trial.decision import Action, Policy, decide
from gan_bench.execution.trial.environment import describe_environment
from gan_bench.execution.workers.job import claim_to_json, group_trials
from gan_bench.execution.workers.work import Results, Work
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.plan import write_plan

SUITE = """\
suite: scale
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {{epochs: 20, log_every: 156}}
    sweep: {{lr: [{rates}], betas: [[0.5, 0.999], [0.9, 0.999]]}}
seeds: [{seeds}]
evaluate: {{epochs: [1, 5, 10, 20], samples: 10000, extractors: [lenet-mnist-v1]}}
"""
SEEDS = 50
MINUTES = 5.0
"""Median length of a pretended trial; the longest take some times as much."""


def planned(folder: Path, trials: int) -> Plan:
    """Write a suite of about so many trials, and expand it."""
    settings = max(1, trials // SEEDS // 2)
    path = folder / "scale.yaml"
    rates = ", ".join(f"{1e-4 + index * 1e-6:.6f}" for index in range(settings))
    path.write_text(SUITE.format(rates=rates, seeds=", ".join(map(str, range(min(SEEDS, trials // 2))))))
    return make_plan(path, PlanOptions(profile="full"))


@dataclass
class PretendedCluster:
    """A transport whose tasks take pretended time, and write real records under real locks.

    Attributes:
        results: The results folder.
        room: Tasks at a time.
        now: Its clock, in pretended seconds.
        writing: Real seconds that its tasks took: locks, records, looks at earlier ends.
    """

    results: Path
    room: int
    now: float = 0.0
    writing: float = 0.0
    _waiting: deque[tuple[int, Bundle]] = field(default_factory=deque)
    _running: list[tuple[float, int, Bundle]] = field(default_factory=list)
    _said: list[tuple[Handle, Mapping[str, Any]]] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self._environment, self._grids = describe_environment(torch.device("cpu"), "fast"), digit_grids(20)
        self._rng = np.random.default_rng(0)

    def slots(self) -> int:
        return self.room

    def submit(self, bundle: Bundle) -> Handle:
        self._count += 1
        self._waiting.append((self._count, bundle))
        self._start()
        return self._count

    def _start(self) -> None:
        while self._waiting and len(self._running) < self.room:
            handle, bundle = self._waiting.popleft()
            seconds = 60 * MINUTES * float(self._rng.lognormal(0, 0.5, len(bundle.trials)).sum())
            heapq.heappush(self._running, (self.now + seconds, handle, bundle))

    def events(self) -> list[tuple[Handle, Mapping[str, Any]]]:
        said, self._said = self._said, []
        return said

    def wait(self, seconds: float) -> list[Ended]:
        if not self._running:
            return []
        self.now, handle, bundle = heapq.heappop(self._running)
        started = time.perf_counter()
        claims = {trial.id: self._run(handle, trial) for trial in bundle.trials}
        self.writing += time.perf_counter() - started
        self._start()
        return [Ended(handle, claims)]

    def _run(self, handle: Handle, trial: Trial) -> Claim:
        directory = RecordDirectory.of(self.results, trial)
        with trial_lock(directory) as lock:
            assert lock.acquire() is None
            self._said.append((handle, {"event": "started", "trial": trial.id, "resumed_at": None}))
            write(self.results, trial, self._environment, self._grids)
            record = Earlier(directory).record
        self._said.append((handle, {"event": "claimed", "trial": trial.id, "claim": claim_to_json(record)}))
        return record

    def kill(self, handle: Handle) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def recall(self) -> None:
        raise NotImplementedError

    def is_gone(self, host: str) -> bool:
        return False


class _Clock:
    """Notes how long each phase takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def note(self, phase: str, less: float = 0.0) -> None:
        now = time.perf_counter()
        self.seconds[phase] = now - self._last - less
        self._last = time.perf_counter()


def simulate(folder: Path, trials: int, gpus: int, *, mirrored: bool) -> dict[str, float]:
    """Run a suite of so many pretended trials; return seconds by phase, and pretended hours."""
    results, clock = folder / "results", _Clock()
    plan = planned(folder, trials)
    write_plan(results, plan.suite, plan.version, plan.trials)
    clock.note("plan")
    identity = {
        "data_sha256": None,
        "networks_sha256": None,
        "torch": str(torch.__version__),
        "parts": {},
        "in_program": {},
    }
    known, policy = Survey({trial.config.id: identity for trial in plan.trials}), Policy()

    def finished(trial: Trial) -> bool:
        earlier = Earlier(RecordDirectory.of(results, trial))
        return decide(earlier, trial.config, policy, known.identity).action is Action.NOTHING

    todo = [trial for trial in plan.trials if not finished(trial)]
    clock.note("what is left")
    cluster, into = PretendedCluster(results, gpus), Results(Work(trials=todo, results=results, policy=policy))
    bundles = make_bundles(group_trials(todo, lambda _: 1), lambda _: 60 * MINUTES, gpus)
    Dispatcher(cluster, into).carry(bundles)
    assert len(into.records) == len(plan.trials), "a trial was lost"
    clock.note("dispatcher", less=cluster.writing)
    clock.seconds["locks and records"] = cluster.writing
    assert all(map(finished, plan.trials))
    clock.note("what is left, all done")
    _command("gan_bench.report", results)
    clock.note("report")
    if mirrored:
        _command("gan_bench", "sync", results)
        clock.note("mirror")
    return {"trials": len(plan.trials), **clock.seconds, "hours on the GPUs": cluster.now / 3600}


def _command(*words: object) -> None:
    subprocess.run([sys.executable, "-m", *map(str, words)], stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 3000, 10_000])
    parser.add_argument("--gpus", type=int, default=100)
    parser.add_argument("--mirrored", type=int, default=1000, help="most trials of a run that is mirrored to MLflow")
    parser.add_argument("--out", type=Path, help="folder for the table")
    options = parser.parse_args()
    rows = []
    for count in options.trials:
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(simulate(Path(scratch), count, options.gpus, mirrored=count <= options.mirrored))
            print(json.dumps({name: round(value, 2) for name, value in rows[-1].items()}), flush=True)
    table = pd.DataFrame(rows).set_index("trials").T
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.out / "scale.csv", float_format="%.2f")
        text = table.map(lambda value: "" if pd.isna(value) else f"{value:,.1f}").to_markdown(disable_numparse=True)
        (options.out / "scale.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
