"""Which seeds verdicts are made at: declared in suites before the first seed, kept in plans, and held to afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import change
from support.trials import digits_trial, reseed

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.design import Design
from gan_bench.config.suite import find_suite, make_plan
from gan_bench.core.errors import SuiteError
from gan_bench.execution.preflight.plan_state import declaration_remark, other_file_remark
from gan_bench.records import writer
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import declaration_lost, design_so_far, read_suites, write_plan
from gan_bench.terminal.announcement import profile_line

LOOKS = Design.of_looks()
SUITE = """
suite: mine
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {{dataset: digits, epochs: 1}}
{more}
"""


def plan(tmp_path, more="", **options):
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.format(more=more))
    return make_plan(path, PlanOptions(**options))


def seeds_of(found):
    return sorted({trial.config.seed for trial in found.trials})


# ------------------------------------------------------------------------------------------- as a value


def test_looks_take_the_first_seeds_in_their_order():
    assert LOOKS.seeds == tuple(range(12))
    assert LOOKS.looks == (5, 8, 12)
    assert LOOKS.margin == 0.1
    mixed = Design.of_looks((3, 5), (7, 1))
    assert mixed.seeds == (7, 1, 0, 2, 3)
    assert mixed.first(3) == (7, 1, 0)


def test_a_look_is_complete_when_all_its_seeds_have_ended():
    at = [LOOKS.at(range(n)) for n in (0, 4, 5, 7, 8, 11, 12)]
    assert [(look.number, look.next) for look in at] == [
        (0, 5), (0, 5), (5, 8), (5, 8), (8, 12), (8, 12), (12, None),
    ]  # fmt: skip
    assert [len(look.seeds) for look in at] == [0, 0, 5, 5, 8, 8, 12]
    assert LOOKS.at({0, 1, 2, 3, 5, 6, 7}).number == 0, "seed 4 is missing: no other takes its place"
    assert LOOKS.at({0, 1, 2, 3, 4, 5, 6, 11}).seeds == (0, 1, 2, 3, 4)


def test_a_fixed_list_has_one_look():
    fixed = Design.fixed([3, 1, 2, 1])
    assert (fixed.seeds, fixed.looks, fixed.is_fixed, fixed.margin) == ((3, 1, 2), (3,), True, None)
    assert fixed.at([1, 2]).number == 0
    assert fixed.at([1, 2, 3]).next is None


def test_seeds_that_were_not_declared_extend_a_study():
    assert not LOOKS.with_seeds(range(8)).extended
    assert LOOKS.with_seeds(range(13)).extended
    extended = Design.fixed(range(5)).with_seeds(range(9))
    assert extended.extended
    assert extended.at([0, 1, 7]).next is None
    assert extended.with_seeds(range(3)).extended, "nothing takes it back"


def test_what_was_declared_first_counts():
    assert Design.of_looks((5, 9)).following(LOOKS, range(5)) == LOOKS
    assert LOOKS.following(Design.fixed(range(5)), range(8)).extended
    assert LOOKS.following(Design.fixed(range(5)), range(5)) == Design.fixed(range(5))
    assert LOOKS.following(Design.fixed([0, 1]), range(5)) == LOOKS, "two seeds decided nothing"
    assert LOOKS.following(None, range(5)) == LOOKS


def test_seeds_that_are_asked_for():
    assert LOOKS.asked_for([3, 1]) is LOOKS
    assert LOOKS.asked_for([40, 41]).seeds[:4] == (40, 41, 0, 1)
    assert Design.fixed(range(5)).asked_for(range(8)) == Design.fixed(range(8))


@pytest.mark.parametrize("looks", [(), (0, 5), (5, 5), (8, 5), (5, 13)])
def test_looks_that_are_none(looks):
    with pytest.raises(ValueError, match="no looks at 12 different seeds"):
        Design(seeds=tuple(range(12)), looks=looks)


# --------------------------------------------------------------------------------------------- in suites


def test_a_suite_that_says_nothing_of_seeds_has_looks(tmp_path):
    found = plan(tmp_path)
    assert found.design == LOOKS
    assert seeds_of(found) == [0, 1, 2, 3, 4]


def test_a_list_of_seeds_is_a_fixed_plan(tmp_path):
    found = plan(tmp_path, "seeds: [0, 1, 2]")
    assert found.design == Design.fixed(range(3))
    assert plan(tmp_path, "seeds: [0, 1, 2]\nequivalence: 0.05").design.margin == 0.05


def test_looks_margin_and_first_seeds_can_be_set(tmp_path):
    found = plan(tmp_path, "looks: [5, 8, 12, 18]\nseeds: [10, 11]\nequivalence: 0").design
    assert (found.looks, found.margin, found.seeds[:4]) == ((5, 8, 12, 18), None, (10, 11, 0, 1))
    assert plan(tmp_path, "equivalence: 0.25").design.margin == 0.25


def test_the_command_line_and_profiles_choose_among_declared_seeds(tmp_path):
    assert plan(tmp_path, seeds=(0, 1)).design == LOOKS
    assert plan(tmp_path, seeds=(20,)).design.seeds[0] == 20
    quick = plan(tmp_path, "profiles: {quick: {seeds: [0, 1], samples: 100}}", profile="quick")
    assert (quick.design, seeds_of(quick)) == (LOOKS, [0, 1])
    fixed = plan(tmp_path, "seeds: [0, 1, 2]\nprofiles: {quick: {seeds: [0], samples: 100}}", profile="quick")
    assert fixed.design == Design.fixed([0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("looks: [2, 5]", "growing numbers of seeds from 3 on"),
        ("looks: [8, 5]", "growing numbers of seeds from 3 on"),
        ("looks: [5, 5]", "growing numbers of seeds from 3 on"),
        ("looks: 5", "looks"),
        ("looks: []", "looks"),
        ("looks: [5.5]", "looks"),
        ("looks: [5, 100000]", "looks"),
        ("equivalence: -1", "equivalence"),
        ("equivalence: yes", "equivalence"),
    ],
)
def test_looks_that_no_suite_can_have(tmp_path, line, message):
    with pytest.raises(SuiteError, match=message) as error:
        plan(tmp_path, line)
    assert f"mine.yaml:{SUITE.count(chr(10))}:" in str(error.value), "the place"


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cats", "digits", "losses", "ttur"])
def test_suites_that_ask_a_question_declare_looks(name):
    assert make_plan(find_suite(name), PlanOptions()).design == LOOKS


# ---------------------------------------------------------------------------------------------- in plans


def write(tmp_path, seeds, design=None, profile="full"):
    trials = [
        replace(trial, config=replace(trial.config, profile=profile))
        for trial in (reseed(digits_trial(), seed) for seed in seeds)
    ]
    write_plan(tmp_path, "test", 1, trials, design=design)


def so_far(tmp_path, profile, version=1):
    return design_so_far(tmp_path, "test", version, profile, "digits")


def test_a_plan_keeps_what_was_declared_first(tmp_path):
    write(tmp_path, range(5), LOOKS)
    write(tmp_path, range(8), Design.of_looks((5, 9, 20), margin=0.5))
    assert read_suites(tmp_path).designs == {("test", 1, "full", "digits"): LOOKS}
    stored = json.loads((tmp_path / "test/plan.json").read_text())["designs"]
    assert stored == {"full": {"digits": {"seeds": list(range(12)), "looks": [5, 8, 12], "margin": 0.1}}}


def test_every_profile_has_its_own(tmp_path):
    write(tmp_path, range(2), LOOKS, "quick")
    write(tmp_path, range(5), Design.fixed(range(5)))
    assert read_suites(tmp_path).designs == {
        ("test", 1, "quick", "digits"): LOOKS,
        ("test", 1, "full", "digits"): Design.fixed(range(5)),
    }


def test_a_fixed_list_that_grew_is_extended(tmp_path):
    write(tmp_path, range(5), Design.fixed(range(5)))
    write(tmp_path, range(9), LOOKS)
    assert so_far(tmp_path, "full").extended


def test_datasets_declare_for_themselves(tmp_path):
    write(tmp_path, range(5), Design.fixed(range(5)))
    other = [digits_trial(seed, dataset="mnist") for seed in range(3)]
    write_plan(tmp_path, "test", 1, other, design=Design.fixed(range(3)))
    assert {place[3]: len(each.seeds) for place, each in read_suites(tmp_path).designs.items()} == {
        "digits": 5,
        "mnist": 3,
    }
    assert not any(each.extended for each in read_suites(tmp_path).designs.values())


def test_another_version_of_a_suite_declares_anew(tmp_path):
    write(tmp_path, range(5), Design.fixed(range(5)))
    assert so_far(tmp_path, "full", version=2) is None, "what the old one declared binds it not"
    write_plan(tmp_path, "test", 2, [digits_trial()], design=LOOKS)
    assert read_suites(tmp_path).design("test", 2, "full", "digits") == LOOKS


def test_plans_of_before_there_were_looks_are_fixed_lists(tmp_path):
    write(tmp_path, range(5))
    path = tmp_path / "test/plan.json"
    change(path, lambda content: content.pop("designs"))
    assert read_suites(tmp_path).designs == {}
    assert so_far(tmp_path, "full") == Design.fixed(range(5))
    assert so_far(tmp_path, "quick") is None
    write(tmp_path, range(5), LOOKS)
    assert read_suites(tmp_path).designs == {}, "the same trials again declare nothing"
    write(tmp_path, range(8), LOOKS)
    assert so_far(tmp_path, "full").extended


def test_a_damaged_plan_has_declared_what_nobody_knows(tmp_path):
    write(tmp_path, range(5), LOOKS)
    path = tmp_path / "test/plan.json"
    path.write_text(path.read_text().replace("12", "13"))
    assert read_suites(tmp_path).design("test", 1, "full", "digits").extended


def begin(tmp_path):
    """Begin a study of three declared seeds."""
    write(tmp_path, range(3), Design.fixed(range(3)))
    begun = digits_trial()
    writer.begin(RecordDirectory.of(tmp_path, begun), begun, {"schema": 1, "started": "2026-01-01T00:00:00+00:00"})
    return tmp_path / "test/plan.json"


def cut(path):
    path.write_text(path.read_text()[:300])


def damage_a_row(path):
    change(path, lambda plan: plan["trials"][0].update(directory="../x"))


@pytest.mark.parametrize("lose", [Path.unlink, cut, damage_a_row])
@pytest.mark.parametrize("first", ["full", "quick"])
def test_a_declaration_that_is_lost_stays_lost(tmp_path, lose, first):
    lose(begin(tmp_path))
    assert so_far(tmp_path, "full").extended
    assert declaration_lost(tmp_path, "test", 1) == {("full", "digits")}
    assert not declaration_lost(tmp_path, "test", 2), "another version declares for itself"
    for profile in (first, "full", "full"):  # the next runs declare what they like
        write(tmp_path, range(6), Design.fixed(range(6)), profile=profile)
        assert read_suites(tmp_path).design("test", 1, "full", "digits").extended
        assert so_far(tmp_path, "full").extended
        assert declaration_lost(tmp_path, "test", 1) == {("full", "digits")}, "every run says it"
    write(tmp_path, range(3), Design.fixed(range(3)), profile="quick")
    assert not read_suites(tmp_path).design("test", 1, "quick", "digits").extended, "nothing was begun there"


def test_an_earlier_version_keeps_what_it_declared(tmp_path):
    """A run of another version destroyed it for good, though a new version was advised."""
    path = begin(tmp_path)
    first = Design.fixed(range(3))
    write_plan(tmp_path, "test", 2, [digits_trial()], design=LOOKS)
    found = read_suites(tmp_path)
    assert found.design("test", 2, "full", "digits") == LOOKS
    assert found.design("test", 1, "full", "digits") == so_far(tmp_path, "full") == first
    assert found.design("test", 1, "quick", "digits").extended, "of that nobody knows"
    assert found.design("test", 3, "full", "digits").extended
    assert not declaration_lost(tmp_path, "test", 1)
    write(tmp_path, range(3), LOOKS)
    assert read_suites(tmp_path).design("test", 1, "full", "digits") == first, "it is run again"
    assert so_far(tmp_path, "full", version=2) == LOOKS
    assert json.loads(path.read_text())["earlier"].keys() == {"2"}
    write(tmp_path, range(4), LOOKS)
    write_plan(tmp_path, "test", 2, [digits_trial()], design=Design.fixed(range(4)))
    assert read_suites(tmp_path).design("test", 2, "full", "digits") == LOOKS
    assert declaration_lost(tmp_path, "test", 1) == {("full", "digits")}, "seeds were added to it"
    write(tmp_path, range(3), LOOKS)
    assert so_far(tmp_path, "full").extended


def test_a_version_whose_plan_declared_nothing_was_a_fixed_list(tmp_path):
    change(begin(tmp_path), lambda content: content.pop("designs"))
    write_plan(tmp_path, "test", 2, [digits_trial()], design=LOOKS)
    assert read_suites(tmp_path).design("test", 1, "full", "digits") == Design.fixed(range(3))


def test_a_version_that_an_older_gan_bench_replaced_stays_lost(tmp_path):
    path = begin(tmp_path)
    write_plan(tmp_path, "test", 2, [digits_trial()], design=LOOKS)
    change(path, lambda content: content.pop("earlier"))
    assert read_suites(tmp_path).design("test", 1, "full", "digits").extended
    assert declaration_lost(tmp_path, "test", 1) == {("full", "digits")}
    write(tmp_path, range(3), Design.fixed(range(3)))
    assert so_far(tmp_path, "full").extended


def test_what_ends_every_decision_is_said_before_it_is_trained(tmp_path):
    file = tmp_path / "suite.yaml"
    file.write_text(
        "suite: test\nversion: 1\nlooks: [3, 5, 7]\ntrials:\n  - recipe: mnist-mlp-z100\n    set: {dataset: digits}\n"
        "evaluate: {epochs: [1], samples: 64}\n"
    )

    def remarks(*seeds):
        return list(declaration_remark(tmp_path, make_plan(file, PlanOptions(profile="full", seeds=seeds or None))))

    first = make_plan(file, PlanOptions(profile="full"))
    assert remarks(7, 8) == [], "nothing was begun"
    write_plan(tmp_path, "test", 1, first.trials, design=first.design)
    assert remarks() == remarks(0, 1, 2, 3, 4, 5, 6) == []
    (said,) = remarks(0, 7, 8)
    assert said.startswith(
        "not declared before the first seed: 7, 8 (0, 1, 2, 3, 4, 5, 6 were). With these trials nothing is decided"
    )
    assert said.endswith("another folder with --results, or a new version of the suite, keeps its verdicts")
    writer.begin(RecordDirectory.of(tmp_path, first.trials[0]), first.trials[0], {"schema": 1, "started": "2026-01-01"})
    (tmp_path / "test/plan.json").unlink()
    (said,) = remarks()
    assert said.startswith(f"which seeds {tmp_path / 'test'} was begun with is not known")


def test_a_folder_without_its_plan_decides_nothing(tmp_path):
    begin(tmp_path).unlink()
    assert read_suites(tmp_path).design("test", 1, "full", "digits").extended


def withdrawn(tmp_path):
    rows = json.loads((tmp_path / "test/plan.json").read_text())["trials"]
    return sorted((row["config"]["profile"], row["config"]["epochs"], row["config"]["seed"])
                  for row in rows if row.get("withdrawn"))  # fmt: skip


def test_a_whole_plan_withdraws_what_its_suite_asks_for_no_longer(tmp_path):
    """What was planned and taken out of the file before it was trained blocked verdicts for ever."""
    kept, gone = ([digits_trial(seed, epochs=epochs) for seed in range(3)] for epochs in (2, 3))
    quick = replace(gone[0], config=replace(gone[0].config, profile="quick"))
    write_plan(tmp_path, "test", 1, [*kept, *gone, quick], design=Design.fixed(range(3)))
    write_plan(tmp_path, "test", 1, kept, design=Design.fixed(range(3)))
    assert withdrawn(tmp_path) == [], "a run with --only takes nothing away"
    write_plan(tmp_path, "test", 1, kept[:2], design=Design.fixed(range(2)), whole=True)
    assert withdrawn(tmp_path) == [("full", 3, 0), ("full", 3, 1), ("full", 3, 2)], "a look may need a seed"
    write_plan(tmp_path, "test", 1, [kept[2], gone[0]], design=Design.fixed(range(3)))
    assert withdrawn(tmp_path) == [("full", 3, 1), ("full", 3, 2)], "what is planned again is"
    write_plan(tmp_path, "test", 1, [*kept, gone[0]], design=Design.fixed(range(3)), whole=True)
    assert withdrawn(tmp_path) == [], "its setting is in the file again"


def test_a_cap_withdraws_no_full_trial(tmp_path):
    """Of a capped plan, those that the cap does not reach are full: it is not all that is asked for of them."""
    full = [digits_trial(seed, epochs=3) for seed in range(2)]
    quick = [digits_trial(seed, epochs=2, profile="quick", train_limit=200) for seed in range(2)]
    write_plan(tmp_path, "test", 1, [*full, *quick], design=Design.fixed(range(2)))
    capped = digits_trial(0, epochs=2, profile="quick")
    write_plan(tmp_path, "test", 1, [digits_trial(0), capped], design=Design.fixed(range(2)), whole=True)
    assert withdrawn(tmp_path) == [("quick", 2, 0), ("quick", 2, 1)]


def test_seeds_of_looks_to_come_are_not_withdrawn(tmp_path):
    write(tmp_path, range(8), LOOKS)
    write_plan(tmp_path, "test", 1, [digits_trial(seed) for seed in range(5)], design=LOOKS, whole=True)
    assert withdrawn(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        ({}, True),
        ({"profile": "quick"}, True),
        ({"seeds": (0,)}, False),
        ({"only": "x"}, False),
        ({"extractors": ("x",)}, False),
        ({"epochs": 1}, True),
        ({"train_limit": 300}, True),
        ({"samples": 100, "only": "x"}, False),
    ],
)
def test_which_plans_are_whole(options, whole):
    assert PlanOptions(**options).is_whole is whole
    assert PlanOptions(**options).has_all_settings is (set(options) <= {"profile", "seeds"})


def test_another_file_of_the_same_suite_is_said_before_it_runs(tmp_path):
    """Two files of one name and version shared a table without a word."""
    first = plan(tmp_path, "    sweep: {lr: [1e-4, 2e-4, 3e-4]}", profile="full")
    write_plan(tmp_path, "mine", 1, first.trials, design=first.design)
    assert list(other_file_remark(tmp_path, first)) == []
    larger = plan(tmp_path, "    sweep: {lr: [1e-4, 2e-4, 3e-4, 4e-4]}", profile="full")
    assert list(other_file_remark(tmp_path, larger)) == [], "it has all that was planned"
    other = plan(tmp_path, "    sweep: {lr: [1e-4, 4e-4]}", profile="full")
    (said,) = other_file_remark(tmp_path, other)
    assert said.startswith(f"{tmp_path / 'mine'} was planned with another file of mine, version 1, for what this one")
    assert "does not train: mnist-mlp-z100," in said
    assert " and 1 more setting. What was trained stays" in said
    assert list(other_file_remark(tmp_path, replace(other, version=2))) == []
    capped = plan(tmp_path, "    sweep: {lr: [1e-4, 2e-4, 3e-4]}", profile="full", epochs=1)
    write_plan(tmp_path, "mine", 1, capped.trials, design=first.design)
    noted = replace(first, text=f"{first.text}# a note\n")
    assert list(other_file_remark(tmp_path, noted)) == [], "its settings are the same; the others are of --epochs"
    write_plan(tmp_path, "mine", 1, other.trials, design=other.design, whole=True)
    assert list(other_file_remark(tmp_path, other)) == [], "nothing waits for them any more"


@pytest.mark.parametrize("profile", ["full", "quick"])
def test_another_file_is_said_by_what_was_planned(tmp_path, profile):
    """A run of one setting of the other file put it in the place of the first, and nothing was said any more."""

    def of(rates, **cuts):
        file = tmp_path / "mine.yaml"
        more = (
            f"    sweep: {{lr: [{rates}], epochs: [3, 4]}}\nseeds: [0]\nprofiles: {{quick: {{epochs: 2, samples: 64}}}}"
        )
        file.write_text(SUITE.format(more=more).replace(", epochs: 1", ""))
        return make_plan(file, PlanOptions(profile=profile, **cuts))

    begun = of("1e-4, 2e-4")
    write_plan(tmp_path, "mine", 1, begun.trials, design=begun.design)
    for cuts in ({"epochs": 1}, {"samples": 32}, {"train_limit": 100}, {"extractors": ("inception",)}):
        more = of("1e-4, 2e-4", **cuts)
        write_plan(tmp_path, "mine", 1, more.trials, design=more.design)
    assert list(other_file_remark(tmp_path, begun)) == [], "what was cut short is of this file"
    more = of("1e-4, 4e-4", only="*lr=0.0004*")
    write_plan(tmp_path, "mine", 1, more.trials, design=more.design)
    both = of("1e-4, 2e-4, 4e-4")
    assert list(other_file_remark(tmp_path, both)) == []
    (said,) = other_file_remark(tmp_path, of("1e-4, 4e-4"))
    assert ",lr=0.0002" in said
    newer = [replace(each, config=replace(each.config, suite_version=2)) for each in both.trials]
    write_plan(tmp_path, "mine", 2, newer, design=both.design)
    assert list(other_file_remark(tmp_path, of("1e-4, 4e-4"))) == [], "what is planned is of another version"
    (tmp_path / "mine" / "plan.json").unlink()
    assert list(other_file_remark(tmp_path, both)) == []


def test_what_a_linked_folder_was_run_with_goes_on_where_it_lies(tmp_path):
    """The command named the folder of the link, where the suite would have begun anew."""
    (tmp_path / "home").mkdir()
    (tmp_path / "links").mkdir()
    write_plan(tmp_path / "home", "test", 1, [digits_trial(0)], "gan-bench run test")
    (tmp_path / "links" / "other").symlink_to(tmp_path / "home" / "test")
    assert read_suites(tmp_path / "links").commands == {"test": f"gan-bench run test --results {tmp_path / 'home'}"}
    (tmp_path / "links" / "test").symlink_to(tmp_path / "home" / "test")
    assert read_suites(tmp_path / "links").commands == {"test": f"gan-bench run test --results {tmp_path / 'links'}"}


def rename(folder):
    return folder.rename(folder.with_name("test-2026-11"))


def link(folder):
    folder.symlink_to(folder.rename(folder.parents[1] / "elsewhere"))


def link_by_another_name(folder):
    folder.with_name("other").symlink_to(folder.rename(folder.parents[1] / "elsewhere"))


@pytest.mark.parametrize("move", [rename, link, link_by_another_name])
def test_a_suite_s_folder_declares_whatever_it_is_called(tmp_path, move):
    """Declared looks were lost, and what was undecided was decided."""
    results = tmp_path / "results"
    write(results, range(5), LOOKS)
    move(results / "test")
    assert read_suites(results).design("test", 1, "full", "digits") == LOOKS


def test_a_command_is_not_followed_into_another_folder(tmp_path):
    write_plan(tmp_path, "test", 1, [digits_trial()], "gan-bench run test.yaml")
    assert list(read_suites(tmp_path).commands) == ["test"]
    rename(tmp_path / "test")
    assert read_suites(tmp_path).commands == {}, "it would begin the suite anew"


def test_of_two_folders_of_one_suite_that_of_its_name_declares_or_else_the_first(tmp_path):
    write(tmp_path, range(5), LOOKS)
    rename(tmp_path / "test")
    write(tmp_path, range(5), Design.fixed(range(5)))
    assert read_suites(tmp_path).design("test", 1, "full", "digits") == Design.fixed(range(5))
    (tmp_path / "test").rename(tmp_path / "a")
    assert read_suites(tmp_path).design("test", 1, "full", "digits") == Design.fixed(range(5))


def test_a_suite_that_no_plan_is_of_has_declared_what_nobody_knows(tmp_path):
    """Only its own plan can say that it is of before there were looks."""
    write(tmp_path, range(5), LOOKS)
    cut(rename(tmp_path / "test") / "plan.json")
    assert read_suites(tmp_path).design("test", 1, "full", "digits").extended


def test_where_nothing_was_declared_every_comparison_is_a_list_of_its_own():
    inferred = replace(Design.fixed(range(5)), inferred=True)
    assert inferred.of({2, 0, 1}) == Design.fixed([0, 1, 2])
    assert Design.fixed(range(5)).of({0, 1}) == Design.fixed(range(5))
    assert inferred.with_seeds(range(9)).of({0, 1}).extended


@pytest.mark.parametrize(
    "stored",
    [
        {"seeds": [0, 1, 2], "looks": [5]},
        {"seeds": [0, 0, 0, 0, 0], "looks": [5]},
        {"seeds": [0, 1, 2], "looks": [3, 2]},
        {"seeds": [0, 1, 2], "looks": [0]},
    ],
)
def test_what_are_no_looks_declares_nothing(tmp_path, stored):
    write(tmp_path, range(5), LOOKS)
    change(tmp_path / "test/plan.json", lambda content: content["designs"]["full"].update(digits=stored))
    assert read_suites(tmp_path).designs == {}
    assert so_far(tmp_path, "full") == Design.fixed(range(5))


@pytest.mark.parametrize(("name", "has_quick"), [("quickstart", False), ("mnist", True)])
def test_a_plan_knows_whether_its_suite_has_a_quick_profile(name, has_quick):
    """What the command line cuts down is marked as quick as well, and ``--profile full`` does not undo it."""
    asked = PlanOptions(profile="quick", epochs=1)
    plan = make_plan(find_suite(name), asked)
    assert plan.has_quick == has_quick
    assert {trial.config.profile for trial in plan.trials} == {"quick"}
    said = profile_line(plan, asked)
    assert ("--profile full" in said) == has_quick
