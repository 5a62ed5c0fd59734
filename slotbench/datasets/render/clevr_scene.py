"""Scenes of CLEVR: what stands where, in what colour, seen from where. No rendering here."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from slotbench.datasets.format.schema import Array

COLORS = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
"""sRGB, 0 to 255."""
NEW_COLORS = {"orange": (255, 135, 0), "pink": (255, 120, 200), "lime": (150, 230, 40)}
"""Colours of the shift ``object_color`` alone."""
SHAPES = ("cube", "sphere", "cylinder")
MATERIALS = ("rubber", "metal")
SIZES = {"large": 0.7, "small": 0.35}
"""Radius in scene units; a cube's half-edge is the radius over the square root of two."""

GAP, MARGIN = 0.25, 0.4
CAMERA, CAMERA_JITTER = (7.48, -6.51, 5.34), 0.5
LIGHTS = {"key": (6.45, -2.91, 8.0), "fill": (-4.67, -4.01, 4.5), "back": (-1.13, 6.06, 6.2)}
LIGHT_JITTER = 1.0
# A 35 mm lens on a 32 mm sensor sees tan = 16/35 to each side of 320 columns; the crop keeps
# 192 of them, and its middle row is 125 where the image's is 120.
HALF_WIDTH = 16 / 35 * 192 / 320
ROW_OFFSET = 5 / 192


@dataclass(frozen=True)
class Thing:
    """One object: lengths in scene units, ``rotation`` about the vertical in degrees."""

    shape: str
    color: str
    material: str
    size: str
    radius: float
    position: tuple[float, float, float]
    rotation: float
    style: str = ""
    """A pattern, in shifted test sets alone."""


@dataclass(frozen=True)
class Scene:
    objects: tuple[Thing, ...]
    camera: Array
    lights: dict[str, Array]


def camera_frame(camera: Array) -> Array:
    """Rows: the camera's right, up and forward directions, float64 (3, 3); it looks at 0."""
    return _frame(*camera.tolist())


@lru_cache(8)
def _frame(x: float, y: float, z: float) -> Array:
    # A scene asks for its frame with every object that it tries to place.
    camera = np.array([x, y, z])
    forward = -camera / np.linalg.norm(camera)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(right, forward), forward])
    frame.setflags(write=False)
    return frame


def project(points: Array, camera: Array) -> Array:
    """Where points (n, 3) appear: x and y in [0, 1] from the top left corner, and the depth."""
    right, up, depth = camera_frame(camera) @ (points - camera).T
    x = 0.5 + 0.5 * right / depth / HALF_WIDTH
    y = 0.5 - 0.5 * up / depth / HALF_WIDTH - ROW_OFFSET
    return np.stack([x, y, depth], axis=1)


def sample_scene(count: int, generator: np.random.Generator) -> Scene:
    """A scene of ``count`` objects; starts anew where an object finds no place in 50 tries."""
    while True:
        camera = np.array(CAMERA) + generator.uniform(-CAMERA_JITTER, CAMERA_JITTER, 3)
        lights = {
            name: np.array(place) + generator.uniform(-LIGHT_JITTER, LIGHT_JITTER, 3)
            for name, place in LIGHTS.items()
        }
        objects: list[Thing] = []
        while len(objects) < count:
            thing = _place(objects, camera, generator)
            if thing is None:
                break
            objects.append(thing)
        else:
            return Scene(tuple(objects), camera, lights)


def add_things(scene: Scene, count: int, generator: np.random.Generator) -> Scene | None:
    """The scene with objects added until it has ``count``; none where one finds no place."""
    objects = list(scene.objects)
    while len(objects) < count:
        thing = _place(objects, scene.camera, generator)
        if thing is None:
            return None
        objects.append(thing)
    return replace(scene, objects=tuple(objects))


def _place(others: list[Thing], camera: Array, generator: np.random.Generator) -> Thing | None:
    size = _choose(tuple(SIZES), generator)
    shape = _choose(SHAPES, generator)
    radius = SIZES[size] / math.sqrt(2) if shape == "cube" else SIZES[size]
    tries = np.concatenate([generator.uniform(-3, 3, (50, 2)), np.full((50, 1), radius)], axis=1)
    seen = project(tries, camera)[:, :2]
    good = ((seen >= 0) & (seen <= 1)).all(axis=1) & _apart(tries, SIZES[size], others, camera)
    if not good.any():
        return None
    x, y, z = tries[int(good.argmax())].tolist()
    return Thing(
        shape,
        _choose(tuple(COLORS), generator),
        _choose(MATERIALS, generator),
        size,
        radius,
        (x, y, z),
        float(generator.uniform(0, 360)),
    )


def _apart(points: Array, size: float, others: list[Thing], camera: Array) -> Array:
    """CLEVR's two rules: a gap between objects, and a margin along every direction of the view.

    The margin keeps the four spatial relations (left, right, in front, behind) unambiguous.
    Takes points (n, 3); returns bool (n,).
    """
    if not others:
        return np.ones(len(points), np.bool_)
    places = np.array([other.position[:2] for other in others])
    sizes = np.array([SIZES[other.size] for other in others])
    between = points[:, None, :2] - places
    directions = camera_frame(camera)[[0, 2], :2]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    gap = np.linalg.norm(between, axis=2) - size - sizes >= GAP
    margin = (np.abs(between @ directions.T) >= MARGIN).all(axis=2)
    return (gap & margin).all(axis=1)  # type: ignore[no-any-return]


def _choose(values: tuple[str, ...], generator: np.random.Generator) -> str:
    return values[int(generator.integers(len(values)))]
