import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.parts import join
from slotbench.errors import UserError
from slotbench.results import verify
from tests.conftest import LAYOUT, blocks_batch


@pytest.fixture
def copy(blocks: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(blocks / "clevr.h5", tmp_path / "clevr.h5"))


def test_what_is_written_is_read_back(blocks: Path) -> None:
    expected = blocks_batch(48, 0)
    with DatasetFile(blocks / "clevr.h5") as dataset:
        found = dataset.read("train")
        assert dataset.layout == LAYOUT
        assert dataset.reference == "clevr:clevr6"
    assert set(found) == set(expected)
    for key, array in expected.items():
        assert found[key].dtype == array.dtype
        np.testing.assert_array_equal(found[key], array)


def test_the_fingerprint_is_of_the_content_and_not_of_its_batches(tmp_path: Path) -> None:
    attributes = {"name": "x"}
    whole, again = blocks_batch(10, 0), blocks_batch(10, 0)
    pieces = [{key: array[lo:hi] for key, array in again.items()} for lo, hi in ((0, 3), (3, 10))]
    one = join(tmp_path / "a.h5", LAYOUT, {"train": [whole]}, attributes)
    two = join(tmp_path / "b.h5", LAYOUT, {"train": pieces}, attributes)
    again["mask"][0, 0, 0] ^= 1
    assert one == two
    assert join(tmp_path / "c.h5", LAYOUT, {"train": [again]}, attributes) != one


def test_a_batch_that_breaks_the_layout_leaves_no_file(tmp_path: Path) -> None:
    batch = blocks_batch(2, 0)
    batch["mask"] = batch["mask"].astype(np.int64)
    with pytest.raises(ValueError, match="mask: int64"):
        join(tmp_path / "a.h5", LAYOUT, {"train": [batch]}, {})
    assert list(tmp_path.iterdir()) == []


def change(path: Path, edit: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)


def set_pixel(file: h5py.File, key: str, index: object, value: object) -> None:
    file[key][index] = value


DAMAGES: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "newer": (lambda file: file.attrs.modify("schema", 99), "schema 99 is newer"),
    "unsigned": (lambda file: file.attrs.__delitem__("origin"), "'origin' is missing"),
    "no split": (lambda file: file.__delitem__("val"), "split 'val' is missing"),
    "no array": (lambda file: file.__delitem__("val/mask"), "val/mask is missing"),
    "short": (lambda file: file["train/mask"].resize(3, axis=0), "train/mask is uint8"),
    "pixel": (lambda file: set_pixel(file, "train/image", (0, 0, 0, 0), 1), "fingerprint"),
    "label": (lambda file: set_pixel(file, "train/mask", (0, 0, 0), 9), "label 9"),
    "hidden": (lambda file: set_pixel(file, "train/visible", (0, 0), False), "visible"),
    "class": (lambda file: set_pixel(file, "train/property/color", (0, 0), 7), "outside 0 to 2"),
    "number": (
        lambda file: set_pixel(file, "train/property/position", (0, 0), np.nan),
        "not finite",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(copy: Path, damage: str) -> None:
    edit, message = DAMAGES[damage]
    change(copy, edit)
    with pytest.raises(UserError, match=message) as caught:
        verify.dataset(copy)
    assert str(copy) in str(caught.value)


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_a_truncated_file_is_named(copy: Path, keep: int) -> None:
    copy.write_bytes(copy.read_bytes()[:keep])
    with pytest.raises(UserError, match="truncated"):
        DatasetFile(copy)
