"""Chooses and names a run's device, and brings batches there."""

import ctypes
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from slotbench.datasets.format.loader import Loader
from slotbench.errors import UserError
from slotbench.progress import counted
from slotbench.rng import sent

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt(3)."""


def choose(name: str) -> torch.device:
    """``auto``: a GPU where there is one. :class:`UserError` where the device is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, found in there.items() if found), "cpu")
    if not there.get(name, True):
        raise UserError(f"--device {name}: this machine has none.", "Type: --device auto")
    if name == "cpu":
        keep_memory()
    return torch.device(name)


@cache
def keep_memory() -> None:
    """Have glibc keep this process's freed memory.

    Every step frees large tensors and allocates the same again. glibc returns them to the system,
    which clears and maps all pages anew; this can take as long as the arithmetic (docs/log.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def describe(device: torch.device) -> str:
    """A device's name in results: the GPU's name, or the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu, {counted(torch.get_num_threads(), 'thread')}"
    return device.type


def bfloat16(device: torch.device, precision: str) -> bool:
    """Whether ``train.precision`` means bfloat16: ``auto`` does on GPUs alone."""
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return precision == "bfloat16" or (precision == "auto" and on_gpu)


def check_processes(device: torch.device, processes: int) -> None:
    """:class:`UserError` where a machine cannot run so many processes on this device."""
    if processes < 1:
        raise UserError(f"--gpus {processes}: expected 1 or above.")
    if processes == 1 or device.type == "cpu":
        return
    there = torch.cuda.device_count() if device.type == "cuda" else 1
    if there < processes:
        raise UserError(
            f"--gpus {processes}: this machine has {there}.",
            "To try it without GPUs, add: --device cpu",
        )


class Feed:
    """The batches of a loader on a device, without delay for a GPU.

    A split that takes at most a quarter of the GPU's free memory stays there as bytes (``kept``).
    Otherwise a thread fetches the next batch while a step computes (``ahead``). A CPU reads each
    batch when it is needed. Batches are the same in all cases.
    """

    def __init__(
        self, loader: Loader, device: torch.device, kept: bool | None = None, ahead: bool = False
    ) -> None:
        self.loader, self.device = loader, device
        on_gpu = device.type == "cuda"
        if kept is None:
            kept = on_gpu and loader.bytes <= torch.cuda.mem_get_info(device)[0] // 4
        self.kept = None
        if kept and loader.held is not None:
            self.kept = {
                key: sent(torch.from_numpy(all_), device) for key, all_ in loader.held.items()
            }
        self.pool = ThreadPoolExecutor(1) if self.kept is None and (ahead or on_gpu) else None
        self.next: tuple[object, Future[dict[str, Tensor]]] | None = None

    def __call__(self, step: int, rows: slice) -> dict[str, Tensor]:
        """These rows of each array of a step's batch, as stored."""
        if self.kept is not None:
            index = tuple(
                sent(torch.tensor(each[rows]), self.device) for each in self.loader.places(step)
            )
            return {key: values[index] for key, values in self.kept.items()}
        if self.pool is None:
            return self._read(step, rows)
        fetched, self.next = self.next, None
        if fetched is None or fetched[0] != (step, rows):
            fetched = None, self.pool.submit(self._read, step, rows)
        self.next = (step + 1, rows), self.pool.submit(self._read, step + 1, rows)
        return fetched[1].result()

    def _read(self, step: int, rows: slice) -> dict[str, Tensor]:
        batch = self.loader.batch(step)
        return {key: sent(torch.from_numpy(read[rows]), self.device) for key, read in batch.items()}
