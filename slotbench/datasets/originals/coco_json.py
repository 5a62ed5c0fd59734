"""COCO's ``instances_*.json``: read, checked item by item, held compactly.

The format is that of cocodataset.org: ``images`` (id, file_name, width, height), ``categories``
(id, name) and ``annotations`` (id, image_id, category_id, iscrowd, bbox and ``segmentation``: a
list of polygons, or run lengths as numbers or as text).
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.originals.images import MOST_SIDE
from slotbench.datasets.originals.tree import shown
from slotbench.errors import UserError

MARGIN = 8
"""Pixels that a polygon or box may stand out of its image."""
MOST_LENGTH = 1e6
"""Pixels; the longest outline of an object that is drawn."""
ADVICE = "Is this instances_train2017.json or instances_val2017.json, whole and unchanged?"


@dataclass(frozen=True, slots=True)
class Runs:
    """A mask, column after column: lengths of runs of 0 and 1 in turn, from 0."""

    counts: Array


Shape = list[Array] | Runs
"""Polygons float64 (2 n,), x and y in turn, or run lengths."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object, or a crowd of them."""

    id: int
    category: int
    """Place in the list of categories."""
    crowd: bool
    shape: Shape


@dataclass(frozen=True, slots=True)
class Picture:
    """One image and its annotations, sorted by id."""

    id: int
    file: str
    width: int
    height: int
    annotations: list[Annotation] = field(default_factory=list)


def read_instances(data: bytes, name: str) -> tuple[tuple[str, ...], list[Picture]]:
    """(names of the categories, pictures), both sorted by id.

    :class:`UserError` naming ``name`` and the image, category or annotation that is not as the
    format says.
    """
    items = _parse(data, name)
    categories = _categories(items["categories"], name)
    pictures = _pictures(items["images"], name)
    codes = {id_: code for code, id_ in enumerate(categories)}
    seen: set[int] = set()
    for place, fields in enumerate(items["annotations"]):
        where, id_ = _identified(fields, "annotation", place, name)
        if id_ in seen:
            raise _error(where, "its id stands twice")
        seen.add(id_)
        picture = pictures.get(_whole(fields, "image_id", where))
        if picture is None:
            raise _error(where, f"there is no image {fields['image_id']}")
        picture.annotations.append(_annotation(fields, id_, picture, codes, where))
    for picture in pictures.values():
        picture.annotations.sort(key=lambda annotation: annotation.id)
    return tuple(categories.values()), [pictures[id_] for id_ in sorted(pictures)]


def _parse(data: bytes, name: str) -> dict[str, list[dict[str, Any]]]:
    try:
        document = json.loads(data, object_hook=_compact)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: this is no valid JSON ({error}).", ADVICE) from error
    for key in ("images", "annotations", "categories"):
        items = document.get(key) if isinstance(document, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UserError(f"{name}: {key!r} is no list of objects.", ADVICE)
    return document  # type: ignore[no-any-return]


def _compact(fields: dict[str, Any]) -> dict[str, Any]:
    """Called as each object is parsed: coordinates as arrays take a fifth of the memory."""
    for key in ("segmentation", "counts"):
        value = fields.get(key)
        if isinstance(value, list):
            nested = key == "segmentation"
            fields[key] = [_array(part) for part in value] if nested else _array(value)
    return fields


def _array(values: Any) -> Any:
    """A list of numbers as float64; anything else as it is, to be refused by name later."""
    if isinstance(values, list) and set(map(type, values)) <= {int, float}:
        try:
            return np.array(values, np.float64)
        except OverflowError:
            pass
    return values


def _categories(items: list[dict[str, Any]], name: str) -> dict[int, str]:
    """Names by id, sorted by id."""
    found: dict[int, str] = {}
    for place, fields in enumerate(items):
        where, id_ = _identified(fields, "category", place, name)
        text = fields.get("name")
        if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= 200:
            raise _error(where, "'name' is no text of 1 to 200 characters that can be printed")
        if id_ in found or text in found.values():
            raise _error(where, "its id or name stands twice")
        found[id_] = text
        if len(found) > 10_000:
            raise UserError(f"{name}: more than 10,000 categories.", ADVICE)
    if not found:
        raise UserError(f"{name}: there is no category.", ADVICE)
    return dict(sorted(found.items()))


def _pictures(items: list[dict[str, Any]], name: str) -> dict[int, Picture]:
    found: dict[int, Picture] = {}
    for place, fields in enumerate(items):
        where, id_ = _identified(fields, "image", place, name)
        if id_ in found:
            raise _error(where, "its id stands twice")
        file = fields.get("file_name")
        if not isinstance(file, str) or not file.isprintable() or not 0 < len(file) <= 255:
            raise _error(where, "'file_name' is no file name")
        if "/" in file or "\\" in file or file.startswith(".") or ":" in file:
            raise _error(where, f"'file_name' {shown(file)!r} leads out of the folder of images")
        sides = [_whole(fields, key, where) for key in ("width", "height")]
        if not 1 <= min(sides) <= max(sides) <= MOST_SIDE:
            raise _error(where, f"{sides[0]}x{sides[1]} pixels, expected 1 to {MOST_SIDE:,} a side")
        found[id_] = Picture(id_, file, sides[0], sides[1])
    return found


def _annotation(
    fields: dict[str, Any], id_: int, picture: Picture, codes: dict[int, int], where: str
) -> Annotation:
    category = codes.get(_whole(fields, "category_id", where))
    if category is None:
        raise _error(where, f"there is no category {fields['category_id']}")
    crowd = fields.get("iscrowd", 0)
    if isinstance(crowd, bool) or crowd not in (0, 1):
        raise _error(where, "'iscrowd' is neither 0 nor 1")
    if "bbox" in fields:
        _check_box(fields["bbox"], picture, where)
    stored = fields.get("segmentation")
    shape: Shape
    if isinstance(stored, list):
        shape = [polygon for part in stored if len(polygon := _polygon(part, picture, where))]
    elif isinstance(stored, dict):
        shape = _runs(stored, picture, where)
    else:
        raise _error(where, "'segmentation' is neither polygons nor run lengths")
    return Annotation(id_, category, bool(crowd), shape)


def _check_box(box: Any, picture: Picture, where: str) -> None:
    """Refuse a box that cannot be; what counts is the segmentation."""
    numbers = isinstance(box, list) and len(box) == 4 and set(map(type, box)) <= {int, float}
    if not numbers or not all(abs(value) < 1e9 for value in box):
        raise _error(where, "'bbox' is not four finite numbers")
    x, y, width, height = box
    if width < 0 or height < 0:
        raise _error(where, f"'bbox' has a negative size, {width:g}x{height:g}")
    inside = x + width <= picture.width + MARGIN and y + height <= picture.height + MARGIN
    if min(x, y) < -MARGIN or not inside:
        raise _error(where, "'bbox' lies outside its image")


def _polygon(points: Any, picture: Picture, where: str) -> Array:
    """A polygon, checked; empty where it has fewer than three corners, and so no area."""
    if not isinstance(points, np.ndarray):
        raise _error(where, "'segmentation' has a polygon that is no list of numbers")
    if len(points) % 2:
        raise _error(where, f"'segmentation' has a polygon of {len(points)} numbers, an odd count")
    # min and max of a polygon with NaN are NaN, for which no comparison holds.
    corners = points.reshape(-1, 2)
    if len(corners):
        low, high = corners.min(), corners.max(axis=0)
        within = low >= -MARGIN and high[0] <= picture.width + MARGIN
        if not (within and high[1] <= picture.height + MARGIN):
            raise _error(where, "'segmentation' has a polygon outside its image, or not finite")
    if len(corners) < 3:
        return points[:0]
    longest = len(corners) * (picture.width + picture.height + 4 * MARGIN)
    if longest > MOST_LENGTH:  # seldom; else there is no need to measure it
        length = float(np.abs(np.diff(corners, axis=0)).sum())
        if length > MOST_LENGTH:
            raise _error(where, f"'segmentation' has a polygon {length:,.0f} pixels long")
    return points


def _runs(stored: dict[str, Any], picture: Picture, where: str) -> Runs:
    size, counts = _array(stored.get("size")), stored.get("counts")
    if not isinstance(size, np.ndarray) or size.tolist() != [picture.height, picture.width]:
        raise _error(where, "the size of its run lengths is not that of its image")
    if isinstance(counts, str):
        try:
            counts = counts_of(counts.encode()).astype(np.float64)
        except ValueError as error:
            raise _error(where, f"its run lengths are damaged ({error})") from error
    if not isinstance(counts, np.ndarray) or not (counts >= 0).all():
        raise _error(where, "its run lengths are no numbers of 0 and above")
    total = math.fsum(counts.tolist()) if len(counts) <= picture.width * picture.height + 1 else 0
    if total != picture.width * picture.height or (counts != np.floor(counts)).any():
        raise _error(where, "its run lengths do not add up to the pixels of its image")
    return Runs(counts.astype(np.int64))


def counts_of(text: bytes) -> Array:
    """The run lengths int64 that COCO's compressed text stands for; ValueError where damaged.

    Each is written in groups of five bits, the lowest first, as a character from ``0`` on; bit 5
    says that more follow, the highest bit of the last group is the sign. From the fourth on,
    what is written is the difference from the length two before.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes > 63)).any():
        raise ValueError("a character is none of the code's")
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


def _identified(fields: dict[str, Any], what: str, place: int, name: str) -> tuple[str, int]:
    """(how an error calls the item, its id)."""
    id_ = fields.get("id")
    if type(id_) is not int or not 0 <= id_ < 1 << 63:
        raise _error(f"{name}: {what} at place {place}", "'id' is no whole number")
    return f"{name}: {what} {id_}", id_


def _whole(fields: dict[str, Any], key: str, where: str) -> int:
    value = fields.get(key)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise _error(where, f"{key!r} is no whole number")
    return value


def _error(where: str, what: str) -> UserError:
    return UserError(f"{where}: {what}.", ADVICE)
