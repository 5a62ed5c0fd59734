"""CLEVR: scenes made by the published recipe and rendered with Mitsuba, or original files.

The recipe is that of the CLEVR generator (Johnson et al. 2017, arXiv 1612.06890): object counts,
placement, margins, colours, materials, sizes, camera and light jitter. The frame is the 192x192
crop of the 320x240 image that the object-centric literature uses (rows 29:221, columns 64:256).
One thing differs, because the crop cuts off the sides: the centre of every object is in the
frame, and the least number of pixels that it shows (200 of 320x240) is counted in the crop.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slotbench.datasets.format.schema import Layout, categorical
from slotbench.datasets.originals.archives import is_zip
from slotbench.datasets.originals.clevr_zip import ClevrZipImporter
from slotbench.datasets.originals.importing import Importer
from slotbench.datasets.originals.multi_object import MULTI_OBJECT, clevr_importer
from slotbench.datasets.render import clevr_scene as scenes
from slotbench.datasets.render.clevr_scene import (
    COLORS,
    MATERIALS,
    SHAPES,
    SIZES,
    Scene,
    numbers_of,
)
from slotbench.datasets.render.placement import POINTED, Thing
from slotbench.datasets.render.rendered import RenderedDataset
from slotbench.datasets.shifts.drawn import PATTERNS
from slotbench.registry import register

COUNTS = {"clevr6": (3, 6), "clevr10": (3, 10)}


@register("datasets")
class Clevr(RenderedDataset):
    """CLEVR with masks; ``clevr6`` keeps scenes with at most six objects."""

    summary = "3-D scenes of 3 to 10 simple objects, rendered or imported"
    source = "Johnson et al. 2017, arXiv 1612.06890; masks: multi_object_datasets"
    name = "clevr"
    variants = ("clevr6", "clevr10")
    licence = "rendered scenes: CC0; original files: CC BY 4.0 (CLEVR), Apache 2.0 (masks)"
    published = (f"{MULTI_OBJECT}/clevr_with_masks/clevr_with_masks_train.tfrecords",)
    drawn_shifts = ("crop", "object_color", "object_shape", "object_style", "num_objects")
    # As in Dittadi et al.: their usual occluder is as gray as CLEVR's floor.
    occluder = 51
    renderer = "slotbench.datasets.render.clevr_render"
    more = (7, 10)

    @property
    def layout(self) -> Layout:
        properties = (
            *categorical({"shape": SHAPES, "color": COLORS, "material": MATERIALS, "size": SIZES}),
            *numbers_of("degrees, [0, 360)"),
        )
        return Layout(self.image_size, self.image_size, COUNTS[self.variant][1], properties)

    def why_not(self, shift: str, origin: str) -> str:
        if shift != "num_objects":
            return ""
        if self.variant == "clevr10":
            return "its training scenes have up to ten objects already; clevr:clevr6 can have it"
        if origin != "rendered":
            return "scenes of more objects are in the original file, and clevr:clevr10 has them"
        return ""

    def counts(self, split: str) -> tuple[int, int]:  # noqa: ARG002
        return COUNTS[self.variant]

    def sample(self, split: str, count: int, generator: np.random.Generator) -> Scene:  # noqa: ARG002
        return scenes.sample_scene(count, generator)

    def vary(self, shift: str, thing: Thing, generator: np.random.Generator) -> Thing:
        if shift == "object_color":
            return replace(thing, color=str(generator.choice(list(scenes.NEW_COLORS))))
        if shift == "object_style":
            return replace(thing, style=str(generator.choice(PATTERNS)))
        # Place and height stay, and no shape is wider than the size says.
        return replace(thing, shape=str(generator.choice(POINTED)), radius=SIZES[str(thing.size)])

    def add(self, scene: Scene, count: int, generator: np.random.Generator) -> Scene | None:
        return scenes.fill(scene, count, generator)

    def values(self, scene: Scene, thing: Thing) -> dict[str, Any]:
        return scenes.values(scene, thing, self.image_size, scenes.ROW_OFFSET)

    def provenance(self, source: Path) -> dict[str, str]:
        return {"original": "CLEVR_v1.0, without masks" if is_zip(source) else "clevr_with_masks"}

    def importer(self, path: Path) -> Importer:
        if is_zip(path):
            return ClevrZipImporter(path, self.variant, self.image_size)
        return clevr_importer(path, self.variant, self.image_size)
