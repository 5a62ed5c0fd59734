"""Progress on stderr: what runs, how fast, how long it will take. Results go to stdout."""

from collections.abc import Iterator
from contextlib import contextmanager
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

errors = Console(stderr=True, highlight=False)
"""Everything that is not a result is printed here."""


class Bar:
    """A progress bar; ``detail`` is free text at its end, such as a rate or a loss."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def set(self, completed: float, total: float | None = None, detail: str = "") -> None:
        fields: dict[str, Any] = {} if total is None else {"total": total}
        self._progress.update(self._task, completed=completed, detail=detail, **fields)

    def __call__(self, completed: float, total: float) -> None:
        """For code that reports (done, of how many)."""
        self.set(completed, total)


@contextmanager
def bar(description: str, total: float | None = None, *, count: bool = True) -> Iterator[Bar]:
    """A bar with elapsed time and time to go; where stderr is no terminal, one line at the end."""
    counted = [MofNCompleteColumn()] if count else [TextColumn("{task.percentage:>3.0f} %")]
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        *counted,
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TextColumn("to go"),
        TimeRemainingColumn(),
        console=errors,
    ) as progress:
        yield Bar(progress, progress.add_task(description, total=total, detail=""))


def say(text: str) -> None:
    """A line for the user that is no result."""
    errors.print(text)
