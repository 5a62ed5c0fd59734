"""Every importer and every rendered dataset, killed at ten moments, ends as a quiet run does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.datasets import originals, originals_coco, originals_movi, originals_shapestacks
from tests.datasets.killed import same_after_ten_kills
from tests.datasets.originals_clevr_zip import write_clevr
from tests.datasets.originals_images import grey, rgb
from tests.datasets.test_folder import squares, table

RECORDS = 40


def clevr(root: Path) -> Path:
    records = [originals.clevr_record(index, 3 + index) for index in range(4)]
    return originals.write(root / "clevr_with_masks_train.tfrecords", records * (RECORDS // 4))


def clevr_zip(root: Path) -> Path:
    return write_clevr(root / "CLEVR_v1.0.zip", [3, 4, 5, 9] * 7, [3, 6, 7] * 4)


def multi_dsprites(root: Path) -> Path:
    records = [originals.sprites_record(index) for index in range(RECORDS)]
    return originals.write(root / "multi_dsprites_colored_on_grayscale.tfrecords", records)


def tetrominoes(root: Path) -> Path:
    records = [originals.tetrominoes_record(index) for index in range(RECORDS)]
    return originals.write(root / "tetrominoes_train.tfrecords", records)


def objects_room(root: Path) -> Path:
    for name, entities, objects in (
        ("train", 7, 3), ("test_empty_room", 4, 0), ("test_six_objects", 10, 6),
        ("test_identical_color", 10, 5),
    ):  # fmt: skip
        count = RECORDS // 2 if name == "train" else 7
        records = [originals.room_record(index, objects, entities) for index in range(count)]
        originals.write(root / f"objects_room_{name}.tfrecords", records)
    return root


def folder(root: Path) -> Path:
    for index in range(RECORDS):
        image, labels = squares(index)
        (root / f"{index:02d}.png").write_bytes(rgb(image))
        (root / f"{index:02d}_mask.png").write_bytes(grey(labels))
    (root / "properties.csv").write_text(table(RECORDS))
    return root


def coco(root: Path) -> Path:
    parts = originals_coco.documents()
    originals_coco.write(root, parts)
    for id_ in range(100, 100 + RECORDS):
        item = originals_coco.image(id_)
        parts["train2017"]["images"].append(item)
        parts["train2017"]["annotations"].append(originals_coco.annotation(1000 + id_, id_, 1))
        (root / "train2017" / item["file_name"]).write_bytes(originals_coco.pixels(id_))
    return originals_coco.write(root, parts)


def shapestacks(root: Path) -> Path:
    more = [originals_shapestacks.tower(3, index) for index in range(100, 115)]
    towers = originals_shapestacks.TOWERS
    return originals_shapestacks.write(root, towers={**towers, "test": [*towers["test"], *more]})


def movi(root: Path) -> Path:
    return originals_movi.write(root, sizes={"train": (10, 10), "validation": (8,)})


ORIGINALS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "clevr-tfrecord": ("clevr", clevr), "clevr-zip": ("clevr", clevr_zip),
    "multi-dsprites": ("multi-dsprites", multi_dsprites),
    "tetrominoes": ("tetrominoes", tetrominoes), "objects-room": ("objects-room", objects_room),
    "folder": ("folder", folder), "coco": ("coco", coco), "movi": ("movi", movi),
    "shapestacks": ("shapestacks", shapestacks),
}  # fmt: skip
RENDERED = ("clevr", "multi-dsprites", "multi-dsprites-video", "tetrominoes", "objects-room")


@pytest.mark.slow
@pytest.mark.parametrize("case", ORIGINALS)
def test_an_import_that_is_killed_ten_times(case: str, tmp_path: Path) -> None:
    name, make = ORIGINALS[case]
    root = tmp_path / "source"
    root.mkdir()
    same_after_ten_kills(name, tmp_path, make(root))


@pytest.mark.slow
@pytest.mark.parametrize("name", RENDERED)
def test_rendering_that_is_killed_ten_times(name: str, tmp_path: Path) -> None:
    same_after_ten_kills(name, tmp_path)
