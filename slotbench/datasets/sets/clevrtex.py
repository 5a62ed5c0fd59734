"""ClevrTex: CLEVR's scenes with textures, rendered with Mitsuba or read from the archive.

Karazija et al. 2021, arXiv 2111.10265. Rendered scenes follow the published generator in counts,
placement, sizes and variants. Materials and two of the shapes are our own, because the licences of
the originals do not allow copies.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from slotbench.datasets.dataset import Importer
from slotbench.datasets.format.schema import Layout, Property
from slotbench.datasets.originals import addresses
from slotbench.datasets.originals.addresses import Download
from slotbench.datasets.originals.importing import folder_at
from slotbench.datasets.render.clevr_scene import COLORS, Scene
from slotbench.datasets.render.clevrtex_scene import COUNTS, KINDS, project, sample_scene
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.render.placement import Thing
from slotbench.datasets.render.rendered import RenderedDataset
from slotbench.registry import register


@register("datasets")
class ClevrTex(RenderedDataset):
    """Three to ten textured objects on a textured ground; six variants."""

    summary = "3 to 10 textured objects on a textured ground, rendered or imported"
    source = "Karazija et al. 2021, arXiv 2111.10265"
    name = "clevrtex"
    variants = tuple(KINDS)
    licence = "rendered scenes: CC0; original files: see the project's page, textures of Poliigon"
    unpacks = True
    drawn_shifts = ("crop", "object_shape", "object_style")
    renderer = "slotbench.datasets.render.clevrtex_render"
    tries = 10_000
    obtain: ClassVar[str] = (
        "Fetch the variant's archive from the project's page, "
        "www.robots.ox.ac.uk/~vgg/data/clevrtex, and type: "
        "slotbench prepare clevrtex --variant VARIANT --from ARCHIVE"
    )

    @property
    def layout(self) -> Layout:
        kind = KINDS[self.variant]
        sizes = tuple(name for name, _ in kind.sizes)
        color = Property("color", "categorical", classes=tuple(COLORS))
        properties = (
            Property("shape", "categorical", classes=kind.shapes),
            Property("material", "categorical", classes=kind.materials),
            Property("size", "categorical", classes=sizes),
            *((color,) if kind.colored else ()),
            Property("position", "numeric", dim=3, unit="scene units, x and y in [-3, 3]"),
            Property("rotation", "numeric", unit="degrees about the vertical, [0, 360)"),
            Property("pixel_coords", "numeric", dim=3, unit="x and y in pixels, then depth"),
        )
        return Layout(self.image_size, self.image_size, COUNTS[1], properties)

    def why_not(self, shift: str, origin: str) -> str:  # noqa: ARG002
        if shift == "num_objects":
            return "its training scenes have up to ten objects already"
        return ""

    def counts(self, split: str) -> tuple[int, int]:  # noqa: ARG002
        return COUNTS

    def sample(self, split: str, count: int, generator: np.random.Generator) -> Scene:  # noqa: ARG002
        return sample_scene(KINDS[self.variant], count, generator)

    def vary(self, shift: str, thing: Thing, generator: np.random.Generator) -> Thing:
        kind = KINDS[self.variant]
        if shift == "object_style":
            return replace(thing, material=str(generator.choice(kind.new_materials)), color="")
        # Its middle stays, and it still rests on the ground: so it becomes no wider.
        shape = str(generator.choice(kind.new_shapes))
        return replace(thing, shape=shape, radius=thing.position[2] / mesh(shape).rest)

    def values(self, scene: Scene, thing: Thing) -> dict[str, Any]:
        x, y, depth = project(np.array([thing.position]), scene.camera)[0]
        pixels = (x * self.image_size, y * self.image_size, depth)
        return {**vars(thing), "pixel_coords": pixels}

    def downloads(self) -> tuple[Download, ...]:
        return addresses.clevrtex(self.variant)

    def importer(self, path: Path) -> Importer:
        from slotbench.datasets.originals.clevrtex_import import EXPECTED, ClevrTexImporter

        return ClevrTexImporter(folder_at(path, EXPECTED), self.variant, self.image_size)
