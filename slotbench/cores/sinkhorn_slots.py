"""Slot attention whose assignment is optimal transport with little entropy (MESH).

Zhang et al. 2023, *Unlocking Slot Attention by Changing Optimal Transport Costs*,
arXiv 2301.13197.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import CoreConfig, check_positive
from slotbench.cores.layers import at_least_float32
from slotbench.cores.slot_attention import SlotAttention, SlotAttentionConfig
from slotbench.registry import register


@dataclass(frozen=True)
class SinkhornSlotsConfig(SlotAttentionConfig):
    """Options of the core ``sinkhorn-slots``."""

    sinkhorn_iterations: int = 5
    """Rescalings of slots and positions in each plan; the last rescales the positions."""
    mesh_steps: int = 4
    """Gradient steps on the cost that lower the plan's entropy; 0: plain Sinkhorn."""
    mesh_rate: float = 5.0
    """Length of each of those steps."""
    learned_masses: bool = True
    """Whether slots and positions have learned masses (the paper); else all are equal, and every
    slot takes the same share of the image."""


@register("cores")
class SinkhornSlots(SlotAttention):
    """Each round transports the positions' mass to the slots at the least cost.

    The cost is minus slot attention's logits, so that positions rescaled once, and slots never,
    give slot attention's softmax. Plans have mass K; what a slot reads grows with its mass, and
    ``reading`` has no say in it.
    The attention is the plan divided by each position's mass.
    """

    name = "sinkhorn-slots"
    summary = "positions transported to slots: Sinkhorn with little entropy"
    source = "Zhang et al. 2023, arXiv 2301.13197"

    Config: ClassVar[type[CoreConfig]] = SinkhornSlotsConfig
    config: SinkhornSlotsConfig

    def __init__(self, config: SinkhornSlotsConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        check_positive(config, "sinkhorn_iterations", "mesh_rate")
        if config.mesh_steps < 0:
            raise ValueError(f"mesh_steps={config.mesh_steps}: expected 0 or above")
        if config.learned_masses:
            self.slot_mass = nn.Linear(config.width, 1)
            self.position_mass = nn.Linear(config.width, 1)

    def step(self, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        cost = -at_least_float32(self.queries(slots) @ keys.mT)
        masses = self.masses(slots, values)
        cost = sharpened(
            cost,
            masses,
            self.config.mesh_steps,
            self.config.mesh_rate,
            self.config.sinkhorn_iterations,
        )
        plan = sinkhorn(cost, masses, self.config.sinkhorn_iterations)
        attention = plan.log_plan.softmax(dim=1)
        return self.update(slots, plan.log_plan.exp() @ values), attention

    def masses(self, slots: Tensor, values: Tensor) -> "Masses":
        """Logarithms of the masses, each set of which sums to K."""
        if self.config.learned_masses:
            of_slots = at_least_float32(self.slot_mass(self.norm_slots(slots)).squeeze(2))
            of_positions = at_least_float32(self.position_mass(values).squeeze(2))
        else:
            of_slots, of_positions = (
                at_least_float32(part.new_zeros(part.shape[:2])) for part in (slots, values)
            )
        total = math.log(self.num_slots)
        return Masses(total + of_slots.log_softmax(dim=1), total + of_positions.log_softmax(dim=1))


class Masses(NamedTuple):
    """Logarithms of what the rows and the columns of a plan sum to."""

    slots: Tensor
    """float32 (B, K)."""
    positions: Tensor
    """float32 (B, N); exp sums to the same as that of ``slots``."""


class Plan(NamedTuple):
    """A transport plan and the potential that the next one may start from."""

    log_plan: Tensor
    """float32 (B, K, N): logarithm of the mass from each position to each slot."""
    potential: Tensor
    """float32 (B, N)."""


def sinkhorn(
    cost: Tensor, masses: Masses, iterations: int, potential: Tensor | None = None
) -> Plan:
    """The plan for cost float32 (B, K, N), with entropy weight 1 (Cuturi 2013, arXiv 1306.0895).

    Positions' masses are exact, slots' as near as ``iterations`` bring them.
    """
    if potential is None:
        potential = torch.zeros_like(masses.positions)
    for _ in range(iterations):
        of_slots = masses.slots - (potential[:, None] - cost).logsumexp(dim=2)
        potential = masses.positions - (of_slots[:, :, None] - cost).logsumexp(dim=1)
    return Plan(of_slots[:, :, None] + potential[:, None] - cost, potential)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def sharpened(cost: Tensor, masses: Masses, steps: int, rate: float, iterations: int) -> Tensor:
    """The cost (B, K, N), moved to where its plan has less entropy.

    Each step has the length ``rate``, image by image. The gradient passes to the cost as if it
    had not moved, as in published implementations.
    """
    moved, potential = cost.detach(), None
    fixed = Masses(*(part.detach() for part in masses))
    for _ in range(steps):
        with torch.enable_grad():
            moved.requires_grad_()
            plan = sinkhorn(moved, fixed, iterations, potential)
            entropy = -(plan.log_plan.exp() * plan.log_plan).sum()
            (slope,) = torch.autograd.grad(entropy, moved)
        moved = (moved - rate * functional.normalize(slope.flatten(1)).view_as(slope)).detach()
        potential = plan.potential.detach()
    return cost + (moved - cost.detach())
