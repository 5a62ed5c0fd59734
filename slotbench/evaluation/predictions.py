"""Predictions of models that were trained elsewhere: what a file may hold, and its validation.

An .npz or HDF5 file with arrays for the test split, n images in its order; those for ``train``
and ``val`` have the same names after ``train_`` or ``val_``:

==================  =====================  ======================================================
array               dtype, shape           meaning
==================  =====================  ======================================================
``masks``           float (n, K, h, w), or  masks >= 0, or label maps with labels from 0; which
                    whole (n, h, w)         source they are is said beside the file
``attention_masks`` as ``masks``            the same where a file holds masks of both sources
``decoder_masks``
``slots``           float (n, K, D)         slot k belongs to mask k
==================  =====================  ======================================================

docs/predictions.md says which metrics each array allows.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.evaluation.prediction_file import PredictionFile

Source = Literal["attention", "decoder"]
SOURCES: tuple[str, ...] = get_args(Source)
PREFIXES = {"test": "", "train": "train_", "val": "val_"}
NAMES = ("masks", "attention_masks", "decoder_masks", "slots")
ARRAYS = tuple(prefix + name for prefix in PREFIXES.values() for name in NAMES)
MOST_SLOTS, MOST_SIDE, MOST_WIDTH = 255, 4096, 1 << 16
MOST_SLOT_BYTES = 1 << 33
MOST_IMAGE_VALUES = 1 << 27
"""Mask values of one image that are read."""


@dataclass(frozen=True)
class Given:
    """What a file has for one split; the shapes have been checked, nothing has been read."""

    split: str
    count: int
    """How many of its images are used: the first ones."""
    masks: dict[str, str]
    """Mask source -> name of its array."""
    slots: str | None
    """Name of the array of slots."""


@dataclass
class Notes:
    """What a user should know of how a file was read; each is said once."""

    lines: dict[str, None] = field(default_factory=dict)

    def add(self, line: str) -> None:
        self.lines[line] = None


def plan(
    file: PredictionFile, dataset: DatasetFile, limits: dict[str, int], source: Source, notes: Notes
) -> dict[str, Given]:
    """What the file has for each split that it has anything for, with every shape checked.

    ``limits`` says how many images of each split an evaluation uses: a file holds those, or all
    of the split. ``source`` is that of the arrays named ``masks``.

    :class:`UserError`, naming file and array, where there is nothing for the test split, or
    where a number of images, a number of axes or a size is not as expected.
    """
    found: dict[str, Given] = {}
    for split, prefix in PREFIXES.items():
        used = min(limits[split], dataset.size(split))
        masks = _masks_of(file, prefix, source)
        slots = f"{prefix}slots" if f"{prefix}slots" in file.arrays else None
        for name in (*masks.values(), *([slots] if slots else [])):
            _check_shape(file, name, dataset, split, used)
        if masks or slots:
            found[split] = Given(split, used, masks, slots)
            _same_slots(file, found[split])
    if "test" not in found:
        have = ", ".join(repr(name) for name in (*file.arrays, *file.others)[:8]) or "no array"
        raise UserError(
            f"{file.path} has neither 'masks' nor 'slots' for the test split; it has {have}.",
            "docs/predictions.md describes the layout.",
        )
    if file.others:
        notes.add(f"arrays that are not part of the layout: {', '.join(file.others[:8])}")
    widths = {
        given.slots: file.arrays[given.slots].shape[2] for given in found.values() if given.slots
    }
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise UserError(f"{file.path}: slots differ in width: {listed}; expected one model's.")
    return found


def _masks_of(file: PredictionFile, prefix: str, source: Source) -> dict[str, str]:
    named = {kind: f"{prefix}{kind}_masks" for kind in SOURCES}
    masks = {kind: name for kind, name in named.items() if name in file.arrays}
    plain = f"{prefix}masks"
    if plain in file.arrays:
        if source in masks:
            raise UserError(
                f"{file.path} holds both {plain!r} and {masks[source]!r}, and {plain!r} are taken "
                f"for {source} masks.",
                "Leave one of them out, or name the other --mask-source.",
            )
        masks[source] = plain
    return masks


def _check_shape(
    file: PredictionFile, name: str, dataset: DatasetFile, split: str, used: int
) -> None:
    info, size = file.arrays[name], dataset.size(split)
    slots = name.endswith("slots")
    expected = "float (n, K, D)" if slots else "float (n, K, h, w) or whole numbers (n, h, w)"

    def fail(what: str, advice: str = "") -> UserError:
        return UserError(f"{file.path}: array {name!r} is {info}: {what}.", advice)

    if len(info.shape) not in ((3,) if slots else (3, 4)):
        raise fail(f"expected {expected}")
    if not slots and len(info.shape) == 3 and info.dtype.kind == "f":
        raise fail(f"a label map holds whole numbers; expected {expected}")
    if info.shape[0] not in (size, used):
        also = f", or the first {used:,}" if used != size else ""
        many = "more than there are" if info.shape[0] > size else f"expected {size:,}{also}"
        raise fail(
            f"{info.shape[0]:,} images, {many}",
            f"{dataset.reference} has {size:,} images in {split}; write one entry for each, in "
            "their order.",
        )
    if min(info.shape) < 1:
        raise fail("an axis is empty")
    if slots:
        if info.shape[1] > MOST_SLOTS or info.shape[2] > MOST_WIDTH:
            raise fail(f"at most {MOST_SLOTS} slots of width {MOST_WIDTH:,} are read")
        if 4 * used * info.shape[1] * info.shape[2] > MOST_SLOT_BYTES:
            raise fail("it needs more than 8 GiB as float32")
        return
    if len(info.shape) == 4 and info.shape[1] > MOST_SLOTS:
        last = info.shape[3] < min(info.shape[1:3])
        raise fail(
            f"{info.shape[1]} masks an image, more than {MOST_SLOTS}",
            f"It looks like (n, h, w, K): save {name}.transpose(0, 3, 1, 2)." if last else "",
        )
    if max(info.shape[-2:]) > MOST_SIDE:
        raise fail(f"masks have at most {MOST_SIDE} pixels a side")
    if math.prod(info.shape[1:]) > MOST_IMAGE_VALUES:
        raise fail(f"more than {MOST_IMAGE_VALUES:,} values an image")
    layout = dataset.layout
    if len(info.shape) == 4 and info.shape[1:3] == (layout.height, layout.width) != info.shape[2:]:
        raise fail(
            "it looks like (n, h, w, K)",
            f"Save {name}.transpose(0, 3, 1, 2), which is (n, K, h, w).",
        )


def _same_slots(file: PredictionFile, given: Given) -> None:
    """Masks (label maps tell no K) and slots of one split must agree in K."""
    arrays = [name for name in (*given.masks.values(), given.slots) if name]
    counts = {
        name: file.arrays[name].shape[1]
        for name in arrays
        if name == given.slots or len(file.arrays[name].shape) == 4
    }
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise UserError(f"{file.path}: {listed} slots an image; slot k belongs to mask k.")
