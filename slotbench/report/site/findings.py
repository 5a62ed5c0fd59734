"""The findings on the page: question, answer, first screen, evidence, and what is still open."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slotbench.report.site.pages import Document, contestants
from slotbench.report.site.study import Study
from slotbench.results.leaderboard import Board, Row, wording
from slotbench.results.leaderboard.comparisons import PRIMARY, Family, Paired
from slotbench.results.leaderboard.factors import Contrast
from slotbench.results.leaderboard.formats import Cell, Table
from slotbench.results.leaderboard.grouping import Group, by_group, settled
from slotbench.results.leaderboard.scaling import CEILING, FLOOR
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM
from slotbench.results.leaderboard.verdict import compared, plain
from slotbench.results.leaderboard.wording import MISSING, comparison_lines, interval, lacking

if TYPE_CHECKING:
    from slotbench.report.site.gallery import Gallery, Shown

NUMBERS = ("difference", "95 % interval", "effect d", "p (corrected)", "pairs", "finding")
MOST_CONTRASTS = 200
MOST_CONTESTANTS = 6
"""Rows of the picture on the first screen."""


def opening(board: Board, galleries: "Sequence[Gallery]") -> Document:
    """The data of the first screen, its picture where there is one, and what else was run here."""
    groups = dict(by_group(board.rows))
    pictured = {gallery.group: gallery for gallery in galleries}
    own = [group for group, rows in groups.items() if any(row.own for row in rows)]
    spoken = [group for group in compared(board.families) if group in groups]

    def worth(group: Group) -> tuple[bool, bool, int, int]:
        rows = groups[group]
        return group in own, group in pictured, settled(rows), len(rows)

    group = max(spoken or groups, key=worth)
    named = wording.titles(list(groups))
    best = contestants(groups[group])
    return {
        "group": group,
        "title": named[group],
        "gallery": pictured.get(group),
        "lines": _lines(best, pictured.get(group)),
        "ends": [row.objective for row in best if row.objective in (FLOOR, CEILING)],
        "elsewhere": [named[each] for each in own if each != group],
    }


def _lines(best: Sequence[Row], gallery: "Gallery | None") -> "list[tuple[Shown, str, str]]":
    """Rows of the picture: masks, mean and interval; none without a picture."""
    if gallery is None:
        return []
    seen = {one.row: one for one in gallery.shown}
    shown = [row for row in best if row in seen]
    # The controls stay when there are too many rows.
    controls = [row for row in shown if row.family == "control"]
    others = [row for row in shown if row not in controls][: MOST_CONTESTANTS - len(controls)]
    found = []
    for row in shown:
        if row in controls or row in others:
            cell = wording.shown(row, PRIMARY)
            found.append((seen[row], wording.number(cell.mean), interval(cell)))
    return found


def findings(board: Board, study: Study) -> Document:
    """Question, answer and evidence; a suite that asks about its axes is answered by them.

    ``lacking`` says how many comparisons lack seeds; "" where none has.
    """
    of_families = not study.answer
    families = [each for each in board.families if _enough(each)] if of_families else []
    contrasts = sorted(
        (each for each in study.contrasts if _enough(each)),
        key=lambda each: 1.0 if each.corrected is None else each.corrected,
    )
    tables = []
    if families:
        title = "Best self-supervised row minus the best of reconstruction"
        rows = []
        for each in families:
            name, need = f"{plain(each.metric)}: {each.metric}, {each.title}", each.need
            more = (
                MISSING if need is None else f"> {need.limit}" if need.more is None else need.more
            )
            rows.append([Cell(name), *_numbers(each), Cell(str(more))])
        tables.append(Table(title, ("measure", *NUMBERS, "more seeds needed"), rows))
    if contrasts:
        left = len(contrasts) - MOST_CONTRASTS
        notes = (f"and {left:,} more comparisons with a larger p.",) if left > 0 else ()
        rows = []
        for one in contrasts[:MOST_CONTRASTS]:
            names = (one.axis, plain(one.metric), f"{one.level} over {one.other}")
            rows.append([*map(Cell, names), *_numbers(one)])
        heads = ("axis", "measure", "levels", *NUMBERS)
        tables.append(Table(f"Axes of the suite {study.name}", heads, rows, notes))
    of_axes = lacking([each.result.n for each in study.contrasts], "comparisons of axes")
    return {
        "question": study.question,
        "answer": study.answer or board.verdict.headline,
        "notes": (*study.notes, *(board.notes if of_families else ())),
        "evidence": tables,
        "lacking": " ".join(filter(None, (board.lacking, of_axes))),
    }


def _enough(found: Paired | Contrast) -> bool:
    return found.result.n >= LEAST_FOR_A_CLAIM


def _numbers(found: Family | Contrast) -> Sequence[Cell]:
    result = found.result
    texts = (
        wording.signed(result.difference),
        interval(result) or MISSING,
        MISSING if result.effect is None else f"{result.effect:+.1f}",
        wording.p_value(found.corrected).removeprefix("p = "),
        str(result.n),
        found.verdict,
    )
    return [Cell(text) for text in texts]


def ranks(board: Board) -> list[Table]:
    """Mean ranks over all datasets; rows that are not ranked on each of them are counted below."""
    found = []
    for table in board.rank_tables():
        rows = [row for row in table.rows if row[0].text != MISSING]
        if rows and table.headings[0] == "mean rank":
            left = len(table.rows) - len(rows)
            notes = (f"{left:,} more rows are not ranked on every dataset.",) if left else ()
            found.append(Table(table.title, table.headings, rows[:MOST_CONTRASTS], notes))
    return found


def row_by_row(board: Board) -> list[tuple[str, list[str]]]:
    """Every comparison of single rows that has enough seeds: a title and a line a metric."""
    found = comparison_lines([pair for pair in board.comparisons if _enough(pair)])
    left = len(found) - MOST_CONTRASTS
    more = f"{left:,} more: slotbench leaderboard --json lists them"
    return [*found[:MOST_CONTRASTS], *([(more, [])] if left > 0 else [])]
