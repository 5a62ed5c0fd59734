"""A dataset that is drawn in a few lines: coloured discs on grey; a later disc covers others."""

import numpy as np

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Batch, Layout, Property
from slotbench.registry import register
from slotbench.rng import numpy_generator


@register("datasets")
class Dots(Dataset):
    name, licence, source = "dots", "CC0", "an example"
    summary = "one to three coloured discs on grey"
    variants, generator = ("three",), "slotbench-example dots 1"
    sizes = {"train": 5_000, "val": 500, "test": 500}  # noqa: RUF012

    @property
    def layout(self) -> Layout:
        color = Property("color", "numeric", dim=3, unit="[0, 1]")
        place = Property("position", "numeric", dim=2, unit="x and y in [0, 1]")
        return Layout(self.image_size, self.image_size, 3, (color, place))

    def render(self, split: str, start: int, stop: int) -> Batch:
        batch = self.layout.empty(stop - start)
        batch["image"][:] = 128
        y, x = (np.mgrid[: self.image_size, : self.image_size] + 0.5) / self.image_size
        for row, index in enumerate(range(start, stop)):
            draw = numpy_generator(self.seed, self.name, split, index)
            for dot in range(draw.integers(1, 4)):
                color, place = draw.random(3), 0.15 + 0.7 * draw.random(2)
                inside = (x - place[0]) ** 2 + (y - place[1]) ** 2 < 0.12**2
                batch["image"][row][inside] = np.rint(color * 255)
                batch["mask"][row][inside] = dot + 1
                batch["property/color"][row, dot] = color
                batch["property/position"][row, dot] = place
            batch["visible"][row] = np.isin((1, 2, 3), batch["mask"][row])
        return batch
