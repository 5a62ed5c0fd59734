"""The leaderboard as plain text, a line a row: for so many rows that Rich would take minutes."""

from collections.abc import Iterator, Sequence

from slotbench.results.leaderboard.comparisons import Paired
from slotbench.results.leaderboard.grouping import Row
from slotbench.results.leaderboard.tables import groups
from slotbench.results.leaderboard.wording import (
    MISSING,
    best,
    columns,
    comparison_lines,
    cost_words,
    fewer,
    interval,
    number,
    titles,
)

MANY = 100
"""Rows from which on tables are compact."""


def tables(rows: Sequence[Row], metrics: Sequence[str], width: int) -> Iterator[str]:
    """Lines; metrics that do not fit ``width`` go on in a further table of the same dataset."""
    named = titles([group for group, _ in groups(rows)])
    for group, members in groups(rows):
        yield named[group]
        labels = [["objective", "core", "preset", "seeds"], *map(_labels, members)]
        for part in _parts(labels, _columns(members, columns(members, metrics)), width):
            yield from _lines([[*label, *cells] for label, cells in zip(labels, part, strict=True)])
            yield ""
        for row in members:
            yield from (f"  {row.label}: {text}" for text in row.warnings)


def comparison(paired: Sequence[Paired]) -> Iterator[str]:
    """The comparisons row by row."""
    for title, lines in comparison_lines(paired):
        yield title
        yield from (f"  {line}" for line in lines)


def _columns(rows: Sequence[Row], metrics: Sequence[str]) -> list[list[str]]:
    """A column a metric and one of cost, each with its heading first."""
    found = []
    for metric in metrics:
        marked = best(rows, metric)
        cells = [_cell(row, metric, best=place in marked) for place, row in enumerate(rows)]
        found.append([metric, *cells])
    costs = [cost_words(row.cost) for row in rows]
    return [*found, ["cost", *(f"{cost['time']}, {cost['device']}" for cost in costs)]]


def _labels(row: Row) -> list[str]:
    preset = " ".join(filter(None, (row.preset, f"({row.settings})" if row.settings else "")))
    seeds = f"{len(row.seeds)} ({row.failed} failed)" if row.failed else str(len(row.seeds))
    return [row.name, row.core, preset, seeds]


def _cell(row: Row, metric: str, *, best: bool) -> str:
    if metric not in row.metrics:
        return MISSING
    summary = row.metrics[metric]
    mark = "*" if best else ""
    parts = (mark + number(summary.mean), interval(summary), fewer(row, metric))
    return " ".join(filter(None, parts))


def _parts(
    labels: Sequence[Sequence[str]], found: Sequence[list[str]], width: int
) -> Iterator[list[tuple[str, ...]]]:
    """The columns in as few tables as fit, at least one in each, turned into rows."""
    room = width - sum(max(map(len, column)) + 2 for column in zip(*labels, strict=True))
    part: list[list[str]] = []
    used = 0
    for column in found:
        size = max(map(len, column)) + 2
        if part and used + size > room + 2:
            yield list(zip(*part, strict=True))
            part, used = [], 0
        part.append(column)
        used += size
    yield list(zip(*part, strict=True))


def _lines(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
