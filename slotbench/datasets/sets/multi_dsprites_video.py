"""Multi-dSprites in motion: the sprites of ``multi-dsprites`` move, turn, bounce and occlude.

A sprite moves at a constant velocity in any direction, bounces inside the frame, and turns by -1, 0
or 1 fortieths of a circle a frame. In the first frame at least ``MIN_VISIBLE`` of it is visible;
later it may be wholly hidden, but keeps its properties. Its position is the centre as shares of the
frame. The velocity is no property: no single frame shows it.
"""

import math
from typing import ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Array, Batch, Layout
from slotbench.datasets.render.sprites import COUNTS, Colors, Sprites, all_shown, extent, properties
from slotbench.datasets.render.steady import steady
from slotbench.registry import register

FRAMES = 10
SPEED = (1 / 64, 4 / 64)
"""Least and greatest, in sides of the image a frame."""


@register("datasets")
class MultiDSpritesVideo(Dataset):
    """Clips of ``FRAMES`` frames; images and masks agree at every pixel."""

    summary = "clips of sprites that move, turn, bounce and occlude"
    source = "slotbench, docs/datasets.md; sprites as in multi-dsprites"
    name = "multi-dsprites-video"
    variants = tuple(COUNTS)
    licence = "CC0"
    generator = "slotbench multi-dsprites-video 1"
    sizes: ClassVar[dict[str, int]] = {"train": 2_000, "val": 100, "test": 200}

    @property
    def layout(self) -> Layout:
        known = properties(self.variant, "x and y in [0, 1], shares of the frame")
        size = self.image_size
        return Layout(size, size, COUNTS[self.variant][1], known, frames=FRAMES)

    def without(self, origin: str) -> dict[str, str]:  # noqa: ARG002
        reason = "its training clips have sprites of every colour, so that none is new"
        return {} if self.variant == "binarized" else {"object_color": reason}

    def render(self, split: str, start: int, stop: int) -> Batch:
        batch = self.layout.empty(stop - start)
        for row, index in enumerate(range(start, stop)):
            self._draw(batch, row, self.stream(split, index))
        return batch

    def _draw(self, batch: Batch, row: int, generator: np.random.Generator) -> None:
        low, high = COUNTS[self.variant]
        count, size = int(generator.integers(low, high + 1)), self.image_size
        while True:
            sprites = Sprites.draw(count, generator)
            places = self._paths(sprites, generator)
            if all_shown(*sprites.mask(self._pixels(places[0]), size)):
                break
        turns = generator.integers(-1, 2, size=count)
        colors = Colors.draw(self.variant, count, generator)
        for frame in range(FRAMES):
            turned = sprites.turned(frame * turns)
            mask, _ = turned.mask(self._pixels(places[frame]), size)
            turned.store(batch, (row, frame), mask, places[frame])
            colors.store(batch, (row, frame), colors.paint(mask))

    def _paths(self, sprites: Sprites, generator: np.random.Generator) -> Array:
        """Centres of the sprites as shares of the image, float64 (frames, count, 2)."""
        count = len(sprites)
        kinds = zip(sprites.shape.tolist(), sprites.scale.tolist(), strict=True)
        reach = np.array([extent(*kind, self.image_size) for kind in kinds])
        margin = (reach / (self.image_size - 1))[:, None]
        start = generator.random((count, 2))
        angle = 2 * math.pi * generator.random(count)
        speed = generator.uniform(*SPEED, size=count)
        velocity = speed[:, None] * steady([np.cos(angle), np.sin(angle)]).T
        room = 1 - 2 * margin
        moved = start * room + np.arange(FRAMES)[:, None, None] * velocity
        return np.asarray(margin + bounce(moved, room))

    def _pixels(self, place: Array) -> Array:
        return np.asarray(np.rint(place * (self.image_size - 1)), int)


def bounce(moved: Array, room: Array) -> Array:
    """The place of a point that moved so far from 0, between walls at 0 and ``room``.

    A bouncing path is a straight path, mirrored at the walls.
    """
    folded = moved % (2 * room)
    return np.asarray(np.minimum(folded, 2 * room - folded))
