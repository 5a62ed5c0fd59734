"""Slot attention in two stages: a codebook names the slots of the first, and duplicates go.

Liu et al. 2025, *MetaSlot: Break Through the Fixed Number of Slots in Object-Centric Learning*,
arXiv 2505.20772.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slotbench.cores.core import SlotOutput
from slotbench.cores.iterated import AttentionConfig, IteratedAttention, StartConfig
from slotbench.cores.layers import at_least_float32, with_penalty
from slotbench.fields import Count, Share
from slotbench.registry import register


@dataclass(frozen=True)
class MetaSlotConfig(StartConfig, AttentionConfig):
    prototypes: Count = 512
    """Number of vectors in the codebook."""
    pruning: Share = 0.5
    """Share of the training images whose duplicates are removed; evaluation removes all."""


@register("cores")
class MetaSlot(IteratedAttention):
    """Two stages of rounds; the second starts from prototypes, each for one slot of an image.

    The first stage passes no gradient. Each of its slots is replaced by the nearest prototype; of
    several with the same prototype the nearest stays. A dropped slot is a zero vector with
    attention 0. The gradient passes through the last round of the second stage, and straight to
    the mean of the start; :func:`codebook_loss` moves the prototypes.
    """

    name = "meta-slot"
    version = 2  # of equally near duplicates one stays; all did
    summary = "slots named by a codebook; duplicates are dropped, the rest refined again"
    source = "Liu et al. 2025, arXiv 2505.20772"
    Config = MetaSlotConfig
    config: MetaSlotConfig
    extra_noise = 1
    """Decides whether the image's duplicates are removed."""

    def __init__(self, config: MetaSlotConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        self.build_start(config)
        self.codebook = nn.Parameter(torch.randn(config.prototypes, config.width))

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        drawn = self.start_noise(images, noise)
        features, grid = self.encoder(images)
        inputs = self.norm_features(features)
        keys, values = self.to_key(inputs), self.to_value(inputs)
        everything = torch.ones(drawn.shape[:2], dtype=torch.bool, device=images.device)
        with torch.no_grad():
            slots = self.start(images, drawn[..., :-1])
            for _ in range(self.rounds):
                slots, _ = self.round_of(everything, keys, values)(slots)
        distance = distances(slots, self.codebook)
        nearest = distance.argmin(dim=2)
        kept = ~duplicates(nearest, distance.amin(dim=2).detach())
        if self.training:
            # The mean over slots does not depend on their order; its deviation is K ** -0.5.
            share = torch.special.ndtr(drawn[..., -1].mean(dim=1) * self.num_slots**0.5)
            kept = kept | (share >= self.config.pruning)[:, None]
        slots, attention = self.refined(
            self.codebook.detach()[nearest],
            self.round_of(kept, keys, values),
            lambda state: with_penalty(self.restart(state), codebook_loss(distance)),
        )
        shape = (*attention.shape[:2], *grid)
        return SlotOutput(slots * kept[:, :, None], attention.view(shape), features)

    def round_of(
        self, kept: Tensor, keys: Tensor, values: Tensor
    ) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """One round in which the slots that are ``kept``, bool (B, K), compete."""

        def one_round(slots: Tensor) -> tuple[Tensor, Tensor]:
            logits = (self.queries(slots) @ keys.mT).masked_fill(~kept[:, :, None], -torch.inf)
            attention = logits.softmax(dim=1)
            return self.update(slots, self.reading(attention) @ values), attention

        return one_round


def distances(slots: Tensor, codebook: Tensor) -> Tensor:
    """Mean squared difference, float32 (B, K, M), of slots (B, K, D) and prototypes (M, D).

    The gradient passes to the prototypes alone.
    """
    rows, codes = at_least_float32(slots.detach()), at_least_float32(codebook)
    with torch.autocast(slots.device.type, enabled=False):
        products = rows @ codes.mT
    squares = rows.square().sum(dim=2)[..., None] + codes.square().sum(dim=1)
    return (squares - 2 * products) / slots.shape[2]


def codebook_loss(distance: Tensor) -> Tensor:
    """The loss of the prototypes: a scalar, from :func:`distances` (B, K, M).

    It pulls the nearest prototype to each slot, and each unused prototype to its nearest slot.
    """
    rows = distance.flatten(0, 1)
    unused = torch.ones_like(rows[0]).index_fill(0, rows.argmin(dim=1), 0)
    return rows.amin(dim=1).mean() + (unused * rows.amin(dim=0)).mean()


def duplicates(nearest: Tensor, distance: Tensor) -> Tensor:
    """Slots whose prototype is nearer to another slot of the image: bool (B, K).

    ``nearest`` int64 (B, K) is each slot's prototype, ``distance`` float (B, K) its distance. Of
    equal distances the first slot stays: slots that hold the same object may be that close.
    """
    same = nearest[:, :, None] == nearest[:, None, :]
    own, other = distance[:, :, None], distance[:, None, :]
    earlier = torch.ones_like(same[0]).tril(-1)
    return (same & ((other < own) | ((other == own) & earlier))).any(dim=2)
