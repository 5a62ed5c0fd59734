"""A contact sheet: the first images of a dataset with their masks beside them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import LABEL_COLORS, Array
from slotbench.datasets.shifts.kinds import shift_of
from slotbench.files import replacing

MARGIN = 110
"""Width in pixels of the column with the names of test sets."""


def draw_sheet(dataset: DatasetFile, path: Path, columns: int = 6, rows: int = 5) -> Path:
    """Draw the first ``columns * rows`` training images, each beside its mask, as a PNG.

    Of video: the first ``rows`` clips, one a line, the masks below the frames.
    """
    frames = dataset.layout.frames
    columns = frames or columns
    batch = dataset.read("train", 0, columns * rows, ("image", "mask"))
    side = 1 if frames else 2
    pairs = np.concatenate([batch["image"], LABEL_COLORS[batch["mask"]]], axis=side)
    missing = -len(pairs) % columns
    pairs = np.pad(pairs, ((0, missing), (2, 2), (2, 2), (0, 0)), constant_values=255)
    lines = pairs.reshape(-1, columns, *pairs.shape[1:])
    sheet = np.concatenate([np.concatenate(list(line), axis=1) for line in lines])
    return _save(_enlarged(sheet, 1600 // sheet.shape[1]), path)


def draw_shifts(dataset: DatasetFile, path: Path, columns: int = 8) -> Path:
    """Draw the first test images and, below each, itself in every shifted test set, as a PNG.

    Two lines a set: images, then masks, which show only changed objects where some are flagged.
    Of video: first frames.
    """
    # Other test sets have no image for each image of ``test``.
    splits = ["test", *(split for split in dataset.splits if shift_of(split))]
    lines = []
    for split in splits:
        rows = dataset.read_rows(split, 0, columns)
        if (flags := dataset.changed(split)) is not None:
            rows["flags"] = flags[:columns]
        if dataset.layout.frames:
            rows = {key: array[:, 0] for key, array in rows.items()}
        images, masks = rows["image"], rows["mask"]
        if "flags" in rows:
            kept = np.pad(rows["flags"], ((0, 0), (1, 255 - rows["flags"].shape[1])))
            masks = masks * kept[np.arange(len(masks))[:, None, None], masks]
        for line in (images, LABEL_COLORS[masks]):
            padded = np.pad(line, ((0, 0), (1, 1), (2, 2), (0, 0)), constant_values=255)
            lines.append(np.concatenate(list(padded), axis=1))
    sheet = np.concatenate(lines)
    picture = _enlarged(sheet, 128 // dataset.layout.height)
    each_line = picture.height // len(splits)
    picture = ImageOps.expand(picture, (MARGIN, 0, 0, 0), "white")
    for number, split in enumerate(splits):
        ImageDraw.Draw(picture).text((4, (number + 0.4) * each_line), split, "black")
    return _save(picture, path)


def _enlarged(pixels: Array, scale: int) -> Image.Image:
    return ImageOps.scale(Image.fromarray(pixels), max(1, scale), Image.Resampling.NEAREST)


def _save(picture: Image.Image, path: Path) -> Path:
    with replacing(path) as temporary:
        picture.save(temporary, format="png")
    return path
