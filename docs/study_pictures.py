"""Draws the study's pictures: the same test images through a published run of each objective.

Type: python docs/study_pictures.py OUT.png OBJECTIVE... --of BUNDLE DATA_DIR [--of ...]

A BUNDLE is a folder of published runs with their weights, DATA_DIR holds their dataset. Beside
the masks stands the mean FG-ARI over the published seeds, with its 95 % interval.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from slotbench.datasets.format.schema import LABEL_COLORS
from slotbench.errors import SlotbenchError, UserError
from slotbench.report.canvas import (
    FAINT,
    INK,
    beside,
    blank,
    flat_panel,
    paragraph,
    photo,
    save,
    stacked,
    write,
)
from slotbench.report.seen import Seen, Viewer, look, paired_colors
from slotbench.results.leaderboard.board import leaderboard
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.leaderboard.records import read
from slotbench.results.leaderboard.wording import interval, number, shown
from slotbench.results.models import open_dataset, trained
from slotbench.results.run import Run

SIDE, LABEL, SCORE, GAP = 124, 250, 150, 6
BIG, TEXT, SMALL = 26, 21, 17
CAPTION = (
    "Attention masks. A slot has the colour of the object that it is paired with; it is grey "
    "without one, and black where it holds the background alone. Beside them: mean FG-ARI over "
    "the reporting seeds, and its interval. FG-ARI does not count the background."
)


@dataclass(frozen=True)
class Column:
    """One dataset: its bundle, the folder with its data, and how many images are drawn."""

    bundle: Path
    data_dir: Path
    images: int

    @property
    def name(self) -> str:
        """The folder that holds its runs: dataset and variant."""
        return next(self.bundle.glob("runs/*")).name.removesuffix("-default")

    def run(self, objective: str) -> Run | None:
        """The bundle's run of an objective; None where it has none."""
        runs = map(Run, self.bundle.glob("runs/*/*/*"))
        return next((run for run in runs if run.config().names["objective"] == objective), None)

    def seen(self, run: Run) -> list[Seen]:
        """The first test images as a run's model sees them, the attention alone."""
        config = run.config()
        with open_dataset(config, self.data_dir, alike=True) as dataset:
            viewer = Viewer(trained(run, config), dataset, "test", config.seed, torch.device("cpu"))
            found = look(viewer, range(self.images))
        return [replace(one, labels={"attention": one.labels["attention"]}) for one in found]


def label(width: int, title: str, note: str = "", size: int = TEXT) -> Image.Image:
    """A title and a note below it, in the middle of a row."""
    found = blank(width, SIDE)
    pen = ImageDraw.Draw(found)
    middle = SIDE // 2 - (14 if note else 0)
    write(pen, (0, middle), title, size, INK, "lm")
    write(pen, (0, middle + 30), note, SMALL, FAINT, "lm")
    return found


def score(run: Run) -> Image.Image:
    """The mean over the seeds of the run's row on the published leaderboard."""
    key = next(read(run.path, run.id)).row
    (row,) = (row for row in leaderboard(run.results_dir).everything if row.key == key)
    found = shown(row, PRIMARY)
    return label(SCORE, number(found.mean), interval(found), BIG)


def empty(column: Column) -> list[Image.Image]:
    """Room for a dataset whose bundle lacks an objective."""
    missing = label((SIDE + GAP) * column.images - GAP, "no published model")
    return [missing, blank(SCORE, SIDE)]


def row(title: str, parts: Sequence[Image.Image]) -> Image.Image:
    """A row of the picture."""
    return beside([label(LABEL, title), *parts], GAP)


def picture(columns: Sequence[Column], objectives: Sequence[str]) -> Image.Image:
    """The images, their true masks, and a row for each objective."""
    images, truths = list[Image.Image](), list[Image.Image]()
    drawn: dict[str, list[Image.Image]] = {name: [] for name in objectives}
    for column in columns:
        runs = {name: column.run(name) for name in objectives}
        seen = {name: column.seen(run) for name, run in runs.items() if run is not None}
        if not seen:
            raise UserError(f"{column.bundle}: no run of {', '.join(objectives)}.")
        first = next(iter(seen.values()))
        images += [*(photo(one.image, SIDE) for one in first), label(SCORE, "FG-ARI", column.name)]
        truth = (flat_panel(one.truth, LABEL_COLORS, SIDE) for one in first)
        truths += [*truth, blank(SCORE, SIDE)]
        for name, run in runs.items():
            if run is None:
                drawn[name] += empty(column)
                continue
            drawn[name] += [
                flat_panel(one.labels["attention"], paired_colors(one, "attention"), SIDE)
                for one in seen[name]
            ]
            drawn[name].append(score(run))
    rows = [row("image", images), row("true masks", truths)]
    rows += [row(name, parts) for name, parts in drawn.items()]
    return stacked([*rows, paragraph(CAPTION, rows[0].width, SMALL, FAINT)], GAP, margin=24)


def main() -> None:
    """Draw the picture that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("objectives", nargs="+")
    parser.add_argument(
        "--of", nargs=2, type=Path, action="append", required=True, metavar=("BUNDLE", "DATA_DIR")
    )
    asked = parser.parse_args()
    images = 5 if len(asked.of) == 1 else 4
    columns = [Column(bundle, data_dir, images) for bundle, data_dir in asked.of]
    save(picture(columns, asked.objectives), asked.out)


if __name__ == "__main__":
    try:
        main()
    except SlotbenchError as error:
        sys.exit(str(error))
