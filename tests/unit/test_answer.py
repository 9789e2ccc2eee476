"""The few sentences that a study comes to, and the ranking behind them: no survivor wins."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.studies import report_of, stored, studies_of, table, with_lr
from support.trials import digits_trial

from gan_bench.config.design import Design
from gan_bench.config.trial import EvaluationConfig
from gan_bench.core.errors import DamagedError
from gan_bench.core.text import matches
from gan_bench.records.record import Protocol
from gan_bench.records.schema import NO_ENVIRONMENT
from gan_bench.report.card.text import ScoreRow, _rank_in_words
from gan_bench.report.findings.answer import answers_markdown
from gan_bench.report.findings.factors import factors_of
from gan_bench.report.findings.find_setting import _champion, finished_settings
from gan_bench.report.findings.pairs import paired
from gan_bench.report.findings.proposals import Question, planned_command, proposal, whole_command
from gan_bench.report.findings.standings import standings
from gan_bench.report.findings.summaries import summaries
from gan_bench.report.study.stats import Interval
from gan_bench.terminal.console import PlainConsole
from gan_bench.terminal.tables import print_answers

SEEDS = range(5)
EVALUATION = EvaluationConfig(epochs=(0,), samples=64, extractors=("lenet-mnist-v1",))
COMMAND = "gan-bench run test --profile full"


def trials(lr, fids, **options):
    """One trial per seed; None is one that failed."""
    return [
        stored(with_lr(digits_trial(seed), lr), fid=fid, status="failed" if fid is None else "done", **options)
        for seed, fid in enumerate(fids)
    ]


def answer(items, command=COMMAND):
    made = report_of(items, commands={"test": command} if command else {})
    ((_, _, (found,)),) = made.studies
    return found


def test_a_clear_effect_of_five_seeds_is_decided():
    found = answer([*trials(2e-4, (50, 52, 49, 51, 50.5)), *trials(3e-4, (80, 83, 79, 84, 81))])
    assert "decidedly better than the other." in found.headline
    (lr,) = (sentence for sentence in found.factors if sentence.startswith("learning rate"))
    assert lr.startswith("learning rate: 0.0002 is better than 0.0003 (decided, FID \N{MULTIPLICATION SIGN} 0.6")
    assert found.proposal is None


@pytest.mark.parametrize("rates", [(2e-4,), (2e-4, 3e-4)], ids=["one setting", "none judged"])
def test_collapses_that_were_not_counted_are_said_where_nothing_is_compared_too(rates):
    """The sentence went with the verdicts, said that LeNet knows no classes, and asked for nothing."""
    found = answer([each for rate in rates for each in trials(rate, (50,))])
    said = "Collapses were not counted, as no extractor of these scores was trained on the classes of these images: "
    assert f"{said}check the samples." in found.cautions


def test_a_seed_that_was_scored_otherwise_as_well_withdraws_no_verdict():
    """One seed trained again with other --samples: "not judged before the look at 5 seeds; 1 pair lost"."""
    items = [*trials(2e-4, (50, 52, 49, 51, 50.5)), *trials(3e-4, (80, 83, 79, 84, 81))]
    before = answer(items).factors
    for lr in (2e-4, 3e-4):
        trial = digits_trial(0)
        evaluation = replace(trial.config.evaluation, samples=400)
        other = with_lr(replace(trial, config=replace(trial.config, evaluation=evaluation)), lr)
        items.append(stored(other, fid=60.0, samples=400))
    made = report_of(items, commands={"test": COMMAND})
    sentences = [sentence for *_, found in made.studies for each in found for sentence in each.factors]
    assert before[0] in sentences
    assert not any("without a score" in sentence for sentence in sentences)


def of(items, **environment):
    return [replace(item, environment={**item.environment, **environment}) for item in items]


def code_of(name, digest, path="/my.py"):
    return {"parts": {name: {"name": "my.py", "version": "", "sha256": digest, "path": path}}}


def in_program(name, digest, version="rule 2"):
    return {"parts": {name: {"name": "__main__", "version": version, "sha256": digest, "path": None}}}


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ({"data_sha256": "a"}, {"data_sha256": "b"}, "the images of digits"),
        (code_of("losses/mine", "a"), code_of("losses/mine", "b"), "the code of losses/mine"),
        (code_of("losses/mine", "a"), code_of("losses/other", "b"), ""),
        (code_of("measures/mine", "a"), code_of("measures/mine", "b"), ""),
        (in_program("losses/mine", "a"), in_program("losses/mine", "b"), "the code in the program of losses/mine"),
        (in_program("losses/mine", "a"), code_of("losses/mine", "b"), ""),  # it may have moved into a file
        (in_program("losses/mine", "a", "bytecode"), in_program("losses/mine", "b", "bytecode"), ""),  # of two Pythons
        (code_of("losses/packaged", "a", None), code_of("losses/packaged", "b", None), ""),
        ({}, {"data_sha256": "b"}, ""),
    ],
)
def test_trials_of_other_images_or_code_are_not_compared(before, after, changed):
    worse, better = trials(2e-4, (80, 83, 79, 84, 81)), trials(3e-4, (50, 52, 49, 51, 50.5))
    found = answer([*of(worse, **before), *of(better, **after)])
    (lr,) = (sentence for sentence in found.factors if sentence.startswith("learning rate"))
    if not changed:
        assert "decidedly better than the other." in found.headline
        assert not any("different times" in each for each in found.cautions)
        return
    assert f"No test judges lr 2e-4: {changed} changed between them." in found.headline
    assert lr.startswith("learning rate: undecided between 0.0002 and 0.0003")
    assert f"Trials are of different times: {changed} changed" in found.cautions[0]


def test_no_command_is_proposed_for_a_part_that_the_program_registered():
    """It said "Next: `gan-bench run … --set loss=mine`", which knows no such loss."""
    items = [*trials(2e-4, (50, 60, 45, 51, 52)), *trials(3e-4, (55, 52, 50, 51, 53))]
    items[0] = replace(items[0], record=None)
    assert "`gan-bench run" in proposal_of(items)
    own_part = of(items, **in_program("losses/mine", "a"))
    assert proposal_of([items[0], *own_part[1:]]).startswith("Next: no command knows losses/mine, which the program")
    (study,) = studies_of(own_part, commands={"test": COMMAND})
    assert whole_command(study) is None, "the page and the card name it"


def test_after_undeclared_seeds_new_ones_are_proposed_in_a_folder_of_their_own():
    items = [*trials(2e-4, (50, 60, 45, 51, 52)), *trials(3e-4, (55, 52, 50, 51, 53))]
    design = {("test", 1, "full", "digits"): Design.fixed((0, 1, 2))}
    (study,) = studies_of(items, commands={"test": "gan-bench run test --seeds 0-4"}, designs=design)
    assert proposal(study.scored[0]).startswith("Next: new seeds, all declared before the first, in another folder")


def test_more_seeds_of_a_training_in_which_nothing_was_learned_are_not_proposed():
    """The reason was "more seeds would not help", beside "3 not judged, as seeds are too few"."""
    assert proposal_of([*trials(2e-4, (350, 360)), *trials(3e-4, (355, 352))]) == (
        "Next: longer training, `gan-bench run test --profile full --set epochs=4`: "
        "no setting is better than untrained generators yet."
    )


def test_a_retry_of_seeds_that_other_settings_lack_says_what_else_it_trains():
    """Only the seed is named, so that the command trains it of every setting."""
    items = [*trials(2e-4, (50, 60, 45)), *trials(3e-4, (55, 52, 50))]
    items.append(stored(with_lr(digits_trial(3), 3e-4), fid=None, status="failed"))
    found = proposal_of(items)
    assert " --seeds 3 --retry-failed` tries 1 failed trial again, and trains 1 other trial of these seeds" in found


@pytest.mark.parametrize(
    ("fids", "dataset", "is_there"),
    [((200, 210), "digits", True), ((200, None), "digits", True), ((200, "planned"), "digits", False),
     ((None, None), "digits", False), ((200,), "digits", True), ((), "digits", False), ((200, 210), "mnist", False)],
    ids=["ended", "one failed", "one left", "all failed", "of fewer seeds", "not begun", "of other images"],
)  # fmt: skip
@pytest.mark.parametrize("short", [{"epochs": 2}, {"epochs": 1, "evaluation": EVALUATION}])
def test_a_longer_training_that_has_ended_is_not_proposed_again(fids, dataset, is_there, short):
    """The proposed command had "6 finished, 0 to run", and nothing named the part of the report that it had made."""
    items = [stored(with_lr(digits_trial(seed, **short), lr), fid=350.0) for seed in (0, 1) for lr in (2e-4, 3e-4)]
    for lr in (2e-4, 3e-4):
        for seed, fid in enumerate(fids):
            longer = with_lr(digits_trial(seed, suite="test+set", epochs=4, dataset=dataset), lr)
            made = stored(longer, fid=fid, status="failed" if fid is None else "done")
            items.append(planned_again(made) if fid == "planned" else made)
    found = next(
        each for study, _, (each,) in report_of(items, commands={"test": COMMAND}).studies if study.suite == "test"
    )
    if is_there:
        assert (
            found.proposal == "Next: read test+set, digits (full profile): it has longer trainings of these settings."
        )
    else:
        assert found.proposal.startswith("Next: longer training, `gan-bench run test ")


@pytest.mark.parametrize(("early", "is_worse"), [((320.0, 320.0), True), ((320.0, 380.0), False)], ids=["all", "one"])
def test_a_longer_training_is_not_proposed_where_training_on_made_scores_worse(early, is_worse):
    """ "Next: longer training" stood below "it was better one evaluation earlier (decided)"."""
    items = []
    for recipe, before in zip(("mnist-mlp-z100", "mnist-mlp-z64"), early, strict=True):
        for seed, fid in enumerate((350.0, 360.0, 352.0, 355.0, 358.0)):
            trial = digits_trial(seed)
            of_recipe = replace(trial, config=replace(trial.config, recipe=recipe))
            items.append(stored(of_recipe, fid=fid, early=before + seed))
    assert proposal_of(items).startswith("Next: another learning rate or loss, not a longer ") == is_worse


def test_a_cap_that_cut_nothing_is_no_reason_why_a_training_was_short():
    """The command without it made the trials that were there."""
    found = answer([*trials(2e-4, (350, 360)), *trials(3e-4, (355, 352))], f"{COMMAND} --epochs 100")
    assert found.proposal.startswith(f"Next: longer training, `{COMMAND} --set epochs=4`: ")


def proposal_of(items):
    (study,) = studies_of(items, commands={"test": COMMAND})
    return proposal(study.scored[0])


def test_trials_of_several_machines_are_named():
    worse, better = trials(2e-4, (80, 83, 79, 84, 81)), trials(3e-4, (50, 52, 49, 51, 50.5))
    found = answer([*of(worse, device_name="AMD EPYC"), *of(better, device_name="NVIDIA H200")])
    assert [each for each in found.cautions if each.startswith("Trials ran on several devices (AMD EPYC, NVIDIA H")]
    assert "decidedly better than the other." in found.headline
    same = answer([*of(worse, device_name="AMD EPYC"), *of(better[:-1], device_name="AMD EPYC"), better[-1]])
    assert not any("several devices" in each for each in same.cautions)


def test_no_effect_is_undecided_with_what_it_would_take():
    found = answer([*trials(2e-4, (50, 60, 45, 55, 52)), *trials(3e-4, (55, 52, 50, 51, 53))])
    assert "may be as good" in found.headline
    (lr,) = (sentence for sentence in found.factors if sentence.startswith("learning rate"))
    assert lr.startswith("learning rate: undecided between 0.0002 and 0.0003")


@pytest.mark.parametrize(
    ("seeds", "said"),
    [(5, "not judged before the look at 8 seeds"), (12, "may be as good"), (1, "as seeds are too few")],
)
def test_cards_and_champions_claim_no_more_than_the_answer(seeds, said):
    """11 settings "may be as good" on a card beside "not judged before the look at 8 seeds" in the answer."""
    fids = 50 * np.exp(np.random.default_rng(0).normal(0, 0.1, 12))
    items = [each for i in range(12) for each in trials(1e-4 * (i + 1), np.roll(fids, i)[:seeds])]
    design = Design.of_looks((5, 8, 12)) if seeds > 1 else Design.fixed(range(1))
    made = report_of(items, commands={"test": COMMAND}, designs={("test", 1, "full", "digits"): design})
    ((study, _, (found,)),) = made.studies
    first, *others = standings(study.scored[0]).ranked
    assert f"11 {said}" in _rank_in_words(first) or f"11 not judged, {said}" in _rank_in_words(first)
    assert f"11 {'not judged, ' * (seeds == 1)}{said}" in _champion(study.scored[0]).why
    assert ("may be as good" in found.headline) == (seeds == 12)
    for each in others:
        assert ("undecided against" in _rank_in_words(each)) == (seeds == 12)
        assert ("not judged" in _rank_in_words(each)) == (seeds < 12)


def test_where_only_the_best_score_is_of_no_use_the_best_of_the_others_is_named():
    """ "No setting is of use yet" stood above two of three settings that had neither collapsed nor failed to learn."""
    items = [*trials(2e-4, (50, 52, 49, 51, 50.5)), *trials(3e-4, (80, 83, 79, 84, 81)), *trials(4e-4, (9, 9.1, 9.2))]
    for item in items:
        is_collapsed = item.trial["config"]["lr_g"] == 4e-4
        score = {"metric": "collapsed", "name": "collapsed[lenet-mnist-v1,train,100]", "value": float(is_collapsed)}
        item.evaluations[-1]["scores"].append(score)
    made = report_of(items, commands={"test": COMMAND})
    ((study, _, (found,)),) = made.studies
    other = "lr 2e-4, FID 50.50 (49 to 52) over 5 seeds"
    assert found.headline.startswith(
        "The best score is of no use: all generators of the best collapsed; the best of the others is "
        f"{other}. Best score: lr 4e-4, FID 9.1"
    )
    assert (found.usable, found.other, found.best) == (False, other, "lr 4e-4")
    best = standings(study.scored[0]).best
    assert _rank_in_words(best).endswith("; its score is of no use, and of the others lr 2e-4 is the best.")
    verdicts = [each["words"]["verdict"] for each in summaries(study) if each["label"] == "lr 4e-4"]
    assert verdicts == ["best score, and of no use: all of its generators collapsed"]
    alone = answer([item for item in items if item.trial["config"]["lr_g"] == 4e-4])
    assert alone.headline.startswith("No setting is of use yet: all generators of the best collapsed. Best score: ")
    assert (alone.usable, alone.other) == (False, "")


def test_a_card_writes_the_scores_of_a_row_alike():
    share, fid = (
        ScoreRow(name, Protocol("lenet-mnist-v1,train,100"), Interval(*values, 5), 0.1, None)
        for name, values in (("precision", (0.794, 0.787, 0.801)), ("fid", (50.0, 49.0, 51.0)))
    )
    assert share.texts[1:4] == ("0.794 ± 0.007", "0.100", "")
    assert fid.texts[1:4] == ("50 ± 1", "0.1000", "")


def interaction(at_low, at_high):
    """Betas at two learning rates: FIDs at (0.5, 0.999) by rate, against about 50 at (0.9, 0.999)."""
    items = []
    for lr, fids in ((2e-4, at_low), (3e-4, at_high)):
        for betas, values in (((0.5, 0.999), fids), ((0.9, 0.999), (50, 51, 49, 50, 52))):
            for seed, fid in enumerate(values):
                trial = with_lr(digits_trial(seed, betas_g=betas, betas_d=betas), lr)
                items.append(stored(trial, fid=fid))
    return items


def test_an_effect_at_one_value_of_another_factor_is_not_averaged_away():
    items = interaction((400, 30, 500, 20, 450), (20, 21, 20, 22, 21))
    found = answer(items)
    averaged, held = (sentence for sentence in found.factors if sentence.startswith("betas"))
    assert averaged.startswith("betas: undecided between (0.5, 0.999) and (0.9, 0.999)")
    assert held.startswith(
        "betas, other values held: (0.5, 0.999) is better than (0.9, 0.999) in 1 of 2 comparisons (decided, FID"
    )
    rows = table(report_of(items).all, "factor-betas-other-values-held").rows
    rows = rows[rows["key"] == "fid"].set_index("recipe")
    assert rows["found"].to_dict() == {"lr 2e-4": "undecided", "lr 3e-4": "decided"}
    low, high = (paired("fid", [20, 21, 20, 22, 21], [50, 51, 49, 50, 52], SEEDS).p, rows.loc["lr 2e-4", "p"])
    assert rows["corrected"].to_dict() == pytest.approx({"lr 3e-4": 2 * low, "lr 2e-4": high})


def test_what_goes_with_a_level_is_not_averaged_either():
    """Betas go with optimizers; two kinds of adam against one rmsprop are two comparisons."""
    rms = {"optimizer_g": "rmsprop", "optimizer_d": "rmsprop"}
    adam = [({"betas_g": (b, 0.999), "betas_d": (b, 0.999)}, fid) for b, fid in ((0.5, 20.0), (0.9, 80.0))]
    items = [
        stored(digits_trial(seed, **values), fid=fid + seed) for values, fid in (*adam, (rms, 50.0)) for seed in SEEDS
    ]
    rows = table(report_of(items).all, "factor-optimizer-other-values-held").rows
    rows = rows[rows["key"] == "fid"]
    assert sorted(rows["winner"]) == ["adam", "rmsprop"]
    assert rows["recipe"].str.contains(" against ").all()


def test_what_the_average_says_of_one_comparison_is_not_said_twice():
    items = interaction((), (20, 21, 20, 22, 21))
    assert not [each for each in report_of(items).all if "held" in each.name]
    undecided = interaction((400, 30, 500, 20, 450), (400, 30, 500, 20, 450))
    assert not [sentence for sentence in answer(undecided).factors if "held" in sentence]


def test_many_levels_are_summed_up():
    items = [item for i, lr in enumerate((1e-4, 2e-4, 3e-4, 4e-4, 5e-4)) for item in
             trials(lr, (50, 60, 45, 55, 52) if i else (20, 21, 20, 22, 21))]  # fmt: skip
    said = [sentence for sentence in answer(items).factors if sentence.startswith("learning rate")]
    assert said[0].startswith("learning rate: 0.0001 is better than 0.0002 (")
    assert said[3] == "learning rate: 10 pairs of 5 levels, 6 tied, 1 more decided or probable."
    assert len(said) == 4


def test_the_command_that_names_faulty_files_has_the_folder_of_the_results():
    """It failed as it was typed."""
    items = trials(2e-4, (50, 51, 52))
    items[0] = replace(items[0], fault=DamagedError("a file is lost"))
    found = answer(items, f"{COMMAND} --results 'my results'")
    assert any("(`gan-bench verify 'my results'` names the files)" in each for each in found.cautions)
    found = answer(items, f"{COMMAND} --results -r")
    assert any("(`gan-bench verify ./-r` names the files)" in each for each in found.cautions)


def test_what_settings_do_not_share_is_said_where_they_share_nothing():
    """Twenty settings over five equal seeds were said to share too few."""
    apart = [*trials(2e-4, (50, 51, 52))[:2], *trials(3e-4, (80, 81, 82))[2:]]
    assert answer(apart).headline.endswith("Which setting is best is not judged, as no seed has a score of both.")
    many = [item for i in range(20) for item in trials((i + 1) * 1e-5, 50 + i + np.arange(5))]
    made = report_of(many, designs={("test", 1, "full", "digits"): Design.fixed(range(5))})
    ((_, _, (found,)),) = made.studies
    assert found.headline.endswith("Which setting is best is not judged, as seeds are too few.")


def test_the_next_look_of_several_pairs_is_said_once():
    items = [item for rate in (2e-4, 3e-4, 4e-4) for item in trials(rate, (50, 51, 52))]
    made = report_of(items, designs={("test", 1, "full", "digits"): Design.of_looks()})
    ((_, _, (found,)),) = made.studies
    assert "learning rate: 3 pairs of 3 levels, 3 not judged; next look at 5 seeds." in found.factors


def test_one_seed_is_not_judged_and_five_are_proposed():
    found = answer([*trials(2e-4, (50,)), *trials(3e-4, (80,))])
    assert "Which setting is best is not judged, as seeds are too few." in found.headline
    assert "learning rate: not judged, as seeds are too few; 0.0002 is ahead." in found.factors
    assert "`gan-bench run test --profile full --seeds 0,1,2,3,4`, about 24 s" in found.proposal, "8 trials of 3 s"


@pytest.mark.parametrize(
    ("headline", "times"),
    [("The next look is at 8 seeds.", 1), ("Verdicts need 5 looks.", 1), ("It is overlooked.", 0), ("Best.", 0)],
)
def test_the_terminal_explains_a_look_once_where_answers_have_one(headline, times):
    found = replace(answer(trials(2e-4, (50,))), headline=headline)
    report = SimpleNamespace(unreadable=(), answers=[("a", found), ("b", found)], folder=Path("r"), page=None)
    text = io.StringIO()
    print_answers(report, PlainConsole(file=text))
    assert text.getvalue().count("A look is a number of seeds, declared in advance") == times


@pytest.mark.parametrize("fids", [(50,), (50, 60, 45)])
def test_of_equal_scores_neither_is_ahead(fids):
    """Initial weights that change nothing in a network without convolutions: "dcgan is ahead" of its own bits."""
    items = [
        stored(digits_trial(seed, init=init), fid=fid) for init in ("dcgan", "default") for seed, fid in enumerate(fids)
    ]
    (said,) = (each for each in answer(items).factors if each.startswith("initial weights"))
    one_seed = "initial weights: not judged, as seeds are too few."
    assert said == one_seed if len(fids) == 1 else "dcgan and default are a tie" in said
    rows = table(report_of(items).all, "factor-initial-weights").rows
    assert set(rows["winner"]) == {""}


@pytest.mark.parametrize(
    ("fids", "said"),
    [
        ([(50, 60), (60, 50)], ""),
        ([(50, 60), (60, 60)], "; 0.0002 is ahead in 1 of 2 recipes"),
        ([(60, 50), (50, 60), (60, 50)], "; 0.0003 is ahead in 2 of 3 recipes"),
    ],
)
def test_where_recipes_disagree_as_often_neither_is_ahead(fids, said):
    items = []
    for number, pair in enumerate(fids):
        trial = digits_trial(0)
        trial = replace(trial, config=replace(trial.config, recipe=f"recipe-{number}"))
        items += [stored(with_lr(trial, lr), fid=fid) for lr, fid in zip((2e-4, 3e-4), pair, strict=True)]
    (found,) = (each for each in answer(items).factors if each.startswith("learning rate"))
    assert found == f"learning rate: not judged, as seeds are too few{said}."


def test_settings_of_unequal_cost_are_added_up():
    items = [
        replace(item, record={**item.record, "train_seconds": seconds, "evaluate_seconds": 0.0})
        for lr, seconds in ((2e-4, 10.0), (3e-4, 10.0), (4e-4, 3000.0))
        for item in trials(lr, (50, 60))
    ]
    assert answer(items).proposal.endswith("about 2.5 h."), "three seeds of 3020 s"


def test_records_without_a_command_propose_nothing():
    assert answer([*trials(2e-4, (50,)), *trials(3e-4, (80,))], None).proposal is None


def test_what_has_not_finished_comes_first():
    unfinished = replace(stored(with_lr(digits_trial(4), 2e-4)), record=None)
    found = answer([*trials(2e-4, (50, 51)), unfinished])
    assert found.proposal == f"Next: `{COMMAND}` continues; 1 trial left."


def test_one_seed_is_not_given_up():
    """Two settings of a level are two pairs, and one seed."""
    items = [
        stored(with_lr(digits_trial(0, betas_g=betas, betas_d=betas), lr), fid=fid)
        for betas in ((0.5, 0.999), (0.9, 0.999))
        for lr, fid in ((2e-4, 50), (3e-4, 60))
    ]
    found = answer(items)
    assert any("not judged" in each for each in found.factors)
    assert not any("given up" in each for each in found.factors)
    assert "5 seeds, which can decide" in found.proposal


@pytest.mark.parametrize(
    ("asked", "continues"),
    [
        ("--profile full --epochs 2", "--epochs 2 --profile full"),
        ("--profile quick --epochs 2", "--epochs 2 --profile quick"),
        ("--epochs 2", "--epochs 2"),
        ("--profile full --epochs 1", "--profile quick"),
        ("--profile full", "--profile quick"),
    ],
)
def test_trials_that_a_cap_cut_continue_with_the_profile_that_was_asked_for(asked, continues):
    """They are marked quick, whatever profile was cut; a command with another cap, or with none, was for others."""
    items = [stored(with_lr(digits_trial(seed, profile="quick", epochs=2), 2e-4), fid=50 + seed) for seed in range(2)]
    items[1] = replace(items[1], record=None)
    found = answer(items, f"gan-bench run test {asked}")
    assert found.proposal == f"Next: `gan-bench run test {continues}` continues; 1 trial left."


def test_what_was_asked_for_beyond_the_suite_s_seeds_continues():
    unfinished = replace(stored(with_lr(digits_trial(2), 2e-4)), record=None)
    found = answer([*trials(2e-4, (50, 51)), unfinished], "gan-bench run test --seeds 0-2")
    assert found.proposal == f"Next: `{COMMAND} --seeds 0,1,2` continues; 1 trial left."


@pytest.mark.parametrize(
    ("design", "command", "continues"),
    [
        (Design.fixed(range(3)), COMMAND, f"{COMMAND} --seeds 0,1,2,3"),
        (Design.of_looks((3, 5)), COMMAND, f"{COMMAND} --seeds 0,1,2,3"),
        (Design.of_looks((3, 5)), f"{COMMAND} --until decided", f"{COMMAND} --until decided"),
        (Design.fixed(range(4)), COMMAND, COMMAND),
    ],
)
def test_a_seed_that_the_suite_alone_has_not_is_named_where_it_is_left(design, command, continues):
    """The command without it had nothing to run, and was proposed again for ever."""
    unfinished = replace(stored(with_lr(digits_trial(3), 2e-4)), record=None)
    (study,) = studies_of([*trials(2e-4, (50, 51, 52)), unfinished])
    study.command, study.design = command, design.with_seeds(range(4))
    found = proposal(study.scored[0])
    assert sorted(found.split("`")[1].split()) == sorted(continues.split())


def unscored(item):
    """The same record, whose last images cannot be scored."""
    *before, last = item.evaluations
    return replace(item, evaluations=[*before, {**last, "scores": [{**last["scores"][0], "value": None}]}])


def test_seeds_whose_images_cannot_be_scored_count_as_lost():
    """One score of five, the best of all, headed the ranking with "5 seeds" and no remark."""
    first, *others = trials(2e-4, (20, 21, 22, 23, 24))
    items = [first, *map(unscored, others), *trials(3e-4, (50, 52, 49, 51, 50))]
    found = answer(items)
    assert "3e-4, FID 50" in found.headline
    assert "4 trials failed, diverged or could not be scored and count as worst in the ranking." in found.cautions
    assert any("0.0002 failed in 4 of 5, 0.0003 in none" in each for each in found.factors)
    rows = table(report_of(items).all, "settings").rows
    assert rows["remarks"].tolist()[:2] == ["", "4 failed"]


def test_the_headline_counts_the_seeds_that_have_a_score():
    """It said "over 5 seeds" of four with a score."""
    items = trials(2e-4, (20, 21, 22, 23, 24))
    others = trials(3e-4, (80, 82, 81, 83, 84))
    found = answer([*items[:4], unscored(items[4]), *others])
    assert "over 4 of 5 planned seeds, 1 failed (lenet-mnist-v1,train,100)." in found.headline
    found = answer([*items[:3], *trials(2e-4, (1, 1, 1, None))[3:], unscored(items[4]), *others])
    assert "over 3 of 5 planned seeds, 2 failed (" in found.headline
    assert any("0.0002 failed in 2 of 5, 0.0003 in none" in each for each in found.factors)


def test_a_setting_none_of_whose_seeds_can_be_scored_is_named():
    """The headline knew of "no other setting to compare it with", and MLflow of no score yet."""
    items = [*map(unscored, trials(2e-4, (20, 21, 22))), *trials(3e-4, (80, 82, 81))]
    found = answer(items)
    assert found.headline.endswith("lr 2e-4 failed in every seed.")
    assert (
        "learning rate: undecided between 0.0002 and 0.0003; 3 pairs without a score; 0.0002 failed in every seed"
        in (found.factors[0])
    )
    (study,) = studies_of(items)
    assert [each["words"]["verdict"] for each in summaries(study) if each["label"].endswith("lr 2e-4")] == [
        "failed: 3 of 3 seeds lost"
    ]


def test_the_best_median_counts_seeds_that_cannot_be_scored_where_they_cannot():
    """They were counted as worst at epochs where they have scores, and the last epoch was left out."""
    items = [
        stored(with_lr(digits_trial(seed), 2e-4), fid=fid, early=early)
        for seed, (fid, early) in enumerate(zip((20, 21, 22, 23, 24), (50, 52, 54, 56, 58), strict=True))
    ]

    def best(made):
        (study,) = studies_of(made)
        (found,) = (each["numbers"] for each in summaries(study))
        return found["fid.best"], found["fid.best_epoch"], found.get("fid.median")

    assert best([*items[:3], *map(unscored, items[3:])]) == (22.0, 2.0, 22.0)
    assert best([*items[:2], *map(unscored, items[2:])]) == (54.0, 1.0, None)


def test_epochs_are_not_judged_by_the_seeds_that_could_be_scored_at_both():
    items = [stored(digits_trial(seed), fid=50 + seed, early=90 + seed) for seed in range(5)]
    (study,) = studies_of([*items[:4], unscored(items[4])])
    (epochs,) = (factor for factor in factors_of(study.scored[0]) if factor.name == "epochs")
    assert [each.verdict for each in epochs.primary] == ["undecided: epoch 1 failed in none, epoch 2 in 1 of 5"]


def test_tables_and_curves_by_epoch_are_of_the_trials_with_a_score_at_the_end():
    """The best was worse than the end, of one seed more, and the curve in MLflow ended an epoch earlier."""
    items = [stored(digits_trial(seed), fid=fid, early=early) for seed, fid, early in ((0, 20, 90), (1, 22, 60))]
    items.append(unscored(stored(digits_trial(2), fid=40, early=30)))
    (study,) = studies_of(items)
    tables = report_of(items).all
    (best,), (epochs,) = (table(tables, name).rows.to_dict("records") for name in ("digits-best", "digits-epochs"))
    assert (best["final"], best["best"], best["gap"], best["at"]) == (21.0, 21.0, 0.0, 2.0)
    assert (epochs["epoch_1"], epochs["epoch_2"]) == (75.0, 21.0)
    (best,) = table(report_of([*items[:1], stored(digits_trial(1), fid=22, early=10)]).all, "digits-best").rows.to_dict(
        "records"
    )
    assert best["at"] == 1, "an epoch that somebody evaluated, where 1.5 is in the middle"
    (found,) = summaries(study)
    (name,) = (each for each in found["curves"] if each.startswith("fid["))
    assert [point[:2] for point in found["curves"][name]] == [(0, 300.0), (1, 75.0), (2, 21.0)]


def test_a_survivor_does_not_head_the_table():
    """One seed of five survived, with the best FID of all: its setting ranks last."""
    items = [*trials(2e-4, (20, None, None, None, None)), *trials(3e-4, (50, 52, 49, 51, 50))]
    found = answer(items)
    assert found.best.endswith("lr 3e-4")
    assert "4 trials failed, diverged or could not be scored and count as worst in the ranking." in found.cautions
    rows = table(report_of(items).all, "settings").rows
    assert rows["setting"].tolist()[:2] == ["lr 3e-4", "lr 2e-4"]
    assert rows["seeds"].tolist()[:2] == ["5", "1 of 5"]
    assert rows["median"].iloc[1] == float("inf")


def test_a_level_that_fails_more_often_is_never_better():
    items = [*trials(2e-4, (20, 21, 20, 21, None, None)), *trials(3e-4, (50, 52, 49, 51, 50, 50))]
    row = table(report_of(items).all, "factor-learning-rate").rows.iloc[0]
    assert row["verdict"] == "undecided: 0.0002 failed in 2 of 6, 0.0003 in none"
    assert row["found"] == "undecided"
    assert (row["pairs"], row["lost"]) == (4, 2)


def test_the_best_of_survivors_is_not_decided():
    """It diverged in three of seven seeds; the other never did."""
    found = answer([*trials(2e-4, (20, 21, 20, 21, None, None, None)), *trials(3e-4, (50, 52, 49, 51, 50, 50, 51))])
    assert found.best == "lr 2e-4"
    assert found.headline.endswith("No test judges lr 3e-4: lr 2e-4 failed in 3 of 7, lr 3e-4 in none.")


def test_a_level_that_fails_in_every_seed_is_a_row():
    items = [*trials(2e-4, (50, 52, 49)), *trials(1e-1, (None, None, None))]
    (row,) = table(report_of(items).all, "factor-learning-rate").rows.to_dict("records")
    assert row["verdict"] == "undecided: 0.1 failed in every seed"
    sentence = "learning rate: undecided between 0.0002 and 0.1; 3 pairs without a score; "
    assert f"{sentence}0.1 failed in every seed." in answer(items).factors


def test_what_shares_too_few_seeds_is_not_claimed():
    items = [*trials(2e-4, (20, 21, 20, 21, 20)), *trials(3e-4, (50, 52, 49, 51, 50)), *trials(4e-4, (20.5,))]
    assert "better than the other; nothing can be said of 1." in answer(items).headline


@pytest.mark.parametrize(
    ("fids", "score"),
    [
        ((5,), "FID 5"),
        ((5, 10), "FID 5 to 10"),
        ((5, 50, 10), "FID 10 (5 to 50)"),
        ((5, 6, 7, None, 8), "FID 7 (5 to \N{INFINITY})"),
        ((9, 1, 2, 3, 4, 5, 6, 7, 8), "FID 5 (2 to 8)"),
    ],
)
def test_the_score_is_what_ranks(fids, score):
    """The median with its lowest and highest seed, from six seeds on with its interval; a lost seed is the worst."""
    found = answer(trials(2e-4, fids))
    assert found.score == score
    assert score in found.headline


def test_a_quick_study_is_told_to_run_quickly_and_whole():
    unfinished = replace(stored(with_lr(digits_trial(4), 2e-4)), record=None)
    found = answer([*trials(2e-4, (50, 51)), unfinished], "gan-bench run test --profile quick --only 'x*' --seeds 0")
    assert found.proposal == "Next: `gan-bench run test --profile full --seeds 0,1,4` continues; 1 trial left."


def test_a_setting_no_better_than_untrained_is_never_as_good():
    """Five seeds do not decide it, as one of them is low; the untrained ones are at 300."""
    useless = trials(3e-4, (20, 400, 420, 380, 500))
    alone = answer([*trials(2e-4, (50, 52, 51, 49, 50)), *useless])
    assert alone.headline.endswith(". No setting is decidedly worse.")
    assert "1 of 2 settings is no better than untrained generators." in alone.cautions
    three = answer([*trials(2e-4, (50, 52, 51, 49, 50)), *useless, *trials(4e-4, (51, 50, 52, 50, 51))]).headline
    assert three.endswith(("lr 4e-4 may be as good.", "lr 2e-4 may be as good."))
    assert "3e-4" not in three


def test_what_follows_from_a_difference_in_few_seeds_is_said_on_that_condition():
    """Of 60 simulated studies of two equal settings 12 said that a new study would decide it."""
    items = [*trials(2e-4, (50, 60, 45, 55, 52)), *trials(3e-4, (54, 61, 55, 54, 60))]
    (said,) = [sentence for sentence in answer(items).factors if sentence.startswith("learning rate")]
    assert said.endswith("; a new study of 12 seeds would likely decide the clearest if the difference is as seen.")


def test_no_seeds_are_named_where_they_are_too_few_or_no_look_is_left():
    two = [*trials(2e-4, (50, 52)), *trials(3e-4, (80, 79)), *trials(4e-4, (120, 118))]
    (said,) = [each for each in answer(two).factors if each.startswith("learning rate")]
    assert said == "learning rate: 3 pairs of 3 levels, 3 not judged, as seeds are too few."
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 12))
    twelve = [*trials(2e-4, 50 * np.exp(noise[0])), *trials(3e-4, 53 * np.exp(noise[1]))]
    made = report_of(twelve, designs={("test", 1, "full", "digits"): Design.of_looks((5, 8, 12), margin=None)})
    (over,) = [each for _, _, (found,) in made.studies for each in found.factors if each.startswith("learning rate")]
    assert over == "learning rate: undecided between 0.0002 and 0.0003."


def test_settings_no_better_than_untrained_are_counted():
    items = [*trials(2e-4, (290,)), *trials(3e-4, (310,)), *trials(4e-4, (400,))]
    assert "2 of 3 settings are no better than untrained generators." in answer(items).cautions
    alone = answer([*trials(2e-4, (310,)), *trials(3e-4, (320,))])
    assert "No setting is of use yet: the best is no better than untrained generators (FID 300)." in alone.headline


def test_other_measures_are_exploratory():
    def with_is(item, value):
        score = {"metric": "is", "name": "is[lenet-mnist-v1,train,100]", "value": value}
        lines = [{**line, "scores": [*line["scores"], score]} for line in item.evaluations]
        return replace(item, evaluations=lines)

    items = [with_is(item, 5.0 + i / 10) for i, item in enumerate(trials(2e-4, (50, 52, 49, 51, 50.5)))]
    items += [with_is(item, 9.0 + i / 11) for i, item in enumerate(trials(3e-4, (50, 53, 48, 51, 50.6)))]
    rows = table(report_of(items).all, "factor-learning-rate").rows.set_index("key")
    assert rows.loc["is", "verdict"] == "exploratory: 0.0003"
    assert rows.loc["is", "corrected"] != rows.loc["is", "corrected"], "nothing corrects what nothing decides"
    assert rows.loc["fid", "corrected"] == rows.loc["fid", "p"], "the family is FID's row alone"


def test_two_seeds_show_their_values():
    rows = table(report_of(trials(2e-4, (50, 52))).all, "settings")
    from gan_bench.report.study.table import cells

    assert "50 to 52" in cells(rows)[0]


def test_markdown_cannot_be_broken_by_names():
    (found,) = answers_markdown([answer([*trials(2e-4, (50,)), *trials(3e-4, (80,))])]).split("<script>")
    assert found.startswith("# Answer\n")
    hostile = [
        replace(item, trial={**item.trial, "config": {**item.trial["config"], "recipe": "<script>[x](y)"}})
        for item in trials(2e-4, (50,))
    ]
    text = answers_markdown([answer(hostile)])
    assert r"\<script>\[x\](y)" in text


@pytest.mark.parametrize("empty", [[], [stored(digits_trial(), status="failed")]])
def test_nothing_finished_is_no_answer(empty):
    assert [a for _, _, found in report_of(empty).studies for a in found if a.best] == []


# ------------------------------------------------------------------------------------- a study's own command


def own(command, names, beside=(), **changes):
    """The command for a study of trials with these names, beside others of another dataset in the same suite."""
    items = [
        stored(replace(digits_trial(seed), setting=name, config=replace(digits_trial(seed).config, **values)), fid=1.0)
        for name, values in [*((name, changes) for name in names), *((name, {"dataset": "cats"}) for name in beside)]
        for seed in (0, 1)
    ]
    found = studies_of(items, commands={"test": command} if command else {})
    made = planned_command(next(study for study in found if study.dataset == "digits"))
    return made and str(made)


@pytest.mark.parametrize(
    ("command", "own_options"),
    [
        ("gan-bench run test", ""),
        ("gan-bench run test --only cats --seeds 0 --profile quick", ""),  # of another run, of another part
        ("gan-bench run my/suite.yaml --results here --device cuda:1", "--results here --device cuda:1"),
        ("gan-bench run test --epochs 1 --samples 77", ""),  # trained longer and scored from more: of another run
        ("gan-bench run test --epochs 2 --samples 200", "--epochs 2 --samples 200"),
        ("gan-bench run test --set lr=3e-4", ""),
        ("gan-bench run test --set lr=2e-4", "--set lr=2e-4"),
        ("gan-bench run test --set batch_size=x", ""),
        ("gan-bench run test --set architecture=dcgan28", ""),  # words are not equal for being no numbers
        ("gan-bench run test --set loss=hinge", ""),
        ("gan-bench run test --precision bf16", ""),
        ("gan-bench run test --precision default", "--precision default"),
    ],
)
def test_a_proposal_is_made_of_the_study_s_own_trials(command, own_options):
    """A plan keeps the last command alone: an answer about MNIST once proposed ``--only cifar``."""
    config = digits_trial(0).config
    changes = {"epochs": 2, "lr_g": 2e-4, "lr_d": 2e-4, "evaluation": replace(config.evaluation, samples=200)}
    words = command.split()[:3]
    expected = [*words, *own_options.split(), "--profile", "full"]
    assert own(command, ["mlp-a", "mlp-b"], **changes).split() == expected


def test_the_page_names_a_command_that_trains_all_of_its_trials():
    """It was the last one, of a part of them: the same page showed trials that it does not make."""
    items = [stored(with_lr(digits_trial(seed), rate), fid=1.0) for rate in (1e-4, 2e-4) for seed in (0, 1, 5)]

    def named(command):
        (study,) = studies_of(items, commands={"test": command})
        return str(whole_command(study))

    assert named("gan-bench run test --only lr=0.0001 --seeds 0-1") == (
        "gan-bench run test --profile full --seeds 0,1,5"
    )
    assert named("gan-bench run test --until decided") == "gan-bench run test --until decided --profile full"
    looks, asked = {("test", 1, "full", "digits"): Design.of_looks()}, "gan-bench run test --until decided --max-seeds"
    (study,) = studies_of(items, commands={"test": f"{asked} 5"}, designs=looks)
    assert str(whole_command(study)) == f"{asked} 8 --profile full", "the look that has seed 5, and no later one"
    design = {("test", 1, "full", "digits"): Design.fixed((0, 1))}
    (study,) = studies_of(items, commands={"test": "gan-bench run test"}, designs=design)
    assert str(whole_command(study)) == "gan-bench run test --profile full --seeds 0,1,5", "of an earlier command"


@pytest.mark.parametrize(
    ("asked", "seeds"),
    [
        ([("a", 8)], 8),
        ([("a", 12), ("b", 8)], 8),  # the earliest look, and the settings it is for
        ([("a", 12), ("a", 8)], 8),  # a setting in two questions is wanted at the first of them
        ([("a", None)], None),
    ],
)
def test_the_next_look_is_that_of_the_first_open_question(asked, seeds, monkeypatch):
    items = [*trials(2e-4, (50, 60, 45)), *trials(3e-4, (55, 52, 50))]
    (study,) = studies_of(items)
    study.command, study.design = COMMAND, Design.of_looks((3, 5, 8, 12)).with_seeds(range(3))
    groups = dict(zip("ab", study.values.labels, strict=True))
    asked = [Question(text="", state="", settings=frozenset({groups[name]}), next=look) for name, look in asked]
    monkeypatch.setattr("gan_bench.report.findings.proposals.questions_of", lambda _: asked)
    found = proposal(study.scored[0])
    if seeds is None:
        assert found is None
        return
    assert found.startswith(f"Next: the look at {seeds} seeds, `{COMMAND} --until decided --max-seeds {seeds}`")
    assert f"about {3 * (seeds - 3)} s" in found, "three seconds for each missing seed of one setting"


def test_of_a_quick_profile_the_whole_protocol_comes_before_more_seeds():
    """`try` ended with two next steps: more seeds of the training that was cut down, and the whole of it."""
    items = [stored(with_lr(digits_trial(0, profile="quick"), lr), fid=50.0 + 1e5 * lr) for lr in (2e-4, 3e-4)]
    found = answer(items, "gan-bench run test")
    assert found.proposal == "Next: the whole protocol, `gan-bench run test --profile full`."
    found = answer(items, "gan-bench run test --only lr")
    assert found.proposal == "Next: the whole protocol, `gan-bench run test --profile full --only lr`."


@pytest.mark.parametrize("quick_fid", [50.0, 500.0])
def test_the_whole_protocol_is_not_proposed_once_it_has_been_trained(quick_fid):
    """After quick and full runs the quick answer's "Next" was the command that had just ended."""
    quick = [
        stored(with_lr(digits_trial(0, profile="quick", train_limit=50), lr), fid=quick_fid + 1e5 * lr)
        for lr in (2e-4, 3e-4)
    ]
    whole = [*trials(2e-4, (50, 52, 49)), *trials(3e-4, (80, None, 79))]
    proposals = []
    for beside in ([], whole[:-1], whole[:3], whole):
        items = [*quick, *beside, *([planned_again(whole[-1])] if len(beside) == 5 else [])]
        made = report_of(items, commands={"test": COMMAND}).studies
        proposals += [found.proposal for study, _, (found,) in made if study.profile == "quick"]
    assert [each is None for each in proposals] == [False, False, False, True]
    assert all("--profile full" in each for each in proposals[:-1])


@pytest.mark.parametrize(("profile", "fids"), [("full", (None, None)), ("quick", (50, None)), ("full", (500, None))])
def test_failed_trials_are_tried_again_before_anything_else(profile, fids):
    """Where nearly all had failed, the whole protocol was proposed, or nothing."""
    items = [
        stored(with_lr(digits_trial(seed, profile=profile), lr), fid=fid, status="done" if fid else "failed")
        for lr in (2e-4, 3e-4)
        for seed, fid in enumerate(fids)
    ]
    seeds = ",".join(str(seed) for seed, fid in enumerate(fids) if not fid)
    failed = 2 * fids.count(None)
    command = f"gan-bench run test --profile {profile} --seeds {seeds} --retry-failed"
    assert answer(items).proposal == f"Next: `{command}` tries {failed} failed trials again."


@pytest.mark.parametrize(
    ("design", "then"),
    [
        (Design.fixed(range(3)), ""),
        (Design.fixed(range(2)), "5 seeds, which can decide, `{} --seeds 0,1,2,3,4`, about "),
        (Design.of_looks((3, 8)), "the look at 8 seeds, `{} --until decided --max-seeds 8`, about "),
    ],
)
def test_a_failed_trial_is_tried_again_before_more_seeds_are(design, then, monkeypatch):
    """A worker that was killed left a seed that the command of "Next" did not train."""
    items = [*trials(1e-4, (50, 60, 55)), *trials(2e-4, (50, None, 57)), *trials(3e-4, (55, 52, 50))]
    items = [each for each in items if each.trial["config"]["seed"] in design.seeds[: design.looks[0]]]
    (study,) = studies_of(items)
    study.command, study.design = COMMAND, design.with_seeds(range(design.looks[0]))
    asked = Question(text="", state="undecided", settings=frozenset(study.values.labels), next=8)
    monkeypatch.setattr("gan_bench.report.findings.proposals.questions_of", lambda _: [asked])
    first, _, more = proposal(study.scored[0]).partition("; then ")
    assert first.removesuffix(".") == f"Next: `{COMMAND} --seeds 1 --retry-failed` tries 1 failed trial again"
    assert more.startswith(then.format(COMMAND))
    assert bool(more) == bool(then)


def test_what_failed_is_tried_again_with_what_a_change_made_old():
    items = [*of(trials(2e-4, (50, 51)), **code_of("losses/mine", "a")), *trials(3e-4, (None,))]
    items[1] = of([items[1]], **code_of("losses/mine", "b"))[0]
    assert " --retry-failed` tries 1 failed trial and trains again what is from before " in proposal_of(items)


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_the_whole_protocol_is_not_proposed_where_it_has_failed(status):
    """The command had nothing to do: what failed or diverged has ended."""
    quick = [
        stored(with_lr(digits_trial(seed, profile="quick", train_limit=50), lr), fid=50.0 + 1e5 * lr)
        for lr in (2e-4, 3e-4)
        for seed in (0, 1)
    ]
    whole = [stored(with_lr(digits_trial(seed), lr), status=status) for lr in (2e-4, 3e-4) for seed in (0, 1)]
    made = report_of([*quick, *whole], commands={"test": COMMAND}).studies
    assert [found.proposal for study, _, (found,) in made if study.profile == "quick"] == [None]


def planned_again(item):
    """The trial of a record as it is before it begins."""
    return replace(item, environment=NO_ENVIRONMENT, evaluations=[], record=None)


@pytest.mark.parametrize(
    ("names", "beside", "only"),
    [
        (["mnist-a", "mnist-b"], (), None),
        (["mnist-a", "mnist-b"], ("cats-a", "cifar10-b"), "mnist*"),
        (["mnist-a,lr=1", "mnist-a,lr=2"], ("mnist-b", "cats-a"), "mnist-a*"),
        (["mnist-a", "x"], ("cats-a",), None),  # no glob tells them apart: the whole suite
        (["mnist"], ("mnist-b",), None),
    ],
)
def test_trials_of_other_datasets_are_left_out_by_a_glob(names, beside, only):
    words = shlex.split(own("gan-bench run test", names, beside))
    assert (words[words.index("--only") + 1] if "--only" in words else None) == only
    if only is not None:
        assert all(matches(f"{name},seed=0", only) for name in names)
        assert not any(matches(f"{name},seed=0", only) for name in beside)


@pytest.mark.parametrize("options", ["--set precision=bf16", "--precision bf16"])
def test_what_one_command_set_can_be_proposed_again(options):
    made = stored(digits_trial(0, suite="test+set", precision="bf16"), fid=1.0)
    for command, wanted in ((f"gan-bench run test {options}", options), ("gan-bench run test --set lr=1e-9", None)):
        (study,) = studies_of([made], commands={"test+set": command})
        found = planned_command(study)
        assert (wanted and f" {wanted} " in str(found)) or found is wanted is None


@pytest.mark.parametrize("given", ["[0,0.9]", "[0, 0.9]", "[0.0,0.90],[0.5,0.999]"])
def test_a_value_that_a_command_set_is_known_however_it_is_written(given):
    options = shlex.split(
        own(f"gan-bench run test --set 'betas={given}'", ["a"], betas_g=(0.0, 0.9), betas_d=(0.0, 0.9))
    )
    assert options[options.index("--set") + 1] == f"betas={given}"


def test_records_without_a_command_have_none():
    assert own(None, ["a"]) is None


@pytest.mark.parametrize(("waiting", "words"), [(1, "1 other setting has"), (3, "3 other settings have")])
def test_the_best_of_a_stopped_suite_is_the_best_so_far(waiting, words):
    begun = trials(2e-4, (50, 51, 52))
    rest = [
        stored(with_lr(digits_trial(seed), 1e-3 * (each + 1)), status="planned")
        for each in range(waiting)
        for seed in range(3)
    ]
    found = answer([*begun, *rest])
    assert found.headline.startswith("Best score so far: ")
    assert f"; {words} no score yet" in found.headline
    assert "There is no other setting" not in found.headline
    assert answer(begun).headline.startswith("Best score: ")


def test_settings_that_failed_are_not_waited_for():
    assert answer([*trials(2e-4, (50, 51, 52)), *trials(3e-4, (None, None, None))]).headline.startswith("Best score: ")


@pytest.mark.parametrize(
    ("other", "what"), [((80, 83, 79, 84, 81), "Best setting: "), ((50.2, 52.1, 49.3, 51.4, 50.4), "Best score: ")]
)
def test_a_setting_is_called_the_best_where_that_is_decided(other, what):
    assert answer([*trials(2e-4, (50, 52, 49, 51, 50.5)), *trials(3e-4, other)]).headline.startswith(what)


def test_where_everything_failed_it_is_said_why():
    found = answer(trials(1e-4, [None] * 3, reason="loss_d is not finite at step 3"))
    assert found.headline == "No trial has a score; 3 of 3 trials failed or diverged: loss_d is not finite at step 3."


def test_pairs_of_levels_are_counted_by_what_became_of_them():
    spread = (50.0, 60.0, 45.0, 55.0, 52.0)
    levels = {1e-4: spread, 2e-4: spread, 3e-4: spread[::-1], 4e-4: [10 * fid for fid in spread]}
    items = [item for lr, fids in levels.items() for item in trials(lr, fids)]
    rest = [sentence for sentence in answer(items).factors if "pairs of" in sentence]
    assert rest[0].startswith("learning rate: 6 pairs of 4 levels, 1 tied, 2 undecided")


def test_a_card_names_rivals_that_no_test_judges():
    """It ended in ": ." where all of them collapsed more often."""
    items = [*trials(1e-4, (50, 51, 50, 52, 51)), *trials(2e-4, (60, 61, 60, 62, None))]
    (study,) = studies_of(items)
    best, other = sorted(finished_settings(study), key=lambda each: each.label)
    assert _rank_in_words(best).endswith(
        "by the median FID: 1 collapsed or failed at a different rate, which no test judges."
    )
    assert "no test judges it against lr 1e-4: lr 1e-4 failed in none, lr 2e-4 in 1 of 5" in _rank_in_words(other)


def test_a_collapse_is_told_with_its_seed():
    items = [*trials(2e-4, (50, 52, 49)), *trials(3e-4, (80, 83, 79))]
    for item in items:
        score = {"metric": "collapsed", "name": "collapsed[lenet-mnist-v1,train,100]", "value": float(item is items[1])}
        item.evaluations[-1]["scores"].append(score)
    (said,) = (each for each in answer(items).cautions if "collapsed" in each)
    assert said.startswith("1 of 3 generators of the best setting collapsed (seed 1): half of the classes or fewer")


@pytest.mark.parametrize(
    ("pictures", "score", "sd", "why"),
    [
        (24, 60.0, None, "24 images have a worse FID than the 100 generated, or its"),
        (100, 60.0, 5.0, "its"),
        (100, 60.0, 15.0, None),
        (24, 40.0, None, None),
    ],
)
def test_a_score_better_than_that_of_real_images_is_explained(pictures, score, sd, why):
    """Real images in the last row seemed to be what no generator can reach, and were."""
    real = {"dataset": "digits", "image_size": 28, "samples": 100, "pictures": pictures, "what": "held-out images"}
    lenet = {"extractor": "lenet-mnist-v1", "split": "train", "name": "fid[lenet-mnist-v1,train,100]"}
    real["scores"] = [{"metric": "fid", "value": score, "draw_std": sd, **lenet}]
    items = [*trials(2e-4, (50, 52, 49)), *trials(3e-4, (80, 83, 79))]
    ((_, _, (found,)),) = report_of(items, baselines={"test": [real]}).studies
    said = [each for each in found.cautions if "real images" in each]
    start = f"The best score is better than that of real images (FID 60): {why} generators may repeat the images that"
    assert said == ([f"{start} they are compared with."] if why else [])
