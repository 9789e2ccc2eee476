"""Records of others, trained and scored again from the command line; forged ones are found."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from support import warm
from support.commands import gan_bench, wait_for
from support.pages import ROOT
from support.records import change, edit, reseal
from support.studies import write
from support.trials import digits_trial

from gan_bench.audit.needs import missing_part
from gan_bench.cli.app import main
from gan_bench.execution.preflight.estimate import Pace
from gan_bench.records.audits import read_audits, record_digest
from gan_bench.records.layout import AUDIT, RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.publish import publish
from gan_bench.records.reader import read_trial
from gan_bench.records.record import best_scores
from gan_bench.records.verify import verify

SUITE = """
suite: small
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 3, log_every: 2, ema_decay: 0.9}
seeds: [0, 1, 2]
evaluate: {epochs: [1, 3], samples: 64, draws: 2}
"""


FEW = ("--no-tracking", "--device", "cpu", "--train-limit", "300", "--executor", "inline")
"""Options of runs whose epochs are three steps."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    (folder / "small.yaml").write_text(SUITE)
    done = gan_bench("run", folder / "small.yaml", "--results", folder / "results", *FEW)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results"


@pytest.fixture
def results(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "results")


def records(results):
    return [RecordDirectory(path) for path in sorted((results / "small").glob("*--????????"))]


def audit(results, *asked, code=0, **options):
    done = gan_bench("audit", results, "--device", "cpu", "--nonce", "test", *asked, **options)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def found(results):
    """By level and name of the trial."""
    return {(each["level"], each["name"]): each for each in read_audits(results / "small")[-1]["findings"]}


def files(path: Path):
    return {each.relative_to(path): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def test_what_another_version_wrote_is_not_audited_and_no_contradiction(results):
    edit(results / "small" / "anchors.json", schema=2)
    said = audit(results, "--levels", "consistent")
    verdicts = {name: each["verdict"] for (_, name), each in found(results).items()}
    assert verdicts.pop("small") == "not audited"
    assert set(verdicts.values()) == {"holds"}
    assert len(verdicts) == len(records(results))
    assert "has record version 2" in said


def test_honest_records_hold_on_every_level_and_stay_as_they_are(results):
    before = files(results)
    said = audit(results, "--levels", "consistent,rescored,begun,repeated,drawn-again")
    assert {each["verdict"] for each in found(results).values()} == {"holds"}
    levels = [level for level, _ in found(results)]
    counts = {level: levels.count(level) for level in levels}
    assert counts == {"consistent": 3, "rescored": 3, "begun": 3, "repeated": 3, "drawn again": 1}
    assert "repeated: 3 trials, about" in said
    assert "every step and epoch is the same to the bit" in said
    assert "the records hold: nothing speaks against them in 13 checks" in said
    brief = [line for line in said.splitlines() if line.startswith(("holds        begun", "holds        rescored"))]
    assert len(brief) == 6
    assert all(re.fullmatch(r"\S+ +\w+: mnist-mlp-z100,dataset=digits,seed=\d \(.+\)", line) for line in brief), brief
    after = files(results)
    after.pop(Path("small") / AUDIT)
    assert after == before, "only audit.json is new"
    assert not [verdict for verdict in verify(results) if verdict.faults]
    (only,) = read_audits(results / "small")
    assert only["nonce"] == "test"
    assert only["machine"]["device"] == "cpu"
    assert only["machine"]["libraries"]["torch"]


@pytest.mark.measures_speed
def test_a_dry_run_says_costs_and_writes_nothing(results):
    done = gan_bench("audit", results, "--device", "cpu", "--nonce", "test", "--dry-run", "--budget", "1h")
    said = done.stdout
    assert "measuring how fast mnist-mlp-z100,dataset=digits trains" in " ".join(done.stderr.split())
    assert "begun: 3 trials, about" in said
    assert "drawn again: 1 setting, about" in said
    assert not (results / "small" / AUDIT).exists()


def test_a_small_budget_buys_the_most_telling_checks(results, monkeypatch, capsys):
    pace = Pace(1, step=0.03, image=0.05 / 64)  # on any machine: a whole training takes over a second
    monkeypatch.setattr("gan_bench.audit.plan._measured", lambda *_: pace)
    with pytest.raises(SystemExit) as end:
        main(["audit", str(results), "--device", "cpu", "--nonce", "test", "--budget", "1s"])
    assert end.value.code == 0
    assert "more for" in capsys.readouterr().out
    assert {level for level, _ in found(results)} >= {"begun", "consistent"}
    assert "drawn again" not in {level for level, _ in found(results)}


def test_a_later_audit_adds_to_the_first(results):
    audit(results, "--levels", "consistent")
    audit(results, "--levels", "begun", "--only", "seed=1")
    first, second = read_audits(results / "small")
    assert [each["level"] for each in first["findings"]] == ["consistent"] * 3
    assert [each["name"].rpartition("=")[2] for each in second["findings"]] == ["1"]


def test_the_nonce_chooses_and_the_same_one_chooses_the_same(results):
    seeds = []
    for nonce in ("a", "b", "a"):
        audit(results, "--levels", "drawn again", "--nonce", nonce)
        ((_, name),) = found(results)
        seeds.append(name)
    assert seeds[0] == seeds[2] != seeds[1]


# ----------------------------------------------------------------------------------------------- forgeries


def scores_edited(record):
    """Make the last FID lower, and the end fit."""
    lines = [json.loads(line) for line in record.evaluations.read_text().splitlines()]
    lines[-1]["scores"][0]["value"] *= 0.9
    record.evaluations.write_text("".join(json.dumps(line) + "\n" for line in lines))
    reseal(record)
    end = json.loads(record.record.read_text())
    scores = [(line["epoch"], {score["name"]: score["value"] for score in line["scores"]}) for line in lines]
    edit(record.record, final={**end["final"], **scores[-1][1]}, best=best_scores(scores))


def history_edited(record):
    lines = [json.loads(line) for line in record.history.read_text().splitlines()]
    for line in (line for line in lines if line["kind"] == "step" and line["epoch"] == 3):
        line["d_real"] = 0.5
    record.history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    reseal(record)


def beginning_edited(record):
    lines = [json.loads(line) for line in record.history.read_text().splitlines()]
    lines[0]["loss_g"] += 0.3
    record.history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    reseal(record)


def weights_swapped(record):
    weights = {name: tensor + 0.01 for name, tensor in load_file(record.weights).items()}
    save_file(weights, record.weights, metadata={"trial": record.path.name[-8:]})
    end = reseal(record)
    edit(record.record, weights_sha256=end.files[record.weights.name])


def scores_renamed(record):
    """Let a score say that it is of more images than its config draws."""
    record.evaluations.write_text(record.evaluations.read_text().replace(",64]", ",10000]"))
    reseal(record)
    change(record.record, lambda end: end.update({k: {n.replace(",64]", ",10000]"): v for n, v in end[k].items()}
                                                  for k in ("final", "best")}))  # fmt: skip


def score_doubled(record):
    """Put a better score of the same name before the last one."""
    lines = [json.loads(line) for line in record.evaluations.read_text().splitlines()]
    lines[-1]["scores"].insert(0, {**lines[-1]["scores"][0], "value": 1.0})
    record.evaluations.write_text("".join(json.dumps(line) + "\n" for line in lines))
    reseal(record)


@pytest.mark.parametrize(("forge", "said"), [(scores_renamed, "and is another"), (score_doubled, "twice")])
def test_names_of_scores_follow_from_what_they_are(results, forge, said):
    forge(records(results)[0])
    assert said in " ".join(audit(results, "--levels", "consistent", code=1).split())


@pytest.mark.parametrize(
    ("was", "now", "said"), [("epochs=3", "epochs=30", "its name says epochs=30"), ("seed=0", "seed=9", "seed=9")]
)
def test_a_name_that_its_config_contradicts_is_found(results, was, now, said):
    """Cards and exports show names."""
    (record,) = (each for each in records(results) if "seed=0" in each.path.name)

    def rename(trial):
        for key in {"name", "setting", "directory"} & set(trial):
            trial[key] = trial[key].replace(f",{was}", f",{now}")

    change(record.trial, rename)
    reseal(record)
    change(results / "small" / "plan.json", lambda plan: [rename(trial) for trial in plan["trials"]])
    renamed = record.path.rename(record.path.with_name(record.path.name.replace(f",{was}", f",{now}")))
    faults = [(check.name, fault) for check in verify(results) for fault in check.faults]
    assert [name for name, _ in faults] == [renamed.name]
    assert f"{said}, which is not what its config says" in faults[0][1]
    assert "contradicted consistent: " in audit(results, "--levels", "consistent", code=1)


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ({"name": "{setting}"}, "its name is mnist-mlp-z100,"),
        ({"name": "{setting},seed=00"}, "its name says seed=00"),
        ({"setting": "mnist-dcgan"}, "its setting says mnist-dcgan"),
        ({"name": "cats-dcgan,seed=0", "setting": "cats-dcgan"}, "its name says cats-dcgan"),
        ({"name": "{setting}, lr=0.5,seed=0"}, "its name says lr=0.5"),
    ],
)
def test_a_name_is_its_setting_with_its_seed(results, trial, said):
    record, *_ = records(results)
    setting = json.loads(record.trial.read_text())["setting"]
    names = {key: text.format(setting=setting) for key, text in trial.items()}
    edit(record.trial, **names)
    reseal(record)
    (check,) = (each for each in verify(results) if each.faults)
    assert any(fault.startswith(said) for fault in check.faults), check.faults


def test_a_record_whose_directory_was_renamed_is_whole_and_is_to_be_named_back(results):
    """Its id ties it to its config; an audit called it contradicted, and a board refused its whole folder."""
    record, *_ = records(results)
    record.path.rename(record.path.with_name(f"best--{record.path.name[-8:]}"))
    checks = list(verify(results))
    assert not [each for each in checks if each.faults]
    assert any(f"rename it back to {record.path.name}" in text for each in checks for text in each.remarks)
    assert not any(each.planned for each in checks)


@pytest.mark.parametrize("name", ["best--{}", "copy of--00000000"])
def test_a_copy_of_a_record_is_a_fault_whatever_it_is_called(results, name):
    """It was to be renamed to what is there, and was published; a run was to replace it, which leaves it as it is."""
    record, *_ = records(results)
    copy = record.path.with_name(name.format(record.path.name[-8:]))
    shutil.copytree(record.path, copy)
    (check,) = (each for each in verify(results) if each.faults)
    assert (check.name, check.remarks) == (copy.name, ())
    assert check.faults[0].startswith(f"{copy} is a copy of {record.path}, and a trial counts once"), check.faults


@pytest.mark.parametrize("lost", ["*", "record.json", "generator.safetensors"])
def test_a_whole_record_beside_what_is_left_of_its_trial_s_own_is_to_be_named_back(results, lost):
    """It was to be moved away as a copy, and its trial to be trained again."""
    record, *_ = records(results)
    copy = record.path.with_name(f"best--{record.path.name[-8:]}")
    shutil.copytree(record.path, copy)
    for path in record.path.glob(lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (check,) = (each for each in verify(results) if each.name == copy.name)
    own = f"its trial's own directory, {record.path.name}, holds no whole record of it"
    assert check.faults == (f"{own}: move that one elsewhere, and rename this one to it",)


@pytest.mark.parametrize("home", ["goes on", "runs", "is as damaged"])
def test_an_older_copy_takes_the_place_of_no_record_that_is_no_worse(results, home):
    """It was to take that of a trial that was running, or interrupted."""
    record, *_ = records(results)
    copy = record.path.with_name(f"best--{record.path.name[-8:]}")
    shutil.copytree(record.path, copy)
    record.record.unlink()
    if home == "goes on":
        record.checkpoint.write_bytes(b"")
    if home == "is as damaged":
        (copy / "generator.safetensors").write_bytes(b"")
    with trial_lock(record) if home == "runs" else nullcontext() as lock:
        assert lock is None or lock.acquire() is None
        (check,) = (each for each in verify(results) if each.name == copy.name)
    assert check.faults[0].startswith(f"{copy} is a copy of {record.path}, and a trial counts once"), check.faults
    assert not any("the next run" in fault for fault in check.faults)


def test_a_renamed_record_of_a_publication_may_miss_what_was_left_out(results, tmp_path):
    (made,) = publish(results, tmp_path / "published")
    record, *_ = records(made.folder.parent)
    record.path.rename(record.path.with_name(f"best--{record.path.name[-8:]}"))
    assert not [each for each in verify(tmp_path / "published") if each.faults or each.planned]


def last_scores_changed(record, by):
    """Change the list of the last scores, and make the end fit."""
    lines = [json.loads(line) for line in record.evaluations.read_text().splitlines()]
    by(lines[-1]["scores"])
    record.evaluations.write_text("".join(json.dumps(line) + "\n" for line in lines))
    reseal(record)
    end = json.loads(record.record.read_text())
    scores = [(line["epoch"], {score["name"]: score["value"] for score in line["scores"]}) for line in lines]
    means = {name: value for name, value in end["final"].items() if "[" not in name}
    edit(record.record, final={**means, **scores[-1][1]}, best=best_scores(scores))


def collapse_denied(record):
    """Let all ten classes be there."""

    def deny(scores):
        for score in scores:
            score["value"] = {"collapsed": 0.0, "classes": 10}.get(score["metric"], score["value"])

    last_scores_changed(record, deny)


def collapse_emptied(record):
    """Leave the numbers out that say that it collapsed."""

    def empty(scores):
        for score in scores:
            score["value"] = None if score["metric"] in ("collapsed", "classes") else score["value"]

    last_scores_changed(record, empty)


def spread_edited(record):
    """Let the noise of scoring be large: it makes ties."""
    last_scores_changed(record, lambda scores: scores[0].update(draw_std=250.0))


def grid_swapped(record):
    """Show other images at the middle of training."""
    with Image.open(record.sample(3)) as last:
        Image.new("RGB", last.size, "white").save(record.sample(1))
    reseal(record)


RESCORED = {"rescored", "repeated"}


@pytest.mark.parametrize(
    "forged",
    [
        {scores_edited: RESCORED, history_edited: {"repeated"}},  # and an honest one
        {collapse_denied: RESCORED, weights_swapped: RESCORED, beginning_edited: {"begun", "repeated"}},
        {collapse_emptied: RESCORED, spread_edited: RESCORED, grid_swapped: {"repeated"}},
    ],
)
def test_a_forgery_with_digests_that_fit_is_found(results, forged):
    expected = set()
    for (forge, levels), record in zip(forged.items(), records(results), strict=False):
        forge(record)
        expected |= {(level, json.loads(record.trial.read_text())["name"]) for level in levels}
    said = audit(results, "--levels", "consistent,rescored,begun,repeated", code=1)
    verdicts = {key: each["verdict"] for key, each in found(results).items()}
    assert {key for key, verdict in verdicts.items() if verdict == "contradicted"} == expected, said
    assert [verdict for (level, _), verdict in verdicts.items() if level == "consistent"] == ["holds"] * 3, (
        "digests fit"
    )


def test_a_score_that_nothing_here_comes_to_never_holds(results):
    """An invented FID under another network stood in the answer, and every level held."""

    def invent(scores):
        scores.append({**scores[0], "name": "fid[inception,train,64]", "extractor": "inception", "value": 3.1})

    def remove(scores):
        scores[:] = [score for score in scores if score["metric"] != "classes"]

    forged, *_ = records(results)
    last_scores_changed(forged, invent)
    last_scores_changed(records(results)[1], remove)
    said = " ".join(audit(results, "--levels", "consistent,rescored,repeated").split())
    name, other = (json.loads(record.trial.read_text())["name"] for record in records(results)[:2])
    verdicts = found(results)
    for level in ("rescored", "repeated"):
        assert verdicts[level, name]["verdict"] == "not audited", said
        assert "nothing here comes to fid[inception,train,64]" in verdicts[level, name]["text"]
        assert "not in the record: classes[" in verdicts[level, other]["text"]


def test_a_beginning_without_a_logged_step_is_that_of_its_first_epoch(tmp_path):
    """Trainings with another learning rate held on "begun" where no step was logged early."""
    (tmp_path / "s.yaml").write_text(SUITE.replace("log_every: 2", "log_every: 1000").replace("[0, 1, 2]", "[0]"))
    run = ("--results", tmp_path / "results", *FEW, "--epochs", "1")
    assert gan_bench("run", tmp_path / "s.yaml", *run).returncode == 0
    (record,) = records(tmp_path / "results")
    holds = audit(tmp_path / "results", "--levels", "begun")
    assert "holds 1" in holds
    lines = [json.loads(line) for line in record.history.read_text().splitlines()]
    lines[0]["last"]["loss_g"] += 0.3
    record.history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    reseal(record)
    assert "contradicted" in audit(tmp_path / "results", "--levels", "begun", code=1)


def test_a_changed_file_is_found_for_nothing(results):
    forged, *_ = records(results)
    forged.evaluations.write_text(forged.evaluations.read_text().replace("0", "1", 1))
    said = audit(results, "--levels", "consistent", code=1)
    assert "contradicted consistent" in " ".join(said.split())
    assert "the records do not hold: 1 of 3 checks contradicts them" in said


# --------------------------------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize(
    "replace", [lambda record: edit(record.record, reason="again"), lambda record: shutil.rmtree(record.path)]
)
def test_a_record_that_is_replaced_during_an_audit_is_not_audited_and_the_others_are(results, monkeypatch, replace):
    """The verdict stood under the digest of the new record, and a record that was removed ended the audit."""
    changed = list[Path]()

    def begun(stored, _):
        if not changed:
            changed.append(stored.path)
            replace(RecordDirectory(stored.path))
        return "holds", "as it is"

    monkeypatch.setattr("gan_bench.audit.again.begun", begun)
    monkeypatch.setattr("gan_bench.audit.plan._measured", lambda *_: Pace(1, step=0.03, image=0.001))
    before = {read_trial(each.path).trial["id"]: record_digest(each.path) for each in records(results)}
    with pytest.raises(SystemExit) as end:
        main(["audit", str(results), "--device", "cpu", "--nonce", "test", "--levels", "begun"])
    assert end.value.code == 0
    (audited,) = read_audits(results / "small")
    assert {each["trial"]: each["record_sha256"] for each in audited["findings"]} == before
    verdicts = {each["trial"]: each["verdict"] for each in audited["findings"]}
    assert verdicts.pop(changed[0].name[-8:]) == "not audited"
    assert list(verdicts.values()) == ["holds", "holds"]


def test_each_suite_is_audited_with_its_own_parts_and_code_that_is_other_contradicts_nothing(tmp_path):
    """Parts of the last suite alone were known. The auditor's plug-in need not be what the records were made with."""
    results, here = tmp_path / "results", {"cwd": tmp_path}
    for name in ("mine", "other"):
        assert gan_bench("new", "loss", name, **here).returncode == 0
        run = ("run", f"{name}.yaml", "--allow-plugins", "--results", results, *FEW)
        assert gan_bench(*run, "--seeds", "0", "--epochs", "1", "--samples", "64", **here).returncode == 0
    asked = ("--allow-plugins", "--levels", "begun,rescored,repeated")
    holds = audit(results, *asked, **here)
    assert ("holds 2" in holds, "not audited" in holds) == (True, False), holds
    file = tmp_path / "mine.py"
    file.write_text(file.read_text() + "\n# another version\n")
    said = audit(results, *asked, **here)
    for level in ("begun", "rescored", "repeated"):
        assert f"{level}: holds 1, not audited 1" in said
    assert "the code of losses/mine here is not that of the record" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "mine"}, "is of the file mine.py (SHA-256 abababababab); put it where test/suite.yaml names it, "),
        ({"dataset": "own"}, "its suite file alone; put suite.yaml, and what it names, beside the records"),
    ],
)
def test_a_part_that_is_not_here_is_asked_for(tmp_path, changes, said):
    """Audits asked for the option that they were given, and never said where the file must lie."""
    results = tmp_path / "pub"
    write(results, digits_trial(**changes), 20.0)
    (record,) = map(RecordDirectory, (results / "test").glob("*--*"))
    part = {"name": "mine.py", "version": "", "sha256": "ab" * 32, "path": "mine.py"}
    edit(record.environment, parts={"losses/mine": part})
    reseal(record)
    assert said in str(missing_part(read_trial(record.path)))


def test_of_a_package_of_another_version_it_is_said_which_is_here(tmp_path):
    """A part that numpy does not have was said to be of a package that is not installed."""
    write(tmp_path / "pub", digits_trial(loss="mine"), 20.0)
    (record,) = map(RecordDirectory, (tmp_path / "pub" / "test").glob("*--*"))
    for name, said in (("numpy", f"numpy 0.1, and {version('numpy')} is installed here"), ("away", "is not installed")):
        edit(record.environment, parts={"losses/mine": {"name": name, "version": "0.1", "sha256": "ab" * 32}})
        reseal(record)
        assert said in str(missing_part(read_trial(record.path)))


@pytest.mark.parametrize(
    ("changes", "then"), [({"data_sha256": "0" * 64}, "0" * 12), ({"held_out_sha256": ""}, "none")]
)
def test_images_that_are_others_are_said_and_contradict_nothing(results, changes, then):
    record, *_ = records(results)
    edit(record.environment, **changes)
    reseal(record)
    said = audit(results, "--levels", "begun", "--only", "seed=0")
    assert "not audited" in said
    assert f"not {then}); name the folder that it was trained with, with --data" in " ".join(said.split())


def test_without_weights_there_is_nothing_to_score(results, tmp_path):
    done = gan_bench("publish", results, "--out", tmp_path / "published")
    assert done.returncode == 0, done.stderr
    said = audit(tmp_path / "published", "--levels", "rescored,begun")
    assert "rescored: no trial has its weights here" in said
    assert {each["verdict"] for each in found(tmp_path / "published").values()} == {"holds"}


def test_an_audit_goes_along_when_records_are_published_again(results, tmp_path):
    published = tmp_path / "published"
    assert gan_bench("publish", results, "--out", published).returncode == 0
    audit(published, "--levels", "begun")
    assert gan_bench("publish", results, "--out", published).returncode == 0
    assert read_audits(published / "small")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--levels", "begunn"), 'unknown level "begunn" (did you mean "begun"'),
        (("--levels", ","), "--levels names none; there are consistent, rescored"),
        (("--nonce", " "), "an empty word follows --nonce; leave it out"),
        (("--budget", "soon"), "--budget must be a time such as 2h"),
        (("--only", "nothing"), 'holds no trial that has ended and matches "nothing"; there is mnist-mlp-z100,'),
        (("--device", "tpu"), 'device "tpu" is unknown'),
    ],
)
def test_what_is_asked_wrongly_is_said_in_a_sentence(results, asked, said):
    done = gan_bench("audit", results, *asked)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_an_audit_takes_the_names_that_it_prints(results):
    printed = audit(results, "--only", "mnist-mlp-z100,seed=1", "--levels", "consistent")
    assert "consistent: 1 record," in printed


def test_a_damaged_record_hides_behind_no_name(results):
    """It was said that there is no such trial, and a run was to replace it in a stranger's publication."""
    (record,) = (each for each in records(results) if "seed=1" in each.path.name)
    record.environment.write_text(record.environment.read_text().replace("cpu", "cpx", 1))
    (results / "small" / "left-out.json").write_text('{"schema": 1, "files": {}}')
    said = audit(results, "--levels", "consistent", "--only", "seed=1", code=1)
    assert f"contradicted consistent: {record.path.name}: " in said
    assert "; fetch the publication again" in said
    assert "consistent: 1 record," in audit(results, "--levels", "consistent", "--only", "seed=2")


def test_a_damaged_audit_is_no_reason_to_lose_it(results):
    (results / "small" / AUDIT).write_text("{}x")
    done = gan_bench("audit", results, "--levels", "consistent")
    assert done.returncode == 2
    assert "fetch it again, or move it away and audit again" in " ".join(done.stderr.split())
    assert (results / "small" / AUDIT).read_text() == "{}x"


def test_an_interrupted_audit_keeps_what_it_found(results):
    words = ["audit", str(results), "--levels", "begun,repeated", "--nonce", "x"]
    command = [*warm.command("gan_bench"), *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    )
    wait_for((results / "small" / AUDIT).exists, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode in (130, 0), output  # it may have been over
    assert read_audits(results / "small")[-1]["findings"]
    assert "Traceback" not in output


@pytest.mark.slow
def test_the_workflow_checks_what_a_pull_request_adds(results, tmp_path):
    """Its steps, in a repository whose branch publishes a second machine; the third one forges a score."""
    root, temporary = tmp_path / "repository", tmp_path / "temporary"
    published = root / "results" / "published"
    temporary.mkdir()
    (root / ".venv" / "bin").mkdir(parents=True)
    program = root / ".venv" / "bin" / "gan-bench"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gan_bench "$@"\n')
    program.chmod(0o755)

    def git(*words):
        subprocess.run(["git", "-C", root, *words], check=True, capture_output=True)

    def publish(name):
        mine = shutil.copytree(results, tmp_path / name)
        for record in records(mine):  # another machine's records are other records
            edit(record.environment, device_name=name)
            reseal(record)
        done = gan_bench("publish", mine, "--out", published / name, "--generator", "seed=0")
        assert done.returncode == 0, done.stderr

    (root / ".gitignore").write_text(".venv/\n")
    publish("here")
    git("init", "--quiet", "--initial-branch", "main")
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        git("config", key, value)
    git("add", "-A")
    git("commit", "--quiet", "-m", "published")
    git("update-ref", "refs/remotes/origin/main", "main")
    publish("there")
    git("add", "-A")
    git("commit", "--quiet", "-m", "added")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "results.yml").read_text())
    steps = {step["name"]: step["run"] for step in workflow["jobs"]["audit"]["steps"] if "name" in step}

    def follow(name):
        text = steps[name].replace("${{ github.base_ref }}", "main").replace("--budget 15m", "--levels rescored,begun")
        variables = {"GITHUB_WORKSPACE": str(root), "RUNNER_TEMP": str(temporary), "PYTHONPATH": str(ROOT)}
        variables["GITHUB_STEP_SUMMARY"] = str(temporary / "summary.md")
        environment = {**os.environ, **variables, "OMP_NUM_THREADS": "1"}
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
        return subprocess.run(shell, cwd=root, env=environment, capture_output=True, text=True, check=False)

    check, audited, board = steps
    done = follow(check)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("every record is whole") == 2
    done = follow(audited)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "auditing results/published/there/small" in done.stdout
    assert "auditing results/published/here" not in done.stdout, "only what the branch adds"
    done = follow(board)
    assert done.returncode == 0, done.stderr
    summary = (temporary / "summary.md").read_text()
    assert re.search(r"^\+.*\| there \|", summary, re.MULTILINE), summary

    forged = next(RecordDirectory(path) for path in (published / "there" / "small").glob("*seed=0--*"))
    scores_edited(forged)
    done = follow(audited)
    assert done.returncode == 1
    assert "contradicted rescored" in done.stdout


def test_a_number_of_threads_that_no_machine_has_ends_no_process(results):
    record, *_ = records(results)
    edit(record.environment, threads=2**20)
    reseal(record)
    done = gan_bench("audit", results, "--levels", "begun", "--only", "seed=0")
    assert done.returncode == 0, "nobody knows what machines there are"
    said = " ".join(done.stdout.split())
    assert "not audited begun: " in said
    assert "seed=0: it says that 1,048,576 threads trained it, and at most 1,024 are taken here" in said


def test_verify_trains_first_steps_again_where_it_is_asked(results):
    done = gan_bench("verify", results, "--rerun", "seed=0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d checked: every record is whole\n[\s\S]*holds +begun: .*seed=0 ", done.stdout), done.stdout
    done = gan_bench("verify", results, "--rerun", "nothing")
    assert (done.returncode, "--only" in done.stderr) == (2, False), "an option that nobody gave"
    assert 'matches "nothing"' in done.stderr


def test_weights_that_cannot_be_read_are_none_of_this_trial(results):
    record, *_ = records(results)
    record.weights.write_bytes(b"nothing")
    end = reseal(record)
    edit(record.record, weights_sha256=end.files[record.weights.name])
    said = audit(results, "--levels", "rescored", "--only", "seed=0", code=1)
    assert "contradicted rescored" in " ".join(said.split())


def test_two_suites_are_told_apart(results, tmp_path):
    shutil.copytree(results / "small", results / "other")
    said = audit(results, "--levels", "begun", "--only", "seed=1")
    assert "begun: small: " in " ".join(said.split())
    assert "begun: other: " in " ".join(said.split())


def test_of_too_few_seeds_none_is_drawn_again(results):
    for record in records(results)[1:]:
        shutil.rmtree(record.path)
    (results / "small" / "plan.json").unlink()
    said = audit(results, "--levels", "drawn again")
    assert "fewer than 3 seeds of the setting were published" in " ".join(said.split())
    assert "drawn again: 0 settings, about 0 s" in " ".join(said.split())


def test_what_has_no_record_or_no_end_is_said(results):
    """Seeds that a publisher removed were passed over: "the records hold"."""
    first, second, _ = records(results)
    shutil.rmtree(first.path)
    second.record.unlink()
    said = " ".join(audit(results, "--levels", "consistent").split())
    names = [row["name"] for row in json.loads((results / "small" / "plan.json").read_text())["trials"]]
    absent, unended = names[:2]
    assert f"1 planned trial has no record ({absent}): a publisher may have left it out" in said
    assert f"1 trial has no end, no record.json ({unended}), and is not audited" in said
    assert said.index("planned trial") < said.index("the records hold: nothing speaks against them in 1 check")
    assert "no record (" not in audit(results, "--levels", "consistent", "--only", "seed=2")


def test_a_trial_that_failed_is_said_not_to_be_audited(results):
    """It was passed over, and where all had failed there was said to be no trial that has ended."""
    for record in records(results):
        edit(record.record, status="failed", reason="out of memory: 3 GiB")
    for levels in ("rescored,begun", "drawn-again"):  # of the second, no word was said
        said = " ".join(audit(results, "--levels", levels).split())
        assert "3 trials failed or ended early (" in said
        assert said.count("seed=0: out of memory: 3 GiB") == 1
        assert "begun: 0 trials, " in said or levels == "drawn-again", "it was announced as work"
        assert said.endswith("nothing was checked"), "there is no audit.json"


@pytest.mark.parametrize("more", [["--dry-run"], []])
def test_what_cannot_be_done_is_no_work_and_the_reason_is_said_once(results, monkeypatch, capsys, more):
    """A dry run gave no reason, and an audit the same one for each trial and level."""
    monkeypatch.setattr("gan_bench.audit.plan.missing_part", lambda *_: "its loss is not here")
    with pytest.raises(SystemExit):
        main(["audit", str(results), "--device", "cpu", "--nonce", "test", "--levels", "begun,rescored", *more])
    said = " ".join(capsys.readouterr().out.split())
    assert "begun: 0 trials, about 0 s; 3 cannot be audited here" in said
    assert "not audited here, 6 checks: its loss is not here" in said
    assert said.count("its loss is not here") == 1
    assert ("begun: not audited 3" in said) == (not more)


@pytest.mark.parametrize(
    "only", ["*seed=1", "lr=3e-4, seed=1", "mnist-mlp-z100,dataset=digits,epochs=3,ema_decay=0.9,seed=1"]
)
def test_trials_are_chosen_once_among_all_that_are_known(results, only):
    """Damaged and absent trials were matched apart, by other rules, and damaged ones without their values."""
    first, second, third = records(results)
    shutil.rmtree(first.path)
    second.trial.write_text("{}")
    third.record.unlink()
    said = " ".join(audit(results, "--levels", "consistent", "--only", only, code=1).split())
    assert "consistent: 1 record" in said
    assert "seed=1" in said
    assert "no record (" not in said
    assert "no end, " not in said


def test_a_damaged_plan_is_named_by_its_suite_whatever_is_asked_for(results):
    (results / "small" / "plan.json").write_text("{")
    said = " ".join(audit(results, "--levels", "consistent", "--only", "seed=1", code=1).split())
    assert "contradicted consistent: small: " in said


def test_a_fault_of_a_suite_that_nothing_asked_for_is_of_is_left_out(results):
    """``--only`` of one suite's trials contradicted another suite, and wrote that into its audits."""
    other = results / "beside"
    other.mkdir()
    (other / "anchors.json").write_text("{")
    said = " ".join(audit(results, "--levels", "consistent", "--only", "seed=1").split())
    assert "beside:" not in said
    assert not (other / "audit.json").exists()
    assert "contradicted consistent: beside: " in " ".join(audit(results, "--levels", "consistent", code=1).split())


@pytest.mark.parametrize(
    "name", ["generator.safetensors", "history.jsonl", "evaluations.jsonl", "trial.json", "samples"]
)
def test_a_file_that_was_lost_contradicts_nothing_and_a_changed_one_beside_it_does(results, name):
    """An honest record with a lost file was "contradicted"."""
    record, *_ = records(results)
    path = record.path / name if name != "samples" else record.sample(3)
    path.unlink()
    (check,) = (each for each in verify(results) if each.faults)
    assert not any("is not the one that was saved" in fault for fault in check.faults), "it is gone"
    said = " ".join(audit(results, "--levels", "consistent").split())
    assert "not audited consistent: " in said
    assert "files are missing, fetch them again (" in said
    assert f"{path.name})" in said
    changed = record.environment
    changed.write_text(changed.read_text().replace("cpu", "abc", 1))
    if name != "trial.json":  # without which nothing is known of the others
        assert "contradicted consistent" in " ".join(audit(results, "--levels", "consistent", code=1).split())


@pytest.mark.parametrize("lost", ["history.jsonl", "evaluations.jsonl", "samples/epoch-0003.png"])
@pytest.mark.parametrize("wrong", ["name", "directory", "checkpoint", "added", "steps", "best", "final", "mean"])
def test_a_lost_file_hides_no_fault_that_others_show(results, lost, wrong):
    """Without its history or evaluations, a record had no other fault than changed digests."""
    record, *_ = records(results)
    if wrong == "name":
        edit(record.trial, name="mnist-mlp-z100,dataset=mnist,seed=0")
        reseal(record)
    elif wrong == "directory":
        record = RecordDirectory(record.path.rename(record.path.with_name(f"{record.path.name[:-8]}00000000")))
    elif wrong == "checkpoint":
        record.checkpoint.write_bytes(b"nothing")
    elif wrong == "added":
        record.added.write_text("{}")
    elif wrong == "steps":
        edit(record.record, steps=1)
    elif wrong == "best":
        change(record.record, lambda end: next(iter(end["best"].values())).update(value=0.01))
    else:
        names = ("loss_d",) if wrong == "mean" else ("fid[",)
        change(record.record, lambda end: end["final"].update({n: 0.01 for n in end["final"] if n.startswith(names)}))
    (record.path / lost).unlink()
    needed = {
        "steps": "history.jsonl",
        "mean": "history.jsonl",
        "best": "evaluations.jsonl",
        "final": "evaluations.jsonl",
    }
    (check,) = (each for each in verify(results) if each.faults)
    assert f"{lost} is gone" in check.faults
    assert (check.missing == (lost,)) == (needed.get(wrong) == lost), check.faults


def test_scores_that_were_added_later_are_said_not_to_be_audited(results):
    """An invented score in added.json passed every level, and no word was said of it."""
    for record in records(results)[1:]:
        shutil.rmtree(record.path)
    done = gan_bench("score", results, "--add", "cifar-v1", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = records(results)
    change(record.added, lambda content: content["additions"][0]["scores"][0].update(value=0.01))
    count = sum(len(each["scores"]) for each in json.loads(record.added.read_text())["additions"])
    said = " ".join(audit(results, "--levels", "consistent,rescored").split())
    assert f"{count} scores were added later (`gan-bench score --add`), which no level audits" in said
    texts = [each["text"] for each in found(results).values()]
    assert len(texts) == 2
    assert all(text.endswith(f"; {count} scores were added later and not audited") for text in texts), texts
