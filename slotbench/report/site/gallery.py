"""The same test images through every objective."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from slotbench.datasets.format.schema import LABEL_COLORS
from slotbench.errors import SlotbenchError
from slotbench.progress import counted, say
from slotbench.report.canvas import flat_panel, photo, save
from slotbench.report.seen import Seen, Viewer, look, objects_of, paired_colors
from slotbench.report.show import draw
from slotbench.report.site.pages import Panel
from slotbench.results.leaderboard import Row
from slotbench.results.leaderboard.grouping import Group
from slotbench.results.models import open_dataset, run_title, trained
from slotbench.results.run import Run

IMAGES = 5
"""Number of test images in a gallery."""
RANKED = 200
"""Images that are ranked for a run's own pictures."""
Members = Sequence[tuple[Row, Run]]
"""Rows of one dataset with a run of each."""


@dataclass(frozen=True)
class Shown:
    """One row's masks of the images."""

    row: Row
    run: Run
    panels: dict[str, list[Panel]]
    """By source of masks, a panel an image."""


@dataclass(frozen=True)
class Gallery:
    """The images of one dataset, their true masks, and the masks of its rows."""

    group: Group
    images: list[Panel]
    truth: list[Panel]
    shown: list[Shown]


def draw_galleries(
    groups: Sequence[Members], data_dir: Path, out: Path, device: torch.device
) -> list[Gallery]:
    """The galleries of all datasets, drawn into ``out/pictures``.

    A run whose data is not prepared here, or whose model cannot be used, is left out. One line is
    printed for each reason.
    """
    left: dict[str, list[Run]] = defaultdict(list)
    found = [_gallery(members, data_dir, out, device, left) for members in groups]
    for reason, runs in left.items():
        said = runs[0].id if len(runs) == 1 else counted(len(runs), "run")
        say(f"{said}: no pictures: {reason}")
    return list(filter(None, found))


def _gallery(
    members: Members, data_dir: Path, out: Path, device: torch.device, left: Mapping[str, list[Run]]
) -> Gallery | None:
    """The gallery of one dataset; None where no run can be drawn. ``left`` takes them by reason."""
    found: Gallery | None = None
    for row, run in members:
        try:
            seen = _look(run, data_dir, device)
        except (SlotbenchError, OSError) as error:
            left[str(error)].append(run)
            continue
        if found is None:
            found = Gallery(row.group, *_images(seen, out, row.group), [])
        found.shown.append(Shown(row, run, _panels(seen, run, out)))
    return found


def _look(run: Run, data_dir: Path, device: torch.device) -> list[Seen]:
    """The first images as the run's model sees them. Draws a local run's missing pictures too."""
    config = run.config()
    if run.pictures.is_symlink():
        raise SlotbenchError(f"{run.pictures} is a link.", f"Remove it: rm {run.pictures}")
    with open_dataset(config, data_dir, alike=True) as dataset:
        viewer = Viewer(trained(run, config).to(device), dataset, "test", config.seed, device)
        page = run.pictures / "test.png"
        drawn = page.is_file() and page.stat().st_mtime_ns >= run.model.stat().st_mtime_ns
        if not (drawn or run.bundled):
            draw(viewer, run.pictures, title=run_title(run, config), ranked=RANKED)
        return look(viewer, range(min(IMAGES, dataset.size("test"))))


def _images(seen: Sequence[Seen], out: Path, group: Group) -> tuple[list[Panel], list[Panel]]:
    data, images, truths = hashlib.sha256(group.fingerprint.encode()).hexdigest()[:12], [], []
    for one in seen:
        name = f"pictures/{data}-{one.index}"
        save(photo(one.image), out / f"{name}.png")
        save(flat_panel(one.truth, LABEL_COLORS), out / f"{name}-true.png")
        images.append(Panel(f"{name}.png", f"test image {one.index}"))
        truths.append(Panel(f"{name}-true.png", counted(len(objects_of(one.truth)), "object")))
    return images, truths


def _panels(seen: Sequence[Seen], run: Run, out: Path) -> dict[str, list[Panel]]:
    found: dict[str, list[Panel]] = {}
    for one in seen:
        for source, labels in one.labels.items():
            name = f"pictures/{run.id}-{source}-{one.index}.png"
            save(flat_panel(labels, paired_colors(one, source)), out / name)
            score = one.fg_ari[source]
            said = "no object" if score is None else f"FG-ARI {score:.2f}"
            found.setdefault(source, []).append(Panel(name, said))
    return found
