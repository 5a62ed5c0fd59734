"""Pages of a run's images, drawn during training and by ``show``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import BACKGROUND, PALETTE
from slotbench.objectives.objective import Objective
from slotbench.progress import counted
from slotbench.report.canvas import (
    FAINT,
    INK,
    RULE,
    SIDE,
    SMALL,
    TEXT,
    TITLE,
    beside,
    blank,
    chip,
    hatched_chip,
    label_panel,
    line_height,
    paragraph,
    photo,
    save,
    shortened,
    slot_colors,
    slot_panel,
    stacked,
    text_width,
    truth_panel,
    write,
)
from slotbench.report.seen import Seen, Viewer, look
from slotbench.training.loop import Observer

GAP, MARGIN, LABEL = 6, 16, 64
NOTE = (
    "Each slot keeps its colour and number in all panels of a row. Masks show the slot with the "
    "greatest mask at each pixel, as the scores do. A true object has the colour of the slot that "
    "the Hungarian algorithm pairs with it by the IoU with the {source} masks."
)
SLOTS = {
    True: "A slot's panel shows its reconstruction with its mask as opacity, and the share of "
    "pixels that it wins among the decoder masks.",
    False: "There is no decoder: a slot's panel shows the image with its attention as opacity, "
    "and the share of pixels that it wins.",
}


@dataclass(frozen=True)
class Section:
    """Some images under one heading."""

    heading: str
    seen: Sequence[Seen]
    source: str = "attention"
    """The mask source by which true objects are coloured."""


def page(title: str, sections: Sequence[Section]) -> Image.Image:
    """A row for each image, in sections, with headings above the columns and a legend below."""
    sections = [section for section in sections if section.seen]
    first = sections[0].seen[0]
    slots, names = len(first.slots), _columns(first)
    width = LABEL + len(names) * (SIDE + GAP) - GAP
    note = NOTE.format(source=sections[0].source) + " " + SLOTS[first.decoded is not None]
    if slots > len(PALETTE):
        note += f" Colours repeat after {len(PALETTE)} slots; go by the numbers."
    headings = blank(width, line_height(TEXT))
    pen = ImageDraw.Draw(headings)
    for column, name in enumerate(names):
        write(pen, (LABEL + column * (SIDE + GAP), 0), shortened(name, TEXT, SIDE), TEXT)
    blocks = [paragraph(title, width, TITLE), paragraph(note, width, SMALL, FAINT)]
    for section in sections:
        if section.heading:
            blocks += [blank(width, 1, RULE), paragraph(section.heading, width, TEXT + 3)]
        blocks += [headings, *(_row(seen, section.source) for seen in section.seen)]
    return stacked([*blocks, _legend(slots, width, sections)], gap=8, margin=MARGIN)


def _columns(seen: Seen) -> list[str]:
    """The headings of the columns of :func:`_row`."""
    names = ["image", "true masks", *(f"{source} masks" for source in seen.labels)]
    names += ["reconstruction"] * (seen.decoded is not None)
    return names + [f"slot {slot + 1}" for slot in range(len(seen.slots))]


def _row(seen: Seen, source: str) -> Image.Image:
    """The panels of one image, with its number on the left and its scores below."""
    colors = slot_colors(len(seen.slots), seen.background)
    matched = seen.matched(source)
    truth = truth_panel(seen.truth, matched, colors)
    panels = [(photo(seen.image), ""), (truth, counted(len(matched), "object"))]
    for name, labels in seen.labels.items():
        panels.append((label_panel(labels, colors), f"FG-ARI {number(seen.fg_ari[name])}"))
    if seen.decoded is not None:
        panels.append((photo(seen.decoded), f"MSE {number(seen.error, 4)}"))
    won = seen.labels.get("decoder", seen.labels["attention"])  # a panel shows one or the other
    for slot, (layer, color) in enumerate(zip(seen.slots, colors, strict=True)):
        role = "background, " * (slot == seen.background)
        share = 100 * float((won == slot).mean())
        panels.append((slot_panel(layer, color), f"{role}wins {share:.0f} %"))
    label = blank(LABEL - GAP, 2 * line_height(TEXT))
    pen = ImageDraw.Draw(label)
    write(pen, (0, 0), shortened(seen.split, SMALL, LABEL - GAP), SMALL, FAINT)
    write(pen, (0, line_height(SMALL)), f"{seen.index:,}", TEXT + 2)
    shown = [stacked([panel, paragraph(text, SIDE, SMALL, FAINT)], gap=2) for panel, text in panels]
    return beside([label, *shown], GAP)


def _legend(slots: int, width: int, sections: Sequence[Section]) -> Image.Image:
    """Colours and signs, on as many lines as they need."""
    rows = [(seen, section.source) for section in sections for seen in section.seen]
    entries = [(chip(color), f"slot {k + 1}") for k, color in enumerate(slot_colors(slots, None))]
    truth = "true background"
    if any(seen.background is not None for seen, _ in rows):
        truth += ", and a slot that is background in all masks: half of it or more, 95 % pure"
    entries.append((chip(BACKGROUND), truth))
    if any(None in seen.matched(source).values() for seen, source in rows):
        entries.append((hatched_chip(), "an object that no slot is matched to"))
    lines: list[list[Image.Image]] = [[]]
    for sign, text in entries:
        entry = blank(sign.width + 6 + text_width(text, SMALL) + 18, line_height(SMALL) + 4)
        entry.paste(sign, (0, 4))
        write(ImageDraw.Draw(entry), (sign.width + 6, 3), text, SMALL, INK)
        if lines[-1] and sum(each.width for each in lines[-1]) + entry.width > width:
            lines.append([])
        lines[-1].append(entry)
    return stacked([blank(width, 1, RULE), *(beside(line, 0) for line in lines)], gap=2)


def number(value: float | None, digits: int = 2) -> str:
    """A score as a caption shows it."""
    return "none" if value is None else f"{value:.{digits}f}"


class Watcher(Observer):
    """Draws pictures during training and sends numbers to trackers."""

    def __init__(self, trackers: tuple[str, ...], path: Path, config: RunConfig, step: int) -> None:
        self.pictures = path / "pictures"
        self.trackers: Any = None
        if trackers:
            from slotbench.tracking.tracker import Tracked, Trackers, flat

            self.trackers = Trackers(trackers, Tracked(path, flat(config.to_dict()), step))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of a step to every tracker."""
        if self.trackers is not None:
            self.trackers.log(step, values)

    def picture(self, objective: Objective, dataset: DatasetFile, step: int) -> None:
        """Draw the slots of the first validation images."""
        device = next(objective.parameters()).device
        seen = look(
            Viewer(objective, dataset, "val", 0, device), range(min(4, dataset.size("val")))
        )
        drawn = page("Images of val", [Section("", seen)])
        save(drawn, self.pictures / f"val-{step:07d}.png")

    def close(self, state: str) -> None:
        """End the trackers' runs in this state."""
        if self.trackers is not None:
            self.trackers.close(state)
