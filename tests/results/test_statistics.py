"""Statistics against SciPy, against enumeration, and by their own properties."""

import itertools

import numpy as np
import pytest
from scipy import stats

from slotbench.results.leaderboard.statistics import (
    Comparison,
    bootstrap_interval,
    compare,
    holm,
    interquartile_mean,
    signed_rank,
    stratified_mean,
    summarise,
    verdict,
)
from slotbench.rng import numpy_generator


def generator(*keys: int | str) -> np.random.Generator:
    return numpy_generator(0, "test statistics", *keys)


# Means


@pytest.mark.parametrize("n", range(5, 25))
def test_interquartile_mean_is_the_mean_trimmed_by_a_quarter(n: int) -> None:
    values = generator("iqm", n).normal(size=n)
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_interquartile_mean_resists_one_outlier_and_needs_five_values() -> None:
    assert interquartile_mean([0.9, 0.9, 0.9, 0.9, -50.0]) == pytest.approx(0.9)
    assert interquartile_mean([0.9, 0.9, 0.9, 0.9]) is None


def test_strata_weigh_alike_whatever_their_size() -> None:
    assert stratified_mean([[1.0], [0.0] * 9]) == 0.5
    with pytest.raises(ValueError, match="at least one value"):
        stratified_mean([[1.0], []])


# Intervals


@pytest.mark.parametrize("n", [5, 12, 40])
def test_the_interval_is_scipys(n: int) -> None:
    values = generator("values", n).normal(3, 2, size=n)
    found = bootstrap_interval([values], generator("ours"), resamples=40_000)
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=40_000, random_state=generator("other")
    ).confidence_interval
    assert found is not None
    # Both are random: the tolerance is four of their standard errors, at most.
    assert found == pytest.approx((expected.low, expected.high), abs=0.05 * float(np.std(values)))


def test_the_interval_is_that_of_every_resample() -> None:
    values = [0.1, 0.4, 0.45, 0.9]
    means = [np.mean(drawn) for drawn in itertools.product(values, repeat=4)]
    found = bootstrap_interval([values], generator(), resamples=200_000)
    assert found == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=0.013)


def test_the_stratified_interval_is_that_of_every_resample_within_strata() -> None:
    first, second = [0.0, 1.0, 5.0], [10.0, 14.0]
    means = [
        (np.mean(a) + np.mean(b)) / 2
        for a in itertools.product(first, repeat=3)
        for b in itertools.product(second, repeat=2)
    ]
    found = bootstrap_interval([first, second], generator(), resamples=200_000)
    assert found == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=1e-9)
    # Redrawn across strata it would be far wider: the strata lie 10 apart.
    together = bootstrap_interval([first + second], generator())
    assert found is not None
    assert together is not None
    assert found[1] - found[0] < 0.6 * (together[1] - together[0])


@pytest.mark.parametrize(("n", "low", "high"), [(3, 0.69, 0.77), (5, 0.80, 0.87), (20, 0.91, 0.95)])
def test_coverage_is_what_the_docstring_says(n: int, low: float, high: float) -> None:
    draws, trials = generator("coverage", n), 1500
    hits = 0
    for _ in range(trials):
        ends = bootstrap_interval([draws.normal(size=n)], draws, resamples=500)
        assert ends is not None
        hits += ends[0] <= 0 <= ends[1]
    assert low < hits / trials < high


def test_the_interval_depends_on_the_generator_alone() -> None:
    values = generator("values").normal(size=12)
    same = [bootstrap_interval([values], generator("a")) for _ in range(2)]
    assert same[0] == same[1]
    assert same[0] != bootstrap_interval([values], generator("b"))
    np.random.seed(0)
    assert bootstrap_interval([values], generator("a")) == same[0]


def test_equal_values_leave_nothing_open() -> None:
    assert bootstrap_interval([[0.7] * 4], generator()) == pytest.approx((0.7, 0.7))


def test_a_stratum_of_one_seed_has_no_interval() -> None:
    assert bootstrap_interval([[0.7]], generator()) is None
    assert bootstrap_interval([[0.7, 0.8], [0.7]], generator()) is None
    assert bootstrap_interval([], generator()) is None


def test_a_cell_knows_what_its_seeds_allow() -> None:
    assert summarise([], generator()).mean is None
    one = summarise([0.5], generator())
    assert (one.mean, one.low, one.high, one.n, one.iqm) == (0.5, None, None, 1, None)
    five = summarise([0.1, 0.2, 0.3, 0.4, 0.9], generator())
    assert five.iqm == pytest.approx(0.3)
    assert five.mean == pytest.approx(0.38)
    assert five.low is not None
    assert five.high is not None
    assert 0.1 < five.low < 0.38 < five.high < 0.9


# Comparisons


def test_the_paired_interval_is_scipys_of_the_pairs() -> None:
    draws = generator("pairs")
    theirs = draws.normal(size=12)
    ours = theirs + draws.normal(0.3, 0.2, size=12)
    found = compare([ours - theirs], generator())
    expected = stats.bootstrap(
        (ours, theirs),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        paired=True,
        method="percentile",
        n_resamples=10_000,
        random_state=generator("other"),
    ).confidence_interval
    assert found.difference == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    assert found.p == pytest.approx(stats.wilcoxon(ours, theirs).pvalue)


def test_probability_of_improvement_counts_pairs_and_halves_ties() -> None:
    assert compare([[0.1, 0.2, -0.1, 0.0]], generator()).probability == pytest.approx(2.5 / 4)
    # A dataset with many seeds weighs no more than one with few.
    assert compare([[1.0] * 8, [-1.0, -1.0]], generator()).probability == 0.5


def test_swapping_sides_mirrors_the_comparison() -> None:
    differences = generator("swap").normal(0.2, 1, size=9)
    ours, theirs = compare([differences], generator()), compare([-differences], generator())
    assert ours.difference == pytest.approx(-(theirs.difference or 0))
    assert ours.low == pytest.approx(-(theirs.high or 0))
    assert ours.probability == pytest.approx(1 - (theirs.probability or 0))
    assert ours.p == pytest.approx(theirs.p)


def test_below_three_pairs_there_is_no_interval_and_no_test() -> None:
    assert compare([], generator()) == Comparison(0, None, None, None, None, None)
    assert compare([[0.5, 0.75]], generator()) == Comparison(2, 0.625, None, None, 1.0, None)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_the_rank_test_is_that_of_every_sign_pattern(n: int) -> None:
    differences = generator("ranks", n).normal(0.3, 1, size=n)
    ranks = stats.rankdata(abs(differences))
    observed = abs(np.sum(ranks * np.sign(differences)))
    sums = [abs(np.dot(ranks, signs)) for signs in itertools.product((-1, 1), repeat=n)]
    assert signed_rank(differences) == pytest.approx(np.mean(np.array(sums) >= observed - 1e-9))


def test_the_rank_test_bears_ties_and_zeros() -> None:
    assert signed_rank([0.0, 0.0, 0.0]) == 1.0
    assert signed_rank([0.1] * 6) == pytest.approx(2 / 2**6)
    assert signed_rank([0.0, 0.1, 0.2, 0.3]) == pytest.approx(2 / 2**3)


def test_holm_by_hand() -> None:
    # Sorted: 0.005 * 4, 0.01 * 3, then 0.03 * 2 and 0.04 * 1, which is raised to its predecessor.
    corrected = holm([0.01, 0.04, 0.03, 0.005])
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_was_not_tested_and_stops_at_one() -> None:
    assert holm([None, 0.02, None, 0.5]) == [None, 0.04, None, 0.5]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([None]) == [None]


def test_holm_lies_between_no_correction_and_bonferroni() -> None:
    p_values = generator("holm").uniform(size=30).tolist()
    corrected = holm(p_values)
    for p, found in zip(p_values, corrected, strict=True):
        assert found is not None
        assert p <= found <= min(1.0, 30 * p)
    order = np.argsort(p_values)
    assert np.all(np.diff(np.array(corrected, dtype=float)[order]) >= 0)


def comparison(
    difference: float, low: float, high: float, n: int = 8, probability: float | None = None
) -> Comparison:
    if probability is None:
        probability = float(difference > 0)
    return Comparison(n, difference, low, high, probability, 0.01)


@pytest.mark.parametrize(
    ("found", "corrected", "words"),
    [
        (comparison(0.2, 0.1, 0.3, n=1), 0.001, "too few seeds to say (1 of 3)"),
        (comparison(0.2, 0.1, 0.3, n=2), 0.001, "too few seeds to say (2 of 3)"),
        (comparison(0.2, 0.1, 0.3), 0.01, "better"),
        (comparison(-0.2, -0.3, -0.1), 0.01, "worse"),
        (comparison(0.2, 0.1, 0.3), 0.05, "leans better, not significant"),
        (comparison(-0.2, -0.3, -0.1), 0.2, "leans worse, not significant"),
        (comparison(0.2, -0.1, 0.3), 0.2, "no difference shown"),
        # One huge pair against all the others: mean and majority disagree.
        (comparison(0.2, 0.1, 0.3, probability=0.1), 0.01, "no difference shown"),
    ],
)
def test_the_verdict_claims_no_more_than_the_test(
    found: Comparison, corrected: float, words: str
) -> None:
    assert verdict(found, corrected) == words


# Exactness


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_few_values_have_the_quantiles_of_all_their_resamples(n: int, level: float) -> None:
    values = generator("exact", n).normal(size=n)
    means = [np.mean(drawn) for drawn in itertools.product(values, repeat=n)]
    tail = (1 - level) / 2
    low = np.quantile(means, tail, method="inverted_cdf")
    high = -np.quantile([-mean for mean in means], tail, method="inverted_cdf")
    assert bootstrap_interval([values], generator(), level=level) == pytest.approx((low, high))


def test_exact_and_drawn_intervals_agree_where_one_goes_over_into_the_other() -> None:
    values = generator("over").normal(size=8)
    exact = bootstrap_interval([values], generator())
    drawn = [values[generator("draws").integers(8, size=(100_000, 8))].mean(axis=1)]
    assert exact == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.02)


def test_the_interval_of_a_mirror_image_is_mirrored() -> None:
    values = generator("mirror").normal(size=7)
    low, high = bootstrap_interval([values], generator()) or (0, 0)
    assert bootstrap_interval([-values], generator()) == pytest.approx((-high, -low))


@pytest.mark.parametrize("n", [4, 6, 9, 12, 30, 50])
def test_the_rank_test_is_scipys(n: int) -> None:
    differences = generator("scipy", n).normal(0.4, 1, size=n)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank(differences) == pytest.approx(expected)


@pytest.mark.parametrize("n", [3, 5, 8, 11])
def test_the_rank_test_with_ties_is_that_of_every_sign_pattern(n: int) -> None:
    differences = np.round(generator("ties", n).normal(0.2, 1, size=n), 0)
    values = differences[differences != 0]
    ranks = stats.rankdata(abs(values))
    observed = ranks[values > 0].sum()
    sums = np.array(
        [np.dot(ranks, signs) for signs in itertools.product((0, 1), repeat=len(values))]
    )
    tail = min(np.mean(sums >= observed - 1e-9), np.mean(sums <= observed + 1e-9))
    assert signed_rank(differences) == pytest.approx(min(1.0, 2 * tail))


def test_the_rank_test_of_many_pairs_is_scipys_approximation() -> None:
    differences = generator("many").normal(0.1, 1, size=400)
    expected = stats.wilcoxon(differences, method="asymptotic", correction=False).pvalue
    assert signed_rank(differences) == pytest.approx(expected)
    # The two sides of the limit agree.
    fewer = generator("limit").normal(0.1, 1, size=200)
    normal = stats.wilcoxon(fewer, method="asymptotic").pvalue
    assert signed_rank(fewer) == pytest.approx(normal, abs=0.005)
