"""COCO 2017, or a folder in its format: the mask of each instance or each class.

Lin et al. 2014, arXiv 1405.0312. Crowds, boxes without an outline, and pixels where two objects
overlap are not labelled: the annotations do not say what is where.
"""

import hashlib
import math
from pathlib import Path
from typing import ClassVar

import numpy as np

from slotbench.datasets.dataset import Download, OriginalOnly
from slotbench.datasets.format.schema import (
    NOT_LABELLED,
    SPLITS,
    Array,
    Batch,
    Layout,
    Property,
    split_called,
)
from slotbench.datasets.originals.coco_json import Annotation, Picture, read_instances
from slotbench.datasets.originals.images import read_image
from slotbench.datasets.originals.importing import Importer, TreeImporter, folder_at, shown
from slotbench.errors import UserError
from slotbench.progress import say
from slotbench.registry import register

FOLDERS = {"train": "train2017", "val": "val2017"}
EXPORTED = "_annotations.coco.json"
"""Name of the annotations in the folder of each split, as labelling tools export them."""
ADDRESS = "http://images.cocodataset.org"
FILES = (
    ("zips/train2017.zip", "cced6f7f71b7629ddf16f17bbcfab6b2", 19_336_861_798),
    ("zips/val2017.zip", "442b8da7639aecaf257c1dceb8ba8c80", 815_585_330),
    ("annotations/annotations_trainval2017.zip", "f4bbac642086de4f52a3fdda2de5fa2c", 252_907_541),
)
"""Published files, their MD5 and size."""
EXPECTED = (
    "a folder that holds train2017, val2017 and annotations, or one folder a split with a file "
    f"{EXPORTED}"
)


@register("datasets")
class Coco(OriginalOnly):
    """COCO 2017: one label an instance (``instances``), or one a category (``classes``)."""

    summary = "photographs with 80 classes of objects, imported: instances or classes"
    source = "Lin et al. 2014, arXiv 1405.0312"
    name = "coco"
    variants = ("instances", "classes")
    unpacks = True
    image_size = 224
    without: ClassVar[dict[str, str]] = {
        "object_color": "photographs have things of every colour, so that none is new"
    }
    licence = "annotations: CC BY 4.0; images: Flickr's terms of use, each its own licence"
    obtain: ClassVar[str] = (
        "Fetch train2017.zip, val2017.zip and annotations_trainval2017.zip from cocodataset.org, "
        "put them into one folder DIR, and type: slotbench prepare coco --from DIR; or type: "
        "slotbench prepare coco --download"
    )

    def downloads(self) -> tuple[Download, ...]:
        return tuple(Download(f"{ADDRESS}/{name}", md5=md5, size=n) for name, md5, n in FILES)

    def importer(self, path: Path) -> Importer:
        return CocoImporter(folder_at(path, EXPECTED), self.variant, self.image_size)


class CocoImporter(TreeImporter):
    """Streams train, val and test, images in the order of their ids.

    Where there is no test split, every second image of val is test. The annotations are in
    memory; images are read one at a time. The labels of an image are in the order of the
    annotations' ids.
    """

    def __init__(self, root: Path, variant: str, image_size: int) -> None:
        self.by_class = variant == "classes"
        read: dict[str, list[tuple[str, Picture]]] = {}
        others, self.categories = [], tuple[str, ...]()
        for split, (folder, file) in _files(root).items():
            categories, pictures, source = _read(root, folder, file)
            if categories != (self.categories or categories):
                raise UserError(f"--from {shown(root)}: {folder} has different categories.")
            self.categories = categories
            read[split] = [(folder, picture) for picture in pictures]
            others.append(source)
        self.rule = ", ".join(f"{split}: {_files(root)[split][0]}" for split in read)
        if "test" not in read:
            read["val"], read["test"] = read["val"][::2], read["val"][1::2]
            self.rule += "; by image id, the first, third, ... are val, the others test"
        chosen = [pair for split in SPLITS for pair in read[split]]
        self.pictures = [picture for _, picture in chosen]
        property_ = Property("category", "categorical", classes=self.categories)
        layout = Layout(image_size, image_size, self._most(), (property_,))
        records = [(f"{folder}/{picture.file}",) for folder, picture in chosen]
        super().__init__(root, layout, records, [(s, len(read[s])) for s in SPLITS], others)

    def _most(self) -> int:
        most = 1
        for picture in self.pictures:
            count = len(self._objects(picture))
            if count >= NOT_LABELLED:
                raise UserError(
                    f"{shown(picture.file)} (image {picture.id}) has {count} annotations, "
                    f"expected at most {NOT_LABELLED - 1}."
                )
            most = max(most, count)
        return most

    def _objects(self, picture: Picture) -> list[list[Annotation]]:
        """The annotations of each object, without crowds."""
        single = [annotation for annotation in picture.annotations if not annotation.crowd]
        if not self.by_class:
            return [[annotation] for annotation in single]
        present = sorted({annotation.category for annotation in single})
        return [[item for item in single if item.category == code] for code in present]

    def image(self, record: int, contents: list[bytes]) -> tuple[Array, Array, Batch]:
        picture, name = self.pictures[record], self.name_of(self.records[record][0])
        # Annotations refer to the pixels as they are stored.
        image = read_image(contents[0], name, upright=False)
        if image.shape[:2] != (picture.height, picture.width):
            raise UserError(
                f"{name}: {image.shape[1]}x{image.shape[0]} pixels, but the annotations say "
                f"{picture.width}x{picture.height}."
            )
        objects = self._objects(picture)
        codes = self.layout.empty(1)["property/category"]
        codes[0, : len(objects)] = [annotations[0].category for annotations in objects]
        fitted = self.fitted(name, image, _labels(picture, objects), 1.0)
        return *fitted, {"property/category": codes}


def _labels(picture: Picture, objects: list[list[Annotation]]) -> Array:
    """uint8 (H, W): 0, the label of the only object at a pixel, or 255."""
    # Column after column, as COCO's run lengths go.
    labels = np.zeros(picture.width * picture.height, np.uint8)
    unclear = np.zeros((picture.width, picture.height), bool)
    for label, annotations in enumerate(objects, start=1):
        for annotation in annotations:
            mask = _drawn(annotation)
            # Instances of one category may overlap where classes are the labels.
            unclear |= (mask & (labels != 0) & (labels != label)).reshape(unclear.shape)
            labels[mask] = label
    for annotation in picture.annotations:
        if annotation.crowd:
            unclear |= _drawn(annotation).reshape(unclear.shape)
        if annotation.box is not None:
            x, y, width, height = annotation.box
            left, top = max(0, math.floor(x)), max(0, math.floor(y))
            unclear[left : math.ceil(x + width), top : math.ceil(y + height)] = True
    labels[unclear.ravel()] = NOT_LABELLED
    return labels.reshape(unclear.shape).T


def _drawn(annotation: Annotation) -> Array:
    """bool (W * H,), column after column."""
    return np.repeat(np.arange(len(annotation.counts)) % 2 == 1, annotation.counts)


def _files(root: Path) -> dict[str, tuple[str, Path]]:
    """Split -> its folder of images, and its annotations."""
    found: dict[str, tuple[str, Path]] = {}
    for folder in sorted(root.iterdir()):
        split = split_called(folder.name)
        if split in SPLITS and (folder / EXPORTED).is_file():
            if split in found:
                both = f"{found[split][0]} and {folder.name}"
                raise UserError(f"--from {shown(root)}: {shown(both)} are both {split}.")
            found[split] = folder.name, folder / EXPORTED
    if not found:
        listed = root / "annotations"
        return {key: (name, listed / f"instances_{name}.json") for key, name in FOLDERS.items()}
    for split in ("train", "val"):
        if split not in found:
            raise UserError(
                f"--from {shown(root)}: no folder is the {split} split.",
                f"Expected {EXPECTED}: train, val (or valid), and test where there is one.",
            )
    return {split: found[split] for split in SPLITS if split in found}


def _read(
    root: Path, folder: str, file: Path
) -> tuple[tuple[str, ...], list[Picture], dict[str, str]]:
    """Categories, pictures, and the file they are from with its sha256."""
    folder_at(root / folder, EXPECTED)
    if not file.is_file():
        raise UserError(f"{shown(file)}: there is no such file.", f"Expected {EXPECTED}.")
    if file.stat().st_size > 10 << 20:
        say(f"Reading {file.name} ...")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return *read_instances(file), {"file": file.name, "sha256": digest}
