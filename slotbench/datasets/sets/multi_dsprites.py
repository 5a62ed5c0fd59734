"""Multi-dSprites: flat sprites that occlude each other, drawn here or read from TFRecords.

As DeepMind's multi_object_datasets define the variants: ``colored_on_grayscale``: 2 to 5
sprites of random colour on a uniform grey; ``colored_on_colored``: 1 to 4 on a uniform random
colour; ``binarized``: 2 to 3 white ones on black. Positions are the 32 x 32 of dSprites, and
every sprite shows at least ``MIN_VISIBLE`` of its pixels.
"""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset, Importer
from slotbench.datasets.format.schema import Array, Batch, Layout
from slotbench.datasets.originals import addresses
from slotbench.datasets.originals.download import Download
from slotbench.datasets.render.sprites import COUNTS, Colors, Sprites, all_shown, properties
from slotbench.datasets.shifts.kinds import shift_of
from slotbench.datasets.shifts.multi_dsprites_shifts import MORE, Scene, shift_scene
from slotbench.datasets.shifts.shift_batch import empty, flag
from slotbench.registry import register
from slotbench.rng import numpy_generator

POSITIONS = 32
# dSprites' positions keep every sprite inside the frame.
BORDER = 16 / 64


@register("datasets")
class MultiDSprites(Dataset):
    """Sprites drawn without antialiasing, so that images and masks agree at every pixel."""

    summary = "2 to 5 flat sprites that occlude each other, drawn or imported"
    source = "multi_object_datasets, DeepMind 2019; dSprites, Matthey et al. 2017"
    name = "multi-dsprites"
    variants = tuple(COUNTS)
    licence = "drawn images: CC0; original files: Apache 2.0"
    sizes: ClassVar[dict[str, int]] = {"train": 20_000, "val": 1_000, "test": 2_000}
    drawn_shifts = ("crop", "object_color", "object_shape", "object_style", "num_objects")

    @property
    def layout(self) -> Layout:
        known = properties(self.variant, "x and y in [0, 1]")
        return Layout(self.image_size, self.image_size, COUNTS[self.variant][1], known)

    @property
    def generator(self) -> str:
        return "slotbench multi-dsprites 1"

    def why_not(self, shift: str, origin: str) -> str:
        if shift == "object_color" and self.variant != "binarized":
            return "its training images have sprites of every colour, so that none is new"
        return super().why_not(shift, origin)

    def shifted_layout(self, shift: str) -> Layout:
        if shift != "num_objects":
            return self.layout
        return replace(self.layout, objects=MORE[self.variant][1])

    def render(self, split: str, start: int, stop: int) -> Batch:
        shift = shift_of(split)
        batch = empty(self.shifted_layout(shift or ""), stop - start, shift)
        for row, index in enumerate(range(start, stop)):
            scene, mask = self._scene("test" if shift else split, index)
            if shift is None:
                scene.sprites.store(batch, row, mask, scene.place)
                scene.colors.store(batch, row, mask)
                continue
            generator = numpy_generator(self.seed, self.name, self.variant, split, index)
            drawn = shift_scene(shift, scene, self.image_size, self.variant, _centers, generator)
            drawn.scene.sprites.store(batch, row, drawn.mask, drawn.scene.place)
            drawn.scene.colors.store(batch, row, drawn.mask)
            batch["image"][row] = drawn.image
            flag(batch, row, shift, drawn.changed)
        return batch

    def _scene(self, split: str, index: int) -> tuple[Scene, Array]:
        """A scene of the stream of (seed, split, index), and its label map."""
        generator = numpy_generator(self.seed, self.name, self.variant, split, index)
        low, high = COUNTS[self.variant]
        count, size = int(generator.integers(low, high + 1)), self.image_size
        while True:
            sprites = Sprites.draw(count, generator)
            place = generator.integers(POSITIONS, size=(count, 2)) / (POSITIONS - 1)
            mask, area = sprites.mask(_centers(place, size), size)
            if all_shown(mask, area):
                break
        return Scene(sprites, place, Colors.draw(self.variant, count, generator)), mask

    def downloads(self) -> tuple[Download, ...]:
        return addresses.multi_object(f"multi_dsprites/multi_dsprites_{self.variant}.tfrecords")

    def importer(self, path: Path) -> Importer:
        from slotbench.datasets.originals.multi_object import multi_dsprites_importer

        return multi_dsprites_importer(path, self.variant, self.image_size)


def _centers(place: Array, size: int) -> Array:
    """Places float (count, 2) in [0, 1] -> pixels int (count, 2) of a frame of ``size``."""
    return np.rint((BORDER + place * (1 - 2 * BORDER)) * (size - 1)).astype(int)
