"""Materials of the objects and the ground of rendered ClevrTex.

The licence of the original materials, scans of Poliigon, allows no copies. These are drawn: each
material is one tile, the same in every dataset, and looks roughly like the original of that name.
As in the original, ``outd`` shares no material with the other variants.
"""

from dataclasses import dataclass
from functools import cache

from slotbench.datasets.format.schema import Array
from slotbench.datasets.render.textures import (
    Color,
    Pattern,
    blades,
    blocks,
    cells,
    checks,
    clouds,
    grains,
    planks,
    spots,
    stripes,
    texture,
    veins,
    weave,
)
from slotbench.rng import numpy_generator


@dataclass(frozen=True)
class Material:
    """A pattern and its colours, with the parameters of Mitsuba's principled surface."""

    pattern: Pattern
    palette: tuple[Color, ...]
    roughness: float = 0.7
    metallic: float = 0.0


def _of(pattern: Pattern, *colors: int, roughness: float = 0.7, metal: float = 0.0) -> Material:
    """Colours as hexadecimal numbers, 0xRRGGBB."""
    palette = tuple((color >> 16, color >> 8 & 255, color & 255) for color in colors)
    return Material(pattern, palette, roughness, metal)


USUAL = {
    "asphalt": _of(grains(28), 0x1E1E20, 0x3C3C40, 0x77777A),
    "bricks-red": _of(blocks(4, 2, 0.16), 0xB8B0A4, 0x6E2A1E, 0xA8452F, 0xC4644A),
    "bricks-white": _of(blocks(4, 2, 0.14), 0x6E6A66, 0xCFCAC2, 0xF2EFEA),
    "carpet": _of(weave(10), 0x4F3B58, 0x8A6A92, 0xB89ABF),
    "chainmail": _of(weave(5), 0x2B130A, 0x8A4524, 0xF0A070, roughness=0.35, metal=0.7),
    "clay": _of(clouds(3, 2.0), 0x7A3F22, 0xB56A3E, 0xD9935F),
    "cobblestone": _of(cells(4, 0.35), 0x2C2A28, 0x6F6A64, 0xA9A39A),
    "concrete": _of(clouds(6), 0x7D7D7B, 0xA6A6A2, 0xC6C5C0),
    "corrugated": _of(
        stripes(4, hard=False), 0x3D4650, 0x8B98A4, 0xDCE4EA, roughness=0.3, metal=0.6
    ),
    "denim": _of(weave(8), 0x15223F, 0x2F4C86, 0x7A97C6),
    "dirt": _of(grains(12), 0x2A1C12, 0x5C4029, 0x94714D),
    "fleece": _of(grains(16), 0x9C5A6C, 0xDB97A8, 0xF4CCD4),
    "flooring": _of(planks(4), 0x3A2010, 0x9A6130, 0xD8A268),
    "forest": _of(cells(9), 0x2B1D10, 0x6B4A1E, 0xA8752A, 0x5E6B23, 0xC79A4A),
    "grass": _of(blades(), 0x14300C, 0x2E6B1A, 0x63A832, 0xA7D458),
    "leather": _of(cells(10, 0.4), 0x22100A, 0x5A2A18, 0x8A4A2C, roughness=0.4),
    "mahogany": _of(planks(1, 4), 0x34100A, 0x74281A, 0xA85038, roughness=0.4),
    "marble-green": _of(veins(2, 1.6, 0.5), 0xD8E8DA, 0x3E7A58, 0x12402C, roughness=0.25),
    "marble-white": _of(veins(2, 2.0, 0.6), 0x3A3A44, 0xD4D4D6, 0xF7F6F3, roughness=0.25),
    "moss": _of(clouds(8, 2.2), 0x17260B, 0x446B1B, 0x8AA83A),
    "onyx": _of(blocks(2, 2, 0.08, shifted=False), 0x9A9AA0, 0x0C0C10, 0x34343C, roughness=0.2),
    "panels": _of(
        blocks(3, 2, 0.1, shifted=False), 0x23282E, 0x6F7C88, 0xB6C2CC, roughness=0.35, metal=0.5
    ),
    "planks": _of(planks(3, 3), 0x24201C, 0x6E6458, 0xB0A48F),
    "plaster": _of(clouds(10, 1.8), 0xB89F72, 0xDCC79A, 0xF2E6C4),
    "roof-tiles": _of(stripes(5, hard=False, zigzag=1), 0x5A1C0E, 0xB5502A, 0xE08A58),
    "rope": _of(stripes(6, hard=False, zigzag=2), 0x5A4522, 0xB0925A, 0xE0CB98),
    "rug": _of(spots(3, 0.34), 0x14204A, 0x3E62B0, 0xF2D34E),
    "rust": _of(clouds(5, 2.4), 0x3A1A0C, 0x8A3E14, 0xC9702A, 0x6A7478),
    "snow": _of(clouds(5, 1.8), 0xAEBECF, 0xE2EAF2, 0xFFFFFF),
    "solar": _of(blocks(4, 4, 0.14, shifted=False), 0xC4CCD8, 0x0E1A4A, 0x24449A, roughness=0.25),
    "terrazzo": _of(spots(5, 0.42), 0xEDE9E2, 0xC9A88F, 0x7F8C8A, 0x4A3C38),
    "tiles": _of(blocks(4, 4, 0.12, shifted=False), 0xF4F4F0, 0x1F7F88, 0x58BCC0),
    "tiles-chevron": _of(stripes(4, zigzag=2), 0x7C7870, 0xEDE4CF),
    "tiles-mirror": _of(checks(4), 0x50565E, 0xC6CED6, roughness=0.2, metal=0.5),
    "upholstery": _of(checks(6), 0x7A1F3A, 0xE6B23C),
    "wall": _of(cells(3, 0.25), 0xA09078, 0x6A5C48, 0xC8B48E),
}
OUTD = {
    "acoustic-foam": _of(blocks(5, 5, 0.3, shifted=False), 0x1C1C22, 0x585864),
    "brick-old": _of(blocks(6, 2, 0.22), 0x8C8474, 0x4A2018, 0x7E3A2A),
    "ceramic": _of(stripes(4, zigzag=1), 0x0E4C5E, 0x2FA6A0, roughness=0.2),
    "chainmail-gold": _of(weave(4), 0x3A2806, 0xB0862A, 0xFFE08A, roughness=0.3, metal=0.7),
    "chipped-paint": _of(cells(5, 0.12), 0x8A7860, 0x2C7A5A, 0x46A07A),
    "copper": _of(clouds(4, 2.4), 0x1E6A5A, 0x63B59A, 0xB4703C, roughness=0.4, metal=0.4),
    "diamond-floor": _of(spots(4, 0.26), 0x5A6068, 0xA8B0B8, 0xF0F4F8, roughness=0.3, metal=0.5),
    "ground-rocky": _of(cells(7, 0.3), 0x3E342A, 0x8A7A64, 0xBFB096),
    "lawn": _of(blades(700, 0.08), 0x1C4A10, 0x4E8E24, 0x86C440),
    "palladiana": _of(cells(4, 0.08), 0xE6E6DE, 0x2E6A4A, 0x74A888),
    "quarry": _of(blocks(5, 3, 0.1), 0x2A2A30, 0x4C505C, 0x7C8494),
    "rhombus": _of(stripes(3, zigzag=1), 0x40204A, 0xB05AA8),
    "sand": _of(grains(8), 0xA88A58, 0xD8BC86, 0xF0DDB0),
    "siding": _of(stripes(7), 0x6A2018, 0xC8483A, roughness=0.4, metal=0.3),
}
PLAIN = {"rubber": (0.7, 0.0), "metal": (0.2, 0.9)}
"""Roughness and metallic of CLEVR's one-coloured materials, which ``vbg`` has."""


@cache
def tile(name: str) -> Array:
    """The material's texture, uint8 (SIDE, SIDE, 3), sRGB."""
    material = (USUAL | OUTD)[name]
    generator = numpy_generator("clevrtex material 1", name)
    return texture(material.pattern, material.palette, generator)
