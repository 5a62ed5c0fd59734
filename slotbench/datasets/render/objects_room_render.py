"""Rendering of Objects Room: floor, four walls, sky and objects."""

import math
from typing import Any

import mitsuba as mi
import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render import mitsuba_render as solids
from slotbench.datasets.render import objects_room_scene as scenes
from slotbench.datasets.render.mitsuba_render import linear_rgb
from slotbench.datasets.render.objects_room_scene import HALF, HEIGHT, Room
from slotbench.datasets.render.placement import Thing
from slotbench.datasets.render.steady import applied, steady

SUN, SUN_HEIGHT = 1.7, 60.0
"""Irradiance and elevation in degrees of the only light that casts shadows."""
AMBIENT, FROM_WHERE = 0.42, np.array([[0.1, -0.06, 0.12]], np.float32)
"""Ambient light, and how much its strength grows along x, y and z."""
SKY = ((205, 228, 250), (105, 165, 235))
"""sRGB at the horizon and above; drawn where a ray meets no surface."""
SURFACE = {"type": "principled", "roughness": 0.5, "specular": 0.4}
SIDES = 40
"""Flat faces of a cone; its shading is smooth."""


class Renderer(solids.MitsubaRenderer):
    """Draws rooms, lit by the sun and by ambient light."""

    def __init__(self, size: int, zoom: float = 1.0) -> None:
        colors = scenes.COLORS | scenes.NEW_COLORS
        super().__init__(size, zoom, colors, {scenes.MATERIAL: SURFACE})
        # A single directional light has no noise. A second pass, of colours and normals, gives the
        # ambient light: both take half the time of one pass with all lights.
        self.light = mi.load_dict({"type": "direct", "emitter_samples": 1, "bsdf_samples": 0})
        self.around = mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"})
        self.sky = _sky(size, zoom)
        tints = ({"type": "diffuse", "reflectance": linear_rgb(rgb)} for rgb in scenes.TINTS)
        self.tints = list(map(mi.load_dict, tints))

    def view(self, scene: Room) -> dict[str, Any]:
        transform = mi.ScalarTransform4f
        camera = transform().look_at(origin=scene.camera, target=scene.target, up=[0, 0, 1])
        turned = transform().rotate([0, 0, 1], scene.sun).rotate([0, 1, 0], -SUN_HEIGHT)
        sun = {
            "type": "directional",
            "direction": turned @ mi.ScalarVector3f(-1, 0, 0),
            "irradiance": {"type": "rgb", "value": SUN},
        }
        return {**self.sensors(camera, scenes.FOV), "sun": sun}

    def shapes(self, scene: Room) -> dict[str, Any]:
        room = mi.ScalarTransform4f().rotate([0, 0, 1], scene.turn)

        def plane(tint: int, place: Any) -> dict[str, Any]:
            return {"type": "rectangle", "bsdf": self.tints[tint], "to_world": place}

        shapes = {"floor": plane(scene.floor, room.scale([HALF, HALF, 1]))}
        for side in range(4):
            # Upright at y = HALF, facing the room's middle, then turned about the vertical.
            wall = room.rotate([0, 0, 1], 90 * side).translate([0, HALF, HEIGHT / 2])
            wall = wall.rotate([1, 0, 0], 90).scale([HALF, HEIGHT / 2, 1])
            shapes[f"wall{side}"] = plane(scene.walls, wall)
        for index, thing in enumerate(scene.objects, start=1):
            shapes |= self.solid(f"object{index}", thing)
        return shapes

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
        everywhere = albedo * (AMBIENT + applied(FROM_WHERE, normal))
        seen: Array = drawn[..., :3] + everywhere + (1 - drawn[..., 3:]) * self.sky
        return seen

    def solid(self, name: str, thing: Thing) -> dict[str, Any]:
        x, y, size = thing.position
        if thing.shape == "cone":
            return {name: _cone(name, thing, self.surface(thing, "cone"))}
        if thing.shape == "capsule":
            radius, coat = 0.6 * size, self.surface(thing, "capsule")
            top = 2 * size - radius
            return {
                name: solids.cylinder([x, y], radius, top, radius, coat),
                f"{name}-top": solids.sphere([x, y, top], radius, coat),
                f"{name}-foot": solids.sphere([x, y, radius], radius, coat),
            }
        return super().solid(name, thing)


def _sky(size: int, zoom: float) -> Array:
    """Linear colours of the rows from the top, float64 (size, 1, 3)."""
    low, high = (np.array(linear_rgb(color)["value"]) for color in SKY)
    share = np.clip((1 - 2 * np.arange(size) / size) / zoom, 0, 1)[:, None, None]
    return low + share * (high - low)  # type: ignore[no-any-return]


def _cone(name: str, thing: Thing, surface: Any) -> Any:
    """A cone as high as it is wide, on the floor. It has no bottom."""
    # With a texture, the first corner is stored twice: the texture begins and ends there.
    corners = SIDES + bool(thing.style)
    angles = np.arange(corners) * (2 * math.pi / SIDES)
    x, y, size = thing.position
    foot = np.array([x, y, 0]) + size * solids.circle(angles, 0.0)
    # Each face has an apex of its own, with its own normal.
    apex = np.tile([x, y, 2 * size], (corners, 1))
    middle = angles + math.pi / SIDES
    normals = np.concatenate([_leaning(angles), _leaning(middle)])
    this = np.arange(SIDES)
    faces = np.stack([this, (this + 1) % corners, this + corners], axis=1)
    turns = np.arange(corners) / SIDES
    texels = [np.stack([turns, np.full(corners, up)], axis=1) for up in (0, 1)]
    coordinates = np.concatenate(texels) if thing.style else None
    vertices = np.concatenate([foot, apex])
    return solids.triangles(name, surface, vertices, faces, normals, coordinates)


def _leaning(angles: Array) -> Array:
    """Normals of a cone twice as high as its radius, (n, 3)."""
    normals = np.stack([2 * np.cos(angles), 2 * np.sin(angles), np.ones(len(angles))], axis=1)
    return steady(normals / math.sqrt(5))
