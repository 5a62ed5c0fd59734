"""Original files, written byte by byte: arrays, records, and what prepared data has of them."""

import gzip
import struct

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


def clevr_arrays(index, objects):
    """Image, mask, codes and numbers of squares in the crop; entity i is at column 64 + 18 i."""
    generator = np.random.default_rng(index)
    image = np.full((240, 320, 3), 100, np.uint8)
    mask = np.zeros((11, 240, 320, 1), np.uint8)
    for entity in range(1, objects + 1):
        place = (slice(100, 116), slice(64 + 18 * entity, 80 + 18 * entity))
        image[place] = generator.integers(0, 256, 3)
        mask[entity][place] = 255
    mask[0] = 255 * (mask[1:].sum(axis=0) == 0)
    present = np.arange(11) <= objects
    classes = {"shape": 3, "color": 8, "material": 2, "size": 2}
    codes = {key: generator.integers(1, n + 1, 11) * present for key, n in classes.items()}
    numbers = {key: generator.uniform(-3, 3, 11) * present for key in ("x", "y", "z", "rotation")}
    numbers["pixel_coords"] = generator.uniform(0, 320, (11, 3))
    numbers["visibility"] = present.astype(float)
    return image, mask, codes, numbers


def clevr_record(index, objects, **replaced):
    """The order of the features differs between records; ``replaced`` are stored as they are."""
    image, mask, codes, numbers = clevr_arrays(index, objects)
    floats = packed_floats if index % 2 else loose_floats
    features = {
        "image": single_bytes(image),
        "mask": single_bytes(mask),
        **{key: single_bytes(values.astype(np.uint8)) for key, values in codes.items()},
        **{key: floats(values) for key, values in numbers.items()},
        **replaced,
    }
    return example(dict(sorted(features.items(), reverse=bool(index % 2))))


def clevr_held(index, objects):
    """The crop of 192 pixels; classes are called by their codes."""
    image, mask, codes, numbers = clevr_arrays(index, objects)
    crop, there = (slice(29, 221), slice(64, 256)), slice(1, objects + 1)
    properties = {key: [f"{key}-{code}" for code in codes[key][there]] for key in codes}
    properties["position"] = np.stack([numbers[key][there] for key in "xyz"], axis=1)
    properties |= {key: numbers[key][there] for key in ("rotation", "pixel_coords")}
    return Held(image[crop], mask[..., 0].argmax(axis=0)[crop], properties)


SPRITES = {"colored_on_grayscale": (6, 3), "colored_on_colored": (5, 3), "binarized": (4, 1)}
"""Variant -> entities and channels."""


def sprites_arrays(index, sprites=2, entities=6, channels=3):
    """Image, mask and numbers."""
    generator = np.random.default_rng(index)
    image = np.full((64, 64, channels), 50, np.uint8)
    mask = np.zeros((64, 64, entities, 1), np.uint8)
    for entity in range(1, sprites + 1):
        place = (slice(10 * entity, 10 * entity + 8), slice(20, 40))
        image[place] = 40 * entity
        mask[place][..., entity, 0] = 255
    mask[..., 0, 0] = 255 * (mask[..., 1:, 0].sum(axis=-1) == 0)
    numbers = {key: generator.random(entities) for key in ("x", "y", "scale", "orientation")}
    numbers["shape"] = generator.integers(1, 4, entities).astype(float)
    numbers["color"] = generator.random((entities, channels))
    numbers["visibility"] = (np.arange(entities) <= sprites).astype(float)
    return image, mask, numbers


def sprites_record(index, sprites=2, entities=6, channels=3, **replaced):
    image, mask, numbers = sprites_arrays(index, sprites, entities, channels)
    stored = {key: packed_floats(values) for key, values in numbers.items()}
    pixels = {"image": single_bytes(image), "mask": single_bytes(mask)}
    return example({**pixels, **stored, **replaced})


def sprites_held(index, sprites, entities, channels):
    image, mask, numbers = sprites_arrays(index, sprites, entities, channels)
    there, keys = slice(1, sprites + 1), ["scale", "orientation", *["color"] * (channels == 3)]
    properties = {key: numbers[key][there] for key in keys}
    properties["shape"] = [f"shape-{code:.0f}" for code in numbers["shape"][there]]
    properties["position"] = np.stack([numbers["x"][there], numbers["y"][there]], axis=1)
    return Held(np.broadcast_to(image, (64, 64, 3)), mask[..., 0].argmax(axis=-1), properties)


def tetrominoes_arrays(index):
    """Squares of 10x10 pixels at (3 + 10 i, 4 + 10 i) in red, cyan, yellow; entity 0 is zeros."""
    colors = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 0)])
    image, mask = np.zeros((35, 35, 3), np.uint8), np.zeros((4, 35, 35, 1), np.uint8)
    numbers = {key: np.zeros(4) for key in ("x", "y", "shape")}
    for entity in (1, 2, 3):
        x, y = 10 * entity - 7, 10 * entity - 6
        place = (slice(y, y + 10), slice(x, x + 10))
        image[place], mask[entity][place] = 255 * colors[entity], 255
        numbers["x"][entity], numbers["y"][entity] = x, y
        numbers["shape"][entity] = (index + 6 * entity) % 19 + 1
    mask[0] = 255 * (mask[1:].sum(axis=0) == 0)
    return image, mask, {**numbers, "color": colors, "visibility": np.ones(4)}


def tetrominoes_record(index, **replaced):
    image, mask, numbers = tetrominoes_arrays(index)
    floats = packed_floats if index % 2 else loose_floats
    stored = {key: floats(values) for key, values in numbers.items()}
    pixels = {"mask": single_bytes(mask), "image": single_bytes(image)}
    return example({**pixels, **stored, **replaced})


def tetrominoes_held(index):
    """The crop of 32 pixels begins at pixel 2; the last square loses what is beyond pixel 33."""
    image, mask, numbers = tetrominoes_arrays(index)
    crop = (slice(2, 34), slice(2, 34))
    properties = {
        "shape": [f"shape-{code:.0f}" for code in numbers["shape"][1:]],
        "color": ["red", "cyan", "yellow"],
        "position": np.stack([numbers["x"][1:], numbers["y"][1:]], axis=1),
    }
    return Held(image[crop], mask[..., 0].argmax(axis=0)[crop], properties)


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


def room_record(index, objects, entities=7, walls=2, **replaced):
    image, labels = room_arrays(index, objects, walls)
    mask = 255 * (np.arange(entities)[:, None, None, None] == labels[..., None]).astype(np.uint8)
    return example({"image": single_bytes(image), "mask": single_bytes(mask), **replaced})


def room_held(index, objects, walls):
    """All background is label 0."""
    image, labels = room_arrays(index, objects, walls)
    return Held(image, np.maximum(labels - walls - 1, 0), {})
