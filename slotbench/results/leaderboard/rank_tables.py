"""Rank tables, on a terminal and in Markdown."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slotbench.results.leaderboard.ranks import Standing
from slotbench.results.leaderboard.tables import groups, markdown_cell
from slotbench.results.leaderboard.wording import MISSING, interval, number, titles

if TYPE_CHECKING:
    from slotbench.results.leaderboard.board import Board

NOTE = (
    "Rank: one more than the rows that are clearly better, whose interval does not overlap; to "
    "the worst place that the intervals allow. Mean rank: over all datasets, or missing."
)
Rows = tuple[str, list[str], list[list[str]]]
"""Title, headings and cells of one table."""


def tables(board: "Board") -> Iterator[Rows]:
    """A table a dataset and metric, then one a metric over all datasets."""
    named = titles([group for group, _ in groups(board.raw)])
    for (group, metric), members in groupby(
        board.standings(), lambda standing: (standing.row.group, standing.metric)
    ):
        cells = [[_place(item), item.row.label, *_numbers(item)] for item in members]
        yield f"{metric} · {named[group]}", ["rank", "row", "mean", "interval", "seeds"], cells
    for metric, places in groupby(board.overall(), lambda place: place.metric):
        # Rows of one dataset alone have no mean, and would fill the page.
        shown = [place for place in places if sum(rank is not None for rank in place.ranks) > 1]
        if shown:
            headings = ["mean rank", "row", *named.values()]
            yield (
                f"{metric} · over {len(named)} datasets",
                headings,
                [
                    [number(place.mean), place.label, *(_rank(rank) for rank in place.ranks)]
                    for place in shown
                ],
            )


def _place(standing: Standing) -> str:
    if standing.rank is None or standing.last is None:
        return MISSING
    return (
        str(standing.rank)
        if standing.rank == standing.last
        else (f"{standing.rank}-{standing.last}")
    )


def _rank(rank: int | None) -> str:
    return MISSING if rank is None else str(rank)


def _numbers(standing: Standing) -> list[str]:
    summary = standing.row.metrics.get(standing.metric)
    if summary is None:
        return [MISSING, standing.reason, "0"]
    return [number(summary.mean), interval(summary) or standing.reason, str(summary.n)]


def render(console: Console, board: "Board") -> None:
    """Print the rank tables of a board."""
    for title, headings, cells in tables(board):
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for heading in headings:
            table.add_column(Text(heading), overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row))
        console.print()
        console.print(Text(title, style="bold"))
        console.print(table)
    console.print(Text(NOTE, style="dim"))


def to_markdown(board: "Board") -> str:
    lines = []
    for title, headings, cells in tables(board):
        lines += [f"### {title}", "", _line(headings), "|" + " --- |" * len(headings)]
        lines += [*(_line(row) for row in cells), ""]
    return "\n".join([*lines, NOTE, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(markdown_cell, cells)) + " |"
