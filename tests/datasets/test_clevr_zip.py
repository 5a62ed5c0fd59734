"""Import of CLEVR_v1.0.zip: properties without masks."""

import hashlib
import io
import json
import math
import re

import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.summary import summary
from slotbench.datasets.originals.clevr_zip import ClevrZipImporter
from slotbench.datasets.originals.jsons import json_items
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.errors import UserError
from slotbench.results import verify
from tests.datasets.originals_clevr_zip import (
    SIZES,
    clevr_files,
    image,
    scene,
    scenes,
    thing,
    write_clevr,
    zip_bytes,
)
from tests.datasets.originals_images import rgb

TRAIN, VAL = [3, 7, 4, 6, 9, 5, 3], [4, 5, 8, 6, 3]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_clevr(tmp_path_factory.mktemp("original") / "CLEVR_v1.0.zip", TRAIN, VAL)


def request(source, data, variant="clevr6", **fields):
    return Request("clevr", variant, source, data_dir=data, **fields)


@pytest.mark.parametrize(("variant", "most"), [("clevr6", 6), ("clevr10", 10)])
def test_splits_and_variants(source, tmp_path, variant, most):
    path = prepare(request(source, tmp_path, variant))
    facts = verify.dataset(path)
    assert (facts["origin"], facts["objects"]) == ("original", most)
    splits = {"train": TRAIN, "val": VAL[:2], "test": VAL[2:]}
    with DatasetFile(path) as dataset:
        for split, objects in splits.items():
            counted = dataset.read(split)["visible"].sum(axis=1).tolist()
            assert counted == [count for count in objects if count <= most]
            assert (dataset.read(split)["mask"] == 255).all()
        assert "its own test images have no scenes" in dataset.attributes["split_rule"]
        assert "val: records 7 to 8, test: records 9 to 11" in dataset.attributes["split_rule"]
        (stored,) = json.loads(dataset.attributes["sources"])
        assert stored == {
            "file": "CLEVR_v1.0.zip",
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        }
        assert summary(dataset)[-1].startswith("No pixel is labelled: segmentation cannot be")


def test_images_are_cropped_and_properties_kept(source, tmp_path):
    with DatasetFile(prepare(request(source, tmp_path, image_size=192))) as dataset:
        batch, layout = dataset.read("train"), dataset.layout
    kept = [index for index, count in enumerate(TRAIN) if count <= 6]
    for row, index in enumerate(kept):
        np.testing.assert_array_equal(batch["image"][row], image(index)[29:221, 64:256])
        for slot in range(TRAIN[index]):
            known = thing(index + slot, 70 + 20 * slot)
            for prop in layout.properties[:4]:
                code = batch[prop.key][row, slot]
                assert prop.classes[code] == known[prop.name]
            numbers = {"3d_coords": "position", "pixel_coords": "pixel_coords"}
            for key, name in {**numbers, "rotation": "rotation"}.items():
                np.testing.assert_allclose(
                    batch[f"property/{name}"][row, slot], np.float32(known[key])
                )
        assert (batch["property/shape"][row, TRAIN[index] :] == -1).all()
        assert not batch["property/position"][row, TRAIN[index] :].any()


@pytest.mark.parametrize(
    ("index", "axis", "side"), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
)  # index: large, small
def test_objects_beside_the_crop_are_not_visible(index, axis, side, tmp_path):
    """35 mm on 32 mm of 320 pixels: radius r at depth d covers 350 r / d pixels."""
    depth = 12.0
    radius = SIZES[("large", "small")[index]] * 350 / depth
    edge = ((64, 256), (29, 221))[axis][side]
    objects = []
    for gap in (-1.0, 1.0):  # inside by a pixel, outside by one
        place = [160.0, 120.0]
        place[axis] = edge + (1 if side else -1) * (radius + gap)
        objects.append(thing(index, *place, depth))
    listed = scenes("train", [scene("train", 0, 2, objects=objects)])
    path = write_clevr(tmp_path / "a.zip", [2], [2, 2], scenes__CLEVR_train_scenes=listed)
    ((_, batch),) = ClevrZipImporter(path, "clevr6", 16).batches(0, 10)
    assert batch["visible"][0].tolist() == [True, False, False, False, False, False]
    assert (batch["property/shape"][0, :2] >= 0).all()


def test_the_two_originals_are_told_apart(source, tmp_path):
    from tests.datasets.originals import clevr_record, write

    records = write(tmp_path / "clevr.tfrecords", [clevr_record(i, 3) for i in range(10)])
    assert prepare(request(source, tmp_path)) == prepare(request(source, tmp_path))
    with pytest.raises(UserError, match=r"with original 'CLEVR_v1\.0, without masks' instead of"):
        prepare(request(records, tmp_path))


def bad(tmp_path, **replaced):
    path = write_clevr(tmp_path / "a.zip", [3, 3], [3, 3], **replaced)
    with pytest.raises(UserError) as caught:
        prepare(request(path, tmp_path / "data", image_size=16))
    assert list((tmp_path / "data").iterdir()) == []
    assert str(path) in caught.value.message
    return caught.value.message.removeprefix(f"{path}, member CLEVR_v1.0/")


HUGE = 10**400
SCENES = {
    "class": ({"shape": "cone"}, "object 2: 'shape' is 'cone', not one of cube, sphere, cylinder"),
    "truth": ({"rotation": True}, "object 2: 'rotation' is not a number within a million"),
    "nan": ({"rotation": math.nan}, "this is no JSON of scenes"),
    "huge": ({"rotation": HUGE}, "this is no JSON of scenes .*overflow"),
    "depth": ({"pixel_coords": [1, 2, 0]}, "scene 1: 'pixel_coords' has no positive depth"),
}


@pytest.mark.parametrize("case", SCENES)
def test_a_property_that_is_wrong_is_named(case, tmp_path):
    fields, what = SCENES[case]
    first, second = scene("val", 0, 3), scene("val", 1, 3)
    second["objects"][2].update(fields)
    found = bad(tmp_path, scenes__CLEVR_val_scenes=scenes("val", [first, second]))
    assert re.match(rf"scenes/CLEVR_val_scenes\.json.*{what}", found)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"image_filename": "../../etc/passwd"}, "'image_filename' is no name of a file"),
        ({"image_filename": 3}, "'image_filename' is no name of a file"),
        ({"image_filename": "CLEVR_train_000009.png"}, "there is no image CLEVR_v1.0/images/"),
        ({"objects": {}}, "'objects' is no list of at most 10"),
        ({"objects": [thing(0, 100)] * 11}, "'objects' is no list of at most 10"),
        ({"objects": [3]}, "object 0: it is no object of JSON"),
    ],
)
def test_a_scene_that_is_wrong_is_named(fields, what, tmp_path):
    text = scenes("train", [scene("train", 0, 3), scene("train", 1, 3, **fields)])
    found = bad(tmp_path, scenes__CLEVR_train_scenes=text)
    assert re.match(f"scenes/CLEVR_train_scenes.json, scene 1[:,].* ?{what}", found)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "premature EOF"),
        (b'{"info": {}}', "it has no list 'scenes'"),
        (b'{"scenes": {}}', "it has no list 'scenes'"),
        (b'{"scenes": []} x', "trailing garbage"),
        (b'{"scenes": [' + b"[" * 100_000, "nested too deep"),
        (b'{"scenes": ["\xff"]}', "invalid bytes in UTF8"),
        (b'{"scenes": [3]}', "scene 0: 'objects' is no list"),
    ],
)
def test_json_of_another_shape_is_refused(text, what, tmp_path):
    found = bad(tmp_path, scenes__CLEVR_train_scenes=text)
    assert re.search(what, found)
    assert found.startswith("scenes/CLEVR_train_scenes.json")


def test_pictures_of_the_published_size_have_the_same_frame(tmp_path):
    """480x320 with alpha; pixel coordinates are stored in pixels of 320x240."""
    alpha = np.full((320, 480, 1), 255, np.uint8)
    large = np.concatenate([image(0, 320), alpha], axis=2)
    listed = scenes("train", [scene("train", 0, 1, objects=[thing(0, 240, 160, 10)])])
    path = write_clevr(
        tmp_path / "a.zip",
        [1],
        [2, 2],
        CLEVR_train_000000=rgb(large, alpha=True),
        scenes__CLEVR_train_scenes=listed,
    )
    ((_, batch),) = ClevrZipImporter(path, "clevr6", 256).batches(0, 10)
    np.testing.assert_array_equal(batch["image"][0], large[39:295, 85:341, :3])
    np.testing.assert_allclose(batch["property/pixel_coords"][0, 0], [180, 120, 10])
    assert batch["visible"][0, 0]


def test_an_image_of_another_size_is_refused(tmp_path):
    found = bad(tmp_path, CLEVR_train_000001=rgb(np.zeros((120, 160, 3), np.uint8)))
    assert found.startswith("images/train/CLEVR_train_000001.png: 160x120 pixels, expected 480x320")
    assert "no PNG" in bad(tmp_path, CLEVR_val_000001=b"PNG")


def test_damaged_images_are_left_out_where_asked(source, tmp_path):
    path = write_clevr(tmp_path / "a.zip", TRAIN, VAL, CLEVR_train_000002=b"PNG")
    with DatasetFile(prepare(request(source, tmp_path / "whole", image_size=16))) as dataset:
        whole = dataset.read("train")["image"]
    with DatasetFile(prepare(request(path, tmp_path, image_size=16, skip_damaged=True))) as dataset:
        damaged = json.loads(dataset.attributes["damaged"])
        left = dataset.read("train")["image"]
    assert damaged["count"] == 1
    assert damaged["files"][0].endswith("CLEVR_train_000002.png")
    np.testing.assert_array_equal(left, np.delete(whole, 1, axis=0))  # scene 1 has 7 objects


def test_other_zips_are_refused(tmp_path):
    files = clevr_files([3], [3, 3])
    without = {name: data for name, data in files.items() if "train_scenes" not in name}
    (tmp_path / "a.zip").write_bytes(zip_bytes(without))
    with pytest.raises(UserError, match=r"holds 0 files scenes/CLEVR_train_scenes\.json"):
        prepare(request(tmp_path / "a.zip", tmp_path / "data"))
    without = {name: data for name, data in files.items() if "val_scenes" not in name}
    (tmp_path / "a.zip").write_bytes(zip_bytes(without))
    with pytest.raises(UserError, match=r"CLEVR_val_scenes\.json: there is no such member"):
        prepare(request(tmp_path / "a.zip", tmp_path / "data"))


def test_items_are_those_that_json_reads():
    wanted = [1, -2.5, "ä}[", {"a": [None, True, {"b": []}]}, 10**15]
    text = json.dumps({"info": {"wanted": [0]}, "wanted": wanted, "more": [1]}, indent=1)
    assert list(json_items(io.BytesIO(text.encode()), "wanted")) == wanted
