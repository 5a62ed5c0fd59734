"""How the objects of a scene find their places."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

Point = tuple[float, float, float]
Thing = TypeVar("Thing")
POINTED = ("cone", "pyramid", "diamond")
"""Shapes that shifts bring into scenes of cubes, spheres and cylinders."""


def choose(values: tuple[str, ...], generator: np.random.Generator) -> str:
    """One of the values, each as likely."""
    return values[int(generator.integers(len(values)))]


def filled(
    objects: tuple[Thing, ...], count: int, place: Callable[[tuple[Thing, ...]], Thing | None]
) -> tuple[Thing, ...] | None:
    """Objects added until there are ``count``; None where ``place`` finds no place for one."""
    while len(objects) < count:
        thing = place(objects)
        if thing is None:
            return None
        objects = (*objects, thing)
    return objects
