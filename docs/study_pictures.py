"""Draws the study's pictures: five test images, and the masks of a run of each contestant.

Type: python docs/study_pictures.py BUNDLE DATA_DIR OUT.png OBJECTIVE...

BUNDLE is a folder of published runs with their weights. DATA_DIR holds their dataset.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from slotbench.files import read_document
from slotbench.report.canvas import (
    FAINT,
    INK,
    SMALL,
    TEXT,
    beside,
    blank,
    flat_panel,
    label_colors,
    photo,
    save,
    stacked,
    write,
)
from slotbench.report.seen import Seen, Viewer, look, paired_colors
from slotbench.results.documents import Evaluation
from slotbench.results.leaderboard.comparisons import PRIMARY
from slotbench.results.models import open_dataset, trained
from slotbench.results.run import Run

IMAGES, SIDE, LABEL = 5, 96, 190


def row(title: str, note: str, panels: Sequence[Image.Image]) -> Image.Image:
    """Panels with a title and a note on their left."""
    label = blank(LABEL, SIDE)
    pen = ImageDraw.Draw(label)
    write(pen, (0, SIDE // 2 - 9), title, TEXT, INK, "lm")
    write(pen, (0, SIDE // 2 + 9), note, SMALL, FAINT, "lm")
    return beside([label, *panels], 5)


def seen_by(run: Run, data_dir: Path) -> list[Seen]:
    """The first test images as a run's model sees them."""
    config = run.config()
    with open_dataset(config, data_dir, alike=True) as dataset:
        device = torch.device("cpu")
        return look(
            Viewer(trained(run, config), dataset, "test", config.seed, device), range(IMAGES)
        )


def main(bundle: str, data_dir: str, out: str, *objectives: str) -> None:
    """Draw a row for the images, one for the true masks, and one for each objective."""
    blocks: list[Image.Image] = []
    for objective in objectives:
        (folder,) = Path(bundle).glob(f"runs/*/slot-attention+{objective}/*")
        run = Run(folder)
        seen = seen_by(run, Path(data_dir))
        if not blocks:
            blocks.append(row("image", "", [photo(one.image, SIDE) for one in seen]))
            truth = [flat_panel(one.truth, label_colors(), SIDE) for one in seen]
            blocks.append(row("true masks", "", truth))
        panels = [
            flat_panel(one.labels["attention"], paired_colors(one, "attention"), SIDE)
            for one in seen
        ]
        score = read_document(run.evaluation, Evaluation).metrics[PRIMARY]["value"]
        blocks.append(row(objective, f"FG-ARI {score:.2f}, seed {run.config().seed}", panels))
    save(stacked(blocks, gap=5, margin=16), Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
