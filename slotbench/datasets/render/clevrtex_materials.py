"""Materials of the objects and the ground of rendered ClevrTex, from ``materials.toml``.

The licence of the original materials, scans of Poliigon, allows no copies. These are drawn: each
material is one tile, the same in every dataset, and looks roughly like the original of that name.
As in the original, ``outd`` shares no material with the other variants.
"""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render import textures
from slotbench.rng import numpy_generator


@dataclass(frozen=True)
class Material:
    """A pattern and its colours, with the parameters of Mitsuba's principled surface."""

    draw: str
    """A function of :mod:`textures`; ``args`` and ``named`` are its options."""
    palette: str
    """Hexadecimal colours."""
    args: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    roughness: float = 0.7
    metallic: float = 0.0


_STORED = tomllib.loads(Path(__file__).with_name("materials.toml").read_text())
USUAL = {name: Material(**made) for name, made in _STORED["usual"].items()}
OUTD = {name: Material(**made) for name, made in _STORED["outd"].items()}
PLAIN = {"rubber": (0.7, 0.0), "metal": (0.2, 0.9)}
"""Roughness and metallic of CLEVR's one-coloured materials, which ``vbg`` has."""


@cache
def tile(name: str) -> Array:
    """The material's texture, uint8 (SIDE, SIDE, 3), sRGB."""
    material = (USUAL | OUTD)[name]
    generator = numpy_generator("clevrtex material 1", name)
    pattern = getattr(textures, material.draw)
    field = pattern(generator, *material.args, **material.named)
    return textures.colored(field, [*map(bytes.fromhex, material.palette.split())])
