"""Pieces that encoders and decoders share."""

import torch
from torch import Tensor, nn


def coordinate_grid(height: int, width: int) -> Tensor:
    """float32 (height, width, 4): y, x, 1 - y, 1 - x, each from 0 to 1 (paper, Appendix E.2)."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([y, x, 1 - y, 1 - x], dim=2)


class PositionEmbedding(nn.Module):
    """Adds a learned linear map of the coordinates to a feature map, scaled by ``scale``.

    A scale under 1 keeps the coordinates from drowning what the image says, which otherwise
    leads to slots that own a region of the frame whatever is there.
    """

    grid: Tensor

    def __init__(self, channels: int, height: int, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(4, channels)
        self.register_buffer("grid", coordinate_grid(height, width), persistent=False)
        with torch.no_grad():
            self.linear.weight.mul_(scale)

    def forward(self, features: Tensor) -> Tensor:
        """float (B, C, H', W') -> the same shape."""
        embedded: Tensor = self.linear(self.grid)
        return features + embedded.permute(2, 0, 1)


def he_initialise(module: nn.Module) -> None:
    """He et al. 2015 for every convolution: PyTorch's default is smaller by a factor of 2.4.

    With the default the signal shrinks from layer to layer and the coordinates, which are
    added behind the convolutions, drown it.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
