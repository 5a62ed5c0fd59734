"""Slot attention as a fixed point, differentiated in its last round alone.

Chang, Griffiths and Levine 2022, *Object Representations as Fixed Points*, arXiv 2207.00787:
the first term of the Neumann series of the implicit gradient, for which a backward pass through
the last round is enough, at the cost of one round whatever their number.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from slotbench.cores.core import CoreConfig
from slotbench.cores.iterated import IteratedAttention, SampledConfig
from slotbench.registry import register


@dataclass(frozen=True)
class ImplicitSlotAttentionConfig(SampledConfig):
    """Options of the core ``implicit-slot-attention``: slot attention's without ``gradient``."""


@register("cores")
class ImplicitSlotAttention(IteratedAttention):
    """Slot attention with ``gradient=last``, as a core of its own.

    The paper leaves the slots' start without a gradient; here the start's mean takes the one
    that the last round's start has. The spread takes none.
    """

    name = "implicit-slot-attention"
    summary = "slot attention with the gradient of the last round alone"
    source = "Chang et al. 2022, arXiv 2207.00787"

    Config: ClassVar[type[CoreConfig]] = ImplicitSlotAttentionConfig
    config: ImplicitSlotAttentionConfig
    last_only = True

    def __init__(self, config: ImplicitSlotAttentionConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        self.scale_position_keys(config.key_position_scale)
        self.build_start(config.slot_init, config.initial_spread)
