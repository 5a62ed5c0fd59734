"""Multi-dSprites: flat sprites that occlude each other, drawn here or read from TFRecords.

As DeepMind's multi_object_datasets define the variants: ``colored_on_grayscale``: 2 to 5
sprites of random colour on a uniform grey; ``colored_on_colored``: 1 to 4 on a uniform random
colour; ``binarized``: 2 to 3 white ones on black. Positions are the 32 x 32 of dSprites, and
every sprite shows at least ``MIN_VISIBLE`` of its pixels.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from slotbench.datasets import addresses
from slotbench.datasets.base import Dataset, Importer
from slotbench.datasets.download import Download
from slotbench.datasets.schema import Batch, Layout
from slotbench.datasets.sprites import COUNTS, Colors, Sprites, all_shown, properties
from slotbench.rng import numpy_generator

POSITIONS = 32
# dSprites' positions keep every sprite inside the frame.
BORDER = 16 / 64


class MultiDSprites(Dataset):
    """Sprites drawn without antialiasing, so that images and masks agree at every pixel."""

    name = "multi-dsprites"
    variants = tuple(COUNTS)
    licence = "drawn images: CC0; original files: Apache 2.0"
    sizes: ClassVar[dict[str, int]] = {"train": 20_000, "val": 1_000, "test": 2_000}

    @property
    def layout(self) -> Layout:
        known = properties(self.variant, "x and y in [0, 1]")
        return Layout(self.image_size, self.image_size, COUNTS[self.variant][1], known)

    @property
    def generator(self) -> str:
        return "slotbench multi-dsprites 1"

    def render(self, split: str, start: int, stop: int) -> Batch:
        batch = self.layout.empty(stop - start)
        for row, index in enumerate(range(start, stop)):
            generator = numpy_generator(self.seed, self.name, self.variant, split, index)
            self._draw(batch, row, generator)
        return batch

    def _draw(self, batch: Batch, row: int, generator: np.random.Generator) -> None:
        low, high = COUNTS[self.variant]
        count, size = int(generator.integers(low, high + 1)), self.image_size
        while True:
            sprites = Sprites.draw(count, generator)
            place = generator.integers(POSITIONS, size=(count, 2)) / (POSITIONS - 1)
            centers = np.rint((BORDER + place * (1 - 2 * BORDER)) * (size - 1)).astype(int)
            mask, area = sprites.mask(centers, size)
            if all_shown(mask, area):
                break
        colors = Colors.draw(self.variant, count, generator)
        sprites.store(batch, row, mask, place)
        colors.store(batch, row, mask)

    def downloads(self) -> tuple[Download, ...]:
        return addresses.multi_object(f"multi_dsprites/multi_dsprites_{self.variant}.tfrecords")

    def importer(self, path: Path) -> Importer:
        from slotbench.datasets.multi_object import multi_dsprites_importer

        return multi_dsprites_importer(path, self.variant, self.image_size)
