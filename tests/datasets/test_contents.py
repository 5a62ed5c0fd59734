"""Every importer: what it stores of an image is what the image's own files hold."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.results import verify
from tests.datasets import (
    originals,
    originals_clevr_zip,
    originals_clevrtex,
    originals_movi,
    originals_shapestacks,
    sources,
)
from tests.datasets.contents import Held, assert_held
from tests.datasets.test_folder import held as of_folder

OBJECTS = [3, 7, 4, 6, 10, 5, 3, 4, 5, 6]
"""Of the records of CLEVR, and of the scenes of its zip."""
CLIPS = originals_movi.SIZES | {"test": (2,)}


class Content(NamedTuple):
    """A source in an original format, and what every split of it holds."""

    name: str
    variant: str | None
    size: int
    """At which nothing is resized."""
    write: Callable[[Path], Path]
    splits: Mapping[str, Sequence[Held]]
    rule: str
    """Words of the rule by which splits are made."""


def shared(items):
    """Ten records by their order: 70, 15 and 15 %."""
    return {"train": items[:7], "val": items[7:8], "test": items[8:]}


def kept(held, most):
    """Splits without the scenes of more objects."""
    enough = zip(held, OBJECTS, strict=True)
    marked = shared([each if count <= most else None for each, count in enough])
    return {split: [each for each in part if each] for split, part in marked.items()}


def records(name, made):
    return lambda root: originals.write(root / f"{name}.tfrecords", made())


def clevr(variant, most):
    made = [(index, count) for index, count in enumerate(OBJECTS)]
    write = records("clevr", lambda: [originals.clevr_record(*each) for each in made])
    splits = kept([originals.clevr_held(*each) for each in made], most)
    return Content("clevr", variant, 192, write, splits, "val: records 7 to 7")


def clevr_zip(variant, most):
    """Its val is halved."""
    write = partial(originals_clevr_zip.write_clevr, train=OBJECTS[:7], val=OBJECTS[7:])
    held = [originals_clevr_zip.held("train", k, n, most) for k, n in enumerate(OBJECTS[:7])]
    held += [originals_clevr_zip.held("val", k, n, most) for k, n in enumerate(OBJECTS[7:])]
    splits, rule = kept(held, most), "its own test images have no scenes"
    return Content("clevr", variant, 192, lambda root: write(root / "a.zip"), splits, rule)


def sprites(variant):
    kind = (2, *originals.SPRITES[variant])
    write = records("sprites", lambda: [originals.sprites_record(k, *kind) for k in range(10)])
    splits = shared([originals.sprites_held(k, *kind) for k in range(10)])
    return Content("multi-dsprites", variant, 64, write, splits, "test: records 8 to 9")


def tetrominoes():
    write = records("tetrominoes", lambda: list(map(originals.tetrominoes_record, range(10))))
    splits = shared(list(map(originals.tetrominoes_held, range(10))))
    return Content("tetrominoes", None, 32, write, splits, "test: records 8 to 9")


def objects_room():
    """The first file is shared out; each other one is a split."""
    splits = {}
    for group, (objects, _) in sources.ROOMS.items():
        count = 10 if group == "train" else 4
        held = [originals.room_held(k, objects, 1 + k % 2) for k in range(count)]
        splits |= shared(held) if group == "train" else {group.replace("_", "-", 1): held}
    write = partial(sources.objects_room, images=10)
    rule = "then all of objects_room_test_empty_room.tfrecords"
    return Content("objects-room", None, 64, write, splits, rule)


def clevrtex(variant):
    write = partial(originals_clevrtex.write, variant=variant)
    held = [originals_clevrtex.held(variant, index) for index in range(20)]
    splits = {"test": held[:2], "val": held[2:4], "train": held[4:]}
    return Content("clevrtex", variant, 24, write, splits, "first 10 % test")


def shapestacks():
    splits, index = {}, 0
    for name, towers in originals_shapestacks.TOWERS.items():
        split = {"eval": "val"}.get(name, name)
        splits[split] = []
        for tower in towers:
            index += 1
            splits[split] += originals_shapestacks.held(tower, index)
    write = originals_shapestacks.write
    return Content("shapestacks", None, 28, write, splits, "splits/default")


def movi(variant):
    """The first shards are train without its last 5 %, TFDS's test is there where it is written."""
    sizes = CLIPS if variant == "c" else originals_movi.SIZES
    held = [originals_movi.held(variant, k) for k in range(sum(map(sum, sizes.values())))]
    splits = {"train": held[:6], "val": held[6:7], "test": held[7:10]}
    splits |= {"test-held-out": held[10:]} if held[10:] else {}
    write = partial(originals_movi.write, variant=variant, sizes=sizes)
    return Content("movi", variant, 16, write, splits, "val: records 6 to 6, test: records 7 to 9")


def folder():
    splits = shared([of_folder(index) for index in range(10)])
    write = partial(sources.folder, images=10)
    return Content("folder", None, 24, write, splits, "sorted by name")


CONTENTS = {
    "clevr6": partial(clevr, "clevr6", 6),
    "clevr10": partial(clevr, "clevr10", 10),
    "zip, clevr6": partial(clevr_zip, "clevr6", 6),
    "zip, clevr10": partial(clevr_zip, "clevr10", 10),
    **{f"sprites, {variant}": partial(sprites, variant) for variant in originals.SPRITES},
    "tetrominoes": tetrominoes,
    "objects room": objects_room,
    **{f"clevrtex, {variant}": partial(clevrtex, variant) for variant in ("full", "vbg", "outd")},
    "shapestacks": shapestacks,
    **{f"movi, {variant}": partial(movi, variant) for variant in "ace"},
    "folder": folder,
}


@pytest.mark.parametrize("case", CONTENTS)
def test_a_prepared_file_holds_what_its_source_holds(case, tmp_path):
    content = CONTENTS[case]()
    (tmp_path / "source").mkdir()
    source, data = content.write(tmp_path / "source"), tmp_path / "data"
    path = prepare(Request(content.name, content.variant, source, content.size, data_dir=data))
    verify.dataset(path)
    with DatasetFile(path) as dataset:
        assert content.rule in dataset.attributes["split_rule"]
        assert set(dataset.splits) == set(content.splits)
        for split, held in content.splits.items():
            batch = dataset.read_rows(split)
            assert len(batch["image"]) == len(held)
            for row, each in enumerate(held):
                assert_held(batch, row, each, dataset.layout)
