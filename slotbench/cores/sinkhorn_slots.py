"""Slot attention whose assignment is optimal transport with little entropy (MESH).

Zhang et al. 2023, *Unlocking Slot Attention by Changing Optimal Transport Costs*,
arXiv 2301.13197.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.layers import at_least_float32, sinkhorn
from slotbench.cores.slot_attention import SlotAttention, SlotAttentionConfig
from slotbench.fields import Count, Positive, Whole
from slotbench.registry import register


@dataclass(frozen=True)
class SinkhornSlotsConfig(SlotAttentionConfig):
    sinkhorn_iterations: Count = 5
    """Rescalings of slots and positions in each plan; the last rescales the positions."""
    mesh_steps: Whole = 4
    """Gradient steps on the cost that lower the plan's entropy; 0: plain Sinkhorn."""
    mesh_rate: Positive = 5.0
    """Length of each of those steps."""
    learned_masses: bool = True
    """Whether slots and positions have learned masses (the paper); else all are equal, and every
    slot takes the same share of the image."""


@register("cores")
class SinkhornSlots(SlotAttention):
    """Each round transports the positions' mass to the slots at the least cost.

    The cost is minus slot attention's logits: rescaling the positions once, and the slots never,
    would give slot attention's softmax. Plans have mass K. A slot's reading grows with its mass,
    and ``reading`` has no effect. The attention is the plan divided by each position's mass.
    """

    name = "sinkhorn-slots"
    summary = "positions transported to slots: Sinkhorn with little entropy"
    source = "Zhang et al. 2023, arXiv 2301.13197"
    Config = SinkhornSlotsConfig
    config: SinkhornSlotsConfig

    def __init__(self, config: SinkhornSlotsConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        if config.learned_masses:
            self.slot_mass = nn.Linear(config.width, 1)
            self.position_mass = nn.Linear(config.width, 1)

    def step(self, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        config = self.config
        masses = self.masses(slots, values)
        scores = at_least_float32(self.queries(slots) @ keys.mT)
        scores = sharpened(
            scores, *masses, config.mesh_steps, config.mesh_rate, config.sinkhorn_iterations
        )
        log_plan, _ = sinkhorn(scores, config.sinkhorn_iterations, *masses)
        return self.update(slots, log_plan.exp() @ values), log_plan.softmax(dim=1)

    def masses(self, slots: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the masses, float32 (B, K) and (B, N), each of which sum to K."""
        if self.config.learned_masses:
            of_slots, of_positions = (
                self.slot_mass(self.norm_slots(slots)),
                self.position_mass(values),
            )
        else:
            of_slots, of_positions = (
                part.new_zeros(*part.shape[:2], 1) for part in (slots, values)
            )
        total = math.log(self.num_slots)
        first, second = (
            total + at_least_float32(part.squeeze(2)).log_softmax(dim=1)
            for part in (of_slots, of_positions)
        )
        return first, second


@torch.compiler.disable  # type: ignore[untyped-decorator]
def sharpened(
    scores: Tensor, slots: Tensor, positions: Tensor, steps: int, rate: float, iterations: int
) -> Tensor:
    """Scores float32 (B, K, N), moved to where their plan has less entropy.

    ``slots`` (B, K) and ``positions`` (B, N) are logarithms of masses. Each step has the length
    ``rate``, image by image. The gradient passes to the scores as if they had not moved, as in
    published implementations.
    """
    moved, start = scores.detach(), None
    slots, positions = slots.detach(), positions.detach()
    for _ in range(steps):
        with torch.enable_grad():
            moved.requires_grad_()
            log_plan, start = sinkhorn(moved, iterations, slots, positions, start)
            entropy = -(log_plan.exp() * log_plan).sum()
            (slope,) = torch.autograd.grad(entropy, moved)
        moved = (moved - rate * functional.normalize(slope.flatten(1)).view_as(slope)).detach()
        start = start.detach()
    return scores + (moved - scores.detach())
