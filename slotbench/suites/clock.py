"""Estimates how long a suite still takes, from how long its cells took."""

import time
from collections.abc import Mapping, Sequence
from statistics import mean

from slotbench.suites.plan import Cell
from slotbench.suites.state import AT_WORK, TO_DO, Progress

WORTH = 0.02
"""Least share of a cell that must be done before its duration is extrapolated."""


class Clock:
    """Times cells by the monotonic clock, which does not jump."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[float, float]] = {}
        """Cell -> (when, share that was done then)."""
        self._took: dict[str, list[float]] = {}
        """Kind of cell -> seconds that whole cells took."""

    def begun(self, cell: Cell, progress: Progress) -> None:
        """A cell was started."""
        self._begun[cell.key] = time.monotonic(), progress.share

    def ended(self, cell: Cell, *, counted: bool) -> None:
        """A cell has ended."""
        when, share = self._begun.pop(cell.key, (0.0, 1.0))
        # A cell that was nearly done when it began says little.
        if counted and share < 0.5:
            seconds = (time.monotonic() - when) / (1 - share)
            self._took.setdefault(_kind(cell), []).append(seconds)

    def to_go(
        self, cells: Sequence[Cell], progress: Mapping[str, Progress], workers: int
    ) -> float | None:
        """Seconds until all cells are done; None while there is no estimate."""
        estimates = {kind: mean(times) for kind, times in self._took.items()}
        for cell in cells:
            seconds = self._whole(cell, progress[cell.key])
            if seconds is not None:
                estimates.setdefault(_kind(cell), seconds)
        if not estimates:
            return None
        usual, left, longest = mean(estimates.values()), 0.0, 0.0
        for cell in cells:
            found = progress[cell.key]
            if found.state not in (*AT_WORK, *TO_DO):
                continue
            seconds = estimates.get(_kind(cell), usual) * (1 - found.share)
            left, longest = left + seconds, max(longest, seconds)
        return max(longest, left / max(1, workers))

    def _whole(self, cell: Cell, progress: Progress) -> float | None:
        """Seconds that a running cell takes as a whole, from how far it has come."""
        if cell.key not in self._begun or progress.state != "running":
            return None
        when, share = self._begun[cell.key]
        done = progress.share - share
        return (time.monotonic() - when) / done if done >= WORTH else None


def _kind(cell: Cell) -> str:
    """The cell's values without its seed: such cells take equally long."""
    return str({key: value for key, value in cell.values.items() if key != "seed"})
