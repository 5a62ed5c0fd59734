"""The panels of a page: images, label maps, single slots."""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from slotbench.datasets.format.palette import BACKGROUND, PALETTE, UNLABELLED
from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.report.canvas import Color, font

SIDE = 128
"""Pixels of a panel's longer side."""
_CHECK = (np.array([255, 236], np.uint8), 8)
"""The two greys behind transparent pixels, and the side of a square in pixels."""


def panel_size(shape: tuple[int, ...], side: int = SIDE) -> tuple[int, int]:
    """(width, height) of the panel of an image of shape (H, W, ...)."""
    height, width = shape[:2]
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def photo(image: Array, side: int = SIDE) -> Image.Image:
    """uint8 (H, W, 3), smoothly resized."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    return picture.resize(panel_size(image.shape, side), Image.Resampling.BICUBIC)


def slot_colors(slots: int, background: int | None) -> Array:
    """uint8 (K, 3): each slot's colour, the same in every panel; grey for the background slot."""
    colors: Array = PALETTE[np.arange(slots) % len(PALETTE)].copy()
    if background is not None:
        colors[background] = BACKGROUND
    return colors


def contrast(color: Array | Color) -> Color:
    """Black or white, whichever is legible on a colour."""
    red, green, blue = (int(part) for part in color)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 128
    return (0, 0, 0) if bright else (255, 255, 255)


def label_panel(labels: Array, colors: Array, side: int = SIDE) -> Image.Image:
    """Label map int (H, W) in [0, K) in the slots' colours, each region with its number."""
    painted = {slot: colors[slot] for slot in range(len(colors))}
    names = {slot: str(slot + 1) for slot in painted}
    return _painted(labels, painted, names, side)


def truth_panel(
    truth: Array, matched: Mapping[int, int | None], colors: Array, side: int = SIDE
) -> Image.Image:
    """True masks uint8 (H, W): each object in the colour of its slot, or hatched without one."""
    painted: dict[int, Array | Color] = {0: BACKGROUND, NOT_LABELLED: UNLABELLED}
    names = {}
    for label, slot in matched.items():
        painted[label] = (255, 255, 255) if slot is None else colors[slot]
        names[label] = "" if slot is None else str(slot + 1)
    picture = _painted(truth, painted, names, side)
    lost = [label for label, slot in matched.items() if slot is None]
    if lost:
        lines = _hatching(picture.size)
        where = np.isin(grown(truth, picture.size), lost) & lines
        pixels = np.array(picture)
        pixels[where] = 0
        picture = Image.fromarray(pixels)
    return picture


def slot_panel(slot: Array, color: Array, side: int = SIDE) -> Image.Image:
    """A slot uint8 (H, W, 4) over a chequered ground, which shows where the slot is empty."""
    size = panel_size(slot.shape, side)
    picture = Image.fromarray(np.ascontiguousarray(slot[:, :, :3]))
    opacity = Image.fromarray(np.ascontiguousarray(slot[:, :, 3]))
    ground = Image.fromarray(np.repeat(_chequered(size)[:, :, None], 3, axis=2))
    ground.paste(
        picture.resize(size, Image.Resampling.BICUBIC),
        (0, 0),
        opacity.resize(size, Image.Resampling.BILINEAR),
    )
    return framed(ground, color)


def framed(picture: Image.Image, color: Array | Color, edge: int = 3) -> Image.Image:
    """A picture with a frame on its rim."""
    picture = picture.copy()
    red, green, blue = (int(part) for part in color)
    corner = (picture.width - 1, picture.height - 1)
    ImageDraw.Draw(picture).rectangle([(0, 0), corner], outline=(red, green, blue), width=edge)
    return picture


def chip(color: Array | Color, side: int = 12) -> Image.Image:
    """A small square of a colour."""
    red, green, blue = (int(part) for part in color)
    return framed(Image.new("RGB", (side, side), (red, green, blue)), (90, 90, 90), 1)


def hatched_chip(side: int = 12) -> Image.Image:
    """The sign of an object without a slot."""
    pixels = np.full((side, side, 3), 255, np.uint8)
    pixels[_hatching((side, side))] = 0
    return framed(Image.fromarray(pixels), (90, 90, 90), 1)


def _painted(
    labels: Array, colors: Mapping[int, Array | Color], names: Mapping[int, str], side: int
) -> Image.Image:
    size = panel_size(labels.shape, side)
    large = grown(labels, size)
    pixels = np.zeros((*large.shape, 3), np.uint8)
    for label, color in colors.items():
        pixels[large == label] = color
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    for label, name in names.items():
        for place in inner_points(large == label, least=8) if name else ():
            pen.text(place, name, font=font(13), fill=contrast(colors[label]), anchor="mm")
    return picture


def inner_points(region: Array, least: float) -> list[tuple[int, int]]:
    """(x, y) of the deepest pixel of each connected part of a region bool (H, W), deepest first.

    Parts that are nowhere ``least`` pixels deep are left out.
    """
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    parts, _ = ndimage.label(region)
    deep = np.unique(parts[(depth >= least) & region])
    found = ndimage.maximum_position(depth, parts, deep)
    return [(int(x), int(y)) for y, x in sorted(found, key=lambda at: -depth[at])]


def grown(labels: Array, size: tuple[int, int]) -> Array:
    """Labels int (H, W) at a panel's size (width, height), by nearest neighbour."""
    width, height = size
    rows = (np.arange(height) * 2 + 1) * labels.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * labels.shape[1] // (2 * width)
    found: Array = labels[rows[:, None], columns]
    return found


def _chequered(size: tuple[int, int]) -> Array:
    greys, step = _CHECK
    x, y = np.arange(size[0]) // step, np.arange(size[1]) // step
    squares: Array = greys[(x + y[:, None]) % 2]
    return squares


def _hatching(size: tuple[int, int]) -> Array:
    lines: Array = (np.arange(size[0]) + np.arange(size[1])[:, None]) % 6 < 2
    return lines
