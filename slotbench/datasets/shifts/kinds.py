"""Distribution shifts: what each changes, and which datasets can have it.

Dittadi et al. 2022, arXiv 2107.00637, Section 4. A shift is a test set ``test-<shift>`` whose image
i is image i of ``test`` with one change, so that scores can be compared in pairs. Datasets draw
the changed scene (``Dataset.drawn_shifts``), or
:mod:`slotbench.datasets.shifts.shift_images` changes the finished image.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from slotbench.datasets.format.schema import SHIFT_FLAGS, SHIFTED, Batch, Layout
from slotbench.errors import UserError
from slotbench.fields import Names, listed
from slotbench.registry import unknown

if TYPE_CHECKING:
    from slotbench.datasets.dataset import Dataset
    from slotbench.datasets.format.dataset_file import DatasetFile

VERSION = 1
"""Increased when a shift of the same dataset gives other images than before."""
ALL = "all"
Made = TypeVar("Made")


@dataclass(frozen=True)
class Shift:
    """What a shift changes."""

    summary: str
    new: tuple[str, ...] = ()
    """Properties with a value that is not in training; classes become -1."""
    only_drawn: str = ""
    """Why finished images cannot be changed in this way; empty where they can."""


SHIFTS: Mapping[str, Shift] = {
    "occlusion": Shift("a grey square of 0.4 of the side before the scene"),
    "crop": Shift("the middle of the image, 1.5 times enlarged"),
    "object_color": Shift("one object has a colour that is not in training", ("color",)),
    "object_shape": Shift(
        "one object has a shape that is not in training",
        ("shape",),
        only_drawn="a finished image does not say what is behind an object",
    ),
    "object_style": Shift(
        "one object has a texture",
        ("color", "material"),
        only_drawn="on finished images the authors use neural style transfer, with the weights of "
        "a network that slotbench does not have",
    ),
    "num_objects": Shift(
        "more objects than in training", only_drawn="objects cannot be added to a finished image"
    ),
}
NAMES = (*SHIFTS, ALL)


def split_of(shift: str) -> str:
    """The test set of a shift."""
    return SHIFTED + shift


def shift_of(split: str) -> str | None:
    """The shift of a test set ``test-<shift>``; None for other splits."""
    name = split.removeprefix(SHIFTED)
    return name if split.startswith(SHIFTED) and name in SHIFTS else None


def parse(wanted: Names) -> tuple[str, ...]:
    """The shifts that a user names, or ``all``, in the order of :data:`SHIFTS`.

    :class:`UserError` for an unknown name, with the nearest known one.
    """
    names = listed(wanted)
    if not names:
        raise UserError("--shifts: no shift is named.", f"There are: {', '.join(NAMES)}.")
    for name in names:
        if name not in NAMES:
            raise unknown("shift", name, NAMES)
    if ALL in names and len(names) > 1:
        raise UserError(f"--shifts {','.join(names)}: {ALL} cannot be combined with others.")
    return tuple(name for name in NAMES if name in names)


def lacking(file: "DatasetFile", text: str) -> tuple[str, ...]:
    """The listed shifts that a file does not have.

    A file with any shift satisfies ``all``, because not every dataset can have every shift.
    """
    asked = parse(text) if text else ()
    there = tuple(shift for shift in SHIFTS if split_of(shift) in file.splits)
    if asked == (ALL,):
        return () if there else asked
    return tuple(shift for shift in asked if shift not in there)


def why_not(dataset: "Dataset", shift: str, origin: str) -> str:
    """Why a dataset cannot have a shift; empty where it can."""
    reason = dataset.without(origin).get(shift, "")
    if reason or (origin == "rendered" and shift in dataset.drawn_shifts):
        return reason
    if origin == "rendered" and SHIFTS[shift].only_drawn:
        return f"{dataset.name} does not draw it"
    return SHIFTS[shift].only_drawn


def chosen(
    dataset: "Dataset", asked: tuple[str, ...], origin: str
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The shifts to make, and the reasons for those left out of ``all``.

    :class:`UserError` where a named shift, or every shift, cannot be made.
    """
    reasons = {shift: why_not(dataset, shift, origin) for shift in SHIFTS}
    if asked != (ALL,):
        for shift in asked:
            if reasons[shift]:
                raise refused(dataset, shift, reasons[shift])
        return asked, {}
    made = tuple(shift for shift, reason in reasons.items() if not reason)
    if not made:
        raise refused(dataset, ALL, next(iter(reasons.values())))
    return made, {shift: reason for shift, reason in reasons.items() if reason}


def refused(dataset: "Dataset", shift: str, reason: str) -> UserError:
    """The error for a shift that a dataset cannot have."""
    return UserError(
        f"--shifts {shift}: {dataset.name}:{dataset.variant} cannot have it: {reason}.",
        "Type --shifts all for those that it can have." if shift != ALL else "",
    )


def empty(layout: Layout, n: int, shift: str | None) -> Batch:
    """An empty batch of n rows, with flags where the shift changes single objects."""
    batch = layout.empty(n)
    if shift is not None and shift.startswith("object_"):
        batch[SHIFT_FLAGS] = np.zeros_like(batch["visible"])
    return batch


def flag(batch: Batch, row: int, shift: str | None, changed: tuple[int, ...]) -> None:
    """Flag changed objects; their new classes become -1."""
    for slot in changed:
        batch[SHIFT_FLAGS][row, ..., slot] = batch["visible"][row, ..., slot]
        for name in SHIFTS[str(shift)].new:
            values = batch.get(f"property/{name}")
            if values is not None and values.dtype == np.int16:
                values[row, ..., slot] = -1


def first_good(tried: Iterable[tuple[float, Made]], enough: float) -> Made | None:
    """The first one with a score of ``enough``, else the best; None where none is above 0."""
    best, found = 0.0, None
    for score, made in tried:
        if score >= enough:
            return made
        if score > best:
            best, found = score, made
    return found
