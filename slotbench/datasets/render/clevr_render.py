"""Rendering of CLEVR and ClevrTex: one stage, with plain or with textured objects."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import mitsuba as mi
import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render import clevr_scene
from slotbench.datasets.render.clevr_scene import COLORS, HALF_WIDTH, NEW_COLORS, Scene
from slotbench.datasets.render.clevrtex_scene import OUTD, PLAIN, USUAL, tile
from slotbench.datasets.render.meshes import mesh
from slotbench.datasets.render.mitsuba_render import MitsubaRenderer, linear_rgb, triangles
from slotbench.datasets.render.placement import Coat, Thing
from slotbench.datasets.render.steady import turned

RADIANCE = {"key": (28.0, 1.2), "fill": (6.0, 1.5), "back": (9.0, 1.5)}
"""Radiance and half-edge of the three area lights."""
SURFACES: dict[str, dict[str, Any]] = {
    "rubber": {"type": "principled", "roughness": 0.7, "specular": 0.3},
    "metal": {"type": "principled", "roughness": 0.2, "metallic": 0.9, "specular": 0.8},
}
TILE, GROUND_TILE = 1.6, 3.2
"""Scene units a tile of ClevrTex; the ground's is twice as large, as in the original."""
REACH = 40.0
"""Half the side of the ground."""


class StageRenderer(MitsubaRenderer):
    """Draws CLEVR's stage: a ground, three area lights, ambient light and a camera."""

    ambient: ClassVar[float]
    row_offset: ClassVar[float] = 0.0
    """The camera's axis below the frame's middle, as a share of the frame."""

    @abstractmethod
    def ground(self, scene: Any) -> Any:
        """The ground: a shape or Mitsuba's dictionary of one."""

    def view(self, scene: Any) -> dict[str, Any]:
        fov = 2 * math.degrees(math.atan(HALF_WIDTH))
        ambient = {"type": "constant", "radiance": {"type": "rgb", "value": self.ambient}}
        return {**self.sensors(_towards(scene.camera), fov, self.row_offset), "ambient": ambient}

    def shapes(self, scene: Any) -> dict[str, Any]:
        shapes = {"ground": self.ground(scene)}
        for name, (radiance, half_edge) in RADIANCE.items():
            large = mi.ScalarTransform4f().scale([half_edge, half_edge, 1])
            shapes[name] = {
                "type": "rectangle",
                "to_world": _towards(scene.lights[name]) @ large,
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": radiance}},
            }
        for index, thing in enumerate(scene.objects, start=1):
            shapes |= self.solid(f"object{index}", thing)
        return shapes


def _towards(place: Array) -> Any:
    """A transform to a place (3,), looking at the origin."""
    return mi.ScalarTransform4f().look_at(origin=place.tolist(), target=[0, 0, 0], up=[0, 0, 1])


class ClevrRenderer(StageRenderer):
    """Draws scenes of CLEVR: a gray ground, coloured objects."""

    ambient = 0.3
    row_offset = clevr_scene.ROW_OFFSET

    def __init__(self, size: int, zoom: float = 1.0) -> None:
        super().__init__(size, zoom, COLORS | NEW_COLORS, SURFACES)
        self.gray = mi.load_dict({"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.5}})

    def ground(self, scene: Any) -> Any:  # noqa: ARG002
        large = mi.ScalarTransform4f().scale([REACH, REACH, 1])
        return {"type": "rectangle", "bsdf": self.gray, "to_world": large}


class ClevrTexRenderer(StageRenderer):
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
