"""A small suite that trains in seconds: two settings of two seeds on the digits that come with scikit-learn."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from pathlib import Path

import gan_bench as gb
from support.records import change
from support.warm import TEMPLATES

SMALL = """
suite: small
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 2}
    sweep: {lr: [2e-4, 3e-4]}
seeds: [0, 1]
evaluate: {epochs: [1, 2], samples: 64}
"""


def train_small(folder, suite=SMALL):
    """Train a suite, the small one where none is given, into ``folder/results``, full profile, without MLflow.

    It is trained once a test session; further calls copy what was trained, with their own paths in it. What the report
    says counts as older than the plan then, so that a replay makes it again.

    Returns:
        The results folder; the suite's file lies beside it.
    """
    made = TEMPLATES / hashlib.sha256(suite.encode()).hexdigest()[:8]
    if not made.exists():
        first = Path(tempfile.mkdtemp(dir=TEMPLATES))
        (first / "small.yaml").write_text(suite)
        gb.run(first / "small.yaml", results=first / "results", executor="inline", profile="full")
        with contextlib.suppress(FileExistsError):  # another test process was as quick
            made.symlink_to(first)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    old, new = str(made.resolve()), str(folder)
    for path in (folder / "results" / "report").rglob("*.*"):
        if path.suffix in (".md", ".html", ".json"):
            path.write_text(path.read_text().replace(old, new))
    for path in (folder / "results").glob("*/plan.json"):
        change(path, lambda plan: plan.update(command=plan["command"].replace(old, new)))
    return folder / "results"
