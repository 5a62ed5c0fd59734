"""``slotbench prepare --shifts``: added whole or not at all, and nothing else is touched."""

import hashlib
import json

import h5py
import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SHIFT_FLAGS, SPLITS
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.prepare.stored_features import add_features
from slotbench.datasets.prepare.workers import Local, built
from slotbench.datasets.shifts import shift_prepare
from slotbench.datasets.shifts.kinds import SHIFTS, parse, split_of
from slotbench.errors import UserError
from slotbench.results import verify
from tests.datasets.originals import CLEVR, record, write
from tests.datasets.originals_clevr_zip import write_clevr
from tests.datasets.test_features import Means
from tests.datasets.whole import stop_after

SIZES = {"train": 60, "val": 10, "test": 70}


def sprites(folder, shifts="", **fields):
    options = {"variant": "binarized", "sizes": SIZES, "workers": 1, "image_size": 32}
    asked = parse(shifts) if shifts else ()
    return Request("multi-dsprites", data_dir=folder, shifts=asked, **{**options, **fields})


def here(_, settings, tasks):
    """Renders in this process, which is quicker than to begin another one."""
    for task in tasks:
        yield task, built(*settings).render(*task)


def digests(path):
    """What the manifest says, after a check that it is so."""
    facts = verify.dataset(path)
    assert set(facts["manifest"]) == set(facts["images"])
    return facts["manifest"]


def content(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with pytest.MonkeyPatch.context() as context:
        context.setattr(Local, "render_all", here)
        return prepare(sprites(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return prepare(sprites(tmp_path_factory.mktemp("whole"), "all", workers=2))


@pytest.fixture
def copy(plain, whole, tmp_path, monkeypatch):  # noqa: ARG001
    """The plain file; ``whole`` is made by two processes before rendering moves into this one."""
    monkeypatch.setattr(Local, "render_all", here)
    path = tmp_path / plain.name
    path.write_bytes(plain.read_bytes())
    return path


def test_they_join_the_usual_splits_which_stay(plain, whole):
    before, after = digests(plain), digests(whole)
    assert set(after) - set(before) == {split_of(shift) for shift in SHIFTS}
    assert before == {split: after[split] for split in SPLITS}
    assert list(whole.parent.iterdir()) == [whole]
    with DatasetFile(plain) as one, DatasetFile(whole) as two:
        assert one.fingerprint == two.fingerprint
        assert one.attributes == {**two.attributes, "manifest": one.attributes["manifest"]}
        for shift in SHIFTS:
            split = split_of(shift)
            assert two.rows(split) == SIZES["test"]
            described = json.loads(two.file[split].attrs["shift"])
            assert described["made"] == ("on finished images" if shift == "occlusion" else "drawn")
            assert (two.changed(split) is not None) == shift.startswith("object_")
        assert two.layout_of("test-num_objects").objects == 5
        assert two.layout_of("test").objects == two.layout.objects == 3
        # Pairs, as they are read from the file.
        test, color = two.read("test"), two.read("test-object_color")
        flags = two.changed("test-object_color")
        label = flags.argmax(axis=1)[:, None, None] + 1
        moved = (test["image"] != color["image"]).any(axis=-1)
        np.testing.assert_array_equal(moved, test["mask"] == label)


def test_added_later_and_one_by_one_they_are_the_same(copy, whole, monkeypatch):
    folder = copy.parent
    expected = digests(whole)
    for asked in ("crop", "object_shape,occlusion", "all"):
        assert prepare(sprites(folder, asked)) == copy
    assert digests(copy) == expected
    assert list(folder.iterdir()) == [copy]
    state = content(copy)
    monkeypatch.setattr(shift_prepare, "amended", None)
    prepare(sprites(folder, "all"))
    prepare(sprites(folder))
    assert content(copy) == state


def test_a_call_that_was_interrupted_goes_on(copy, whole, monkeypatch):
    folder, state, first, second = copy.parent, content(copy), [], []
    with monkeypatch.context() as context:
        stop_after(5, context, first)
        with pytest.raises(KeyboardInterrupt):
            prepare(sprites(folder, "all"))
    assert content(copy) == state
    with monkeypatch.context() as context:
        # All parts are made, and the copy of the file is half written.
        stop_after(99, context, second)
        context.setattr(shift_prepare, "split_digest", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare(sprites(folder, "all"))
    assert len(first) == 5
    assert not set(first) & set(second)
    assert content(copy) == state
    stop_after(0, monkeypatch, [])
    prepare(sprites(folder, "all"))
    assert digests(copy) == digests(whole)
    assert list(folder.iterdir()) == [copy]


def test_damage_is_found_and_mended(copy, whole):
    folder = copy.parent
    prepare(sprites(folder, "object_color,crop"))
    with h5py.File(copy, "r+") as file:
        flags = file["test-object_color"][SHIFT_FLAGS]
        flags[0] = np.roll(flags[0], 1)
    with pytest.raises(UserError, match="test-object_color"):
        verify.dataset(copy)
    prepare(sprites(folder, "object_color"))
    found, expected = digests(copy), digests(whole)
    assert found == {split: expected[split] for split in found}
    assert "test-crop" in found


def test_a_test_set_of_that_name_from_elsewhere_is_not_replaced(copy):
    with h5py.File(copy, "r+") as file:
        file.copy("test", "test-crop")
    with pytest.raises(UserError, match="of its own"):
        prepare(sprites(copy.parent, "crop"))


def test_features_are_asked_for_again(copy):
    teacher = Means()
    add_features(copy, teacher)
    prepare(sprites(copy.parent, "crop"))
    assert verify.dataset(copy)["ok"]
    with DatasetFile(copy) as dataset:
        assert "feature/means" in dataset.file["test"]
        with pytest.raises(UserError, match="feature"):
            dataset.read("test-crop", keys=("feature/means",))
    add_features(copy, teacher)
    with DatasetFile(copy) as dataset:
        assert dataset.read("test-crop", keys=("feature/means",))["feature/means"].any()
    assert verify.dataset(copy)["ok"]


def test_what_cannot_be_is_known_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match="every colour"):
        prepare(sprites(tmp_path, "object_color", variant="colored_on_grayscale"))
    assert not list(tmp_path.iterdir())


def test_imported_images_are_changed_without_their_original_files(tmp_path, shown):
    source = tmp_path / "clevr_with_masks_train.tfrecords"
    write(source, [record(CLEVR, index, 3 + index % 4) for index in range(10)])
    imported = prepare(Request("clevr", source=source, data_dir=tmp_path, shifts=parse("crop")))
    source.unlink()
    with DatasetFile(imported) as dataset:
        assert dataset.attributes["origin"] == "original"
        fingerprint = dataset.fingerprint
    code, _, told = shown("prepare", "clevr", "--shifts", "all", "--data-dir", tmp_path)
    assert code == 0
    for shift in ("object_shape", "object_style", "num_objects"):
        assert f"Without {shift}: " in told
    assert (tmp_path / "clevr-shifts.png").is_file()
    assert {"test-crop", "test-occlusion", "test-object_color"} < set(digests(imported))
    with DatasetFile(imported) as dataset:
        assert dataset.fingerprint == fingerprint
        flags, colors = dataset.changed("test-object_color"), dataset.read("test-object_color")
        assert flags.any(axis=1).all()
        assert (colors["property/color"][flags] == -1).all()
        # Occluders are gray as the authors' are for CLEVR.
        assert (dataset.read("test-occlusion")["image"] == 51).all(axis=-1).mean() > 0.1


def test_without_masks_images_are_not_changed(tmp_path):
    source = write_clevr(tmp_path / "CLEVR_v1.0.zip", [3] * 6, [4] * 4)
    with pytest.raises(UserError, match="no masks"):
        prepare(Request("clevr", source=source, data_dir=tmp_path, shifts=parse("all")))
    assert set(digests(tmp_path / "clevr.h5")) == set(SPLITS)
