"""ResNets as encoders: the larger capacity of the covariance paper, with SAVi's stem."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Interval
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1

from slotbench.cores.encoders.cnn import PixelConfig, PlacedEncoder
from slotbench.cores.layers import he_initialise
from slotbench.fields import Count
from slotbench.registry import register

GROUPS = 32


@dataclass(frozen=True)
class ResNetConfig(PixelConfig):
    channels: Count = 64
    """Outputs of the 1x1 convolution after the last stage; the features have four more."""
    base: Count = 64
    """Channels of the stem and the first stage; each further stage has twice as many."""
    stages: Annotated[int, Interval(ge=1, le=4)] = 4
    """Number of stages; each but the first halves the resolution."""


class ResNet(PlacedEncoder):
    """A ResNet (He et al. 2015, arXiv 1512.03385) trained from scratch, with SAVi's changes.

    As in SAVi's code (Kipf et al. 2021, arXiv 2111.12594): the stem is a 3x3 convolution of
    stride 1 without pooling, normalisation is by groups, and each block starts as the identity.
    SAVi adds coordinates to the features; here they are channels of their own. ValueError where
    the stages do not divide the image.
    """

    Config: ClassVar[type] = ResNetConfig
    blocks: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)

    def __init__(self, config: ResNetConfig, image_size: int) -> None:
        super().__init__(config)
        stride = 2 ** (config.stages - 1)
        if image_size % stride:
            raise ValueError(
                f"encoder.stages={config.stages} needs an image size that {stride} divides, "
                f"not {image_size}"
            )
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
        self.place(image_size // stride)

    def seen(self, images: Tensor) -> Tensor:
        return self.project(super().seen(images))  # type: ignore[no-any-return]


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
