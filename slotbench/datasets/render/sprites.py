"""The sprites of dSprites, drawn without antialiasing, for images and videos.

As in dSprites (Matthey et al. 2017) they are squares, ellipses or hearts, in six scales and 40
orientations. Numbers and colours are those of the variants of DeepMind's multi_object_datasets.
Later sprites cover earlier ones.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from slotbench.datasets.format.schema import Array, Batch, Property, shown

SHAPES = ("square", "ellipse", "heart")
NEW_SHAPE = len(SHAPES)
"""Code of the triangle, which only shifted test sets have."""
SCALES = np.linspace(0.5, 1.0, 6)
ORIENTATIONS = 40
COUNTS = {"colored_on_grayscale": (2, 5), "colored_on_colored": (1, 4), "binarized": (2, 3)}
MIN_VISIBLE = 0.05
# In dSprites' 64 pixels a square of scale 1 has a side of about 22.
HALF_SIDE = 11 / 64


@dataclass(frozen=True)
class Sprites:
    """Sprites of a scene, int (count,) each: codes of shape and scale, turns in fortieths."""

    shape: Array
    scale: Array
    turn: Array

    @classmethod
    def draw(cls, count: int, generator: np.random.Generator) -> "Sprites":
        """``count`` random sprites."""
        shape = generator.integers(len(SHAPES), size=count)
        scale = generator.integers(len(SCALES), size=count)
        return cls(shape, scale, generator.integers(ORIENTATIONS, size=count))

    def __len__(self) -> int:
        return len(self.shape)

    def turned(self, turns: Array) -> "Sprites":
        """The sprites after turns by fortieths of a circle, int (count,)."""
        return Sprites(self.shape, self.scale, (self.turn + turns) % ORIENTATIONS)

    def mask(self, centers: Array, size: int) -> tuple[Array, Array]:
        """Label map uint8 (size, size), and the area of each sprite, covered parts included.

        ``centers`` int (count, 2) are x and y in pixels.
        """
        mask, area = np.zeros((size, size), np.uint8), np.zeros(len(self))
        codes = np.stack([self.shape, self.scale, self.turn], axis=1).tolist()
        for slot, (shape, scale, turn) in enumerate(codes):
            area[slot] = paste(mask, template(shape, scale, turn, size), centers[slot], slot + 1)
        return mask, area

    def store(self, batch: Batch, at: int | tuple[int, int], mask: Array, place: Array) -> None:
        """Write all arrays but image and colours at entry ``at`` of a batch."""
        count = len(self)
        batch["mask"][at] = mask
        batch["visible"][at][:count] = shown(mask, count) > 0
        batch["property/shape"][at][:count] = np.where(self.shape == NEW_SHAPE, -1, self.shape)
        batch["property/scale"][at][:count] = SCALES[self.scale]
        batch["property/orientation"][at][:count] = self.turn * (2 * math.pi / ORIENTATIONS)
        batch["property/position"][at][:count] = place
        batch["property/depth"][at][:count] = np.arange(count)


@dataclass(frozen=True)
class Colors:
    """Colours of sprites (count, 3) and ground (3,), in [0, 1]."""

    sprites: Array
    ground: Array

    @classmethod
    def draw(cls, variant: str, count: int, generator: np.random.Generator) -> "Colors":
        """Random colours, as the variant has them."""
        if variant == "binarized":
            return cls(np.ones((count, 3)), np.zeros(3))
        gray = variant == "colored_on_grayscale"
        ground = generator.random(1).repeat(3) if gray else generator.random(3)
        return cls(generator.random((count, 3)), ground)

    def store(self, batch: Batch, at: int | tuple[int, int], image: Array) -> None:
        """Write the image, and the colours where the batch has them, at entry ``at``."""
        batch["image"][at] = image
        if "property/color" in batch:
            batch["property/color"][at][: len(self.sprites)] = self.sprites

    def paint(self, mask: Array) -> Array:
        """The image uint8 (H, W, 3) of a label map."""
        table = np.rint(np.vstack([self.ground, self.sprites]) * 255).astype(np.uint8)
        return np.asarray(table[mask])


def properties(variant: str, position: str) -> tuple[Property, ...]:
    """Properties of a sprite; ``position`` is the unit of its position."""
    color = (Property("color", "numeric", dim=3, unit="[0, 1]"),)
    return (
        Property("shape", "categorical", classes=SHAPES),
        *(color if variant != "binarized" else ()),
        Property("scale", "numeric"),
        Property("orientation", "numeric", unit="radians, [0, 2 pi)"),
        Property("position", "numeric", dim=2, unit=position),
        Property("depth", "numeric", unit="order of drawing; a greater one is in front"),
    )


def all_shown(mask: Array, area: Array) -> bool:
    """Whether at least ``MIN_VISIBLE`` of every sprite's pixels is visible."""
    return bool((shown(mask, len(area)) >= np.maximum(1, MIN_VISIBLE * area)).all())


@lru_cache(maxsize=2 * (len(SHAPES) + 1) * len(SCALES) * ORIENTATIONS)
def template(shape: int, scale: int, turn: int, size: int) -> Array:
    """A sprite in the middle of a small square of odd side, bool (side, side)."""
    unit = HALF_SIDE * size * SCALES[scale]
    reach = math.ceil(unit * 1.5)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] / unit
    angle = turn * (2 * math.pi / ORIENTATIONS)
    # Not rounded: where an outline passes through a pixel's middle, the pixel would change.
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = x * cosine + y * sine, y * cosine - x * sine
    if shape == NEW_SHAPE:
        # Equal sides; its corners are as far out as a heart's reach.
        sides = (y <= 0.7, 3**0.5 * abs(x) <= y + 1.4)
        return np.asarray(sides[0] & sides[1])
    if SHAPES[shape] == "square":
        return np.asarray(np.maximum(abs(x), abs(y)) <= 1)
    if SHAPES[shape] == "ellipse":
        return np.asarray(x**2 + (2 * y) ** 2 <= 1.2**2)
    # The heart curve (x^2 + y^2 - 1)^3 = x^2 y^3, point downwards.
    u, v = 1.15 * x, -1.15 * y + 0.15
    out, square = u**2 + v**2 - 1, v**2
    return np.asarray(out * out * out - u**2 * square * v <= 0)


@lru_cache(maxsize=len(SHAPES) * len(SCALES))
def extent(shape: int, scale: int, size: int) -> int:
    """Most pixels from a sprite's centre along an axis, over all orientations."""
    farthest = 0
    for turn in range(ORIENTATIONS):
        sprite = template(shape, scale, turn, size)
        farthest = max(farthest, int(abs(np.argwhere(sprite) - len(sprite) // 2).max()))
    return farthest


def paste(mask: Array, sprite: Array, center: Array, label: int) -> int:
    """Draw a sprite over others; returns its pixels inside the frame."""
    size, reach = len(mask), len(sprite) // 2
    x, y = center
    top, left = y - reach, x - reach
    rows = slice(max(top, 0), min(top + len(sprite), size))
    columns = slice(max(left, 0), min(left + len(sprite), size))
    part = sprite[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    mask[rows, columns][part] = label
    return int(part.sum())
