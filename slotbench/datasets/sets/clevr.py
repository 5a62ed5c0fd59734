"""CLEVR: scenes made by the published recipe and rendered with Mitsuba, or original files.

The recipe is that of the CLEVR generator (Johnson et al. 2017, arXiv 1612.06890): object
counts, placement, margins, colours, materials, sizes, camera and light jitter. The frame is the
192x192 crop of the 320x240 image that the object-centric literature uses (rows 29:221, columns
64:256), so objects fill it as they do there. One thing differs, because the crop cuts off the
sides: an object is placed where its centre is in the frame, and the least number of pixels that
it must show (200 of 320x240) is counted in the crop.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset, Importer
from slotbench.datasets.format.schema import Batch, Layout, Property
from slotbench.datasets.originals import addresses
from slotbench.datasets.originals.archives import is_zip
from slotbench.datasets.originals.download import Download
from slotbench.datasets.render.clevr_scene import (
    COLORS,
    MATERIALS,
    SHAPES,
    SIZES,
    Scene,
    project,
    sample_scene,
)
from slotbench.datasets.shifts.kinds import shift_of, split_of
from slotbench.datasets.shifts.shift_batch import code, empty, flag
from slotbench.errors import SlotbenchError
from slotbench.registry import register
from slotbench.rng import numpy_generator, seed_of

if TYPE_CHECKING:
    from slotbench.datasets.shifts.shift_scenes import Drawn

MIN_VISIBLE = 200 / (192 * 192)
"""Share of the frame that every object shows: 200 pixels at the scale of 320x240."""
COUNTS = {"clevr6": (3, 6), "clevr10": (3, 10)}


@register("datasets")
class Clevr(Dataset):
    """CLEVR with masks; ``clevr6`` keeps scenes with at most six objects."""

    summary = "3-D scenes of 3 to 10 simple objects, rendered or imported"
    source = "Johnson et al. 2017, arXiv 1612.06890; masks: multi_object_datasets"
    name = "clevr"
    variants = ("clevr6", "clevr10")
    licence = "rendered scenes: CC0; original files: CC BY 4.0 (CLEVR), Apache 2.0 (masks)"
    sizes: ClassVar[dict[str, int]] = {"train": 6000, "val": 500, "test": 1000}
    drawn_shifts = ("crop", "object_color", "object_shape", "object_style", "num_objects")
    # That of Dittadi et al.: the floor is as gray as their other occluders.
    occluder = 51

    @property
    def layout(self) -> Layout:
        properties = (
            Property("shape", "categorical", classes=tuple(SHAPES)),
            Property("color", "categorical", classes=tuple(COLORS)),
            Property("material", "categorical", classes=tuple(MATERIALS)),
            Property("size", "categorical", classes=tuple(SIZES)),
            Property("position", "numeric", dim=3, unit="scene units, x and y in [-3, 3]"),
            Property("rotation", "numeric", unit="degrees, [0, 360)"),
            Property("pixel_coords", "numeric", dim=3, unit="x and y in pixels, then depth"),
        )
        return Layout(self.image_size, self.image_size, COUNTS[self.variant][1], properties)

    @property
    def generator(self) -> str:
        import mitsuba

        from slotbench.datasets.render.clevr_render import Renderer

        samples = f"{Renderer.samples} samples a pixel"
        return f"slotbench clevr 1, mitsuba {mitsuba.__version__}, {samples}"

    @cached_property
    def _renderer(self):  # type: ignore[no-untyped-def]  # mitsuba is imported in the workers
        from slotbench.datasets.render.clevr_render import Renderer

        return Renderer(self.image_size)

    @cached_property
    def _zoomed(self):  # type: ignore[no-untyped-def]
        from slotbench.datasets.render.clevr_render import Renderer
        from slotbench.datasets.shifts.shift_scenes import ZOOM

        return Renderer(self.image_size, ZOOM)

    def why_not(self, shift: str, origin: str) -> str:
        if shift != "num_objects":
            return ""
        if self.variant == "clevr10":
            return "its training scenes have up to ten objects already; clevr:clevr6 can have it"
        if origin != "rendered":
            return "scenes of more objects are in the original file, and clevr:clevr10 has them"
        return ""

    def shifted_layout(self, shift: str) -> Layout:
        most = COUNTS["clevr10"][1]
        return replace(self.layout, objects=most) if shift == "num_objects" else self.layout

    def render(self, split: str, start: int, stop: int) -> Batch:
        shift = shift_of(split)
        batch = empty(self.shifted_layout(shift or ""), stop - start, shift)
        for row, index in enumerate(range(start, stop)):
            drawn = self._shifted(shift, index) if shift else self._one(split, index)
            batch["mask"][row] = drawn.mask
            seed = seed_of(self.seed, "test" if shift else split, index) % 2**31
            renderer = self._zoomed if shift == "crop" else self._renderer
            batch["image"][row] = renderer.image(drawn.loaded, seed)
            self._describe(batch, row, drawn.scene)
            flag(batch, row, shift, drawn.changed)
        return batch

    def _shifted(self, shift: str, index: int) -> "Drawn":
        from slotbench.datasets.shifts.clevr_shifts import ClevrShifts

        scene = self._one("test", index).scene
        generator = numpy_generator(self.seed, self.name, self.variant, split_of(shift), index)
        renderer = self._zoomed if shift == "crop" else self._renderer
        least = MIN_VISIBLE * self.image_size**2
        return ClevrShifts().draw(shift, scene, renderer, least, generator)

    def _one(self, split: str, index: int) -> "Drawn":
        """The first scene of the stream of (seed, split, index) whose objects are all visible."""
        from slotbench.datasets.shifts.shift_scenes import Drawn

        generator = numpy_generator(self.seed, self.name, self.variant, split, index)
        low, high = COUNTS[self.variant]
        count = int(generator.integers(low, high + 1))
        least = MIN_VISIBLE * self.image_size**2
        for _ in range(1000):
            scene = sample_scene(count, generator)
            loaded = self._renderer.load(scene)
            mask = self._renderer.mask(loaded)
            if np.bincount(mask.ravel(), minlength=count + 1)[1 : count + 1].min() >= least:
                return Drawn(scene, loaded, mask)
        raise SlotbenchError(f"clevr: no scene of {count} visible objects in 1,000 tries.")

    def _describe(self, batch: Batch, row: int, scene: Scene) -> None:
        for slot, thing in enumerate(scene.objects):
            batch["visible"][row, slot] = (batch["mask"][row] == slot + 1).any()
            batch["property/shape"][row, slot] = code(SHAPES, thing.shape)
            batch["property/color"][row, slot] = code(tuple(COLORS), thing.color)
            batch["property/material"][row, slot] = MATERIALS.index(thing.material)
            batch["property/size"][row, slot] = code(tuple(SIZES), thing.size)
            batch["property/position"][row, slot] = thing.position
            batch["property/rotation"][row, slot] = thing.rotation
            x, y, depth = project(np.array([thing.position]), scene.camera)[0]
            pixels = (x * self.image_size, y * self.image_size, depth)
            batch["property/pixel_coords"][row, slot] = pixels

    def downloads(self) -> tuple[Download, ...]:
        return addresses.multi_object("clevr_with_masks/clevr_with_masks_train.tfrecords")

    def provenance(self, source: Path) -> dict[str, str]:
        return {"original": "CLEVR_v1.0, without masks" if is_zip(source) else "clevr_with_masks"}

    def importer(self, path: Path) -> Importer:
        if is_zip(path):
            from slotbench.datasets.originals.clevr_zip import ClevrZipImporter

            return ClevrZipImporter(path, self.variant, self.image_size)
        from slotbench.datasets.originals.multi_object import clevr_importer

        return clevr_importer(path, self.variant, self.image_size)
