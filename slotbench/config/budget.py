"""Budgets: how much a run may cost, in steps, images, seconds of training or FLOPs.

Steps and images say the number of steps, and are no more than another way to type it. FLOPs say
it too, once one step has been counted: the schedule spans the steps that the budget pays. Seconds
end a run wherever it is; the schedule stays that of ``train.steps``, which no run goes beyond.
"""

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from slotbench.errors import UserError
from slotbench.registry import unknown

if TYPE_CHECKING:
    from slotbench.objectives.objective import Objective, TrainBatch

Unit = Literal["steps", "images", "seconds", "flops"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True)
class Budget:
    """An amount of one unit, above 0."""

    amount: float
    unit: Unit

    def __str__(self) -> str:
        return f"{self.amount:.15g}:{self.unit}"

    @classmethod
    def parse(cls, text: str, label: str = "--budget") -> "Budget":
        """``600:seconds``, ``2e15:flops``; :class:`UserError` naming ``label``."""
        number, colon, unit = text.strip().partition(":")
        if colon and unit not in UNITS:
            raise unknown(f"unit of {label}", unit, UNITS)
        try:
            amount = float(number)
        except ValueError:
            amount = math.nan
        if not (colon and 0 < amount < math.inf):
            raise UserError(
                f"{label} {text}: expected a number above 0 and a unit, of {', '.join(UNITS)}.",
                "For example: --budget 600:seconds",
            )
        return cls(amount, unit)  # type: ignore[arg-type]

    def steps(self, each: float) -> int:
        """How many steps it pays at ``each`` a step; :class:`UserError` where it pays none."""
        if self.amount < each:
            raise UserError(
                f"--budget {self}: one step takes {each:,.0f} {self.unit}.", "Allow for more."
            )
        return int(self.amount // each)


def flops_of_step(objective: "Objective", batch: "TrainBatch") -> int:
    """FLOPs of loss and gradient on a batch, as ``torch.utils.flop_counter`` counts them:
    matrix products, convolutions and attention, a multiplication and an addition being two.

    Counted on a copy: neither weights nor gradients nor queues of the objective change.
    """
    from torch.utils.flop_counter import FlopCounterMode

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
