"""Objects Room: a walled room under the sky with a few objects, rendered or read from TFRecords.

DeepMind's multi_object_datasets describe it: a MuJoCo room like those of the Generative Query
Network (Eslami et al. 2018) and 3d-shapes, with up to three objects for training, and three test
sets: ``empty_room``; ``six_objects``, all of them visible; ``identical_color``, four to six
objects of one random colour. Rendered images follow this. Shapes, sizes, colours, light and camera
are our own: those of the original are not published.

Original records have an image and the masks of its entities, but no properties. The first four
entities are the sky, the floor and two halves of the wall; the others are objects. If only one half
of the wall is visible, the fourth entity is an object: :func:`fourth_is_object` decides this from
its place, as Dittadi et al. 2022 (arXiv 2107.00637) do. All background gets label 0.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from slotbench.datasets.format.schema import Array, Batch, Layout, Property, categorical
from slotbench.datasets.originals.multi_object import MULTI_OBJECT, Format, MultiObjectImporter
from slotbench.datasets.originals.tfrecord import RecordFile
from slotbench.datasets.render import objects_room_scene as rooms
from slotbench.datasets.render.objects_room_scene import Room
from slotbench.datasets.render.placement import Thing, filled
from slotbench.datasets.render.rendered import RenderedDataset
from slotbench.datasets.render.textures import PATTERNS
from slotbench.registry import register

TESTS = {
    "test-empty_room": ((0, 0), 4),
    "test-six_objects": ((6, 6), 10),
    "test-identical_color": ((4, 6), 10),
}
"""Test set -> fewest and most objects of its images, entities of its original records."""
USUAL = (1, 3), 7
"""The same for all other splits."""
FILES = {group: f"objects_room_{group.replace('-', '_')}.tfrecords" for group in ("train", *TESTS)}
BACKGROUNDS, GROUND, WALL, FOURTH = 4, 2, 2, 3
"""Background entities; those below GROUND are sky and floor; a half of the wall; the fourth."""
TOUCHING = 3
"""Least number of pixels that two neighbouring entities share."""


@register("datasets")
class ObjectsRoom(RenderedDataset):
    """Objects Room with its three shifted test sets; floor, walls and sky are background."""

    summary = "a walled room with up to six objects; three shifted test sets"
    source = "multi_object_datasets, DeepMind 2019; room: Eslami et al. 2018, Science 360(6394)"
    name = "objects-room"
    variants = ("default",)
    licence = "rendered scenes: CC0; original files: Apache 2.0"
    shifted = tuple(TESTS)
    drawn_shifts = ("crop", "object_color", "object_shape", "object_style", "num_objects")
    published = tuple(f"{MULTI_OBJECT}/objects_room/{name}" for name in FILES.values())
    renderer = "slotbench.datasets.render.objects_room_render:Renderer"
    least = 0.01
    more = (4, 6)

    @property
    def layout(self) -> Layout:
        properties = (
            *categorical({"shape": rooms.SHAPES, "color": rooms.COLORS}),
            Property("size", "numeric", unit="scene units, half the height"),
            Property(
                "position",
                "numeric",
                dim=3,
                unit="scene units: to the right, away from the camera, and up",
            ),
            Property("rotation", "numeric", unit="degrees about the vertical, [0, 360)"),
        )
        return Layout(self.image_size, self.image_size, rooms.MOST, properties)

    def without(self, origin: str) -> dict[str, str]:
        reason = "that is its own test set test-six_objects"
        return {} if origin == "rendered" else {"num_objects": reason}

    def counts(self, split: str) -> tuple[int, int]:
        return TESTS.get(split, USUAL)[0]

    def sample(self, split: str, count: int, generator: np.random.Generator) -> Room:
        return rooms.sample_room(count, split == "test-identical_color", generator)

    def vary(self, shift: str, thing: Thing, generator: np.random.Generator) -> Thing:
        if shift == "object_color":
            return replace(thing, color=str(generator.choice(list(rooms.NEW_COLORS))))
        if shift == "object_style":
            return replace(thing, style=str(generator.choice(PATTERNS)))
        # A pyramid looks much like a cone.
        shape = "diamond" if thing.shape == "cone" else str(generator.choice(rooms.NEW_SHAPES))
        return replace(thing, shape=shape)

    def add(self, scene: Room, count: int, generator: np.random.Generator) -> Room | None:
        seen = scene.camera, scene.target, generator
        objects = filled(scene.objects, count, lambda others: rooms.place(others, *seen))
        return None if objects is None else replace(scene, objects=objects)

    def importer(self, path: Path) -> MultiObjectImporter:
        return ObjectsRoomImporter(path, self.image_size)


def fourth_is_object(labels: Array) -> bool:
    """Whether entity 3 is an object, from a label map uint8 (H, W) of entities.

    A half of the wall reaches from the room's corner to the left or right border of the image,
    between sky and floor. It meets the other half side by side, never one above the other. It has
    sky or floor at one side at most, and never at the side of the border.
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


def _labels(stored: Batch) -> tuple[Array, Array]:
    """Entities as a label map (H, W), and which of them show a pixel, rising."""
    masks = stored["mask"] > 0
    return masks.argmax(axis=0), np.flatnonzero(masks.any(axis=(1, 2)))


def last_six(stored: Batch) -> Array:
    """The objects of ``six_objects``, of which exactly six are visible: the last ones."""
    shown = _labels(stored)[1]
    return shown[shown >= FOURTH][-rooms.MOST :]


def from_the_fourth(stored: Batch) -> Array:
    """The objects of the other files; an empty room has four entities, and so none."""
    labels, shown = _labels(stored)
    full = len(stored["mask"]) - 1 in shown
    first = FOURTH if not full and fourth_is_object(labels) else BACKGROUNDS
    return shown[shown >= first]


class ObjectsRoomImporter(MultiObjectImporter):
    """Streams the training file, then the test files that lie beside it.

    ``path`` is their folder, or the training file. :class:`UserError` where a file is damaged
    or is another one.
    """

    def __init__(self, path: Path, image_size: int) -> None:
        folder, train = (path, path / FILES["train"]) if path.is_dir() else (path.parent, path)
        beside = {group: folder / FILES[group] for group in TESTS}
        beside = {group: file for group, file in beside.items() if file.exists()}
        forms = {}
        for group, file in {"train": train, **beside}.items():
            objects = last_six if group == "test-six_objects" else from_the_fourth
            form = Format(
                (64, 64, 3), TESTS.get(group, USUAL)[1], backgrounds=BACKGROUNDS, objects=objects
            )
            forms[RecordFile(file, group)] = form
        super().__init__(Layout(image_size, image_size, rooms.MOST, ()), forms)
        self.rule = "train, val and test are 70, 15 and 15 % of the training file, in its order"
        if beside:
            self.rule += f"; then all of {', '.join(file.name for file in beside.values())}"

    def splits(self, records: int) -> dict[str, tuple[int, int]]:  # noqa: ARG002
        bounds = self.bounds()
        return {**super().splits(bounds.pop("train")[1]), **bounds}
