"""Power by simulation against brute force, and the error rates of what is claimed."""

import itertools

import numpy as np
import pytest
from scipy import stats

from slotbench.results.leaderboard.power import MOST, least_significant_sum, power, seeds_needed
from slotbench.results.leaderboard.statistics import (
    Comparison,
    compare,
    effect_size,
    holm,
    pooled_deviation,
    signed_rank,
    verdict,
)
from slotbench.rng import numpy_generator


def generator(*keys: int | str) -> np.random.Generator:
    return numpy_generator(0, "test power", *keys)


@pytest.mark.parametrize("n", range(1, 11))
@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_the_least_significant_sum_is_that_of_every_sign_pattern(n: int, alpha: float) -> None:
    ranks = np.arange(1, n + 1)
    sums = np.array([np.dot(ranks, signs) for signs in itertools.product((0, 1), repeat=n)])
    significant = [w for w in range(n * (n + 1) // 2 + 1) if 2 * np.mean(sums >= w) < alpha]
    assert least_significant_sum(n, alpha) == (min(significant) if significant else None)


@pytest.mark.parametrize(("more", "shift"), [(2, 0.8), (5, 0.5), (12, -0.4)])
def test_power_is_that_of_brute_force(more: int, shift: float) -> None:
    strata = [[0.3, -0.1, 0.9], [0.5, 0.2, 0.45]]
    found = power(strata, more, generator("ours", more), difference=shift, deviation=0.6)
    trials = 2000
    new = generator("brute force", more).normal(shift, 0.6, size=(trials, 2 * more))
    old = np.broadcast_to(np.concatenate(strata), (trials, 6))
    # One-sided: significant on the side of the assumed difference.
    tested = stats.wilcoxon(
        np.concatenate([old, new], axis=1),
        axis=1,
        method="exact",
        alternative="greater" if shift > 0 else "less",
    )
    hits = np.mean(tested.pvalue < 0.025)
    # Four standard errors of both simulations.
    assert found == pytest.approx(hits, abs=4 * np.sqrt(0.25 / 1000 + 0.25 / trials))


def test_power_of_a_study_that_has_not_begun_is_known() -> None:
    # Without a difference it is half the test's size, which is at most alpha.
    none = power([[]], 12, generator("null"), difference=1e-12, deviation=1.0, simulations=8000)
    assert none <= 0.025 + 4 * np.sqrt(0.025 / 8000)
    assert power([[]], 5, generator("five"), difference=9.0, deviation=1.0) == 0.0
    assert power([[]], 6, generator("six"), difference=9.0, deviation=1.0) == 1.0


def test_seeds_needed_are_the_fewest_that_reach_the_power() -> None:
    strata = [[0.3, -0.1, 0.5], [0.2, 0.1, 0.0]]
    need = seeds_needed(strata, generator("need"), alpha=0.0125, simulations=4000)
    assert need is not None
    assert need.more is not None
    assert need.power >= 0.8
    difference = float(np.mean([np.mean(values) for values in strata]))
    deviation, _ = pooled_deviation(strata)

    def at(more: int) -> float:
        return power(
            strata,
            more,
            generator("check", more),
            difference=difference,
            deviation=deviation,
            alpha=0.0125,
            simulations=4000,
        )

    assert at(need.more) > 0.77
    assert at(need.more - 1) < 0.83
    assert at(max(0, need.more - 3)) < 0.8


def test_five_seeds_of_one_side_need_more_for_the_rank_test_alone() -> None:
    # However large the difference: 2 / 2^n < 0.05 / 4 takes eight pairs.
    need = seeds_needed([[0.50, 0.51, 0.52, 0.49, 0.5]], generator("floor"), alpha=0.05 / 4)
    assert need is not None
    assert need.more == 3


def test_a_difference_that_is_too_small_is_said_to_be() -> None:
    need = seeds_needed([[1.0, -1.0, 1.001, -1.0, 0.0, 0.01]], generator("small"))
    assert need is not None
    assert need.more is None
    assert need.limit == MOST


def test_nothing_is_extrapolated_from_nothing() -> None:
    assert seeds_needed([[0.1, 0.2]], generator("two")) is None
    assert seeds_needed([[0.1, 0.1, 0.1]], generator("no spread")) is None
    assert seeds_needed([[-0.1, 0.1, -0.2, 0.2]], generator("no difference")) is None


def test_the_estimate_holds_when_the_seeds_are_added() -> None:
    """Of studies whose assumption is right, 80 % show the difference after the seeds named."""
    draws, shown, trials = generator("truth"), 0, 60
    need = None
    for trial in range(trials):
        pairs = draws.normal(0.6, 1.0, size=6)
        # Shifted and scaled, so that what has been seen is the truth.
        pairs = 0.6 + (pairs - pairs.mean()) / pairs.std(ddof=1)
        need = seeds_needed([pairs], generator("plan", trial), simulations=500)
        assert need is not None
        assert need.more is not None
        together = np.concatenate([pairs, draws.normal(0.6, 1.0, size=need.more)])
        shown += signed_rank(together) < 0.05 and together.mean() > 0
    assert stats.binomtest(shown, trials, 0.8).pvalue > 0.001


# Error rates


@pytest.mark.parametrize(("strata", "seeds"), [(1, 6), (2, 5), (4, 3)])
def test_equal_objectives_are_told_apart_in_five_per_cent_of_cases_at_most(
    strata: int, seeds: int
) -> None:
    """Four metrics, Holm's correction: any claim at all is the error."""
    draws, errors, trials = generator("null", strata, seeds), 0, 400
    for _ in range(trials):
        # Metrics of one pair go together; baselines differ from dataset to dataset.
        common = draws.normal(size=(strata, seeds))
        found = [
            compare_quickly(common * 0.6 + draws.normal(size=(strata, seeds))) for _ in range(4)
        ]
        corrected = holm([result.p for result in found])
        words = [verdict(result, p) for result, p in zip(found, corrected, strict=True)]
        errors += any(word in ("better", "worse") for word in words)
    assert stats.binomtest(errors, trials, 0.05, "greater").pvalue > 0.001


def compare_quickly(pairs: np.ndarray) -> Comparison:
    """As ``compare``, without the interval: it takes no part in a claim."""
    p = signed_rank(pairs.ravel())
    share = float(np.mean(pairs > 0))
    return Comparison(pairs.size, float(pairs.mean()), None, None, share, p)


def test_a_real_difference_is_found() -> None:
    draws, found, trials = generator("power"), 0, 200
    for _ in range(trials):
        pairs = draws.normal(1.5, 1.0, size=(2, 5))
        result = compare_quickly(pairs)
        found += verdict(result, holm([result.p, 0.5, 0.5, 0.5])[0]) == "better"
    assert found / trials > 0.8


def test_effect_size_is_hedges_corrected_and_taken_within_strata() -> None:
    one = [0.1, 0.4, 0.3, 0.2, 0.25]
    d = np.mean(one) / np.std(one, ddof=1)
    assert effect_size([one]) == pytest.approx(d * (1 - 3 / (4 * 4 - 1)))
    # A shift between datasets is no spread of the pairs.
    assert effect_size([[0.1, 0.2], [5.1, 5.2]]) == pytest.approx(
        2.65 / np.sqrt(0.005) * (1 - 3 / 7)
    )
    assert effect_size([[0.2, 0.2, 0.2]]) is None
    assert effect_size([[0.2], [0.3]]) is None
    assert compare([one], generator("compare")).effect == effect_size([one])
