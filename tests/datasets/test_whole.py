"""Every dataset, from original files and made here: prepare, verify, train, evaluate."""

from pathlib import Path

import pytest

from slotbench import registry
from slotbench.datasets.dataset import Dataset
from slotbench.datasets.originals.importing import OriginalOnly
from tests.datasets.sources import RENDERED, SOURCES
from tests.datasets.whole import whole

FEW = {"train": 6, "val": 4, "test": 4}


@pytest.mark.parametrize("case", SOURCES)
def test_from_original_files_to_an_evaluation(case: str, tmp_path: Path) -> None:
    source = SOURCES[case]
    path = source.written(tmp_path / "source")
    whole(source.name, tmp_path, source=path, masks=source.masks)


@pytest.mark.parametrize("name", RENDERED)
def test_from_rendering_to_an_evaluation(name: str, tmp_path: Path) -> None:
    whole(name, tmp_path, sizes=FEW)


def test_no_dataset_is_left_out() -> None:
    kinds: dict[str, type[Dataset]] = {
        name: entry.load()
        for name, entry in registry.entries("datasets").items()
        if entry.target.startswith("slotbench.")
    }
    imported = {name for name, kind in kinds.items() if kind.importer is not Dataset.importer}
    assert imported == {source.name for source in SOURCES.values()}
    made_here = {name for name, kind in kinds.items() if not issubclass(kind, OriginalOnly)}
    assert made_here == set(RENDERED)
