"""Pieces that encoders and decoders share."""

import math

import torch
from torch import Tensor, nn


def coordinate_grid(height: int, width: int) -> Tensor:
    """float32 (height, width, 4): y, x, 1 - y, 1 - x, each from 0 to 1 (paper, Appendix E.2)."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([y, x, 1 - y, 1 - x], dim=2)


def pixel_centres(side: int) -> Tensor:
    """float32 (side, side, 2): y and x of the middle of each cell, from -1 to 1."""
    places = (torch.arange(side) + 0.5) * (2 / side) - 1
    return torch.stack(torch.meshgrid(places, places, indexing="ij"), dim=2)


def fourier_grid(side: int, frequencies: tuple[float, ...]) -> Tensor:
    """float32 (side, side, 4 * frequencies): sine and cosine of pi f y and of pi f x."""
    angles = math.pi * pixel_centres(side)[..., None] * torch.tensor(frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=3).flatten(2)


def cell_centres(height: int, width: int) -> Tensor:
    """float32 (height * width, 2): y and x of the middle of each cell, from -1 to 1."""
    y, x = ((torch.arange(side) + 0.5) * (2 / side) - 1 for side in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=2).flatten(0, 1)


class PositionEmbedding(nn.Module):
    """Adds a learned linear map of the coordinates to a feature map (paper, Appendix E.2)."""

    grid: Tensor

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, channels)
        self.register_buffer("grid", coordinate_grid(height, width), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """float (B, C, H', W') -> the same shape."""
        embedded: Tensor = self.linear(self.grid)
        return features + embedded.permute(2, 0, 1)


def at_least_float32(values: Tensor) -> Tensor:
    """Values as float32 where autocast made them shorter; float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def he_initialise(module: nn.Module) -> None:
    """He et al. 2015 for every layer, with zero biases; PyTorch's default is smaller.

    With the default the signal shrinks from layer to layer, and the coordinates drown it.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
