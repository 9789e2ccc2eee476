"""Verdicts at looks: what decides, what does not yet, what never will, and the few words in which people read it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.studies import report_of, stored, studies_of, table, with_lr
from support.trials import config_of, digits_trial

from gan_bench.config.design import Design
from gan_bench.config.trial import EvaluationConfig
from gan_bench.core.errors import DamagedError, UnreadableError
from gan_bench.records import schema
from gan_bench.report.board.entries import _sample
from gan_bench.report.compare.changes import setting_changes
from gan_bench.report.compare.measured import collapses, measured
from gan_bench.report.findings.factors import factor_tables, factors_of
from gan_bench.report.findings.find_setting import _champion
from gan_bench.report.findings.proposals import counted, questions
from gan_bench.report.findings.standings import standings
from gan_bench.report.findings.summaries import summaries
from gan_bench.report.findings.tables import study_tables
from gan_bench.report.findings.verdicts import correct_for_choice, corrected
from gan_bench.report.study.latex import to_latex
from gan_bench.report.study.looks import level, repeated_p
from gan_bench.report.study.stats import holm

LOOKS = Design.of_looks()
WITHOUT_MARGIN = Design.of_looks(margin=None)
COMMAND = "gan-bench run test --profile full"
NOISE = np.array([0.6, -1.1, 0.3, 1.3, -1.0, 0.7, -0.4, -0.5, 0.9, -0.7, 0.2, -0.3])
"""Of mean zero over the first 5, 8 and 12, nearly, with a spread of about 0.8."""


def trial(seed, lr, fid, collapsed=None, status="done"):
    """A record with its FID, and whether its generator collapsed."""
    item = stored(with_lr(digits_trial(seed), lr), fid=fid, status=status)
    if collapsed is not None:
        name = "collapsed[lenet-mnist-v1,train,100]"
        item.evaluations[-1]["scores"].append({"metric": "collapsed", "name": name, "value": float(collapsed)})
    return item


def pair(seeds, gap, spread=0.1, rates=(1e-4, 2e-4), collapsed=(0, 0)):
    """Two settings over seeds: the second one's log FID is ``gap`` higher, give or take ``spread``."""
    items = []
    for seed in range(seeds):
        logs = 4 + 0.2 * NOISE[(5 * seed + 3) % 12], gap + spread * NOISE[seed % 12]
        items.append(trial(seed, rates[0], np.exp(logs[0]), seed < collapsed[0]))
        items.append(trial(seed, rates[1], np.exp(sum(logs)), seed < collapsed[1]))
    return items


def tied(seeds):
    """Two settings that differ by less than scoring one generator twice does."""
    items = pair(seeds, 0.0005, 0.0005)
    for item in items:
        for line in item.evaluations:
            for score in line["scores"]:
                score["draw_std"] = 0.05 * score["value"] if score["value"] else None
    return items


def answered(items, design=LOOKS):
    made = report_of(items, commands={"test": COMMAND}, designs={("test", 1, "full", "digits"): design})
    ((study, _, (answer,)),) = made.studies
    found = table(factor_tables(study.scored[0]), "factor-learning-rate").rows
    return study, found[found["key"] == "fid"].to_dict("records"), answer


def row_of(items, design=LOOKS):
    _, rows, answer = answered(items, design)
    (row,) = rows
    (sentence,) = (each for each in answer.factors if each.startswith("learning rate"))
    return row, sentence, answer


def also_seen_by(extractor, items):
    """The same trials, as an extractor that knows no classes scores them, too."""
    for item in items:
        for line in item.evaluations:
            name = f"fid[{extractor},train,100]"
            line["scores"] += [{**score, "name": name} for score in line["scores"] if score["metric"] == "fid"]
    return items


def of_fid_alone(items):
    """The same trials without the scores that say whether a generator collapsed."""
    for item in items:
        for line in item.evaluations:
            line["scores"] = [score for score in line["scores"] if score["metric"] == "fid"]
    return items


# -------------------------------------------------------------------------------------- what a look says


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.9], [0.9]),  # two settings: Student's test is two-sided already
        ([0.01, 0.4], [0.03, 0.6]),  # Holm's 0.02 and 0.4, times 3/2
        ([0.01, 0.9, 0.02], [0.06, 1.0, 0.08]),  # Holm's 0.03, 0.9 and 0.04, times 2; never above 1
        ([0.3, 0.3, 0.3, 0.3], [1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_p_values_are_corrected_for_the_choice_of_the_best(p_values, adjusted):
    assert correct_for_choice(p_values) == pytest.approx(adjusted, rel=1e-12)


def test_a_large_difference_is_decided_at_the_first_look():
    row, sentence, answer = row_of(pair(5, np.log(2)))
    p = stats.ttest_1samp(np.log(2) + 0.1 * NOISE[:5], 0).pvalue
    assert row["p"] == pytest.approx(max(p, 2 / 4**5))
    assert row["repeated"] == pytest.approx(row["p"] * 12 / 5)
    assert (row["found"], row["winner"], row["open"]) == ("decided", "0.0001", False)
    assert row["improvement"] == 0.0, "no seed was better at B"
    assert "decided before the last look, so the ratio is probably overstated" in sentence
    assert answer.proposal is None


@pytest.mark.parametrize(("seeds", "is_early"), [(5, True), (12, False)])
def test_of_epochs_too_a_decision_before_the_last_look_is_said_to_be_overstated(seeds, is_early):
    items = [stored(digits_trial(seed), fid=50.0 + NOISE[seed], early=100.0 + NOISE[seed]) for seed in range(seeds)]
    ((_, _, (answer,)),) = report_of(items, designs={("test", 1, "full", "digits"): LOOKS}).studies
    (said,) = (each for each in answer.factors if each.startswith("epochs"))
    assert "still improved at the end of training (decided" in said
    assert ("; decided before the last look, so the ratio is probably overstated." in said) is is_early


@pytest.mark.parametrize("seeds", [5, 6, 7])
def test_seeds_between_looks_decide_nothing(seeds):
    """What six and seven seeds would decide by themselves, they do not: their p is that of the first five."""
    row, sentence, answer = row_of(pair(seeds, 0.1, 0.1))
    assert row["seeds"] == 5
    assert (row["found"], row["next"], row["open"]) == ("undecided", 8, True)
    assert row["verdict"] == "undecided (next look at 8 seeds)"
    assert sentence.startswith("learning rate: undecided between 0.0001 and 0.0002; next look at 8 seeds")
    assert answer.proposal.startswith(f"Next: the look at 8 seeds, `{COMMAND} --until decided --max-seeds 8`, about ")


def test_before_the_first_look_nothing_is_judged():
    row, sentence, answer = row_of(pair(4, np.log(2)))
    assert (row["found"], row["p"], row["repeated"], row["next"]) == ("not judged", None, None, 5)
    assert row["ratio_low"] is None, "no look, no interval that would hold"
    assert "not judged before the look at 5 seeds" in sentence
    assert "not judged before the look at 5 seeds" in answer.headline


def test_a_trial_under_way_holds_its_look_up():
    items = pair(5, np.log(2))
    items[0] = trial(0, 1e-4, None, status="interrupted")
    row, _, answer = row_of(items)
    assert row["found"] == "not judged"
    assert answer.proposal == f"Next: `{COMMAND}` continues; 1 trial left."


def test_a_missing_seed_is_not_replaced_by_a_later_one():
    items = [item for item in pair(8, np.log(2)) if item.trial["config"]["seed"] != 4]
    row, _, _ = row_of(items)
    assert row["found"] == "not judged"


def test_the_interval_at_a_look_is_a_repeated_one():
    for seeds, reach in ((5, 3.70), (8, 3.09), (12, 2.60)):
        row, _, _ = row_of(pair(seeds, 0.5, 0.1))
        gaps = 0.5 + 0.1 * NOISE[:seeds]
        half = reach * gaps.std(ddof=1) / np.sqrt(seeds)
        ends = [np.log(row["ratio_low"]), np.log(row["ratio_high"])]
        assert ends == pytest.approx([gaps.mean() - half, gaps.mean() + half], abs=0.002)
    fixed, _, _ = row_of(pair(5, 0.5, 0.1), Design.fixed(range(5)))
    half = stats.t.ppf(0.975, 4) * (0.1 * NOISE[:5]).std(ddof=1) / np.sqrt(5)
    assert np.log(fixed["ratio_high"]) - np.log(fixed["ratio_low"]) == pytest.approx(2 * half)


def test_a_fixed_list_keeps_its_test_and_is_judged_when_all_its_seeds_have_ended():
    p = stats.ttest_1samp(0.135 + 0.1 * NOISE[:5], 0).pvalue
    assert 0.0208 < p < 0.05, "decided by a fixed list alone"
    row, _, _ = row_of(pair(5, 0.135), Design.fixed(range(5)))
    assert (row["found"], row["corrected"]) == ("decided", pytest.approx(p))
    assert row_of(pair(5, 0.135))[0]["found"] == "undecided"
    assert row_of(pair(4, 0.135), Design.fixed(range(5)))[0]["found"] == "not judged"


def test_what_is_probable_is_corrected_for_the_number_of_tests():
    """Of five equal levels with a seed that was not declared, 12 of 40 simulated studies called one better."""
    items, others = pair(6, 0.12), [trial(seed, 3e-4, np.exp(4 + 0.2 * NOISE[seed])) for seed in range(6)]
    design = Design.fixed(range(5), margin=0.1)
    _, (alone,), _ = answered(items, design)
    _, rows, answer = answered([*items, *others], design)
    assert (alone["found"], alone["corrected"]) == ("probable", alone["p"])
    assert alone["p"] == pytest.approx(stats.ttest_1samp(0.12 + 0.1 * NOISE[:6], 0).pvalue)
    assert [row["corrected"] for row in rows] == pytest.approx(holm([row["p"] for row in rows]))
    assert [row["found"] for row in rows] == ["undecided"] * 3
    assert not any("is better than" in each for each in answer.factors)


def test_a_list_that_grew_is_at_most_probable_and_told_why():
    row, sentence, answer = row_of(pair(9, np.log(2)), Design.fixed(range(5)))
    assert (row["found"], row["verdict"]) == ("probable", "probably 0.0001")
    assert "(probable" in sentence
    assert (
        "Not all of these seeds are known to have been declared before the first: nothing is decided, and what is "
        "probable allows for the number of tests, not for looks." in answer.headline
    )
    assert answer.proposal.startswith("Next: new seeds, all declared before the first, in another folder")


# ------------------------------------------------------------------------------------ several comparisons


def many(settings, seeds, gap=0.7):
    """One setting that is better than all others, which are equal but for noise."""
    items = []
    for i in range(settings):
        for seed in range(seeds):
            level = 3.0 if i == 0 else 3.0 + gap
            items.append(trial(seed, 1e-4 * (i + 1), np.exp(level + 0.05 * NOISE[(7 * i + 5 * seed) % 12])))
    return items


def test_from_eleven_comparisons_on_five_seeds_do_not_decide():
    """Beside Holm's steps in tables that claim equivalence, and the doubling for the choice of the best."""
    for settings, can in ((6, True), (7, False)):
        _, _, answer = answered(many(settings, 5))
        assert ("decidedly better than all" in answer.headline) is can
        assert ("not judged before the look at 8 seeds" in answer.headline) is not can
    _, _, answer = answered(many(7, 8))
    assert "decidedly better than all 6 others" in answer.headline
    _, rows, _ = answered(many(6, 5))  # 15 pairs of 6 levels
    first = [row for row in rows if "0.0001" in (row["first_level"], row["second_level"])]
    assert {row["found"] for row in first} == {"not judged"}
    assert {row["verdict"] for row in first} == {"not judged (next look at 8 seeds)"}
    _, rows, _ = answered(many(6, 8))
    assert {row["found"] for row in rows if "0.0001" in (row["first_level"], row["second_level"])} == {"decided"}


def test_the_best_is_corrected_for_all_settings_and_for_having_been_chosen():
    """Of three settings: Holm's steps of two and one, each times 1.5 for the choice."""
    differs = []
    for gap in np.linspace(0.06, 0.2, 8):
        items = []
        for i, rate in enumerate((1e-4, 2e-4, 3e-4)):
            logs = [3 + (gap if i else 0) + 0.05 * NOISE[(7 * i + 5 * seed) % 12] for seed in range(5)]
            items += [trial(seed, rate, np.exp(log)) for seed, log in enumerate(logs)]
        study, _, _ = answered(items)
        found = standings(study.scored[0])
        p = sorted(
            repeated_p((5, 8, 12), 5, max(2 / 4**5, stats.ttest_rel(_logs(items, 1e-4), _logs(items, rate)).pvalue))
            for rate in (2e-4, 3e-4)
        )
        wanted = 0 if 3 * p[0] > 0.05 else 1 if 1.5 * p[1] > 0.05 else 2
        assert len(found.of("behind")) == wanted
        assert (found.best.label, len(found.of("tied"))) == ("lr 1e-4", 2 - wanted)
        differs.append(wanted < sum(each <= 0.05 for each in p))
    assert any(differs), "else the correction is not seen"


def _logs(items, rate):
    return [np.log(i.evaluations[-1]["scores"][0]["value"]) for i in items if i.trial["config"]["lr_g"] == rate]


def test_p_values_are_multiplied_where_equivalence_may_be_claimed_and_stepped_down_elsewhere():
    p = [0.001, 0.02, None, 0.5]
    assert corrected(p, LOOKS) == [0.004, 0.08, 1.0, 1.0]
    assert corrected(p, WITHOUT_MARGIN) == holm([0.001, 0.02, 1.0, 0.5])
    assert corrected([], LOOKS) == []


def test_a_comparison_whose_look_is_to_come_counts_among_the_tests():
    """Else a verdict could be lost when the others arrive."""
    items = [*pair(5, np.log(2)), *[trial(seed, 3e-4, 50.0 + seed) for seed in range(3)]]
    _, rows, _ = answered(items)
    by = {(row["first_level"], row["second_level"]): row for row in rows}
    assert len(by) == 3
    one = by["0.0001", "0.0002"]
    assert one["corrected"] == pytest.approx(3 * one["repeated"])


# ------------------------------------------------------------------------------- futility and equivalence


def test_what_is_futile_is_given_up():
    row, sentence, answer = row_of(pair(5, 0.01, 0.3))
    assert row["p"] > 0.5
    assert (row["found"], row["open"]) == ("undecided", False)
    assert row["verdict"] == "undecided, given up"
    assert "; given up, as more seeds are unlikely to decide it" in sentence
    assert answer.proposal is None
    assert row_of(pair(8, 0.07, 0.3))[0]["open"] is False
    assert row_of(pair(5, 0.2, 0.3))[0]["open"] is True


def test_from_the_third_look_on_nothing_is_given_up_but_by_the_last():
    """Bounds of futility are known for two looks."""
    row, sentence, _ = row_of(pair(12, 0.0, spread=1.0), Design.of_looks(looks=(5, 8, 12, 18), margin=None))
    assert row["p"] > 0.5
    assert (row["found"], row["open"], row["next"]) == ("undecided", True, 18)
    assert "next look at 18 seeds" in sentence


def test_what_may_be_equivalent_is_not_given_up():
    row, _, _ = row_of(pair(5, 0.001, 0.03))
    assert row["p"] > 0.5
    assert row["open"]
    assert not row_of(pair(5, 0.001, 0.03), WITHOUT_MARGIN)[0]["open"]


def test_equivalence_is_said_at_the_last_look_with_the_share_of_collapses_that_is_possible():
    for seeds in (5, 8):
        assert row_of(pair(seeds, 0.02, 0.03, collapsed=(0, 0)))[0]["found"] == "undecided"
    row, sentence, _ = row_of(pair(12, 0.02, 0.03))
    assert (row["found"], row["verdict"]) == ("equivalent", "equivalent within 10%")
    assert "0.0001 and 0.0002 are equivalent: no difference above the margin" in sentence
    assert "collapses in up to 22% of runs are possible though none was seen" in sentence
    assert row_of(pair(12, 0.02, 0.03), WITHOUT_MARGIN)[0]["found"] != "equivalent"
    assert row_of(pair(12, 0.02, 0.03), Design.of_looks(margin=0.01))[0]["found"] != "equivalent"


def test_a_fixed_list_claims_equivalence_where_its_suite_sets_a_margin():
    row, _, _ = row_of(pair(12, 0.01, 0.03), Design.fixed(range(12), 0.1))
    assert row["found"] == "equivalent"


# ------------------------------------------------------------------------------------ collapses, failures


@pytest.mark.parametrize("design", [LOOKS, Design.fixed(range(5))])
def test_where_one_side_collapses_more_often_nothing_is_decided(design):
    row, sentence, answer = row_of(pair(5, np.log(8), collapsed=(0, 2)), design)
    assert row["corrected"] < 0.05, "the test alone would"
    assert row["found"] == "undecided"
    assert row["verdict"] == "undecided: 0.0001 collapsed in none, 0.0002 in 2 of 5"
    assert "0.0001 collapsed in none, 0.0002 in 2 of 5" in sentence
    assert "given up" not in sentence
    assert not row["open"], "no seed is spent on it"
    assert answer.proposal.endswith("--set epochs=4`: no test compares settings that collapsed at a different rate.")
    assert "No test judges lr 2e-4: lr 1e-4 collapsed in none, lr 2e-4 in 2 of 5." in answer.headline


@pytest.mark.parametrize("said", ["--seeds 0-11", "--until decided --max-seeds 12"])
def test_failed_trials_are_tried_again_by_their_seeds(said):
    """The suite alone has five seeds, and a run until all is decided asks for those of open questions alone."""
    items = pair(12, 0.02, 0.2)
    items[2 * 9] = trial(9, 1e-4, None, status="failed")
    made = report_of(items, commands={"test": f"{COMMAND} {said}"}, designs={("test", 1, "full", "digits"): LOOKS})
    ((_, _, (answer,)),) = made.studies
    assert answer.proposal == f"Next: `{COMMAND} --seeds 9 --retry-failed` tries 1 failed trial again."


def test_longer_training_is_proposed_only_where_it_may_help():
    """It was where runs had diverged, and where a record of a setting was damaged that nobody trains any more."""
    diverged, gone = pair(5, np.log(2)), pair(5, np.log(2), collapsed=(0, 2))
    diverged[1] = trial(0, 2e-4, None, status="diverged")
    gone[1::2] = [replace(each, withdrawn=True) for each in gone[1::2]]
    for items in (diverged, gone):
        _, _, answer = answered(items)
        assert "No test judges lr 2e-4" in answer.headline
        assert answer.proposal is None


def test_where_one_side_collapses_more_often_there_is_no_tie():
    """One answer said that no test judges lr 2e-4, and that lr 1e-4 and 2e-4 are a tie."""
    items = tied(5)
    assert row_of(items)[0]["verdict"] == "tie"
    for item in items:
        is_collapsed = item.trial["config"]["lr_g"] == 2e-4 and item.trial["config"]["seed"] < 2
        item.evaluations[-1]["scores"][-1]["value"] = float(is_collapsed)
    row, sentence, answer = row_of(items)
    assert row["verdict"] == "undecided: 0.0001 collapsed in none, 0.0002 in 2 of 5"
    assert "tie" not in sentence
    assert not row["open"], "no seed is spent on it"
    assert "No test judges lr 2e-4: lr 1e-4 collapsed in none, lr 2e-4 in 2 of 5." in answer.headline


def test_where_both_collapse_as_often_the_test_stands():
    assert row_of(pair(5, np.log(2), collapsed=(2, 2)))[0]["found"] == "decided"


def test_where_one_side_fails_more_often_nothing_is_decided():
    items = pair(5, np.log(2))
    items[1] = trial(0, 2e-4, None, status="failed")
    row, _, _ = row_of(items)
    assert (row["found"], row["why"]) == ("undecided", "0.0001 failed in none, 0.0002 in 1 of 5")


@pytest.mark.parametrize("design", [LOOKS, Design.fixed(range(5))], ids=["looks", "fixed"])
def test_a_setting_that_failed_in_every_seed_but_one_is_no_setting_of_one_seed(design):
    """It was "one seed", ahead with it, and worth the seeds of another look."""
    items = [trial(seed, 1e-4, 25.0 if seed == 0 else None, status="failed" if seed else "done") for seed in range(5)]
    items += [trial(seed, 2e-4, 40.0 + NOISE[seed]) for seed in range(5)]
    row, sentence, answer = row_of(items, design)
    assert row["verdict"] == "undecided: 0.0001 failed in 4 of 5, 0.0002 in none"
    assert (row["lost"], row["open"], row["p"]) == (4, False, None)
    assert "0.0001 failed in 4 of 5, 0.0002 in none" in sentence
    assert "ahead" not in sentence
    assert answer.proposal == f"Next: `{COMMAND} --seeds 1,2,3,4 --retry-failed` tries 4 failed trials again."
    assert "No test judges lr 1e-4: lr 2e-4 failed in none, lr 1e-4 in 4 of 5." in answer.headline
    found = standings(answered(items, design)[0].scored[0])
    assert [each.rank_status for each in found.ranked] == ["best", "unequal"]


def test_one_seed_alone_is_not_judged_even_where_it_failed():
    items = [trial(0, 1e-4, 25.0, collapsed=True), trial(0, 2e-4, 40.0, collapsed=False)]
    assert row_of(items, Design.fixed([0]))[0]["verdict"] == "not judged: too few seeds"


def test_the_best_median_of_a_setting_counts_lost_seeds_as_its_ranking_does():
    """MLflow's leaderboard was won by the one seed of five that did not fail."""
    items = [trial(seed, 1e-4, 25.0 if seed == 0 else None, status="failed" if seed else "done") for seed in range(5)]
    items += [trial(seed, 2e-4, None, status="failed") for seed in range(2)]
    items += [trial(seed, 2e-4, 40.0 + seed) for seed in range(2, 5)]
    lost, won = (each["numbers"] for each in sorted(summaries(tables_of(items)), key=lambda each: each["label"]))
    assert "fid.best" not in lost
    assert "fid.median" not in lost
    assert won["fid.best"] == won["fid.median"] == 44.0


def test_of_equal_collapses_it_is_not_said_that_none_was_seen():
    _, sentence, _ = row_of(pair(12, 0.02, 0.03, collapsed=(1, 1)))
    assert "none was seen" not in sentence


# ------------------------------------------------------------------------------- what a later look may not do


def test_a_level_that_is_added_does_not_make_others_easier_to_decide():
    """Nine levels are compared with their neighbours alone, and still count as the 28 tests of eight."""

    def decided(levels):
        items = []
        for i in range(levels):
            for seed in range(8):
                gap = 0.35 if i == 0 else 0.0
                items.append(trial(seed, 1e-4 * (i + 1), np.exp(4 - gap + 0.2 * NOISE[(5 * i + 7 * seed) % 12])))
        _, rows, _ = answered(items)
        (row,) = (r for r in rows if {r["first_level"], r["second_level"]} == {"0.0001", "0.0002"})
        return len(rows), row["corrected"] / row["repeated"]

    assert decided(8) == (28, pytest.approx(28))
    assert decided(9) == (8, pytest.approx(28))


def test_an_average_counts_a_seed_only_when_all_that_it_averages_have_it():
    """Seeds 5 to 7 of one of two betas: the learning rate's average stays at the look of five."""
    items = []
    for beta in (0.5, 0.9):
        for seed in range(8 if beta == 0.5 else 5):
            for rate, gap in ((1e-4, 0.0), (2e-4, 0.1 if beta == 0.5 else -0.1)):
                changed = digits_trial(seed, betas_g=(beta, 0.999), betas_d=(beta, 0.999))
                fid = np.exp(4 + gap + 0.05 * NOISE[(5 * seed + int(1e5 * rate)) % 12])
                items.append(stored(with_lr(changed, rate), fid=fid))
    made = report_of(items, designs={("test", 1, "full", "digits"): LOOKS}).all
    average = table(made, "factor-learning-rate-lenet").rows
    assert average[average["key"] == "fid"]["seeds"].tolist() == [5]
    held = table(made, "factor-learning-rate-other-values-held").rows
    assert sorted(held[held["key"] == "fid"]["seeds"]) == [5, 8]


@pytest.mark.parametrize("begun", [0, 1, 5])
def test_settings_are_compared_one_by_one_before_those_that_they_are_averaged_with_have_begun(begun):
    """Decided betas of one learning rate were missing until the other one had a score."""
    items = []
    for rate in (1e-4, 2e-4):
        for seed in range(5):
            for beta, gap in ((0.5, 0.0), (0.9, 0.5)):
                item = with_lr(digits_trial(seed, betas_g=(beta, 0.999), betas_d=(beta, 0.999)), rate)
                fid = np.exp(4 + gap + 0.03 * NOISE[(seed + int(10 * beta)) % 12])
                items.append(stored(item, fid=fid) if rate == 1e-4 or seed < begun else planned(item))
    study = tables_of(items)
    (held,) = [each for each in factors_of(study.scored[0]) if each.title == "betas, other values held"]
    assert (held.primary[0].recipe, held.primary[0].verdict) == ("lr 1e-4", "(0.5, 0.999)")
    assert len(held.primary) == (2 if begun else 1)


def test_lengths_count_a_seed_only_when_all_settings_that_are_averaged_have_it():
    """Two rates have twelve seeds and two five, as a run until all is decided leaves them; with 22 of 40 such studies
    in which lengths do not differ on average, more epochs were decided to be worse."""
    items = []
    for i, (gap, seeds) in enumerate([(0.1, 12), (0.1, 12), (-0.1, 5), (-0.1, 5)]):
        for seed in range(seeds):
            early = 30 * np.exp(0.1 * NOISE[(seed + 3 * i) % 12])
            fid = early * np.exp(gap + 0.03 * NOISE[(5 * seed + i) % 12])
            items.append(stored(with_lr(digits_trial(seed), 1e-4 * (i + 1)), early=early, fid=fid))
    rows = table(report_of(items, designs={("test", 1, "full", "digits"): LOOKS}).all, "factor-epochs").rows
    (row,) = rows[rows["key"] == "fid"].to_dict("records")
    assert row["seeds"] == 5
    assert row["found"] != "decided"


def swept(seeds, lost, waiting=(), gap=0.2):
    """Judge two rates at two betas: what is better at one beta is as much worse at the other, which lost seeds.

    Args:
        seeds: How many.
        lost: The seeds that either rate lost.
        waiting: Seeds that are still to be trained there.
        gap: Of logarithms.
    """
    items, noise = [], np.random.default_rng(3)
    for beta, effect in ((0.5, -gap), (0.9, gap)):
        for seed in range(seeds):
            for i, rate in enumerate((1e-4, 2e-4)):
                changed = with_lr(digits_trial(seed, betas_g=(beta, 0.999), betas_d=(beta, 0.999)), rate)
                failed = beta == 0.9 and seed in lost[i]
                fid = float(np.exp(4 + effect * i + noise.normal(0, 0.03)))
                item = stored(changed, fid=None if failed else fid, status="diverged" if failed else "done")
                is_planned = beta == 0.9 and seed in waiting
                planned = {"environment": schema.NO_ENVIRONMENT, "evaluations": [], "record": None}
                items.append(replace(item, **planned) if is_planned else item)
    design = Design.fixed(range(5)) if seeds == 5 else LOOKS
    made = report_of(items, designs={("test", 1, "full", "digits"): design})
    rows = table(made.all, "factor-learning-rate-lenet").rows
    (row,) = rows[rows["key"] == "fid"].to_dict("records")
    ((_, _, (answer,)),) = made.studies
    return row, next(each for each in answer.factors if each.startswith("learning rate: "))


@pytest.mark.parametrize(("seeds", "lost"), [(5, (0, 2)), (12, (2, 3, 5, 7, 11)), (12, ())])
def test_an_average_leaves_out_seeds_that_lost_a_setting_on_both_sides(seeds, lost):
    """What was left of these seeds decided for the rate, as neither failed more often than the other."""
    row, _ = swept(seeds, (lost, lost))
    assert (row["seeds"], row["lost"]) == (seeds - len(lost), len(lost))
    assert row["found"] in ("undecided", "not judged", "equivalent")
    assert row["ratio"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("seeds", "lost"), [(5, ((0, 1), (2, 3))), (12, ((0, 1, 2, 3), (4, 5, 6, 7)))])
def test_a_setting_that_lost_seeds_is_no_reason_to_leave_it_out(seeds, lost):
    """Most pairs lacked a score, and what was left, one beta alone, decided for all."""
    row, _ = swept(seeds, lost)
    assert row["seeds"] == seeds - sum(map(len, lost))
    assert row["found"] in ("undecided", "not judged", "equivalent")
    assert row["ratio"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("lost", [(range(6), range(6, 12)), (range(12), range(12))])
def test_settings_that_lost_every_pair_between_them_are_not_left_out_in_silence(lost):
    """No seed has both: the average was of the other beta alone."""
    row, sentence = swept(12, lost)
    assert row["verdict"].startswith("undecided: no seed has a score of every setting")
    assert "is better" not in sentence
    assert not row["open"]


@pytest.mark.parametrize(
    ("seeds", "lost", "found", "following"),
    [
        (8, (range(8), ()), "undecided", 12),
        (8, (range(4), range(4, 8)), "not judged", 12),
        (3, (range(3), ()), "not judged", 5),  # its first look is to come
    ],
)
def test_a_later_look_is_for_seeds_that_may_have_all_settings(seeds, lost, found, following):
    """A setting that failed in every seed kept its factor open, and seeds were trained for it at every look."""
    row, sentence = swept(seeds, lost)
    assert (row["found"], row["open"], row["next"]) == (found, found == "not judged", following)
    assert ("no seed has a score of every setting" in sentence) is (found == "undecided")


@pytest.mark.parametrize(
    ("seeds", "lost", "waiting", "following", "pairs"),
    [
        (5, {}, {(0.0, 0): (0, 1, 2), (0.9, 1): (3, 4)}, 5, 5),
        (2, {(beta, i): (i,) for beta in (0.0, 0.5, 0.9) for i in (0, 1)}, {}, 5, 6),  # no pair has both
    ],
)
def test_a_comparison_that_no_seed_has_of_all_settings_waits_for_the_next_look(seeds, lost, waiting, following, pairs):
    """It was closed as undecided at its first look, or missing in every answer before that."""
    items = []
    for beta in (0.0, 0.5, 0.9):
        for i, rate in enumerate((1e-4, 2e-4)):
            for seed in range(seeds):
                changed = with_lr(digits_trial(seed, betas_g=(beta, 0.999), betas_d=(beta, 0.999)), rate)
                is_lost = seed in lost.get((beta, i), ())
                fid = None if is_lost else np.exp(4 - 0.3 * i + 0.03 * NOISE[seed])
                item = stored(changed, fid=fid, status="diverged" if is_lost else "done")
                planned = {"environment": schema.NO_ENVIRONMENT, "evaluations": [], "record": None}
                items.append(replace(item, **planned) if seed in waiting.get((beta, i), ()) else item)
    made = report_of(items, commands={"test": COMMAND}, designs={("test", 1, "full", "digits"): LOOKS})
    rows = table(made.all, "factor-learning-rate-lenet").rows
    (row,) = rows[rows["key"] == "fid"].to_dict("records")
    ((study, _, (answer,)),) = made.studies
    assert (row["found"], row["open"], row["next"]) == ("not judged", True, following)
    assert row["verdict"] == f"not judged (next look at {following} seeds)"
    (asked,) = [each for each in questions(study) if each.text.startswith("learning rate")]
    assert (asked.state, asked.next, len(asked.settings)) == ("not judged", following, 6)
    (sentence,) = [each for each in answer.factors if each.startswith("learning rate: ")]
    assert sentence.startswith(f"learning rate: not judged before the look at {following} seeds; {pairs} pairs")


@pytest.mark.parametrize("waiting", [(2, 3, 4), (0, 1, 2, 3)])
def test_what_is_still_to_be_trained_is_not_lost(waiting):
    row, _ = swept(5, ((), ()), waiting)
    assert (row["seeds"], row["found"]) == (5 - len(waiting), "not judged")
    assert row["ratio"] == pytest.approx(1, abs=0.1), "of seeds that both betas have"


def test_of_three_levels_it_is_said_which_no_test_judges_and_which_a_look_will():
    """With two levels the sentence said so; with three it promised a look to all of them."""
    items = [trial(seed, 1e-4, 50 * np.exp(0.05 * NOISE[seed])) for seed in range(5)]
    items += [trial(seed, 2e-4, 50 * np.exp(0.05 * NOISE[seed + 5])) for seed in range(5)]
    items += [trial(seed, 3e-4, 40.0 + seed if seed > 2 else None, status="done" if seed > 2 else "diverged")
              for seed in range(5)]  # fmt: skip
    _, _, answer = answered(items)
    (sentence,) = [each for each in answer.factors if each.startswith("learning rate")]
    assert sentence == (
        "learning rate: 3 pairs of 3 levels, 3 undecided; next look at 8 seeds; 0.0001 failed in none, 0.0003 in 3 of "
        "5; 0.0002 failed in none, 0.0003 in 3 of 5."
    )


def test_a_table_for_a_paper_marks_what_no_test_judged_apart_from_what_is_worse():
    """Without a mark it counted as decidedly worse."""
    levels = {1e-4: (50.0, 0), 2e-4: (51.0, 1), 3e-4: (50.5, 0), 4e-4: (90.0, 0)}
    items = [
        trial(seed, rate, fid * np.exp(0.05 * NOISE[(3 * i + seed) % 12]), collapsed=seed < collapsed)
        for i, (rate, (fid, collapsed)) in enumerate(levels.items())
        for seed in range(5)
    ]
    study, _, _ = answered(items)
    text = to_latex(table(study_tables(study), "settings"))
    marks = {
        rate: re.search(rf"& {rate} &.*& (\\textbf|[^&]*\)) ?(\$.*\$)? ?", text) for rate in ("1e-4", "2e-4", "4e-4")
    }
    assert {rate: found[2] for rate, found in marks.items()} == {
        "1e-4": r"$^{\dagger}$",
        "2e-4": r"$^{\ddagger}$",
        "4e-4": None,
    }
    assert "Double dagger: not judged" in text
    assert "Double" not in to_latex(table(study_tables(answered(tied(5))[0]), "settings"))


@pytest.mark.parametrize("lost", [1, 3, 4, 5])
def test_lengths_are_judged_over_what_ended(lost):
    """Where the highest of eight rates diverged in most seeds, nothing was said of the other seven."""
    items = []
    for i in range(8):
        for seed in range(5):
            failed = i == 7 and seed < lost
            early = 30 * np.exp(0.1 * NOISE[(seed + 3 * i) % 12])
            fid = None if failed else early * np.exp(-0.3 + 0.02 * NOISE[(5 * seed + i) % 12])
            trial_ = with_lr(digits_trial(seed), 1e-4 * (i + 1))
            status = "diverged" if failed else "done"
            items.append(stored(trial_, early=None if failed else early, fid=fid, status=status))
    made = report_of(items, designs={("test", 1, "full", "digits"): Design.fixed(range(5))}).all
    rows = table(made, "factor-epochs").rows
    (row,) = rows[rows["key"] == "fid"].to_dict("records")
    assert (row["seeds"], row["found"]) == (5, "decided")


def test_a_setting_left_at_an_earlier_look_does_not_hold_others_back():
    """Of three, one was far behind at five seeds; the next look of the other two, at eight, is that at twelve."""
    items = many(2, 8, gap=0.05) + [trial(seed, 9e-4, np.exp(6 + 0.05 * NOISE[seed])) for seed in range(5)]
    study, _, answer = answered(items)
    (asked,) = [each for each in questions(study) if each.text == "best setting: lr 1e-4 or lr 2e-4"]
    assert asked.next == 12
    assert "next look is at 12 seeds" in answer.headline
    assert answer.proposal.startswith(f"Next: the look at 12 seeds, `{COMMAND} --until decided --max-seeds 12`")


def test_what_is_given_up_before_it_could_be_judged_is_said():
    """So many tests that five seeds cannot decide, and no difference: neither a look to come nor a decision."""
    items = []
    for i in range(8):
        items += [trial(seed, 1e-4 * (i + 1), np.exp(4 + 0.3 * NOISE[(5 * i + 7 * seed) % 12])) for seed in range(5)]
    study, rows, answer = answered(items)
    closed = [row for row in rows if row["found"] == "not judged" and not row["open"]]
    assert closed
    assert {row["verdict"] for row in closed} == {"not judged, given up"}
    if not any(row["open"] for row in rows):
        assert "given up" in " ".join(answer.factors)
    open_ = [each for each in questions(study) if each.next]
    assert all(each.state == "not judged" for each in open_)


def test_a_tie_at_a_look_that_decides_nothing_is_a_tie_in_every_sentence():
    """At three seeds no test decides; the headline gave up what the sentence below it called a tie."""
    items = tied(3)
    _, _, answer = answered(items, Design.of_looks((3, 5)))
    assert "are a tie" in " ".join(answer.factors)
    assert "No setting is decidedly worse: lr 1e-4 may be as good." in answer.headline
    for item in items:
        rate = item.trial["config"]["lr_g"]
        name = "collapsed[lenet-mnist-v1,train,100]"
        item.evaluations[-1]["scores"].append({"metric": "collapsed", "name": name, "value": float(rate == 1e-4)})
    _, _, answer = answered(items, Design.of_looks((3, 5)))
    assert "may be as good" not in answer.headline
    assert "No test judges lr 1e-4: " in answer.headline


def test_the_next_look_is_said_where_it_is_for_some_alone():
    """Three rates: one far behind the best and open, one that was given up."""
    items = pair(5, 0.0, 0.15) + [trial(seed, 9e-4, np.exp(4.3 + 0.3 * NOISE[seed])) for seed in range(5)]
    study, _, answer = answered(items)
    best = [each for each in questions(study) if each.text.startswith("best setting: ")]
    open_ = {each.text.rpartition(" or ")[2] for each in best if each.next}
    closed = {each.text.rpartition(" or ")[2] for each in best if not each.next}
    assert open_, answer
    assert closed, answer
    assert "; the next look is at 8 seeds." in answer.headline


def test_a_tie_asks_for_no_more_seeds():
    """Both differ by less than scoring the same generator twice does."""
    items = tied(5)
    study, (row,), _ = answered(items)
    assert row["found"] == "tie"
    assert [each.next for each in questions(study)] == [None, None]


def test_the_best_is_not_asked_for_an_equivalence_that_nobody_claims():
    study, (row,), _ = answered(pair(5, 0.001, 0.03))
    assert row["open"], "the factor may turn out equivalent"
    (best,) = (each for each in questions(study) if each.text.startswith("best"))
    assert best.next is None


def test_a_fixed_list_that_was_run_in_part_is_completed():
    _, _, answer = answered(pair(3, np.log(2)), Design.fixed(range(5)))
    assert answer.proposal.startswith(f"Next: 5 seeds, which can decide, `{COMMAND} --seeds 0,1,2,3,4`, about ")


def test_an_older_version_of_a_suite_extends_nothing():
    items = [
        stored(with_lr(digits_trial(seed, suite_version=2), rate), fid=50.0 + seed)
        for rate in (1e-4, 2e-4)
        for seed in range(5)
    ]
    items += [stored(with_lr(digits_trial(seed), 1e-4), fid=70.0 + seed) for seed in range(10, 13)]
    made = report_of(items, designs={("test", 2, "full", "digits"): Design.fixed(range(5))})
    (study, _, _), (older, _, _) = made.studies
    assert (study.outdated, older.outdated, older.title) == (None, 1, "test, digits, version 1 (full profile)")
    assert not study.design.extended
    assert older.design.extended, "its plan was replaced"


def test_seeds_of_an_older_version_hold_no_verdict_of_the_newer_one_up():
    """They were averaged with the newer ones, which waited for seeds of theirs that nothing trains any more."""
    items = [
        stored(with_lr(digits_trial(seed, suite_version=version), rate), fid=fid + 0.1 * seed)
        for version, seeds in ((1, 3), (2, 12))
        for rate, fid in ((1e-4, 50.0), (2e-4, 75.0))
        for seed in range(seeds)
    ]
    designs = {("test", 2, "full", "digits"): Design.of_looks()}
    made = report_of(items, commands={"test": COMMAND}, designs=designs)
    (study, _, (answer,)), (_, _, (before,)) = made.studies
    assert answer.headline.startswith("Best setting: lr 1e-4")
    assert answer.proposal is None
    assert "(decided" in answer.factors[0]
    assert "nothing is decided" in before.headline
    assert before.proposal is None, "no command trains its version"
    assert {each.state for each in questions(study)} == {"decided"}


def test_the_version_that_is_run_is_the_plan_s_though_there_are_records_of_a_higher_one():
    items = [
        stored(with_lr(digits_trial(seed, suite_version=version), rate), fid=fid + 0.1 * seed)
        for version, seeds in ((1, 5), (2**31 - 1, 1))
        for rate, fid in ((1e-4, 50.0), (2e-4, 75.0))
        for seed in range(seeds)
    ]
    declared = {"versions": {"test": 1}, "designs": {("test", 1, "full", "digits"): LOOKS}}
    made = report_of(items, commands={"test": COMMAND}, **declared)
    (study, _, (answer,)), (other, _, _) = made.studies
    assert (study.outdated, study.command, other.outdated, other.command) == (None, COMMAND, 2**31 - 1, None)
    assert answer.headline.startswith("Best setting: lr 1e-4")


def test_trials_of_another_version_are_judged_as_that_one_declared():
    items = [
        stored(with_lr(digits_trial(seed, suite_version=version), rate), fid=fid + 0.1 * seed)
        for version in (1, 2)
        for rate, fid in ((1e-4, 50.0), (2e-4, 75.0))
        for seed in range(5)
    ]
    for earlier in ({}, {("test", 1, "full", "digits"): LOOKS}):
        designs = {("test", 2, "full", "digits"): Design.fixed(range(5)), **earlier}
        now, before = studies_of(items, designs=designs)
        assert (now.outdated, now.design) == (None, Design.fixed(range(5)))
        assert (before.outdated, before.design.extended) == (1, not earlier)
        assert before.design.looks == LOOKS.looks or not earlier


def test_trials_of_another_version_are_not_beside_what_a_command_trains():
    """Their names are the same, so that no glob was found for one of two datasets."""
    items = []
    for version in (1, 2):
        for seed in range(5):
            for dataset in ("digits", "mnist"):
                made = digits_trial(seed, suite_version=version, dataset=dataset)
                items.append(stored(replace(made, setting=f"{dataset}-mlp"), fid=50.0 + seed))
    studied = studies_of(items, commands={"test": COMMAND})
    assert [(each.dataset, each.outdated, len(each.others)) for each in studied] == [
        ("digits", None, 5), ("digits", 1, 5), ("mnist", None, 5), ("mnist", 1, 5),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------- questions


def test_questions_name_what_is_open_and_what_it_takes():
    study, _, _ = answered(pair(5, 0.12))
    asked = list(questions(study))
    assert [(each.state, each.next) for each in asked] == [("undecided", 8)] * 2
    assert asked[0].text == "learning rate, mnist-mlp-z100: 0.0001 or 0.0002"
    assert asked[0].settings == asked[1].settings == frozenset(study.trials["group"])
    assert counted(asked) == "2 undecided"


def test_no_question_is_open_after_the_last_look():
    for gap in (0.0, 0.05, 0.12, np.log(2)):
        study, _, _ = answered(pair(12, gap))
        assert all(each.next is None for each in questions(study))


@pytest.mark.parametrize("seeds", [2, 5])
def test_no_seed_is_trained_for_settings_that_changed_between_them(seeds):
    """No test will judge them, before the first look or at it."""
    items = pair(seeds, 0.12)
    assert any(each.next for each in questions(answered(items)[0]))
    for digest, item in zip("ab" * seeds, items, strict=True):
        item.environment["data_sha256"] = digest
    assert all(each.next is None for each in questions(answered(items)[0]))


def test_levels_and_repeated_p_say_the_same():
    for seeds in (5, 8, 12):
        for gap in (0.05, 0.15, 0.3):
            row, _, _ = row_of(pair(seeds, gap, 0.2), WITHOUT_MARGIN)
            assert row["repeated"] == pytest.approx(repeated_p((5, 8, 12), seeds, row["p"]))
            assert (row["found"] == "decided") == (row["p"] <= level((5, 8, 12), seeds))


# --------------------------------------------------- every output by the same rules, whatever was lost


def noisy(item, share):
    """Let a trial's scores scatter by a share of them."""
    for line in item.evaluations:
        for score in line["scores"]:
            score["draw_std"] = share * score["value"] if score["value"] else None
    return item


def tables_of(items):
    """The one study of records."""
    ((study, _, _),) = report_of(items, designs={("test", 1, "full", "digits"): LOOKS}).studies
    return study


@pytest.mark.parametrize(("gap", "state"), [(0.0, "tie"), (0.04, "equivalent"), (np.log(2), "decided")])
def test_a_question_has_the_verdict_s_own_state(gap, state):
    """Ties and equivalents of the best setting were counted as undecided, with which no look is left."""
    items = [
        noisy(item, 0.05) if state == "tie" else item for item in pair(12, gap, 0.0005 if state == "tie" else 0.01)
    ]
    study, _, _ = answered(items)
    assert {each.state for each in questions(study)} == {state}


def tags(study):
    """What MLflow says of each setting, by label."""
    return {each["label"]: each["words"]["verdict"] for each in summaries(study)}


def test_the_headline_calls_no_tie_decided():
    """The test alone did, where the table of factors says that it is noise of scoring."""
    items = [noisy(item, 0.05) for item in pair(5, 0.01, 0.0005)]
    row, sentence, answer = row_of(items)
    assert row["p"] < 0.01
    assert row["verdict"] == "tie"
    assert answer.headline.startswith("Best score: ")
    assert "No setting is decidedly worse: lr 2e-4 may be as good" in answer.headline
    assert "are a tie" in sentence


def test_the_headline_calls_no_equivalent_setting_worse():
    items = pair(12, 0.04, 0.01)
    study, rows, answer = answered(items)
    assert rows[0]["corrected"] < 0.001
    assert rows[0]["verdict"] == "equivalent within 10%"
    assert "No setting is decidedly worse" in answer.headline
    assert tags(study)["lr 2e-4"].startswith("undecided")


def test_a_wild_third_setting_makes_no_tie_of_two_others():
    clean = [noisy(item, 0.01) for item in pair(8, 0.06, 0.01)]
    wild = [noisy(trial(seed, 3e-4, 280.0 + NOISE[seed]), 0.3) for seed in range(8)]
    alone, _, _ = row_of(clean)
    _, rows, _ = answered([*clean, *wild])
    assert alone["verdict"] == rows[0]["verdict"] == "0.0001"


def test_noise_of_later_seeds_makes_no_tie_of_what_a_look_decided():
    """The look at five seeds said decided, and tie once a sixth and a seventh had ended, over the same five."""
    items = [noisy(item, 0.01 if i < 10 else 0.5) for i, item in enumerate(pair(7, 0.06, 0.01))]
    rows = [row_of(items[: 2 * seeds])[0] for seeds in (5, 6, 7)]
    assert [(row["seeds"], row["verdict"]) for row in rows] == [(5, "0.0001")] * 3


def test_noise_of_later_seeds_takes_no_verdict_of_compare_back():
    """A newer folder was worse at five seeds, and within the tolerance once a sixth had ended with wider scores."""

    def side(shift, seeds):
        items = [noisy(item, 0.01 if i < 10 else 0.5) for i, item in enumerate(pair(seeds, 0.06, 0.01))]
        for item in items:
            for line in item.evaluations:
                for score in line["scores"]:
                    score["value"] *= shift if score["metric"] == "fid" and line["epoch"] else 1
        (study,) = studies_of(items, designs={("test", 1, "full", "digits"): LOOKS})
        return {("test",): study}

    for seeds in (5, 6, 7):
        found = [each.of for each in setting_changes(side(1.0, seeds), side(1.08, seeds), None)]
        assert [(each.look.seeds, round(each.noise, 6)) for each in found] == [((0, 1, 2, 3, 4), 0.01)] * 2


def test_a_difference_is_not_held_against_relative_noise():
    """With an FID of zero no ratio is compared: a relative noise of 3 % is no difference of 0.03."""
    items = []
    for seed in range(5):
        items.append(noisy(trial(seed, 1e-4, 0.010 + 1e-4 * NOISE[seed] if seed else 0.0), 0.03))
        items.append(noisy(trial(seed, 2e-4, 0.030 + 1e-4 * NOISE[seed]), 0.03))
    row, _, _ = row_of(items)
    assert row["verdict"] == "0.0001"


def test_a_setting_that_the_test_calls_better_is_not_said_to_be_as_good():
    """Its median is worse and its geometric mean over equal seeds better: five of twelve of the other went wrong."""
    items = []
    for seed in range(12):
        base = 50 + 0.1 * NOISE[seed]
        items.append(trial(seed, 1e-4, base if seed < 7 else 4 * base))
        items.append(trial(seed, 2e-4, (1.001 if seed < 7 else 1.25) * base))
    study, rows, answer = answered(items, WITHOUT_MARGIN)
    found = standings(study.scored[0])
    assert [(each.label, each.rank_status) for each in found.ranked] == [("lr 1e-4", "best"), ("lr 2e-4", "ahead")]
    assert rows[0]["verdict"] == "0.0002"
    assert "lr 2e-4 is decidedly better in the mean over equal seeds, with a worse median" in answer.headline
    assert "as good" not in answer.headline
    assert tags(study)["lr 2e-4"].startswith("ahead: decidedly better than lr 1e-4")


@pytest.mark.parametrize(("design", "seeds"), [(LOOKS, 5), (Design.fixed(range(5)), 5), (LOOKS, 12)])
def test_a_lost_seed_keeps_no_comparison_within_trials_waiting(design, seeds):
    """Epochs and moving averages were "not judged before the look at 5 seeds" for ever."""
    items = []
    for seed in range(seeds):
        item = stored(with_lr(digits_trial(seed), 1e-4), fid=50.0 + NOISE[seed], early=90.0 + NOISE[seed])
        average = {"metric": "fid", "name": "fid[lenet-mnist-v1,train,100,ema]", "value": 30.0 + NOISE[seed]}
        item.evaluations[-1]["scores"].append(average)
        items.append(item if seed != 2 else stored(with_lr(digits_trial(seed), 1e-4), status="diverged"))
    designs = {("test", 1, "full", "digits"): design}
    ((_, tables, (answer,)),) = report_of(items, designs=designs).studies
    for factor, winner in (("epochs", "epoch 2"), ("EMA-of-G", "EMA of G")):
        (row,) = (each for each in table(tables, f"factor-{factor}").rows.to_dict("records") if each["key"] == "fid")
        assert (row["verdict"], row["pairs"], row["lost"]) == (f"{winner} (1 lost)", seeds - 1, 1)
    assert not any("not judged" in each for each in answer.factors)


def test_a_setting_that_failed_in_every_seed_is_named_and_was_not_untrained():
    items = [trial(seed, 1e-4, 50.0 + seed) for seed in range(5)]
    items += [trial(seed, 2e-4, None, status="diverged") for seed in range(5)]
    _, _, answer = answered(items)
    assert "lr 2e-4 failed in every seed" in answer.headline
    assert "no other setting" not in answer.headline
    assert not any("untrained" in each for each in answer.cautions)


@pytest.mark.parametrize(
    ("seeds", "ratios", "said"),
    [
        (5, (0.5, 0.98), "FID still improved at the end of training in 1 of 2 recipes (decided, FID "
         "\N{MULTIPLICATION SIGN} 0.50); undecided in 1; decided before the last look"),
        (5, (0.98, 0.98), "whether FID still improved at the end of training: undecided."),
        (3, (0.5, 0.5), "improved at the end of training: not judged before the look at 5 seeds."),
        (3, (0.5,), "whether FID still improved at the end of training: not judged before the look at 5 seeds."),
    ],
)  # fmt: skip
def test_epochs_improved_where_a_test_says_so(seeds, ratios, said):
    """What the sign alone said "still improved" of all recipes, of which none was decided or judged."""
    items = []
    for epochs, ratio in enumerate(ratios, 2):
        for seed in range(seeds):
            of_length = replace(digits_trial(seed), config=replace(digits_trial(seed).config, epochs=epochs))
            late, early = 50.0 * ratio * np.exp(0.1 * NOISE[seed]), 50.0 * np.exp(0.1 * NOISE[seed - 2])
            items.append(stored(of_length, fid=late, early=early))
    ((_, _, (answer,)),) = report_of(items, designs={("test", 1, "full", "digits"): LOOKS}).studies
    assert any(said in each for each in answer.factors if each.startswith("epochs: ")), answer.factors


def test_what_is_decided_worse_at_the_end_of_training_is_said_at_every_length():
    items = []
    for seed in range(12):
        for epochs, early, late in ((2, 100.0, 50.0), (10, 100.0, 200.0)):
            of_length = replace(digits_trial(seed), config=replace(digits_trial(seed).config, epochs=epochs))
            items.append(stored(of_length, fid=late + NOISE[seed], early=early + NOISE[seed]))
    ((_, tables, (answer,)),) = report_of(items, designs={("test", 1, "full", "digits"): LOOKS}).studies
    (said,) = (each for each in answer.factors if each.startswith("epochs"))
    assert "still improved at the end of training in 1 of 2 recipes (decided" in said
    assert "it was better one evaluation earlier in 1 (decided" in said
    study = tables_of(items)
    assert all("verdict.epochs" in each["words"] for each in summaries(study)), "each setting takes part in one"
    rows = table(tables, "factor-epochs").rows
    assert rows["recipe"].tolist() == ["mnist-mlp-z100, 2 epochs", "mnist-mlp-z100, 10 epochs"]


def test_a_difference_that_does_not_matter_is_no_improvement():
    items = []
    for seed in range(12):
        early, late = 50.0 + NOISE[seed], 49.9 + NOISE[seed] - 0.01 * NOISE[(seed + 5) % 12]
        items.append(stored(digits_trial(seed), fid=late, early=early))
    designs = {("test", 1, "full", "digits"): LOOKS}
    ((_, _, (answer,)),) = report_of(items, designs=designs).studies
    (said,) = (each for each in answer.factors if each.startswith("epochs"))
    assert said.endswith("whether FID still improved at the end of training: no difference that matters.")


def within_trials(collapsed_early=0, collapsed_late=0, collapsed_average=0):
    """Five trials whose FID halves from epoch to epoch and in the average, some of whose generators collapsed."""
    items = []
    for seed in range(5):
        item = stored(with_lr(digits_trial(seed), 1e-4), fid=50.0 + NOISE[seed], early=100.0 + NOISE[seed])
        early, late = (line["scores"] for line in item.evaluations[1:])
        late.append({"metric": "fid", "name": "fid[lenet-mnist-v1,train,100,ema]", "value": 25.0 + NOISE[seed]})
        for scores, mark, count in ((early, "", collapsed_early), (late, "", collapsed_late),
                                    (late, ",ema", collapsed_average)):  # fmt: skip
            name = f"collapsed[lenet-mnist-v1,train,100{mark}]"
            scores.append({"metric": "collapsed", "name": name, "value": float(seed < count)})
        items.append(item)
    return items


@pytest.mark.parametrize(
    ("collapsed", "factor", "verdict", "said"),
    [
        (
            {"collapsed_late": 3},
            "EMA-of-G",
            "undecided: G collapsed in 3 of 5, EMA of G in none",
            "moving average: undecided between G and EMA of G; G collapsed in 3 of 5, EMA of G in none.",
        ),
        (
            {"collapsed_late": 3, "collapsed_average": 3},
            "EMA-of-G",
            "EMA of G",
            "moving average: EMA of G is better than G (decided, FID \N{MULTIPLICATION SIGN} 0.50); decided",
        ),
        (
            {"collapsed_early": 1, "collapsed_late": 3},
            "epochs",
            "undecided: epoch 1 collapsed in 1 of 5, epoch 2 in 3 of 5",
            "epochs: whether FID still improved at the end of training: undecided; ",
        ),
        (  # as all training begins
            {"collapsed_early": 5, "collapsed_late": 1},
            "epochs",
            "epoch 2",
            "epochs: FID still improved at the end of training (decided",
        ),
    ],
)
def test_collapses_count_within_trials_too(collapsed, factor, verdict, said):
    """Neither the moving average nor a later epoch had any: an average that hides them was decidedly better."""
    designs = {("test", 1, "full", "digits"): LOOKS}
    ((_, tables, (answer,)),) = report_of(within_trials(**collapsed), designs=designs).studies
    rows = table(tables, f"factor-{factor}").rows
    assert rows["verdict"][rows["key"] == "fid"].tolist() == [verdict]
    assert any(each.startswith(said) for each in answer.factors), answer.factors


def test_a_recipe_whose_later_epochs_collapsed_more_is_no_improvement():
    others = [replace(digits_trial(seed), config=replace(digits_trial(seed).config, epochs=3)) for seed in range(5)]
    items = [stored(other, fid=50.0 + NOISE[i], early=100.0 + NOISE[i]) for i, other in enumerate(others)]
    made = report_of([*within_trials(collapsed_late=2), *items], designs={("test", 1, "full", "digits"): LOOKS})
    ((_, _, (answer,)),) = made.studies
    (said,) = (each for each in answer.factors if each.startswith("epochs"))
    assert "still improved at the end of training in 1 of 2 recipes" in said
    assert said.endswith("; mnist-mlp-z100, 2 epochs: epoch 1 collapsed in none, epoch 2 in 2 of 5.")


def test_collapses_of_both_g_and_its_average_are_seen():
    """Equivalence was said to leave collapses possible "though none was seen"."""
    items = [trial(seed, 1e-4, 50.0 * np.exp(0.1 * NOISE[seed]), collapsed=seed < 5) for seed in range(12)]
    for seed, item in enumerate(items):
        for metric, value in (("fid", 51.0 * np.exp(0.1 * NOISE[seed] + 0.01 * NOISE[-seed])), ("collapsed", seed < 5)):
            name = f"{metric}[lenet-mnist-v1,train,100,ema]"
            item.evaluations[-1]["scores"].append({"metric": metric, "name": name, "value": float(value)})
    ((_, _, (answer,)),) = report_of(items, designs={("test", 1, "full", "digits"): LOOKS}).studies
    (said,) = (each for each in answer.factors if each.startswith("moving average"))
    assert "are equivalent" in said
    assert "none was seen" not in said


def planned(trial_):
    """A trial that has not begun."""
    return replace(stored(trial_), environment=schema.NO_ENVIRONMENT, evaluations=[], record=None)


def withdrawn(trial_):
    return replace(planned(trial_), withdrawn=True)


def failed(trial_):
    return stored(trial_, status="failed")


@pytest.mark.parametrize(
    ("third", "found"),
    [
        (planned, "undecided"),
        (withdrawn, "decided"),
        (failed, "undecided"),
        (lambda each: replace(failed(each), withdrawn=True), "undecided"),
    ],
    ids=["planned", "withdrawn", "failed", "failed and withdrawn"],
)
def test_settings_that_have_no_score_are_tests_too(third, found):
    """A verdict that two settings of three had alone was taken back when the third one was trained, or tried again."""
    begun = pair(5, 0.14, 0.1)
    items = [*begun, *(third(with_lr(digits_trial(seed), 4e-4)) for seed in range(5))]
    study, (row, *_), answer = answered(items, Design.fixed(range(5)))
    assert 0.05 / 3 < row["p"] < 0.05
    assert row["found"] == found
    champion, (against,) = _champion(study.scored[0]), (each.against for each in standings(study.scored[0]).ranked[1:])
    if third is planned:
        assert champion.path is None
        assert champion.why.endswith("1 may be as good; 1 planned and without a score yet")
        assert [each.label for each in standings(study.scored[0]).of("waiting")] == ["lr 4e-4"]
    if found == "undecided":
        assert row["corrected"] == pytest.approx(3 * row["p"])
        assert against.numbers["corrected"] == pytest.approx(3 * row["p"]), "Holm's 2, times 1.5 for the choice"
        assert "No setting is decidedly worse: lr 2e-4 may be as good" in answer.headline
    else:
        assert row["corrected"] == against.numbers["corrected"] == row["p"]
        assert "It is decidedly better than the other" in answer.headline


@pytest.mark.parametrize(
    ("design", "gap"),
    [(LOOKS, 0.18), (WITHOUT_MARGIN, 0.18), (Design.fixed(range(5)), 0.14)],
    ids=["looks", "no margin", "list"],
)
def test_how_many_trials_of_others_failed_makes_no_tests_fewer(design, gap):
    """Two settings were undecided beside a third with one seed of five, and decided once that had failed, too."""
    found = set()
    for lost in range(6):
        rest = [trial(seed, 4e-4, 60.0 + seed, status="failed" if seed < lost else "done") for seed in range(5)]
        study, (row, *_), _ = answered([*pair(5, gap, 0.1), *rest], design)
        against = standings(study.scored[0]).row("lr 2e-4").against
        found.add((row["first_level"], row["second_level"], row["found"], against.found))
    assert found == {("0.0001", "0.0002", "undecided", "undecided")}


@pytest.mark.parametrize("done", [2, 3, 5])
def test_a_setting_that_its_suite_asks_for_no_longer_keeps_the_looks_that_it_has_the_seeds_of(done):
    """Before the third setting had come to the look, the others' verdict was decided, and taken back."""
    gone, other = pair(5, 0.14, 0.1)[::2], pair(5, 0.14, 0.1)[1::2]
    gone = [replace(item, withdrawn=True) for item in gone]
    third = [with_lr(digits_trial(seed), 4e-4) for seed in range(5)]
    values = [60.0 * np.exp(0.2 * NOISE[-seed]) for seed in range(5)]
    rest = [stored(each, fid=values[seed]) if seed < done else planned(each) for seed, each in enumerate(third)]
    _, rows, answer = answered([*gone, *other, *rest], Design.fixed(range(5)))
    assert 0.05 / 3 < rows[0]["p"] < 0.05
    assert rows[0]["found"] == "undecided"
    assert not any("given up" in each for each in (*answer.factors, answer.headline))
    assert "no other shares two seeds" not in answer.headline


def epochs_of(seed, epochs, early=None, fid=None):
    """A trial that is evaluated at its first and its last epoch; planned where it has no score."""
    looks = EvaluationConfig(epochs=(0, 1, epochs), samples=64, extractors=("lenet-mnist-v1",))
    made = digits_trial(seed, epochs=epochs, evaluation=looks)
    return planned(made) if fid is None else stored(made, fid=fid, early=early)


def test_epochs_that_are_planned_are_tests_too():
    """A verdict on one length of training was taken back by those of another."""
    short = [epochs_of(seed, 2, 50.0 * np.exp(0.15 + 0.1 * NOISE[seed]), 50.0) for seed in range(5)]

    def found(others):
        made = report_of([*short, *others], designs={("test", 1, "full", "digits"): Design.fixed(range(5))})
        rows = table(made.all, "factor-epochs-lenet").rows
        return rows[rows["key"] == "fid"].to_dict("records")

    (alone,) = found([])
    assert 0.05 / 2 < alone["p"] < 0.05
    assert alone["found"] == "decided"
    (beside,) = found([epochs_of(seed, 3) for seed in range(5)])
    assert beside["found"] == "undecided"


@pytest.mark.parametrize(("early", "late", "found"), [((5, 6), (0,), "undecided"), ((0, 5), (6, 5), "decided")])
def test_collapses_between_epochs_count_at_the_look(early, late, found):
    """Seeds beyond it were counted."""
    items = []
    for seed in range(7):
        item = epochs_of(seed, 2, 100.0 * np.exp(0.02 * NOISE[seed]), 50.0)
        for line in item.evaluations[1:]:
            value = float(seed in (early if line["epoch"] == 1 else late))
            name = "collapsed[lenet-mnist-v1,train,100]"
            line["scores"].append({"metric": "collapsed", "name": name, "value": value})
        items.append(item)
    made = report_of(items, designs={("test", 1, "full", "digits"): LOOKS})
    rows = table(made.all, "factor-epochs-lenet").rows
    (row,) = rows[rows["key"] == "fid"].to_dict("records")
    assert (row["seeds"], row["found"]) == (5, found)


def test_a_tag_says_of_the_best_that_no_test_judged_it_or_that_it_is_alone():
    """One that no test judges was "no other is decidedly worse", and one alone "not judged"."""
    study, _, _ = answered(pair(5, np.log(2), collapsed=(0, 2)), Design.fixed(range(5)))
    assert tags(study)["lr 1e-4"] == "best: not judged"
    (study,) = studies_of(pair(5, 0.1)[::2])
    assert list(tags(study).values()) == ["best: nothing to compare it with"]


def test_no_setting_is_the_best_before_all_have_begun():
    """It was decided, and registered as the champion, over those that were trained first."""
    items = [*pair(5, np.log(2)), *(planned(with_lr(digits_trial(seed), 4e-4)) for seed in range(5))]
    study, _, answer = answered(items, Design.fixed(range(5)))
    assert answer.headline.startswith("Best score so far: lr 1e-4")
    assert "It is decidedly better than the other finished one" in answer.headline
    champion = _champion(study.scored[0])
    assert (champion.path, champion.why) == (
        None,
        "lr 1e-4 is not decided: 1 decidedly worse; 1 planned and without a score yet",
    )
    assert tags(study)["lr 1e-4"] == "best: decidedly better than 1 of 2 others"


@pytest.mark.parametrize("factor", ["epochs", "EMA-of-G"])
@pytest.mark.parametrize("other", [planned, failed])
def test_comparisons_within_trials_that_have_no_score_are_tests_too(factor, other):
    items = []
    for seed in range(5):
        early, average = 50.0 * np.exp(0.15 + 0.1 * NOISE[seed]), 50.0 * np.exp(0.13 + 0.1 * NOISE[seed])
        item = stored(digits_trial(seed, ema_decay=0.9), fid=50.0, early=early)
        score = {"metric": "fid", "name": "fid[lenet-mnist-v1,train,100,ema]", "value": average}
        item.evaluations[-1]["scores"].append(score)
        others = config_of(
            "mnist-mlp-z64",
            **{"dataset": "digits", "epochs": 2, "seed": seed, "ema_decay": 0.9, "train_limit": 300},
            evaluation=digits_trial().config.evaluation,
        )
        items += [item, other(replace(digits_trial(), setting="mnist-mlp-z64,dataset=digits", config=others))]
    design = Design.fixed(range(5))
    for some, tests in ((items[::2], 1), (items, 2)):
        made = report_of(some, designs={("test", 1, "full", "digits"): design})
        rows = table(made.all, f"factor-{factor}").rows
        (row,) = rows[rows["key"] == "fid"].to_dict("records")
        assert 0.025 < row["p"] < 0.05
        assert row["corrected"] == pytest.approx(tests * row["p"])


@pytest.mark.parametrize("design", [LOOKS, Design.fixed(range(5))], ids=["looks", "list"])
def test_a_faulty_record_decides_nothing_that_it_held_up(design):
    """A file of a collapsed seed was lost, and "no test judges" became "decided" over the others."""
    items = pair(5, np.log(2), collapsed=(1, 0))
    row, _, answer = row_of(items, design)
    assert (row["found"], row["why"]) == ("undecided", "0.0001 collapsed in 1 of 5, 0.0002 in none")
    row, _, answer = row_of([replace(items[0], fault=DamagedError("environment.json is lost")), *items[1:]], design)
    assert row["found"] == "not judged"
    assert "decided" not in answer.headline
    assert "continues; 1 trial left" in answer.proposal


@pytest.mark.parametrize("collapsed", [(1, 0), (0, 1)])
def test_a_lost_record_of_a_collapse_decides_nothing(collapsed):
    """Without a file of the seed that had collapsed, of a setting that was withdrawn, the other was better."""
    items = pair(5, np.log(2), collapsed=collapsed)
    gone = [replace(each, withdrawn=each.trial["config"]["lr_g"] == (1e-4 if collapsed[0] else 2e-4)) for each in items]
    is_collapsed = [
        "collapsed" in str([s for s in each.evaluations[-1]["scores"] if s["value"] == 1.0]) for each in gone
    ]
    faulty = [replace(each, fault=DamagedError("a file is lost")) if known else each
              for each, known in zip(gone, is_collapsed, strict=True)]  # fmt: skip
    assert sum(is_collapsed) == 1
    for trials in (gone, faulty):
        row, _, answer = row_of(trials)
        assert row["found"] == "undecided", row
        assert "No test judges" in answer.headline
        assert (" failed or lost its record in " in answer.headline) is (trials is faulty), "it did not fail"


def test_a_faulty_record_that_no_run_asks_for_again_is_lost():
    """A damaged record of a setting that was taken out of the suite held every verdict on it up for ever."""
    items = [replace(each, withdrawn=each.trial["config"]["lr_g"] == 2e-4) for each in pair(5, np.log(2), 0.01)]
    faulty = [replace(items[1], fault=DamagedError("a file is lost")), *items[2:], items[0]]
    assert row_of(items)[0]["found"] == "decided"
    row, _, answer = row_of(faulty)
    assert row["found"] != "not judged"
    assert "look" not in answer.headline


def test_records_that_cannot_be_read_come_before_the_next_look():
    items = pair(5, np.log(2), 0.01)
    _, _, answer = answered([replace(items[0], fault=UnreadableError("may not be read")), *items[1:]])
    remedy = "make 1 record readable (`gan-bench verify results` names what): verdicts wait for that"
    assert answer.proposal == f"Next: {remedy}."


def test_a_collapse_counts_under_every_extractor_as_it_is_the_same_generator():
    """Under an extractor that knows no classes, trials were compared as if none had collapsed."""
    made = report_of(
        also_seen_by("inception", pair(5, -np.log(2), collapsed=(2, 0))),
        designs={("test", 1, "full", "digits"): LOOKS},
    )
    ((study, tables, found),) = made.studies
    assert [each.protocol.split(",")[0] for each in found] == ["lenet-mnist-v1", "inception"]
    for scored, answer in zip(study.scored, found, strict=True):
        assert "No test judges lr 1e-4: lr 2e-4 collapsed in none, lr 1e-4 in 2 of 5." in answer.headline
        assert any("undecided between 0.0001 and 0.0002; 0.0001 collapsed in 2 of 5" in each for each in answer.factors)
        assert [len(each.collapsed) for each in standings(scored).rows] == [2, 0]
        assert _sample(standings(scored).row("lr 1e-4")).unfit == "2 of 5 collapsed"
        assert not any("not counted" in each for each in answer.cautions)
    health = [each.rows["collapses"].dropna().tolist() for each in tables if "-health" in each.name]
    assert health == [["2 of 5", "0 of 5"]] * 2


def test_a_new_collapse_is_counted_once_and_left_out_under_every_extractor():
    old, new = (studies_of(also_seen_by("inception", pair(5, 0.5, collapsed=(some, 0)))) for some in (0, 2))
    folders = {(): next(iter(old))}, {(): next(iter(new))}
    counts = {each.setting: (each.old, each.new, each.runs) for each in collapses(*folders)}
    assert counts == {"lr 1e-4": (0, 2, 5), "lr 2e-4": (0, 0, 5)}
    left_out = {
        each.subject.protocol.split(",")[0]: each.left_out
        for each in measured(*folders)
        if each.subject.setting == "lr 1e-4"
    }
    assert left_out == {"lenet-mnist-v1": 2, "inception": 2}


def test_collapses_are_counted_of_the_generators_that_were_looked_at():
    """A remark said "2 of 5 collapsed" of a setting of which the sentence above it said "2 of 2"."""
    items = pair(5, np.log(2), collapsed=(2, 0))
    study, _, answer = answered([*items[:4], *of_fid_alone(items[4::2]), *items[5::2]], LOOKS)
    row = standings(study.scored[0]).row("lr 1e-4")
    assert (row.counted, list(row.remarks())) == (2, ["2 of 2 collapsed, 3 not looked at"])
    assert any(each.startswith("2 of 2 generators of the best setting collapsed") for each in answer.cautions)


def test_a_collapse_that_was_measured_of_one_side_alone_withholds_no_test():
    items = pair(5, -np.log(2), collapsed=(2, 0))
    row, sentence, _ = row_of([*items[::2], *of_fid_alone(items[1::2])])
    assert (row["found"], row["why"]) == ("decided", "")
    assert "collapsed" not in sentence


def test_a_spread_that_is_too_large_for_equivalence_hides_no_new_study():
    _, sentence, _ = row_of(pair(5, 0.15, 0.2), Design.fixed(range(5), margin=0.1))
    assert "; the spread is too large to show equivalence; a new study of 17 seeds would likely decide" in sentence


def test_generators_whose_collapses_nobody_counted_are_not_said_to_have_had_none():
    """Equivalence was said to leave collapses possible "though none was seen" where nobody had looked."""
    row, sentence, answer = row_of(of_fid_alone(pair(12, 0.0, 0.01)))
    assert row["found"] == "equivalent"
    assert sentence.endswith("no difference above the margin; collapses were not counted in every run.")
    assert [each for each in answer.cautions if each.startswith("Collapses were not counted, as no extractor")]
    _, sentence, answer = row_of([*of_fid_alone(pair(1, 0.0)[:1]), *pair(12, 0.0, 0.01, collapsed=(1, 1))[1:]])
    assert sentence.endswith("; collapses were not counted in every run."), "all but one were"
    assert not [each for each in answer.cautions if each.startswith("Collapses were not counted")]
    _, sentence, _ = row_of(pair(12, 0.0, 0.01, collapsed=(1, 1)))
    assert sentence.endswith("; 2 generators collapsed, as many on either side."), "G and its average are of one run"


def test_a_study_that_has_just_begun_compares_no_averages():
    """The report of every suite with moving averages ended in a traceback until a trial of it had ended."""
    begun = stored(digits_trial(0, ema_decay=0.9), fid=None)
    average = {"metric": "fid", "name": "fid[lenet-mnist-v1,train,100,ema]", "value": 290.0}
    begun.evaluations[0]["scores"].append(average)
    ((study, _, (answer,)),) = report_of([replace(begun, record=None)]).studies
    assert not [each for scored in study.scored for each in factors_of(scored) if not each.primary]
    assert answer.headline == "No finished trial has a score."
