"""ResNets as encoders: the larger capacity of the covariance paper, with SAVi's stem."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.models import resnet

from slotbench.cores.layers import he_initialise, pixel_centres

GROUPS = 32
STRIDES = {1: 1, 2: 2, 3: 4, 4: 8}
"""Pixels from one position to the next, by the number of stages."""


@dataclass(frozen=True)
class ResNetConfig:
    """Options of the encoders ``resnet18`` and ``resnet34``."""

    channels: int = 64
    """Width that a 1x1 convolution brings the last stage to; the features have four more."""
    stages: int = 4
    """How many of the four stages are used; each but the first halves the resolution."""
    input_mean: float = 0.6
    """Subtracted from the pixels, which lie in [0, 1]."""
    input_deviation: float = 0.2
    """Divides the pixels after that; both are near those of CLEVR's images."""


class ResNet(nn.Module):
    """A ResNet (He et al. 2015, arXiv 1512.03385) without pooling, trained from scratch.

    As in SAVi (Kipf et al. 2021, arXiv 2111.12594, Appendix): the stem has stride 1 and no
    pooling, group normalisation stands for batch normalisation, since slots are learned from
    small batches. Linear coordinates are channels of their own, as in ``strided-cnn``. ValueError
    where the stages do not divide the image.
    """

    Config: ClassVar[type] = ResNetConfig
    layers: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)
    coordinates = 4
    grid: Tensor

    def __init__(self, config: ResNetConfig, image_size: int) -> None:
        super().__init__()
        if config.stages not in STRIDES:
            raise ValueError(f"encoder.stages={config.stages}: expected 1 to 4")
        stride = STRIDES[config.stages]
        if image_size % stride:
            raise ValueError(
                f"encoder.stages={config.stages} needs an image size that {stride} divides, "
                f"not {image_size}"
            )
        self.config, self.width = config, config.channels + self.coordinates
        whole = resnet.ResNet(
            resnet.BasicBlock,
            list(self.layers),
            norm_layer=lambda channels: nn.GroupNorm(GROUPS, channels),
        )
        stem = nn.Conv2d(3, 64, 7, stride=1, padding=3, bias=False)
        stages = [whole.layer1, whole.layer2, whole.layer3, whole.layer4][: config.stages]
        self.trunk = nn.Sequential(stem, whole.bn1, whole.relu, *stages)
        last = 64 * 2 ** (config.stages - 1)
        self.project = nn.Conv2d(last, config.channels, 1)
        he_initialise(self.trunk[0])
        he_initialise(self.project)
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


class ResNet18(ResNet):
    """Two blocks a stage."""


class ResNet34(ResNet):
    """Three, four, six and three blocks."""

    layers = (3, 4, 6, 3)
