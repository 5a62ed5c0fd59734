"""Slot attention: slots compete for the positions of a feature map.

Locatello et al. 2020, *Object-Centric Learning with Slot Attention*, arXiv 2006.15055,
Algorithm 1.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from slotbench.cores.core import CoreConfig
from slotbench.cores.iterated import IteratedAttention, SampledConfig
from slotbench.registry import register


@dataclass(frozen=True)
class SlotAttentionConfig(SampledConfig):
    """Options of the core ``slot-attention``."""

    gradient: Literal["all", "last"] = "all"
    """Iterations the gradient passes through: all (the paper) or the last (arXiv 2207.00787)."""


@register("cores")
class SlotAttention(IteratedAttention):
    """The slot attention module on an encoder's features."""

    name = "slot-attention"
    summary = "slots compete for positions by iterated attention"
    source = "Locatello et al. 2020, arXiv 2006.15055"

    Config: ClassVar[type[CoreConfig]] = SlotAttentionConfig
    config: SlotAttentionConfig

    def __init__(self, config: SlotAttentionConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        self.scale_position_keys(config.key_position_scale)
        self.build_start(config.slot_init, config.initial_spread)
        self.last_only = config.gradient == "last"
