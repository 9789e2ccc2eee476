"""What is not what was saved is believed by no command: named, left out, and used for nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.records import edit, reseal
from support.suites import SMALL, train_small
from typer.testing import CliRunner

import gan_bench as gb
from gan_bench.cli.app import app
from gan_bench.core.errors import AlteredError, RecordError
from gan_bench.records.folders import scan
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import StoredTrial
from gan_bench.records.shared import read_baselines
from gan_bench.records.verify import verify
from gan_bench.report.compare.comparison import compare
from gan_bench.report.findings.find_setting import champions
from gan_bench.tracking.registration import register


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("believed"))


@pytest.fixture
def results(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "results")


def record(results, seed=0):
    return RecordDirectory(next(results.glob(f"small/*lr=0.0002*seed={seed}--*")))


def flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def lower_the_fid(directory):
    """Write a score into the evaluations that nobody reached."""
    lines = [json.loads(line) for line in directory.evaluations.read_text().splitlines()]
    for score in lines[-1]["scores"]:
        score["value"] = 5.0 if score["metric"] == "fid" else score["value"]
    directory.evaluations.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def command(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "400"})


def refused(done):
    """Assert one sentence and exit code 2; ``main`` prints what the runner hands over."""
    assert isinstance(done.exception, RecordError), done.output
    assert str(done.exception).count("\n") == 0
    return str(done.exception)


def test_an_edited_score_is_marked_left_out_and_decides_nothing(results):
    before = gb.load(results)
    lower_the_fid(record(results))
    tables = gb.load(results)
    assert sorted(tables.trials["status"]) == ["altered", "done", "done", "done"]
    assert 5.0 not in set(tables.scores.query("metric == 'fid'")["value"])
    assert len(tables.scores) == len(before.scores) * 3 / 4
    (said,) = tables.unreadable
    assert "evaluations.jsonl is not what was saved: its digest differs" in said
    done = command("report", results, "--tables", "all")
    assert done.exit_code == 0
    assert f"altered: {record(results).evaluations} is not what was saved" in done.output
    assert "1 trial left out: damaged, unreadable or not what was saved" in done.output
    assert "1 damaged, altered or unreadable" in done.output
    assert [v.faults for v in verify(results) if v.faults] == [
        (
            "evaluations.jsonl has changed since the record was written",
            "its final values are not those of its history and evaluations",
            "its best scores are not those of its evaluations",
        )
    ]


@pytest.mark.parametrize("counted", ["steps", "images"])
def test_counts_of_an_end_are_held_against_the_history(results, counted):
    edit(record(results).record, **{counted: 1})
    assert [v.faults for v in verify(results) if v.faults] == [("its steps and images are not those of its history",)]


@pytest.mark.parametrize("name", ["trial.json", "environment.json", "history.jsonl", "evaluations.jsonl"])
@pytest.mark.parametrize("change", [lambda path: path.write_bytes(path.read_bytes() + b"\n"), Path.unlink])
def test_a_file_that_is_gone_or_longer_is_noticed_by_whoever_reads_it(results, name, change):
    change(record(results).path / name)
    (fault,) = [item.fault if isinstance(item, StoredTrial) else item for item in scan(results)
                if not isinstance(item, StoredTrial) or (item.fault and item.record)] or [None]  # fmt: skip
    assert isinstance(fault, RecordError)
    assert name in str(fault)
    (other,) = {item.fault.status for item in scan(results) if isinstance(item, StoredTrial) and item.fault}
    assert other == ("damaged" if name == "trial.json" and not record(results).trial.exists() else "altered")


def test_a_comparison_leaves_it_out_names_it_and_does_not_judge(whole, results):
    lower_the_fid(record(results))
    for old, new in ((whole, results), (results, whole)):
        found = compare(old, new)
        assert found.exit_code == 3
        assert not found.worse
        assert not found.better
        (said,) = found.unsure
        assert said.startswith("left out, altered: ")
        assert "seed=0" in said


@pytest.mark.parametrize("damage", ["{", ""])
def test_an_old_folder_with_seeds_that_cannot_be_read_is_not_judged(whole, results, damage):
    for seed in (0, 1):
        record(results, seed).trial.write_text(damage)
    found = compare(results, whole)
    assert found.exit_code == 3
    assert [said.partition(":")[0] for said in found.unsure] == ["left out, damaged"] * 2
    found = compare(whole, results)
    assert (found.exit_code, found.worse) == (3, [])
    for path in results.glob("small/*/trial.json"):
        path.write_text(damage)
    (results / "small" / "plan.json").unlink()
    assert compare(results, whole).exit_code == 3, "not even a plan is left"


def test_flipped_weights_are_drawn_scored_carded_and_registered_by_nobody(results, tmp_path):
    directory = record(results)
    for seed in (0, 1):
        flip(record(results, seed).weights)
    message = f"{directory.weights} is not what was saved: its digest differs"
    assert message in refused(command("sample", directory.path, "--out", tmp_path / "out"))
    assert message in refused(command("score", directory.weights, "digits", "--samples", "64"))
    with pytest.raises(AlteredError, match="is not what was saved"):
        gb.generator(directory.path)
    assert "is not what was saved" in refused(
        command("card", "lr=0.0002", "--results", results, "--out", tmp_path / "c")
    )
    with pytest.raises(AlteredError, match="is not what was saved"):
        register(results, "sqlite:///unused", "", directory.path)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "c").exists()


def test_flipped_grids_are_shown_on_no_card_and_in_no_film(results, tmp_path):
    for seed in (0, 1):
        flip(record(results, seed).sample(2))
    assert "epoch-0002.png is not" in refused(command("sample", record(results).path, "--gif", "--out", tmp_path / "o"))
    assert not (tmp_path / "o").exists()
    assert "epoch-0002.png is not" in refused(
        command("card", "lr=0.0002", "--results", results, "--out", tmp_path / "c")
    )


def test_no_card_and_no_champion_of_a_setting_with_an_edited_seed(results, tmp_path):
    lower_the_fid(record(results))
    said = refused(command("card", "lr=0.0002", "--results", results, "--out", tmp_path / "c"))
    assert "seed=0 is altered: " in said
    with pytest.raises(RecordError, match="seed=0 is altered: "):
        list(champions(results))


def test_no_champion_of_a_study_with_an_edited_history(results):
    """Its scores are whole; what happened on the way is not what was saved."""
    flip(record(results).history)
    with pytest.raises(RecordError, match="seed=0 is altered: "):
        list(champions(results))


@pytest.mark.parametrize(
    ("field", "value"),
    [("latent_dim", 3), ("latent_dim", "64"), ("architecture", ["mlp"]), ("seed", {}), ("latent", 1)],
)
def test_an_edited_config_is_not_believed(results, tmp_path, field, value):
    directory = record(results)
    content = json.loads(directory.trial.read_text())
    edit(directory.trial, config={**content["config"], field: value})
    assert "trial.json is damaged: its" in refused(command("sample", directory.path, "--out", tmp_path / "out"))
    assert "trial.json is damaged: its" in refused(command("score", directory.weights, "digits"))


def test_a_card_s_own_weights_are_checked_where_it_lies(results, tmp_path):
    done = command("card", "lr=0.0002", "--results", results, "--out", tmp_path / "card")
    assert done.exit_code == 0, done.output
    assert gb.generator(tmp_path / "card").images(2).shape == (2, 1, 28, 28)
    flip(tmp_path / "card" / "generator.safetensors")
    with pytest.raises(AlteredError, match="is not what was saved"):
        gb.generator(tmp_path / "card")


def link(name, target, directory):
    path = directory.path / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize(
    "name", ["generator.safetensors", "generator-ema.safetensors", "environment.json", "samples/epoch-0002.png", "x"]
)
def test_no_command_follows_a_link_out_of_a_record(results, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_bytes(b"private")
    for seed in (0, 1):
        link(name, secret, record(results, seed))
    done = command("card", "lr=0.0002", "--results", results, "--out", tmp_path / "card")
    assert done.exit_code != 0
    assert not (tmp_path / "card").exists()
    assert "is a link, and records have none" in refused(
        command("sample", record(results).path, "--out", tmp_path / "out")
    )
    assert len([v for v in verify(results) if any("is a link" in fault for fault in v.faults)]) == 2
    assert command("publish", results, "--out", tmp_path / "published").exit_code != 0
    assert secret.read_bytes() == b"private"


def test_no_command_writes_through_a_link(results, tmp_path):
    """An interrupted trial of somebody else's, whose growing files lead into this user's home."""
    private = {name: tmp_path / f"private-{name}" for name in ("history.jsonl", "evaluations.jsonl")}
    directory = record(results)
    directory.record.unlink()
    for name, path in private.items():
        path.write_text("precious")
        link(name, path, directory)
    (results / "small" / ".locks").mkdir(exist_ok=True)
    owner = results / "small" / ".locks" / f"{directory.path.name.rpartition('--')[2]}.owner"
    owner.unlink(missing_ok=True)
    owner.symlink_to(tmp_path / "private-owner")
    (tmp_path / "private-owner").write_text("precious")
    log = tmp_path / "private-log"
    log.write_text("precious")
    (results / ".mlflow.log").symlink_to(log)
    (tmp_path / "small.yaml").write_text(SMALL)
    gb.run(tmp_path / "small.yaml", results=results, executor="inline", profile="full", tracking=True)
    for path in (*private.values(), tmp_path / "private-owner", log):
        assert path.read_text() == "precious", path
    assert gb.load(results).trials["status"].tolist() == ["done"] * 4
    (kept,) = (results / "small" / ".damaged").glob("*--*")
    assert (kept / "history.jsonl").is_symlink()


def test_a_resealed_record_is_believed_again(results):
    directory = record(results)
    lower_the_fid(directory)
    reseal(directory)
    assert 5.0 in set(gb.load(results).scores.query("metric == 'fid'")["value"])


def test_damaged_scores_of_real_images_are_named_and_made_again(results, tmp_path):
    """No trial is left to train, and the damage does not stay for that."""
    baselines = results / "small" / "anchors.json"
    whole_scores = [row["scores"] for row in read_baselines(results / "small")]
    flip(baselines)
    assert "anchors.json" in command("report", results, "--no-html").output
    (tmp_path / "small.yaml").write_text(SMALL)
    gb.run(tmp_path / "small.yaml", results=results, executor="inline", profile="full")
    assert [row["scores"] for row in read_baselines(results / "small")] == whole_scores
    assert [path.name for path in (results / "small" / ".damaged").iterdir()] == ["anchors.json"]
    assert "anchors.json" not in command("report", results, "--no-html").output
