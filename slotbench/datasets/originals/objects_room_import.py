"""Original files of Objects Room: the training file, and its three shifted test sets beside it.

A record has an image and the masks of its entities, but no properties. By the source's readme the
first four entities are the sky, the floor and two halves of the wall; the others are objects. If
only one half of the wall is in sight, the fourth entity is an object. :func:`fourth_is_object`
decides this from its place, as Dittadi et al. 2022 (arXiv 2107.00637) do. All background gets
label 0.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from slotbench.datasets.format.schema import Array, Layout
from slotbench.datasets.originals.multi_object import Arrays, Format, MultiObjectImporter
from slotbench.datasets.originals.tfrecord import RecordFile
from slotbench.datasets.render.objects_room_scene import MOST
from slotbench.errors import UserError

TRAIN = "objects_room_train.tfrecords"
SHIFTED = {
    "test-empty_room": ("objects_room_test_empty_room.tfrecords", 4),
    "test-six_objects": ("objects_room_test_six_objects.tfrecords", 10),
    "test-identical_color": ("objects_room_test_identical_color.tfrecords", 10),
}
"""Group -> file, entities of its records."""
BACKGROUNDS, GROUND, WALL, FOURTH = 4, 2, 2, 3
"""Background entities; those below GROUND are sky and floor; a half of the wall; the fourth."""
TOUCHING = 3
"""Pixels that two neighbouring entities share at least."""


def fourth_is_object(labels: Array) -> bool:
    """Whether entity 3 is an object, from a label map uint8 (H, W) of entities.

    A half of the wall reaches from the corner of the room to the left or right border of the
    image, between sky and floor. It meets the other half side by side, never one above the
    other. It has sky or floor at one side at most, and never at the side of the border.
    """
    fourth, wall, ground = labels == FOURTH, labels == WALL, labels < GROUND
    if not fourth.any():
        return False

    def meet(first: Array, second: Array) -> bool:
        return int(np.count_nonzero(first & second)) >= TOUCHING

    above, below = meet(wall[:-1], fourth[1:]), meet(fourth[:-1], wall[1:])
    right, left = meet(fourth[:, :-1], ground[:, 1:]), meet(fourth[:, 1:], ground[:, :-1])
    return bool(
        above
        or below
        or (left and right)
        or (right and not fourth[:, 0].any())
        or (left and not fourth[:, -1].any())
    )


def _labels(stored: Arrays) -> tuple[Array, Array]:
    """Entities as a label map (H, W), and which of them show a pixel, rising."""
    masks = stored["mask"] > 0
    return masks.argmax(axis=0), np.flatnonzero(masks.any(axis=(1, 2)))


def last_six(stored: Arrays) -> Array:
    """The objects of ``six_objects``, of which exactly six are visible: the last ones."""
    shown = _labels(stored)[1]
    return shown[shown >= FOURTH][-MOST:]


def from_the_fourth(stored: Arrays) -> Array:
    """The objects of the other files."""
    labels, shown = _labels(stored)
    full = len(stored["mask"]) - 1 in shown
    first = FOURTH if not full and fourth_is_object(labels) else BACKGROUNDS
    return shown[shown >= first]


OBJECTS: dict[str, Callable[[Arrays], Array]] = {
    "test-empty_room": lambda _: np.empty(0, np.int64),
    "test-six_objects": last_six,
}


class ObjectsRoomImporter(MultiObjectImporter):
    """Streams the training file and then the test files that lie beside it.

    ``path`` is their folder, or the training file. :class:`UserError` where a file is damaged
    or is another one.
    """

    def __init__(self, path: Path, image_size: int) -> None:
        folder, train = (path, path / TRAIN) if path.is_dir() else (path.parent, path)
        if path.is_dir() and not train.is_file():
            raise UserError(f"--from {path}: there is no {TRAIN} in this folder.")
        beside = {group: form for group, form in SHIFTED.items() if (folder / form[0]).is_file()}
        forms = {}
        for group, (name, entities) in {"train": (train.name, 7), **beside}.items():
            objects = OBJECTS.get(group, from_the_fourth)
            form = Format((64, 64, 3), entities, backgrounds=BACKGROUNDS, objects=objects)
            forms[RecordFile(folder / name, group)] = form
        super().__init__(Layout(image_size, image_size, MOST, ()), forms)
        self.rule = "train, val and test are 70, 15 and 15 % of the training file, in its order"
        if beside:
            self.rule += f"; then all of {', '.join(name for name, _ in beside.values())}"

    def splits(self, records: int) -> dict[str, tuple[int, int]]:  # noqa: ARG002
        bounds = self.bounds()
        return {**super().splits(bounds.pop("train")[1]), **bounds}
