"""MOVi, from folders of TFDS that the tests write."""

import json
import shutil

import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import prepare
from tests.datasets import originals_movi as movi
from tests.datasets.originals import packed_floats
from tests.datasets.originals_images import grey, png, rgb
from tests.datasets.whole import refused, requests_of

FRAMES = movi.FRAMES
request = requests_of("movi", movi.SIDE, "a")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder of variant a; do not change it."""
    return movi.write(tmp_path_factory.mktemp("shared") / "a")


@pytest.fixture
def folder(shared, tmp_path):
    return shutil.copytree(shared, tmp_path / "a")


def test_numbers_of_clips_are_those_asked_for(shared, tmp_path):
    path = prepare(request(shared, data_dir=tmp_path, sizes={"train": 2, "test": 1}))
    with DatasetFile(path) as dataset:
        counts = {split: dataset.rows(split) for split in dataset.splits}
    assert counts == {"train": 2, "val": 1, "test": 1}
    assert prepare(request(shared, data_dir=tmp_path, sizes={"train": 2})) == path


NAME = movi.shard_name("a", "train", 1, 2)


def _information(text):
    return lambda root: (root / "dataset_info.json").write_text(text)


def _shard(change):
    return lambda root: (root / NAME).write_bytes(change((root / NAME).read_bytes()))


def _record(**replaced):
    """Record 1 of the second shard, which is clip 4, has other features."""
    return lambda root: movi.write(root, replaced={4: movi.record(4, **replaced)})


def _flipped(data):
    place = movi.places(data)[2] + 100
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _frames(key, encode, drawn, third):
    """In clip 4 the third image is another."""
    images = [encode(drawn(4, time)) for time in range(FRAMES)]
    return _record(**{key: movi.entries([*images[:2], third, *images[3:]])})


LENGTHS = {"splits": [{"name": "train", "shardLengths": ["3", "5"]}]}
BOMB = png(b"", 60_000, 60_000, 8, 2)
TWOS = grey(np.full((16, 16), 2))
AT = rf"{NAME}: record 1, byte [\d,]+: feature "
BAD = {
    rf"{NAME} is missing\. Fetch": lambda root: (root / NAME).unlink(),
    f"{NAME}: .* it holds 4 records, but .* says 5": _information(json.dumps(LENGTHS)),
    r"dataset_info\.json is not valid JSON": _information("[" * 200_000),
    rf"{NAME}: record 3, byte [\d,]+: the file ends in": _shard(lambda data: data[:-9]),
    rf"{NAME}: record 2, byte [\d,]+: the checksum of the data": _shard(_flipped),
    AT + "'video' is missing": _record(video=b""),
    AT + "'instances/shape_label' has a code outside 0 to 2": _record(
        instances__shape_label=movi.ints(np.array([3]))
    ),
    AT + "'instances/image_positions' has a number that is not finite": _record(
        instances__image_positions=packed_floats(np.full(48, np.nan))
    ),
    AT + "'segmentations', frame 2: label 2, expected 0 to 1": _frames(
        "segmentations", grey, movi.labels, TWOS
    ),
    AT + "'video', frame 2: .*larger than": _frames("video", rgb, movi.image, BOMB),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_wrong_is_named(folder, message):
    BAD[message](folder)
    refused(request(folder), message)


def test_the_wrong_folder_is_refused_with_the_right_one(folder):
    refused(request(folder, "c"), "it holds shards of movi_a, not of movi_c")
    asked = request(folder.parent, data_dir=folder / "data")
    error = refused(asked, f"--from {folder.parent}: it holds no shard of movi_a")
    assert error.advice == f"Type: --from {folder}"
