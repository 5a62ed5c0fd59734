"""Shifts of Multi-dSprites: triangles, textures, more sprites, the middle of the frame."""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.sprites import (
    COUNTS,
    HALF_SIDE,
    NEW_SHAPE,
    ORIENTATIONS,
    SCALES,
    Colors,
    Sprites,
    all_shown,
    shown,
)
from slotbench.datasets.shifts.shift_patterns import PATTERNS, draw_pattern, second_color
from slotbench.errors import SlotbenchError

ZOOM = 1.5
MORE = {"colored_on_grayscale": (6, 8), "colored_on_colored": (5, 7), "binarized": (4, 5)}
"""Sprites of a scene of ``num_objects``; training has those of ``COUNTS``."""
TRIES = 200
LEAST_SHARE = 0.15
"""Of either colour of a texture in the pixels that its sprite shows."""
PERIOD = 0.8
"""Of a texture, in half-sides of a square."""
assert all(MORE[variant][0] > COUNTS[variant][1] for variant in MORE)


@dataclass(frozen=True)
class Scene:
    """Sprites, their places float (count, 2) in [0, 1] and their colours."""

    sprites: Sprites
    place: Array
    colors: Colors


@dataclass(frozen=True)
class Drawn:
    """A scene, its label map and its image, and which sprite was changed."""

    scene: Scene
    mask: Array
    image: Array
    changed: tuple[int, ...] = ()


Centers = Callable[[Array, int], Array]
"""Places -> centres in pixels, for a side of so many pixels."""


def shift_scene(
    shift: str,
    scene: Scene,
    size: int,
    variant: str,
    centers: Centers,
    generator: np.random.Generator,
) -> Drawn:
    """The scene under a shift, drawn at ``size`` x ``size`` pixels.

    Every sprite shows its least share of pixels, where a sprite can be changed so.
    """
    if shift == "crop":
        return _zoomed(scene, size, centers)
    if shift == "num_objects":
        return _fuller(scene, size, variant, centers, generator)
    if shift == "object_shape":
        return _triangle(scene, size, centers, generator)
    if shift == "object_style":
        return _styled(scene, size, centers, generator)
    if shift == "object_color":
        slot = int(generator.integers(len(scene.sprites)))
        colors = scene.colors.sprites.copy()
        colors[slot] = colorsys.hsv_to_rgb(generator.random(), 1.0, 0.9)
        scene = replace(scene, colors=replace(scene.colors, sprites=colors))
        return replace(_plain(scene, size, centers), changed=(slot,))
    raise ValueError(f"no shift {shift!r} of sprites")


def _plain(scene: Scene, size: int, centers: Centers) -> Drawn:
    mask, _ = scene.sprites.mask(centers(scene.place, size), size)
    return Drawn(scene, mask, scene.colors.paint(mask))


def _zoomed(scene: Scene, size: int, centers: Centers) -> Drawn:
    large = _plain(scene, round(ZOOM * size), centers)
    start = (len(large.mask) - size) // 2
    middle = slice(start, start + size)
    return Drawn(scene, large.mask[middle, middle], large.image[middle, middle])


def _triangle(scene: Scene, size: int, centers: Centers, generator: np.random.Generator) -> Drawn:
    """One sprite becomes a triangle: of the order tried, the first that leaves all in sight."""
    best: tuple[int, Drawn] | None = None
    for slot in generator.permutation(len(scene.sprites)).tolist():
        shape = scene.sprites.shape.copy()
        shape[slot] = NEW_SHAPE
        changed = replace(scene, sprites=replace(scene.sprites, shape=shape))
        mask, area = changed.sprites.mask(centers(scene.place, size), size)
        drawn = Drawn(changed, mask, scene.colors.paint(mask), (slot,))
        fewest = int(shown(mask, len(area)).min())
        if all_shown(mask, area):
            return drawn
        if best is None or fewest > best[0]:
            best = fewest, drawn
    return _plain(scene, size, centers) if best is None or best[0] == 0 else best[1]


def _fuller(
    scene: Scene, size: int, variant: str, centers: Centers, generator: np.random.Generator
) -> Drawn:
    """New sprites in front of those that are there; fewer where so many hide one."""
    low, high = MORE[variant]
    for count in range(int(generator.integers(low, high + 1)), low - 1, -1):
        for _ in range(TRIES if count > low else 100 * TRIES):
            fuller = _add(scene, count - len(scene.sprites), variant, generator)
            mask, area = fuller.sprites.mask(centers(fuller.place, size), size)
            if all_shown(mask, area):
                return Drawn(fuller, mask, fuller.colors.paint(mask))
    raise SlotbenchError(f"multi-dsprites: no place for {low} sprites in a scene.")


def _add(scene: Scene, more: int, variant: str, generator: np.random.Generator) -> Scene:
    old, new = scene.sprites, Sprites.draw(more, generator)
    sprites = Sprites(
        *(
            np.concatenate(both)
            for both in ((old.shape, new.shape), (old.scale, new.scale), (old.turn, new.turn))
        )
    )
    place = np.concatenate([scene.place, generator.integers(32, size=(more, 2)) / 31])
    colors = Colors.draw(variant, more, generator).sprites
    joined = replace(scene.colors, sprites=np.concatenate([scene.colors.sprites, colors]))
    return Scene(sprites, place, joined)


def _styled(scene: Scene, size: int, centers: Centers, generator: np.random.Generator) -> Drawn:
    """One sprite gets a texture: of the order tried, the first that shows both its colours."""
    drawn = _plain(scene, size, centers)
    pattern = str(generator.choice(PATTERNS))
    best: tuple[float, Drawn] | None = None
    for slot in generator.permutation(len(scene.sprites)).tolist():
        image = drawn.image.copy()
        share = _style(image, drawn, slot, size, centers, pattern)
        styled = replace(drawn, image=image, changed=(slot,))
        if share >= LEAST_SHARE:
            return styled
        if best is None or share > best[0]:
            best = share, styled
    return drawn if best is None or best[0] == 0 else best[1]


def _style(
    image: Array, drawn: Drawn, slot: int, size: int, centers: Centers, pattern: str
) -> float:
    """Paint a texture that turns with the sprite; the share of its rarer colour, in [0, 0.5]."""
    sprites = drawn.scene.sprites
    rows, columns = np.nonzero(drawn.mask == slot + 1)
    center = centers(drawn.scene.place, size)[slot]
    unit = PERIOD * HALF_SIDE * size * SCALES[sprites.scale[slot]]
    x, y = (columns - center[0]) / unit, (rows - center[1]) / unit
    angle = sprites.turn[slot] * (2 * math.pi / ORIENTATIONS)
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    second = draw_pattern(pattern, u + 0.25, v + 0.25)
    color = drawn.scene.colors.sprites[slot]
    # Black on black would be a hole.
    gray = 0.5 if (drawn.scene.colors.ground == 0).all() else second_color(color)
    image[rows[second], columns[second]] = round(255 * gray)
    share = float(second.mean())
    return min(share, 1 - share)
