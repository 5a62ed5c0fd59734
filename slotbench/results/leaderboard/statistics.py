"""Statistics over seeds: means, intervals, tests, and the number of seeds needed.

The unit is one seed. ``reference/metrics.md``, "Statistics", has the definitions. An interval is
Student's t below ten seeds and a percentile bootstrap from ten seeds on, because the bootstrap of
normal values covers the mean in 74 % of cases at three seeds and 83 % at five.

Only the planning of seeds imports SciPy, whose import takes longer than reading 1,000 runs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from slotbench.rng import numpy_generator

Floats = npt.NDArray[np.float64]
Values = Sequence[float] | Floats

LEVEL = 0.95
SIGNIFICANT = 0.05
MARGIN = 0.02
"""Two contestants are equivalent if the interval of their difference lies within this margin."""
LEAST_FOR_A_CLAIM = 3
LEAST_FOR_IQM = 5
LEAST_FOR_BOOTSTRAP = 10
RESAMPLES = 10_000
SPLITS = 20_000
"""Most splits of an exact permutation test (eight seeds a side), and the number drawn beyond."""
POWER = 0.8
MOST = 200
"""Most further seeds in the search for the number of seeds needed."""
STUDENT = (
    *(12.706204736174694, 4.302652729749462, 3.1824463052837078, 2.7764451051977934),
    *(2.5705818356363146, 2.4469118511449786, 2.364624251592784, 2.306004135204166),
)
"""Quantiles of Student's t for :data:`LEVEL`, by 1 to 8 degrees of freedom."""


@dataclass(frozen=True)
class Summary:
    """One cell of the leaderboard: n values, one for each seed; ``mean`` is None without values."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    iqm: float | None


EMPTY = Summary(None, None, None, 0, None)


@dataclass(frozen=True)
class Comparison:
    """Ours against theirs; n is the number of pairs, one for each seed that both have.

    ``share_of_pairs`` is the share of pairs in which ours is greater; a tie counts half. The
    interval (of the paired difference), p (two-sided) and effect are None below three pairs.
    """

    n: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    share_of_pairs: float | None = None
    p: float | None = None
    effect: float | None = None
    """Difference in standard deviations of the pairs, corrected for few pairs (Hedges 1981)."""
    spread: float = 0.0
    """Standard deviation of the seeds within a side, pooled over both."""


@dataclass(frozen=True)
class Need:
    """The number of seeds that would show the observed difference."""

    more: int | None
    """Further seeds of each side; None: more than ``limit``."""
    power: float
    """The probability that the test then shows the difference."""
    limit: int = MOST


def summarise(values: Values) -> Summary:
    """Mean, interval (two seeds or more) and inter-quartile mean (five or more) of one cell.

    As in rliable, a quarter is rounded down to whole values: of five values, three remain.
    """
    n = len(values)
    low, high = interval([values]) or (None, None)
    inner = sorted(values)[n // 4 : n - n // 4] if n >= LEAST_FOR_IQM else []
    return Summary(_mean(values) if n else None, low, high, n, _mean(inner) if inner else None)


def interval(strata: Sequence[Values]) -> tuple[float, float] | None:
    """The 95 % interval of the mean of the strata's means.

    None if a stratum has fewer than two values: its spread is then unknown, not zero.
    """
    if not strata or min(map(len, strata)) < 2:
        return None
    n, count = sum(map(len, strata)), len(strata)
    if n < LEAST_FOR_BOOTSTRAP:
        means = list(map(_mean, strata))
        errors = [
            _squares(values, mean) / (len(values) - 1) / len(values)
            for values, mean in zip(strata, means, strict=True)
        ]
        half = STUDENT[n - count - 1] * math.sqrt(sum(errors)) / count
        return _mean(means) - half, _mean(means) + half
    groups = [np.asarray(values, dtype=np.float64) for values in strata]
    drawn = [values[_draws(len(values), k)].mean(axis=1) for k, values in enumerate(groups)]
    low, high = np.quantile(np.mean(drawn, axis=0), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _mean(values: Values) -> float:
    """The mean; NumPy's takes ten times as long for a few values."""
    return float(sum(values) / len(values))


def _squares(values: Values, mean: float) -> float:
    """The sum of squared deviations from a mean."""
    return float(sum([(value - mean) * (value - mean) for value in values]))


@cache
def _draws(n: int, stratum: int) -> npt.NDArray[np.int64]:
    """The bootstrap's draws with replacement, (10,000, n): equal runs have equal intervals."""
    generator = numpy_generator(0, "bootstrap", str(n), str(stratum))
    return generator.integers(n, size=(RESAMPLES, n))


def compare(ours: Sequence[Values], theirs: Sequence[Values]) -> Comparison:
    """Compare two sides with the same strata (datasets) and the same seeds in each stratum.

    Every stratum has the same weight in the difference and in the share of pairs.
    """
    pairs = [pair for pair in zip(ours, theirs, strict=True) if len(pair[0])]
    apart = [[a - b for a, b in zip(*pair, strict=True)] for pair in pairs]
    n = sum(map(len, apart))
    if n == 0:
        return Comparison(0)
    difference = _mean([_mean(values) for values in apart])
    shares = [_mean([(value > 0) + (value == 0) / 2 for value in values]) for values in apart]
    if n < LEAST_FOR_A_CLAIM:
        return Comparison(n, difference, share_of_pairs=_mean(shares))
    spread, _ = _deviation([values for pair in pairs for values in pair])
    paired, freedom = _deviation(apart)
    effect = difference / paired * (1 - 3 / (4 * freedom - 1)) if paired else None
    low, high = interval(apart) or (None, None)
    p = permutation_p(pairs)
    return Comparison(n, difference, low, high, _mean(shares), p, effect, spread)


def _deviation(groups: Sequence[Values]) -> tuple[float, int]:
    """Standard deviation around each group's own mean, and its degrees of freedom."""
    freedom = sum(len(values) - 1 for values in groups)
    squares = sum(_squares(values, _mean(values)) for values in groups)
    spread = math.sqrt(squares / freedom) if freedom else 0.0
    # Equal values may differ from their mean by rounding, which is no spread.
    largest = max(abs(value) for values in groups for value in values)
    return (0.0 if spread <= 1e-12 * largest else spread), freedom


def permutation_p(pairs: Sequence[tuple[Values, Values]]) -> float:
    """Two-sided p of the permutation test of the difference of means (Fisher 1935; Pitman 1937).

    The test takes all splits of the values within their stratum. Five seeds a side have 252
    splits, so p is at least 2 / 252. If there are more than :data:`SPLITS` splits, or several
    strata, it draws that many.
    """
    total, observed, alone = np.zeros(1), 0.0, len(pairs) == 1
    for k, (ours, theirs) in enumerate(pairs):
        both = np.concatenate([ours, theirs])
        # The difference of the means of a split is linear in the sum of its first side.
        sums = _splits(len(ours), len(both), -1 if alone else k) @ both
        scale = 1 / len(ours) + 1 / len(theirs)
        total = total + sums * scale - both.sum() / len(theirs)
        observed += _mean(ours) - _mean(theirs)
    extreme = np.abs(total) >= abs(observed) * (1 - 1e-9) - 1e-12
    exact = alone and math.comb(len(both), len(ours)) <= SPLITS
    return float(extreme.mean() if exact else (extreme.sum() + 1) / (len(extreme) + 1))


@cache
def _splits(ours: int, both: int, stratum: int) -> Floats:
    """1 for the values of the first side, else 0, (splits, both); stratum -1: the only one."""
    if stratum == -1 and math.comb(both, ours) <= SPLITS:
        chosen = np.array(list(combinations(range(both), ours)))
    else:
        generator = numpy_generator(0, "splits", str(ours), str(both), str(stratum))
        chosen = generator.random((SPLITS, both)).argsort(axis=1)[:, :ours]
    splits = np.zeros((len(chosen), both))
    np.put_along_axis(splits, chosen, 1.0, axis=1)
    return splits


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Holm 1979) over a family of tests; None stays None."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        corrected[index] = largest
    return corrected


def conclusion(found: Comparison, corrected: float | None) -> str:
    """``better``, ``worse``, ``equivalent`` or ``undecided``; ``corrected`` is p after correction.

    Below three pairs the text says how many there are, and concludes nothing.
    """
    if found.n < LEAST_FOR_A_CLAIM or found.difference is None:
        return f"too few seeds to say ({found.n} of {LEAST_FOR_A_CLAIM})"
    if corrected is not None and corrected < SIGNIFICANT:
        return "better" if found.difference > 0 else "worse"
    if found.low is None or found.high is None or max(-found.low, found.high) > MARGIN:
        return "undecided"
    return "equivalent"


def seeds_needed(found: Comparison, tests: float = 1) -> Need | None:
    """The fewest further seeds a side that show the observed difference with a power of 80 %.

    Computed from the noncentral t distribution with the observed difference and spread, and p
    divided by ``tests``. None below three pairs, and without a difference or a spread.
    """
    if found.n < LEAST_FOR_A_CLAIM or not found.difference or not found.spread:
        return None
    from scipy.special import nctdtr, stdtrit

    alpha = SIGNIFICANT / tests
    n = np.arange(found.n, found.n + MOST + 1)
    shift = abs(found.difference) / found.spread * np.sqrt(n / 2)
    power = 1 - nctdtr(2 * n - 2, shift, stdtrit(2 * n - 2, 1 - alpha / 2))
    # With few seeds not even complete separation would be significant.
    power[[2 / math.comb(2 * int(each), int(each)) >= alpha for each in n]] = 0.0
    enough = np.flatnonzero(power >= POWER)
    more = int(enough[0]) if len(enough) else None
    return Need(more, float(power[MOST if more is None else more]))
