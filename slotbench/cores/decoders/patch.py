"""Decoders of patches: an MLP for each slot, and an autoregressive transformer.

Both after DINOSAUR (Seitzer et al. 2022, arXiv 2209.14860) and its code. They decode P positions
of C channels each: patches of pixels, or a frozen network's features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.decoders.spatial import Decoded, ImageDecoder, MixtureDecoder
from slotbench.cores.layers import mlp
from slotbench.fields import Count, Options
from slotbench.registry import register


class SlotMLP(nn.Module):
    """Slots (B, K, D) -> contents (B, P, C) and masks (B, K, P), which sum to 1 over K.

    Each slot is broadcast to P positions with learned embeddings. An MLP makes C channels and a
    logit for each, and a softmax over slots mixes them. ``channels`` is C + 1.
    """

    def __init__(self, width: int, positions: int, channels: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(positions, width) * 0.02)
        self.layers = mlp((width, *[hidden] * depth, channels))

    def each(self, slots: Tensor) -> Tensor:
        """Every slot by itself: (..., D) -> (..., P, C)."""
        made: Tensor = self.layers(slots[..., None, :] + self.positions)
        return made

    def forward(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        made = self.each(slots)
        masks = made[..., -1].softmax(dim=1)
        return (made[..., :-1] * masks[..., None]).sum(dim=1), masks


@dataclass(frozen=True, kw_only=True)
class PatchConfig(Options):
    patch: Count = 4
    """Pixels of a patch's side."""
    size: Count = 32
    """Side of the decoded image, a multiple of the patch; the target is area-averaged to it."""

    def side(self, image_size: int) -> int:
        """Patches along a side; ValueError where patch, size and image do not fit together."""
        if self.size % self.patch or image_size % self.size:
            raise ValueError(
                f"decoder.size={self.size} must be a multiple of decoder.patch={self.patch} and "
                f"divide the image size {image_size}"
            )
        return self.size // self.patch


@dataclass(frozen=True)
class PatchMLPConfig(PatchConfig):
    hidden: Count = 256
    """Width of the hidden layers; 1,024 in the paper."""
    depth: Count = 3
    """Number of hidden layers."""


@register("decoders")
class PatchMLP(MixtureDecoder):
    """Each slot draws colours and mask of every patch by an MLP on slot and position."""

    name = "patch-mlp"
    summary = "an MLP on slot and position draws patches"
    source = "Seitzer et al. 2022, arXiv 2209.14860"
    Config = PatchMLPConfig

    def __init__(self, config: PatchMLPConfig, slot_width: int, image_size: int) -> None:
        super().__init__()
        self.size, self.patch, self.side = config.size, config.patch, config.side(image_size)
        self.mlp = SlotMLP(
            slot_width, self.side**2, 4 * config.patch**2, config.hidden, config.depth
        )

    def decode(self, slots: Tensor) -> Tensor:
        patches = self.mlp.each(slots).mT.unflatten(2, (self.side, self.side))  # type: ignore[no-untyped-call]
        return functional.pixel_shuffle(patches, self.patch)


class Block(nn.Module):
    """Causal self-attention, attention to the slots, an MLP; each behind a LayerNorm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.past = nn.MultiheadAttention(width, heads, batch_first=True)
        self.slots = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor, slots: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, P, D), slots (B, K, D), the causal mask -> tokens, attention (B, P, K)."""
        own = self.norms[0](tokens)
        tokens = tokens + self.past(own, own, own, attn_mask=hidden, need_weights=False)[0]
        read, attention = self.slots(self.norms[1](tokens), slots, slots)
        tokens = tokens + read
        return tokens + self.mlp(self.norms[2](tokens)), attention


class Autoregressive(nn.Module):
    """Slots (B, K, D) and a target (B, P, C) -> its prediction (B, P, C) and masks (B, K, P).

    Position p is predicted from the slots and the target's positions before p. The masks are
    the last block's attention to the slots, the mean over heads. Positions are embedded; in the
    paper the features carry them. ``width`` is a multiple of ``heads``.
    """

    def __init__(
        self, slot_width: int, positions: int, channels: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.of_target = nn.Sequential(nn.Linear(channels, width, bias=False), nn.LayerNorm(width))
        self.of_slots = nn.Sequential(nn.Linear(slot_width, width, bias=False), nn.LayerNorm(width))
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(positions, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, channels))

    def forward(self, slots: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.of_target(target[:, :-1])
        tokens = torch.cat([self.first.expand(len(slots), -1, -1).to(seen.dtype), seen], dim=1)
        tokens, memory = tokens + self.positions, self.of_slots(slots)
        count = tokens.shape[1]
        hidden = torch.ones(count, count, dtype=torch.bool, device=slots.device).triu(1)
        for block in self.blocks:
            tokens, attention = block(tokens, memory, hidden)
        return self.out(tokens), attention.mT


@dataclass(frozen=True)
class TransformerConfig(PatchConfig):
    width: Count = 64
    """Width of the tokens."""
    depth: Count = 2
    """Number of blocks; 4 in the paper."""
    heads: Count = 4
    """Attention heads."""


@register("decoders")
class Transformer(ImageDecoder):
    """Autoregressive reconstruction of the image's patches, row by row.

    Teacher forcing feeds it the true patches, in evaluation too, so the image's error says little.
    The masks are the attention to the slots. There are no images of single slots.
    """

    name = "transformer"
    summary = "autoregressive over patches; masks are its attention to slots"
    source = "Singh et al. 2021, arXiv 2110.11405; Seitzer et al. 2022, arXiv 2209.14860"
    Config = TransformerConfig

    def __init__(self, config: TransformerConfig, slot_width: int, image_size: int) -> None:
        super().__init__()
        if config.width % config.heads:
            raise ValueError(
                f"decoder.width={config.width} must be a multiple of decoder.heads={config.heads}"
            )
        self.size, self.patch, self.side = config.size, config.patch, config.side(image_size)
        self.decoder = Autoregressive(
            slot_width, self.side**2, 3 * config.patch**2, config.width, config.depth, config.heads
        )

    def forward(self, slots: Tensor, images: Tensor) -> Decoded:
        target = functional.adaptive_avg_pool2d(images, self.size)
        patches = functional.pixel_unshuffle(target, self.patch).flatten(2).mT
        made, masks = self.decoder(slots, patches)
        grid = (self.side, self.side)
        image = functional.pixel_shuffle(made.mT.unflatten(2, grid), self.patch)
        return Decoded(image, masks.unflatten(2, grid), None)
