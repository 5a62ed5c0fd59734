"""COCO 2017, from folders that the tests write."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from slotbench.datasets.originals.coco_json import counts_of
from slotbench.datasets.prepare.preparation import prepare
from slotbench.errors import UserError
from slotbench.results import verify
from tests.datasets import originals_coco as coco
from tests.datasets.whole import read_all, requests_of

HEIGHT, WIDTH, cropped = coco.HEIGHT, coco.WIDTH, coco.cropped
request = requests_of("coco", HEIGHT)
"""At this size nothing is resized."""


def written(tmp_path, parts, variant="instances"):
    """The arrays of the prepared file of these annotations."""
    return read_all(prepare(request(coco.write(tmp_path / "coco", parts), variant)))


def test_instances_of_one_category_may_overlap_in_classes(tmp_path):
    parts = coco.documents()
    for item in parts["train2017"]["annotations"]:
        item["category_id"] = 7
    mask = written(tmp_path, parts, "classes")["train/mask"][0]
    assert (mask[cropped(coco.box_of(6, 5, 10, 6))] == 1).all()


def test_run_lengths_as_text_are_those_that_pycocotools_writes(count):
    for seed in range(count):
        draw = np.random.default_rng(seed)
        mask = draw.random(draw.integers(1, 41, 2)) < draw.random()
        assert counts_of(coco.packed(mask)["counts"]).tolist() == coco.runs(mask)


def test_polygons_at_the_border_and_without_area_are_drawn_as_they_are(tmp_path):
    parts = coco.documents()
    items = parts["train2017"]["annotations"]
    items[0]["segmentation"] = [[1, 1, 5, 5], [3, 3], [], coco.corners(-1, -1, WIDTH + 2, 9)]
    items[5]["segmentation"] = [[4, 4, 5, 5]]
    masks = written(tmp_path, parts)["train/mask"]
    assert (masks[1][:8] == 1).all()
    assert (masks[1][9:] == 0).all()
    # Without an area the box says where it is, and not what each pixel is.
    np.testing.assert_array_equal(masks[2], cropped(255 * coco.box_of(6, 5, 6, 6)))


@pytest.mark.parametrize("stored", [None, []])
@pytest.mark.parametrize("variant", ["instances", "classes"])
def test_boxes_without_an_outline_are_not_labelled(stored, variant, tmp_path):
    parts = coco.documents()
    item = parts["train2017"]["annotations"][0]
    item |= {"segmentation": stored, "bbox": [5.5, 4.5, 8, 30 - HEIGHT]}
    found = written(tmp_path, parts, variant)
    np.testing.assert_array_equal(found["train/mask"][1], cropped(255 * coco.box_of(5, 4, 9, 11)))
    assert found["train/property/category"][1, 0] == 0
    assert not found["train/visible"][1].any()


@pytest.mark.parametrize("test", ["", "test"])
def test_exports_of_labelling_tools_are_read(test, tmp_path):
    """A folder a split, with its annotations, and images in sub-folders."""
    folder, root = coco.write(tmp_path / "coco"), tmp_path / "export"
    parts = coco.documents()
    places = {"train": "train2017", "valid": "val2017", **({test: "val2017"} if test else {})}
    for split, source in places.items():
        (root / split / "deep").mkdir(parents=True)
        for item in parts[source]["images"]:
            item["file_name"] = name = f"deep/{item['id']:012d}.jpg"
            shutil.copy(folder / source / Path(name).name, root / split / name)
        (root / split / "_annotations.coco.json").write_text(json.dumps(parts[source]))
    images = verify.dataset(prepare(request(root)))["images"]
    assert images == {"train": 4, **({"val": 5, "test": 5} if test else {"val": 3, "test": 2})}
    (root / "valid").rename(root / "other")
    with pytest.raises(UserError, match="no folder is the val split"):
        prepare(request(root, force=True))
