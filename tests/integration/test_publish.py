"""Published records: what goes along, what stays behind, and that nobody who reads them misses it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from pydantic import ValidationError
from support.commands import HANG, gan_bench
from support.records import edit, reseal
from support.suites import train_small
from typer.testing import CliRunner

import gan_bench as gb
from gan_bench.cli.app import app
from gan_bench.core.errors import RecordError, UserError
from gan_bench.records import schema
from gan_bench.records.earlier import Earlier
from gan_bench.records.folders import folders_by_suite
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.places import find_code
from gan_bench.records.publish import publish
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Status, TrialRecord
from gan_bench.records.shared import results_identity
from gan_bench.records.verify import verify
from gan_bench.records.writer import finish
from gan_bench.report.board.entries import read_board
from gan_bench.report.build import build_report


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("published"))


@pytest.fixture
def copied(results, tmp_path):
    """A results folder that may be changed."""
    shutil.copytree(results, tmp_path / "results")
    return tmp_path / "results"


def faults(folder):
    return [fault for verdict in verify(folder) for fault in verdict.faults]


def file_digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(suite):
    return {path.relative_to(suite).as_posix() for path in suite.rglob("*") if path.is_file()}


def directory(suite, pattern):
    (found,) = suite.glob(f"{pattern}--*")
    return RecordDirectory(found)


def test_the_bulk_stays_behind_and_is_listed(results, tmp_path):
    (made,) = publish(results, tmp_path / "out", ["*lr=0.0002*seed=1"])
    suite, source = tmp_path / "out" / "small", results / "small"
    assert (made.folder, made.trials, made.unfinished, made.generators) == (suite, 4, 0, 1)
    assert made.size == sum(path.stat().st_size for path in suite.rglob("*") if path.is_file())
    asked, other = (directory(suite, f"*lr=0.0002*seed={seed}") for seed in (1, 0))
    assert asked.weights.is_file()
    assert not other.weights.exists()
    assert {path.parent.parent.name.rpartition("seed=")[2][0] for path in suite.glob("*/samples/*")} == {"0", "1"}
    own = directory(suite, "mnist-mlp-z100,dataset=digits*seed=1")
    assert not own.samples.exists()
    listed = json.loads((suite / "left-out.json").read_text())["files"]
    missing = {f"{folder}/{name}" for folder, files in listed.items() for name in files}
    for folder, files in listed.items():
        assert files.items() <= read_trial(source / folder).record["files"].items()
    kept = {name for name in names(source) if not name.startswith(".locks")}
    assert missing == kept - names(suite)
    assert not faults(tmp_path / "out")


@pytest.mark.draws_pages
@pytest.mark.draws_plots
def test_reports_of_both_folders_are_the_same(results, tmp_path):
    publish(results, tmp_path / "out")
    build_report(results, tmp_path / "before")
    build_report(tmp_path / "out", tmp_path / "after")
    files = sorted(path.relative_to(tmp_path / "before") for path in (tmp_path / "before").rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "after") for p in (tmp_path / "after").rglob("*") if p.is_file())
    kinds = (".csv", ".md", ".tex", ".svg", ".gif")
    compared = [file for file in files if file.suffix in kinds and file.parts[0] in ("tables", "plots")]
    assert {file.suffix for file in compared} == set(kinds)
    for file in compared:
        assert (tmp_path / "before" / file).read_bytes() == (tmp_path / "after" / file).read_bytes(), file


def test_what_is_lost_later_is_a_fault(results, tmp_path):
    publish(results, tmp_path / "out", ["seed=0"])
    suite = tmp_path / "out" / "small"
    directory(suite, "*lr=0.0002*seed=0").weights.unlink()
    directory(suite, "mnist-mlp-z100,dataset=digits*seed=0").sample(2).unlink()
    assert sorted(faults(tmp_path / "out")) == [
        "generator.safetensors is gone",
        "samples/epoch-0002.png is gone",
    ]


def test_a_file_that_was_left_out_may_come_back_only_as_it_was(results, tmp_path):
    publish(results, tmp_path / "out")
    own = directory(tmp_path / "out" / "small", "*lr=0.0002*seed=0")
    shutil.copyfile(directory(results / "small", "*lr=0.0002*seed=0").weights, own.weights)
    assert not faults(tmp_path / "out")
    own.weights.write_bytes(b"another")
    assert "generator.safetensors has changed since the record was written" in faults(tmp_path / "out")


def test_a_damaged_list_is_a_fault_and_stops_a_run(results, tmp_path):
    publish(results, tmp_path / "out")
    suite = tmp_path / "out" / "small"
    path = suite / "left-out.json"
    path.write_text(path.read_text().replace("epoch-0001", "epoch-0009"))
    assert any("left-out.json is damaged" in fault for fault in faults(tmp_path / "out"))
    with pytest.raises(
        RecordError, match=r"left-out\.json is damaged.*; no run writes it; fetch the publication again"
    ):
        Earlier(directory(suite, "*lr=0.0002*seed=0")).damage()


@pytest.mark.parametrize("damaged", ["plan.json", "anchors.json"])
def test_no_run_replaces_what_others_published(results, tmp_path, damaged):
    """Of a publication's own files, and of a record without its end, it was said to run the suite again."""
    publish(results, tmp_path / "out")
    suite = tmp_path / "out" / "small"
    (suite / damaged).write_text("{")
    own, other = sorted(suite.glob("*--????????"))[:2]
    (own / "trial.json").write_text("{")
    (other / "record.json").unlink()
    said = [text for check in verify(tmp_path / "out") for text in (*check.faults, *check.remarks)]
    for what in (f"{damaged} is damaged", "trial.json is damaged", "has not ended"):
        (text,) = (each for each in said if what in each)
        assert text.endswith("; fetch the publication again")
    assert not any("run the suite again" in each for each in said)


def test_a_trial_that_was_trained_again_is_excused_nothing(results, tmp_path):
    publish(results, tmp_path / "out")
    own = directory(tmp_path / "out" / "small", "*lr=0.0002*seed=0")
    record = read_trial(own.path).record
    edit(own.record, files={**record["files"], "generator.safetensors": "0" * 64}, weights_sha256="0" * 64)
    assert "generator.safetensors is gone" in faults(tmp_path / "out")
    assert "is gone" in Earlier(own).damage()


def test_a_run_takes_published_trials_as_done(results, tmp_path):
    publish(results, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("small/*/record.json")}
    suite = results.parent / "small.yaml"
    gb.run(suite, results=tmp_path / "out", executor="inline", profile="full", seeds=[0, 1, 2])
    assert {path: path.read_bytes() for path in before} == before
    (again,) = publish(tmp_path / "out", tmp_path / "again")
    assert again.trials == 6
    assert not faults(tmp_path / "again")


def test_only_what_has_ended_and_is_whole_is_published(copied, tmp_path):
    own = directory(copied / "small", "mnist-mlp-z100,dataset=digits*seed=1")
    own.record.unlink()
    (made,) = publish(copied, tmp_path / "out")
    assert (made.trials, made.unfinished) == (3, 1)
    assert not (made.folder / own.path.name).exists()
    own.checkpoint.write_bytes(b"damaged")  # of a trial that is not published
    assert publish(copied, tmp_path / "out")[0].trials == 3
    directory(copied / "small", "*lr=0.0002*seed=0").history.write_text("")
    with pytest.raises(UserError, match=r"seed=0.* is invalid \(.*mend it before"):
        publish(copied, tmp_path / "out")
    assert not faults(tmp_path / "out")


def test_samples_of_a_seed_that_failed_before_its_first_are_those_of_the_next(copied, tmp_path):
    lowest = directory(copied / "small", "mnist-mlp-z100,dataset=digits*seed=0")
    record = TrialRecord.from_json(read_trial(lowest.path).record)
    shutil.rmtree(lowest.samples)
    for path in (lowest.weights, lowest.evaluations, lowest.history):
        path.unlink()
    for path in (lowest.evaluations, lowest.history):
        path.touch()
    failed = replace(record, status=Status.FAILED, reason="test", final={}, best={}, weights_sha256=None, epochs=0)
    finish(lowest, failed)
    (made,) = publish(copied, tmp_path / "out")
    shown = [path.name.rpartition("--")[0] for path in made.folder.glob("*--*") if (path / "samples").exists()]
    assert [name.rpartition("seed=")[2] for name in sorted(shown)] == ["1", "0"]


def test_measures_of_other_packages_are_no_damage(copied, tmp_path):
    own = directory(copied / "small", "*lr=0.0002*seed=0")
    lines = [json.loads(line) for line in own.evaluations.read_text().splitlines()]
    for line in lines:
        score = {**line["scores"][0], "metric": "foreign", "name": "foreign[lenet-mnist-v1,train,64]", "value": 0.5}
        line["scores"].append(score)
    own.evaluations.write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = TrialRecord.from_json(read_trial(own.path).record)
    name = "foreign[lenet-mnist-v1,train,64]"
    best = {**record.best, name: {"epoch": 1, "value": 0.5}}
    finish(own, replace(record, final={**record.final, name: 0.5}, best=best))
    foreign = {"title": "F", "lower_is_better": True, "description": "d.", "metric": "", "roles": [],
               "log_scale": False, "bounds": [0.0, None]}  # fmt: skip
    edit(copied / "small" / "plan.json", measures={"foreign": foreign})
    done = gan_bench("publish", copied, "--out", tmp_path / "out")  # in a process that then forgets the measure
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 trials" in done.stdout


def test_what_a_publication_has_gained_is_not_destroyed(results, tmp_path):
    publish(results, tmp_path / "out", ["seed=0"])
    with pytest.raises(UserError, match="no earlier publication"):
        publish(tmp_path / "out", tmp_path / "out")
    suite = tmp_path / "out" / "small"
    more = directory(suite, "*lr=0.0002*seed=0").checkpoint
    more.write_bytes(b"of a run that goes on")
    with pytest.raises(UserError, match=r"checkpoint\.pt is not what was published"):
        publish(results, tmp_path / "out")
    more.unlink()
    publish(results, tmp_path / "out")


def test_a_publication_that_was_begun_and_has_nothing_yet_is_completed(results, tmp_path):
    """A disk that was full left an empty folder, which its own remedy, the same command, refused."""
    begun = tmp_path / "out" / "small"
    begun.mkdir(parents=True)
    (begun / ".left-out.json.0123abcd.aside").write_text("{")
    publish(results, tmp_path / "out", ["seed=0"])
    assert (begun / "left-out.json").is_file()
    (other := tmp_path / "other" / "small").mkdir(parents=True)
    (other / "mine.txt").touch()
    with pytest.raises(UserError, match="no earlier publication"):
        publish(results, tmp_path / "other", ["seed=0"])


def test_a_publication_replaces_none_but_an_earlier_one(results, tmp_path):
    publish(results, tmp_path / "out", ["seed=0"])
    publish(results, tmp_path / "out", ["seed=1"])
    suite = tmp_path / "out" / "small"
    assert [path.parent.name.rpartition("seed=")[2][0] for path in suite.glob("*/*.safetensors")] == ["1", "1"]
    before = names(results / "small")
    with pytest.raises(UserError, match="no earlier publication"):
        publish(tmp_path / "out", results)
    assert names(results / "small") == before


def test_a_command_tells_no_place_and_no_person(copied, tmp_path):
    plan = copied / "small" / "plan.json"
    edit(plan, command=f"{json.loads(plan.read_text())['command']} --experiment-prefix anna/")
    results_identity(copied)
    for source in (copied, copied / "small"):
        (made,) = publish(source, tmp_path / "out")
        plan = (made.folder / "plan.json").read_text()
        assert json.loads(plan)["command"] == "gan-bench run small.yaml --profile full --executor inline"
        assert not [path.name for path in (tmp_path / "out").rglob(".gan_bench-*")], "one holds the results' place"
        assert str(tmp_path) not in plan


@pytest.mark.parametrize("name", ["mnist-mlp-z100,dataset=digits,seed=1", "mnist-mlp-z100,seed=1"])
def test_generators_are_named_as_a_run_prints_them(results, tmp_path, name):
    (made,) = publish(results, tmp_path / "out", [name])
    assert made.generators == 1
    assert directory(made.folder, "mnist-mlp-z100,dataset=digits*seed=1").weights.is_file()


def test_the_code_of_a_plug_in_lies_nowhere_in_a_publication(copied, tmp_path):
    """Every user of a plug-in was warned of "environment.json and 9 other files", and could do nothing."""
    code = tmp_path / "my parts" / "my_net.py"
    code.parent.mkdir()
    code.write_text("# a network\n")
    part = {"name": "my_net.py", "version": "", "sha256": file_digest(code), "path": str(code)}
    for record in map(RecordDirectory, (copied / "small").glob("mnist*")):
        edit(record.environment, parts={"architectures/my-net": part})
        reseal(record)
    before = tree(copied)
    (made,) = publish(copied, tmp_path / "out", ["seed=0"])
    assert made.telling == {}
    assert not [name for name, content in tree(made.folder).items() if str(tmp_path).encode() in content]
    assert tree(copied) == before
    assert not faults(tmp_path / "out")
    own = next(made.folder.glob("*seed=0--*"))
    shutil.copy(code, own)
    assert find_code(own, {**part, "path": "my_net.py"}) == own / code.name
    (own / code.name).unlink()
    published = tree(made.folder)
    publish(copied, tmp_path / "out", ["seed=0"])
    assert tree(made.folder) == published, "again, it is the same"
    shown, _ = read_board([copied, tmp_path / "out"])
    assert len(shown) == 2, "a record and its publication are one"


def test_files_that_name_a_folder_of_this_machine_are_said(copied, tmp_path):
    assert all(made.telling == {} for made in publish(copied, tmp_path / "first"))
    suite = copied / "small/suite.yaml"
    before, file = suite.read_text(), tmp_path / "second/small/suite.yaml"
    suite.write_text(f"{before}# of {tmp_path}/my images\n")
    done = gan_bench("publish", copied, "--out", tmp_path / "second")
    assert f"{file} names {tmp_path}/my\n  read these before you share" in done.stdout
    suite.write_text(f"{before}# of {tmp_path}-shared/my images\n")
    assert all(made.telling == {} for made in publish(copied, tmp_path / "third")), "another name begins alike"
    for record in map(RecordDirectory, (copied / "small").glob("mnist*")):
        edit(record.environment, determinism={"cache": [f"{tmp_path}/cache"]})
        reseal(record)
    done = gan_bench("publish", copied, "--out", tmp_path / "fourth")
    assert f"environment.json and 3 other files name {tmp_path}/cache\n" in done.stdout


def test_what_cannot_be_published_is_said(results, tmp_path):
    runner = CliRunner()
    done = runner.invoke(app, ["publish", str(results), "--out", str(tmp_path / "out"), "--generator", "seed=0"])
    assert done.exit_code == 0
    assert "4 trials, 2 generators" in " ".join(done.output.split())
    with pytest.raises(UserError, match="no finished trial .* is called 'seed=7'"):
        publish(results, tmp_path / "other", ["seed=7"])
    with pytest.raises(UserError, match="; there (is|are) mnist-mlp-z100"):
        publish(results, tmp_path / "other", ["mnist-mpl-z100,seed=1"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no trial to publish that was trained to its end"):
        publish(tmp_path / "empty", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["report"],
        ["compare", "{}"],
        ["publish", "--out", "{}-published"],
        ["verify"],
        ["audit"],
        ["sync"],
        ["ui", "--results"],
        ["export", "parquet"],
        ["card", "best", "--results"],
        ["score", "--add", "kid"],
    ],
    ids=" ".join,
)
def test_a_folder_of_several_results_folders_is_none(results, tmp_path, command):
    """Whoever named it was told to run a suite, as if nothing were there."""
    people = tmp_path / "people"
    for name in ("alice", "bob"):
        (people / name).mkdir(parents=True)
        (people / name / results.name).symlink_to(next(results.glob("*/plan.json")).parent)
    (people / "notes").mkdir()
    done = CliRunner().invoke(app, [*(word.format(people) for word in command), str(people)])
    assert str(done.exception) == f"{people} holds 2 results folders: name one, such as {people / 'alice'}"
    (people / "bob" / results.name).unlink()
    with pytest.raises(UserError, match=f"people holds 1 results folder: name it, {people / 'alice'}$"):
        gb.load(people)


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_publication_touches_only_what_it_wrote(results, tmp_path):
    """It deleted the repository that it was kept in, and the notes beside it."""
    (made,) = publish(results, tmp_path / "out", ["seed=0"])
    mine = (".git/HEAD", ".git/objects/ab/cd", ".notes", "NOTES.md", "report/answer.md", ".locks/x", "trial/x.txt")
    for name in mine:
        (made.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (made.folder / name).write_text(name)
    (own,) = made.folder.glob("*lr=0.0002*seed=0--*")
    (own / ".hidden").write_text("mine")
    publish(results, tmp_path / "out", ["seed=1"])
    after = tree(made.folder)
    assert {name: after[name].decode() for name in mine} == {name: name for name in mine}
    assert after[f"{own.name}/.hidden"] == b"mine"
    assert f"{own.name}/generator.safetensors" not in after, "what it wrote itself is replaced"
    assert not faults(tmp_path / "out")


@pytest.mark.parametrize("name", ["record.json", "history.jsonl", "samples/epoch-0002.png", "generator.safetensors"])
def test_what_was_trained_again_in_a_publication_is_not_replaced(results, tmp_path, name):
    """The docstring promised that, and it was overwritten."""
    (made,) = publish(results, tmp_path / "out", ["seed=0"])
    path = next(made.folder.glob("*lr=0.0002*seed=0--*")) / name
    path.write_bytes(path.read_bytes() + b" ")
    before = tree(made.folder)
    with pytest.raises(UserError, match=rf"{name} is not what was published, a run may have written it; name ano"):
        publish(results, tmp_path / "out", ["seed=0"])
    assert tree(made.folder) == before


def test_a_publication_writes_through_no_link(results, tmp_path):
    (made,) = publish(results, tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    (own,) = made.folder.glob("*lr=0.0002*seed=0--*")
    own.rename(elsewhere)
    own.symlink_to(elsewhere)
    before = tree(elsewhere)
    with pytest.raises(UserError, match="is a link or lies behind one"):
        publish(results, tmp_path / "out")
    assert tree(elsewhere) == before
    shutil.rmtree(made.folder, ignore_errors=True)
    made.folder.parent.mkdir(exist_ok=True)
    if made.folder.exists():
        shutil.rmtree(made.folder)
    made.folder.symlink_to(elsewhere)
    with pytest.raises(UserError, match="is no earlier publication"):
        publish(results, tmp_path / "out")


def test_a_private_file_behind_the_suite_s_name_is_not_published(copied, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("private")
    (copied / "small" / "suite.yaml").unlink()
    (copied / "small" / "suite.yaml").symlink_to(secret)
    (made,) = publish(copied, tmp_path / "out")
    assert not (made.folder / "suite.yaml").exists()


def test_a_killed_publication_is_completed_by_the_next(results, tmp_path, monkeypatch):
    from gan_bench.records import publish as module

    (made,) = publish(results, tmp_path / "out", ["seed=0"])
    real, calls = module.write_atomically, iter(range(10**6))

    def killed(path, content):
        if next(calls) == 3:
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(module, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(results, tmp_path / "out", ["seed=1"])
    monkeypatch.undo()
    publish(results, tmp_path / "out", ["seed=1"])
    publish(results, tmp_path / "fresh", ["seed=1"])
    assert tree(made.folder) == tree(tmp_path / "fresh" / "small")


@pytest.mark.parametrize("after", [2, 5, 9])
def test_a_first_publication_that_did_not_get_through_is_completed(results, tmp_path, monkeypatch, after):
    import gan_bench.records.publish as module

    whole, written = module.write_atomically, []

    def full(path, content):
        written.append(path)
        if len(written) == after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(path, content)

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(UserError, match=r"cannot be written to .*out \(No space left .* completes what is there"):
        publish(results, tmp_path / "out")
    monkeypatch.undo()
    assert faults(tmp_path / "out") or not (tmp_path / "out" / "small" / "plan.json").exists()
    publish(results, tmp_path / "out")
    assert faults(tmp_path / "out") == []
    publish(results, tmp_path / "at once")
    assert tree(tmp_path / "out") == tree(tmp_path / "at once")


def test_what_was_put_aside_stays_behind_and_is_said(results, tmp_path):
    """A backup beside a suite's folder ended the command."""
    source = shutil.copytree(results, tmp_path / "a")
    shutil.copytree(source / "small", source / "small-backup")
    (source / "link").symlink_to(source / "small")
    (made,) = publish(source, tmp_path / "out")
    assert (made.folder, made.trials) == (tmp_path / "out" / "small", 4)
    assert folders_by_suite(source)["small"].others == [source / "small-backup"]
    for record in (source / "small").glob("*--*"):
        shutil.rmtree(record)
    with pytest.raises(UserError, match="name .*small-backup alone, which counts in no table"):
        publish(source, tmp_path / "other")


def test_a_suite_of_which_all_that_ended_stays_behind_is_said(results, tmp_path):
    """No publication of it was there to say so."""
    source = shutil.copytree(results, tmp_path / "a")
    edit(shutil.copytree(source / "small", source / "test") / "plan.json", suite="test")
    shutil.copytree(source / "small", source / "small-old")
    for record in (source / "small").glob("*--*"):
        shutil.rmtree(record)
    done = gan_bench("publish", source, "--out", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["test"]
    said = f"{source / 'small-old'} is of the suite small, too, counts in no table beside {source / 'small'}, and stays"
    assert said in " ".join(done.stdout.split())


@pytest.fixture
def halves(results, tmp_path):
    """Two folders of one suite, neither of its name, that hold two trials each."""
    for name in ("gpu1", "gpu2"):
        shutil.copytree(results / "small", tmp_path / "halves" / name)
        for record in (tmp_path / "halves" / name).glob(f"*seed={int(name == 'gpu1')}--*"):
            shutil.rmtree(record)
    return tmp_path / "halves"


def test_of_two_folders_of_a_suite_the_first_counts(halves, tmp_path):
    done = gan_bench("publish", halves, "--out", tmp_path / "out")
    said = " ".join(done.stdout.split())
    assert f"{halves / 'gpu2'} is of the suite small, too, counts in no table beside {halves / 'gpu1'}" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small"]
    assert not faults(tmp_path / "out")
    assert gb.load(tmp_path / "out").trials["status"].value_counts().to_dict() == {"done": 2, "planned": 2}


def test_a_publication_hides_no_other_one_of_its_suite(results, tmp_path):
    """An earlier one in a folder of another name counted in no table from then on, without a word."""
    (first,) = publish(results, tmp_path / "out")
    first.folder.rename(tmp_path / "out" / "machine1")
    with pytest.raises(UserError, match=r"machine1 holds records of the suite small, too, .* beside .*out/small; move"):
        publish(results, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["machine1"]


def test_a_publication_loses_no_trial_of_the_one_before(halves, tmp_path):
    """The second of two halves of a suite replaced the first without a word."""
    (first,) = publish(halves / "gpu1", tmp_path / "out")
    before = tree(first.folder)
    with pytest.raises(
        UserError, match=r"has 2 trials that .*gpu2 has not, or not ended, such as .*seed=0--.*; remove"
    ):
        publish(halves / "gpu2", tmp_path / "out")
    assert tree(first.folder) == before
    for record in first.folder.glob("*--*"):
        shutil.rmtree(record)
    assert [made.trials for made in publish(halves / "gpu2", tmp_path / "out")] == [2]


@pytest.mark.parametrize("outside", ["../../evil", "/absolute/evil", "..", ".", "report", "a\0b"])
def test_a_suite_s_name_leads_nowhere(copied, tmp_path, outside):
    """Records of others were published into any folder that their plan named."""
    edit(copied / "small" / "plan.json", suite=outside)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"plan\.json is damaged: suite name .* cannot be a folder"):
        publish(copied, tmp_path / "deep" / "out")
    assert set(tmp_path.rglob("*")) == before
    assert any("plan.json is damaged" in fault for fault in faults(copied))
    assert gb.load(copied).trials["suite"].unique().tolist() == ["small"]


@pytest.mark.parametrize("absolute", [False, True])
def test_a_list_of_what_was_copied_cannot_name_files_elsewhere(results, tmp_path, absolute):
    """Whoever sends a publication would have any file removed whose content they know."""
    out, victim = tmp_path / "out", tmp_path / "victim.txt"
    publish(results, out)
    victim.write_text("precious\n")
    listed = out / "small" / "left-out.json"
    content = json.loads(listed.read_text())
    name = str(victim) if absolute else "../../victim.txt"
    edit(listed, published={**content["published"], name: hashlib.sha256(victim.read_bytes()).hexdigest()})
    with pytest.raises(UserError, match=r"left-out\.json is damaged"):
        publish(results, out)
    assert victim.read_text() == "precious\n"


@pytest.mark.parametrize("name", ["a/../b", "./a", "a//b", "/a", "", "..\\a"])
def test_names_of_a_publication_stay_in_its_folder(name):
    with pytest.raises(ValidationError):
        schema.LEFT_OUT.validate({"schema": 1, "files": {}, "published": {name: "0"}})


@pytest.mark.draws_pages
@pytest.mark.draws_plots
def test_a_start_without_a_zone_is_damage(copied, tmp_path):
    """One such record ended the report of all."""
    first = min(copied.glob("*/*--*"))
    directory = RecordDirectory(first)
    edit(directory.environment, started="2026-01-01T00:00:00")
    whole = json.loads(directory.record.read_text())
    edit(directory.record, files={**whole["files"], "environment.json": file_digest(directory.environment)})
    assert "zone" in " ".join(faults(copied))
    build_report(copied, tmp_path / "report")


def test_an_identity_that_is_no_identity_is_kept(tmp_path):
    (tmp_path / ".gan_bench-results").write_text("my notes\n")
    made = results_identity(tmp_path)
    assert results_identity(tmp_path) == made
    assert (tmp_path / ".damaged" / ".gan_bench-results").read_text() == "my notes\n"


INTERRUPTED = """\
import os, signal, sys
import gan_bench.__main__ as program
from gan_bench.core import atomic
number, written = signal.Signals[sys.argv[1]], []
signal.signal(number, signal.SIG_DFL)  # as in a terminal; `nohup` ignores one, and an ignored one ends nothing
def force(_):
    written.append(1)
    if len(written) == 4:
        os.kill(os.getpid(), number)
atomic.os.fsync = force
sys.argv = ["gan-bench", "publish", *sys.argv[2:]]
program.main()
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_signal_leaves_no_half_file_in_a_publication(results, tmp_path, name, code):
    """SIGTERM left one, which `git add` took."""
    words = [sys.executable, "-c", INTERRUPTED, name, results, "--out", tmp_path / "out"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=HANG)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.aside"))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_the_module_of_reports_ends_at_a_signal_as_the_command_does(results, tmp_path, name, code):
    """SIGINT was a traceback, and SIGTERM cleaned nothing up."""
    module = 'import runpy; runpy.run_module("gan_bench.report", run_name="__main__")'
    script = INTERRUPTED.replace("program.main()", module)
    script = script.replace('["gan-bench", "publish", *sys.argv[2:]]', '["gan-bench", *sys.argv[2:]]')
    words = [sys.executable, "-c", script, name, results, "--out", tmp_path / "out", "--no-html"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=HANG)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert ("interrupted" in done.stderr.splitlines()) is (name == "SIGINT"), "a bare ^C told nothing"
    assert not list(tmp_path.rglob("*.aside"))


def test_what_a_killed_publication_left_half_written_goes(results, tmp_path):
    publish(results, tmp_path / "out", [])
    folder = directory(tmp_path / "out" / "small", "*lr=0.0002*seed=0").path
    for place in (folder, folder.parent):
        (place / ".history.jsonl.8a00f351.aside").write_text("half")
    publish(results, tmp_path / "out", [])
    assert not list(tmp_path.rglob("*.aside"))
    assert not faults(tmp_path / "out")
