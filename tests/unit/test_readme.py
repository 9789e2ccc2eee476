"""What the README shows must work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gan_bench.cli.app import app
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.data_root import DataRoot
from gan_bench.config.plugins import forget_plugin
from gan_bench.config.suite import make_plan
from gan_bench.contract.check import check_part

README = Path(__file__).resolve().parents[2] / "README.md"


def test_its_suite_plans(tmp_path):
    suite, images, random, own = re.findall(r"```yaml\n(.*?)```", README.read_text(), flags=re.DOTALL)
    path = tmp_path / "mine.yaml"
    path.write_text(suite)
    assert len(make_plan(path, PlanOptions()).trials) == 3 * 5
    path.write_text("suite: mine\nversion: 1\n" + images)
    plan = make_plan(path, PlanOptions())
    assert [folder.name for folder in plan.folders] == ["flowers"]
    assert plan.folders[0].path == tmp_path / "flowers.zip"
    path.write_text("suite: mine\nversion: 1\n" + random)
    assert len(make_plan(path, PlanOptions()).trials) == 2 * 20
    _, code = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    (tmp_path / "my_nets.py").write_text(code)
    path.write_text(own)
    try:
        (trial,) = make_plan(path, PlanOptions(allow_plugins=True)).trials
        faults = [c.fault for c in check_part("architectures", "linear", DataRoot(tmp_path, given=True)) if c.fault]
    finally:
        forget_plugin(str((tmp_path / "my_nets.py").resolve()))
    assert trial.config.architecture == "linear"
    assert faults == []


@pytest.mark.parametrize(
    "option", re.findall(r"`(--[a-z-]+)", README.read_text().split("Options of `run`")[1].split("Exit codes")[0])
)
def test_its_options_exist(option):
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"})
    assert option in shown.stdout


def test_its_files_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
