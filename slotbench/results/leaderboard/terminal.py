"""The leaderboard in a terminal: tables, what they omit, and the verdict last."""

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from slotbench.errors import UserError
from slotbench.grid import Table, put_lines, to_lines
from slotbench.progress import counted
from slotbench.results.leaderboard import ranks as placing
from slotbench.results.leaderboard import wording
from slotbench.results.leaderboard.board import COMPARED, Board
from slotbench.results.leaderboard.compact import (
    compact_metrics,
    compact_table,
    in_order,
    of_own_datasets,
    ranked,
)
from slotbench.results.leaderboard.filters import summed_up, unevaluated, unfinished
from slotbench.results.leaderboard.formats import NOTE, row_table
from slotbench.results.leaderboard.grouping import Row, by_group
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM

MOST_LINES, MOST_ROWS, MOST_SENTENCE = 25, 25, 6
"""Lines of the default page, rows of other pages, lines of the verdict on the default page."""
LEAST_SECONDS, MOST_SECONDS = 0.2, 86_400.0
"""Limits of ``--every``."""
LEGEND = "Means over seeds, 95 % interval; attention masks. *: best, †: published seeds.{}"
LEGENDS = {
    "props": " props: properties of objects, from their slots.",
    "probe": " probe: scene attributes, read from all slots.",
    "…": " Whole names: slotbench report.",
}
Lines = Iterator[Text]


def to_text(board: Board, console: Console, *, wide: bool = False, everything: bool = False) -> str:
    """The page for a console, with at most :data:`MOST_LINES` lines unless more is asked for.

    ``wide`` shows every column and note, and the comparisons with enough seeds; ``everything``
    shows every row of every dataset.
    """
    short = not (wide or everything or board.asked or board.with_ranks)
    rows = in_order(board)
    rows = rows if everything else (of_own_datasets(rows) if short else rows)[:MOST_ROWS]
    lines = list(_page(board, console, rows, wide=wide, short=short))
    while short and len(rows) > 1 and len(lines) > MOST_LINES:
        rows = rows[:-1]
        lines = list(_page(board, console, rows, wide=wide, short=short))
    stream = io.StringIO()
    terminal, plain = console.is_terminal, console.no_color
    aside = Console(file=stream, width=console.width, force_terminal=terminal, no_color=plain)
    put_lines(aside, lines)
    return stream.getvalue()


def watch(
    collect: Callable[[], Board],
    console: Console,
    *,
    every: float = 5.0,
    wide: bool = False,
    everything: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """``leaderboard --watch``: show the board of ``collect`` every ``every`` seconds until Ctrl-C.

    A page that has changed replaces the last one on a terminal, and is printed below it elsewhere.
    :class:`UserError` for an interval outside 0.2 s to a day; those of ``collect`` are shown.
    """
    if not LEAST_SECONDS <= every <= MOST_SECONDS:
        raise UserError(f"--every {every:g}: expected {LEAST_SECONDS} to {MOST_SECONDS:,.0f} s.")
    last = ""
    try:
        while True:
            try:
                board = collect()
                page = to_text(board, console, wide=wide, everything=everything)
                page += "".join(f"{line}\n" for line in board.running)
            except UserError as error:
                page = f"{error}\n"
            if page != last:
                if console.is_terminal:
                    console.clear()
                console.print(Text.from_ansi(page), soft_wrap=True)
                if console.is_terminal:
                    console.print(Text(f"Every {every:g} s; Ctrl-C ends.", style="dim"))
                last = page
            sleep(every)
    except KeyboardInterrupt:
        return


def _page(
    board: Board, console: Console, chosen: Sequence[Row], *, wide: bool, short: bool
) -> Lines:
    """The page with the chosen rows; ``short``: the default page."""
    kept, notes, headings = set(chosen), list[str](), set[str]()
    groups = by_group(board.rows)
    named = wording.titles([group for group, _ in groups])
    for group, members in groups:
        rows = [row for row in ranked(members, board) if row in kept]
        if rows:
            metrics = board.shown if wide or board.asked else compact_metrics(members, board)
            if wide:
                table = row_table(named[group], rows, metrics)
            else:
                table = compact_table(named[group], rows, metrics, spans=board.asked)
            lines = list(to_lines(table, console.width))
            yield from _titles(console, table)
            yield from lines
            yield Text()
            notes += table.notes
            headings |= {*table.headings, *("…" for line in lines if "…" in line.plain)}
    told = [*_more_rows(board, kept), *([] if wide else _counts(board, notes))]
    told += filter(None, [board.lacking])
    yield from _lines(console, notes if wide else (), margin=2)
    yield from _lines(console, told, "dim")
    words = "".join(text for name, text in LEGENDS.items() if name in headings)
    legend = f"{NOTE} *: best shown." if wide else LEGEND.format(words)
    yield from _lines(console, [f"{legend} {board.scale}".strip()], "dim")
    yield Text()
    if board.with_ranks:
        yield from _ranks(board, console)
    if wide:
        yield from _evidence(board, console)
    sentence = list(_lines(console, [board.verdict.sentence], "bold"))
    if short and len(sentence) > MOST_SENTENCE:
        short_form = f"{board.verdict.headline} The evidence: add --wide."
        sentence = list(_lines(console, [short_form], "bold"))
    yield from sentence


def _more_rows(board: Board, kept: set[Row]) -> Iterator[str]:
    """How many rows and datasets the tables omit."""
    left = [row for row in board.rows if row not in kept]
    hidden = {row.group for row in left} - {row.group for row in kept}
    others = sum(row.group in hidden for row in left)
    where = f" on {counted(len(hidden), 'other dataset')}" if hidden else ""
    if 0 < others < len(left):
        where = f", {others:,} of them{where}"
    if left:
        yield f"{counted(len(left), 'more row')}{where}: add --all"


def _counts(board: Board, notes: Sequence[str]) -> Iterator[str]:
    """The numbers of notes, unevaluated runs and excluded results."""
    if notes:
        yield f"{counted(len(notes), 'note')} on these rows: add --wide"
    waiting = unevaluated(board.concerned)
    if waiting:
        yield str(waiting)
    left: list[str] = []
    for published, whose in ((False, "runs here"), (True, "published runs")):
        runs = [run for run in board.concerned if run.published == published]
        if count := sum(len(run.problems) for run in runs if not run.unevaluated):
            left.append(f"{f'{count:,}' if left else counted(count, 'result')} of {whose}")
    if left:
        yield f"Left out: {', '.join(left)}: add --wide"
    yield from filter(None, [unfinished(board.concerned)])


def _ranks(board: Board, console: Console) -> Lines:
    for table in board.rank_tables():
        yield from _titles(console, table)
        yield from to_lines(table, console.width)
        yield Text()
    yield from _lines(console, [placing.NOTE], "dim")
    yield Text()


def _evidence(board: Board, console: Console) -> Lines:
    """Ids of published runs, excluded results, and the comparisons with enough seeds."""
    with_weights = [run for run in board.concerned if run.published and run.path and run.counts]
    names = [f"{run.path.name} ({run.core} + {run.objective})" for run in with_weights if run.path]
    if names:
        told = "Published runs, which slotbench show, predict and load take by their id: "
        yield from _lines(console, [told + ", ".join(names)])
        yield Text()
    if board.warnings:
        yield Text("Left out", "bold")
        yield from _lines(console, summed_up(board.warnings), margin=2)
        yield Text()
    enough = [pair for pair in board.comparisons if pair.result.n >= LEAST_FOR_A_CLAIM]
    yield Text(COMPARED, "bold")
    for title, lines in wording.comparison_lines(enough):
        yield from _lines(console, [title])
        yield from _lines(console, lines, margin=2)
    yield from _lines(console, board.notes, margin=2)
    yield Text()


def _titles(console: Console, table: Table) -> Lines:
    title, *shared = table.title.split("\n")
    yield from _lines(console, [title], "bold")
    yield from _lines(console, shared, "dim")


def _lines(console: Console, texts: Iterable[str], style: str = "", margin: int = 0) -> Lines:
    """Texts as lines that fit the width, indented by ``margin``."""
    for text in texts:
        for line in Text(text, style).wrap(console, max(1, console.width - margin)):
            line.rstrip()
            yield Text(" " * margin) + line
