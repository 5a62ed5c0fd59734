"""Budgets: how much a run may cost, in steps, images, seconds of training or FLOPs.

Steps and images are another way to type the number of steps. FLOPs give that number once the cost
of one step is counted, and the schedule spans it. Seconds end a run early; the schedule still
follows ``train.steps``, the most that a run takes.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from slotbench.errors import UserError
from slotbench.fields import LARGEST, number
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
        """Whether it gives the number of steps at once."""
        return self.unit in ("steps", "images")

    @classmethod
    def parse(cls, text: str, label: str = "--budget") -> "Budget":
        """``600:seconds``, ``2e15:flops``; :class:`UserError` naming ``label``."""
        written, colon, unit = text.strip().partition(":")
        if colon and unit not in UNITS:
            raise unknown(f"unit of {label}", unit, UNITS)
        try:
            amount = number(written)
        except ValueError:
            amount = math.nan
        if not (colon and 0 < amount < math.inf):
            raise UserError(
                f"{label} {text}: expected a number above 0 and a unit, of {', '.join(UNITS)}.",
                "For example: --budget 600:seconds",
            )
        return cls(amount, unit)  # type: ignore[arg-type]

    def steps(self, each: float) -> int:
        """How many steps it pays for at ``each`` a step; :class:`UserError` for none."""
        if self.amount < each:
            raise UserError(
                f"--budget {self}: one step takes {each:,.0f} {self.unit}.", "Allow for more."
            )
        if self.amount / each > LARGEST:
            raise UserError(
                f"--budget {self}: it pays for more than {LARGEST:,} steps.", "Allow for less."
            )
        return int(self.amount // each)
