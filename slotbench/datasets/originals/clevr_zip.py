"""Importer of ``CLEVR_v1.0.zip``: images and the properties of their objects, without masks.

Johnson et al. 2017, arXiv 1612.06890. The test images of the archive have no scenes, so they are
left out. No pixel is labelled: segmentation cannot be scored. Pictures have 480x320 pixels as
published, or 320x240, the generator's default. Both are cropped to the frame of the TFRecords.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Layout
from slotbench.datasets.originals.archives import Zip
from slotbench.datasets.originals.images import read_image, resize
from slotbench.datasets.originals.importing import Importer, shown
from slotbench.datasets.originals.jsons import json_items
from slotbench.datasets.originals.scenes import MOST_OBJECTS, properties_of, read_objects, store
from slotbench.datasets.render.clevr_scene import COLORS, MATERIALS, SHAPES, SIZES
from slotbench.errors import UserError
from slotbench.files import sha256_of
from slotbench.progress import say

HEIGHT = 240
"""Rows that pixel coordinates refer to; larger pictures are scaled to it."""
PICTURES = ((240, 320, 3), (320, 480, 3))
CROP = (29, 221, 64, 256)
"""Top, bottom, left, right of 240x320, as of the TFRecords."""
FOCAL = 160 * 35 / 16
"""Pixels: a 35 mm lens on a 32 mm sensor of 320 columns."""
CLASSES = {"shape": SHAPES, "color": tuple(COLORS), "material": MATERIALS, "size": tuple(SIZES)}
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
        self.path, self._train = path, 0  # scenes of train
        with path.open("rb") as stream:
            names = self._names = frozenset(Zip(path, stream).names)
        ending = "scenes/CLEVR_train_scenes.json"
        roots = [name.removesuffix(ending) for name in names if name.endswith(ending)]
        if len(roots) != 1:
            raise UserError(f"{shown(path)}: it holds {len(roots)} files {ending}.", ADVICE)
        self.root = roots[0]
        objects = 6 if variant == "clevr6" else MOST_OBJECTS
        size, properties = image_size, properties_of(CLASSES, "degrees, [0, 360)")
        folders = tuple(f"{self.root}images/{split}/" for split in SPLITS)
        images = sum(name.startswith(folders) for name in names)
        super().__init__(Layout(size, size, objects, properties), images)

    def paths(self) -> Iterable[Path]:
        return [self.path]

    def sources(self) -> list[dict[str, str]]:
        say(f"Computing the checksum of {self.path.name} ...")
        return [{"file": self.path.name, "sha256": sha256_of(self.path)}]

    def splits(self, records: int) -> dict[str, tuple[int, int]]:
        train = self._train
        half = train + (records - train) // 2
        return {"train": (0, train), "val": (train, half), "test": (half, records)}

    def rows(self) -> Iterator[Callable[[], Batch | None]]:
        self._train = 0
        with self.path.open("rb") as stream:
            source = Zip(self.path, stream)
            for split in SPLITS:
                for name, objects in self._scenes(source, split):
                    self._train += split == "train"
                    yield partial(self._row, source, name, objects)

    def _scenes(self, source: Zip, split: str) -> Iterator[tuple[str, dict[str, Array]]]:
        """(name of the image, its objects' properties) of every scene, in the file's order."""
        file = f"{self.root}scenes/CLEVR_{split}_scenes.json"
        member, place = f"{shown(self.path)}, member {shown(file)}", -1
        try:
            for place, scene in enumerate(json_items(source.open(file), "scenes")):
                where = f"{member}, scene {place}"
                objects = read_objects(scene, CLASSES, where, ADVICE)
                if (objects["pixel_coords"][:, 2] <= 0).any():
                    raise UserError(f"{where}: 'pixel_coords' has no positive depth.", ADVICE)
                image = scene.get("image_filename")
                if not isinstance(image, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", image):
                    raise UserError(f"{where}: 'image_filename' is no name of a file.", ADVICE)
                name = f"{self.root}images/{split}/{image}"
                if name not in self._names:
                    raise UserError(f"{where}: there is no image {name}.", ADVICE)
                yield name, objects
        except ValueError as error:
            raise UserError(f"{member}: this is no JSON of scenes ({error}).", ADVICE) from error
        if place < 0:
            raise UserError(f"{member}: it has no list 'scenes', or an empty one.", ADVICE)

    def _row(self, source: Zip, name: str, objects: dict[str, Array]) -> Batch | None:
        layout, count = self.layout, len(objects["shape"])
        if count > layout.objects:
            return None
        where = f"{shown(self.path)}, member {shown(name)}"
        image = read_image(source.read(name, MOST_IMAGE), where)
        if image.shape not in PICTURES:
            size = "x".join(map(str, image.shape[1::-1]))
            raise UserError(f"{where}: {size} pixels, expected 480x320 or 320x240.", ADVICE)
        scale = image.shape[0] / HEIGHT
        top, bottom, left, right = (round(scale * edge) for edge in CROP)
        objects["pixel_coords"][:, :2] /= scale
        batch = layout.empty(1)
        cropped = image[top:bottom, left:right]
        batch["image"][0] = resize(cropped, (layout.width, layout.height), "average")
        batch["mask"][0] = NOT_LABELLED
        batch["visible"][0, :count] = _in_crop(objects)
        store(objects, batch)
        return batch


def _in_crop(objects: dict[str, Array]) -> Array:
    """Whether each object reaches into the crop, its outline taken for a circle: bool (n,)."""
    x, y, depth = objects["pixel_coords"].T
    radius = np.array(list(SIZES.values()))[objects["size"]] * FOCAL / depth
    top, bottom, left, right = CROP
    beside = (x + radius <= left) | (x - radius >= right)
    within: Array = ~(beside | (y + radius <= top) | (y - radius >= bottom))
    return within
