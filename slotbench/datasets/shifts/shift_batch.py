"""What drawing a shift writes into a batch: flags, and classes that training does not have."""

import numpy as np

from slotbench.datasets.format.schema import Array, Batch, Layout
from slotbench.datasets.format.splits import SHIFT_FLAGS
from slotbench.datasets.shifts.kinds import SHIFTS


def shuffled(flags: Array, generator: np.random.Generator) -> list[int]:
    """The indices where ``flags`` bool (n,) is true, in random order."""
    order: list[int] = generator.permutation(np.flatnonzero(flags)).tolist()
    return order


def empty(layout: Layout, n: int, shift: str | None) -> Batch:
    """A batch of n rows, with flags where the shift changes single objects."""
    batch = layout.empty(n)
    if shift is not None and shift.startswith("object_"):
        batch[SHIFT_FLAGS] = np.zeros_like(batch["visible"])
    return batch


def flag(batch: Batch, row: int, shift: str | None, changed: tuple[int, ...]) -> None:
    """Flag the objects that a shift has changed; the classes that it changed become -1."""
    for slot in changed:
        batch[SHIFT_FLAGS][row, ..., slot] = batch["visible"][row, ..., slot]
        for name in SHIFTS[str(shift)].new:
            values = batch.get(f"property/{name}")
            if values is not None and values.dtype == np.int16:
                values[row, ..., slot] = -1


def code(classes: tuple[str, ...], name: str) -> int:
    """The code of a class; -1 for one that training does not have."""
    return classes.index(name) if name in classes else -1
