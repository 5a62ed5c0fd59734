"""The loader: the images of a step are a function of (seed, step), whatever the memory.

The order of an epoch: blocks of 256 neighbouring images are shuffled; 32 blocks in that order
form a window of 8,192 images; the images of a window are shuffled among themselves. A dataset
of one window is thus wholly shuffled. The order is the same whether the images lie in memory
or are read from the file a window at a time, so that a run does not depend on the machine.
"""

import os
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from slotbench.datasets.schema import Array, Batch, DatasetFile
from slotbench.errors import UserError
from slotbench.rng import numpy_generator

BLOCK, WINDOW = 256, 32


class Loader:
    """Batches of ``batch_size`` images of a split, of the arrays named by ``keys``.

    Without a ``memory_budget`` (bytes) a quarter of the free memory may be used. Raises
    :class:`UserError` where the split has fewer images than a batch.
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
    ) -> None:
        self.dataset, self.split, self.batch_size, self.seed = dataset, split, batch_size, seed
        self.keys = keys
        self.size = dataset.size(split)
        if self.size < batch_size:
            raise UserError(
                f"train.batch_size={batch_size}: {dataset.path} has only {self.size} images in "
                f"{split!r}.",
                f"Type: --set train.batch_size={self.size}, or prepare more images.",
            )
        self.batches_per_epoch = self.size // batch_size
        budget = _free_memory() // 4 if memory_budget is None else memory_budget
        self.in_memory = self._bytes() <= budget
        self._all = dataset.read(split, keys=keys) if self.in_memory else None
        # Two windows, because a batch may lie across the border between them.
        self._window: Callable[[int, int], Batch] = lru_cache(2)(self._read_window)

    def _bytes(self) -> int:
        arrays = self.dataset.layout.arrays()
        each = sum(int(np.prod(arrays[key][0])) * arrays[key][1].itemsize for key in self.keys)
        return each * self.size

    def order(self, epoch: int) -> Array:
        """The indices of all images in the order of an epoch, int64 (n,)."""
        return self._order(epoch)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0; an epoch's remainder that fills none is dropped."""
        epoch, index = divmod(step, self.batches_per_epoch)
        places = np.arange(index * self.batch_size, (index + 1) * self.batch_size)
        if self._all is not None:
            chosen = self._order(epoch)[places]
            return {key: array[chosen] for key, array in self._all.items()}
        pieces = [
            {
                key: array[places[inside] - start]
                for key, array in self._window(epoch, start).items()
            }
            for start in sorted({self._start(epoch, place) for place in places})
            for inside in [np.array([self._start(epoch, place) == start for place in places])]
        ]
        return {key: np.concatenate([piece[key] for piece in pieces]) for key in self.keys}

    def _start(self, epoch: int, place: "int | np.int64") -> int:
        """Where the window begins that holds a place of the epoch's order."""
        starts = self._plan(epoch)[1]
        return int(starts[np.searchsorted(starts, place, side="right") - 1])

    def _plan(self, epoch: int) -> tuple[list[Array], Array]:
        return _plan(self.size, self.seed, epoch)

    def _order(self, epoch: int) -> Array:
        return np.concatenate(self._plan(epoch)[0])

    def _read_window(self, epoch: int, start: int) -> Batch:
        """The images of a window in the epoch's order, read block by block."""
        windows, starts = self._plan(epoch)
        wanted = windows[int(np.searchsorted(starts, start))]
        blocks = np.unique(wanted // BLOCK)
        read = [
            self.dataset.read(self.split, b * BLOCK, (b + 1) * BLOCK, self.keys) for b in blocks
        ]
        held = np.concatenate(
            [np.arange(b * BLOCK, min((b + 1) * BLOCK, self.size)) for b in blocks]
        )
        rows = np.searchsorted(held, wanted)
        return {key: np.concatenate([part[key] for part in read])[rows] for key in self.keys}


@lru_cache(8)
def _plan(size: int, seed: int, epoch: int) -> tuple[list[Array], Array]:
    """The windows of an epoch, each the indices of its images in order, and where each begins."""
    blocks = -(-size // BLOCK)
    shuffled = numpy_generator(seed, "order", epoch).permutation(blocks)
    windows = []
    for number, first in enumerate(range(0, blocks, WINDOW)):
        indices = np.concatenate(
            [
                np.arange(b * BLOCK, min((b + 1) * BLOCK, size))
                for b in shuffled[first : first + WINDOW]
            ]
        )
        windows.append(numpy_generator(seed, "order", epoch, number).permutation(indices))
    return windows, np.cumsum([0, *(len(window) for window in windows[:-1])])


def images_on(batch: Batch, device: torch.device) -> Tensor:
    """The images of a batch as float32 (B, 3, H, W) in [0, 1] on a device."""
    pixels = torch.from_numpy(batch["image"])
    if device.type == "cuda":
        pixels = pixels.pin_memory()
    # Bytes travel, and become numbers there: a quarter of the transfer.
    return pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
