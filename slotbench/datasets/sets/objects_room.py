"""Objects Room: a walled room under the sky with a few objects, rendered or read from TFRecords.

DeepMind's multi_object_datasets describe it: a MuJoCo room like those of the Generative Query
Network (Eslami et al. 2018) and 3d-shapes, with up to three objects for training, and three test
sets: ``empty_room``; ``six_objects``, all of them visible; ``identical_color``, four to six
objects of one random colour. Rendered images follow this. Shapes, sizes, colours, light and camera
are our own, because those of the original are not published.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from slotbench.datasets.format.schema import Layout, Property
from slotbench.datasets.originals.importing import Importer
from slotbench.datasets.originals.multi_object import MULTI_OBJECT
from slotbench.datasets.originals.objects_room_import import SHIFTED, TRAIN, ObjectsRoomImporter
from slotbench.datasets.render import objects_room_scene as rooms
from slotbench.datasets.render.objects_room_scene import Room
from slotbench.datasets.render.placement import Thing, filled
from slotbench.datasets.render.rendered import RenderedDataset
from slotbench.datasets.shifts.drawn import PATTERNS
from slotbench.registry import register

COUNTS = {"test-empty_room": (0, 0), "test-six_objects": (6, 6), "test-identical_color": (4, 6)}
USUAL = (1, 3)
"""Objects in an image of any other split."""


@register("datasets")
class ObjectsRoom(RenderedDataset):
    """Objects Room with its three shifted test sets; floor, walls and sky are background."""

    summary = "a walled room with up to six objects; three shifted test sets"
    source = "multi_object_datasets, DeepMind 2019; room: Eslami et al. 2018, Science 360(6394)"
    name = "objects-room"
    variants = ("default",)
    licence = "rendered scenes: CC0; original files: Apache 2.0"
    shifted = tuple(COUNTS)
    drawn_shifts = ("crop", "object_color", "object_shape", "object_style", "num_objects")
    published = tuple(
        f"{MULTI_OBJECT}/objects_room/{name}"
        for name in (TRAIN, *(name for name, _ in SHIFTED.values()))
    )
    renderer = "slotbench.datasets.render.objects_room_render"
    least = 0.01
    more = (4, 6)

    @property
    def layout(self) -> Layout:
        properties = (
            Property("shape", "categorical", classes=rooms.SHAPES),
            Property("color", "categorical", classes=tuple(rooms.COLORS)),
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

    def why_not(self, shift: str, origin: str) -> str:
        if shift == "num_objects" and origin != "rendered":
            return "that is its own test set test-six_objects"
        return ""

    def counts(self, split: str) -> tuple[int, int]:
        return COUNTS.get(split, USUAL)

    def sample(self, split: str, count: int, generator: np.random.Generator) -> Room:
        return rooms.sample_room(count, split == "test-identical_color", generator)

    def vary(self, shift: str, thing: Thing, generator: np.random.Generator) -> Thing:
        if shift == "object_color":
            return replace(thing, color=str(generator.choice(list(rooms.NEW_COLORS))))
        if shift == "object_style":
            return replace(thing, style=str(generator.choice(PATTERNS)))
        # A pyramid in place of a cone would hardly be seen.
        shape = "diamond" if thing.shape == "cone" else str(generator.choice(rooms.NEW_SHAPES))
        return replace(thing, shape=shape)

    def add(self, scene: Room, count: int, generator: np.random.Generator) -> Room | None:
        seen = scene.camera, scene.target, generator
        objects = filled(scene.objects, count, lambda others: rooms.place(others, *seen))
        return None if objects is None else replace(scene, objects=objects)

    def importer(self, path: Path) -> Importer:
        return ObjectsRoomImporter(path, self.image_size)
