"""Cards of settings, read back by the library that model hubs use."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from huggingface_hub import ModelCard
from PIL import Image
from support.records import edit, reseal
from support.suites import SMALL, train_small
from typer.testing import CliRunner

import gan_bench as gb
from gan_bench.cli.app import app
from gan_bench.core.errors import UserError
from gan_bench.records.layout import RecordDirectory
from gan_bench.report.card.card import write_card

RATES = ("mnist-mlp-z100,lr=0.0002,dataset=digits", "mnist-mlp-z100,dataset=digits")
SUITE = SMALL.replace("epochs: [1, 2]", "epochs: [2]").replace("seeds: [0, 1]", "seeds: [0, 1, 2]")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("card"), SUITE)


@pytest.fixture(scope="module")
def card(results, tmp_path_factory):
    return write_card(results, "lr=0.0002", tmp_path_factory.mktemp("out") / "card", "mit")


def test_its_metadata_are_what_a_hub_reads(card, results):
    data = ModelCard.load(card / "README.md").data
    scores = gb.load(results).scores.query("epoch == 2 and metric == 'fid'").set_index("trial")["value"]
    trials = gb.load(results).trials
    mine = trials[trials["lr_g"] == 2e-4]["trial"]
    assert data.license == "mit"
    assert data.pipeline_tag == "unconditional-image-generation"
    (fid,) = [each for each in data.eval_results if each.metric_type == "fid"]
    assert fid.metric_value == pytest.approx(scores[mine].mean(), rel=1e-5)
    assert fid.metric_name == "FID [lenet-mnist-v1,train,64], mean of 3 seeds"
    assert fid.dataset_name == "digits"


def test_its_generator_is_that_of_the_median_trial(card, results):
    scores = gb.load(results).scores.query("epoch == 2 and metric == 'fid'").set_index("trial")["value"]
    trials = gb.load(results).trials.set_index("trial")
    mine = scores[trials[trials["lr_g"] == 2e-4].index]
    median = mine[mine == mine.median()].index[0]
    assert json.loads((card / "trial.json").read_text())["id"] == median
    assert f"seed {trials['seed'][median]}:" in (card / "README.md").read_text()
    with Image.open(card / "samples.png") as grid:
        assert grid.size == (8 * 30 + 2, 8 * 30 + 2)


def test_its_code_runs_where_only_the_card_is(card):
    (code,) = re.findall(r"```python\n(.*?)```", (card / "README.md").read_text(), flags=re.DOTALL)
    shown = "print(tuple(images.shape), images.dtype)"
    done = subprocess.run([sys.executable, "-c", code + shown], cwd=card, capture_output=True, text=True, check=False)
    assert done.stdout == "(16, 1, 28, 28) torch.uint8\n", done.stderr


def test_it_says_how_the_setting_fares(card):
    text = (card / "README.md").read_text()
    assert re.search(r"Place [12] of 2 settings of suite small on digits", text)
    assert re.search(r"\| FID ↓ \| [\d.]+ ± [\d.]+ \| [\d.]+ \| [\d.]+ \| `lenet-mnist-v1,train,64` \|", text)
    assert "| `lr_g` | 2e-4 | chosen |" in text
    assert "| `betas_g` | 0.9-0.999 | code |" in text
    assert "`mnist-mlp-z100` is the recipe of article A4" in text
    assert "@misc{mnist-mlp-z100," in text
    assert "Inception-v3" in text


def test_the_command_names_a_folder_after_the_setting(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["card", "best", "--results", str(results)], env={"COLUMNS": "300"})
    assert shown.exit_code == 0, shown.output
    (folder,) = tmp_path.iterdir()
    assert "Place 1 of 2 settings" in (folder / "README.md").read_text()
    assert "license" not in ModelCard.load(folder / "README.md").data.to_dict()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("mnist", r'"mnist" names several settings; there are mnist-mlp'),
        ("cats", r'no finished setting is called "cats"'),
    ],
)
def test_what_is_not_one_setting_is_refused(results, tmp_path, wanted, said):
    with pytest.raises(UserError, match=said):
        write_card(results, wanted, tmp_path / "card")
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize("name", RATES)
def test_a_full_name_is_enough_though_it_is_part_of_another(results, tmp_path, name):
    assert f"# {name}" in (write_card(results, name, tmp_path / "card") / "README.md").read_text()


def test_no_file_of_an_earlier_card_stays(results, tmp_path):
    folder = write_card(results, RATES[0], tmp_path / "card")
    (folder / "generator-ema.safetensors").write_bytes(b"of another setting")
    (folder / "mine.txt").write_text("mine")
    write_card(results, RATES[1], folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "environment.json", "generator.safetensors", "mine.txt", "record.json", "samples.png"),
        "trial.json",
    ]


def test_another_readme_is_not_overwritten(results, tmp_path):
    (tmp_path / "README.md").write_text("precious")
    with pytest.raises(UserError, match="holds README.md and no card, and stays as it is"):
        write_card(results, "best", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "precious"


def test_a_record_is_no_place_for_a_card(results):
    record = next(results.glob("*/*lr=0.0002*seed=0*"))
    before = {path.name for path in record.iterdir()}
    with pytest.raises(UserError, match="and no card, and stays as it is"):
        write_card(results, "lr=0.0002", record)
    assert {path.name for path in record.iterdir()} == before


def test_without_weights_it_shows_no_code(results, tmp_path):
    import shutil

    shutil.copytree(results, tmp_path / "results")
    for file in (tmp_path / "results").glob("*/*/generator.safetensors"):
        file.unlink()
    for file in (tmp_path / "results").glob("*/*/environment.json"):
        edit(file, gan_bench="1\n```\n# no heading")
        reseal(RecordDirectory(file.parent))
    folder = write_card(tmp_path / "results", "best", tmp_path / "card")
    text = (folder / "README.md").read_text()
    assert "gb.generator" not in text
    assert "hold no weights" in text
    assert "\n# no heading" not in text
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "samples.png"]
