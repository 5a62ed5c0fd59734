"""The loader: the images of a step are a function of (seed, step), whatever the memory.

The order of an epoch: blocks of 256 neighbouring images are shuffled; 32 blocks in that order
form a window of 8,192 images; the images of a window are shuffled among themselves. A dataset
of one window is thus wholly shuffled. The order is the same whether the images lie in memory
or are read from the file a window at a time, so that a run does not depend on the machine.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slotbench.datasets.schema import Array, Batch, DatasetFile
from slotbench.errors import UserError
from slotbench.rng import numpy_generator

BLOCK, WINDOW = 256, 32
MEMINFO = Path("/proc/meminfo")

Progress = Callable[[int, int], None]
"""Called with (images read so far, images in all)."""


class Loader:
    """Batches of ``batch_size`` images of a split, of the arrays named by ``keys``.

    The whole split is read into memory, ``progress`` told of it, where it needs no more than
    ``memory_budget`` bytes (without one: a quarter of the available memory); else windows are
    read from the file as they come, and the last two kept. Raises :class:`UserError` where the
    split has fewer images than a batch, or, from ``batch`` too, where the file is damaged.
    """

    def __init__(
        self,
        dataset: DatasetFile,
        split: str,
        batch_size: int,
        seed: int,
        *,
        keys: tuple[str, ...] = ("image",),
        memory_budget: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.dataset, self.split, self.batch_size, self.seed = dataset, split, batch_size, seed
        self.keys = keys
        self.size = dataset.size(split)
        _check_batch_size(dataset, split, batch_size)
        self.batches_per_epoch = self.size // batch_size
        budget = _available_memory() // 4 if memory_budget is None else memory_budget
        self.in_memory = self._bytes() <= budget
        self._all = self._read_all(progress) if self.in_memory else None
        # Two windows, because a batch may lie across the border between them.
        self._window: Callable[[int, int], Batch] = lru_cache(2)(self._read_window)

    def _bytes(self) -> int:
        arrays = self.dataset.layout.arrays()
        each = sum(int(np.prod(arrays[key][0])) * arrays[key][1].itemsize for key in self.keys)
        return each * self.size

    def order(self, epoch: int) -> Array:
        """The indices of all images in the order of an epoch, int64 (n,), read-only."""
        return _plan(self.size, self.seed, epoch)[0]

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0; an epoch's remainder that fills none is dropped."""
        epoch, index = divmod(step, self.batches_per_epoch)
        order, starts = _plan(self.size, self.seed, epoch)
        first, end = index * self.batch_size, (index + 1) * self.batch_size
        if self._all is not None:
            return {key: array[order[first:end]] for key, array in self._all.items()}
        edges = [first, *starts[(starts > first) & (starts < end)].tolist(), end]
        pieces = []
        for low, high in pairwise(edges):
            number = int(np.searchsorted(starts, low, side="right")) - 1
            offset = int(starts[number])
            window = self._window(epoch, number)
            pieces.append({k: array[low - offset : high - offset] for k, array in window.items()})
        return {key: np.concatenate([piece[key] for piece in pieces]) for key in self.keys}

    def _empty(self, n: int) -> Batch:
        arrays = self.dataset.layout.arrays()
        return {key: np.empty((n, *arrays[key][0]), arrays[key][1]) for key in self.keys}

    def _read_all(self, progress: Progress | None) -> Batch:
        """The whole split in the order of the file."""
        held = self._empty(self.size)
        for start in range(0, self.size, BLOCK):
            stop = min(start + BLOCK, self.size)
            for key, array in self.dataset.read(self.split, start, stop, self.keys).items():
                held[key][start:stop] = array
            if progress is not None:
                progress(stop, self.size)
        return held

    def _read_window(self, epoch: int, number: int) -> Batch:
        """The images of a window in the epoch's order, read block by block."""
        order, starts = _plan(self.size, self.seed, epoch)
        wanted = order[slice(*[*starts, self.size][number : number + 2])]
        held = self._empty(len(wanted))
        # Sorted, the window's images lie as in its blocks; ``places`` says where each belongs.
        places, done = np.argsort(wanted), 0
        for block in np.unique(wanted // BLOCK):
            read = self.dataset.read(self.split, block * BLOCK, (block + 1) * BLOCK, self.keys)
            rows = places[done : done + len(read[self.keys[0]])]
            done += len(rows)
            for key, array in read.items():
                held[key][rows] = array
        return held


@lru_cache(8)
def _plan(size: int, seed: int, epoch: int) -> tuple[Array, Array]:
    """An epoch's order, int64 (n,), and the places in it where windows begin, int64 (windows,)."""
    blocks = -(-size // BLOCK)
    shuffled = numpy_generator(seed, "order", epoch).permutation(blocks)
    windows = []
    for number, first in enumerate(range(0, blocks, WINDOW)):
        begins = BLOCK * shuffled[first : first + WINDOW]
        indices = np.concatenate([np.arange(at, min(at + BLOCK, size)) for at in begins])
        windows.append(numpy_generator(seed, "order", epoch, number).permutation(indices))
    order = np.concatenate(windows)
    order.setflags(write=False)  # it is cached, and shared by all who ask
    return order, np.cumsum([0, *(len(window) for window in windows[:-1])])


def _check_batch_size(dataset: DatasetFile, split: str, batch_size: int) -> None:
    size = dataset.size(split)
    if size == 0:
        raise UserError(f"{dataset.path}: {split!r} holds no images.", "Prepare it with some.")
    if batch_size < 1:
        raise UserError(f"train.batch_size={batch_size}: expected 1 or above.")
    if size < batch_size:
        raise UserError(
            f"train.batch_size={batch_size}: {dataset.path} has only {size} images in {split!r}.",
            f"Type: --set train.batch_size={size}, or prepare more images.",
        )


def images_on(batch: Batch, device: torch.device) -> Tensor:
    """The images of a batch as float32 (B, 3, H, W) in [0, 1] on a device.

    In memory the channels are last, as in the file: no copy is made for their sake.
    """
    pixels = torch.from_numpy(batch["image"])
    if device.type == "cuda":
        pixels = pixels.pin_memory()
    # Bytes travel, and become numbers there: a quarter of the transfer.
    return pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)


def _available_memory() -> int:
    """Bytes that can be had without swapping; what caches hold counts, as they give way."""
    if MEMINFO.is_file():
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # macOS tells only how much there is in all: half of it is taken to be in use.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
