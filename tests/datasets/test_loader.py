from pathlib import Path

import numpy as np
import pytest

from slotbench.datasets import loader as module
from slotbench.datasets.loader import Loader, images_on
from slotbench.datasets.schema import DatasetFile
from slotbench.errors import UserError
from tests.conftest import blocks_batch, write_blocks


@pytest.fixture
def numbered(tmp_path: Path) -> DatasetFile:
    """100 training images; image i holds the number i in its first pixel."""
    path = write_blocks(tmp_path / "n.h5", train=100)
    import h5py

    with h5py.File(path, "r+") as file:
        file["train/image"][:, 0, 0, 0] = np.arange(100)
    return DatasetFile(path)


def order(loader: Loader, steps: range) -> list[int]:
    return [int(n) for step in steps for n in loader.batch(step)["image"][:, 0, 0, 0]]


def test_an_epoch_shows_every_image_once(numbered: DatasetFile) -> None:
    loader = Loader(numbered, "train", 10, seed=0)
    first, second = order(loader, range(10)), order(loader, range(10, 20))
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second


def test_the_remainder_of_an_epoch_is_dropped(numbered: DatasetFile) -> None:
    loader = Loader(numbered, "train", 30, seed=0)
    assert loader.batches_per_epoch == 3
    assert len(set(order(loader, range(3)))) == 90


@pytest.mark.parametrize("batch", [7, 16, 100])
def test_memory_and_file_give_the_same_batches(
    numbered: DatasetFile, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    # Small blocks and windows, so that batches cross their borders.
    monkeypatch.setattr(module, "BLOCK", 8)
    monkeypatch.setattr(module, "WINDOW", 3)
    module._plan.cache_clear()
    keys = ("image", "mask", "property/color")
    memory = Loader(numbered, "train", batch, seed=3, keys=keys)
    file = Loader(numbered, "train", batch, seed=3, keys=keys, memory_budget=0)
    assert memory.in_memory
    assert not file.in_memory
    for step in (0, 1, 5, 2, 40):
        one, two = memory.batch(step), file.batch(step)
        for key in keys:
            np.testing.assert_array_equal(one[key], two[key])
    assert sorted(memory.order(0)) == list(range(100))
    module._plan.cache_clear()


def test_a_step_is_the_same_whatever_came_before(numbered: DatasetFile) -> None:
    one, two = Loader(numbered, "train", 8, seed=0), Loader(numbered, "train", 8, seed=0)
    for step in range(20):
        one.batch(step)
    np.testing.assert_array_equal(one.batch(33)["image"], two.batch(33)["image"])


def test_seeds_differ(numbered: DatasetFile) -> None:
    one, two = (Loader(numbered, "train", 8, seed=seed) for seed in (0, 1))
    assert order(one, range(4)) != order(two, range(4))


def test_a_batch_larger_than_the_split_says_what_to_type(numbered: DatasetFile) -> None:
    with pytest.raises(UserError, match=r"--set train\.batch_size=100"):
        Loader(numbered, "train", 101, seed=0)


def test_images_become_numbers_from_0_to_1() -> None:
    import torch

    batch = blocks_batch(2, 0)
    images = images_on(batch, torch.device("cpu"))
    assert images.shape == (2, 3, 32, 32)
    expected = batch["image"].astype(np.float32).transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(images.numpy(), expected, rtol=1e-6)
