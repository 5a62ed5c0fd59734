"""Engines that render: processes of this machine, or a Ray cluster.

A part depends only on the dataset's settings, the split and its first and last image, so every
engine makes the same file.
"""

import contextlib
import importlib
import multiprocessing
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import connection, get_context
from typing import Any, ClassVar

from slotbench import plugins, registry
from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Batch
from slotbench.datasets.prepare.parts import Task, Tasks
from slotbench.errors import SlotbenchError, UserError

Settings = tuple[str, str, int, int]
"""Name, variant, image size and seed of a dataset."""
AGAIN = "Type the same command again: it goes on where it stopped."


class Engine(ABC):
    """Renders parts, in any order."""

    name: ClassVar[str]
    takes_address: ClassVar[bool] = False

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self.workers, self.address = workers, address
        if address is not None and not self.takes_address:
            raise UserError(f"--address: the engine {self.name!r} runs on this machine alone.")

    @abstractmethod
    def render_all(self, settings: Settings, tasks: Tasks) -> Iterator[tuple[str, Batch]]:
        """(name, batch) of each task as it finishes.

        :class:`SlotbenchError` where a process dies; errors of the dataset are passed on.
        """


class Local(Engine):
    """Processes of this machine; by default one a core."""

    name = "local"

    def render_all(self, settings: Settings, tasks: Tasks) -> Iterator[tuple[str, Batch]]:
        if not tasks:
            return
        # A process each, so that no thread is shared.
        workers = min(self.workers or os.cpu_count() or 1, len(tasks))
        pool = ProcessPoolExecutor(workers, get_context("spawn"), begin, settings)
        try:
            yield from _as_finished(
                tasks,
                2 * workers,
                {},
                submit=lambda task: pool.submit(render, *task),
                first=lambda running: wait(running, return_when=FIRST_COMPLETED).done,
                result=lambda future: future.result(),
            )
        except BrokenProcessPool as error:
            raise SlotbenchError(
                "A rendering process was killed, perhaps for lack of memory.",
                f"{AGAIN} --workers 1 needs least.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Ray(Engine):
    """Tasks of one CPU each on a Ray cluster; without an address, one is started here.

    Every node needs this slotbench, and plugins at the same paths. Only this process writes files.
    """

    name = "ray"
    takes_address = True

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        super().__init__(workers, address or os.environ.get("RAY_ADDRESS"))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise UserError(
                "The engine 'ray' needs the package ray.", "Type: pip install 'slotbench[ray]'"
            ) from error

    def render_all(self, settings: Settings, tasks: Tasks) -> Iterator[tuple[str, Batch]]:
        if not tasks:
            return
        ray, running = self.ray, dict[Any, str]()
        begun = not ray.is_initialized()
        if begun:
            self._begin()
        workers = self.workers or int(ray.cluster_resources().get("CPU", 1))
        task_of = ray.remote(render_of).options(num_cpus=1)
        plugin_files = os.environ.get(plugins.VARIABLE, "")
        # A cluster runs all tasks at once, so the number of workers limits the tasks.
        most = self.workers if self.workers and self.address else 2 * workers
        try:
            yield from _as_finished(
                tasks,
                most,
                running,
                submit=lambda task: task_of.remote(settings, plugin_files, *task),
                first=lambda references: ray.wait(references, num_returns=1)[0],
                result=self._result,
            )
        finally:
            for reference in running:
                with contextlib.suppress(ray.exceptions.RayError, RuntimeError):
                    ray.cancel(reference, force=True)
            if begun:
                ray.shutdown()

    def _begin(self) -> None:
        quiet = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
        try:
            if self.address:
                self.ray.init(address=self.address, **quiet)
            else:
                cores = self.workers or os.cpu_count()
                self.ray.init("local", num_cpus=cores, _node_ip_address="127.0.0.1", **quiet)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            if not self.address:
                raise SlotbenchError(f"Ray does not start on this machine: {error}.") from error
            raise UserError(
                f"--address {self.address}: no Ray cluster answers ({error}).",
                "Type: ray start --head, or leave --address out.",
            ) from error

    def _result(self, reference: Any) -> Batch:
        try:
            batch: Batch = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, Exception) else error) from error
        except self.ray.exceptions.RayError as error:
            raise SlotbenchError(
                f"Ray lost a part that was being rendered ({type(error).__name__}).", AGAIN
            ) from error
        return batch


def _as_finished(
    tasks: Tasks,
    most: int,
    running: dict[Any, str],
    *,
    submit: Callable[[Task], Any],
    first: Callable[[list[Any]], Any],
    result: Callable[[Any], Batch],
) -> Iterator[tuple[str, Batch]]:
    """Submit at most ``most`` tasks at a time, so that few finished parts are in memory.

    ``running`` holds the handles of the submitted ones.
    """
    queue = iter(tasks.items())
    while True:
        while len(running) < most and (item := next(queue, None)) is not None:
            running[submit(item[1])] = item[0]
        if not running:
            return
        for handle in first(list(running)):
            yield running.pop(handle), result(handle)


_dataset: Dataset | None = None


def begin(name: str, variant: str, image_size: int, seed: int) -> None:
    """Called once in each rendering process, which ends with its parent, however that ends."""
    global _dataset
    _dataset = built(name, variant, image_size, seed)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def render(split: str, start: int, stop: int) -> Batch:
    """Rows of the dataset of :func:`begin`."""
    assert _dataset is not None
    return _dataset.render(split, start, stop)


def render_of(settings: Settings, plugin_files: str, split: str, start: int, stop: int) -> Batch:
    """Rows of any dataset, for processes that serve several; loads the caller's plugins."""
    if plugin_files:
        os.environ[plugins.VARIABLE] = plugin_files
    return built(*settings).render(split, start, stop)


@lru_cache(1)
def built(name: str, variant: str, image_size: int, seed: int) -> Dataset:
    """The dataset, plugins included; kept for the next call."""
    plugins.load_all()
    dataset: Dataset = registry.get("datasets", name).load()(variant, image_size, seed)
    return dataset


def _leave_with_parent() -> None:
    # Without this a worker would wait for work forever after `kill -9` of its parent.
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Local, Ray)}


def engine_of(name: str, workers: int | None, address: str | None) -> Engine:
    """The engine of that name; :class:`UserError` where it or its package is missing."""
    if name not in ENGINES:
        raise registry.unknown("engine", name, tuple(ENGINES))
    return ENGINES[name](workers, address)
