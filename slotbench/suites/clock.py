"""Estimates the remaining time of a suite from the times of its cells."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean

from slotbench.suites.plan import Cell
from slotbench.suites.state import AT_WORK, TO_DO, Progress

WORTH = 0.02
"""The least share of a cell from which its duration is extrapolated."""


class Clock:
    """Measures the times of a suite's cells."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[float, float]] = {}
        """Cell -> time of its start, and the share done before."""
        self._took: dict[str, list[float]] = defaultdict(list)
        """Kind of cell -> seconds for each cell."""

    def begun(self, cell: Cell, progress: Progress) -> None:
        """A cell was started."""
        self._begun[cell.key] = time.monotonic(), progress.share

    def ended(self, cell: Cell, *, counted: bool) -> None:
        """A cell has ended."""
        when, share = self._begun.pop(cell.key, (0.0, 1.0))
        # The last part of a resumed cell gives a poor estimate.
        if counted and share < 0.5:
            self._took[_kind(cell)].append((time.monotonic() - when) / (1 - share))

    def to_go(
        self, cells: Sequence[Cell], progress: Mapping[str, Progress], workers: int
    ) -> float | None:
        """Seconds until all cells are done; None without an estimate."""
        estimates = {kind: mean(times) for kind, times in self._took.items()}
        for cell in cells:
            when, share = self._begun.get(cell.key, (0.0, 1.0))
            done = progress[cell.key].share - share
            if progress[cell.key].state == "running" and done >= WORTH:
                estimates.setdefault(_kind(cell), (time.monotonic() - when) / done)
        if not estimates:
            return None
        usual = mean(estimates.values())
        left = [
            estimates.get(_kind(cell), usual) * (1 - progress[cell.key].share)
            for cell in cells
            if progress[cell.key].state in (*AT_WORK, *TO_DO)
        ]
        return max(max(left, default=0.0), sum(left) / max(1, workers))


def _kind(cell: Cell) -> str:
    """The cell's values without its seed, which does not change its duration."""
    return str({key: value for key, value in cell.values.items() if key != "seed"})
