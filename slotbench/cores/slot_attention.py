"""Slot attention, and two cores that differ from it in the start or in the gradient."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.iterated import AttentionConfig, GradientConfig, IteratedAttention, StartConfig
from slotbench.cores.layers import at_least_float32
from slotbench.fields import Space
from slotbench.registry import register


@dataclass(frozen=True)
class ImplicitSlotAttentionConfig(StartConfig, AttentionConfig):
    space: ClassVar[Space] = {**AttentionConfig.space, "seeded": ("false", "true")}
    later: ClassVar[tuple[str, ...]] = ("seeded",)
    seeded: bool = False
    """Whether each slot first reads a cell of the image: the places nearest to one of K keys that
    lie far apart. Without it, slots may each keep a region of the frame whatever stands there;
    with it they do so on other seeds, and perhaps on fewer (docs/log.md)."""


@dataclass(frozen=True)
class SlotAttentionConfig(GradientConfig, ImplicitSlotAttentionConfig):
    """Options of the core ``slot-attention``."""


@register("cores")
class ImplicitSlotAttention(IteratedAttention):
    """Slot attention as a fixed point, differentiated in its last round only.

    Chang et al. 2022: the first term of the Neumann series of the implicit gradient. The backward
    pass costs one round, for any number of rounds. The paper gives the slots' start no gradient;
    here its mean takes the gradient of the last round's start. Its spread takes none.
    """

    name = "implicit-slot-attention"
    summary = "slot attention with the gradient of the last round alone"
    source = "Chang et al. 2022, arXiv 2207.00787"
    Config = ImplicitSlotAttentionConfig
    config: ImplicitSlotAttentionConfig

    def __init__(self, config: ImplicitSlotAttentionConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        self.build_start(config)

    def seeded(self, slots: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if not self.config.seeded:
            return slots
        held = cells(at_least_float32(keys.detach()), slots.shape[1]).to(values.dtype)
        return self.update(slots, self.reading(held) @ values)


@torch.no_grad()
def cells(points: Tensor, count: int) -> Tensor:
    """The cells of ``count`` seeds that lie far apart, float (B, count, N), each 0 or 1.

    Of the points (B, N, D) the first seed is the nearest to their mean; each other is the farthest
    from its nearest seed (Gonzalez 1985). A point belongs to its nearest seed; ties go to the
    first.
    """
    nearest = points.new_full(points.shape[:2], torch.inf)
    owner = torch.zeros(points.shape[:2], dtype=torch.int64, device=points.device)
    seed = (points - points.mean(dim=1, keepdim=True)).square().sum(dim=2).argmin(dim=1)
    for index in range(count):
        place = points.take_along_dim(seed[:, None, None], dim=1)
        distance = (points - place).square().sum(dim=2)
        owner = torch.where(distance < nearest, index, owner)
        nearest = torch.minimum(nearest, distance)
        seed = nearest.argmax(dim=1)
    return functional.one_hot(owner, count).mT.to(points.dtype)


@register("cores")
class SlotAttention(ImplicitSlotAttention):
    """Slots compete for the positions of a feature map (Locatello et al. 2020, Algorithm 1)."""

    name = "slot-attention"
    summary = "slots compete for positions by iterated attention"
    source = "Locatello et al. 2020, arXiv 2006.15055"
    Config = SlotAttentionConfig
    config: SlotAttentionConfig


@register("cores")
class BoQsa(IteratedAttention):
    """Slot attention from learned queries; the gradient of the last round goes straight to them.

    Jia, Liu and Huang 2022. It draws no noise: slot k starts from query k in every image.
    """

    name = "bo-qsa"
    summary = "slot attention from a learned query a slot, straight-through; no noise"
    source = "Jia et al. 2022, arXiv 2210.08990"
    Config = AttentionConfig
    draws = False

    def __init__(self, config: AttentionConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        self.mean = nn.Parameter(torch.empty(self.num_slots, config.width))
        nn.init.xavier_uniform_(self.mean)

    def start(self, images: Tensor, noise: Tensor | None) -> Tensor:
        return self.mean.expand(len(images), -1, -1)
