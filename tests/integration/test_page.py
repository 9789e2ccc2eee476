"""The report as a whole: hostile names in every format, the page in a real browser, comparisons, golden tables."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats
from support.records import edit, reseal
from support.studies import HOSTILE, hostile_results, with_lr, write
from support.trials import digits_trial
from typer.testing import CliRunner

from gan_bench.cli.app import app
from gan_bench.cli.comparison import write_comparison
from gan_bench.config.design import Design
from gan_bench.core.errors import UserError
from gan_bench.records import reader
from gan_bench.records.json_files import SEAL, write_object
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import write_plan
from gan_bench.records.record import Status
from gan_bench.records.shared import write_baselines
from gan_bench.records.verify import verify
from gan_bench.report.build import build_report
from gan_bench.report.compare.comparison import compare
from gan_bench.report.findings.find_setting import champions
from gan_bench.report.findings.proposals import questions
from gan_bench.report.page import collect
from gan_bench.report.study.latex import escape_latex
from gan_bench.report.study.looks import level
from gan_bench.report.study.studies import read_studies

pytestmark = pytest.mark.draws_pages


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return hostile_results(tmp_path_factory.mktemp("hostile") / "results")


@pytest.mark.draws_plots
def test_hostile_names_come_out_harmless_in_every_format(results):
    tables = results / "report" / "tables"
    (name,) = tables.glob("*-trials.csv")
    with name.open(newline="") as file:
        cells = [row["name"] for row in csv.DictReader(file)]
    assert f"'{HOSTILE['formula']},seed=0" in cells
    assert not any(cell[:1] in "=+-@" for cell in cells if cell)
    markdown = name.with_suffix(".md").read_text()
    assert "<script" not in markdown
    assert r"\| \[a\]" in markdown
    latex = name.with_suffix(".tex").read_text()
    assert r"\input{/" not in latex
    assert r"100\%\_\$x\textasciicircum{}2 \& \#1" in latex
    assert r"\textbackslash{}u202e" in latex
    page = (results / "report" / "report.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "<svg onload" not in page
    assert html.escape(HOSTILE["script"]) in page
    assert page.count("</script>") == 5
    for text in HOSTILE.values():
        assert text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")[:20] in page or (
            json.dumps(text)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")[:20] in page
        )


class Loads(HTMLParser):
    """Collects what a page would fetch or run."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data") and not value.startswith(
                ("data:", "#", "tables/")
            ):
                self.found.append((tag, value))
            if name.startswith("on") or (value or "").lstrip().lower().startswith("javascript:"):
                self.found.append((tag, name))


@pytest.mark.draws_plots
def test_the_page_loads_and_runs_nothing_but_its_own(results):
    page = (results / "report" / "report.html").read_text()
    parser = Loads()
    parser.feed(page)
    assert parser.found == []
    assert not re.findall(r"@import|url\((?!#)", page)


@pytest.mark.parametrize(("gain", "collapsed"), [(50.0, 0.0), (50.0, 1.0), (-5.0, 0.0)])
def test_the_page_says_when_the_best_is_not_good(tmp_path, gain, collapsed):
    for seed in range(3):
        write(tmp_path, digits_trial(seed), 50.0 + seed, gain=gain, collapsed=collapsed)
    build_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    assert ("the best is no better than untrained generators (FID 41)." in page) == (gain < 0)
    assert ("3 of 3 generators of the best setting collapsed (seeds 0, 1, 2)" in page) == (collapsed > 0)
    is_of_use = gain > 0 and not collapsed
    assert ('<p class="big">No setting is of use yet</p>' in page) == (not is_of_use)
    assert ("No setting is of use yet: all generators of the best collapsed. Best score: " in page) == (collapsed > 0)


@pytest.mark.draws_plots
def test_scores_of_others_beyond_their_bounds_end_no_report(tmp_path):
    """The mean of FIDs below zero lies under its interval, which ends at zero: the plot of costs raised."""
    for seed in range(5):
        write(tmp_path, digits_trial(seed), -0.03 + 0.001 * seed, gain=1.0)
    build_report(tmp_path)
    assert "-0.02800" in (tmp_path / "report" / "report.html").read_text()


def test_answers_on_the_page_come_with_their_interval(tmp_path):
    for seed in range(5):
        for lr, fid in ((2e-4, 60.0 + seed), (3e-4, 40.0 + 2 * seed)):
            write(tmp_path, with_lr(digits_trial(seed), lr), fid, gain=-9.0)
    build_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "FID 44 (40 to 48)" in page
    (answer,) = re.findall(r"<li><bdi>(learning rate: .*?)</bdi>", page)
    assert answer == ("learning rate: 0.0003 is better than 0.0002 (decided, FID \N{MULTIPLICATION SIGN} 0.71).")
    assert "2 of 2 settings are no better than untrained generators." in page, "their mean before training is 35"


def test_the_page_says_when_the_last_trial_ended_and_of_earlier_versions_when_it_was_begun(tmp_path):
    for seed in range(2):
        write(tmp_path, digits_trial(seed), 50.0 + seed)
    records = [RecordDirectory.of(tmp_path, digits_trial(seed)).record for seed in range(2)]
    for record, day in zip(records, (4, 3), strict=True):
        edit(record, ended=f"2026-02-0{day}T10:20:00+00:00")
    build_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "last trial ended" in page
    assert "2026-02-04 10:20 UTC" in page
    content = json.loads(records[0].read_text())
    write_object(records[0], {name: value for name, value in content.items() if name not in ("ended", SEAL)})
    build_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "last trial begun" in page
    assert "2026-01-01 00:00 UTC" in page


@pytest.mark.draws_plots
def test_twice_is_the_same_bytes(results, tmp_path):
    build_report(results, tmp_path / "again")
    for old in (results / "report").rglob("*.*"):
        assert (tmp_path / "again" / old.relative_to(results / "report")).read_bytes() == old.read_bytes(), old


def test_every_printable_letter_has_a_latex_form():
    assert all(escape_latex(chr(i)) for i in range(32, 0x250))
    assert escape_latex("\\{") == r"\textbackslash{}\{"


@pytest.mark.draws_plots
def test_reporting_loads_neither_torch_nor_mlflow(results, tmp_path):
    """And it draws whatever backend the user's Matplotlib is told to show pictures with."""
    code = (
        "import sys, gan_bench.cli.app as app\n"
        f"try: app.main(['report', {str(results)!r}, '--out', {str(tmp_path / 'out')!r}])\n"
        "except SystemExit as end: sys.exit(end.code or bool({'torch', 'mlflow', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "MPLBACKEND": "nonsense"})
    assert done.returncode == 0
    assert list((tmp_path / "out/plots").glob("*.svg"))


# --------------------------------------------------------------------------------------------------- compare


def folder(tmp_path, name, fids, **options):
    for seed, fid in enumerate(fids):
        write(tmp_path / name, digits_trial(seed), fid, **options)
    return tmp_path / name


def geometric_mean(values):
    return float(np.exp(np.log(values).mean()))


OLD = (50.0, 52.0, 51.0, 53.0)
SAME = "within tolerance"
NAMED = "test, digits (full profile): mnist-mlp-z100"


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (OLD, "identical"),
        ((60.0, 63.0, 61.0, 63.5), "worse"),
        ((40.0, 43.0, 41.0, 43.5), "better"),
        ((50.1, 52.2, 51.1, 53.1), SAME),
        ((40.0, 70.0, 45.0, 60.0), SAME),
        ((40.0, 62.0, 49.0, 55.0), SAME),  # the mean is the same, the seeds are not
        ((50.0, 99.0, 51.0, 53.0), SAME),  # one seed of four; the mean ratio is 1.17
        ((50.0, 152.0, 51.0, 153.0), "cannot judge"),
    ],
)
def test_compare_judges_settings(tmp_path, new, verdict):
    found = compare(folder(tmp_path, "old", OLD), folder(tmp_path, "new", new))
    assert bool(found.worse) == (verdict == "worse")
    assert bool(found.better) == (verdict == "better")
    assert bool(found.unsure) == (verdict == "cannot judge")
    assert found.exit_code == {"worse": 1, "cannot judge": 3}.get(verdict, 0)
    assert dict(found.unchanged) == ({verdict: 1} if verdict in ("identical", SAME) else {})
    (row,) = found.tables[-1].rows.to_dict("records")
    assert (row["verdict"], row["old"]) == (verdict, pytest.approx(geometric_mean(OLD)))
    assert row["new"] == pytest.approx(geometric_mean(new))
    assert found.tests == (verdict != "identical")


@pytest.mark.parametrize(
    ("design", "corrected", "verdict"),
    [
        (Design.fixed(range(5)), 1.0, "worse"),
        (Design.of_looks(), 12 / 5, SAME),
        (Design.of_looks((3, 5)), 5 / 2, SAME),
        (Design.of_looks((8, 12)), None, SAME),
        (Design.fixed(range(3)), None, SAME),
    ],
    ids=["fixed", "look", "other looks", "before the first look", "extended"],
)
def test_a_comparison_is_a_further_look(tmp_path, design, corrected, verdict):
    """Five seeds whose p is about 0.03: a fixed list decides, a look does not, and what was extended never does."""
    ratios = (1.05, 1.2, 1.08, 1.2, 1.03)
    p = stats.ttest_1samp(np.log(ratios), 0).pvalue
    assert 0.0208 < p < 0.05
    trials = [digits_trial(seed) for seed in range(5)]
    for name, fids in (("old", [50.0] * 5), ("new", [50.0 * ratio for ratio in ratios])):
        write_plan(tmp_path / name, "test", 1, trials[:3], design=design)
        write_plan(tmp_path / name, "test", 1, trials)
        for trial, fid in zip(trials, fids, strict=True):
            write(tmp_path / name, trial, fid)
    found = compare(tmp_path / "old", tmp_path / "new", tolerance=0.5)
    (row,) = found.tables[-1].rows.to_dict("records")
    assert row["verdict"] == verdict
    assert row["corrected"] == (None if corrected is None else pytest.approx(corrected * p))
    sure = 0.05 if corrected is None or design.is_fixed else level(design.looks, 5)
    ends = stats.ttest_1samp(np.log(ratios), 0).confidence_interval(1 - sure)
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx(tuple(np.exp(ends))), "of the look, as p is"


def test_the_means_of_a_verdict_are_those_that_its_ratio_compares(tmp_path):
    """One collapse on either side, and 286.4 -> 278.2 was worse: the mean of one seed of five."""
    old, new = (20.0, 21.0, 19.0, 22.0, 1350.0), (24.5, 26.0, 23.5, 27.0, 1290.0)
    found = compare(folder(tmp_path, "old", old), folder(tmp_path, "new", new))
    (row,) = found.tables[-1].rows.to_dict("records")
    assert row["new"] / row["old"] == pytest.approx(row["ratio"])
    assert row["ratio"] > 1
    assert f"{geometric_mean(old):.4g} -> {geometric_mean(new):.4g}" in dict(found.sentences())["worse"]


def test_tests_are_corrected_for_their_number(tmp_path):
    """Twelve settings, one of which differs with an uncorrected p of about 0.01."""
    for i in range(12):
        for seed in range(5):
            trial = replace(with_lr(digits_trial(seed), 1e-4 * (i + 1)), setting=f"s{i}")
            shift = (1.0, -1.0, 0.5, -0.5, 0.2)[seed] if i else (2.0, 1.0, 2.5, 0.7, 2.2)[seed]
            write(tmp_path / "old", trial, 50.0 + seed)
            write(tmp_path / "new", trial, 50.0 + seed + shift)
    found = compare(tmp_path / "old", tmp_path / "new")
    assert found.tests == 12
    assert not found.worse
    assert "12 tests of FID, corrected for their number" in repr(found)
    alone = compare_first(tmp_path)
    assert alone.tests == 1
    assert alone.worse


def compare_first(tmp_path):
    for side in ("old", "new"):
        for path in (tmp_path / side / "test").glob("s0,*"):
            target = tmp_path / f"{side}-alone" / "test"
            target.mkdir(parents=True, exist_ok=True)
            shutil.copytree(path, target / path.name)
        shutil.copy(tmp_path / side / "test/plan.json", tmp_path / f"{side}-alone/test")
    return compare(tmp_path / "old-alone", tmp_path / "new-alone")


def test_scores_that_are_gone_are_worse(tmp_path):
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", OLD, metric="is")
    (sentence,) = compare(old, new).worse
    assert sentence.endswith("4 scores of 4 gone, though the trials are done")


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_a_comparison_is_written_to_a_file(tmp_path, form):
    found = compare(folder(tmp_path, "old", OLD), folder(tmp_path, "new", (60.0, 63.0, 61.0, 63.5)))
    write_comparison(found, form, tmp_path / "out")
    text = (tmp_path / "out").read_text()
    assert (str(geometric_mean((60.0, 63.0, 61.0, 63.5)))[:8] if form == "json" else "61.86") in text
    assert "worse" in text
    if form == "json":
        assert json.loads(text)["exit_code"] == 1


def test_what_did_not_change_is_counted_in_json(tmp_path):
    old = folder(tmp_path, "old", OLD)
    write_comparison(compare(old, old), "json", tmp_path / "out")
    assert json.loads((tmp_path / "out").read_text())["unchanged"] == {"identical": 1}


def test_a_report_removes_what_an_earlier_one_wrote_and_nothing_else(tmp_path):
    results = folder(tmp_path, "results", OLD)
    report = results / "report"

    def files():
        return {path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()}

    build_report(results)
    before = files()
    for name in ("plots/test-full-gone.svg", "tables/test-full-gone.csv"):
        (report / name).write_text("x")
        with (report / "files.txt").open("a") as listed:
            listed.write(f"{name}\n../answer.md\ntables/../answer.md\ntables/..\nplots/.\nanswer.md\n")
    mine = {"plots/mine.svg", "plots/test-full-notes.svg", "tables/test-full-notes.md", "tables/test-full-mine.csv"}
    for name in mine:
        (report / name).write_text("mine")
    build_report(results)
    assert files() == before | mine
    plots = {name for name in before if name.startswith("plots/")}
    build_report(results, html=False)
    assert plots <= files(), "nothing was made in their place"
    build_report(results)
    assert files() == before | mine
    assert {(report / name).read_text() for name in mine} == {"mine"}


@pytest.mark.parametrize("name", ["answer.md", "report.html"])
def test_a_report_does_not_replace_a_user_s_own_file(tmp_path, name):
    results = folder(tmp_path, "results", OLD)
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / name).write_text("mine")
    with pytest.raises(UserError, match=f"paper/{name} is not known to be of an earlier report, and stays as it is"):
        build_report(results, tmp_path / "paper")
    assert [path.name for path in (tmp_path / "paper").iterdir()] == [name]
    (tmp_path / "paper" / name).unlink()
    build_report(results, tmp_path / "paper", html=False)
    (tmp_path / "paper" / "report.html").write_text("mine")
    build_report(results, tmp_path / "paper", html=False)
    with pytest.raises(UserError, match="paper/report.html is not known to be of an earlier report"):
        build_report(results, tmp_path / "paper")
    assert (tmp_path / "paper" / "report.html").read_text() == "mine"
    (tmp_path / "paper" / "report.html").unlink()
    for drawn in (True, False, True):
        build_report(results, tmp_path / "paper", html=drawn)


def test_reports_of_suites_of_nearly_one_name_stand_side_by_side(tmp_path):
    for suite in ("a-set", "a+set"):
        for seed in (0, 1):
            write(tmp_path, digits_trial(seed, suite=suite), fid=1.0)
    build_report(tmp_path, html=False)
    tables = {path.name.partition("-full")[0] for path in (tmp_path / "report" / "tables").iterdir()}
    assert {"a-set", "a+set"} <= tables
    answers = {path.stem for path in (tmp_path / "report" / "answers").iterdir()}
    assert answers == {"a-set", "a+set"}


def test_columns_are_chosen_for_latex(tmp_path):
    for suite, rates in (("one", (2e-4, 3e-4)), ("two", (2e-4,))):
        for lr in rates:
            trial = with_lr(digits_trial(), lr)
            write(tmp_path, replace(trial, config=replace(trial.config, suite=suite)), 50.0)
    build_report(tmp_path, html=False, columns=["recipe", "lr", "fid"])
    (first,) = (tmp_path / "report" / "tables").glob("one-*-settings-*.tex")
    assert "{recipe} & {lr} & {mean FID $\\downarrow$}" in first.read_text()
    build_report(tmp_path, html=False, columns=["recipe", "loss", "fid"])
    assert "{recipe} & {mean FID $\\downarrow$}" in first.read_text(), "without the loss, which is the same"
    with pytest.raises(UserError, match='no column "lrr"'):
        build_report(tmp_path, html=False, columns=["lrr"])


def test_baselines_have_a_name_whatever_columns_are_chosen(tmp_path):
    """Without the recipe nothing said which row is that of untrained generators."""
    for lr in (2e-4, 3e-4):
        write(tmp_path, with_lr(digits_trial(), lr), 50.0)
    for columns, row in (
        (["lr", "median"], "{untrained generators} & 150"),
        (["median", "lr"], "{untrained generators: 150} & "),
        (["recipe", "median"], "untrained generators & 150"),
        (None, "untrained generators & "),
    ):
        build_report(tmp_path, html=False, columns=columns)
        (tex,) = (tmp_path / "report" / "tables").glob("*-settings-*.tex")
        (line,) = [each for each in tex.read_text().splitlines() if "untrained" in each and each.endswith(r"\\")]
        assert line.startswith(row)


def test_suites_are_never_mixed_up(tmp_path):
    for suite in ("a_b", "a-b"):
        trial = digits_trial()
        write(tmp_path, replace(trial, config=replace(trial.config, suite=suite)), 50.0)
    build_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    said = sorted(path.name for path in (tmp_path / "report" / "answers").iterdir())
    assert said == ["a-b.json", "a-b.md", "a_b.json", "a_b.md"]


def test_other_measures_decide_nothing(tmp_path):
    new = folder(tmp_path, "new", (*OLD[:3], 53.1), kid=9.0)
    found = compare(folder(tmp_path, "old", OLD, kid=1.0), new)
    assert found.exit_code == 0
    assert found.tables[-1].rows["verdict"].tolist() == [SAME]
    assert found.tables[-1].note == "Paired over equal seeds; beside a ratio, means are geometric."


@pytest.mark.parametrize(("fid", "code"), [(50.9, 0), (40.0, 3), (65.0, 3), (942.5, 1), (20.0, 0)])
def test_one_seed_is_judged_where_the_change_is_gross(tmp_path, fid, code):
    """Nothing is known of the spread over seeds; a fifth passes, a factor of two is no chance."""
    assert compare(folder(tmp_path, "old", (50.0,)), folder(tmp_path, "new", (fid,))).exit_code == code


@pytest.mark.parametrize(("tolerance", "code"), [(0.2, 1), (0.5, 0)])
def test_a_tolerance_that_is_asked_for_decides(tmp_path, tolerance, code):
    sides = folder(tmp_path, "old", (50.0,)), folder(tmp_path, "new", (65.0,))
    assert compare(*sides, tolerance).exit_code == code


def of_settings(path, logs, collapsed=()):
    """Write three seeds of each setting, with logarithms of FIDs as they are given, and which ones collapsed."""
    made = {(i, seed): with_lr(digits_trial(seed), 1e-4 * (i + 1)) for i in range(len(logs)) for seed in range(3)}
    write_plan(path, "test", 1, list(made.values()), None, Design.fixed(range(3)))
    for (i, seed), trial in made.items():
        write(
            path, trial, float(np.exp(logs[i][seed])), draw_std=0.2, gain=400.0, collapsed=float((i, seed) in collapsed)
        )
    return path


def test_a_collapsed_seed_of_another_setting_hides_no_regression(tmp_path):
    """It raised the tolerance of all settings to more than a factor of two, and a doubled FID passed."""
    logs = 3.0 + 0.1 * np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1], [0, 0, 3.5 / 0.1]])
    old = of_settings(tmp_path / "old", logs, {(3, 2)})
    moved = np.array([[np.log(2)], [0.01], [0.01], [0.01]])
    found = compare(old, of_settings(tmp_path / "new", logs + moved, {(3, 2)}))
    assert found.exit_code == 1
    assert [sentence.split(": ")[1] for sentence in found.worse] == ["lr 1e-4"]
    tolerances = found.tables[-1].rows.set_index("setting")["tolerance"]
    assert max(tolerances) < 0.6, "its own neither, as the collapsed seed is not compared"


@pytest.mark.parametrize(("shift", "code"), [((0.0, 3.0, 0.0), 3), ((0.8, 3.0, 0.9), 1)])
def test_a_seed_by_itself_is_no_regression(tmp_path, shift, code):
    """One of three seeds with 20 times the FID, as of a run that nothing counts as collapsed, was "worse"."""
    logs = 4.0 + 0.1 * np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]])
    moved = logs + 0.01 + np.array([shift, (0, 0, 0), (0, 0, 0)])
    found = compare(of_settings(tmp_path / "old", logs), of_settings(tmp_path / "new", moved))
    assert found.exit_code == code
    assert all("half of the seeds changed by less than half of it" in text for text in found.unsure)


@pytest.mark.parametrize(("moved", "settings", "code"), [(0.3, 13, 0), (0.3, 2, 0), (0.6, 13, 1)])
def test_a_tolerance_is_shared_by_all_settings(tmp_path, moved, settings, code):
    """Two standard errors of each of 13 equal settings called one of them worse in 30 of 100 comparisons."""
    logs = 4.0 + 0.14 * np.array([np.roll([1, -1, 0], i) for i in range(settings)])
    shift = np.full((settings, 1), 0.001)
    shift[settings // 2] = moved
    found = compare(of_settings(tmp_path / "old", logs), of_settings(tmp_path / "new", logs + shift))
    assert found.exit_code == code, list(found.sentences())


def test_three_seeds_of_a_broken_network_are_worse(tmp_path):
    """The spread over seeds in the older folder says how much is chance."""
    sides = folder(tmp_path, "old", (50.0, 55.0, 47.0)), folder(tmp_path, "new", (140.0, 120.0, 160.0))
    (sentence,) = compare(*sides).worse
    assert sentence.endswith("FID ↓ 50.56 -> 139.0 (3 seeds, lenet-mnist-v1,train,64): decided by the test")


def test_no_better_than_untrained_always_fails(tmp_path):
    old = folder(tmp_path, "old", OLD, gain=1.0)
    new = folder(tmp_path, "new", tuple(fid + 3 for fid in OLD), gain=-1.0)
    (sentence,) = compare(old, new).worse
    assert sentence.endswith("no better than untrained generators (52.50)")


def test_a_new_collapse_always_fails(tmp_path):
    old, new = (folder(tmp_path, name, OLD, collapsed=flag) for name, flag in (("old", 0.0), ("new", 1.0)))
    (tmp_path / "same").mkdir()
    changed = folder(tmp_path, "changed", (*OLD[:3], 53.1), collapsed=1.0)
    (sentence,) = compare(old, changed).worse
    assert sentence.endswith("4 of 4 runs collapsed or diverged, 0 before")
    assert not compare(new, changed).worse


def test_conditions_that_differ_are_listed(tmp_path):
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", OLD)
    for results, commit, torch, data in ((new, "b", "9", "y"), (old, "a", "8", "x")):
        for path in results.glob("test/*/environment.json"):
            edit(path, git_commit=commit * 40, libraries={"torch": torch}, data_sha256=data)
            reseal(RecordDirectory(path.parent))
    said = compare(old, new).differences
    assert said == [
        f"git_commit: {'a' * 40} -> {'b' * 40} in 4 of 4 trials",
        "torch: 8 -> 9 in 4 of 4 trials",
        "training images of digits differ",
    ]


def test_trials_that_are_gone_are_worse(tmp_path):
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", OLD[:2])
    for side in (old, new):
        (side / "test/plan.json").unlink()
    found = compare(old, new)
    assert found.tables[0].rows["new_status"].tolist() == ["missing"] * 2
    (sentence,) = found.worse
    assert sentence.startswith("2 trials that were done are missing: mnist-mlp-z100,dataset=digits,seed=2, ")
    assert list(found.sentences())[-1] == ("", "1 regression, named first: exit code 1")
    back = compare(new, old)
    assert not back.worse
    assert back.differences[0].startswith(
        "2 trials only in the newer folder, not compared: mnist-mlp-z100,dataset=digits,"
    )


def test_a_suite_that_the_newer_folder_does_not_have_is_named_and_not_worse(tmp_path):
    """It was "worse: 10 trials that were done are missing", in a table and as a list."""
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", OLD)
    for seed in range(2):
        write(old, digits_trial(seed, suite="other"), 50.0)
    found = compare(old, new)
    assert found.exit_code == 0
    assert found.differences == ["other: the newer folder does not have this suite; 2 trials are not compared"]
    assert [table.name for table in found.tables] == ["settings"]
    (new / "other").mkdir()
    shutil.copy(old / "other" / "plan.json", new / "other")
    assert compare(old, new).tables[0].rows["new_status"].tolist() == ["not planned"] * 2, "its plan is there"
    (new / "other" / "plan.json").unlink()
    write(new, digits_trial(0, suite="other"), 50.0)
    (new / "other" / "plan.json").unlink()
    assert compare(old, new).exit_code == 1, "its plan was lost, and a trial with it"


def test_trials_that_the_newer_plan_does_not_have_are_named_and_not_worse(tmp_path):
    """A run with ``--only`` used to fail a comparison with the whole suite's."""
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", OLD[:2])
    write_plan(new, "test", 1, [digits_trial(seed) for seed in range(3)])
    found = compare(old, new)
    assert found.tables[0].rows["new_status"].tolist() == ["planned", "not planned"]
    (worse,) = found.worse
    assert worse.endswith("seed=2: done -> planned"), "it was planned and is lost"
    assert found.differences[0] == "1 trial not planned in the newer folder: mnist-mlp-z100,dataset=digits,seed=3"


def test_nothing_waits_for_trials_that_are_no_longer_planned(tmp_path):
    """They blocked verdicts for ever, and the report advised a command that had nothing to run."""
    trained = [with_lr(digits_trial(seed), lr) for seed in range(5) for lr in (1e-4, 2e-4)]
    for i, trial in enumerate(trained):
        write(tmp_path, trial, 50.0 + i % 2 * 20 + 0.1 * i)
    gone = [with_lr(digits_trial(seed), 3e-4) for seed in range(5)]
    command, design = "gan-bench run test", Design.fixed(range(5))
    write_plan(tmp_path, "test", 1, [*trained, *gone], command, design)
    ((_, before),) = build_report(tmp_path, html=False).answers
    write_plan(tmp_path, "test", 1, trained, command, design, whole=True)
    report = build_report(tmp_path, html=False)
    ((_, answer),) = report.answers
    before, after = str(before), str(answer)
    assert "5 trials left" in before
    assert "left" not in after
    assert (
        "5 trials that did not end are not among those that the suite was last run with, and nothing waits for them: "
        in after
    )
    assert after.count("nothing waits") == 1
    (trials,) = [table.rows for table in report.tables if table.kind == "trials"]
    assert sorted(trials["status"]) == ["done"] * 10 + ["no longer planned"] * 5
    assert compare(tmp_path, tmp_path).exit_code == 0
    assert [each.remarks for each in verify(tmp_path) if each.planned] == [
        ("is no longer planned and has no record",)
    ] * 5


@pytest.mark.parametrize("begun", [True, False])
def test_a_setting_that_left_the_suite_in_its_midst_is_not_waited_for(tmp_path, begun):
    """Verdicts waited for it for ever, and the report advised a command that had nothing to run."""
    first, gone, other = ([with_lr(digits_trial(seed), lr) for seed in range(5)] for lr in (2e-4, 2e-3, 1e-3))
    command, design = "gan-bench run test", Design.of_looks()
    write_plan(tmp_path, "test", 1, [*first, *gone], command, design, whole=True)
    for seed in range(5):
        write(tmp_path, first[seed], 20.0 + 0.1 * seed)
        write(tmp_path, other[seed], 40.0 + 0.1 * (seed * 3 % 5))
    for seed in range(2):
        write(tmp_path, gone[seed], 10.0 + seed)  # the best of all
    if begun:
        write(tmp_path, gone[2], 10.0, status=Status.INTERRUPTED)
        write(tmp_path, gone[3], 10.0)
        (RecordDirectory.of(tmp_path, gone[3]).path / "record.json").unlink()
    write_plan(tmp_path, "test", 1, [*first, *other], command, design, whole=True)
    report = build_report(tmp_path, html=False)
    ((_, answer),) = report.answers
    assert answer.headline.startswith("Best setting: lr 2e-4")
    assert answer.headline.endswith("It is decidedly better than the other.")
    assert answer.cautions[0].startswith("3 trials that did not end are not among those that the suite was last run")
    left = "as the suite as it was last run asks for the rest of its seeds no longer: lr 2e-3."
    assert answer.cautions[1] == f"In no comparison, {left}"
    assert not any("not judged" in each for each in answer.factors)
    assert answer.proposal is None
    (trials,) = [table.rows for table in report.tables if table.kind == "trials"]
    assert sorted(trials["status"]) == ["done"] * 12 + ["no longer planned"] * 3
    (study,) = read_studies(tmp_path)[1]
    assert all("2e-3" not in each.text for each in questions(study))
    (champion,) = champions(tmp_path)
    assert champion.path is not None
    write_plan(tmp_path, "test", 1, [*first, *other, *gone], command, design, whole=True)
    ((_, answer),) = build_report(tmp_path, html=False).answers
    assert answer.headline.startswith("Best score: lr 2e-3")
    assert answer.proposal.endswith("continues; 3 trials left.")


def test_a_setting_that_left_the_suite_after_a_look_has_its_verdict_and_no_further_look(tmp_path):
    first, gone = ([with_lr(digits_trial(seed), lr) for seed in range(5)] for lr in (2e-4, 2e-3))
    write_plan(tmp_path, "test", 1, [*first, *gone], "gan-bench run test", Design.of_looks(), whole=True)
    for seed in range(5):
        write(tmp_path, first[seed], 20.0 + seed)
        write(tmp_path, gone[seed], 21.0 + seed * 3 % 5)
    (study,) = read_studies(tmp_path)[1]
    assert {each.next for each in questions(study)} == {8}
    write_plan(tmp_path, "test", 1, first, "gan-bench run test", Design.of_looks(), whole=True)
    (study,) = read_studies(tmp_path)[1]
    assert [(each.state, each.next) for each in questions(study)] == [("undecided", None)] * 2
    ((_, answer),) = build_report(tmp_path, html=False).answers
    assert answer.proposal is None


def test_trials_of_a_dataset_that_left_the_suite_are_rows(tmp_path):
    """They were in no table and no sentence, and counted as not begun."""
    trained = [digits_trial(seed) for seed in range(3)]
    gone = [replace(digits_trial(seed, dataset="mnist"), setting="mnist-mlp-z100") for seed in range(2)]
    for trial in trained:
        write(tmp_path, trial, 50.0)
    for plan in ([*trained, *gone], trained):
        write_plan(tmp_path, "test", 1, plan, "gan-bench run test", Design.fixed(range(3)), whole=True)
    report = build_report(tmp_path, html=False)
    (trials,) = [table.rows for table in report.tables if table.kind == "trials"]
    assert sorted(trials["status"]) == ["done"] * 3 + ["no longer planned"] * 2
    assert set(trials["reason"]) == {"", "of the dataset mnist, 28x28"}
    ((_, answer),) = report.answers
    assert "2 trials that did not end are not among those that the suite was last run with" in str(answer)
    assert [each.planned for each in verify(tmp_path) if each.withdrawn] == [True] * 2
    said = CliRunner().invoke(app, ["verify", str(tmp_path)]).output
    assert "2 trials are no longer planned and never began" in said
    assert "not begun" not in said


def test_records_in_another_folder_than_their_suite_s_are_told_where_they_count(tmp_path):
    """Half of a suite lay beside it: the comparison called it worse, and the report advised to move it away."""
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", OLD)
    write_plan(new, "test", 1, [digits_trial(seed) for seed in range(len(OLD))])
    shutil.copytree(new / "test", new / "test-gpu2")
    for path in (new / "test").glob("*seed=0--*"):
        shutil.rmtree(path)
    for path in (new / "test-gpu2").glob("*--*"):
        if "seed=0" not in path.name:
            shutil.rmtree(path)
    found = compare(old, new)
    assert found.worse[0].endswith("seed=0: done -> planned"), "it counts nowhere"
    aside = f"{new / 'test-gpu2'}, with 1 record,"
    said = f"{aside} is of a suite that is read from {new / 'test'}, and counts in no table"
    assert found.differences[0] == said
    remedy = "move what is of the same run there, and all else elsewhere"
    assert build_report(new, html=False).unreadable == [f"misplaced: {said}; {remedy}"]
    other = digits_trial(7)
    write(new, replace(other, config=replace(other.config, suite="other")), 30.0)
    (lost,) = (new / "test-gpu2").glob("*--*")
    moved = lost.rename(new / "other" / lost.name)
    said = f"{moved} is of a suite that is read from {new / 'test'}, and counts in no table"
    assert build_report(new, html=False).unreadable == [f"misplaced: {said}; {remedy}"], (
        "the folder is of another suite"
    )
    assert compare(old, new).differences[0] == said
    moved.rename(new / "test" / moved.name)
    assert build_report(new, html=False).unreadable == [], "the remedy helps"
    assert compare(old, new).exit_code == 0


@pytest.fixture
def put_aside(tmp_path):
    """Two folders of the same trials, and in the newer one a record that lies beside its suite's folder."""
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", OLD)
    trials = [*(digits_trial(seed) for seed in range(len(OLD))), with_lr(digits_trial(0), 5e-4)]
    for results in (old, new):
        write(results, trials[-1], 50.0)
    write_plan(new, "test", 1, trials)
    (new / "test-old").mkdir()
    shutil.copy(new / "test" / "plan.json", new / "test-old")
    (record,) = (new / "test").glob("*lr=0.0005*")
    return old, new, record.rename(new / "test-old" / record.name), trials


def test_a_plan_that_was_put_aside_excuses_no_trial_that_is_gone(put_aside):
    """A trial was called not planned where the plan of its suite was lost, and another lay beside it."""
    old, new, record, _ = put_aside
    (new / "test" / "plan.json").unlink()
    assert compare(old, new).worse == [f"1 trial that was done is missing: {record.name.rpartition('--')[0]}"]


@pytest.mark.parametrize("status", [Status.INTERRUPTED, Status.SKIPPED, Status.FAILED])
def test_a_trial_that_is_no_longer_done_is_worse(tmp_path, status):
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", OLD[:3])
    write(new, digits_trial(3), 50.0, status=status)
    assert [row.endswith(f"done -> {status}") for row in compare(old, new).worse] == [True]


def test_trials_that_diverge_now_are_worse_where_that_is_no_chance(tmp_path):
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", OLD[:3])
    write(new, digits_trial(3), 50.0, status=Status.DIVERGED)
    found = compare(old, new)
    assert found.exit_code == 0
    assert found.differences == [f"{NAMED}: 1 of 4 runs collapsed or diverged, 0 before: may be chance"]
    assert found.tables[0].rows["new_status"].tolist() == ["diverged"]
    for seed in range(4):
        write(tmp_path / "broken", digits_trial(seed), 50.0, status=Status.DIVERGED)
    assert compare(old, tmp_path / "broken").worse == [f"{NAMED}: 4 of 4 runs collapsed or diverged, 0 before"]
    for seed in (0, 1, 2):
        write(new, digits_trial(seed), 50.0, status=Status.DIVERGED)
    write(new, digits_trial(3), OLD[3])
    found = compare(old, new)
    assert (found.exit_code, found.unsure) == (
        3,
        [f"{NAMED}: 3 of 4 runs collapsed or diverged, 0 before: may be chance"],
    )
    assert not found.differences, "it is said once"


def test_runs_that_leave_no_score_do_not_pass(tmp_path):
    """Where few seeds all diverged, nothing was measured, so that nothing was worse."""
    old, new = folder(tmp_path, "old", OLD[:2]), tmp_path / "new"
    for seed in (0, 1):
        write(new, digits_trial(seed), 50.0, status=Status.DIVERGED)
    found = compare(old, new)
    assert found.unsure == [f"{NAMED}: 2 of 2 runs collapsed or diverged, 0 before, and no seed has a score in both"]
    assert (found.exit_code, found.differences) == (3, [])


def test_a_seed_that_is_lost_on_both_sides_hides_no_regression(tmp_path):
    """A test "before all seeds of the next look have ended" was waited for, though they had: nothing was worse."""
    for name, factor in (("old", 1.0), ("new", 1.12)):
        plan = [digits_trial(seed) for seed in range(12)]
        write_plan(tmp_path / name, "test", 1, plan, None, Design.of_looks())
        for seed, trial in enumerate(plan):
            status = Status.DIVERGED if seed == 2 else Status.DONE
            write(tmp_path / name, trial, factor * (50.0 + OLD[seed % 4] / 50), status=status)
    found = compare(tmp_path / "old", tmp_path / "new")
    assert len(found.worse) == 1
    assert "(11 seeds" in found.worse[0]


def test_a_look_that_was_lost_as_a_whole_is_no_look(tmp_path):
    """It left no pair to test, and the command ended with a traceback."""
    for name, factor in (("old", 1.0), ("new", 3.0)):
        plan = [digits_trial(seed) for seed in range(7)]
        write_plan(tmp_path / name, "test", 1, plan, None, Design.of_looks())
        for seed, trial in enumerate(plan):
            lost = name == "new" and seed < 5
            write(tmp_path / name, trial, factor * (50.0 + seed), status=Status.DIVERGED if lost else Status.DONE)
    found = compare(tmp_path / "old", tmp_path / "new")
    (sentence,) = found.worse
    assert sentence.endswith("(2 seeds, lenet-mnist-v1,train,64): 5 of 7 runs collapsed or diverged, 0 before")


def test_the_noise_of_a_difference_is_no_tolerance_of_a_share(tmp_path):
    """With a score of zero, differences are compared: a noise of 3 tolerated a change by thousands of percent."""
    old, new = (
        folder(tmp_path, "old", (0.0, 300.0, 310.0), draw_std=3.0),
        folder(tmp_path, "new", (0.0, 900.0, 930.0), draw_std=3.0),
    )
    found = compare(old, new)
    assert not found.unchanged.get("within tolerance")
    assert found.worse or found.unsure


@pytest.mark.parametrize("match", ["trials", "settings"])
def test_scores_against_other_images_are_not_compared(tmp_path, match):
    new = (90.0, 91.0, 92.0, 93.0)
    old, new = folder(tmp_path, "old", OLD), folder(tmp_path, "new", new)
    before = compare(old, new, match=match)
    assert before.worse or before.settings == {"different": 1}
    for each, digest in ((old, "a"), (new, "b")):
        for path in each.glob("*/*--????????"):
            edit(path / "environment.json", data_sha256=digest)
            reseal(RecordDirectory(path))
    found = compare(old, new, match=match)
    assert (found.worse, found.exit_code == 1) == ([], False)
    if match == "trials":
        assert "the images of digits differ" in found.unsure[0]
    else:
        (table,) = found.tables
        assert table.rows["verdict"].tolist() == ["not judged"]
        assert "or other training images." in table.note, "the note named seeds alone"
        said = ("differs", "training images of digits differ, so 1 row cannot be judged")
        assert said in found.sentences(), "a hidden column said it alone"


def test_folders_without_a_common_trial_are_refused(tmp_path):
    old = folder(tmp_path, "old", OLD)
    write(tmp_path / "new", digits_trial(9), 1.0)
    with pytest.raises(UserError, match="no trial in common"):
        compare(old, tmp_path / "new", match="trials")


def test_the_newest_of_two_versions_is_compared(tmp_path):
    old = folder(tmp_path, "old", OLD[:2])
    later = [replace(each, config=replace(each.config, suite_version=2)) for each in map(digits_trial, range(2))]
    write_plan(old, "test", 2, later)
    for trial, fid in zip(later, OLD[:2], strict=True):
        write(old, trial, fid + 9)
    rows = compare(old, folder(tmp_path, "new", (20.0, 21.0))).tables[-1].rows
    assert rows["seeds"].tolist() == [2]
    assert rows["old"].tolist() == pytest.approx([geometric_mean([59.0, 61.0])])


def test_settings_that_differ_in_what_no_name_tells_are_kept_apart(tmp_path):
    for seed in range(2):
        trial = digits_trial(seed)
        other = replace(trial.config.evaluation, draws=2)
        write(tmp_path, trial, 50.0 + seed)
        write(tmp_path, replace(trial, config=replace(trial.config, evaluation=other)), 90.0 + seed)
    tables = build_report(tmp_path).tables
    (settings,) = [table.rows for table in tables if "-settings-" in table.name]
    ranked = settings[settings["rank"].notna()]
    assert ranked["fid"].tolist() == [50.5, 90.5]
    assert ranked["setting"].nunique() == 2
    page = (tmp_path / "report" / "report.html").read_text()
    links = re.findall(r'<td data-sort="[^"]*"><a href="#trial-(\w+)">', page)
    assert len(set(links)) == 4


def test_the_contents_lead_to_what_is_there_and_random_settings_are(tmp_path):
    """Their table was in no page, and a link to it was."""
    for index in range(5):
        for seed in range(2):
            trial = with_lr(digits_trial(seed), 1e-4 * (index + 1))
            write(tmp_path, replace(trial, drawn=("lr_g", "lr_d")), 50.0 + 10 * index + seed)
    build_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    ids = set(re.findall(r'id="(part-[^"]*)"', page))
    assert any(name.endswith("-tuning") for name in ids)
    assert set(re.findall(r'href="#(part-[^"]*)"', page)) <= ids


# ---------------------------------------------------------------------------------------------------- golden

GOLDEN = Path(__file__).parent.parent / "golden"


def synthetic(results):
    """Write a study of two learning rates and five seeds, with anchors and a trial that never ran."""
    generator = np.random.default_rng(0)
    trials = []
    for seed in range(5):
        base = float(generator.normal(50, 10))
        for lr, gain in ((2e-4, 0.0), (3e-4, -5.0)):
            trial = with_lr(digits_trial(seed), lr)
            trials.append(trial)
            if (seed, lr) != (4, 3e-4):
                write(results, trial, round(base + gain + float(generator.normal()), 3))
    score = {"metric": "fid", "value": 1.5, "std": None, "draw_std": 0.2, "extractor": "lenet-mnist-v1"}
    where = {"name": "fid[lenet-mnist-v1,train,64]", "split": "train", "real": 100, "generated": 64}
    scores = [{**score, **where}]
    anchor = {"dataset": "digits", "image_size": 28, "samples": 64, "pictures": 50, "what": "held", "scores": scores}
    write_plan(results, "test", 1, trials)
    write_baselines(results, "test", 1, [anchor])


@pytest.mark.draws_plots
def test_plots_of_cost_stand_with_the_table_of_cost(tmp_path):
    """They stood below the curves, as \"the same as still images\", though no curve shows them."""
    synthetic(tmp_path)
    page = build_report(tmp_path).page.read_text()
    curves, cost, after = (page.index(f'id="part-test-full-digits-{part}"') for part in ("curves", "cost", "trials"))
    assert "FID against cost" not in page[curves:cost]
    assert "FID against cost</h4>" in page[cost:after]
    assert "Losses over epochs</h4>" in page[curves:cost]


def test_tables_are_the_golden_ones(tmp_path):
    """To accept a change, look at the difference and run with GOLDEN=write: it is what users will see."""
    synthetic(tmp_path)
    build_report(tmp_path, html=False)
    made = {path.name: path.read_text() for path in (tmp_path / "report" / "tables").glob("*.md")}
    if os.environ.get("GOLDEN") == "write":
        for name, text in made.items():
            (GOLDEN / name).write_text(text)
    kept = {path.name: path.read_text() for path in GOLDEN.glob("*.md")}
    assert made == kept


def test_of_many_trials_only_the_drawn_ones_have_their_histories_read(tmp_path, monkeypatch):
    """Tables are the same, to the byte; the page draws what it would have drawn."""
    for index in range(4):
        for seed in range(3):
            trial = with_lr(digits_trial(seed), 1e-4 * (index + 1))
            write(tmp_path / "results", trial, 50.0 + 10 * index + seed)
    build_report(tmp_path / "results", tmp_path / "whole")
    read = []
    read_if_there = reader.read_if_there
    monkeypatch.setattr(reader, "read_if_there", lambda path: (read.append(path), read_if_there(path))[1])
    monkeypatch.setattr(collect, "MOST_HISTORIES", 4)
    monkeypatch.setattr(collect, "SETTINGS", 2)
    (damaged,) = (tmp_path / "results" / "test").glob("*lr=0.0004*seed=0--*")  # of a setting that is not drawn
    (damaged / "history.jsonl").write_text("no JSON\nno JSON\n")
    report = build_report(tmp_path / "results", tmp_path / "drawn")
    assert report.unreadable == []
    drawn = {path.parent.name for path in read if path.name == "history.jsonl"}
    assert len(drawn) == 4
    assert all("lr=0.0001" in name or "lr=0.0002" in name for name in drawn)
    assert len([path for path in read if path.name == "evaluations.jsonl"]) == 12 + len(drawn)
    for table in (tmp_path / "whole" / "tables").iterdir():
        assert (tmp_path / "drawn" / "tables" / table.name).read_bytes() == table.read_bytes(), table.name
    page = (tmp_path / "drawn" / "report.html").read_text()
    details = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])["trials"]
    assert sum(bool(trial["curve"]["epoch"]) for trial in details.values()) == 4
    assert "histories were read of 4 of 12 trials" in page


@pytest.mark.draws_plots
def test_plots_have_no_settings_of_the_user_s(tmp_path):
    """``text.usetex`` in a matplotlibrc ended a run with a traceback after its training."""
    for seed in range(3):
        write(tmp_path, digits_trial(seed), 50.0 + seed)
    build_report(tmp_path)
    plain = {path.name: path.read_bytes() for path in (tmp_path / "report" / "plots").glob("*.svg")}
    with mpl.rc_context({"text.usetex": True, "axes.titlesize": 40, "lines.linewidth": 9}):
        build_report(tmp_path)
        assert (mpl.rcParams["text.usetex"], mpl.rcParams["lines.linewidth"]) == (True, 9)
    assert {path.name: path.read_bytes() for path in (tmp_path / "report" / "plots").glob("*.svg")} == plain
    assert plain
