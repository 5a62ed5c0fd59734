"""One table of values, and its forms: Markdown, LaTeX, and lines of a terminal."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from slotbench.results.leaderboard.grouping import Row, by_group
from slotbench.results.leaderboard.wording import (
    MISSING,
    best,
    columns,
    cost_words,
    fewer,
    interval,
    number,
    titles,
)

NOTE = (
    "Mean over seeds, its 95 % interval (Student's t below ten seeds, bootstrap from ten), "
    f"inter-quartile mean (IQM) from five seeds; {MISSING}: missing."
)
GAP, NARROW = 2, 16
"""Spaces between columns of a terminal, and the least width that its first column is cut to."""
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


@dataclass(frozen=True)
class Cell:
    """A cell: what it says, what it says smaller, and whether it is the best of its column."""

    text: str
    small: tuple[str, ...] = ()
    best: bool = False

    def words(self, escape: Any = str, form: str = "{}") -> str:
        """All of it on one line; ``form`` is for the text of the best cell."""
        first, *rest = map(escape, (self.text, *self.small))
        return " ".join([form.format(first) if self.best else first, *rest]).strip()


@dataclass(frozen=True)
class Table:
    """Values with their headings, and notes below them."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    labels: int = 0
    """Columns on the left that are text."""
    text_last: bool = False
    """Whether the last column is text too."""

    def left(self, column: int) -> bool:
        """Whether a column is text, which stands on the left."""
        return column < self.labels or (self.text_last and column == len(self.headings) - 1)


def row_tables(rows: Sequence[Row], metrics: Sequence[str]) -> list[Table]:
    """The leaderboard, a table a dataset."""
    groups = by_group(rows)
    named = titles([group for group, _ in groups])
    return [row_table(named[group], members, metrics) for group, members in groups]


def row_table(title: str, rows: Sequence[Row], metrics: Sequence[str]) -> Table:
    """All columns of the leaderboard, for rows that share their data."""
    wanted = columns(rows, metrics)
    marked = {metric: best(rows, metric) for metric in wanted}
    counted = any(row.cost.flops is not None for row in rows)
    costs = [cost_words(row.cost, with_flops=counted) for row in rows]
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
    found = row.metrics.get(metric)
    if found is None:
        return Cell(MISSING)
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

    lines = [
        f"### {markdown_text(table.title)}",
        "",
        line(map(markdown_text, table.headings)),
        line("---" for _ in table.headings),
        *(line(cell.words(markdown_text, "**{}**") for cell in row) for row in table.rows),
        "",
        *(f"- {markdown_text(note)}" for note in table.notes),
    ]
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


def to_lines(table: Table, width: int) -> Iterator[Text]:
    """A line for the headings and one a row, each at most ``width`` columns of a terminal wide.

    The first column is cut where that makes the others fit. Columns that do not fit go on below.
    """
    shown = [_column(table, k) for k in range(len(table.headings))]
    sizes = [max(map(cell_len, column)) for column in shown]
    room = width - sum(sizes[1:]) - GAP * (len(sizes) - 1)
    sizes[0] = min(sizes[0], room if room >= NARROW else max(NARROW, width // 3))
    sizes[1:] = [min(size, width - sizes[0] - GAP) for size in sizes[1:]]
    blocks: list[list[int]] = []
    left = 0
    for k in range(1, len(sizes)):
        if sizes[k] + GAP > left:
            blocks.append([0])
            left = width - sizes[0]
        blocks[-1].append(k)
        left -= sizes[k] + GAP
    for block in blocks:
        for place in range(len(table.rows) + 1):
            line = Text("", "" if place else "bold")
            for k in block:
                best = place > 0 and table.rows[place - 1][k].best
                line.append(_fit(shown[k][place], sizes[k]), "bold green" if best else "")
                line.append(" " * GAP)
            line.rstrip()
            yield line


def _column(table: Table, k: int) -> list[str]:
    """Heading and cells of a column, all of one width; numbers stand under each other."""
    cells = [("*" * row[k].best + row[k].text, " ".join(row[k].small)) for row in table.rows]
    if table.left(k):
        return [table.headings[k], *(f"{text} {small}".strip() for text, small in cells)]
    size = max(cell_len(table.headings[k]), *(cell_len(text) for text, _ in cells))
    lines = [(table.headings[k], ""), *cells]
    return [f"{text:>{size}} {small}".rstrip() for text, small in lines]


def _fit(text: str, size: int) -> str:
    return text.ljust(size) if cell_len(text) <= size else set_cell_size(text, size - 1) + "…"


def cell_text(value: Any) -> Any:
    """A value of a CSV file; text that a spreadsheet would run gets an apostrophe before it."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
