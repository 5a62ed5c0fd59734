"""Invariant slot attention: each slot sees positions in a frame of its own.

Biza et al. 2023, *Invariant Slot Attention: Object Discovery with Slot-Centric Reference
Frames*, arXiv 2302.04973, Algorithm 1: translation and scale (no rotation).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slotbench.cores.core import SlotOutput
from slotbench.cores.iterated import GradientConfig, IteratedAttention, normalised
from slotbench.cores.layers import at_least_float32, cell_centres, content, content_width
from slotbench.fields import Positive
from slotbench.registry import register

SMALLEST, LARGEST = 1e-3, 2.0
"""Bounds of a frame's scale, where the image reaches from -1 to 1."""


@dataclass(frozen=True)
class InvariantSlotAttentionConfig(GradientConfig):
    """The paper has ``slot_init=learned``."""

    grid_scale: Positive = 5.0
    """Divides the relative coordinates, which are large where the frame is small."""
    frame_in_slot: bool = True
    """Whether a linear map of the frame is added to the slot. Without it the slot does not know
    where its object is, and a decoder cannot draw it there."""


class Frame(NamedTuple):
    """Where each slot is and how large."""

    position: Tensor
    """float32 (B, K, 2): y and x, from -1 to 1."""
    scale: Tensor
    """float32 (B, K, 2): standard deviation along y and x."""


@register("cores")
class InvariantSlotAttention(IteratedAttention):
    """Slot attention with keys and values that carry positions relative to the slot's frame.

    It reads the encoder's content channels alone. An encoder that adds its coordinates to the
    content (``encoder.coordinates`` is 0) undoes the invariance. Starting frames are random:
    positions uniform, scales normal (0.1, 0.1). It takes memory for K times the features.
    """

    name = "invariant-slot-attention"
    summary = "each slot sees positions relative to its place and size"
    source = "Biza et al. 2023, arXiv 2302.04973"
    Config = InvariantSlotAttentionConfig
    config: InvariantSlotAttentionConfig
    extra_noise = 4
    """The frame's position and scale."""

    def __init__(self, config: InvariantSlotAttentionConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder, inputs=content_width(encoder))
        width = config.width
        self.to_place = nn.Linear(2, width)
        self.mix = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, config.mlp_width),
            nn.ReLU(inplace=True),  # the largest tensor of the core
        )
        self.mix_out = nn.Linear(config.mlp_width, width)
        self.to_frame = nn.Linear(4, width) if config.frame_in_slot else None
        self.build_start(config)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        features, grid = self.encoder(images)
        drawn = self.start_noise(images, noise)
        slots = self.start(images, drawn[:, :, :-4])
        centres = cell_centres(*grid).to(images.device)
        frame = starting_frame(drawn[:, :, -4:])
        inputs = content(features, self.encoder)
        slots, attention, frame = self.refine(inputs, slots, frame, centres)
        if self.to_frame is not None:
            slots = slots + self.to_frame(torch.cat(frame, dim=2))
        return SlotOutput(slots, attention.view(*attention.shape[:2], *grid), features)

    def refine(
        self, features: Tensor, slots: Tensor, frame: Frame, grid: Tensor
    ) -> tuple[Tensor, Tensor, Frame]:
        """All rounds -> slots (B, K, D), attention (B, K, N) and frames.

        Takes features (B, N, C), slots (B, K, D), their frames, and the positions' y and x (N, 2).
        The attention comes from a further round, which moves the frames but not the slots.
        """
        inputs = self.norm_features(features)
        keys, values = self.to_key(inputs), self.to_value(inputs)

        def one_round(state: tuple[Tensor, Frame]) -> tuple[tuple[Tensor, Frame], Tensor]:
            slots, frame = state
            places = self.places(frame, grid)
            attention = self.attend(slots, keys, places)
            # The mean over positions comes before the last, linear layer: it is cheaper there.
            read = (normalised(attention)[:, :, None] @ self.hidden(values, places)).squeeze(2)
            slots = self.update(slots, self.mix_out(read))
            return (slots, measured_frame(attention, grid)), attention

        (slots, frame), _ = self.refined(
            (slots, frame), one_round, lambda state: (self.restart(state[0]), state[1])
        )
        attention = self.attend(slots, keys, self.places(frame, grid))
        return slots, attention, measured_frame(attention, grid)

    def places(self, frame: Frame, grid: Tensor) -> Tensor:
        """The positions (N, 2) relative to each slot's frame, embedded: (B, K, N, D)."""
        offset = grid - frame.position[:, :, None]
        scale = frame.scale[:, :, None] * self.config.grid_scale
        return self.to_place(offset / scale)  # type: ignore[no-any-return]

    def hidden(self, inputs: Tensor, places: Tensor) -> Tensor:
        """Inputs (B, N, D) at their places, mixed, before the last layer: (B, K, N, H)."""
        return self.mix(inputs[:, None] + places)  # type: ignore[no-any-return]

    def attend(self, slots: Tensor, keys: Tensor, places: Tensor) -> Tensor:
        """Attention (B, K, N) of slots (B, K, D) to keys (B, N, D) at their places."""
        # q . (W h + b) = (W^T q) . h + q . b: apply the last layer to the slots, which are fewer.
        queries = self.queries(slots)
        folded = queries @ self.mix_out.weight
        logits = (self.hidden(keys, places) @ folded[:, :, :, None]).squeeze(3)
        return (logits + (queries @ self.mix_out.bias)[:, :, None]).softmax(dim=1)


def starting_frame(noise: Tensor) -> Frame:
    """Standard normal noise (B, K, 4) -> positions uniform in (-1, 1), scales normal (.1, .1)."""
    position = torch.erf(noise[:, :, :2] * 0.5**0.5)
    return Frame(position, (0.1 + 0.1 * noise[:, :, 2:]).clamp(SMALLEST, LARGEST))


def measured_frame(attention: Tensor, grid: Tensor) -> Frame:
    """Mean and standard deviation of the positions (N, 2) under each slot's attention (B, K, N)."""
    with torch.autocast(attention.device.type, enabled=False):
        weights = normalised(at_least_float32(attention))
        position = weights @ grid.to(weights.dtype)
        offset = grid - position[:, :, None]
        variance = (weights[:, :, :, None] * offset.square()).sum(dim=2)
        # Clamped before the root, whose gradient at 0 is infinite.
        return Frame(position, variance.clamp(SMALLEST**2, LARGEST**2).sqrt())
