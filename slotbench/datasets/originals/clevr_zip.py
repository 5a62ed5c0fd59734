"""Importer of ``CLEVR_v1.0.zip``: images and the properties of their objects, without masks.

Johnson et al. 2017, arXiv 1612.06890. The zip's test images have no scenes file, so they are
left out: of its val, the first half is val here and the second half test. No pixel is labelled:
segmentation cannot be scored. An object is ``visible`` where its outline, taken for the circle
of its size around ``pixel_coords``, reaches into the crop: what lies beside it shows nowhere.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slotbench.datasets.dataset import Importer
from slotbench.datasets.format.schema import NOT_LABELLED, Batch, Layout, Property
from slotbench.datasets.originals.archives import Zip
from slotbench.datasets.originals.images import read_image, resize
from slotbench.datasets.originals.json_stream import items
from slotbench.datasets.originals.tree import shown
from slotbench.datasets.render.clevr_scene import COLORS, MATERIALS, SHAPES, SIZES
from slotbench.errors import UserError

CROP = (slice(29, 221), slice(64, 256))
"""Rows and columns of 240x320, as of the TFRecords."""
FOCAL = 160 * 35 / 16
"""Pixels: a 35 mm lens on a 32 mm sensor of 320 columns."""
CLASSES = {"shape": SHAPES, "color": tuple(COLORS), "material": MATERIALS, "size": tuple(SIZES)}
NUMBERS = {
    "position": ("3d_coords", 3),
    "rotation": ("rotation", 1),
    "pixel_coords": ("pixel_coords", 3),
}
MOST_OBJECTS = 10
MOST_NUMBER = 1e6
MOST_IMAGE = 4 << 20
"""Bytes of a PNG; CLEVR's have 200,000."""
ADVICE = "Is this CLEVR_v1.0.zip, whole and unchanged?"
SPLITS = ("train", "val")


class ClevrZipImporter(Importer):
    """Streams the scenes of train, then of val, in the order of their files."""

    rule = (
        "train is the zip's; of its val the first half is val, the second test (its own test "
        "images have no scenes)"
    )

    def __init__(self, path: Path, variant: str, image_size: int) -> None:
        self.path = path
        with Zip(path) as listed:
            names = listed.names
        self.root = self._find_root(names)
        self.layout = _layout(6 if variant == "clevr6" else MOST_OBJECTS, image_size)
        folders = tuple(f"{self.root}images/{split}/" for split in SPLITS)
        self._images = sum(name.startswith(folders) for name in names)
        self._read, self._counts = 0, dict.fromkeys(SPLITS, 0)
        self._digest, self._hashed = hashlib.sha256(), 0

    def _find_root(self, names: list[str]) -> str:
        ending = "scenes/CLEVR_train_scenes.json"
        roots = [name.removesuffix(ending) for name in names if name.endswith(ending)]
        if len(roots) != 1:
            raise UserError(f"{shown(self.path)}: it holds {len(roots)} files {ending}.", ADVICE)
        return roots[0]

    def identity(self) -> dict[str, Any]:
        status = self.path.stat()
        return {"file": self.path.name, "bytes": status.st_size, "mtime": status.st_mtime_ns}

    def sources(self) -> list[dict[str, str]]:
        return [{"file": self.path.name, "sha256": self._digest.hexdigest()}]

    def progress(self) -> tuple[int, int]:
        return self._read, max(self._images, self._read)

    def splits(self, records: int) -> dict[str, tuple[int, int]]:
        train = self._counts["train"]
        half = train + (records - train) // 2
        return {"train": (0, train), "val": (train, half), "test": (half, records)}

    def batches(self, skip: int, size: int) -> Iterator[tuple[int, Batch]]:
        self._read, self._counts = 0, dict.fromkeys(SPLITS, 0)
        self._digest, self._hashed = hashlib.sha256(), 0
        kept: list[Batch] = []
        with Zip(self.path) as source:
            for split, name, objects in self._records(source):
                if self._read >= skip and len(objects) <= self.layout.objects:
                    kept.append(self._image(source, name, objects))
                self._read += 1
                self._counts[split] += 1
                if self._read > skip and self._read % size == 0:
                    self._hash(self._read / max(self._images, 1))
                    yield self._read, self._stack(kept)
                    kept = []
        self._hash(1.0)
        if self._read % size and self._read > skip:
            yield self._read, self._stack(kept)

    def _hash(self, share: float) -> None:
        """Hash the file as far as its records are read, so that the bar does not stand still."""
        with self.path.open("rb") as stream:
            stream.seek(self._hashed)
            while self._hashed < share * self.path.stat().st_size and (
                piece := stream.read(1 << 20)
            ):
                self._digest.update(piece)
                self._hashed += len(piece)

    def _stack(self, images: list[Batch]) -> Batch:
        empty = {**self.layout.empty(0), "record": np.empty(0, np.int64)}
        return {
            key: np.concatenate([array, *(one[key] for one in images)])
            for key, array in empty.items()
        }

    def _records(self, source: Zip) -> Iterator[tuple[str, str, list[Batch]]]:
        """(split, the image's name in the zip, its objects), one after the other."""
        for split in SPLITS:
            file = f"{self.root}scenes/CLEVR_{split}_scenes.json"
            try:
                for place, scene in enumerate(items(source.open(file), "scenes")):
                    name, objects = self._checked(scene, split, f"{file}, scene {place}")
                    if name not in source:
                        raise self._error(f"{file}, scene {place}", f"there is no image {name}")
                    yield split, name, objects
            except ValueError as error:
                raise self._error(file, f"this is no JSON of scenes ({error})") from error

    def _error(self, where: str, what: str) -> UserError:
        return UserError(f"{shown(self.path)}, member {shown(where)}: {what}.", ADVICE)

    def _checked(self, scene: Any, split: str, where: str) -> tuple[str, list[Batch]]:
        """The image's name in the zip, and the values of each object's properties."""
        if not isinstance(scene, dict):
            raise self._error(where, "it is no object")
        file, objects = scene.get("image_filename"), scene.get("objects")
        if not isinstance(file, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", file):
            raise self._error(where, "'image_filename' is no name of a file")
        name = f"{self.root}images/{split}/{file}"
        if not isinstance(objects, list) or len(objects) > MOST_OBJECTS:
            raise self._error(where, f"'objects' is no list of at most {MOST_OBJECTS}")
        found = [self._object(thing, f"{where}, object {i}") for i, thing in enumerate(objects)]
        return name, found

    def _object(self, thing: Any, where: str) -> Batch:
        if not isinstance(thing, dict):
            raise self._error(where, "it is no object of JSON")
        found: Batch = {}
        for key, classes in CLASSES.items():
            value = thing.get(key)
            if not isinstance(value, str) or value not in classes:
                raise self._error(where, f"{key!r} is none of {', '.join(classes)}")
            found[key] = np.array(classes.index(value), np.int16)
        for name, (key, dim) in NUMBERS.items():
            value = thing.get(key)
            numbers = [value] if dim == 1 else value
            if (
                not isinstance(numbers, list)
                or len(numbers) != dim
                or not all(map(_usable, numbers))
            ):
                what = "a number" if dim == 1 else f"a list of {dim} numbers"
                raise self._error(where, f"{key!r} is not {what} within a million")
            found[name] = np.array(numbers if dim > 1 else value, np.float32)
        if found["pixel_coords"][2] <= 0:
            raise self._error(where, "'pixel_coords' has no positive depth")
        return found

    def _image(self, source: Zip, name: str, objects: list[Batch]) -> Batch:
        where = f"{shown(self.path)}, member {shown(name)}"
        image = read_image(source.read(name, MOST_IMAGE), where)
        if image.shape != (240, 320, 3):
            size = "x".join(map(str, image.shape[1::-1]))
            raise UserError(f"{where}: {size} pixels, expected 320x240.", ADVICE)
        layout = self.layout
        batch = layout.empty(1)
        batch["image"][0] = resize(image[CROP], (layout.width, layout.height), "average")
        batch["mask"][0] = NOT_LABELLED
        for slot, thing in enumerate(objects):
            batch["visible"][0, slot] = _in_crop(thing)
            for key, value in thing.items():
                batch[f"property/{key}"][0, slot] = value
        return {**batch, "record": np.array([self._read], np.int64)}


def _usable(value: Any) -> bool:
    """A finite number; ``True`` is none, and of NaN no comparison holds."""
    return type(value) in (int, float) and -MOST_NUMBER <= value <= MOST_NUMBER


def _in_crop(thing: Batch) -> bool:
    x, y, depth = thing["pixel_coords"].tolist()
    radius = list(SIZES.values())[int(thing["size"])] * FOCAL / depth
    rows, columns = CROP
    beside = (
        x + radius <= columns.start
        or x - radius >= columns.stop
        or y + radius <= rows.start
        or y - radius >= rows.stop
    )
    return not beside


def _layout(objects: int, image_size: int) -> Layout:
    properties = (
        *(Property(name, "categorical", classes=classes) for name, classes in CLASSES.items()),
        Property("position", "numeric", dim=3, unit="scene units, x and y in [-3, 3]"),
        Property("rotation", "numeric", unit="degrees, [0, 360)"),
        Property("pixel_coords", "numeric", dim=3, unit="x and y in pixels of 320x240, then depth"),
    )
    return Layout(image_size, image_size, objects, properties)
