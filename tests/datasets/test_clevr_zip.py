"""Import of CLEVR_v1.0.zip: properties without masks."""

import math

import numpy as np
import pytest

from slotbench.datasets.prepare.preparation import prepare
from slotbench.datasets.sets.clevr import ClevrZipImporter
from slotbench.errors import UserError
from tests.datasets import originals_clevr_zip as zips
from tests.datasets.originals import clevr_record, write
from tests.datasets.originals_images import rgb
from tests.datasets.test_archives import zip_of
from tests.datasets.whole import refused, requests_of

request = requests_of("clevr", 16, "clevr6")
TRAIN, VAL = [3, 7, 4, 6, 9, 5, 3], [4, 5, 8, 6, 3]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return zips.write_clevr(tmp_path_factory.mktemp("original") / "CLEVR_v1.0.zip", TRAIN, VAL)


@pytest.mark.parametrize(
    ("index", "axis", "side"), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
)  # index: large, small
def test_objects_beside_the_crop_are_not_visible(index, axis, side, tmp_path):
    """35 mm on 32 mm of 320 pixels: radius r at depth d covers 350 r / d pixels."""
    depth = 12.0
    radius = zips.SIZES[("large", "small")[index]] * 350 / depth
    edge = ((64, 256), (29, 221))[axis][side]
    objects = []
    for gap in (-1.0, 1.0):  # inside by a pixel, outside by one
        place = [160.0, 120.0]
        place[axis] = edge + (1 if side else -1) * (radius + gap)
        objects.append(zips.thing(index, *place, depth))
    listed = zips.scenes("train", [zips.scene("train", 0, 2, objects=objects)])
    path = zips.write_clevr(tmp_path / "a.zip", [2], [2, 2], scenes__CLEVR_train_scenes=listed)
    ((_, batch),) = ClevrZipImporter(path, "clevr6", 16).batches(0, 10)
    assert batch["visible"][0].tolist() == [True, False, False, False, False, False]
    assert (batch["property/shape"][0, :2] >= 0).all()


def test_the_two_originals_are_told_apart(source, tmp_path):
    records = write(tmp_path / "clevr.tfrecords", [clevr_record(i, 3) for i in range(10)])
    asked = request(source, data_dir=tmp_path)
    assert prepare(asked) == prepare(asked)
    with pytest.raises(UserError, match=r"with original 'CLEVR_v1\.0, without masks' instead of"):
        prepare(request(records, data_dir=tmp_path))


def thing_of(**fields):
    """Of the second scene of val, object 2 has other fields."""
    second = zips.scene("val", 1, 3)
    second["objects"][2] |= fields
    return {"scenes__CLEVR_val_scenes": zips.scenes("val", [zips.scene("val", 0, 3), second])}


def scene_of(**fields):
    """The second scene of train has other fields."""
    second = zips.scene("train", 1, 3, **fields)
    return {"scenes__CLEVR_train_scenes": zips.scenes("train", [zips.scene("train", 0, 3), second])}


def text_of(text):
    return {"scenes__CLEVR_train_scenes": text}


SMALL = rgb(np.zeros((120, 160, 3), np.uint8))
IN_VAL = r"scenes/CLEVR_val_scenes\.json.*"
IN_TRAIN = r"scenes/CLEVR_train_scenes\.json, scene 1[:,].* ?"
TEXT = r"scenes/CLEVR_train_scenes\.json.*"
BAD = [
    (
        thing_of(shape="cone"),
        IN_VAL + "object 2: 'shape' is 'cone', not one of cube, sphere, cylin",
    ),
    (thing_of(rotation=True), IN_VAL + "object 2: 'rotation' is not a number within a million"),
    (thing_of(rotation=math.nan), IN_VAL + "it is not valid JSON"),
    (thing_of(rotation=10**400), IN_VAL + "it is not valid JSON .*overflow"),
    (thing_of(pixel_coords=[1, 2, 0]), IN_VAL + "scene 1: 'pixel_coords' has no positive depth"),
    (scene_of(image_filename="../../x"), IN_TRAIN + "'image_filename' is not a file name"),
    (scene_of(image_filename=3), IN_TRAIN + "'image_filename' is not a file name"),
    (scene_of(image_filename="9.png"), IN_TRAIN + r"there is no image CLEVR_v1\.0/images/"),
    (scene_of(objects={}), IN_TRAIN + "'objects' is not a list of at most 10"),
    (scene_of(objects=[zips.thing(0, 100)] * 11), IN_TRAIN + "'objects' is not a list"),
    (scene_of(objects=[3]), IN_TRAIN + "object 0: it is not a JSON object"),
    (text_of(b""), TEXT + "premature EOF"),
    (text_of(b'{"info": {}}'), TEXT + "it has no list 'scenes'"),
    (text_of(b'{"scenes": {}}'), TEXT + "it has no list 'scenes'"),
    (text_of(b'{"scenes": []} x'), TEXT + "trailing garbage"),
    (text_of(b'{"scenes": [' + b"[" * 100_000), TEXT + "nested too deep"),
    (text_of(b'{"scenes": ["\xff"]}'), TEXT + "invalid bytes in UTF8"),
    (text_of(b'{"scenes": [3]}'), TEXT + "scene 0: 'objects' is not a list"),
    ({"CLEVR_train_000001": SMALL}, r"images/train/.*01\.png: 160x120 pixels, expected 480x320"),
    ({"CLEVR_val_000001": b"PNG"}, r"images/val/CLEVR_val_000001\.png: .*not a PNG"),
]


@pytest.mark.parametrize(("replaced", "message"), BAD)
def test_what_is_wrong_is_named(replaced, message, tmp_path):
    path = zips.write_clevr(tmp_path / "a.zip", [3, 3], [3, 3], **replaced)
    named = rf"{path}, member CLEVR_v1\.0/{message}"
    refused(request(path), named)


def test_pictures_of_the_published_size_have_the_same_frame(tmp_path):
    """480x320 with alpha; pixel coordinates are stored in pixels of 320x240."""
    alpha = np.full((320, 480, 1), 255, np.uint8)
    large = np.concatenate([zips.image(0, 320), alpha], axis=2)
    listed = zips.scenes(
        "train", [zips.scene("train", 0, 1, objects=[zips.thing(0, 240, 160, 10)])]
    )
    replaced = {"CLEVR_train_000000": rgb(large, alpha=True), "scenes__CLEVR_train_scenes": listed}
    path = zips.write_clevr(tmp_path / "a.zip", [1], [2, 2], **replaced)
    ((_, batch),) = ClevrZipImporter(path, "clevr6", 256).batches(0, 10)
    np.testing.assert_array_equal(batch["image"][0], large[39:295, 85:341, :3])
    np.testing.assert_allclose(batch["property/pixel_coords"][0, 0], [180, 120, 10])
    assert batch["visible"][0, 0]


@pytest.mark.parametrize(
    ("left_out", "message"),
    [("train", "holds 0 files scenes/CLEVR_train"), ("val", "val_scenes.json: there is no such")],
)
def test_other_zips_are_refused(left_out, message, tmp_path):
    files = zips.clevr_files([3], [3, 3])
    kept = {name: data for name, data in files.items() if f"{left_out}_scenes" not in name}
    refused(request(zip_of(tmp_path / "a.zip", kept)), message)
