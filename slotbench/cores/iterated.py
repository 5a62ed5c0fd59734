"""Iterated attention: what slot attention and its relatives share.

A subclass says where the slots start, and may say how they compete for positions.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from slotbench.cores.core import Core, CoreConfig, SlotOutput, check_positive

EPSILON = 1e-8


@dataclass(frozen=True)
class IterationConfig(CoreConfig):
    """Options of every core that refines its slots in rounds."""

    iterations: int = 3
    """Rounds of attention and update."""
    eval_iterations: int | None = None
    """Rounds outside training; none: as many as in training. More find more (2006.15055, 4.1)."""
    mlp_width: int = 128
    """Hidden width of the residual MLP that follows the GRU."""


@dataclass(frozen=True)
class AttentionConfig(IterationConfig):
    """Options of every core that attends by query and key."""

    key_position_scale: float = 1.0
    """Scale, before training, of the keys' weights on the encoder's coordinate channels."""
    reading: Literal["mean", "sum"] = "mean"
    """What a slot reads: ``mean`` of the values by its attention (the paper), or their ``sum``,
    times K / N, by which it knows how much it holds and can stay empty (arXiv 2407.04170)."""


@dataclass(frozen=True)
class SampledConfig(AttentionConfig):
    """Options of every such core whose slots start from a random draw."""

    slot_init: Literal["gaussian", "learned"] = "gaussian"
    """``gaussian``: one learned Gaussian for all slots (the paper); ``learned``: a mean each."""
    initial_spread: float = 1.0
    """Standard deviation of the slots' start before training; it is learned afterwards."""


class LearnedStart(Core):
    """A core whose slots start from a learned mean (and spread), and are refined in rounds.

    ValueError for fewer than one round or a spread that is not above 0.
    """

    config: IterationConfig
    last_only: bool = False
    """Whether the gradient passes through the last round only (arXiv 2207.00787)."""
    mean: nn.Parameter
    """float (K, D), or (1, D) for all slots."""
    log_spread: nn.Parameter
    """float, shaped as ``mean``: logarithm of the standard deviation."""

    def __init__(self, config: IterationConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        check_positive(config, "iterations", "mlp_width")
        if config.eval_iterations is not None:
            check_positive(config, "eval_iterations")

    @property
    def any_slots(self) -> bool:
        return len(self.mean) == 1

    @property
    def rounds(self) -> int:
        """How many rounds there are, in training or outside it."""
        outside = self.config.eval_iterations
        return self.config.iterations if self.training or outside is None else outside

    @property
    def early(self) -> int:
        """How many of the rounds, from the first, pass no gradient."""
        return self.rounds - 1 if self.last_only else 0

    def build_start(self, kind: str, spread: float) -> None:
        """Makes ``mean``, one for all (``gaussian``) or one each (``learned``), and spread."""
        if not spread > 0:
            raise ValueError(f"initial_spread={spread}: expected above 0")
        shape = (self.num_slots if kind == "learned" else 1, self.config.width)
        self.mean = nn.Parameter(torch.randn(shape))
        self.log_spread = nn.Parameter(torch.full(shape, math.log(spread)))

    def start(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """Slots (B, K, D) before the first round; ``noise`` as :meth:`noise` draws it."""
        drawn = self.start_noise(images, noise)
        assert drawn is not None  # a core that starts so always draws noise
        return self.mean + self.log_spread.exp() * drawn

    def restart(self, slots: Tensor) -> Tensor:
        """The same numbers; the gradient goes straight to ``mean`` (arXiv 2210.08990)."""
        return slots.detach() + self.mean - self.mean.detach()


class IteratedAttention(LearnedStart):
    """Slots that attend to an encoder's features and are updated by a GRU and an MLP.

    ``inputs`` is the number of the features' channels that are attended to, from the first.
    """

    def __init__(
        self, config: IterationConfig, encoder: nn.Module, inputs: int | None = None
    ) -> None:
        super().__init__(config, encoder)
        width = config.width
        features = int(encoder.width) if inputs is None else inputs  # type: ignore[arg-type]
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

    def scale_position_keys(self, scale: float) -> None:
        """Scales the keys' weights on the encoder's coordinate channels, which come last."""
        first = int(self.encoder.width) - int(self.encoder.coordinates)  # type: ignore[arg-type]
        with torch.no_grad():
            self.to_key.weight[:, first:] *= scale

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        features, (height, width) = self.encoder(images)
        inputs = self.norm_features(features)
        keys, values = self.to_key(inputs), self.to_value(inputs)
        slots = self.start(images, noise)
        with torch.no_grad():
            for _ in range(self.early):
                slots, _ = self.step(slots, keys, values)
        if self.last_only:
            slots = self.restart(slots)
        for _ in range(self.early, self.rounds):
            slots, attention = self.step(slots, keys, values)
        return SlotOutput(slots, attention.view(*attention.shape[:2], height, width), features)

    def step(self, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """One round: slots (B, K, D), keys and values (B, N, D) -> slots, attention (B, K, N).

        The attention is a softmax over slots; each slot then takes the mean of the values,
        weighted by its own attention, or their sum.
        """
        attention = (self.queries(slots) @ keys.mT).softmax(dim=1)
        return self.update(slots, self.reading(attention) @ values), attention

    def reading(self, attention: Tensor) -> Tensor:
        """The weights (B, K, N) with which slots read the values, by ``config.reading``."""
        if isinstance(self.config, AttentionConfig) and self.config.reading == "sum":
            return attention * (attention.shape[1] / attention.shape[2])
        return normalised(attention)

    def queries(self, slots: Tensor) -> Tensor:
        """Slots (B, K, D) -> queries (B, K, D), so scaled that with keys they give logits."""
        queries: Tensor = self.to_query(self.norm_slots(slots)) * self.config.width**-0.5
        return queries

    def update(self, slots: Tensor, updates: Tensor) -> Tensor:
        """Slots and what they have read, both (B, K, D) -> slots: a GRU, then a residual MLP."""
        slots = self.gru(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return slots + self.mlp(slots)  # type: ignore[no-any-return]


def normalised(attention: Tensor) -> Tensor:
    """Attention (B, K, N) -> each slot's weights on the positions, which sum to 1 over N."""
    weights = attention + EPSILON
    return weights / weights.sum(dim=2, keepdim=True)
