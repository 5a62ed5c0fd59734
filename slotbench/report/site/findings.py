"""The findings on the page: question, answer, evidence, and what cannot be said yet."""

from collections.abc import Sequence
from dataclasses import dataclass

from slotbench.report.site.study import Study
from slotbench.results.leaderboard import Board
from slotbench.results.leaderboard.comparisons import Family, Paired
from slotbench.results.leaderboard.factors import Contrast
from slotbench.results.leaderboard.formats import Cell, Table
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM
from slotbench.results.leaderboard.verdict import plain
from slotbench.results.leaderboard.wording import (
    MISSING,
    comparison_lines,
    interval,
    lacking,
    p_value,
    signed,
)

NUMBERS = ("difference", "95 % interval", "effect d", "p (corrected)", "pairs", "finding")
MOST_CONTRASTS = 200


@dataclass(frozen=True)
class Findings:
    """The top of the page."""

    question: str
    answer: str
    notes: tuple[str, ...]
    evidence: tuple[Table, ...]
    lacking: str
    """How many comparisons have too few seeds; "" where none has."""


def findings(board: Board, study: Study) -> Findings:
    """Question, answer and evidence; a suite that asks about its axes is answered by them."""
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
    short = " ".join(filter(None, (board.lacking, of_axes)))
    told = (*study.notes, *(board.verdict.notes if of_families else ()))
    said = study.answer or board.verdict.headline
    return Findings(study.question, said, told, tuple(tables), short)


def _enough(found: Paired | Contrast) -> bool:
    return found.result.n >= LEAST_FOR_A_CLAIM


def _numbers(found: Family | Contrast) -> Sequence[Cell]:
    result = found.result
    texts = (
        signed(result.difference),
        interval(result) or MISSING,
        MISSING if result.effect is None else f"{result.effect:+.1f}",
        p_value(found.corrected).removeprefix("p = "),
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
