"""Property predictions, drawn beside their objects."""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from slotbench.datasets.format.schema import Array
from slotbench.report.canvas import (
    FAINT,
    INK,
    RULE,
    SMALL,
    TEXT,
    TITLE,
    WRONG,
    Color,
    beside,
    blank,
    contrast,
    cross,
    font,
    framed,
    grown,
    inner_points,
    line_height,
    paragraph,
    photo,
    rgb,
    shortened,
    slot_colors,
    stacked,
    text_width,
    tick,
    triangle,
    write,
)
from slotbench.report.predicted import FAR, Prediction
from slotbench.report.seen import Seen

PICTURE, PAD = 384, 6
LINE = line_height(SMALL)
HEAD = LINE + PAD
MARK, SIGN = 9, 18
"""A mark's side, and the width of its column."""
SIGNS = (
    (tick, "right, or near"),
    (cross, "wrong class, struck out"),
    (triangle, f"number more than {FAR:g} standard deviations of the training objects off"),
)
Widths = tuple[int, int, int]
"""Pixels of a card's columns: the property's name, the prediction, the truth."""


def prediction_page(
    title: str, note: str, seen: Sequence[Seen], found: dict[int, list[Prediction]]
) -> Image.Image:
    """A row for each image: the image, and a card for every visible object.

    ``found`` maps an image's index to its objects.
    """
    values = [value for objects in found.values() for one in objects for value in one.values]

    def width_of(texts: Iterable[str], least: int, most: int) -> int:
        return min(most, max(least, *(text_width(text, SMALL) for text in texts)))

    widths = (
        width_of(("", *(value.name for value in values)), 90, 120),
        width_of(("predicted", *(value.predicted for value in values)), 60, 170),
        width_of(("true", *(value.true for value in values)), 90, 170),
    )
    blocks = []
    for one in seen:
        colors = slot_colors(len(one.slots), one.background)
        picture = _outlined(photo(one.image, PICTURE), one.truth, found[one.index], colors)
        cards = [_card(each, colors, widths) for each in found[one.index]]
        columns = [stacked(cards[start::2], PAD) for start in (0, 1) if cards[start::2]]
        blocks.append(beside([picture, *columns], 2 * PAD))
    width = max(block.width for block in blocks)
    rows = [
        stacked([_heading(one, found[one.index], width), block], gap=4)
        for one, block in zip(seen, blocks, strict=True)
    ]
    head = [paragraph(title, width, TITLE), paragraph(note, width, SMALL, FAINT), _key(width)]
    return stacked([*head, *rows], gap=12, margin=16)


def _heading(seen: Seen, objects: Sequence[Prediction], width: int) -> Image.Image:
    values = [value for one in objects for value in one.values]
    parts = []
    for said, numeric in (("classes right", False), ("numbers near", True)):
        these = [value.right for value in values if value.numeric is numeric]
        parts += [f"{sum(these)} of {len(these)} {said}"] if these else []
    lost = sum(one.slot is None for one in objects)
    parts += [f"{lost} without a slot"] if lost else []
    block = blank(width, line_height(TEXT) + 6)
    pen = ImageDraw.Draw(block)
    pen.line([(0, 0), (width, 0)], fill=RULE)
    write(pen, (0, 5), f"{seen.split} {seen.index:,}: {', '.join(parts) or 'no visible object'}")
    return block


def _card(one: Prediction, colors: Array, widths: Widths) -> Image.Image:
    """A table of properties with prediction and true value; wrong predictions are marked."""
    width = sum(widths) + SIGN + 7 * PAD
    card = blank(width, HEAD + (len(one.values) or 1) * LINE + PAD, (250, 250, 250))
    pen = ImageDraw.Draw(card)
    color = _color(one, colors)
    pen.rectangle([(0, 0), (width - 1, HEAD - 1)], fill=color)
    at_sign = 2 * PAD + widths[0]
    at_predicted = at_sign + SIGN + PAD
    at_true = at_predicted + widths[1] + 3 * PAD
    slot = "no slot" if one.slot is None else f"slot {one.slot + 1}"
    name = shortened(f"object {one.label}, {slot}", SMALL, widths[0] + SIGN + PAD)
    for x, text in ((PAD, name), (at_predicted, "predicted"), (at_true, "true")):
        write(pen, (x, 4), text, SMALL, contrast(color))
    for row, value in enumerate(one.values):
        y = HEAD + row * LINE + 2
        write(pen, (PAD, y), shortened(value.name, SMALL, widths[0]), SMALL, FAINT)
        (tick if value.right else triangle if value.numeric else cross)(pen, at_sign, y + 3, MARK)
        text = shortened(value.predicted, SMALL, widths[1])
        write(pen, (at_predicted, y), text, SMALL, INK if value.right else WRONG)
        if not value.right and not value.numeric:
            end = at_predicted + text_width(text, SMALL)
            pen.line([(at_predicted - 2, y + 8), (end + 2, y + 8)], fill=WRONG)
        write(pen, (at_true, y), shortened(value.true, SMALL, widths[2]), SMALL)
    if not one.values:
        text = shortened("slots are fewer than objects", SMALL, width - 2 * PAD)
        write(pen, (PAD, HEAD + 2), text, SMALL, WRONG)
    return framed(card, color, 1)


def _key(width: int) -> Image.Image:
    block, x = blank(width, LINE + 2), 0
    pen = ImageDraw.Draw(block)
    for sign, text in SIGNS:
        sign(pen, x, 4, MARK)
        write(pen, (x + SIGN, 1), text, SMALL)
        x += SIGN + text_width(text, SMALL) + 24
    return block


def _outlined(
    picture: Image.Image, truth: Array, objects: Sequence[Prediction], colors: Array
) -> Image.Image:
    """Each object with its number and an outline in the colour of its slot."""
    labels, pixels = grown(truth, picture.size), np.array(picture)
    for one in objects:
        inside = np.pad(labels == one.label, 1)
        for thick, color in ((3, INK), (2, _color(one, colors))):
            core = ndimage.binary_erosion(inside, np.ones((3, 3), bool), iterations=thick)
            pixels[(inside & ~core)[1:-1, 1:-1]] = color
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    for one in objects:
        x, y = (inner_points(labels == one.label, least=0) or [(0, 0)])[0]
        color = _color(one, colors)
        pen.ellipse([(x - 10, y - 10), (x + 10, y + 10)], fill=color, outline=INK, width=2)
        pen.text((x, y), str(one.label), font=font(13), fill=contrast(color), anchor="mm")
    return picture


def _color(one: Prediction, colors: Array) -> Color:
    return (255, 255, 255) if one.slot is None else rgb(colors[one.slot])
