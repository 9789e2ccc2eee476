"""The package as it is built: complete, and of use without a checkout."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from support.commands import HANG
from support.needs import files_in_git

ROOT = Path(__file__).parents[2]


def build(source, out, *options):
    """Build distributions of a source tree, as ``make dist`` does."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out), *options]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    (made,) = dist.glob("gan_bench-*.whl")
    return made


def test_the_source_distribution_builds_the_same_wheel(dist, wheel, tmp_path):
    (source,) = dist.glob("gan_bench-*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.3 and earlier have none
        archive.extractall(tmp_path)  # noqa: S202 - our own
    (tree,) = tmp_path.iterdir()
    build(tree, tmp_path / "again", "--target", "wheel")
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()
    for name in ("Makefile", "constraints.txt", "mkdocs.yml", "Containerfile", "tests/conftest.py", "docs/index.md"):
        assert (tree / name).exists(), name
    published = tree / "results" / "published"
    assert (published / "nvidia-h200" / "report" / "answer.md").exists()
    assert not list(published.rglob("record.json")), (
        "records stay in the repository: name their folder in pyproject.toml"
    )


def test_its_metadata_say_what_it_is(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (metadata["Name"], metadata["Version"]) == ("gan-bench", citation["version"])
    assert metadata["License-Expression"] == "MIT"
    assert f"## {metadata['Version']}" in (ROOT / "CHANGELOG.md").read_text()
    assert {"LICENSE", "gan_bench/report/page/vendor/LICENSE-uplot"} <= set(metadata.get_all("License-File"))
    extras = {"dev", "dinov2", "hub", "kaggle", "natural", "ray", "tensorboard", "wandb"}
    assert set(metadata.get_all("Provides-Extra")) == extras
    assert "Two commands" in metadata.get_payload()


def test_the_wheel_holds_what_the_checkout_holds(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = set(files_in_git("gan_bench"))
    assert tracked
    assert not tracked - names
    suites = {f"gan_bench/suites/{path.name}" for path in (ROOT / "benchmarks").glob("*.yaml")}
    assert suites
    assert suites <= names
    assert not [name for name in names if name.startswith(("benchmarks", "tests"))]


REPORTS_AND_LISTS = """
import contextlib, runpy
with contextlib.suppress(SystemExit):
    runpy.run_module("gan_bench.report", run_name="__main__")
import gan_bench.cli.app as app
print("listed by", app.__file__)
app.main(["list", "suites"])
"""
"""What ``python -m gan_bench.report`` does, and a command, in a process that has imported for both."""


@pytest.mark.ci
def test_the_package_works_where_no_checkout_is(wheel, tmp_path):
    """The libraries are this environment's; everything of gan_bench is the wheel's."""
    shutil.unpack_archive(wheel, tmp_path / "site", "zip")
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
            timeout=HANG,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    few = ("--epochs", 1, "--seeds", 0, "--train-limit", 300, "--samples", 64, "--no-estimate", "--no-tracking")
    run("-m", "gan_bench", "run", "digits", "--only", "mlp", *few)
    assert (tmp_path / "elsewhere" / "results" / "report" / "report.html").exists()
    reported, listed = run("-c", REPORTS_AND_LISTS, "results", "--no-html").split("listed by ")
    assert "digits: settings" in reported
    assert listed.startswith(str(tmp_path / "site"))
    assert all(path.stem in listed for path in (ROOT / "benchmarks").glob("*.yaml"))


def test_a_container_does_not_run_as_root_and_takes_nothing_along_unasked():
    lines = (ROOT / "Containerfile").read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith("FROM"))
    (user,) = [line.split()[1] for line in lines[last:] if line.startswith("USER")]
    assert user.split(":")[0] not in ("0", "root")
    copied = {
        name
        for line in lines[:last]
        if line.startswith("COPY")
        for name in line.split()[1:-1]
        if not name.startswith("-")
    }
    kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert kept[0] == "*", "what is not named stays outside: records, data, .git, environments"
    assert {line[1:] for line in kept if line.startswith("!")} == copied
