"""Cores that a slot core must beat: k-means, an MLP without competition, one vector an image."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core, CoreConfig, SlotOutput
from slotbench.cores.layers import at_least_float32, mlp
from slotbench.fields import Count
from slotbench.registry import register


@dataclass(frozen=True)
class KMeansConfig(CoreConfig):
    iterations: Count = 10
    """Rounds of assignment and mean."""


@register("cores")
class KMeans(Core):
    """Each slot is a linear map of a cluster's mean; the attention is the assignment, 0 or 1.

    Centres start from the features at random places, interpolated so that two seldom coincide. An
    empty cluster keeps its centre. The gradient passes through the means alone.
    """

    name = "kmeans"
    summary = "hard k-means on the encoder's features; nothing learned but a linear map"
    source = "Lloyd 1982"
    Config = KMeansConfig
    config: KMeansConfig

    def __init__(self, config: KMeansConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        self.to_slot = nn.Linear(int(encoder.width), config.width)  # type: ignore[arg-type]

    def noise(self, batch: int, generator: torch.Generator) -> Tensor:
        """Standard normal noise (B, K, 2): y and x of each centre's start."""
        return torch.randn(batch, self.num_slots, 2, generator=generator)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        features, grid = self.encoder(images)
        drawn = self.start_noise(images, noise)
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
    """Mean (B, K, F) of each cluster's points (B, N, F), by an assignment (B, K, N) of 0 and 1.

    A cluster without points keeps its centre, of ``centres`` (B, K, F).
    """
    counts = attention.sum(dim=2, keepdim=True)
    return torch.where(counts > 0, attention @ points / counts.clamp(min=1), centres)


@dataclass(frozen=True)
class SlotMlpConfig(CoreConfig):
    mlp_width: Count = 512
    """Hidden width of the MLP."""
    grid: Count = 8
    """Side of the grid to which the features are averaged before they are flattened."""


@register("cores")
class SlotMlp(Core):
    """Slot k is the k-th part of one MLP's output; attention is 1/K everywhere."""

    name = "slot-mlp"
    summary = "an MLP on the flattened features; no attention, no competition"
    source = "Locatello et al. 2020, arXiv 2006.15055, Section 4"
    Config = SlotMlpConfig
    config: SlotMlpConfig
    draws = False

    def __init__(self, config: SlotMlpConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        features = int(encoder.width)  # type: ignore[arg-type]
        self.norm_features = nn.LayerNorm(features)
        inputs, outputs = features * config.grid**2, self.num_slots * config.width
        self.mlp = mlp((inputs, config.mlp_width, outputs))

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        features, grid = self.encoder(images)
        maps = self.norm_features(features).mT.reshape(len(images), -1, *grid)
        flat = functional.adaptive_avg_pool2d(maps, self.config.grid).flatten(1)
        slots = self.mlp(flat).view(len(images), self.num_slots, self.config.width)
        shape = (len(images), self.num_slots, *grid)
        return SlotOutput(slots, slots.new_full(shape, 1 / self.num_slots), features)


@dataclass(frozen=True)
class GlobalConfig(CoreConfig):
    slots: int | None = 1
    """Always 1."""
    mlp_width: Count = 128
    """Hidden width of the position-wise MLP."""

    def __post_init__(self) -> None:
        if self.slots != 1:
            raise ValueError(
                f"slots={self.slots}: expected 1; the core 'global' makes one vector an image"
            )
        super().__post_init__()


@register("cores")
class GlobalVector(Core):
    """A position-wise MLP, averaged over positions: K = 1, and attention is 1 everywhere."""

    name = "global"
    summary = "one vector an image: the mean of a position-wise MLP"
    source = "control"
    Config = GlobalConfig
    config: GlobalConfig
    draws = False

    def __init__(self, config: GlobalConfig, encoder: nn.Module) -> None:
        super().__init__(config, encoder)
        features = int(encoder.width)  # type: ignore[arg-type]
        self.mlp = nn.Sequential(
            nn.LayerNorm(features), nn.Linear(features, config.mlp_width), nn.ReLU()
        )
        self.to_slot = nn.Linear(config.mlp_width, config.width)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> SlotOutput:
        features, grid = self.encoder(images)
        slots = self.to_slot(self.mlp(features).mean(dim=1, keepdim=True))
        return SlotOutput(slots, slots.new_ones(len(images), 1, *grid), features)
