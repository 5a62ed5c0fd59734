"""Encoders: images (B, 3, H, W) -> features (B, N, F) and the grid (H', W') they lie on."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from slotbench.cores.layers import PositionEmbedding, cell_centres, he_initialise, mlp
from slotbench.fields import Count, Options, Positive, Whole
from slotbench.registry import register


@dataclass(frozen=True)
class CnnConfig(Options):
    channels: Count = 64
    """Channels of every layer; the width F of the features."""
    depth: Count = 4
    """Number of 5x5 convolutions."""


@register("encoders")
class Cnn(nn.Module):
    """The paper's encoder (Appendix E): 5x5 convolutions at the image's own resolution.

    A position embedding is added, and a position-wise MLP follows. ``width`` is F; the last
    ``coordinates`` of the F channels hold only the position.
    """

    name = "cnn"
    summary = "four 5x5 convolutions at the image's resolution"
    source = "Locatello et al. 2020, arXiv 2006.15055, Appendix E"
    Config: ClassVar[type] = CnnConfig
    coordinates = 0

    def __init__(self, config: CnnConfig, image_size: int) -> None:
        super().__init__()
        self.width = channels = config.channels
        layers: list[nn.Module] = []
        for index in range(config.depth):
            inputs = 3 if index == 0 else channels
            layers += [nn.Conv2d(inputs, channels, 5, padding=2), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.position = PositionEmbedding(channels, image_size)
        self.mlp = nn.Sequential(nn.LayerNorm(channels), *mlp((channels, channels, channels)))

    def seen(self, images: Tensor) -> Tensor:
        """Content (B, F, H, W) of images (B, 3, H, W), without norm and position."""
        return self.trunk(images)  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Images (B, 3, H, W) in [0, 1] -> features (B, N, F) and the grid they lie on."""
        maps = self.position(self.trunk(images))
        height, width = maps.shape[2:]
        return self.mlp(maps.flatten(2).mT), (height, width)


@dataclass(frozen=True, kw_only=True)
class PixelConfig(Options):
    """The defaults are near CLEVR's."""

    input_mean: float = 0.6
    """Subtracted from the pixels, which lie in [0, 1]."""
    input_deviation: Positive = 0.2
    """Divides the difference."""


class PlacedEncoder(nn.Module):
    """Normalised content, with linear coordinates in four channels of their own behind it.

    So a core can tell content from position. The coordinates are linear, because finer ones let
    slots cut objects in two (docs/log.md). A subclass makes ``trunk`` and then calls :meth:`place`.
    """

    coordinates = 4
    grid: Tensor
    trunk: nn.Sequential
    """From standardised pixels (B, 3, H, W) to content (B, channels, side, side)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, self.width = config, config.channels + self.coordinates

    def place(self, side: int) -> None:
        """Make the last norm and the coordinates of side x side positions."""
        self.norm = nn.LayerNorm(self.config.channels)
        self.side, centres = side, cell_centres(side, side)
        self.register_buffer("grid", torch.cat([centres, -centres], dim=1), persistent=False)

    def seen(self, images: Tensor) -> Tensor:
        """Content (B, F, side, side) of images (B, 3, H, W), without norm and position."""
        maps: Tensor = self.trunk((images - self.config.input_mean) / self.config.input_deviation)
        return maps

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Images (B, 3, H, W) in [0, 1] -> features (B, N, F) and their grid."""
        content = self.norm(self.seen(images).flatten(2).mT)
        grid = self.grid.to(content.dtype).expand(len(images), -1, -1)
        return torch.cat([content, grid], dim=2), (self.side, self.side)


@dataclass(frozen=True)
class StridedCnnConfig(PixelConfig):
    channels: Count = 64
    """Channels of every layer; the features have four more, the coordinates."""
    depth: Whole = 2
    """Number of 3x3 convolutions that follow the strided one."""
    stride: Count = 4
    """Pixels from one position to the next, along both sides."""


@register("encoders")
class StridedCnn(PlacedEncoder):
    """One convolution with a stride, then 3x3 convolutions, with coordinates beside them."""

    name = "strided-cnn"
    summary = "a convolution with a stride, then 3x3 convolutions"
    source = "slotbench, docs/log.md"
    Config: ClassVar[type] = StridedCnnConfig

    def __init__(self, config: StridedCnnConfig, image_size: int) -> None:
        super().__init__(config)
        stride, channels = config.stride, config.channels
        if image_size % stride:
            raise ValueError(f"encoder.stride={stride} does not divide the image size {image_size}")
        layers: list[nn.Module] = [nn.Conv2d(3, channels, stride + 2, stride, padding=1)]
        for _ in range(config.depth):
            layers += [nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)]
        self.trunk = nn.Sequential(*layers)
        he_initialise(self.trunk)
        self.place(image_size // stride)


@dataclass(frozen=True)
class PixelsConfig(PixelConfig):
    channels: Count = 32
    """Channels of both layers; the features have four more, the coordinates."""


@register("encoders")
class Pixels(PlacedEncoder):
    """A network of two layers on each pixel's own colour, with coordinates beside it.

    It sees no neighbours, so neither textures nor shapes, and blurs no edges. Where objects have
    one colour each, a single 3x3 convolution gives their edges features far from every object's
    (docs/log.md).
    """

    name = "pixels"
    summary = "each pixel's own colour; no neighbours, so no blurred edges"
    source = "slotbench, docs/log.md"
    Config: ClassVar[type] = PixelsConfig

    def __init__(self, config: PixelsConfig, image_size: int) -> None:
        super().__init__(config)
        channels = config.channels
        first = nn.Conv2d(3, 2 * channels, 1)
        self.trunk = nn.Sequential(first, nn.ReLU(), nn.Conv2d(2 * channels, channels, 1))
        he_initialise(self.trunk)
        # Without biases the norm that follows would make colours of one hue alike.
        assert first.bias is not None
        nn.init.uniform_(first.bias, -1.5, 1.5)
        self.place(image_size)
