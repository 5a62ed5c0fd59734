"""Shifts of Tetrominoes: pieces of five blocks, new colours, textures, more pieces."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.datasets.shifts.shift_patterns import PATTERNS, draw_pattern
from slotbench.errors import SlotbenchError

ZOOM = 1.5
NEW_COLORS = (
    (255, 128, 0),
    (128, 0, 255),
    (0, 255, 128),
    (0, 128, 255),
    (255, 0, 128),
    (128, 255, 0),
)
"""Halfway between neighbours of the six that training has."""
MORE = (4, 5)
TRIES = 2000


@dataclass(frozen=True)
class Piece:
    """One piece: codes of shape and colour, left upper corners (blocks, 2) of its blocks."""

    shape: int
    color: int
    place: tuple[int, int]
    blocks: Array
    rgb: tuple[int, int, int]
    pattern: str = ""


Draw = Callable[[np.random.Generator], Piece]


def shift_pieces(
    shift: str,
    pieces: list[Piece],
    side: int,
    block: int,
    draw: Draw,
    generator: np.random.Generator,
) -> tuple[list[Piece], tuple[int, ...]]:
    """The pieces of a scene under a shift, and which was changed.

    The frame has ``side`` pixels, a block ``block``; ``draw`` gives any piece anywhere.
    """
    if shift == "num_objects":
        return _fuller(pieces, block, draw, generator), ()
    if shift == "object_shape":
        return _longer(pieces, side, block, generator)
    if not shift.startswith("object_"):
        return pieces, ()
    slot = int(generator.integers(len(pieces)))
    if shift == "object_color":
        new = replace(pieces[slot], rgb=NEW_COLORS[int(generator.integers(len(NEW_COLORS)))])
    else:
        new = replace(pieces[slot], pattern=str(generator.choice(PATTERNS)))
    return [*pieces[:slot], new, *pieces[slot + 1 :]], (slot,)


def apart(one: Array, two: Array, block: int) -> bool:
    """Whether no block of one piece overlaps one of the other."""
    return bool((np.abs(one[:, None] - two[None]) >= block).any(axis=-1).all())


def _fuller(
    pieces: list[Piece], block: int, draw: Draw, generator: np.random.Generator
) -> list[Piece]:
    for count in range(int(generator.integers(MORE[0], MORE[1] + 1)), MORE[0] - 1, -1):
        found = list(pieces)
        for _ in range(TRIES):
            piece = draw(generator)
            if all(apart(piece.blocks, other.blocks, block) for other in found):
                found.append(piece)
                if len(found) == count:
                    return found
    raise SlotbenchError(f"tetrominoes: no place for {MORE[0]} pieces in a scene.")


def _longer(
    pieces: list[Piece], side: int, block: int, generator: np.random.Generator
) -> tuple[list[Piece], tuple[int, ...]]:
    """One piece gets a fifth block beside one of its own, where that overlaps nothing."""
    steps = block * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
    found = []
    for slot, piece in enumerate(pieces):
        others = np.concatenate([other.blocks for other in pieces if other is not piece])
        for corner in np.unique((piece.blocks[:, None] + steps).reshape(-1, 2), axis=0):
            inside = (corner >= 0).all() and (corner <= side - block).all()
            taken = np.concatenate([others, piece.blocks])
            if inside and apart(corner[None], taken, block):
                found.append((slot, corner))
    if not found:  # three pieces of a crowded frame that have no free side: change nothing
        return pieces, ()
    slot, corner = found[int(generator.integers(len(found)))]
    new = replace(pieces[slot], blocks=np.concatenate([pieces[slot].blocks, corner[None]]))
    return [*pieces[:slot], new, *pieces[slot + 1 :]], (slot,)


def paint(pieces: list[Piece], side: int, block: int) -> tuple[Array, Array]:
    """Label map uint8 (side, side) and image uint8 (side, side, 3)."""
    mask = np.zeros((side, side), np.uint8)
    for label, piece in enumerate(pieces, start=1):
        for x, y in piece.blocks.tolist():
            mask[y : y + block, x : x + block] = label
    image = np.array([(0, 0, 0), *(piece.rgb for piece in pieces)], np.uint8)[mask]
    for label, piece in enumerate(pieces, start=1):
        if piece.pattern:
            rows, columns = np.nonzero(mask == label)
            x, y = piece.place
            # A pixel's middle, in periods of one block.
            u, v = (columns - x + 0.5) / block, (rows - y + 0.5) / block
            second = draw_pattern(piece.pattern, u, v)
            image[rows[second], columns[second]] = 128
    return mask, image
