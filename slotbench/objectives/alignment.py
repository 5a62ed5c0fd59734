"""Alignment: which vectors of one view belong to which of the other.

An alignment chooses the slots' initial noise and pairs what the core made of the views; the
objective sees paired vectors and does not know how they came to be paired. No gradient passes
through the pairing itself: assignments are computed on detached values.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.base import Core, SlotOutput
from slotbench.datasets.views import Views
from slotbench.matching import assign


class Paired(NamedTuple):
    """M vectors of each of V views; row m of every view belongs together."""

    vectors: Tensor
    """float (V, M, D)."""
    image: Tensor
    """int64 (M,): the image of the batch that a row comes from."""


class Alignment(ABC):
    """Pairs the slots of V views of B images."""

    temperature: ClassVar[float] = 0.2
    """What contrastive losses use where the user sets none: 0.5 on images, 0.2 on slots."""

    def noise(self, core: Core, batch: int, views: int, generator: torch.Generator) -> Tensor | None:
        """Initial noise (V * B, K, D), view by view; its own for every image and view."""
        return core.noise(views * batch, generator)

    @abstractmethod
    def pair(self, output: SlotOutput, views: Views) -> Paired:
        """``output`` is the core's on all views, (V * B, ...), view by view."""


class SlotAlignment(Alignment):
    """Pairs each slot of the first view with one slot of every other."""

    def pair(self, output: SlotOutput, views: Views) -> Paired:
        slots = output.slots.unflatten(0, (len(views.images), -1))
        aligned = [slots[0]]
        for view in range(1, len(slots)):
            order = self.order(output, views, view)
            aligned.append(slots[view].take_along_dim(order[:, :, None], dim=1))
        image = torch.arange(slots.shape[1], device=slots.device)
        return Paired(torch.stack(aligned).flatten(1, 2), image.repeat_interleave(slots.shape[2]))

    @abstractmethod
    def order(self, output: SlotOutput, views: Views, view: int) -> Tensor:
        """int64 (B, K): for each slot of the first view its partner in view ``view``."""


class Pool(Alignment):
    """The set is averaged: one vector an image."""

    temperature = 0.5

    def pair(self, output: SlotOutput, views: Views) -> Paired:
        pooled = output.slots.mean(dim=1).unflatten(0, (len(views.images), -1))
        return Paired(pooled, torch.arange(pooled.shape[1], device=pooled.device))


class Shared(SlotAlignment):
    """The same initial noise in all views, slots paired by index.

    The noise is drawn once a step and is the same for every image of the batch. Noise of its
    own for every image would identify the positive pair, and the loss would fall without the
    slots learning anything.
    """

    def noise(self, core: Core, batch: int, views: int, generator: torch.Generator) -> Tensor | None:
        noise = core.noise(1, generator)
        return None if noise is None else noise.expand(views * batch, -1, -1)

    def order(self, output: SlotOutput, views: Views, view: int) -> Tensor:
        batch, slots = output.slots.shape[0] // len(views.images), output.slots.shape[1]
        return torch.arange(slots, device=output.slots.device).expand(batch, -1)


class Hungarian(SlotAlignment):
    """The assignment with the greatest sum of cosine similarities between slots."""

    def order(self, output: SlotOutput, views: Views, view: int) -> Tensor:
        slots = functional.normalize(output.slots.detach(), dim=2)
        slots = slots.unflatten(0, (len(views.images), -1)).float()
        return assign(-(slots[0] @ slots[view].mT))
