"""Which version of a suite counts where a folder has several: the rule as a table, and trials compared by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.studies import stored, write
from support.trials import digits_trial

from gan_bench.config.design import UNKNOWN, Design
from gan_bench.records.plan import Suites, write_plan
from gan_bench.report.compare.comparison import compare
from gan_bench.report.compare.scored_settings import by_preference, version_of
from gan_bench.report.study.frame import build_frames

FIVE = Design.fixed(range(5))


def trial(seed, version, epochs=2):
    made = digits_trial(seed)
    return replace(made, config=replace(made.config, suite_version=version, epochs=epochs))


def waits(item, *, withdrawn=False):
    return replace(item, environment={}, evaluations=[], record=None, withdrawn=withdrawn)


def rows_of(version, states):
    """Rows of trials by a letter each: done, failed, planned, and withdrawn; a list of each length of training."""
    items = []
    for epochs, letters in enumerate(states.split(), 2):
        for seed, letter in enumerate(letters):
            item = stored(trial(seed, version, epochs), fid=50.0, status="failed" if letter == "f" else "done")
            items.append(waits(item, withdrawn=letter == "w") if letter in "pw" else item)
    return build_frames(items).trials


CASES = [  # what is declared of every version, and how its trials stand, and which one counts
    ("all have ended", [(FIVE, "ddddd"), (FIVE, "ddddd")], 2),
    ("failed ones, too", [(FIVE, "ddddd"), (FIVE, "fffff")], 2),
    ("it has begun", [(FIVE, "ddddd"), (FIVE, "dpppp")], 1),
    ("it is planned", [(FIVE, "ddddd"), (FIVE, "ppppp")], 1),
    ("what is planned has ended, not what was declared", [(FIVE, "ddddd"), (FIVE, "ddd")], 1),
    ("seeds were added", [(FIVE, "ddddd"), (FIVE.with_seeds(range(8)), "dddddddd")], 2),
    ("seeds were added and wait", [(FIVE, "ddddd"), (FIVE.with_seeds(range(8)), "dddddppp")], 2),
    ("the first look has ended", [(FIVE, "ddddd"), (Design.of_looks(), "ddddd")], 2),
    ("looks and a seed more", [(FIVE, "ddddd"), (Design.of_looks().with_seeds(range(13)), "d" * 13)], 2),
    ("a third one has begun", [(FIVE, "ddddd"), (FIVE.with_seeds(range(8)), "dddddddd"), (FIVE, "dpppp")], 2),
    ("nothing was declared", [(FIVE, "ddddd"), (None, "ddd")], 2),
    ("nothing was declared, and one waits", [(FIVE, "ddddd"), (None, "dddp")], 1),
    ("nothing was declared, and all is given up", [(FIVE, "ddddd"), (None, "www")], 1),
    ("it is not known", [(FIVE, "ddddd"), (UNKNOWN, "dddddddd")], 1),
    ("of none it is known", [(UNKNOWN, "ddddd"), (UNKNOWN, "dddd")], 1),
    ("of none it is known, and they are equal", [(UNKNOWN, "ddddd"), (UNKNOWN, "ddddd")], 2),
    ("of none it is known, and one has more lengths", [(UNKNOWN, "ddddd ddddd"), (UNKNOWN, "ddddd dpppp")], 1),
    ("one length has ended", [(FIVE, "ddddd ddddd"), (FIVE, "ddddd dpppp")], 1),
    ("both lengths have ended", [(FIVE, "ddddd ddddd"), (FIVE, "ddddd ddddd")], 2),
    ("the other length is given up", [(FIVE, "ddddd ddddd"), (FIVE, "ddddd dwwww")], 2),
    ("there is one length only", [(FIVE, "ddddd ddddd"), (FIVE, "ddddd")], 2),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "counts"), [pytest.param(*case, id=name) for name, *case in CASES])
def test_the_version_that_counts(declared, counts):
    numbered = list(enumerate(declared, 1))
    designs = {("test", number, "full", "digits"): design for number, (design, _) in numbered if design}
    found = []
    for number, (design, states) in numbered:
        of = number if design is None else len(declared)  # only the version of the plan can be undeclared
        found.append(version_of(rows_of(number, states), Suites(versions={"test": of}, designs=designs)))
    assert max(found, key=lambda each: each.rank).number == counts


class Of:
    def __init__(self, number, *, is_whole=True):
        self.version = version_of(rows_of(number, "d" if is_whole else "p"), Suites(versions={"test": number}))


def test_pairs_of_versions_come_in_an_order_that_no_exchange_of_folders_changes():
    first, second, begun = Of(1), Of(2), Of(3, is_whole=False)
    found = by_preference([first, second], [first, second, begun])
    numbers = [(old.version.number, new.version.number) for old, new in found]
    assert numbers == [(2, 2), (1, 2), (2, 1), (1, 1), (2, 3), (1, 3)]
    assert by_preference([second], [begun, first]) == [(second, first), (second, begun)]


def train(results, version, planned, ended, fid=60.0):
    write_plan(results, "test", version, [trial(seed, version) for seed in range(planned)], design=FIVE)
    for seed in range(ended):
        write(results, trial(seed, version), fid + seed)
    return results


@pytest.fixture
def first(tmp_path):
    return train(tmp_path / "old", 1, 5, 5)


@pytest.mark.parametrize("ended", [0, 1])
def test_trials_of_a_version_that_has_begun_are_not_worse_than_the_finished_ones_beside_them(first, tmp_path, ended):
    """Of a version of which nothing was trained yet every trial was "done -> planned", exit code 1."""
    new = train(train(tmp_path / "new", 1, 5, 5), 2, 5, ended, fid=80.0)
    found = compare(first, new)
    assert (found.exit_code, found.unchanged) == (0, {"identical": 1})
    said = "version 1 of the newer folder is compared in 1 setting, as version 2 has not come as far"
    assert found.differences == [f"test: {said}"]
    itself = compare(new, new)
    assert itself.exit_code == 0
    assert [each.replace("older folder", "newer folder") for each in itself.differences] == found.differences * 2


def test_trials_of_a_version_that_has_come_to_its_first_look_are_compared(first, tmp_path):
    new = train(train(tmp_path / "new", 1, 5, 5), 2, 5, 5, fid=80.0)
    found = compare(first, new)
    assert found.exit_code == 1
    assert "decided by the test" in found.worse[0]
    assert found.differences == []


def test_trials_that_were_done_and_now_wait_are_worse_whatever_the_version_before_them_is(tmp_path):
    old = train(train(tmp_path / "old", 1, 5, 5), 2, 5, 5)
    new = train(train(tmp_path / "new", 1, 5, 5), 2, 5, 2)
    found = compare(old, new)
    assert found.exit_code == 1
    assert len(found.worse) == 3
    assert all(each.endswith("done -> planned") for each in found.worse)


def test_no_setting_has_seeds_of_two_versions(first, tmp_path):
    """Seeds that the newer version no longer has were those of the version before it."""
    new = train(tmp_path / "new", 1, 5, 5)
    write_plan(new, "test", 2, [trial(seed, 2) for seed in range(3)], design=Design.fixed(range(3)))
    for seed in range(3):
        write(new, trial(seed, 2), 60.0 + seed)
    found = compare(first, new)
    assert found.exit_code == 0
    assert found.differences[0].startswith("2 trials not planned in the newer folder")
