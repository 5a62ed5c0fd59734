"""The same test images through every objective, and the pictures of single runs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slotbench.errors import SlotbenchError
from slotbench.files import read_bytes, write_whole
from slotbench.progress import say
from slotbench.report.canvas import label_panel, photo, save, slot_colors, truth_panel
from slotbench.report.seen import Seen, Viewer, look
from slotbench.report.show import Wish, draw
from slotbench.results.leaderboard import Row
from slotbench.results.leaderboard.grouping import Group
from slotbench.results.models import open_dataset, run_title, trained
from slotbench.results.run import Run
from slotbench.training.loop import Host

IMAGES = 5
"""How many of the first test images are shown."""
WISH = Wish(images=6, ranked=200)
"""The pictures of a run that has none yet."""
MOST_BYTES = 2**26
"""Largest picture that is copied."""


@dataclass(frozen=True)
class Panel:
    """One picture and its caption."""

    file: str
    """Its address from the site's folder."""
    text: str


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


def draw_gallery(
    members: Sequence[tuple[Row, Run]], data_dir: Path, out: Path, host: Host
) -> Gallery | None:
    """Draw into ``out/pictures``; ``members`` are rows of one dataset with a run of each.

    A run whose data is not prepared here, or whose model cannot be used, is left out and named.
    None where no run is left.
    """
    found: Gallery | None = None
    for row, run in members:
        try:
            seen = _look(run, data_dir, host)
        except (SlotbenchError, OSError) as error:
            say(f"{run.id}: no pictures: {error}")
            continue
        if found is None:
            found = Gallery(row.group, *_images(seen, out, row.group), [])
        found.shown.append(Shown(row, run, _panels(seen, run, out)))
    return found


def _look(run: Run, data_dir: Path, host: Host) -> list[Seen]:
    """The first images as the run's model sees them; a run without pictures is drawn, too."""
    config = run.config()
    if run.pictures.is_symlink():
        raise SlotbenchError(f"{run.pictures} is a link.", f"Remove it: rm {run.pictures}")
    with open_dataset(config, data_dir) as dataset:
        model = trained(run, config).to(host.device)
        page = run.pictures / "test.png"
        if not page.is_file() or page.stat().st_mtime_ns < run.model.stat().st_mtime_ns:
            draw(
                model,
                dataset,
                WISH,
                run.pictures,
                title=run_title(run, config),
                seed=config.seed,
                device=host.device,
            )
        indices = range(min(IMAGES, dataset.size("test")))
        return look(Viewer(model, dataset, "test", config.seed, host.device), indices)


def _images(seen: Sequence[Seen], out: Path, group: Group) -> tuple[list[Panel], list[Panel]]:
    images, truths = [], []
    for one in seen:
        data = hashlib.sha256(group.fingerprint.encode()).hexdigest()[:12]
        name = f"pictures/{data}-{one.index}"
        colors = slot_colors(max([0, *one.objects]) + 1, None)
        truth = truth_panel(one.truth, {label: label for label in one.objects}, colors)
        save(photo(one.image), out / f"{name}.png")
        save(truth, out / f"{name}-true.png")
        images.append(Panel(f"{name}.png", f"test image {one.index}"))
        truths.append(Panel(f"{name}-true.png", f"{len(one.objects)} objects"))
    return images, truths


def _panels(seen: Sequence[Seen], run: Run, out: Path) -> dict[str, list[Panel]]:
    found: dict[str, list[Panel]] = {}
    for one in seen:
        colors = slot_colors(len(one.slots), one.background)
        for source, labels in one.labels.items():
            name = f"pictures/{run.id}-{source}-{one.index}.png"
            save(label_panel(labels, colors), out / name)
            score = one.fg_ari[source]
            said = "no object" if score is None else f"FG-ARI {score:.2f}"
            found.setdefault(source, []).append(Panel(name, said))
    return found


def copy_pictures(run: Run, out: Path) -> list[Panel]:
    """Copy the pictures of a run beside the pages; a link that leaves the run is not followed."""
    found = []
    for file in sorted(run.pictures.glob("test*.png")):
        if not file.resolve().is_relative_to(run.path.resolve()):
            say(f"{file} leads out of the run and is left out.")
            continue
        try:
            content = read_bytes(file, MOST_BYTES)
        except SlotbenchError as error:
            say(f"Left out: {error}")
            continue
        name = f"pictures/{run.id}-{file.name}"
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        write_whole(out / name, content)
        found.append(Panel(name, file.stem.replace("-", " ")))
    return found
