"""A decoder on a frozen core: masks for objectives that have no decoder, version 1.

The same decoder for every core and objective, so that its masks say what the slots hold and not
how they were trained: :data:`DECODER`, at 32 pixels, on slots standardised
with the mean and deviation of the training slots. 2,000 steps of 16 images, Adam at 2e-3 after a
warm-up of 100 steps and with a cosine down to 0, squared error to the area-averaged image.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.decoders.spatial import Bilinear, BilinearConfig, Decoded
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Array
from slotbench.rng import building, numpy_generator

VERSION = 1
DECODER = BilinearConfig(channels=32, depth=1, grid=16, size=32, bounded=False)
"""Spelled out: other defaults for training change no score. Unbounded colours learn soonest."""
STEPS, BATCH, LEARNING_RATE, WARMUP = 2_000, 16, 2e-3, 0.05
Progress = Callable[[int, int], None]


class FrozenDecoder(nn.Module):
    """Slots float (B, K, D) -> :class:`Decoded` at ``size`` pixels."""

    mean: Tensor
    scale: Tensor

    def __init__(self, slots: Tensor) -> None:
        """``slots`` float (n, K, D) are the training slots, for their mean and deviation."""
        super().__init__()
        self.size = DECODER.size
        rows = slots.flatten(0, 1).double()
        deviation = rows.std(dim=0, correction=0)
        self.register_buffer("mean", rows.mean(dim=0).float())
        # A dimension that does not vary is centred and no more.
        self.register_buffer("scale", torch.where(deviation > 1e-6, deviation, 1.0).float())
        self.decoder = Bilinear(DECODER, slots.shape[2], DECODER.size)

    def forward(self, slots: Tensor) -> Decoded:
        decoded: Decoded = self.decoder((slots - self.mean) / self.scale)
        return decoded


def targets(dataset: DatasetFile, split: str, n: int, size: int) -> Tensor:
    """The first n images of a split, area-averaged: float32 (n, 3, size, size) in [0, 1]."""
    parts = []
    for start in range(0, n, 256):
        batch = dataset.read(split, start, min(n, start + 256), ("image",))["image"]
        images = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
        parts.append(functional.adaptive_avg_pool2d(images, size))
    return torch.cat(parts)


def train_decoder(
    slots: Array,
    images: Tensor,
    *,
    seed: int,
    steps: int = STEPS,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> FrozenDecoder:
    """A decoder trained on frozen ``slots`` float32 (n, K, D) and ``images`` as :func:`targets`.

    Weights and batches are drawn from (seed, "probe-decoder"). ValueError where slots are not
    finite.
    """
    inputs = torch.from_numpy(np.asarray(slots, np.float32))
    if not torch.isfinite(inputs).all():
        raise ValueError("slots hold NaN or infinite values")
    with building(seed, "probe-decoder"):
        model = FrozenDecoder(inputs).to(device)
    inputs, images = inputs.to(device), images.to(device)
    generator = numpy_generator(seed, "probe-decoder", "batches")
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, steps))
    size, queue = min(BATCH, len(inputs)), np.empty(0, np.int64)
    with torch.enable_grad():
        for step in range(steps):
            if len(queue) < size:
                queue = generator.permutation(len(inputs))
            index, queue = torch.from_numpy(queue[:size]).to(device), queue[size:]
            optimizer.zero_grad()
            loss = functional.mse_loss(model(inputs[index]).image, images[index])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if progress is not None and (step + 1) % 50 == 0:
                progress(step + 1, steps)
    return model.eval()


def _share(step: int, steps: int) -> float:
    """The learning rate as a share of its greatest value."""
    warm = max(1, round(WARMUP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
