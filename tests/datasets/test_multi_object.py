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
CLEVR = partial(clevr_record, objects=3), partial(clevr_importer, variant="clevr6")
PIECES = tetrominoes_record, tetrominoes_importer
BAD = [
    (CLEVR, "color", single_bytes(0 * CODES), " has a code outside 1 to 8"),
    (CLEVR, "shape", single_bytes(4 * CODES), " has a code outside 1 to 3"),
    (CLEVR, "size", packed_floats(CODES), ": not a bytes_list"),
    (CLEVR, "y", packed_floats(np.nan * CODES), " has a number that is not finite"),
    (CLEVR, "visibility", packed_floats(np.inf * CODES), " has a number that is not finite"),
    (CLEVR, "rotation", packed_floats(CODES[:10]), " has 10 numbers, expected 11x1"),
    (CLEVR, "mask", single_bytes(CODES), " has 11 numbers, expected 11x240x320x1"),
    (PIECES, "shape", packed_floats(20 * FOUR), " has a code outside 1 to 19"),
    (PIECES, "color", packed_floats(np.zeros((4, 3))), " has a code outside 1 to 6"),
]


@pytest.mark.parametrize(("dataset", "key", "feature", "what"), BAD)
def test_a_bad_feature_is_named(tmp_path, dataset, key, feature, what):
    record, importer = dataset
    source = write(tmp_path / "x.tfrecords", [record(0), record(1, **{key: feature})])
    with pytest.raises(UserError, match=f"record 1, byte [1-9][0-9,]*: feature '{key}'{what}"):
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
