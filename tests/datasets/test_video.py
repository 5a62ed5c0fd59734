"""Video files: clips are there as clips, and as images one frame after the other."""

import hashlib

import h5py
import numpy as np
import pytest
from PIL import Image

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import Loader
from slotbench.datasets.format.schema import Layout
from slotbench.datasets.prepare.parts import join
from slotbench.datasets.prepare.sheet import draw_sheet
from slotbench.results import verify
from tests.conftest import ATTRIBUTES, LAYOUT, blocks_batch

FRAMES = 5
VIDEO = Layout(LAYOUT.height, LAYOUT.width, LAYOUT.objects, LAYOUT.properties, frames=FRAMES)


def clips_batch(n, seed):
    """n clips whose frames are images of blocks; the first pixel holds clip and frame."""
    images = blocks_batch(n * FRAMES, seed)
    batch = {key: array.reshape(n, FRAMES, *array.shape[1:]) for key, array in images.items()}
    batch["image"][:, :, 0, 0, 0] = np.arange(n)[:, None]
    batch["image"][:, :, 0, 0, 1] = np.arange(FRAMES)
    return batch


def write_clips(path, train=40):
    attributes = {**ATTRIBUTES, "name": "multi-dsprites-video", "variant": "binarized"}
    sizes = {"train": train, "val": 3, "test": 4}
    splits = {split: [clips_batch(n, index)] for index, (split, n) in enumerate(sizes.items())}
    join(path, VIDEO, splits, attributes)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("video") / "v.h5")


@pytest.fixture
def video(path):
    return DatasetFile(path)


def drawn(batch):
    """Clip and frame of each image of a batch."""
    return batch["image"][..., 0, 0, 0].astype(int), batch["image"][..., 0, 0, 1].astype(int)


def test_the_images_are_the_frames_of_the_clips_in_order(video):
    expected = clips_batch(40, 0)
    clips, images = video.read_rows("train"), video.read("train")
    assert (video.rows("train"), video.size("train")) == (40, 40 * FRAMES)
    assert set(clips) == set(images) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(clips[key], array)
        np.testing.assert_array_equal(images[key], np.concatenate(list(array)))
    blocks = [block["mask"] for block in video.blocks("train", 7)]
    assert [len(block) for block in blocks] == [7] * 28 + [4]
    np.testing.assert_array_equal(np.concatenate(blocks), images["mask"])


@pytest.mark.parametrize(("start", "stop"), [(4, 6), (5, 10), (7, 2), (198, 999), (999, 1000)])
def test_any_range_of_images_is_that_of_the_flat_array(video, start, stop):
    keys = ("image", "property/position")
    whole, part = video.read("train"), video.read("train", start, stop, keys)
    assert set(part) == set(keys)
    for key in keys:
        np.testing.assert_array_equal(part[key], whole[key][start:stop])


def test_each_frame_is_a_chunk(path):
    with h5py.File(path) as file:
        assert file["train/image"].chunks == (1, 1, 32, 32, 3)
        assert file["train/mask"].chunks == (1, 1, 32, 32)
        assert file.attrs["schema"] == 2


def test_video_is_verified(tmp_path):
    path = write_clips(tmp_path / "v.h5", train=6)
    facts = verify.dataset(path)
    assert facts["frames"] == FRAMES
    assert facts["images"] == {"train": 6 * FRAMES, "val": 3 * FRAMES, "test": 4 * FRAMES}


def test_files_of_images_keep_the_fingerprint_that_they_had_before_video(blocks):
    # As slotbench 0.1 wrote it: sha256 over this text, then every array in order of its name.
    text = (
        '{"height": 32, "objects": 3, "properties": [{"classes": ["red", "green", "blue"], '
        '"dim": 1, "kind": "categorical", "name": "color", "unit": ""}, {"classes": [], "dim": 2, '
        '"kind": "numeric", "name": "position", "unit": "pixels"}], "width": 32}'
    )
    digest = hashlib.sha256(text.encode())
    with h5py.File(blocks / "clevr.h5") as file:
        assert file.attrs["schema"] == 1
        assert file.attrs["layout"] == text
        for split in ("test", "train", "val"):
            for key in ("image", "mask", "property/color", "property/position", "visible"):
                array = file[split][key][:]
                digest.update(f"{split}/{key}:{array.shape}".encode() + array.tobytes())
        assert file.attrs["fingerprint"] == digest.hexdigest()


def test_a_batch_holds_consecutive_frames_of_different_clips(video):
    loader = Loader(video, "train", 8, seed=0, keys=("image", "mask"), frames=3)
    assert loader.batches_per_epoch == 5
    whole, starts, seen = video.read_rows("train"), [], []
    for step in range(5):
        batch = loader.batch(step)
        assert batch["image"].shape == (8, 3, 32, 32, 3)
        clip, frame = drawn(batch)
        assert (clip == clip[:, :1]).all()
        assert (np.diff(frame, axis=1) == 1).all()
        for key in ("image", "mask"):
            np.testing.assert_array_equal(batch[key], whole[key][clip, frame])
        starts.extend(frame[:, 0])
        seen.extend(clip[:, 0])
    assert sorted(seen) == list(range(40))  # an epoch shows every clip once
    assert set(starts) == {0, 1, 2}


def test_steps_and_seeds_choose_clips_and_frames(video):
    one, other = (Loader(video, "train", 8, seed=seed, frames=2) for seed in (0, 1))
    assert (drawn(one.batch(0))[0] != drawn(other.batch(0))[0]).any()
    # With one batch an epoch the clips are those of the split; frames differ from step to step.
    whole = Loader(video, "train", 40, seed=0, frames=2)
    (clip, frame), (later_clip, later) = (drawn(whole.batch(step)) for step in (0, 1))
    assert (frame[np.argsort(clip[:, 0]), 0] != later[np.argsort(later_clip[:, 0]), 0]).any()


def test_a_sheet_shows_a_clip_on_each_line(video, tmp_path):
    sheet = np.asarray(Image.open(draw_sheet(video, tmp_path / "s.png", rows=2)))
    scale = sheet.shape[1] // (FRAMES * 36)
    small = sheet[::scale, ::scale]
    assert small.shape == (2 * 68, FRAMES * 36, 3)
    images = video.read_rows("train")["image"]
    for clip, frame in np.ndindex(2, FRAMES):
        cell = small[68 * clip + 2 :, 36 * frame + 2 :]
        np.testing.assert_array_equal(cell[:32, :32], images[clip, frame])
