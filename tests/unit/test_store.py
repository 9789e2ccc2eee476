"""Record directories on disk: atomic, readable when damaged, and unable to leave the results folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.studies import with_lr, write
from support.trials import digits_trial

from gan_bench.api import ResultTables, load
from gan_bench.cli import app
from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.atomic import ASIDE, remove_leftovers, write_atomically
from gan_bench.core.errors import RecordError, UserError, brief
from gan_bench.execution.trial.decision import Action, Policy, decide
from gan_bench.records import schema, writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.folders import command_of, fault_of, plan_of, scan, suite_folders
from gan_bench.records.json_files import parse_lines, without_remedy
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import suite_files, write_plan
from gan_bench.records.reader import StoredTrial, read_trial
from gan_bench.records.record import Status, TrialRecord
from gan_bench.records.shared import read_baselines, write_baselines
from gan_bench.records.verify import verify
from gan_bench.report.study.frame import status_shown

RECORD = TrialRecord(
    status=Status.DONE,
    reason=None,
    epochs=1,
    steps=1,
    images=1,
    final={"loss_d": 1.0},
    best={},
    train_seconds=1.0,
    evaluate_seconds=1.0,
)


ENVIRONMENT = {"schema": 1, "started": "2026-01-01T00:00:00+00:00"}
VALUES = {"loss_d": 1.5, "loss_g": 0.7, "d_real": 0.6, "d_fake": 0.4}
STEP = {"kind": "step", "epoch": 1, "step": 1, **VALUES}


@pytest.fixture
def directory(tmp_path):
    directory = RecordDirectory.of(tmp_path, digits_trial())
    write_plan(tmp_path, "test", 1, [digits_trial()])
    writer.begin(directory, digits_trial(), ENVIRONMENT)
    return directory


def history(directory):
    return parse_lines(directory.history, directory.history.read_bytes(), schema.HISTORY)


def test_what_is_written_is_read(tmp_path, directory):
    writer.append(directory.history, [STEP, {**STEP, "loss_d": float("nan")}])
    writer.save_sample(directory, 3, np.zeros((4, 4, 3), dtype=np.uint8))
    writer.finish(directory, RECORD)
    (stored,) = scan(tmp_path)
    assert stored.trial["id"] == digits_trial().id
    assert [line["loss_d"] for line in stored.history] == [1.5, None]
    assert stored.record["status"] == "done"
    with Image.open(directory.sample(3)) as grid:
        assert grid.size == (4, 4)


@pytest.mark.parametrize("link", ["latest", "z"])
def test_a_link_to_a_suite_beside_it_holds_no_copies(tmp_path, link):
    """Every trial was one to move elsewhere, which would have moved the only record; verify counted each twice."""
    results = tmp_path / "results"
    made = RecordDirectory.of(results, digits_trial())
    write_plan(results, "test", 1, [digits_trial()])
    writer.begin(made, digits_trial(), ENVIRONMENT)
    writer.finish(made, RECORD)
    (results / link).symlink_to("test")
    (stored,) = scan(results)
    assert isinstance(stored, StoredTrial)
    assert stored.path == made.path
    assert [verdict.name for verdict in verify(results)] == [made.path.name]
    assert [each.path.parent for each in scan(results / link)] == [results / link]


def test_status_is_none_until_the_end(directory):
    assert Earlier(directory).status is None
    writer.finish(directory, RECORD)
    assert Earlier(directory).status is Status.DONE
    writer.begin(directory, digits_trial(), ENVIRONMENT)
    assert Earlier(directory).status is None


def test_an_end_vouches_for_nothing_that_a_power_cut_may_lose(directory, monkeypatch):
    """record.json has the digests of lines that the system may not have written yet; the checkpoint goes after it."""
    writer.append(directory.history, [STEP])
    calls, force, replace_ = [], os.fsync, Path.replace

    def forced(handle):
        calls.append(("forced", os.fstat(handle).st_ino))
        force(handle)

    def renamed(path, target):
        calls.append(("renamed to", Path(target).name))
        return replace_(path, target)

    monkeypatch.setattr(os, "fsync", forced)
    monkeypatch.setattr(Path, "replace", renamed)
    writer.finish(directory, RECORD)
    end = calls.index(("renamed to", "record.json"))
    for path in (directory.history, directory.evaluations, directory.path.parent):
        assert ("forced", path.stat().st_ino) in calls[:end], path
    assert ("forced", directory.path.stat().st_ino) in calls[end:]


def test_an_end_has_the_moment_at_which_it_was_written(directory):
    before = datetime.now(UTC)
    first = writer.finish(directory, RECORD)
    assert before.replace(microsecond=0) <= datetime.fromisoformat(first.ended) <= datetime.now(UTC)
    assert Earlier(directory).record.ended == first.ended
    assert writer.finish(directory, first).ended == first.ended, "written again, it ended no later"
    assert "ended" not in RECORD.to_json(), "as in records of earlier versions"


def test_a_line_cut_short_is_left_out_and_a_bad_one_is_named(directory):
    line = json.dumps(STEP)
    directory.history.write_text(f"{line}\n{line[:20]}")
    assert history(directory) == [STEP]
    for bad in (line[:20], "{}", "[]", '{"kind": "leap"}', f"{line},{line}", line.replace("1.5", '"1.5"')):
        directory.history.write_text(f"{bad}\n{line}\n")
        with pytest.raises(RecordError, match=r"history.jsonl:1 is damaged"):
            history(directory)


def test_truncating_shortens_and_refuses_what_is_not_what_it_was(directory):
    writer.append(directory.history, [STEP])
    writer.save_sample(directory, 0, np.zeros((4, 4, 3), dtype=np.uint8))
    known = writer.snapshot(directory)
    writer.append(directory.history, [{**STEP, "step": 2}])
    writer.save_sample(directory, 1, np.zeros((4, 4, 3), dtype=np.uint8))
    assert writer.truncate(directory, known) is None
    assert history(directory) == [STEP]
    assert not directory.sample(1).exists()
    moved = f"{directory.history} is not what it was when the checkpoint was written"
    assert writer.truncate(directory, {**known, "offsets": {**known["offsets"], "history.jsonl": 10_000}}) == moved
    whole = directory.history.read_text()
    directory.history.write_text(whole.replace("1.5", "0.5"))
    assert writer.truncate(directory, known) == moved
    directory.history.write_text(whole)
    assert writer.truncate(directory, {"offsets": known["offsets"]}) is None  # checkpoints of earlier versions
    directory.sample(0).write_bytes(b"another picture")
    assert writer.truncate(directory, known) == f"{directory.sample(0)} is not what was written"
    directory.sample(0).unlink()
    assert writer.truncate(directory, known) == f"{directory.sample(0)} is gone"


def test_digests_are_of_the_records_own_files_and_of_nothing_behind_links(directory, tmp_path):
    weights, sample = directory.kept_weights(1), directory.sample(1)
    for file in (weights, sample):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"abc")
    own = {f"{weights.parent.name}/{weights.name}", f"{sample.parent.name}/{sample.name}"}
    found = writer.digests(directory)
    assert own <= set(found)
    assert {found[name] for name in own} == {hashlib.sha256(b"abc").hexdigest()}
    for folder in (weights.parent, sample.parent):
        folder.rename(tmp_path / f"moved-{folder.name}")
        folder.symlink_to(tmp_path / f"moved-{folder.name}")
    assert not own & set(writer.digests(directory))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, None),
        ({"data_sha256": "b"}, "the training images changed"),
        ({"networks_sha256": "b"}, "the layers of the networks changed"),
        ({"networks_sha256": "b", "torch": "3"}, None),  # another PyTorch describes the same layers in other words
        ({"data_sha256": "b", "networks_sha256": "b"}, "the training images and the layers of the networks changed"),
        ({"parts": {"losses/mine": {"name": "mine.py", "sha256": "b"}}}, "the code of losses/mine changed"),
        (
            {"networks_sha256": "b", "parts": {"losses/mine": {"name": "mine.py", "sha256": "b"}}},
            "the layers of the networks and the code of losses/mine changed",
        ),
    ],
)
def test_what_changed_since_an_earlier_run_is_named(directory, now, said):
    parts = {"losses/mine": {"name": "mine.py", "version": "", "sha256": "a"}}
    known = {"data_sha256": "a", "networks_sha256": "a", "parts": parts, "libraries": {"torch": "2"}}
    earlier = Earlier(directory)
    vars(earlier)["environment"] = known
    there = {"data_sha256": "a", "networks_sha256": "a", "d_output": "logit", "torch": "2", "parts": parts}
    there |= {"in_program": {key: {} for key in parts}}
    assert earlier.changed({**there, **now}) == said


def test_planned_trials_that_never_started_are_there(tmp_path, directory):
    other = replace(digits_trial(), config=replace(digits_trial().config, seed=5))
    write_plan(tmp_path, "test", 1, [digits_trial(), other])
    assert [s.trial["name"].rpartition("=")[2] for s in scan(tmp_path)] == ["0", "5"]


def test_plans_of_one_version_add_up(tmp_path):
    other = replace(digits_trial(), config=replace(digits_trial().config, seed=5))
    write_plan(tmp_path, "test", 1, [digits_trial()])
    write_plan(tmp_path, "test", 1, [other])
    assert len(list(scan(tmp_path))) == 2
    write_plan(tmp_path, "test", 2, [other])
    assert len(list(scan(tmp_path))) == 1


def test_anchors_of_other_protocols_are_kept(tmp_path, directory):
    write_plan(tmp_path, "test", 1, [digits_trial()])
    row = {"dataset": "digits", "image_size": 28, "samples": 64, "pictures": 64, "what": "x", "scores": []}
    write_baselines(tmp_path, "test", 1, [row])
    write_baselines(tmp_path, "test", 1, [{**row, "samples": 100}, {**row, "pictures": 60}])
    assert [(r["samples"], r["pictures"]) for r in read_baselines(tmp_path / "test")] == [(64, 60), (100, 64)]


@pytest.mark.parametrize(("digest", "kept"), [("a", 2), ("b", 1), (None, 1)])
def test_baselines_of_other_held_out_images_are_replaced(tmp_path, digest, kept):
    """Real images of before and after a change stood in one row; those of old rows are not known."""
    row = {"dataset": "digits", "image_size": 28, "samples": 64, "pictures": 64, "what": "x", "data_sha256": "t"}

    def score(name):
        protocol = {"extractor": name, "split": "train", "real": 64, "generated": 64}
        return {"name": f"fid[{name},train,64]", "metric": "fid", "value": 1.0, "std": None, **protocol}

    def write(name, **more):
        write_baselines(tmp_path, "test", 1, [{**row, **more, "scores": [score(name)]}])
        (found,) = read_baselines(tmp_path / "test")
        return len(found["scores"])

    write("one")
    assert write("two", held_out_sha256="a") == 2
    assert write("two", held_out_sha256=digest) == kept


def test_foreign_and_damaged_folders_are_named_not_fatal(tmp_path, directory):
    (tmp_path / "test" / "notes").mkdir()
    (tmp_path / "other").mkdir()
    (directory.path / "trial.json").write_text('{"schema": 99}')
    (directory.path.parent / "no-trial--01234567").mkdir()
    error, other, _ = scan(tmp_path)
    assert str(other).endswith("its suite does not ask for the trial, so no run replaces it; move it elsewhere")
    assert "has no trial.json" in str(other)
    assert isinstance(error, RecordError)
    assert "record version 99" in str(error)


def test_the_empty_directory_of_a_planned_trial_is_not_begun(tmp_path, directory):
    """A full disk leaves it, and so does a kill: ``verify`` called it invalid, and the next run began the trial."""
    writer.clear(directory)
    directory.path.mkdir()
    for name in (None, f".trial.json.0123{ASIDE}"):
        if name:
            (directory.path / name).touch()
        assert decide(Earlier(directory), digits_trial().config, Policy(), None).action is Action.BEGIN
        (stored,) = scan(tmp_path)
        assert (stored.trial["id"], fault_of(stored), status_shown(stored)) == (digits_trial().id, None, "planned")
        (found,) = verify(tmp_path)
        assert (found.planned, found.checked, found.faults) == (True, False, ())
        assert found.remarks == ("is planned and has no record",)
    (directory.path / "mine.txt").touch()
    error, stored = scan(tmp_path)
    assert "has no trial.json" in str(error)
    assert fault_of(stored) is error


@pytest.mark.parametrize("suite", ["..", "a/b", "/abs", "nul\0", "report", "", ".hidden", "x" * 300])
def test_names_cannot_leave_the_results_folder(tmp_path, suite):
    config = replace(digits_trial().config, suite=suite)
    with pytest.raises(UserError, match="cannot be a folder"):
        RecordDirectory.of(tmp_path, Trial(setting="x", config=config))


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "f"
    write_atomically(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as refused:
        write_atomically(path, "new")
    assert refused.value.filename == str(path), "the system names none"
    assert str(refused.value) == f"[Errno 28] No space left on device: {str(path)!r}"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert path.read_text() == "old"
    with pytest.raises(FileNotFoundError) as refused:
        write_atomically(tmp_path / "gone" / "f", "new")
    assert refused.value.filename == str(tmp_path / "gone" / "f"), "it is not called as the file aside"


@pytest.mark.parametrize(
    ("words", "number", "said"),
    [
        (["run", "tiny"], errno.ENOSPC, "{} cannot be written (full); free some space; the same command continues"),
        (["sync", "results"], errno.EDQUOT, "{} cannot be written (full); free some space; try again"),
        (["run", "tiny"], errno.EIO, "the file {} cannot be used (full); check space, rights, and where output goes"),
    ],
)
def test_a_full_disk_is_said_with_the_file_that_was_written(tmp_path, monkeypatch, capsys, words, number, said):
    """It said "something cannot be written" where the scores of real images found no room."""

    def full(*_, **__):
        raise OSError(number, "full")

    def write(*_, **__):
        monkeypatch.setattr(os, "fsync", full)
        write_baselines(tmp_path, "tiny", 1, [])

    monkeypatch.setattr(app, "_commands", write)
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit) as ended:
        app.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {said.format(tmp_path / 'tiny' / 'anchors.json')}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA out of memory. Tried"), "memory ran out ({}); free some, or use another --device"),
        (MemoryError(), "memory ran out ({}); free some, or use another --device"),
        (RuntimeError("cuDNN error: X"), "CUDA failed ({}); free or repair the GPU, or use --device cpu"),
        (RuntimeError("a fault of ours"), None),
    ],
)
def test_a_device_that_fails_outside_of_trials_is_no_traceback(monkeypatch, capsys, error, said):
    """Real images are scored before the first trial, and those of a folder by `score`."""

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(app, "_commands", fails)
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit if said else RuntimeError) as ended:
        app.main(["score"])
    if said:
        assert ended.value.code == 2
        assert capsys.readouterr().err == f"error: {said.format(brief(error))}\n"


def test_only_what_nobody_writes_is_removed(tmp_path):
    fresh, stale, other = tmp_path / ".f.x1.aside", tmp_path / ".f.x2.aside", tmp_path / ".f.x3"
    for path in (fresh, stale, other):
        path.write_text("half a fi")
    os.utime(stale, (0, 0))
    os.utime(other, (0, 0))
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == [fresh, other]
    remove_leftovers(tmp_path, idle=0)
    assert list(tmp_path.iterdir()) == [other]


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.mkdir(exist_ok=True)
    (path / "trial.json").write_bytes(content)
    with pytest.raises(RecordError, match="fuzzed"):
        read_trial(path)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_after_good_lines_are_lines_or_a_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed.jsonl"
    path.write_bytes(json.dumps(STEP).encode() + b"\n" + content)
    try:
        assert parse_lines(path, path.read_bytes(), schema.HISTORY)[0] == STEP
    except RecordError as error:
        assert "fuzzed.jsonl:" in str(error)


@pytest.mark.parametrize("name", ["plan.json", "anchors.json"])
def test_a_damaged_file_of_a_suite_is_kept_when_it_is_written_again(tmp_path, name):
    """What it held of other plans is lost to reports, not to its owner."""
    folder = tmp_path / "test"
    for content in ('{"broken', "another"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(content)
        write_plan(tmp_path, "test", 1, [digits_trial()])
        write_baselines(tmp_path, "test", 1, [])
        assert json.loads((folder / name).read_text())["version"] == 1
    kept = sorted((folder / ".damaged").iterdir())
    assert [path.read_text() for path in kept] == ['{"broken', "another"]


def test_a_suite_s_file_is_where_it_was_run(tmp_path, monkeypatch):
    """From another folder nothing knew the suite's own images; a file of that name there was taken for it."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (home / "r" / "deep" / "mine").mkdir(parents=True)
    elsewhere.mkdir()
    (home / "mine.yaml").write_text("suite: mine # edited since")
    suite = home / "r" / "deep" / "mine"
    (suite / "suite.yaml").write_text("suite: mine")
    write_plan(home / "r" / "deep", "mine", 1, [digits_trial()], "gan-bench run mine.yaml --results r/deep --seeds 0")
    monkeypatch.chdir(elsewhere)
    assert suite_files(suite) == [home / "mine.yaml"]
    (elsewhere / "mine.yaml").write_text("suite: another")
    assert suite_files(suite) == [home / "mine.yaml"]
    moved = (home / "r").rename(tmp_path / "moved")
    assert suite_files(moved / "deep" / "mine") == [Path("mine.yaml")], "where it was run is not known any more"


def test_a_command_with_names_that_no_file_can_have_ends_nothing(tmp_path):
    write_plan(tmp_path, "mine", 1, [digits_trial()], f"gan-bench run a\0.yaml {'x' * 5000}.yaml \ud800.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    write_plan(tmp_path, "other", 1, [digits_trial()], f"gan-bench run {tmp_path}/pipe.yaml")
    assert suite_files(tmp_path / "mine") == suite_files(tmp_path / "other") == []


def test_a_link_to_a_suite_beside_it_is_no_second_one(tmp_path, directory):
    """Each of its trials was mirrored, rescored and audited twice."""
    write_plan(tmp_path, "test", 1, [digits_trial()])
    (suite,) = suite_folders(tmp_path)
    (tmp_path / "a-link").symlink_to(suite.name)
    (tmp_path / "z-link").symlink_to(suite.name)
    assert suite_folders(tmp_path) == [suite]
    moved = suite.rename(tmp_path / "test-2026")
    (tmp_path / "test").symlink_to(moved.name)
    (tmp_path / "a-link").unlink()
    (tmp_path / "z-link").unlink()
    assert suite_folders(tmp_path) == [tmp_path / "test"], "the suite's name"
    (tmp_path / "test").rename(tmp_path / "latest")
    assert suite_folders(tmp_path) == [moved], "the folder, where none has that name"


LAST = "gan-bench run tiny.yaml --results there --profile full --only 'lr 9e-4' --until decided --max-seeds 8"


@pytest.mark.parametrize(
    ("command", "left", "remedy"),
    [
        (LAST, (), "`gan-bench run tiny.yaml --results {} --profile full --seeds 4` replaces it"),
        (f"{LAST} --set lr=1e-9", (), "`gan-bench run tiny.yaml --results {} --profile full --seeds 4` replaces it"),
        (
            LAST.replace("'lr 9e-4'", "mlp"),  # as other settings need not have been run at all
            (),
            "`gan-bench run tiny.yaml --results {} --profile full --only mlp --seeds 4` replaces it",
        ),
        (LAST, (4,), "`gan-bench run tiny.yaml --results {} --profile full --seeds 4` replaces it"),
        (LAST, (0, 4), "its suite does not ask for the trial, so no run replaces it; move it elsewhere"),
        (None, (), "run the suite again with `--seeds 4` to replace it"),
        ("withdrawn", (), "its suite does not ask for the trial, so no run replaces it; move it elsewhere"),
    ],
)
def test_what_replaces_a_damaged_record_is_a_command_that_has_its_trial(tmp_path, command, left, remedy):
    """It was "run the suite again", which has neither a later look's seeds nor what `--only` left out."""
    trials = [digits_trial(seed, suite="tiny") for seed in (0, 4)]
    planned = [trial for trial in trials if trial.config.seed not in left] or [with_lr(trials[0], 1e-3)]
    write_plan(tmp_path, "tiny", 1, planned, command)
    for trial in trials:
        write(tmp_path, trial, 50.0)
    if command == "withdrawn":
        write_plan(tmp_path, "tiny", 1, [with_lr(trials[0], 1e-3)], LAST, whole=True)
    directory = RecordDirectory.of(tmp_path, trials[1])
    whole = directory.evaluations.read_bytes()
    remedy = remedy.format(tmp_path)
    for content in (whole.replace(b"50.0", b"10.0"), b"{}\n" + whole):  # altered, and damaged
        directory.evaluations.write_bytes(content)
        fault = next(fault for each in scan(tmp_path) if (fault := fault_of(each)))
        assert str(fault).endswith(f"; {remedy}")
        assert without_remedy(fault) == str(fault).removesuffix(f"; {remedy}")
        said = [text for check in verify(tmp_path) for text in (*check.faults, *check.remarks)]
        assert sum(text.endswith(remedy) for text in said) == 1


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("gan-bench run w1/tiny/suite.yaml --results w1 --seeds 4", "{}/tiny/suite.yaml --results {} --seeds 4"),
        ("gan-bench run 'w 1/tiny/suite.yaml' --results 'w 1'", "{}/tiny/suite.yaml --results {}"),
        ("gan-bench run ./-w/tiny/suite.yaml --results -w", "{}/tiny/suite.yaml --results {}"),
        ("gan-bench run results/tiny/suite.yaml", "{}/tiny/suite.yaml --results {}"),
        ("gan-bench run tiny/suite.yaml --results .", "{}/tiny/suite.yaml --results {}"),
        ("gan-bench run other/tiny/suite.yaml --results w1", "other/tiny/suite.yaml --results {}"),
        ("gan-bench run w1/mine.yaml --results w1", "w1/mine.yaml --results {}"),
        ("gan-bench run tiny --results w1", "tiny --results {}"),
    ],
)
def test_a_moved_folder_s_command_names_the_suite_that_it_keeps(tmp_path, command, named):
    """It named the file where the folder had been, which was gone."""
    write_plan(tmp_path, "tiny", 1, [digits_trial(suite="tiny")], command)
    folder = tmp_path / "tiny"
    assert command_of(folder, plan_of(folder), "tiny") == f"gan-bench run {named.format(tmp_path, tmp_path)}"


def test_the_columns_of_tables_are_documented(tmp_path):
    """`seconds` was none, and four others were not named."""
    write(tmp_path, digits_trial(), 50.0)
    tables = load(tmp_path)
    words = set(re.findall(r"\w+", ResultTables.__doc__.partition("epochs: One")[0]))
    own = {each.name for each in fields(TrialConfig)} | {"suite"}
    assert set(tables.trials.columns) - own <= words
    assert "seconds" not in words
