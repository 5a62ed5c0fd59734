"""Rendering of ClevrTex scenes: textured meshes under CLEVR's lights."""

import math
from typing import Any

import mitsuba as mi
import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.clevr_scene import COLORS, HALF_WIDTH
from slotbench.datasets.render.clevrtex_materials import OUTD, PLAIN, USUAL, tile
from slotbench.datasets.render.clevrtex_scene import Coat, Scene, Thing
from slotbench.datasets.render.meshes import Mesh, mesh
from slotbench.datasets.render.mitsuba_render import MitsubaRenderer, linear_rgb

RADIANCE = {"key": (28.0, 1.2), "fill": (6.0, 1.5), "back": (9.0, 1.5)}
"""Radiance and half-edge of the three area lights."""
AMBIENT = 0.4
TILE, GROUND_TILE = 1.6, 3.2
"""Scene units of a tile; the ground's is twice as large, as in the original."""
REACH = 40.0
"""Half the side of the ground."""


class Renderer(MitsubaRenderer):
    """Draws scenes of ClevrTex."""

    def __init__(self, size: int, zoom: float = 1.0) -> None:
        super().__init__(size, zoom)
        self._surfaces: dict[tuple[str, str], Any] = {}

    def parts(self, scene: Scene) -> dict[str, Any]:
        """The whole scene."""
        transform = mi.ScalarTransform4f
        camera = transform().look_at(origin=scene.camera.tolist(), target=[0, 0, 0], up=[0, 0, 1])
        parts: dict[str, Any] = {
            "type": "scene",
            **self.sensors(camera, 2 * math.degrees(math.atan(HALF_WIDTH))),
            "ambient": {"type": "constant", "radiance": {"type": "rgb", "value": AMBIENT}},
            "ground": self._mesh("ground", _ground(scene.coat), self._surface(scene.ground, "")),
        }
        for name, (radiance, half_edge) in RADIANCE.items():
            look = transform().look_at(
                origin=scene.lights[name].tolist(), target=[0, 0, 0], up=[0, 0, 1]
            )
            parts[name] = {
                "type": "rectangle",
                "to_world": look @ transform().scale([half_edge, half_edge, 1]),
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": radiance}},
            }
        for index, thing in enumerate(scene.objects, start=1):
            surface = self._surface(thing.material, thing.color)
            parts[f"object{index}"] = self._mesh(f"object{index}", _placed(thing), surface)
        return parts

    def _surface(self, material: str, color: str) -> Any:
        """Built once in a process; scenes share them."""
        key = material, color
        if key not in self._surfaces:
            self._surfaces[key] = mi.load_dict(_surface(material, color))
        return self._surfaces[key]

    def _mesh(self, name: str, shape: Mesh, surface: Any) -> Any:
        properties = mi.Properties()
        properties["mesh_bsdf"] = surface
        made = mi.Mesh(
            name,
            len(shape.vertices),
            len(shape.faces),
            props=properties,
            has_vertex_normals=True,
            has_vertex_texcoords=True,
        )
        stored = mi.traverse(made)
        stored["vertex_positions"] = shape.vertices.astype(np.float32).ravel()
        stored["vertex_normals"] = shape.normals.astype(np.float32).ravel()
        stored["vertex_texcoords"] = shape.coordinates.astype(np.float32).ravel()
        stored["faces"] = shape.faces.astype(np.uint32).ravel()
        stored.update()
        made.set_id(name)
        return made


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
    return {
        "type": "principled",
        "base_color": base,
        "roughness": roughness,
        "metallic": metallic,
        "specular": 0.4,
    }


def _placed(thing: Thing) -> Mesh:
    """The object's mesh in the scene."""
    shape, angle = mesh(thing.shape), math.radians(thing.rotation)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    return Mesh(
        shape.vertices @ turn * thing.radius + np.array(thing.position),
        shape.normals @ turn,
        _coated(shape.coordinates * thing.radius / TILE, thing.coat),
        shape.faces,
    )


def _ground(coat: Coat) -> Mesh:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * REACH
    vertices = np.concatenate([corners, np.zeros((4, 1))], axis=1)
    normals = np.tile([0.0, 0.0, 1.0], (4, 1))
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(vertices, normals, _coated(corners / GROUND_TILE, coat), faces)


def _coated(coordinates: Array, coat: Coat) -> Array:
    cosine, sine = math.cos(coat.turn), math.sin(coat.turn)
    turned: Array = coordinates @ np.array([[cosine, sine], [-sine, cosine]]) + coat.shift
    return turned
