"""Textures of the shift ``object_style``: patterns that no training image has."""

import numpy as np

from slotbench.datasets.format.schema import Array

PATTERNS = ("checks", "stripes", "dots", "waves")


def draw_pattern(name: str, u: Array, v: Array) -> Array:
    """Where a pattern has its second colour, bool of the shape of ``u`` and ``v``.

    A unit of ``u`` and ``v`` is a period of the pattern. ValueError for an unknown name.
    """
    if name == "checks":
        return np.asarray((np.floor(2 * u) + np.floor(2 * v)) % 2 == 0)
    if name == "stripes":
        return np.asarray(u % 1 < 0.5)
    if name == "dots":
        return np.asarray(np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.36)
    if name == "waves":
        return np.asarray((v + 0.25 * np.sin(2 * np.pi * u)) % 1 < 0.5)
    raise ValueError(f"no pattern {name!r}")


def second_color(color: Array) -> float:
    """The gray that a colour float (3,) in [0, 1] is paired with: light, or dark if it is light."""
    luma = float(color @ np.array((0.299, 0.587, 0.114)))
    return 0.95 if luma < 0.6 else 0.05
