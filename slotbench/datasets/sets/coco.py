"""COCO 2017, or a folder in its format: the mask of each instance or each class.

Lin et al. 2014, arXiv 1405.0312. Crowds, boxes without an outline, and overlaps of objects are not
labelled: the annotations do not say which object a pixel shows.
"""

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
from slotbench.datasets.originals.coco_json import Outline, Picture, read_instances
from slotbench.datasets.originals.images import read_image
from slotbench.datasets.originals.importing import Importer, TreeImporter, folder_at
from slotbench.errors import UserError
from slotbench.files import no_file, sha256_of
from slotbench.progress import say
from slotbench.registry import register

FOLDERS = {"train": "train2017", "val": "val2017"}
EXPORTED = "_annotations.coco.json"
"""Annotations in the folder of each split, as labelling tools export them."""
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
    licence = "annotations: CC BY 4.0; images: Flickr's terms of use, each its own licence"
    obtain: ClassVar[str] = (
        "Fetch train2017.zip, val2017.zip and annotations_trainval2017.zip from cocodataset.org, "
        "put them into one folder DIR, and type: slotbench prepare coco --from DIR; or type: "
        "slotbench prepare coco --download"
    )

    def without(self, origin: str) -> dict[str, str]:  # noqa: ARG002
        return {"object_color": "photographs have things of every colour, so that none is new"}

    def downloads(self) -> tuple[Download, ...]:
        return tuple(Download(f"{ADDRESS}/{name}", md5=md5, size=n) for name, md5, n in FILES)

    def importer(self, path: Path) -> Importer:
        return CocoImporter(folder_at(path, EXPECTED), self.variant, self.image_size)


class CocoImporter(TreeImporter):
    """Streams train, val and test, images in the order of their ids.

    Without a test split, every second image of val is test. The labels of an image follow the
    order of the annotations' ids. All annotations are in memory.
    """

    def __init__(self, root: Path, variant: str, image_size: int) -> None:
        self.by_class = variant == "classes"
        files, read = _files(root), dict[str, list[tuple[str, Picture]]]()
        others, self.categories = [], tuple[str, ...]()
        for split, (folder, file) in files.items():
            folder_at(root / folder, EXPECTED)
            if fault := no_file(file):
                raise UserError(f"{file}: {fault}.", f"Expected {EXPECTED}.")
            if file.stat().st_size > 10 << 20:
                say(f"Reading {file.name} ...")
            others.append({"file": file.name, "sha256": sha256_of(file)})
            categories, pictures = read_instances(file)
            if categories != (self.categories or categories):
                raise UserError(f"--from {root}: {folder} has different categories.")
            self.categories = categories
            read[split] = [(folder, picture) for picture in pictures]
        self.rule = ", ".join(f"{split}: {folder}" for split, (folder, _) in files.items())
        if "test" not in read:
            read["val"], read["test"] = read["val"][::2], read["val"][1::2]
            self.rule += "; by image id, the first, third, ... are val, the others test"
        chosen = [pair for split in SPLITS for pair in read[split]]
        self.pictures = [picture for _, picture in chosen]
        property_ = Property("category", "categorical", classes=self.categories)
        layout = Layout(image_size, image_size, self._most(), (property_,))
        records = [(f"{folder}/{image.file_name}",) for folder, (image, _) in chosen]
        super().__init__(root, layout, records, [(s, len(read[s])) for s in SPLITS], others)

    def _most(self) -> int:
        most = 1
        for picture in self.pictures:
            count = len(self._objects(picture))
            if count >= NOT_LABELLED:
                what = f"{picture[0].file_name} (image {picture[0].id})"
                raise UserError(f"{what} has {count} annotations, expected at most 254.")
            most = max(most, count)
        return most

    def _objects(self, picture: Picture) -> list[list[Outline]]:
        """The outlines of each object, without crowds."""
        single = [outline for outline in picture[1] if not outline.crowd]
        if not self.by_class:
            return [[outline] for outline in single]
        present = sorted({outline.category for outline in single})
        return [[item for item in single if item.category == code] for code in present]

    def fill(self, batch: Batch, record: int, contents: list[bytes]) -> None:
        picture, name = self.pictures[record], str(self.root / self.records[record][0])
        # Annotations refer to the pixels as they are stored.
        image = read_image(contents[0], name, upright=False)
        objects = self._objects(picture)
        self.store(batch, name, image, _labels(picture, objects))
        codes = [outlines[0].category for outlines in objects]
        batch["property/category"][0, : len(objects)] = codes


def _labels(picture: Picture, objects: list[list[Outline]]) -> Array:
    """uint8 (H, W): 0, the label of the only object at a pixel, or 255."""
    # Column after column, as COCO's run lengths go.
    shape = picture[0].width, picture[0].height
    labels, unclear = np.zeros(shape, np.uint8), np.zeros(shape, bool)
    for label, outlines in enumerate(objects, start=1):
        for outline in outlines:
            mask = _drawn(outline, shape)
            # Instances of one category may overlap where classes are the labels.
            unclear |= mask & (labels != 0) & (labels != label)
            labels[mask] = label
    for outline in picture[1]:
        if outline.crowd:
            unclear |= _drawn(outline, shape)
        if outline.box is not None:
            x, y, width, height = outline.box
            left, top = max(0, math.floor(x)), max(0, math.floor(y))
            unclear[left : math.ceil(x + width), top : math.ceil(y + height)] = True
    labels[unclear] = NOT_LABELLED
    return labels.T


def _drawn(outline: Outline, shape: tuple[int, int]) -> Array:
    """The pixels of an outline, bool (W, H)."""
    return np.repeat(np.arange(len(outline.counts)) % 2 == 1, outline.counts).reshape(shape)


def _files(root: Path) -> dict[str, tuple[str, Path]]:
    """Split -> its folder of images, and its annotations."""
    found: dict[str, tuple[str, Path]] = {}
    for folder in sorted(root.iterdir()):
        split = split_called(folder.name)
        if split in SPLITS and (folder / EXPORTED).is_file():
            if split in found:
                both = f"{found[split][0]} and {folder.name}"
                raise UserError(f"--from {root}: {both} are both {split}.")
            found[split] = folder.name, folder / EXPORTED
    if not found:
        listed = root / "annotations"
        return {key: (name, listed / f"instances_{name}.json") for key, name in FOLDERS.items()}
    for split in ("train", "val"):
        if split not in found:
            raise UserError(
                f"--from {root}: no folder is the {split} split.",
                f"Expected {EXPECTED}: train, val (or valid), and test where there is one.",
            )
    return {split: found[split] for split in SPLITS if split in found}
