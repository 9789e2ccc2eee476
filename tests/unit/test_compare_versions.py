"""Which version of a suite counts where a folder has several."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.studies import write
from support.trials import digits_trial

from gan_bench.config.design import Design
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
