"""A suite on the terminal: a live table, or a line for each event if stderr is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from slotbench import grid
from slotbench.progress import errors, plain, say
from slotbench.suites.drive import Picture
from slotbench.suites.state import STATES

COLOURS = {"done": "green", "failed": "red", "interrupted": "yellow"}
ROWS = 16
"""Rows of running cells and of failed cells, each."""


@contextmanager
def shown() -> Iterator[Callable[[Picture], None]]:
    """Yields a function to call with every new :class:`Picture`."""
    if errors.is_terminal:
        with Live(console=errors, refresh_per_second=4, transient=True) as live:
            yield lambda picture: live.update(live_table(picture))
    else:
        before: dict[str, str] = {}
        yield lambda picture: _say_changes(picture, before)


def _say_changes(picture: Picture, before: dict[str, str]) -> None:
    """Print a line for each cell that has started or ended since the last picture."""
    for cell in picture.plan.cells:
        now = picture.progress[cell.key]
        last = before.get(cell.key)
        before[cell.key] = now.state
        if last not in (None, now.state) and now.state not in ("waiting", "evaluating"):
            reason = f": {now.reason}" if now.reason else ""
            far = f"[{picture.counts['done']}/{len(picture.plan.cells)}{_to_go(picture)}]"
            say(f"{far} {now.state}: {cell.label}{reason}")


def live_table(picture: Picture) -> RenderableType:
    """Running cells, failed cells, and the progress of the suite."""
    busy = Table(box=None, pad_edge=False, show_header=False)
    for style in ("", "", "dim"):
        busy.add_column(style=style, no_wrap=True)
    running, failed = picture.cells("running", "evaluating"), picture.cells("failed")
    for cell, now in running[:ROWS]:
        bar = ProgressBar(total=1.0, completed=now.share, width=24)
        steps = f"{now.step:,}/{now.steps:,}" if now.steps else "starting"
        far = ("evaluating", "") if now.state == "evaluating" else (bar, steps)
        busy.add_row(_text(cell.label), *far)
    lines = [_text(f"failed: {cell.label}: {now.reason}", "red") for cell, now in failed[:ROWS]]
    if len(running) > ROWS:
        lines.insert(0, Text(f"and {len(running) - ROWS} more", "dim"))
    if len(failed) > ROWS:
        lines.append(Text(f"and {len(failed) - ROWS} more failed", "red"))
    done = ProgressBar(len(picture.plan.cells), picture.counts["done"], width=40)
    counted = counts_text(picture.counts).append(_to_go(picture), "dim")
    return Group(_title(picture), *([busy] if running else []), *lines, done, counted)


def _text(text: str, style: str = "") -> Text:
    """Text from a file or the user, never read as markup."""
    return Text(plain(text), style)


def _title(picture: Picture) -> Text:
    return _text(f"{picture.plan.suite.name}: {picture.plan.suite.question}", "bold")


def counts_text(counts: dict[str, int]) -> Text:
    """``3 running · 12 done``; states without a cell are left out."""
    parts = [
        Text(f"{counts[state]} {state}", COLOURS.get(state, ""))
        for state in STATES
        if counts[state]
    ]
    return Text(" · ").join(parts)


def _to_go(picture: Picture) -> str:
    seconds = picture.seconds_to_go
    return "" if seconds is None or seconds < 1 else f", {duration(seconds)} to go"


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def status_table(picture: Picture) -> grid.Table:
    """Every cell with its state, for ``suite status``; reasons are notes below."""
    rows, notes = [], []
    for cell in picture.plan.cells:
        now, name = picture.progress[cell.key], cell.run.path.name
        state = grid.Cell(now.state, style=COLOURS.get(now.state, ""))
        steps = f"{now.step:,}/{now.steps:,}" if now.steps else ""
        rows.append([grid.Cell(name), state, grid.Cell(plain(cell.label)), grid.Cell(steps)])
        notes += [plain(f"{name} {now.state}: {now.reason}")] if now.reason else []
    return grid.Table(str(_title(picture)), ("run", "state", "what", "step"), rows, notes, 3)
