"""What tests need beside Python: programs and devices that a machine may lack."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SLOW = bool(os.environ.get("GAN_BENCH_SLOW"))
"""Tests that take long run, and others with all that they can try."""
IN_CI = bool(os.environ.get("CI"))
"""This machine tests every change: it must have what tests need, but for a GPU, and time for all but the slow ones."""
REHEARSED = bool(os.environ.get("GAN_BENCH_REHEARSE"))
"""Tests of CUDA run on the CPU, with captures and kernels that it can do."""


@dataclass(frozen=True)
class Need:
    """Something that tests with its marker need.

    Attributes:
        what: What it is, for people.
        missing: Why it is not there, when it is not.
        found: Returns where it is, or None.
        in_ci: Whether a machine that tests every change must have it.
    """

    what: str
    missing: str
    found: Callable[[], object]
    in_ci: bool = True


def chromium() -> str | None:
    """Return the installed browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def postgres_program(name: str) -> str | None:
    """Return a program of PostgreSQL; Debian keeps them away from the search path."""
    return shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)


def files_in_git(folder: str = ".") -> list[str]:
    """Return the files below a folder that git has of this checkout; the test is skipped where there is none."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists() or not shutil.which("git"):
        pytest.skip("this is no git checkout, or git is not installed")
    words = ["git", "-C", str(root), "ls-files", "-z", folder]
    listed = subprocess.run(words, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"git does not read this checkout: {listed.stderr.strip()}")
    return listed.stdout.rstrip("\0").split("\0")


def cuda() -> bool:
    """True if there is a CUDA device, or its tests are rehearsed."""
    import torch

    return torch.cuda.is_available() or REHEARSED


def slow(*values: object) -> list[Any]:
    """Return values of a parameter, or rows of several, that are tried where tests may take long."""
    rows = (value if isinstance(value, tuple) else (value,) for value in values)
    return [pytest.param(*row, marks=pytest.mark.slow) for row in rows]


NEEDS = {
    "browser": Need("the page in a browser", "no Chromium is installed", chromium),
    "postgres": Need("the mirror on PostgreSQL", "PostgreSQL is not installed", lambda: postgres_program("initdb")),
    "latex": Need("LaTeX tables", "pdflatex is not installed", lambda: shutil.which("pdflatex")),
    "ray": Need("Ray clusters", "Ray is not installed", lambda: importlib.util.find_spec("ray")),
    "slow": Need("what takes long", "`make test-all` runs it", lambda: SLOW, in_ci=False),
    "ci": Need(
        "what simulates studies or takes over five seconds",
        "CI and `make test-all` run it",
        lambda: IN_CI or SLOW,
        in_ci=False,
    ),
    "cuda": Need("CUDA", "this machine has no CUDA device", cuda, in_ci=False),
}
"""Needs by the name of their marker."""
