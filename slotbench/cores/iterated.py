"""Iterated attention: the parts that slot attention and its relatives share.

A subclass defines where the slots start, and may define how they compete for positions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from slotbench.cores.core import Core, CoreConfig, SlotOutput
from slotbench.cores.layers import content_width, mlp
from slotbench.fields import Count, Positive, Space

EPSILON = 1e-8
State = TypeVar("State")
"""State that a round refines: slots (B, K, D), with frames or variances in some cores."""


@dataclass(frozen=True)
class IterationConfig(CoreConfig):
    space: ClassVar[Space] = {"iterations": ("3", "5"), "eval_iterations": ("3", "5", "9")}
    iterations: Count = 3
    """Rounds of attention and update."""
    eval_iterations: Count | None = None
    """Rounds outside training; none: as in training. More rounds find more (2006.15055, 4.1)."""
    mlp_width: Count = 128
    """Hidden width of the residual MLP that follows the GRU."""


@dataclass(frozen=True)
class StartConfig(IterationConfig):
    slot_init: Literal["gaussian", "learned"] = "gaussian"
    """``gaussian``: one learned Gaussian for all slots; ``learned``: a mean for each slot."""
    initial_spread: Positive = 1.0
    """Standard deviation of the slots' start before training. It is learned, unless the gradient
    passes through the last round only."""


@dataclass(frozen=True)
class GradientConfig(StartConfig):
    gradient: Literal["all", "last"] = "all"
    """Rounds that pass the gradient: all (the papers) or the last (arXiv 2207.00787), with which
    the spread of the start is not learned."""


@dataclass(frozen=True)
class AttentionConfig(IterationConfig):
    key_position_scale: float = 1.0
    """Scale, before training, of the keys' weights on the encoder's coordinate channels."""
    reading: Literal["mean", "sum"] = "mean"
    """How a slot reads the values: their ``mean``, weighted by its attention (the paper), or
    their ``sum`` times K / N. With the sum a slot knows how much it holds and can stay empty
    (arXiv 2407.04170)."""


class LearnedStart(Core):
    """A core whose slots start from a learned mean (and spread), and are refined in rounds."""

    config: IterationConfig
    mean: nn.Parameter
    """float (K, D), or (1, D) for all slots."""
    log_spread: nn.Parameter
    """float, shaped as ``mean``: logarithm of the standard deviation. Without a gradient where
    ``last_only``."""

    @property
    def any_slots(self) -> bool:
        return len(self.mean) == 1

    @property
    def last_only(self) -> bool:
        """Whether the gradient passes through the last round only (arXiv 2207.00787).

        Cores without the option ``gradient`` are made for that.
        """
        return not isinstance(self.config, GradientConfig) or self.config.gradient == "last"

    @property
    def rounds(self) -> int:
        """Number of rounds in the current mode, training or evaluation."""
        outside = self.config.eval_iterations
        return self.config.iterations if self.training or outside is None else outside

    def build_start(self, config: StartConfig) -> None:
        """Make ``mean`` and ``log_spread``, one for all slots or one each."""
        shape = (self.num_slots if config.slot_init == "learned" else 1, config.width)
        self.mean = nn.Parameter(torch.randn(shape))
        self.log_spread = nn.Parameter(torch.full(shape, math.log(config.initial_spread)))

    def start(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """Slots (B, K, D) before the first round; ``noise`` as :meth:`noise` draws it."""
        return self.mean + self.log_spread.exp() * self.start_noise(images, noise)

    def restart(self, slots: Tensor) -> Tensor:
        """Slots (B, K, D) with the same numbers, whose gradient goes straight to ``mean``.

        arXiv 2210.08990.
        """
        return slots.detach() + self.mean - self.mean.detach()

    def refined(
        self,
        state: State,
        one_round: Callable[[State], tuple[State, Tensor]],
        restart: Callable[[State], State],
    ) -> tuple[State, Tensor]:
        """The state after all rounds, and the last round's attention (B, K, N).

        With ``last_only`` the earlier rounds pass no gradient, and ``restart`` connects the last
        one to the learned start.
        """
        early = self.rounds - 1 if self.last_only else 0
        with torch.no_grad():
            for _ in range(early):
                state, _ = one_round(state)
        if self.last_only:
            state = restart(state)
        for _ in range(early, self.rounds):
            state, attention = one_round(state)
        return state, attention


class IteratedAttention(LearnedStart):
    """Slots that attend to an encoder's features and are updated by a GRU and an MLP.

    It attends to the first ``inputs`` channels of the features, or to all.
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
        self.mlp = nn.Sequential(nn.LayerNorm(width), *mlp((width, config.mlp_width, width)))
        for layer in (self.to_query, self.to_key, self.to_value, *self.mlp):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        if isinstance(config, AttentionConfig):
            with torch.no_grad():
                self.to_key.weight[:, content_width(encoder) :] *= config.key_position_scale

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        features, grid = self.encoder(images)
        inputs = self.norm_features(features)
        keys, values = self.to_key(inputs), self.to_value(inputs)
        start = self.seeded(self.start(images, noise), keys, values)
        slots, attention = self.refined(
            start, lambda slots: self.step(slots, keys, values), self.restart
        )
        return SlotOutput(slots, attention.view(*attention.shape[:2], *grid), features)

    def seeded(self, slots: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Slots (B, K, D) before the first round; a core may let them see the image first."""
        return slots

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
        """Slots (B, K, D) -> queries (B, K, D), scaled so that queries @ keys are logits."""
        queries: Tensor = self.to_query(self.norm_slots(slots)) * self.config.width**-0.5
        return queries

    def update(self, slots: Tensor, updates: Tensor) -> Tensor:
        """Slots and their readings, both (B, K, D) -> slots: a GRU, then a residual MLP."""
        slots = self.gru(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return slots + self.mlp(slots)  # type: ignore[no-any-return]


def normalised(attention: Tensor) -> Tensor:
    """Attention (B, K, N) -> each slot's weights on the positions, which sum to 1 over N."""
    weights = attention + EPSILON
    return weights / weights.sum(dim=2, keepdim=True)
