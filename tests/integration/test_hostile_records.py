"""Records that somebody prepared: no path of theirs is followed, no text of theirs commands anything."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from support.commands import gan_bench
from support.records import edit
from support.trials import digits_trial

from gan_bench.config.trial import Trial
from gan_bench.core.text import printable
from gan_bench.records import writer
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import write_plan
from gan_bench.records.record import Status, TrialRecord
from gan_bench.report.build import build_report

VALUES = {"loss_d": 1.0, "loss_g": 0.7, "d_real": 0.6, "d_fake": 0.4}
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m \ud800 \u202e"


def write(directory, trial, reason=None):
    """Write the record of a trial that never ran."""
    environment = {"schema": 1, "started": "2026-01-01T00:00:00+00:00", "device": "cpu"}
    directory.path.parent.mkdir(parents=True, exist_ok=True)
    writer.begin(directory, trial, environment)
    line = {"kind": "epoch", "epoch": 1, "step": 1, "images": 1, "train_seconds": 1.0, "mean": VALUES, "last": VALUES}
    writer.append(directory.history, [line])
    status = Status.FAILED if reason else Status.DONE
    writer.finish(directory, TrialRecord(status=status, reason=reason, epochs=1, steps=1, images=1, final=VALUES))


@pytest.fixture
def evil(tmp_path):
    """A record whose config names a suite outside, and whose texts hold escapes; a private file lies near."""
    secret = tmp_path / "secret.txt"
    secret.write_text("not yours")
    plain = digits_trial()
    config = replace(plain.config, suite="../..", epochs=1, evaluation=replace(plain.config.evaluation, epochs=(0, 1)))
    trial = Trial(setting=f"evil{ESCAPES}", config=config)
    directory = RecordDirectory(tmp_path / "a" / "b" / "results" / "suite" / f"evil--{config.id}")
    write(directory, trial, reason=f"boom {ESCAPES}")
    write_plan(tmp_path / "a/b/results", "suite", 1, [])
    return tmp_path, directory


def test_sync_leaves_the_results_folder_alone_and_follows_no_link(evil):
    folder, directory = evil
    results = directory.path.parent.parent
    before = {path for path in folder.rglob("*") if results not in path.parents}
    done = gan_bench("sync", results, env={**os.environ, "GAN_BENCH_CACHE": str(results / "cache")})
    assert done.returncode == 0, done.stderr
    assert {path for path in folder.rglob("*") if results not in path.parents} == before
    copied = [path for path in (results / "mlartifacts").rglob("*") if path.is_file()]
    assert copied, done.stdout
    directory.weights.symlink_to(folder / "secret.txt")
    done = gan_bench("sync", results, env={**os.environ, "GAN_BENCH_CACHE": str(results / "cache")})
    assert done.returncode == 1, done.stderr
    assert "generator.safetensors is a link, and records have none" in done.stdout
    copied = [path for path in (results / "mlartifacts").rglob("*") if path.is_file()]
    assert all("not yours" not in path.read_text(errors="replace") for path in copied)
    assert not list((results / "mlartifacts").rglob("generator.safetensors"))


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("report --tables all", "boom"),
        ("verify", "which is not what its config says"),
        ("sync", "1 run up to date in MLflow"),
    ],
)
def test_no_escape_sequence_reaches_a_terminal(evil, command, part):
    _, directory = evil
    verb, *options = command.split()
    done = gan_bench(verb, directory.path.parent.parent, *options)
    assert done.returncode == (verb == "verify")
    said = done.stdout + done.stderr
    assert part in said
    for character in ("\x1b", "\x07", "\x9b", "\u202e"):
        assert character not in said


@pytest.mark.draws_pages
@pytest.mark.draws_plots
def test_no_control_character_reaches_a_file_of_the_report(evil):
    _, directory = evil
    report = build_report(directory.path.parent.parent)
    made = [path for path in report.folder.rglob("*") if path.suffix in (".csv", ".md", ".tex", ".svg", ".html")]
    assert len(made) > 5
    for path in made:
        text = path.read_text(encoding="utf-8")
        assert not [c for c in text if ord(c) < 32 and c != "\n"], path.name


def test_a_link_in_the_place_of_a_record_is_refused(evil):
    folder, directory = evil
    moved = folder / "elsewhere.json"
    directory.record.rename(moved)
    directory.record.symlink_to(moved)
    done = gan_bench("verify", directory.path.parent.parent)
    assert done.returncode == 1
    assert "is a link, and records have none" in done.stdout


def test_a_plan_cannot_name_a_directory_outside(tmp_path):
    trial = digits_trial()
    write_plan(tmp_path, "test", 1, [trial])
    plan = tmp_path / "test" / "plan.json"
    row = {"name": trial.name, "setting": trial.setting, "id": trial.id, "config": trial.config.to_json()}
    edit(plan, trials=[{**row, "directory": "../../x--01234567"}])
    done = gan_bench("report", tmp_path)
    assert "Traceback" not in done.stderr
    assert "cannot be a folder" in done.stdout + done.stderr


def test_printable_is_one_line_that_encodes():
    text = printable(f"a\n{ESCAPES}é日")
    assert text.isprintable()
    text.encode()
    assert text.startswith("a \\x1b]0;owned\\x07")
    assert text.endswith("é日")
