"""Settings that a suite asks for no longer, and trials that have no score yet: what is compared, said and proposed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.studies import report_of, stored, studies_of, table, with_lr
from support.trials import digits_trial

from gan_bench.config.design import Design
from gan_bench.config.trial import EvaluationConfig
from gan_bench.records import schema
from gan_bench.report.findings.proposals import questions, whole_command
from gan_bench.report.findings.standings import standings
from gan_bench.report.findings.summaries import summaries
from gan_bench.report.findings.tables import study_tables
from gan_bench.report.study.latex import to_latex

LOOKS = Design.of_looks()
FIVE = Design.fixed(range(5))
NOISE = np.array([0.6, -1.1, 0.3, 1.3, -1.0, 0.7, -0.4, -0.5, 0.9, -0.7, 0.2, -0.3])


def trial(seed, lr=3e-4, fid=None, early=None, *, step=1, status=None, **changes):
    """A record of a setting, planned where it has neither a score nor a status."""
    noise = np.exp(0.1 * NOISE[seed * step % 12])
    made = with_lr(digits_trial(seed, **changes), lr)
    if fid is None and status is None:
        return replace(stored(made), environment=schema.NO_ENVIRONMENT, evaluations=[], record=None)
    scores = {name: value * noise for name, value in (("fid", fid), ("early", early)) if value is not None}
    return stored(made, status=status or "done", samples=made.config.evaluation.samples, **scores)


def gone(*items):
    """These trials, of a setting that the suite as it was last run does not have."""
    return [replace(item, withdrawn=True) for item in items]


def reported(items, design=LOOKS, command="gan-bench run test"):
    made = report_of(items, commands={"test": command}, designs={("test", 1, "full", "digits"): design})
    ((study, tables, answers),) = made.studies
    return study, tables, answers


def primary(tables, part):
    rows = table(tables, part).rows
    return rows[rows["key"] == "fid"].to_dict("records")


def evaluated(*epochs, samples=64):
    return EvaluationConfig(epochs=epochs, samples=samples, extractors=("lenet-mnist-v1",))


def words(study):
    return {each["label"]: each["words"]["verdict"] for each in summaries(study)}


# ---------------------------------------------------------------------------- looks that never come


def test_no_look_is_announced_that_a_withdrawn_setting_of_an_average_will_not_have():
    """It was announced for ever, with a command that trains nothing: another setting of the average had the seeds."""
    items = []
    for beta in (0.5, 0.9):
        for i, rate in enumerate((1e-4, 2e-4)):
            of_gone = (beta, rate) == (0.5, 1e-4)
            made = [
                trial(seed, rate, 50.0 * np.exp(0.06 * i), step=2 * i + 1, betas_g=(beta, 0.999), betas_d=(beta, 0.999))
                for seed in range(5 if of_gone else 8)
            ]
            items += gone(*made) if of_gone else made
    study, tables, (answer,) = reported(items)
    (row,) = primary(tables, "factor-learning-rate-lenet")
    assert (row["verdict"], row["next"], row["seeds"]) == ("undecided", None, 5)
    (said,) = (each for each in answer.factors if each.startswith("learning rate:"))
    assert "next look" not in said
    (asked,) = (each for each in questions(study) if each.text.startswith("learning rate,"))
    assert asked.next is None


def test_an_average_without_withdrawn_settings_waits_for_the_seeds_that_some_have():
    items = [
        trial(seed, rate, 50.0 * np.exp(0.06 * i), step=2 * i + 1, betas_g=(beta, 0.999), betas_d=(beta, 0.999))
        for beta in (0.5, 0.9)
        for i, rate in enumerate((1e-4, 2e-4))
        for seed in range(5 if (beta, rate) == (0.5, 1e-4) else 8)
    ]
    _, tables, _ = reported(items)
    (row,) = primary(tables, "factor-learning-rate-lenet")
    assert (row["verdict"], row["seeds"]) == ("undecided (next look at 8 seeds)", 5)


@pytest.mark.parametrize("seeds", [8, 12])
def test_epochs_wait_for_no_seeds_that_a_withdrawn_setting_will_not_have(seeds):
    items = gone(*(trial(seed, fid=50.0, early=51.0, step=5) for seed in range(5)))
    items += [trial(seed, 5e-4, 51.0, 53.0, step=7) for seed in range(seeds)]
    for i, item in enumerate(items):
        item.evaluations[1]["scores"][0]["value"] *= np.exp(0.1 * NOISE[i % 7])
    _, tables, _ = reported(items)
    (row,) = primary(tables, "factor-epochs")
    assert (row["verdict"], row["seeds"]) == ("undecided", 5)


def test_a_lost_average_beside_a_withdrawn_setting_is_no_test_to_come():
    """Seeds that the withdrawn setting lacks held the count of tests up for ever, and the reason was not said."""
    betas = {beta: {"betas_g": (beta, 0.999), "betas_d": (beta, 0.999)} for beta in (0.5, 0.9)}
    items = gone(*(trial(seed, 1e-4, 50.0, **betas[0.5]) for seed in range(5)))
    items += [trial(seed, 2e-4, 60.0, step=5, **betas[0.5]) for seed in range(8)]
    items += [trial(seed, 1e-4, 50.0, **betas[0.9]) for seed in range(8)]
    items += [trial(seed, 2e-4, 60.0 if seed > 4 else None, status=None if seed > 4 else "failed", **betas[0.9])
              for seed in range(8)]  # fmt: skip
    _, tables, _ = reported(items)
    rows = primary(tables, "factor-learning-rate-lenet")
    assert [(row["found"], row["next"]) for row in rows] == [("undecided", None)], rows


def test_seeds_of_a_fixed_list_are_averaged_without_a_withdrawn_setting_that_was_lost():
    """Each setting comes to what it has of a list, and one of its trials may be all that a withdrawn one has."""
    items = gone(trial(0, 1e-4, status="failed", betas_g=(0.5, 0.999), betas_d=(0.5, 0.999)))
    items += [
        trial(seed, rate, 50.0, step=int(rate * 1e4), betas_g=(beta, 0.999), betas_d=(beta, 0.999))
        for beta, rate in ((0.5, 2e-4), (0.9, 1e-4), (0.9, 2e-4))
        for seed in range(5)
    ]
    _, tables, _ = reported(items, Design.fixed(range(3)).with_seeds(range(5)))
    (row,) = primary(tables, "factor-learning-rate-lenet")
    assert row["seeds"] == 5


def test_no_part_of_an_average_is_judged_beside_a_withdrawn_setting():
    """A setting of which later seeds alone are there will have those of the first look."""
    items = gone(*(trial(seed, 1e-4, 50.0, betas_g=(0.5, 0.999), betas_d=(0.5, 0.999)) for seed in range(5)))
    items += [
        trial(seed, rate, 60.0, step=5, betas_g=(beta, 0.999), betas_d=(beta, 0.999))
        for beta, rate, seeds in ((0.5, 2e-4, range(5)), (0.9, 1e-4, range(5, 8)), (0.9, 2e-4, range(5, 8)))
        for seed in seeds
    ]
    _, tables, _ = reported(items)
    found = [(row["found"], row["next"]) for row in primary(tables, "factor-learning-rate-lenet")]
    assert found == [("not judged", 5)]


def test_the_first_look_comes_beside_a_withdrawn_setting_too():
    """It was given up, "as no other shares two seeds with it"; the suite trains all settings up to their first look."""
    items = [
        *gone(*(trial(seed, fid=50.0) for seed in range(8))),
        *(trial(seed, 5e-4, 51.0, step=5) for seed in range(4)),
    ]
    study, _, (answer,) = reported(items)
    assert answer.headline.endswith("Which setting is best is not judged before the look at 5 seeds.")
    assert not any("given up" in each or "no other shares" in each for each in answer.sentences)
    assert {each.next for each in questions(study)} == {5}


def test_later_looks_come_beside_a_withdrawn_setting_where_they_are_planned():
    done = [
        *gone(*(trial(seed, fid=50.0) for seed in range(8))),
        *(trial(seed, 5e-4, 51.0, step=5) for seed in range(5)),
    ]
    study, _, _ = reported(done)
    assert {each.next for each in questions(study)} == {None}
    study, _, _ = reported([*done, *(trial(seed, 5e-4) for seed in range(5, 8))])
    assert {each.next for each in questions(study)} == {8}


def test_a_setting_that_is_planned_again_in_part_has_come_to_its_look():
    """A run of a part of the suite plans some of its seeds again: without these it seemed to have been cut short."""
    items = [*(trial(seed, fid=50.0) for seed in range(5)), trial(0, 5e-4, 51.0)]
    items += gone(*(trial(seed, 5e-4, 51.0) for seed in range(1, 5)))
    study, tables, (answer,) = reported(items)
    assert (study.withdrawn_labels, study.withdrawn_before_first_look) == (frozenset(), frozenset())
    assert not any("asks for the rest" in each for each in answer.cautions)
    assert len(primary(tables, "factor-learning-rate")) == 1


# ------------------------------------------------------------------------------- what was withdrawn early


def standing_p(study):
    return {each.label: each.against.numbers["corrected"] for each in standings(study.scored[0]).rivals}


@pytest.mark.parametrize(("finished", "pairs", "rivals"), [(4, 6, 6), (1, 6, 6), (0, 1, 1)])
def test_settings_that_were_withdrawn_after_their_first_scores_count_as_tests(finished, pairs, rivals):
    """All but the best and the worst of equal settings withdrawn after four of five seeds: 12 to 19 % false alarms."""
    items = [
        trial(seed, rate, fid, step=step) for rate, fid, step in ((1e-4, 50.0, 1), (2e-4, 60.0, 5)) for seed in range(5)
    ]
    for rate in (3e-4, 4e-4):
        items += gone(*(trial(seed, rate, 55.0 if seed < finished else None, step=7) for seed in range(4)))
    study, tables, (answer,) = reported(items)
    (row,) = primary(tables, "factor-learning-rate")
    assert row["corrected"] == pytest.approx(pairs * row["repeated"]), "with the margin of equivalence no step is made"
    assert standing_p(study) == {"lr 2e-4": pytest.approx(rivals * row["repeated"])}, "Holm's three, doubled"
    assert not any("3e-4" in each for each in answer.factors)
    assert {each.label for each in standings(study.scored[0]).of("withdrawn")} == (
        {"lr 3e-4", "lr 4e-4"} if finished else set()
    )


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.99}])
def test_epochs_and_averages_of_settings_that_were_withdrawn_count_as_tests(changes):
    left = [trial(seed, fid=50.0, early=70.0 + seed, **changes) for seed in range(5)]
    early = gone(
        *(trial(seed, 4e-4, 50.0, 70.0, evaluation=evaluated(0, 1, 3), epochs=3, **changes) for seed in range(4))
    )
    items = [with_average(item) if changes else item for item in (*left, *early)]
    factor = "factor-EMA-of-G" if changes else "factor-epochs"
    (row,) = primary(reported(items)[1], factor)
    assert row["corrected"] == pytest.approx(min(1.0, 2 * row["repeated"]))


# ------------------------------------------------------------------------------- what is to come


@pytest.mark.parametrize("epochs", [(0, 1, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("failed", [1, 4])
def test_epochs_that_are_to_come_are_tests_and_no_rows(epochs, failed):
    """One that failed made a row of them, and the sentence said that nothing had improved."""
    done = [trial(seed, fid=50.0, early=70.0 + seed) for seed in range(5)]
    later = [
        trial(seed, epochs=3, evaluation=evaluated(*epochs), status="failed" if seed < failed else None)
        for seed in range(5)
    ]
    _, tables, (answer,) = reported([*done, *later], FIVE)
    (row,) = primary(tables, "factor-epochs")
    assert (row["found"], row["first_level"], row["second_level"]) == ("decided", "epoch 1", "epoch 2")
    assert row["corrected"] == pytest.approx((len(epochs) - 1) * row["p"])
    (said,) = (each for each in answer.factors if each.startswith("epochs"))
    assert said.startswith("epochs: FID still improved at the end of training (decided")


def with_average(item):
    for line in item.evaluations[1:]:
        (score,) = line["scores"]
        name = score["name"].replace("]", ",ema]")
        line["scores"].append({**score, "name": name, "value": score["value"] * np.exp(-0.3 + 0.02 * len(name))})
    return item


@pytest.mark.parametrize(("factor", "rows"), [("factor-epochs", 1), ("factor-EMA-of-G", 1)])
def test_trials_that_will_have_other_scores_are_waited_for_by_none(factor, rows):
    """A verdict on epochs and on averages waited, or was corrected, for trials that will have another protocol."""
    ema = {"ema_decay": 0.99}
    done = [with_average(trial(seed, fid=50.0, early=70.0 + seed, **ema)) for seed in range(5)]
    others = [trial(seed, 4e-4, evaluation=evaluated(0, 1, 2, samples=500), **ema) for seed in range(5)]
    (alone,) = primary(reported(done, FIVE)[1], factor)
    (beside,) = primary(reported([*done, *others], FIVE)[1], factor)
    assert (beside["found"], beside["corrected"]) == (alone["found"], alone["corrected"])
    assert alone["corrected"] is not None


@pytest.mark.parametrize(("status", "fid"), [("failed", None), ("done", np.nan)])
def test_what_has_no_score_yet_is_not_said_to_have_no_finished_trial(status, fid):
    """A finished one that cannot be scored is one, and MLflow said nothing of it."""
    waiting = [trial(0, 5e-4, fid, status=status), *(trial(seed, 5e-4) for seed in range(1, 5))]
    study, _, (answer,) = reported([*(trial(seed, fid=50.0) for seed in range(5)), *waiting])
    assert "; 1 other setting has no score yet" in answer.headline
    assert words(study)["lr 5e-4"] == "no score yet: 1 of 5 seeds lost"


# --------------------------------------------------------------------------------- what is said


def test_a_setting_that_was_cut_short_has_a_mark_and_a_place_of_its_own():
    """The caption said that it collapsed or failed more often, and its place at the end was not explained."""
    items = [trial(seed, rate, fid) for seed in range(5) for rate, fid in ((3e-4, 50.0), (4e-4, 90.0))]
    study, _, _ = reported([*items, *gone(*(trial(seed, 5e-4, 20.0) for seed in range(2)))], FIVE)
    ranking = table(study_tables(study), "settings")
    text = to_latex(ranking)
    (row,) = (line for line in text.splitlines() if "& 5e-4 &" in line)
    assert r"$^{\S}$" in row
    assert "Section sign: not judged, as it was taken out of the suite before its first look." in text
    assert "ddagger" not in text
    assert "Double dagger" not in text
    assert "counts as the worst; settings that are no longer planned come last." in text
    assert ranking.rows["remarks"].tolist()[:3] == ["", "", "no longer planned"]
    text = to_latex(table(study_tables(reported(items, FIVE)[0]), "settings"))
    assert "Section sign" not in text
    assert "come last" not in text


def test_settings_that_were_cut_short_are_not_said_not_to_be_there():
    """The headline knew no other setting, and the next sentence named some."""
    items = [*(trial(seed, fid=50.0) for seed in range(5)), *gone(*(trial(seed, 5e-4, 60.0) for seed in range(2)))]
    _, _, (answer,) = reported(items)
    assert answer.headline.endswith("(lenet-mnist-v1,train,64).")
    assert answer.cautions[0].endswith("no longer: lr 5e-4.")


# ---------------------------------------------------------------------------- what is proposed


def test_seeds_of_a_withdrawn_setting_are_not_those_of_the_others():
    """Nothing was proposed: the withdrawn setting had all seeds of the list."""
    items = gone(*(trial(seed, fid=50.0) for seed in range(5)))
    items += [trial(seed, rate, 60.0) for seed in range(2) for rate in (4e-4, 5e-4)]
    _, _, (answer,) = reported(items, FIVE)
    assert answer.headline.endswith("is not judged before the look at 5 seeds.")
    assert answer.proposal.startswith("Next: 5 seeds, which can decide, `gan-bench run test")


def test_a_list_that_one_setting_has_in_part_is_not_complete():
    items = [*(trial(seed, fid=50.0) for seed in range(5)), *(trial(seed, 5e-4, 60.0) for seed in range(2))]
    assert reported(items, FIVE)[2][0].proposal.startswith("Next: 5 seeds, which can decide, ")
    assert reported(items, replace(FIVE, inferred=True))[2][0].proposal is None, "nobody declared a list"


@pytest.mark.parametrize("fid", [50.0, 400.0], ids=["trained", "untrained"])
@pytest.mark.parametrize("seeds", [2, 5])
def test_nothing_is_proposed_for_a_study_all_of_whose_settings_were_withdrawn(seeds, fid):
    """ "All 5 seeds ... about 0 s" were."""
    items = gone(*(trial(seed, rate, fid) for seed in range(seeds) for rate in (3e-4, 5e-4)))
    assert reported(items, FIVE)[2][0].proposal is None


def capped(seed, epochs, fid=None):
    return trial(seed, fid=fid, profile="quick", epochs=epochs, evaluation=evaluated(0, epochs))


def test_a_cap_that_an_earlier_run_had_not_stays_in_the_proposed_command():
    """Without it the command would train other trials than those that are left."""
    items = gone(*(capped(seed, 3, fid=90.0) for seed in range(3)))
    items += [capped(0, 2, fid=50.0), capped(1, 2), capped(2, 2)]
    designs = {("test", 1, "quick", "digits"): Design.fixed(range(3))}
    ((_, _, (answer,)),) = report_of(items, commands={"test": "gan-bench run test --epochs 2"}, designs=designs).studies
    assert answer.proposal == "Next: `gan-bench run test --epochs 2` continues; 2 trials left."


def test_seeds_of_withdrawn_settings_are_in_no_proposal():
    long = {"epochs": 3, "evaluation": evaluated(0, 1, 3)}
    items = [
        *gone(*(trial(seed, fid=400.0, **long) for seed in range(8))),
        *(trial(seed, fid=400.0) for seed in range(5)),
    ]
    _, _, answers = reported(items)
    assert "--set epochs=4`: no setting is better than untrained generators yet." in answers[0].proposal
    _, _, answers = reported([*items, trial(5)])
    assert "--seeds 0,1,2,3,4,5`" in answers[0].proposal


def test_the_best_of_the_others_is_one_that_is_compared():
    """A setting that was cut short was named, with a better score than the best."""
    bad = [trial(seed, 3e-4, 60.0) for seed in range(5)]
    others = [trial(seed, 4e-4, 90.0, step=5) for seed in range(5)]
    for item in (*bad, *others):
        (score,) = item.evaluations[-1]["scores"]
        name = score["name"].replace("fid", "collapsed")
        item.evaluations[-1]["scores"].append({"metric": "collapsed", "name": name, "value": float(item in bad)})
    _, _, answers = reported([*bad, *others, *gone(trial(0, 5e-4, 30.0, step=7))])
    assert "the best of the others is lr 4e-4" in answers[0].headline


PROGRAM = {"parts": {"losses/mine": {"name": "__main__", "version": "", "sha256": "a" * 64}}}
FILE = {"parts": {"losses/mine": {"name": "mine.py", "version": "", "sha256": "b" * 64, "path": "mine.py"}}}


def of(item, parts, day=1):
    return replace(item, environment={**item.environment, **parts, "started": f"2026-01-0{day}T10:00:00+00:00"})


@pytest.mark.parametrize(
    ("first", "later", "is_known"), [(PROGRAM, PROGRAM, False), (PROGRAM, FILE, True), (FILE, PROGRAM, False)]
)
def test_a_part_is_known_to_commands_where_the_last_trial_has_it_from_a_file(first, later, is_known):
    """No command was proposed ever again, with the remedy that had been taken."""
    items = [
        of(trial(seed, lr, fid, step=step), *((first, 1) if seed < 5 else (later, 2)))
        for lr, fid, step in ((3e-4, 50.0, 1), (5e-4, 52.5, 5))
        for seed in range(8)
    ]
    _, _, answers = reported(items)
    assert ("`gan-bench run test" in (answers[0].proposal or "")) == is_known


def test_no_command_trains_a_study_of_a_program_that_its_suite_asks_for_no_longer():
    items = [of(trial(seed, lr, 50.0), PROGRAM) for lr in (3e-4, 5e-4) for seed in range(5)]
    (study,) = studies_of(gone(*items), commands={"test": "gan-bench run test"})
    assert whole_command(study) is None


def test_a_part_of_a_setting_that_left_the_suite_is_no_matter_of_commands():
    left = gone(*(of(trial(seed, 4e-4, 50.0), PROGRAM) for seed in range(5)))
    rest = [
        trial(seed, lr, fid, step=step) for lr, fid, step in ((3e-4, 50.0, 1), (5e-4, 52.5, 5)) for seed in range(5)
    ]
    _, _, answers = reported([*left, *rest])
    assert "`gan-bench run test" in answers[0].proposal
