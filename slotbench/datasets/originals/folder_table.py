"""The table ``properties.csv`` of a folder: one row an object, one column a property.

A row names its object by ``image`` (the image's path below the folder) and ``object`` (its label
in the mask, from 1). Columns of numbers are numeric properties; the others are categorical, and
their classes are their texts, sorted.
"""

import csv
import io
import math
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from slotbench import fields
from slotbench.datasets.format.schema import NOT_LABELLED, Property, check_name
from slotbench.errors import UserError

KEYS = ("image", "object")
MOST_CLASSES, MOST_CHARACTERS = 1000, 200
LARGEST = 3.4e38
"""Largest float32."""
MOST_LABEL = 65535
"""Largest value in a mask."""

Rows = dict[PurePosixPath, dict[int, tuple[float, ...]]]
"""Image -> label -> a value for each property; classes are codes."""


def read_table(
    data: bytes, name: str, images: Sequence[PurePosixPath]
) -> tuple[tuple[Property, ...], Rows]:
    """Properties and rows of a table; :class:`UserError` naming ``name``, line and column."""
    columns, lines = _parse(data, name)
    known = {_composed(image): image for image in images}
    keys: dict[tuple[PurePosixPath, int], None] = {}
    for number, cells in lines:
        where, image = f"{name}, line {number}", known.get(_composed(cells["image"]))
        if image is None:
            raise UserError(
                f"{where}: there is no image {cells['image']!r}.",
                "Expected its path below the folder, such as cats/1.png.",
            )
        key = image, _label(cells["object"], where)
        if key in keys:
            raise UserError(f"{where}: a second row for image {image}, object {key[1]}.")
        keys[key] = None
    described = [
        _column(column, [(number, cells[column]) for number, cells in lines], name)
        for column in columns
        if column not in KEYS
    ]
    rows: Rows = {}
    for index, (image, label) in enumerate(keys):
        rows.setdefault(image, {})[label] = tuple(values[index] for _, values in described)
    return tuple(prop for prop, _ in described), rows


def _composed(name: PurePosixPath | str) -> str:
    return unicodedata.normalize("NFC", str(PurePosixPath(name)))


def _parse(data: bytes, name: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The header, and (line number, cells by column) of every row."""
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{name}: this is not CSV in UTF-8 ({error}).") from error
    header = lines.pop(0)[1] if lines else []
    for key in KEYS:
        if key not in header:
            raise UserError(
                f"{name}: the column {key!r} is missing.",
                "Expected image, object, and a column for each property.",
            )
    for column in header:
        if header.count(column) > 1:
            raise UserError(f"{name}: two columns are called {column!r}.")
        try:
            check_name("a column", column)
        except ValueError as error:
            raise UserError(f"{name}: {error!s}.") from None
    for number, cells in lines:
        if len(cells) != len(header):
            raise UserError(f"{name}, line {number}: {len(cells)} cells, expected {len(header)}.")
    return header, [(number, dict(zip(header, cells, strict=True))) for number, cells in lines]


def _label(text: str, where: str) -> int:
    label = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 0 < label <= MOST_LABEL or label == NOT_LABELLED:
        raise UserError(
            f"{where}: object {text[:20]!r}, expected a label from 1, not {NOT_LABELLED}."
        )
    return label


def _column(column: str, cells: list[tuple[int, str]], name: str) -> tuple[Property, list[float]]:
    """A property and its value in every row."""
    numbers = [_number(text) for _, text in cells]
    for (line, text), found in zip(cells, numbers, strict=True):
        where = f"{name}, line {line}, column {column!r}"
        if not text:
            raise UserError(f"{where}: the cell is empty.", "Every object needs every property.")
        if found is not None and not abs(found) < LARGEST:
            raise UserError(f"{where}: {text[:20]} is not finite.")
        if len(text) > MOST_CHARACTERS or not text.isprintable():
            raise UserError(f"{where}: the text is too long, or cannot be printed.")
    values = [found for found in numbers if found is not None]
    if len(values) == len(cells):
        return Property(column, "numeric"), values
    classes = sorted({text for _, text in cells})
    if len(classes) > MOST_CLASSES:
        raise UserError(
            f"{name}, column {column!r}: {len(classes):,} different texts; expected numbers, or at "
            f"most {MOST_CLASSES:,} classes."
        )
    codes = {text: float(code) for code, text in enumerate(classes)}
    prop = Property(column, "categorical", classes=tuple(classes))
    return prop, [codes[text] for _, text in cells]


def _number(text: str) -> float | None:
    """The number in a cell; None where it holds text."""
    try:
        value = fields.number(text)
    except ValueError:
        return None
    return math.inf if math.isnan(value) else value
