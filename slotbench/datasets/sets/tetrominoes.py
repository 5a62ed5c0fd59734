"""Tetrominoes: three pieces of four blocks on black, drawn here or read from TFRecords.

DeepMind's multi_object_datasets describe it: images of 35x35 pixels, three tetrominoes each, one
of six colours. The seven pieces have 19 orientations; the readme says 17, the files have codes 1 to
19. Users report x and y from 0 to 29: pieces stand at whole pixels, at least one pixel from the
right and the lower border. Blocks have 5x5 pixels; pieces do not overlap. Which code is which shape
is unknown, and so is the distribution of positions, which is uniform here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.schema import Array, Batch, Layout, Property, categorical
from slotbench.datasets.originals.importing import Importer
from slotbench.datasets.originals.multi_object import MULTI_OBJECT, Format, MultiObjectImporter
from slotbench.datasets.originals.tfrecord import RecordFile
from slotbench.datasets.render.textures import PATTERNS, draw_pattern
from slotbench.datasets.shifts.kinds import empty, flag, shift_of
from slotbench.errors import SlotbenchError
from slotbench.registry import register

SIDE, CROP, BLOCK, COUNT = 35, 32, 5, 3
COLORS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}
COLORS |= {"yellow": (1, 1, 0), "magenta": (1, 0, 1), "cyan": (0, 1, 1)}
PIECES = {"I": "####", "O": "##/##", "T": "###/.#.", "S": ".##/##.", "Z": "##./.##"}
PIECES |= {"L": "#../###", "J": "..#/###"}
"""Rows of each piece from the top."""
TRIES = 16
ZOOM = 1.5
NEW_COLORS = [(255, 128, 0), (128, 0, 255), (0, 255, 128), (0, 128, 255), (255, 0, 128)]
NEW_COLORS += [(128, 255, 0)]
"""Colours of ``object_color``, halfway between the usual six."""
MORE = (4, 5)
"""Fewest and most pieces of ``num_objects``."""
MORE_TRIES = 2000


def _turned() -> Iterator[tuple[str, Array]]:
    """(name with degrees, blocks int64 (4, 2) as x and y) of each piece in each orientation."""
    for piece, rows in PIECES.items():
        cells = np.array([[cell == "#" for cell in row] for row in rows.split("/")])
        seen = set()
        for turn in range(4):
            blocks = np.argwhere(np.rot90(cells, -turn))[:, ::-1]
            if blocks.tobytes() not in seen:
                seen.add(blocks.tobytes())
                yield f"{piece}-{90 * turn}", blocks


SHAPES = dict(_turned())
BLOCKS = BLOCK * np.stack(list(SHAPES.values()))
"""Left upper corners of the blocks in pixels, int64 (shapes, 4, 2), x and y."""
PLACES = SIDE - BLOCK - BLOCKS.max(axis=1)
"""Number of places of each shape along x and y, int64 (shapes, 2)."""


def window(image_size: int) -> slice:
    """Rows and columns to keep: all 35 for multiples of 35, else torchvision's center crop."""
    return slice(0, SIDE) if image_size % SIDE == 0 else slice(2, 2 + CROP)


@dataclass(frozen=True)
class Piece:
    """One piece: codes of shape and colour, upper left corners (blocks, 2) of its blocks."""

    shape: int
    color: int
    place: tuple[int, int]
    blocks: Array
    rgb: tuple[int, int, int]
    pattern: str = ""


@register("datasets")
class Tetrominoes(Dataset):
    """Three pieces of Tetris that do not overlap; edges are sharp, in images and masks alike."""

    summary = "three pieces of four blocks on black, drawn or imported"
    source = "multi_object_datasets, DeepMind 2019"
    name = "tetrominoes"
    variants = ("default",)
    licence = "drawn images: CC0; original file: Apache 2.0"
    generator = "slotbench tetrominoes 1"
    sizes: ClassVar[dict[str, int]] = {"train": 20_000, "val": 1_000, "test": 2_000}
    published = (f"{MULTI_OBJECT}/tetrominoes/tetrominoes_train.tfrecords",)
    drawn_shifts = ("crop", "object_color", "object_shape", "object_style", "num_objects")
    more = MORE
    image_size = CROP

    @property
    def layout(self) -> Layout:
        return _layout(self.image_size, tuple(SHAPES))

    def render(self, split: str, start: int, stop: int) -> Batch:
        shift = shift_of(split)
        batch = empty(self.shifted_layout(shift or ""), stop - start, shift)
        lines = self._lines(ZOOM if shift == "crop" else 1.0)
        for row, index in enumerate(range(start, stop)):
            pieces = self._pieces("test" if shift else split, index)
            changed: tuple[int, ...] = ()
            if shift is not None:
                pieces, changed = shift_pieces(shift, pieces, self.stream(split, index))
            mask, image = paint(pieces)
            batch["mask"][row] = mask[np.ix_(lines, lines)]
            batch["image"][row] = image[np.ix_(lines, lines)]
            for slot, piece in enumerate(pieces):
                batch["visible"][row, slot] = (batch["mask"][row] == slot + 1).any()
                batch["property/shape"][row, slot] = piece.shape
                batch["property/color"][row, slot] = piece.color
                batch["property/position"][row, slot] = piece.place
            flag(batch, row, shift, changed)
        return batch

    def _lines(self, zoom: float) -> Array:
        """The pixel of 35 at the middle of each pixel of the image, along one side."""
        kept, size = np.arange(SIDE)[window(self.image_size)], self.image_size
        if zoom == 1:
            return np.asarray(kept[(2 * np.arange(size) + 1) * len(kept) // (2 * size)])
        middle = 0.5 + ((np.arange(size) + 0.5) / size - 0.5) / zoom
        return np.asarray(kept[(middle * len(kept)).astype(int)])

    def _pieces(self, split: str, index: int) -> list[Piece]:
        generator = self.stream(split, index)
        shape = generator.integers(len(SHAPES), size=COUNT)
        color = generator.integers(len(COLORS), size=COUNT)
        place = _places(shape, generator)
        parts = zip(shape.tolist(), color.tolist(), place.tolist(), strict=True)
        return [_piece(*one) for one in parts]

    def importer(self, path: Path) -> Importer:
        """``tetrominoes_train.tfrecords``, whose shapes are called by their codes 1 to 19."""
        # Colours are stored as red, green and blue, each 0 or 1: a number of three bits.
        bits, codes = np.array((4, 2, 1)), np.zeros(8, np.int64)
        codes[np.array(list(COLORS.values())) @ bits] = np.arange(1, len(COLORS) + 1)
        form = Format(
            image=(SIDE, SIDE, 3),
            entities=COUNT + 1,
            crop=(window(self.image_size),) * 2,
            float_keys={**dict.fromkeys(("x", "y", "shape", "visibility"), 1), "color": 3},
            coded=lambda stored: {"color": codes[(stored["color"] > 0.5) @ bits][:, None]},
            enlarge="nearest",
        )
        layout = _layout(self.image_size, tuple(f"shape-{code + 1}" for code in range(len(SHAPES))))
        return MultiObjectImporter(layout, {RecordFile(path): form})


def _piece(shape: int, color: int, place: list[int]) -> Piece:
    red, green, blue = (255 * share for share in tuple(COLORS.values())[color])
    blocks = BLOCKS[shape] + np.array(place)
    return Piece(shape, color, (place[0], place[1]), blocks, (red, green, blue))


def _places(shape: Array, generator: np.random.Generator) -> Array:
    """Upper left corners of pieces that do not overlap, int64 (3, 2), x and y in pixels.

    All three are drawn at once until they fit: so they are uniform over all such places.
    """
    first, second = np.triu_indices(COUNT, 1)
    while True:
        place = generator.integers(PLACES[shape], size=(TRIES, COUNT, 2))
        corners = BLOCKS[shape] + place[:, :, None]
        apart = np.abs(corners[:, first, :, None] - corners[:, second, None]) >= BLOCK
        fits = apart.any(axis=-1).all(axis=(1, 2, 3))
        if fits.any():
            found: Array = place[int(fits.argmax())]
            return found


def apart(one: Array, two: Array) -> bool:
    """Whether no block of one piece overlaps one of the other."""
    return bool((np.abs(one[:, None] - two[None]) >= BLOCK).any(axis=-1).all())


def shift_pieces(
    shift: str, pieces: list[Piece], generator: np.random.Generator
) -> tuple[list[Piece], tuple[int, ...]]:
    """The pieces of a scene under a shift, and the changed piece."""
    if shift == "num_objects":
        return _fuller(pieces, generator), ()
    if shift == "object_shape":
        return _longer(pieces, generator)
    if not shift.startswith("object_"):
        return pieces, ()
    slot = int(generator.integers(len(pieces)))
    if shift == "object_color":
        new = replace(pieces[slot], rgb=NEW_COLORS[int(generator.integers(len(NEW_COLORS)))])
    else:
        new = replace(pieces[slot], pattern=str(generator.choice(PATTERNS)))
    return [*pieces[:slot], new, *pieces[slot + 1 :]], (slot,)


def _fuller(pieces: list[Piece], generator: np.random.Generator) -> list[Piece]:
    for count in range(int(generator.integers(MORE[0], MORE[1] + 1)), MORE[0] - 1, -1):
        found = list(pieces)
        for _ in range(MORE_TRIES):
            shape, color = (int(generator.integers(len(kinds))) for kinds in (SHAPES, COLORS))
            piece = _piece(shape, color, generator.integers(PLACES[shape]).tolist())
            if all(apart(piece.blocks, other.blocks) for other in found):
                found.append(piece)
                if len(found) == count:
                    return found
    raise SlotbenchError(f"tetrominoes: no place for {MORE[0]} pieces in a scene.")


def _longer(
    pieces: list[Piece], generator: np.random.Generator
) -> tuple[list[Piece], tuple[int, ...]]:
    """Adds a fifth block to a piece, where that overlaps nothing."""
    steps = BLOCK * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
    taken, found = np.concatenate([piece.blocks for piece in pieces]), []
    for slot, piece in enumerate(pieces):
        for corner in np.unique((piece.blocks[:, None] + steps).reshape(-1, 2), axis=0):
            inside = (corner >= 0).all() and (corner <= SIDE - BLOCK).all()
            if inside and apart(corner[None], taken):
                found.append((slot, corner))
    if not found:  # a crowded frame: no piece has a free side
        return pieces, ()
    slot, corner = found[int(generator.integers(len(found)))]
    new = replace(pieces[slot], blocks=np.concatenate([pieces[slot].blocks, corner[None]]))
    return [*pieces[:slot], new, *pieces[slot + 1 :]], (slot,)


def paint(pieces: list[Piece]) -> tuple[Array, Array]:
    """Label map uint8 (SIDE, SIDE) and image uint8 (SIDE, SIDE, 3)."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for label, piece in enumerate(pieces, start=1):
        for x, y in piece.blocks.tolist():
            mask[y : y + BLOCK, x : x + BLOCK] = label
    image = np.array([(0, 0, 0), *(piece.rgb for piece in pieces)], np.uint8)[mask]
    for label, piece in enumerate(pieces, start=1):
        if piece.pattern:
            rows, columns = np.nonzero(mask == label)
            x, y = piece.place
            # A pixel's middle, in periods of one block.
            u, v = (columns - x + 0.5) / BLOCK, (rows - y + 0.5) / BLOCK
            second = draw_pattern(piece.pattern, u, v)
            image[rows[second], columns[second]] = 128
    return mask, image


def _layout(image_size: int, shapes: tuple[str, ...]) -> Layout:
    properties = (
        *categorical({"shape": shapes, "color": COLORS}),
        Property("position", "numeric", dim=2, unit="x and y in pixels of 35"),
    )
    return Layout(image_size, image_size, COUNT, properties)
