"""Batches of training images. They depend on (seed, step) alone, not on the machine's memory.

Each epoch shuffles blocks of 256 neighbouring images, then the images in each window of 32 blocks
(8,192 images). A dataset of one window is shuffled completely. The order is the same whether the
images are in memory or are read from the file block by block.

With several frames, the loader shuffles clips: a block holds clips of 256 frames in all, and the
first frame of each clip is drawn from (seed, step).
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
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
        self.size = checked_size(dataset, split, batch_size, frames)
        self.block = BLOCK if frames == 1 else max(1, BLOCK // dataset.layout.row_images)
        self.batches_per_epoch = self.size // batch_size
        budget = available_memory() // 4 if memory_budget is None else memory_budget
        layout = dataset.layout if frames > 1 else replace(dataset.layout, frames=None)
        known = layout.stored(features=True)
        specs = {key: known[key] for key in keys}
        each = sum(math.prod(shape) * dtype.itemsize for shape, dtype in specs.values())
        self.bytes = each * self.size
        self.in_memory = self.bytes <= budget
        self.held = self._read_all(specs, progress) if self.in_memory else None
        """The whole split, where it is in memory."""
        # The blocks of two windows, because a batch may lie across the border between them.
        self._kept: Callable[[int], Batch] = lru_cache(2 * WINDOW)(self._block)

    def order(self, epoch: int) -> Array:
        """The indices of all images (or clips) in the order of an epoch, int64 (n,), read-only."""
        return _order(self.size, self.seed, epoch, self.block)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0; an epoch drops its last, incomplete batch."""
        rows, *frames = self.places(step)
        if self.held is not None:
            return {key: array[rows, *frames] for key, array in self.held.items()}
        blocks, pieces = rows.ravel() // self.block, list[Batch]()
        for block in np.unique(blocks).tolist():
            here = blocks == block
            index = rows[here] - block * self.block, *(frame[here] for frame in frames)
            pieces.append({key: array[index] for key, array in self._kept(block).items()})
        back = np.argsort(np.argsort(blocks, kind="stable"))
        return {key: np.concatenate([piece[key] for piece in pieces])[back] for key in self.keys}

    def places(self, step: int) -> tuple[Array, ...]:
        """The index into ``held`` of a step's batch: images int64 (B,), or clips and frames."""
        epoch, place = divmod(step, self.batches_per_epoch)
        rows = self.order(epoch)[place * self.batch_size :][: self.batch_size]
        if self.frames == 1:
            return (rows,)
        last = self.dataset.layout.row_images - self.frames
        first = numpy_generator(self.seed, "frames", step).integers(last + 1, size=len(rows))
        return rows[:, None], first[:, None] + np.arange(self.frames)

    def _block(self, number: int) -> Batch:
        read = self.dataset.read if self.frames == 1 else self.dataset.read_rows
        return read(self.split, number * self.block, (number + 1) * self.block, self.keys)

    def _read_all(self, specs: dict[str, ArraySpec], progress: Progress | None) -> Batch:
        held = {key: np.empty((self.size, *shape), dtype) for key, (shape, dtype) in specs.items()}
        for number, start in enumerate(range(0, self.size, self.block)):
            stop = min(start + self.block, self.size)
            for key, array in self._block(number).items():
                held[key][start:stop] = array
            if progress is not None:
                progress(stop, self.size)
        return held


@lru_cache(8)
def _order(size: int, seed: int, epoch: int, block: int) -> Array:
    """An epoch's order, int64 (n,)."""
    blocks = -(-size // block)
    shuffled = numpy_generator(seed, "order", epoch).permutation(blocks)
    windows = []
    for number, first in enumerate(range(0, blocks, WINDOW)):
        begins = block * shuffled[first : first + WINDOW]
        indices = np.concatenate([np.arange(at, min(at + block, size)) for at in begins])
        windows.append(numpy_generator(seed, "order", epoch, number).permutation(indices))
    order = np.concatenate(windows)
    order.setflags(write=False)  # cached and shared
    return order


def checked_size(dataset: DatasetFile, split: str, batch_size: int, frames: int) -> int:
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
    for line in os.fsdecode(GROUPS.read_bytes()).splitlines() if GROUPS.is_file() else ():
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
