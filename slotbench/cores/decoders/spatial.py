"""Decoders: slots (B, K, D) -> each slot's image and mask, mixed by a softmax over slots."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.layers import PositionEmbedding, fourier_grid, he_initialise
from slotbench.fields import Count, Options, Whole
from slotbench.registry import register


class Decoded(NamedTuple):
    """A decoder's output for B sets of K slots, at its own resolution h x w."""

    image: Tensor | None
    """float (B, 3, h, w): the mixture, on the scale of images in [0, 1]; none where features are
    decoded."""
    masks: Tensor
    """float (B, K, h', w'), in [0, 1]; sums to 1 over K at each position."""
    parts: Tensor | None
    """float (B, K, 3, h, w): each slot's own image; none where slots are not decoded alone."""


class ImageDecoder(nn.Module, ABC):
    """Makes an image, ``size`` pixels wide and high, and masks of slots."""

    Config: ClassVar[type]
    size: int

    @abstractmethod
    def forward(self, slots: Tensor, images: Tensor) -> Decoded:
        """Slots (B, K, D); only autoregressive decoders read their images (B, 3, H, W)."""


class MixtureDecoder(ImageDecoder):
    """Decodes every slot by itself and mixes the results (paper, Section 3.1)."""

    @abstractmethod
    def decode(self, slots: Tensor) -> Tensor:
        """Slots (M, D) -> float (M, 4, size, size): red, green, blue and the mask's logit."""

    def forward(
        self, slots: Tensor, images: Tensor | None = None, prior: Tensor | None = None
    ) -> Decoded:
        """``prior``, float (B, K, size, size), is added to the logits of the masks."""
        flat = self.decode(slots.flatten(0, 1))
        decoded = flat.view(*slots.shape[:2], *flat.shape[1:])
        parts, logits = decoded[:, :, :3], decoded[:, :, 3:]
        masks = (logits if prior is None else logits + prior[:, :, None]).softmax(dim=1)
        return Decoded((parts * masks).sum(dim=1), masks.squeeze(2), parts)


class SpatialBroadcast(MixtureDecoder):
    """Each slot at every position of a grid, then transposed 5x5 convolutions.

    ``start`` is the side of the grid; each convolution multiplies it by its stride.

    The first convolution is linear, so slot and position are convolved apart: the positions once
    for all slots; the slot, whose result differs only at the borders, on a small grid.
    """

    def __init__(self, slot_width: int, channels: int, start: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.start, self.size = start, start * math.prod(strides)
        self.position = PositionEmbedding(slot_width, start)
        layers: list[nn.Module] = []
        inputs = slot_width
        for stride in strides:
            layers += [nn.ConvTranspose2d(inputs, channels, 5, stride, 2, stride - 1), nn.ReLU()]
            inputs = channels
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(inputs, 4, 3, 1, 1))

    def decode(self, slots: Tensor) -> Tensor:
        return self.layers[1:](self.first_layer(slots))  # type: ignore[no-any-return]

    def first_layer(self, slots: Tensor) -> Tensor:
        """The first convolution of slots (M, D) at all positions: float (M, C, side, side)."""
        layer = self.layers[0]
        assert isinstance(layer, nn.ConvTranspose2d)
        stride, edge = layer.stride[0], -(-2 // layer.stride[0])
        # The border changes two output pixels on each side, which lie in `edge` cells of the grid.
        small = min(self.start, 2 * edge + 1)
        made: Tensor = layer(spread(slots, small))
        if small < self.start:
            made = made.permute(0, 2, 3, 1)
            for dim in (1, 2):
                parts = torch.split(made, [edge * stride, stride, edge * stride], dim)
                times = [self.start - 2 * edge if each == dim else 1 for each in range(4)]
                made = torch.cat([parts[0], parts[1].repeat(times), parts[2]], dim)
            made = made.permute(0, 3, 1, 2)
        places = self.position(spread(torch.zeros_like(slots[:1]), self.start))
        weight = layer.weight
        return made + functional.conv_transpose2d(places, weight, None, stride, 2, stride - 1)


def spread(slots: Tensor, side: int) -> Tensor:
    """Slots (M, D) at every place: (M, D, side, side), channels last in memory."""
    grid = slots[:, :, None, None].expand(-1, -1, side, side)
    return grid.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class BroadcastConfig(Options):
    channels: Count = 64
    """Channels of every layer."""


@register("decoders")
class Broadcast(SpatialBroadcast):
    """The paper's decoder for CLEVR: broadcast to 8x8, doubled up to the image's size."""

    name = "broadcast"
    summary = "spatial broadcast to 8x8, doubled by transposed convolutions"
    source = "Watters et al. 2019, arXiv 1901.07017; Locatello et al. 2020, Appendix E"
    Config = BroadcastConfig

    def __init__(self, config: BroadcastConfig, slot_width: int, image_size: int) -> None:
        doublings = math.log2(image_size / 8)
        if doublings < 0 or doublings % 1:
            raise ValueError(
                f"decoder.name=broadcast doubles 8 pixels; the image size {image_size} is no "
                "power of two"
            )
        super().__init__(slot_width, config.channels, 8, [2] * int(doublings) + [1])


@dataclass(frozen=True)
class BroadcastFullConfig(Options):
    channels: Count = 32
    """Channels of every layer."""
    depth: Count = 3
    """Number of 5x5 convolutions before the last, 3x3 one."""


@register("decoders")
class BroadcastFull(SpatialBroadcast):
    """The paper's decoder for Multi-dSprites and Tetrominoes: full resolution, no stride."""

    name = "broadcast-full"
    summary = "spatial broadcast to every pixel, then convolutions without a stride"
    source = "Locatello et al. 2020, arXiv 2006.15055, Appendix E"
    Config = BroadcastFullConfig

    def __init__(self, config: BroadcastFullConfig, slot_width: int, image_size: int) -> None:
        super().__init__(slot_width, config.channels, image_size, [1] * config.depth)


@dataclass(frozen=True)
class BilinearConfig(Options):
    channels: Count = 32
    """Channels of every layer, and the rank of the bilinear form."""
    depth: Whole = 1
    """Number of 3x3 convolutions on the grid."""
    grid: Count = 16
    """Side of the grid on which slot and position meet."""
    size: Count = 32
    """Side of the decoded image, a multiple of the grid; the target is area-averaged to it."""
    bounded: bool = True
    """Whether a sigmoid keeps colours in [0, 1]. Without it a faint mask of a colour below black
    draws the same picture as a full mask, and small objects stay half background."""
    frequencies: tuple[float, float, float, float] = (0.5, 1.0, 2.0, 4.0)
    """Half-waves across the frame of the position's sines and cosines."""


class BilinearForm(nn.Module):
    """A low-rank bilinear form of slot and position, then 3x3 convolutions on the grid.

    h(p) = relu(W (P p * G z) + B z) for slot z and the Fourier code p of a position. It finds
    objects in far fewer steps than adding coordinates to the slot (docs/log.md).
    """

    code: Tensor

    def __init__(
        self,
        slot_width: int,
        channels: int,
        depth: int,
        grid: int,
        outputs: int,
        frequencies: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0),
    ) -> None:
        super().__init__()
        self.grid = grid
        code = fourier_grid(grid, frequencies)
        code = torch.cat([code, torch.ones(len(code), 1)], 1)
        self.register_buffer("code", code, persistent=False)
        self.of_position = nn.Parameter(
            torch.randn(channels, self.code.shape[1]) * self.code.shape[1] ** -0.5
        )
        self.of_slot = nn.Linear(slot_width, channels)
        self.bias = nn.Linear(slot_width, channels)
        self.mix = nn.Linear(channels, channels, bias=False)
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, outputs, 1))
        he_initialise(self)
        nn.init.normal_(self.of_slot.weight, std=slot_width**-0.5)
        with torch.no_grad():
            self.last.weight.mul_(0.3)

    @property
    def last(self) -> nn.Conv2d:
        """The 1x1 convolution to the outputs."""
        layer = self.layers[-1]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def hidden(self, slots: Tensor) -> Tensor:
        """What the last layer reads: float (M, D) -> (M, channels, grid, grid)."""
        # W (P p * G z) = (W diag(G z) P) p: one small matrix a slot instead of a product of size
        # (slots, positions, channels).
        form = (self.mix.weight * self.of_slot(slots)[:, None]) @ self.of_position
        code = self.code.to(form.dtype).T.expand(len(slots), -1, -1)
        hidden = torch.baddbmm(self.bias(slots)[:, :, None], form, code).relu()
        maps: Tensor = self.layers[:-1](hidden.view(*hidden.shape[:2], self.grid, self.grid))
        return maps


@register("decoders")
class Bilinear(BilinearForm, MixtureDecoder):
    """The bilinear form of slot and position, and a pixel shuffle.

    A slot has one colour, and the grid's pixels hold corrections to it.
    """

    name = "bilinear"
    summary = "bilinear form of slot and position, a convolution, a pixel shuffle"
    source = "slotbench, docs/log.md; Shi et al. 2016, arXiv 1609.05158"
    Config = BilinearConfig

    def __init__(self, config: BilinearConfig, slot_width: int, image_size: int) -> None:
        if config.size % config.grid or image_size % config.size:
            raise ValueError(
                f"decoder.size={config.size} must be a multiple of decoder.grid={config.grid} "
                f"and divide the image size {image_size}"
            )
        factor = config.size // config.grid
        super().__init__(
            slot_width,
            config.channels,
            config.depth,
            config.grid,
            4 * factor**2,
            config.frequencies,
        )
        self.size, self.factor, self.bounded = config.size, factor, config.bounded
        self.color = nn.Linear(slot_width, 3)
        nn.init.normal_(self.color.weight, std=0.1 * slot_width**-0.5)
        nn.init.constant_(self.color.bias, 0.6)

    def decode(self, slots: Tensor) -> Tensor:
        drawn = functional.pixel_shuffle(self.last(self.hidden(slots)), self.factor)
        color, logits = self.color(slots)[:, :, None, None], drawn[:, 3:]
        colors = drawn[:, :3] + color
        if self.bounded:
            # Near the identity in the middle of the range.
            colors = (4 * (colors - 0.5)).sigmoid()
        return torch.cat([colors, logits], dim=1)
