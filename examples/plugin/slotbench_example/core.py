"""A core whose slots are fixed stripes of the feature map: nothing competes, nothing is found."""

import torch
from torch import Tensor, nn

from slotbench.cores.core import Core, CoreConfig, SlotOutput
from slotbench.registry import register


@register("cores")
class Cells(Core):
    """Slot k is a linear map of the mean feature of the k-th of K upright stripes."""

    name = "cells"
    summary = "each slot is the mean of one fixed stripe of the feature map"
    source = "an example"
    Config = CoreConfig

    def __init__(self, config: CoreConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        self.to_slots = nn.Linear(int(encoder.width), config.width)  # type: ignore[arg-type]

    def noise(self, batch: int, generator: torch.Generator) -> None:
        """None: the stripes are always the same."""

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        del noise
        features, (height, width) = self.encoder(images)
        stripe = torch.arange(width, device=images.device) * self.num_slots // width
        masks = stripe == torch.arange(self.num_slots, device=images.device)[:, None]
        attention = masks[:, None].expand(-1, height, -1).to(features.dtype)
        # With more slots than columns some stripes are empty; their slots are the bias alone.
        weights = attention.flatten(1) / attention.sum(dim=(1, 2)).clamp(min=1)[:, None]
        slots = self.to_slots(weights @ features)
        return SlotOutput(slots, attention.expand(len(images), -1, -1, -1), features)
