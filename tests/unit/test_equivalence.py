"""The same settings trained twice: intervals against SciPy's own test, margins, and what counts as the same setting."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.commands import gan_bench
from support.studies import stored, with_lr, write
from support.trials import digits_trial

from gan_bench.core.errors import UserError
from gan_bench.report.compare.comparison import compare
from gan_bench.report.compare.equivalence import equivalence_table, same_settings
from gan_bench.report.compare.welch import judged_together, welch
from gan_bench.terminal.console import PlainConsole
from gan_bench.terminal.tables import print_table

FIRST = (3.9, 4.4, 4.1, 4.6, 4.0)


def judged(first, second, margin=0.1, rows=1):
    """The judgement of a table of so many equal comparisons."""
    return judged_together([welch(first, second, margin)] * rows)[0][0]


@pytest.mark.parametrize("size", [3, 4, 9])
def test_the_interval_is_scipy_s(size):
    second = np.random.default_rng(size).normal(4.3, 0.5, size)
    made = welch(FIRST, second, 0.1)
    found = stats.ttest_ind(second, FIRST, equal_var=False)
    interval = found.confidence_interval(0.95)
    expected = (second.mean() - np.mean(FIRST), interval.low, interval.high)
    assert (made.difference, made.low, made.high) == pytest.approx(expected)
    assert made.p == pytest.approx(max(found.pvalue, 2 / 4 ** min(size, 5)))


@pytest.mark.parametrize("margin", [0.02, 0.1, 0.3, 0.6, 2.0])
@pytest.mark.parametrize("shift", [-0.5, -0.1, 0.0, 0.2, 1.0])
@pytest.mark.parametrize("rows", [1, 3])
def test_equivalence_is_two_one_sided_tests(margin, shift, rows):
    second = np.array(FIRST[::-1]) + shift + np.array([0.1, -0.1, 0.05, 0.0, -0.05])
    lower = stats.ttest_ind(second + margin, FIRST, equal_var=False, alternative="greater").pvalue
    upper = stats.ttest_ind(second - margin, FIRST, equal_var=False, alternative="less").pvalue
    both = max(lower, upper) <= 0.05 / rows
    different = stats.ttest_ind(second, FIRST, equal_var=False).pvalue < 0.05 / rows
    expected = "equivalent" if both else "different" if different else "undecided"
    assert judged(FIRST, second, margin, rows) == expected


@pytest.mark.parametrize(("values", "verdict"), [([1.0, 1.0], "not judged"), ([1.0] * 3, "equivalent")])
def test_two_seeds_without_spread_are_not_judged_either(values, verdict):
    assert judged(values, values) == verdict
    assert judged(values, [2 * value for value in values]) == ("different" if len(values) > 2 else verdict)


def test_order_of_values_and_of_sides_changes_nothing():
    second = (4.0, 4.9, 4.2)
    forward, backward = welch(FIRST, second, 0.1), welch(second, FIRST, 0.1)
    assert (forward.difference, forward.low, forward.high) == pytest.approx(
        (-backward.difference, -backward.high, -backward.low)
    )
    again = welch(FIRST[::-1], second[::-1], 0.1)
    assert (again.difference, again.p) == pytest.approx((forward.difference, forward.p))
    assert (forward.p, forward.p_equivalent) == pytest.approx((backward.p, backward.p_equivalent))


def test_two_seeds_of_a_side_are_not_judged_and_are_no_test():
    assert judged(FIRST, (9.0, 9.1)) == "not judged"
    clear, few = welch((4.0, 4.1, 4.2), (9.0, 9.1, 9.2), 0.1), welch(FIRST, (9.0, 9.1), 0.1)
    assert [verdict for verdict, _ in judged_together([clear, few, few])] == ["different", "not judged", "not judged"]


@pytest.mark.parametrize(("value", "verdict"), [(4.0, "equivalent"), (4.05, "equivalent"), (4.2, "different")])
def test_values_without_spread_are_judged_by_the_margin_alone(value, verdict):
    assert judged((4.0,) * 3, (value,) * 3) == verdict
    assert judged((4.0,) * 3, (value,) * 3, rows=2) == "undecided", "three seeds do not suffice for two rows"


def test_equal_settings_are_rarely_different_however_many_there_are():
    """Of 13 equal settings over five seeds some were "different" in 42 of 100 comparisons."""
    generator, tables = np.random.default_rng(15), 200
    wrong = sum(
        any(verdict == "different" for verdict, _ in judged_together(
            [welch(*generator.normal(0, 0.1, (2, 5)), 0.1) for _ in range(13)]
        )) for _ in range(tables)
    )  # fmt: skip
    assert wrong <= stats.binom.ppf(0.999, tables, 0.05)


def side(fids, *, device="cpu", early=None, **changes):
    items = []
    for seed, fid in enumerate(fids):
        made = stored(replace(digits_trial(seed), config=replace(digits_trial(seed).config, **changes)), fid=fid)
        if early is not None:
            made.evaluations[1:1] = stored(digits_trial(seed), fid=early + seed).evaluations[1:]
        made.environment["device"] = device
        items.append(made)
    return items


def test_suites_versions_and_devices_are_no_part_of_a_setting():
    old = side((50.0, 51.0, 52.0), suite="one")
    new = side((50.5, 51.5, 51.0), suite="two", suite_version=7, device="cuda")
    (row,) = same_settings(old, new)
    assert row["differs"] == "suite: one / two; device: cpu / cuda"
    ratio = math.exp(np.log([50.5, 51.5, 51.0]).mean() - np.log([50.0, 51.0, 52.0]).mean())
    assert row["ratio"] == pytest.approx(ratio)
    assert row["verdict"] == "equivalent"


FIDS = (50.0, 51.0, 52.0, 50.5, 51.5)


def lost(trials, *seeds):
    for trial in trials:
        if trial.trial["config"]["seed"] in seeds:
            trial.record.update(status="diverged", reason="loss_d is not finite at step 3")
    return trials


def test_a_setting_that_lost_seeds_is_not_judged_by_those_that_are_left():
    """Three of six that survived were "equivalent", and nothing said that the others had diverged."""
    old = side((50.0, 51.0, 52.0, 50.5, 51.5, 50.2))
    (row,) = same_settings(old, lost(side((50.0, 51.0, 52.0, 50.5, 51.5, 50.2)), 0, 2, 4))
    assert (row["verdict"], row["ratio"]) == ("not judged", None)
    assert (row["old_n"], row["old_lost"], row["new_n"], row["new_lost"]) == (6, 0, 3, 3)
    titles = [column.title for column in equivalence_table([row]).columns]
    assert [each for each in titles if "lost" in each] == ["new lost"], "of the side that lost some"


@pytest.mark.parametrize("fields", [(), ("recipe", "lr")])
def test_a_setting_all_of_whose_seeds_one_side_lost_has_a_row(fields):
    whole, none = side((50.0, 51.0, 52.0)), lost(side((50.0, 51.0, 52.0), device="cuda"), 0, 1, 2)
    for old, new in ((whole, none), (none, whole)):
        (row,) = same_settings(old, new, fields=fields)
        assert row["verdict"] == "not judged"
        assert {row["old_lost"], row["new_lost"]} == {0, 3}
        assert [row["old"], row["new"]].count(None) == 1
        assert row["epochs"] == digits_trial(0).config.epochs
        assert "device: " in row["differs"]
    assert same_settings(none, none) == []


def test_a_seed_that_was_lost_in_the_longer_training_alone_is_lost_there():
    """Three survivors of five were "equivalent", as all five had ended a shorter training."""
    old, new = ([*side(FIDS), *side(FIDS, epochs=3)], [*side(FIDS), *lost(side(FIDS, epochs=3), 1, 3)])
    (row,) = same_settings(old, new)
    assert (row["epochs"], row["new_n"], row["new_lost"], row["verdict"]) == (3, 3, 2, "not judged")


def test_a_longer_training_of_few_seeds_hides_no_comparison_of_all():
    longer = side(FIDS[:1], epochs=3)
    (row,) = same_settings([*side(FIDS), *longer], [*side([1.5 * fid for fid in FIDS]), *longer])
    assert (row["epochs"], row["old_n"], row["new_n"], row["verdict"]) == (2, 5, 5, "different")


def unscored(trials, *seeds):
    for trial in trials:
        if trial.trial["config"]["seed"] in seeds:
            trial.evaluations[-1]["scores"][0]["value"] = None
    return trials


def test_seeds_that_finished_and_cannot_be_scored_are_lost_too():
    """Four of eight whose last scores were null were forgotten: "1 equivalent", and no column of lost ones."""
    fids = (50.0, 51.0, 52.0, 50.5, 51.5, 50.2, 50.8, 51.2)
    (row,) = same_settings(side(fids), unscored(side(fids), 0, 2, 4, 6))
    assert (row["verdict"], row["ratio"], row["epochs"]) == ("not judged", None, 2)
    assert (row["old_n"], row["old_lost"], row["new_n"], row["new_lost"]) == (8, 0, 4, 4)


def test_a_setting_none_of_whose_seeds_can_be_scored_has_a_row():
    fids = (50.0, 51.0, 52.0)
    (row,) = same_settings(side(fids), unscored(side(fids), 0, 1, 2))
    assert (row["old"], row["new"], row["old_lost"], row["new_lost"]) == (pytest.approx(stats.gmean(fids)), None, 0, 3)


def test_a_seed_that_cannot_be_scored_where_the_shorter_training_ends_is_lost_there():
    longer = side((40.0, 41.0, 42.0), epochs=9)
    for item, fid in zip(longer, (50.0, None, 52.0), strict=True):
        score = {**item.evaluations[-1]["scores"][0], "value": fid}
        item.evaluations.insert(-1, {"epoch": 2, "scores": [score]})
    (row,) = same_settings(side((50.0, 51.0, 52.0)), longer)
    assert (row["epochs"], row["new_n"], row["new_lost"], row["verdict"]) == (2, 2, 1, "not judged")


@pytest.mark.parametrize("how", [lost, unscored])
def test_a_seed_that_one_suite_lost_speaks_against_that_suite_alone(how):
    both = [*side((50.0, 51.0, 52.0)), *how(side((50.0, 51.0, 52.0), suite="other"), 1)]
    alone, beside = same_settings(side((50.0, 51.0, 52.0), suite="old"), both)
    assert [(row["studies"], row["new_lost"]) for row in (alone, beside)] == [("old / other", 1), ("old / test", 0)]
    assert (alone["verdict"], beside["verdict"]) == ("not judged", "equivalent")


def test_no_mean_is_over_two_suites():
    """Scores of 100 and of 200 were taken seed by seed from either, whichever name's hash came last."""
    old = side((100.0,) * 3, suite="old")
    both = [*side((100.0,) * 3, suite="a"), *side((200.0,) * 3, suite="b")]
    for ways, studies in (
        ((old, both), ["old / a", "old / b"]),
        ((both, both), ["a / a", "b / b"]),
        ((both, [*both, *old]), ["a / a", "a / old", "b / b", "b / old"]),
    ):
        rows = same_settings(*ways)
        assert [row["studies"] for row in rows] == studies
        assert {round(row[which], 9) for row in rows for which in ("old", "new")} <= {100, 200}
        assert "suites (old / new)" in [column.title for column in equivalence_table(rows).columns]


def of_suites(results, *fids):
    for suite, fid in zip("ab", fids, strict=False):
        for seed in range(5):
            trial = digits_trial(seed)
            write(results, replace(trial, config=replace(trial.config, suite=suite)), fid + seed)
    return results


def collapsing(fids, *seeds):
    made = side(fids)
    for item in made:
        value = float(item.trial["config"]["seed"] in seeds)
        item.evaluations[-1]["scores"].append(
            {"metric": "collapsed", "name": "collapsed[lenet-mnist-v1,train,100]", "value": value}
        )
    return made


def test_where_a_run_collapsed_nothing_is_equivalent():
    """One that collapses in a fifth of its runs was "equivalent" to one that never does."""
    fids = (50.0, 51.0, 52.0, 50.5, 51.5)
    (row,) = same_settings(collapsing(fids), collapsing(fids))
    assert (row["verdict"], row["old_collapsed"]) == ("equivalent", 0)
    table = equivalence_table([row])
    assert table.note.endswith(" Of equivalent ones collapses in up to 45% of runs are possible though none was seen.")
    assert not any("collapsed" in column.title for column in table.columns)
    (row,) = same_settings(collapsing(fids), collapsing(fids, 2))
    assert (row["verdict"], row["old_collapsed"], row["new_collapsed"]) == ("undecided", 0, 1)
    table = equivalence_table([row])
    assert "possible though none" not in table.note
    assert [column.title for column in table.columns if "collapsed" in column.title] == ["new collapsed"]
    assert same_settings(side(fids), collapsing(fids, 2))[0]["old_collapsed"] is None, "it was not counted"
    (row,) = same_settings(collapsing(fids), collapsing([2 * fid for fid in fids], 2))
    assert (row["verdict"], row["corrected"] < 0.05) == ("different", True)


def test_settings_are_counted_and_not_their_comparisons(tmp_path):
    """One setting in two suites of either folder was "2 settings in common"."""
    old, new = of_suites(tmp_path / "old", 60.0, 61.0), of_suites(tmp_path / "new", 60.2, 61.2)
    found = compare(old, new, match="settings")
    assert found.settings == {"equivalent": 2}
    assert repr(found) == "1 setting in common, in 2 comparisons: 2 equivalent"
    assert found.to_json()["in_common"] == 1
    alone = of_suites(tmp_path / "alone", 60.0)
    assert repr(compare(alone, alone, match="recipe,lr")) == "1 setting in common: 1 equivalent"


def of_data(fid, name, count=5, **changes):
    """Trials of a data set that are scored under an extractor of its own."""
    made = side((fid,) * count, dataset=name, **changes)
    for score in (score for each in made for line in each.evaluations for score in line["scores"]):
        score["name"] = f"fid[lenet-{name}-v1,train,100]"
    return made


def test_each_data_set_has_a_number_of_its_own():
    """Where fields were named, two data sets were one setting."""
    old, new = (
        [*of_data(fid, "digits", suite=suite), *of_data(fid, "fashion", suite=suite)]
        for fid, suite in ((100.0, "old"), (200.0, "new"))
    )
    for fields in ((), ("lr",)):
        rows = same_settings(old, new, fields=fields)
        assert {row["dataset"]: row["new_n"] for row in rows} == {"digits": 5, "fashion": 5}
        assert len({row["number"] for row in rows}) == 2
    gone = lost([*of_data(1.0, "fashion", 3, suite="new")], 0, 1, 2)
    rows = same_settings(old, [*new[:5], *gone], fields=["lr"])
    assert [(row["dataset"], row["new_lost"]) for row in rows] == [("digits", 0), ("fashion", 3)]


def printed(table, width):
    console = PlainConsole(width=width, file=io.StringIO())
    print_table(table, console, filed=False)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 104, 120, 140])
def test_both_means_are_shown_or_none(width):
    """At 80 columns the old mean stood without the new one, at 120 the old spread."""
    old, new = ([*side((fid, fid, fid + 1), suite="a"), *side((fid, fid, fid + 2), suite="b")] for fid in (60.0, 70.0))
    for fields in ((), ("recipe", "lr")):
        text = printed(equivalence_table(same_settings(old, new, fields=fields), fields=fields), width)
        for one, other in (("60.33", "70.33"), ("1.010", "1.008")):
            assert (one in text) == (other in text)


def test_a_comparison_is_a_table_at_80_columns():
    """It was a list of sentences, in which nothing stands below anything."""
    names = ("articles-cpu", "articles")
    old, new = ([each for name in names for each in side((60.0, 61.0, 61.5, fid), suite=name)] for fid in (62.0, 63.0))
    hinge = [each for name in names for each in side((60.0, 61.0, 61.5, 63.0), suite=name, loss="hinge", device="cuda")]
    for one, other, fields in ((old, new, ()), (old, hinge, ("recipe", "lr"))):
        text = printed(equivalence_table(same_settings(one, other, fields=fields), fields=fields), 80)
        assert "┡" in text
        assert "equivalent" in text


@pytest.mark.parametrize("width", [60, 66, 80, 120])
def test_what_withholds_a_verdict_is_shown_at_every_width(width):
    """ "not judged" and "undecided" stood without the lost and collapsed seeds that are why: no room for those."""
    fids = tuple(60.0 + 0.01 * seed for seed in range(8))
    for newer, why in ((lost(side(fids), 1), "new lost"), (collapsing(fids, 1), "new collapsed")):
        old, new = ([*each, *side(fids, suite="b")] for each in (side(fids), newer))
        shown = printed(equivalence_table(same_settings(old, new)), width).partition("The same settings of")[0]
        assert set(why.split()) <= set(shown.partition("Hidden columns")[0].split())


def test_a_quick_profile_is_a_study_of_its_own():
    both = [*side((50.0, 51.0, 52.0)), *side((90.0,) * 5, profile="quick")]
    rows = same_settings(side((50.0, 51.0, 52.0), suite="old"), both)
    assert [(row["studies"], row["new_n"]) for row in rows] == [("old / test", 3), ("old / test (quick)", 5)]


def test_means_are_those_whose_ratio_stands_beside_them():
    """60 and 76 stood beside a ratio of 0.57, as means were not those that the ratio is of."""
    old, new = (58.0, 60.0, 62.0, 61.0, 59.0), (20.0, 21.0, 19.0, 20.0, 300.0)
    (row,) = same_settings(side(old), side(new))
    assert row["new"] / row["old"] == pytest.approx(row["ratio"])
    assert (row["old"], row["new"]) == (pytest.approx(stats.gmean(old)), pytest.approx(stats.gmean(new)))
    assert (row["old_sd"], row["new_sd"]) == (pytest.approx(stats.gstd(old)), pytest.approx(stats.gstd(new)))
    assert "Means are geometric" in equivalence_table([row]).note
    (without,) = same_settings(side((0.0, 1.0, 2.0)), side((-1.0, 1.0, 2.0)))
    assert (without["old"], without["old_sd"], without["new"], without["ratio"]) == (0, None, None, None)


def test_a_longer_training_is_compared_where_the_shorter_one_ends():
    first = side((50.0, 51.0, 52.0))
    length = digits_trial(0).config.epochs
    second = side((10.0, 11.0, 12.0), epochs=9, early=50.0)
    (row,) = same_settings(first, second)
    assert row["epochs"] == length
    assert row["new"] == pytest.approx(stats.gmean([50.0, 51.0, 52.0]))
    assert f"epochs trained: {length} / 9" in row["differs"]


@pytest.mark.parametrize("change", [{"lr_g": 9e-4}, {"batch_size": 7}, {"train_limit": 10}])
def test_other_values_are_another_setting(change):
    assert same_settings(side((50.0, 51.0, 52.0)), side((50.0, 51.0, 52.0), **change)) == []


def test_scores_of_other_protocols_are_not_compared():
    fewer = [stored(digits_trial(seed), fid=50.0 + seed, samples=50) for seed in range(3)]
    assert same_settings(side((50.0, 51.0, 52.0)), fewer) == []


def test_settings_that_are_equal_in_named_fields_are_compared_and_the_rest_is_listed():
    changed = {"lr_g": 9e-4, "betas_g": (0.5, 0.999), "betas_d": (0.5, 0.999), "loss": "hinge"}
    (row,) = same_settings(side((50.0, 51.0, 52.0)), side((60.0, 61.0, 62.0), **changed), fields=["recipe"])
    assert set(row["differs"].split("; ")) == {
        "lr_g: 0.0003 / 0.0009",
        "betas_g: 0.9-0.999 / 0.5-0.999",
        "betas_d: 0.9-0.999 / 0.5-0.999",
        "loss: non_saturating / hinge",
    }
    assert row["verdict"] == "different"
    assert same_settings(side((50.0, 51.0)), side((60.0, 61.0), lr_g=9e-4), fields=["recipe", "lr"]) == []
    assert len(same_settings(side((50.0, 51.0)), side((60.0, 61.0), lr_d=3e-4), fields=["lr"])) == 1


def test_named_fields_need_no_common_epoch():
    (row,) = same_settings(side((50.0, 51.0, 52.0)), side((60.0, 61.0, 62.0), epochs=9), fields=["recipe"])
    assert "epochs trained: 2 / 9" in row["differs"]


def test_fields_that_do_not_tell_settings_apart_are_refused_with_those_that_do():
    two = [*side((50.0, 51.0)), *side((60.0, 61.0), lr_g=9e-4)]
    with pytest.raises(
        UserError, match=r"the newer folder has 2 settings that are equal in recipe;.*--match recipe,lr$"
    ):
        same_settings(side((50.0, 51.0)), two, fields=["recipe"])
    assert len(same_settings(two, two, fields=["recipe", "lr_g"])) == 2
    with pytest.raises(UserError, match='did you mean "lr"'):
        same_settings(two, two, fields=["learning_rate"])


def test_folders_without_a_common_trial_are_compared_by_setting(tmp_path):
    for seed in range(3):
        write(tmp_path / "old", digits_trial(seed), 50.0 + seed)
        other = replace(digits_trial(seed), config=replace(digits_trial(seed).config, suite="another"))
        write(tmp_path / "new", other, 50.2 + seed)
    found = compare(tmp_path / "old", tmp_path / "new")
    assert found.exit_code == 3, "a regression cannot be ruled out"
    assert "no trial is in both folders" in found.unsure[0]
    assert found.settings == {"equivalent": 1}
    assert "suite: test / another" in found.tables[0].rows["differs"][0]
    assert compare(tmp_path / "old", tmp_path / "new", match="settings").exit_code == 0
    with pytest.raises(UserError, match="no trial in common"):
        compare(tmp_path / "old", tmp_path / "new", match="trials")


def test_settings_that_were_scored_otherwise_are_said_to_be(tmp_path):
    for seed in range(2):
        write(tmp_path / "old", digits_trial(seed), 50.0)
        config = replace(digits_trial(seed).config, suite="another")
        write(tmp_path / "new", replace(digits_trial(seed), config=config), 50.0, generated=50)
    with pytest.raises(UserError, match=r"no finished setting in common that was scored .*; train .* \(--epochs, "):
        compare(tmp_path / "old", tmp_path / "new")


def test_the_table_says_which_margin_it_was_made_with():
    rows = same_settings(side((50.0, 51.0, 52.0)), side((50.0, 51.0, 52.0)), margin=0.25)
    assert "within a factor of 1.25" in equivalence_table(rows, 0.25).note


def test_the_command_says_how_many_are_the_same(tmp_path):
    for seed in range(3):
        write(tmp_path / "old", digits_trial(seed), 50.0 + seed)
        other = replace(digits_trial(seed), config=replace(digits_trial(seed).config, suite="another"))
        write(tmp_path / "new", other, 50.2 + seed)
        write(tmp_path / "new", with_lr(digits_trial(seed), 9e-4), 20.0)
    alone = gan_bench("compare", tmp_path / "old", tmp_path / "new", "--match", "trials")
    matched = gan_bench("compare", tmp_path / "old", tmp_path / "new", "--match", "settings")
    assert "1 setting in common: 1 equivalent" in matched.stdout, matched.stderr
    assert matched.returncode == 0
    assert "equivalent" not in alone.stdout


def test_rows_say_which_setting_they_are_of(tmp_path):
    two = [*side((50.0, 51.0, 52.0)), *side((60.0, 61.0, 62.0), lr_g=9e-4)]
    named = same_settings(two, two, fields=["recipe", "lr"])
    assert [row["setting"] for row in named] == [
        "recipe=mnist-mlp-z100, lr=0.0003",
        "recipe=mnist-mlp-z100, lr=0.0009/0.0003",
    ]
    table = equivalence_table(named, fields=["recipe", "lr"])
    assert table.title == "settings with equal recipe, lr"
    assert "the last of each" in table.note


def test_the_same_setting_without_a_common_epoch_is_told_from_another_one():
    short, long = side((50.0, 51.0)), side((60.0, 61.0), epochs=9)
    assert same_settings(short, long) == []
    (row,) = same_settings(short, long, fields=["recipe", "lr", "betas"])
    assert "scored at epoch: 2 / 9" in row["differs"]
    assert row["epochs"] is None


def test_a_side_without_a_score_of_a_trained_generator_is_left_out():
    """Only its untrained generators were scored: there is no last epoch to compare."""
    known, unknown = side((50.0, 51.0)), side((60.0, 61.0))
    for item in unknown:
        del item.evaluations[1:]
    assert same_settings(known, unknown, fields=["recipe"]) == []
    assert same_settings(known, unknown) == []


def test_collapses_that_were_counted_of_a_part_bound_nothing():
    """ "Collapses in up to 45% of runs are possible" was said of five runs, one of which was looked at."""
    fids = (50.0, 51.0, 52.0, 50.5, 51.5)
    part = [*collapsing(fids)[:1], *side(fids)[1:]]
    (row,) = same_settings(collapsing(fids), part)
    assert (row["verdict"], row["new_collapsed"]) == ("equivalent", None)
    assert equivalence_table([row]).note.endswith("Collapses were not counted of 1 of 1 equivalent rows.")


def test_unequal_spreads_are_called_different_a_little_too_often():
    """The rate that the documentation gives for three seeds that scatter more than twelve others."""
    draw = np.random.default_rng(0)
    rows = (welch(draw.normal(0, 0.3, 3), draw.normal(0, 0.1, 12), math.log1p(0.1)) for _ in range(4000))
    assert 0.05 < np.mean([row.p <= 0.05 for row in rows]) < 0.085
