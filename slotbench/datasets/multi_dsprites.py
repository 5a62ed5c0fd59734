"""Multi-dSprites: flat sprites that occlude each other, drawn here or read from TFRecords.

As DeepMind's multi_object_datasets define the variants: ``colored_on_grayscale``: 2 to 5
sprites of random colour on a uniform grey; ``colored_on_colored``: 1 to 4 on a uniform random
colour; ``binarized``: 2 to 3 white ones on black. Shapes, scales, orientations and positions
take the values of dSprites (Matthey et al. 2017): square, ellipse, heart; six scales from 0.5
to 1; 40 orientations; 32 x 32 positions. A later sprite covers an earlier one, and every sprite
shows at least ``MIN_VISIBLE`` of its pixels.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from slotbench.datasets.base import Dataset, Importer
from slotbench.datasets.schema import Array, Batch, Layout, Property
from slotbench.rng import numpy_generator

SHAPES = ("square", "ellipse", "heart")
SCALES = np.linspace(0.5, 1.0, 6)
ORIENTATIONS = 40
POSITIONS = 32
COUNTS = {"colored_on_grayscale": (2, 5), "colored_on_colored": (1, 4), "binarized": (2, 3)}
MIN_VISIBLE = 0.05
# In dSprites' 64 pixels a square of scale 1 has a side of about 22, and positions keep every
# sprite inside the frame.
HALF_SIDE, BORDER = 11 / 64, 16 / 64


class MultiDSprites(Dataset):
    """Sprites drawn without antialiasing, so that images and masks agree at every pixel."""

    name = "multi-dsprites"
    variants = ("colored_on_grayscale", "colored_on_colored", "binarized")
    licence = "drawn images: CC0; original files: Apache 2.0"
    sizes: ClassVar[dict[str, int]] = {"train": 20_000, "val": 1_000, "test": 2_000}

    @property
    def layout(self) -> Layout:
        colored = self.variant != "binarized"
        color = (Property("color", "numeric", dim=3, unit="[0, 1]"),) if colored else ()
        properties = (
            Property("shape", "categorical", classes=SHAPES),
            *color,
            Property("scale", "numeric"),
            Property("orientation", "numeric", unit="radians, [0, 2 pi)"),
            Property("position", "numeric", dim=2, unit="x and y in [0, 1]"),
            Property("depth", "numeric", unit="order of drawing; a greater one is in front"),
        )
        return Layout(self.image_size, self.image_size, COUNTS[self.variant][1], properties)

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
        count = int(generator.integers(low, high + 1))
        size = self.image_size
        while True:
            shape = generator.integers(len(SHAPES), size=count)
            scale = generator.integers(len(SCALES), size=count)
            turn = generator.integers(ORIENTATIONS, size=count)
            place = generator.integers(POSITIONS, size=(count, 2)) / (POSITIONS - 1)
            mask = np.zeros((size, size), np.uint8)
            area = np.zeros(count)
            for slot in range(count):
                template = _template(int(shape[slot]), int(scale[slot]), int(turn[slot]), size)
                area[slot] = _paste(mask, template, place[slot], slot + 1)
            shown = np.bincount(mask.ravel(), minlength=count + 1)[1:]
            if (shown >= np.maximum(1, MIN_VISIBLE * area)).all():
                break
        colors, ground = self._colors(count, generator)
        batch["image"][row] = np.rint(np.vstack([ground, colors]) * 255).astype(np.uint8)[mask]
        batch["mask"][row], batch["visible"][row, :count] = mask, True
        batch["property/shape"][row, :count] = shape
        batch["property/scale"][row, :count] = SCALES[scale]
        batch["property/orientation"][row, :count] = turn * (2 * math.pi / ORIENTATIONS)
        batch["property/position"][row, :count] = place
        batch["property/depth"][row, :count] = np.arange(count)
        if self.variant != "binarized":
            batch["property/color"][row, :count] = colors

    def _colors(self, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
        """Colours of the sprites (count, 3) and of the background (3,), in [0, 1]."""
        if self.variant == "binarized":
            return np.ones((count, 3)), np.zeros(3)
        gray = self.variant == "colored_on_grayscale"
        ground = generator.random(1).repeat(3) if gray else generator.random(3)
        return generator.random((count, 3)), ground

    def importer(self, path: Path) -> Importer:
        from slotbench.datasets.multi_object import multi_dsprites_importer

        return multi_dsprites_importer(path, self.variant, self.image_size)


@lru_cache(maxsize=len(SHAPES) * len(SCALES) * ORIENTATIONS)
def _template(shape: int, scale: int, turn: int, size: int) -> Array:
    """A sprite in the middle of a small square of odd side, bool (side, side)."""
    unit = HALF_SIDE * size * SCALES[scale]
    reach = math.ceil(unit * 1.5)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] / unit
    angle = turn * (2 * math.pi / ORIENTATIONS)
    x, y = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    if SHAPES[shape] == "square":
        return np.asarray(np.maximum(abs(x), abs(y)) <= 1)
    if SHAPES[shape] == "ellipse":
        return np.asarray(x**2 + (2 * y) ** 2 <= 1.2**2)
    # The heart curve (x^2 + y^2 - 1)^3 = x^2 y^3, point downwards.
    u, v = 1.15 * x, -1.15 * y + 0.15
    return np.asarray((u**2 + v**2 - 1) ** 3 - u**2 * v**3 <= 0)


def _paste(mask: Array, template: Array, place: Array, label: int) -> int:
    """Draw a sprite over what is there; returns how many pixels it covers."""
    size, reach = len(mask), len(template) // 2
    x, y = np.rint((BORDER + place * (1 - 2 * BORDER)) * (size - 1)).astype(int)
    top, left = y - reach, x - reach
    rows = slice(max(top, 0), min(top + len(template), size))
    columns = slice(max(left, 0), min(left + len(template), size))
    part = template[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    mask[rows, columns][part] = label
    return int(part.sum())
