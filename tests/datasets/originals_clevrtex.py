"""ClevrTex's folders, written here byte by byte."""

import json
from pathlib import Path

import numpy as np

from tests.datasets.contents import Held
from tests.datasets.originals_images import palette, rgb

WIDTH, HEIGHT = 40, 30
"""Of the published files 320x240; the crop keeps 24 of 30 rows, and as many columns."""
CROP = (slice(3, 27), slice(8, 32))
A_FOLDER = 8
"""Images in each folder; of the published ones 1,000."""
SHAPES = {"outd": ("cone", "teapot", "torus")}
USUAL_SHAPES = ("monkey", "cube", "sphere", "cylinder")
MATERIALS = {
    "vbg": ("rubber", "mymetal"),
    "outd": ("poliigonplastersloppy", "poliigongroundclay008"),
}
USUAL_MATERIALS = ("whitemarble", "poliigonbricks01", "poliigongroundforest003")
COLORS = ("cyan", "gray", "yellow")


def count(index):
    return 3 + index % 8


def labels(index):
    """Object k is a square of 5 pixels: five a row, in two rows; the first one lies beside the
    crop where the index is odd."""
    found = np.zeros((HEIGHT, WIDTH), np.int64)
    for k in range(count(index)):
        row, column = 5 + 10 * (k // 5), 8 + 5 * (k % 5)
        if k == 0 and index % 2:
            column = 1
        found[row : row + 5, column : column + 5] = k + 1
    return found


def picture(index):
    """Object k has the colour (20 k, index, 90); elsewhere (0, index, 200)."""
    where = labels(index)
    same = np.full_like(where, index)
    return np.stack([20 * where, same, np.where(where > 0, 90, 200)], axis=-1)


def thing(variant, index, k):
    shapes, materials = SHAPES.get(variant, USUAL_SHAPES), MATERIALS.get(variant, USUAL_MATERIALS)
    return {
        "shape": shapes[(index + k) % len(shapes)],
        "rotation": 30.5 * k,
        "size": ("large", "medium", "small")[k % 3],
        "3d_coords": [k / 4, -index / 4, 0.5],
        "pixel_coords": [10 + k, 20 + index, 11.25],
        "index": k + 1,
        "color": COLORS[k % 3],
        "material": materials[(index + k) % len(materials)],
    }


def held(variant, index):
    things = [thing(variant, index, k) for k in range(count(index))]
    keys = {key: key for key in ("shape", "material", "size", "rotation", "pixel_coords")}
    keys |= {"position": "3d_coords"} | ({"color": "color"} if variant == "vbg" else {})
    properties = {name: [each[key] for each in things] for name, key in keys.items()}
    return Held(picture(index)[CROP], labels(index)[CROP], properties)


def scene(variant, index):
    return {
        "num_objects": count(index),
        "split": variant,
        "image_index": index,
        "ground_material": "poliigonwoodplanks028",
        "directions": {"left": [-0.65, -0.75, 0.0], "above": [0.0, 0.0, 1.0]},
        "objects": [thing(variant, index, k) for k in range(count(index))],
        "relationships": {"left": [[] for _ in range(count(index))]},
    }


def stem(variant, index):
    """Of an image's files, below the folder of the variant."""
    return f"{index // A_FOLDER}/CLEVRTEX_{variant}_{index:06d}"


def write(root, variant="full", images=20):
    """``root/clevrtex_<variant>``, which is returned; with files beside that nobody reads."""
    folder = root / f"clevrtex_{variant}"
    for index in range(images):
        path = str(folder / stem(variant, index))
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(f"{path}.png").write_bytes(rgb(picture(index)))
        Path(f"{path}_flat.png").write_bytes(palette(labels(index)))
        Path(f"{path}.json").write_text(json.dumps(scene(variant, index), indent=2))
        for other in ("depth", "albedo", "normal", "shadow"):
            Path(f"{path}_{other}_0001.png").write_bytes(b"never read")
    return folder
