"""Encoders: images (B, 3, H, W) -> features (B, N, F) and the grid (H', W') they lie on."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from slotbench.cores.core import check_positive
from slotbench.cores.layers import PositionEmbedding, he_initialise, pixel_centres
from slotbench.registry import register


@dataclass(frozen=True)
class CnnConfig:
    """Options of the encoder ``cnn``."""

    channels: int = 64
    """Channels of every layer; the width F of the features."""
    depth: int = 4
    """Number of 5x5 convolutions."""


@dataclass(frozen=True)
class StridedCnnConfig:
    """Options of the encoder ``strided-cnn``."""

    channels: int = 64
    """Channels of every layer; the features have four more, the coordinates."""
    depth: int = 2
    """Number of 3x3 convolutions that follow the strided one."""
    stride: int = 4
    """Pixels from one position to the next, along both sides."""
    input_mean: float = 0.6
    """Subtracted from the pixels, which lie in [0, 1]."""
    input_deviation: float = 0.2
    """Divides the pixels after that; both are near those of CLEVR's images."""


@register("encoders")
class Cnn(nn.Module):
    """The paper's encoder: 5x5 convolutions at the image's own resolution.

    Then position embedding, which is added, and a position-wise MLP (paper, Appendix E).
    ``width`` is F; the last ``coordinates`` of the F channels hold nothing but the position.
    """

    name = "cnn"
    summary = "four 5x5 convolutions at the image's resolution"
    source = "Locatello et al. 2020, arXiv 2006.15055, Appendix E"

    Config: ClassVar[type] = CnnConfig
    coordinates = 0

    def __init__(self, config: CnnConfig, image_size: int) -> None:
        super().__init__()
        check_positive(config, "channels", "depth")
        self.width = channels = config.channels
        layers: list[nn.Module] = []
        for index in range(config.depth):
            inputs = 3 if index == 0 else channels
            layers += [nn.Conv2d(inputs, channels, 5, padding=2), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.position = PositionEmbedding(channels, image_size, image_size)
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        maps = self.position(self.trunk(images))
        height, width = maps.shape[2:]
        return self.mlp(maps.flatten(2).mT), (height, width)


@register("encoders")
class StridedCnn(nn.Module):
    """One convolution with a stride, then 3x3 convolutions, with linear coordinates beside them.

    The coordinates are channels of their own, so that a core can tell content from position;
    they are linear, because finer ones let slots cut objects in two (docs/log.md).
    """

    name = "strided-cnn"
    summary = "a convolution with a stride, then 3x3 convolutions"
    source = "slotbench, docs/log.md"

    Config: ClassVar[type] = StridedCnnConfig
    coordinates = 4
    grid: Tensor

    def __init__(self, config: StridedCnnConfig, image_size: int) -> None:
        super().__init__()
        check_positive(config, "channels", "stride", "input_deviation")
        stride, channels = config.stride, config.channels
        if image_size % stride:
            raise ValueError(f"encoder.stride={stride} does not divide the image size {image_size}")
        self.config = config
        self.width = channels + self.coordinates
        layers: list[nn.Module] = [nn.Conv2d(3, channels, stride + 2, stride, padding=1)]
        for _ in range(config.depth):
            layers += [nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)]
        self.trunk = nn.Sequential(*layers)
        he_initialise(self.trunk)
        self.norm = nn.LayerNorm(channels)
        self.side = image_size // stride
        centres = pixel_centres(self.side).flatten(0, 1)
        self.register_buffer("grid", torch.cat([centres, -centres], dim=1), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        inputs = (images - self.config.input_mean) / self.config.input_deviation
        content = self.norm(self.trunk(inputs).flatten(2).mT)
        grid = self.grid.to(content.dtype).expand(len(images), -1, -1)
        return torch.cat([content, grid], dim=2), (self.side, self.side)
