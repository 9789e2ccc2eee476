"""Which version of a suite counts where a folder has several."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.studies import write
from support.trials import digits_trial

from gan_bench.config.design import Design
from gan_bench.core.errors import UserError
from gan_bench.records.plan import write_plan
from gan_bench.records.record import Status
from gan_bench.report.compare.comparison import compare

FIVE = Design.fixed(range(5))


def trial(seed, version):
    made = digits_trial(seed)
    return replace(made, config=replace(made.config, suite_version=version))


def train(results, version, planned, ended, fid=60.0):
    write_plan(results, "test", version, [trial(seed, version) for seed in range(planned)], design=FIVE)
    for seed in range(ended):
        write(results, trial(seed, version), fid + seed)
    return results


@pytest.fixture
def first(tmp_path):
    return train(tmp_path / "old", 1, 5, 5)


def left_out(results, version, counts):
    return f"test: 5 trials of version {version} in {results} are not compared, version {counts} counts"


@pytest.mark.parametrize("ended", [0, 1, 4])
def test_a_version_some_of_whose_trials_wait_hides_none_that_has_ended(first, tmp_path, ended):
    """Every trial of it that waits was "done -> planned", exit code 1."""
    new = train(train(tmp_path / "new", 1, 5, 5), 2, 5, ended, fid=80.0)
    found = compare(first, new)
    assert (found.exit_code, found.unchanged) == (0, {"identical": 1})
    assert found.differences == [left_out(new, 2, 1)]
    by_setting = compare(first, new, match="settings")
    assert (by_setting.settings, by_setting.differences) == ({"equivalent": 1}, [left_out(new, 2, 1)])


def test_where_trials_wait_of_every_version_the_newest_with_a_finished_one_counts(first, tmp_path):
    new = train(tmp_path / "new", 1, 5, 4)
    write(new, trial(4, 1), 60.0, status=Status.INTERRUPTED)
    assert compare(first, train(new, 2, 5, 2)).differences[0] == left_out(new, 1, 2)


@pytest.mark.parametrize("match", ["trials", "settings"])
def test_the_newest_version_that_has_ended_counts_and_the_others_are_named(first, tmp_path, match):
    new = train(train(tmp_path / "new", 1, 5, 5), 2, 5, 5, fid=80.0)
    found = compare(first, new, match=match)
    assert found.differences == [left_out(new, 1, 2)]
    if match == "trials":
        assert found.exit_code == 1
        assert "decided by the test" in found.worse[0]
    else:
        (row,) = found.tables[0].rows.to_dict("records")
        assert (row["new_n"], row["verdict"], row["differs"]) == (5, "different", "version: 1 / 2")


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
    assert found.differences == [left_out(new, 1, 2), *found.differences[1:]]
    assert found.differences[1].startswith("2 trials not planned in the newer folder")


@pytest.mark.parametrize("status", [Status.FAILED, Status.DIVERGED])
@pytest.mark.parametrize("match", ["trials", "auto"])
def test_a_version_all_of_whose_trials_failed_counts(first, tmp_path, status, match):
    """The version before it was compared in its place: identical, exit code 0."""
    new = train(tmp_path / "new", 1, 5, 5)
    write_plan(new, "test", 2, [trial(seed, 2) for seed in range(5)], design=FIVE)
    for seed in range(5):
        write(new, trial(seed, 2), 60.0, status=status)
    found = compare(first, new, match=match)
    assert found.exit_code == 1
    assert left_out(new, 1, 2) in found.differences


@pytest.mark.parametrize("status", [Status.FAILED, Status.DIVERGED])
def test_a_folder_is_not_worse_than_itself_where_a_version_failed(first, status):
    """Of the older one the version before was taken, and of the newer one that which failed."""
    write_plan(first, "test", 2, [trial(seed, 2) for seed in range(5)], design=FIVE)
    for seed in range(5):
        write(first, trial(seed, 2), 60.0, status=status)
    assert compare(first, first).exit_code == 0


def of_profile(seed, version, profile):
    made = trial(seed, version)
    return replace(made, config=replace(made.config, profile=profile))


def test_each_profile_has_a_version_of_its_own(first, tmp_path):
    """A quick trial of a newer version hid that all full ones had become worse."""
    new = train(tmp_path / "new", 1, 5, 5, fid=120.0)
    for folder in (first, new):
        write_plan(folder, "test", 2, [of_profile(0, 2, "quick")], design=Design.fixed([0]))
        write(folder, of_profile(0, 2, "quick"), 70.0)
    found = compare(first, new)
    assert found.exit_code == 1
    assert "decided by the test" in found.worse[0]
    assert not any("version" in each for each in found.differences)


def other_setting(seed, version):
    made = trial(seed, version)
    return replace(made, setting="other", config=replace(made.config, lr_g=0.123))


def test_a_version_without_a_setting_in_common_hides_none_that_has_one(first, tmp_path):
    """The two had nothing in common then, and the advice was to train again with other options."""
    new = train(tmp_path / "new", 1, 5, 5, fid=120.0)
    write_plan(new, "test", 2, [other_setting(seed, 2) for seed in range(5)], design=FIVE)
    for seed in range(5):
        write(new, other_setting(seed, 2), 60.0 + seed)
    found = compare(first, new)
    assert found.exit_code == 1
    assert left_out(new, 2, 1) in found.differences


def test_settings_of_other_suites_are_in_common_too(first, tmp_path):
    """A version counted for settings of its own suite alone."""
    write_plan(first, "test", 2, [other_setting(seed, 2) for seed in range(5)], design=FIVE)
    made = [replace(each, config=replace(each.config, suite="b")) for each in map(trial, range(5), [1] * 5)]
    write_plan(tmp_path / "b", "b", 1, made, design=FIVE)
    for seed, each in enumerate(made):
        write(first, other_setting(seed, 2), 60.0 + seed)
        write(tmp_path / "b", each, 60.0 + seed)
    assert compare(first, tmp_path / "b", match="settings").settings == {"equivalent": 1}


def test_versions_that_are_left_out_are_named_where_nothing_is_in_common(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, versions in ((old, (1, 2)), (new, (2,))):
        for version in versions:
            made = [(other_setting if folder == new else trial)(seed, version) for seed in range(5)]
            write_plan(folder, "test", version, made, design=FIVE)
            for each in made:
                write(folder, each, 60.0 + each.config.seed)
    with pytest.raises(UserError, match=r"no finished setting in common .* version 1 in .* are not compared"):
        compare(old, new)
