"""Importer of DeepMind's multi_object_datasets.

Entity 0 of a mask is the background; entity i becomes label i. Codes of classes start at 1; the
source does not name them, so their names are their numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Layout, Property, shown
from slotbench.datasets.originals.images import resize
from slotbench.datasets.originals.importing import TFRecordImporter
from slotbench.datasets.originals.tfrecord import Record, RecordFile, read_bytes, read_floats

MULTI_OBJECT = "https://storage.googleapis.com/multi-object-datasets"


def visible_entities(stored: Batch) -> Array:
    """The visible entities, int64 (n,), without entity 0, the background."""
    return np.flatnonzero(stored["visibility"][1:, 0] > 0) + 1


@dataclass(frozen=True)
class Format:
    """The layout of a file's records."""

    image: tuple[int, int, int]
    entities: int
    """Entities of a mask, with the background."""
    entities_last: bool = False
    """Whether a mask is (H, W, entities, 1), not (entities, H, W, 1)."""
    crop: tuple[slice, slice] = (slice(None), slice(None))
    bytes_keys: Mapping[str, int] = field(default_factory=dict)
    """Property stored as bytes -> numbers for each entity."""
    float_keys: Mapping[str, int] = field(default_factory=dict)
    coded: Callable[[Batch], Batch] = lambda _: {}
    """Stored arrays (n, d) of n objects -> codes (n, 1) that the source does not store."""
    backgrounds: int = 1
    """The first entities, which are background unless ``objects`` names them."""
    objects: Callable[[Batch], Array] = visible_entities
    """Stored arrays -> which entities are objects, int64 (n,), rising."""
    enlarge: Literal["average", "nearest"] = "average"
    """How to resize an image to a multiple of its size."""


class MultiObjectImporter(TFRecordImporter):
    """Streams files of one format each; leaves out images with more objects than ``layout``.

    :class:`UserError` where a file is damaged or is another dataset's.
    """

    def __init__(self, layout: Layout, forms: Mapping[RecordFile, Format]) -> None:
        super().__init__(layout, forms)
        self.forms = forms

    def row(self, record: Record) -> Batch | None:
        form, layout = self.forms[record.file], self.layout
        stored = _read(record, form)
        columns = form.objects(stored)
        if len(columns) > layout.objects:
            return None
        image = stored["image"][form.crop]
        masks = stored["mask"] if form.entities_last else np.moveaxis(stored["mask"], 0, -1)
        masks = masks[form.crop]
        labels = np.where(masks.any(axis=-1), masks.argmax(axis=-1), NOT_LABELLED)
        size = (layout.width, layout.height)
        batch = layout.empty(1)
        color = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        whole = layout.width % image.shape[1] == 0
        batch["image"][0] = resize(color, size, form.enlarge if whole else "average")
        # Objects may be any of the entities; they become labels 1, 2, ...
        table = np.full(256, NOT_LABELLED, np.uint8)
        table[: form.backgrounds] = 0
        table[columns] = np.arange(1, len(columns) + 1)
        batch["mask"][0] = table[resize(labels.astype(np.uint8), size, "nearest")]
        batch["visible"] = shown(batch["mask"], layout.objects) > 0
        # Padding may hold anything, objects may not.
        objects = {key: stored[key][columns] for key in (*form.bytes_keys, *form.float_keys)}
        for key in form.float_keys:
            record.check_finite(key, objects[key])
        objects |= form.coded(objects)
        for prop in layout.properties:
            values, last = _values(prop, objects), len(prop.classes) - 1
            if prop.kind == "categorical" and ((values < 0) | (values > last)).any():
                what = f"feature {prop.name!r} has a code outside 1 to {last + 1}"
                raise record.file.bad_record(what)
            batch[prop.key][0, : len(columns)] = values
        return batch


def _values(prop: Property, stored: Batch) -> Array:
    """The values of a property, (n[, d]); stored codes count from 1."""
    if prop.name == "position":
        return np.concatenate([stored[axis] for axis in "xyz"[: prop.dim]], axis=1)
    values = stored[prop.name] if prop.dim > 1 else stored[prop.name][:, 0]
    return np.rint(values.astype(np.float32)) - 1 if prop.kind == "categorical" else values


def _read(record: Record, form: Format) -> Batch:
    """Every array of a record, entities first."""
    sides, count = form.image[:2], form.entities
    mask = (*sides, count, 1) if form.entities_last else (count, *sides, 1)
    arrays = {
        "image": record.array("image", read_bytes, form.image),
        "mask": record.array("mask", read_bytes, mask)[..., 0],
    }
    for reader, keys in ((read_bytes, form.bytes_keys), (read_floats, form.float_keys)):
        for key, dim in keys.items():
            arrays[key] = record.array(key, reader, (form.entities, dim))
    if "visibility" in arrays:
        record.check_finite("visibility", arrays["visibility"])
    return arrays
