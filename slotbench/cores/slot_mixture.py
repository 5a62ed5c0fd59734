"""Slot mixture module: slots are the Gaussians of a mixture, fitted to the features by EM.

Kirilenko et al. 2023, *Object-Centric Learning with Slot Mixture Module*, arXiv 2311.04640.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from slotbench.cores.core import SlotOutput
from slotbench.cores.iterated import GradientConfig, LearnedStart, normalised
from slotbench.cores.layers import at_least_float32, mlp
from slotbench.fields import Positive
from slotbench.registry import register


@dataclass(frozen=True)
class SlotMixtureConfig(GradientConfig):
    initial_deviation: Positive = 1.0
    """Standard deviation of each component's start, before training; it is learned afterwards."""
    smallest_variance: Positive = 1e-2
    """Added to every variance, so that no component shrinks to a point."""
    gradient: Literal["all", "last"] = "last"
    """Rounds that pass the gradient; with ``last`` the spread of the start is not learned."""


class Mixture(NamedTuple):
    """K Gaussians of diagonal covariance for each of B images, in float32."""

    mean: Tensor
    """(B, K, D)."""
    variance: Tensor
    """(B, K, D), above 0."""
    log_weight: Tensor
    """(B, K): logarithm of the mixing weights."""


@register("cores")
class SlotMixture(LearnedStart):
    """EM on linearly mapped features; a GRU and an MLP refine the means of each M step.

    The attention is the responsibilities; a slot is the MLP of [mean, log deviation].
    """

    name = "slot-mixture"
    summary = "slots are the Gaussians of a mixture, fitted by EM"
    source = "Kirilenko et al. 2023, arXiv 2311.04640"
    Config = SlotMixtureConfig
    config: SlotMixtureConfig

    def __init__(self, config: SlotMixtureConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        width, features = config.width, int(encoder.width)  # type: ignore[arg-type]
        self.norm_features = nn.LayerNorm(features)
        self.to_point = nn.Linear(features, width, bias=False)
        nn.init.xavier_uniform_(self.to_point.weight)
        self.gru = nn.GRUCell(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), *mlp((width, config.mlp_width, width)))
        self.to_slot = mlp((2 * width, 2 * config.mlp_width, width))
        self.log_deviation = nn.Parameter(torch.full((width,), math.log(config.initial_deviation)))
        self.build_start(config)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        features, grid = self.encoder(images)
        points = at_least_float32(self.to_point(self.norm_features(features)))
        means = at_least_float32(self.start(images, noise))
        mixture = Mixture(
            means,
            (2 * self.log_deviation).exp().expand_as(means),
            means.new_full(means.shape[:2], -math.log(self.num_slots)),
        )
        mixture, attention = self.refined(
            mixture, lambda mixture: self.one_round(points, mixture), self.restarted
        )
        slots = self.to_slot(torch.cat([mixture.mean, mixture.variance.log() / 2], dim=2))
        return SlotOutput(slots, attention.view(*attention.shape[:2], *grid), features)

    def one_round(self, points: Tensor, mixture: Mixture) -> tuple[Mixture, Tensor]:
        """E and M step on points (B, N, D): the next mixture, and this one's responsibilities."""
        attention = responsibilities(points, mixture)
        return self.maximise(points, attention, mixture.mean), attention

    def maximise(self, points: Tensor, attention: Tensor, means: Tensor) -> Mixture:
        """The M step on points (B, N, D) with responsibilities (B, K, N).

        GRU and MLP refine the means, from the earlier ``means`` (B, K, D).
        """
        with torch.autocast(points.device.type, enabled=False):
            weights = normalised(attention)
            moved = weights @ points
        refined = self.gru(moved.flatten(0, 1), means.flatten(0, 1)).view_as(means)
        refined = at_least_float32(refined + self.mlp(refined))
        with torch.autocast(points.device.type, enabled=False):
            # E (x - m)^2 with m other than the mean of x: the variance, and the offset squared.
            variance = weights @ points.square() - moved.square()
            variance = variance.clamp(min=0) + (moved - refined).square()
            share = attention.mean(dim=2).clamp(min=torch.finfo(attention.dtype).tiny)
        return Mixture(refined, variance + self.config.smallest_variance, share.log())

    def restarted(self, mixture: Mixture) -> Mixture:
        """The same mixture, whose gradient goes straight to the learned start."""
        deviation = self.log_deviation - self.log_deviation.detach()
        return Mixture(
            self.restart(mixture.mean),
            mixture.variance.detach() * (2 * deviation).exp(),
            mixture.log_weight.detach(),
        )


def log_densities(points: Tensor, mixture: Mixture) -> Tensor:
    """Logarithm of weight times density (B, K, N) of points float32 (B, N, D)."""
    with torch.autocast(points.device.type, enabled=False):
        precision = 1 / mixture.variance
        square = (
            precision @ points.square().mT
            - 2 * (mixture.mean * precision) @ points.mT
            + (mixture.mean.square() * precision).sum(dim=2, keepdim=True)
        )
        constant = mixture.log_weight - (mixture.variance.log().sum(dim=2)) / 2
        constant = constant - points.shape[2] * math.log(2 * math.pi) / 2
        return constant[:, :, None] - square / 2


def responsibilities(points: Tensor, mixture: Mixture) -> Tensor:
    """The E step: each component's share (B, K, N) of every point (B, N, D); sums to 1 over K."""
    return log_densities(points, mixture).softmax(dim=1)
