"""Scenes of ClevrTex: what stands where, made of what, seen from where. No rendering here.

After the generator of Karazija et al. 2021 (arXiv 2111.10265): CLEVR's placement, camera and
lights, with three sizes, four shapes and a material for each object and for the ground.
"""

import math
from dataclasses import dataclass

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.clevr_scene import (
    CAMERA,
    CAMERA_JITTER,
    COLORS,
    GAP,
    HALF_WIDTH,
    LIGHT_JITTER,
    LIGHTS,
    MARGIN,
    camera_frame,
)
from slotbench.datasets.render.clevrtex_materials import OUTD, PLAIN, USUAL
from slotbench.datasets.render.meshes import mesh

COUNTS = (3, 10)
GRASS = "grass"
TRIES = 400


@dataclass(frozen=True)
class Kind:
    """What a variant's scenes are made of."""

    shapes: tuple[str, ...] = ("cube", "sphere", "cylinder", "head")
    sizes: tuple[tuple[str, float], ...] = (("large", 0.9), ("medium", 0.6), ("small", 0.4))
    """Radius in scene units."""
    materials: tuple[str, ...] = tuple(USUAL)
    ground: tuple[str, ...] = tuple(USUAL)
    """Nothing: plain grey."""
    colored: bool = False
    """Objects have one of CLEVR's colours."""
    same: bool = False
    """Ground and objects are of one material."""
    new_shapes: tuple[str, ...] = ("cone", "torus", "teapot")
    new_materials: tuple[str, ...] = tuple(OUTD)
    """What the shifts object_shape and object_style bring in; shapes as high as they rest low."""


KINDS = {
    "full": Kind(),
    "pbg": Kind(ground=()),
    "vbg": Kind(materials=tuple(PLAIN), colored=True),
    "grassbg": Kind(ground=(GRASS,)),
    "camo": Kind(same=True),
    "outd": Kind(
        shapes=("cone", "icosahedron", "torus", "teapot"),
        sizes=(("large", 1.0), ("medium", 0.8), ("small", 0.6)),
        materials=tuple(OUTD),
        ground=tuple(OUTD),
        new_shapes=("sphere", "cylinder", "head"),
        new_materials=tuple(USUAL),
    ),
}


@dataclass(frozen=True)
class Coat:
    """How a texture lies: turned by an angle in radians, then shifted, in tiles."""

    turn: float
    shift: tuple[float, float]


@dataclass(frozen=True)
class Thing:
    """One object: lengths in scene units, ``rotation`` about the vertical in degrees."""

    shape: str
    size: str
    material: str
    color: str
    """Nothing where the material has its own."""
    radius: float
    position: tuple[float, float, float]
    rotation: float
    coat: Coat


@dataclass(frozen=True)
class Scene:
    objects: tuple[Thing, ...]
    ground: str
    """Its material; nothing: plain grey."""
    coat: Coat
    camera: Array
    lights: dict[str, Array]


def project(points: Array, camera: Array) -> Array:
    """Where points (n, 3) appear: x and y in [0, 1] from the top left corner, and the depth.

    The frame is the middle 192x192 of 320x240, the crop that the original's loader takes.
    """
    right, up, depth = camera_frame(camera) @ (points - camera).T
    x, y = 0.5 + 0.5 * right / depth / HALF_WIDTH, 0.5 - 0.5 * up / depth / HALF_WIDTH
    return np.stack([x, y, depth], axis=1)


def sample_scene(kind: Kind, count: int, generator: np.random.Generator) -> Scene:
    """A scene of ``count`` objects; starts anew where an object finds no place."""
    ground = _choose(kind.ground, generator) if kind.ground else ""
    materials = (ground,) if kind.same else kind.materials
    while True:
        camera = np.array(CAMERA) + generator.uniform(-CAMERA_JITTER, CAMERA_JITTER, 3)
        lights = {
            name: np.array(place) + generator.uniform(-LIGHT_JITTER, LIGHT_JITTER, 3)
            for name, place in LIGHTS.items()
        }
        coat = _coat(generator)
        objects: list[Thing] = []
        while len(objects) < count:
            thing = _place(objects, kind, materials, camera, generator)
            if thing is None:
                break
            objects.append(thing)
        else:
            return Scene(tuple(objects), ground, coat, camera, lights)


def _place(
    others: list[Thing],
    kind: Kind,
    materials: tuple[str, ...],
    camera: Array,
    generator: np.random.Generator,
) -> Thing | None:
    size, radius = kind.sizes[int(generator.integers(len(kind.sizes)))]
    shape = _choose(kind.shapes, generator)
    height = radius * mesh(shape).rest
    places = generator.uniform(-3, 3, (TRIES, 2))
    tries = np.concatenate([places, np.full((TRIES, 1), height)], axis=1)
    seen = project(tries, camera)[:, :2]
    good = ((seen >= 0) & (seen <= 1)).all(axis=1) & _apart(places, radius, others, camera)
    if not good.any():
        return None
    x, y, z = tries[int(good.argmax())].tolist()
    return Thing(
        shape,
        size,
        _choose(materials, generator),
        _choose(tuple(COLORS), generator) if kind.colored else "",
        radius,
        (x, y, z),
        float(generator.uniform(0, 360)),
        _coat(generator),
    )


def _apart(places: Array, radius: float, others: list[Thing], camera: Array) -> Array:
    """CLEVR's two rules, a gap and a margin along the view's directions; bool (n,)."""
    if not others:
        return np.ones(len(places), np.bool_)
    between = places[:, None] - np.array([other.position[:2] for other in others])
    reach = radius + np.array([other.radius for other in others])
    directions = camera_frame(camera)[[0, 2], :2]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    gap = np.linalg.norm(between, axis=2) - reach >= GAP
    margin = (np.abs(between @ directions.T) >= MARGIN).all(axis=2)
    return (gap & margin).all(axis=1)  # type: ignore[no-any-return]


def _coat(generator: np.random.Generator) -> Coat:
    turn, right, up = generator.random(3).tolist()
    return Coat(2 * math.pi * turn, (right, up))


def _choose(values: tuple[str, ...], generator: np.random.Generator) -> str:
    return values[int(generator.integers(len(values)))]
