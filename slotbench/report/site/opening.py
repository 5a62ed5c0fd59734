"""The first screen: masks and numbers of the data that the headline speaks of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slotbench.report.site.pages import Document, contestants
from slotbench.results.leaderboard import Board, Row, wording
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.leaderboard.grouping import Group, by_group
from slotbench.results.leaderboard.scaling import CEILING, FLOOR
from slotbench.results.leaderboard.verdict import compared
from slotbench.results.leaderboard.wording import interval, number, titles

if TYPE_CHECKING:
    from slotbench.report.site.gallery import Gallery, Shown

MOST_CONTESTANTS = 6
"""Rows of the picture."""


def opening(board: Board, galleries: "Sequence[Gallery]") -> Document:
    """The data of the first screen, its picture where there is one, and what else was run here."""
    groups = dict(by_group(board.rows))
    pictured = {gallery.group: gallery for gallery in galleries}
    own = [group for group, rows in groups.items() if any(map(_own, rows))]
    spoken = [group for group in compared(board.families) if group in groups]

    def worth(group: Group) -> tuple[bool, bool, int]:
        return group in own, group in pictured, len(groups[group])

    group = max(spoken or groups, key=worth)
    named = titles(list(groups))
    best = contestants(groups[group])
    return {
        "group": group,
        "title": named[group],
        "gallery": pictured.get(group),
        "lines": _lines(best, pictured.get(group)),
        "ends": [row.objective for row in best if row.objective in (FLOOR, CEILING)],
        "elsewhere": [named[each] for each in own if each != group],
    }


def _own(row: Row) -> bool:
    return row.published < len(row.seeds)


def _lines(best: Sequence[Row], gallery: "Gallery | None") -> "list[tuple[Shown, str, str]]":
    """Rows of the picture: masks, mean and interval; none without a picture."""
    if gallery is None:
        return []
    seen = {id(one.row): one for one in gallery.shown}
    shown = [row for row in best if id(row) in seen]
    # The controls stay when there are too many rows.
    controls = [row for row in shown if row.family == "control"]
    others = [row for row in shown if row not in controls][: MOST_CONTESTANTS - len(controls)]
    found = []
    for row in shown:
        if row in controls or row in others:
            cell = wording.shown(row, PRIMARY)
            found.append((seen[id(row)], number(cell.mean), interval(cell)))
    return found
