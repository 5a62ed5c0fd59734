"""Rendering of ClevrTex scenes: textured meshes under CLEVR's lights."""

import math
from typing import Any

import mitsuba as mi
import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.clevr_render import StageRenderer
from slotbench.datasets.render.clevr_scene import COLORS, Scene
from slotbench.datasets.render.clevrtex_scene import OUTD, PLAIN, USUAL, tile
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.render.mitsuba_render import linear_rgb, triangles
from slotbench.datasets.render.placement import Coat, Thing
from slotbench.datasets.render.steady import turned

TILE, GROUND_TILE = 1.6, 3.2
"""Scene units a tile; the ground's is twice as large, as in the original."""
REACH = 40.0
"""Half the side of the ground."""


class Renderer(StageRenderer):
    """Draws scenes of ClevrTex: textured meshes on a textured ground."""

    ambient = 0.4

    def __init__(self, size: int, zoom: float = 1.0) -> None:
        super().__init__(size, zoom, COLORS, {})

    def ground(self, scene: Scene) -> Any:
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * REACH
        vertices = np.concatenate([corners, np.zeros((4, 1))], axis=1)
        normals = np.tile([0.0, 0.0, 1.0], (4, 1))
        coordinates = _coated(corners / GROUND_TILE, scene.coat)
        faces = np.array([[0, 1, 2], [0, 2, 3]])
        surface = self._material(scene.ground, "")
        return triangles("ground", surface, vertices, faces, normals, coordinates)

    def solid(self, name: str, thing: Thing) -> dict[str, Any]:
        shape, angle = mesh(thing.shape), math.radians(thing.rotation)
        vertices = turned(shape.vertices, angle) * thing.radius + np.array(thing.position)
        coordinates = _coated(shape.coordinates * thing.radius / TILE, thing.coat)
        normals = turned(shape.normals, angle)
        surface = self._material(thing.material, thing.color)
        return {name: triangles(name, surface, vertices, shape.faces, normals, coordinates)}

    def _material(self, material: str, color: str) -> Any:
        key = material, color
        if key not in self._surfaces:
            self._surfaces[key] = mi.load_dict(_surface(material, color))
        return self._surfaces[key]


def _surface(material: str, color: str) -> dict[str, Any]:
    if not material:
        return {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.5}}
    if material in PLAIN:
        roughness, metallic = PLAIN[material]
        base = linear_rgb(COLORS[color])
    else:
        made = (USUAL | OUTD)[material]
        roughness, metallic = made.roughness, made.metallic
        base = {"type": "bitmap", "bitmap": mi.Bitmap(tile(material)), "wrap_mode": "repeat"}
    shine = {"roughness": roughness, "metallic": metallic, "specular": 0.4}
    return {"type": "principled", "base_color": base, **shine}


def _coated(coordinates: Array, coat: Coat) -> Array:
    return np.asarray(turned(coordinates, coat.turn) + np.array(coat.shift))
