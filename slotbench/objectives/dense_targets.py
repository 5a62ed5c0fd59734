"""Targets of dense objectives: maps of what stands where in an image, without the position."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.cores.core import Core
from slotbench.cores.layers import content, content_width, he_initialise
from slotbench.cores.teachers import Teacher, Teachers
from slotbench.fields import Count, Options
from slotbench.objectives.heads import momentum_copy, move


@dataclass(frozen=True, kw_only=True)
class TargetConfig(Options):
    grid: Count = 16
    """Side of the grid of places, whatever the image's size; finer maps are averaged to it."""
    teacher: str | None = None
    """A network whose features are the targets: ``timm:MODEL``, or a run's id or directory."""
    weights: str | None = None
    """A file with the weights of a ``timm:`` teacher."""


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
        # Without centring, all embeddings start alike and learn to tell colours apart slowly.
        made: Tensor = self.layers(4 * (images - 0.5))
        return made


class TeacherTarget(nn.Module):
    """The content features of a network without gradients, as maps.

    The network is ``config.teacher``, or else a copy of the core's encoder, which :meth:`follow`
    moves; a frozen encoder needs no copy. ValueError where the teacher's features lie on no square
    grid.

    ``normed=False`` takes the encoder's content before its last norm. The norm would give a plain
    background, which has next to no content, as much of it as an object (docs/log.md).
    """

    def __init__(
        self, core: Core, config: TargetConfig, teachers: Teachers, *, normed: bool = True
    ) -> None:
        super().__init__()
        self.grid, self.normed = config.grid, normed
        self.copy: nn.Module | None = None
        # A Teacher is no module: its weights belong to its own run or file, not to this one.
        self.teacher: Teacher | None = None
        if config.teacher is not None:
            self.teacher = load(teachers, config.teacher, config.weights)
            count, self.width = self.teacher(torch.zeros(1, 3, 64, 64)).shape[1:]
            if math.isqrt(count) ** 2 != count:
                raise ValueError(f"the features {self.teacher.name} lie on no square grid")
            return
        self.width = content_width(core.encoder)
        if any(weight.requires_grad for weight in core.encoder.parameters()):
            self.copy = momentum_copy(core.encoder)

    @torch.no_grad()
    def forward(self, images: Tensor, encoder: nn.Module) -> Tensor:
        """Images float (B, 3, H, W) -> float32 (B, width, h, w), h and w at most ``grid``."""
        if self.teacher is not None:
            features = self.teacher.to(images.device)(images)
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
        """Move the copy, if there is one, towards its encoder."""
        if self.copy is not None:
            move(self.copy, encoder, momentum)


def load(teachers: Teachers, name: str, weights: str | None) -> Teacher:
    """Load a teacher; the weights that are drawn afterwards do not depend on it."""
    with torch.random.fork_rng(devices=[]):
        return teachers(name, None if weights is None else Path(weights))
