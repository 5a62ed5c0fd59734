"""Batches of training images. They depend on (seed, step) alone, not on the machine's memory.

Each epoch shuffles blocks of 256 neighbouring images, then the images in each window of 32 blocks
(8,192 images). A dataset of one window is shuffled completely. The order is the same whether the
images are in memory or are read from the file a window at a time.

With several frames, the loader shuffles clips: a block holds clips of 256 frames in all, and the
first frame of each clip is drawn from (seed, step).
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Array, ArraySpec, Batch
from slotbench.errors import UserError
from slotbench.rng import numpy_generator, sent

BLOCK, WINDOW = 256, 32

Progress = Callable[[int, int], None]
"""Called with (images read so far, images in all); clips where several frames are asked for."""


class Loader:
    """Batches of ``batch_size`` images of a split, with the arrays named by ``keys``.

    With ``frames`` above 1, batches hold clips instead, ``frames`` consecutive frames of each:
    arrays (B, frames, ...).

    A split of at most ``memory_budget`` bytes (default: a quarter of the available memory) is read
    into memory, which ``progress`` reports. Of a larger split, the last two windows are kept.
    Raises :class:`UserError` where the split has fewer images than a batch, has too short clips or
    lacks an array; ``batch`` also where the file is damaged.
    """

    def __init__(
        self,
        dataset: DatasetFile,
        split: str,
        batch_size: int,
        seed: int,
        *,
        keys: tuple[str, ...] = ("image",),
        frames: int = 1,
        memory_budget: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.dataset, self.split, self.batch_size, self.seed = dataset, split, batch_size, seed
        self.keys, self.frames = keys, frames
        dataset.require(split, keys)
        self.size = _checked_size(dataset, split, batch_size, frames)
        self.block = BLOCK if frames == 1 else max(1, BLOCK // dataset.layout.row_images)
        self.batches_per_epoch = self.size // batch_size
        budget = available_memory() // 4 if memory_budget is None else memory_budget
        specs = self._specs().values()
        each = sum(math.prod(shape) * dtype.itemsize for shape, dtype in specs)
        self.bytes = each * self.size
        self.in_memory = self.bytes <= budget
        self.held = self._read_all(progress) if self.in_memory else None
        """The whole split, where it is in memory."""
        # Two windows, because a batch may lie across the border between them.
        self._window: Callable[[int, int], Batch] = lru_cache(2)(self._read_window)

    def _specs(self) -> dict[str, ArraySpec]:
        layout = self.dataset.layout
        layout = replace(layout, frames=None) if self.frames == 1 else layout
        known = layout.stored(features=True)
        return {key: known[key] for key in self.keys}

    def order(self, epoch: int) -> Array:
        """The indices of all images (or clips) in the order of an epoch, int64 (n,), read-only."""
        return _plan(self.size, self.seed, epoch, self.block)[0]

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0; an epoch drops its last, incomplete batch."""
        if self.held is not None:
            index = self.places(step)
            return {key: array[index] for key, array in self.held.items()}
        epoch, place = divmod(step, self.batches_per_epoch)
        _, starts = _plan(self.size, self.seed, epoch, self.block)
        first, end = place * self.batch_size, (place + 1) * self.batch_size
        offsets = self._offsets(step)
        edges = [first, *starts[(starts > first) & (starts < end)].tolist(), end]
        pieces = []
        for low, high in pairwise(edges):
            number = int(np.searchsorted(starts, low, side="right")) - 1
            places = np.arange(low, high) - int(starts[number])
            window = self._window(epoch, number)
            index = self._index(places, offsets[low - first : high - first])
            pieces.append({key: array[index] for key, array in window.items()})
        return {key: np.concatenate([piece[key] for piece in pieces]) for key in self.keys}

    def places(self, step: int) -> tuple[Array, ...]:
        """The index into ``held`` of a step's batch: images int64 (B,), or clips and frames."""
        epoch, place = divmod(step, self.batches_per_epoch)
        rows = self.order(epoch)[place * self.batch_size :][: self.batch_size]
        return self._index(rows, self._offsets(step))

    def _offsets(self, step: int) -> Array:
        """The first frame taken from each clip of a step, int64 (B,); 0 for single images."""
        if self.frames == 1:
            return np.zeros(self.batch_size, np.int64)
        last = self.dataset.layout.row_images - self.frames
        return numpy_generator(self.seed, "frames", step).integers(last + 1, size=self.batch_size)

    def _index(self, rows: Array, offsets: Array) -> tuple[Array, ...]:
        """The index of whole images, or of ``frames`` frames of each clip."""
        if self.frames == 1:
            return (rows,)
        return rows[:, None], offsets[:, None] + np.arange(self.frames)

    def _empty(self, n: int) -> Batch:
        return {key: np.empty((n, *shape), dtype) for key, (shape, dtype) in self._specs().items()}

    def _block(self, start: int) -> Batch:
        read = self.dataset.read if self.frames == 1 else self.dataset.read_rows
        return read(self.split, start, start + self.block, self.keys)

    def _read_all(self, progress: Progress | None) -> Batch:
        held = self._empty(self.size)
        for start in range(0, self.size, self.block):
            stop = min(start + self.block, self.size)
            for key, array in self._block(start).items():
                held[key][start:stop] = array
            if progress is not None:
                progress(stop, self.size)
        return held

    def _read_window(self, epoch: int, number: int) -> Batch:
        """The images (or clips) of a window in the epoch's order, read block by block."""
        order, starts = _plan(self.size, self.seed, epoch, self.block)
        wanted = order[slice(*[*starts, self.size][number : number + 2])]
        held = self._empty(len(wanted))
        # Blocks are read in the file's order; ``places`` are their images' places in the window.
        places, done = np.argsort(wanted), 0
        for block in np.unique(wanted // self.block):
            read = self._block(block * self.block)
            rows = places[done : done + len(read[self.keys[0]])]
            done += len(rows)
            for key, array in read.items():
                held[key][rows] = array
        return held


@lru_cache(8)
def _plan(size: int, seed: int, epoch: int, block: int) -> tuple[Array, Array]:
    """An epoch's order, int64 (n,), and where its windows begin, int64 (windows,)."""
    blocks = -(-size // block)
    shuffled = numpy_generator(seed, "order", epoch).permutation(blocks)
    windows = []
    for number, first in enumerate(range(0, blocks, WINDOW)):
        begins = block * shuffled[first : first + WINDOW]
        indices = np.concatenate([np.arange(at, min(at + block, size)) for at in begins])
        windows.append(numpy_generator(seed, "order", epoch, number).permutation(indices))
    order = np.concatenate(windows)
    order.setflags(write=False)  # cached and shared
    return order, np.cumsum([0, *(len(window) for window in windows[:-1])])


def _checked_size(dataset: DatasetFile, split: str, batch_size: int, frames: int) -> int:
    """The images (or clips) of a split; an error where they give no batch."""
    if frames > 1 and dataset.layout.frames is None:
        raise UserError(
            f"{dataset.path} holds images, not video: there are no {frames} frames to follow.",
            "Type: slotbench prepare multi-dsprites-video, then --dataset multi-dsprites-video",
        )
    if frames > dataset.layout.row_images:
        raise UserError(
            f"{dataset.path}: clips have {dataset.layout.frames} frames; {frames} are needed."
        )
    size = dataset.size(split) if frames == 1 else dataset.rows(split)
    what = "images" if frames == 1 else "clips"
    if size == 0:
        raise UserError(f"{dataset.path}: {split!r} holds no {what}.", "Prepare it with some.")
    if size < batch_size:
        raise UserError(
            f"train.batch_size={batch_size}: {dataset.path} has only {size} {what} in {split!r}.",
            f"Type: --set train.batch_size={size}, or prepare more {what}.",
        )
    return size


def as_floats(pixels: Tensor) -> Tensor:
    """Pixels uint8 (B, H, W, 3) as float32 (B, 3, H, W) in [0, 1].

    In memory the channels stay last, as in the file, which saves a copy.
    """
    return pixels.permute(0, 3, 1, 2).float().div_(255)


def images_on(batch: Batch, device: torch.device) -> Tensor:
    """The images of a batch as float32 (B, 3, H, W) in [0, 1] on a device."""
    # Converted to floats on the device: bytes need a quarter of the transfer.
    return as_floats(sent(torch.from_numpy(batch["image"]), device))


MEMINFO = Path("/proc/meminfo")
GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
NEW = ("memory.max", "memory.current", "inactive_file")
OLD = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
"""Files with the limit and the use of a control group, and the key of its file cache."""


def available_memory() -> int:
    """Bytes that can be used without swapping, those of file caches included.

    The limits of control groups (cgroups, version 1 or 2) count too: containers and batch systems
    give a process less than the machine has.
    """
    left = [_numbers(MEMINFO)["MemAvailable:"] * 1024] if MEMINFO.is_file() else []
    # macOS reports only the total: assume that half of it is in use.
    left = left or [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    for line in GROUPS.read_text().splitlines() if GROUPS.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            left += _left(MOUNT, path, *NEW)
        elif "memory" in controllers.split(","):
            left += _left(MOUNT / "memory", path, *OLD)
    return min(left)


def _left(mount: Path, path: str, limit: str, used: str, cache: str) -> Iterator[int]:
    """Bytes left under the limit of each group from ``path`` up to the mount."""
    # In a container the path may be the host's, and only the mount itself exists.
    inner = mount / path.lstrip("/")
    for group in (inner, *inner.parents):
        try:
            most, now = (int((group / name).read_text()) for name in (limit, used))
        except (OSError, ValueError):  # no such group, or no limit: "max"
            pass
        else:
            yield max(0, most - max(0, now - _numbers(group / "memory.stat").get(cache, 0)))
        if group == mount:
            return


def _numbers(path: Path) -> dict[str, int]:
    """The first number of each line ``name number ...``; empty where there is no such file."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if line}
