"""Scenes of Objects Room: a square room, its objects and the camera.

Lengths are in scene units. The origin is the floor's middle; x points to the right of the camera,
y away from it, z up. The room turns, not the camera: the image shows an object's position.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.clevr_scene import rgb
from slotbench.datasets.render.placement import Point, Thing, choose, filled
from slotbench.datasets.render.steady import applied, steady

MATERIAL = "plastic"
MOST = 6
"""Objects in an image."""
SHAPES = ("cube", "sphere", "cylinder", "cone", "capsule")
COLORS = rgb("red d62728 orange ff880e yellow fadc28 green 2ca02c cyan 28cdd7 blue 2d50dc")
COLORS |= rgb("purple 8a2bc8 pink f569b4")
NEW_SHAPES = ("pyramid", "diamond")
NEW_COLORS = rgb("brown 693e1c lime b9ff28 black 161618")
"""Only the shifts ``object_shape`` and ``object_color`` have these."""
TINTS = tuple(rgb("0 cb8c84 1 d4ae84 2 d6cd96 3 98ba84 4 84c4ac 5 88acce 6 9292ce").values())
TINTS += tuple(rgb("7 ba92c6 8 d8d8d2 9 969696").values())
"""Colours of floors and walls, paler than those of objects."""

HALF, HEIGHT = 3.5, 2.0
"""Half the side of the room, and the height of its walls, with the sky above."""
FOV = 62.0
"""Degrees across the frame."""
CAMERA_RADIUS, CAMERA_HEIGHT, CAMERA_JITTER = (2.9, 3.3), (1.3, 2.0), 0.25
REACH, OFFSET = 2.0, 0.6
"""Objects stand in a disc of radius REACH, OFFSET behind the room's middle."""
SIZES = (0.38, 0.6)
"""Half the height of an object. Its width equals its height; a capsule's is 0.6 times that."""
GAP = 0.15


@dataclass(frozen=True)
class Room:
    """The size of an object is half its height."""

    objects: tuple[Thing, ...]
    floor: int
    walls: int
    """Indices into TINTS."""
    turn: float
    """Rotation of the room about the vertical in degrees, [0, 90)."""
    camera: Point
    target: Point
    sun: float
    """Direction of the light: degrees about the vertical."""


def footprint(shape: str, size: float) -> float:
    """Radius of an object's circle on the floor."""
    return size * {"cube": math.sqrt(2), "capsule": 0.6}.get(shape, 1.0)


def sample_room(count: int, identical: bool, generator: np.random.Generator) -> Room:
    """A room with ``count`` separate objects; all of one colour where ``identical``."""
    radius, height = generator.uniform(*CAMERA_RADIUS), generator.uniform(*CAMERA_HEIGHT)
    x, y = generator.uniform(-CAMERA_JITTER, CAMERA_JITTER, 2).tolist()
    floor, walls = generator.choice(len(TINTS), 2, replace=False).tolist()
    turn, sun = float(generator.uniform(0, 90)), float(generator.uniform(0, 360))
    shared = choose(tuple(COLORS), generator)
    camera, target = (0.0, -radius, height), (x, y, 0.5)
    things = None
    while things is None:
        things = filled((), count, lambda others: place(others, camera, target, generator))
    if identical:
        things = tuple(replace(thing, color=shared) for thing in things)
    return Room(things, floor, walls, turn, camera, target, sun)


def place(
    others: tuple[Thing, ...], camera: Point, target: Point, generator: np.random.Generator
) -> Thing | None:
    """A new object whose middle is in the frame; None where 50 places are all taken."""
    shape, color = choose(SHAPES, generator), choose(tuple(COLORS), generator)
    size, rotation = float(generator.uniform(*SIZES)), float(generator.uniform(0, 360))
    # The square root spreads places evenly over the disc.
    radius = REACH * np.sqrt(generator.random(50))
    angle = generator.uniform(0, 2 * math.pi, 50)
    around = steady([np.cos(angle), np.sin(angle)])
    places = (radius * around + [[0], [OFFSET]]).T
    free = _framed(np.concatenate([places, np.full((50, 1), size)], axis=1), camera, target)
    for other in others:
        apart = np.hypot(*(places - other.position[:2]).T)
        needed = footprint(shape, size) + footprint(other.shape, other.radius) + GAP
        free &= apart >= needed
    if not free.any():
        return None
    x, y = places[int(free.argmax())].tolist()
    return Thing(shape, color, MATERIAL, size, size, (x, y, size), rotation)


def _framed(points: Array, camera: Point, target: Point) -> Array:
    """Whether points (n, 3) are in the frame, bool (n,)."""
    forward = np.subtract(target, camera) / math.dist(target, camera)
    right = np.array([forward[1], -forward[0], 0]) / math.hypot(forward[0], forward[1])
    seen = applied(np.stack([right, np.cross(right, forward), forward]), points - camera).T
    half = math.tan(math.radians(FOV / 2)) * seen[2]
    return (np.abs(seen[:2]) < half).all(axis=0)  # type: ignore[no-any-return]
