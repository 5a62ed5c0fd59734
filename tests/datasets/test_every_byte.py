"""The quirk of DeepMind's files: every pixel is its own entry of a ``bytes_list``.

For each file, the importer is compared with the ``tfrecord`` package, at a size at which no pixel
is resized; and the same arrays stored as one entry each have to give the same images.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from tfrecord.reader import tfrecord_loader

from slotbench.datasets.originals.importing import Importer
from slotbench.datasets.originals.multi_object import clevr_importer, multi_dsprites_importer
from slotbench.datasets.originals.objects_room_import import ObjectsRoomImporter
from slotbench.datasets.sets.tetrominoes import tetrominoes_importer
from tests.datasets import originals


class File(NamedTuple):
    record: Callable[..., bytes]
    importer: Callable[[Path], Importer]
    image: tuple[int, ...]
    mask: tuple[int, ...]
    entities: int = 0
    """Axis of the mask."""
    backgrounds: int = 1
    crop: tuple[slice, slice] = (slice(None), slice(None))


def sprites(variant, entities, channels):
    return File(
        partial(originals.sprites_record, 0, 2, entities, channels),
        lambda path: multi_dsprites_importer(path, variant, 64),
        (64, 64, channels),
        (64, 64, entities),
        2,
    )


FILES = {
    "clevr": File(
        partial(originals.clevr_record, 0, 4),
        lambda path: clevr_importer(path, "clevr6", 192),
        (240, 320, 3),
        (11, 240, 320),
        crop=(slice(29, 221), slice(64, 256)),
    ),
    "colored_on_grayscale": sprites("colored_on_grayscale", 6, 3),
    "colored_on_colored": sprites("colored_on_colored", 5, 3),
    "binarized": sprites("binarized", 4, 1),
    "tetrominoes": File(
        partial(originals.tetrominoes_record, 0),
        lambda path: tetrominoes_importer(path, 35),
        (35, 35, 3),
        (4, 35, 35),
    ),
    "objects-room": File(
        partial(originals.room_record, 0, 3),
        lambda path: ObjectsRoomImporter(path, 64),
        (64, 64, 3),
        (7, 64, 64),
        backgrounds=4,
    ),
}


def stored(path):
    """Image and mask as the package reads them: every entry by itself."""
    (record,) = tfrecord_loader(str(path), None, compression_type="gzip")
    # The package keeps entries as NumPy strings, which lose their zero bytes.
    return tuple(
        np.array([entry[0] if entry else 0 for entry in record[key]], np.uint8)
        for key in ("image", "mask")
    )


@pytest.mark.parametrize("name", FILES)
def test_every_pixel_of_the_files_is_an_entry_and_comes_to_its_place(name, tmp_path):
    file = FILES[name]
    record = file.record()
    path = originals.write(tmp_path / "a.tfrecords", [record])
    ((_, batch),) = file.importer(path).batches(0, 10)
    image, mask = stored(path)
    whole = {"image": originals.whole_bytes(image), "mask": originals.whole_bytes(mask)}
    for values in (image, mask):
        triples = b"".join(b"\x0a\x01" + bytes([value]) for value in values.tolist())
        assert triples in record
    image = image.reshape(file.image)[file.crop]
    mask = np.moveaxis(mask.reshape(file.mask), file.entities, -1)[file.crop]
    np.testing.assert_array_equal(batch["image"][0], np.broadcast_to(image, (*image.shape[:2], 3)))
    entities = mask.argmax(axis=-1)
    expected = np.maximum(entities - file.backgrounds + 1, 0)
    np.testing.assert_array_equal(batch["mask"][0], expected)
    assert len(np.unique(expected)) > 2
    # One entry of all bytes gives the same images.
    originals.write(path, [file.record(**whole)])
    ((_, again),) = file.importer(path).batches(0, 10)
    for key, array in batch.items():
        np.testing.assert_array_equal(again[key], array)
