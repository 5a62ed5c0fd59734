import h5py
import numpy as np
import pytest

from slotbench.datasets.format import loader as module
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import Loader
from slotbench.errors import UserError
from tests.conftest import write_blocks
from tests.datasets.test_video import FRAMES, write_clips


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
    monkeypatch.setattr(module, "BLOCK", 15)
    monkeypatch.setattr(module, "WINDOW", 2)
    module._order.cache_clear()
    yield
    module._order.cache_clear()


def order(loader, steps):
    return [int(n) for step in steps for n in loader.batch(step)["image"][:, 0, 0, 0]]


def test_an_epoch_shows_every_image_once(numbered):
    loader = Loader(numbered, "train", 10, seed=0)
    first, second = order(loader, range(10)), order(loader, range(10, 20))
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("batch", [7, 16, 40])
@pytest.mark.parametrize("frames", [0, 1, 2, FRAMES])
def test_memory_and_file_give_the_same_batches(frames, batch, tmp_path):
    """Of images (0), and of a video's images and clips."""
    path = (write_clips if frames else write_blocks)(tmp_path / "n.h5", train=40)
    asked = {"seed": 3, "keys": ("image", "mask", "property/color"), "frames": max(frames, 1)}
    with DatasetFile(path) as dataset:
        memory = Loader(dataset, "train", batch, **asked)
        file = Loader(dataset, "train", batch, **asked, memory_budget=0)
        assert (memory.in_memory, file.in_memory) == (True, False)
        assert sorted(memory.order(0)) == list(range(memory.size))
        assert memory.size > file.block * module.WINDOW
        for step in (0, 1, 5, 2, 40):
            one, two = memory.batch(step), file.batch(step)
            assert one.keys() == two.keys()
            for key, array in one.items():
                np.testing.assert_array_equal(array, two[key])


def test_a_step_is_the_same_whatever_came_before(numbered):
    one, two = Loader(numbered, "train", 8, seed=0), Loader(numbered, "train", 8, seed=0)
    for step in range(20):
        one.batch(step)
    np.testing.assert_array_equal(one.batch(33)["image"], two.batch(33)["image"])


@pytest.mark.usefixtures("_small_windows")
def test_an_epoch_in_order_reads_every_block_of_the_file_once(numbered, monkeypatch):
    read, starts = numbered.read, []

    def counted(split, start, stop, keys):
        starts.append(int(start))
        return read(split, start, stop, keys)

    monkeypatch.setattr(numbered, "read", counted)
    order(Loader(numbered, "train", 7, seed=0, memory_budget=0), range(100 // 7))
    assert sorted(starts) == list(range(0, 100, 15))


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


MIB = 1 << 20
KEYS = {
    2: ("memory.max", "memory.current", "inactive_file", "0::{}"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "4:cpu,memory:{}"),
}
UNLIMITED = {2: "max", 1: str((1 << 63) - 4096)}
JOB = "/job/step"
GROUPS = {
    "none": ("", {}, 1000),
    "a limit less what is used": (JOB, {JOB: (300, 100, 0)}, 200),
    "files that were read give way": (JOB, {JOB: (300, 100, 60)}, 260),
    "nothing is left": (JOB, {JOB: (300, 400, 0)}, 0),
    "no limit": (JOB, {JOB: (None, 100, 0)}, 1000),
    "the strictest above": (JOB, {JOB: (None, 100, 0), "/job": (250, 150, 0)}, 100),
    # In a container the path is the host's, and the mount is the group.
    "the host's path": ("/of/the/host/that/nobody/sees", {"/": (128, 28, 0)}, 100),
}
"""Path of the process's group; path -> limit, use and cache of files, in MiB; what is left."""


@pytest.mark.parametrize("version", KEYS)
@pytest.mark.parametrize("case", GROUPS)
def test_memory_is_what_machine_and_groups_leave(case, version, tmp_path, monkeypatch):
    """On a machine of 1,000 MiB."""
    own, groups, left = GROUPS[case]
    most, now, key, line = KEYS[version]
    (tmp_path / "meminfo").write_text(f"MemAvailable: {1000 * 1024} kB\n")
    for name, path in (("MEMINFO", "meminfo"), ("GROUPS", "cgroup"), ("MOUNT", "mount")):
        monkeypatch.setattr(module, name, tmp_path / path)
    if own:
        (tmp_path / "cgroup").write_text(f"9:systemd:/elsewhere\n{line.format(own)}\n")
    for path, (limit, used, cached) in groups.items():
        folder = tmp_path / "mount" / ("memory" if version == 1 else "") / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / most).write_text(f"{limit * MIB if limit else UNLIMITED[version]}\n")
        (folder / now).write_text(f"{used * MIB}\n")
        (folder / "memory.stat").write_text(f"anon 5\n{key} {cached * MIB}\n")
    assert module.available_memory() == left * MIB
