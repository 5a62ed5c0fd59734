"""CLEVR: scenes of the published recipe, rendered with Mitsuba, or original files.

Object counts, placement, margins, colours, materials, sizes, camera and light jitter are those of
the CLEVR generator (Johnson et al. 2017, arXiv 1612.06890). The frame is the 192x192 crop of the
320x240 image that the object-centric literature uses (rows 29:221, columns 64:256). One thing
differs, because the crop cuts off the sides: the centre of every object is in the crop, and so are
its 200 visible pixels.

The original files are the TFRecords with masks of multi_object_datasets, or ``CLEVR_v1.0.zip``: its
images have properties, but no masks. Its test images have no scenes and are left out. Images have
480x320 pixels as published, or 320x240, the generator's default.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Layout, categorical
from slotbench.datasets.originals.archives import Zip, is_zip
from slotbench.datasets.originals.images import read_image, resize
from slotbench.datasets.originals.importing import Importer, json_items
from slotbench.datasets.originals.multi_object import MULTI_OBJECT, Format, MultiObjectImporter
from slotbench.datasets.originals.scenes import properties_of, read_objects, store
from slotbench.datasets.originals.tfrecord import RecordFile
from slotbench.datasets.render import clevr_scene as scenes
from slotbench.datasets.render.clevr_scene import SIZES, Scene
from slotbench.datasets.render.placement import POINTED, Thing
from slotbench.datasets.render.rendered import RenderedDataset
from slotbench.datasets.render.textures import PATTERNS
from slotbench.errors import UserError
from slotbench.files import sha256_of
from slotbench.progress import say
from slotbench.registry import register

COUNTS = {"clevr6": (3, 6), "clevr10": (3, 10)}
HEIGHT = 240
"""Rows of the frame of pixel coordinates."""
PICTURES = ((240, 320, 3), (320, 480, 3))
CROP = (29, 221, 64, 256)
"""Top, bottom, left and right in 240x320."""
FOCAL = 160 * 35 / 16
"""Pixels: a 35 mm lens on a 32 mm sensor of 320 columns."""
CLASSES = {"shape": scenes.SHAPES, "color": tuple(scenes.COLORS)}
CLASSES |= {"material": scenes.MATERIALS, "size": tuple(SIZES)}
MOST_IMAGE = 4 << 20
"""Bytes of a PNG; CLEVR's have 200,000."""
ADVICE = "Is this CLEVR_v1.0.zip, whole and unchanged?"
ZIP_SPLITS = ("train", "val")


@register("datasets")
class Clevr(RenderedDataset):
    """CLEVR with masks; ``clevr6`` keeps scenes with at most six objects."""

    summary = "3-D scenes of 3 to 10 simple objects, rendered or imported"
    source = "Johnson et al. 2017, arXiv 1612.06890; masks: multi_object_datasets"
    name = "clevr"
    variants = ("clevr6", "clevr10")
    licence = "rendered scenes: CC0; original files: CC BY 4.0 (CLEVR), Apache 2.0 (masks)"
    published = (f"{MULTI_OBJECT}/clevr_with_masks/clevr_with_masks_train.tfrecords",)
    drawn_shifts = ("crop", "object_color", "object_shape", "object_style", "num_objects")
    # As in Dittadi et al.: the usual gray is CLEVR's floor.
    occluder = 51
    renderer = "slotbench.datasets.render.clevr_render:ClevrRenderer"
    more = (7, 10)

    @property
    def layout(self) -> Layout:
        properties = (*categorical(CLASSES), *scenes.numbers_of("degrees, [0, 360)"))
        return Layout(self.image_size, self.image_size, COUNTS[self.variant][1], properties)

    def without(self, origin: str) -> dict[str, str]:
        reason = ""
        if self.variant == "clevr10":
            reason = "its training scenes have up to ten objects already; clevr:clevr6 can have it"
        elif origin != "rendered":
            reason = "scenes of more objects are in the original file, and clevr:clevr10 has them"
        return {"num_objects": reason} if reason else {}

    def counts(self, split: str) -> tuple[int, int]:  # noqa: ARG002
        return COUNTS[self.variant]

    def sample(self, split: str, count: int, generator: np.random.Generator) -> Scene:  # noqa: ARG002
        return scenes.sample_scene(count, generator)

    def vary(self, shift: str, thing: Thing, generator: np.random.Generator) -> Thing:
        if shift == "object_color":
            return replace(thing, color=str(generator.choice(list(scenes.NEW_COLORS))))
        if shift == "object_style":
            return replace(thing, style=str(generator.choice(PATTERNS)))
        # Place and height stay; no shape is wider than its size says.
        return replace(thing, shape=str(generator.choice(POINTED)), radius=SIZES[str(thing.size)])

    def add(self, scene: Scene, count: int, generator: np.random.Generator) -> Scene | None:
        return scenes.fill(scene, count, generator)

    def values(self, scene: Scene, thing: Thing) -> dict[str, Any]:
        return scenes.values(scene, thing, self.image_size, scenes.ROW_OFFSET)

    def provenance(self, source: Path) -> dict[str, str]:
        return {"original": "CLEVR_v1.0, without masks" if is_zip(source) else "clevr_with_masks"}

    def importer(self, path: Path) -> Importer:
        """The zip, or the TFRecords, cropped, whose classes are called by their codes."""
        if is_zip(path):
            return ClevrZipImporter(path, self.variant, self.image_size)
        codes = {"shape": 3, "color": 8, "material": 2, "size": 2}
        classes = {
            name: tuple(f"{name}-{code}" for code in range(1, count + 1))
            for name, count in codes.items()
        }
        form = Format(
            image=(240, 320, 3),
            entities=11,
            crop=(slice(*CROP[:2]), slice(*CROP[2:])),
            bytes_keys=dict.fromkeys(codes, 1),
            float_keys={"x": 1, "y": 1, "z": 1, "rotation": 1, "visibility": 1, "pixel_coords": 3},
        )
        properties = properties_of(classes, "degrees, [0, 360)")
        layout = Layout(self.image_size, self.image_size, COUNTS[self.variant][1], properties)
        return MultiObjectImporter(layout, {RecordFile(path): form})


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
            raise UserError(f"{path}: it holds {len(roots)} files {ending}.", ADVICE)
        self.root = roots[0]
        size, properties = image_size, properties_of(CLASSES, "degrees, [0, 360)")
        folders = tuple(f"{self.root}images/{split}/" for split in ZIP_SPLITS)
        images = sum(name.startswith(folders) for name in names)
        super().__init__(Layout(size, size, COUNTS[variant][1], properties), images)

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
            for split in ZIP_SPLITS:
                for name, objects in self._scenes(source, split):
                    self._train += split == "train"
                    yield partial(self._row, source, name, objects)

    def _scenes(self, source: Zip, split: str) -> Iterator[tuple[str, dict[str, Array]]]:
        """(name of the image, its objects' properties) of every scene, in the file's order."""
        file = f"{self.root}scenes/CLEVR_{split}_scenes.json"
        member = f"{self.path}, member {file}"
        for place, scene in enumerate(json_items(source.open(file), "scenes", member, ADVICE)):
            where = f"{member}, scene {place}"
            objects = read_objects(scene, CLASSES, where, ADVICE)
            if (objects["pixel_coords"][:, 2] <= 0).any():
                raise UserError(f"{where}: 'pixel_coords' has no positive depth.", ADVICE)
            image = scene.get("image_filename")
            if not isinstance(image, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", image):
                raise UserError(f"{where}: 'image_filename' is not a file name.", ADVICE)
            name = f"{self.root}images/{split}/{image}"
            if name not in self._names:
                raise UserError(f"{where}: there is no image {name}.", ADVICE)
            yield name, objects

    def _row(self, source: Zip, name: str, objects: dict[str, Array]) -> Batch | None:
        layout, count = self.layout, len(objects["shape"])
        if count > layout.objects:
            return None
        where = f"{self.path}, member {name}"
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
    """Whether each object, taken as a circle, reaches into the crop, bool (n,)."""
    x, y, depth = objects["pixel_coords"].T
    radius = np.array(list(SIZES.values()))[objects["size"]] * FOCAL / depth
    top, bottom, left, right = CROP
    beside = (x + radius <= left) | (x - radius >= right)
    within: Array = ~(beside | (y + radius <= top) | (y - radius >= bottom))
    return within
