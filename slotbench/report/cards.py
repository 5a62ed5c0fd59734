"""Property predictions drawn beside the objects that they are about."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from slotbench.datasets.format.schema import Array
from slotbench.report.canvas import (
    FAINT,
    INK,
    RIGHT,
    RULE,
    SMALL,
    TEXT,
    TITLE,
    WRONG,
    Color,
    blank,
    cross,
    font,
    line_height,
    paragraph,
    shortened,
    stacked,
    text_width,
    tick,
    write,
)
from slotbench.report.panels import contrast, inner_points, panel_size, photo, slot_colors
from slotbench.report.predicted import FAR, Prediction, Value
from slotbench.report.seen import Seen

PICTURE, GUTTER, PAD = 384, 36, 6
LINE = line_height(SMALL)
FIRST = LINE + PAD
MARK, SIGN = 9, 18
"""A mark's side, and the room that it takes."""


def prediction_page(
    title: str, note: str, seen: Sequence[Seen], found: dict[int, list[Prediction]]
) -> Image.Image:
    """One image below the other, each with a card for every visible object.

    ``found`` maps an image's index to its objects.
    """
    widths = _widths([one for objects in found.values() for one in objects])
    blocks = [_annotated(one, found[one.index], widths) for one in seen]
    width = max(block.width for block in blocks)
    head = [paragraph(title, width, TITLE), paragraph(note, width, SMALL, FAINT), _key(width)]
    return stacked([*head, *blocks], gap=12, margin=16)


def _widths(objects: Sequence[Prediction]) -> tuple[int, int, int]:
    """Pixels of a card's three columns: the property's name, what is predicted, what is true."""
    values = [value for one in objects for value in one.values]
    texts = [
        [value.name for value in values],
        ["predicted", *(value.predicted for value in values)],
        ["true", *(value.true for value in values)],
    ]
    name, predicted, true = (
        max((text_width(text, SMALL) for text in part), default=0) for part in texts
    )
    return min(max(name, 90), 120), min(max(predicted, 60), 170), min(max(true, 90), 170)


def _annotated(
    seen: Seen, objects: Sequence[Prediction], widths: tuple[int, int, int]
) -> Image.Image:
    """A picture with the cards of its objects to both sides and a line from each to its object."""
    colors = slot_colors(len(seen.slots), seen.background)
    size = panel_size(seen.image.shape, PICTURE)
    places = {one.label: _place(seen.truth, one.label, size) for one in objects}
    order = sorted(objects, key=lambda one: places[one.label])
    sides = order[: (len(order) + 1) // 2], order[(len(order) + 1) // 2 :]
    cards = [
        [
            (one, _card(one, colors, widths))
            for one in sorted(side, key=lambda one: places[one.label][1])
        ]
        for side in sides
    ]
    card_width = sum(widths) + SIGN + 7 * PAD
    tallest = max((sum(card.height + PAD for _, card in side) for side in cards), default=0)
    height = max(size[1], tallest)
    block = blank(2 * (card_width + GUTTER) + size[0], height)
    corner = (card_width + GUTTER, (height - size[1]) // 2)
    block.paste(_outlined(photo(seen.image, PICTURE), seen.truth, objects, colors), corner)
    pen = ImageDraw.Draw(block)
    ends = []
    for left, side in zip((True, False), cards, strict=True):
        x = 0 if left else block.width - card_width
        room = (height - sum(card.height for _, card in side)) / (len(side) + 1)
        y = room
        for one, card in side:
            block.paste(card, (x, round(y)))
            edge = (x + card_width if left else x, round(y) + FIRST // 2)
            ends.append((one, edge, _shifted(places[one.label], corner)))
            y += card.height + room
    for _, edge, place in ends:
        _leader(pen, edge, place)
    for one, _, place in ends:
        _badge(pen, place, one, colors)
    return stacked([_heading(seen, objects, block.width), block], gap=4)


def _heading(seen: Seen, objects: Sequence[Prediction], width: int) -> Image.Image:
    values = [value for one in objects for value in one.values]
    parts = []
    for said, numeric in (("classes right", False), ("numbers near", True)):
        these = [value.right for value in values if value.numeric is numeric]
        if these:
            parts.append(f"{sum(these)} of {len(these)} {said}")
    lost = sum(one.slot is None for one in objects)
    if lost:
        parts.append(f"{lost} without a slot")
    block = blank(width, line_height(TEXT) + 6)
    pen = ImageDraw.Draw(block)
    pen.line([(0, 0), (width, 0)], fill=RULE)
    text = f"{seen.split} {seen.index:,}: {', '.join(parts) or 'no visible object'}"
    write(pen, (0, 5), text, TEXT)
    return block


def _card(one: Prediction, colors: Array, widths: tuple[int, int, int]) -> Image.Image:
    """A table: each property, what is predicted, what is true; wrong ones crossed and struck."""
    width = sum(widths) + SIGN + 7 * PAD
    rows = len(one.values) or 1
    card = blank(width, FIRST + rows * LINE + PAD, (250, 250, 250))
    pen = ImageDraw.Draw(card)
    color = _color(one, colors)
    pen.rectangle([(0, 0), (width - 1, FIRST - 1)], fill=color)
    ink = contrast(color)
    slot = "no slot" if one.slot is None else f"slot {one.slot + 1}"
    columns = (PAD, PAD + widths[0] + PAD, 2 * PAD + widths[0] + SIGN, 0)
    at_true = columns[2] + widths[1] + 4 * PAD
    write(
        pen,
        (PAD, 4),
        shortened(f"object {one.label}, {slot}", SMALL, widths[0] + SIGN + PAD),
        SMALL,
        ink,
    )
    write(pen, (columns[2] + PAD, 4), "predicted", SMALL, ink)
    write(pen, (at_true, 4), "true", SMALL, ink)
    for row, value in enumerate(one.values):
        y = FIRST + row * LINE + 2
        write(pen, (PAD, y), shortened(value.name, SMALL, widths[0]), SMALL, FAINT)
        _mark(pen, columns[1], y + 3, value)
        fill = INK if value.right else WRONG
        text = shortened(value.predicted, SMALL, widths[1])
        write(pen, (columns[2] + PAD, y), text, SMALL, fill)
        if not value.right and not value.numeric:
            end = columns[2] + PAD + text_width(text, SMALL)
            pen.line([(columns[2] + PAD - 2, y + 8), (end + 2, y + 8)], fill=WRONG)
        write(pen, (at_true, y), shortened(value.true, SMALL, widths[2]), SMALL)
    if not one.values:
        text = shortened("slots are fewer than objects", SMALL, width - 2 * PAD)
        write(pen, (PAD, FIRST + 2), text, SMALL, WRONG)
    pen.rectangle([(0, 0), (width - 1, card.height - 1)], outline=color, width=1)
    return card


def _mark(pen: ImageDraw.ImageDraw, x: float, y: float, value: Value) -> None:
    if value.right:
        tick(pen, x, y, MARK, RIGHT)
    elif value.numeric:
        _triangle(pen, x, y)
    else:
        cross(pen, x, y, MARK, WRONG)


def _triangle(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
    corners = [(x, y + MARK), (x + MARK / 2, y), (x + MARK, y + MARK)]
    pen.polygon(corners, outline=WRONG, fill=(255, 255, 255))


def _key(width: int) -> Image.Image:
    """What the marks mean."""
    block = blank(width, LINE + 2)
    pen = ImageDraw.Draw(block)
    x = 0
    for sign, text in enumerate(
        (
            "right, or near",
            "wrong class, struck out",
            f"number more than {FAR:g} standard deviations of the training objects away",
        )
    ):
        if sign == 0:
            tick(pen, x, 4, MARK, RIGHT)
        elif sign == 1:
            cross(pen, x, 4, MARK, WRONG)
        else:
            _triangle(pen, x, 4)
        write(pen, (x + SIGN, 1), text, SMALL)
        x += SIGN + text_width(text, SMALL) + 24
    return block


def _outlined(
    picture: Image.Image, truth: Array, objects: Sequence[Prediction], colors: Array
) -> Image.Image:
    """Each object with a line in its slot's colour around it, between two dark ones."""
    labels = Image.fromarray(truth).resize(picture.size, Image.Resampling.NEAREST)
    grown, pixels = np.array(labels), np.array(picture)
    for one in objects:
        inside = grown == one.label
        pixels[_rim(inside, 3)] = (20, 20, 20)
        pixels[_rim(inside, 2)] = _color(one, colors)
    return Image.fromarray(pixels)


def _rim(inside: Array, thick: int) -> Array:
    """The pixels of a region that lie at most ``thick`` from its outside."""
    padded = np.pad(inside, thick)
    kept = inside.copy()
    height, width = inside.shape
    for shift in range(2 * thick + 1):
        kept &= padded[shift : shift + height, thick : thick + width]
        kept &= padded[thick : thick + height, shift : shift + width]
    return inside & ~kept


def _place(truth: Array, label: int, size: tuple[int, int]) -> tuple[int, int]:
    """(x, y) of a point deep inside an object, in the enlarged picture."""
    places = inner_points(truth == label, least=0)
    x, y = places[0] if places else (0, 0)
    return (
        round((x + 0.5) * size[0] / truth.shape[1]),
        round((y + 0.5) * size[1] / truth.shape[0]),
    )


def _shifted(place: tuple[int, int], corner: tuple[int, int]) -> tuple[int, int]:
    return place[0] + corner[0], place[1] + corner[1]


def _leader(pen: ImageDraw.ImageDraw, start: tuple[int, int], end: tuple[int, int]) -> None:
    """A dark line with a light rim, which shows on any ground."""
    pen.line([start, end], fill=(255, 255, 255), width=4)
    pen.line([start, end], fill=INK, width=1)


def _badge(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], one: Prediction, colors: Array
) -> None:
    color = _color(one, colors)
    box = [(place[0] - 10, place[1] - 10), (place[0] + 10, place[1] + 10)]
    pen.ellipse(box, fill=color, outline=INK, width=2)
    pen.text(place, str(one.label), font=font(13), fill=contrast(color), anchor="mm")


def _color(one: Prediction, colors: Array) -> Color:
    if one.slot is None:
        return (255, 255, 255)
    red, green, blue = (int(part) for part in colors[one.slot])
    return red, green, blue
