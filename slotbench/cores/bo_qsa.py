"""Bi-level optimised query slot attention: each slot starts from a query of its own.

Jia, Liu and Huang 2022, *Improving Object-centric Learning with Query Optimization*,
arXiv 2210.08990.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from slotbench.cores.core import CoreConfig
from slotbench.cores.iterated import AttentionConfig, IteratedAttention
from slotbench.registry import register


@dataclass(frozen=True)
class BoQsaConfig(AttentionConfig):
    """Options of the core ``bo-qsa``."""


@register("cores")
class BoQsa(IteratedAttention):
    """Slot attention from learned queries; the gradient of the last round goes straight to them.

    It draws no noise: slot k starts from query k in every image. (Published implementations add
    noise to the queries while training.)
    """

    name = "bo-qsa"
    summary = "slot attention from a learned query a slot, straight-through; no noise"
    source = "Jia et al. 2022, arXiv 2210.08990"

    Config: ClassVar[type[CoreConfig]] = BoQsaConfig
    config: BoQsaConfig
    last_only = True

    def __init__(self, config: BoQsaConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        self.scale_position_keys(config.key_position_scale)
        self.mean = nn.Parameter(torch.empty(self.num_slots, config.width))
        nn.init.xavier_uniform_(self.mean)

    def noise(self, batch: int, generator: torch.Generator) -> None:
        del batch, generator

    def start(self, images: Tensor, noise: Tensor | None) -> Tensor:
        del noise
        return self.mean.expand(len(images), -1, -1)
