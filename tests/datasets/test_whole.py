"""Every dataset, from original files and made here: prepare, verify, train, evaluate."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slotbench import registry
from slotbench.datasets.dataset import Dataset, OriginalOnly
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.results import verify
from tests.datasets.contents import assert_held
from tests.datasets.sources import RENDERED, SOURCES, VARIANTS
from tests.datasets.whole import fingerprint, killed_after, refused, whole

ORIGINALS = ("coco", "folder", "movi", "shapestacks")
FEW = {"train": 6, "val": 4, "test": 4}


@pytest.mark.parametrize("case", SOURCES | VARIANTS)
def test_a_prepared_file_holds_what_its_source_holds(case, tmp_path):
    source = (SOURCES | VARIANTS)[case]()
    root, data = source.written(tmp_path / "source", 10), tmp_path / "data"
    files = [file for file in (tmp_path / "source").rglob("*") if file.is_file()]
    path = prepare(Request(source.name, source.variant, root, source.size, data_dir=data))
    verify.dataset(path)
    with DatasetFile(path) as dataset:
        assert source.rule in dataset.attributes["split_rule"]
        named = {each["file"]: each["sha256"] for each in json.loads(dataset.attributes["sources"])}
        known = {file.name: file for file in files if file.suffix == ".zip" or ".tf" in file.name}
        assert known.keys() <= named.keys()
        for name, file in known.items():
            assert named[name] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert set(dataset.splits) == set(source.splits)
        for split, held in source.splits.items():
            batch = dataset.read_rows(split)
            assert len(batch["image"]) == len(held)
            for row, each in enumerate(held):
                assert_held(batch, row, each, dataset.layout, source.apart)


@pytest.mark.parametrize("case", SOURCES)
def test_from_original_files_to_an_evaluation(case, tmp_path, monkeypatch):
    """Also where the import was stopped and goes on."""
    source = SOURCES[case]()
    path = source.written(tmp_path / "source")
    quiet = whole(source.name, tmp_path, source.variant, source=path, masks=source.masks)
    asked = Request(source.name, source.variant, path, 32, data_dir=tmp_path / "stopped")
    assert len(killed_after(asked, 3, monkeypatch)) == 3
    stopped = prepare(asked)
    assert fingerprint(stopped) == fingerprint(quiet)
    with DatasetFile(quiet) as one, DatasetFile(stopped) as two:
        for key in ("sources", "manifest"):
            assert one.attributes[key] == two.attributes[key]


@pytest.mark.parametrize("case", ["clevrtex", "coco", "folder", "shapestacks"])
def test_a_folder_may_be_archives(case, tmp_path):
    """One of all, or one of each file and folder in it."""
    source, packed = SOURCES[case]().written(tmp_path / "source", 10), tmp_path / "packed"
    for number, inside in enumerate(sorted(source.iterdir())):
        form = ("zip", "gztar")[number % 2]
        shutil.make_archive(str(packed / inside.name), form, source, inside.name)
    one = Path(shutil.make_archive(str(tmp_path / "one"), "gztar", source))
    asked = Request(case, image_size=16, data_dir=tmp_path / "data", force=True)
    made = [fingerprint(prepare(replace(asked, source=path))) for path in (source, packed, one)]
    assert made == made[:1] * 3
    assert len(list((tmp_path / "data" / "originals" / case).glob("*.unpacked"))) == 2


@pytest.mark.parametrize("name", ORIGINALS)
def test_without_a_source_it_says_what_to_type(name, tmp_path):
    refused(Request(name, data_dir=tmp_path), f"slotbench prepare {name}.* --from DIR")


@pytest.mark.parametrize("name", RENDERED)
def test_from_rendering_to_an_evaluation(name, tmp_path):
    whole(name, tmp_path, sizes=FEW)


def test_no_dataset_is_left_out():
    kinds = {
        name: entry.load()
        for name, entry in registry.entries("datasets").items()
        if entry.target.startswith("slotbench.")
    }
    imported = {name for name, kind in kinds.items() if kind.importer is not Dataset.importer}
    assert imported == {make().name for make in SOURCES.values()}
    only = {name for name, kind in kinds.items() if issubclass(kind, OriginalOnly)}
    assert only == set(ORIGINALS)
    assert kinds.keys() - only == set(RENDERED)


@pytest.mark.parametrize("name", RENDERED)
def test_an_image_depends_on_seed_split_and_index_alone(name):
    kind = registry.get("datasets", name).load()
    for variant in kind.variants[:1] if name in ("clevr", "clevrtex") else kind.variants:
        dataset = kind(variant, 32, 3)
        whole = dataset.render("train", 0, 5)
        assert dataset.layout.check(whole) == 5
        for key, array in kind(variant, 32, 3).render("train", 3, 5).items():
            np.testing.assert_array_equal(array, whole[key][3:], err_msg=key)
        for other in (kind(variant, 32, 4).render("train", 0, 5), dataset.render("val", 0, 5)):
            assert (other["mask"] != whole["mask"]).any()
