"""docs/tradeoff_picture.py: every published run is a point inside the picture."""

import sys
from pathlib import Path

from slotbench.files import read_json

ROOT = Path(__file__).parents[2]
RECORDS = [
    ROOT / f"slotbench/results/published/{name}-clevr6.json" for name in ("plain", "shading")
]


def test_every_run_is_a_point_inside_the_axes(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs"), *sys.path])
    import tradeoff_picture

    found = tradeoff_picture.points(RECORDS)
    places = [place for each in found.values() for place in each]
    assert len(places) == sum(len(read_json(file)) for file in RECORDS)
    (axes,) = tradeoff_picture.drawn(found | {"other": [(0.5, 0.2)]}).axes
    lines = dict(zip([*found, "other"], axes.lines, strict=True))
    assert {name: line.get_label() for name, line in lines.items()} == {n: n for n in lines}
    bottom, top = axes.get_ylim()
    for line in lines.values():
        assert ((line.get_ydata() >= bottom) & (line.get_ydata() <= top)).all()
