"""The package as it is built: complete, and of use without a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("gan_bench-*.whl")
    return made


def test_the_wheel_holds_what_the_checkout_holds(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "gan_bench"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("this is no git checkout")
    missing = set(tracked.stdout.split()) - names
    assert not missing
    suites = {f"gan_bench/suites/{path.name}" for path in (ROOT / "benchmarks").glob("*.yaml")}
    assert suites
    assert suites <= names
    assert not [name for name in names if name.startswith(("benchmarks", "tests"))]


def test_the_package_works_where_no_checkout_is(wheel, tmp_path):
    """The libraries are this environment's; everything of gan_bench is the wheel's."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "elsewhere").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}

    def run(*words):
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(
            command,
            cwd=tmp_path / "elsewhere",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run("-c", "import gan_bench; print(gan_bench.__file__)").startswith(str(tmp_path / "site"))
    listed = run("-m", "gan_bench", "list", "suites")
    assert all(path.stem in listed for path in (ROOT / "benchmarks").glob("*.yaml"))
    run("-m", "gan_bench", "run", "digits", "--only", "mlp", "--epochs", 1, "--seeds", 0, "--no-tracking")
    assert (tmp_path / "elsewhere" / "results" / "report" / "report.html").exists()
    assert "digits" in run("-m", "gan_bench.report", "results", "--no-html")
    run("-m", "gan_bench", "verify", "results")
