"""Tables for a terminal: a line a row."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

GAP, NARROW, LEAST = 2, 16, 24
"""Spaces between columns; least widths of the first column and of the table."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, smaller texts, and whether it is the best of its column."""

    text: str
    small: tuple[str, ...] = ()
    best: bool = False
    style: str = ""

    def words(self, escape: Any = str, form: str = "{}") -> str:
        """The whole cell on one line; ``form`` marks the best one's text."""
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
        """Whether a column is text, and aligned to the left."""
        return column < self.labels or (self.text_last and column == len(self.headings) - 1)


def put_lines(console: Console, lines: Iterable[Text]) -> None:
    """Print lines that fit; where stdout is no terminal, fast and without colours."""
    if console.is_terminal:
        for line in lines:
            console.print(line, no_wrap=True, overflow="crop")
    else:
        console.file.write("".join(f"{line.plain}\n" for line in lines))


def to_lines(table: Table, width: int) -> Iterator[Text]:
    """A line for the headings and one a row, each at most ``width`` wide, or :data:`LEAST`.

    The first column is cut where that makes the others fit. Columns that do not fit follow below.
    """
    width = max(width, LEAST)
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
                cell = table.rows[place - 1][k] if place else Cell("")
                style = "bold green" if cell.best else cell.style
                line.append(_fit(shown[k][place], sizes[k]), style)
                line.append(" " * GAP)
            line.rstrip()
            yield line


def _column(table: Table, k: int) -> list[str]:
    """Heading and cells of a column, all of one width; numbers stand under each other."""
    cells = [("*" * row[k].best + row[k].text, " ".join(row[k].small)) for row in table.rows]
    if table.left(k):
        return [table.headings[k], *(f"{text} {small}".strip() for text, small in cells)]
    lines = [(table.headings[k], ""), *cells]
    size = max(cell_len(text) for text, _ in lines)
    return [f"{text:>{size}} {small}".rstrip() for text, small in lines]


def _fit(text: str, size: int) -> str:
    """Cut in the middle: names of settings begin alike and end differently."""
    if cell_len(text) <= size:
        return text.ljust(size)
    end = text[-(2 * size // 5) :]
    while cell_len(end) > 2 * size // 5:
        end = end[1:]
    return set_cell_size(text, size - 1 - cell_len(end)) + "…" + end
