"""Drives a suite: gives its cells to an engine until all have ended."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from slotbench.suites.clock import Clock
from slotbench.suites.engines import Ended, Engine, Task
from slotbench.suites.plan import Cell, Plan
from slotbench.suites.state import AT_WORK, STATES, TO_DO, Journal, Progress
from slotbench.training.signals import asked

TICK = 0.5
LOOK = 10.0
"""Seconds between two readings of the cells of other drivers."""
ATTEMPTS = 3
"""Most starts of a cell that is stopped from outside each time."""


@dataclass(frozen=True)
class Picture:
    """The state of a suite at one moment."""

    plan: Plan
    progress: dict[str, Progress]
    seconds_to_go: float | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many cells are in each state."""
        found = Counter(progress.state for progress in self.progress.values())
        return {state: found[state] for state in STATES}

    def cells(self, *states: str) -> list[tuple[Cell, Progress]]:
        """The cells in these states, with their progress."""
        found = [(cell, self.progress[cell.key]) for cell in self.plan.cells]
        return [(cell, progress) for cell, progress in found if progress.state in states]


def look(plan: Plan) -> Picture:
    """The state of every cell, read from the run directories."""
    return Picture(plan, {cell.key: cell.progress() for cell in plan.cells})


class Driver:
    """Gives cells to an engine and records how they end."""

    def __init__(
        self, plan: Plan, engine: Engine, journal: Journal, *, retry: bool = False
    ) -> None:
        self.plan, self.engine, self.journal = plan, engine, journal
        self.by_key = {cell.key: cell for cell in plan.cells}
        self.progress = look(plan).progress
        self.again = {
            key for key, progress in self.progress.items() if retry and progress.state == "failed"
        }
        """Failed cells to run again."""
        self.given: set[str] = set()
        self.lost: dict[str, str] = {}
        """Failures that could not be written to the run, such as on a full disk."""
        self.attempts: Counter[str] = Counter()
        self.clock = Clock()
        self._looked = time.monotonic()
        self.stopped = ""
        """Why :meth:`run` stopped early: a signal's name, or ``cancel``."""

    def run(self, show: Callable[[Picture], None]) -> Picture:
        """Run until all cells have ended, or until a signal or a cancel, which stops no task."""
        cancels = self.journal.cancels()
        self.adopt()
        while True:
            for ended in self.engine.poll():
                self._note(ended)
            self._refresh()
            self._submit()
            show(self.picture())
            if not self.given and not self._elsewhere() and not self._left():
                return self.picture()
            self.stopped = asked() or "cancel" * (self.journal.cancels() > cancels)
            if self.stopped:
                return self.picture()
            time.sleep(TICK)

    def stop(self) -> None:
        """Make all tasks save and end, and record how each ended."""
        self.engine.cancel()
        for ended in self.engine.poll():
            self._note(ended)
        self._refresh(everything=True)

    def picture(self) -> Picture:
        """The state of the suite now."""
        workers = self.engine.capacity
        busy = sum(progress.state in AT_WORK for progress in self.progress.values())
        to_go = self.clock.to_go(self.plan.cells, self.progress, workers or busy or 1)
        return Picture(self.plan, dict(self.progress), to_go)

    def adopt(self) -> None:
        """Take over the queued jobs of an earlier driver."""
        for key, handle in self.journal.open_handles(self.engine.name).items():
            cell = self.by_key.get(key)
            if cell is None or self.progress[key].state == "done":
                continue
            if self.engine.adopt(self._task(cell), handle):
                self.given.add(key)
            else:
                self.journal.write("withdraw", run=key)

    def _note(self, ended: Ended) -> None:
        self.given.discard(ended.run)
        cell = self.by_key[ended.run]
        now = cell.progress()
        if ended.outcome == "failed" and now.state not in ("failed", "done", *AT_WORK):
            self.lost[ended.run] = ended.reason
        if ended.outcome == "elsewhere":  # it was not started
            self.attempts[ended.run] -= 1
        self.clock.ended(cell, counted=now.state == "done")
        self.journal.write("end", run=ended.run, outcome=ended.outcome, reason=ended.reason)
        self.progress[ended.run] = now

    def _refresh(self, *, everything: bool = False) -> None:
        """Read the states that may have changed; finished cells stay finished."""
        now = time.monotonic()
        everything |= now - self._looked >= LOOK
        for cell in self.plan.cells:
            before = self.progress[cell.key].state
            if before == "done" or not (everything or cell.key in self.given or before in AT_WORK):
                continue
            self.progress[cell.key] = self._seen(cell)
        if everything:
            self._looked = now

    def _seen(self, cell: Cell) -> Progress:
        found = cell.progress()
        if found.state not in TO_DO and found.state != "failed":
            self.lost.pop(cell.key, None)
        elif cell.key in self.lost:
            return replace(found, state="failed", reason=self.lost[cell.key])
        if cell.key in self.given and found.state not in (*AT_WORK, "done"):
            # The engine has it in its queue.
            return replace(found, state="waiting", reason="")
        return found

    def _may(self, key: str) -> bool:
        """Whether a cell may be given to the engine."""
        if key in self.given or key in self.lost or self.attempts[key] >= ATTEMPTS:
            return False
        state = self.progress[key].state
        return state in TO_DO or (state == "failed" and key in self.again)

    def _left(self) -> list[Cell]:
        return [cell for cell in self.plan.cells if self._may(cell.key)]

    def _elsewhere(self) -> bool:
        """Whether another process runs a cell, for which this driver waits."""
        return any(
            progress.state in AT_WORK and key not in self.given
            for key, progress in self.progress.items()
        )

    def _submit(self) -> None:
        capacity = self.engine.capacity
        free = len(self.plan.cells) if capacity is None else capacity - len(self.given)
        chosen: list[Cell] = []
        for cell in self._left():
            if len(chosen) >= free:
                break
            # Another suite may have started or ended it since the last look.
            self.progress[cell.key] = self._seen(cell)
            if self._may(cell.key):
                chosen.append(cell)
        for cell in chosen:
            self.again.discard(cell.key)
            self.attempts[cell.key] += 1
            self.clock.begun(cell, self.progress[cell.key])
        handles = self.engine.submit(list(map(self._task, chosen))) if chosen else []
        for cell, handle in zip(chosen, handles, strict=True):
            self.given.add(cell.key)
            self.journal.write("submit", run=cell.key, engine=self.engine.name, handle=handle)

    def _task(self, cell: Cell) -> Task:
        data_dir, device = self.plan.where.data_dir.absolute(), self.engine.settings.device
        return Task(cell.key, asdict(cell.choice), str(data_dir), device, cell.metrics)
