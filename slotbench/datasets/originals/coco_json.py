"""COCO's ``instances_*.json``: read item by item, checked, held compactly.

The format is that of cocodataset.org: ``images`` (id, file_name, width, height), ``categories``
(id, name) and ``annotations`` (id, image_id, category_id, iscrowd, bbox and ``segmentation``: a
list of polygons, or run lengths as numbers or as text).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask

from slotbench.datasets.format.schema import Array
from slotbench.datasets.originals.images import MOST_SIDE
from slotbench.datasets.originals.importing import shown
from slotbench.datasets.originals.jsons import json_items
from slotbench.errors import UserError

MARGIN = 8
"""Pixels that a polygon or box may stand out of its image."""
MOST_LENGTH = 1e6
"""Longest outline of an object that is drawn, in pixels."""
ADVICE = "Is this a file of COCO's instances, whole and unchanged?"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object, or a crowd of them."""

    id: int
    category: int
    """Index into the categories."""
    crowd: bool
    counts: Array
    """Lengths of the runs of 0 and 1 in turn, column after column, 0 first: int32."""
    box: tuple[float, float, float, float] | None
    """x, y, width and height where there is no outline."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image and its annotations, sorted by id."""

    id: int
    file: str
    width: int
    height: int
    annotations: list[Annotation] = field(default_factory=list)


def read_instances(path: Path) -> tuple[tuple[str, ...], list[Picture]]:
    """(names of the categories, pictures), both sorted by id.

    :class:`UserError` names the file and the image, category or annotation that is wrong.
    """
    name = shown(path)
    categories = _categories(path, name)
    pictures = _pictures(path, name)
    codes = {id_: code for code, id_ in enumerate(categories)}
    for where, id_, fields in _items(path, "annotations", "annotation", name):
        picture = pictures.get(_whole(fields, "image_id", where))
        if picture is None:
            raise _error(where, f"there is no image {fields['image_id']}")
        category = codes.get(_whole(fields, "category_id", where))
        if category is None:
            raise _error(where, f"there is no category {fields['category_id']}")
        picture.annotations.append(_annotation(fields, id_, category, picture, where))
    for picture in pictures.values():
        picture.annotations.sort(key=lambda annotation: annotation.id)
    return tuple(categories.values()), [pictures[id_] for id_ in sorted(pictures)]


def _items(path: Path, key: str, what: str, name: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(how an error calls the item, its id, its fields) of a list of the document."""
    seen: set[int] = set()
    with path.open("rb") as stream:
        try:
            for place, fields in enumerate(json_items(stream, key)):
                id_ = fields.get("id") if isinstance(fields, dict) else None
                if type(id_) is not int or not 0 <= id_ < 1 << 63:
                    raise _error(f"{name}: {what} at place {place}", "'id' is no whole number")
                if id_ in seen:
                    raise _error(f"{name}: {what} {id_}", "its id stands twice")
                seen.add(id_)
                yield f"{name}: {what} {id_}", id_, fields
        except ValueError as error:
            raise UserError(f"{name}: this is no valid JSON ({error}).", ADVICE) from error
    if not seen:
        raise UserError(f"{name}: there is no {what}.", ADVICE)


def _categories(path: Path, name: str) -> dict[int, str]:
    """Names by id, sorted by id."""
    found: dict[int, str] = {}
    for where, id_, fields in _items(path, "categories", "category", name):
        text = fields.get("name")
        if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= 200:
            raise _error(where, "'name' is no text of 1 to 200 characters that can be printed")
        if text in found.values():
            raise _error(where, "its name stands twice")
        found[id_] = text
        if len(found) > 10_000:
            raise UserError(f"{name}: more than 10,000 categories.", ADVICE)
    return dict(sorted(found.items()))


def _pictures(path: Path, name: str) -> dict[int, Picture]:
    found: dict[int, Picture] = {}
    for where, id_, fields in _items(path, "images", "image", name):
        file = fields.get("file_name")
        if not isinstance(file, str) or not file.isprintable() or not 0 < len(file) <= 1000:
            raise _error(where, "'file_name' is no file name")
        outside = any(part.startswith(".") or not part for part in file.split("/"))
        if outside or "\\" in file or ":" in file:
            raise _error(where, f"'file_name' {shown(file)!r} leads out of the folder of images")
        sides = [_whole(fields, key, where) for key in ("width", "height")]
        if not 1 <= min(sides) <= max(sides) <= MOST_SIDE:
            raise _error(where, f"{sides[0]}x{sides[1]} pixels, expected 1 to {MOST_SIDE:,} a side")
        found[id_] = Picture(id_, file, sides[0], sides[1])
    return found


def _annotation(
    fields: dict[str, Any], id_: int, category: int, picture: Picture, where: str
) -> Annotation:
    crowd = fields.get("iscrowd", 0)
    if isinstance(crowd, bool) or crowd not in (0, 1):
        raise _error(where, "'iscrowd' is neither 0 nor 1")
    box = _box(fields["bbox"], picture, where) if "bbox" in fields else None
    stored = fields.get("segmentation") or []
    if not isinstance(stored, dict | list):
        raise _error(where, "'segmentation' is neither polygons nor run lengths")
    if isinstance(stored, dict):
        counts = _runs(stored, picture, where)
    else:
        counts = _outline(stored, picture, where)
    if box is None and not stored:
        raise _error(where, "it has neither 'segmentation' nor 'bbox'")
    return Annotation(id_, category, bool(crowd), counts, None if len(counts) > 1 else box)


def _box(box: Any, picture: Picture, where: str) -> tuple[float, float, float, float]:
    numbers = isinstance(box, list) and len(box) == 4 and set(map(type, box)) <= {int, float}
    if not numbers or not all(abs(value) < 1e9 for value in box):
        raise _error(where, "'bbox' is not four finite numbers")
    x, y, width, height = box
    if width < 0 or height < 0:
        raise _error(where, f"'bbox' has a negative size, {width:g}x{height:g}")
    inside = x + width <= picture.width + MARGIN and y + height <= picture.height + MARGIN
    if min(x, y) < -MARGIN or not inside:
        raise _error(where, "'bbox' lies outside its image")
    return x, y, width, height


def _outline(polygons: list[Any], picture: Picture, where: str) -> Array:
    """The run lengths of polygons; those with fewer than three corners have no area."""
    drawn = [part for part in polygons if len(_polygon(part, picture, where)) >= 6]
    if not drawn:
        return np.array([picture.width * picture.height], np.int32)
    runs = mask.frPyObjects(drawn, picture.height, picture.width)
    return counts_of(mask.merge(runs)["counts"]).astype(np.int32)


def _polygon(points: Any, picture: Picture, where: str) -> list[float]:
    """A polygon, checked: pycocotools trusts its coordinates."""
    if not isinstance(points, list) or not set(map(type, points)) <= {int, float}:
        raise _error(where, "'segmentation' has a polygon that is no list of numbers")
    if len(points) % 2:
        raise _error(where, f"'segmentation' has a polygon of {len(points)} numbers, an odd count")
    for values, side in ((points[::2], picture.width), (points[1::2], picture.height)):
        if not all(-MARGIN <= value <= side + MARGIN for value in values):
            raise _error(where, "'segmentation' has a polygon outside its image")
    if len(points) * (picture.width + picture.height) > MOST_LENGTH:  # worth measuring
        length = float(np.abs(np.diff(np.reshape(points, (-1, 2)), axis=0)).sum())
        if length > MOST_LENGTH:
            raise _error(where, f"'segmentation' has a polygon {length:,.0f} pixels long")
    return points


def _runs(stored: dict[str, Any], picture: Picture, where: str) -> Array:
    counts, pixels = stored.get("counts"), picture.width * picture.height
    if stored.get("size") != [picture.height, picture.width]:
        raise _error(where, "the size of its run lengths is not that of its image")
    if isinstance(counts, str):
        try:
            counts = counts_of(counts.encode()).tolist()
        except ValueError as error:
            raise _error(where, f"its run lengths are damaged ({error})") from error
    if (
        not isinstance(counts, list)
        or not set(map(type, counts)) <= {int, float}
        or not all(value >= 0 and value % 1 == 0 for value in counts)
    ):
        raise _error(where, "its run lengths are no whole numbers of 0 and above")
    if len(counts) > pixels + 1 or math.fsum(counts) != pixels:
        raise _error(where, "its run lengths do not add up to the pixels of its image")
    return np.array(counts, np.int32)


def counts_of(text: bytes) -> Array:
    """The run lengths int64 that COCO's compressed text stands for; ValueError where damaged.

    pycocotools reads beyond the end of damaged texts. Each length is written in groups of five
    bits, the lowest first, as a character from ``0`` on; bit 5 says that more follow, and the
    highest bit of the last group is the sign. From the fourth on, the text holds differences from
    the length two before.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes > 63)).any():
        raise ValueError("it has a character outside the code")
    ends = np.flatnonzero(codes < 32)
    if not len(codes) or ends[-1:].tolist() != [len(codes) - 1]:
        raise ValueError("the text is empty or cut off")
    starts = np.concatenate([[0], ends[:-1] + 1])
    groups = ends - starts + 1
    if groups.max() > 12:
        raise ValueError("a number has more than 60 bits")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, groups))
    counts = np.add.reduceat((codes & 31) << shifts, starts)
    counts -= np.where(codes[ends] & 16, np.int64(1) << 5 * groups, 0)
    for first in (1, 2):
        counts[first::2] = np.cumsum(counts[first::2])
    if (counts < 0).any():
        raise ValueError("a length is negative")
    return counts


def _whole(fields: dict[str, Any], key: str, where: str) -> int:
    value = fields.get(key)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise _error(where, f"{key!r} is no whole number")
    return value


def _error(where: str, what: str) -> UserError:
    return UserError(f"{where}: {what}.", ADVICE)
