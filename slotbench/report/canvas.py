"""Text, marks, panels and layout on Pillow images, in Pillow's own font so that bytes repeat."""

from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from slotbench.datasets.format.schema import BACKGROUND, NOT_LABELLED, PALETTE, UNLABELLED, Array
from slotbench.files import replacing

Color = tuple[int, int, int]
INK: Color = (20, 20, 20)
FAINT: Color = (95, 95, 95)
RULE: Color = (205, 205, 205)
RIGHT: Color = (0, 114, 178)
WRONG: Color = (180, 60, 0)
TITLE, TEXT, SMALL = 20, 14, 12
_REPLACED = str.maketrans({"—": "-", "–": "-", "×": "x", "²": "2", "→": ">"})
"""Characters that Pillow's font lacks."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> int:
    """Width of a line in pixels."""
    return round(font(size).getlength(text.translate(_REPLACED)))


def line_height(size: int) -> int:
    """Height of a line in pixels."""
    return round(size * 1.4)


def write(
    pen: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int = TEXT,
    fill: Color = INK,
    anchor: str = "la",
) -> None:
    """One line of text; ``anchor`` as Pillow names it (``la``: left, top)."""
    pen.text(at, text.translate(_REPLACED), font=font(size), fill=fill, anchor=anchor)


def wrapped(text: str, size: int, width: int) -> list[str]:
    """The lines of a text, broken at spaces; a word wider than ``width`` has its own line."""
    lines: list[str] = []
    for part in text.split("\n"):
        line = ""
        for word in part.split(" "):
            longer = f"{line} {word}" if line else word
            if line and text_width(longer, size) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def shortened(text: str, size: int, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than ``width``."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def blank(width: int, height: int, color: Color = (255, 255, 255)) -> Image.Image:
    """A picture of one colour."""
    return Image.new("RGB", (max(1, width), max(1, height)), color)


def paragraph(text: str, width: int, size: int = TEXT, fill: Color = INK) -> Image.Image:
    """A block of wrapped text."""
    lines = wrapped(text, size, width)
    block = blank(width, line_height(size) * len(lines))
    pen = ImageDraw.Draw(block)
    for row, line in enumerate(lines):
        write(pen, (0, row * line_height(size)), line, size, fill)
    return block


def stacked(blocks: list[Image.Image], gap: int = 8, margin: int = 0) -> Image.Image:
    """Blocks one below the other, left-aligned on white."""
    tops = accumulate((block.height + gap for block in blocks), initial=margin)
    return _pasted(blocks, [(margin, y) for y in tops], margin)


def beside(blocks: list[Image.Image], gap: int = 8) -> Image.Image:
    """Blocks side by side, top-aligned on white."""
    lefts = accumulate((block.width + gap for block in blocks), initial=0)
    return _pasted(blocks, [(x, 0) for x in lefts], 0)


def _pasted(blocks: list[Image.Image], places: list[tuple[int, int]], margin: int) -> Image.Image:
    """Blocks at their places, with ``margin`` free on the right and below."""
    placed = list(zip(blocks, places, strict=False))
    page = blank(
        max(x + block.width for block, (x, _) in placed) + margin,
        max(y + block.height for block, (_, y) in placed) + margin,
    )
    for block, place in placed:
        page.paste(block, place)
    return page


def tick(pen: ImageDraw.ImageDraw, x: float, y: float, side: float) -> None:
    """A check mark in the square at (x, y)."""
    points = [(x, y + side * 0.55), (x + side * 0.38, y + side * 0.9), (x + side, y + side * 0.12)]
    pen.line(points, fill=RIGHT, width=2, joint="curve")


def cross(pen: ImageDraw.ImageDraw, x: float, y: float, side: float, fill: Color = WRONG) -> None:
    """A cross in the square at (x, y)."""
    pen.line([(x, y), (x + side, y + side)], fill=fill, width=2)
    pen.line([(x, y + side), (x + side, y)], fill=fill, width=2)


def triangle(pen: ImageDraw.ImageDraw, x: float, y: float, side: float) -> None:
    """A hollow triangle in the square at (x, y)."""
    corners = [(x, y + side), (x + side / 2, y), (x + side, y + side)]
    pen.polygon(corners, outline=WRONG, fill=(255, 255, 255))


def save(picture: Image.Image, path: Path, *, small: bool = False) -> Path:
    """Write a PNG file whole; its bytes depend only on the pixels. ``small`` takes more time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        picture.save(temporary, format="png", optimize=small)
    return path


SIDE = 128
"""Pixels of a panel's longer side."""
CHECK = 8
"""Side in pixels of a square of the chequered ground."""
CHIP = (12, 12)


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
    """uint8 (K, 3): the colour of each slot in all panels; grey for the background slot."""
    colors: Array = PALETTE[np.arange(slots) % len(PALETTE)].copy()
    if background is not None:
        colors[background] = BACKGROUND
    return colors


def rgb(color: Array | Color) -> Color:
    """A colour as Pillow takes it."""
    red, green, blue = (int(part) for part in color)
    return red, green, blue


def contrast(color: Array | Color) -> Color:
    """Black on a light colour, white on a dark one."""
    red, green, blue = rgb(color)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 128
    return (0, 0, 0) if bright else (255, 255, 255)


def label_panel(labels: Array, colors: Array, side: int = SIDE) -> Image.Image:
    """Label map int (H, W) in [0, K) in the slots' colours, each region with its number."""
    names = {slot: str(slot + 1) for slot in range(len(colors))}
    return _painted(labels, dict(enumerate(colors)), names, side)


def flat_panel(labels: Array, colors: Array, side: int = SIDE) -> Image.Image:
    """Label map int (H, W) in [0, C) in the colours uint8 (C, 3), without numbers."""
    return Image.fromarray(colors[grown(labels, panel_size(labels.shape, side))])


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
    pixels = np.array(picture)
    pixels[np.isin(grown(truth, picture.size), lost) & _hatching(picture.size)] = 0
    return Image.fromarray(pixels)


def slot_panel(slot: Array, color: Array, side: int = SIDE) -> Image.Image:
    """A slot uint8 (H, W, 4) over a chequered ground, visible where the slot is empty."""
    size = panel_size(slot.shape, side)
    opacity = Image.fromarray(np.ascontiguousarray(slot[:, :, 3]))
    x, y = np.arange(size[0]) // CHECK, np.arange(size[1])[:, None] // CHECK
    ground = Image.fromarray(np.where((x + y) % 2, 236, 255).astype(np.uint8)).convert("RGB")
    opaque = opacity.resize(size, Image.Resampling.BILINEAR)
    ground.paste(photo(slot[:, :, :3], side), (0, 0), opaque)
    return framed(ground, color)


def framed(picture: Image.Image, color: Array | Color, edge: int = 3) -> Image.Image:
    """A picture with a frame on its rim."""
    picture = picture.copy()
    corner = (picture.width - 1, picture.height - 1)
    ImageDraw.Draw(picture).rectangle([(0, 0), corner], outline=rgb(color), width=edge)
    return picture


def chip(color: Array | Color) -> Image.Image:
    """A small square of a colour, for the legend."""
    return framed(blank(*CHIP, rgb(color)), (90, 90, 90), 1)


def hatched_chip() -> Image.Image:
    """The sign of an object without a slot."""
    pixels = np.repeat(np.where(_hatching(CHIP), 0, 255)[:, :, None], 3, axis=2).astype(np.uint8)
    return framed(Image.fromarray(pixels), (90, 90, 90), 1)


def _painted(
    labels: Array, colors: Mapping[int, Array | Color], names: Mapping[int, str], side: int
) -> Image.Image:
    table = np.zeros((1 + max(255, *colors), 3), np.uint8)
    for label, color in colors.items():
        table[label] = color
    picture = flat_panel(labels, table, side)
    large = grown(labels, picture.size)
    pen = ImageDraw.Draw(picture)
    for label, name in names.items():
        for place in inner_points(large == label, least=8) if name else ():
            pen.text(place, name, font=font(13), fill=contrast(colors[label]), anchor="mm")
    return picture


def inner_points(region: Array, least: float) -> list[tuple[int, int]]:
    """(x, y) of the deepest pixel of each connected part of a region bool (H, W), deepest first.

    Parts less than ``least`` pixels deep are left out.
    """
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    parts, _ = ndimage.label(region)
    deep = np.unique(parts[(depth >= least) & region])
    found = ndimage.maximum_position(depth, parts, deep)
    return [(int(x), int(y)) for y, x in sorted(found, key=lambda at: -depth[at])]


def grown(labels: Array, size: tuple[int, int]) -> Array:
    """Labels int (H, W) resized to (width, height) by nearest neighbour."""
    width, height = size
    rows = (np.arange(height) * 2 + 1) * labels.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * labels.shape[1] // (2 * width)
    found: Array = labels[rows[:, None], columns]
    return found


def _hatching(size: tuple[int, int]) -> Array:
    lines: Array = (np.arange(size[0]) + np.arange(size[1])[:, None]) % 6 < 2
    return lines
