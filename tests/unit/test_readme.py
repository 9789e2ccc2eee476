"""What the README shows must work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gan_bench.cli.app import app
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.suite import make_plan

README = Path(__file__).resolve().parents[2] / "README.md"


def test_its_suite_plans(tmp_path):
    (suite, images) = re.findall(r"```yaml\n(.*?)```", README.read_text(), flags=re.DOTALL)
    path = tmp_path / "mine.yaml"
    path.write_text(suite)
    assert len(make_plan(path, PlanOptions()).trials) == 3 * 5
    path.write_text("suite: mine\nversion: 1\n" + images)
    plan = make_plan(path, PlanOptions())
    assert [folder.name for folder in plan.folders] == ["flowers"]
    assert plan.folders[0].path == tmp_path / "flowers.zip"


@pytest.mark.parametrize(
    "option", re.findall(r"`(--[a-z-]+)", README.read_text().split("Options of `run`")[1].split("Exit codes")[0])
)
def test_its_options_exist(option):
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"})
    assert option in shown.stdout


def test_its_files_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
