"""Budgets: how much a run may cost, in steps, images, seconds of training or FLOPs.

Steps and images say the number of steps, and are no more than another way to type it. FLOPs say
it too, once one step has been counted: the schedule spans the steps that the budget pays. Seconds
end a run early; the schedule still follows ``train.steps``, which no run goes beyond.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from slotbench.errors import UserError
from slotbench.fields import LARGEST
from slotbench.registry import unknown

Unit = Literal["steps", "images", "seconds", "flops"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True)
class Budget:
    """An amount of one unit, above 0."""

    amount: float
    unit: Unit

    def __str__(self) -> str:
        return f"{self.amount:.15g}:{self.unit}"

    @property
    def is_steps(self) -> bool:
        """Whether it is another way to type a number of steps."""
        return self.unit in ("steps", "images")

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
        if self.amount / each > LARGEST:
            raise UserError(
                f"--budget {self}: it pays more than {LARGEST:,} steps.", "Allow for less."
            )
        return int(self.amount // each)
