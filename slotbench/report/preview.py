"""Masks in a terminal: kitty's or sixel graphics where its name says so, else half-blocks."""

import base64
import io
import os
import sys
from collections.abc import Mapping

import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style

from slotbench.datasets.format.schema import LABEL_COLORS
from slotbench.report.canvas import beside, flat_panel, photo
from slotbench.report.seen import Seen, paired_colors

SIXELS = ("foot", "mlterm", "yaft", "contour", "sixel")
"""Terminals that draw sixels have one of these in their name."""
KITTY = ("kitty", "ghostty", "wezterm")
PIXELS, LINE = 640, 18
"""In a terminal that draws pixels: width of a picture, and height of a line of text."""
MOST_COLUMNS = 76


def panels(one: Seen) -> Image.Image:
    """Side by side: the image, its true masks, the masks of every source."""
    masks = [flat_panel(found, paired_colors(one, name)) for name, found in one.labels.items()]
    return beside([photo(one.image), flat_panel(one.truth, LABEL_COLORS), *masks])


def put_picture(picture: Image.Image, lines: int | None = None) -> None:
    """Print a picture, at most ``lines`` lines high; none where the terminal has no colours."""
    console = Console()
    way = graphics(os.environ)
    wide = picture.width / picture.height
    if way:
        width = PIXELS if lines is None else min(PIXELS, round(lines * LINE * wide))
        large = picture.resize((width, max(1, round(width / wide))))
        sys.stdout.write((kitty(large) if way == "kitty" else sixels(large)) + "\n")
    elif console.color_system is not None:
        columns = min(console.width, MOST_COLUMNS)
        columns = columns if lines is None else max(1, min(columns, int(2 * lines * wide)))
        console.print(half_blocks(picture, columns), end="")


def graphics(environment: Mapping[str, str]) -> str:
    """``kitty`` or ``sixel`` where the terminal's name says that it draws them; else ""."""
    names = f"{environment.get('TERM', '')} {environment.get('TERM_PROGRAM', '')}".lower()
    if environment.get("TMUX") or "screen" in names:
        return ""  # a multiplexer forwards neither
    if any(name in names for name in KITTY):
        return "kitty"
    return "sixel" if any(name in names for name in SIXELS) else ""


def half_blocks(picture: Image.Image, columns: int) -> Segments:
    """Two pixels a character: the upper one is its colour, the lower one its background."""
    height = round(picture.height * columns / picture.width / 2) * 2
    pixels = np.asarray(picture.convert("RGB").resize((columns, height), Image.Resampling.BOX))
    segments = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        for one, other in zip(upper, lower, strict=True):
            style = Style(color=Color.from_rgb(*one), bgcolor=Color.from_rgb(*other))
            segments.append(Segment("▀", style))
        segments.append(Segment.line())
    return Segments(segments)


def kitty(picture: Image.Image) -> str:
    """The escape sequences of kitty's graphics protocol, a PNG in parts of 4,096 characters."""
    file = io.BytesIO()
    picture.save(file, format="png")
    text = base64.b64encode(file.getvalue()).decode()
    starts = range(0, len(text), 4096)
    return "".join(
        f"\x1b_G{'' if start else 'a=T,f=100,'}m={int(start < starts[-1])};"
        f"{text[start : start + 4096]}\x1b\\"
        for start in starts
    )


def sixels(picture: Image.Image) -> str:
    """A sixel picture of at most 64 colours, in bands of six rows."""
    small = picture.convert("RGB").quantize(64)
    colors = np.asarray(small.getpalette() or [], np.uint8).reshape(-1, 3)
    pixels = np.asarray(small)
    text = [f'\x1bPq"1;1;{small.width};{small.height}']
    text += [
        "#{};2;{};{};{}".format(k, *(round(part / 2.55) for part in color.tolist()))
        for k, color in enumerate(colors)
    ]
    for start in range(0, len(pixels), 6):
        band = pixels[start : start + 6]
        bits = 1 << np.arange(len(band))[:, None]
        for k in np.unique(band).tolist():
            codes = ((band == k) * bits).sum(axis=0) + 63
            text.append(f"#{k}" + bytes(codes.tolist()).decode() + "$")
        text.append("-")
    return "".join([*text, "\x1b\\"])
