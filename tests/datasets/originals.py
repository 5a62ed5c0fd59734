"""TFRecords of multi_object_datasets, written byte by byte, and their expected content."""

import gzip
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import crc32c
import numpy as np

from tests.datasets.contents import Held


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def single_bytes(values):
    """A ``bytes_list`` in which every byte is an entry of its own."""
    stored = np.frombuffer(values.tobytes(), np.uint8)
    ten, one = np.full_like(stored, 10), np.ones_like(stored)
    return field(1, np.stack([ten, one, stored], axis=1).tobytes())


def whole_bytes(values):
    """A ``bytes_list`` of one entry."""
    return field(1, field(1, values.tobytes()))


def entries(values):
    """A ``bytes_list`` of entries of any length."""
    return field(1, b"".join(field(1, value) for value in values))


def packed_floats(values):
    return field(2, field(1, values.astype("<f4").tobytes()))


def loose_floats(values):
    return field(2, b"".join(b"\x0d" + struct.pack("<f", value) for value in values.ravel()))


def example(features):
    entries = (
        field(1, field(1, key.encode()) + field(2, value)) for key, value in features.items()
    )
    return field(1, b"".join(entries))


def masked(text):
    crc = crc32c.crc32c(text)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(data):
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def write(path, records):
    path.write_bytes(gzip.compress(b"".join(frame(record) for record in records), 1))
    return path


class Form(NamedTuple):
    """How the records of a dataset are stored."""

    image: tuple[int, int, int]
    entities: int
    place: Callable[[int], tuple[slice, slice]]
    """Where an entity is drawn."""
    codes: Mapping[str, int]
    """Key -> number of classes, which count from 1."""
    numbers: Mapping[str, int]
    """Key -> numbers of each entity."""
    as_bytes: bool = False
    """Whether codes are bytes; else they are floats."""
    last: bool = False
    """Whether a mask is (H, W, entities), not (entities, H, W)."""
    crop: tuple[slice, slice] = (slice(None), slice(None))


CLEVR = Form(
    (240, 320, 3),
    11,
    lambda entity: (slice(100, 116), slice(64 + 18 * entity, 80 + 18 * entity)),
    {"shape": 3, "color": 8, "material": 2, "size": 2},
    {"x": 1, "y": 1, "z": 1, "rotation": 1, "pixel_coords": 3},
    as_bytes=True,
    crop=(slice(29, 221), slice(64, 256)),
)
TETROMINOES = Form(
    (35, 35, 3),
    4,
    lambda entity: (
        slice(10 * entity - 6, 10 * entity + 4),
        slice(10 * entity - 7, 10 * entity + 3),
    ),
    {"shape": 19},
    {"x": 1, "y": 1, "color": 3},
    crop=(slice(2, 34), slice(2, 34)),
)
COLORS = {"": (0, 0, 0), "red": (1, 0, 0), "cyan": (0, 1, 1), "yellow": (1, 1, 0)}
"""Of tetrominoes, whose colours are classes."""
SPRITES = {
    variant: Form(
        (64, 64, channels),
        entities,
        lambda entity: (slice(10 * entity, 10 * entity + 8), slice(20, 40)),
        {"shape": 3},
        {"x": 1, "y": 1, "scale": 1, "orientation": 1, "color": channels},
        last=True,
    )
    for variant, entities, channels in (
        ("colored_on_grayscale", 6, 3),
        ("colored_on_colored", 5, 3),
        ("binarized", 4, 1),
    )
}


def drawn(form, index, objects):
    """Image, labels, and the arrays (entities, d) of a record; padding holds numbers too."""
    generator = np.random.default_rng(index)
    labels = np.zeros(form.image[:2], np.uint8)
    for entity in range(1, objects + 1):
        labels[form.place(entity)] = entity
    colors = [20 * labels, np.full_like(labels, index), np.where(labels > 0, 90, 200)]
    image = np.stack(colors[: form.image[2]], axis=-1).astype(np.uint8)
    present = np.arange(form.entities)[:, None] <= objects
    sizes = {key: (form.entities, dim) for key, dim in form.numbers.items()}
    stored = {key: generator.uniform(-3, 3, size) for key, size in sizes.items()}
    for key, classes in form.codes.items():
        stored[key] = generator.integers(1, classes + 1, present.shape) * present
    if form is TETROMINOES:
        stored["color"] = np.array(list(COLORS.values()))
    return image, labels, {**stored, "visibility": present}


def pixels(image, labels, entities, last=False):
    """The features of an image and the masks of its entities."""
    mask = 255 * (labels[..., None] == np.arange(entities)).astype(np.uint8)
    return {
        "image": single_bytes(image),
        "mask": single_bytes(mask if last else mask.transpose(2, 0, 1)),
    }


def record(form, index, objects, **replaced):
    """The order of the features differs between records; ``replaced`` are stored as they are."""
    image, labels, stored = drawn(form, index, objects)
    floats = packed_floats if index % 2 else loose_floats
    features = pixels(image, labels, form.entities, form.last)
    for key, values in stored.items():
        coded = form.as_bytes and key in form.codes
        features[key] = single_bytes(values.astype(np.uint8)) if coded else floats(values)
    return example(dict(sorted({**features, **replaced}.items(), reverse=bool(index % 2))))


def held(form, index, objects):
    """What the crop shows; classes are called by their codes."""
    image, labels, stored = drawn(form, index, objects)
    there = {key: values[1 : objects + 1] for key, values in stored.items()}
    found = {key: [f"{key}-{code}" for code in there[key][:, 0]] for key in form.codes}
    axes = [key for key in form.numbers if key in "xyz"]
    found["position"] = np.concatenate([there[key] for key in axes], axis=1)
    for key in form.numbers.keys() - {*axes} - ({"color"} if image.shape[2] == 1 else set()):
        found[key] = there[key][:, 0] if form.numbers[key] == 1 else there[key]
    if form is TETROMINOES:
        found["color"] = list(COLORS)[1:]
    return Held(np.broadcast_to(image, (*labels.shape, 3))[form.crop], labels[form.crop], found)


def room_arrays(index, objects, walls=2):
    """Image and entities (64, 64): sky, floor, wall or its halves, then objects of 6x12 pixels."""
    labels = np.zeros((64, 64), np.int64)
    labels[32:] = 1
    labels[20:32] = 2
    if walls == 2:
        labels[20:32, 30:] = 3
    for entity in range(objects):
        row, column = 29 + 5 * entity, 4 + 9 * entity
        labels[row : row + 6, column : column + 12] = 2 + walls + entity
    image = np.repeat(20 * labels[..., None] + index % 10, 3, axis=2).astype(np.uint8)
    return image, labels


def room_record(index, objects, entities=7, walls=2):
    return example(pixels(*room_arrays(index, objects, walls), entities))


def room_held(index, objects, walls):
    """All background is label 0."""
    image, labels = room_arrays(index, objects, walls)
    return Held(image, np.maximum(labels - walls - 1, 0), {})
