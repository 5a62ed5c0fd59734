"""Engines that render: processes of this machine, or a Ray cluster.

A part depends only on the dataset's settings and the task, so every engine makes the same file.
"""

import multiprocessing
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from multiprocessing import connection, get_context
from typing import Any, ClassVar

from slotbench import plugins, registry
from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Batch
from slotbench.datasets.prepare.parts import Made, Task
from slotbench.errors import SlotbenchError, UserError

Settings = tuple[str, str, int, int]
"""Name, variant, image size and seed of a dataset."""
Submit = Callable[[Task], Future[Batch]]
AGAIN = "Type the same command again: it goes on where it stopped."


def cores() -> int:
    """Cores that this process may use; a container may have fewer than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Engine(ABC):
    """Renders parts, in any order."""

    name: ClassVar[str]

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self.workers, self.address = workers, address

    @abstractmethod
    @contextmanager
    def pool(self, settings: Settings) -> Iterator[tuple[Submit, int]]:
        """A function that begins a task, and how many tasks may run at a time.

        The pool's errors become :class:`SlotbenchError`. Tasks that still run at the end are ended.
        """

    def render_all(self, settings: Settings, tasks: list[Task]) -> Made:
        """Each task with its batch as it finishes.

        :class:`SlotbenchError` where a process dies; the dataset's own errors pass through.
        """
        queue, running = iter(tasks), dict[Future[Batch], Task]()
        if not tasks:
            return
        with self.pool(settings) as (submit, most):
            while True:
                # Few at a time: finished parts wait in memory.
                for task in islice(queue, most - len(running)):
                    running[submit(task)] = task
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()


class Local(Engine):
    """Processes of this machine; by default one a core. Each renders with one thread."""

    name = "local"

    @contextmanager
    def pool(self, settings: Settings) -> Iterator[tuple[Submit, int]]:
        workers = self.workers or cores()
        pool = ProcessPoolExecutor(workers, get_context("spawn"), begin)
        try:
            yield lambda task: pool.submit(render, settings, *task), 2 * workers
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

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        super().__init__(workers, address or os.environ.get("RAY_ADDRESS"))
        self.ray = registry.optional("ray", "The engine 'ray'", "ray")

    @contextmanager
    def pool(self, settings: Settings) -> Iterator[tuple[Submit, int]]:
        ray, running = self.ray, set[Any]()
        begun = not ray.is_initialized()
        if begun:
            connect(ray, self.address, self.workers or cores())
        workers = self.workers or int(ray.cluster_resources().get("CPU", 1))
        remote = ray.remote(render_with).options(num_cpus=1)
        plugin_files = os.environ.get(plugins.VARIABLE, "")

        def submit(task: Task) -> Future[Batch]:
            reference = remote.remote(plugin_files, settings, *task)
            running.add(reference)
            future: Future[Batch] = reference.future()
            future.add_done_callback(lambda _: running.discard(reference))
            return future

        try:
            # A cluster runs all tasks at once, so the number of workers limits the tasks.
            yield submit, self.workers if self.workers and self.address else 2 * workers
        except ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except ray.exceptions.RayError as error:
            raise SlotbenchError(
                f"Ray lost a part that was being rendered ({type(error).__name__}).", AGAIN
            ) from error
        finally:
            for reference in list(running):
                with suppress(ray.exceptions.RayError, RuntimeError):
                    ray.cancel(reference, force=True)
            if begun:
                ray.shutdown()


def connect(ray: Any, address: str | None, cpus: int) -> None:
    """Connects to the Ray cluster at an address, or starts one that only this machine reaches."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = dict.fromkeys(("include_dashboard", "log_to_driver", "configure_logging"), False)
    own = {} if address else {"num_cpus": cpus, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address=address or "local", **quiet, **own)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        if not address:
            raise SlotbenchError(f"Ray does not start on this machine: {error}.") from error
        raise UserError(
            f"--address {address}: no Ray cluster answers ({error}).",
            "Type: ray start --head, or leave --address out.",
        ) from error


def begin() -> None:
    """Called once in each rendering process, which then ends with its parent."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def render(settings: Settings, split: str, start: int, stop: int) -> Batch:
    """Rows of a dataset."""
    try:
        return built(*settings).render(split, start, stop)
    except BaseException as error:
        # The caller's process does not see the frames of this one.
        if (known := plugins.blamed(error)) is None:
            raise
        raise known from None


def render_with(plugin_files: str, settings: Settings, *task: Any) -> Batch:
    """:func:`render` in a process that does not inherit the caller's plugins."""
    os.environ[plugins.VARIABLE] = plugin_files
    return render(settings, *task)


@lru_cache(1)
def built(name: str, variant: str, image_size: int, seed: int) -> Dataset:
    """The dataset, plugins included; kept for the next call."""
    plugins.load_all()
    dataset: Dataset = registry.get("datasets", name).load()(variant, image_size, seed)
    return dataset


def _leave_with_parent() -> None:
    # After `kill -9` of its parent, a worker would wait for work forever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Local, Ray)}


def engine_of(name: str, workers: int | None, address: str | None) -> Engine:
    """The engine of that name; :class:`UserError` where it cannot be had or has no address."""
    if name not in ENGINES:
        raise registry.unknown("engine", name, tuple(ENGINES))
    if name == "local" and address is not None:
        raise UserError("--address: the engine 'local' runs only on this machine.")
    return ENGINES[name](workers, address)
