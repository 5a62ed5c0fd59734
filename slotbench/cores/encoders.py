"""Encoders: images (B, 3, H, W) -> features (B, N, F) and the grid (H', W') they lie on."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from slotbench.cores.layers import PositionEmbedding, he_initialise


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
    """Channels of every layer; the width F of the features."""
    depth: int = 3
    """Number of 3x3 convolutions that follow the strided one."""
    stride: int = 4
    """Pixels from one position to the next, along both sides."""
    coordinate_scale: float = 1.0
    """Scale of the position embedding's weights before training."""


class Encoder(nn.Module):
    """A convolutional trunk, position embedding, and a position-wise MLP (paper, Appendix E)."""

    Config: ClassVar[type] = CnnConfig

    def __init__(self, trunk: nn.Module, channels: int, grid: int, coordinate_scale: float) -> None:
        super().__init__()
        self.width = channels
        self.trunk = trunk
        self.position = PositionEmbedding(channels, grid, grid, coordinate_scale)
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


class Cnn(Encoder):
    """The paper's encoder: 5x5 convolutions at the image's own resolution."""

    Config = CnnConfig

    def __init__(self, config: CnnConfig, image_size: int) -> None:
        layers: list[nn.Module] = []
        for index in range(config.depth):
            inputs = 3 if index == 0 else config.channels
            layers += [nn.Conv2d(inputs, config.channels, 5, padding=2), nn.ReLU()]
        super().__init__(nn.Sequential(*layers), config.channels, image_size, 1.0)


class StridedCnn(Encoder):
    """One convolution with a stride, then 3x3 convolutions: the paper's idea at a 1/16 the cost."""

    Config = StridedCnnConfig

    def __init__(self, config: StridedCnnConfig, image_size: int) -> None:
        stride, channels = config.stride, config.channels
        if image_size % stride:
            raise ValueError(f"encoder.stride={stride} does not divide the image size {image_size}")
        layers: list[nn.Module] = [
            nn.Conv2d(3, channels, stride + 2, stride, padding=1),
            nn.ReLU(),
        ]
        for _ in range(config.depth):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        trunk = nn.Sequential(*layers)
        he_initialise(trunk)
        super().__init__(trunk, channels, image_size // stride, config.coordinate_scale)
