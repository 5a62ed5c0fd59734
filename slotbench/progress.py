"""Progress on stderr: what runs, how fast, how long it will take. Results go to stdout."""

import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

PAUSE = 30.0
"""Seconds between two lines of progress in a log."""
KNOWN = 0.03
"""The share of the work after which the time to go is shown; earlier estimates mislead."""
errors = Console(stderr=True, highlight=False)
"""Everything that is not a result is printed here."""

options: list[str] = []
"""Options that every command to type needs as this one did, such as ``--plugin FILE``."""


class Bar:
    """A progress bar; ``detail`` is free text at its end, such as a rate or a loss.

    Where stderr is no terminal, such as in a log, a line is printed every :data:`PAUSE` seconds.
    """

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._begun = self._said = time.monotonic()
        self._first: float | None = None

    def set(self, completed: float, total: float | None = None, detail: str = "") -> None:
        """Move the bar to ``completed``; ``total`` changes its length where it is given."""
        fields: dict[str, Any] = {} if total is None else {"total": total}
        with suppress(OSError):  # a full disk under stderr stops nothing
            self._progress.update(self._task, completed=completed, detail=detail, **fields)
        self._first = completed if self._first is None else self._first
        if not errors.is_terminal and time.monotonic() - self._said >= PAUSE:
            self._log(completed, detail)

    def __call__(self, completed: float, total: float) -> None:
        """For code that reports (done, of how many)."""
        self.set(completed, total)

    def _log(self, completed: float, detail: str) -> None:
        self._said = time.monotonic()
        task = self._progress.tasks[0]
        done, total = completed - (self._first or 0.0), task.total or 0.0
        left = math.nan
        if done > KNOWN * total:
            left = (self._said - self._begun) * (total - completed) / done
        togo = "" if math.isnan(left) else f", {timedelta(seconds=round(left))} to go"
        share = f"{completed / total:.0%}" if total else f"{completed:,.0f}"
        say(f"{task.description}: {share} {detail}".rstrip() + togo)


@contextmanager
def bar(description: str, total: float | None = None, *, count: bool = True) -> Iterator[Bar]:
    """A bar with elapsed time and time to go; where stderr is no terminal, one line at the end."""
    counted = [MofNCompleteColumn()] if count else [TextColumn("{task.percentage:>3.0f} %")]
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        *counted,
        TextColumn("{task.fields[detail]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
        TextColumn("to go"),
        console=errors,
        disable=total == 0,  # such as the training of the untrained core
    )
    with suppress(OSError):
        progress.start()
    task = progress.add_task(plain(description), total=total, detail="")
    failed = True
    try:
        yield Bar(progress, task)
        failed = False
    finally:
        with suppress(OSError):
            if failed and not progress.tasks[task].completed:
                # An error before anything was done needs no bar above it.
                progress.live.transient = True
                progress.live.stop()
            else:
                progress.stop()


def plain(text: str) -> str:
    """Text that others wrote, safe for a terminal: control characters become a question mark."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def counted(count: int, noun: str) -> str:
    """``1 thread``, ``1,024 threads``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def first_of(texts: Sequence[str], most: int) -> str:
    """``a, b, c and 2 more``: the first ``most`` texts, and how many follow."""
    left = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {left:,} more" if left > 0 else "")


def say(text: str) -> None:
    """Print a line that is no result. Nothing in it is read as markup.

    ``: slotbench COMMAND`` gets the :data:`options` of this process.
    """
    text = re.sub("(?<=: slotbench)(?= [a-z])", "".join(f" {word}" for word in options), text)
    with suppress(OSError):
        errors.print(Text(plain(text)), soft_wrap=True)


def warn(text: str) -> None:
    """Print a line that the user should not overlook."""
    with suppress(OSError):
        errors.print(Text("Warning: ", "yellow"), Text(plain(text)), sep="", soft_wrap=True)
