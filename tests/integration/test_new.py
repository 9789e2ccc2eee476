"""What ``new`` writes keeps the contract of its kind and trains as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from support.commands import gan_bench

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.suite import find_suite, make_plan
from gan_bench.config.suite_file import read
from gan_bench.core.atomic import write_new
from gan_bench.core.errors import SuiteError

KEYWORDS = ("true", "null", "on")
KINDS = ("architecture", "loss", "dataset", "measure", "extractor")


FULL = """
import resource, sys
from gan_bench.cli.app import main

resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
main(sys.argv[1:])
"""


@pytest.mark.parametrize("words", [("new", "suite", "mine"), ("new", "loss", "mine"), ("try", "images", "--look")])
def test_a_full_disk_leaves_nothing_that_the_same_command_takes_for_the_users(tmp_path, words):
    """An empty file was left, which stayed as it is: the command that was typed again refused it."""
    (tmp_path / "images").mkdir()
    for i in range(8):
        Image.radial_gradient("L").rotate(7 * i).resize((32, 32)).save(tmp_path / "images" / f"{i}.png")
    out = tmp_path / "mine.yaml" if words[0] == "try" else tmp_path
    env = {**os.environ, "GAN_BENCH_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", FULL, *words, "--out", out]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True), done.stdout + done.stderr
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
    again = gan_bench(*words, "--out", out, cwd=tmp_path, env=env)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "mine.yaml").read_text().startswith("suite: mine")


def test_of_several_new_files_all_are_written_or_none(tmp_path):
    (tmp_path / "there").write_text("mine")
    for second in (tmp_path / "no folder" / "b", tmp_path / "there"):
        with pytest.raises(OSError):  # noqa: PT011 - of either kind
            write_new({tmp_path / "a": "text", second: "text"})
        assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "mine"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_part_begins_with_passes_its_checks_and_trains(kind, tmp_path):
    name = f"my_{kind}"
    made = gan_bench("new", kind, name, "--out", tmp_path)
    assert made.returncode == 0, made.stderr
    checked = gan_bench("check", tmp_path / f"{name}.py")
    assert checked.returncode == 0, checked.stdout
    assert "every part keeps its contract" in checked.stdout
    words = ("--epochs", "1", "--samples", "40", "--train-limit", "128", "--seeds", "0", "--no-tracking")
    suite = tmp_path / f"{name}.yaml"
    done = gan_bench("run", suite, "--allow-plugins", "--results", tmp_path / "r", *words, "--executor", "inline")
    assert done.returncode == 0, done.stderr + done.stdout
    if kind == "architecture":
        label = f"architecture={name},batch_size=64,seed=0: 1 epoch"
        assert label in done.stdout, "no run is labelled as the recipe's own network"
    (evaluations,) = (tmp_path / "r").glob("*/*/evaluations.jsonl")
    if kind in ("measure", "extractor"):
        assert name in evaluations.read_text()


def test_a_new_suite_is_one(tmp_path):
    assert gan_bench("new", "suite", "mine", "--out", tmp_path).returncode == 0
    shown = gan_bench("run", tmp_path / "mine.yaml", "--dry-run", "--no-estimate", "--results", tmp_path / "r")
    assert shown.returncode == 0, shown.stderr
    assert "10 trials" in shown.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("loss", "../x"), 'error: "../x" cannot name a loss'),
        (("architecture", "A"), 'error: "A" cannot name an architecture'),
        (("loss", "hinge"), 'error: gan_bench ships a loss "hinge"'),
        (("dataset", "mnist"), 'error: gan_bench ships a dataset "mnist"'),
        (("suite", "digits"), 'error: gan_bench ships a suite "digits"'),
        (("suite", "Mine"), 'error: "Mine" cannot name a suite'),
        (("suite", "mine.yaml"), '"mine.yaml" cannot name a suite; give the name alone, "mine"'),
        (("suite", "report"), "error: results folders use the names mlartifacts, published, report themselves; choose"),
        (("suite", "published"), "error: results folders use the names"),
        (("loss", "mlartifacts"), "error: results folders use the names"),
        (("measure", "seed"), 'error: "seed" cannot name a measure: it is a column of tables'),
        (("measure", "train-seconds"), 'error: "train_seconds" cannot name a measure: it is a column of tables'),
        (("nothing", "mine"), "nothing"),
    ],
)
def test_names_that_cannot_be(words, said, tmp_path):
    done = gan_bench("new", *words, "--out", tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(tmp_path):
    kept = tmp_path / "mine.py"
    kept.write_text("mine = 1\n")
    done = gan_bench("new", "loss", "mine", "--out", tmp_path)
    assert done.returncode == 2
    assert "stays as it is" in done.stderr
    assert kept.read_text() == "mine = 1\n"
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize("name", KEYWORDS)
def test_names_that_yaml_reads_as_something_else_stay_names(name, tmp_path):
    for kind in ("suite", "loss"):
        folder = tmp_path / "a new" / kind
        assert gan_bench("new", kind, name, "--out", folder).returncode == 0
        planned = make_plan(folder / f"{name}.yaml", PlanOptions(), may_skip_plugins=True)
        assert planned.suite == name


def test_a_measure_s_name_has_no_dash(tmp_path):
    done = gan_bench("new", "measure", "mean-shift", "--out", tmp_path)
    assert done.returncode == 0
    assert 'the measure is called "mean_shift"' in done.stdout
    assert "is called" not in gan_bench("new", "loss", "wide-hinge", "--out", tmp_path / "loss").stdout
    shutil.rmtree(tmp_path / "loss")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mean_shift.py", "mean_shift.yaml"]


def test_a_suite_is_checked_and_found_by_its_name_without_an_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gan_bench("new", "suite", "mine").returncode == 0
    assert re.fullmatch(r"ok: \d+ trials of \d+ settings\n", gan_bench("check", "mine.yaml").stdout)
    for name in ("quickstart", "Quickstart"):
        assert gan_bench("check", name).stdout == "ok: 10 trials of 2 settings\n"
    for words in (("run", "mine"), ("show", "mine")):
        assert "(did you mean mine.yaml?)" in gan_bench(*words).stderr
    assert "cannot be read (No such file or directory); did you mean mine.yaml?" in gan_bench("run", "mien.yaml").stderr
    (tmp_path / "mien.yaml").mkdir()
    (tmp_path / "mine.yaml").unlink()
    assert "cannot be read (Is a directory); name another file" in gan_bench("run", "mien.yaml").stderr
    (tmp_path / "my cats").mkdir()


def test_a_folder_or_zip_file_of_images_leads_to_try_and_one_of_results_to_its_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my cats").mkdir()
    with zipfile.ZipFile("cats.zip", "w") as written:
        written.writestr("a.png", b"x" * 2**20)
    Path("cats.yml").write_bytes(Path("cats.zip").read_bytes())
    folder = "my cats is a folder; `gan-bench try 'my cats'` makes a suite for its images"
    archive = "cats.zip is a zip file; `gan-bench try cats.zip` makes a suite for its images"
    said = {"my cats/": folder, "my cats": folder, "./cats.zip": archive, "cats.zip": archive}
    Path("-cats").mkdir()
    said["./-cats"] = "-cats is a folder; `gan-bench try ./-cats` makes a suite for its images"
    said["./cats.yml"] = "cats.yml is a zip file"  # whatever it is called
    for name, sentence in said.items():
        with pytest.raises(SuiteError, match=re.escape(sentence)):
            read(find_suite(name))
    (tmp_path / "my cats" / "suite.yaml").touch()
    for name in ("my cats/", "my cats"):
        with pytest.raises(SuiteError, match="my cats is a folder; name the suite in it, my cats/suite.yaml"):
            read(find_suite(name))
    (tmp_path / "pets").mkdir()
    Path("pets.yaml").touch()
    with pytest.raises(SuiteError, match="did you mean pets.yaml"):  # as after `gan-bench try pets`
        find_suite("pets")
    with pytest.raises(SuiteError, match="cannot be read"):
        read(find_suite(f"x/{'x' * 5000}"))


def checked(folder, changes="{}", **fields):
    lines = {"suite": "s", "version": 1, "seeds": [0], **fields}
    recipe = lines.pop("recipe", "mnist-mlp-z100")
    text = "".join(f"{name}: {value}\n" for name, value in lines.items())
    (folder / "s.yaml").write_text(f"{text}trials: [{{recipe: {recipe}, set: {changes}}}]\n")
    return lambda *options: gan_bench("check", folder / "s.yaml", *options)


@pytest.mark.parametrize(
    ("changes", "fields", "said"),
    [
        ("{loss: nowhere}", {}, 'unknown loss "nowhere"'),
        ("{architecture: nowhere}", {}, 'unknown architecture "nowhere"'),
        ("{dataset: nowhere}", {}, 'unknown dataset "nowhere"'),
        ("{}", {"evaluate": "{extractors: [nowhere], samples: 10}"}, 'unknown extractor "nowhere"'),
        ("{dataset: cifar10}", {}, "makes images of (1, 28, 28), but cifar10 is prepared as (3, 28, 28)"),
        ("{dataset: own}", {"datasets": "{own: {path: one, size: 32, channels: 1}}"}, "own is prepared as (1, 32, 32)"),
        ("{dataset: own}", {"datasets": "{own: {path: empty, size: 28, channels: 1}}"}, "empty holds no images; name"),
        (
            "{dataset: cats}",
            {"datasets": "{cats: {path: one, size: 28, channels: 1}}"},
            '"cats" is taken by a built-in',
        ),
        ("{dataset: own}", {"datasets": "{own: {path: gone, size: 28, channels: 1}}"}, "gone"),
        ("{}", {"plugins": "[gone.py]"}, "gone.py cannot be read (No such file or directory); correct its path"),
    ],
)
def test_a_suite_that_cannot_run_is_not_well(tmp_path, changes, fields, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "one" / "0.png")
    done = checked(tmp_path, changes, **fields)()
    assert done.returncode == 2, done.stdout
    assert said in done.stderr.replace("\n", " ")


def test_a_suite_of_own_parts_is_checked_whole_where_they_may_run(tmp_path):
    (tmp_path / "my.py").write_text(
        "from dataclasses import replace\nimport gan_bench as gb\n"
        'gb.RECIPES.register("my-net", replace(gb.RECIPES["mnist-mlp-z100"], name="my-net"))\n'
    )
    own = checked(tmp_path, recipe="my-net", plugins="[my.py]")
    assert 'unknown recipe "my-net" (its plug-ins have not run; --allow-plugins runs them)' in own().stderr
    assert own("--allow-plugins").stdout == "ok: 1 trial of 1 setting\n"
    mixed = checked(tmp_path, "{loss: nowhere}", plugins="[my.py]")
    assert mixed().stdout.startswith("ok: 1 trial of 1 setting\nnot checked: whether parts exist and fit, as plug-")
    assert 'unknown loss "nowhere"' in mixed("--allow-plugins").stderr


def test_a_suite_is_well_without_its_datasets(tmp_path):
    done = gan_bench("check", "mnist", "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"ok: \d+ trials of \d+ settings\n", done.stdout)
    assert not list(tmp_path.iterdir())
