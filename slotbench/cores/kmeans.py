"""Slots from hard k-means on the encoder's features: no learned attention.

Lloyd 1982, *Least squares quantization in PCM*.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core, CoreConfig, SlotOutput, check_positive
from slotbench.cores.layers import at_least_float32
from slotbench.registry import register


@dataclass(frozen=True)
class KMeansConfig(CoreConfig):
    """Options of the core ``kmeans``."""

    iterations: int = 10
    """Rounds of assignment and mean."""


@register("cores")
class KMeans(Core):
    """Each slot is a linear map of a cluster's mean; the attention is the assignment, 0 or 1.

    A centre starts from the features at a random place of the image, interpolated between four
    positions, so that two are seldom the same. A cluster that becomes empty keeps its centre. The
    gradient reaches the encoder through the means, not through the assignment.
    """

    name = "kmeans"
    summary = "hard k-means on the encoder's features; nothing learned but a linear map"
    source = "Lloyd 1982"

    Config: ClassVar[type[CoreConfig]] = KMeansConfig
    config: KMeansConfig

    def __init__(self, config: KMeansConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        check_positive(config, "iterations")
        self.to_slot = nn.Linear(int(encoder.width), config.width)  # type: ignore[arg-type]

    def noise(self, batch: int, generator: torch.Generator) -> Tensor:
        """Standard normal noise (B, K, 2): y and x of each centre's start."""
        return torch.randn(batch, self.num_slots, 2, generator=generator)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        features, grid = self.encoder(images)
        drawn = self.start_noise(images, noise)
        assert drawn is not None  # this core always draws noise
        with torch.autocast(images.device.type, enabled=False):
            points = at_least_float32(features)
            with torch.no_grad():
                centres = starting_centres(points, grid, drawn)
                for _ in range(self.config.iterations - 1):
                    centres = means(points, assignment(points, centres), centres)
                attention = assignment(points, centres)
            centres = means(points, attention, centres)
        return SlotOutput(
            self.to_slot(centres), attention.view(*attention.shape[:2], *grid), features
        )


def starting_centres(points: Tensor, grid: tuple[int, int], noise: Tensor) -> Tensor:
    """Centres (B, K, F): points (B, N, F) at uniform places of their grid, by noise (B, K, 2)."""
    places = torch.erf(noise.float() * 0.5**0.5).flip(2)[:, None]  # x before y
    maps = points.mT.reshape(len(points), -1, *grid)
    found = functional.grid_sample(
        maps, places.to(maps.dtype), padding_mode="border", align_corners=False
    )
    return found.squeeze(2).mT


def assignment(points: Tensor, centres: Tensor) -> Tensor:
    """1 at the nearest centre (B, K, F) of each point (B, N, F), else 0: float (B, K, N).

    Ties go to the first centre.
    """
    distance = centres.square().sum(dim=2, keepdim=True) - 2 * centres @ points.mT
    nearest = distance.argmin(dim=1)
    return functional.one_hot(nearest, centres.shape[1]).mT.to(points.dtype)


def means(points: Tensor, attention: Tensor, centres: Tensor) -> Tensor:
    """Mean of each cluster's points; the centre as it was where a cluster has none."""
    counts = attention.sum(dim=2, keepdim=True)
    return torch.where(counts > 0, attention @ points / counts.clamp(min=1), centres)
