"""Triangle meshes with normals and texture coordinates, for scenes with textures.

Every shape has a horizontal radius of at most 1 around the z axis, and rests on the plane
z = -``rest``. Texture coordinates are lengths on the surface: a texture has the same scale on
every shape.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.steady import steady

AROUND = 40
"""Flat faces around a round shape; its shading is smooth."""


@dataclass(frozen=True)
class Mesh:
    """V vertices, F triangles."""

    vertices: Array
    """float64 (V, 3)"""
    normals: Array
    """float64 (V, 3), outwards"""
    coordinates: Array
    """float64 (V, 2): lengths on the surface"""
    faces: Array
    """int64 (F, 3)"""

    @property
    def rest(self) -> float:
        """The depth of the lowest point below the origin."""
        return float(-self.vertices[:, 2].min())


@cache
def mesh(shape: str) -> Mesh:
    """The shape of that name: one of SHAPES."""
    made = SHAPES[shape]()
    return Mesh(steady(made.vertices), steady(made.normals), steady(made.coordinates), made.faces)


def grid(vertices: Array, normals: Array, coordinates: Array) -> Mesh:
    """A surface of points (m, n, 3), normals (m, n, 3) and texture coordinates (m, n, 2)."""
    rows, columns = vertices.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    flat = vertices.reshape(-1, 3), normals.reshape(-1, 3), coordinates.reshape(-1, 2)
    return Mesh(*flat, _outwards(flat[0], flat[1], faces))


def joined(*parts: Mesh) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
    arrays = [(part.vertices, part.normals, part.coordinates) for part in parts]
    vertices, normals, coordinates = map(np.concatenate, zip(*arrays, strict=True))
    return Mesh(vertices, normals, coordinates, np.concatenate(faces))


def _outwards(vertices: Array, normals: Array, faces: Array) -> Array:
    """The triangles, oriented like the normals of their corners."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    wrong = (np.cross(b - a, c - a) * normals[faces].sum(axis=1)).sum(axis=1) < 0
    return np.where(wrong[:, None], faces[:, ::-1], faces)


def _sides(count: int) -> list[tuple[Array, Array, Array]]:
    """Sides of a cube of half-edge 1: normal (3,), and two directions times (n, n) steps."""
    steps = np.linspace(-1, 1, count + 1)
    u, v = np.meshgrid(steps, steps)
    sides = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            normal = sign * np.eye(3)[axis]
            right, up = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
            sides.append((normal, u[..., None] * right, v[..., None] * up))
    return sides


def _cube() -> Mesh:
    half = np.sqrt(0.5)
    parts = []
    for normal, u, v in _sides(1):
        coordinates = np.stack([u.sum(-1), v.sum(-1)], -1) * half
        parts.append(grid((normal + u + v) * half, np.broadcast_to(normal, u.shape), coordinates))
    return joined(*parts)


def _ball(radius: float = 1.0, center: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    """A cube projected onto a sphere, so that its texture has no poles."""
    parts = []
    for normal, u, v in _sides(AROUND // 4):
        # Steps of equal angles give pieces of about equal size.
        points = normal + np.tan(u * np.pi / 4) + np.tan(v * np.pi / 4)
        points /= np.linalg.norm(points, axis=-1, keepdims=True)
        coordinates = np.stack([u.sum(-1), v.sum(-1)], -1) * radius * np.pi / 4
        parts.append(grid(radius * points + np.array(center), points, coordinates))
    return joined(*parts)


def _turned(profile: list[tuple[float, float]]) -> Mesh:
    """A surface of revolution, from its profile of (radius, height)."""
    parts = []
    angles = np.linspace(0, 2 * np.pi, AROUND + 1)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for (first, low), (second, high) in pairwise(profile):
        length = np.hypot(second - first, high - low)
        share = np.linspace(0, 1, 7)[:, None]
        radius, height = first + share * (second - first), low + share * (high - low)
        level = np.broadcast_to(height, (7, len(angles)))
        points = np.stack([radius * around[:, 0], radius * around[:, 1], level], axis=-1)
        slope = np.array([high - low, first - second]) / length
        normals = np.concatenate([slope[0] * around, np.full((len(angles), 1), slope[1])], axis=1)
        coordinates = np.stack(
            np.broadcast_arrays(max(first, second) * angles, share * length + low), axis=-1
        )
        if low == high:  # a lid: seen from above
            coordinates = points[..., :2]
        parts.append(grid(points, np.broadcast_to(normals, points.shape), coordinates))
    return joined(*parts)


def _tube(line: Array, radii: Array) -> Mesh:
    """A tube around points (n, 3) of the plane y = 0, with a radius at each."""
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.array([0.0, 1.0, 0.0])
    angles = np.linspace(0, 2 * np.pi, AROUND // 2 + 1)[:, None]
    normals = np.cos(angles) * np.cross(along, side)[:, None] + np.sin(angles) * side
    length = np.cumsum([0, *np.linalg.norm(np.diff(line, axis=0), axis=1)])
    coordinates = np.stack(
        np.broadcast_arrays(length[:, None], radii.max() * angles[:, 0]), axis=-1
    )
    return grid(line[:, None] + radii[:, None, None] * normals, normals, coordinates)


def _arc(center: tuple[float, float], radius: float, start: float, stop: float) -> Array:
    """Points (n, 3) of a circle in the plane y = 0, between two angles in degrees."""
    angles = np.radians(np.linspace(start, stop, max(8, round(abs(stop - start) / 9)) + 1))
    zero = np.zeros(len(angles))
    x, z = center[0] + radius * np.cos(angles), center[1] + radius * np.sin(angles)
    return np.stack([x, zero, z], axis=1)


def _torus() -> Mesh:
    """A ring that stands upright."""
    line = _arc((0, 0), 0.64, 0, 360)
    return _tube(line, np.full(len(line), 0.36))


def _icosahedron() -> Mesh:
    golden = (1 + np.sqrt(5)) / 2
    corners = np.array([[0, a, b * golden] for a in (-1, 1) for b in (-1, 1)])
    corners = np.concatenate([np.roll(corners, turn, axis=1) for turn in range(3)])
    corners = corners / np.linalg.norm(corners[0])
    far = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    edge = far[far > 0].min()
    near = np.isclose(far, edge)
    triangles = [
        (a, b, c)
        for a in range(12)
        for b in range(a)
        for c in range(b)
        if near[a, b] and near[b, c] and near[a, c]
    ]
    corners = _on_a_side(corners, corners[list(triangles[0])].mean(axis=0))
    # Faces share no corners: each is flat.
    vertices = corners[np.array(triangles)].reshape(-1, 3)
    normals = np.repeat(vertices.reshape(-1, 3, 3).mean(axis=1), 3, axis=0)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    flat = edge * np.array([[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
    faces = np.arange(len(vertices)).reshape(-1, 3)
    return Mesh(vertices, normals, np.tile(flat, (20, 1)), _outwards(vertices, normals, faces))


def _on_a_side(points: Array, below: Array) -> Array:
    """Points turned so that ``below`` points straight down."""
    down = below / np.linalg.norm(below)
    right = np.cross(down, [0.6, 0.8, 0.0])
    right /= np.linalg.norm(right)
    return points @ np.stack([right, np.cross(right, down), -down]).T  # type: ignore[no-any-return]


def _head() -> Mesh:
    """A skull with two ears and a muzzle, instead of Blender's monkey."""
    return joined(
        _ball(0.78, (0, 0, -0.22)),
        _ball(0.36, (-0.6, 0, 0.56)),
        _ball(0.36, (0.6, 0, 0.56)),
        _ball(0.42, (0, -0.58, -0.4)),
    )


def _teapot() -> Mesh:
    """A round pot with spout, handle and knob; not Newell's."""
    spout = _arc((0.38, 0.3), 0.5, -80, 0)
    handle = _arc((-0.54, -0.25), 0.32, 80, 280)
    return joined(
        _ball(0.68, (0, 0, -0.32)),
        _ball(0.2, (0, 0, 0.44)),
        _tube(spout, np.linspace(0.26, 0.1, len(spout))),
        _tube(handle, np.full(len(handle), 0.11)),
    )


SHAPES = {
    "cube": _cube,
    "sphere": _ball,
    "cylinder": lambda: _turned([(1, -1), (1, 1), (0, 1)]),
    "head": _head,
    "cone": lambda: _turned([(1, -1), (0, 1)]),
    "icosahedron": _icosahedron,
    "torus": _torus,
    "teapot": _teapot,
}
