"""What ``slotbench show`` prints: in a terminal as much as fits its height, elsewhere all."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from slotbench.cli.printing import evaluation_table, main_numbers, run_table
from slotbench.progress import plain

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST_LINES, MOST_IMAGES = 7, 3
"""Least lines of an image, and most images that are shown unless a number is typed."""
OTHERS = 3
"""Lines for the progress bar, the caption of the images and the prompt."""


def put_run(
    facts: dict[str, Any], images: Sequence["Image"], wanted: int | None = None, *, brief: bool
) -> None:
    """Print the document of :func:`slotbench.api.show`, and the images drawn for a terminal.

    ``brief`` fits the terminal's height: the main numbers, and as many images as fit. ``wanted``
    images are shown whatever the height.
    """
    console = Console()
    shown = list(_brief(facts) if brief else _whole(facts))
    for each in shown:
        console.print(each)
    pictures = [*_folder(facts["pictures"])] if brief else facts["pictures"]
    if images:
        from slotbench.report.canvas import stacked
        from slotbench.report.preview import put_picture

        used = sum(len(console.render_lines(each, pad=False)) for each in [*shown, *pictures])
        room = max(LEAST_LINES, console.height - used - OTHERS)
        count = wanted or min(MOST_IMAGES, max(1, room // LEAST_LINES))
        masks = ", ".join(f"{source} masks" for source in facts["drawn"]["images"][0]["fg_ari"])
        console.print(Text(f"Image, true masks, {masks}:"))
        put_picture(stacked(list(images[:count])), None if wanted or not brief else room)
    for line in [*pictures, *filter(None, [facts["lacking"]])]:
        console.print(Text(plain(line)), soft_wrap=True)


def _whole(facts: dict[str, Any]) -> Iterator[RenderableType]:
    yield run_table(facts)
    if facts["evaluation"]:
        yield evaluation_table(facts["run"], facts["evaluation"])


def _brief(facts: dict[str, Any]) -> Iterator[Table | Text]:
    """The run in a few lines, its main numbers, and how to see the others."""
    yield run_table(facts, brief=True)
    left = "every setting"
    if facts["evaluation"]:
        judged, others = main_numbers(facts["evaluation"])
        yield evaluation_table("Evaluation", {**judged, "skipped": {}})
        left = f"{others}, {left}" if others else left
    yield Text(f"{left}: add --all", "dim")


def _folder(pictures: Sequence[str]) -> Iterator[str]:
    """The folder of the pictures, with their names."""
    if pictures:
        names = ", ".join(Path(picture).name for picture in pictures)
        yield f"{Path(pictures[0]).parent}: {names}"
