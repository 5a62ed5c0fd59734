"""Rendering with Mitsuba 3: images, label maps, shapes and textures.

The variant is ``scalar_rgb``: the LLVM variants crash on some machines. Each process uses one
thread, and the image does not depend on the number of processes.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import drjit
import mitsuba as mi
import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.placement import POINTED, Thing
from slotbench.datasets.render.steady import steady
from slotbench.datasets.render.textures import draw_pattern, second_color

Color = tuple[int, int, int]
TEXELS = 128
REPEATS = {"sphere": (5, 3), "cylinder": (5, 2), "capsule": (5, 2), "cube": (2, 2)}
REPEATS |= {"cone": (4, 2), "disk": (1, 4)}
"""Shape -> repeats of a pattern along its two surface coordinates."""


def decoded(encoded: float) -> float:
    """The linear value of an sRGB value, both in [0, 1]."""
    linear = encoded / 12.92 if encoded <= 0.04045 else ((encoded + 0.055) / 1.055) ** 2.4
    return float(steady(linear))


LEVELS = np.array([decoded((level + 0.5) / 255) for level in range(255)])
"""Linear values halfway between neighbouring sRGB bytes."""


def encoded(linear: Array) -> Array:
    """The sRGB bytes of linear values, which are clipped to [0, 1]."""
    # A search instead of a power: powers differ between processors.
    return np.asarray(np.searchsorted(LEVELS, linear).astype(np.uint8))


class MitsubaRenderer(ABC):
    """Draws scenes at ``size`` x ``size`` pixels, ``samples`` samples a pixel.

    ``zoom`` above 1 draws only the middle of the frame, enlarged. ``colors`` are sRGB bytes by
    name, ``materials`` Mitsuba's surfaces by name. Subclasses build materials once and share them
    between scenes: a scene then loads in 1 ms instead of 100 ms.
    """

    samples = 8

    def __init__(
        self,
        size: int,
        zoom: float,
        colors: Mapping[str, Color],
        materials: Mapping[str, dict[str, Any]],
    ) -> None:
        mi.set_variant("scalar_rgb")
        drjit.set_thread_count(1)
        self.size, self.zoom, self.colors, self.materials = size, zoom, colors, materials
        self.light = mi.load_dict({"type": "direct", "emitter_samples": 4, "bsdf_samples": 1})
        self.labels = mi.load_dict({"type": "aov", "aovs": "label:shape_index"})
        self._surfaces: dict[tuple[str, ...], Any] = {}

    @abstractmethod
    def view(self, scene: Any) -> dict[str, Any]:
        """The :meth:`sensors` and the lights without shapes, as Mitsuba's dictionaries."""

    @abstractmethod
    def shapes(self, scene: Any) -> dict[str, Any]:
        """All shapes by name: of object i from 1 ``object<i>`` or ``object<i>-<part>``."""

    def load(self, scene: Any) -> tuple[Any, Array]:
        """The Mitsuba scene, and its labels uint8 (size, size): 0 background, else the object."""
        shapes = self.shapes(scene)
        parts = {"type": "scene", **self.view(scene), **shapes}
        # Otherwise the order of shapes, and so the noise, would be random.
        loaded = mi.load_dict(parts, parallel=False, optimize=False)
        drawn = self._render(loaded, self.labels, 1, 1, 0)[..., -1]
        # Labels are indices into the shapes from 1; 0 is empty space. `loaded.shapes()` would be
        # slow: a shape that Python has seen takes Python's lock at every sample of an AOV.
        found = (re.match(r"object(\d+)", name) for name in shapes)
        table = np.array([0, *(int(match[1]) if match else 0 for match in found)], np.uint8)
        return loaded, table[np.rint(drawn).astype(np.int64)]

    def image(self, loaded: Any, seed: int) -> Array:
        """uint8 (size, size, 3), sRGB; ``seed`` places the samples."""
        return encoded(self._render(loaded, self.light, 0, self.samples, seed))

    def sensors(self, to_world: Any, fov: float, offset: float = 0.0) -> dict[str, Any]:
        """Sensor 0 for images and 1 for labels; ``fov`` is the angle along a side in degrees.

        ``offset`` is the camera's axis below the frame's middle, as a share of the frame.
        """
        if self.zoom != 1:
            fov = 2 * math.degrees(math.atan(math.tan(math.radians(fov / 2)) / self.zoom))
        place = {"fov": fov, "to_world": to_world, "principal_point_offset_y": self.zoom * offset}
        return {
            "camera": self._sensor("multijitter", self.samples, place),
            # One sample at each pixel's middle keeps outlines smooth.
            "labeller": self._sensor("stratified", 1, place),
        }

    def _sensor(self, sampler: str, samples: int, place: dict[str, Any]) -> dict[str, Any]:
        pixels = {"pixel_format": "rgb", "component_format": "float32", "rfilter": {"type": "box"}}
        return {
            "type": "perspective",
            **place,
            "film": {"type": "hdrfilm", "width": self.size, "height": self.size, **pixels},
            "sampler": {"type": sampler, "sample_count": samples, "jitter": samples > 1},
        }

    def surface(self, thing: Thing, shape: str) -> Any:
        """The material of an object, built once; textures are scaled to ``shape``."""
        key = (thing.color, thing.material, thing.style, shape if thing.style else "")
        if key not in self._surfaces:
            color = self.colors[thing.color]
            base = texture(thing.style, color, shape) if thing.style else linear_rgb(color)
            known = self.materials[thing.material]
            self._surfaces[key] = mi.load_dict({"base_color": base, **known})
        return self._surfaces[key]

    def solid(self, name: str, thing: Thing) -> dict[str, Any]:
        """The shapes of an object on the floor, by name."""
        (x, y, z), shape, radius = thing.position, thing.shape, thing.radius
        transform, surface = mi.ScalarTransform4f, self.surface(thing, shape)
        if shape in POINTED:
            return {name: pointed(name, thing, surface)}
        if shape == "sphere":
            return {name: sphere([x, y, z], radius, surface)}
        if shape == "cube":
            turned = transform().translate([x, y, z]).rotate([0, 0, 1], thing.rotation)
            return {name: {"type": "cube", "to_world": turned.scale(radius), "bsdf": surface}}
        lid = transform().translate([x, y, 2 * z]).scale(radius)
        return {
            name: cylinder([x, y], 0, 2 * z, radius, surface),
            f"{name}-lid": {"type": "disk", "to_world": lid, "bsdf": self.surface(thing, "disk")},
        }

    def _render(self, loaded: Any, integrator: Any, sensor: int, samples: int, seed: Any) -> Array:
        drawn = mi.render(loaded, sensor=sensor, integrator=integrator, spp=samples, seed=seed)
        return np.array(drawn, np.float32)


def linear_rgb(color: Color) -> dict[str, Any]:
    """Mitsuba's colour of sRGB bytes."""
    return {"type": "rgb", "value": [decoded(channel / 255) for channel in color]}


def sphere(center: list[float], radius: float, surface: Any) -> dict[str, Any]:
    """A sphere as Mitsuba's dictionary."""
    return {"type": "sphere", "center": center, "radius": radius, "bsdf": surface}


def cylinder(
    place: list[float], low: float, high: float, radius: float, surface: Any
) -> dict[str, Any]:
    """The side of an upright cylinder as Mitsuba's dictionary."""
    ends = {"p0": [*place, low], "p1": [*place, high]}
    return {"type": "cylinder", **ends, "radius": radius, "bsdf": surface}


def texture(pattern: str, color: Color, shape: str) -> dict[str, Any]:
    """A pattern of sRGB bytes and a gray, scaled to a shape."""
    places = (np.arange(TEXELS) + 0.5) / TEXELS
    repeats = REPEATS[shape]
    across, down = np.meshgrid(repeats[0] * places, repeats[1] * places)
    gray = round(255 * second_color(np.array(color) / 255))
    both = [linear_rgb(one)["value"] for one in (color, (gray, gray, gray))]
    pixels = np.array(both, np.float32)[draw_pattern(pattern, across, down).astype(int)]
    # Raw: Mitsuba does not convert the texels to spectra.
    return {"type": "bitmap", "bitmap": mi.Bitmap(pixels), "raw": True}


def circle(angles: Array, level: float) -> Array:
    """Points float64 (n, 3) of a level unit circle at angles (n,) in radians."""
    return np.stack([*steady([np.cos(angles), np.sin(angles)]), np.full(len(angles), level)], 1)


def pointed(name: str, thing: Thing, surface: Any) -> Any:
    """A cone, a four-sided pyramid or a diamond (two pyramids, base to base) on the floor.

    The radius is the circumcircle's. Faces are flat; a cone has many. Cone and pyramid have no
    bottom.
    """
    (*place, middle), sides = thing.position, 48 if thing.shape == "cone" else 4
    angles = math.radians(thing.rotation) + np.arange(sides + 1) * (2 * math.pi / sides)
    level = middle if thing.shape == "diamond" else 0.0
    ring = circle(angles, level) * (thing.radius, thing.radius, 1) + (*place, 0)
    top, bottom = (np.tile([*place, z], (sides, 1)) for z in (2 * middle, 0.0))
    # Faces share no corners: each has its own normal.
    faces = [np.stack([ring[:-1], ring[1:], top], axis=1)]
    if thing.shape == "diamond":
        faces.append(np.stack([ring[1:], ring[:-1], bottom], axis=1))
    vertices = np.concatenate(faces).reshape(-1, 3)
    return triangles(name, surface, vertices, np.arange(len(vertices)))


def triangles(
    name: str,
    surface: Any,
    vertices: Array,
    faces: Array,
    normals: Array | None = None,
    coordinates: Array | None = None,
) -> Any:
    """A mesh of vertices (V, 3), faces (F, 3) and texture ``coordinates`` (V, 2).

    Without normals (V, 3) its shading is flat.
    """
    properties = mi.Properties()
    properties["mesh_bsdf"] = surface
    has = {"has_vertex_normals": normals is not None}
    has["has_vertex_texcoords"] = coordinates is not None
    mesh = mi.Mesh(name, len(vertices), faces.size // 3, props=properties, **has)
    stored = mi.traverse(mesh)
    arrays = {"positions": vertices, "normals": normals, "texcoords": coordinates}
    for key, array in arrays.items():
        if array is not None:
            stored[f"vertex_{key}"] = array.astype(np.float32).ravel()
    stored["faces"] = faces.astype(np.uint32).ravel()
    stored.update()
    mesh.set_id(name)
    return mesh
