"""ClevrTex: CLEVR's scenes with textures, rendered with Mitsuba or read from the archive.

Karazija et al. 2021, arXiv 2111.10265. Rendered scenes follow the published generator in counts,
placement, sizes and variants. Materials and two of the shapes are our own, because the licences of
the originals do not allow copies.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from slotbench.datasets.dataset import Download
from slotbench.datasets.format.schema import Layout, categorical
from slotbench.datasets.originals.clevrtex_import import EXPECTED, ClevrTexImporter
from slotbench.datasets.originals.importing import Importer, folder_at
from slotbench.datasets.render.clevr_scene import COLORS, Scene, numbers_of, values
from slotbench.datasets.render.clevrtex_scene import COUNTS, KINDS, sample_scene
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.render.placement import Thing
from slotbench.datasets.render.rendered import RenderedDataset
from slotbench.registry import register

ADDRESS = "https://thor.robots.ox.ac.uk/datasets/clevrtex"


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
    without: ClassVar[dict[str, str]] = {
        "num_objects": "its training scenes have up to ten objects already"
    }
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
        classes = {"shape": kind.shapes, "material": kind.materials, "size": dict(kind.sizes)}
        properties = (
            *categorical(classes | ({"color": COLORS} if kind.colored else {})),
            *numbers_of("degrees about the vertical, [0, 360)"),
        )
        return Layout(self.image_size, self.image_size, COUNTS[1], properties)

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
        return values(scene, thing, self.image_size, 0.0)

    def downloads(self) -> tuple[Download, ...]:
        if self.variant == "grassbg":  # its archive has several names in public code
            return ()
        full = self.variant == "full"
        parts = [f"full_part{part}" for part in range(1, 6)] if full else [self.variant]
        return tuple(Download(f"{ADDRESS}/clevrtex_{part}.tar.gz") for part in parts)

    def importer(self, path: Path) -> Importer:
        return ClevrTexImporter(folder_at(path, EXPECTED), self.variant, self.image_size)
