"""Draws what one slot for the background costs: FG-ARI beside whole-image ARI, a point a run.

Type: python docs/tradeoff_picture.py OUT.png RECORDS.json...

RECORDS are files of published runs of one dataset. Objectives have their own marks; the shaded
corner is the aim. FG-ARI leaves the background out, ARI counts it as one more object.
"""

import argparse
from itertools import cycle
from pathlib import Path

from matplotlib.figure import Figure

from slotbench.files import read_json

AIM = {"ari": 0.85, "fg_ari": 0.88}
MARKS = "osD^v"
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#56b4e9", "#e69f00")


def points(files: list[Path]) -> dict[str, list[tuple[float, float]]]:
    """Objective -> (ARI, FG-ARI) of the attention masks of each of its runs."""
    found: dict[str, list[tuple[float, float]]] = {}
    for record in (each for file in files for each in read_json(file)):
        values = record["evaluation"]["metrics"]
        place = values["ari/attention"]["value"], values["fg_ari/attention"]["value"]
        found.setdefault(record["config"]["objective"]["name"], []).append(place)
    return found


def drawn(found: dict[str, list[tuple[float, float]]]) -> Figure:
    """The picture of :func:`points`; its axes hold every run."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between((AIM["ari"], 1), AIM["fg_ari"], 1, color="#eeeeee")
    for (name, each), mark, colour in zip(found.items(), cycle(MARKS), cycle(COLOURS)):
        axes.plot(*zip(*each, strict=True), mark, color=colour, alpha=0.7, label=name)
    lowest = min(fg_ari for each in found.values() for _, fg_ari in each)
    axes.set(xlim=(0, 1), ylim=(min(0.8, lowest - 0.01), 1))
    axes.set(xlabel="ARI, whole image", ylabel="FG-ARI")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    return figure


def main() -> None:
    """Read the records and write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("records", type=Path, nargs="+")
    given = parser.parse_args()
    drawn(points(given.records)).savefig(given.out, dpi=150)


if __name__ == "__main__":
    main()
