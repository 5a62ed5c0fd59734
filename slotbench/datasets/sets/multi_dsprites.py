"""Multi-dSprites: flat sprites that occlude each other, drawn here or read from TFRecords.

The variants of DeepMind's multi_object_datasets: ``colored_on_grayscale``, 2 to 5 sprites of random
colour on a uniform grey; ``colored_on_colored``, 1 to 4 on a uniform random colour; ``binarized``,
2 to 3 white ones on black. Positions are the 32 x 32 of dSprites.
"""

import colorsys
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Array, Batch, Layout, Property, shown
from slotbench.datasets.originals.importing import Importer
from slotbench.datasets.originals.multi_object import MULTI_OBJECT, Format, MultiObjectImporter
from slotbench.datasets.originals.tfrecord import RecordFile
from slotbench.datasets.render import sprites as dsprites
from slotbench.datasets.render import textures
from slotbench.datasets.render.sprites import COUNTS, Colors, Sprites, all_shown
from slotbench.datasets.shifts.kinds import empty, first_good, flag, shift_of
from slotbench.errors import SlotbenchError
from slotbench.registry import register

POSITIONS = 32
BORDER = 16 / 64
"""Share of the frame without positions on each side, so that every sprite fits."""
ZOOM = 1.5
MORE = {"colored_on_grayscale": (6, 8), "colored_on_colored": (5, 7), "binarized": (4, 5)}
"""Fewest and most sprites of the shift ``num_objects``."""
TRIES = 200
LEAST_SHARE = 0.15
"""Least share of each colour of a texture in the sprite's visible pixels."""
PERIOD = 0.8
"""Period of a texture, in half-sides of a square."""


@dataclass(frozen=True)
class Scene:
    """Sprites, with places float (count, 2) in [0, 1] and colours."""

    sprites: Sprites
    place: Array
    colors: Colors

    def drawn(self, size: int, *changed: int) -> "Drawn":
        """The scene at ``size`` x ``size`` pixels."""
        mask, area = self.sprites.mask(_centers(self.place, size), size)
        return Drawn(self, mask, area, self.colors.paint(mask), changed)


@dataclass(frozen=True)
class Drawn:
    """A scene, its label map, areas of its sprites, its image, and changed sprites."""

    scene: Scene
    mask: Array
    area: Array
    image: Array
    changed: tuple[int, ...] = ()

    @property
    def good(self) -> bool:
        """Whether all sprites are visible enough."""
        return all_shown(self.mask, self.area)


@register("datasets")
class MultiDSprites(Dataset):
    """Sprites drawn without antialiasing, so that images and masks agree at every pixel."""

    summary = "2 to 5 flat sprites that occlude each other, drawn or imported"
    source = "multi_object_datasets, DeepMind 2019; dSprites, Matthey et al. 2017"
    name = "multi-dsprites"
    variants = tuple(COUNTS)
    licence = "drawn images: CC0; original files: Apache 2.0"
    generator = "slotbench multi-dsprites 1"
    sizes: ClassVar[dict[str, int]] = {"train": 20_000, "val": 1_000, "test": 2_000}
    published = (f"{MULTI_OBJECT}/multi_dsprites/multi_dsprites_{{variant}}.tfrecords",)
    drawn_shifts = ("crop", "object_color", "object_shape", "object_style", "num_objects")

    @property
    def layout(self) -> Layout:
        known = dsprites.properties(self.variant, "x and y in [0, 1]")
        return Layout(self.image_size, self.image_size, COUNTS[self.variant][1], known)

    def without(self, origin: str) -> dict[str, str]:  # noqa: ARG002
        reason = "its training images have sprites of every colour, so that none is new"
        return {} if self.variant == "binarized" else {"object_color": reason}

    @property
    def more(self) -> tuple[int, int]:  # type: ignore[override]
        return MORE[self.variant]

    def render(self, split: str, start: int, stop: int) -> Batch:
        shift = shift_of(split)
        batch = empty(self.shifted_layout(shift or ""), stop - start, shift)
        for row, index in enumerate(range(start, stop)):
            drawn = self._drawn("test" if shift else split, index)
            if shift is not None:
                generator = self.stream(split, index)
                drawn = shift_scene(shift, drawn.scene, self.image_size, self.variant, generator)
            drawn.scene.sprites.store(batch, row, drawn.mask, drawn.scene.place)
            drawn.scene.colors.store(batch, row, drawn.image)
            flag(batch, row, shift, drawn.changed)
        return batch

    def _drawn(self, split: str, index: int) -> Drawn:
        """The first scene of (seed, split, index) whose sprites are all visible enough."""
        generator = self.stream(split, index)
        low, high = COUNTS[self.variant]
        count, size = int(generator.integers(low, high + 1)), self.image_size
        while True:
            sprites = Sprites.draw(count, generator)
            place = _places(count, generator)
            if all_shown(*sprites.mask(_centers(place, size), size)):
                break
        return Scene(sprites, place, Colors.draw(self.variant, count, generator)).drawn(size)

    def importer(self, path: Path) -> Importer:
        """``multi_dsprites_<variant>.tfrecords``, whose shapes are called by their codes."""
        channels, objects = 1 if self.variant == "binarized" else 3, COUNTS[self.variant][1]
        color = () if channels == 1 else (Property("color", "numeric", dim=3, unit="[0, 1]"),)
        properties = (
            Property("shape", "categorical", classes=("shape-1", "shape-2", "shape-3")),
            *color,
            Property("scale", "numeric"),
            Property("orientation", "numeric", unit="radians"),
            Property("position", "numeric", dim=2, unit="x and y in [0, 1]"),
        )
        floats = dict.fromkeys(("x", "y", "shape", "visibility", "orientation", "scale"), 1)
        form = Format(
            image=(64, 64, channels),
            entities=objects + 1,
            entities_last=True,
            float_keys={**floats, "color": channels},
        )
        layout = Layout(self.image_size, self.image_size, objects, properties)
        return MultiObjectImporter(layout, {RecordFile(path): form})


def _places(count: int, generator: np.random.Generator) -> Array:
    """Random places float (count, 2) in [0, 1]."""
    return generator.integers(POSITIONS, size=(count, 2)) / (POSITIONS - 1)


def _centers(place: Array, size: int) -> Array:
    """Places float (count, 2) in [0, 1] -> pixels int (count, 2)."""
    return np.rint((BORDER + place * (1 - 2 * BORDER)) * (size - 1)).astype(int)


def shift_scene(
    shift: str, scene: Scene, size: int, variant: str, generator: np.random.Generator
) -> Drawn:
    """The scene under a shift; all sprites stay visible enough where that is possible."""
    if shift == "crop":
        return _zoomed(scene, size)
    if shift == "num_objects":
        return _fuller(scene, size, variant, generator)
    if shift == "object_shape":
        return _triangle(scene, size, generator)
    if shift == "object_style":
        return _styled(scene, size, generator)
    slot = int(generator.integers(len(scene.sprites)))
    colors = scene.colors.sprites.copy()
    colors[slot] = colorsys.hsv_to_rgb(generator.random(), 1.0, 0.9)
    return replace(scene, colors=replace(scene.colors, sprites=colors)).drawn(size, slot)


def _zoomed(scene: Scene, size: int) -> Drawn:
    large = scene.drawn(round(ZOOM * size))
    start = (len(large.mask) - size) // 2
    middle = (slice(start, start + size),) * 2
    return replace(large, mask=large.mask[middle], image=large.image[middle])


def _triangle(scene: Scene, size: int, generator: np.random.Generator) -> Drawn:
    """Turns the first sprite into a triangle that then hides no other."""

    def tried() -> Iterator[tuple[float, Drawn]]:
        for slot in generator.permutation(len(scene.sprites)).tolist():
            shape = scene.sprites.shape.copy()
            shape[slot] = dsprites.NEW_SHAPE
            made = replace(scene, sprites=replace(scene.sprites, shape=shape)).drawn(size, slot)
            yield math.inf if made.good else float(shown(made.mask, len(made.area)).min()), made

    return first_good(tried(), math.inf) or scene.drawn(size)


def _fuller(scene: Scene, size: int, variant: str, generator: np.random.Generator) -> Drawn:
    """Adds sprites in front of the others; fewer where they hide one."""
    low, high = MORE[variant]
    for count in range(int(generator.integers(low, high + 1)), low - 1, -1):
        for _ in range(TRIES if count > low else 100 * TRIES):
            made = _add(scene, count - len(scene.sprites), variant, generator).drawn(size)
            if made.good:
                return made
    raise SlotbenchError(f"multi-dsprites: no place for {low} sprites in a scene.")


def _add(scene: Scene, more: int, variant: str, generator: np.random.Generator) -> Scene:
    old, new = scene.sprites, Sprites.draw(more, generator)
    joined = zip(vars(old).values(), vars(new).values(), strict=True)
    sprites = Sprites(*map(np.concatenate, joined))
    place = np.concatenate([scene.place, _places(more, generator)])
    colors = Colors.draw(variant, more, generator).sprites
    both = np.concatenate([scene.colors.sprites, colors])
    return Scene(sprites, place, replace(scene.colors, sprites=both))


def _styled(scene: Scene, size: int, generator: np.random.Generator) -> Drawn:
    """Gives the first sprite a texture that then shows both its colours."""
    drawn, pattern = scene.drawn(size), str(generator.choice(textures.PATTERNS))
    slots = generator.permutation(len(scene.sprites)).tolist()
    return first_good((_style(drawn, slot, size, pattern) for slot in slots), LEAST_SHARE) or drawn


def _style(drawn: Drawn, slot: int, size: int, pattern: str) -> tuple[float, Drawn]:
    """The share of the rarer colour of a texture that turns with its sprite, and the scene."""
    sprites, image = drawn.scene.sprites, drawn.image.copy()
    rows, columns = np.nonzero(drawn.mask == slot + 1)
    center = _centers(drawn.scene.place, size)[slot]
    unit = PERIOD * dsprites.HALF_SIDE * size * dsprites.SCALES[sprites.scale[slot]]
    x, y = (columns - center[0]) / unit, (rows - center[1]) / unit
    angle = sprites.turn[slot] * (2 * math.pi / dsprites.ORIENTATIONS)
    cosine, sine = math.cos(angle), math.sin(angle)
    u, v = x * cosine + y * sine, y * cosine - x * sine
    second = textures.draw_pattern(pattern, u + 0.25, v + 0.25)
    color = drawn.scene.colors.sprites[slot]
    # Black on black would be a hole.
    gray = 0.5 if (drawn.scene.colors.ground == 0).all() else textures.second_color(color)
    image[rows[second], columns[second]] = round(255 * gray)
    share = float(second.mean())
    return min(share, 1 - share), replace(drawn, image=image, changed=(slot,))
