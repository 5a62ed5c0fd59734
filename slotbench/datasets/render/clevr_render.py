"""Rendering of CLEVR scenes: materials, lights, shapes, camera."""

import math
from typing import Any

import mitsuba as mi

from slotbench.datasets.render.clevr_scene import (
    COLORS,
    HALF_WIDTH,
    MATERIALS,
    NEW_COLORS,
    ROW_OFFSET,
    Scene,
    Thing,
)
from slotbench.datasets.render.mitsuba_render import MitsubaRenderer, linear_rgb
from slotbench.datasets.shifts import mitsuba_shifts

RADIANCE = {"key": (28.0, 1.2), "fill": (6.0, 1.5), "back": (9.0, 1.5)}
"""Radiance and half-edge of the three area lights."""
AMBIENT = 0.3
SURFACES: dict[str, dict[str, Any]] = {
    "rubber": {"roughness": 0.7, "specular": 0.3},
    "metal": {"roughness": 0.2, "metallic": 0.9, "specular": 0.8},
}


class Renderer(MitsubaRenderer):
    """Draws scenes of CLEVR."""

    def __init__(self, size: int, zoom: float = 1.0) -> None:
        super().__init__(size, zoom)
        self.surfaces = {
            (color, material): mi.load_dict(
                {"type": "principled", "base_color": linear_rgb(rgb), **SURFACES[material]}
            )
            for color, rgb in (COLORS | NEW_COLORS).items()
            for material in MATERIALS
        }
        self.styled: dict[tuple[str, str, str, str], Any] = {}
        self.ground = mi.load_dict(
            {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.5}}
        )

    def parts(self, scene: Scene) -> dict[str, Any]:
        """The whole scene."""
        transform = mi.ScalarTransform4f
        camera = transform().look_at(origin=scene.camera.tolist(), target=[0, 0, 0], up=[0, 0, 1])
        fov = 2 * math.degrees(math.atan(HALF_WIDTH))
        parts: dict[str, Any] = {
            "type": "scene",
            **self.sensors(camera, fov, principal_point_offset_y=ROW_OFFSET),
            "ground": {
                "type": "rectangle",
                "bsdf": self.ground,
                "to_world": transform().scale([40, 40, 1]),
            },
            "ambient": {"type": "constant", "radiance": {"type": "rgb", "value": AMBIENT}},
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
            parts |= self._shapes(f"object{index}", thing)
        return parts

    def _shapes(self, name: str, thing: Thing) -> dict[str, Any]:
        surface = self._surface(thing, thing.shape)
        x, y, z = thing.position
        if thing.shape in mitsuba_shifts.SHAPES:
            mesh = mitsuba_shifts.pointed(
                name, thing.shape, thing.radius, 2 * z, thing.rotation, (x, y), surface
            )
            return {name: mesh}
        transform = mi.ScalarTransform4f
        if thing.shape == "sphere":
            return {
                name: {
                    "type": "sphere",
                    "center": [x, y, z],
                    "radius": thing.radius,
                    "bsdf": surface,
                }
            }
        if thing.shape == "cube":
            turned = transform().translate([x, y, z]).rotate([0, 0, 1], thing.rotation)
            return {name: {"type": "cube", "to_world": turned.scale(thing.radius), "bsdf": surface}}
        lid = transform().translate([x, y, 2 * z]).scale(thing.radius)
        return {
            name: {
                "type": "cylinder",
                "p0": [x, y, 0],
                "p1": [x, y, 2 * z],
                "radius": thing.radius,
                "bsdf": surface,
            },
            f"{name}-lid": {"type": "disk", "to_world": lid, "bsdf": self._surface(thing, "disk")},
        }

    def _surface(self, thing: Thing, shape: str) -> Any:
        if not thing.style:
            return self.surfaces[thing.color, thing.material]
        key = (thing.color, thing.material, thing.style, shape)
        if key not in self.styled:
            texture = mitsuba_shifts.texture(thing.style, COLORS[thing.color], shape)
            self.styled[key] = mi.load_dict(
                {"type": "principled", "base_color": texture, **SURFACES[thing.material]}
            )
        return self.styled[key]
