"""What every objective is, and what the loop gives it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from slotbench.cores.base import Core, SlotOutput
from slotbench.cores.decoders import Decoded
from slotbench.datasets.views import Views
from slotbench.rng import torch_generator


@dataclass(frozen=True)
class TrainBatch:
    """The images of one step, and the views that the objective asked for."""

    images: Tensor
    """float32 (B, 3, H, W) in [0, 1]."""
    views: Views | None
    """V augmented copies with their geometry; none where the objective asks for none."""
    seed: int
    step: int
    purpose: str = "train"

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator for (seed, purpose, step): the same numbers for every objective."""
        return torch_generator(self.seed, self.purpose, purpose, self.step)


@dataclass(frozen=True)
class NoOptions:
    """The configuration of an objective without options."""


class Objective(nn.Module, ABC):
    """A loss on a core's slots, with whatever the loss needs.

    All state (decoder, projector, queue, momentum copy) belongs to ``state_dict``. The core is
    a submodule, ``core``, so that one state dict holds a whole run.
    """

    version: ClassVar[int] = 1
    Config: ClassVar[type] = NoOptions
    views: ClassVar[int] = 0
    """How many augmented views of each image the loss takes; 0: the plain images."""
    takes_alignment: ClassVar[bool] = False
    takes_decoder: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    """False where there is nothing to train: the run is done after no step."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core

    @abstractmethod
    def loss(self, batch: TrainBatch) -> dict[str, Tensor]:
        """Scalars: ``loss``, which is minimised, and the parts to log."""

    def after_step(self, step: int) -> None:
        """Moves momentum copies and queues after the optimiser's step."""

    def decode(self, output: SlotOutput) -> Decoded | None:
        """The decoder's image and masks, where the objective has a decoder."""
        del output
        return None

    def masks(self, images: Tensor, output: SlotOutput | None = None) -> Tensor | None:
        """Decoder masks float (B, K, h, w) of images (B, 3, H, W); none without a decoder."""
        decoded = self.decode(self.core(images) if output is None else output)
        return None if decoded is None else decoded.masks
