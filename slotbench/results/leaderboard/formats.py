"""One table of values, and its forms: Rich for terminals, Markdown, and pandas for the others."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from slotbench.results.leaderboard.collect import COSTS
from slotbench.results.leaderboard.grouping import Row, by_group
from slotbench.results.leaderboard.statistics import Summary
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

if TYPE_CHECKING:
    import pandas as pd

NOTE = (
    "Mean over seeds, its 95 % interval (Student's t below ten seeds, bootstrap from ten), "
    f"inter-quartile mean (IQM) from five seeds; {MISSING}: missing."
)
MANY = 100
"""Rows from which on a table is plain text: Rich would take seconds."""
_HEADING = 13
"""Characters a line in a metric's heading."""
_LABELS = ("objective", "core", "family", "preset", "seeds", "failed")
_UNITS = {"steps": " steps", "images/s": " images/s", "parameters": " params", "FLOPs": " FLOPs"}
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
_EMPTY = Summary(None, None, None, 0, None)


@dataclass(frozen=True)
class Cell:
    """A cell: what it says, smaller lines below it, and whether it is the best of its column."""

    text: str
    small: tuple[str, ...] = ()
    best: bool = False

    @property
    def lines(self) -> list[str]:
        """The lines of the cell."""
        return [self.text, *self.small]


@dataclass(frozen=True)
class Table:
    """Values with their headings, and notes below them."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    labels: int = 0
    """Columns on the left that are text; the last one is text, too."""
    costs: int = 0
    """Columns on the right that belong together."""


def row_tables(rows: Sequence[Row], metrics: Sequence[str]) -> list[Table]:
    """The leaderboard, a table a dataset."""
    groups = by_group(rows)
    named = titles([group for group, _ in groups])
    return [_row_table(named[group], members, metrics) for group, members in groups]


def _row_table(title: str, rows: Sequence[Row], metrics: Sequence[str]) -> Table:
    wanted = columns(rows, metrics)
    marked = {metric: best(rows, metric) for metric in wanted}
    counted = any(row.cost.flops is not None for row in rows)
    costs = [cost_words(row.cost, with_flops=counted) for row in rows]
    cells = [
        [
            Cell(row.name),
            Cell(row.core),
            Cell(row.family),
            Cell(row.preset, (f"({row.settings})",) if row.settings else ()),
            Cell(str(len(row.seeds)), (f"({row.published} published)",) if row.published else ()),
            Cell(str(row.failed)),
            *(_metric(row, metric, best=k in marked[metric]) for metric in wanted),
            *(Cell(text) for text in costs[k].values()),
        ]
        for k, row in enumerate(rows)
    ]
    notes = [f"{row.label}: {text}" for row in rows for text in row.warnings]
    return Table(title, [*_LABELS, *wanted, *costs[0]], cells, notes, 4, len(costs[0]))


def _metric(row: Row, metric: str, *, best: bool) -> Cell:
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

    def words(cell: Cell) -> str:
        first, *rest = map(markdown_text, cell.lines)
        return " ".join([f"**{first}**" if cell.best else first, *rest]).strip()

    lines = [
        f"### {markdown_text(table.title)}",
        "",
        line(map(markdown_text, table.headings)),
        line("---" for _ in table.headings),
        *(line(map(words, row)) for row in table.rows),
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

    def words(cell: Cell) -> str:
        first, *rest = map(latex_escape, cell.lines)
        return " ".join([rf"\textbf{{{first}}}" if cell.best else first, *rest]).strip()

    frame = pd.DataFrame(
        [list(map(words, row)) for row in table.rows],
        columns=list(map(latex_escape, table.headings)),
    )
    numbers = len(table.headings) - table.labels - 1
    text: str = frame.style.hide(axis="index").to_latex(
        hrules=True,
        position_float="centering",
        caption=latex_escape(f"{table.title}. {note}"),
        column_format="l" * table.labels + "r" * numbers + "l",
    )
    return text


def render(console: Console, table: Table) -> None:
    """Print a table as it stands."""
    console.print(_rich(table))


def _rich(table: Table) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    last = len(table.headings) - 1
    for k, heading in enumerate(table.headings):
        side: Any = "left" if k < table.labels or (k == last and table.costs) else "right"
        width = {0: 24, last: 18}.get(k) if side == "left" else None
        shown.add_column(Text(heading), justify=side, overflow="fold", max_width=width)
    for place, row in enumerate(table.rows, 1):
        several = any(cell.small for cell in row) and place < len(table.rows)
        shown.add_row(*map(_text, row), end_section=several)
    return shown


def _text(cell: Cell) -> Text:
    text = Text(f"* {cell.text}" if cell.best else cell.text)
    if cell.best:
        text.stylize("bold green")
    for line in cell.small:
        text.append(f"\n{line}", style="not bold default")
    return text


def render_rows(console: Console, tables: Sequence[Table]) -> None:
    """Print the leaderboard: a row's names in one column, its cost in another.

    Metrics that do not fit the width go on in a further table.
    """
    many = sum(len(table.rows) for table in tables) >= MANY
    for table in tables:
        console.print(Text(table.title, style="bold"))
        if many:
            _write_plain(console, table)
        else:
            for part in _parts(console, table):
                render(console, part)
        put_notes(console, table.notes)
        console.print()


def put_notes(console: Console, lines: Sequence[str]) -> None:
    """Print lines that are set off from the margin."""
    if lines:
        console.print(Padding(Text("\n".join(lines)), (0, 0, 0, 2), expand=False))


def _write_plain(console: Console, table: Table) -> None:
    import pandas as pd

    cells = [
        [("*" if cell.best else "") + " ".join(cell.lines).strip() for cell in row]
        for row in table.rows
    ]
    frame = pd.DataFrame(cells, columns=list(table.headings))
    console.file.write(frame.to_string(index=False, line_width=console.width) + "\n")


def _parts(console: Console, table: Table) -> list[Table]:
    """The table, stacked, in as few tables as fit the width of the console."""
    stacked = _stacked(table)
    unlimited = console.options.update(max_width=10_000)
    parts: list[list[int]] = [[]]
    for column in range(2, len(stacked.headings)):
        trial = _part(stacked, [*parts[-1], column])
        width = Measurement.get(console, unlimited, _rich(trial)).maximum
        if parts[-1] and width > console.width:
            parts.append([column])
        else:
            parts[-1].append(column)
    return [_part(stacked, part) for part in parts]


def _part(table: Table, columns: Sequence[int]) -> Table:
    """The labels and some of the other columns."""
    chosen = [0, 1, *columns]
    whole = chosen[-1] == len(table.headings) - 1
    return replace(
        table,
        headings=[table.headings[k] for k in chosen],
        rows=[[row[k] for k in chosen] for row in table.rows],
        costs=table.costs if whole else 0,
    )


def _stacked(table: Table) -> Table:
    """The six columns of labels in two, those of cost in one."""
    first = len(table.headings) - table.costs
    rows = []
    for row in table.rows:
        objective, core, family, preset, seeds, failed = row[: len(_LABELS)]
        # An external row says so once, in its name; nothing was trained in one without a preset.
        names = [cell.text for cell in (core, family) if cell.text not in ("external", "none")]
        lost = [f"{failed.text} failed"] if failed.text != "0" else []
        spent = [
            cell.text + _UNITS.get(heading, "")
            for cell, heading in zip(row[first:], table.headings[first:], strict=True)
            if cell.text != MISSING
        ]
        cost, *more = spent or [MISSING]
        rows.append(
            [
                Cell(objective.text, tuple(filter(None, [*names, *preset.lines]))),
                Cell(seeds.text, (*lost, *seeds.small)),
                *row[len(_LABELS) : first],
                Cell(cost, tuple(more)),
            ]
        )
    metrics = map(_heading, table.headings[len(_LABELS) : first])
    headings = ["objective\ncore\nfamily\npreset", "seeds", *metrics, "cost"]
    return replace(table, headings=headings, rows=rows, labels=1, costs=1)


def _heading(metric: str) -> str:
    """A key on as few lines as its parts allow."""
    lines = [""]
    for part in re.findall("[^/]+/?", metric):
        if lines[-1] and len(lines[-1]) + len(part) > _HEADING:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def long_form(rows: Sequence[Row], metrics: Sequence[str]) -> "pd.DataFrame":
    """A line for each row and metric, full precision; missing values are None.

    A row without any of its dataset's metrics (all its runs failed) has one line without metric.
    """
    import pandas as pd

    lines = []
    for _, members in by_group(rows):
        present = [metric for metric in metrics if any(metric in row.metrics for row in members)]
        for row in members:
            cost = {name: getattr(row.cost, name) for name in COSTS}
            for metric in present or [""]:
                cell = row.metrics.get(metric, _EMPTY)
                values = {"metric": metric, **vars(cell)}
                rest = {**cost, "warnings": "; ".join(row.warnings)}
                lines.append({**names_of(row), **counts_of(row), **values, **rest})
    return pd.DataFrame(lines, dtype=object)


def names_of(row: Row) -> dict[str, Any]:
    """What identifies a row among all others."""
    return {
        **vars(row.group),
        "core": row.core,
        "objective": row.objective,
        "alignment": row.alignment,
        "preset": row.preset,
        "settings": row.settings,
    }


def counts_of(row: Row) -> dict[str, Any]:
    """Its family and how many of its seeds count."""
    return {
        "family": row.family,
        "external": row.external,
        "seeds": len(row.seeds),
        "failed": row.failed,
        "published": row.published,
    }


def cell_text(value: Any) -> Any:
    """A value of a CSV file; text that a spreadsheet would run gets an apostrophe before it."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
