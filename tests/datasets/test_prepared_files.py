"""Prepared files: content hashes, recipe, damage, hostile content, two writers, a full disk."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SPLITS
from slotbench.datasets.prepare.parts import Parts, folder_of, join, sole_writer
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.prepare.stored_features import add_features
from slotbench.errors import UserError
from slotbench.evaluation.targets import Encoding
from slotbench.results import SHIPPED, verify
from tests.commands import held_open
from tests.conftest import ATTRIBUTES, LAYOUT, blocks_batch, write_blocks
from tests.datasets.test_features import Means


def linked(key, link):
    def edit(file):
        del file[key]
        file[key] = link

    return edit


def virtual(file):
    layout = h5py.VirtualLayout((48, 32, 32), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "mask", (48, 32, 32))
    del file["train/mask"]
    file.create_virtual_dataset("train/mask", layout)


def external(file):
    del file["train/mask"]
    stored = [("/etc/passwd", 0, 48 * 32 * 32)]
    file.create_dataset("train/mask", (48, 32, 32), np.uint8, external=stored)


def chunked(file):
    del file["train/mask"]
    shape = {"shape": (48, 32, 32), "maxshape": (None, 32, 32), "chunks": (1 << 21, 32, 32)}
    file.create_dataset("train/mask", dtype=np.uint8, **shape)


def huge(file):
    for key in LAYOUT.arrays():
        file[f"train/{key}"].resize(10**9, axis=0)


def entry(key, index, value):
    return lambda file: file[f"train/{key}"].__setitem__(index, value)


def attribute(key, value):
    return lambda file: file.attrs.__setitem__(key, value)


WRONG = [
    (("image", "mask"), entry("mask", (0, 0, 0), 9), "train, images from 0: mask has label 9"),
    (("mask", "visible"), entry("visible", (0, 0), False), "visible does not say"),
    (("property/color",), entry("property/color", (0, 0), 7), "outside 0 to 2"),
    (("property/position",), entry("property/position", (0, 0), np.nan), "not finite"),
]
"""What is read, how it is damaged, and the error."""
WIDE = json.dumps({**json.loads(LAYOUT.to_json()), "objects": 10**9})
OUTSIDE = h5py.ExternalLink("other.h5", "/train")
HOSTILE = [
    (linked("train", OUTSIDE), "split 'train' is missing|train is a link"),
    (linked("train/mask", h5py.SoftLink("/val/mask")), "train/mask is a link"),
    (virtual, "train/mask is stored in other files"),
    (external, "train/mask is stored in other files"),
    (lambda file: file.create_group(b"test-\xff"), "a split cannot be called"),
    (chunked, "at most 1 GiB each"),
    (huge, "more rows than the file can hold"),
    (attribute("name", "../../home/owned"), "name cannot be called '../../home/owned'"),
    (attribute("licence", "CC0\x1b[31m"), "licence has characters that cannot be printed"),
    (attribute("sources", "[3]"), "sources.0 expected keys and values"),
    (attribute("features", "[3]"), "features.0 "),
    (attribute("layout", WIDE), "layout.objects should be less than 255"),
    (attribute("layout", "{NaN"), "layout invalid JSON"),
    (attribute("schema", 99), "schema 99 is newer"),
    (attribute("schema", True), "'schema' is not a version"),
    (attribute("schema", 0), "'schema' is not a version"),
    (attribute("manifest", "[1]"), "manifest expected keys and values"),
    (attribute("recipe", "0" * 64), "the recipe does not match the attributes"),
    (lambda file: file.__delitem__("val/mask"), "val/mask is missing"),
    (lambda file: file["train/mask"].resize(3, axis=0), "train/mask is uint8"),
    (entry("image", (0, 0, 0, 0), 1), "fingerprint"),
    *((edit, message) for _, edit, message in WRONG),
]


@pytest.mark.parametrize(("edit", "message"), HOSTILE)
def test_a_hostile_file_is_refused_by_name(path, edit, message):
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(UserError, match=message) as caught:
        verify.dataset(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("keys", "edit", "message"), WRONG)
def test_whatever_is_read_is_checked(path, keys, edit, message):
    with h5py.File(path, "r+") as file:
        edit(file)
    with DatasetFile(path) as dataset:
        assert set(dataset.read("train", 0, 4, ("image",))) == {"image"}
        assert tuple(dataset.read("train", 4, 8, keys)) == keys
        with pytest.raises(UserError, match=message) as caught:
            dataset.read("train", 0, 4, keys)
    assert str(path) in str(caught.value)


def test_numbers_of_objects_that_do_not_show_do_not_matter(path):
    with h5py.File(path, "r+") as file:
        unseen = tuple(np.argwhere(~file["train/visible"][()])[0])
        file["train/property/position"][unseen] = np.nan
        file["train/property/color"][unseen] = 99
    with DatasetFile(path) as dataset:
        dataset.read("train")


def test_a_split_without_images_is_named(tmp_path):
    with DatasetFile(write_blocks(tmp_path / "a.h5", test=0)) as dataset:
        assert dataset.first("train", 7) == 7
        with pytest.raises(UserError, match=r"a\.h5: 'test' holds no images"):
            dataset.first("test", 7)


def test_a_layout_may_have_no_objects_and_names_each_property_once(tmp_path):
    none = replace(LAYOUT, objects=0)
    empty = none.empty(2)
    assert none.problem(empty) == ""
    join(tmp_path / "a.h5", none, {key: [empty] for key in SPLITS}, ATTRIBUTES)
    with DatasetFile(tmp_path / "a.h5") as dataset:
        assert dataset.layout == none
        properties = {prop.name: empty[prop.key] for prop in none.properties}
        targets = Encoding.fit(none, properties, empty["visible"]).encode(properties)
        assert targets.shape[:2] == (2, 0)
    with pytest.raises(ValueError, match="2 properties are called 'color'"):
        replace(LAYOUT, properties=LAYOUT.properties[:1] * 2)


def test_a_path_that_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "loop.h5").symlink_to("loop.h5")
    for name, message in (("pipe.h5", "no regular file"), ("loop.h5", "a link to nowhere")):
        with pytest.raises(UserError, match=message):
            DatasetFile(tmp_path / name)


def test_a_file_that_another_program_has_open_is_in_use(path):
    with held_open(path), pytest.raises(UserError, match="is in use") as caught:
        DatasetFile(path)
    assert "--force" not in str(caught.value)
    DatasetFile(path).close()


def test_the_fingerprint_is_of_the_content_and_not_of_its_batches(tmp_path):
    attributes = {"name": "x"}
    whole, again = blocks_batch(10, 0), blocks_batch(10, 0)
    pieces = [{key: array[lo:hi] for key, array in again.items()} for lo, hi in ((0, 3), (3, 10))]
    one = join(tmp_path / "a.h5", LAYOUT, {"train": [whole]}, attributes)
    two = join(tmp_path / "b.h5", LAYOUT, {"train": pieces}, attributes)
    again["mask"][0, 0, 0] ^= 1
    assert one == two
    assert join(tmp_path / "c.h5", LAYOUT, {"train": [again]}, attributes) != one


def test_a_batch_that_breaks_the_layout_leaves_no_file(tmp_path):
    batch = blocks_batch(2, 0)
    batch["mask"] = batch["mask"].astype(np.int64)
    with pytest.raises(ValueError, match="mask: int64"):
        join(tmp_path / "a.h5", LAYOUT, {"train": [batch]}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_rendered_file_stores_its_recipe(path, tmp_path):
    with DatasetFile(path) as dataset:
        made = {
            key: ATTRIBUTES[key] for key in ("name", "variant", "generator", "seed", "image_size")
        }
        made |= {"sizes": {"train": 48, "val": 24, "test": 24}}
        made |= {"layout": json.loads(LAYOUT.to_json())}
        text = json.dumps(made, sort_keys=True)
        assert dataset.recipe == hashlib.sha256(text.encode()).hexdigest()
        assert dataset.attributes["recipe"] == dataset.recipe
        recipe = dataset.recipe
    with h5py.File(path, "r+") as file:
        del file.attrs["recipe"]
    with DatasetFile(path) as dataset:  # from before recipes were stored
        assert dataset.recipe == recipe
    found = {}
    varied = [("rendered", 0, 3), ("rendered", 1, 3), ("rendered", 0, 4), ("original", 0, 3)]
    for origin, seed, n in varied:
        splits = {split: [blocks_batch(n, 9)] for split in SPLITS}
        fields = {"origin": origin, "seed": seed}
        join(tmp_path / "x.h5", LAYOUT, splits, {**ATTRIBUTES, **fields})
        with DatasetFile(tmp_path / "x.h5") as dataset:
            found[origin, seed, n] = dataset.recipe
    assert found["original", 0, 3] == ""
    assert len(set(found.values())) == 4


SMALL = {"train": 4, "val": 2, "test": 2}


def sprites(folder, **fields):
    asked = {"image_size": 16, "sizes": SMALL, "workers": 1, **fields}
    return Request("multi-dsprites", data_dir=folder, **asked)


@pytest.mark.parametrize("name", ["multi-dsprites.h5", "multi-dsprites.h5.parts"])
def test_a_place_that_holds_something_else_is_told_before_anything_is_rendered(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="is no regular"):
        prepare(replace(sprites(tmp_path), force=True))
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(name)
    with pytest.raises(OSError, match="symbolic links"):
        prepare(sprites(tmp_path))


def test_of_two_that_prepare_one_file_the_second_waits(tmp_path, capsys):
    target, ended = tmp_path / "multi-dsprites.h5", []

    def second():
        prepare(sprites(tmp_path))
        ended.append(time.monotonic())

    with sole_writer(target):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.5)
        assert not ended
        released = time.monotonic()
    waiting.join()
    assert ended[0] > released
    assert f"Another process prepares {target}" in capsys.readouterr().err.replace("\n", "")
    assert list(tmp_path.iterdir()) == [target]


def test_what_killed_processes_left_is_removed(tmp_path):
    path = prepare(sprites(tmp_path, shifts=("crop",)))
    add_features(path, Means())
    with DatasetFile(path) as dataset:
        recipe = {
            key: dataset.attributes[key]
            for key in ("name", "variant", "origin", "generator", "seed", "image_size", "licence")
        }
        fingerprint = dataset.fingerprint
    Parts(path, recipe)
    Parts(path.with_name(f"{path.name}.shifts"), {"fingerprint": fingerprint, "version": 1})
    Parts(path.with_name(f"{path.name}.means"), {})
    (tmp_path / f".{path.name}.1-abc.tmp").touch()
    prepare(sprites(tmp_path, shifts=("crop",)))
    add_features(path, Means())
    assert list(tmp_path.iterdir()) == [path]
    # Parts of another recipe are the work of a call with --force that was killed.
    Parts(path, {**recipe, "seed": 1})
    prepare(sprites(tmp_path))
    assert folder_of(path).is_dir()


FULL = """
import resource, sys
from pathlib import Path
from slotbench.datasets.prepare.parts import join
from tests.conftest import LAYOUT, blocks_batch

path, size = Path(sys.argv[1]), int(sys.argv[2])
for limit in range(0, size, size // 40):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        join(path, LAYOUT, {"train": [blocks_batch(40, 0), blocks_batch(40, 1)]}, {})
        print("whole at", limit)
    except OSError as error:
        assert "File too large" in str(error), error
"""


def test_a_disk_that_fills_while_a_file_is_written_is_an_error_and_no_crash(tmp_path):
    path = tmp_path / "a.h5"
    join(path, LAYOUT, {"train": [blocks_batch(40, 0), blocks_batch(40, 1)]}, {})
    size = path.stat().st_size
    path.unlink()
    words = [sys.executable, "-c", FULL, str(path), str(size)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_is_a_link_stays_one(tmp_path):
    """The link may lead to another file system, where the parts are not."""
    (tmp_path / "data").mkdir()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        path, real = tmp_path / "data" / "a.h5", Path(elsewhere) / "big.h5"
        path.symlink_to(real)
        folder_of(path).mkdir()
        join(path, LAYOUT, {split: [blocks_batch(9, 0)] for split in SPLITS}, ATTRIBUTES)
        add_features(path, Means())
        assert path.is_symlink()
        with DatasetFile(real) as dataset:
            assert [feature.name for feature in dataset.layout.features] == [Means.name]
        assert [file.name for file in real.parent.iterdir()] == [real.name]


def test_verify_says_whose_recipe_and_fingerprint_agree(path, tmp_path, monkeypatch):
    monkeypatch.delenv("SLOTBENCH_PUBLISHED", raising=False)
    facts, own = verify.dataset(path), tmp_path / "results"
    other = shutil.copy(path, tmp_path / "other.h5")
    with h5py.File(other, "r+") as file:
        file.attrs["fingerprint"] = "0" * 64
    said = verify.agreement(facts, own, Path(other))
    assert said["published_runs"] == {"same recipe": 0, "same fingerprint": 0}
    assert said["against"]["recipe"] == "the same"
    assert said["against"]["fingerprint"] == "another"
    records = json.loads((SHIPPED / "slot-infonce-clevr6.json").read_text())
    data = records[0]["config"]["dataset"]
    said = verify.agreement(facts | {"recipe": data["recipe"]}, own, None)["published_runs"]
    assert said["same recipe"] >= len(records)
    assert said["same fingerprint"] == 0
