"""Import of original files, from the command's side."""

from functools import partial

import numpy as np
import pytest

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.originals.multi_object import clevr_importer, multi_dsprites_importer
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.datasets.sets.tetrominoes import tetrominoes_importer
from slotbench.errors import UserError
from slotbench.results import verify
from tests.datasets.originals import (
    clevr_record,
    packed_floats,
    single_bytes,
    sprites_record,
    tetrominoes_record,
    write,
)

SPRITES = {"colored_on_grayscale": (6, 3), "colored_on_colored": (5, 3), "binarized": (4, 1)}
OBJECTS = [3, 7, 4, 6, 10, 5, 3, 4, 5, 6]


@pytest.fixture(scope="module")
def clevr(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    records = [clevr_record(index, objects) for index, objects in enumerate(OBJECTS)]
    return write(folder / "clevr_with_masks_train.tfrecords", records)


def request(source, data, variant=None, **fields):
    name = "clevr" if "clevr" in source.name else "multi-dsprites"
    return Request(name, variant, source, data_dir=data, **fields)


@pytest.mark.parametrize(("variant", "most"), [("clevr6", 6), ("clevr10", 10)])
def test_clevr_is_split_by_record_and_filtered_by_variant(clevr, tmp_path, variant, most):
    path = prepare(request(clevr, tmp_path, variant))
    assert verify.dataset(path)["origin"] == "original"
    splits = {"train": OBJECTS[:7], "val": OBJECTS[7:8], "test": OBJECTS[8:]}
    with DatasetFile(path) as dataset:
        for split, objects in splits.items():
            counted = dataset.read(split)["visible"].sum(axis=1).tolist()
            # Entity 8 and above lie to the right of the crop.
            assert counted == [min(count, 10) for count in objects if count <= most]
        assert "sha256" in dataset.attributes["sources"]
        assert "train: records 0 to 6" in dataset.attributes["split_rule"]


def test_masks_images_and_codes_belong_together(clevr, tmp_path):
    with DatasetFile(prepare(request(clevr, tmp_path, image_size=192))) as dataset:
        batch = dataset.read("train", 0, 1)
        layout = dataset.layout
    generator = np.random.default_rng(0)
    colors = [generator.integers(0, 256, 3) for _ in range(3)]
    for label, color in enumerate(colors, start=1):
        inside = batch["mask"][0] == label
        assert inside.sum() == 16 * 16
        assert (batch["image"][0][inside] == color).all()
    shape = generator.integers(1, 4, 11)
    np.testing.assert_array_equal(batch["property/shape"][0, :3], shape[1:4] - 1)
    assert (batch["property/shape"][0, 3:] == -1).all()
    assert layout.properties[0].classes == ("shape-1", "shape-2", "shape-3")


@pytest.mark.parametrize("variant", SPRITES)
def test_sprites_are_imported(tmp_path, variant):
    entities, channels = SPRITES[variant]
    records = [sprites_record(index, 2, entities, channels) for index in range(10)]
    source = write(tmp_path / f"multi_dsprites_{variant}.tfrecords", records)
    path = prepare(request(source, tmp_path, variant))
    verify.dataset(path)
    with DatasetFile(path) as dataset:
        batch = dataset.read("train")
        assert dataset.layout.objects == entities - 1
    assert (batch["visible"].sum(axis=1) == 2).all()
    for label in (1, 2):
        assert (batch["image"][batch["mask"] == label] == 40 * label).all()


@pytest.mark.parametrize("variant", SPRITES)
def test_another_variants_file_is_refused(tmp_path, variant):
    other = next(name for name in SPRITES if name != variant)
    source = write(tmp_path / "x.tfrecords", [sprites_record(0, 2, *SPRITES[other])])
    batches = multi_dsprites_importer(source, variant, 64).batches(0, 10)
    with pytest.raises(UserError, match=r"record 0, byte 0: feature '(image|mask)' has"):
        list(batches)


CODES, FOUR = np.ones(11, np.uint8), np.ones(4)
BAD = [
    ("color", single_bytes(0 * CODES), "feature 'color' has a code outside 1 to 8"),
    ("shape", single_bytes(4 * CODES), "feature 'shape' has a code outside 1 to 3"),
    ("size", packed_floats(CODES), "feature 'size': not a bytes_list"),
    ("y", packed_floats(np.nan * CODES), "feature 'y' has a number that is not finite"),
    ("visibility", packed_floats(np.inf * CODES), "feature 'visibility' has a number that"),
    ("rotation", packed_floats(CODES[:10]), "feature 'rotation' has 10 numbers, expected 11x1"),
    ("mask", single_bytes(CODES), "feature 'mask' has 11 numbers, expected 11x240x320x1"),
]
BAD_PIECES = [
    ("shape", packed_floats(20 * FOUR), "feature 'shape' has a code outside 1 to 19"),
    ("color", packed_floats(np.zeros((4, 3))), "feature 'color' has a code outside 1 to 6"),
]


@pytest.mark.parametrize(("key", "feature", "what"), [*BAD, *BAD_PIECES])
def test_a_bad_feature_is_named(tmp_path, key, feature, what):
    if (key, feature, what) in BAD:
        record, importer = (
            partial(clevr_record, objects=3),
            partial(clevr_importer, variant="clevr6"),
        )
    else:
        record, importer = tetrominoes_record, tetrominoes_importer
    source = write(tmp_path / "x.tfrecords", [record(0), record(1, **{key: feature})])
    with pytest.raises(UserError, match=f"record 1, byte [1-9][0-9,]*: {what}"):
        list(importer(source, image_size=64).batches(0, 10))


def test_objects_in_scattered_columns_move_to_the_first_ones(tmp_path):
    # Entities 1 and 2 are drawn; the record says that 1 is not there, and pads with NaN.
    numbers = np.arange(6.0)
    numbers[3:] = np.nan
    visibility = np.array([1, 0, 1, 0, 0, 0])
    stored = sprites_record(0, x=packed_floats(numbers), visibility=packed_floats(visibility))
    source = write(tmp_path / "x.tfrecords", [stored])
    ((_, batch),) = multi_dsprites_importer(source, "colored_on_grayscale", 64).batches(0, 10)
    image, mask = batch["image"][0], batch["mask"][0]
    assert (mask[(image == 80).all(axis=-1)] == 1).all()
    assert (mask[(image == 40).all(axis=-1)] == 255).all()
    assert batch["visible"].tolist() == [[True, False, False, False, False]]
    assert batch["property/position"][0, :, 0].tolist() == [2, 0, 0, 0, 0]
