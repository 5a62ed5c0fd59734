"""MOVi-A, -C and -E: clips of falling objects, from the shards that TFDS has of them.

Greff et al. 2022, Kubric, arXiv 2203.03570; ``challenges/movi`` there says what a record holds.
``video`` and ``segmentations`` are 24 encoded images each. Of ``instances/<key>`` each is one
flat list over the objects, in the order of the labels from 1: object by object, frame by frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from slotbench.datasets.dataset import Importer
from slotbench.datasets.format.schema import Array, Batch, Layout, Property
from slotbench.datasets.originals.images import fit, read_image, read_labels
from slotbench.datasets.originals.tfds import Shards
from slotbench.datasets.originals.tfrecord import (
    RecordFile,
    parse_example,
    read_entries,
    read_floats,
    read_ints,
)
from slotbench.datasets.originals.tree import OriginalOnly
from slotbench.errors import UserError
from slotbench.registry import register

FRAMES = 24
MOST_SIDE = 1024
"""Pixels; the largest that were published have 512."""
TRAIN, VALIDATION, TEST = "train", "validation", "test"
HELD_OUT = "test-held-out"
COLORS = ("blue", "brown", "cyan", "gray", "green", "purple", "red", "yellow")
CATEGORIES = (
    "Action Figures",
    "Bag",
    "Board Games",
    "Bottles and Cans and Cups",
    "Camera",
    "Car Seat",
    "Consumer Goods",
    "Hat",
    "Headphones",
    "Keyboard",
    "Legos",
    "Media Cases",
    "Mouse",
    "None",
    "Shoe",
    "Stuffed Toys",
    "Toys",
)


@dataclass(frozen=True)
class Kind:
    """What the objects of a variant are."""

    objects: int
    """The most that a clip has."""
    codes: dict[str, tuple[str, ...]]
    """Property -> its classes, in the order of their codes."""
    suffix: str
    """What follows the property's name in the key of its codes."""
    scale: bool
    """Whether each object has a size of its own, a number."""


CLEVR_LIKE = Kind(
    10,
    {
        "shape": ("cube", "cylinder", "sphere"),
        "size": ("small", "large"),
        "color": COLORS,
        "material": ("metal", "rubber"),
    },
    "_label",
    False,
)
KINDS = {
    "a": CLEVR_LIKE,
    "c": Kind(10, {"category": CATEGORIES}, "", True),
    "e": Kind(23, {"category": CATEGORIES}, "", True),
}


@register("datasets")
class Movi(OriginalOnly):
    """Clips of 24 frames with the mask, the class and the place of every object in each."""

    summary = "clips of falling objects, simple or scanned, imported"
    source = "Greff et al. 2022, arXiv 2203.03570"
    name = "movi"
    variants = tuple(KINDS)
    licence = (
        "Apache 2.0 (Kubric); c and e: objects CC BY 4.0 (Google Scanned Objects), "
        "backgrounds CC0 (Poly Haven)"
    )
    obtain: ClassVar[str] = (
        "Fetch one folder of TFDS, of variant a for example with: gsutil -m cp -r "
        "gs://kubric-public/tfds/movi_a/128x128/1.0.0 DIR, and type: "
        "slotbench prepare movi --variant a --from DIR/1.0.0"
    )

    def why_not(self, shift: str, origin: str) -> str:
        if shift == "object_color" and self.variant != "a":
            return "scanned things have every colour, so that none is new"
        return super().why_not(shift, origin)

    def importer(self, path: Path) -> Importer:
        return MoviImporter(path, self.variant, self.image_size)


class MoviImporter(Importer):
    """Streams train, then validation, then test where it is there; a shard at a time."""

    rule = (
        "TFDS's train without its last 5 % is train, these are val; TFDS's validation is test, "
        f"its test is {HELD_OUT}"
    )

    def __init__(self, root: Path, variant: str, image_size: int) -> None:
        self.kind = KINDS[variant]
        self.shards = Shards(root, f"movi_{variant}", (TRAIN, VALIDATION, TEST), (TEST,))
        scale = (Property("scale", "numeric"),) if self.kind.scale else ()
        properties = (
            *(
                Property(name, "categorical", classes=classes)
                for name, classes in self.kind.codes.items()
            ),
            *scale,
            Property("position", "numeric", dim=3, unit="scene units"),
            Property("image_position", "numeric", dim=2, unit="x and y, [0, 1] inside the frame"),
        )
        self.layout = Layout(image_size, image_size, self.kind.objects, properties, frames=FRAMES)

    def progress(self) -> tuple[int, int]:
        return self.shards.progress()

    def sources(self) -> list[dict[str, str]]:
        return self.shards.sources()

    def identity(self) -> dict[str, Any]:
        return self.shards.identity()

    def splits(self, records: int) -> dict[str, tuple[int, int]]:
        count = self.shards.count
        train, both = count[TRAIN], count[TRAIN] + count[VALIDATION]
        found = {
            "train": (0, train * 95 // 100),
            "val": (train * 95 // 100, train),
            "test": (train, both),
        }
        return {**found, HELD_OUT: (both, records)} if TEST in count else found

    def batches(self, skip: int, size: int) -> Iterator[tuple[int, Batch]]:
        kept: list[Batch] = []
        record = -1
        for record, (file, data) in enumerate(self.shards):
            if record < skip:
                continue
            kept.append({**self._clip(file, data), "record": np.array([record], np.int64)})
            if len(kept) == size:
                yield record + 1, _joined(kept)
                kept = []
        if kept:
            yield record + 1, _joined(kept)

    def _clip(self, file: RecordFile, data: bytes) -> Batch:
        """One clip as a batch of one."""
        record = _Record(file, data)
        batch = self.layout.empty(1)
        n = self._properties(record, batch)
        for frame, (image, labels) in enumerate(record.frames(n, self.layout.height)):
            batch["image"][0, frame], batch["mask"][0, frame] = image, labels
            shown = np.isin(np.arange(1, self.layout.objects + 1), labels)
            batch["visible"][0, frame] = shown
        return batch

    def _properties(self, record: "_Record", batch: Batch) -> int:
        """Store the properties of a clip's objects in all frames; returns how many there are."""
        codes = {
            name: record.codes(f"instances/{name}{self.kind.suffix}", len(classes))
            for name, classes in self.kind.codes.items()
        }
        n = len(next(iter(codes.values())))
        if not 1 <= n <= self.kind.objects:
            raise record.bad(f"{n} objects, expected 1 to {self.kind.objects}")
        for name, values in codes.items():
            if len(values) != n:
                raise record.bad(f"{name!r} is of {len(values)} objects, other features of {n}")
            batch[f"property/{name}"][0, :, :n] = values
        if self.kind.scale:
            batch["property/scale"][0, :, :n] = record.numbers("instances/scale", (n,))
        for name, key, dim in (
            ("position", "positions", 3),
            ("image_position", "image_positions", 2),
        ):
            moved = record.numbers(f"instances/{key}", (n, FRAMES, dim))
            batch[f"property/{name}"][0, :, :n] = moved.swapaxes(0, 1)
        return n


class _Record:
    """The features of one record, decoded as they are asked for; errors name the place."""

    def __init__(self, file: RecordFile, data: bytes) -> None:
        self.file = file
        try:
            self.features = parse_example(data)
        except ValueError as error:
            raise self.bad(f"is no tf.Example ({error})") from error

    def bad(self, what: str) -> UserError:
        return self.file.bad_record(what)

    def _read(self, key: str, reader: Any, *more: Any) -> Any:
        if key not in self.features:
            raise self.bad(f"feature {key!r} is missing")
        try:
            return reader(self.features[key], *more)
        except ValueError as error:
            raise self.bad(f"feature {key!r}: {error}") from error

    def codes(self, key: str, classes: int) -> Array:
        """int64 (objects,), each below ``classes``."""
        values: Array = self._read(key, read_ints)
        if ((values < 0) | (values >= classes)).any():
            raise self.bad(f"feature {key!r} has a code outside 0 to {classes - 1}")
        return values

    def numbers(self, key: str, shape: tuple[int, ...]) -> Array:
        """float32 of that shape, all finite."""
        values: Array = self._read(key, read_floats)
        if values.size != np.prod(shape):
            expected = "x".join(map(str, shape))
            raise self.bad(f"feature {key!r} has {values.size} numbers, expected {expected}")
        if not np.isfinite(values).all():
            raise self.bad(f"feature {key!r} has a number that is not finite")
        return values.reshape(shape)

    def frames(self, objects: int, size: int) -> Iterator[tuple[Array, Array]]:
        """Image uint8 (size, size, 3) and labels uint8 (size, size) of each frame."""
        pairs = zip(
            *(self._read(key, read_entries, FRAMES) for key in ("video", "segmentations")),
            strict=True,
        )
        side = None
        for frame, (video, segmentation) in enumerate(pairs):
            names = [
                self.file.place(f"feature {key!r}, frame {frame}")
                for key in ("video", "segmentations")
            ]
            image = read_image(bytes(video), names[0], most=MOST_SIDE)
            labels = read_labels(bytes(segmentation), names[1], objects, most=MOST_SIDE)
            side = side or image.shape[0]
            for array, name in zip((image, labels), names, strict=True):
                if array.shape[:2] != (side, side):
                    height, width = array.shape[:2]
                    raise UserError(f"{name}: {width}x{height} pixels, expected {side}x{side}.")
            if (labels > objects).any():
                raise UserError(f"{names[1]}: label {labels.max()}, expected 0 to {objects}.")
            yield fit(image, labels, size)


def _joined(clips: list[Batch]) -> Batch:
    return {key: np.concatenate([clip[key] for clip in clips]) for key in clips[0]}
