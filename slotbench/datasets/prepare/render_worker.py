"""The work of a rendering process. It ends with its parent, however that ends."""

import multiprocessing
import os
import threading
from functools import lru_cache
from multiprocessing.connection import wait

from slotbench import plugins, registry
from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Batch

Settings = tuple[str, str, int, int]
"""Name, variant, image size and seed of a dataset."""

_dataset: Dataset | None = None


def begin(name: str, variant: str, image_size: int, seed: int) -> None:
    """Called once in each process: builds the dataset and watches the parent."""
    global _dataset
    _dataset = built(name, variant, image_size, seed)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def render(split: str, start: int, stop: int) -> Batch:
    assert _dataset is not None
    return _dataset.render(split, start, stop)


def render_of(settings: Settings, plugin_files: str, split: str, start: int, stop: int) -> Batch:
    """Rows of any dataset, for processes that serve several; loads the caller's plugins."""
    if plugin_files:
        os.environ[plugins.VARIABLE] = plugin_files
    return built(*settings).render(split, start, stop)


@lru_cache(1)
def built(name: str, variant: str, image_size: int, seed: int) -> Dataset:
    plugins.load_all()
    dataset: Dataset = registry.get("datasets", name).load()(variant, image_size, seed)
    return dataset


def _leave_with_parent() -> None:
    # Without this a worker would wait for work forever after `kill -9` of its parent.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
