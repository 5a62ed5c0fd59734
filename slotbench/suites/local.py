"""The engine ``local``: one process for each cell on this machine."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from slotbench.datasets.prepare.workers import cores
from slotbench.files import reason_of
from slotbench.registry import register
from slotbench.results.run import Run
from slotbench.suites import engines
from slotbench.suites.engines import Ended, Engine, Settings, Task
from slotbench.suites.process import SAVE_SECONDS, CellProcess
from slotbench.suites.state import record_failure
from slotbench.training.devices import choose


@register("engines")
class Local(Engine):
    """Gives each process its share of the cores, and its own GPU if there are GPUs."""

    summary = "processes on this machine: a GPU each, else a share of the cores"
    source = "slotbench, docs/suites.md"
    name = "local"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.gpus = _gpus() if choose(settings.device).type == "cuda" else ()
        self.capacity: int = settings.workers or len(self.gpus) or processes()
        self.threads = engines.threads_each(self.capacity)
        self._running: dict[int, CellProcess] = {}
        """Place -> process; each place has one GPU."""
        self._not_begun: list[Ended] = []

    def submit(self, tasks: Sequence[Task]) -> list[str]:
        return [self._begin(task) for task in tasks]

    def _begin(self, task: Task) -> str:
        place = next(place for place in range(self.capacity) if place not in self._running)
        told = engines.environment(self.threads)
        if self.gpus:
            told["CUDA_VISIBLE_DEVICES"] = self.gpus[place % len(self.gpus)]
        try:
            self._running[place] = CellProcess(task, told)
        except OSError as error:
            reason = reason_of(error)
            record_failure(Run(Path(task.run)), reason)
            self._not_begun.append(Ended(task.run, "failed", reason))
            return ""
        return str(self._running[place].process.pid)

    def poll(self) -> list[Ended]:
        ended, self._not_begun = self._not_begun, []
        for place, process in list(self._running.items()):
            found = process.poll()
            if found is not None:
                del self._running[place]
                ended.append(found)
        return ended

    def cancel(self) -> None:
        for process in self._running.values():
            process.ask_to_stop()
        until = time.monotonic() + SAVE_SECONDS
        for process in self._running.values():
            process.stop(max(0.0, until - time.monotonic()))


def processes() -> int:
    """The number of processes for this machine: one for each core and 2 GiB of memory."""
    from slotbench.datasets.format.loader import available_memory

    return max(1, min(cores(), available_memory() // 2**31))


def _gpus() -> tuple[str, ...]:
    """The GPUs by their names in CUDA_VISIBLE_DEVICES."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named:
        return tuple(named.split(","))
    import torch

    return tuple(str(number) for number in range(torch.cuda.device_count()))
