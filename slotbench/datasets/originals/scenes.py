"""The objects of a scene, as the JSON of CLEVR and of ClevrTex describes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from slotbench.datasets.format.schema import Array, Batch, Property, categorical
from slotbench.datasets.render.clevr_scene import numbers_of
from slotbench.errors import UserError

MOST_OBJECTS = 10
MOST_NUMBER = 1e6
NUMBERS = {
    "position": ("3d_coords", 3),
    "rotation": ("rotation", 1),
    "pixel_coords": ("pixel_coords", 3),
}
"""Property -> its key in the JSON, and how many numbers it has."""
Classes = Mapping[str, tuple[str, ...]]
"""Property -> its classes."""


def properties_of(classes: Classes, rotation: str) -> tuple[Property, ...]:
    """The properties of objects with these classes; ``rotation`` is the unit of the rotation."""
    return *categorical(classes), *numbers_of(rotation, "pixels of 320x240")


def read_objects(
    scene: Any, classes: Classes, where: str, advice: str, first: int = 0
) -> dict[str, Array]:
    """Property -> the values of all objects: int16 (n,) or float32 (n[, 3]).

    :class:`UserError` names ``where`` and the object, counted from ``first``.
    """

    def error(what: str) -> UserError:
        return UserError(f"{where}{what}.", advice)

    objects = scene.get("objects") if isinstance(scene, dict) else None
    if not isinstance(objects, list) or len(objects) > MOST_OBJECTS:
        raise error(f": 'objects' is not a list of at most {MOST_OBJECTS}")
    found: dict[str, list[Any]] = {name: [] for name in (*classes, *NUMBERS)}
    for label, thing in enumerate(objects, start=first):
        if not isinstance(thing, dict):
            raise error(f", object {label}: it is not a JSON object")
        if first and thing.get("index", label) != label:
            raise error(f", object {label}: its 'index' is another")
        for key, names in classes.items():
            value = thing.get(key)
            name = RENAMED.get(value.lower(), value.lower()) if isinstance(value, str) else ""
            if name not in names:
                what = f"{key!r} is {value!r:.60}, not one of {_listed(names)}"
                raise error(f", object {label}: {what}")
            found[key].append(names.index(name))
        for key, (stored, count) in NUMBERS.items():
            value = thing.get(stored)
            numbers = [value] if count == 1 else value
            if not isinstance(numbers, list) or len(numbers) != count or not _usable(numbers):
                what = "a number" if count == 1 else f"a list of {count} numbers"
                raise error(f", object {label}: {stored!r} is not {what} within a million")
            found[key].append(value)
    return {
        name: np.array(values, np.int16 if name in classes else np.float32).reshape(
            len(objects), *(() if name in classes or NUMBERS[name][1] == 1 else (3,))
        )
        for name, values in found.items()
    }


def store(objects: dict[str, Array], batch: Batch) -> None:
    """Writes the objects' properties into the first row of a batch."""
    for name, values in objects.items():
        batch[f"property/{name}"][0, : len(values)] = values


PEBBLES = "poliigonfabricupholsterybrightanglepattern001"
ERRATA = "fabricupholsterymidcenturypebbles001"
RENAMED = dict.fromkeys((ERRATA, f"poliigon{ERRATA}"), PEBBLES)
"""Names that ClevrTex's errata give a material -> its name in the published files."""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 10 else f"this variant's {len(names)}"


def _usable(numbers: list[Any]) -> bool:
    """Whether all are finite numbers; neither booleans nor NaN are."""
    return all(type(n) in (int, float) and -MOST_NUMBER <= n <= MOST_NUMBER for n in numbers)
