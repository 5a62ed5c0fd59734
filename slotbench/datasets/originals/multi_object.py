"""Importers of DeepMind's multi_object_datasets; here: CLEVR with masks, and Multi-dSprites.

Entity 0 of a mask is the background; entity i becomes label i. CLEVR's codes of colour, shape,
size and material start at 1. The source does not name them, so their names are their numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Layout, Property
from slotbench.datasets.originals.images import resize
from slotbench.datasets.originals.importing import TFRecordImporter, visible
from slotbench.datasets.originals.scenes import properties_of
from slotbench.datasets.originals.tfrecord import Record, RecordFile, read_bytes, read_floats

MULTI_OBJECT = "https://storage.googleapis.com/multi-object-datasets"
Arrays = dict[str, Array]


def visible_entities(stored: Arrays) -> Array:
    """The entities that are visible by the record, int64 (n,); entity 0 is the background."""
    return np.flatnonzero(stored["visibility"][1:, 0] > 0) + 1


@dataclass(frozen=True)
class Format:
    """How the records of one file are laid out."""

    image: tuple[int, int, int]
    entities: int
    """Entities of a mask, the background among them."""
    describe: Callable[[Arrays], Arrays] = lambda _: {}
    """Stored arrays (n, ...) of n objects -> property arrays (n, ...); classes count from 0."""
    entities_last: bool = False
    """Whether a mask is (H, W, entities, 1), not (entities, H, W, 1)."""
    crop: tuple[slice, slice] = (slice(None), slice(None))
    bytes_keys: Mapping[str, int] = field(default_factory=dict)
    """Property stored as bytes -> numbers for each entity."""
    float_keys: Mapping[str, int] = field(default_factory=dict)
    backgrounds: int = 1
    """Number of first entities that are background unless they are objects."""
    objects: Callable[[Arrays], Array] = visible_entities
    """Stored arrays -> which entities are objects, int64 (n,), rising."""
    enlarge: Literal["average", "nearest"] = "average"
    """How an image becomes a whole multiple of its size."""


class MultiObjectImporter(TFRecordImporter):
    """Streams files that have a format each; images with more objects than ``layout`` are left out.

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
        batch["visible"][0] = visible(batch["mask"], layout.objects)
        # Padding may hold anything, objects may not.
        objects = {key: stored[key][columns] for key in (*form.bytes_keys, *form.float_keys)}
        for key in form.float_keys:
            record.check_finite(key, objects[key])
        described = form.describe(objects)
        for prop in layout.properties:
            values, last = described[prop.name], len(prop.classes) - 1
            if prop.kind == "categorical" and ((values < 0) | (values > last)).any():
                what = f"feature {prop.name!r} has a code outside 1 to {last + 1}"
                raise record.file.bad_record(what)
            batch[prop.key][0, : len(columns)] = values
        return batch


def _read(record: Record, form: Format) -> Arrays:
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


CLEVR_CODES = {"shape": 3, "color": 8, "material": 2, "size": 2}


def clevr_importer(path: Path, variant: str, image_size: int) -> MultiObjectImporter:
    """``clevr_with_masks_train.tfrecords``: cropped to rows 29:221 and columns 64:256, resized."""
    classes = {
        name: tuple(f"{name}-{code + 1}" for code in range(count))
        for name, count in CLEVR_CODES.items()
    }
    properties = properties_of(classes, "degrees, [0, 360)")

    def describe(stored: Arrays) -> Arrays:
        return {
            **{name: stored[name][:, 0].astype(np.int16) - 1 for name in CLEVR_CODES},
            "position": np.concatenate([stored["x"], stored["y"], stored["z"]], axis=1),
            "rotation": stored["rotation"][:, 0],
            "pixel_coords": stored["pixel_coords"],
        }

    floats = {"x": 1, "y": 1, "z": 1, "rotation": 1, "visibility": 1, "pixel_coords": 3}
    objects = 6 if variant == "clevr6" else 10
    form = Format(
        image=(240, 320, 3),
        entities=11,
        crop=(slice(29, 221), slice(64, 256)),
        bytes_keys=dict.fromkeys(CLEVR_CODES, 1),
        float_keys=floats,
        describe=describe,
    )
    layout = Layout(image_size, image_size, objects, properties)
    return MultiObjectImporter(layout, {RecordFile(path): form})


SPRITE_ENTITIES = {"binarized": 4, "colored_on_grayscale": 6, "colored_on_colored": 5}


def multi_dsprites_importer(path: Path, variant: str, image_size: int) -> MultiObjectImporter:
    """``multi_dsprites_<variant>.tfrecords``; its shape codes 1 to 3 keep their numbers."""
    channels = 1 if variant == "binarized" else 3
    entities = SPRITE_ENTITIES[variant]
    color = () if channels == 1 else (Property("color", "numeric", dim=3, unit="[0, 1]"),)
    properties = (
        Property("shape", "categorical", classes=("shape-1", "shape-2", "shape-3")),
        *color,
        Property("scale", "numeric"),
        Property("orientation", "numeric", unit="radians"),
        Property("position", "numeric", dim=2, unit="x and y in [0, 1]"),
    )

    def describe(stored: Arrays) -> Arrays:
        found = {
            "shape": np.rint(stored["shape"][:, 0]) - 1,
            "scale": stored["scale"][:, 0],
            "orientation": stored["orientation"][:, 0],
            "position": np.concatenate([stored["x"], stored["y"]], axis=1),
        }
        return {**found, "color": stored["color"]} if color else found

    floats = dict.fromkeys(("x", "y", "shape", "visibility", "orientation", "scale"), 1)
    form = Format(
        image=(64, 64, channels),
        entities=entities,
        entities_last=True,
        float_keys={**floats, "color": channels},
        describe=describe,
    )
    layout = Layout(image_size, image_size, entities - 1, properties)
    return MultiObjectImporter(layout, {RecordFile(path): form})
