"""Objects of rendered scenes and their placement."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float, float]
POINTED = ("cone", "pyramid", "diamond")
"""Shapes that shifts bring into scenes of cubes, spheres and cylinders."""


@dataclass(frozen=True)
class Coat:
    """Placement of a texture: an angle in radians, then a shift in tiles."""

    turn: float
    shift: tuple[float, float]


NO_COAT = Coat(0.0, (0.0, 0.0))


@dataclass(frozen=True)
class Thing:
    """One object. Lengths are in scene units, ``rotation`` in degrees about the vertical."""

    shape: str
    color: str
    material: str
    size: str | float
    radius: float
    position: Point
    """Its middle."""
    rotation: float
    style: str = ""
    """A texture of shifted test sets."""
    coat: Coat = NO_COAT


def choose(values: tuple[str, ...], generator: np.random.Generator) -> str:
    return values[int(generator.integers(len(values)))]


def filled(
    objects: tuple[Thing, ...], count: int, place: Callable[[tuple[Thing, ...]], Thing | None]
) -> tuple[Thing, ...] | None:
    """Adds objects until there are ``count``; None where ``place`` finds no place for one."""
    while len(objects) < count:
        thing = place(objects)
        if thing is None:
            return None
        objects = (*objects, thing)
    return objects
