"""Small original files of every dataset, and what their prepared datasets must hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from tests.datasets import (
    originals,
    originals_clevr_zip,
    originals_clevrtex,
    originals_coco,
    originals_movi,
    originals_shapestacks,
)
from tests.datasets.contents import Held
from tests.datasets.originals_images import grey, rgb
from tests.datasets.test_folder import held as of_folder
from tests.datasets.test_folder import squares, table

OBJECTS = 4 * (3, 7, 4, 6, 10, 5, 3, 4, 5, 6)
"""Of the records of CLEVR, and of the scenes of its zip; ten counts over and over."""
ROOMS = {"train": (3, 7), "test_empty_room": (0, 4)}
ROOMS |= {"test_six_objects": (6, 10), "test_identical_color": (5, 10)}
"""File -> objects, entities. In every other record one half of the wall is in sight."""


@dataclass(frozen=True)
class Source:
    """Original files of a dataset, and what every split of them holds."""

    name: str
    variant: str | None
    size: int
    """At which nothing is resized."""
    make: Callable[[Path, int], Path]
    """Writes so many images below a folder; returns what to read."""
    splits: Mapping[str, Sequence[Held]]
    """Of ten images."""
    rule: str
    """Words of the rule by which splits are made."""
    apart: int = 0
    """How much a pixel may differ: a JPEG's do."""
    images: int = 40
    """As few as make three splits of a batch each."""
    masks: bool = True

    def written(self, root, images=None):
        root.mkdir()
        return self.make(root, images or self.images)


def shared(items):
    """Ten records by their order: 70, 15 and 15 %."""
    return {"train": items[:7], "val": items[7:8], "test": items[8:]}


def kept(held, counts, most):
    """Splits without the scenes of more objects."""
    enough = zip(held, counts, strict=False)
    marked = shared([each if count <= most else None for each, count in enough])
    return {split: [each for each in part if each] for split, part in marked.items()}


def records(name, variant, size, form, counts, most=10):
    """TFRecords of one form: ten records with so many objects each, over and over."""
    record = cache(lambda index: originals.record(form, index, counts[index]))

    def write(root, images):
        return originals.write(root / "x.tfrecords", [record(n % 10) for n in range(images)])

    held = [originals.held(form, index, counts[index]) for index in range(10)]
    return Source(name, variant, size, write, kept(held, counts, most), "val: records 7 to 7")


def sprites(variant):
    return records("multi-dsprites", variant, 64, originals.SPRITES[variant], 10 * [2])


def clevr_zip(variant, most):
    """Its val is halved."""

    def write(root, images):
        train = 7 * images // 10
        counts = OBJECTS[:train], OBJECTS[train:images]
        return originals_clevr_zip.write_clevr(root / "CLEVR_v1.0.zip", *counts)

    held = [
        originals_clevr_zip.held(split, k, n, most)
        for split, counts in (("train", OBJECTS[:7]), ("val", OBJECTS[7:10]))
        for k, n in enumerate(counts)
    ]
    rule = "its own test images have no scenes"
    return Source("clevr", variant, 192, write, kept(held, OBJECTS, most), rule, masks=False)


def write_rooms(root, images):
    """``images`` records for training, four of each other file."""
    for name, kind in ROOMS.items():
        indices = range(images if name == "train" else 4)
        rooms = [originals.room_record(index, *kind, 1 + index % 2) for index in indices]
        originals.write(root / f"objects_room_{name}.tfrecords", rooms)
    return root


def objects_room():
    """The first file is shared out; each other one is a split."""
    splits = {}
    for group, (objects, _) in ROOMS.items():
        count = 10 if group == "train" else 4
        held = [originals.room_held(k, objects, 1 + k % 2) for k in range(count)]
        splits |= shared(held) if group == "train" else {group.replace("_", "-", 1): held}
    rule = "then all of objects_room_test_empty_room.tfrecords"
    return Source("objects-room", None, 64, write_rooms, splits, rule)


def clevrtex(variant):
    def write(root, images):
        return originals_clevrtex.write(root, variant, images)

    held = [originals_clevrtex.held(variant, index) for index in range(10)]
    splits = {"test": held[:1], "val": held[1:2], "train": held[2:]}
    return Source("clevrtex", variant, 24, write, splits, "first 10 % test")


def write_towers(root, images):
    """The towers of the tests, and more than ten images of others."""
    cameras, towers = len(originals_shapestacks.CAMERAS), dict(originals_shapestacks.TOWERS)
    for start, split, share in ((100, "train", 1), (200, "eval", 8), (300, "test", 8)):
        more = range(start, start + (images - 10) // cameras // share)
        towers[split] = [*towers[split], *(originals_shapestacks.tower(3, n) for n in more)]
    return originals_shapestacks.write(root, towers=towers)


def shapestacks():
    splits, index = {}, 0
    for name, towers in originals_shapestacks.TOWERS.items():
        split = {"eval": "val"}.get(name, name)
        splits[split] = []
        for tower in towers:
            index += 1
            splits[split] += originals_shapestacks.held(tower, index)
    return Source("shapestacks", None, 28, write_towers, splits, "splits/default")


def movi(variant):
    """TFDS's train is train without its last 5 %; its test is there where it is written."""

    def write(root, images):
        train = images * 3 // 10, images * 4 // 10
        sizes = {"train": train, "validation": (images // 3,)}
        sizes |= {"test": (2,)} if variant == "c" else {}
        return originals_movi.write(root, variant, sizes)

    held = [originals_movi.held(variant, index) for index in range(12)]
    splits = {"train": held[:6], "val": held[6:7], "test": held[7:10]}
    splits |= {"test-held-out": held[10:]} if variant == "c" else {}
    rule = "last 5 % is train, these are val"
    return Source("movi", variant, originals_movi.SIDE, write, splits, rule, images=5)


def coco(variant):
    """Images by their ids; every second one of val is test."""

    def write(root, images):
        parts = originals_coco.documents()
        originals_coco.write(root, parts)
        for split, count in (("train2017", images - 10), ("val2017", (images - 10) // 4)):
            for id_ in range(100, 100 + count):
                item = originals_coco.image(id_)
                parts[split]["images"].append(item)
                parts[split]["annotations"].append(originals_coco.annotation(1000 + id_, id_, 1))
                (root / split / item["file_name"]).write_bytes(originals_coco.pixels(id_))
        return originals_coco.write(root, parts)

    ids = {"train": (4, 9, 12, 30), "val": (2, 6, 40), "test": (5, 8)}
    held = partial(originals_coco.held, variant)
    splits = {split: list(map(held, listed)) for split, listed in ids.items()}
    rule = "by image id, the first, third, ... are val"
    return Source("coco", variant, originals_coco.HEIGHT, write, splits, rule, apart=3)


def write_folder(root, images):
    for index in range(images):
        image, labels = squares(index)
        (root / f"{index:02d}.png").write_bytes(rgb(image))
        (root / f"{index:02d}_mask.png").write_bytes(grey(labels))
    (root / "properties.csv").write_text(table(images))
    return root


def folder():
    splits = shared([of_folder(index) for index in range(10)])
    return Source("folder", None, 24, write_folder, splits, "sorted by name")


SOURCES = {
    "clevr": partial(records, "clevr", "clevr6", 192, originals.CLEVR, OBJECTS, 6),
    "clevr-zip": partial(clevr_zip, "clevr10", 10),
    "multi-dsprites": partial(sprites, "colored_on_grayscale"),
    "tetrominoes": partial(records, "tetrominoes", None, 32, originals.TETROMINOES, 10 * [3]),
    "objects-room": objects_room,
    "clevrtex": partial(clevrtex, "full"),
    "shapestacks": shapestacks,
    "movi": partial(movi, "a"),
    "coco": partial(coco, "instances"),
    "folder": folder,
}
VARIANTS = {
    "clevr10": partial(records, "clevr", "clevr10", 192, originals.CLEVR, OBJECTS),
    "clevr-zip, clevr6": partial(clevr_zip, "clevr6", 6),
    **{variant: partial(sprites, variant) for variant in ("colored_on_colored", "binarized")},
    **{f"clevrtex, {variant}": partial(clevrtex, variant) for variant in ("vbg", "outd")},
    **{f"movi, {variant}": partial(movi, variant) for variant in "ce"},
    "coco, classes": partial(coco, "classes"),
}
"""Further variants, whose files differ."""
RENDERED = ("clevr", "multi-dsprites", "multi-dsprites-video")
RENDERED += ("tetrominoes", "objects-room", "clevrtex")
