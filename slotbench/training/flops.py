"""Counts the FLOPs of one training step."""

import copy
from contextlib import nullcontext

from torch.utils.flop_counter import FlopCounterMode

from slotbench.objectives.objective import Objective, TrainBatch


def flops_of_step(objective: Objective, batch: TrainBatch) -> int:
    """FLOPs of loss and gradient on a batch, as ``torch.utils.flop_counter`` counts them:
    matrix products, convolutions and attention, a multiplication and an addition being two.

    Counted on a copy: neither weights nor gradients nor queues of the objective change.
    """
    twin = copy.deepcopy(objective)
    counter = FlopCounterMode(display=False)
    # The counter's own tracker of modules fails where a module's input needs no gradient.
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with counter:
        twin.loss(batch)["loss"].backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


class _NoModules(nullcontext[None]):
    """All that is counted belongs to no module in particular."""

    parents = frozenset({"Global"})
