"""The same test images through every objective, and the pictures of single runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slotbench.errors import UserError
from slotbench.files import replacing
from slotbench.report.canvas import beside, save
from slotbench.report.panels import label_panel, photo, slot_colors, truth_panel
from slotbench.report.seen import Seen, Viewer, look
from slotbench.report.show import Wish
from slotbench.results.leaderboard import Row
from slotbench.results.leaderboard.grouping import Group
from slotbench.results.run import Run
from slotbench.training.loop import Host

IMAGES = (0, 1, 2, 3)
"""The test images that are shown."""
WISH = Wish(images=6, ranked=200)
"""What is drawn of a run that has no pictures yet."""
Told = Callable[[str], None]


@dataclass(frozen=True)
class Panel:
    """One picture and what is said of it."""

    file: str
    """Its address from the site's folder."""
    text: str


@dataclass(frozen=True)
class Shown:
    """What one row makes of the images."""

    row: Row
    run: Run
    panels: dict[str, list[Panel]]
    """By source of masks, a panel an image."""


@dataclass(frozen=True)
class Gallery:
    """The images of one dataset, and what its rows make of them."""

    group: Group
    images: list[Panel]
    shown: list[Shown]


def draw_gallery(
    members: Sequence[tuple[Row, Run]], data_dir: Path, out: Path, host: Host, say: Told
) -> Gallery | None:
    """Draws into ``out/pictures``; ``members`` are rows of one dataset and a run of each.

    A run whose data is not prepared here, or whose model cannot be read, is left out, and
    ``say`` is told why. None where nothing is left.
    """
    images: list[Panel] = []
    shown: list[Shown] = []
    for row, run in members:
        try:
            seen = _seen(run, data_dir, host)
        except (UserError, OSError) as error:
            say(f"{run.id}: no pictures: {error}")
            continue
        if not images:
            images = [_image(one, out, row.group) for one in seen]
        shown.append(Shown(row, run, _panels(seen, run, out)))
    return Gallery(members[0][0].group, images, shown) if shown else None


def _seen(run: Run, data_dir: Path, host: Host) -> list[Seen]:
    from slotbench.results.models import open_dataset, trained

    config = run.config()
    with open_dataset(config, data_dir) as dataset:
        indices = [index for index in IMAGES if index < dataset.size("test")]
        model = trained(run, config).to(host.device)
        return look(Viewer(model, dataset, "test", config.seed, host.device), indices)


def _image(seen: Seen, out: Path, group: Group) -> Panel:
    name = f"pictures/{group.fingerprint[:12]}-{seen.index}.png"
    colors = slot_colors(max([0, *seen.objects]) + 1, None)
    truth = truth_panel(seen.truth, {label: label for label in seen.objects}, colors)
    save(beside([photo(seen.image), truth], 4), out / name)
    return Panel(name, f"test image {seen.index}, {len(seen.objects)} objects")


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
    """The PNG files of a run's ``pictures/``, copied beside the pages."""
    found = []
    for file in sorted(run.pictures.glob("test*.png")):
        name = f"pictures/{run.id}-{file.name}"
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        with replacing(out / name) as temporary:
            temporary.write_bytes(file.read_bytes())
        found.append(Panel(name, file.stem.replace("-", " ")))
    return found
