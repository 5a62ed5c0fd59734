"""Masks in a terminal: each way shows the picture's pixels."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.report.preview import graphics, half_blocks, kitty, panels, sixels
from slotbench.report.seen import Viewer, look
from tests.report.models import Model, write
from tests.report.test_show import CPU

SQUARES = np.zeros((12, 18, 3), np.uint8)
SQUARES[:5, :9], SQUARES[5:, :9], SQUARES[:, 9:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
PICTURE = Image.fromarray(SQUARES)


def test_an_image_has_a_panel_a_source(tmp_path):
    with DatasetFile(write(tmp_path / "clevr.h5", sizes=(4, 4, 8))) as dataset:
        (seen,) = look(Viewer(Model(), dataset, "test", 0, CPU), [1])
    assert panels(seen).size == (4 * 128 + 3 * 8, 128)


def test_half_blocks_are_two_pixels_a_character():
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(half_blocks(PICTURE, 18), end="")
    lines = console.file.getvalue().splitlines()
    shown = [[], []]
    code = r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m(▀+)"
    for found in (re.findall(code, line) for line in lines):
        for half in (0, 1):
            row = [list(map(int, one[3 * half : 3 * half + 3])) for one in found for _ in one[6]]
            shown[half].append(row)
    assert (np.stack(shown, axis=1).reshape(SQUARES.shape) == SQUARES).all()


def test_kitty_gets_a_png_in_parts():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    parts = re.findall(
        r"\x1b_G(?:a=T,f=100,)?m=([01]);([^\x1b]*)\x1b\\", kitty(Image.fromarray(noise))
    )
    assert [more for more, _ in parts] == ["1"] * (len(parts) - 1) + ["0"]
    assert max(len(text) for _, text in parts) <= 4096
    whole = base64.b64decode("".join(text for _, text in parts))
    assert (np.array(Image.open(io.BytesIO(whole))) == noise).all()


def test_sixels_are_the_pixels():
    text = sixels(PICTURE).removeprefix('\x1bPq"1;1;18;12').removesuffix("\x1b\\")
    colors = {int(one[0]): one[1:] for one in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", text)}
    shown = np.zeros(SQUARES.shape, int)
    for top, band in enumerate(text.rstrip("-").split("-")):
        for name, codes in re.findall(r"#(\d+)([^#$;]+)\$", band):
            for x, code in enumerate(codes):
                for y in range(6):
                    if (ord(code) - 63) >> y & 1:
                        shown[6 * top + y, x] = [
                            int(part) * 255 // 100 for part in colors[int(name)]
                        ]
    assert (shown == SQUARES).all()


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "kitty"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, ""),
        ({}, ""),
    ],
)
def test_graphics_are_used_where_the_terminal_announces_them(environment, way):
    assert graphics(environment) == way
