"""MOVi, from folders of TFDS that the tests write."""

import hashlib
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tfrecord.reader import tfrecord_loader

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.originals import tfrecord
from slotbench.datasets.prepare.preparation import prepare
from tests.datasets import originals_movi as movi
from tests.datasets.originals import packed_floats
from tests.datasets.originals_images import grey, png, rgb
from tests.datasets.whole import read_all, refused, requests_of

FRAMES = movi.FRAMES
request = requests_of("movi", movi.SIDE, "a")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder of variant a; do not change it."""
    return movi.write(tmp_path_factory.mktemp("shared") / "a")


@pytest.fixture
def folder(shared, tmp_path):
    return shutil.copytree(shared, tmp_path / "a")


def test_the_file_says_where_it_comes_from(shared, tmp_path):
    with DatasetFile(prepare(request(shared, data_dir=tmp_path))) as dataset:
        attributes = dataset.attributes
        color = next(prop for prop in dataset.layout.properties if prop.name == "color")
    assert color.classes[:3] == ("blue", "brown", "cyan")
    assert attributes["variant"] == "a"
    assert "last 5 % is train" in attributes["split_rule"]
    assert "val: records 6 to 6, test: records 7 to 9" in attributes["split_rule"]
    shards = sorted(shared.glob("*train*")) + sorted(shared.glob("*validation*"))
    assert json.loads(attributes["sources"]) == [
        {"file": shard.name, "sha256": hashlib.sha256(shard.read_bytes()).hexdigest()}
        for shard in shards
    ]


def test_records_agree_with_the_tfrecord_package(shared):
    for path in sorted(shared.glob("*.tfrecord-*")):
        theirs = list(tfrecord_loader(str(path), None))
        for data, other in zip(tfrecord.RecordFile(path), theirs, strict=True):
            features = tfrecord.parse_example(data)
            assert set(features) == set(other)
            for key in ("video", "segmentations", "depth"):
                images = [bytes(entry) for entry in tfrecord.read_entries(features[key], FRAMES)]
                assert images == other[key].tolist()
            for key in ("instances/positions", "camera/positions", "instances/color"):
                np.testing.assert_array_equal(tfrecord.read_floats(features[key]), other[key])
            for key in ("instances/color_label", "forward_flow", "instances/visibility"):
                np.testing.assert_array_equal(tfrecord.read_ints(features[key]), other[key])


def test_frames_are_averaged_and_labels_are_not(tmp_path):
    checks = np.indices((32, 32)).sum(axis=0) % 2
    gray = np.repeat((200 * checks)[..., None], 3, axis=2)
    video, masks = (movi.entries([each] * FRAMES) for each in (rgb(gray), grey(checks)))
    replaced = {0: movi.record(0, side=32, video=video, segmentations=masks)}
    sizes = {"train": (2,), "validation": (1,)}
    root = movi.write(tmp_path / "a", sizes=sizes, side=32, replaced=replaced)
    found = read_all(prepare(request(root)))
    assert (found["train/image"][:FRAMES] == 100).all()
    assert set(np.unique(found["train/mask"][:FRAMES])) <= {0, 1}


def test_frames_may_be_jpeg(tmp_path):
    stream = io.BytesIO()
    Image.new("RGB", (movi.SIDE, movi.SIDE), (10, 200, 30)).save(stream, "JPEG")
    record = movi.record(0, video=movi.entries([stream.getvalue()] * FRAMES))
    root = movi.write(tmp_path / "a", replaced={0: record})
    image = read_all(prepare(request(root)))["train/image"][:1].astype(int)
    assert (np.abs(image - (10, 200, 30)) < 4).all()


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
