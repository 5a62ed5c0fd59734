"""The summary says what a file holds, counted here in another way."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Batch, Layout, Property
from slotbench.datasets.format.summary import count, summary
from slotbench.datasets.prepare.parts import join
from tests.conftest import ATTRIBUTES, LAYOUT, blocks_batch


def stored(path: Path, layout: Layout, batch: Batch) -> DatasetFile:
    """A file whose splits are all alike."""
    join(path, layout, {split: [batch] for split in ("train", "val", "test")}, ATTRIBUTES)
    return DatasetFile(path)


def test_lines_of_a_known_dataset(tmp_path: Path) -> None:
    layout = Layout(8, 8, 3, LAYOUT.properties)
    batch = layout.empty(4)
    # Objects: 1, 2, 3, none; the last image has half of its pixels labelled.
    for row, objects in enumerate([1, 2, 3, 0]):
        for slot in range(objects):
            batch["mask"][row, slot] = slot + 1
            batch["visible"][row, slot] = True
            batch["property/color"][row, slot] = [0, 0, 2][slot]
    batch["mask"][3, :4] = 255
    batch["property/color"][3, 0] = 1  # of an object that does not show
    with stored(tmp_path / "a.h5", layout, batch) as dataset:
        assert summary(dataset) == [
            "train  4 images, objects visible: 0 to 3 (mean 1.50), labelled: 87.5 % of pixels",
            "val    4 images, objects visible: 0 to 3 (mean 1.50), labelled: 87.5 % of pixels",
            "test   4 images, objects visible: 0 to 3 (mean 1.50), labelled: 87.5 % of pixels",
            "color: 3 classes, red 5, green 0, blue 1",
            "position: 2 numbers (pixels)",
        ]


@pytest.mark.parametrize("images", [1, 255, 256, 257, 600])
def test_counts_do_not_depend_on_blocks(images: int, tmp_path: Path) -> None:
    batch = blocks_batch(images, 0)
    batch["mask"][::3] = 255
    few = blocks_batch(1, 1)
    join(tmp_path / "a.h5", LAYOUT, {"train": [batch], "val": [few], "test": [few]}, ATTRIBUTES)
    with DatasetFile(tmp_path / "a.h5") as dataset:
        found = count(dataset, "train")
    each = batch["visible"].sum(axis=1)
    assert (found.images, found.objects) == (images, each.sum())
    assert (found.fewest, found.most) == (each.min(), each.max())
    assert found.share == pytest.approx(np.mean(batch["mask"] != 255))
    colors = [(batch["property/color"][batch["visible"]] == code).sum() for code in range(3)]
    assert found.codes["color"].tolist() == colors


@pytest.mark.parametrize(("labelled", "text"), [(1, "under 0.1 %"), (-1, "over 99.9 %")])
def test_a_few_pixels_are_not_rounded_away(labelled: int, text: str, tmp_path: Path) -> None:
    layout = Layout(64, 64, 1, ())
    batch = layout.empty(1)
    batch["mask"][:] = 255 if labelled == 1 else 0
    batch["mask"][0, 0, 0] = 0 if labelled == 1 else 255
    with stored(tmp_path / "a.h5", layout, batch) as dataset:
        assert f"labelled: {text} of pixels" in summary(dataset)[0]


@pytest.mark.parametrize("properties", [(), (Property("size", "numeric"),)])
def test_a_dataset_without_masks_says_so(properties: tuple[Property, ...], tmp_path: Path) -> None:
    layout = Layout(8, 8, 1, properties)
    batch = layout.empty(2)
    batch["mask"][:] = 255
    with stored(tmp_path / "a.h5", layout, batch) as dataset:
        last = summary(dataset)[-1]
    assert ("segmentation cannot be scored" if properties else "nothing can be scored") in last


def test_video_counts_every_frame(tmp_path: Path) -> None:
    layout = Layout(8, 8, 1, (), frames=3)
    batch = layout.empty(2)
    batch["mask"][0, 1, 0, 0] = 1
    batch["visible"][0, 1, 0] = True
    with stored(tmp_path / "a.h5", layout, batch) as dataset:
        found = count(dataset, "train")
    assert (found.images, found.objects, found.most) == (6, 1, 1)


def test_prepare_prints_it(tmp_path: Path) -> None:
    words = "prepare multi-dsprites --train 20 --val 5 --test 5 --workers 1 --data-dir"
    done = subprocess.run(
        [sys.executable, "-m", "slotbench", *words.split(), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    with DatasetFile(tmp_path / "multi-dsprites.h5") as dataset:
        lines = summary(dataset)
    said = " ".join(done.stderr.split())  # lines are folded at the terminal's width
    assert all(" ".join(line.split()) in said for line in lines)
    assert done.stdout.strip().endswith("multi-dsprites.h5")
