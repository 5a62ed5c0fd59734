"""The leaderboard in a terminal: one line a row, shared values above the rows, the verdict last."""

import io
from collections.abc import Iterable, Sequence
from textwrap import indent, wrap

from rich.console import Console
from rich.text import Text

from slotbench.evaluation.groups import direction
from slotbench.grid import Cell, Table, put_lines, to_lines
from slotbench.results.leaderboard import ranks as placing
from slotbench.results.leaderboard import wording
from slotbench.results.leaderboard.board import COMPARED, Board, summed_up
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.leaderboard.formats import NOTE, row_table
from slotbench.results.leaderboard.grouping import Row, by_group
from slotbench.results.leaderboard.statistics import LEAST_FOR_A_CLAIM
from slotbench.results.leaderboard.wording import MISSING, fewer, interval, number

MOST_ROWS, MOST_NOTES = 25, 3
SHORT = {
    PRIMARY: "FG-ARI",
    "ari/attention": "ARI",
    "miou/attention": "mIoU",
    "properties/linear/mask/mean": "props",
    "linear_probe/slots/map": "probe",
}
"""The metrics that are shown where none is asked for: of the last two, one."""
LEGEND = (
    "Means over seeds, 95 % interval. FG-ARI, ARI, mIoU: of attention masks.{} *: best shown, "
    "†: published seeds."
)
LEGENDS = {
    "props": " props: properties of each object, read from its slot.",
    "probe": " probe: attributes in the scene, read from all slots.",
    "…": " Names with … are whole on the page: slotbench report.",
}


def render(board: Board, console: Console, *, wide: bool = False, everything: bool = False) -> None:
    """Print the board, at most :data:`MOST_ROWS` rows unless ``everything`` is asked for.

    ``wide`` shows every column, every note, and the comparisons that have enough seeds.
    """
    chosen = set(map(id, board.rows if everything else first_rows(board)))
    groups = by_group(board.rows)
    named = wording.titles([group for group, _ in groups])
    notes: list[str] = []
    headings: set[str] = set()
    for group, members in groups:
        rows = [row for row in ranked(members, board) if id(row) in chosen]
        if rows:
            metrics = board.shown if wide or board.asked else compact_metrics(members, board)
            if wide:
                table = row_table(named[group], rows, metrics)
            else:
                table = compact_table(named[group], rows, metrics, spans=board.asked)
            cut = _put_table(console, table)
            notes += table.notes
            headings |= {*table.headings, *cut}
    _put_notes(console, notes, wide=wide)
    if len(chosen) < len(board.rows):
        _put(console, [f"{len(board.rows) - len(chosen):,} more rows: add --all"], "dim")
    words = "".join(text for name, text in LEGENDS.items() if name in headings)
    legend = f"{NOTE} *: best shown." if wide else LEGEND.format(words)
    _put(console, [f"{legend} {board.scale}".strip()], "dim")
    if board.with_ranks:
        for table in board.rank_tables():
            console.print()
            _put_table(console, table)
        _put(console, [placing.NOTE], "dim")
    own = [run for run in board.found if not run.published]
    left_out = board.warnings if wide else board.left_out(own)
    if board.warnings:
        console.print()
        _put(console, ["Left out"], "bold")
        _put_notes(console, summed_up(left_out), wide=wide)
        others = len(board.warnings) - len(left_out)
        _put_notes(
            console, [f"{others} results of published runs, named by --wide"][:others], wide=wide
        )
    console.print()
    if wide:
        _put_comparisons(board, console)
    _put(console, filter(None, [board.lacking]), "dim")
    _put(console, [board.sentence], "bold")


def to_text(board: Board, console: Console, *, wide: bool = False, everything: bool = False) -> str:
    """What :func:`render` prints on a console, as text with the console's colours."""
    stream = io.StringIO()
    aside = Console(
        file=stream,
        width=console.width,
        force_terminal=console.is_terminal,
        no_color=console.no_color,
    )
    render(board, aside, wide=wide, everything=everything)
    return stream.getvalue()


def first_rows(board: Board) -> list[Row]:
    """The first :data:`MOST_ROWS`: own rows, floors and ceilings, then the best published ones."""
    placed = [
        (published(row) + (published(row) and row.family != "control"), place, row)
        for _, members in by_group(board.rows)
        for place, row in enumerate(ranked(members, board))
    ]
    return [row for _, _, row in sorted(placed, key=lambda each: each[:2])[:MOST_ROWS]]


def ranked(rows: Sequence[Row], board: Board) -> list[Row]:
    """Own rows before published ones, each best first, by the primary or first measure shown."""
    metric = PRIMARY if PRIMARY in board.shown or not board.asked else board.shown[0]
    sign = 1 if board.scale else direction(metric) or 1

    def place(row: Row) -> tuple[bool, float]:
        mean = row.metrics[metric].mean if metric in row.metrics else None
        return published(row), float("inf") if mean is None else -sign * mean

    return sorted(rows, key=place)


def published(row: Row) -> bool:
    """Whether nothing of the row was computed on this machine."""
    return 0 < row.published == len(row.seeds)


def compact_metrics(rows: Sequence[Row], board: Board) -> list[str]:
    """Those of :data:`SHORT` that a row has; of the last two, the one that more rows have."""
    count = {key: sum(key in row.metrics for row in rows) for key in SHORT}
    *masks, properties, probe = SHORT
    last = probe if count[probe] > count[properties] else properties
    return [key for key in (*masks, last) if count[key]] or wording.columns(rows, board.shown)


def compact_table(title: str, rows: Sequence[Row], metrics: Sequence[str], *, spans: bool) -> Table:
    """A line a row; the settings that all trained rows share stand in the title.

    ``spans`` shows the interval of every metric, not of the primary one alone.
    """
    shared = _shared(rows)
    cells = [[Cell(_name(row, shared)), Cell(_seeds(row))] for row in rows]
    for metric in metrics:
        winners = wording.best(rows, metric)
        for k, row in enumerate(rows):
            found = wording.shown(row, metric)
            ends = interval(found) if spans or metric == PRIMARY else ""
            small = tuple(filter(None, (ends, fewer(row, metric))))
            cells[k].append(Cell(number(found.mean), small, k in winners))
    for line, row in zip(cells, rows, strict=True):
        seconds = row.cost.seconds
        line.append(Cell(MISSING if seconds is None else f"{seconds / 60:,.1f}"))
    heads = ["objective", "seeds", *(SHORT.get(metric, metric) for metric in metrics), "min"]
    notes = [f"{row.label}: {text}" for row in rows for text in row.warnings]
    said = ", ".join(filter(None, shared.values()))
    return Table("\n".join(filter(None, (title, said))), heads, cells, notes, labels=1)


def _shared(rows: Sequence[Row]) -> dict[str, str]:
    """What all rows that were trained have in common, in words."""
    trained = [row for row in rows if row.preset]
    values = {
        "core": {row.core for row in trained},
        "preset": {row.preset for row in trained},
        "settings": {row.settings for row in trained},
        "alignment": {f"{row.alignment} alignment" for row in trained if row.alignment},
        "budget": {row.budget for row in trained},
        "tuning": {f"tuned: {row.tuned}" if row.tuned else "not tuned" for row in trained},
        "device": {row.cost.device for row in trained},
    }
    return {name: next(iter(found)) for name, found in values.items() if len(found) == 1}


def _name(row: Row, shared: dict[str, str]) -> str:
    name = row.objective if "alignment" in shared and not row.external else row.name
    fields = ("core", "preset", "settings") if row.preset else ("settings",)
    apart = [getattr(row, field) for field in fields if field not in shared or not row.preset]
    return ", ".join(filter(None, (name, *apart)))


def _seeds(row: Row) -> str:
    own = len(row.seeds) - row.published
    counts = [str(own)] if own or not row.published else []
    counts += [f"{row.published}†"] if row.published else []
    return "+".join(counts) + (f", {row.failed} failed" if row.failed else "")


def _put_comparisons(board: Board, console: Console) -> None:
    enough = [pair for pair in board.comparisons if pair.result.n >= LEAST_FOR_A_CLAIM]
    _put(console, [COMPARED], "bold")
    for title, lines in wording.comparison_lines(enough):
        _put(console, [title])
        _put_notes(console, lines, wide=True)
    _put_notes(console, board.verdict.notes, wide=True)


def _put_table(console: Console, table: Table) -> str:
    """Print a table; "…" where a name was cut."""
    title, *shared = table.title.split("\n")
    _put(console, [title], "bold")
    _put(console, shared, "dim")
    lines = list(to_lines(table, console.width))
    put_lines(console, lines)
    console.print()
    return "…" if any("…" in line.plain for line in lines) else ""


def _put_notes(console: Console, lines: Sequence[str], *, wide: bool) -> None:
    """Print lines set off from the margin; the first few unless ``wide``."""
    shown = list(lines if wide or len(lines) <= MOST_NOTES + 1 else lines[:MOST_NOTES])
    if len(shown) < len(lines):
        shown.append(f"and {len(lines) - MOST_NOTES:,} more: add --wide")
    for line in shown:
        _put(console, [indent(part, "  ") for part in wrap(line, console.width - 2)])


def _put(console: Console, lines: Iterable[str], style: str = "") -> None:
    for line in lines:
        console.print(Text(line, style))
