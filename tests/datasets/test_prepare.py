"""Preparation as a user does it: any number of workers, killed and taken up again."""

import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.datasets.prepare import preparation as module
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.errors import UserError
from tests.datasets.whole import fingerprint, killed_after, stop_after

SIZES = {"train": 130, "val": 20, "test": 20}


def sprites(folder, **fields):
    return Request("multi-dsprites", sizes=SIZES, data_dir=folder, **fields)


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    return prepare(sprites(tmp_path_factory.mktemp("one"), workers=1))


def test_the_number_of_workers_changes_nothing(one_worker, tmp_path):
    path = prepare(sprites(tmp_path, workers=3))
    assert fingerprint(path) == fingerprint(one_worker)
    with DatasetFile(path) as dataset:
        assert {split: dataset.size(split) for split in SIZES} == SIZES
        assert (dataset.read("val")["image"] != dataset.read("test")["image"]).any()
    assert [file.name for file in tmp_path.iterdir()] == ["multi-dsprites.h5"]


def test_video_is_counted_in_clips(tmp_path):
    fields = {"image_size": 32, "data_dir": tmp_path, "workers": 1}
    few = Request("multi-dsprites-video", sizes={"train": 11, "val": 1, "test": 1}, **fields)
    path = prepare(few)
    with DatasetFile(path) as dataset:
        assert (dataset.rows("train"), dataset.size("train")) == (11, 110)
    assert prepare(few) == path
    with pytest.raises(UserError, match="clips in train 11 instead of 7"):
        prepare(Request("multi-dsprites-video", sizes={"train": 7}, **fields))


def test_a_call_that_was_interrupted_goes_on(one_worker, tmp_path, monkeypatch):
    written = killed_after(sprites(tmp_path, workers=1), 2, monkeypatch)
    assert not (tmp_path / "multi-dsprites.h5").exists()
    rendered = []
    stop_after(99, monkeypatch, rendered)
    path = prepare(sprites(tmp_path, workers=1))
    assert not set(rendered) & set(written)
    assert fingerprint(path) == fingerprint(one_worker)


def test_a_damaged_part_is_named_and_made_anew(one_worker, tmp_path, monkeypatch):
    written = killed_after(sprites(tmp_path, workers=1), 2, monkeypatch)
    part = next(tmp_path.rglob(f"{written[0]}.npz"))
    part.write_bytes(part.read_bytes()[:-99])
    with pytest.raises(UserError, match=f"{written[0]}.npz is damaged"):
        prepare(sprites(tmp_path, workers=1))
    rendered = []
    stop_after(99, monkeypatch, rendered)
    assert fingerprint(prepare(sprites(tmp_path, workers=1))) == fingerprint(one_worker)
    assert rendered == written[:1]


def test_parts_with_a_damaged_recipe_are_made_anew(one_worker, tmp_path, monkeypatch):
    killed_after(sprites(tmp_path, workers=1), 2, monkeypatch)
    next(tmp_path.rglob("recipe.json")).write_bytes(b"\xff")
    assert fingerprint(prepare(sprites(tmp_path, workers=1))) == fingerprint(one_worker)


def test_a_file_that_is_there_is_kept(one_worker, monkeypatch):
    monkeypatch.setattr(module, "_render", None)
    assert prepare(sprites(one_worker.parent)) == one_worker
    assert prepare(Request("multi-dsprites", data_dir=one_worker.parent)) == one_worker


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": 1}, "seed 0 instead of 1"),
        ({"image_size": 32}, "image_size 64 instead of 32"),
        ({"sizes": {"train": 7}}, "images in train 130 instead of 7"),
    ],
)
def test_a_file_made_otherwise_is_not_replaced(one_worker, fields, message):
    asked = {"sizes": SIZES, "data_dir": one_worker.parent, **fields}
    with pytest.raises(UserError, match=message):
        prepare(Request("multi-dsprites", **asked))


def test_variants_have_files_of_their_own(tmp_path):
    with pytest.raises(UserError, match="slotbench prepare clevr --variant clevr10 --data-dir "):
        locate("clevr:clevr10", tmp_path)
    assert module.path_of("clevr", "clevr6", tmp_path) == tmp_path / "clevr.h5"
    assert module.path_of("clevr", "clevr10", tmp_path) == tmp_path / "clevr-clevr10.h5"


@pytest.mark.parametrize("fields", [{"sizes": {"val": 0}}, {"image_size": 8}, {"variant": "x"}])
def test_bad_options_are_refused(tmp_path, fields):
    with pytest.raises(UserError):
        prepare(Request("multi-dsprites", data_dir=tmp_path, **fields))
    assert list(tmp_path.iterdir()) == []
