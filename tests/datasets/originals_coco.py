"""COCO's folders, written here: images, and the JSON text of their annotations."""

import io
import json

import numpy as np
from PIL import Image
from pycocotools import mask as pycoco

from tests.datasets.contents import Held

HEIGHT, WIDTH = 20, 28
NAMES = {3: "cat", 1: "person", 7: "kite"}
"""Category id -> name; the ids have gaps, and are not in order in the file."""


def corners(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def runs(mask):
    """The lengths of the runs of a mask, column after column, 0 first."""
    flat = mask.T.ravel().astype(int)
    borders = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *borders, flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def counted(mask):
    return {"size": [HEIGHT, WIDTH], "counts": runs(mask)}


def packed(mask):
    """The same as text."""
    text = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    return {"size": list(mask.shape), "counts": text}


def box_of(x, y, width, height):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def annotation(id_, image, category, **fields):
    """A square of 6 pixels, at row 5 and column 6 where ``fields`` say nothing else."""
    names = {"id": id_, "image_id": image, "category_id": category, "iscrowd": 0, "area": 36.0}
    outline = {"bbox": [6.0, 5.0, 6.0, 6.0], "segmentation": [corners(6, 5, 6, 6)]}
    return {**names, **outline, **fields}


def image(id_):
    name = f"{id_:012d}.jpg"
    return {"id": id_, "file_name": name, "width": WIDTH, "height": HEIGHT, "license": 1}


def document(ids, annotations):
    return {
        "info": {},
        "licenses": [],
        "images": [image(id_) for id_ in ids],
        "annotations": annotations,
        "categories": [{"id": id_, "name": name} for id_, name in NAMES.items()],
    }


def pixels(id_):
    """A picture of one colour, which its id determines, as a JPEG."""
    color = np.full((HEIGHT, WIDTH, 3), (id_ % 250, 100, 50), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(color).save(stream, "JPEG", quality=95)
    return stream.getvalue()


TRAIN, VAL = [9, 4, 30, 12], [8, 2, 6, 5, 40]


def documents():
    """Images out of order; :func:`held` says what they hold."""
    train = [
        annotation(50, 9, 1),
        # Of image 4: two instances that overlap in 2 columns, and one as run lengths.
        annotation(12, 4, 3),
        annotation(11, 4, 7, segmentation=[corners(10, 5, 6, 6)], bbox=[10.0, 5.0, 6.0, 6.0]),
        annotation(13, 4, 3, segmentation=packed(box_of(20, 2, 4, 10))),
        annotation(14, 4, 1, iscrowd=1, segmentation=counted(box_of(5, 15, 9, 4))),
        annotation(60, 12, 7, segmentation=[corners(4, 4, 3, 3), corners(14, 8, 5, 5)]),
    ]
    val = [annotation(100 + id_, id_, 1) for id_ in (8, 2, 6, 40)]
    return {"train2017": document(TRAIN, train), "val2017": document(VAL, val)}


UNCLEAR = [(255, 10, 5, 2, 6), (255, 5, 15, 9, 4)]
"""Of image 4 the overlap, and the crowd."""
DRAWN = {
    "instances": ((1, 10, 5, 6, 6), (2, 6, 5, 6, 6), (3, 20, 2, 4, 10), *UNCLEAR),
    "classes": ((1, 6, 5, 6, 6), (1, 20, 2, 4, 10), (2, 12, 5, 4, 6), *UNCLEAR),
}


def cropped(mask):
    return mask[:, (WIDTH - HEIGHT) // 2 :][:, :HEIGHT]


def held(variant, id_):
    """The square in the middle; labels of boxes that were drawn one after the other."""
    boxes, names = [(1, 6, 5, 6, 6)], ["person"]
    if id_ == 4:
        boxes, names = DRAWN[variant], ["kite", "cat", "cat"] * (variant == "instances")
        names = names or ["cat", "kite"]
    elif id_ == 12:
        boxes, names = [(1, 4, 4, 3, 3), (1, 14, 8, 5, 5)], ["kite"]
    elif id_ in (30, 5):
        boxes, names = [], []
    drawn = np.zeros((HEIGHT, WIDTH), int)
    for label, *box in boxes:
        drawn[box_of(*box)] = label
    return Held(np.array([id_, 100, 50]), cropped(drawn), {"category": names})


def write(root, parts=None):
    for folder, content in (parts or documents()).items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "annotations").mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (root / "annotations" / f"instances_{folder}.json").write_text(text)
    for folder, ids in (("train2017", TRAIN), ("val2017", VAL)):
        for id_ in ids:
            (root / folder / f"{id_:012d}.jpg").write_bytes(pixels(id_))
    return root
