"""Every command that reads a results folder, beside a run that writes it: none sees damage, and none does any."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import cycle

import pytest
from support.commands import HANG, gan_bench, wait_for
from support.records import assert_whole
from support.tracking import mlflow_runs

SUITE = """
suite: tiny
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 40}
    sweep: {lr: [2e-4, 3e-4, 4e-4]}
seeds: [0, 1]
evaluate: {epochs: [5, 10, 20, 30, 40], samples: 64}
"""
COMMANDS = (
    ("report", "{results}", "--out", "{aside}/report"),
    ("report", "{results}"),
    ("verify", "{results}"),
    ("sync", "{results}"),
    ("publish", "{results}", "--out", "{aside}/published"),
    ("board", "{results}", "--out", "{aside}/board"),
    ("compare", "{results}", "{results}", "--out", "{aside}/comparison.md"),
    ("audit", "{results}", "--levels", "consistent"),
    ("export", "parquet", "{results}", "--out", "{aside}/all.parquet"),
    ("card", "best", "--results", "{results}", "--out", "{aside}/card"),
    ("run", "{suite}", "--results", "{results}", "--dry-run", "--profile", "full"),
)
LOSS = ("damaged", "not what was saved", "unreadable", "altered", "Traceback", "cannot be read")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_commands_beside_a_run_see_no_damage_and_do_none(tmp_path, seed):
    results, suite = tmp_path / "results", tmp_path / "tiny.yaml"
    suite.write_text(SUITE)
    words = (sys.executable, "-m", "gan_bench", "run", suite, "--results", results, "--profile", "full", "--workers", 2)
    order = random.Random(seed).sample(COMMANDS, len(COMMANDS))
    with subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        wait_for(lambda: list(results.glob("tiny/*/history.jsonl")))
        for number, command in enumerate(cycle(order)):
            if number >= len(COMMANDS) and run.poll() is not None:
                break
            places = {"results": results, "suite": suite, "aside": tmp_path / f"aside-{number}"}
            done = gan_bench(*(word.format(**places) for word in command))
            said = f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            assert not [word for word in LOSS if word in done.stdout + done.stderr], said
            assert done.returncode in (0, 2) or command[0] in ("compare", "audit"), said
        told = run.communicate(timeout=HANG)[0]
    assert run.returncode == 0, told
    assert_whole(results)
    assert gan_bench("verify", results).returncode == 0
    assert gan_bench("sync", results).returncode == 0
    assert len(mlflow_runs(results, "tiny")) >= 6
