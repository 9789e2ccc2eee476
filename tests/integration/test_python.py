"""The Python interface, as a notebook uses it, and the command that draws samples."""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from support.commands import HANG, gan_bench
from support.parts import registered
from support.studies import EPYC, publish, write
from support.trials import digits_trial
from torch.nn.functional import relu

import gan_bench as gb
from gan_bench.core.torch_settings import precisions_kept
from gan_bench.data.image_source import open_source
from gan_bench.execution.trial.environment import as_in_a_command, fix_bits
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.sampling import interpolation, load_generator

NOTEBOOK = Path("benchmarks/notebooks/first-look.ipynb")


def run_cells(path):
    """Carry out the code cells of a notebook in order; return its variables and what each cell shows."""
    names, shown = {}, []
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        *body, last = tree.body
        exec(compile(ast.Module(body, []), str(path), "exec"), names)  # noqa: S102 - it is ours
        shown.append(eval(compile(ast.Expression(last.value), str(path), "eval"), names))  # noqa: S307
    return names, shown


def test_records_below_a_name_that_is_no_utf_8_are_loaded_with_paths_that_lead_there(tmp_path):
    """Text of pandas holds no bytes of a name: export ended in a traceback where report worked."""
    folder = tmp_path / os.fsdecode(b"lat\xe9")
    publish(folder, EPYC, settings=1, seeds=2)
    found = gb.load(folder)
    assert all(Path(path).is_dir() for path in found.trials["path"])
    assert all(Path(path).is_file() for path in found.images["path"])
    assert sorted(found.images["trial"].unique()) == sorted(found.trials["trial"])


def test_the_notebook_runs_and_what_it_makes_is_sound(tmp_path):
    """One run for all that is asked of it: each costs seconds."""
    names, shown = run_cells(NOTEBOOK)
    shows_what_it_says(names, shown)
    frames_are_tidy(names["tables"])
    a_loaded_generator_makes_the_images_that_were_scored(names["tables"])
    generators_draw_what_a_seed_says(names["generator"], names["tables"])
    samples_on_the_command_line(names["generator"], names["tables"], tmp_path)
    a_generator_s_folder_need_not_be_utf_8(names["tables"], tmp_path)


def test_a_loss_that_a_program_registers_again_with_other_code_is_trained_again(tmp_path, capsys):
    """It gave the scores of the earlier code without a word."""

    def cell(margin):
        def discriminator(real, fake):
            return relu(margin - real).mean(-1) + relu(margin + fake).mean(-1)

        def generator(fake):
            return -margin * fake.mean(-1)

        return replace(gb.LOSSES["hinge"], discriminator=discriminator, generator=generator)

    def ends(margin):
        with registered(gb.LOSSES, "of_a_cell", cell(margin)):
            done = gb.run("digits", results=tmp_path, only="mlp", seeds=[0], epochs=1, samples=64, train_limit=128,
                          changes={"loss": "of_a_cell"}, executor="auto", workers=2, join=True, tracking=False,
                          no_estimate=True, quiet=False)  # fmt: skip
        (end,) = done.folder.glob("*/record.json")
        (environment,) = done.folder.glob("*/environment.json")
        part = json.loads(environment.read_text())["parts"]["losses/of_a_cell"]
        assert (part["name"], part["version"], part["path"]) == ("__main__", "rule 2", None)
        return end.read_bytes(), capsys.readouterr().out

    first, _ = ends(1.0)
    again, _ = ends(1.0)
    other, said = ends(500.0)
    assert again == first != other
    assert "the code of losses/of_a_cell changed" in said


def shows_what_it_says(names, shown):
    statuses, trials, fid, (shape, dtype), scores, after, code = shown
    assert statuses == {"done": 2}
    assert list(trials["epochs_done"]) == [4, 4]
    assert list(fid.columns) == [0, 1]
    assert (shape, dtype) == (torch.Size([16, 1, 28, 28]), torch.uint8)
    assert set(scores["metric"]) >= {"fid", "kid", "is", "precision"}
    assert set(scores["generated"]) == {128}
    assert set(after["suite"]) == {"digits+set"}
    assert all("loss=hinge" in setting for setting in after["setting"])
    assert code == 0
    assert names["run"].page.exists()


def frames_are_tidy(tables):
    assert set(tables.steps["trial"]) == set(tables.trials["trial"]) == set(tables.images["trial"])
    assert list(tables.steps.columns) == ["trial", "epoch", "step", "loss_d", "loss_g", "d_real", "d_fake"]
    steps = tables.steps.groupby("trial")["step"]
    assert steps.apply(lambda each: each.is_monotonic_increasing and each.is_unique).all()
    assert len(tables.epochs) == 8
    assert all(Path(path).exists() for path in tables.images["path"])
    assert set(tables.scores["epoch"]) == set(tables.images["epoch"])
    assert tables.scores["weights"].isna().all()
    assert tables.unreadable == []
    assert {"loss", "d_steps", "lr_g", "optimizer_g"} <= set(tables.trials.columns)


def a_loaded_generator_makes_the_images_that_were_scored(tables):
    row = tables.trials.iloc[0]
    again = gb.score(f"{row['path']}/generator.safetensors", "digits", samples=128).set_index("metric")["value"]
    last = tables.scores[(tables.scores["trial"] == row["trial"]) & (tables.scores["epoch"] == 4)].set_index("metric")
    for metric in ("fid", "kid", "precision"):
        assert again[metric] == pytest.approx(last.loc[metric, "value"], rel=1e-6)


def generators_draw_what_a_seed_says(generator, tables):
    assert not generator.training
    assert not any(p.requires_grad for p in generator.parameters())
    assert torch.equal(generator.images(5, seed=1), generator.images(16, seed=1)[:5])
    assert not torch.equal(generator.images(5, seed=1), generator.images(5, seed=2))
    z = generator.latent(4)
    assert z.shape == (4, generator.config.latent_dim)
    assert generator(z).shape == (4, *generator.image_shape)
    ways = interpolation(generator, 3, 5, seed=4)
    ends = generator.images(6, seed=4)
    assert ways.shape == (15, *generator.image_shape)
    assert torch.equal(ways[::5], ends[:3])
    assert (ways[4::5].int() - ends[3:].int()).abs().max() <= 1  # rounding
    with pytest.raises(gb.UserError, match=r"has no generator-ema.safetensors; the trial kept no moving average"):
        load_generator(Path(tables.trials["path"][0]), average=True)


def a_generator_s_folder_need_not_be_utf_8(tables, tmp_path):
    """Audits said that it contradicts its record."""
    if sys.platform != "linux":
        return  # other systems have no such names
    place = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    shutil.copytree(tables.trials["path"][0], place)
    assert torch.equal(gb.generator(place).images(2), gb.generator(tables.trials["path"][0]).images(2))
    (place / "generator.safetensors").write_bytes(b"x")
    with pytest.raises(gb.UserError, match="not what was saved|damaged"):
        gb.generator(place)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((4, 28, 28)), "images must be"),
        (np.full((4, 1, 28, 28), 2.0), r"float in \[-1, 1\], got float64 from 2 to 2"),
        (np.zeros((4, 1, 28, 28), dtype=np.int64), "uint8, or float"),
        (torch.nn.Linear(2, 2), "a module of your own does not say what it draws from"),
    ],
)
def test_images_that_cannot_be_scored(images, said):
    with pytest.raises(gb.UserError, match=said):
        gb.score(images, "digits")


IMAGES = np.zeros((4, 1, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: gb.score(IMAGES, "digits", size=0), "size must be at least 8, not 0"),
        (lambda: gb.score(IMAGES, "digits", value_range=(0, 1, 2)), r"value_range must be 2 numbers, not \(0, 1, 2\)"),
        (lambda: gb.score(IMAGES, "digits", value_range=5), "value_range must be 2 numbers, not 5"),
        (
            lambda: gb.score(IMAGES, IMAGES),
            "the reference is the name of a dataset, or the path of a folder, a zip or an .npz, not a ",
        ),
        (lambda: gb.score(IMAGES, "digits", extractors="lenet-mnist-v1"), "extractors must be a list of names, not "),
        (lambda: gb.score(IMAGES, "digits", extractors=None), "extractors must be a list of names, not None"),
        (lambda: gb.score(IMAGES, "digits", samples="9"), "samples must be a whole number, not '9'"),
        (lambda: gb.score(IMAGES, "digits", device=None), "device must be text, not None"),
        (lambda: gb.generator("x", device="tape"), 'device "tape" is unknown'),
        (lambda: gb.compare("x", "x", -1), "tolerance must be at least 0, not -1.0"),
        (lambda: gb.compare("x", "x", float("nan")), "tolerance must be at least 0, not nan"),
        (lambda: gb.compare("x", "x", margin=float("inf")), "margin must be at most 1, not inf"),
        (lambda: gb.compare("x", "x", match=None), "match must be text, not None"),
        (lambda: gb.load(""), "a path is needed, not ''"),
    ],
)
def test_arguments_that_cannot_be_are_said_in_one_sentence(call, said):
    with pytest.raises(gb.UserError, match=said) as found:
        call()
    assert len(str(found.value)) < 200
    assert "\n" not in str(found.value)


def samples_on_the_command_line(generator, tables, tmp_path):
    with pytest.raises(gb.UserError, match="the number of images must be 0 or more, not -1"):
        generator.images(-1)
    for seed in (7.0, None, "1", True):  # each was a seed of its own
        with pytest.raises(gb.UserError, match="seed must be a whole number"):
            generator.images(1, seed=seed)
    assert torch.equal(generator.images(1, seed=np.int64(7)), generator.images(1, seed=7))
    path = tables.trials["path"][0]
    made = gan_bench("sample", path, "--out", tmp_path, "--seed", 5, "--images", 3, "--interpolate", 6, "--gif")
    assert made.returncode == 0, made.stderr
    for index, image in enumerate(generator.images(3, seed=5)):
        with Image.open(tmp_path / f"image-0000{index}.png") as written:
            assert np.array_equal(np.asarray(written), image[0])
    with Image.open(tmp_path / "interpolation.png") as ways:
        assert ways.size == (6 * 30 + 2, 8 * 30 + 2)
    with Image.open(tmp_path / "epochs.gif") as film:
        assert film.n_frames == len(list(Path(path, "samples").glob("*.png")))
    assert not (tmp_path / "grid.png").exists()
    with open_source(tmp_path) as opened:
        assert [name for name in opened.names if "/" not in name] == [f"image-0000{i}.png" for i in range(3)]
    mixed = gan_bench("sample", path, "--out", tmp_path, "--seed", 6, "--images", 2)
    assert mixed.returncode == 2
    assert "holds 1 image of another draw, such as image-00002.png" in mixed.stderr
    assert gan_bench("sample", path, "--out", tmp_path, "--seed", 6, "--images", 3).returncode == 0
    (tmp_path / "elsewhere").mkdir()
    for named in (tmp_path, tmp_path / "none", "lr 1e-3"):
        for more in ([], ["--gif"]):
            wrong = gan_bench("sample", named, *more, cwd=tmp_path / "elsewhere")
            assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
            assert f"error: {named} is no record of a trial" in wrong.stderr
    assert not list((tmp_path / "elsewhere").iterdir()), "a folder without images was left behind"


def test_importing_is_cheap():
    """The package alone loads neither torch nor pandas; a name that is not there says so."""
    code = (
        "import sys, gan_bench as gb; gb.UserError; print([n for n in ('torch', 'pandas', 'yaml') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        gb.nothing  # noqa: B018
    assert set(gb.__all__) == set(dir(gb)), "what a notebook offers is what there is"
    assert all(getattr(gb, name) is not None for name in gb.__all__)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"profile": "Quick"}, "profile must be one of auto, full, quick, not 'Quick'"),
        ({"engine": "fsat"}, "engine must be one of auto, reference, fast"),
        ({"epochs": 1.5}, "epochs must be a whole number, not 1.5"),
        ({"seeds": [0, None]}, "seed must be a whole number, not None"),
        ({"changes": {"lr": 5}}, "changes lr: must be less than 1, got 5"),
        ({"changes": {"lr": [1e-4, "x"]}}, "changes lr: must be a number, got 'x'"),
        ({"changes": {"lrr": 5}}, 'changes: no field "lrr"'),
    ],
)
def test_runs_that_cannot_be(options, said, tmp_path):
    with pytest.raises(gb.UserError, match=said):
        gb.run("digits", results=tmp_path / "r", **options)
    assert not (tmp_path / "r").exists()


def test_a_suite_can_be_a_dict_and_its_command_runs_the_same_trials(tmp_path):
    suite = {
        "suite": "mine",
        "version": 1,
        "trials": [{"recipe": "mnist-mlp-z100", "set": {"dataset": "digits"}, "sweep": {"lr": np.array([1e-4, 3e-4])}}],
        "seeds": range(1),
    }
    run = gb.run(suite, results=tmp_path / "r", epochs=1, samples=16, executor="inline", no_estimate=True)
    assert run.statuses() == {"done": 2}
    assert "Best score: " in run.answer == run._repr_markdown_()
    plan = gb.run(suite, results=tmp_path / "r", epochs=2, samples=16, executor="inline", dry_run=True)
    assert (plan.answer, plan._repr_markdown_()) == ("", None), "the earlier run's is not its own"
    assert gb.run(suite, results=tmp_path / "r", epochs=1, samples=16, executor="inline").answer == run.answer
    del suite["seeds"]
    budget = {"until": "decided", "budget": "1s"}
    long = gb.run(suite, results=tmp_path / "r", epochs=5_000, samples=16, executor="inline", **budget)
    assert (long.has_report, long.answer) == (False, ""), "nothing was trained"
    assert repr(run.load()).startswith("ResultTables with the frames trials (2 rows), epochs (2 rows), ")
    found = gb.compare(run.folder.parent, run.folder.parent, match="settings")
    assert "## gan_bench comparison" in found._repr_markdown_()
    assert "settings in common" in repr(found)
    command = json.loads((run.folder / "plan.json").read_text())["command"]
    again = gan_bench(*shlex.split(command)[1:], "--no-tracking")
    assert "2 finished, 0 to run" in again.stdout


def test_a_wrong_option_is_named_with_the_one_that_is_meant():
    with pytest.raises(TypeError, match=r'run\(\) has no argument "onyl" \(did you mean "only"\?\)'):
        gb.run("digits", onyl="mlp")


def test_a_wrong_name_is_found_before_a_folder_of_images_is_read(tmp_path):
    """Reading may take minutes: here the folder is not even there."""
    suite = {
        "suite": "mine",
        "version": 1,
        "datasets": {"tiles": {"path": tmp_path / "nowhere", "size": 64}},
        "trials": [{"recipe": "cats-dcgan", "set": {"dataset": "tiles", "loss": "hing"}}],
    }
    with pytest.raises(gb.UserError, match='unknown loss "hing"'):
        gb.run(suite, results=tmp_path / "r")


def test_another_call_may_have_other_images_under_the_same_name(tmp_path):
    """In a notebook every correction would need a new name."""
    for count, side in ((8, 28), (12, 40)):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        for i in range(count):
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (side, side), "uint8")).save(folder / f"{i}.png")
        suite = {
            "suite": "mine",
            "version": 1,
            "datasets": {"own": {"path": folder, "size": 28, "channels": 1}},
            "trials": [{"recipe": "mnist-mlp-z100", "set": {"dataset": "own"}}],
            "seeds": [0],
            "evaluate": {"samples": 16},
        }
        run = gb.run(suite, results=tmp_path / f"r{count}", epochs=1, executor="inline", no_estimate=True)
        assert run.statuses() == {"done": 1}
        assert set(run.load().scores.query("metric == 'fid'")["real"]) == {count}


def test_a_folder_without_records_is_refused_as_by_a_report(tmp_path):
    """It gave empty frames without a word, where the path was wrong."""
    (tmp_path / "pictures").mkdir()
    with pytest.raises(gb.UserError, match="holds no trial records; run a suite first, for example `gan-bench run"):
        gb.load(tmp_path / "pictures")


def test_the_folder_of_one_record_is_refused_with_that_of_its_suite(tmp_path):
    """It was said to hold no records; run a suite first."""
    write(tmp_path / "one", digits_trial(), 50.0)
    (record,) = (tmp_path / "one").glob("*/*--*")
    with pytest.raises(gb.UserError, match="is the record of one trial; name its suite's folder, ") as refused:
        gb.load(record)
    named = str(refused.value).rpartition(", ")[2]
    assert gb.load(named).trials["path"].tolist() == [str(record)]
    done = gan_bench("report", ".", cwd=record)
    assert (done.returncode, f"name its suite's folder, {named}" in " ".join(done.stderr.split())) == (2, True)
    assert "1 checked: " in gan_bench("verify", ".", cwd=record).stdout, "one record can be verified"


def test_paths_in_frames_lead_to_records_from_any_folder(tmp_path, monkeypatch):
    write(tmp_path / "one", digits_trial(), 50.0)
    monkeypatch.chdir(tmp_path)
    tables = gb.load("one")
    monkeypatch.chdir("/")
    assert all(Path(path).is_absolute() and Path(path).is_dir() for path in tables.trials["path"])


def test_frames_can_be_written_to_files(tmp_path):
    """Paths were objects, which neither Parquet nor JSON takes."""
    write(tmp_path / "one", digits_trial(), 50.0)
    tables = gb.load(tmp_path / "one")
    for name in ("trials", "epochs", "steps", "scores", "images"):
        frame = getattr(tables, name)
        frame.to_parquet(tmp_path / name)
        assert len(pd.read_parquet(tmp_path / name)) == len(frame)
        assert len(json.loads(frame.to_json(orient="records"))) == len(frame)


def test_a_trial_that_another_process_has_is_no_failure(tmp_path, capsys):
    """The only trial of a call was under way elsewhere, and the exit code said that it had failed."""
    asked = {"only": "mlp", "seeds": [0], "epochs": 1, "samples": 64, "train_limit": 128, "executor": "inline"}
    gb.run("digits", results=tmp_path, no_estimate=True, **asked)
    (record,) = tmp_path.glob("digits/*--*")
    (record / "record.json").unlink()
    with trial_lock(RecordDirectory(record)) as lock:
        assert lock.acquire() is None
        held = gb.run("digits", results=tmp_path, no_estimate=True, quiet=False, **asked)
    assert "locked by " in capsys.readouterr().out
    assert (held.exit_code, held.statuses()) == (0, {"unfinished": 1})


def test_a_warning_of_scores_names_the_line_that_called(tmp_path):
    """It named a line of gan_bench, so that no filter of the caller's module took it."""
    calls = [
        lambda: gb.score(torch.rand(16, 1, 28, 28), "digits"),
        lambda: gb.score([Image.new("L", (28, 28), 255)] * 16, "digits"),
        lambda: gb.score(torch.zeros(16, 1, 28, 28, dtype=torch.uint8), "digits"),
    ]
    for call in calls:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call()
        assert found
        assert {each.filename for each in found} == {__file__}


def test_a_folder_of_damaged_records_has_the_columns_of_one_of_sound_ones(tmp_path):
    for name in ("one", "damaged"):
        write(tmp_path / name, digits_trial(), 50.0)
    next((tmp_path / "damaged").glob("*/*--*/trial.json")).write_text("{")
    damaged = gb.load(tmp_path / "damaged")
    assert (len(damaged.trials), len(damaged.unreadable)) == (0, 1)
    assert set(damaged.trials.columns) == set(gb.load(tmp_path / "one").trials.columns)


def test_a_result_is_found_after_the_working_folder_changed(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_bench.terminal.run_suite.run_suite", lambda *_, **__: 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("suite: mine\nversion: 1\ntrials: [{recipe: mnist-mlp-z100}]\n")
    assert gb.run("mine.yaml", results="r").folder == tmp_path / "r" / "mine"


@pytest.mark.parametrize("name", ["x" * 300, "r\0x"])
def test_results_that_no_file_system_can_hold_are_a_sentence(name):
    with pytest.raises(gb.UserError, match="cannot be a folder"):
        gb.run("digits", results=name, **DIGITS)


DIGITS = {"epochs": 1, "samples": 64, "only": "mlp", "seeds": [0], "executor": "inline", "tracking": False}


def settings():
    flushes = float(torch.tensor([1e-40], dtype=torch.float32, device="cpu") * 1) == 0
    backends = torch.backends
    kinds = backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul, backends.mkldnn.conv, backends.mkldnn.matmul
    precisions = [kind.fp32_precision for kind in kinds]
    return torch.get_default_dtype(), torch.get_default_device(), flushes, precisions


LEAKY = """
import torch
from torch import nn
import gan_bench as gb

torch.set_default_dtype(torch.float64)
torch.set_num_threads(torch.get_num_threads() + 1)
torch.set_default_device("meta")
torch.set_grad_enabled(False)
torch.set_autocast_enabled("cpu", True)
torch.manual_seed(5)


class Leaky(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        torch.set_num_threads(torch.get_num_threads() + 1)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs), nn.Tanh())
        torch.set_default_dtype(torch.float64)

    def forward(self, x):
        torch.set_anomaly_enabled(True)
        torch.set_autocast_enabled("cpu", True)
        y = self.net(x)
        return y.view(-1, 1, 28, 28) if y.shape[1] == 784 else y.squeeze(1)


gb.ARCHITECTURES.register(
    "leaky",
    gb.Architecture(
        description="a pair that changes torch's settings",
        image_shape=(1, 28, 28),
        generator=lambda latent: Leaky(latent, 784),
        discriminator=lambda: Leaky(784, 1),
    ),
)
"""


def test_what_a_plug_in_sets_changes_no_other_trial_and_nothing_of_the_caller(tmp_path):
    """A measure's float64 sums made its file set the default dtype, and shipped recipes trained other weights."""
    (tmp_path / "leaky.py").write_text(LEAKY)
    suite = {
        "suite": "leaky",
        "version": 1,
        "plugins": [str(tmp_path / "leaky.py")],
        "trials": [
            {"recipe": "mnist-mlp-z100", "set": {"dataset": "digits", "architecture": name}}
            for name in ("leaky", "mlp")
        ],
        "seeds": [0],
        "evaluate": {"samples": 64},
    }
    options = {"epochs": 1, "executor": "inline", "no_estimate": True, "engine": "reference"}
    plain = gb.run({**suite, "plugins": [], "trials": suite["trials"][1:]}, results=tmp_path / "a", **options).load()
    before, state = (*settings(), torch.get_num_threads(), torch.is_grad_enabled()), torch.random.get_rng_state()
    run = gb.run(suite, results=tmp_path / "b", allow_plugins=True, **options)
    assert run.statuses() == {"done": 2}
    assert (*settings(), torch.get_num_threads(), torch.is_grad_enabled()) == before
    assert not torch.is_anomaly_enabled()
    assert torch.equal(torch.random.get_rng_state(), state)
    found = run.load()
    shipped = set(found.trials.query("architecture == 'mlp'")["trial"])
    scores = found.scores[found.scores["trial"].isin(shipped)].reset_index(drop=True)
    assert len(scores)
    pd.testing.assert_series_equal(scores["value"], plain.scores["value"])


@pytest.mark.parametrize("interface", ["older", "newer"])
def test_precisions_are_the_caller_s_and_change_no_score(interface):
    """The older interface of torch raises when it is read after the newer one was used."""
    images = np.random.default_rng(0).integers(0, 255, (40, 1, 28, 28), "uint8")
    plain = gb.score(images, "digits")["value"]
    backends = torch.backends
    with precisions_kept():
        try:
            if interface == "older":
                torch.set_float32_matmul_precision("medium")
                backends.cudnn.allow_tf32 = False
            else:
                backends.fp32_precision = "tf32"
                backends.cuda.matmul.fp32_precision = "tf32"
                backends.cudnn.conv.fp32_precision = "ieee"
            before = settings()
            pd.testing.assert_series_equal(gb.score(images, "digits")["value"], plain)
            assert settings() == before
        finally:
            backends.fp32_precision = "none"


def test_settings_of_torch_are_the_caller_s_and_change_no_number(tmp_path):
    made = gb.run("digits", results=tmp_path / "plain", engine="reference", **DIGITS)
    plain = made.load().scores["value"]
    before = settings()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.manual_seed(1)
        kept, state = settings(), torch.random.get_rng_state()
        with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
            again = gb.run("digits", results=tmp_path / "again", engine="reference", **DIGITS).load()
        generator = gb.generator(again.trials["path"][0])
        with torch.autocast("cpu", torch.bfloat16):
            images = generator.images(8)
            scores = gb.score(generator, "digits", samples=64).set_index("metric")["value"]
        assert settings() == kept
        assert torch.equal(torch.random.get_rng_state(), state), "nothing draws from the caller's generator"
    finally:
        torch.set_default_dtype(before[0])
        torch.set_default_device(None)
    assert torch.equal(images, generator.images(8))
    pd.testing.assert_series_equal(again.scores["value"], plain)
    assert scores["fid"] == again.scores.query("metric == 'fid' and epoch == 1")["value"].iloc[0]


def test_what_a_gpu_s_bits_need_is_set_back(monkeypatch):
    """After a call with ``device="cuda:1"`` the caller's own code worked there, too."""
    current = [0]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current[-1])
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: current.append(device.index))
    monkeypatch.setattr(torch.cuda, "_maybe_exchange_device", current.append)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)

    def seen():
        return current[-1], torch.utils.deterministic.fill_uninitialized_memory, "CUBLAS_WORKSPACE_CONFIG" in os.environ

    before = settings()
    assert seen() == (0, True, False)
    with as_in_a_command():
        fix_bits(torch.device("cuda:1"))
        assert seen() == (1, False, True)
    assert seen() == (0, True, False)
    assert settings() == before
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with as_in_a_command():
        fix_bits(torch.device("cuda:1"))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_calls_in_several_threads_leave_the_process_as_it_was(tmp_path):
    before, shows = settings(), warnings.showwarning

    def run(name):
        gb.run("digits", results=tmp_path / name, **DIGITS)

    threads = [threading.Thread(target=run, args=(str(i),)) for i in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(HANG)
    assert warnings.showwarning is shows
    assert settings() == before


def test_scripts_of_others_find_what_they_import(tmp_path):
    """A module that moves breaks them; these are known to be imported elsewhere."""
    from gan_bench.config.image_folder import ImageFolder, Transform
    from gan_bench.data.image_files import decode
    from gan_bench.data.own_images import register_folder

    for split, kind, i in product(("train", "test"), ("cat", "dog"), range(4)):
        (tmp_path / split / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), i + 4 * (kind == "dog"), np.uint8)).save(
            tmp_path / split / kind / f"{i}.png"
        )
    made = register_folder(ImageFolder(name="mine", path=tmp_path, transform=Transform(size=32, channels=3)))
    assert (dict(made.counts), made.classes) == ({"train": 8, "test": 8}, 2)
    image = decode((tmp_path / "train/cat/0.png").read_bytes(), "0.png", 3)
    assert np.array(image).shape == (32, 32, 3)
