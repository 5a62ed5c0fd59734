"""The engine ``ray``: tasks on a Ray cluster, given or started on this machine.

Every node needs slotbench and the same folders of data and results.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from slotbench.datasets.prepare.workers import connect, cores
from slotbench.errors import SlotbenchError
from slotbench.registry import optional, register
from slotbench.suites import engines
from slotbench.suites.engines import Ended, Engine, Settings, Task
from slotbench.suites.process import CellProcess


@register("engines")
class Ray(Engine):
    """One Ray task for each cell, with its share of the CPUs, and a GPU if the device is one."""

    summary = "tasks on a Ray cluster, or on one started on this machine"
    source = "Moritz et al. 2017, arXiv 1712.05889"
    name = "ray"
    takes = ("address",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.ray = ray = optional("ray", "The engine 'ray'", self.name)
        connect(ray, settings.address, cores())
        self.capacity = settings.workers
        workers = settings.workers or cores()
        self.threads = 1 if settings.address else engines.threads_each(workers)
        there = ray.cluster_resources().get("GPU", 0) > 0
        gpu = settings.device == "cuda" or (settings.device == "auto" and there)
        self._task = ray.remote(carry_out).options(
            num_cpus=self.threads, num_gpus=int(gpu), max_retries=0
        )
        self._running: dict[Any, str] = {}
        """Ray's reference -> run."""

    def submit(self, tasks: Sequence[Task]) -> list[str]:
        handles = []
        for task in tasks:
            reference = self._task.remote(asdict(task), self.threads)
            self._running[reference] = task.run
            handles.append(str(reference.hex()))
        return handles

    def poll(self) -> list[Ended]:
        if not self._running:
            return []
        waiting = list(self._running)
        ready, _ = self.ray.wait(waiting, num_returns=len(waiting), timeout=0)
        return [self._ended(reference) for reference in ready]

    def _ended(self, reference: Any) -> Ended:
        run, known = self._running.pop(reference), self.ray.exceptions
        try:
            return Ended(*self.ray.get(reference))
        except known.TaskCancelledError:
            return Ended(run, "stopped", "cancelled")
        except known.OutOfMemoryError:
            return Ended(run, "failed", "killed by Ray: the node ran out of memory")
        except (known.WorkerCrashedError, known.NodeDiedError, known.ObjectLostError) as error:
            return Ended(
                run, "stopped", f"Ray lost the process that ran it ({type(error).__name__})"
            )
        except known.RayError as error:
            if not self.ray.is_initialized():
                raise SlotbenchError(
                    "Ray has stopped.", "Run the suite again; its finished runs are kept."
                ) from error
            return Ended(run, "stopped", f"Ray: {type(error).__name__}")

    def cancel(self) -> None:
        for reference in self._running:
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.cancel(reference, force=False)
        if self._running:
            self.ray.wait(list(self._running), num_returns=len(self._running), timeout=90)

    def close(self) -> None:
        super().close()
        self.ray.shutdown()


def carry_out(task: dict[str, Any], threads: int) -> tuple[str, str, str]:
    """Run a cell's process in a Ray worker until it ends; returns (run, outcome, reason)."""
    ended = CellProcess(Task(**task), engines.environment(threads)).wait()
    return ended.run, ended.outcome, ended.reason
