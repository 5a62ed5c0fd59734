"""Original files of true sizes, for import_rate.py; written by the tests' own writers."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from slotbench.rng import numpy_generator
from tests.datasets import originals, originals_coco, originals_movi
from tests.datasets.originals_images import grey, rgb

COUNTS = {
    "clevr": 24,
    "multi-dsprites": 300,
    "tetrominoes": 1000,
    "objects-room": 300,
    "movi": 6,
    "folder": 300,
    "coco": 200,
}
"""Records, clips or images."""


def decoded(data: bytes) -> np.ndarray:
    """A PNG as its pixels, by Pillow."""
    return np.asarray(Image.open(io.BytesIO(data)))


def make(name: str, folder: Path) -> Path:
    """The file or folder that is imported."""
    count = COUNTS[name]
    if name == "movi":
        sizes: dict[str, tuple[int, ...]] = {"train": (count - 1,), "validation": (1,)}
        originals_movi.SIDE = 128
        return Path(originals_movi.write(folder / "movi_a", sizes=sizes))
    if name in ("folder", "coco"):
        return (_folder if name == "folder" else _coco)(folder / name, count)
    sprites = originals.SPRITES["colored_on_grayscale"]
    records: Callable[[int], bytes] = {
        "clevr": lambda index: originals.record(originals.CLEVR, index, 3 + index % 8),
        "multi-dsprites": lambda index: originals.record(sprites, index, 2),
        "tetrominoes": lambda index: originals.record(originals.TETROMINOES, index, 3),
        "objects-room": lambda index: originals.room_record(index, 3),
    }[name]
    file = {
        "clevr": "clevr_with_masks_train",
        "multi-dsprites": "multi_dsprites_colored_on_grayscale",
        "tetrominoes": "tetrominoes_train",
        "objects-room": "objects_room_train",
    }[name]
    different = [records(index) for index in range(min(count, 24))]
    listed = [different[index % len(different)] for index in range(count)]
    return Path(originals.write(folder / f"{file}.tfrecords", listed))


def _picture(index: int, height: int, width: int) -> np.ndarray:
    """Smooth ground with some noise, so that it compresses about as photographs do."""
    noise = numpy_generator(0, "picture", index).normal(0, 6, (height, width, 1))
    rows, columns = np.mgrid[:height, :width]
    ground = 80 + 90 * np.stack([rows / height, columns / width, 0 * rows], axis=-1)
    return (ground + noise).clip(0, 255).astype(np.uint8)


def _folder(root: Path, count: int) -> Path:
    root.mkdir()
    for index in range(count):
        labels = np.zeros((128, 128), np.uint8)
        labels[20:60, 30:70], labels[70:100, 40:110] = 1, 2
        (root / f"{index:04d}.png").write_bytes(rgb(_picture(index, 128, 128)))
        (root / f"{index:04d}_mask.png").write_bytes(grey(labels))
    return root


def _coco(root: Path, count: int) -> Path:
    """As many images in all, each with three instances that polygons outline."""
    splits = {"train2017": range(1, count - 19), "val2017": range(count - 19, count + 1)}
    for folder, ids in splits.items():
        (root / folder).mkdir(parents=True)
        (root / "annotations").mkdir(exist_ok=True)
        annotations = []
        for id_ in ids:
            stream = io.BytesIO()
            Image.fromarray(_picture(id_, 480, 640)).save(stream, "JPEG", quality=90)
            (root / folder / f"{id_:012d}.jpg").write_bytes(stream.getvalue())
            for k in range(3):
                x, y, side = 60.0 + 180 * k, 100.0 + 40 * k, 120.0
                corners = [x, y, x + side, y, x + side, y + side, x, y + side]
                annotations.append(
                    originals_coco.annotation(
                        10 * id_ + k, id_, 1, segmentation=[corners], bbox=[x, y, side, side]
                    )
                )
        document = originals_coco.document(list(ids), annotations)
        for image in document["images"]:
            image["width"], image["height"] = 640, 480
        text = json.dumps(document)
        (root / "annotations" / f"instances_{folder}.json").write_text(text)
    return root
