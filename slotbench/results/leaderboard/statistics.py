"""What a table of seeds allows one to say: means, intervals, paired comparisons.

The unit is one seed. The definitions are those of ``reference/metrics.md``, "Statistics", and
follow Agarwal et al. 2021 (arXiv 2108.13264): inter-quartile means and percentile bootstrap
intervals that are stratified, so that seeds are redrawn within their dataset and every dataset
keeps its weight. Randomness comes from the generator that is handed in.

A percentile interval of a few seeds is too short. Of normal values the nominal 95 % covers the
mean in 73 % of cases with three seeds, 83 % with five, 90 % with ten and 93 % with twenty
(measured; ``tests/test_statistics.py`` checks it), which is why a difference counts as shown by a
rank test, never by its interval alone.

Nothing here imports SciPy: its import alone takes longer than a leaderboard may.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Strata = Sequence[Sequence[float] | Floats]
"""The values of each stratum (a dataset, say), one a seed; strata may differ in length."""

LEVEL = 0.95
RESAMPLES = 10_000
SIGNIFICANT = 0.05
LEAST_FOR_A_CLAIM = 3
LEAST_FOR_IQM = 5
EXACT_RESAMPLES = 8
"""Up to so many values every resample is counted (6,435 distinct ones of 8); beyond, drawn."""
EXACT_RANKS = 200
"""Up to so many pairs the signed-rank test is exact; beyond, the normal approximation."""


@dataclass(frozen=True)
class Summary:
    """One cell of the leaderboard: n values, one a seed; ``mean`` is None where there is none."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    iqm: float | None


@dataclass(frozen=True)
class Comparison:
    """Paired differences (ours minus theirs), one a shared (dataset, seed).

    ``probability`` is that of improvement: the share of pairs in which ours is greater, ties
    counting half. Interval and ``p`` (two-sided) are None below three pairs.
    """

    n: int
    difference: float | None
    low: float | None
    high: float | None
    probability: float | None
    p: float | None
    effect: float | None = None
    """Standardised: difference / spread of the pairs within strata (:func:`effect_size`)."""


def interquartile_mean(values: Sequence[float] | Floats) -> float | None:
    """The mean without the lowest and the highest quarter; None below five values.

    As in rliable, a quarter is rounded down to whole values: of five, three are left.
    """
    if len(values) < LEAST_FOR_IQM:
        return None
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def stratified_mean(strata: Strata) -> float:
    """The mean over strata of each stratum's mean; ValueError where one is empty."""
    if not strata or any(len(values) == 0 for values in strata):
        raise ValueError("a mean needs at least one value in each stratum")
    return float(np.mean([np.mean(values) for values in strata]))


def bootstrap_interval(
    strata: Strata,
    generator: np.random.Generator,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Percentile interval of :func:`stratified_mean`, values redrawn within their stratum.

    A single stratum of :data:`EXACT_RESAMPLES` values or fewer needs no draws: the quantiles
    are those of all n^n resamples. None where a stratum has fewer than two values: its spread
    is then unknown, not zero.
    """
    if not strata or any(len(values) < 2 for values in strata):
        return None
    if len(strata) == 1 and len(strata[0]) <= EXACT_RESAMPLES:
        return _of_every_resample(np.asarray(strata[0], dtype=np.float64), level)
    total = np.zeros(resamples)
    for values in strata:
        drawn = generator.integers(len(values), size=(len(values), resamples))
        total += np.asarray(values, dtype=np.float64)[drawn].mean(axis=0)
    tail = (1 - level) / 2
    low, high = np.quantile(total / len(strata), (tail, 1 - tail))
    return float(low), float(high)


@cache
def _every_resample(n: int) -> tuple[Floats, Floats]:
    """The distinct resamples of n values as weights (R, n), and the share of n^n each has."""
    drawn = np.array(list(combinations_with_replacement(range(n), n)))
    counts = (drawn[:, :, None] == np.arange(n)).sum(axis=1)
    factorials = np.array([math.factorial(k) for k in range(n + 1)], dtype=np.float64)
    shares = math.factorial(n) / factorials[counts].prod(axis=1) / float(n) ** n
    return counts / n, shares


def _of_every_resample(values: Floats, level: float) -> tuple[float, float]:
    """The quantiles of the means of all n^n resamples: the least mean that reaches each."""
    weights, shares = _every_resample(len(values))
    means = weights @ values
    order = np.argsort(means)
    ordered, upto = means[order], np.cumsum(shares[order])
    tail = (1 - level) / 2
    # Both ends alike: the upper one is the lower one of the values turned round.
    low = ordered[np.searchsorted(upto, tail - 1e-12)]
    downto = np.cumsum(shares[order][::-1])
    high = ordered[::-1][np.searchsorted(downto, tail - 1e-12)]
    return float(low), float(high)


def summarise(values: Sequence[float] | Floats, generator: np.random.Generator) -> Summary:
    """Mean, interval (two seeds or more) and inter-quartile mean (five or more) of one cell."""
    if len(values) == 0:
        return Summary(None, None, None, 0, None)
    low, high = bootstrap_interval([values], generator) or (None, None)
    return Summary(stratified_mean([values]), low, high, len(values), interquartile_mean(values))


def compare(strata: Strata, generator: np.random.Generator) -> Comparison:
    """Paired differences, one a shared seed, grouped by stratum.

    Difference and probability of improvement weigh every stratum alike; the rank test takes
    all pairs together.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in strata if len(values)]
    n = sum(len(values) for values in groups)
    if n == 0:
        return Comparison(0, None, None, None, None, None)
    difference = stratified_mean(groups)
    probability = stratified_mean([_wins(values) for values in groups])
    if n < LEAST_FOR_A_CLAIM:
        return Comparison(n, difference, None, None, probability, None)
    low, high = bootstrap_interval(groups, generator) or (None, None)
    p = signed_rank(np.concatenate(groups))
    return Comparison(n, difference, low, high, probability, p, effect_size(groups))


def effect_size(strata: Strata) -> float | None:
    """Mean difference in units of the pairs' standard deviation within strata.

    Cohen's d_z with the correction of Hedges 1981 for few pairs (equation 6e, approximate
    form). None where the spread is zero or unknown: fewer than two pairs in each stratum.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in strata if len(values)]
    spread, freedom = pooled_deviation(groups)
    if freedom == 0 or spread == 0:
        return None
    correction = 1 - 3 / (4 * freedom - 1)
    return stratified_mean(groups) / spread * correction


def pooled_deviation(strata: Strata) -> tuple[float, int]:
    """Standard deviation around each stratum's own mean, and its degrees of freedom."""
    groups = [np.asarray(values, dtype=np.float64) for values in strata if len(values)]
    freedom = sum(len(values) - 1 for values in groups)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in groups)
    # Equal values differ from their mean by rounding: that is no spread.
    scale = max((float(np.abs(values).max()) for values in groups), default=0.0)
    spread = math.sqrt(squares / freedom) if freedom else 0.0
    return (0.0 if spread <= 1e-12 * scale else spread), freedom


def _wins(differences: Floats) -> Floats:
    return np.where(differences == 0, 0.5, (differences > 0).astype(np.float64))


def signed_rank(differences: Sequence[float] | Floats) -> float:
    """Two-sided p of Wilcoxon's signed-rank test (Wilcoxon 1945); 1 where no pair differs.

    Pairs without a difference are left out of the ranking; ties share their mean rank. Exact
    up to :data:`EXACT_RANKS` pairs, ties or not: the distribution over all signs of these ranks.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    if not len(values):
        return 1.0
    _, place, counts = np.unique(np.abs(values), return_inverse=True, return_counts=True)
    # Doubled, mean ranks are whole numbers.
    doubled = (2 * np.cumsum(counts) - counts + 1)[place]
    positive = int(doubled[values > 0].sum())
    if len(values) > EXACT_RANKS:
        return _normal_p(positive, doubled)
    upto = _signed_rank_distribution(tuple(np.sort(doubled).tolist()))
    below, above = upto[positive], 1 - (upto[positive - 1] if positive else 0.0)
    return float(min(1.0, 2 * min(below, above)))


@lru_cache(maxsize=4096)
def _signed_rank_distribution(doubled: tuple[int, ...]) -> Floats:
    """P(W <= w) for w = 0, 1, ... where every rank has either sign with probability 1/2."""
    share = np.zeros(sum(doubled) + 1)
    share[0] = 1.0
    for rank in doubled:
        share[rank:] += share[:-rank].copy()
        share /= 2
    return np.cumsum(share)


def _normal_p(positive: int, doubled: npt.NDArray[np.int64]) -> float:
    deviation = math.sqrt(float((doubled.astype(np.float64) ** 2).sum())) / 2
    distance = abs(positive - doubled.sum() / 2) / deviation
    return math.erfc(distance / math.sqrt(2))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Holm 1979) over a family; None where there was no test."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        corrected[index] = largest
    return corrected


def verdict(comparison: Comparison, corrected: float | None) -> str:
    """What a comparison shows, in words; ``corrected`` is its p after Holm.

    ``better`` and ``worse`` are kept for p < 0.05 after correction, with the mean and the
    majority of pairs on the same side. An interval that leaves 0 out without that is called a
    lean: with five pairs the rank test cannot reach 0.05.
    """
    if comparison.n < LEAST_FOR_A_CLAIM:
        return f"too few seeds to say ({comparison.n} of {LEAST_FOR_A_CLAIM})"
    assert comparison.difference is not None
    assert comparison.probability is not None
    up = comparison.difference > 0 and comparison.probability > 0.5
    down = comparison.difference < 0 and comparison.probability < 0.5
    if not (up or down):
        return "no difference shown"
    word = "better" if up else "worse"
    if corrected is not None and corrected < SIGNIFICANT:
        return word
    if comparison.low is None or comparison.high is None:
        return "no difference shown"
    if comparison.low > 0 or comparison.high < 0:
        return f"leans {word}, not significant"
    return "no difference shown"
