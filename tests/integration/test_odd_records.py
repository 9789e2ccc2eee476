"""One record that nobody would write ends no report: it is named and left out, or shown, and the others are whole."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from support.commands import gan_bench
from support.needs import slow
from support.records import edit, reseal
from support.suites import train_small

import gan_bench as gb
from gan_bench.core.errors import RecordError, UserError
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import LOCKS, RecordDirectory
from gan_bench.records.lock import Lock
from gan_bench.records.publish import publish
from gan_bench.records.summary import is_outdated
from gan_bench.report import build
from gan_bench.report.build import build_report
from gan_bench.report.card.card import write_card
from gan_bench.report.compare.comparison import compare
from gan_bench.report.study.studies import read_studies


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("odd"))


@pytest.fixture
def results(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "results")


PLACES = ("*z100,lr=0.0002*seed=0--*", "*z100,lr=0.0002*seed=1--*", "*z100,dataset*seed=0--*")
"""Records that something odd happens to; the fourth stays as it is."""


def record(results, place=PLACES[0]):
    return RecordDirectory(next(results.glob(f"small/{place}")))


def rewrite(path, change):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def score(value):
    def change(directory):
        def lines(line):
            for each in line["scores"]:
                each["value"] = value

        rewrite(directory.evaluations, lines)

    return change


def history(name, value):
    def change(directory):
        def lines(line):
            target = line if name in line else line.get("mean", {})
            target[name] = value

        rewrite(directory.history, lines)

    return change


def environment(**values):
    return lambda directory: edit(directory.environment, **values)


def ended(**values):
    return lambda directory: edit(directory.record, **values)


def plan(**values):
    return lambda directory: edit(directory.path.parent / "plan.json", **values)


ODD = {
    "a start that is no time": environment(started="yesterday"),
    "a start before all time": environment(started="0001-01-01T00:00:00+00:00"),
    "a start of the far future": environment(started="9999-12-31T23:59:59+00:00"),
    "a device with a line break": environment(device_name="a\n\x1b[2J" * 50),
    "no device": environment(device="", device_name=""),
    "threads without end": environment(threads=2**52),
    "parts that are none": environment(parts={"x": 3}),
    "an open quote": plan(command="gan-bench run 'small"),
    "a command of blanks": plan(command="   "),
    "a command that is none": plan(command="rm -rf / --seeds"),
    "a command without a value": plan(command="gan-bench run small --seeds"),
    "huge scores": score(1e308),
    "large scores": score(1e90),
    "tiny scores": score(5e-324),
    "zero scores": score(0.0),
    "negative scores": score(-1e30),
    "huge losses": history("loss_d", -1e308),
    "outputs that are no probabilities": history("d_real", -7.5),
    "seconds without end": ended(train_seconds=1e300),
    "negative seconds": ended(train_seconds=-5.0, evaluate_seconds=-1.0),
    "no seconds": ended(train_seconds=0.0, images=0),
    "many images": ended(images=2**60),
    "much memory": ended(peak_memory_bytes=2**62, energy_joules=1e99),
    "best of nothing": ended(best={"": {"value": 1.0, "epoch": 7}}, final={}),
}


KINDS = [tuple(ODD)[start::8] for start in range(8)]
"""Three at a time, each in a record of its own, and each of another kind."""


@pytest.mark.draws_pages
@pytest.mark.draws_plots
@pytest.mark.parametrize("kinds", [*KINDS, *slow(*(((kind,),) for kind in ODD))], ids="; ".join)
def test_odd_records_end_no_command(whole, results, tmp_path, kinds):
    names = []
    for kind, place in zip(kinds, PLACES, strict=False):
        directory = record(results, place)
        ODD[kind](directory)
        if Earlier(directory).record:  # a damaged end has no digests to write
            reseal(directory)
        names.append(directory.path.name)
    report = build_report(results)
    named = [name for name in names if any(name in line for line in report.unreadable)]
    table = next(table for table in report.tables if table.name.endswith("-trials")).rows
    assert sorted(table["status"]) == ["damaged"] * len(named) + ["done"] * (4 - len(named))
    assert "Best score" in (report.folder / "answer.md").read_text()
    for first, second in ((whole, results), (results, whole)):
        found = compare(first, second)
        assert bool(named) == any("left out, damaged" in said for said in found.unsure)
        found.to_markdown()
        json.dumps(found.to_json(), default=str)
    assert len(gb.load(results).trials) == 4
    for command in (lambda: publish(results, tmp_path / "out"), lambda: write_card(results, "best", tmp_path / "card")):
        try:
            command()
        except UserError as error:
            assert "\n" not in str(error)


def test_a_copy_that_sorts_first_never_stands_for_the_trial_itself(whole, results):
    """A backup with edited scores dismissed the records it was made of, and an older one hid their numbers."""
    before = build_report(results, html=False)
    for lines in shutil.copytree(results / "small", results / "a-backup").glob("*/evaluations.jsonl"):
        rewrite(lines, lambda line: line.update(scores=[{**score, "value": 1.0} for score in line["scores"]]))
    after = build_report(results, html=False)
    for old, new in zip(before.tables, after.tables, strict=True):
        assert old.rows.drop(columns="path", errors="ignore").equals(new.rows.drop(columns="path", errors="ignore"))
    (said,) = after.unreadable
    assert said.startswith(f"misplaced: {results / 'a-backup'}, with 4 records, is of a suite that is read from ")
    assert compare(whole, results).exit_code == 0
    next((results / "small").glob("*--????????/record.json")).write_text("{")
    (trials,) = [table.rows for table in build_report(results, html=False).tables if table.kind == "trials"]
    assert sorted(trials["status"]) == ["damaged", "done", "done", "done"]


@pytest.mark.parametrize("called", ["Copy of {}", "copy--deadbeef"])
def test_a_copy_within_a_suite_never_stands_for_the_trial_itself(whole, results, called):
    directory = next(path for path in (results / "small").glob("*--????????"))
    copy = shutil.copytree(directory, directory.parent / called.format(directory.name))
    rewrite(
        copy / "evaluations.jsonl", lambda line: line.update(scores=[{**each, "value": 1.0} for each in line["scores"]])
    )
    report = build_report(results, html=False)
    (line,) = report.unreadable
    assert f"{copy} is a copy of {directory}," in line
    assert compare(whole, results).worse == []
    (directory / "record.json").write_text("{")
    (trials,) = [table.rows for table in build_report(results, html=False).tables if table.kind == "trials"]
    assert sorted(trials["status"]) == ["damaged", "done", "done", "done"], "nor where that is damaged"


def test_a_plan_without_records_displaces_none(whole, results):
    (results / "a").mkdir()
    shutil.copy(results / "small" / "plan.json", results / "a")
    assert build_report(results, html=False).unreadable == build_report(whole, html=False).unreadable
    assert compare(whole, results).exit_code == 0


@pytest.mark.parametrize(
    "values",
    [
        {"train_seconds": -5.0},
        {"evaluate_seconds": -1.0},
        {"train_seconds": 1e100},
        {"peak_memory_bytes": 10**300},
        {"peak_memory_bytes": -1},
        {"energy_joules": -3.0},
        {"group": -4},
        {"group": 10**30},
    ],
)
def test_costs_that_cannot_be_are_damage(results, values):
    """Negative seconds were ranked by their images a second, and memory of 1e300 bytes ended the report of all."""
    directory = record(results)
    edit(directory.record, **values)
    report = build_report(results, html=False)
    assert any(directory.path.name in line and line.startswith("damaged: ") for line in report.unreadable)


def test_a_copy_of_a_suite_counts_no_trial_twice(whole, results):
    """Somebody keeps a copy of a suite's folder beside it: its seeds were counted as further ones."""
    before = build_report(results, html=False)
    shutil.copytree(results / "small", results / "small-backup")
    after = build_report(results, html=False)
    for old, new in zip(before.tables, after.tables, strict=True):
        assert old.rows.drop(columns="path", errors="ignore").equals(new.rows.drop(columns="path", errors="ignore"))
    backup = f"{results / 'small-backup'}, with 4 records,"
    said = f"{backup} is of a suite that is read from {results / 'small'}, and counts in no table"
    assert after.unreadable == [f"misplaced: {said}; move what is of the same run there, and all else elsewhere"]
    assert compare(whole, results).exit_code == 0


def test_what_was_put_aside_adds_nothing_to_a_suite_that_was_begun_anew(whole, results):
    """A study took the trials of both, under the plan of one."""
    aside = shutil.copytree(results / "small", results / "small.bak")
    for path in (record(results, place).path for place in PLACES[:2]):
        shutil.rmtree(path)
    report = build_report(results, html=False)
    (trials,) = [table.rows for table in report.tables if table.kind == "trials"]
    assert sorted(trials["status"]) == ["done", "done", "planned", "planned"]
    (said,) = report.unreadable
    assert said.startswith(f"misplaced: {aside}, with 4 records, is of a suite that is read from {results / 'small'},")
    alone = build_report(aside, results.parent / "alone", html=False)
    assert alone.unreadable == []
    assert compare(whole, results).worse, "two trials are not there"


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_of_another_name_is_its_suite_s(results, tmp_path, linked):
    """Looks, the scores of real images and the name of the publication were looked for under the folder's name."""
    (before,) = read_studies(results)[1]
    moved = (results / "small").rename((tmp_path if linked else results) / "small-2026-11")
    if linked:
        (results / "small").symlink_to(moved)
    (after,) = read_studies(results)[1]
    assert before.baselines
    assert (after.suite, after.design, after.baselines) == ("small", before.design, before.baselines)
    assert not after.design.inferred
    (published,) = publish(results, tmp_path / "out")
    assert published.folder == tmp_path / "out" / "small"
    build_report(results)
    assert not is_outdated(results, "small", results / "small" if linked else moved)


def test_a_suite_without_a_record_that_can_be_read_makes_no_report_outdated(results):
    """A sync made the whole report again each time."""
    broken = results / "x" / "foo,seed=0--12345678" / "trial.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    build_report(results)
    assert not any(is_outdated(results, name, results / name) for name in ("small", "x"))


def test_a_plan_that_names_no_suite_is_its_folder_s(results):
    """So are those of the first versions."""
    plan = results / "small/plan.json"
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps({key: value for key, value in content.items() if key not in ("suite", "sha256")}))
    assert not build_report(results, html=False).unreadable


def test_reports_of_one_folder_are_made_one_after_another(results, monkeypatch):
    """The one that had read first wrote last, without the trials that had ended since."""
    held, real = [], build.collect

    def collect(folder):
        held.append(Lock(results / LOCKS, "report").holder())
        return real(folder)

    monkeypatch.setattr(build, "collect", collect)
    build_report(results, html=False)
    build_report(results, results.parent / "elsewhere", html=False)
    assert [owner is not None for owner in held] == [True, False], "what is only read gets no lock"


def alter(path):
    """Change a number of a file so that nothing but its digest tells."""
    path.write_text(re.sub(r'("(?:loss_d|value)":)[0-9.]+', r"\g<1>0.125", path.read_text(), count=1))


@pytest.mark.parametrize("name", ["history.jsonl", "evaluations.jsonl"])
def test_no_command_believes_an_altered_record(results, tmp_path, name):
    """An edited history was drawn from, scored, exported in silence and printed on a card."""
    trial = record(results).path
    alter(trial / name)
    assert gan_bench("verify", results).returncode == 1
    refused = (
        ("sample", trial, "--out", tmp_path / "samples"),
        ("score", trial / "generator.safetensors", "digits", "--samples", 64),
        ("card", "lr 2e-4", "--results", results, "--out", tmp_path / "card"),
    )
    for words in refused:
        done = gan_bench(*words)
        assert (done.returncode, f"{name} is not what was saved" in done.stderr) == (2, True), (words, done.stderr)
    with pytest.raises(RecordError, match="is not what was saved"):
        gb.generator(trial)
    before = {path: path.read_bytes() for path in trial.rglob("*") if path.is_file()}
    added = gan_bench("score", results, "--add", "cifar-v1", "--device", "cpu")
    assert (added.returncode, f"{name} is not what was saved" in added.stdout) == (1, True), added.stdout + added.stderr
    assert {path: path.read_bytes() for path in trial.rglob("*") if path.is_file()} == before
    exported = gan_bench("export", "parquet", results, "--out", tmp_path / "all.parquet")
    assert exported.returncode == 1
    assert f"left out: {trial / name} is not what was saved" in exported.stdout
    assert "values" in exported.stdout, "what is whole is written"


def test_a_record_is_scored_by_its_generator(results):
    """Its two sample grids were scored as two images."""
    trial = record(results).path
    words = ("--samples", "64", "--device", "cpu")
    said = [gan_bench("score", given, "digits", *words) for given in (trial, trial / "generator.safetensors")]
    assert said[0].returncode == 0, said[0].stderr
    assert said[0].stdout == said[1].stdout
    assert "242x242" not in said[0].stderr


def test_options_of_compare_that_judge_nothing_are_said(results):
    """A margin in a pull request's check was ignored."""
    for words, said in (
        (("--margin", "0.2"), "--margin has no effect where trials are compared (--match)"),
        (("--match", "settings", "--tolerance", "0.5"), "--tolerance has no effect where settings are compared"),
    ):
        done = gan_bench("compare", results, results, *words)
        assert (done.returncode, said in done.stderr) == (0, True), done.stderr
