"""More collapses in a newer folder: exact tests against SciPy's, and what equal code and broken code come to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from support.studies import stored, studies_of, with_lr, write
from support.trials import digits_trial

from gan_bench.config.design import Design
from gan_bench.records.record import Status
from gan_bench.report.compare.changes import CollapseChanges, setting_changes
from gan_bench.report.compare.collapses import (
    Collapses,
    better_settings,
    fisher_together,
    worse_settings,
    worse_together,
)
from gan_bench.report.compare.comparison import compare
from gan_bench.report.compare.measured import collapses


@pytest.mark.parametrize("runs", [1, 3, 5, 12])
def test_one_setting_is_tested_as_scipy_does(runs):
    for old, new in itertools.product(range(runs + 1), repeat=2):
        expected = stats.fisher_exact([[new, runs - new], [old, runs - old]], alternative="greater").pvalue
        assert Collapses("study", "0", old, new, runs).p == pytest.approx(expected)


def counts(*pairs, runs=3):
    return [Collapses("study", str(i), old, new, runs) for i, (old, new) in enumerate(pairs)]


def test_settings_together_are_tested_over_all_tables_with_their_totals():
    """Against every way of giving the collapses of a setting to its runs."""
    settings = counts((0, 1), (1, 2), (0, 2))
    ways = [
        [sum(chosen[:3]) for chosen in itertools.product((0, 1), repeat=6) if sum(chosen) == each.old + each.new]
        for each in settings
    ]
    sums = [sum(way) for way in itertools.product(*ways)]
    assert fisher_together(settings) == pytest.approx(np.mean(np.array(sums) >= 5))


@pytest.mark.parametrize(
    ("pairs", "worse"),
    [
        ([(0, 3)], ["0"]),
        ([(0, 2)], []),
        ([(0, 3)] + [(0, 0)] * 12, ["0"]),  # settings without a collapse are no tests
        ([(0, 3), (1, 2)], ["0"]),
        ([(0, 3), (2, 1)], ["0"]),
        ([(0, 3), (2, 1), (1, 1), (1, 1)], []),
        ([(0, 3), (1, 1), (1, 1), (1, 1)], ["0"]),
        ([(3, 3), (0, 1)], []),
    ],
)
def test_all_collapses_of_a_setting_are_worse_at_three_seeds(pairs, worse):
    assert [each.setting for each in worse_settings(counts(*pairs))] == worse


def test_settings_are_judged_together_where_none_is_worse_by_itself():
    settings = counts((0, 1), (0, 1), (0, 2), (0, 2), (0, 0))
    assert not worse_settings(settings)
    assert worse_together(settings) == "of all 5 settings together 6 of 15 runs collapsed or diverged, 0 before"
    assert worse_together(settings[:2]) == ""
    assert worse_together(counts((0, 2))) == "", "one is judged by itself"


@pytest.mark.ci
@pytest.mark.parametrize("runs", [3, 5, 12])
@pytest.mark.parametrize("rates", [[0.1] * 4, [0.5] * 4, [0.2] * 13, [0.5] * 13, [0.5, 0.5, *[0.0] * 11]])
def test_equal_rates_are_worse_in_less_than_five_of_a_hundred_comparisons(rates, runs):
    generator, studies = np.random.default_rng(runs), 500
    sides = [generator.binomial(runs, rates, (studies, len(rates))).tolist() for _ in range(2)]
    found = [counts(*zip(*tables, strict=True), runs=runs) for tables in zip(*sides, strict=True)]
    wrong = sum(bool(worse_settings(each) or worse_together(each)) for each in found)
    assert wrong <= stats.binom.ppf(0.999, studies, 0.05)


def side(fids, collapsed=(), diverged=(), unseen=()):
    """A folder's study: (settings, seeds) FIDs, and which of these collapsed, diverged or were not looked at."""
    items = []
    for (i, seed), fid in np.ndenumerate(np.asarray(fids, dtype=float)):
        item = stored(with_lr(digits_trial(seed), 1e-4 * (i + 1)), fid, samples=64)
        flag = {
            "metric": "collapsed",
            "name": "collapsed[lenet-mnist-v1,train,64]",
            "value": float((i, seed) in collapsed),
        }
        if (i, seed) not in unseen:
            item.evaluations[-1]["scores"].append(flag)
        if (i, seed) in diverged:
            item.record.update(status="diverged", reason="loss_d is not finite at step 3")
        items.append(item)
    (study,) = studies_of(items, designs={("test", 1, "full", "digits"): Design.fixed(range(np.shape(fids)[1]))})
    return {("test",): study}


def fids_of(generator, collapsed, shape=(4, 5)):
    return np.exp(4 + 0.1 * generator.normal(size=shape) + np.log(4) * collapsed)


def primary(old, new):
    return {each.of.subject.setting: each for each in setting_changes(old, new, None)}


@pytest.mark.ci
def test_equal_code_whose_runs_collapse_at_times_is_not_worse():
    """One more collapse was "worse" in 65 of 100 comparisons of four settings in which a tenth of the runs collapse."""
    generator, worse = np.random.default_rng(15), 0
    for _ in range(20):
        flags = generator.random((2, 4, 5)) < 0.1
        old, new = (side(fids_of(generator, each), set(zip(*np.nonzero(each), strict=True))) for each in flags)
        is_worse = any(each.verdict == "worse" for each in primary(old, new).values())
        worse += is_worse or bool(CollapseChanges.of(collapses(old, new)).together)
    assert worse <= 3


def test_a_collapse_that_may_be_chance_is_said_and_its_score_hides_nothing():
    generator = np.random.default_rng(1)
    fids = fids_of(generator, np.zeros((4, 5)))
    collapsed = fids.copy()
    collapsed[0, 2] *= 20
    again = np.exp(0.02 * generator.normal(size=fids.shape))
    found = primary(side(fids), side(collapsed * again, {(0, 2)}))["lr 1e-4"]
    assert (found.verdict, found.of.seeds) == ("within tolerance", 4)
    assert found.why == "1 of 5 runs collapsed or diverged, 0 before: may be chance"
    found = primary(side(fids), side(collapsed * again * 2, {(0, 2)}))["lr 1e-4"]
    assert found.verdict == "worse", "by the seeds that did not collapse"
    assert found.why.endswith("; 1 of 5 runs collapsed or diverged, 0 before: may be chance")


def test_where_only_collapses_are_left_nothing_is_judged():
    fids = fids_of(np.random.default_rng(2), np.zeros((1, 2)), (1, 2))
    (found,) = primary(side(fids), side(fids * 4, {(0, 0), (0, 1)})).values()
    assert (found.verdict, found.of.seeds) == ("cannot judge", 2)
    assert found.why.endswith("2 of 2 runs collapsed or diverged, 0 before: may be chance")


def test_one_run_of_each_setting_is_worse_where_all_collapsed_together():
    four = counts(*[(0, 1)] * 4, runs=1)
    assert worse_together(four) == "of all 4 settings together 4 of 4 runs collapsed or diverged, 0 before"
    assert not worse_together(counts((0, 1), (0, 1), runs=1))
    assert not worse_together(counts((0, 1), (0, 1), (0, 1), (0, 0), runs=1))


def test_what_may_be_chance_is_one_sentence_and_left_out_where_it_is_told():
    found = CollapseChanges.of(counts(*[(1, 2)] * 4, (0, 0), runs=12))
    (said,) = found.maybe_chance([], hardly=False)
    first = (
        "study: 0: 2 of 12 runs collapsed or diverged, 1 before; study: 1: 2 of 12 runs collapsed or diverged, 1 before"
    )
    assert said == f"{first} and 2 more: may be chance"
    assert list(found.maybe_chance([], hardly=True)) == []
    assert list(found.maybe_chance([("study", str(i)) for i in range(4)], hardly=False)) == []


def test_of_many_settings_with_collapses_one_is_sooner_chance():
    """Uncorrected, a third of the comparisons of equal code would have ended with exit code 3."""
    alone = CollapseChanges.of(counts((0, 3), (0, 0), runs=5))
    among = CollapseChanges.of(counts((0, 3), (1, 1), (2, 1), runs=5))
    assert ([str(each.setting) for each in alone.hardly], list(among.hardly)) == (["0"], [])
    assert len(list(among.maybe_chance([], hardly=False))) == 1


def test_one_more_collapse_elsewhere_makes_no_other_one_easier_to_believe():
    """Three of five were exit code 3, and 0 as soon as one run of another setting collapsed."""
    found = CollapseChanges.of(counts((0, 3), (0, 1), runs=5))
    assert ([each.setting for each in found.hardly], len(found.chance)) == (["0"], 2)


@pytest.mark.ci
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_equal_code_is_hard_to_believe_in_less_than_a_tenth_of_comparisons(rate):
    generator, studies = np.random.default_rng(11), 1000
    found = [CollapseChanges.of(counts(*generator.binomial(5, rate, (13, 2)).tolist(), runs=5)) for _ in range(studies)]
    assert sum(bool(each.hardly) for each in found) <= stats.binom.ppf(0.999, studies, 0.1)


def test_collapsed_generators_are_counted_and_not_compared_with_untrained_ones():
    """One seed of equal code that collapsed was "worse: no better than untrained generators … may be chance"."""
    fids = fids_of(np.random.default_rng(2), np.zeros((1, 2)), (1, 2))
    (found,) = primary(side(fids), side(fids * 8, {(0, 0), (0, 1)})).values()  # untrained ones have 300
    assert found.verdict == "cannot judge"
    assert found.why.endswith("2 of 2 runs collapsed or diverged, 0 before: may be chance")
    (found,) = primary(side(fids), side(fids * 8)).values()
    assert found.verdict == "worse"
    assert "no better than untrained generators (300)" in found.why


@pytest.mark.parametrize("times", [10, 0.1])
def test_scores_of_collapses_alone_are_judged_in_no_direction(times):
    """A tenth of the FID was within tolerance, and ten times as much could not be judged."""
    fids, every = fids_of(np.random.default_rng(2), np.zeros((1, 5)), (1, 5)), {(0, seed) for seed in range(5)}
    (found,) = primary(side(fids, every), side(fids * times, every)).values()
    assert found.verdict == "cannot judge"


def test_who_mended_the_collapse_is_not_worse_by_one_seed():
    generator = np.random.default_rng(7)
    fids = fids_of(generator, np.zeros((4, 5)))
    doubled = fids.copy()
    doubled[0] *= 2
    found = primary(side(fids, {(0, seed) for seed in range(4)}), side(doubled))["lr 1e-4"]
    assert (found.verdict, found.of.seeds) == ("cannot judge", 1)
    assert "0 of 5 runs collapsed or diverged, 4 before" in found.why


def test_what_one_folder_did_not_look_at_is_not_said_to_have_collapsed_in_none_of_its_runs():
    """Equal scores were worse: 4 of 5 runs collapsed, 0 before, of which four had not been looked at."""
    fids, later = fids_of(np.random.default_rng(2), np.zeros((1, 5)), (1, 5)), {(0, seed) for seed in range(1, 5)}
    (found,) = primary(side(fids, unseen=later), side(fids, later)).values()
    assert (found.verdict, found.why) == ("identical", "")
    (found,) = primary(side(fids, unseen=later), side(fids * 20, later)).values()
    assert (found.verdict, found.of.seeds) == ("worse", 5), "its score is all that is known of both"
    (found,) = primary(side(fids, unseen={(0, 1)}), side(fids * [[1, 20, 1, 1, 1]], {(0, 1)})).values()
    assert found.verdict == "cannot judge", "one collapse may be chance"


def test_scores_in_both_are_not_denied_where_few_were_looked_at():
    fids = fids_of(np.random.default_rng(2), np.zeros((1, 3)), (1, 3))
    old = side(fids, unseen={(0, 1), (0, 2)})
    assert not CollapseChanges.of(collapses(old, side(fids, diverged={(0, 0)}))).unpaired


def test_one_seed_makes_no_setting_no_better_than_untrained():
    """A mean of 204 was "no better than untrained generators (491)": the one of another mean."""
    fids = fids_of(np.random.default_rng(2), np.zeros((1, 3)), (1, 3))
    (found,) = primary(side(fids), side(fids * [[1, 1.01, 40]])).values()
    assert "untrained" not in found.why


def test_where_collapses_change_places_the_other_seeds_are_compared():
    """Three equal scores in other seeds, of which one collapsed in either folder, were worse by its score."""
    old, new = [[87.7, 71.6, 485.2, 80.0]], [[1349.7, 71.6, 87.7, 80.0]]
    (found,) = primary(side(old, {(0, 2)}), side(new, {(0, 0)})).values()
    assert (found.verdict, found.of.seeds) == ("within tolerance", 2)
    (found,) = primary(side([[485.2]], {(0, 0)}), side([[1349.7]], {(0, 0)})).values()
    assert (found.verdict, found.why) == ("cannot judge", "every seed collapsed in one of the folders")
    (found,) = primary(side([[87.7, 71.6]], {(0, 0)}), side([[87.7, 71.6]], {(0, 0)})).values()
    assert found.verdict == "identical"


def test_fewer_collapses_are_judged_as_more_are():
    fids = fids_of(np.random.default_rng(3), np.zeros((2, 5)), (2, 5))
    old = side(fids * [[4], [1]], {(0, seed) for seed in range(5)})
    assert [(each.verdict, each.why) for each in primary(old, side(fids)).values()] == [
        ("better", "0 of 5 runs collapsed or diverged, 5 before"),
        ("identical", ""),
    ]
    assert [each.setting for each in better_settings(counts((3, 0), (2, 0), (0, 3)))] == ["0"]


def test_settings_all_of_whose_runs_diverged_are_said_with_the_counts_of_both_folders():
    """ "2 of 5 runs diverged" was said of two trained ones, and "4 of 4" where a fifth has a score."""
    fids = fids_of(np.random.default_rng(4), np.zeros((1, 2)), (1, 2))
    of = CollapseChanges.of(collapses(side(fids), side(fids, diverged={(0, 0), (0, 1)})))
    name = ("test, digits (full profile)", "mnist-mlp-z100")
    said = "2 of 2 runs collapsed or diverged, 0 before, and no seed has a score in both"
    assert of.without_scores([]) == {name: f"{name[0]}: {name[1]}: {said}"}
    assert of.without_scores([name]) == {}
    part = CollapseChanges.of(collapses(side(fids), side(fids, diverged={(0, 0)})))
    assert part.without_scores([]) == {}
    other = CollapseChanges.of(collapses(side(fids, diverged={(0, 0)}), side(fids, diverged={(0, 1)})))
    assert other.without_scores([])[name].endswith(
        "1 of 2 runs collapsed or diverged, 1 before, and no seed has a score in both"
    )


def test_seeds_that_one_folder_did_not_look_at_are_compared():
    """They were neither counted nor compared: a setting all of whose runs collapsed since was "within tolerance"."""
    fids = fids_of(np.random.default_rng(6), np.zeros((2, 5)), (2, 5))
    old, new = side(fids), side(fids * [[6], [1]], {(0, seed) for seed in range(5)})
    before = next(iter(old.values())).scores
    unseen = before[(before["metric"] == "collapsed") & (before["label"] == "lr 1e-4")].index
    next(iter(old.values())).scores = before.drop(unseen)
    assert primary(old, new)["lr 1e-4"].verdict == "worse"


def test_the_tolerance_is_of_what_did_not_collapse():
    """Beside two of five seeds that collapsed in both folders, a change by 2.4 was tolerated: 1,036 %."""
    fids = fids_of(np.random.default_rng(7), np.zeros((3, 5)), (3, 5))
    both = {(i, seed) for i in range(3) for seed in (0, 1)}
    wild = np.where(np.arange(5) < 2, [20.0, 3.0, 1.0, 1.0, 1.0], 1.0)
    found = primary(side(fids * wild, both), side(fids * wild * 2.4, both))
    assert {each.verdict for each in found.values()} == {"worse"}


def test_fewer_collapses_hide_no_worse_scores():
    """Seven times the FID in the seed that had not collapsed was "better", as 0 of 5 collapsed and 4 before."""
    old = side([[800.0, 820.0, 790.0, 810.0, 50.0]], {(0, seed) for seed in range(4)})
    (found,) = primary(old, side([[400.0, 410.0, 390.0, 405.0, 400.0]])).values()
    assert found.verdict != "better"


def test_what_is_worse_together_is_not_chance_in_single_settings():
    fids = np.full((4, 5), 50.0)
    both = {(i, seed) for i in range(4) for seed in (0, 1)}
    generator = np.random.default_rng(5)
    old, new = side(fids), side(fids * np.exp(0.01 * generator.normal(size=fids.shape)), both)
    assert CollapseChanges.of(collapses(old, new)).together
    assert {each.why for each in primary(old, new).values()} == {"2 of 5 runs collapsed or diverged, 0 before"}


def test_divergence_is_counted_as_a_collapse_is():
    """One run of twenty that diverged was "worse", as equal code has them at random too."""
    fids = fids_of(np.random.default_rng(4), np.zeros((4, 5)))
    one = CollapseChanges.of(collapses(side(fids, diverged={(1, 0)}), side(fids, diverged={(0, 1), (2, 2)})))
    assert (one.worse, one.together) == ([], "")
    assert [str(each) for each in one.chance] == ["1 of 5 runs collapsed or diverged, 0 before"] * 2
    every = CollapseChanges.of(collapses(side(fids), side(fids, {(0, 0)}, {(0, seed) for seed in range(1, 5)})))
    assert [f"{each.setting}: {each}" for each in every.worse] == [
        "lr 1e-4: 5 of 5 runs collapsed or diverged, 0 before"
    ]
    assert list(every.worse_beside([])) == [
        "test, digits (full profile): lr 1e-4: 5 of 5 runs collapsed or diverged, 0 before"
    ]


def test_where_no_setting_has_a_score_in_both_folders_nothing_is_judged(tmp_path):
    """Of two folders all of whose trials had failed it was said that nothing got worse."""
    for name in ("old", "new"):
        for seed in range(3):
            write(tmp_path / name, digits_trial(seed=seed), 20.0, status=Status.FAILED)
    found = compare(tmp_path / "old", tmp_path / "new")
    assert (found.exit_code, found.unsure) == (3, ["no trial has a score in both folders"])


@pytest.mark.parametrize("name", ["old", "both"])
def test_done_trials_without_a_score_are_not_judged(tmp_path, name):
    for folder in ("old", "new"):
        for seed in range(3):
            measure = "kid" if name in (folder, "both") else "fid"
            write(tmp_path / folder, digits_trial(seed=seed), 20.0, metric=measure)
    found = compare(tmp_path / "old", tmp_path / "new")
    assert (found.exit_code, found.unsure) == (3, ["no trial has a score in both folders"])


@pytest.mark.parametrize("worse", [True, False])
def test_of_runs_that_were_not_looked_at_those_that_diverged_are_not_all(worse):
    """Three of twelve that diverged were three of three, as no other of the setting was counted."""
    fids = fids_of(np.random.default_rng(2), np.zeros((2, 12)), (2, 12))
    unseen = {(1, seed) for seed in range(12)}
    sides = side(fids, unseen=unseen), side(fids, diverged={(1, seed) for seed in (2, 5, 9)})
    (counted,) = (each for each in collapses(*(sides if worse else sides[::-1])) if each.old != each.new)
    assert (counted.old, counted.new, counted.runs) == ((0, 3, 12) if worse else (3, 0, 12))


@pytest.mark.parametrize("worse", [True, False])
def test_who_diverged_unseen_does_not_stay_out_where_other_seeds_were_looked_at(worse):
    """Nine of twelve that diverged were none of three, the three that had been looked at."""
    fids, unseen = fids_of(np.random.default_rng(2), np.zeros((2, 12)), (2, 12)), {(1, seed) for seed in range(3, 12)}
    sides = side(fids, unseen=unseen), side(fids, diverged=unseen)
    (counted,) = (each for each in collapses(*(sides if worse else sides[::-1])) if each.old != each.new)
    assert (counted.old, counted.new, counted.runs) == ((0, 9, 12) if worse else (9, 0, 12))


@pytest.mark.parametrize("worse", [True, False])
def test_who_diverged_did_not_do_so_unseen(worse):
    """Of runs that nobody had looked at for collapses it was not said that all of them diverge now."""
    fids, all_of_it = fids_of(np.random.default_rng(2), np.zeros((2, 5)), (2, 5)), {(1, seed) for seed in range(5)}
    sides = side(fids, unseen=all_of_it), side(fids, diverged=all_of_it)
    (counted,) = (each for each in collapses(*(sides if worse else sides[::-1])) if each.old != each.new)
    assert (counted.old, counted.new, counted.runs) == ((0, 5, 5) if worse else (5, 0, 5))


@pytest.mark.parametrize("worse", [True, False])
def test_a_run_that_diverged_unseen_hides_no_collapses_of_those_that_were_looked_at(worse):
    """Four of five that collapsed were "within tolerance" where a sixth, which nobody had looked at, diverged."""
    generator = np.random.default_rng(1)
    fids, again = np.exp(4 + 0.02 * generator.normal(size=(2, 1, 6)))
    collapsed, sixth = {(0, seed) for seed in range(4)}, {(0, 5)}
    sides = side(fids, unseen=sixth), side(again, collapsed, diverged=sixth)
    (found,) = primary(*(sides if worse else sides[::-1])).values()
    verdict, old, new = ("worse", 0, 5) if worse else ("better", 5, 0)
    said = f"{new} of 6 runs collapsed or diverged, {old} before"
    assert (found.verdict, found.why, found.of.seeds) == (verdict, said, 1)


def verdicts(found):
    of = CollapseChanges.of(found)
    return [bool(each) for each in (of.worse or of.together, of.hardly, of.chance)]


def test_one_more_run_that_diverged_unseen_is_never_milder():
    """Added to the others, one of nine that diverged made three of three that collapsed four of twelve: chance."""
    shapes = [(seen, unseen) for seen in (1, 3, 5) for unseen in (1, 2, 9)]
    for seen, unseen in shapes:
        for old, new, lost in itertools.product(range(seen + 1), range(seen + 1), range(unseen + 1)):
            alone = Collapses("study", "0", old, new, seen)
            p_values, found = [alone.p], [verdicts([alone])]
            for more in range(lost, unseen + 1):
                with_unseen = (old + lost, new + more, seen + unseen)
                each = Collapses("study", "0", *with_unseen, unseen=(lost, more, unseen))
                p_values.append(each.p)
                found.append(verdicts([each]))
            if lost:
                del p_values[0], found[0]
            assert p_values == sorted(p_values, reverse=True)
            assert found == sorted(found), (seen, unseen, old, new, lost)
