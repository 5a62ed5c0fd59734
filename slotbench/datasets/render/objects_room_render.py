"""Rendering of Objects Room: floor, four walls, sky, and what stands there."""

import math
from typing import Any

import mitsuba as mi
import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.mitsuba_render import MitsubaRenderer, linear_rgb
from slotbench.datasets.render.objects_room_scene import (
    COLORS,
    FOV,
    HALF,
    HEIGHT,
    NEW_COLORS,
    NEW_SHAPES,
    TINTS,
    Room,
    Thing,
)
from slotbench.datasets.shifts import mitsuba_shifts

SUN, SUN_HEIGHT = 1.7, 60.0
"""Irradiance of the only light that casts shadows, and how many degrees high it stands."""
AMBIENT, FROM_WHERE = 0.42, np.array([0.1, -0.06, 0.12], np.float32)
"""Light that is everywhere, and how much more of it comes along x, y and z."""
SKY = ((205, 228, 250), (105, 165, 235))
"""sRGB at the horizon and above; put in where a ray meets nothing."""
SURFACE = {"type": "principled", "roughness": 0.5, "specular": 0.4}
SIDES = 40
"""Flat faces of a cone; its shading is smooth."""


class Renderer(MitsubaRenderer):
    """Draws rooms."""

    def __init__(self, size: int, zoom: float = 1.0) -> None:
        super().__init__(size, zoom)
        # One light of one direction leaves nothing to chance, and so no noise. What is everywhere
        # is added to it, from the colours and normals of surfaces; apart they take half the time.
        self.light = mi.load_dict({"type": "direct", "emitter_samples": 1, "bsdf_samples": 0})
        self.around = mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"})
        self.sky = _sky(size, zoom)
        self.surfaces = {
            color: mi.load_dict({"base_color": linear_rgb(rgb), **SURFACE})
            for color, rgb in (COLORS | NEW_COLORS).items()
        }
        self.styled: dict[tuple[str, str, str], Any] = {}
        self.tints = [
            mi.load_dict({"type": "diffuse", "reflectance": linear_rgb(rgb)}) for rgb in TINTS
        ]

    def parts(self, scene: Room) -> dict[str, Any]:
        """The whole scene."""
        transform = mi.ScalarTransform4f
        camera = transform().look_at(origin=scene.camera, target=scene.target, up=[0, 0, 1])
        sun = transform().rotate([0, 0, 1], scene.sun).rotate([0, 1, 0], -SUN_HEIGHT)
        room = transform().rotate([0, 0, 1], scene.turn)
        parts: dict[str, Any] = {
            "type": "scene",
            **self.sensors(camera, FOV),
            "sun": {
                "type": "directional",
                "direction": sun @ mi.ScalarVector3f(-1, 0, 0),
                "irradiance": {"type": "rgb", "value": SUN},
            },
            "floor": {
                "type": "rectangle",
                "bsdf": self.tints[scene.floor],
                "to_world": room.scale([HALF, HALF, 1]),
            },
        }
        for side in range(4):
            # Upright at y = HALF, facing the middle of the room, then turned about the vertical.
            wall = room.rotate([0, 0, 1], 90 * side).translate([0, HALF, HEIGHT / 2])
            wall = wall.rotate([1, 0, 0], 90).scale([HALF, HEIGHT / 2, 1])
            parts[f"wall{side}"] = {
                "type": "rectangle",
                "bsdf": self.tints[scene.walls],
                "to_world": wall,
            }
        for index, thing in enumerate(scene.objects, start=1):
            parts |= self._shapes(f"object{index}", thing)
        return parts

    def _sensor(self, *arguments: Any) -> dict[str, Any]:
        sensor = super()._sensor(*arguments)
        sensor["film"]["pixel_format"] = "rgba"
        return sensor

    def _render(self, loaded: Any, integrator: Any, sensor: int, samples: int, seed: Any) -> Array:
        drawn = super()._render(loaded, integrator, sensor, samples, seed)
        if integrator is not self.light:
            return drawn
        surfaces = super()._render(loaded, self.around, sensor, samples // 2, seed)
        albedo, normal = surfaces[..., -6:-3], surfaces[..., -3:]
        everywhere = albedo * (AMBIENT + normal @ FROM_WHERE)[..., None]
        seen: Array = drawn[..., :3] + everywhere + (1 - drawn[..., 3:]) * self.sky
        return seen

    def _shapes(self, name: str, thing: Thing) -> dict[str, Any]:
        surface, size = self._surface(thing, thing.shape), thing.size
        x, y, z = thing.position
        transform = mi.ScalarTransform4f
        if thing.shape in NEW_SHAPES:
            mesh = mitsuba_shifts.pointed(
                name, thing.shape, size, 2 * size, thing.rotation, (x, y), surface
            )
            return {name: mesh}
        if thing.shape == "cube":
            turned = transform().translate([x, y, z]).rotate([0, 0, 1], thing.rotation)
            return {name: {"type": "cube", "to_world": turned.scale(size), "bsdf": surface}}
        if thing.shape == "cone":
            return {name: _cone(name, thing, surface)}
        if thing.shape == "sphere":
            return {name: _sphere([x, y, z], size, surface)}
        if thing.shape == "cylinder":
            lid = transform().translate([x, y, 2 * size]).scale(size)
            return {
                name: _cylinder([x, y], 0, 2 * size, size, surface),
                f"{name}-lid": {
                    "type": "disk",
                    "to_world": lid,
                    "bsdf": self._surface(thing, "disk"),
                },
            }
        radius = 0.6 * size
        top = 2 * size - radius
        return {
            name: _cylinder([x, y], radius, top, radius, surface),
            f"{name}-top": _sphere([x, y, top], radius, surface),
            f"{name}-foot": _sphere([x, y, radius], radius, surface),
        }

    def _surface(self, thing: Thing, shape: str) -> Any:
        if not thing.style:
            return self.surfaces[thing.color]
        key = (thing.color, thing.style, shape)
        if key not in self.styled:
            texture = mitsuba_shifts.texture(thing.style, COLORS[thing.color], shape)
            self.styled[key] = mi.load_dict({"base_color": texture, **SURFACE})
        return self.styled[key]


def _sky(size: int, zoom: float) -> Array:
    """Linear colours from the top of the frame to its middle and on, (size, 1, 3)."""
    low, high = (np.array(linear_rgb(color)["value"]) for color in SKY)
    share = np.clip((1 - 2 * np.arange(size) / size) / zoom, 0, 1)[:, None, None]
    return low + share * (high - low)  # type: ignore[no-any-return]


def _sphere(center: list[float], radius: float, surface: Any) -> dict[str, Any]:
    return {"type": "sphere", "center": center, "radius": radius, "bsdf": surface}


def _cylinder(
    place: list[float], low: float, high: float, radius: float, surface: Any
) -> dict[str, Any]:
    return {
        "type": "cylinder",
        "p0": [*place, low],
        "p1": [*place, high],
        "radius": radius,
        "bsdf": surface,
    }


def _cone(name: str, thing: Thing, surface: Any) -> Any:
    """A cone as high as it is wide. It stands on the floor, so it has no bottom."""
    # A texture begins and ends at an edge, whose corner then stands there twice.
    corners = SIDES + bool(thing.style)
    angles = np.arange(corners) * (2 * math.pi / SIDES)
    around = np.stack([np.cos(angles), np.sin(angles), np.zeros(corners)], axis=1)
    x, y, _ = thing.position
    foot = np.array([x, y, 0]) + thing.size * around
    # The apex stands there once for each face, so that each has a normal of its own.
    apex = np.tile([x, y, 2 * thing.size], (corners, 1))
    middle = angles + math.pi / SIDES
    normals = np.concatenate([_leaning(angles), _leaning(middle)])
    this = np.arange(SIDES)
    faces = np.stack([this, (this + 1) % corners, this + corners], axis=1)
    properties = mi.Properties()
    properties["mesh_bsdf"] = surface
    mesh = mi.Mesh(
        name,
        2 * corners,
        SIDES,
        has_vertex_normals=True,
        has_vertex_texcoords=bool(thing.style),
        props=properties,
    )
    stored = mi.traverse(mesh)
    if thing.style:
        turns = np.arange(corners) / SIDES
        texels = [np.stack([turns, np.full(corners, up)], axis=1) for up in (0, 1)]
        stored["vertex_texcoords"] = np.concatenate(texels).astype(np.float32).ravel()
    stored["vertex_positions"] = np.concatenate([foot, apex]).astype(np.float32).ravel()
    stored["vertex_normals"] = normals.astype(np.float32).ravel()
    stored["faces"] = faces.astype(np.uint32).ravel()
    stored.update()
    mesh.set_id(name)
    return mesh


def _leaning(angles: Array) -> Array:
    """Normals of a cone twice as high as its radius, (n, 3)."""
    normals = np.stack([2 * np.cos(angles), 2 * np.sin(angles), np.ones(len(angles))], axis=1)
    return normals / math.sqrt(5)
