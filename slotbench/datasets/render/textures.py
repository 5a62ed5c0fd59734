"""Procedural textures: square tiles that repeat without a seam.

A pattern draws a field of numbers in [0, 1], (SIDE, SIDE), from a generator; a palette turns it
into colours. x runs along the second axis.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.steady import steady

SIDE = 128
"""Texels a side of a tile."""
PATTERNS = ("checks", "stripes", "dots", "waves")
"""Textures of the shift ``object_style``; no training image has them."""
Field = npt.NDArray[np.float64]

_STEPS: Field = (np.arange(SIDE) + 0.5) / SIDE
_Y, _X = np.broadcast_to(_STEPS[:, None], (SIDE, SIDE)), np.broadcast_to(_STEPS, (SIDE, SIDE))


def colored(field: Field, palette: Sequence[bytes]) -> Array:
    """uint8 (SIDE, SIDE, 3), sRGB: 0 is the first colour of the palette, 1 the last."""
    places = np.linspace(0, 1, len(palette))
    mixed = [np.interp(np.clip(field, 0, 1), places, one) for one in zip(*palette, strict=True)]
    tile: Array = np.rint(np.stack(mixed, axis=-1)).astype(np.uint8)
    return tile


def noise(
    generator: np.random.Generator, rows: int, columns: int | None = None, octaves: int = 3
) -> Field:
    """Value noise in [0, 1]; its first octave has ``rows`` x ``columns`` values."""
    columns = columns or rows
    field = np.zeros((SIDE, SIDE))
    for octave in range(octaves):
        shape = (rows << octave, columns << octave)
        field += _smooth(generator.random(shape)) / 2**octave
    low, high = field.min(), field.max()
    return (field - low) / (high - low)  # type: ignore[no-any-return]


def _smooth(lattice: Field) -> Field:
    """A periodic lattice of numbers, interpolated over the tile."""
    for axis, place in ((0, _Y[:, 0]), (1, _X[0])):
        count = lattice.shape[axis]
        whole = np.floor(place * count).astype(np.int64)
        share = place * count - whole
        share = share * share * (3 - 2 * share)
        share = share[:, None] if axis == 0 else share[None]
        before, after = (lattice.take((whole + step) % count, axis) for step in (0, 1))
        lattice = before + share * (after - before)
    return lattice


def clouds(generator: np.random.Generator, cells: int = 4, contrast: float = 1.6) -> Field:
    """Soft blotches."""
    return 0.5 + contrast * (noise(generator, cells) - 0.5)


def grains(generator: np.random.Generator, cells: int = 24) -> Field:
    """Small grains on larger blotches."""
    return 0.7 * noise(generator, cells, octaves=1) + 0.3 * noise(generator, 3)


def blocks(
    generator: np.random.Generator, rows: int, columns: int, joint: float, shifted: bool = True
) -> Field:
    """Bricks or tiles; joints are dark, and as wide as a share of a row."""
    row = np.floor(_Y * rows).astype(np.int64)
    across = _X * columns + (0.5 * (row % 2) if shifted else 0)
    column = np.floor(across).astype(np.int64) % columns
    shade = generator.random((rows, columns))[row, column]
    # Distances to the block's edges, as shares of a row's height.
    to_row = 0.5 - np.abs(_Y * rows - row - 0.5)
    to_column = (0.5 - np.abs(across % 1 - 0.5)) * rows / columns
    inside = np.minimum(to_row, to_column) > joint / 2
    rough = 0.2 * noise(generator, 12)
    return np.where(inside, 0.35 + 0.5 * shade + rough, 0.1 * rough)


def checks(generator: np.random.Generator, count: int = 4) -> Field:
    """A chequerboard."""
    odd = (np.floor(_X * count) + np.floor(_Y * count)) % 2
    return 0.1 + 0.7 * odd + 0.15 * noise(generator, 8)


def stripes(
    generator: np.random.Generator, count: int = 4, hard: bool = True, zigzag: float = 0.0
) -> Field:
    """Stripes along x, hard or as waves, that rise and fall by ``zigzag`` stripes."""
    turn = zigzag * np.abs(2 * ((2 * _X) % 1) - 1)
    phase = _Y * count + turn
    # At edges a sine is zero apart from its last bit: compare the phase instead.
    wave = -phase % 1 >= 0.5 if hard else 0.5 + 0.5 * steady(np.sin(2 * np.pi * phase))
    return wave * 0.85 + 0.15 * noise(generator, 10)


def weave(generator: np.random.Generator, count: int = 6) -> Field:
    """Threads that go over and under each other."""
    along, across = (np.abs(steady(np.sin(np.pi * axis * count))) for axis in (_X, _Y))
    over = (np.floor(_X * count) + np.floor(_Y * count)) % 2
    return 0.8 * np.where(over > 0, along, across**2) + 0.2 * noise(generator, 16)


def spots(generator: np.random.Generator, count: int = 3, radius: float = 0.3) -> Field:
    """Discs of different shades, one in each of ``count`` x ``count`` cells."""
    field = 0.1 * noise(generator, 10)
    for row, column in np.ndindex(count, count):
        place = (np.array([row, column]) + generator.uniform(0.3, 0.7, 2)) / count
        inside = _distance(place) < generator.uniform(0.75, 1) * radius / count
        field[inside] += generator.uniform(0.5, 0.9)
    return field


def cells(generator: np.random.Generator, count: int = 4, joint: float = 0.0) -> Field:
    """Voronoi cells of different shades; with ``joint``, rounded stones."""
    seeds = np.array(list(np.ndindex(count, count))) + generator.uniform(0.1, 0.9, (count**2, 2))
    far = np.stack([_distance(place / count) for place in seeds])
    nearest = far.argmin(axis=0)
    first, second = np.partition(far, 1, axis=0)[:2] * count
    shade = generator.permutation(count**2) / (count**2 - 1)
    if not joint:
        return shade[nearest]  # type: ignore[no-any-return]
    stone = np.clip((second - first) / joint, 0, 1)
    field: Field = stone * (0.55 + 0.3 * shade[nearest]) + 0.15 * noise(generator, 12)
    return field


def planks(generator: np.random.Generator, count: int = 4, rings: float = 5.0) -> Field:
    """Boards along x with grain; a single board has no gap."""
    board = np.floor(_Y * count).astype(np.int64)
    shade, shift = generator.random((2, count))
    grain = noise(generator, 4 * count, 2, octaves=2)
    wave = 0.5 + 0.5 * steady(np.sin(2 * np.pi * (rings * grain + shift[board])))
    field = 0.2 + 0.35 * shade[board] + 0.45 * wave
    gap = np.abs(_Y * count - board - 0.5) > 0.46
    boards: Field = np.where(gap & (count > 1), 0.0, field)
    return boards


def veins(
    generator: np.random.Generator, turns: int = 2, bend: float = 1.2, width: float = 0.25
) -> Field:
    """Marble: crooked veins at 0 on clouds."""
    phase = turns * (_X + _Y) + bend * noise(generator, 3, octaves=4)
    vein = np.abs(steady(np.sin(np.pi * phase))) / width
    return np.clip(vein, 0, 1) * (0.6 + 0.4 * noise(generator, 4))


def blades(generator: np.random.Generator, count: int = 420, length: float = 0.16) -> Field:
    """Grass: short straight blades of different shades and directions, overlapping."""
    field = 0.3 * noise(generator, 6)
    steps = np.linspace(0, length, int(length * SIDE * 1.5))
    places, shades = generator.random((count, 2)), np.sort(generator.random(count))
    angles = generator.normal(np.pi / 2, 0.6, count)
    for place, angle, shade in zip(places, angles, shades, strict=True):
        ends = place + steps[:, None] * steady([np.sin(angle), np.cos(angle)])
        row, column = np.floor(ends * SIDE).astype(np.int64).T % SIDE
        field[row, column] = field[row, (column + 1) % SIDE] = 0.2 + 0.8 * shade
    return field


def _distance(place: Field) -> Field:
    """From each texel to a place (y, x), across the tile's sides where that is shorter."""
    down, right = (np.abs(axis - value) for axis, value in zip((_Y, _X), place, strict=True))
    far: Field = np.hypot(np.minimum(down, 1 - down), np.minimum(right, 1 - right))
    return far


def draw_pattern(name: str, u: Array, v: Array) -> Array:
    """Where a pattern has its second colour, bool; ``u`` and ``v`` count its periods."""
    if name == "checks":
        return np.asarray((np.floor(2 * u) + np.floor(2 * v)) % 2 == 0)
    if name == "stripes":
        return np.asarray(u % 1 < 0.5)
    if name == "dots":
        return np.asarray((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.36**2)
    return np.asarray((v + 0.25 * steady(np.sin(2 * np.pi * u))) % 1 < 0.5)  # waves


def second_color(color: Array) -> float:
    """A light gray for dark colours float (3,) in [0, 1], a dark gray for light ones."""
    red, green, blue = color.tolist()
    return 0.95 if 0.299 * red + 0.587 * green + 0.114 * blue < 0.6 else 0.05
