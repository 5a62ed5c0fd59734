"""What seeds say, computed once: the same values give the same interval, test and power."""

import hashlib
import math
from array import array
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from slotbench.results.leaderboard.power import Need, seeds_needed
from slotbench.results.leaderboard.statistics import (
    LEAST_FOR_A_CLAIM,
    Comparison,
    Summary,
    compare,
    summarise,
)
from slotbench.rng import numpy_generator

Numbers = Sequence[float]
Fields = tuple[float, ...]
WIDTH = 6
"""Numbers that are kept of an answer; NaN stands for None."""
_SPARE = 200_000


class Memo:
    """Answers by what they are of; ``digests`` int64 (n,), ``fields`` float64 (n, 6).

    The generator of each is named by ``keys``, so an answer is a function of the arguments.
    """

    def __init__(
        self,
        digests: npt.NDArray[np.int64] | None = None,
        fields: npt.NDArray[np.float64] | None = None,
    ) -> None:
        self._fields = np.zeros((0, WIDTH)) if fields is None else fields.reshape(-1, WIDTH)
        self._before: dict[int, int] = {}
        """Digest -> row of ``_fields``."""
        if digests is not None:
            self._before = dict(zip(digests.tolist(), range(len(self._fields)), strict=True))
        self.known: dict[int, list[float]] = {}
        """What was asked for since; the rest may be of runs that are gone."""
        self.computed = 0

    def summary(self, values: Numbers, *keys: str) -> Summary:
        """:func:`slotbench.results.leaderboard.statistics.summarise`."""
        if len(values) < 2:  # quicker than looking it up
            return Summary(values[0] if values else None, None, None, len(values), None)

        def compute() -> Fields:
            found = summarise(values, numpy_generator(0, *keys))
            return tuple(map(_number, (found.mean, found.low, found.high, found.iqm)))

        mean, low, high, iqm, *_ = self._recall(compute, [values], "summary", *keys)
        return Summary(mean, _known(low), _known(high), len(values), _known(iqm))

    def comparison(self, strata: Sequence[Numbers], *keys: str) -> Comparison:
        """:func:`slotbench.results.leaderboard.statistics.compare`."""
        n = sum(map(len, strata))
        if n < LEAST_FOR_A_CLAIM:
            return compare(strata, numpy_generator(0, *keys))

        def compute() -> Fields:
            found = compare(strata, numpy_generator(0, *keys))
            parts = (
                found.difference,
                found.low,
                found.high,
                found.probability,
                found.p,
                found.effect,
            )
            return tuple(map(_number, parts))

        found = self._recall(compute, strata, "comparison", *keys)
        difference, low, high, probability, p, effect = found
        return Comparison(
            n, difference, _known(low), _known(high), probability, _known(p), _known(effect)
        )

    def need(self, strata: Sequence[Numbers], alpha: float, *keys: str) -> Need | None:
        """:func:`slotbench.results.leaderboard.power.seeds_needed`."""

        def compute() -> Fields:
            found = seeds_needed(strata, numpy_generator(0, *keys), alpha=alpha)
            if found is None:
                return (math.nan,) * 3
            return _number(found.more), found.power, found.limit

        more, power, limit, *_ = self._recall(compute, strata, "need", repr(alpha), *keys)
        if math.isnan(power):
            return None
        return Need(None if math.isnan(more) else int(more), power, int(limit))

    def _recall(
        self, compute: Callable[[], Fields], strata: Sequence[Numbers], *keys: str
    ) -> Sequence[float]:
        digest = _digest(strata, keys)
        fields = self.known.get(digest)
        if fields is None:
            place = self._before.get(digest)
            if place is None:
                found = compute()
                fields = [*found, *(math.nan,) * (WIDTH - len(found))]
                self.computed += 1
            else:
                fields = self._fields[place].tolist()
            self.known[digest] = fields
        return fields

    def arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Digests and fields, to be stored."""
        # A look at one dataset must not forget the others; what is left of old runs may not grow.
        few = len(self._before) < 4 * len(self.known) + _SPARE
        kept = [item for item in self._before.items() if few and item[0] not in self.known]
        digests = np.array([*(digest for digest, _ in kept), *self.known], dtype=np.int64)
        asked = np.array(list(self.known.values()), dtype=np.float64).reshape(-1, WIDTH)
        places = np.array([place for _, place in kept], dtype=np.int64)
        return digests, np.concatenate([self._fields[places], asked])


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _known(value: float) -> float | None:
    return value if value == value else None


def _digest(strata: Sequence[Numbers], keys: Sequence[str]) -> int:
    # One stratum of four values is not two of two: lengths tell them apart.
    lengths = [str(len(values)) for values in strata] if len(strata) > 1 else []
    text = "\x1f".join((*keys, *lengths)).encode()
    numbers = b"".join([array("d", values).tobytes() for values in strata])
    digest = hashlib.blake2b(text + b"\0" + numbers, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
