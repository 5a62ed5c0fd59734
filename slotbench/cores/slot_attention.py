"""Slot attention: slots compete for the positions of a feature map.

Locatello et al. 2020, *Object-Centric Learning with Slot Attention*, arXiv 2006.15055,
Algorithm 1.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from slotbench.cores.base import Core, CoreConfig, SlotOutput

EPSILON = 1e-8


@dataclass(frozen=True)
class SlotAttentionConfig(CoreConfig):
    """Options of the core ``slot-attention``."""

    iterations: int = 3
    """Rounds of attention and update."""
    mlp_width: int = 128
    """Hidden width of the residual MLP that follows the GRU."""
    slot_init: Literal["gaussian", "learned"] = "gaussian"
    """``gaussian``: one learned Gaussian for all slots (the paper); ``learned``: a mean each."""
    initial_spread: float = 1.0
    """Standard deviation of the slots' start before training; it is learned afterwards."""
    key_position_scale: float = 1.0
    """Scale, before training, of the keys' weights on the encoder's coordinate channels."""
    gradient: Literal["all", "last"] = "all"
    """Iterations the gradient passes through: all (the paper) or the last (arXiv 2207.00787)."""


class SlotAttention(Core):
    """The slot attention module on an encoder's features."""

    Config: ClassVar[type[CoreConfig]] = SlotAttentionConfig
    config: SlotAttentionConfig

    def __init__(self, config: SlotAttentionConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        width, features = config.width, int(encoder.width)  # type: ignore[arg-type]
        self.norm_features = nn.LayerNorm(features)
        self.norm_slots = nn.LayerNorm(width)
        self.to_query = nn.Linear(width, width, bias=False)
        self.to_key = nn.Linear(features, width, bias=False)
        self.to_value = nn.Linear(features, width, bias=False)
        self.gru = nn.GRUCell(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, config.mlp_width),
            nn.ReLU(),
            nn.Linear(config.mlp_width, width),
        )
        for layer in (self.to_query, self.to_key, self.to_value, *self.mlp):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        coordinates = int(encoder.coordinates)  # type: ignore[arg-type]
        with torch.no_grad():
            self.to_key.weight[:, features - coordinates :] *= config.key_position_scale
        means = self.num_slots if config.slot_init == "learned" else 1
        self.mean = nn.Parameter(torch.randn(means, width))
        self.log_spread = nn.Parameter(torch.full((means, width), math.log(config.initial_spread)))

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        features, (height, width) = self.encoder(images)
        inputs = self.norm_features(features)
        keys, values = self.to_key(inputs), self.to_value(inputs)
        drawn = self.start_noise(images, noise)
        assert drawn is not None  # this core always draws noise
        slots = self.mean + self.log_spread.exp() * drawn
        for iteration in range(self.config.iterations):
            if self.config.gradient == "last" and iteration == self.config.iterations - 1:
                slots = slots.detach() + self.mean - self.mean.detach()
            slots, attention = self.step(slots, keys, values)
        return SlotOutput(slots, attention.view(*attention.shape[:2], height, width), features)

    def step(self, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """One iteration: slots (B, K, D), keys and values (B, N, D) -> slots, attention (B, K, N).

        The attention is a softmax over slots; each slot then takes the mean of the values,
        weighted by its own attention.
        """
        queries = self.to_query(self.norm_slots(slots)) * self.config.width**-0.5
        attention = (queries @ keys.mT).softmax(dim=1)
        weights = attention + EPSILON
        updates = (weights / weights.sum(dim=2, keepdim=True)) @ values
        slots = self.gru(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return slots + self.mlp(slots), attention
