"""Exports, read back by the libraries that they are for."""

from __future__ import annotations

import errno
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import warm
from support.commands import HANG, gan_bench, python_code
from support.suites import SMALL, train_small

import gan_bench as gb
from gan_bench.cli import export as exports
from gan_bench.cli.export import export
from gan_bench.records import writer
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.record import Status, TrialRecord


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two settings of two seeds, two epochs."""
    return train_small(tmp_path_factory.mktemp("export"), SMALL)


@pytest.fixture(scope="module")
def tables(results):
    return gb.load(results)


def final(tables, metric="fid"):
    """Return the last score of every trial by its id."""
    found = tables.scores.query(f"metric == '{metric}'").sort_values("epoch")
    return found.groupby("trial")["value"].last()


def test_one_tidy_parquet_file(results, tables, tmp_path):
    out = tmp_path / "all.parquet"
    done = gan_bench("export", "parquet", results, "--out", out)
    assert done.returncode == 0, done.stderr
    found = pd.read_parquet(out)
    values = len(tables.scores) + 4 * len(tables.epochs) + 4 * len(tables.steps)
    assert f"4 trials, {values:,} values" in done.stdout
    assert len(found) == len(tables.trials) + values
    assert set(found["kind"]) == {"trial", "score", "epoch", *["step"] * (len(tables.steps) > 0)}
    fid = found.query("kind == 'score' and metric == 'fid'").sort_values("epoch").groupby("trial")["value"].last()
    pd.testing.assert_series_equal(fid, final(tables), check_names=False)
    mean = found.query("kind == 'score' and metric == 'fid' and epoch == 2").groupby("config.lr_g")["value"].mean()
    assert len(mean) == tables.trials["lr_g"].nunique() == 2


def test_event_files_stay_in_their_folder_whatever_records_are_called(results, tmp_path):
    """A record names its suite, which was a path."""
    tables = gb.load(results)
    first = next(exports.trials_of(tables))
    for i, suite in enumerate(("../../evil", "..", str(tmp_path / "evil"), "\u6f22")):
        out = tmp_path / "deep" / "deep" / str(i)
        exports.write_tensorboard(replace(first, suite=suite, name="../../a/../../b"), out)
        (made,) = tmp_path.rglob("events.out*")
        assert made.resolve().is_relative_to(out)
        assert len(made.relative_to(out).parts) >= 3
        shutil.rmtree(out)


def test_event_files_of_tensorboard(results, tables, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = gan_bench("export", "tensorboard", results, "--out", tmp_path / "tb")
    assert done.returncode == 0, done.stderr
    assert f"tensorboard --logdir {tmp_path / 'tb'}" in done.stdout
    runs = {path.name.rpartition("--")[2]: path for path in (tmp_path / "tb").glob("*/*--*")}
    assert set(runs) == set(tables.trials["trial"])
    for trial, folder in runs.items():
        events = EventAccumulator(str(folder), size_guidance={"images": 0})
        events.Reload()
        fids = events.Scalars("eval/fid.lenet-mnist-v1")
        wanted = tables.scores.query(f"trial == '{trial}' and metric == 'fid'").sort_values("epoch")
        assert [each.step for each in fids] == list(wanted["epoch"])
        np.testing.assert_allclose([each.value for each in fids], wanted["value"], rtol=1e-6)
        assert [each.step for each in events.Scalars("train/loss_d")] == [1, 2]
        assert [each.step for each in events.Images("samples")] == [0, 1, 2]
        times = [each.wall_time for each in fids]
        assert times == sorted(times)
        assert [each.wall_time for each in events.Images("samples")] == times, "not that of the export"
        assert [each.wall_time for each in events.Scalars("hparam/eval/fid.lenet-mnist-v1")] == times[-1:]
        assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")


def test_scores_of_a_trial_in_tensorboard_are_those_of_its_end(tmp_path):
    """A trial without a last FID had that of an earlier epoch beside the last ones of others."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    values = tuple(
        exports.Value(*each, 0.0) for each in ((1, "eval/fid", 44.0), (1, "eval/is", 3.0), (2, "eval/is", 4.0))
    )
    trial = exports.ExportedTrial(
        name="a", trial="0", suite="s", setting="a", config={}, status="done", started=0.0, values=values, images={}
    )
    exports.write_tensorboard(trial, tmp_path)
    events = EventAccumulator(str(tmp_path / "s" / "a--0"))
    events.Reload()
    assert [tag for tag in events.Tags()["scalars"] if tag.startswith("hparam")] == ["hparam/eval/is"]
    assert [each.value for each in events.Scalars("hparam/eval/is")] == [4.0]


def wandb_records(content):
    """Yield the messages of a run's file: a log of LevelDB, blocks of parts with a head of 7 bytes each."""
    from wandb.proto.wandb_internal_pb2 import Record

    at, parts = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:  # no head fits into the rest of a block
            at += 32768 - at % 32768
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def test_offline_runs_of_wandb(results, tables, tmp_path):
    done = gan_bench("export", "wandb", results, "--out", tmp_path / "wb")
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "wb").glob("wandb/offline-run-*/*.wandb"))
    found = {}
    for file in files:
        history, run = [], None
        for record in wandb_records(file.read_bytes()):
            if record.WhichOneof("record_type") == "run":
                run = record.run
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                history.append({each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in items})
        found[run.run_id] = run, history
    assert set(found) == set(tables.trials["trial"])
    settings = tables.trials.set_index("trial")["setting"]
    for trial, (run, history) in found.items():
        assert run.project == "small"
        assert run.run_group == settings[trial][:128]
        config = {each.key: json.loads(each.value_json) for each in run.config.update}
        assert config["lr_g"] == tables.trials.set_index("trial")["lr_g"][trial]
        assert [row["epoch"] for row in history] == [0, 1, 2]
        assert history[-1]["eval/fid.lenet-mnist-v1"] == pytest.approx(final(tables)[trial])
        assert history[-1]["samples/_type"] == "image-file"


@pytest.fixture(scope="module")
def unlucky(results, tmp_path_factory):
    """Records with a trial that failed before its first score, and one that has not begun."""
    copy = shutil.copytree(results, tmp_path_factory.mktemp("unlucky") / "results")
    failed, planned, *_ = sorted(copy.glob("*/*--????????"))
    shutil.rmtree(planned)
    directory = RecordDirectory(failed)
    for file in (directory.history, directory.evaluations):
        file.write_text("")
    for grid in directory.grids.values():
        grid.unlink()
    directory.weights.unlink()
    writer.finish(directory, TrialRecord(status=Status.FAILED, reason="RuntimeError: shapes"))
    assert not gb.load(copy).unreadable
    return copy


def test_trials_without_a_value_are_exported_too(unlucky, tmp_path):
    """They were in no export, and nothing said so."""
    said, _ = export("parquet", unlucky, tmp_path / "all.parquet")
    found = pd.read_parquet(tmp_path / "all.parquet")
    ends = found[found["kind"] == "trial"]
    assert sorted(ends["status"]) == ["done", "done", "failed", "planned"]
    assert "4 trials, " in said
    assert list(ends[ends["status"] == "failed"]["reason"]) == ["RuntimeError: shapes"]
    for kind, pattern in (("tensorboard", "*/*/events*"), ("wandb", "wandb/offline-run-*/*.wandb")):
        said, _ = export(kind, unlucky, tmp_path / kind)
        assert "3 trials, without 1 not begun; look at them" in said
        assert len({file.parent for file in (tmp_path / kind).glob(pattern)}) == 3


def test_a_command_that_is_printed_can_be_pasted(results, tmp_path):
    out = tmp_path / "my lab #1"
    for kind in ("tensorboard", "wandb"):
        said, _ = export(kind, results, out / kind)
        words = shlex.split(said.partition("look at them with `")[2].rstrip("`"), comments=True)
        assert words[-1].startswith(str(out / kind)), "as one word"


def test_what_cannot_be_exported(results, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    mixed = gan_bench("export", "tensorboard", results, "--out", tmp_path / "full")
    assert mixed.returncode == 2
    assert "is not empty" in mixed.stderr
    (tmp_path / "none").mkdir()
    nothing = gan_bench("export", "parquet", tmp_path / "none", "--out", tmp_path / "x.parquet")
    assert nothing.returncode == 2
    assert "holds no trial records" in nothing.stderr
    assert not (tmp_path / "x.parquet").exists()
    away = gan_bench("export", "parquet", results, "--out", tmp_path / "no" / "such" / "x.parquet")
    assert away.returncode == 2
    assert "cannot be written" in away.stderr


def test_a_parquet_file_replaces_an_earlier_export_and_nothing_else(results, tmp_path):
    out = tmp_path / "x.parquet"
    pd.DataFrame({"trial": [1]}).to_parquet(out)
    before = out.read_bytes()
    with pytest.raises(gb.UserError, match="is not known to be of an earlier export, and stays as it is"):
        export("parquet", results, out)
    assert out.read_bytes() == before
    out.unlink()
    said = export("parquet", results, out)
    assert export("parquet", results, out) == said


def test_an_export_that_fails_leaves_nothing_and_is_repeated(results, tmp_path, monkeypatch):
    whole, written = exports.write_tensorboard, []

    def full(trial, out):
        whole(trial, out)
        written.append(trial)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(exports, "write_tensorboard", full)
    with pytest.raises(gb.UserError, match=r"boards cannot be written \(No space left"):
        export("tensorboard", results, tmp_path / "boards")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    (tmp_path / "boards").mkdir()
    export("tensorboard", results, tmp_path / "boards")
    assert len(list(tmp_path.glob("boards/small/*/events*"))) == len(gb.load(results).trials)
    assert [path.name for path in tmp_path.iterdir()] == ["boards"]


def test_a_full_disk_is_said_without_a_traceback(results, tmp_path, capfd, monkeypatch):
    """The library writes in a thread, whose exceptions Python prints."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Python would keep the beginning of what it compiles
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, allowed[1]))
    try:
        with pytest.raises(gb.UserError, match="cannot be written"):
            export("tensorboard", results, tmp_path / "boards")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None
from gan_bench.cli.app import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_a_missing_package_is_named_with_its_extra(results, tmp_path, package):
    done = python_code(WITHOUT, package, "export", package, results, "--out", tmp_path / "x")
    assert done.returncode == 2
    assert f'pip install "gan_bench[{package}]"' in done.stderr


@pytest.fixture
def unread():
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def code_of(*words, **streams):
    command = [sys.executable, "-m", "gan_bench", *map(str, words)]
    return subprocess.run(command, check=False, timeout=HANG, **streams).returncode


@pytest.mark.ci
def test_output_that_nobody_reads_is_no_verdict(results, tmp_path, unread):
    """`compare … | head -1` said that something got worse, and a full disk that a record is damaged."""
    assert code_of("verify", results, stdout=unread) == 141
    assert code_of("compare", results, results, stdout=unread) == 141
    assert code_of("verify", tmp_path / "none", stderr=unread) == 2
    assert code_of("nonsense", stderr=unread) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_standard_output_ends_no_export_and_is_not_blamed_on_the_folder(results, tmp_path):
    with Path("/dev/full").open("w") as full:
        assert code_of("verify", results, stdout=full, stderr=full) == 2
        done = subprocess.run(
            [*warm.command("gan_bench"), "export", "tensorboard", results, "--out", tmp_path / "boards"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=HANG,
        )  # fmt: skip
    assert (done.returncode, "where output goes" in done.stderr) == (2, True), done.stderr
    assert len(list(tmp_path.glob("boards/small/*/events*"))) == len(gb.load(results).trials)
