"""What dense objectives predict: maps of what stands where in an image, without its places."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.objectives.momentum import momentum_copy, move


class Patches(nn.Module):
    """A learned embedding of each patch: images float (B, 3, H, W) -> (B, width, grid, grid).

    Images of another size are resized to ``grid`` patches of ``patch`` pixels first.
    """

    def __init__(self, grid: int, patch: int, hidden: int, width: int) -> None:
        super().__init__()
        self.side = grid * patch
        self.layers = nn.Sequential(
            nn.Conv2d(3, hidden, patch, stride=patch), nn.ReLU(), nn.Conv2d(hidden, width, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2:] != (self.side, self.side):
            images = functional.interpolate(
                images, (self.side, self.side), mode="bilinear", antialias=True
            )
        made: Tensor = self.layers(images)
        return made


class EncoderTarget(nn.Module):
    """The content features of a slower copy of the core's encoder, without gradient.

    A frozen encoder is its own copy. Features of a grid finer than ``grid`` are averaged to it.
    """

    def __init__(self, core: Core, grid: int) -> None:
        super().__init__()
        encoder, self.grid = core.encoder, grid
        self.width = int(encoder.width) - coordinates(encoder)  # type: ignore[arg-type]
        trained = any(weight.requires_grad for weight in encoder.parameters())
        self.copy = momentum_copy(encoder) if trained else None

    @torch.no_grad()
    def forward(self, images: Tensor, encoder: nn.Module) -> Tensor:
        """Images float (B, 3, H, W) -> float (B, width, h, w), h and w at most ``grid``."""
        features, (height, width) = (self.copy or encoder)(images)
        maps = content(features, encoder).mT.reshape(len(images), self.width, height, width)
        side = (min(height, self.grid), min(width, self.grid))
        return functional.adaptive_avg_pool2d(maps, side)

    def follow(self, encoder: nn.Module, momentum: float) -> None:
        """Move the copy after its encoder."""
        if self.copy is not None:
            move(self.copy, encoder, momentum)


def coordinates(encoder: nn.Module) -> int:
    """How many of an encoder's channels, the last, hold nothing but the position."""
    return int(getattr(encoder, "coordinates", 0))


def content(features: Tensor, encoder: nn.Module) -> Tensor:
    """Features float (B, N, F) without the channels that hold nothing but the position."""
    return features[..., : features.shape[-1] - coordinates(encoder)]
