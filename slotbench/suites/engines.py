"""Engines run cells: they take tasks, and report which tasks have ended and how.

The driver chooses the tasks. The run directories hold the results.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from slotbench.datasets.prepare.workers import cores
from slotbench.errors import UserError

Outcome = Literal["done", "failed", "stopped", "elsewhere"]
"""``stopped``: was asked to stop, and can continue; ``elsewhere``: another process holds it."""


@dataclass(frozen=True)
class Task:
    """One cell as plain values for another process."""

    run: str
    """The run's directory, absolute."""
    choice: Mapping[str, Any]
    """The fields of :class:`slotbench.config.resolve.Choice`."""
    data_dir: str
    device: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """How a task ended."""

    run: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Settings:
    """The user's options of an engine."""

    workers: int | None
    """Cells at once; None: the engine chooses."""
    device: str
    """A value of ``--device``; ``auto`` is resolved on the machine of the cell."""
    address: str | None
    """Address of a cluster."""
    folder: Path
    """Folder for the engine's own files."""
    options: Mapping[str, str] = field(default_factory=dict)


class Engine(ABC):
    """Runs each task in its own process."""

    name: ClassVar[str]
    detached: bool = False
    """Whether submitted tasks outlive the driver; an instance may differ."""
    takes: ClassVar[tuple[str, ...]] = ()
    """The options among ``address`` and ``option`` that it takes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        for option, value in (("address", settings.address), ("option", settings.options)):
            if value and option not in self.takes:
                raise UserError(f"--{option}: the engine {self.name!r} has no such option.")

    capacity: int | None
    """Tasks at once; None: the engine has its own queue."""

    @abstractmethod
    def submit(self, tasks: Sequence[Task]) -> list[str]:
        """Start these tasks; returns a handle of each for :meth:`adopt`."""

    def adopt(self, task: Task, handle: str) -> bool:
        """Take over a task of an earlier driver; False if it is gone."""
        del task, handle
        return False

    @abstractmethod
    def poll(self) -> list[Ended]:
        """The tasks that have ended since the last call; does not wait."""

    @abstractmethod
    def cancel(self) -> None:
        """Make every task save and end; returns when all have ended."""

    def close(self) -> None:
        """Release the engine; detached tasks continue, others save and end."""
        if not self.detached:
            self.cancel()


def threads_each(workers: int) -> int:
    """Threads of each cell if ``workers`` cells run at once."""
    return max(1, cores() // max(1, workers))


def environment(threads: int) -> dict[str, str]:
    """Environment variables that limit the threads of every library in a cell."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {name: str(threads) for name in names}
