"""Models whose masks are known: they see colours, and nothing is trained."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from slotbench.cores.core import SlotOutput
from slotbench.cores.decoders.spatial import Decoded
from slotbench.datasets.format.schema import SPLITS
from slotbench.datasets.prepare.parts import join
from slotbench.objectives.objective import Objective
from tests.conftest import ATTRIBUTES, LAYOUT, blocks_batch

COLORS = torch.tensor([[100, 100, 100], [255, 0, 0], [0, 255, 0], [0, 0, 255]]) / 255


class ByColor(nn.Module):
    """Slot k is where the image has colour k, ground or object; it holds colour and centre."""

    def __init__(self, slots):
        super().__init__()
        self.num_slots, self.config = slots, None

    def noise(self, *_):
        """It draws none."""

    def forward(self, images, _=None):
        nearest = (images[:, None] - COLORS[:, :, None, None]).abs().sum(dim=2).argmin(dim=1)
        slots = torch.arange(self.num_slots)[:, None, None]
        attention = (nearest[:, None].clamp(max=self.num_slots - 1) == slots).float()
        y, x = torch.meshgrid(*(torch.arange(n).float() for n in images.shape[2:]), indexing="ij")
        area = attention.sum(dim=(2, 3)).clamp(min=1)
        parts = [(attention * grid).sum(dim=(2, 3)) / area / 4 - 4 for grid in (x, y)]
        parts += [(area > 1).float() * (slots[:, 0, 0] == k) for k in range(4)]
        features = images.flatten(2).mT
        return SlotOutput(torch.stack([*parts, area / 64], dim=2), attention, features)


class Model(Objective):
    """Such a core, with a decoder that shows each slot its own pixels, or without one."""

    def __init__(self, slots=5, decoder=True):
        super().__init__(ByColor(slots))
        self.decoder = decoder

    def loss(self, batch):
        raise AssertionError(f"drawn, never trained on {batch}")

    def decode(self, output, images):  # noqa: ARG002
        if not self.decoder:
            return None
        masks = output.attention.roll(1, dims=3)  # one pixel to the right: other than attention
        parts = COLORS[torch.arange(masks.shape[1]) % 4][None, :, :, None, None]
        parts = parts.expand(len(masks), -1, -1, *masks.shape[2:])
        return Decoded((parts * masks[:, :, None]).sum(dim=1), masks, parts)


def write(path, layout=LAYOUT, sizes=(96, 24, 24)):
    """A prepared dataset of blocks; those beyond the edge of a small image are not visible."""
    every = replace(layout, properties=LAYOUT.properties)
    labels = np.arange(1, layout.objects + 1)[:, None, None]
    splits = {}
    for seed, (split, n) in enumerate(zip(SPLITS, sizes, strict=True)):
        drawn = blocks_batch(n, seed, every)
        drawn["visible"] = (drawn["mask"][:, None] == labels).any(axis=(2, 3))
        splits[split] = [{key: drawn[key] for key in layout.arrays()}]
    join(path, layout, splits, {**ATTRIBUTES, "image_size": layout.height})
    return path
