"""Randomness: every draw comes from a generator named by a seed and a purpose.

Two draws that share no purpose share no stream, and the same (seed, purpose, step) gives
the same numbers on every machine, in any order, in any process.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Key = int | str


def seed_of(*keys: Key) -> int:
    """A 63-bit seed that depends on every key and on their order."""
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in keys)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_generator(*keys: Key) -> np.random.Generator:
    """A NumPy generator for (seed, purpose, ...)."""
    return np.random.Generator(np.random.PCG64(seed_of(*keys)))


def torch_generator(*keys: Key) -> "torch.Generator":
    """A CPU generator for (seed, purpose, ...).

    Draw on the CPU and move the result: the numbers are then the same on every device.
    """
    import torch

    return torch.Generator().manual_seed(seed_of(*keys))


def sent(values: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    """Values of the CPU on a device. A GPU copies them from pinned memory, and nobody waits."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


@contextmanager
def building(*keys: Key) -> Iterator[None]:
    """Build modules inside this scope: their weights depend on the keys alone.

    The layers of torch, torchvision and timm draw their weights from torch's default
    generator and accept no other. This lends them one for the length of the scope and puts
    the default generator back as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(*keys))
        yield
