"""The scripts in benchmarks/ run: nothing else calls them, so nothing else would notice."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest


def script(*arguments):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_report_s_cost_is_measured(tmp_path):
    out = script("benchmarks/speed/report.py", "--settings", 2, "--seeds", 2, "--epochs", 12, "--out", tmp_path)
    measured = json.loads(out.strip().splitlines()[-1])
    assert measured["trials"] == 4
    assert 0 < measured["page_mb"] < 2


def test_the_simulation_writes_its_tables(tmp_path):
    script("benchmarks/statistics/simulate.py", "--studies", 2000, "--out", tmp_path)
    errors = pd.read_csv(tmp_path / "errors.csv").set_index(["two equal settings", "test on"])
    assert errors.loc[("log-normal, sigma 0.1", "log ratio"), "1 tests, 5 seeds"] == pytest.approx(0.05, abs=0.02)
    power = pd.read_csv(tmp_path / "power.csv")
    assert (power.loc[power["true factor"] == 2.0, "1 tests, 10 seeds"] > 0.5).all()
    best = pd.read_csv(tmp_path / "best.csv").set_index("equal settings")
    assert (best[["5 seeds", "10 seeds"]] < 0.12).all(axis=None)
    assert (tmp_path / "errors.md").read_text().startswith("| two equal settings")


def test_the_mirror_s_cost_is_measured():
    out = script("benchmarks/speed/mirror.py", "--trials", 3, "--epochs", 3)
    measured = json.loads(out.strip().splitlines()[-1])
    assert measured["trials"] == 3
    assert measured["again"] > 0
