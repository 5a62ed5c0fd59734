"""A small ``CLEVR_v1.0.zip``, as the tests write it."""

import json

import numpy as np

from tests.datasets.contents import Held
from tests.datasets.originals_images import rgb
from tests.datasets.test_archives import zip_of

COLORS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
SIZES = {"large": 0.7, "small": 0.35}


def image(index, height=240):
    """A gradient that differs between images, a white bar in the crop's first row."""
    width = height * 4 // 3 if height == 240 else height * 3 // 2
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.arange(width) // 2
    picture[..., 1] = np.arange(height)[:, None] // 2
    picture[..., 2] = index % 256
    picture[29, 64:256] = 255
    return picture


def thing(index, x, y=120.0, depth=10.0, **more):
    return {
        "color": COLORS[index % 8],
        "size": ("large", "small")[index % 2],
        "rotation": 10.5 * index,
        "shape": ("cube", "sphere", "cylinder")[index % 3],
        "material": ("rubber", "metal")[index % 2],
        "3d_coords": [index - 3, 0.25, 0.7],
        "pixel_coords": [x, y, depth],
        **more,
    }


def scene(split, index, count, /, **more):
    """Objects stand at columns 70, 90, ...: from the eleventh on they would leave the crop."""
    return {
        "split": split,
        "image_index": index,
        "image_filename": f"CLEVR_{split}_{index:06d}.png",
        "directions": {"left": [-0.65, -0.75, 0.0], "above": [0.0, 0.0, 1.0]},
        "objects": [thing(index + i, 70 + 20 * i) for i in range(count)],
        "relationships": {"left": [[] for _ in range(count)]},
        **more,
    }


def held(split, index, count, most):
    """The crop, without labels; ``most`` is how many objects the layout has."""
    objects = scene(split, index, count)["objects"]
    keys = {key: key for key in ("shape", "color", "material", "size", "rotation", "pixel_coords")}
    keys["position"] = "3d_coords"
    properties = {name: [each[key] for each in objects] for name, key in keys.items()}
    picture = image(index + 100 * (split == "val"))[29:221, 64:256]
    return Held(picture, np.full((192, 192), 255), properties, np.arange(most) < count)


def scenes(split, listed):
    info = {"split": split, "license": "Creative Commons Attribution (CC-BY 4.0)", "version": "1.0"}
    return json.dumps({"info": info, "scenes": listed}).encode()


def clevr_files(train, val, root="CLEVR_v1.0/"):
    """Scenes with so many objects each; two test images that nobody can use."""
    files = {f"{root}README.txt": b"CLEVR", f"{root}images/test/CLEVR_test_000000.png": b"x"}
    for split, counts in (("train", train), ("val", val)):
        listed = [scene(split, index, count) for index, count in enumerate(counts)]
        files[f"{root}scenes/CLEVR_{split}_scenes.json"] = scenes(split, listed)
        for index in range(len(counts)):
            name = f"{root}images/{split}/CLEVR_{split}_{index:06d}.png"
            files[name] = rgb(image(index + 100 * (split == "val")))
    return files


def write_clevr(path, train, val, **replaced):
    """``replaced`` are members by the end of their name, ``/`` written as ``__``."""
    files = clevr_files(train, val)
    for key, content in replaced.items():
        ending = key.replace("__", "/")
        (name,) = [name for name in files if name.rsplit(".", 1)[0].endswith(ending)]
        files[name] = content
    return zip_of(path, files)
