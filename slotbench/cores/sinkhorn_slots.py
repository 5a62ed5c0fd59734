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
    """Whether slots and positions have learned masses (the paper). Otherwise every slot takes the
    same share of the image."""


@register("cores")
class SinkhornSlots(SlotAttention):
    """Each round transports the positions' mass to the slots at the least cost.

    The cost is minus slot attention's logits; one rescaling of the positions alone would give slot
    attention's softmax. Plans have mass K. A slot's reading grows with its mass; ``reading`` has
    no effect. The attention is the plan divided by each position's mass.
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
        """Logarithms of masses that sum to K each, float32 (B, K) and (B, N)."""
        if self.config.learned_masses:
            masses = self.slot_mass(self.norm_slots(slots)), self.position_mass(values)
        else:
            masses = torch.zeros_like(slots[..., :1]), torch.zeros_like(values[..., :1])
        of_slots, of_positions = (at_least_float32(mass.squeeze(2)) for mass in masses)
        total = math.log(self.num_slots)
        return total + of_slots.log_softmax(dim=1), total + of_positions.log_softmax(dim=1)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def sharpened(
    scores: Tensor, slots: Tensor, positions: Tensor, steps: int, rate: float, iterations: int
) -> Tensor:
    """Scores float32 (B, K, N), moved so that their plan has less entropy.

    ``slots`` (B, K) and ``positions`` (B, N) are logarithms of masses. Each step has length
    ``rate`` in each image. The gradient passes straight through the moves, as in published code.
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
