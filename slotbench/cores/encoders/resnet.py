"""ResNets as encoders: the larger capacity of the covariance paper, with SAVi's stem."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1

from slotbench.cores.core import check_positive
from slotbench.cores.layers import he_initialise, pixel_centres
from slotbench.registry import register

GROUPS = 32
STRIDES = {1: 1, 2: 2, 3: 4, 4: 8}
"""Pixels from one position to the next, by the number of stages."""


@dataclass(frozen=True)
class ResNetConfig:
    """Options of the encoders ``resnet18`` and ``resnet34``."""

    channels: int = 64
    """Width that a 1x1 convolution brings the last stage to; the features have four more."""
    base: int = 64
    """Channels of the stem and the first stage; each further stage has twice as many."""
    stages: int = 4
    """How many of the four stages are used; each but the first halves the resolution."""
    input_mean: float = 0.6
    """Subtracted from the pixels, which lie in [0, 1]."""
    input_deviation: float = 0.2
    """Divides the pixels after that; both are near those of CLEVR's images."""


class ResNet(nn.Module):
    """A ResNet (He et al. 2015, arXiv 1512.03385) trained from scratch, with SAVi's changes.

    As in the code of SAVi (Kipf et al. 2021, arXiv 2111.12594): the stem is a 3x3 convolution of
    stride 1 without pooling, normalisation is by groups instead of the batch, and each block
    starts as the identity. Linear coordinates are channels of their own, as in ``strided-cnn``,
    where SAVi adds them. ``width`` is F; the last ``coordinates`` channels are the position.
    ValueError where the stages do not divide the image.
    """

    Config: ClassVar[type] = ResNetConfig
    blocks: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)
    coordinates = 4
    grid: Tensor

    def __init__(self, config: ResNetConfig, image_size: int) -> None:
        super().__init__()
        check_positive(config, "channels", "base", "input_deviation")
        if config.stages not in STRIDES:
            raise ValueError(f"encoder.stages={config.stages}: expected 1 to 4")
        stride = STRIDES[config.stages]
        if image_size % stride:
            raise ValueError(
                f"encoder.stages={config.stages} needs an image size that {stride} divides, "
                f"not {image_size}"
            )
        self.config, self.width = config, config.channels + self.coordinates
        inputs = config.base
        layers: list[nn.Module] = [nn.Conv2d(3, inputs, 3, padding=1, bias=False), _norm(inputs)]
        layers.append(nn.ReLU())
        for index in range(config.stages):
            width = config.base * 2**index
            layers.append(_stage(inputs, width, self.blocks[index], 1 if index == 0 else 2))
            inputs = width
        self.trunk = nn.Sequential(*layers)
        self.project = nn.Conv2d(inputs, config.channels, 1)
        he_initialise(self)
        for block in self.modules():
            if isinstance(block, BasicBlock):
                nn.init.zeros_(block.bn2.weight)
        self.norm = nn.LayerNorm(config.channels)
        self.side = image_size // stride
        centres = pixel_centres(self.side).flatten(0, 1)
        self.register_buffer("grid", torch.cat([centres, -centres], dim=1), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Images (B, 3, H, W) in [0, 1] -> features (B, N, F) and the grid they lie on."""
        inputs = (images - self.config.input_mean) / self.config.input_deviation
        content = self.norm(self.project(self.trunk(inputs)).flatten(2).mT)
        grid = self.grid.to(content.dtype).expand(len(images), -1, -1)
        return torch.cat([content, grid], dim=2), (self.side, self.side)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if inputs != width:
        shortcut = nn.Sequential(conv1x1(inputs, width, stride), _norm(width))
    first = BasicBlock(inputs, width, stride, shortcut, norm_layer=_norm)
    rest = [BasicBlock(width, width, norm_layer=_norm) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


@register("encoders")
class ResNet18(ResNet):
    """Two blocks a stage."""

    name = "resnet18"
    summary = "ResNet-18 without pooling, group normalisation"
    source = "He et al. 2015, arXiv 1512.03385; Kipf et al. 2021, arXiv 2111.12594"


@register("encoders")
class ResNet34(ResNet):
    """Three, four, six and three blocks."""

    name = "resnet34"
    summary = "ResNet-34 without pooling, group normalisation"
    source = "He et al. 2015, arXiv 1512.03385; Kipf et al. 2021, arXiv 2111.12594"

    blocks = (3, 4, 6, 3)
