"""Text, marks and layout on Pillow images, in Pillow's own font so that bytes repeat."""

from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

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
    """The lines of a text, broken at spaces; a word wider than ``width`` stands alone."""
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
    width = max(block.width for block in blocks) + 2 * margin
    height = sum(block.height for block in blocks) + gap * (len(blocks) - 1) + 2 * margin
    page, y = blank(width, height), margin
    for block in blocks:
        page.paste(block, (margin, y))
        y += block.height + gap
    return page


def beside(blocks: list[Image.Image], gap: int = 8) -> Image.Image:
    """Blocks side by side, top-aligned on white."""
    width = sum(block.width for block in blocks) + gap * (len(blocks) - 1)
    page, x = blank(width, max(block.height for block in blocks)), 0
    for block in blocks:
        page.paste(block, (x, 0))
        x += block.width + gap
    return page


def tick(pen: ImageDraw.ImageDraw, x: float, y: float, side: float, fill: Color = RIGHT) -> None:
    """A check mark in the square at (x, y)."""
    points = [(x, y + side * 0.55), (x + side * 0.38, y + side * 0.9), (x + side, y + side * 0.12)]
    pen.line(points, fill=fill, width=2, joint="curve")


def cross(pen: ImageDraw.ImageDraw, x: float, y: float, side: float, fill: Color = WRONG) -> None:
    """A cross in the square at (x, y)."""
    pen.line([(x, y), (x + side, y + side)], fill=fill, width=2)
    pen.line([(x, y + side), (x + side, y)], fill=fill, width=2)


def triangle(
    pen: ImageDraw.ImageDraw, x: float, y: float, side: float, line: Color = WRONG
) -> None:
    """A hollow triangle in the square at (x, y)."""
    corners = [(x, y + side), (x + side / 2, y), (x + side, y + side)]
    pen.polygon(corners, outline=line, fill=(255, 255, 255))


def save(picture: Image.Image, path: Path, *, small: bool = False) -> Path:
    """Write a PNG file whole; its bytes depend only on the pixels.

    ``small`` takes more time and makes the file smaller.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        picture.save(temporary, format="png", optimize=small)
    return path
