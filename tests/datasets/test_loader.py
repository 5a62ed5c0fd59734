import h5py
import numpy as np
import pytest
import torch

from slotbench.datasets.format import loader as module
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import Loader, images_on
from slotbench.errors import UserError
from tests.conftest import blocks_batch, write_blocks


@pytest.fixture
def numbered(tmp_path):
    """100 training images; image i holds the number i in its first pixel."""
    path = write_blocks(tmp_path / "n.h5", train=100)
    with h5py.File(path, "r+") as file:
        file["train/image"][:, 0, 0, 0] = np.arange(100)
    with DatasetFile(path) as dataset:
        yield dataset


@pytest.fixture
def _small_windows(monkeypatch):
    """Small blocks and windows, so that batches cross their borders."""
    monkeypatch.setattr(module, "BLOCK", 8)
    monkeypatch.setattr(module, "WINDOW", 3)
    module._plan.cache_clear()
    yield
    module._plan.cache_clear()


def order(loader, steps):
    return [int(n) for step in steps for n in loader.batch(step)["image"][:, 0, 0, 0]]


def test_an_epoch_shows_every_image_once(numbered):
    loader = Loader(numbered, "train", 10, seed=0)
    first, second = order(loader, range(10)), order(loader, range(10, 20))
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("batch", [7, 16, 100])
def test_memory_and_file_give_the_same_batches(numbered, batch):
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


def test_a_step_is_the_same_whatever_came_before(numbered):
    one, two = Loader(numbered, "train", 8, seed=0), Loader(numbered, "train", 8, seed=0)
    for step in range(20):
        one.batch(step)
    np.testing.assert_array_equal(one.batch(33)["image"], two.batch(33)["image"])


def test_images_become_numbers_from_0_to_1():
    batch = blocks_batch(2, 0)
    images = images_on(batch, torch.device("cpu"))
    assert images.shape == (2, 3, 32, 32)
    expected = batch["image"].astype(np.float32).transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(images.numpy(), expected, rtol=1e-6)


@pytest.mark.usefixtures("_small_windows")
def test_an_epoch_in_order_reads_every_block_of_the_file_once(numbered, monkeypatch):
    read, starts = numbered.read, []

    def counted(split, start, stop, keys):
        starts.append(int(start))
        return read(split, start, stop, keys)

    monkeypatch.setattr(numbered, "read", counted)
    order(Loader(numbered, "train", 7, seed=0, memory_budget=0), range(100 // 7))
    assert sorted(starts) == list(range(0, 100, 8))


def test_reading_into_memory_tells_how_far_it_is(numbered, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 40)
    told = []
    Loader(numbered, "train", 8, seed=0, progress=lambda *numbers: told.append(numbers))
    assert told == [(40, 100), (80, 100), (100, 100)]


def test_memory_is_used_where_a_quarter_of_what_is_available_is_enough(
    numbered, monkeypatch, tmp_path
):
    needed = 100 * 32 * 32 * 3  # bytes; 300 KiB
    monkeypatch.setattr(module, "MEMINFO", tmp_path / "meminfo")
    for kilobytes, fits in ((4 * needed // 1024, True), (4 * needed // 1024 - 1, False)):
        text = f"MemFree: 1 kB\nMemAvailable:   {kilobytes} kB\n"
        (tmp_path / "meminfo").write_text(text)
        assert Loader(numbered, "train", 8, seed=0).in_memory == fits
    (tmp_path / "meminfo").unlink()  # as on macOS
    assert Loader(numbered, "train", 8, seed=0).in_memory


@pytest.mark.parametrize(
    ("split", "batch", "frames", "message"),
    [
        ("train", 49, 1, r"--set train\.batch_size=48"),
        ("val", 8, 1, "'val' holds no images"),
        ("train", 0, 1, r"train\.batch_size=0"),
        ("shifted", 8, 1, "no split 'shifted'"),
        ("train", 4, 2, "holds images, not video"),
    ],
)
def test_batches_that_cannot_be_are_refused(split, batch, frames, message, tmp_path):
    path = write_blocks(tmp_path / "n.h5", val=0)
    with DatasetFile(path) as dataset, pytest.raises(UserError, match=message):
        Loader(dataset, split, batch, seed=0, frames=frames)


@pytest.mark.parametrize("budget", [None, 0])
def test_a_damaged_image_is_named_with_its_file(tmp_path, budget):
    path = write_blocks(tmp_path / "n.h5")
    with h5py.File(path) as file:
        chunk = file["train/image"].id.get_chunk_info(17)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)
    with DatasetFile(path) as dataset, pytest.raises(UserError, match=r"n\.h5: train.*damaged"):
        Loader(dataset, "train", 8, seed=0, memory_budget=budget).batch(0)
