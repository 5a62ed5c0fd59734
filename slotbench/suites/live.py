"""A suite while it runs: a table that renews itself, or plain lines where there is no terminal."""

from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from slotbench.progress import errors, say
from slotbench.suites.drive import Picture
from slotbench.suites.plan import Cell
from slotbench.suites.state import STATES, Progress

COLOURS = {"done": "green", "failed": "red", "interrupted": "yellow"}
ROWS = 16
"""Rows of cells at work and of failed cells, each."""


class Shown:
    """Call it with every new :class:`Picture`."""

    def __init__(self) -> None:
        self.live: Live | None = None
        self.before: dict[str, str] = {}

    def __enter__(self) -> "Shown":
        if errors.is_terminal:
            self.live = Live(console=errors, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, picture: Picture) -> None:
        if self.live is not None:
            self.live.update(table(picture))
        else:
            self._lines(picture)

    def _lines(self, picture: Picture) -> None:
        """A line for each cell that has begun or ended since the last picture."""
        for cell in picture.plan.cells:
            now = picture.progress[cell.key]
            before = self.before.get(cell.key)
            self.before[cell.key] = now.state
            if before is None or before == now.state or now.state in ("waiting", "evaluating"):
                continue
            reason = f": {now.reason}" if now.reason else ""
            counts = picture.counts
            far = f"[{counts['done']}/{len(picture.plan.cells)}{_to_go(picture)}]"
            say(f"{far} {now.state}: {cell.label}{reason}")


def table(picture: Picture) -> RenderableType:
    """What runs, what failed, and how much is left."""
    suite, counts = picture.plan.suite, picture.counts
    shown: list[RenderableType] = [Text(f"{suite.name}: {suite.question}", style="bold")]
    busy = Table(box=None, pad_edge=False, show_header=False)
    for style in ("", "", "dim", "dim"):
        busy.add_column(style=style, no_wrap=True)
    at_work = picture.cells("running", "evaluating")
    for cell, progress in at_work[:ROWS]:
        busy.add_row(*_busy(cell, progress))
    if at_work:
        shown.append(busy)
    if len(at_work) > ROWS:
        shown.append(Text(f"and {len(at_work) - ROWS} more", style="dim"))
    failed = picture.cells("failed")
    for cell, progress in failed[:ROWS]:
        shown.append(Text(f"failed: {cell.label}: {progress.reason}", style="red"))
    if len(failed) > ROWS:
        shown.append(Text(f"and {len(failed) - ROWS} more failed", style="red"))
    line = counts_text(counts)
    line.append(_to_go(picture), style="dim")
    bar = ProgressBar(total=len(picture.plan.cells), completed=counts["done"], width=40)
    return Group(*shown, bar, line)


def _busy(cell: Cell, progress: Progress) -> tuple[RenderableType, ...]:
    if progress.state == "evaluating":
        return cell.label, "evaluating", "", ""
    bar = ProgressBar(total=1.0, completed=progress.share, width=24)
    steps = f"{progress.step:,}/{progress.steps:,}" if progress.steps else "starting"
    return cell.label, bar, steps, ""


def counts_text(counts: dict[str, int]) -> Text:
    """``3 running · 12 done``; states without a cell are left out."""
    line = Text()
    for state in STATES:
        if counts[state]:
            line.append(" · " if line else "")
            line.append(f"{counts[state]} {state}", style=COLOURS.get(state, ""))
    return line


def _to_go(picture: Picture) -> str:
    seconds = picture.seconds_to_go
    if seconds is None or seconds < 1:
        return ""
    return f", {duration(seconds)} to go"


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def status_table(picture: Picture) -> Table:
    """Every cell with its state, for ``suite status``."""
    suite = picture.plan.suite
    found = Table(
        title=f"{suite.name}: {suite.question}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    for heading in ("run", "state", "step", "what", "reason"):
        found.add_column(heading, overflow="fold", no_wrap=heading in ("run", "state", "step"))
    for cell in picture.plan.cells:
        progress = picture.progress[cell.key]
        steps = f"{progress.step:,}/{progress.steps:,}" if progress.steps else ""
        state = Text(progress.state, style=COLOURS.get(progress.state, ""))
        found.add_row(cell.run.id, state, steps, escape(cell.label), escape(progress.reason))
    return found
