"""What dense objectives predict: maps of what stands where in an image, without its places."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.cores.layers import content, content_width, he_initialise
from slotbench.cores.teachers import Teacher, Teachers
from slotbench.objectives.heads import momentum_copy, move


class Patches(nn.Module):
    """A learned embedding of each patch: images float (B, 3, H, W) -> (B, width, grid, grid).

    Images of another size are resized to ``grid`` patches of ``patch`` pixels first.
    """

    def __init__(self, grid: int, patch: int, hidden: int, width: int) -> None:
        super().__init__()
        self.side = grid * patch
        self.layers = nn.Sequential(
            nn.Conv2d(3, hidden, patch, stride=patch), nn.ReLU(), nn.Conv2d(hidden, width, 1)
        )
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2:] != (self.side, self.side):
            images = functional.interpolate(
                images, (self.side, self.side), mode="bilinear", antialias=True
            )
        # Uncentred, all embeddings start out alike, and it takes long to tell colours apart.
        made: Tensor = self.layers(4 * (images - 0.5))
        return made


class TeacherTarget(nn.Module):
    """The content features of a network that no gradient reaches, as maps.

    Without a ``teacher`` the network is a copy of the core's encoder, which :meth:`follow` moves;
    a frozen encoder is its own copy. Maps finer than ``grid`` are averaged to it. ValueError where
    the teacher's features lie on no square grid.

    ``normed=False`` takes the encoder's content before its last norm. The norm gives a plain
    background, which has next to no content, as much of it as an object (docs/log.md).
    """

    def __init__(
        self, core: Core, grid: int, teacher: Teacher | None = None, normed: bool = True
    ) -> None:
        super().__init__()
        self.grid, self.normed = grid, normed
        self.copy: nn.Module | None = None
        # No submodule: the teacher's weights belong to its own run or file, not to this one's.
        self.outside = [] if teacher is None else [teacher]
        if teacher is not None:
            count, self.width = teacher(torch.zeros(1, 3, 64, 64)).shape[1:]
            if math.isqrt(count) ** 2 != count:
                raise ValueError(f"the features {teacher.name} lie on no square grid")
            return
        self.width = content_width(core.encoder)
        if any(weight.requires_grad for weight in core.encoder.parameters()):
            self.copy = momentum_copy(core.encoder)

    @torch.no_grad()
    def forward(self, images: Tensor, encoder: nn.Module) -> Tensor:
        """Images float (B, 3, H, W) -> float32 (B, width, h, w), h and w at most ``grid``."""
        if self.outside:
            features = self.outside[0].to(images.device)(images)
            height = width = math.isqrt(features.shape[1])
        elif not self.normed and (seen := getattr(self.copy or encoder, "seen", None)):
            made = seen(images).float()
            (height, width), features = made.shape[2:], made.flatten(2).mT
        else:
            made, (height, width) = (self.copy or encoder)(images)
            features = content(made, encoder).float()
        maps = features.mT.reshape(len(images), self.width, height, width)
        return functional.adaptive_avg_pool2d(maps, (min(height, self.grid), min(width, self.grid)))

    def follow(self, encoder: nn.Module, momentum: float) -> None:
        """Move the copy after its encoder; the rest stays as it is."""
        if self.copy is not None:
            move(self.copy, encoder, momentum)


def load(teachers: Teachers, name: str | None, weights: str | None) -> Teacher | None:
    """The teacher of a name, without a say in the weights that are drawn after it."""
    if name is None:
        return None
    with torch.random.fork_rng(devices=[]):
        return teachers(name, None if weights is None else Path(weights))
