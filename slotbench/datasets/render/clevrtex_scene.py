"""Scenes of ClevrTex: objects, materials, camera and lights. No rendering here.

After the generator of Karazija et al. 2021 (arXiv 2111.10265): CLEVR's placement, camera and
lights, with three sizes, four shapes and a material for each object and for the ground.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render import clevr_scene
from slotbench.datasets.render.clevr_scene import Scene
from slotbench.datasets.render.clevrtex_materials import OUTD, PLAIN, USUAL
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.render.placement import Coat, Thing, choose, filled

COUNTS = (3, 10)
GRASS = "grass"
TRIES = 400


@dataclass(frozen=True)
class Kind:
    """The shapes, sizes and materials of a variant."""

    shapes: tuple[str, ...] = ("cube", "sphere", "cylinder", "head")
    sizes: tuple[tuple[str, float], ...] = (("large", 0.9), ("medium", 0.6), ("small", 0.4))
    """Radius in scene units."""
    materials: tuple[str, ...] = tuple(USUAL)
    ground: tuple[str, ...] = tuple(USUAL)
    """Empty: plain grey."""
    colored: bool = False
    """Objects have one of CLEVR's colours."""
    same: bool = False
    """Ground and objects share one material."""
    new_shapes: tuple[str, ...] = ("cone", "torus", "teapot")
    new_materials: tuple[str, ...] = tuple(OUTD)
    """New shapes and materials of the shifts ``object_shape`` and ``object_style``."""


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


def sample_scene(kind: Kind, count: int, generator: np.random.Generator) -> Scene:
    """A scene of ``count`` objects; starts anew where an object finds no place."""
    ground = choose(kind.ground, generator) if kind.ground else ""
    materials = (ground,) if kind.same else kind.materials
    while True:
        view = clevr_scene.sample_view(generator)
        coat, place = _coat(generator), partial(_place, kind, materials, view.camera, generator)
        objects = filled((), count, place)
        if objects is not None:
            return replace(view, objects=objects, ground=ground, coat=coat)


def _place(
    kind: Kind,
    materials: tuple[str, ...],
    camera: Array,
    generator: np.random.Generator,
    others: tuple[Thing, ...],
) -> Thing | None:
    size, radius = kind.sizes[int(generator.integers(len(kind.sizes)))]
    shape = choose(kind.shapes, generator)
    taken = [(other.position, other.radius) for other in others]
    height = radius * mesh(shape).rest
    found = clevr_scene.find(TRIES, height, radius, taken, camera, 0.0, generator)
    if found is None:
        return None
    material = choose(materials, generator)
    color = choose(tuple(clevr_scene.COLORS), generator) if kind.colored else ""
    turn = float(generator.uniform(0, 360))
    return Thing(shape, color, material, size, radius, found, turn, coat=_coat(generator))


def _coat(generator: np.random.Generator) -> Coat:
    turn, right, up = generator.random(3).tolist()
    return Coat(2 * math.pi * turn, (right, up))
