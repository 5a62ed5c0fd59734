"""Slot attention that keeps as many slots as an image needs.

Fan et al. 2024, *Adaptive Slot Attention: Object Discovery with Dynamic Slot Number* (AdaSlot),
arXiv 2406.09196.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from slotbench.cores.core import SlotOutput
from slotbench.cores.iterated import EPSILON
from slotbench.cores.layers import at_least_float32, with_penalty
from slotbench.cores.slot_attention import SlotAttention, SlotAttentionConfig
from slotbench.fields import NotNegative, Positive, Space
from slotbench.registry import register

GATE_BIAS = 3.0
"""The gate's bias before training: a slot is kept with probability 0.95."""


@dataclass(frozen=True)
class AdaptiveSlotsConfig(SlotAttentionConfig):
    space: ClassVar[Space] = {
        **SlotAttentionConfig.space,
        "sparsity": ("1e-5", "1e-4", "1e-3", "1e-2"),
    }
    sparsity: NotNegative = 1e-4
    """Weight in the loss of a slot's mean probability to be kept (the paper's lambda). It must
    fit the objective's scale: 1e-4 for squared errors of pixels, 1e-2 for losses near 1."""
    temperature: Positive = 1.0
    """Temperature of the relaxed selection, through which the gradient passes."""


@register("cores")
class AdaptiveSlots(SlotAttention):
    """Slot attention, then a gate that keeps or drops each slot.

    Training samples the choice with the gate's probability, by Gumbel noise; the gradient passes
    through the relaxed choice (Jang et al. 2017, arXiv 1611.01144). Evaluation keeps slots of
    probability at least 1/2. The likeliest slot is always kept. A dropped slot is a zero vector,
    and the others share its attention.
    """

    name = "adaptive-slots"
    summary = "slot attention that drops the slots an image does not need"
    source = "Fan et al. 2024, arXiv 2406.09196"
    Config = AdaptiveSlotsConfig
    config: AdaptiveSlotsConfig
    extra_noise = 1
    """The gate's."""

    def __init__(self, config: AdaptiveSlotsConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        last = nn.Linear(config.width, 1)
        # Early in training no slot is missed yet: from even odds the penalty would drop them all.
        nn.init.constant_(last.bias, GATE_BIAS)
        self.gate = nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, config.width), nn.ReLU(), last
        )

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        drawn = self.start_noise(images, noise)
        slots, attention, features = super().forward(images, drawn[..., :-1])
        logits = at_least_float32(self.gate(slots)).squeeze(2)
        kept = selected(logits, drawn[..., -1] if self.training else None, self.config.temperature)
        kept = with_penalty(kept, self.config.sparsity * logits.sigmoid().mean())
        shares = kept[:, :, None, None] * (attention + EPSILON)
        attention = shares / shares.sum(dim=1, keepdim=True)
        return SlotOutput(slots * kept[:, :, None].to(slots.dtype), attention, features)


def selected(logits: Tensor, noise: Tensor | None, temperature: float) -> Tensor:
    """1 for each slot that is kept, else 0: float (B, K), from ``logits`` float (B, K).

    ``noise`` is standard normal (B, K); without it slots of probability at least 1/2 are kept. The
    gradient passes through the relaxed choice. The slot with the greatest logit is kept if no
    other is.
    """
    if noise is not None:
        # The difference of two Gumbel variables is logistic: the inverse of its distribution.
        uniform = torch.special.ndtr(noise.to(logits.dtype)).clamp(1e-6, 1 - 1e-6)
        logits = logits + uniform.logit()
    relaxed = (logits / temperature).sigmoid()
    hard = (logits >= logits.amax(dim=1, keepdim=True).clamp(max=0)).to(logits.dtype)
    return hard + (relaxed - relaxed.detach())
