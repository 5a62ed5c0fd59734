"""Decoders: slots (B, K, D) -> each slot's image and mask, mixed by a softmax over slots."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from slotbench.cores.layers import PositionEmbedding, he_initialise


class Decoded(NamedTuple):
    """What a decoder makes of B sets of K slots, at its own resolution h x w."""

    image: Tensor
    """float (B, 3, h, w): the mixture; pixels of the training images lie in [0, 1]."""
    masks: Tensor
    """float (B, K, h, w), in [0, 1]; sums to 1 over K at each pixel."""
    parts: Tensor
    """float (B, K, 3, h, w): each slot's own image."""


@dataclass(frozen=True)
class BroadcastConfig:
    """Options of the decoder ``broadcast``."""

    channels: int = 64
    """Channels of every layer."""


@dataclass(frozen=True)
class ShuffleConfig:
    """Options of the decoder ``shuffle``."""

    channels: int = 32
    """Channels of every layer."""
    depth: int = 3
    """Number of 3x3 convolutions on the grid."""
    grid: int = 8
    """Side of the grid that slots are broadcast to."""
    size: int = 32
    """Side of the decoded image, a multiple of the grid; the target is area-averaged to it."""
    coordinate_scale: float = 0.3
    """Scale of the position embedding's weights before training."""


class MixtureDecoder(nn.Module, ABC):
    """Decodes every slot by itself and mixes the results (paper, Section 3.1).

    A subclass sets ``size`` and defines ``decode``: slots (B*K, D) -> (B*K, 4, size, size), the
    channels being red, green, blue and the logit of the mask.
    """

    Config: ClassVar[type] = BroadcastConfig
    size: int

    @abstractmethod
    def decode(self, slots: Tensor) -> Tensor:
        """Each slot by itself."""

    def forward(self, slots: Tensor) -> Decoded:
        flat = self.decode(slots.flatten(0, 1))
        decoded = flat.view(*slots.shape[:2], *flat.shape[1:])
        parts, masks = decoded[:, :, :3], decoded[:, :, 3:].softmax(dim=1)
        return Decoded((parts * masks).sum(dim=1), masks.squeeze(2), parts)


class Broadcast(MixtureDecoder):
    """The paper's spatial broadcast decoder: 8x8, doubled by transposed 5x5 convolutions."""

    Config = BroadcastConfig

    def __init__(self, config: BroadcastConfig, slot_width: int, image_size: int) -> None:
        super().__init__()
        doublings = math.log2(image_size / 8)
        if doublings < 0 or doublings % 1:
            raise ValueError(
                f"decoder.name=broadcast doubles 8 pixels; the image size {image_size} is no "
                "power of two"
            )
        self.size = image_size
        self.position = PositionEmbedding(slot_width, 8, 8)
        layers: list[nn.Module] = []
        inputs, channels = slot_width, config.channels
        for _ in range(int(doublings)):
            layers += [nn.ConvTranspose2d(inputs, channels, 5, 2, 2, 1), nn.ReLU()]
            inputs = channels
        layers += [nn.ConvTranspose2d(inputs, channels, 5, 1, 2), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(channels, 4, 3, 1, 1))

    def decode(self, slots: Tensor) -> Tensor:
        grid = slots[:, :, None, None].expand(-1, -1, 8, 8)
        return self.layers(self.position(grid))  # type: ignore[no-any-return]


class Shuffle(MixtureDecoder):
    """A cheap broadcast decoder: 3x3 convolutions on a coarse grid, then a pixel shuffle."""

    Config = ShuffleConfig

    def __init__(self, config: ShuffleConfig, slot_width: int, image_size: int) -> None:
        super().__init__()
        if config.size % config.grid or image_size % config.size:
            raise ValueError(
                f"decoder.size={config.size} must be a multiple of decoder.grid={config.grid} "
                f"and divide the image size {image_size}"
            )
        self.size, self.grid = config.size, config.grid
        factor = config.size // config.grid
        self.position = PositionEmbedding(
            slot_width, config.grid, config.grid, config.coordinate_scale
        )
        layers: list[nn.Module] = []
        for index in range(config.depth):
            inputs = slot_width if index == 0 else config.channels
            layers += [nn.Conv2d(inputs, config.channels, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(
            *layers, nn.Conv2d(config.channels, 4 * factor**2, 1), nn.PixelShuffle(factor)
        )
        he_initialise(self.layers)

    def decode(self, slots: Tensor) -> Tensor:
        grid = slots[:, :, None, None].expand(-1, -1, self.grid, self.grid)
        return self.layers(self.position(grid))  # type: ignore[no-any-return]
