"""Folders of TFDS with MOVi's clips, written byte by byte."""

import json
from functools import lru_cache

import numpy as np

from tests.datasets.contents import Held
from tests.datasets.originals import entries, example, field, frame, packed_floats, varint
from tests.datasets.originals_images import grey, rgb

FRAMES = 24
SIDE = 16
SIZES = {"train": (3, 4), "validation": (3,)}
"""Split -> clips of each shard."""


def ints(values):
    return field(3, field(1, b"".join(varint(int(value) % 2**64) for value in values.ravel())))


def objects_of(index):
    """How many objects clip ``index`` has: 1 to 4."""
    return 1 + index % 4


def labels(index, time):
    """Object i is a bar that moves to the right; the last hides in the second half of the clip."""
    found, step = np.zeros((SIDE, SIDE), np.uint8), SIDE // 4
    n = objects_of(index)
    for label in range(1, n + 1):
        if label == n and time >= FRAMES // 2:
            continue
        left, top = (time + index) % (SIDE - step), step * (label - 1)
        found[top : top + SIDE // 8, left : left + step] = label
    return found


def image(index, time):
    """Red is 50 times the label, green the clip, blue the frame."""
    found = np.empty((SIDE, SIDE, 3), np.uint8)
    found[..., 0] = 50 * labels(index, time)
    found[..., 1], found[..., 2] = index, time
    return found


def positions(index, dim):
    """float (objects, frames, dim): object + frame / 100 + dimension / 10, and the clip."""
    n = objects_of(index)
    parts = np.arange(n)[:, None, None] + np.arange(FRAMES)[:, None] / 100 + np.arange(dim) / 10
    return (parts + 10 * index).astype(np.float32)


def codes(index, classes):
    return (np.arange(objects_of(index)) + index) % classes


COLORS = ("blue", "brown", "cyan", "gray", "green", "purple", "red", "yellow")
CODES = {
    "a": {"shape_label": 3, "size_label": 2, "color_label": 8, "material_label": 2},
    "c": {"category": 17},
    "e": {"category": 17},
}


def held(variant, index):
    n, times = objects_of(index), range(FRAMES)
    known = {
        key.removesuffix("_label"): codes(index, classes) for key, classes in CODES[variant].items()
    }
    known |= {"color": [COLORS[code] for code in known["color"]]} if variant == "a" else {}
    known |= {"position": positions(index, 3), "image_position": positions(index, 2)}
    known |= {} if variant == "a" else {"scale": 0.75 + np.arange(n) / 4}
    images, masks = ([made(index, time) for time in times] for made in (image, labels))
    return Held(np.stack(images), np.stack(masks), known)


@lru_cache(256)
def record(index, variant="a", **replaced):
    """Clip ``index``; ``depth`` is never read.

    Keys in ``replaced`` have ``__`` for ``/``; empty features are left out.
    """
    n, times = objects_of(index), range(FRAMES)
    drawn = [labels(index, time) for time in times]
    features = {
        "video": entries([rgb(image(index, time)) for time in times]),
        "segmentations": entries([grey(frame) for frame in drawn]),
        "depth": entries([grey(frame.astype(int) * 1000, 16) for frame in drawn]),
        "instances/positions": packed_floats(positions(index, 3)),
        "instances/image_positions": packed_floats(positions(index, 2)),
    }
    for key, classes in CODES[variant].items():
        features[f"instances/{key}"] = ints(codes(index, classes))
    if variant != "a":
        features["instances/scale"] = packed_floats(0.75 + np.arange(n) / 4)
    features |= {key.replace("__", "/"): value for key, value in replaced.items()}
    return example({key: value for key, value in sorted(features.items()) if value})


def shard_name(variant, split, index, shards):
    return f"movi_{variant}-{split}.tfrecord-{index:05d}-of-{shards:05d}"


def information(variant, sizes):
    """``dataset_info.json``; protobuf writes long whole numbers as text."""
    splits = [
        {"name": split, "numBytes": "1000", "shardLengths": [str(n) for n in lengths]}
        for split, lengths in sizes.items()
    ]
    return {"name": f"movi_{variant}", "fileFormat": "tfrecord", "splits": splits}


def write(root, variant="a", sizes=SIZES, replaced=None):
    """A folder of TFDS; clips are numbered through all shards, ``replaced`` are other records."""
    root.mkdir(parents=True, exist_ok=True)
    index = 0
    for split, lengths in sizes.items():
        for number, n in enumerate(lengths):
            records = []
            for _ in range(n):
                records.append((replaced or {}).get(index) or record(index, variant))
                index += 1
            name = shard_name(variant, split, number, len(lengths))
            (root / name).write_bytes(b"".join(frame(data) for data in records))
    (root / "dataset_info.json").write_text(json.dumps(information(variant, sizes)))
    (root / "features.json").write_text(json.dumps({"pythonClassName": "FeaturesDict"}))
    return root
