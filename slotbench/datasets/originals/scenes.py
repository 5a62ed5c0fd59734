"""The objects of a scene, as the JSON of CLEVR and of ClevrTex describes them."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval, Len
from pydantic import Field

from slotbench.datasets.format.schema import Array, Batch, Property, categorical
from slotbench.datasets.render.clevr_scene import numbers_of
from slotbench.errors import UserError
from slotbench.files import Document, parse_document

MOST_OBJECTS = 10
Classes = Mapping[str, tuple[str, ...]]
"""Property -> its classes."""
Number = Annotated[float, Interval(ge=-1e6, le=1e6)]
Triple = Annotated[list[Number], Len(3, 3)]


class Thing(Document):
    """An object; its other keys name its classes."""

    position: Triple = Field(alias="3d_coords")
    rotation: Number
    pixel_coords: Triple
    index: int | None = None


class Scene(Document):
    """The part of a scene that is read."""

    objects: Annotated[list[Thing], Len(0, MOST_OBJECTS)]


def properties_of(classes: Classes, rotation: str) -> tuple[Property, ...]:
    """The properties of objects with these classes; ``rotation`` is the unit of the rotation."""
    return *categorical(classes), *numbers_of(rotation, "pixels of 320x240")


def read_objects(
    scene: Any, classes: Classes, where: str, advice: str, first: int = 0
) -> dict[str, Array]:
    """Property -> the values of all objects: int16 (n,) or float32 (n[, 3]).

    :class:`UserError` names ``where`` and the object; ``first`` is the first one's ``index``.
    """
    things = parse_document(scene, Scene, where, advice).objects
    codes = np.empty((len(classes), len(things)), np.int16)
    for place, thing in enumerate(things):
        if first and thing.index not in (None, first + place):
            raise UserError(f"{where}: objects.{place}.index is not {first + place}.", advice)
        for row, (key, names) in enumerate(classes.items()):
            value = (thing.model_extra or {}).get(key)
            name = RENAMED.get(value.lower(), value.lower()) if isinstance(value, str) else ""
            if name not in names:
                what = f"objects.{place}.{key} is {value!r:.60}, not one of {_listed(names)}"
                raise UserError(f"{where}: {what}.", advice)
            codes[row, place] = names.index(name)

    def numbers(name: str, *shape: int) -> Array:
        values = np.array([getattr(thing, name) for thing in things], np.float32)
        return values.reshape(len(things), *shape)

    return {
        **dict(zip(classes, codes, strict=True)),
        "position": numbers("position", 3),
        "rotation": numbers("rotation"),
        "pixel_coords": numbers("pixel_coords", 3),
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
