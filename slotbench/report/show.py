"""The pictures that ``slotbench show`` draws of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.objectives.objective import Objective
from slotbench.report import predicted as predictions
from slotbench.report.canvas import save
from slotbench.report.cards import prediction_page
from slotbench.report.pictures import Section, number, page
from slotbench.report.seen import Seen, fg_ari, look

EXTREMES = 4
PROBE = (
    "A linear probe on the frozen slots, trained for these pictures on the first {images:,} images "
    "of train (at most {steps:,} steps); the evaluation trains on more. An object is read from the "
    "slot that the Hungarian algorithm pairs with it by the cosine distance of attention masks "
    "(protocol mask, blind to labels); its colour is that slot's."
)
Progress = Callable[[float, float], None]
Counted = Callable[[int, int], None]


@dataclass(frozen=True)
class Wish:
    """Which images a user wants to see."""

    images: int = 6
    """How many of the first images of the split; not used where ``indices`` are given."""
    indices: tuple[int, ...] = ()
    """The positions of the images in the split, in the order in which they are drawn."""
    split: str = "test"
    ranked: int = 500
    """How many of the first images are scored to find the best and the worst; 0: none."""
    properties: bool = True
    """Whether property predictions are drawn, which trains a small probe."""

    def chosen(self, dataset: DatasetFile) -> list[int]:
        """:class:`UserError` for an image that is not there."""
        size = dataset.size(self.split)
        if self.images < 1:
            raise UserError(f"--images {self.images}: expected 1 or above.")
        if self.ranked < 0:
            raise UserError(f"--ranked {self.ranked}: expected 0 or above.")
        for index in self.indices:
            if not 0 <= index < size:
                raise UserError(
                    f"--index {index}: {self.split} has images 0 to {size - 1:,}."
                    if size
                    else f"--index {index}: {self.split} has no images."
                )
        return list(dict.fromkeys(self.indices)) or list(range(min(self.images, size)))


@dataclass
class Drawn:
    """What is on the pictures, with numbers."""

    images: list[dict[str, Any]] = field(default_factory=list)
    """``index`` and ``fg_ari`` by source of each chosen image, in the order drawn."""
    extremes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By source of masks, what :func:`extremes` found."""
    skipped: dict[str, str] = field(default_factory=dict)
    """What was not drawn, and why."""


def draw(
    objective: Objective,
    dataset: DatasetFile,
    wish: Wish,
    folder: Path,
    *,
    title: str,
    seed: int,
    device: torch.device,
    progress: Progress | None = None,
) -> Drawn:
    """Draws a model's images into ``folder`` as PNG files and says what is on them.

    - ``<split>.png``: the chosen images with their masks and slots.
    - ``<split>-fg-ari-<source>.png``: the images with the best and the worst FG-ARI of the
      ``attention`` masks and, in a file of its own, of the ``decoder`` masks. Images without
      an object are not ranked; where scores are equal the first image comes first.
    - ``<split>-properties.png``: predictions of every property of every visible object.

    The numbers are those of the evaluation: initial noise is drawn from ``seed`` alike. The
    same arguments give the same bytes. :class:`UserError` for an image or split that is not
    there.
    """
    artist = _Artist(objective, dataset, wish.split, folder, title, seed, device)
    chosen, found = wish.chosen(dataset), Drawn()
    if not chosen:
        found.skipped["images"] = f"{wish.split} has none"
        return found
    seen = artist.look(chosen)
    found.images = [{"index": one.index, "fg_ari": one.fg_ari} for one in seen]
    save(page(title, [Section("", seen)]), folder / f"{wish.split}.png")
    if wish.ranked:
        artist.extremes(found, wish.ranked, _part(progress, 0.0, 0.4))
    if wish.properties:
        artist.properties(found, seen, _part(progress, 0.4, 0.6))
    if progress is not None:
        progress(1.0, 1.0)
    return found


@dataclass(frozen=True)
class _Artist:
    objective: Objective
    dataset: DatasetFile
    split: str
    folder: Path
    title: str
    seed: int
    device: torch.device

    def look(self, indices: Sequence[int]) -> list[Seen]:
        return look(
            self.objective, self.dataset, self.split, indices, seed=self.seed, device=self.device
        )

    def extremes(self, found: Drawn, limit: int, progress: Counted | None) -> None:
        scored = fg_ari(
            self.objective,
            self.dataset,
            self.split,
            limit,
            seed=self.seed,
            device=self.device,
            progress=progress,
        )
        for source, scores in scored.items():
            ranks = extremes(scores)
            found.extremes[source] = ranks
            if not ranks["best"]:
                found.skipped[f"fg_ari/{source}"] = "fewer than two images show an object"
                continue
            among = f"of the first {len(scores):,} images of {self.split}"
            sections = []
            for name in ("best", "worst"):
                heading = f"{name.capitalize()} by FG-ARI of the {source} masks, {among}"
                heading += f" (mean {number(ranks['mean'])})"
                seen = self.look([one["index"] for one in ranks[name]])
                sections.append(Section(heading, seen, source))
            file = self.folder / f"{self.split}-fg-ari-{source}.png"
            save(page(self.title, sections), file)

    def properties(self, found: Drawn, seen: Sequence[Seen], progress: Counted | None) -> None:
        try:
            said = predictions.predict_objects(
                self.objective,
                self.dataset,
                self.split,
                [one.index for one in seen],
                seed=self.seed,
                device=self.device,
                train_images=predictions.TRAIN_IMAGES,
                steps=predictions.STEPS,
                progress=progress,
            )
        except ValueError as error:
            found.skipped["properties"] = str(error)
            return
        train = min(predictions.TRAIN_IMAGES, self.dataset.size("train"))
        note = PROBE.format(images=train, steps=predictions.STEPS)
        picture = prediction_page(self.title, note, seen, said)
        save(picture, self.folder / f"{self.split}-properties.png")


def _part(progress: Progress | None, start: float, length: float) -> Counted | None:
    """Reports a part of the work as a share of all of it."""
    if progress is None:
        return None
    return lambda done, total: progress(start + length * done / total, 1.0)


def extremes(scores: Sequence[float | None], count: int = EXTREMES) -> dict[str, Any]:
    """``mean``, and the ``best`` and ``worst`` images, each an index and its score.

    Best first, worst first; None is left out, ties go by index, no image is in both.
    """
    known = [(index, score) for index, score in enumerate(scores) if score is not None]
    count = min(count, len(known) // 2)
    best = sorted(known, key=lambda one: (-one[1], one[0]))[:count]
    taken = {index for index, _ in best}
    left = [one for one in known if one[0] not in taken]
    worst = sorted(left, key=lambda one: (one[1], one[0]))[:count]
    return {
        "mean": sum(score for _, score in known) / len(known) if known else None,
        "best": [{"index": index, "fg_ari": score} for index, score in best],
        "worst": [{"index": index, "fg_ari": score} for index, score in worst],
    }
