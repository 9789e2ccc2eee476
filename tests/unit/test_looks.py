"""Levels of looks: against published tables of the normal theory, against simulated studies, and what they promise."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats
from support.needs import slow

from gan_bench.report.study.looks import FIRST, TABLES, is_equivalent, level, may_be_equivalent, repeated_p
from gan_bench.report.study.stats import coincidence, paired_test, seeds_needed

LOOKS = (5, 8, 12)
LONG = (5, 8, 12, 18)
STUDIES = 200_000


@pytest.fixture(scope="module")
def derivation():
    path = Path(__file__).parents[2] / "benchmarks/statistics/looks.py"
    spec = importlib.util.spec_from_file_location("looks_derivation", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --------------------------------------------------------------------------------------- the derivation


@pytest.mark.ci
def test_the_derivation_gives_the_bounds_that_pocock_and_o_brien_and_fleming_published(derivation):
    """Two-sided, 0.05, equal steps; Pocock's constants for two to five looks, O'Brien and Fleming's for three."""
    for count, published in ((2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413)):
        looks = tuple(10 * (i + 1) for i in range(count))
        z = -special.ndtri(derivation.p_values(looks, 18, 0, known_spread=True) / 2)
        assert np.quantile(z.max(axis=0), 0.95) == pytest.approx(published, abs=0.005)
    z = -special.ndtri(derivation.p_values((10, 20, 30), 18, 0, known_spread=True) / 2)
    weights = np.sqrt(np.array([1, 2, 3]) / 3)[:, None]
    bound = np.quantile((z * weights).max(axis=0), 0.95)
    assert bound / np.sqrt(np.array([1, 2, 3]) / 3) == pytest.approx([3.471, 2.454, 2.004], abs=0.008)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("times", "power", "published"),
    [
        ((0.3, 0.7, 1.0), 2.2, (2.859401, 2.243571, 1.973574)),  # Kim and DeMets 1987
        *slow(((0.2, 0.4, 1.0), 1.0, (2.512144, 2.422875, 2.028039))),  # linear
    ],
)
def test_the_derivation_spends_as_published_tables_do(derivation, times, power, published):
    """One-sided 0.03, as in rpact's tests; two-sided bounds for 0.06 are the same to four digits."""
    looks = tuple(round(10 * time) for time in times)
    p = derivation.p_values(looks, 20, 0, known_spread=True)
    found = derivation.levels(p, [0.06 * time**power for time in times])
    assert -special.ndtri(np.array(found) / 2) == pytest.approx(published, abs=0.01)


@pytest.mark.ci
def test_the_shipped_levels_are_those_of_the_derivation(derivation):
    p = derivation.p_values(LOOKS, 20, 5)
    for total in (0.05, 0.05 / 3, 0.05 / 9):
        spent = [total * share for share in derivation.DESIGNS[LOOKS]]
        assert derivation.levels(p, spent) == pytest.approx([level(LOOKS, n, total) for n in LOOKS], rel=0.03)


@pytest.mark.ci
def test_bounds_of_the_normal_theory_are_too_generous(derivation):
    """What t over so few seeds needs is not what textbooks print: the test can tell."""
    z = derivation.levels(derivation.p_values(LOOKS, 20, 5, known_spread=True), [0.05 * n / 12 for n in LOOKS])
    assert z[1] > 1.1 * level(LOOKS, 8)
    assert z[2] > 1.1 * level(LOOKS, 12)


# -------------------------------------------------------------------------------------------- the levels


def test_the_levels_of_a_single_comparison():
    assert [level(LOOKS, n) for n in LOOKS] == pytest.approx([0.02083, 0.01762, 0.02458], rel=1e-3)
    assert [level(LONG, n) for n in LONG] == pytest.approx([0.02, 0.01449, 0.01547, 0.01653], rel=2e-3)
    reach = [special.stdtrit(n - 1, 1 - level(LOOKS, n) / 2) for n in LOOKS]
    assert reach == pytest.approx([3.70, 3.09, 2.60], abs=0.01)


@pytest.mark.parametrize("looks", TABLES)
def test_no_level_grows_where_the_total_falls(looks):
    """Else Holm's step-down would not be valid."""
    totals = np.geomspace(1e-5, 1, 4000)
    for look in looks:
        levels = [level(looks, look, total) for total in totals]
        assert (np.diff(levels) >= -1e-15).all()
        assert (np.array(levels) <= totals + 1e-15).all()


@pytest.mark.parametrize("looks", [*TABLES, (4, 7, 10), (5,), (3, 30)])
def test_a_repeated_p_is_the_least_total_that_decides(looks):
    for look in looks:
        for total in np.geomspace(1e-4, 0.9, 60):
            nominal = level(looks, look, total)
            assert repeated_p(looks, look, nominal * (1 - 1e-6)) <= total * (1 + 1e-5)
            if look == looks[0] or looks not in TABLES or not 0.0029 < total < 0.0049:  # there levels stay as they are
                assert repeated_p(looks, look, nominal * 1.001) > total
        assert repeated_p(looks, look, 1.0) == 1.0
        assert repeated_p(looks, look, 0.0) == 0.0
        p = np.geomspace(1e-6, 1, 500)
        assert (np.diff([repeated_p(looks, look, each) for each in p]) >= 0).all()


@pytest.mark.parametrize("looks", TABLES)
def test_a_p_on_the_plateau_has_the_smaller_total(looks):
    """Of all totals with one level the least decides: one that is read as more would lose what nestedness gave back."""
    (total, *_), plateau = TABLES[looks][12], TABLES[looks][11][1]
    for p in (plateau * 0.99999, plateau):
        assert repeated_p(looks, looks[1], p) == pytest.approx(total, rel=1e-3)


def test_looks_without_a_table_share_the_total_by_new_seeds():
    looks = (4, 7, 12)
    assert [level(looks, n) for n in looks] == pytest.approx([0.05 * 4 / 12, 0.05 * 3 / 12, 0.05 * 5 / 12])
    assert repeated_p(looks, 7, 0.01) == pytest.approx(0.04)
    assert level((12,), 12) == 0.05
    assert repeated_p((12,), 12, 0.04) == 0.04


def test_five_seeds_decide_in_tables_of_up_to_ten():
    least = float(coincidence(5))
    assert [10 * repeated_p(looks, 5, least) <= 0.05 for looks in TABLES] == [True, True]
    assert [11 * repeated_p(looks, 5, least) <= 0.05 for looks in TABLES] == [False, False]
    assert all(100 * repeated_p(LOOKS, n, float(coincidence(n))) <= 0.05 for n in (8, 12))


# --------------------------------------------------------------------------------------- what they promise


def _collapsing(generator, shape):
    runs = generator.normal(0, 0.1, (2, *shape)) + 1.5 * (generator.random((2, *shape)) < 0.5)
    return runs[1] - runs[0]


@pytest.mark.ci
@pytest.mark.parametrize("draw", [lambda g, shape: g.normal(size=shape), _collapsing], ids=["normal", "collapsing"])
@pytest.mark.parametrize("looks", TABLES)
def test_all_looks_together_err_in_five_of_a_hundred_studies(draw, looks):
    generator, hits = np.random.default_rng(1), 0
    for _ in range(10):
        gaps = draw(generator, (STUDIES // 10, looks[-1]))
        found = [paired_test(gaps[:, :look]) <= level(looks, look) for look in looks]
        hits += int(np.any(found, axis=0).sum())
    assert hits / STUDIES <= 0.053
    peeking = np.any([paired_test(gaps[:, :look]) <= 0.05 for look in looks], axis=0).mean()
    assert peeking > 0.09, "the test can tell: looking again at 0.05 errs twice as often"


def test_repeated_intervals_hold_the_mean_at_every_look():
    generator = np.random.default_rng(2)
    gaps = generator.normal(1.0, 1.0, (50_000, 12))
    holds = []
    for look in LOOKS:
        seen = gaps[:, :look]
        reach = special.stdtrit(look - 1, 1 - level(LOOKS, look) / 2) * seen.std(axis=1, ddof=1) / np.sqrt(look)
        holds.append(np.abs(seen.mean(axis=1) - 1.0) <= reach)
    assert np.all(holds, axis=0).mean() == pytest.approx(0.95, abs=0.004)


# ------------------------------------------------------------------------------------------- equivalence


@pytest.mark.parametrize("tests", [1, 3, 9])
def test_equivalence_is_two_one_sided_tests_at_the_last_look(tests):
    generator = np.random.default_rng(3)
    found = []
    for _ in range(300):
        values = generator.normal(generator.uniform(-0.1, 0.1), 0.06, 12)
        upper = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
        lower = stats.ttest_1samp(values, -0.1, alternative="greater").pvalue
        wanted = max(upper, lower) <= level(LOOKS, 12, 0.05 / tests)
        assert is_equivalent(LOOKS, values, 0.1, tests) == is_equivalent(LOOKS, -values, 0.1, tests) == wanted
        found.append(wanted)
    assert any(found)
    assert not all(found)


def test_a_difference_of_just_the_margin_is_seldom_called_equivalent():
    generator = np.random.default_rng(4)
    values = generator.normal(0.1, 0.05, (4000, 12))
    assert np.mean([is_equivalent(LOOKS, each, 0.1, 1) for each in values]) <= 0.035


def test_equivalence_is_out_of_reach_where_the_spread_is_large():
    generator = np.random.default_rng(5)
    values = generator.normal(0, 1, 5)
    values = (values - values.mean()) / values.std(ddof=1)
    reach = {spread: may_be_equivalent(LOOKS, spread * values, 0.0953, 1) for spread in (0.02, 0.1, 0.2)}
    assert reach == {0.02: True, 0.1: True, 0.2: False}
    assert not may_be_equivalent(LOOKS, 0.02 * values + 0.09, 0.0953, 1)
    assert not is_equivalent(LOOKS, [0.0], 0.1, 1)
    assert is_equivalent(LOOKS, [0.001] * 12, 0.1, 1)
    assert not is_equivalent(LOOKS, [0.2] * 12, 0.1, 1)


def test_the_look_that_a_decision_needs():
    def needed(after, values, tests=1):
        later = [look for look in LOOKS if look > after]
        return seeds_needed(values, later, [level(LOOKS, look, 0.05 / tests) for look in later])

    values = np.array([0.9, 1.1, 1.0, 1.05, 0.95])
    assert needed(5, values) == 8
    assert needed(0, values) == 5
    assert needed(0, values, 13) == 8, "five seeds cannot decide one of thirteen"
    assert needed(5, values - 0.99) is None
    assert needed(12, values) is None
    assert needed(5, np.zeros(5)) is None
    assert needed(5, np.ones(5)) == 8, "the same difference in every seed is the surest"


def test_the_share_of_the_first_look_is_that_of_the_derivation(derivation):
    assert {looks: shares[0] for looks, shares in derivation.DESIGNS.items()} == pytest.approx(FIRST)
