"""Discs: a dataset that is drawn in a few lines."""

from typing import ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Batch, Layout, Property
from slotbench.rng import numpy_generator

MOST, GREY = 3, 128


class Dots(Dataset):
    """One to three discs of random colour on grey; a later disc covers an earlier one."""

    name = "dots"
    variants = ("three",)
    licence = "CC0"
    sizes: ClassVar[dict[str, int]] = {"train": 5_000, "val": 500, "test": 500}

    @property
    def layout(self) -> Layout:
        color = Property("color", "numeric", dim=3, unit="[0, 1]")
        position = Property("position", "numeric", dim=2, unit="x and y in [0, 1]")
        return Layout(self.image_size, self.image_size, MOST, (color, position))

    @property
    def generator(self) -> str:
        return "slotbench-example dots 1"

    def render(self, split: str, start: int, stop: int) -> Batch:
        batch = self.layout.empty(stop - start)
        y, x = (np.mgrid[: self.image_size, : self.image_size] + 0.5) / self.image_size
        for row, index in enumerate(range(start, stop)):
            draw = numpy_generator(self.seed, self.name, split, index)
            image = np.full((self.image_size, self.image_size, 3), GREY, np.uint8)
            for dot in range(draw.integers(1, MOST + 1)):
                color, (left, top) = draw.random(3), 0.15 + 0.7 * draw.random(2)
                inside = (x - left) ** 2 + (y - top) ** 2 < 0.12**2
                image[inside], batch["mask"][row][inside] = np.rint(color * 255), dot + 1
                batch["property/color"][row, dot] = color
                batch["property/position"][row, dot] = left, top
            batch["image"][row] = image
            # A disc that a later one hides altogether is not visible.
            batch["visible"][row] = np.isin(np.arange(1, MOST + 1), batch["mask"][row])
        return batch
