"""Counts the FLOPs of one training step, on one process or several."""

import copy
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction

from torch.utils.flop_counter import FlopCounterMode

from slotbench.datasets.format.views import Views
from slotbench.objectives.gather import alone
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.training.build import check_losses

SIZES = (2, 4, 6)
"""Sizes of the small batches from which the cost of a whole batch is extrapolated."""


def flops_of_step(objective: Objective, batch: TrainBatch) -> int:
    """FLOPs of loss and gradient on a batch, by ``torch.utils.flop_counter``.

    It counts matrix products, convolutions and attention; a multiplication and an addition are
    two. The objective does not change.
    """
    twin = copy.deepcopy(objective)
    counter = FlopCounterMode(display=False)
    # The counter's own tracker of modules fails where a module's input needs no gradient.
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with counter:
        losses = twin.loss(batch)
        check_losses(objective, losses)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


class _NoModules(nullcontext[None]):
    """Counts everything as of no module."""

    parents = frozenset({"Global"})


def flops_of_whole_step(objective: Objective, batch: TrainBatch) -> int:
    """:func:`flops_of_step` of a batch that may not fit one process.

    FLOPs grow with the number of images or, where all are compared with all, with its square:
    three small batches determine the polynomial.
    """
    total = len(batch.images)
    with alone():
        if total <= max(SIZES):
            return flops_of_step(objective, batch)
        first, second, third = (flops_of_step(objective, take(batch, size)) for size in SIZES)
    # Newton's forward differences over the sizes 2, 4 and 6.
    place = Fraction(total - SIZES[0], SIZES[1] - SIZES[0])
    slope, bend = second - first, third - 2 * second + first
    return int(first + place * slope + place * (place - 1) / 2 * bend)


def take(batch: TrainBatch, count: int) -> TrainBatch:
    """The first ``count`` images of a batch, as a batch of one process."""
    views = batch.views and Views(*(part[:, :count] for part in batch.views))
    labels = {key: values[:count] for key, values in batch.labels.items()}
    return replace(batch, images=batch.images[:count], views=views, labels=labels, rank=0, world=1)
