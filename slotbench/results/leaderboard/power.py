"""How many seeds more would settle a comparison: power of the paired rank test by simulation.

New pairs are drawn from the normal distribution with the difference and spread seen so far, the
old ones are kept, and the test of :mod:`slotbench.results.leaderboard.statistics` is applied to
all of them. The answer is as good as that assumption: an effect measured on few seeds is
uncertain, and those that were noticed because they looked large tend to be overestimates (Button
et al. 2013, doi:10.1038/nrn3475). Seeds must be decided on beforehand: going on until p < 0.05
finds differences where there are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from slotbench.results.leaderboard.statistics import (
    LEAST_FOR_A_CLAIM,
    SIGNIFICANT,
    Floats,
    Strata,
    pooled_deviation,
    signed_rank,
    stratified_mean,
)

POWER = 0.8
SIMULATIONS = 1_000
MOST = 200
"""Seeds beyond which the search is given up: so small a difference needs another instrument."""
_MOST_PAIRS = 2_000


@dataclass(frozen=True)
class Need:
    """What :func:`seeds_needed` finds."""

    more: int | None
    """Further seeds of every stratum; 0: shown already; None: more than ``limit``."""
    power: float
    """The share of simulations that showed the difference with ``more`` (or ``limit``)."""
    limit: int
    """Where the search was given up."""


@cache
def least_significant_sum(n: int, alpha: float) -> int | None:
    """The least sum of positive ranks above its mean with p < alpha, of n pairs without ties.

    None where even n pairs of one sign do not reach alpha, as with five pairs and 0.05.
    """
    total = n * (n + 1) // 2
    low, high = (total + 1) // 2, total
    if _p_of_sum(n, high) >= alpha:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _p_of_sum(n, middle) < alpha else (middle + 1, high)
    return low


def _p_of_sum(n: int, positive: int) -> float:
    """p where the positive ranks of 1..n sum to ``positive``."""
    signs, left = np.full(n, -1.0), positive
    for rank in range(n, 0, -1):
        if rank <= left:
            signs[rank - 1], left = 1.0, left - rank
    return signed_rank(signs * np.arange(1, n + 1))


def power(
    strata: Strata,
    more: int,
    generator: np.random.Generator,
    *,
    difference: float,
    deviation: float,
    alpha: float = SIGNIFICANT,
    simulations: int = SIMULATIONS,
) -> float:
    """P(the test shows ``difference``'s side with p < alpha) after ``more`` seeds a stratum.

    ``strata`` are the pairs that there are already and may be empty lists: then this is the
    power of a study that has not begun. ``difference`` and ``deviation`` are the mean and the
    standard deviation of the pairs to come.
    """
    old = np.concatenate([np.asarray(values, dtype=np.float64) for values in strata])
    old = old[old != 0]  # as the test does
    new = generator.normal(difference, deviation, size=(simulations, more * len(strata)))
    pairs = np.concatenate([np.broadcast_to(old, (simulations, len(old))), new], axis=1)
    needed = least_significant_sum(pairs.shape[1], alpha)
    if needed is None:
        return 0.0
    return float((_positive_ranks(np.sign(difference) * pairs) >= needed).mean())


def _positive_ranks(pairs: Floats) -> Floats:
    """Sum of the ranks of the positive values of each row, float64 (rows,)."""
    order = np.argsort(np.abs(pairs), axis=1)
    positive = np.take_along_axis(pairs, order, axis=1) > 0
    ranks: Floats = np.arange(1.0, pairs.shape[1] + 1)
    return positive.astype(np.float64) @ ranks


def seeds_needed(
    strata: Sequence[Sequence[float] | Floats],
    generator: np.random.Generator,
    *,
    alpha: float = SIGNIFICANT,
    wanted: float = POWER,
    simulations: int = SIMULATIONS,
) -> Need | None:
    """The fewest further seeds a stratum with which the difference seen is shown at ``wanted``.

    ``alpha`` is what p must stay below before correction: 0.05 divided by the number of
    comparisons is on the safe side of Holm. None where nothing can be assumed: fewer than
    three pairs, no difference, or no spread.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in strata if len(values)]
    if sum(map(len, groups)) < LEAST_FOR_A_CLAIM:
        return None
    difference, (deviation, freedom) = stratified_mean(groups), pooled_deviation(groups)
    if difference == 0 or deviation == 0 or freedom == 0:
        return None
    # The same draws for every number of seeds, so that the search meets one curve.
    seed = int(generator.integers(2**63))

    def at(more: int) -> float:
        return power(
            groups,
            more,
            np.random.Generator(np.random.PCG64(seed)),
            difference=difference,
            deviation=deviation,
            alpha=alpha,
            simulations=simulations,
        )

    limit = max(1, min(MOST, _MOST_PAIRS // len(groups)))
    if at(0) == 1.0:
        return Need(0, 1.0, limit)
    low, high = 0, 1
    while (found := at(high)) < wanted:
        if high >= limit:
            return Need(None, found, limit)
        low, high = high, min(2 * high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle) >= wanted else (middle, high)
    return Need(high, at(high), limit)
