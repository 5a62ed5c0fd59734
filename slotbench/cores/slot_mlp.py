"""Slots from an MLP on the flattened features: no attention, no competition.

The baseline ``Slot MLP`` of Locatello et al. 2020, arXiv 2006.15055, Section 4.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core, CoreConfig, SlotOutput, check_positive
from slotbench.registry import register


@dataclass(frozen=True)
class SlotMlpConfig(CoreConfig):
    """Options of the core ``slot-mlp``."""

    mlp_width: int = 512
    """Hidden width of the MLP."""
    grid: int = 8
    """Side of the grid to which the features are averaged before they are flattened."""


@register("cores")
class SlotMlp(Core):
    """Slot k is the k-th part of the output of one MLP; its place in the order is its identity.

    It attends to nothing in particular and says so: its attention is 1/K everywhere. It draws
    no noise.
    """

    name = "slot-mlp"
    summary = "an MLP on the flattened features; no attention, no competition"
    source = "Locatello et al. 2020, arXiv 2006.15055, Section 4"

    Config: ClassVar[type[CoreConfig]] = SlotMlpConfig
    config: SlotMlpConfig

    def __init__(self, config: SlotMlpConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        check_positive(config, "grid", "mlp_width")
        features = int(encoder.width)  # type: ignore[arg-type]
        self.norm_features = nn.LayerNorm(features)
        self.mlp = nn.Sequential(
            nn.Linear(features * config.grid**2, config.mlp_width),
            nn.ReLU(),
            nn.Linear(config.mlp_width, self.num_slots * config.width),
        )

    def noise(self, batch: int, generator: torch.Generator) -> None:
        del batch, generator

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        del noise
        features, (height, width) = self.encoder(images)
        maps = self.norm_features(features).mT.reshape(len(images), -1, height, width)
        flat = functional.adaptive_avg_pool2d(maps, self.config.grid).flatten(1)
        slots = self.mlp(flat).view(len(images), self.num_slots, self.config.width)
        shape = (len(images), self.num_slots, height, width)
        return SlotOutput(slots, slots.new_full(shape, 1 / self.num_slots), features)
