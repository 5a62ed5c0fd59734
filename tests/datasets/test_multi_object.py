"""Records of multi_object_datasets that break their format, or use it in odd ways."""

from functools import partial

import numpy as np
import pytest

from slotbench.datasets.sets.clevr import clevr_importer
from slotbench.datasets.sets.multi_dsprites import multi_dsprites_importer
from slotbench.datasets.sets.tetrominoes import tetrominoes_importer
from slotbench.errors import UserError
from tests.datasets.originals import (
    SPRITES,
    clevr_record,
    packed_floats,
    single_bytes,
    sprites_record,
    tetrominoes_record,
    write,
)


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
