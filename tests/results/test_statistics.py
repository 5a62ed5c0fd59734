"""Statistics against SciPy, against enumeration, and by their own properties."""

import numpy as np
import pytest
from scipy import stats

from slotbench.results.leaderboard import statistics
from slotbench.rng import numpy_generator


def generator(*keys):
    return numpy_generator(0, "test statistics", *keys)


def two(n, shift=0.4, *keys):
    draws = generator("two", n, *keys)
    return draws.normal(shift, 1, size=n), draws.normal(0, 1, size=n)


@pytest.mark.parametrize("n", [4, 5, 6, 11, 24])
def test_interquartile_mean_is_the_mean_trimmed_by_a_quarter(n):
    values = generator("iqm", n).normal(size=n)
    trimmed = None if n < 5 else pytest.approx(stats.trim_mean(values, 0.25))
    assert statistics.summarise(values).iqm == trimmed


@pytest.mark.parametrize("n", range(2, 10))
def test_below_ten_seeds_the_interval_is_students(n):
    values = generator("student", n).normal(3, 2, size=n)
    expected = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert statistics.interval([values]) == pytest.approx(expected)


@pytest.mark.parametrize("strata", [(10,), (40,), (7, 8)])
def test_from_ten_seeds_the_interval_is_scipys_bootstrap_within_strata(strata):
    groups = [generator("boot", n, k).normal(k, 2, size=n) for k, n in enumerate(strata)]
    expected = stats.bootstrap(
        groups,
        lambda *parts, axis=-1: np.mean([part.mean(axis=axis) for part in parts], axis=0),
        n_resamples=40_000,
        method="percentile",
        vectorized=True,
        rng=generator("other"),
    ).confidence_interval
    # Both are random. The tolerance is four of their standard errors, at most.
    assert statistics.interval(groups) == pytest.approx((expected.low, expected.high), abs=0.1)
    assert statistics.interval(groups) == statistics.interval(groups)


@pytest.mark.parametrize(("n", "least"), [(3, 0.93), (5, 0.93), (10, 0.87), (20, 0.91)])
def test_the_interval_covers_the_mean(n, least):
    draws, trials, hits = generator("coverage", n), 1000, 0
    for _ in range(trials):
        low, high = statistics.interval([draws.normal(size=n)]) or (1, -1)
        hits += low <= 0 <= high
    assert hits / trials > least


def test_a_cell_shows_only_what_its_seeds_allow():
    assert statistics.summarise([]).mean is None
    one = statistics.summarise([0.5])
    assert (one.mean, one.low, one.high, one.n, one.iqm) == (0.5, None, None, 1, None)
    assert statistics.interval([[0.7, 0.8], [0.7]]) is None
    assert statistics.interval([]) is None
    same = statistics.summarise([0.7] * 12)
    assert (same.low, same.high) == pytest.approx((0.7, 0.7))


@pytest.mark.parametrize("n", [3, 4, 5, 8])
def test_the_permutation_test_is_scipys(n):
    def difference(one, other, axis=-1):
        return one.mean(axis) - other.mean(axis)

    for k in range(3):
        ours, theirs = two(n, 0.5, k)
        expected = stats.permutation_test((ours, theirs), difference, n_resamples=statistics.SPLITS)
        assert statistics.permutation_p([(ours, theirs)]) == pytest.approx(expected.pvalue)


def test_beyond_eight_seeds_and_over_strata_the_splits_are_drawn():
    ours, theirs = two(12, 0.8)
    expected = stats.ttest_ind(ours, theirs).pvalue  # close to the permutation test of normals
    assert statistics.permutation_p([(ours, theirs)]) == pytest.approx(expected, abs=0.01)
    # Strata lie far apart: only within them is the difference clear.
    near = np.array([0.10, 0.11, 0.12, 0.13])
    far = [(near, near - 0.2), (near + 50, near + 49.8)]
    assert statistics.permutation_p(far) < 0.01
    ours, theirs = (np.concatenate(side) for side in zip(*far, strict=True))
    assert statistics.permutation_p([(ours, theirs)]) > 0.5


@pytest.mark.parametrize("n", [3, 5, 9, 12])
def test_swapping_sides_mirrors_the_comparison(n):
    ours, theirs = two(n)
    one, other = statistics.compare([ours], [theirs]), statistics.compare([theirs], [ours])
    assert one.difference == pytest.approx(-(other.difference or 0))
    assert one.difference == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert one.low == pytest.approx(-(other.high or 0), abs=0.02)
    assert one.share_of_pairs == pytest.approx(1 - (other.share_of_pairs or 0))
    assert one.p == pytest.approx(other.p, abs=1e-9 if n <= 8 else 0.01)
    apart = ours - theirs
    assert one.effect == pytest.approx(
        apart.mean() / apart.std(ddof=1) * (1 - 3 / (4 * (n - 1) - 1))
    )


def test_shares_count_pairs_halve_ties_and_weigh_datasets_alike():
    assert statistics.compare([[0.1, 0.2, -0.1, 0.0]], [[0.0] * 4]).share_of_pairs == pytest.approx(
        2.5 / 4
    )
    uneven = statistics.compare([[1.0] * 8, [-1.0] * 2], [[0.0] * 8, [0.0] * 2])
    assert (uneven.share_of_pairs, uneven.difference) == (0.5, 0.0)
    # Below three pairs there is no interval and no test.
    assert statistics.compare([], []) == statistics.Comparison(0)
    assert statistics.compare([[0.5, 0.75]], [[0.0, 0.0]]) == statistics.Comparison(
        2, 0.625, share_of_pairs=1.0
    )


def test_holm_by_hand():
    # Sorted: 0.005 * 4, 0.01 * 3, then 0.03 * 2 and 0.04 * 1, which is raised to its predecessor.
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([None, 0.02, None, 0.5]) == [None, 0.04, None, 0.5]
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


@pytest.mark.parametrize(
    ("n", "difference", "ends", "corrected", "words"),
    [
        (2, 0.2, (0.1, 0.3), 0.001, "too few seeds to say (2 of 3)"),
        (8, 0.2, (0.1, 0.3), 0.01, "better"),
        (8, -0.2, (-0.3, -0.1), 0.01, "worse"),
        (8, 0.2, (0.1, 0.3), 0.05, "undecided"),
        (8, 0.005, (-0.02, 0.02), 0.6, "equivalent"),
        (8, 0.005, (-0.021, 0.019), 0.6, "undecided"),
        (8, 0.005, (0.004, 0.006), 0.01, "better"),
    ],
)
def test_a_conclusion_is_one_of_four(n, difference, ends, corrected, words):
    found = statistics.Comparison(n, difference, *ends, 1.0, corrected)
    assert statistics.conclusion(found, corrected) == words


@pytest.mark.parametrize("tests", [1, 4])
def test_the_seeds_named_reach_the_power_in_a_simulation(tests):
    found = statistics.Comparison(4, 0.1, spread=0.09)
    need = statistics.seeds_needed(found, tests)
    assert need.more is not None
    draws = generator("power", tests)

    def power(n, trials=400):
        p = [
            statistics.permutation_p([(draws.normal(0.1, 0.09, n), draws.normal(0, 0.09, n))])
            for _ in range(trials)
        ]
        return float(np.mean(np.array(p) < 0.05 / tests))

    assert power(found.n + need.more) > 0.8 - 0.08  # four standard errors
    assert power(found.n + need.more // 2) < 0.8


def test_nothing_is_planned_from_nothing():
    assert statistics.seeds_needed(statistics.Comparison(2, 0.1, spread=0.1)) is None
    assert statistics.seeds_needed(statistics.Comparison(5, 0.0, spread=0.1)) is None
    assert statistics.seeds_needed(statistics.Comparison(5, 0.1, spread=0.0)) is None
    need = statistics.seeds_needed(statistics.Comparison(5, 0.001, spread=0.1))
    assert (need.more, need.limit) == (None, statistics.MOST)
