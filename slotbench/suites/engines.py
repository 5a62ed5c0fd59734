"""What runs cells: an engine is given tasks, and says which have ended and how.

An engine decides nothing and remembers nothing: what is to be run comes from the driver, and
what came of it stands in the run directories.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from slotbench.errors import UserError
from slotbench.registry import unknown

Outcome = Literal["done", "failed", "stopped", "elsewhere"]
"""``stopped``: it was asked to, and goes on when it is run again; ``elsewhere``: another process
has the run in hand."""
MEMORY = 2 * 1024**3
"""What a cell is taken to need where nobody says how many are to run at once."""


@dataclass(frozen=True)
class Task:
    """One cell in plain values, so that it can travel."""

    run: str
    """The run's directory, absolute."""
    id: str
    choice: Mapping[str, Any]
    """The fields of :class:`slotbench.api.Choice`."""
    data_dir: str
    results_dir: str
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
    """What the user says about an engine."""

    workers: int | None
    """Cells at once; none: what the engine finds best."""
    device: str
    """As ``slotbench train`` takes it; ``auto`` is decided where a cell runs."""
    address: str | None
    """Of a cluster."""
    folder: Path
    """Where the engine may keep files of its own."""
    options: Mapping[str, str] = field(default_factory=dict)


class Engine(ABC):
    """Runs tasks, each in a process of its own."""

    name: ClassVar[str]
    detached: bool = False
    """Whether what was submitted goes on when the driver ends."""
    takes: ClassVar[tuple[str, ...] | None] = ()
    """The ``--option``s there are; None: any."""
    takes_address: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        if settings.address is not None and not self.takes_address:
            raise UserError(f"--address: the engine {self.name!r} runs on this machine alone.")
        for key in settings.options:
            if self.takes is not None and key not in self.takes:
                raise unknown(f"option of the engine {self.name!r}", key, self.takes)

    capacity: int | None
    """Tasks at once; None: the engine has a queue of its own."""

    @abstractmethod
    def submit(self, tasks: Sequence[Task]) -> list[str]:
        """Begin these tasks; returns a handle for each, by which :meth:`adopt` knows it."""

    def adopt(self, task: Task, handle: str) -> bool:
        """Take over what an earlier driver submitted; False where it is not there any more."""
        del task, handle
        return False

    @abstractmethod
    def poll(self) -> list[Ended]:
        """What has ended since the last call; does not wait."""

    @abstractmethod
    def cancel(self) -> None:
        """Have every task save and leave; returns when all have."""

    @abstractmethod
    def close(self) -> None:
        """Leave; what runs detached goes on."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_each(workers: int) -> int:
    return max(1, cores() // max(1, workers))


def environment(threads: int) -> dict[str, str]:
    """What a cell's process is told: how many threads, for every library that starts some."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {name: str(threads) for name in names}
