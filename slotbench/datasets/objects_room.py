"""Objects Room: a walled room under the sky with a few objects, rendered or read from TFRecords.

What DeepMind's multi_object_datasets say of it: a MuJoCo room after that of the Generative Query
Network (Eslami et al. 2018) and 3d-shapes, with up to three objects for training, and three test
sets: ``empty_room``; ``six_objects``, all of them visible; ``identical_color``, four to six
objects of one random colour. Rendered ones follow this; shapes, sizes, colours, light and camera
are our own, because the original's are not published.
"""

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from slotbench.datasets import addresses
from slotbench.datasets.base import Dataset, Importer
from slotbench.datasets.download import Download
from slotbench.datasets.objects_room_scene import COLORS, SHAPES, Room, sample_room
from slotbench.datasets.schema import Array, Batch, Layout, Property
from slotbench.errors import SlotbenchError
from slotbench.rng import numpy_generator, seed_of

MOST = 6
COUNTS = {
    "test-empty_room": (0, 0), "test-six_objects": (6, 6), "test-identical_color": (4, 6),
}  # fmt: skip
USUAL = (1, 3)
"""Objects in the images of the other splits."""
MIN_VISIBLE = 0.01
"""Share of the frame that every object shows."""


class ObjectsRoom(Dataset):
    """Objects Room with its three shifted test sets; floor, walls and sky are background."""

    name = "objects-room"
    variants = ("default",)
    licence = "rendered scenes: CC0; original files: Apache 2.0"
    sizes: ClassVar[dict[str, int]] = {"train": 6000, "val": 500, "test": 1000}
    shifted = tuple(COUNTS)

    @property
    def layout(self) -> Layout:
        properties = (
            Property("shape", "categorical", classes=SHAPES),
            Property("color", "categorical", classes=tuple(COLORS)),
            Property("size", "numeric", unit="scene units, half the height"),
            Property(
                "position", "numeric", dim=3,
                unit="scene units: to the right, away from the camera, and up",
            ),
            Property("rotation", "numeric", unit="degrees about the vertical, [0, 360)"),
        )  # fmt: skip
        return Layout(self.image_size, self.image_size, MOST, properties)

    @property
    def generator(self) -> str:
        import mitsuba

        from slotbench.datasets.objects_room_render import Renderer

        samples = f"{Renderer.samples} samples a pixel"
        return f"slotbench objects-room 1, mitsuba {mitsuba.__version__}, {samples}"

    @cached_property
    def _renderer(self):  # type: ignore[no-untyped-def]  # mitsuba is imported in the workers
        from slotbench.datasets.objects_room_render import Renderer

        return Renderer(self.image_size)

    def render(self, split: str, start: int, stop: int) -> Batch:
        batch = self.layout.empty(stop - start)
        for row, index in enumerate(range(start, stop)):
            scene, image, mask = self._one(split, index)
            batch["image"][row], batch["mask"][row] = image, mask
            for slot, thing in enumerate(scene.objects):
                batch["visible"][row, slot] = True
                batch["property/shape"][row, slot] = SHAPES.index(thing.shape)
                batch["property/color"][row, slot] = list(COLORS).index(thing.color)
                batch["property/size"][row, slot] = thing.size
                batch["property/position"][row, slot] = thing.position
                batch["property/rotation"][row, slot] = thing.rotation
        return batch

    def _one(self, split: str, index: int) -> tuple[Room, Array, Array]:
        """The first room of the stream of (seed, split, index) whose objects are all visible."""
        generator = numpy_generator(self.seed, self.name, split, index)
        low, high = COUNTS.get(split, USUAL)
        count, identical = int(generator.integers(low, high + 1)), split == "test-identical_color"
        least = MIN_VISIBLE * self.image_size**2
        for _ in range(1000):
            scene = sample_room(count, identical, generator)
            loaded = self._renderer.load(scene)
            mask = self._renderer.mask(loaded)
            if (np.bincount(mask.ravel(), minlength=count + 1)[1 : count + 1] >= least).all():
                seed = seed_of(self.seed, split, index) % 2**31
                return scene, self._renderer.image(loaded, seed), mask
        raise SlotbenchError(f"objects-room: no room of {count} visible objects in 1,000 tries.")

    def downloads(self) -> tuple[Download, ...]:
        return addresses.objects_room()

    def importer(self, path: Path) -> Importer:
        from slotbench.datasets.objects_room_import import ObjectsRoomImporter

        return ObjectsRoomImporter(path, self.image_size)
