"""Ranks with ties: a row is behind another only where their intervals do not overlap.

The rank of a row is one more than the number of rows that are clearly better (Chiang et al. 2024,
arXiv 2403.04132), and ``last`` is its worst possible rank: a row with rank 1 and last 4 may be
anything from first to fourth. Rows below three seeds have no rank and affect no other rank.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product

from slotbench.evaluation.groups import direction
from slotbench.grid import Cell, Table
from slotbench.results.leaderboard.grouping import Group, Row, by_group
from slotbench.results.leaderboard.statistics import EMPTY, LEAST_FOR_A_CLAIM, Summary
from slotbench.results.leaderboard.wording import MISSING, interval, number, titles

NOTE = (
    "Rank: one more than the rows that are clearly better, whose interval does not overlap; up to "
    "the worst place that the intervals allow. Mean rank: over all datasets, or missing."
)


@dataclass(frozen=True)
class Standing:
    """One row's place on one metric, among the rows of its data."""

    row: Row
    metric: str
    rank: int | None
    """The best place that the intervals allow; None: no rank."""
    last: int | None
    reason: str
    """Why there is no rank; "" if there is one."""

    @property
    def place(self) -> str:
        """``1``, or ``1-3`` where the intervals allow several places."""
        if self.rank is None:
            return MISSING
        return str(self.rank) if self.rank == self.last else f"{self.rank}-{self.last}"

    @property
    def texts(self) -> tuple[str, ...]:
        """Its place, name, mean, interval or reason, and number of seeds."""
        found = self.row.metrics.get(self.metric, EMPTY)
        span = interval(found) or self.reason
        return self.place, self.row.label, number(found.mean), span, str(found.n)


@dataclass(frozen=True)
class Overall:
    """One configuration over several datasets, on one metric."""

    label: str
    metric: str
    ranks: tuple[int | None, ...]
    """Its rank on each dataset; None if it has none."""
    mean: float | None
    """Mean rank; None unless it is ranked on every dataset."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Its mean rank, its name, and its rank on each dataset."""
        return number(self.mean), self.label, *(str(rank or MISSING) for rank in self.ranks)


def standings(rows: Sequence[Row], metric: str) -> list[Standing]:
    """The places of ``rows`` of one dataset, best first, rows without a rank last.

    Empty for a metric without direction.
    """
    sign = direction(metric)
    if sign == 0:
        return []
    spans = [_span(row.metrics.get(metric, EMPTY), sign) for row in rows]
    known = list(filter(None, spans))
    lows, highs = (sorted(each[end] for each in known) for end in (0, 1))
    found = []
    for row, span in zip(rows, spans, strict=True):
        if span is None:
            found.append(Standing(row, metric, None, None, _reason(row, metric)))
        else:
            rank = 1 + len(known) - bisect_right(lows, span[1])
            last = len(known) - bisect_left(highs, span[0])
            found.append(Standing(row, metric, rank, last, ""))

    def order(found: Standing) -> tuple[bool, int, int, float, str]:
        mean = found.row.metrics.get(metric, EMPTY).mean or 0.0
        place = (found.rank is None, found.rank or 0, found.last or 0)
        return *place, -sign * mean, found.row.label

    return sorted(found, key=order)


def all_standings(rows: Sequence[Row], metrics: Sequence[str]) -> list[Standing]:
    """:func:`standings` for each dataset and each metric that one of its rows has."""
    return [
        standing
        for (_, members), metric in product(by_group(rows), metrics)
        if any(metric in row.metrics for row in members)
        for standing in standings(members, metric)
    ]


def overall(rows: Sequence[Row], metrics: Sequence[str]) -> list[Overall]:
    """Ranks over datasets on each metric, best mean rank first; empty for a single dataset."""
    groups = by_group(rows)
    found: list[Overall] = []
    for metric in metrics if len(groups) > 1 else ():
        ranks: dict[str, dict[Group, int | None]] = defaultdict(dict)
        for group, members in groups:
            for standing in standings(members, metric):
                ranks[standing.row.label][group] = standing.rank
        each = []
        for label, known in ranks.items():
            places = tuple(known.get(group) for group, _ in groups)
            present = [rank for rank in places if rank is not None]
            mean = sum(present) / len(present) if len(present) == len(groups) else None
            each.append(Overall(label, metric, places, mean))
        found += sorted(each, key=lambda item: (item.mean is None, item.mean or 0.0, item.label))
    return found


def tables(rows: Sequence[Row], metrics: Sequence[str]) -> Iterator[Table]:
    """A table for each dataset and metric, then one for each metric over all datasets."""
    named = titles([group for group, _ in by_group(rows)])
    heads = ["rank", "row", "mean", "interval", "seeds"]
    ranked = groupby(all_standings(rows, metrics), lambda each: (each.metric, each.row.group))
    for (metric, group), members in ranked:
        cells = [list(map(Cell, one.texts)) for one in members]
        yield Table(f"{metric} · {named[group]}", heads, cells, labels=2)
    for metric, over in groupby(overall(rows, metrics), lambda place: place.metric):
        # Rows of one dataset have no mean rank.
        several = [each for each in over if sum(rank is not None for rank in each.ranks) > 1]
        if several:
            heads = ["mean rank", "row", *named.values()]
            cells = [list(map(Cell, each.texts)) for each in several]
            yield Table(f"{metric} · over {len(named)} datasets", heads, cells, labels=2)


def _span(found: Summary, sign: int) -> tuple[float, float] | None:
    """The interval, turned so that higher is better."""
    if found.n < LEAST_FOR_A_CLAIM or found.low is None or found.high is None:
        return None
    return (found.low, found.high) if sign > 0 else (-found.high, -found.low)


def _reason(row: Row, metric: str) -> str:
    n = row.metrics.get(metric, EMPTY).n
    if n == 0:
        return "failed" if row.failed and not row.seeds else "missing"
    return f"too few seeds ({n} of {LEAST_FOR_A_CLAIM})"
