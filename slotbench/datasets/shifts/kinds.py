"""Distribution shifts: what each changes, and which datasets can have it.

Dittadi et al. 2022, arXiv 2107.00637, Section 4. A shift is one more test set, ``test-<shift>``.
Its image i is image i of ``test`` with one thing changed, so that their scores can be compared in
pairs. A rendered dataset draws the changed scene where it can (``Dataset.drawn_shifts``);
otherwise :mod:`slotbench.datasets.shifts.shift_images` changes the finished image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slotbench.datasets.format.schema import SHIFTED
from slotbench.errors import UserError
from slotbench.registry import unknown

if TYPE_CHECKING:
    from slotbench.datasets.dataset import Dataset
    from slotbench.datasets.format.dataset_file import DatasetFile

VERSION = 1
"""Increased when a shift of the same dataset gives other images than before."""
ALL = "all"


@dataclass(frozen=True)
class Shift:
    """One shift."""

    summary: str
    new: tuple[str, ...] = ()
    """Properties that get a value which is not in training; a class becomes -1."""
    on_images: bool = False
    """Whether a finished image can be changed in this way."""
    else_why: str = ""
    """Why not."""


SHIFTS: Mapping[str, Shift] = {
    "occlusion": Shift("a grey square of 0.4 of the side before the scene", on_images=True),
    "crop": Shift("the middle of the image, 1.5 times enlarged", on_images=True),
    "object_color": Shift(
        "one object has a colour that is not in training", ("color",), on_images=True
    ),
    "object_shape": Shift(
        "one object has a shape that is not in training",
        ("shape",),
        else_why="a finished image does not say what is behind an object",
    ),
    "object_style": Shift(
        "one object has a texture",
        ("color", "material"),
        else_why="on finished images the authors use neural style transfer, with the weights of a "
        "network that slotbench does not have",
    ),
    "num_objects": Shift(
        "more objects than in training", else_why="objects cannot be added to a finished image"
    ),
}


def split_of(shift: str) -> str:
    """The test set of a shift."""
    return SHIFTED + shift


def shift_of(split: str) -> str | None:
    """The shift of a test set ``test-<shift>``; None for other splits."""
    name = split.removeprefix(SHIFTED)
    return name if split.startswith(SHIFTED) and name in SHIFTS else None


def parse(text: str) -> tuple[str, ...]:
    """The shifts of a list such as ``crop,occlusion`` or ``all``, in the order of :data:`SHIFTS`.

    :class:`UserError` for an unknown name, with the nearest known one.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError("--shifts: no shift is named.", f"There are: {', '.join(SHIFTS)}, {ALL}.")
    for name in names:
        if name not in (*SHIFTS, ALL):
            raise unknown("shift", name, (*SHIFTS, ALL))
    if ALL in names and len(names) > 1:
        raise UserError(f"--shifts {text}: {ALL} stands alone.")
    return tuple(name for name in (*SHIFTS, ALL) if name in names)


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
    reason = dataset.why_not(shift, origin)
    if reason or (origin == "rendered" and shift in dataset.drawn_shifts):
        return reason
    if SHIFTS[shift].on_images:
        return ""
    if origin == "rendered":
        return f"{dataset.name} is not drawn so"
    return SHIFTS[shift].else_why


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
