"""COCO's ``instances_*.json``: read item by item, checked, held compactly.

cocodataset.org defines the format: ``images``, ``categories`` and ``annotations``, whose
``segmentation`` is a list of polygons, or run lengths as numbers or as text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from annotated_types import Ge, Interval, Len
from pycocotools import mask
from pydantic import AfterValidator, BeforeValidator, Strict

from slotbench.datasets.format.schema import Array, Printable
from slotbench.datasets.originals.images import MOST_SIDE
from slotbench.datasets.originals.importing import json_items
from slotbench.errors import UserError
from slotbench.files import Document, parse_document

MARGIN = 8
"""Pixels that a polygon or box may stand out of its image."""
MOST_LENGTH = 1e6
"""Longest outline of an object that is drawn, in pixels."""
ADVICE = "Is this a file of COCO's instances, whole and unchanged?"


def _inside(path: str) -> str:
    if any(part.startswith(".") or not part for part in path.split("/")) or {*path} & {"\\", ":"}:
        raise ValueError(f"{path!r} leads out of the folder of images")
    return path


Id = Annotated[int, Interval(ge=0, lt=1 << 63)]
Side = Annotated[int, Interval(ge=1, le=MOST_SIDE)]


class Item(Document, extra="ignore"):
    """An item of one of the three lists."""

    id: Id


class Category(Item):
    """A class of objects."""

    name: Annotated[Printable, Len(1, 200)]


class Image(Item):
    """An image's file and size."""

    file_name: Annotated[Printable, Len(1, 1000), AfterValidator(_inside)]
    width: Side
    height: Side


class Annotation(Item):
    """An annotation as the file has it."""

    image_id: Id
    category_id: Id
    iscrowd: Literal[0, 1] = 0
    bbox: Annotated[list[float], Len(4, 4)] | None = None
    segmentation: list[list[float]] | dict[str, Any] | None = None


class RunLengths(Document, extra="ignore"):
    """A segmentation by run lengths."""

    size: list[int]
    counts: Annotated[
        list[Annotated[int, Strict(False), Ge(0)]],
        BeforeValidator(lambda read: counts_of(read).tolist() if isinstance(read, str) else read),
    ]


Listed = TypeVar("Listed", bound=Item)


@dataclass(frozen=True, slots=True)
class Outline:
    """The pixels of one object, or of a crowd."""

    id: int
    category: int
    """Index into the categories."""
    crowd: bool
    counts: Array
    """Lengths of the runs of 0 and 1 in turn, column after column, 0 first: int32."""
    box: list[float] | None
    """x, y, width and height where there is no outline."""


Picture = tuple[Image, list[Outline]]
"""An image and its objects, sorted by id."""


def read_instances(path: Path) -> tuple[tuple[str, ...], list[Picture]]:
    """(names of the categories, pictures), both sorted by id.

    :class:`UserError` names the file and the image, category or annotation that is wrong.
    """
    categories: dict[int, str] = {}
    for where, category in _items(path, "categories", Category):
        if category.name in categories.values():
            raise UserError(f"{where}: its name occurs twice.", ADVICE)
        categories[category.id] = category.name
        if len(categories) > 10_000:
            raise UserError(f"{path}: more than 10,000 categories.", ADVICE)
    categories = dict(sorted(categories.items()))
    codes = {id_: code for code, id_ in enumerate(categories)}
    pictures: dict[int, Picture] = {
        each.id: (each, []) for _, each in _items(path, "images", Image)
    }
    for where, item in _items(path, "annotations", Annotation):
        if item.image_id not in pictures:
            raise UserError(f"{where}: there is no image {item.image_id}.", ADVICE)
        if item.category_id not in codes:
            raise UserError(f"{where}: there is no category {item.category_id}.", ADVICE)
        image, outlines = pictures[item.image_id]
        try:
            outlines.append(_outline(item, codes[item.category_id], image, where))
        except ValueError as error:
            raise UserError(f"{where}: {error}.", ADVICE) from error
    for _, outlines in pictures.values():
        outlines.sort(key=lambda outline: outline.id)
    return tuple(categories.values()), [pictures[id_] for id_ in sorted(pictures)]


def _items(path: Path, key: str, model: type[Listed]) -> Iterator[tuple[str, Listed]]:
    """(file, kind and id of an item for errors, the item) of a list of the document."""
    what, seen = model.__name__.lower(), set[int]()
    with path.open("rb") as stream:
        for place, fields in enumerate(json_items(stream, key, str(path), ADVICE)):
            id_ = fields.get("id") if isinstance(fields, dict) else None
            where = f"{path}: {what} {id_ if type(id_) is int else f'at place {place}'}"
            item = parse_document(fields, model, where, ADVICE)
            if item.id in seen:
                raise UserError(f"{where}: its id occurs twice.", ADVICE)
            seen.add(item.id)
            yield where, item


def _outline(item: Annotation, category: int, image: Image, where: str) -> Outline:
    """An annotation, drawn; ValueError where it does not fit the image."""
    box, stored = item.bbox, item.segmentation
    if box is None and not stored:
        raise ValueError("it has neither 'segmentation' nor 'bbox'")
    if box is not None:
        _check_box(image, *box)
    if isinstance(stored, dict):
        found = parse_document(stored, RunLengths, f"{where}: segmentation", ADVICE)
        counts = _runs(found, image)
    else:
        counts = _polygons(stored or [], image)
    return Outline(item.id, category, bool(item.iscrowd), counts, box if len(counts) == 1 else None)


def _check_box(image: Image, x: float, y: float, width: float, height: float) -> None:
    if width < 0 or height < 0:
        raise ValueError(f"'bbox' has a negative size, {width:g}x{height:g}")
    inside = x + width <= image.width + MARGIN and y + height <= image.height + MARGIN
    if min(x, y) < -MARGIN or not inside:
        raise ValueError("'bbox' lies outside its image")


def _polygons(polygons: list[list[float]], image: Image) -> Array:
    """The run lengths of polygons; those with fewer than three corners have no area."""
    for points in polygons:
        _check_polygon(points, image)
    drawn = [points for points in polygons if len(points) >= 6]
    if not drawn:
        return np.array([image.width * image.height], np.int32)
    runs = mask.frPyObjects(drawn, image.height, image.width)
    return counts_of(mask.merge(runs)["counts"].decode()).astype(np.int32)


def _check_polygon(points: list[float], image: Image) -> None:
    """pycocotools trusts coordinates."""
    if len(points) % 2:
        raise ValueError(f"'segmentation' has a polygon of {len(points)} numbers, an odd count")
    for values, side in ((points[::2], image.width), (points[1::2], image.height)):
        if not all(-MARGIN <= value <= side + MARGIN for value in values):
            raise ValueError("'segmentation' has a polygon outside its image")
    if len(points) * (image.width + image.height) > MOST_LENGTH:  # worth measuring
        length = float(np.abs(np.diff(np.reshape(points, (-1, 2)), axis=0)).sum())
        if length > MOST_LENGTH:
            raise ValueError(f"'segmentation' has a polygon {length:,.0f} pixels long")


def _runs(stored: RunLengths, image: Image) -> Array:
    if stored.size != [image.height, image.width]:
        raise ValueError("the size of its run lengths is not that of its image")
    pixels = image.width * image.height
    if len(stored.counts) > pixels + 1 or sum(stored.counts) != pixels:
        raise ValueError("its run lengths do not add up to the pixels of its image")
    return np.array(stored.counts, np.int32)


def counts_of(text: str) -> Array:
    """The run lengths int64 that COCO's compressed text stands for; ValueError where it is damaged.

    pycocotools reads beyond the end of damaged texts. Each length is written in groups of five
    bits, the lowest first, as a character from ``0`` on; bit 5 says that more follow, and the
    highest bit of the last group is the sign. From the fourth on, the text holds differences from
    the length two before.
    """
    codes = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes > 63)).any():
        raise ValueError("are damaged: a character is outside the code")
    ends = np.flatnonzero(codes < 32)
    if not len(codes) or ends[-1:].tolist() != [len(codes) - 1]:
        raise ValueError("are damaged: the text is empty or cut off")
    starts = np.concatenate([[0], ends[:-1] + 1])
    groups = ends - starts + 1
    if groups.max() > 12:
        raise ValueError("are damaged: a number has more than 60 bits")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, groups))
    counts = np.add.reduceat((codes & 31) << shifts, starts)
    counts -= np.where(codes[ends] & 16, np.int64(1) << 5 * groups, 0)
    for first in (1, 2):
        counts[first::2] = np.cumsum(counts[first::2])
    if (counts < 0).any():
        raise ValueError("are damaged: a length is negative")
    return counts
