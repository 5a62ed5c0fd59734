"""What shifted scenes have beside those of training: textures, and shapes of their own."""

import math
from typing import Any

import mitsuba as mi
import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.mitsuba_render import linear_rgb
from slotbench.datasets.shifts.shift_patterns import draw_pattern, second_color

TEXELS = 128
REPEATS = {
    "sphere": (5, 3),
    "cylinder": (5, 2),
    "capsule": (5, 2),
    "cube": (2, 2),
    "cone": (4, 2),
    "disk": (1, 4),
}
"""Shape -> how often a pattern is repeated along its two surface coordinates."""
SHAPES = ("cone", "pyramid", "diamond")
"""Shapes of :func:`pointed`."""


def texture(pattern: str, color: tuple[int, int, int], shape: str) -> dict[str, Any]:
    """A pattern of an sRGB colour of bytes, as wide as it should be on a shape."""
    places = (np.arange(TEXELS) + 0.5) / TEXELS
    repeats = REPEATS[shape]
    across, down = np.meshgrid(repeats[0] * places, repeats[1] * places)
    gray = round(255 * second_color(np.array(color) / 255))
    both = [linear_rgb(one)["value"] for one in (color, (gray, gray, gray))]
    pixels = np.array(both, np.float32)[draw_pattern(pattern, across, down).astype(int)]
    # Of "raw" texels Mitsuba takes no colour model, which would need a spectrum for each.
    return {"type": "bitmap", "bitmap": mi.Bitmap(pixels), "raw": True}


def pointed(
    name: str,
    shape: str,
    radius: float,
    height: float,
    turn: float,
    place: tuple[float, float],
    surface: Any,
) -> Any:
    """A cone, a pyramid of four sides or a diamond (two such, foot to foot), from the floor up.

    ``radius`` is that of the circle around the widest place, ``turn`` in degrees about the
    vertical, ``place`` x and y. Faces are flat; a cone has many. What the floor hides is not there.
    """
    sides = 48 if shape == "cone" else 4
    angles = math.radians(turn) + np.arange(sides + 1) * (2 * math.pi / sides)
    level = height / 2 if shape == "diamond" else 0.0
    ring = np.stack([np.cos(angles), np.sin(angles), np.full(sides + 1, level)], axis=1)
    ring = ring * (radius, radius, 1) + (*place, 0)
    top, bottom = (np.tile([*place, z], (sides, 1)) for z in (height, 0.0))
    # Corners stand there once for each face, so that every face has a normal of its own.
    faces = [np.stack([ring[:-1], ring[1:], top], axis=1)]
    if shape == "diamond":
        faces.append(np.stack([ring[1:], ring[:-1], bottom], axis=1))
    return _mesh(name, np.concatenate(faces), surface)


def _mesh(name: str, faces: Array, surface: Any) -> Any:
    """A mesh of flat triangles (n, 3, 3)."""
    properties = mi.Properties()
    properties["mesh_bsdf"] = surface
    mesh = mi.Mesh(name, 3 * len(faces), len(faces), props=properties)
    stored = mi.traverse(mesh)
    stored["vertex_positions"] = faces.astype(np.float32).ravel()
    stored["faces"] = np.arange(3 * len(faces), dtype=np.uint32)
    stored.update()
    mesh.set_id(name)
    return mesh
