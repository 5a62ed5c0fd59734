"""Numbers that are the same on every processor.

NumPy, OpenBLAS and the C library choose implementations by the processor's instruction set: sines,
powers and matrix products differ in their last bit. Sums and products of single numbers do not.
Scenes, meshes and textures use those, and round all other results.
"""

import math
from typing import Any

import numpy as np

from slotbench.datasets.format.schema import Array

GRID = 2.0**24


def steady(values: Any) -> Array:
    """The values, float64 of the same shape, rounded to multiples of 2^-24."""
    # Adding 0 turns -0 into 0.
    return np.asarray(np.rint(np.asarray(values) * GRID) / GRID + 0.0)


def turned(points: Array, angle: float) -> Array:
    """Points (n, 2) or (n, 3), turned left about the vertical by an angle in radians."""
    (cosine, sine), (x, y, *rest) = steady([math.cos(angle), math.sin(angle)]), points.T
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, *rest], axis=1)


def applied(matrix: Array, points: Array) -> Array:
    """``points @ matrix.T`` of a matrix (m, 3) and points (..., 3), without a matrix product."""
    x, y, z = (points[..., axis, None] * matrix[:, axis] for axis in range(3))
    return np.asarray(x + y + z)
