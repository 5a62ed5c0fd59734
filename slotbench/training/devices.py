"""Which device a run uses, and how it is named in results."""

import ctypes
import sys
from functools import cache

import torch

from slotbench.errors import UserError
from slotbench.registry import unknown

DEVICES = ("auto", "cpu", "cuda", "mps")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt(3)."""


def choose(name: str) -> torch.device:
    """``auto``: a GPU where there is one. :class:`UserError` where the device is not there."""
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
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
    """Have the C library keep what is freed, for this process.

    Every step frees large tensors and takes the same again. glibc gives them back to the system
    and so has all their pages cleared and mapped anew, which can take as long as the arithmetic
    (docs/log.md). Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def describe(device: torch.device) -> str:
    """A device as results name it: the GPU's name, or the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    return device.type


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
