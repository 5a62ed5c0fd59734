"""A contact sheet: the first images of a dataset with their masks beside them."""

from pathlib import Path

import numpy as np
from PIL import Image

from slotbench.datasets.schema import NOT_LABELLED, Array, DatasetFile
from slotbench.files import replacing
from slotbench.report.palette import BACKGROUND, PALETTE, UNLABELLED


def paint(mask: Array) -> Array:
    """Label map uint8 (..., H, W) -> uint8 (..., H, W, 3): one colour an object."""
    table = np.empty((256, 3), np.uint8)
    table[:] = PALETTE[(np.arange(256) - 1) % len(PALETTE)]
    table[0], table[NOT_LABELLED] = BACKGROUND, UNLABELLED
    return table[mask]


def draw_sheet(dataset: DatasetFile, path: Path, columns: int = 6, rows: int = 5) -> Path:
    """Draw at most ``columns * rows`` training images, each with its mask, as a PNG.

    Of video, the first ``rows`` clips, one a line: frame beside frame, masks below.
    """
    frames = dataset.layout.frames
    columns = frames or columns
    batch = dataset.read("train", 0, columns * rows, ("image", "mask"))
    side = 1 if frames else 2
    pairs = np.concatenate([batch["image"], paint(batch["mask"])], axis=side)
    pairs = np.pad(pairs, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=255)
    missing = -len(pairs) % columns
    pairs = np.pad(pairs, ((0, missing), (0, 0), (0, 0), (0, 0)), constant_values=255)
    lines = pairs.reshape(-1, columns, *pairs.shape[1:])
    sheet = np.concatenate([np.concatenate(list(line), axis=1) for line in lines])
    scale = max(1, 1600 // sheet.shape[1])
    picture = Image.fromarray(sheet)
    picture = picture.resize(
        (sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST
    )
    with replacing(path) as temporary:
        picture.save(temporary, format="png")
    return path
