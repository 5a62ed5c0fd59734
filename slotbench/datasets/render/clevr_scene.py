"""Scenes of CLEVR: objects, camera and lights."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slotbench.datasets.format.schema import Array, Property
from slotbench.datasets.render.placement import NO_COAT, Coat, Point, Thing, choose, filled
from slotbench.datasets.render.steady import applied


def rgb(text: str) -> dict[str, tuple[int, int, int]]:
    """Name -> sRGB bytes, from a text of names and hexadecimal colours in turn."""
    words = text.split()
    pairs = zip(words[::2], map(bytes.fromhex, words[1::2]), strict=True)
    return {name: (color[0], color[1], color[2]) for name, color in pairs}


COLORS = rgb("gray 575757 red ad2323 blue 2a4bd7 green 1d6914 brown 814a19 purple 8126c0")
COLORS |= rgb("cyan 29d0d0 yellow ffee33")
NEW_COLORS = rgb("orange ff8700 pink ff78c8 lime 96e628")
"""Colours of the shift ``object_color`` alone."""
SHAPES = ("cube", "sphere", "cylinder")
MATERIALS = ("rubber", "metal")
SIZES = {"large": 0.7, "small": 0.35}
"""Radius in scene units; a cube's half-edge is the radius over the square root of two."""

GAP, MARGIN = 0.25, 0.4
CAMERA, CAMERA_JITTER = (7.48, -6.51, 5.34), 0.5
LIGHTS = {"key": (6.45, -2.91, 8.0), "fill": (-4.67, -4.01, 4.5), "back": (-1.13, 6.06, 6.2)}
LIGHT_JITTER = 1.0
# Half of a 32 mm sensor, behind a 35 mm lens, sees 160 columns. The crop keeps 192 of 320 columns;
# its middle row is 125, that of the image 120.
HALF_WIDTH = 16 / 35 * 192 / 320
ROW_OFFSET = 5 / 192


@dataclass(frozen=True)
class Scene:
    """A scene of CLEVR or ClevrTex."""

    objects: tuple[Thing, ...]
    camera: Array
    """Its place, float64 (3,); it looks at the origin."""
    lights: dict[str, Array]
    ground: str = ""
    """Its material; empty: plain grey."""
    coat: Coat = NO_COAT


def camera_frame(camera: Array) -> Array:
    """Rows: the camera's right, up and forward directions, float64 (3, 3)."""
    forward = -camera / math.hypot(*camera)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= math.hypot(*right)
    return np.stack([right, np.cross(right, forward), forward])


def project(points: Array, camera: Array, row_offset: float = ROW_OFFSET) -> Array:
    """Image coordinates of points (n, 3): x and y in [0, 1] from the top left, and the depth."""
    right, up, depth = applied(camera_frame(camera), points - camera).T
    x = 0.5 + 0.5 * right / depth / HALF_WIDTH
    y = 0.5 - 0.5 * up / depth / HALF_WIDTH - row_offset
    return np.stack([x, y, depth], axis=1)


def values(scene: Scene, thing: Thing, size: int, row_offset: float) -> dict[str, Any]:
    """An object's properties, with ``pixel_coords``: x and y in pixels, and the depth."""
    x, y, depth = project(np.array([thing.position]), scene.camera, row_offset)[0]
    return {**vars(thing), "pixel_coords": (x * size, y * size, depth)}


def numbers_of(rotation: str, pixels: str = "pixels") -> tuple[Property, ...]:
    """Numeric properties of CLEVR and ClevrTex, with the units of rotation and pixels."""
    return (
        Property("position", "numeric", dim=3, unit="scene units, x and y in [-3, 3]"),
        Property("rotation", "numeric", unit=rotation),
        Property("pixel_coords", "numeric", dim=3, unit=f"x and y in {pixels}, then depth"),
    )


def sample_view(generator: np.random.Generator) -> Scene:
    """Camera and lights of a scene without objects."""
    camera = np.array(CAMERA) + generator.uniform(-CAMERA_JITTER, CAMERA_JITTER, 3)
    jitter = -LIGHT_JITTER, LIGHT_JITTER, 3
    lights = {key: np.array(place) + generator.uniform(*jitter) for key, place in LIGHTS.items()}
    return Scene((), camera, lights)


def sample_scene(count: int, generator: np.random.Generator) -> Scene:
    """A scene of ``count`` objects; starts again where an object finds no place."""
    while True:
        view = sample_view(generator)
        scene = fill(view, count, generator)
        if scene is not None:
            return scene


def fill(scene: Scene, count: int, generator: np.random.Generator) -> Scene | None:
    """The scene, filled up to ``count`` objects; None where one finds no place."""
    found = filled(scene.objects, count, lambda others: place(others, scene.camera, generator))
    return None if found is None else replace(scene, objects=found)


def place(others: tuple[Thing, ...], camera: Array, generator: np.random.Generator) -> Thing | None:
    """A new object beside others; None where 50 random places are all taken."""
    size, shape = choose(tuple(SIZES), generator), choose(SHAPES, generator)
    radius = SIZES[size] / math.sqrt(2) if shape == "cube" else SIZES[size]
    taken = [(other.position, SIZES[str(other.size)]) for other in others]
    found = find(50, radius, SIZES[size], taken, camera, ROW_OFFSET, generator)
    if found is None:
        return None
    color, material = choose(tuple(COLORS), generator), choose(MATERIALS, generator)
    return Thing(shape, color, material, size, radius, found, float(generator.uniform(0, 360)))


def find(
    tries: int,
    height: float,
    reach: float,
    taken: list[tuple[Point, float]],
    camera: Array,
    row_offset: float,
    generator: np.random.Generator,
) -> Point | None:
    """The first free one of ``tries`` places in the frame; None where all are taken.

    ``reach`` is the object's radius, ``taken`` the place and reach of each other object. CLEVR's
    rules: a gap between objects, and a margin along both directions of the view, which keeps
    left, right, in front and behind unambiguous.
    """
    places = generator.uniform(-3, 3, (tries, 2))
    points = np.concatenate([places, np.full((tries, 1), height)], axis=1)
    seen = project(points, camera, row_offset)[:, :2]
    good = ((seen >= 0) & (seen <= 1)).all(axis=1)
    if taken:
        between = places[:, None] - np.array([point[:2] for point, _ in taken])
        reaches = reach + np.array([other for _, other in taken])
        directions = camera_frame(camera)[[0, 2], :2]
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        gap = np.linalg.norm(between, axis=2) - reaches >= GAP
        margin = (np.abs(between @ directions.T) >= MARGIN).all(axis=2)
        good &= (gap & margin).all(axis=1)
    if not good.any():
        return None
    x, y, z = points[int(good.argmax())].tolist()
    return x, y, z
