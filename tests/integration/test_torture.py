"""SIGKILLs at random instants: the bits of an undisturbed run, whole records, one MLflow run per trial."""

from __future__ import annotations

import json
import os
import re
from collections import Counter

import pytest
from support.commands import gan_bench, python_module, wait_for
from support.needs import SLOW
from support.records import bits
from support.tracking import mlflow_runs

from gan_bench.records.folders import scan
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import StoredTrial

KILLS, OF_GROUPS = 50 if SLOW else 4, 15
SUITE = """\
suite: torture
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, log_every: 3, batch_size: 32}
    sweep: {lr: [2e-4, 3e-4]}
DCGAN
seeds: [1]
evaluate: {samples: 64, epochs: [1, 2], draws: 2, extractors: [lenet-mnist-v1]}
profiles: {quick: {epochs: 3, train_limit: 300}}
"""


DCGAN = """\
  - recipe: mnist-dcgan
    set: {dataset: digits, log_every: 2, batch_size: 32}"""
SUITE = SUITE.replace("DCGAN", DCGAN if SLOW else "")
TRIALS = 3 if SLOW else 2
"""Of a seed; files of a large network are those of a small one, and its steps take longer."""


def torture(suite, results, kills, tracked=0, group=1):
    done = python_module("support.torture", suite, results, 7, kills, tracked, group)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_kills_lose_nothing(tmp_path):
    suite = tmp_path / "torture.yaml"
    suite.write_text(SUITE)
    told = torture(suite, tmp_path / "tortured" / "results", KILLS, tracked=max(1, KILLS // 5))
    assert len(told["struck"]) == KILLS
    spread = Counter(re.split("[.-]", place.split()[-1].lstrip("."))[0] for place in told["struck"])
    if SLOW:
        assert {"checkpoint", "history", "evaluations", "epoch", "time"} <= set(spread), spread

    whole = tmp_path / "whole" / "results"
    for seed in range(1, told["seeds"] + 1):
        suite.write_text(SUITE.replace("seeds: [1]", f"seeds: [{seed}]"))
        done = gan_bench(
            "run", suite, "--results", whole, "--no-tracking", "--executor", "inline",
            "--device", "cpu", env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    tortured = tmp_path / "tortured" / "results"
    found = [stored for stored in scan(whole) if isinstance(stored, StoredTrial)]
    assert len(found) == TRIALS * told["seeds"]
    assert list(tortured.glob("torture/*--*/**/.*")) == []
    for stored in found:
        pair = [RecordDirectory(root / "torture" / stored.path.name) for root in (whole, tortured)]
        assert bits(pair[0]) == bits(pair[1])
    verified = gan_bench("verify", tortured)
    assert verified.returncode == 0, verified.stdout
    assert "every record is whole" in verified.stdout

    up_to_date = f"{len(found)} runs up to date"
    for _ in range(2):  # the mirror of a killed run may have just begun, and of another one meanwhile
        wait_for(lambda: up_to_date in gan_bench("sync", tortured).stdout)
    runs = mlflow_runs(tortured, "torture")
    assert Counter(run["trial"] for run in runs) == Counter({stored.trial["id"]: 1 for stored in found})
    assert {run["status"] for run in runs} == {"FINISHED"}
    steps = {
        tuple(sorted(run["steps"])) for run in runs
    }  # MLflow lists them by time, and what is trained again may be faster
    assert steps == {(1, 2, 3)}


@pytest.mark.slow
def test_kills_of_groups_lose_nothing(tmp_path):
    """One that is behind catches up alone, which may round differently; all else is as it would have been."""
    suite = tmp_path / "torture.yaml"
    suite.write_text(SUITE)
    told = torture(suite, tmp_path / "results", kills=OF_GROUPS, group=2)
    verified = gan_bench("verify", tmp_path / "results")
    assert verified.returncode == 0, verified.stdout
    assert list(tmp_path.glob("results/torture/*--*/**/.*")) == []
    found = [stored for stored in scan(tmp_path / "results") if isinstance(stored, StoredTrial)]
    assert len(found) == TRIALS * told["seeds"]
    assert {stored.record["status"] for stored in found} == {"done"}
    assert 2 in {stored.record["group"] for stored in found}
