"""Which device a run uses, and how it is named in results."""

import torch

from slotbench.errors import UserError
from slotbench.registry import unknown

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose(name: str) -> torch.device:
    """``auto``: a GPU where there is one. :class:`UserError` where the device is not there."""
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, found in there.items() if found), "cpu"))
    if not there.get(name, True):
        raise UserError(f"--device {name}: this machine has none.", "Type: --device auto")
    return torch.device(name)


def describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    return device.type
