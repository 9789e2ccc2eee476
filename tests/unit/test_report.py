"""Statistics, tables and their three forms, from synthetic records."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import fields, replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from scipy import stats as scipy_stats
from support.studies import report_of, stored, studies_of, table, with_lr
from support.trials import digits_trial

from gan_bench.config.measures import COLUMNS
from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import UserError
from gan_bench.core.text import slug
from gan_bench.report.findings.factors import FACTORS
from gan_bench.report.findings.pairs import paired
from gan_bench.report.findings.tables import _targets
from gan_bench.report.study.latex import _number, left_out, to_latex
from gan_bench.report.study.stats import mean_interval
from gan_bench.report.study.table import Column, Table, cell, cells, note_of, number, table_markdown, to_csv
from gan_bench.terminal.tables import broken, print_table


@pytest.fixture
def study():
    rng = np.random.default_rng(0)
    trials = []
    for seed in range(5):
        base = float(rng.normal(50, 10))
        trials.append(stored(with_lr(digits_trial(seed), 2e-4), fid=base, early=base + 30))
        trials.append(stored(with_lr(digits_trial(seed), 3e-4), fid=base - 5 + float(rng.normal(0, 1)), early=base))
    return trials


def test_t_interval_is_scipy_s():
    values = [1.0, 2.0, 4.0, 8.0]
    interval = mean_interval(values)
    low, high = scipy_stats.t.interval(0.95, 3, loc=np.mean(values), scale=scipy_stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_t_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = [(i := mean_interval(rng.normal(3, 2, 5))).low <= 3 <= i.high for _ in range(2000)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_one_seed_has_no_interval():
    assert mean_interval([3.0]).low is None


def test_pairing_removes_what_seeds_share():
    rng = np.random.default_rng(2)
    shared = rng.normal(0, 100, 6)
    interval = paired("fid", shared, shared + 1 + rng.normal(0, 0.01, 6)).interval
    assert interval.low > 0.9
    assert interval.high < 1.1


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [[1.0]]])
def test_missing_values_are_refused(bad):
    with pytest.raises(ValueError, match="finite values"):
        mean_interval(bad)


def test_factor_table_finds_the_better_learning_rate(study):
    found = table(report_of(study).all, "factor-learning-rate").rows
    assert len(found) == 1
    row = found.iloc[0]
    assert (row["first_level"], row["second_level"], row["pairs"], row["seeds"]) == ("0.0002", "0.0003", 5, 5)
    low, high = (np.array([item.evaluations[-1]["scores"][0]["value"] for item in study[start::2]]) for start in (0, 1))
    gaps = np.log(high) - np.log(low)
    assert row["ratio"] == pytest.approx(np.exp(gaps.mean()))
    assert row["p"] == row["corrected"] == pytest.approx(scipy_stats.ttest_1samp(gaps, 0).pvalue)
    interval = scipy_stats.t.interval(0.95, 4, loc=gaps.mean(), scale=scipy_stats.sem(gaps))
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx(tuple(np.exp(interval)))
    assert row["verdict"] == "0.0003"
    assert (row["needed"], row["permutation"]) == (None, None), "five seeds: a permutation test could not decide"


@pytest.mark.parametrize(
    ("factor", "field", "levels"),
    [
        ("latent distribution", "latent", ("normal", "uniform")),
        ("initial weights", "init", ("dcgan", "default")),
        ("last batch", "last_batch", ("drop", "keep")),
        ("fake batch", "fake_batch", ("full", "real")),
        ("G step fakes", "step_fakes", ("fresh", "reuse")),
        ("passes per epoch", "dataset_repeats", (2, 10)),
        ("training images", "train_limit", (500, 60_000, None)),
    ],
)
def test_every_value_that_a_suite_sweeps_is_a_factor(factor, field, levels):
    trials = [
        stored(Trial(setting=f"{field}={level}", config=replace(digits_trial(seed).config, **{field: level})), fid=fid)
        for seed in range(5)
        for level, fid in zip(levels, (80.0 + seed, 60.0 + 2 * seed, 50.0 + 3 * seed), strict=False)
    ]
    rows = table(report_of(trials).all, f"factor-{slug(factor)}").rows
    read = ["all" if level is None else str(level) for level in levels]
    assert list(zip(rows["first_level"], rows["second_level"], strict=True)) == list(combinations(read, 2))
    assert rows["verdict"].tolist() == [second for _, second in combinations(read, 2)]


def test_what_is_no_factor_is_no_other_setting_of_a_training():
    known = {name for fields in FACTORS.values() for name in fields}
    of_the_study = {"suite", "suite_version", "recipe", "dataset", "image_size", "seed", "profile", "evaluation"}
    within_trials = {"epochs", "ema_decay"}
    assert {each.name for each in fields(TrialConfig)} - known == of_the_study | within_trials | {"log_every"}


def test_a_factor_is_never_compared_across_other_differences(study):
    other = [stored(with_lr(digits_trial(s, batch_size=64), 3e-4), fid=1.0) for s in range(5)]
    alone = [s for s in study if s.trial["config"]["lr_g"] == 2e-4]
    assert not [t for t in report_of(alone + other).all if "factor-learning" in t.name]


def test_each_network_is_compared_with_its_own_start():
    """A setting that got worse than it began was "of use", and one that improved "no better than untrained"."""
    items = []
    for architecture, start, end in (("mlp", 100.0, 150.0), ("dcgan28", 400.0, 350.0)):
        for seed in range(5):
            item = stored(digits_trial(seed, architecture=architecture), fid=end + seed)
            item.evaluations[0]["scores"][0]["value"] = start
            items.append(item)
    report = report_of(items)
    rows = table(report.all, "settings").rows
    assert rows["remarks"].iloc[:2].tolist() == ["no better than untrained", ""]
    assert rows["setting"].iloc[2:].tolist() == [f"untrained generators: architecture {n}" for n in ("mlp", "dcgan28")]
    assert rows["fid"].iloc[2:].tolist() == [100.0, 400.0]


@pytest.mark.parametrize("seeds", [2, 3])
def test_of_two_seeds_no_interval_is_called_one_of_95_per_cent(seeds):
    """The two scores themselves stood under "95 % intervals over seeds"."""
    report = report_of([stored(digits_trial(seed), fid=50.0 + seed, early=80.0) for seed in range(seeds)])
    notes = {each.kind: note_of(each, [*range(len(each.columns))]) for each in report.all}
    for kind in ("settings", "epochs"):
        assert ("; of two seeds from the lower to the higher." in notes[kind]) == (seeds == 2)


def test_settings_are_ranked_with_noise_last(study):
    rows = table(report_of(study).all, "settings").rows
    assert rows["rank"].tolist()[:2] == [1, 2]
    assert rows["fid"].iloc[0] < rows["fid"].iloc[1]
    assert rows["setting"].iloc[-1] == "untrained generators"
    assert rows["baseline"].tolist()[-1:] == [True]
    assert rows["baseline"].iloc[:2].isna().all()
    assert rows["fid"].iloc[-1] == 300.0


def test_epoch_table_compares_within_trials(study):
    rows = table(report_of(study).all, "digits-epochs").rows
    assert (rows["epoch_1"] > rows["epoch_2"]).all()


def test_failures_are_rows_and_never_ranked(study):
    failed = stored(digits_trial(9), status="failed", reason="out of memory")
    planned = replace(stored(digits_trial(8)), environment={}, record=None)
    tables = report_of([*study, failed, planned]).all
    rows = table(tables, "trials").rows.set_index("seed")
    assert rows.loc[9, "status"] == "failed"
    assert rows.loc[9, "reason"] == "out of memory"
    assert rows.loc[8, "status"] == "planned"
    ranked = table(tables, "settings").rows
    assert ranked[ranked["done"] == 0]["rank"].isna().all()


def test_protocols_and_profiles_are_never_ranked_together(study):
    other = stored(with_lr(digits_trial(1), 4e-4), fid=1.0, samples=50)
    quick_trial = with_lr(digits_trial(1), 5e-4)
    quick = stored(replace(quick_trial, config=replace(quick_trial.config, profile="quick")), fid=1.0)
    tables = [t for t in report_of([*study, other, quick]).all if "-settings-" in t.name]
    assert len(tables) == 3
    for found in tables:
        ranked = found.rows[found.rows["rank"].notna()]
        assert len(ranked) in (1, 2)
    assert any("QUICK" in t.title for t in tables)


def test_equal_names_with_other_cuts_are_told_apart(study):
    shorter = digits_trial(1)
    shorter = with_lr(replace(shorter, config=replace(shorter.config, train_limit=200)), 2e-4)
    labels = table(report_of([*study, stored(shorter, fid=3.0)]).all, "settings").rows["setting"].tolist()
    assert "lr 2e-4 · images 200" in labels
    assert "lr 2e-4 · images 300" in labels
    assert len(set(labels)) == len(labels)


def test_no_records_no_tables():
    assert not list(report_of([]).all)


HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "a|b",
    "@x",
    "-1+2",
    "x" * 200,
    "\u202ertl",
    "a\nb",
    "%_&#",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_harmless(name):
    trial = replace(digits_trial(), setting=name)
    tables = report_of([stored(trial, fid=3.0, reason=name)]).all
    for each in tables:
        text = table_markdown(each)
        assert "<script" not in text
        body = [line for line in text.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in body}) == 1, "a name broke out of its cell"
        for row in csv.reader(io.StringIO(to_csv(each))):
            assert not any(field[:1] in "=@\t\r" and field for field in row)
            assert not any(field[:1] in "+-" and not _is_number(field) for field in row if field)
        console = Console(file=io.StringIO(), width=100)
        print_table(replace(each, title=f"{each.title} {name}\x1b[31m"), console)
        assert all(line.isprintable() for line in console.file.getvalue().split("\n")), "it commands the terminal"


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("width", [50, 60, 80, 100, 200])
def test_a_terminal_of_any_width_shows_whole_numbers(study, width):
    for each in report_of(study).all:
        console = Console(file=io.StringIO(), width=width)
        print_table(each, console)
        lines = [line for line in console.file.getvalue().splitlines() if line[:1] == "│"]
        assert all(len(line) <= width for line in lines)
        shown = {part.strip() for line in lines for part in line.split("│")}
        texts = {text for row in cells(each) for text in row}
        whole = texts | {word for text in texts for word in text.replace(",", ", ").split()}
        assert {text for text in shown if text[-1:].isdigit() and text.replace(".", "").isdigit()} <= whole
        assert width < 200 or {text for text in texts if text.replace(".", "").isdigit()} <= shown


@pytest.mark.parametrize("width", [80, 180])
def test_the_first_screen_is_what_tells_settings_apart(study, width):
    """FID, seeds and what differs; a terminal of 180 columns once showed 18, several empty or all the same."""
    found = table(report_of(study).all, "settings")
    console = Console(file=io.StringIO(), width=width)
    print_table(found, console, details=False)
    said = console.file.getvalue()
    head = next(line for line in said.splitlines() if line[:1] == "┃")
    assert [part.strip() for part in head.strip("┃").split("┃")] == ["#", "lr", "seeds", "FID ↓", "remarks"]
    assert "untrained generators" in said, "in the remarks, as there is no recipe to name it"
    below = said.partition("└")[2].splitlines()[1:]
    assert len([line for line in below if line]) <= 2, "a screen of notes once stood between the table and the answer"
    assert "lenet-mnist-v1, 100 images against the train split:" in " ".join(" ".join(below).split())
    assert "not comparable with papers. --tables all adds" in " ".join(below).replace("  ", " ")
    console = Console(file=io.StringIO(), width=width)
    print_table(found, console)
    assert "train s" in console.file.getvalue()


def test_the_note_on_hidden_details_names_a_command_that_shows_them(study):
    """`gan-bench try` has no option --tables, and Python has none."""
    console, command = Console(file=io.StringIO(), width=80), "`gan-bench report 'my results' --tables all`"
    print_table(table(report_of(study).all, "settings"), console, details=False, adding=command)
    assert re.search(rf"^(.* )?{command} adds up to \d+ columns\.$", console.file.getvalue(), re.M), "one line"


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 140])
def test_fid_and_remarks_stay_whatever_the_width(width):
    """Networks with rates of their own, collapses, many values: what tells how good a setting is goes last."""
    items = []
    for i, (g, d) in enumerate(((2e-4, 2e-4), (3e-4, 2e-4), (3e-4, 3e-4))):
        for beta in (0.5, 0.9):
            for seed in range(5):
                trial = digits_trial(seed, lr_g=g, lr_d=d, betas_g=(beta, 0.999), betas_d=(beta, 0.999))
                items.append(stored(trial, fid=50.0 + 10 * i + seed, early=400.0 if i else 300.0))
    found = table(report_of(items).all, "settings")
    console = Console(file=io.StringIO(), width=width)
    print_table(found, console, details=False)
    said = console.file.getvalue()
    assert max(map(cell_len, said.splitlines())) <= width
    head = next((line for line in said.splitlines() if line[:1] == "┃"), None)
    titles = [part.strip() for part in head.strip("┃").split("┃")] if head else []
    assert not head or {"#", "FID ↓", "remarks", "lr", "β₁"} <= set(titles)
    assert "3e-4/2e-4" in said, "a row without its setting says nothing"
    assert "untrained generators" in " ".join(said.replace("│", " ").split())
    assert "(50 to 54)" in said


def test_a_narrow_terminal_keeps_the_verdict(study):
    console = Console(file=io.StringIO(), width=72)
    print_table(table(report_of(study).all, "factor-learning-rate"), console)
    said = console.file.getvalue()
    assert "better" in said
    assert "mean at A" in said.split("Hidden columns (narrow terminal; all are in the files):")[1]
    assert "effect:" not in said, "what is not shown needs no words"
    assert "score" in said.split("Hidden columns")[0], "rows that cannot be told apart say nothing"


def test_notes_explain_the_columns_that_are_there(study):
    """The cost table explained the energy where no GPU reports its power, and targets that a terminal left out."""
    cost = table(report_of(study).all, "cost")
    console = Console(file=io.StringIO(), width=60)
    print_table(replace(cost, columns=cost.columns[:6]), console)
    assert "Medians over finished seeds" in console.file.getvalue()
    assert not re.search(r"Near:|Peak\s+memory|Energy", console.file.getvalue())
    whole = table_markdown(cost)
    assert whole.count("Near: 1.25 times the best FID") == 1, "once for the columns that share it"
    assert "Energy" not in whole
    powered = replace(cost, rows=cost.rows.assign(kilojoules=2.0))
    assert "Energy where the GPU reports its power." in table_markdown(powered)


@pytest.fixture
def printed(study):
    """Prints a table of the study; gives the titles of its columns, its rows, and what stands below."""

    def show(kind, width, **columns):
        console, found = Console(file=io.StringIO(), width=width), table(report_of(study).all, kind)
        print_table(replace(found, rows=found.rows.assign(**columns)), console)
        lines = console.file.getvalue().splitlines()
        head, body = ([line.split(mark)[1:-1] for line in lines if line[:1] == mark] for mark in "┃│")
        titles, texts = (
            [" ".join(" ".join(words).split()) for words in zip(*each, strict=True)] for each in (head, body)
        )
        return titles, texts, " ".join(" ".join(lines).partition("┘")[2].split())

    return show


def test_trials_show_scores_before_losses_and_what_tells_them_apart(printed):
    """Losses stood there and scores did not, under names of three lines that were equal but for one."""
    differing = {name: np.linspace(0.1, 0.9, 10) for name in ("loss_d", "loss_g", "d_real", "d_fake")}
    titles, texts, _ = printed("trials", 60, **differing)
    assert "FID ↓" in titles
    assert "D(fake)" not in titles
    names = texts[0].replace(" ", "")
    assert names.startswith("mnist-mlp-z100,lr=0.0002,seed=0mnist-mlp-z100,lr=0.0002,seed=1"), "without dataset=digits"


def test_settings_hide_what_is_equal_before_scores(printed):
    """Recipe and epochs, the same in all rows but the baselines, hid mean FID and KID."""
    titles, texts, below = printed("settings", 80)
    assert "mean FID ↓" in titles
    assert not {"recipe", "epochs"} & set(titles)
    assert "In all settings: recipe mnist-mlp-z100, epochs 2" in below
    assert texts[titles.index("remarks")] == "untrained generators"


def test_a_narrow_terminal_says_below_what_is_equal_in_all_rows():
    rows = pd.DataFrame(
        {"name": ["first one", "second one"], "same": "a constant", "long": ["c" * 30, "d" * 30], "mean": [1.5, 2.5]}
    )
    columns = (
        Column("name", "name", vital=True),
        Column("same", "suite"),
        Column("long", "words"),
        Column("mean", "mean", "number", vital=True),
    )
    console = Console(file=io.StringIO(), width=30)
    print_table(Table("x", "x", columns, rows), console)
    table, below = " ".join(console.file.getvalue().split()).split("In all rows:")
    assert "1.500" in table, "what differs is worth more than what does not"
    assert below.startswith(" suite a constant.")
    assert "words" in below.split("Hidden columns")[1]


def test_a_long_table_keeps_the_rows_that_are_no_settings():
    rows = pd.DataFrame({"name": [f"s{i}" for i in range(150)] + ["untrained"], "baseline": [False] * 150 + [True]})
    rows["mean"] = range(151)
    console = Console(file=io.StringIO(), width=60)
    print_table(Table("x", "x", (Column("name", "name"), Column("mean", "mean", "number")), rows), console)
    said = console.file.getvalue()
    assert "untrained" in said
    assert ("s98" in said, "s99" in said) == (True, False)
    assert "The first 100 of 151 rows" in said


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=60), st.integers(2, 30))
def test_broken_lines_fit_and_lose_nothing(text, width):
    lines = broken(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_an_interval_is_never_hidden_by_a_whole_mean():
    column = Column("x", "x", "interval")
    for mean, half, said in ((10.0, 0.4, "10 ± 0.4000"), (0.0, 0.3, "0 ± 0.3000"), (1.0000013, 4e-6, "1.000 ± 0.000")):
        assert cell({"x": mean, "x_low": mean - half, "x_high": mean + half}, column) == said


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_written_all_the_same(value):
    """The live line shows losses before anybody judges them."""
    assert number(value) == f"{value}"


def test_csv_has_all_digits(study):
    found = table(report_of(study).all, "settings")
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert float(rows[0]["fid"]) == found.rows["fid"].iloc[0]
    assert rows[0]["fid_n"] == "5"


def test_interval_is_written_for_people(study):
    found = table(report_of(study).all, "settings")
    titles = [column.title for column in found.columns]
    assert "±" in cells(found)[0][titles.index("mean FID ↓")]
    assert re.fullmatch(r"[\d.]+ \([\d.]+ to [\d.]+\)", cells(found)[0][titles.index("FID ↓")])


@given(st.floats(-1e300, 1e300))
def test_numbers_keep_four_digits(value):
    assert float(number(value)) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "written"),
    [(9999.4, "9999"), (9999.96, "10000"), (10050.5, "10050"), (-123456.7, "-123457"), (999999.7, "1000000")],
)
def test_large_scores_have_no_exponents(value, written):
    """Those of collapsed settings stood as 1.005e+04 beside 20000."""
    assert number(value) == written


def test_a_target_that_untrained_generators_reach_leaves_its_column_empty():
    (scored,) = studies_of([stored(digits_trial(seed), fid=180.0 + seed) for seed in range(3)])[0].scored
    assert _targets(scored) == {"mnist-mlp-z100": pytest.approx(1.25 * 181)}
    (scored,) = studies_of([stored(digits_trial(seed), fid=250.0 + seed) for seed in range(3)])[0].scored
    assert _targets(scored) == {}, "of untrained generators it is 300"


def test_suites_whose_names_differ_have_files_of_their_own():
    """Two hyphens became one: the report of one suite was written over that of another."""
    assert slug("a--b", "full") != slug("a-b", "full")
    assert slug("mnist", "learning rate · β₁ / β₂") == "mnist-learning-rate-beta1-beta2"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0502, "0.0502"),
        (0.0498, "0.0498"),
        (0.05, "0.0500"),
        (0.0506, "0.051"),
        (0.0494, "0.049"),
        (0.0004, "< 0.001"),
    ],
)
def test_a_p_value_is_written_on_its_side_of_five_percent(p, text):
    assert cell({"p": p}, Column("p", "p", "p")) == text


@pytest.mark.parametrize(
    ("mean", "half", "written"),
    [
        (0.125, 0.0, "0.1250 +- 0.0000"),
        (2.106, 0.0, "2.106 +- 0.000"),
        (12.0, 0.0, "12 +- 0"),
        (-2.027e-08, 3.245e-08, r"{{-}2.027e{-}08 $\pm$ 3.245e{-}08}"),
        (40.96, 4.5, "41.0 +- 4.5"),
        (-0.0004, 0.05, "0.000 +- 0.050"),
    ],
)
def test_latex_says_the_number_where_seeds_agree_or_are_tiny(mean, half, written):
    """0.125 of seeds that agree was 0.1, and of a tiny mean the interval was left out."""
    row = {"value": mean, "value_low": mean - half, "value_high": mean + half, "value_n": 5}
    assert _number(row, Column("value", "value", "interval")) == written


def test_a_caption_explains_what_the_chosen_columns_show(study):
    """Of means alone it explained brackets, bold and daggers, none of which the table had."""
    found = table(report_of(study).all, "settings")
    marks, brackets, halves = "Best in bold", "In brackets: the lowest", r"$\pm$ is the half"
    whole, means = to_latex(found, ["lr", "median", "fid"]), to_latex(found, ["lr", "fid"])
    assert all(text in whole for text in (marks, brackets, halves, r"\textbf{"))
    assert halves in means
    assert not any(text in means for text in (marks, brackets, r"\textbf{"))
    assert halves not in to_latex(found, ["lr", "median"])


@pytest.mark.parametrize("width", [50, 60, 70])
def test_a_narrow_terminal_keeps_what_answers_a_tables_question(width):
    """Score, A and B were left of a factor, and neither ratio nor verdict; the last epoch went before the first."""
    items = []
    for seed in range(5):
        for lr in (1e-4, 3e-4, 1e-3):
            items.append(stored(with_lr(digits_trial(seed), lr), fid=5e4 * lr + seed, early=90.0 + seed))
            score = {"metric": "collapsed", "name": "collapsed[lenet-mnist-v1,train,100]", "value": 0.0}
            items[-1].evaluations[-1]["scores"].append(score)
    tables = report_of(items).all
    for part, titles in {
        "factor-learning": ("A", "B", "better"),
        "factor-epochs": ("A", "B", "better"),
        "health": ("setting", "collapsed"),
        "full-digits-epochs": ("setting", "epoch 2"),
        "best": ("setting", "gap"),
        "cost": ("setting", "train s"),
    }.items():
        console = Console(file=io.StringIO(), width=width)
        print_table(table(tables, part), console)
        head = console.file.getvalue().partition("┡")[0]
        words = {word for line in head.splitlines()[1:] for word in line.replace("┃", " ").split()}
        assert {word for title in titles for word in title.split()} <= words, f"{part}: {head}"


def test_columns_are_asked_for_by_either_name_and_what_a_ranking_lacks_is_said():
    """`--columns loss` wrote a table without columns and no word of it, and `value_lr` of the CSV was refused."""
    one = report_of([stored(digits_trial(seed), fid=50.0 + seed) for seed in range(3)]).all
    two = report_of(
        [stored(with_lr(digits_trial(seed), lr), fid=50.0 + seed) for seed in range(3) for lr in (2e-4, 3e-4)]
    )
    assert to_latex(table(two.all, "settings"), ["value_lr", "lr"]) == to_latex(table(two.all, "settings"), ["lr"])
    assert left_out(two.all, ["recipe", "value_lr", "median"]) == []
    (said,) = left_out(one, ["recipe", "lr", "loss"])
    assert said == "test, digits: settings (full profile): LaTeX without lr, loss: the table has no such column"
    both = [*one, *two.all]
    assert left_out(both, ["lr"]) == [f"{table(one, 'settings').title}: LaTeX with its usual columns, as it has no lr"]
    assert to_latex(table(one, "settings"), ["lr"]) == to_latex(table(one, "settings"))
    for wanted, tables in ((["lr"], one), (["loss"], two.all), (["value_loss", "beta1"], two.all)):
        with pytest.raises(
            UserError, match=rf"settings \(full profile\): no column {', '.join(wanted)}; there are rank"
        ):
            left_out(tables, wanted)
    with pytest.raises(UserError, match='no column "value_lrx"; there are rank, recipe, lr'):
        left_out(two.all, ["recipe", "value_lrx"])


def test_no_measure_can_be_called_like_what_marks_a_ranking():
    """Its scores were overwritten by it."""
    assert "rank_status" in COLUMNS


def test_a_recipe_s_target_is_near_the_median_by_which_it_is_ranked():
    """A collapsed seed made "near" 97 where the best FID was 10."""
    items = [stored(digits_trial(seed), fid=fid) for seed, fid in enumerate((10.0, 10.2, 10.1, 200.0, 10.4))]
    (scored,) = studies_of(items)[0].scored
    assert _targets(scored) == {"mnist-mlp-z100": pytest.approx(1.25 * 10.2)}


def test_a_table_that_is_printed_is_written_as_it_was():
    """Printing names baselines in the remarks and shortens names of trials; files have the whole names."""
    columns = (Column("name", "trial", "text"), Column("fid", "FID", "number"))
    rows = pd.DataFrame([{"name": f"mnist-mlp-z100,lr=1e-4,seed={seed}", "fid": 1.0 + seed} for seed in range(2)])
    table = Table("t", "trials", columns, rows, kind="trials")
    before = table_markdown(table)
    print_table(table, Console(file=io.StringIO(), width=100))
    assert table_markdown(table) == before
