"""Every dataset, from original files and made here: prepare, verify, train, evaluate."""

import numpy as np
import pytest

from slotbench import registry
from slotbench.datasets.dataset import Dataset, OriginalOnly
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.prepare.preparation import Request, prepare
from tests.datasets.sources import RENDERED, SOURCES
from tests.datasets.whole import fingerprint, killed_after, refused, whole

ORIGINALS = [
    name
    for name in dict.fromkeys(source.name for source in SOURCES.values())
    if issubclass(registry.get("datasets", name).load(), OriginalOnly)
]
FEW = {"train": 6, "val": 4, "test": 4}


@pytest.mark.parametrize("case", SOURCES)
def test_from_original_files_to_an_evaluation(case, tmp_path, monkeypatch):
    """Also where the import was stopped and goes on."""
    source = SOURCES[case]
    path = source.written(tmp_path / "source")
    quiet = whole(source.name, tmp_path, source=path, masks=source.masks)
    asked = Request(source.name, source=path, image_size=32, data_dir=tmp_path / "stopped")
    assert len(killed_after(asked, 3, monkeypatch)) == 3
    stopped = prepare(asked)
    assert fingerprint(stopped) == fingerprint(quiet)
    with DatasetFile(quiet) as one, DatasetFile(stopped) as two:
        for key in ("sources", "manifest"):
            assert one.attributes[key] == two.attributes[key]


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
    assert imported == {source.name for source in SOURCES.values()}
    made_here = {name for name, kind in kinds.items() if not issubclass(kind, OriginalOnly)}
    assert made_here == set(RENDERED)


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
