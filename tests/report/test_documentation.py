"""docs/evaluation.md: its pictures, links and tables, and what it claims of them."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slotbench import registry

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "evaluation.md").read_text()


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The scripts beside the page can be imported."""
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])


def test_every_picture_is_shown_and_every_picture_shown_is_there():
    shown = re.findall(r"!\[[^\]]+\]\(pictures/([\w]+\.png)\)", TEXT)
    drawn = {file.name for file in (DOCS / "pictures").glob("*.png")}
    # docs/leaderboard.md shows those of the page.
    assert sorted(shown) == sorted(name for name in drawn if not name.startswith("report"))
    import make_pictures

    assert {name + ".png" for name in make_pictures.everything()} == set(shown)
    for name in shown:
        with Image.open(DOCS / "pictures" / name) as picture:
            assert 300 < picture.width < 900


def test_every_metric_is_explained():
    for name, entry in registry.entries("metrics").items():
        for key in entry.load().keys:
            parts = key.split("/")
            assert f"`{parts[0]}" in TEXT or f"/{parts[-1]}`" in TEXT, name


def test_what_the_pictures_of_masks_show():
    """What the page says about them in words."""
    import make_pictures as drawn

    perfect, parts = drawn.score(drawn.PERFECT), drawn.score(drawn.ground_in_parts())
    assert set(perfect.values()) == {1.0}
    merged, cells = drawn.score(drawn.merged()), drawn.score(drawn.cells())
    assert parts["fg_ari"] == 1
    assert 1 - parts["ari"] > 10 * (1 - merged["ari"])
    assert cells["fg_ari"] == 1
    assert cells["miou"] < 0.5
    assert merged["mbo"] > merged["miou"]


def test_only_masks_tell_whose_properties_a_slot_holds():
    import made_data

    def color(content, protocol):
        return made_data.probe(content, protocol, steps=500)["color"].value

    assert color("own", "mask") > 0.95
    assert color("neighbour", "mask") < 0.35
    assert color("neighbour", "loss") > 0.95


def test_the_mean_of_discs_tells_them_apart_no_more():
    import made_data

    slots, images, masks = made_data.discs(20, "test", "mean")
    assert np.ptp(slots[:, :3], axis=1).max() < 1e-5
    assert [sorted(np.unique(mask)) for mask in masks] == [[0, 1, 2, 3]] * 20
    assert images.shape == (20, 32, 32, 3)


@pytest.mark.slow
def test_tables_are_what_slotbench_computes():
    import made_data

    for name, table in made_data.TABLES.items():
        assert f"<!-- {name} -->\n{table()}\n<!-- end of {name} -->" in TEXT
