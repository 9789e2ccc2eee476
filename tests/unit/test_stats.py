"""Statistics against scipy, and against simulation: intervals cover, corrected tests seldom err."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from gan_bench.report.stats import (
    MANY,
    bca_interval,
    differences,
    effect_size,
    holm,
    improvement_probability,
    mean_interval,
    seeds_needed,
    sign_flip_test,
    t_interval,
)

STUDIES = 1000
some = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)


def coverage(n, draw, true):
    generator = np.random.default_rng(n)
    hits = [(i := mean_interval(draw(generator, n), generator=generator)).low <= true <= i.high for _ in range(STUDIES)]
    return np.mean(hits)


@pytest.mark.parametrize("n", [2, 3, 5, 10, MANY, 20, 40])
def test_intervals_cover_as_often_as_they_say(n):
    assert coverage(n, lambda g, k: g.normal(3, 2, k), 3) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("n", [MANY, 20, 40])
def test_bootstrapped_intervals_follow_skewed_values(n):
    assert coverage(n, lambda g, k: g.gamma(4, 1, k), 4) == pytest.approx(0.95, abs=0.03)


def test_a_bootstrap_of_three_seeds_would_not():
    """Why few seeds get Student's interval: this is what the other one would do."""
    generator = np.random.default_rng(0)
    hits = [(i := bca_interval(generator.normal(0, 1, 3), generator)).low <= 0 <= i.high for _ in range(300)]
    assert np.mean(hits) < 0.85


def test_the_bootstrap_is_close_to_scipy_s_where_n_is_large():
    values = np.random.default_rng(0).gamma(2, 1, 200)
    mine = bca_interval(values, np.random.default_rng(1), resamples=20_000)
    theirs = scipy_stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), rel=0.01)


def test_the_generator_is_used():
    values = np.arange(20.0) ** 2
    first, second, again = (mean_interval(values, generator=np.random.default_rng(s)) for s in (1, 2, 1))
    assert first == again != second


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=10))
def test_the_sign_flip_test_is_scipy_s(values):
    theirs = scipy_stats.permutation_test(
        (np.array(values, dtype=float),), np.sum, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_test(values) == pytest.approx(min(1.0, theirs))


def test_the_sign_flip_test_of_a_clear_difference_is_exact():
    assert sign_flip_test([1.0, 2.0, 3.0, 4.0, 5.0]) == 2 / 2**5
    assert sign_flip_test([1.0, -1.0]) == 1.0


def test_random_signs_agree_with_all_signs():
    values = np.random.default_rng(3).normal(0.4, 1, 16)
    all_signs = scipy_stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_test(values, np.random.default_rng(0)) == pytest.approx(all_signs, abs=0.015)


def test_corrected_tests_err_in_at_most_one_study_in_twenty():
    """Ten true null hypotheses a study: the chance of any decision stays below 5 %; uncorrected it is far above."""
    generator = np.random.default_rng(0)
    p = np.array([[sign_flip_test(generator.normal(0, 1, 9)) for _ in range(10)] for _ in range(STUDIES // 2)])
    assert np.mean([min(holm(list(row))) <= 0.05 for row in p]) <= 0.07
    assert np.mean(p.min(axis=1) <= 0.05) > 0.25


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_what_holm_wrote(p_values):
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate([(len(order) - i) * p_values[j] for i, j in enumerate(order)])
    expected = np.empty(len(order))
    expected[order] = np.minimum(stepped, 1)
    assert holm(p_values) == pytest.approx(list(expected))


@given(some)
def test_better_one_way_is_worse_the_other(values):
    low, high = (improvement_probability(values, lower_is_better=flag) for flag in (True, False))
    assert low + high == pytest.approx(1)


def test_effect_size_is_hedges_g():
    values = np.array([1.0, 2.0, 4.0, 3.0])
    assert effect_size(values) == pytest.approx(values.mean() / values.std(ddof=1) * (1 - 3 / 11))
    assert effect_size([1.0]) is None
    assert effect_size([1.0, 2.0]) is None
    assert effect_size([2.0, 2.0]) is None


def test_the_seeds_that_are_needed_give_the_power_that_is_asked():
    generator = np.random.default_rng(0)
    pilot = np.array([0.0, 2.0])
    pilot = (pilot - pilot.mean()) / pilot.std(ddof=1) + 0.8  # mean 0.8, standard deviation 1
    n = seeds_needed(pilot)
    assert 12 <= n <= 17
    decided = [scipy_stats.ttest_1samp(generator.normal(0.8, 1, n), 0).pvalue <= 0.05 for _ in range(2000)]
    assert np.mean(decided) == pytest.approx(0.8, abs=0.05)


def test_no_number_of_seeds_decides_nothing():
    assert seeds_needed([1.0, -1.0]) is None
    assert seeds_needed([1.0]) is None
    assert seeds_needed([5.0, 5.0]) == 6  # 2 / 2**6 is the first level under 0.05
    assert seeds_needed([5.0, 5.0], tests=10) == 9


def test_t_is_scipy_s():
    values = [1.0, 2.0, 4.0, 8.0]
    interval = t_interval(values)
    theirs = scipy_stats.t.interval(0.95, 3, loc=np.mean(values), scale=scipy_stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(theirs)


def test_unequal_sides_are_refused():
    with pytest.raises(ValueError, match="equal lengths"):
        differences([1.0], [1.0, 2.0])
