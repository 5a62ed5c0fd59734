"""The summary says what a file holds, counted here in another way."""

import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Layout, Property
from slotbench.datasets.format.summary import count, summary
from slotbench.datasets.prepare.parts import join
from tests.conftest import ATTRIBUTES, LAYOUT, blocks_batch


def stored(path, layout, batch):
    """A file whose splits are all alike."""
    join(path, layout, {split: [batch] for split in ("train", "val", "test")}, ATTRIBUTES)
    return DatasetFile(path)


def test_lines_of_a_known_dataset(tmp_path):
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
def test_counts_do_not_depend_on_blocks(images, tmp_path):
    batch = blocks_batch(images, 0)
    batch["mask"][::3] = 255
    few = blocks_batch(1, 1)
    join(tmp_path / "a.h5", LAYOUT, {"train": [batch], "val": [few], "test": [few]}, ATTRIBUTES)
    with DatasetFile(tmp_path / "a.h5") as dataset:
        found = count(dataset, "train")
    each = batch["visible"].sum(axis=1)
    assert found.objects.tolist() == each.tolist()
    assert found.share == pytest.approx(np.mean(batch["mask"] != 255))
    colors = [(batch["property/color"][batch["visible"]] == code).sum() for code in range(3)]
    assert found.codes["color"].tolist() == colors


@pytest.mark.parametrize(("labelled", "text"), [(1, "under 0.1 %"), (-1, "over 99.9 %")])
def test_a_few_pixels_are_not_rounded_away(labelled, text, tmp_path):
    layout = Layout(64, 64, 1, ())
    batch = layout.empty(1)
    batch["mask"][:] = 255 if labelled == 1 else 0
    batch["mask"][0, 0, 0] = 0 if labelled == 1 else 255
    with stored(tmp_path / "a.h5", layout, batch) as dataset:
        assert f"labelled: {text} of pixels" in summary(dataset)[0]


@pytest.mark.parametrize("properties", [(), (Property("size", "numeric"),)])
def test_a_dataset_without_masks_says_so(properties, tmp_path):
    layout = Layout(8, 8, 1, properties)
    batch = layout.empty(2)
    batch["mask"][:] = 255
    with stored(tmp_path / "a.h5", layout, batch) as dataset:
        last = summary(dataset)[-1]
    assert ("segmentation cannot be scored" if properties else "nothing can be scored") in last
