"""ShapeStacks' folders, written here byte by byte."""

import re

import numpy as np

from tests.datasets.contents import Held
from tests.datasets.originals_images import grey, rgb

SIDE = 32
"""Of the published files 224; the crop keeps 7 of 8 pixels either way."""


def tower(height, index, vcom=0, vpsf=0):
    return f"env_ccs-hard-h={height}-vcom={vcom}-vpsf={vpsf}-v={index}"


def labels(height, camera):
    """Shape k stands k-th from below, 4 pixels high; the camera moves the tower sideways."""
    found = np.zeros((SIDE, SIDE), np.int64)
    for shape in range(1, height + 1):
        found[SIDE - 4 * (shape + 1) : SIDE - 4 * shape, 8 + camera : 16 + camera] = shape
    return found


def label_image(values, form="rgba"):
    """As matplotlib writes it: each channel is 32 times the label, alpha is 255."""
    stored = values * 32
    if form == "grey":
        return grey(stored)
    channels = np.stack([stored] * 3 + [np.full_like(stored, 255)], axis=-1)
    return rgb(channels, alpha=True) if form == "rgba" else rgb(channels[..., :3])


def image(height, camera, index):
    """Shape k has the colour (40 k, index, camera); elsewhere (0, 200, 0)."""
    where = labels(height, camera)
    colors = np.stack([40 * where, np.full_like(where, index), np.full_like(where, camera)], -1)
    return np.where(where[..., None] > 0, colors, (0, 200, 0))


def facts(name):
    """Height, and the shapes that are off centre and on a curved surface; 0: none."""
    return map(int, re.findall(r"(?:h|vcom|vpsf)=(\d)", name))


def held(name, index):
    """Every view of a tower, sorted by the views' names; 28 of 32 pixels stay."""
    height, off_center, on_curved = facts(name)
    crop, levels = (slice(2, 30), slice(2, 30)), np.arange(1, height + 1)
    names = {off_center: "center-of-mass", on_curved: "planar-surface"}
    known = {"level": levels, "violation": [names.get(level, "none") for level in levels]}
    return [
        Held(image(height, camera, index)[crop], labels(height, camera)[crop], known)
        for camera in sorted(CAMERAS, key=view_name)
    ]


def view_name(camera):
    return f"rgb-w={camera % 3}-f=1-l=0-c=unique-cam_{camera}-mono-0.png"


def label_name(camera):
    return f"iseg-w=0-f=0-l=0-c=original-cam_{camera}-mono-0.map"


TOWERS = {
    "train": [tower(2, 1), tower(6, 2, vcom=5), tower(3, 3, vpsf=2)],
    "eval": [tower(4, 4, vcom=1)],
    "test": [tower(5, 5), tower(2, 6)],
}
CAMERAS = (1, 10, 4)
FORMS = ("rgba", "rgb", "grey")


def write(root, split="default", towers=TOWERS, labels_in="iseg"):
    lists = root / "splits" / split
    lists.mkdir(parents=True, exist_ok=True)
    index = 0
    for name, listed in towers.items():
        (lists / f"{name}.txt").write_text("\n".join(listed) + "\n")
        (lists / f"{name}_bgr_mean.npy").write_bytes(b"never read")
        for one in listed:
            index += 1
            height, *_ = facts(one)
            for folder in ("recordings", labels_in):
                (root / folder / one).mkdir(parents=True, exist_ok=True)
            for camera, form in zip(CAMERAS, FORMS, strict=True):
                view = root / "recordings" / one / view_name(camera)
                view.write_bytes(rgb(image(height, camera, index)))
                stored = label_image(labels(height, camera), form)
                (root / labels_in / one / label_name(camera)).write_bytes(stored)
            (root / "recordings" / one / "vseg-w=0-cam_1-mono-0.png").write_bytes(b"not this")
            (root / "recordings" / one / "log.txt").write_bytes(b"nor this")
    return root
