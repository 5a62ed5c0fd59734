"""A small source in the original format of every dataset, for tests that go through them all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.datasets import (
    originals,
    originals_clevrtex,
    originals_coco,
    originals_movi,
    originals_shapestacks,
)
from tests.datasets.originals_clevr_zip import write_clevr
from tests.datasets.originals_images import grey, rgb
from tests.datasets.test_folder import squares, table


def clevr(root, images):
    few = [originals.clevr_record(index, 3 + index) for index in range(4)]
    records = [few[index % 4] for index in range(images)]
    return originals.write(root / "clevr_with_masks_train.tfrecords", records)


def clevr_zip(root, images):
    counts = [3 + index % 4 for index in range(images)]
    half = images // 2
    return write_clevr(root / "CLEVR_v1.0.zip", counts[:half], counts[half:])


def multi_dsprites(root, images):
    records = [originals.sprites_record(index) for index in range(images)]
    return originals.write(root / "multi_dsprites_colored_on_grayscale.tfrecords", records)


def tetrominoes(root, images):
    records = [originals.tetrominoes_record(index) for index in range(images)]
    return originals.write(root / "tetrominoes_train.tfrecords", records)


ROOMS = {"train": (3, 7), "test_empty_room": (0, 4)}
ROOMS |= {"test_six_objects": (6, 10), "test_identical_color": (5, 10)}
"""File -> objects, entities. In every other record one half of the wall is in sight."""


def objects_room(root, images):
    """``images`` records for training, four of each other file."""
    for name, kind in ROOMS.items():
        indices = range(images if name == "train" else 4)
        records = [originals.room_record(index, *kind, 1 + index % 2) for index in indices]
        originals.write(root / f"objects_room_{name}.tfrecords", records)
    return root


def folder(root, images):
    for index in range(images):
        image, labels = squares(index)
        (root / f"{index:02d}.png").write_bytes(rgb(image))
        (root / f"{index:02d}_mask.png").write_bytes(grey(labels))
    (root / "properties.csv").write_text(table(images))
    return root


def coco(root, images):
    parts = originals_coco.documents()
    originals_coco.write(root, parts)
    for split, count in (("train2017", max(0, images - 10)), ("val2017", images // 4)):
        for id_ in range(100, 100 + count):
            item = originals_coco.image(id_)
            parts[split]["images"].append(item)
            parts[split]["annotations"].append(originals_coco.annotation(1000 + id_, id_, 1))
            (root / split / item["file_name"]).write_bytes(originals_coco.pixels(id_))
    return originals_coco.write(root, parts)


def shapestacks(root, images):
    cameras = len(originals_shapestacks.CAMERAS)
    counts = {"train": images // cameras, "eval": 1 + images // 20, "test": 1 + images // 20}
    towers = {
        split: [originals_shapestacks.tower(3, start + n) for n in range(count)]
        for start, (split, count) in zip((100, 200, 300), counts.items(), strict=True)
    }
    return originals_shapestacks.write(root, towers=towers)


def movi(root, images):
    """As many clips."""
    sizes = {"train": (images // 2, images // 4), "validation": (images // 4,)}
    return originals_movi.write(root, sizes=sizes, side=32)


def clevrtex(root, images):
    return originals_clevrtex.write(root, images=images)


@dataclass(frozen=True)
class Source:
    """What makes the original files of a dataset below a folder, and returns what to read."""

    name: str
    make: Callable[[Path, int], Path]
    images: int = 40
    """As few as make three splits of a batch each."""
    masks: bool = True
    variant: str | None = None

    def written(self, root, images=None):
        root.mkdir()
        return self.make(root, images or self.images)


SOURCES = {
    "clevr": Source("clevr", clevr),
    "clevr-zip": Source("clevr", clevr_zip, masks=False, variant="clevr10"),
    "multi-dsprites": Source("multi-dsprites", multi_dsprites),
    "tetrominoes": Source("tetrominoes", tetrominoes),
    "objects-room": Source("objects-room", objects_room),
    "clevrtex": Source("clevrtex", clevrtex),
    "shapestacks": Source("shapestacks", shapestacks),
    "movi": Source("movi", movi, images=4),
    "coco": Source("coco", coco),
    "folder": Source("folder", folder),
}
RENDERED = ("clevr", "multi-dsprites", "multi-dsprites-video")
RENDERED += ("tetrominoes", "objects-room", "clevrtex")
