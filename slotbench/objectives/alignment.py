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


def by_view(values: Tensor, views: Views) -> Tensor:
    """(V * B, ...) as (V, B, ...)."""
    return values.view(len(views.images), -1, *values.shape[1:])


class Alignment(ABC):
    """Pairs the slots of V views of B images."""

    temperature: ClassVar[float] = 0.2
    """What contrastive losses use where the user sets none: 0.5 on images, 0.2 on slots."""

    def noise(
        self, core: Core, batch: int, views: int, generator: torch.Generator
    ) -> Tensor | None:
        """Initial noise (V * B, K, D), view by view; its own for every image and view."""
        return core.noise(views * batch, generator)

    @abstractmethod
    def pair(self, output: SlotOutput, views: Views) -> Paired:
        """``output`` is the core's on all views, (V * B, ...), view by view."""


class SlotAlignment(Alignment):
    """Pairs each slot of the first view with one slot of every other."""

    def pair(self, output: SlotOutput, views: Views) -> Paired:
        slots = by_view(output.slots, views)
        aligned = [slots[0]]
        for other in slots[1:]:
            order = self.order(slots[0].detach(), other.detach())
            aligned.append(other.take_along_dim(order[:, :, None], dim=1))
        image = torch.arange(slots.shape[1], device=slots.device)
        return Paired(torch.stack(aligned).flatten(1, 2), image.repeat_interleave(slots.shape[2]))

    @abstractmethod
    def order(self, first: Tensor, other: Tensor) -> Tensor:
        """int64 (B, K): for each slot of ``first`` (B, K, D) its partner in ``other``."""


class Pool(Alignment):
    """The set is averaged: one vector an image."""

    temperature = 0.5

    def pair(self, output: SlotOutput, views: Views) -> Paired:
        pooled = by_view(output.slots.mean(dim=1), views)
        return Paired(pooled, torch.arange(pooled.shape[1], device=pooled.device))


class Shared(SlotAlignment):
    """The same initial noise in all views, slots paired by index.

    The noise is drawn once a step and is the same for every image of the batch. Noise of its
    own for every image would identify the positive pair, and the loss would fall without the
    slots learning anything.
    """

    def noise(
        self, core: Core, batch: int, views: int, generator: torch.Generator
    ) -> Tensor | None:
        noise = core.noise(1, generator)
        return None if noise is None else noise.expand(views * batch, -1, -1)

    def order(self, first: Tensor, other: Tensor) -> Tensor:
        return torch.arange(first.shape[1], device=first.device).expand(len(other), -1)


class Hungarian(SlotAlignment):
    """The assignment with the greatest sum of cosine similarities between slots."""

    def order(self, first: Tensor, other: Tensor) -> Tensor:
        one, two = (functional.normalize(slots.float(), dim=2) for slots in (first, other))
        return assign(-(one @ two.mT))
