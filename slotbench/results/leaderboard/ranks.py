"""Ranks with ties: a row is behind another only where their intervals do not overlap.

The rank of a row is one more than the number of rows that are clearly better, as on the Chatbot
Arena (Chiang et al. 2024, arXiv 2403.04132); ``last`` counts the rows that are clearly worse. A
row with rank 1 and last 4 may be anything from first to fourth. Below three seeds there is no
rank, and nobody is ranked against such a row.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from slotbench.evaluation.groups import direction
from slotbench.grid import Cell, Table
from slotbench.results.leaderboard.grouping import Row, by_group
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM, Summary
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
    """The worst one."""
    reason: str
    """Why there is no rank; "" where there is one."""


@dataclass(frozen=True)
class Overall:
    """One configuration over several datasets, on one metric."""

    label: str
    metric: str
    ranks: tuple[int | None, ...]
    """Its rank on each dataset, None where it is missing."""
    mean: float | None
    """Mean rank; None unless it is ranked on every dataset: nothing is averaged over a gap."""


def standings(rows: Sequence[Row], metric: str) -> list[Standing]:
    """The places of ``rows``, which share their data, best first and without rank last.

    Empty for a metric that is neither better high nor low.
    """
    sign = direction(metric)
    if sign == 0:
        return []
    spans = {index: span for index, row in enumerate(rows) if (span := _span(row, metric, sign))}
    lows, highs = (
        sorted(low for low, _ in spans.values()),
        sorted(high for _, high in spans.values()),
    )
    found = []
    for index, row in enumerate(rows):
        if index in spans:
            low, high = spans[index]
            rank = 1 + len(spans) - bisect_right(lows, high)
            last = len(spans) - bisect_left(highs, low)
            found.append(Standing(row, metric, rank, last, ""))
        else:
            found.append(Standing(row, metric, None, None, _reason(row, metric)))
    return sorted(found, key=lambda standing: _order(standing, sign))


def overall(groups: Sequence[Sequence[Row]], metric: str) -> list[Overall]:
    """Ranks over datasets, ``groups`` being the rows of each; best mean rank first."""
    ranks: dict[str, dict[int, int | None]] = defaultdict(dict)
    for place, rows in enumerate(groups):
        for standing in standings(rows, metric):
            ranks[standing.row.label][place] = standing.rank
    found = []
    for label, known in ranks.items():
        each = tuple(known.get(place) for place in range(len(groups)))
        present = [rank for rank in each if rank is not None]
        mean = sum(present) / len(present) if len(present) == len(groups) else None
        found.append(Overall(label, metric, each, mean))
    return sorted(found, key=lambda item: (item.mean is None, item.mean or 0.0, item.label))


def tables(rows: Sequence[Row], metrics: Sequence[str]) -> Iterator[Table]:
    """A table a dataset and metric, then one a metric over all datasets."""
    groups = by_group(rows)
    named = titles([group for group, _ in groups])
    for group, members in groups:
        for metric in metrics:
            found = standings(members, metric)
            if any(metric in row.metrics for row in members) and found:
                cells = [
                    _cells(place_text(item), item.row.label, *_numbers(item)) for item in found
                ]
                headings = ["rank", "row", "mean", "interval", "seeds"]
                yield Table(f"{metric} · {named[group]}", headings, cells, labels=2)
    places = overall_places([members for _, members in groups], metrics)
    for metric, over in groupby(places, lambda place: place.metric):
        # Rows of one dataset alone have no mean, and would fill the page.
        shown = [place for place in over if sum(rank is not None for rank in place.ranks) > 1]
        if shown:
            cells = [
                _cells(
                    number(place.mean), place.label, *(str(rank or MISSING) for rank in place.ranks)
                )
                for place in shown
            ]
            title = f"{metric} · over {len(named)} datasets"
            yield Table(title, ["mean rank", "row", *named.values()], cells, labels=2)


def overall_places(groups: Sequence[Sequence[Row]], metrics: Sequence[str]) -> list[Overall]:
    """Ranks over all datasets on each metric; empty where there is one dataset."""
    if len(groups) < 2:
        return []
    return [place for metric in metrics for place in overall(groups, metric)]


def _cells(*texts: str) -> list[Cell]:
    return [Cell(text) for text in texts]


def place_text(standing: Standing) -> str:
    """``1``, or ``1-3`` where the intervals allow several places."""
    first, last = standing.rank, standing.last
    if first is None:
        return MISSING
    return str(first) if first == last else f"{first}-{last}"


def _numbers(standing: Standing) -> tuple[str, str, str]:
    summary = standing.row.metrics.get(standing.metric, Summary(None, None, None, 0, None))
    return number(summary.mean), interval(summary) or standing.reason, str(summary.n)


def _span(row: Row, metric: str, sign: int) -> tuple[float, float] | None:
    """The interval, turned so that higher is better."""
    summary = row.metrics.get(metric)
    if summary is None or summary.n < LEAST_FOR_A_CLAIM:
        return None
    if summary.low is None or summary.high is None:
        return None
    return (summary.low, summary.high) if sign > 0 else (-summary.high, -summary.low)


def _reason(row: Row, metric: str) -> str:
    summary = row.metrics.get(metric)
    n = summary.n if summary is not None else 0
    if n == 0:
        return "failed" if row.failed and not row.seeds else "missing"
    return f"too few seeds ({n} of {LEAST_FOR_A_CLAIM})"


def _order(standing: Standing, sign: int) -> tuple[bool, int, int, float, str]:
    summary = standing.row.metrics.get(standing.metric)
    mean = summary.mean if summary is not None and summary.mean is not None else 0.0
    return (
        standing.rank is None,
        standing.rank or 0,
        standing.last or 0,
        -sign * mean,
        standing.row.label,
    )
