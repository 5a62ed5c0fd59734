"""The table of the leaderboard, and its forms for documents: Markdown and LaTeX."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from slotbench.grid import Cell as Cell
from slotbench.grid import Table as Table
from slotbench.results.leaderboard import wording
from slotbench.results.leaderboard.grouping import Row, by_group
from slotbench.results.leaderboard.wording import MISSING, fewer, interval, number

NOTE = (
    "Mean over seeds, its 95 % interval (Student's t below ten seeds, bootstrap from ten), "
    f"inter-quartile mean (IQM) from five seeds; {MISSING}: missing."
)
_MARKDOWN = re.compile(r"[\\|<>*`]|\[(?![-+.\d])")
"""Characters with a meaning of their own; intervals keep their bracket."""
_LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "—": "---",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "\n": " ",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a cell that spreadsheets run."""


def row_tables(rows: Sequence[Row], metrics: Sequence[str]) -> list[Table]:
    """The leaderboard, a table a dataset."""
    groups = by_group(rows)
    named = wording.titles([group for group, _ in groups])
    return [row_table(named[group], members, metrics) for group, members in groups]


def row_table(title: str, rows: Sequence[Row], metrics: Sequence[str]) -> Table:
    """All columns of the leaderboard, for rows that share their data."""
    wanted = wording.columns(rows, metrics)
    marked = {metric: wording.best(rows, metric) for metric in wanted}
    counted = any(row.cost.flops is not None for row in rows)
    costs = [wording.cost_words(row.cost, with_flops=counted) for row in rows]
    cells = [
        [
            *map(Cell, (row.name, row.core, row.family)),
            Cell(row.preset, (f"({row.settings})",) if row.settings else ()),
            Cell(row.tuned or MISSING),
            Cell(str(len(row.seeds)), (f"({row.published} published)",) if row.published else ()),
            Cell(str(row.failed)),
            *(metric_cell(row, metric, best=k in marked[metric]) for metric in wanted),
            *map(Cell, costs[k].values()),
        ]
        for k, row in enumerate(rows)
    ]
    labels = ("objective", "core", "family", "preset", "tuning", "seeds", "failed")
    notes = [f"{row.label}: {text}" for row in rows for text in row.warnings]
    return Table(title, [*labels, *wanted, *costs[0]], cells, notes, 5, text_last=True)


def metric_cell(row: Row, metric: str, *, best: bool) -> Cell:
    """Mean, interval, inter-quartile mean, and the number of seeds where some lack the metric."""
    if metric not in row.metrics:
        return Cell(MISSING)
    found = wording.shown(row, metric)
    iqm = "" if found.iqm is None else f"IQM {number(found.iqm)}"
    small = tuple(filter(None, (interval(found), iqm, fewer(row, metric))))
    return Cell(number(found.mean), small, best)


def markdown_text(text: str) -> str:
    """Text in which no character has a meaning for Markdown, on one line."""
    return _MARKDOWN.sub(r"\\\g<0>", text.replace("\n", " "))


def to_markdown(table: Table) -> str:
    """A heading, the table and its notes."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [f"### {markdown_text(table.title)}", "", line(map(markdown_text, table.headings))]
    lines += [line("---" for _ in table.headings)]
    lines += [line(cell.words(markdown_text, "**{}**") for cell in row) for row in table.rows]
    lines += ["", *(f"- {markdown_text(note)}" for note in table.notes)]
    return "\n".join(lines).rstrip() + "\n\n"


def latex_escape(text: str) -> str:
    """Text in which no character has a meaning of its own for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def to_latex(table: Table, note: str) -> str:
    r"""A ``table`` for ``\usepackage{booktabs}``."""
    import pandas as pd

    frame = pd.DataFrame(
        [[cell.words(latex_escape, r"\textbf{{{}}}") for cell in row] for row in table.rows],
        columns=list(map(latex_escape, table.headings)),
    )
    text: str = frame.style.hide(axis="index").to_latex(
        hrules=True,
        position_float="centering",
        caption=latex_escape(f"{table.title}. {note}"),
        column_format="".join("rl"[table.left(k)] for k in range(len(table.headings))),
    )
    return text


def cell_text(value: Any) -> Any:
    """A value of a CSV file; text that a spreadsheet would run gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
