"""The pictures that ``slotbench show`` draws of a run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from slotbench.errors import UserError
from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.result import Progress, finite, silent
from slotbench.evaluation.segmentation import mask_scores
from slotbench.report import predicted as predictions
from slotbench.report.canvas import save
from slotbench.report.cards import prediction_page
from slotbench.report.pictures import Section, number, page
from slotbench.report.preview import panels
from slotbench.report.seen import Viewer, look

EXTREMES = 4
PROBE = (
    "A linear probe on the frozen slots, trained for these pictures on the first {images:,} images "
    "of train (at most {steps:,} steps); the evaluation trains on more. An object is read from the "
    "slot that the Hungarian algorithm pairs with it by the cosine distance of attention masks "
    "(protocol mask, blind to labels), and has the colour of that slot."
)


@dataclass
class Drawn:
    """The numbers on the pictures."""

    images: list[dict[str, Any]] = field(default_factory=list)
    """``index`` and ``fg_ari`` by source of each chosen image, in the order drawn."""
    extremes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By source of masks, the result of :func:`extremes`."""
    skipped: dict[str, str] = field(default_factory=dict)
    """The pictures that were not drawn, and why."""


def draw(
    viewer: Viewer,
    folder: Path,
    *,
    title: str,
    images: int = 6,
    indices: Iterable[int] = (),
    ranked: int = 500,
    properties: bool = True,
    progress: Progress = silent,
    preview: Callable[[list[Image.Image]], None] | None = None,
) -> Drawn:
    """Draw a model's images into ``folder`` as PNG files; returns the numbers on them.

    - ``<split>.png``: the images at ``indices``, or else the first ``images``, with their masks and
      slots.
    - ``<split>-fg-ari-<source>.png``: of the first ``ranked`` images those with the best and the
      worst FG-ARI, a file for each mask source. Images without an object are not ranked; of equal
      scores the first image comes first.
    - ``<split>-properties.png``: predictions of every property of every visible object.

    The numbers are those of the evaluation, from the same initial noise. The same arguments give
    the same bytes. ``preview`` gets a small picture of each image. :class:`UserError` for an image
    or split that does not exist.
    """
    dataset, split = viewer.dataset, viewer.split

    def part(start: float, length: float) -> Progress:
        return lambda done, total: progress(start + length * done / total, 1.0)

    chosen, found = _chosen(viewer, images, indices), Drawn()
    if ranked < 0:
        raise UserError(f"--ranked {ranked}: expected 0 or above.")
    if not chosen:
        found.skipped["images"] = f"{split} has none"
        return found
    seen = look(viewer, chosen)
    if preview is not None:
        preview(list(map(panels, seen)))
    found.images = [{"index": one.index, "fg_ari": one.fg_ari} for one in seen]
    if ranked:
        _draw_extremes(viewer, found, ranked, title, folder, part(0.0, 0.4))
    if properties:
        try:
            said = predictions.predict_objects(
                viewer, seen, steps=predictions.STEPS, progress=part(0.4, 0.5)
            )
        except ValueError as error:
            found.skipped["properties"] = str(error)
        else:
            train = min(predictions.TRAIN_IMAGES, dataset.size("train"))
            note = PROBE.format(images=train, steps=predictions.STEPS)
            picture = prediction_page(title, note, seen, said)
            save(picture, folder / f"{split}-properties.png")
    # Last: without this file the next report draws all of them again.
    save(page(title, [Section("", seen)]), folder / f"{split}.png")
    progress(1.0, 1.0)
    return found


def _chosen(viewer: Viewer, images: int, indices: Iterable[int]) -> list[int]:
    """The positions to draw; :class:`UserError` for an image that does not exist."""
    chosen, size = list(dict.fromkeys(indices)), viewer.dataset.size(viewer.split)
    if images < 1:
        raise UserError(f"--images {images}: expected 1 or above.")
    for index in chosen:
        if not 0 <= index < size:
            there = f"images 0 to {size - 1:,}" if size else "no images"
            raise UserError(f"--index {index}: {viewer.split} has {there}.")
    return chosen or list(range(min(images, size)))


def _draw_extremes(
    viewer: Viewer, found: Drawn, limit: int, title: str, folder: Path, progress: Progress
) -> None:
    split, wanted = viewer.split, [f"labels/{source}/first" for source in SOURCES]
    made = viewer.collect(split, limit, wanted, progress)
    for source in made.sources():
        ranks = extremes([*map(finite, mask_scores(made, source)["fg_ari"].tolist())])
        found.extremes[source] = ranks
        if not ranks["best"]:
            found.skipped[f"fg_ari/{source}"] = "fewer than two images show an object"
            continue
        said = f"by FG-ARI of the {source} masks, of the first {made.n:,} images of {split}"
        sections = [
            Section(
                f"{name.capitalize()} {said} (mean {number(ranks['mean'])})",
                look(viewer, [one["index"] for one in ranks[name]]),
                source,
            )
            for name in ("best", "worst")
        ]
        save(page(title, sections), folder / f"{split}-fg-ari-{source}.png")


def extremes(scores: Sequence[float | None]) -> dict[str, Any]:
    """``mean``, and the ``best`` and ``worst`` images (extremes first), as index and score.

    None is left out, ties go by index, no image is in both.
    """
    known = [
        {"index": index, "fg_ari": score} for index, score in enumerate(scores) if score is not None
    ]
    count = min(EXTREMES, len(known) // 2)
    best = sorted(known, key=lambda one: -one["fg_ari"])[:count]
    worst = sorted((one for one in known if one not in best), key=lambda one: one["fg_ari"])[:count]
    mean = sum(one["fg_ari"] for one in known) / len(known) if known else None
    return {"mean": mean, "best": best, "worst": worst}
