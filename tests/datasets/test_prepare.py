"""Preparation as a user does it: any number of workers and any engine, killed and taken up."""

import errno
import sys
from pathlib import Path

import pytest

from slotbench import api
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.datasets.prepare import preparation as module
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.prepare.workers import Local
from slotbench.errors import UserError
from tests.commands import slotbench
from tests.datasets.whole import fingerprint, killed_after, refused, stop_after

SIZES = {"train": 130, "val": 20, "test": 20}


def sprites(folder, **fields):
    return Request(**{"name": "multi-dsprites", "data_dir": folder, "sizes": SIZES, **fields})


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
    fields = {"image_size": 32, "data_dir": tmp_path, "workers": 1, "seed": 2**63 - 1}
    few = Request("multi-dsprites-video", sizes={"train": 11, "val": 1, "test": 1}, **fields)
    path = prepare(few)
    with DatasetFile(path) as dataset:
        assert (dataset.rows("train"), dataset.size("train")) == (11, 110)
        assert dataset.attributes["seed"] == 2**63 - 1
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
    for name in ("multi-dsprites", "multi-dsprites:colored_on_grayscale"):
        assert prepare(Request(name, data_dir=one_worker.parent)) == one_worker


def test_a_file_that_is_there_is_enough_in_a_read_only_folder(one_worker, monkeypatch, capsys):
    def refuse(path, *_):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("slotbench.datasets.prepare.sheet.replacing", refuse)
    assert api.prepare("multi-dsprites", data_dir=one_worker.parent) == one_worker
    assert "No contact sheet: Read-only file system" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": 1}, "seed 0 instead of 1"),
        ({"image_size": 32}, "image_size 64 instead of 32"),
        ({"sizes": {"train": 7}}, "images in train 130 instead of 7"),
    ],
)
def test_a_file_made_otherwise_is_not_replaced(one_worker, fields, message):
    with pytest.raises(UserError, match=message):
        prepare(sprites(one_worker.parent, **fields))


def test_variants_have_files_of_their_own(tmp_path):
    with pytest.raises(UserError, match="slotbench prepare clevr:clevr10 --data-dir "):
        locate("clevr:clevr10", tmp_path)
    assert module.path_of("clevr", "clevr6", tmp_path) == tmp_path / "clevr.h5"
    assert module.path_of("clevr", "clevr10", tmp_path) == tmp_path / "clevr-clevr10.h5"


BAD = [
    ({"sizes": {"val": 0}}, "--val 0: expected 1 to"),
    ({"image_size": 8}, "--image-size 8: expected 16"),
    ({"variant": "x"}, "variant of multi-dsprites"),
    ({"name": "multi-dsprites:x"}, "variant of multi-dsprites"),
    ({"name": "multi-dsprites:x", "variant": "y"}, "--variant y: multi-dsprites:x names another"),
    ({"skip_damaged": True}, "--skip-damaged goes with --from or --download"),
    ({"download": True, "source": Path("x")}, "--download and --from x: type one of them"),
    ({"engine": "rai"}, "engine 'rai'"),
    ({"address": "10.0.0.1:6379"}, "--address: the engine 'local' runs only on this machine"),
    ({"engine": "ray", "source": Path("x")}, "--engine ray: an import runs on this machine"),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_bad_options_are_refused(tmp_path, fields, message):
    refused(sprites(tmp_path / "data", **fields), message)


def test_a_dataset_that_cannot_render_says_so_through_the_engine():
    with pytest.raises(UserError, match="shapestacks is not made here") as error:
        list(Local(workers=1).render_all(("shapestacks", "default", 32, 0), [("test", 0, 2)]))
    assert error.value.advice.startswith("Fetch")


def test_without_ray_it_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    error = refused(sprites(tmp_path, engine="ray"), "needs the package ray")
    assert error.advice == "Type: pip install 'slotbench[ray]'"


PLUGIN = """
from slotbench.datasets.sets.multi_dsprites import MultiDSprites
from slotbench.errors import UserError
from slotbench.registry import register

@register("datasets")
class Mine(MultiDSprites):
    name = "mine"
    summary = "one"
    source = "none"
    variants = ("binarized",)
    licence = "none"

    def render(self, split, start, stop):
        if split == "test":
            raise UserError("no such part", "Type: nothing")
        return super().render(split, start, stop)
"""


@pytest.mark.slow
def test_ray_makes_the_same_file_and_stops(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    sizes = " ".join(f"--{split} {n}" for split, n in SIZES.items())

    def run(engine, *words, name="multi-dsprites"):
        options = f"{name} {sizes} --image-size 32 --workers 2 --engine {engine}"
        folder = ("--data-dir", str(tmp_path / engine))
        return slotbench(*words, "prepare", *options.split(), *folder)

    one, two = run("local"), run("ray")
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    paths = [tmp_path / engine / "multi-dsprites.h5" for engine in ("local", "ray")]
    assert fingerprint(paths[0]) == fingerprint(paths[1])
    assert "Traceback" not in two.stderr
    # What a dataset of a plugin raises comes back as it was raised.
    (tmp_path / "mine.py").write_text(PLUGIN)
    three = run("ray", "--plugin", str(tmp_path / "mine.py"), name="mine")
    assert three.returncode == 2, three.stderr
    assert "no such part" in three.stderr
    assert "Traceback" not in three.stderr
    assert not (tmp_path / "ray" / "mine.h5").exists()
