"""Objects Room: a walled room under the sky with a few objects, rendered or read from TFRecords.

What DeepMind's multi_object_datasets say of it: a MuJoCo room after that of the Generative Query
Network (Eslami et al. 2018) and 3d-shapes, with up to three objects for training, and three test
sets: ``empty_room``; ``six_objects``, all of them visible; ``identical_color``, four to six
objects of one random colour. Rendered ones follow this; shapes, sizes, colours, light and camera
are our own, because the original's are not published.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset, Importer
from slotbench.datasets.format.schema import Batch, Layout, Property
from slotbench.datasets.originals import addresses
from slotbench.datasets.originals.download import Download
from slotbench.datasets.render.objects_room_scene import COLORS, SHAPES, sample_room
from slotbench.datasets.shifts.kinds import shift_of, split_of
from slotbench.datasets.shifts.shift_batch import code, empty, flag
from slotbench.errors import SlotbenchError
from slotbench.registry import register
from slotbench.rng import numpy_generator, seed_of

if TYPE_CHECKING:
    from slotbench.datasets.shifts.shift_scenes import Drawn

MOST = 6
COUNTS = {"test-empty_room": (0, 0), "test-six_objects": (6, 6), "test-identical_color": (4, 6)}
USUAL = (1, 3)
"""Objects in the images of the other splits."""
MIN_VISIBLE = 0.01
"""Share of the frame that every object shows."""


@register("datasets")
class ObjectsRoom(Dataset):
    """Objects Room with its three shifted test sets; floor, walls and sky are background."""

    summary = "a walled room with up to six objects; three shifted test sets"
    source = "multi_object_datasets, DeepMind 2019; room: Eslami et al. 2018, Science 360(6394)"
    name = "objects-room"
    variants = ("default",)
    licence = "rendered scenes: CC0; original files: Apache 2.0"
    sizes: ClassVar[dict[str, int]] = {"train": 6000, "val": 500, "test": 1000}
    shifted = tuple(COUNTS)
    drawn_shifts = ("crop", "object_color", "object_shape", "object_style", "num_objects")

    @property
    def layout(self) -> Layout:
        properties = (
            Property("shape", "categorical", classes=SHAPES),
            Property("color", "categorical", classes=tuple(COLORS)),
            Property("size", "numeric", unit="scene units, half the height"),
            Property(
                "position",
                "numeric",
                dim=3,
                unit="scene units: to the right, away from the camera, and up",
            ),
            Property("rotation", "numeric", unit="degrees about the vertical, [0, 360)"),
        )
        return Layout(self.image_size, self.image_size, MOST, properties)

    @property
    def generator(self) -> str:
        import mitsuba

        from slotbench.datasets.render.objects_room_render import Renderer

        samples = f"{Renderer.samples} samples a pixel"
        return f"slotbench objects-room 1, mitsuba {mitsuba.__version__}, {samples}"

    @cached_property
    def _renderer(self):  # type: ignore[no-untyped-def]  # mitsuba is imported in the workers
        from slotbench.datasets.render.objects_room_render import Renderer

        return Renderer(self.image_size)

    @cached_property
    def _zoomed(self):  # type: ignore[no-untyped-def]
        from slotbench.datasets.render.objects_room_render import Renderer
        from slotbench.datasets.shifts.shift_scenes import ZOOM

        return Renderer(self.image_size, ZOOM)

    def why_not(self, shift: str, origin: str) -> str:
        if shift == "num_objects" and origin != "rendered":
            return "that is its own test set test-six_objects"
        return ""

    def render(self, split: str, start: int, stop: int) -> Batch:
        shift = shift_of(split)
        batch = empty(self.layout, stop - start, shift)
        for row, index in enumerate(range(start, stop)):
            drawn = self._shifted(shift, index) if shift else self._one(split, index)
            batch["mask"][row] = drawn.mask
            renderer = self._zoomed if shift == "crop" else self._renderer
            seed = seed_of(self.seed, "test" if shift else split, index) % 2**31
            batch["image"][row] = renderer.image(drawn.loaded, seed)
            for slot, thing in enumerate(drawn.scene.objects):
                batch["visible"][row, slot] = (drawn.mask == slot + 1).any()
                batch["property/shape"][row, slot] = code(SHAPES, thing.shape)
                batch["property/color"][row, slot] = code(tuple(COLORS), thing.color)
                batch["property/size"][row, slot] = thing.size
                batch["property/position"][row, slot] = thing.position
                batch["property/rotation"][row, slot] = thing.rotation
            flag(batch, row, shift, drawn.changed)
        return batch

    def _shifted(self, shift: str, index: int) -> "Drawn":
        from slotbench.datasets.shifts.objects_room_shifts import ObjectsRoomShifts

        scene = self._one("test", index).scene
        generator = numpy_generator(self.seed, self.name, split_of(shift), index)
        renderer = self._zoomed if shift == "crop" else self._renderer
        least = MIN_VISIBLE * self.image_size**2
        return ObjectsRoomShifts().draw(shift, scene, renderer, least, generator)

    def _one(self, split: str, index: int) -> "Drawn":
        """The first room of the stream of (seed, split, index) whose objects are all visible."""
        from slotbench.datasets.shifts.shift_scenes import Drawn

        generator = numpy_generator(self.seed, self.name, split, index)
        low, high = COUNTS.get(split, USUAL)
        count, identical = int(generator.integers(low, high + 1)), split == "test-identical_color"
        least = MIN_VISIBLE * self.image_size**2
        for _ in range(1000):
            scene = sample_room(count, identical, generator)
            loaded = self._renderer.load(scene)
            mask = self._renderer.mask(loaded)
            if (np.bincount(mask.ravel(), minlength=count + 1)[1 : count + 1] >= least).all():
                return Drawn(scene, loaded, mask)
        raise SlotbenchError(f"objects-room: no room of {count} visible objects in 1,000 tries.")

    def downloads(self) -> tuple[Download, ...]:
        return addresses.objects_room()

    def importer(self, path: Path) -> Importer:
        from slotbench.datasets.originals.objects_room_import import ObjectsRoomImporter

        return ObjectsRoomImporter(path, self.image_size)
