"""MOVi-A, -C and -E: clips of falling objects, from their shards of TensorFlow Datasets (TFDS).

Greff et al. 2022, Kubric, arXiv 2203.03570; its ``challenges/movi`` documents the records.
``video`` and ``segmentations`` are 24 encoded images each. ``instances/<key>`` are flat lists:
object by object in the order of the labels, frame by frame.

A folder holds ``<name>-<split>.tfrecord-<i>-of-<n>``, with i and n of five digits, and
``dataset_info.json``, which says how many records each shard has.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, Strict

from slotbench.datasets.dataset import OriginalOnly
from slotbench.datasets.format.schema import Array, Batch, Layout, Property, categorical, shown
from slotbench.datasets.originals import tfrecord
from slotbench.datasets.originals.images import fit, read_image, read_labels
from slotbench.datasets.originals.importing import Importer, TFRecordImporter, folder_at
from slotbench.datasets.originals.tfrecord import Record, RecordFile
from slotbench.errors import UserError
from slotbench.files import Document, read_document
from slotbench.registry import register

FRAMES = 24
TRAIN, VALIDATION, TEST = "train", "validation", "test"
HELD_OUT = "test-held-out"
SHARD = re.compile(r"(\w+)-(\w+)\.tfrecord-(\d{5})-of-(\d{5})", re.ASCII)
"""Name, split, index, number of shards."""
INFO = "dataset_info.json"
COLORS = ("blue", "brown", "cyan", "gray", "green", "purple", "red", "yellow")
CATEGORIES = ["Action Figures", "Bag", "Board Games", "Bottles and Cans and Cups", "Camera"]
CATEGORIES += ["Car Seat", "Consumer Goods", "Hat", "Headphones", "Keyboard", "Legos"]
CATEGORIES += ["Media Cases", "Mouse", "None", "Shoe", "Stuffed Toys", "Toys"]


@dataclass(frozen=True)
class Kind:
    """The objects of a variant."""

    objects: int
    """Most objects of a clip."""
    codes: dict[str, tuple[str, ...]]
    """Property -> its classes, in the order of their codes."""
    suffix: str = ""
    """End of the key that holds a property's codes."""
    scale: bool = True
    """Whether each object has a size of its own."""


SIMPLE = {"shape": ("cube", "cylinder", "sphere"), "size": ("small", "large")}
SIMPLE |= {"color": COLORS, "material": ("metal", "rubber")}
SCANNED = {"category": tuple(CATEGORIES)}
KINDS = {"a": Kind(10, SIMPLE, "_label", False), "c": Kind(10, SCANNED), "e": Kind(23, SCANNED)}


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
        "slotbench prepare movi:a --from DIR/1.0.0"
    )

    def without(self, origin: str) -> dict[str, str]:  # noqa: ARG002
        reason = "scanned things have every colour, so that none is new"
        return {} if self.variant == "a" else {"object_color": reason}

    def importer(self, path: Path) -> Importer:
        return MoviImporter(path, self.variant, self.image_size)


class MoviImporter(TFRecordImporter):
    """Streams train, then validation, then test where it is there; a shard at a time."""

    rule = (
        "TFDS's train without its last 5 % is train, these are val; TFDS's validation is test, "
        f"its test is {HELD_OUT}"
    )

    def __init__(self, root: Path, variant: str, image_size: int) -> None:
        self.kind = KINDS[variant]
        properties = (
            *categorical(self.kind.codes),
            *((Property("scale", "numeric"),) if self.kind.scale else ()),
            Property("position", "numeric", dim=3, unit="scene units"),
            Property("image_position", "numeric", dim=2, unit="x and y, [0, 1] inside the frame"),
        )
        layout = Layout(image_size, image_size, self.kind.objects, properties, frames=FRAMES)
        super().__init__(layout, _shards(root, f"movi_{variant}"))

    def splits(self, records: int) -> dict[str, tuple[int, int]]:  # noqa: ARG002
        bounds = self.bounds()
        train = bounds[TRAIN][1]
        most = train * 95 // 100
        found = {"train": (0, most), "val": (most, train), "test": bounds[VALIDATION]}
        return {**found, HELD_OUT: bounds[TEST]} if TEST in bounds else found

    def row(self, record: Record) -> Batch:
        batch = self.layout.empty(1)
        n = self._properties(record, batch)
        for frame, (image, labels) in enumerate(_frames(record, n, self.layout.height)):
            batch["image"][0, frame], batch["mask"][0, frame] = image, labels
        batch["visible"] = shown(batch["mask"], self.layout.objects) > 0
        return batch

    def _properties(self, record: Record, batch: Batch) -> int:
        """Stores the objects' properties in all frames; returns the number of objects."""
        bad, count = record.file.bad_record, self.kind.objects
        codes = {}
        for name, classes in self.kind.codes.items():
            key = f"instances/{name}{self.kind.suffix}"
            codes[name] = record.read(key, tfrecord.read_ints)
            if ((codes[name] < 0) | (codes[name] >= len(classes))).any():
                raise bad(f"feature {key!r} has a code outside 0 to {len(classes) - 1}")
        n = len(next(iter(codes.values())))
        if not 1 <= n <= count:
            raise bad(f"{n} objects, expected 1 to {count}")
        for name, values in codes.items():
            if len(values) != n:
                raise bad(f"{name!r} has {len(values)} objects, other features have {n}")
            batch[f"property/{name}"][0, :, :n] = values
        for prop in self.layout.properties[len(codes) :]:
            key = f"instances/{prop.name}{'' if prop.name == 'scale' else 's'}"
            shape = (n,) if prop.name == "scale" else (n, FRAMES, prop.dim)
            numbers = record.check_finite(key, record.array(key, tfrecord.read_floats, shape))
            batch[prop.key][0, :, :n] = numbers if numbers.ndim == 1 else numbers.swapaxes(0, 1)
        return n


def _frames(record: Record, objects: int, size: int) -> Iterator[tuple[Array, Array]]:
    """Image uint8 (size, size, 3) and labels uint8 (size, size) of each frame."""
    keys = ("video", "segmentations")
    pairs = zip(*(record.read(key, tfrecord.read_entries, FRAMES) for key in keys), strict=True)
    side = None
    for frame, (video, segmentation) in enumerate(pairs):
        names = [record.file.place(f"feature {key!r}, frame {frame}") for key in keys]
        image = read_image(bytes(video), names[0])
        labels = read_labels(bytes(segmentation), names[1], objects)
        side = side or image.shape[0]
        for array, name in zip((image, labels), names, strict=True):
            if array.shape[:2] != (side, side):
                height, width = array.shape[:2]
                raise UserError(f"{name}: {width}x{height} pixels, expected {side}x{side}.")
        if labels.max() > objects:  # 255, which means not labelled elsewhere
            raise UserError(f"{names[1]}: label {labels.max()}, expected 0 to {objects}.")
        yield fit(image, labels, size)


def _shards(root: Path, name: str) -> Iterator[RecordFile]:
    """Every shard of train, validation and, where it is there, test; its group is its split."""
    folder_at(root, f"the folder of TFDS with {name}'s shards")
    found, lengths = _found(root, name), _lengths(root / INFO, name)
    for split in (TRAIN, VALIDATION, *([TEST] if TEST in found else [])):
        files = _whole(root / f"{name}-{split}.tfrecord", found.get(split, {}))
        expected = lengths.get(split, [None] * len(files))
        if len(expected) != len(files):
            what = f"it has {len(expected)} shards of {split!r}; the folder has {len(files)}"
            raise UserError(f"{root / INFO}: {what}.")
        for file, records in zip(files, expected, strict=True):
            yield RecordFile(file, split, records)


def _found(root: Path, name: str) -> dict[str, dict[tuple[int, int], Path]]:
    """Split -> (index, number of shards) -> file, of this dataset alone."""
    found: dict[str, dict[tuple[int, int], Path]] = {}
    others, where = set(), f"--from {root}"
    for path in sorted(root.iterdir()):
        match = SHARD.fullmatch(path.name)
        if match and match[1] == name:
            found.setdefault(match[2], {})[int(match[3]), int(match[4])] = path
        elif match:
            others.add(match[1])
    if not found and others:
        raise UserError(f"{where}: it holds shards of {', '.join(sorted(others))}, not of {name}.")
    if not found:
        below = sorted(root.glob(f"**/{name}-*.tfrecord-00000-of-*"))
        raise UserError(
            f"{where}: it holds no shard of {name}, such as {name}-train.tfrecord-00000-of-00032.",
            f"Type: --from {below[0].parent}" if below else "",
        )
    return found


def _whole(prefix: Path, found: dict[tuple[int, int], Path]) -> list[Path]:
    """The shards of a split in order; :class:`UserError` where the set is not complete."""
    counts = sorted({count for _, count in found})
    if not counts:
        raise UserError(f"{prefix}-*: there is no such file.", "Fetch all shards.")
    if len(counts) > 1:
        raise UserError(f"{prefix}-*: some are of {counts[0]} shards, some of {counts[-1]}.")
    names = {index: f"{prefix.name}-{index:05d}-of-{counts[0]:05d}" for index in range(counts[0])}
    missing = [name for index, name in names.items() if (index, counts[0]) not in found]
    if missing:
        more = f", and {len(missing) - 1} more of the {counts[0]}" if len(missing) > 1 else ""
        raise UserError(f"{prefix.with_name(missing[0])} is missing{more}.", "Fetch all shards.")
    return [found[key] for key in sorted(found)]


def _lengths(path: Path, name: str) -> Mapping[str, Sequence[int | None]]:
    """Split -> records of each shard, as far as ``dataset_info.json`` says."""
    if not path.exists():
        return {}
    try:
        info = read_document(path, Info)
    except UserError as error:
        advice = "Fetch it again, or remove it: the shards alone are enough."
        raise UserError(error.message, advice) from error
    if info.name not in (None, name):
        raise UserError(f"{path}: this is {info.name!r:.60}, not {name!r}.")
    return {split.name: split.shardLengths for split in info.splits if split.shardLengths}


class SplitInfo(Document):
    """A split; TFDS writes its numbers as text."""

    name: str
    shardLengths: list[Annotated[int, Strict(False)]] = Field(default_factory=list)  # noqa: N815


class Info(Document):
    """The part of ``dataset_info.json`` that is read."""

    name: str | None = None
    splits: list[SplitInfo] = Field(default_factory=list)
