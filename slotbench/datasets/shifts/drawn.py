"""What drawn shifts share: flags, classes that training does not have, and textures."""

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from slotbench.datasets.format.schema import SHIFT_FLAGS, Array, Batch, Layout
from slotbench.datasets.render.steady import steady
from slotbench.datasets.shifts.kinds import SHIFTS

Made = TypeVar("Made")
PATTERNS = ("checks", "stripes", "dots", "waves")
"""Textures of the shift ``object_style``, which no training image has."""


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


def first_good(tried: Iterable[tuple[float, Made]], enough: float) -> Made | None:
    """The first one that scores enough, else the best; None where none scores above 0."""
    best, found = 0.0, None
    for score, made in tried:
        if score >= enough:
            return made
        if score > best:
            best, found = score, made
    return found


def code(classes: tuple[str, ...], name: str) -> int:
    """The code of a class; -1 for one that training does not have."""
    return classes.index(name) if name in classes else -1


def draw_pattern(name: str, u: Array, v: Array) -> Array:
    """Where a pattern has its second colour, bool of the shape of ``u`` and ``v``.

    A unit of ``u`` and ``v`` is a period of the pattern. ValueError for an unknown name.
    """
    if name == "checks":
        return np.asarray((np.floor(2 * u) + np.floor(2 * v)) % 2 == 0)
    if name == "stripes":
        return np.asarray(u % 1 < 0.5)
    if name == "dots":
        return np.asarray((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.36**2)
    if name == "waves":
        return np.asarray((v + 0.25 * steady(np.sin(2 * np.pi * u))) % 1 < 0.5)
    raise ValueError(f"no pattern {name!r}")


def second_color(color: Array) -> float:
    """The gray that a colour float (3,) in [0, 1] is paired with: light, or dark if it is light."""
    red, green, blue = color.tolist()
    return 0.95 if 0.299 * red + 0.587 * green + 0.114 * blue < 0.6 else 0.05
