"""ClevrTex: CLEVR's scenes with textures, rendered with Mitsuba or read from the archive.

Karazija et al. 2021, arXiv 2111.10265. Rendered scenes follow the published generator: counts,
placement, sizes, and what each variant is; materials and two of the shapes are our own, because
the original's may not be passed on.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset, Importer
from slotbench.datasets.format.schema import Batch, Layout, Property
from slotbench.datasets.originals import addresses
from slotbench.datasets.originals.download import Download
from slotbench.datasets.originals.tree import folder_at
from slotbench.datasets.render.clevr_scene import COLORS
from slotbench.datasets.render.clevrtex_scene import COUNTS, KINDS, Scene, project, sample_scene
from slotbench.datasets.shifts.kinds import shift_of, split_of
from slotbench.datasets.shifts.shift_batch import code, empty, flag
from slotbench.errors import SlotbenchError
from slotbench.registry import register
from slotbench.rng import numpy_generator, seed_of

if TYPE_CHECKING:
    from slotbench.datasets.shifts.shift_scenes import Drawn

MIN_VISIBLE = 200 / (192 * 192)
"""Share of the frame that every object shows: 200 pixels at the scale of 320x240."""


@register("datasets")
class ClevrTex(Dataset):
    """Three to ten textured objects on a textured ground; six variants."""

    summary = "3 to 10 textured objects on a textured ground, rendered or imported"
    source = "Karazija et al. 2021, arXiv 2111.10265"
    name = "clevrtex"
    variants = tuple(KINDS)
    licence = "rendered scenes: CC0; original files: see the project's page, textures of Poliigon"
    sizes: ClassVar[dict[str, int]] = {"train": 6000, "val": 500, "test": 1000}
    unpacks = True
    drawn_shifts = ("crop", "object_shape", "object_style")
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

    @property
    def generator(self) -> str:
        import mitsuba

        from slotbench.datasets.render.clevrtex_render import Renderer

        samples = f"{Renderer.samples} samples a pixel"
        return f"slotbench clevrtex 1, mitsuba {mitsuba.__version__}, {samples}"

    @cached_property
    def _renderer(self):  # type: ignore[no-untyped-def]  # mitsuba is imported in the workers
        from slotbench.datasets.render.clevrtex_render import Renderer

        return Renderer(self.image_size)

    @cached_property
    def _zoomed(self):  # type: ignore[no-untyped-def]
        from slotbench.datasets.render.clevrtex_render import Renderer
        from slotbench.datasets.shifts.shift_scenes import ZOOM

        return Renderer(self.image_size, ZOOM)

    def why_not(self, shift: str, origin: str) -> str:  # noqa: ARG002
        if shift == "num_objects":
            return "its training scenes have up to ten objects already"
        return ""

    def render(self, split: str, start: int, stop: int) -> Batch:
        shift = shift_of(split)
        batch = empty(self.layout, stop - start, shift)
        for row, index in enumerate(range(start, stop)):
            drawn = self._shifted(shift, index) if shift else self._one(split, index)
            seed = seed_of(self.seed, "test" if shift else split, index) % 2**31
            renderer = self._zoomed if shift == "crop" else self._renderer
            batch["image"][row] = renderer.image(drawn.loaded, seed)
            batch["mask"][row] = drawn.mask
            self._describe(batch, row, drawn.scene)
            flag(batch, row, shift, drawn.changed)
        return batch

    def _shifted(self, shift: str, index: int) -> "Drawn":
        from slotbench.datasets.shifts.clevrtex_shifts import ClevrTexShifts

        scene = self._one("test", index).scene
        generator = numpy_generator(self.seed, self.name, self.variant, split_of(shift), index)
        renderer = self._zoomed if shift == "crop" else self._renderer
        least = MIN_VISIBLE * self.image_size**2
        return ClevrTexShifts(KINDS[self.variant]).draw(shift, scene, renderer, least, generator)

    def _one(self, split: str, index: int) -> "Drawn":
        """The first scene of the stream of (seed, split, index) whose objects are all visible."""
        from slotbench.datasets.shifts.shift_scenes import Drawn

        generator = numpy_generator(self.seed, self.name, self.variant, split, index)
        count = int(generator.integers(COUNTS[0], COUNTS[1] + 1))
        least = MIN_VISIBLE * self.image_size**2
        for _ in range(10_000):
            scene = sample_scene(KINDS[self.variant], count, generator)
            loaded = self._renderer.load(scene)
            mask = self._renderer.mask(loaded)
            if np.bincount(mask.ravel(), minlength=count + 1)[1 : count + 1].min() >= least:
                return Drawn(scene, loaded, mask)
        raise SlotbenchError(f"clevrtex: no scene of {count} visible objects in 10,000 tries.")

    def _describe(self, batch: Batch, row: int, scene: Scene) -> None:
        classes = {prop.name: prop.classes for prop in self.layout.properties if prop.classes}
        for slot, thing in enumerate(scene.objects):
            batch["visible"][row, slot] = (batch["mask"][row] == slot + 1).any()
            for name, names in classes.items():
                batch[f"property/{name}"][row, slot] = code(names, getattr(thing, name))
            batch["property/position"][row, slot] = thing.position
            batch["property/rotation"][row, slot] = thing.rotation
            x, y, depth = project(np.array([thing.position]), scene.camera)[0]
            pixels = (x * self.image_size, y * self.image_size, depth)
            batch["property/pixel_coords"][row, slot] = pixels

    def downloads(self) -> tuple[Download, ...]:
        return addresses.clevrtex(self.variant)

    def importer(self, path: Path) -> Importer:
        from slotbench.datasets.originals.clevrtex_import import EXPECTED, ClevrTexImporter

        return ClevrTexImporter(folder_at(path, EXPECTED), self.variant, self.image_size)
