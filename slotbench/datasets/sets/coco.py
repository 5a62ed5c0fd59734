"""COCO 2017, from its folders: what each pixel shows, by instance or by class.

Lin et al. 2014, arXiv 1405.0312. Crowds, and pixels where two objects overlap, are not labelled:
the annotations do not say which of them is in front.
"""

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from slotbench.datasets.dataset import Importer
from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Layout, Property
from slotbench.datasets.originals.coco_json import (
    Annotation,
    Picture,
    Runs,
    Shape,
    counts_of,
    read_instances,
)
from slotbench.datasets.originals.download import Download
from slotbench.datasets.originals.images import read_image
from slotbench.datasets.originals.tree import OriginalOnly, TreeImporter, folder_at, load, shown
from slotbench.errors import UserError
from slotbench.progress import say
from slotbench.registry import register

FOLDERS = {"train": "train2017", "val": "val2017"}
ADDRESS = "http://images.cocodataset.org"
DOWNLOADS = (
    Download(
        f"{ADDRESS}/zips/train2017.zip", md5="cced6f7f71b7629ddf16f17bbcfab6b2", size=19_336_861_798
    ),
    Download(
        f"{ADDRESS}/zips/val2017.zip", md5="442b8da7639aecaf257c1dceb8ba8c80", size=815_585_330
    ),
    Download(
        f"{ADDRESS}/annotations/annotations_trainval2017.zip",
        md5="f4bbac642086de4f52a3fdda2de5fa2c",
        size=252_907_541,
    ),
)
EXPECTED = "a folder that holds train2017, val2017 and annotations"
MOST_JSON = 2 << 30
"""Bytes; instances_train2017.json has 449 million."""

Draw = Callable[[Shape, Picture], tuple[slice, Array]]


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

    def why_not(self, shift: str, origin: str) -> str:
        if shift == "object_color":
            return "photographs have things of every colour, so that none is new"
        return super().why_not(shift, origin)

    def downloads(self) -> tuple[Download, ...]:
        return DOWNLOADS

    def importer(self, path: Path) -> Importer:
        return CocoImporter(folder_at(path, EXPECTED), self.variant, self.image_size)


class CocoImporter(TreeImporter):
    """Streams train2017, then the images of val2017 at even places, then those at odd ones.

    The annotations are in memory; images are read one at a time. Images are in the order of
    their ids, an image's labels in that of its annotations' ids.
    """

    rule = (
        "train: train2017; of val2017, sorted by image id, the first, third, ... are val, the "
        "second, fourth, ... test"
    )

    def __init__(self, root: Path, variant: str, image_size: int) -> None:
        self.by_class = variant == "classes"
        self._draw = _drawing()
        read = {split: _read(root, folder) for split, folder in FOLDERS.items()}
        (self.categories, train, one), (others, val, two) = read["train"], read["val"]
        if self.categories != others:
            raise UserError(f"--from {shown(root)}: train and val have different categories.")
        self.pictures = [*train, *val[::2], *val[1::2]]
        folders = ["train2017"] * len(train) + ["val2017"] * len(val)
        property_ = Property("category", "categorical", classes=self.categories)
        layout = Layout(image_size, image_size, self._most(), (property_,))
        records = [
            (f"{folder}/{picture.file}",)
            for folder, picture in zip(folders, self.pictures, strict=True)
        ]
        sizes = [("train", len(train)), ("val", len(val[::2])), ("test", len(val[1::2]))]
        super().__init__(root, layout, records, sizes, [one, two])

    def _most(self) -> int:
        """The most objects of an image."""
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
        """The annotations of each object, crowds left out."""
        single = [annotation for annotation in picture.annotations if not annotation.crowd]
        if not self.by_class:
            return [[annotation] for annotation in single]
        present = sorted({annotation.category for annotation in single})
        return [[item for item in single if item.category == code] for code in present]

    def image(self, record: int, contents: list[bytes]) -> tuple[Array, Array | None, Batch]:
        picture, name = self.pictures[record], self.name_of(self.records[record][0])
        image = read_image(contents[0], name)
        if image.shape[:2] != (picture.height, picture.width):
            raise UserError(
                f"{name}: {image.shape[1]}x{image.shape[0]} pixels, but the annotations say "
                f"{picture.width}x{picture.height}."
            )
        objects = self._objects(picture)
        codes = self.layout.empty(1)["property/category"]
        codes[0, : len(objects)] = [annotations[0].category for annotations in objects]
        fitted = self.fitted(name, image, self._labels(picture, objects), 1.0)
        return *fitted, {"property/category": codes}

    def _labels(self, picture: Picture, objects: list[list[Annotation]]) -> Array:
        """uint8 (H, W): 0, the label of the one object at a pixel, or 255."""
        # Column after column, as COCO's run lengths go.
        labels = np.zeros(picture.width * picture.height, np.uint8)
        unclear = np.zeros(labels.shape, bool)
        for label, annotations in enumerate(objects, start=1):
            for annotation in annotations:
                part, mask = self._draw(annotation.shape, picture)
                here = labels[part]
                # Two instances of one category do not overlap in what they are.
                unclear[part] |= mask & (here != 0) & (here != label)
                here[mask] = label
        for annotation in picture.annotations:
            if annotation.crowd:
                part, mask = self._draw(annotation.shape, picture)
                unclear[part] |= mask
        labels[unclear] = NOT_LABELLED
        return labels.reshape(picture.width, picture.height).T


def _read(root: Path, folder: str) -> tuple[tuple[str, ...], list[Picture], dict[str, str]]:
    """Categories, pictures, and the file they are from with its sha256."""
    path = root / "annotations" / f"instances_{folder}.json"
    folder_at(root / folder, EXPECTED)
    data = load(path, shown(path), MOST_JSON)
    if len(data) > 10 << 20:
        say(f"Reading {path.name} ...")
    source = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    return *read_instances(data, shown(path)), source


def _drawing() -> Draw:
    """What draws a shape; :class:`UserError` without pycocotools.

    It gives a range of an image's pixels, column after column, and which of them are the
    shape's; there are none outside of it.
    """
    try:
        module: Any = import_module("pycocotools.mask")
    except ImportError as error:
        raise UserError(
            "coco needs pycocotools, which is not installed.", "Type: pip install 'slotbench[coco]'"
        ) from error

    def draw(shape: Shape, picture: Picture) -> tuple[slice, Array]:
        if isinstance(shape, Runs):
            counts = shape.counts
        elif shape:
            # Its own decode() makes NumPy 2 warn.
            runs = module.frPyObjects(shape, picture.height, picture.width)
            counts = counts_of(module.merge(runs)["counts"])
        else:
            counts = np.zeros(1, np.int64)
        last = len(counts) - len(counts) % 2  # without the 0 at the end
        ones = np.arange(1, last) % 2 == 1
        return slice(counts[0], counts[:last].sum()), np.repeat(ones, counts[1:last])

    return draw
