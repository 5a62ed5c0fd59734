"""Scenes of ClevrTex, after the generator of Karazija et al. 2021 (arXiv 2111.10265).

Placement, camera and lights are CLEVR's. There are three sizes, four shapes, and a material for
each object and for the ground. The licence of the original materials, scans of Poliigon, allows no
copies. Those of ``materials.toml`` are drawn: each is one tile that roughly looks like the original
of that name. As in the original, ``outd`` shares no material with the other variants.
"""

import math
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render import clevr_scene, textures
from slotbench.datasets.render.clevr_scene import Scene
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.render.placement import Coat, Thing, choose, filled
from slotbench.rng import numpy_generator

COUNTS = (3, 10)
GRASS = "grass"
TRIES = 400


@dataclass(frozen=True)
class Material:
    """A pattern, its colours, and parameters of Mitsuba's principled surface."""

    draw: str
    """A function of :mod:`textures`; ``args`` and ``named`` are its arguments."""
    palette: str
    """Hexadecimal colours."""
    args: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    roughness: float = 0.7
    metallic: float = 0.0


_STORED = tomllib.loads(Path(__file__).with_name("materials.toml").read_text())
USUAL = {name: Material(**made) for name, made in _STORED["usual"].items()}
OUTD = {name: Material(**made) for name, made in _STORED["outd"].items()}
PLAIN = {"rubber": (0.7, 0.0), "metal": (0.2, 0.9)}
"""Roughness and metallic of CLEVR's one-coloured materials, which ``vbg`` has."""


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
    """Whether objects have one of CLEVR's colours."""
    same: bool = False
    """Whether ground and objects share one material."""
    new_shapes: tuple[str, ...] = ("cone", "torus", "teapot")
    new_materials: tuple[str, ...] = tuple(OUTD)
    """Those of the shifts ``object_shape`` and ``object_style``."""


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
    """A scene of ``count`` objects; starts again where an object finds no place."""
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


@cache
def tile(name: str) -> Array:
    """The material's texture, uint8 (SIDE, SIDE, 3), sRGB."""
    material = (USUAL | OUTD)[name]
    generator = numpy_generator("clevrtex material 1", name)
    field = getattr(textures, material.draw)(generator, *material.args, **material.named)
    return textures.colored(field, [*map(bytes.fromhex, material.palette.split())])
