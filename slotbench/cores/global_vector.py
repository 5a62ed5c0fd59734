"""One vector an image: what is there without slots."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from slotbench.cores.core import Core, CoreConfig, SlotOutput, check_positive
from slotbench.registry import register


@dataclass(frozen=True)
class GlobalConfig(CoreConfig):
    """Options of the core ``global``."""

    slots: int | None = 1
    """Always 1."""
    mlp_width: int = 128
    """Hidden width of the position-wise MLP."""

    def __post_init__(self) -> None:
        if self.slots != 1:
            raise ValueError("the core 'global' makes one vector an image; expected 1")


@register("cores")
class GlobalVector(Core):
    """A position-wise MLP, averaged over positions: K = 1, and attention is 1 everywhere."""

    name = "global"
    summary = "one vector an image: the mean of a position-wise MLP"
    source = "control"

    Config: ClassVar[type[CoreConfig]] = GlobalConfig
    config: GlobalConfig

    def __init__(self, config: GlobalConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        check_positive(config, "mlp_width")
        features = int(encoder.width)  # type: ignore[arg-type]
        self.mlp = nn.Sequential(
            nn.LayerNorm(features), nn.Linear(features, config.mlp_width), nn.ReLU()
        )
        self.to_slot = nn.Linear(config.mlp_width, config.width)

    def noise(self, batch: int, generator: torch.Generator) -> None:
        del batch, generator

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        del noise
        features, (height, width) = self.encoder(images)
        slots = self.to_slot(self.mlp(features).mean(dim=1, keepdim=True))
        return SlotOutput(slots, slots.new_ones(len(images), 1, height, width), features)
