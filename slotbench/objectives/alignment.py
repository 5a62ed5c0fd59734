"""Alignment: which vectors of one view belong to which of the other.

An alignment chooses the slots' initial noise and pairs the slots of the views; the objective sees
paired vectors and does not know which alignment paired them. A view is an augmented copy, a view
that a momentum teacher encoded, or a frame of a video. All views are aligned to the first. No
gradient passes through the pairing itself: its weights are computed on detached values.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from slotbench.cores.core import Core, SlotOutput
from slotbench.cores.layers import sinkhorn
from slotbench.datasets.format.views import Views, to_original
from slotbench.matching import assign
from slotbench.registry import register


class Paired(NamedTuple):
    """M vectors of each of V views; row m of every view belongs together."""

    vectors: Tensor
    """float (V, M, D)."""
    image: Tensor
    """int64 (M,): each row's image in the batch."""
    weights: Tensor
    """float32 (V, B, M / B, K): of an image's slots in its rows; they sum to 1 over K."""

    def carried(self, values: Tensor) -> Tensor:
        """A number per slot, (V * B, K) -> its weighted mean in each row, float32 (V, M)."""
        views, _, _, count = self.weights.shape
        return (self.weights @ values.float().view(views, -1, count, 1)).flatten(1)


def by_view(values: Tensor, views: Views) -> Tensor:
    """(V * B, ...) as (V, B, ...)."""
    return values.view(len(views.images), -1, *values.shape[1:])


class Alignment(ABC):
    """Pairs the slots of V views of B images."""

    temperature: ClassVar[float] = 0.2
    """Default of contrastive losses: 0.5 on images, 0.2 on slots."""

    def noise(
        self, core: Core, batch: int, views: int, generator: torch.Generator
    ) -> Tensor | None:
        """Initial noise (V * B, K, D), view by view; each image and view has its own."""
        return core.noise(views * batch, generator)

    def pair(self, output: SlotOutput, views: Views) -> Paired:
        """``output`` is the core's on all V views, (V * B, ...), view by view.

        ``views`` has as many images (V, B, 3, H, W) and matrices (V, B, 2, 3) as ``output``
        has views; matrices of frames and of views without a crop are the identity.
        """
        slots = by_view(output.slots, views)
        # Half precision would round the slots that a plan picks, and a plan's small weights.
        with torch.autocast(slots.device.type, enabled=False):
            with torch.no_grad():
                attention = by_view(output.attention, views).float()
                weights = self.weights(slots.detach().float(), attention, views.matrices)
            rows = (weights @ slots.to(weights.dtype)).to(slots.dtype)
        image = torch.arange(slots.shape[1], device=slots.device)
        return Paired(rows.flatten(1, 2), image.repeat_interleave(rows.shape[2]), weights)

    @abstractmethod
    def weights(self, slots: Tensor, attention: Tensor, matrices: Tensor) -> Tensor:
        """Weights float32 (V, B, R, K) of each view's slots in the image's R rows.

        They sum to 1 over K. From slots float32 (V, B, K, D), attention float32 (V, B, K, h, w)
        and the views' matrices float32 (V, B, 2, 3), all detached.
        """


class SlotAlignment(Alignment):
    """Gives each slot of the first view a partner in every other view.

    A partner is a weighted mean of the other view's slots. One-to-one, a single weight is 1.
    """

    def weights(self, slots: Tensor, attention: Tensor, matrices: Tensor) -> Tensor:
        own = torch.eye(slots.shape[2], device=slots.device).expand(1, slots.shape[1], -1, -1)
        return torch.cat([own, self.plan(slots, attention, matrices)])

    @abstractmethod
    def plan(self, slots: Tensor, attention: Tensor, matrices: Tensor) -> Tensor:
        """Weights float32 (V - 1, B, K, K) of every other view's slots (columns) for each slot
        of the first (rows); rows sum to 1. Arguments as for :meth:`weights`."""


@register("alignments")
class Pool(Alignment):
    """The set is averaged: one vector an image."""

    name = "pool"
    summary = "the set is averaged: one vector an image"
    source = "Chen et al. 2020"

    temperature = 0.5

    def weights(self, slots: Tensor, attention: Tensor, matrices: Tensor) -> Tensor:
        views, batch, count, _ = slots.shape
        return slots.new_full((views, batch, 1, count), 1 / count)


@register("alignments")
class Shared(SlotAlignment):
    """The same initial noise in all views, slots paired by index.

    All images of a step share one draw. A draw for each image would identify the positive pair, and
    the loss would fall although the slots learn nothing.
    """

    name = "shared"
    summary = "the same initial noise in both views, slots paired by index"
    source = "slotbench, docs/objectives.md"

    def noise(
        self, core: Core, batch: int, views: int, generator: torch.Generator
    ) -> Tensor | None:
        noise = core.noise(1, generator)
        return None if noise is None else noise.expand(views * batch, -1, -1)

    def plan(self, slots: Tensor, attention: Tensor, matrices: Tensor) -> Tensor:
        views, batch, count, _ = slots.shape
        return torch.eye(count, device=slots.device).expand(views - 1, batch, -1, -1)


@register("alignments")
class Hungarian(SlotAlignment):
    """The assignment with the greatest sum of cosine similarities between slots (Kuhn 1955)."""

    name = "hungarian"
    summary = "slots assigned by the greatest sum of cosine similarities"
    source = "Kuhn 1955"

    def plan(self, slots: Tensor, attention: Tensor, matrices: Tensor) -> Tensor:
        return one_to_one(similarity(slots))


@register("alignments")
class Mask(SlotAlignment):
    """The assignment with the greatest sum of overlaps between the slots' attention masks.

    Masks are compared in the frame of the original image, as SlotCon does (Wen et al. 2022,
    arXiv 2205.15288, Section 3.2), and only where both views saw it; see :func:`overlap`.
    Views that share nothing of the image are paired by index.
    """

    name = "mask"
    summary = "slots assigned by the overlap of their masks in the original image"
    source = "slotbench, docs/objectives.md; Wen et al. 2022, arXiv 2205.15288"

    def plan(self, slots: Tensor, attention: Tensor, matrices: Tensor) -> Tensor:
        return one_to_one(overlap(attention, matrices))


@register("alignments")
class Sinkhorn(SlotAlignment):
    """Entropic optimal transport on cosine similarity: a soft assignment.

    Cuturi 2013, arXiv 1306.0895, with equal masses for all slots. The partner of a slot is the
    mean of the other view's slots, weighted by the slot's row of the plan (the barycentric
    projection; Peyre and Cuturi 2019, Remark 4.11), so gradients reach all of them.
    """

    name = "sinkhorn"
    summary = "soft assignment: entropic transport on cosine similarity"
    source = "Cuturi 2013, arXiv 1306.0895"

    epsilon = 0.05
    """Weight of the entropy, SwAV's (arXiv 2006.09882): near 0 the plan is Hungarian's, near
    infinity the mean of all slots."""
    iterations = 20
    """Rounds that normalise columns, then rows: the columns of unrelated slots come within 4 % of
    1; matching slots need 3 rounds."""

    def plan(self, slots: Tensor, attention: Tensor, matrices: Tensor) -> Tensor:
        # Transposed, so that the last rescaling makes the rows sum to 1.
        log_plan, _ = sinkhorn(similarity(slots).mT / self.epsilon, self.iterations)
        return log_plan.mT.exp()


def similarity(slots: Tensor) -> Tensor:
    """Cosines between the first view's slots and each other view's: (V - 1, B, K, K).

    ``slots`` float (V, B, K, D).
    """
    unit = functional.normalize(slots, dim=-1)
    return unit[0] @ unit[1:].mT


def overlap(attention: Tensor, matrices: Tensor) -> Tensor:
    """Soft intersection over union of masks of the first and of each other view.

    ``attention`` float (V, B, K, h, w) in [0, 1], ``matrices`` float (V, B, 2, 3) from a view's
    coordinates to the image's. Returns (V - 1, B, K, K) in [0, 1]: <a, b> / (<a, a> + <b, b> -
    <a, b>) over the part of the image that both views saw, which is the intersection over union
    where masks are 0 or 1 (Tanimoto 1958), and 0 where both are empty there.
    """
    views, batch, count = attention.shape[:3]
    masks, seen = to_original(attention.flatten(0, 1), matrices.flatten(0, 1))
    masks, seen = masks.view(views, batch, count, -1), seen.view(views, batch, 1, -1)
    # Each view's masks are 0 already where that view saw nothing.
    first, others = masks[0] * seen[1:], masks[1:] * seen[0]
    both: Tensor = first @ others.mT
    areas = first.square().sum(-1)[..., None] + others.square().sum(-1)[..., None, :]
    return both / (areas - both).clamp_min(torch.finfo(both.dtype).tiny)


def one_to_one(scores: Tensor) -> Tensor:
    """The permutation matrices float32 (..., K, K) with the greatest sum of ``scores``."""
    return functional.one_hot(assign(-scores), scores.shape[-1]).float()
