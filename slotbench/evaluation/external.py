"""The evaluation of predictions from elsewhere and of trivial maskers.

The same functions judge runs; only the origin of the representations differs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.evaluation import groups as metrics
from slotbench.evaluation.baselines import mask_images
from slotbench.evaluation.evaluate import GROUPS, Progress, Stages, judged
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.masks import (
    SOURCES,
    attention_entropy,
    labels_from_masks,
    mask_overlap,
    resize,
)
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.predictions import Given, PredictionFile, read_masks, read_slots
from slotbench.evaluation.result import Progress as Counter

FRACTION = 10
"""One in so many training images chooses the probes where there is nothing for val."""
_BLOCK = 64
"""Images of a baseline at a time."""


def from_file(
    file: PredictionFile, given: Given, dataset: DatasetFile, notes: list[str]
) -> Representations:
    """A file's arrays for one split, as a core's pass would give them.

    Label maps of every mask source; overlaps, which pair slots with objects, from the first of
    :data:`SOURCES` that has masks; the entropy of attention masks that sum to 1. Without masks no
    image counts as labelled, so that nothing is paired by masks.

    :class:`UserError`, naming array and image, where values are not as the layout says.
    """
    objects = dataset.layout_of(given.split).objects
    arrays: dict[str, Array] = {"labelled": np.zeros(given.count, bool)}
    slots = read_slots(file, given)
    if slots is not None:
        arrays["slots"] = slots
        arrays["overlap"] = np.zeros((*slots.shape[:2], objects), np.float32)
    for number, source in enumerate(source for source in SOURCES if source in given.masks):
        made, sums = _of_masks(file, given, dataset, source)
        shape = file.arrays[given.masks[source]].shape
        whole = len(shape) == 3 or (sums[0] > 0.98 and sums[1] < 1.02)  # half precision sums so
        if source != "attention" or len(shape) == 3 or not whole:
            del made["entropy"]
        if number:
            del made["overlap"]
        arrays |= made
        if given.split == "test":  # train and val are read alike
            notes += _explained(given.masks[source], shape, dataset, sums, whole)
    return Representations(dataset, given.split, given.count, arrays)


def _of_masks(
    file: PredictionFile, given: Given, dataset: DatasetFile, source: str
) -> tuple[dict[str, Array], tuple[float, float]]:
    """Arrays of one mask source, and the least and greatest sum over slots at a pixel."""
    size = (dataset.layout.height, dataset.layout.width)
    objects = dataset.layout_of(given.split).objects
    kept: dict[str, list[Array]] = {}
    start, sums = 0, (float("inf"), float("-inf"))
    for masks in read_masks(file, given, source):
        truth = dataset.read(given.split, start, start + len(masks), ("mask",))["mask"]
        total = masks.sum(dim=1)
        sums = min(sums[0], float(total.min())), max(sums[1], float(total.max()))
        made = {
            f"labels/{source}/first": labels_from_masks(masks, size).numpy().astype(np.uint8),
            "overlap": mask_overlap(resize(masks, size), torch.from_numpy(truth), objects).numpy(),
            "entropy": attention_entropy(masks).numpy(),
            "labelled": (truth != NOT_LABELLED).any(axis=(1, 2)),
        }
        for name, values in made.items():
            kept.setdefault(name, []).append(values)
        start += len(masks)
    return {name: np.concatenate(values) for name, values in kept.items()}, sums


def _explained(
    name: str, shape: tuple[int, ...], dataset: DatasetFile, sums: tuple[float, float], whole: bool
) -> list[str]:
    """How masks were read, where a user might expect otherwise."""
    notes, size = [], (dataset.layout.height, dataset.layout.width)
    if shape[-2:] != size:
        notes.append(
            f"{name}: {shape[-2]}x{shape[-1]}, resized bilinearly to {size[0]}x{size[1]} before "
            "the argmax"
        )
    if not whole:
        notes.append(
            f"{name}: sums over slots lie in [{sums[0]:.3g}, {sums[1]:.3g}], not at 1; read as "
            "scores, the greatest at a pixel wins it"
        )
    return notes


def from_baseline(
    name: str,
    dataset: DatasetFile,
    split: str,
    limit: int,
    slots: int,
    *,
    seed: int,
    progress: Counter | None = None,
) -> Representations:
    """A trivial masker's label maps of the first ``limit`` images of a split.

    It has neither attention nor a decoder: its masks stand under every source, beside the masks
    that must beat them. It has no slots.
    """
    count = min(limit, dataset.size(split))
    labels, labelled = [], []
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        batch = dataset.read(split, start, stop, ("image", "mask"))
        labels.append(mask_images(name, batch["image"], slots, seed=seed, start=start))
        labelled.append((batch["mask"] != NOT_LABELLED).any(axis=(1, 2)))
        if progress is not None:
            progress(stop, count)
    arrays = dict.fromkeys((f"labels/{source}/first" for source in SOURCES), np.concatenate(labels))
    return Representations(dataset, split, count, {**arrays, "labelled": np.concatenate(labelled)})


def evaluate_given(
    splits: Mapping[str, Representations],
    dataset: DatasetFile,
    *,
    seed: int,
    groups: Iterable[str] = GROUPS,
    probe_steps: int = 6_000,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The content of ``evaluation.json``, with the keys and versions that runs have.

    ``splits`` holds ``test`` and, for the probes, ``train`` and ``val``; where ``val`` has no
    slots, the last tenth of the training images stands in for it. ``skipped`` gives
    the reason for each number that could not be computed. :class:`UserError` for an unknown group.
    """
    wanted = [metrics.load(name) for name in groups]
    made = _roles(splits)
    context = Context(dataset, seed, made, probe_steps)
    stages = Stages(progress, {metric.name: 1 + metric.cost for metric in wanted})
    reasons = {metric.name: _unusable(metric, dataset, made) for metric in wanted}
    found = judged(context, wanted, stages, {name: why for name, why in reasons.items() if why})
    return {**found, "skipped": _explained_reasons(found["skipped"], made)}


def _roles(splits: Mapping[str, Representations]) -> dict[str, Representations]:
    roles = {JUDGED: splits["test"]}
    train, val = splits.get("train"), splits.get("val")
    if train is None or "slots" not in train.arrays:
        return roles
    if val is not None and "slots" in val.arrays:
        return {**roles, "train": train, "val": val}
    cut = train.n - max(1, train.n // FRACTION)
    return {**roles, "train": train.rows(0, cut), "val": train.rows(cut, train.n)} if cut else roles


def _unusable(metric: Metric, dataset: DatasetFile, made: Mapping[str, Representations]) -> str:
    """Why a metric cannot be computed from these splits; "" where it may."""
    missing = [role for role in metric.splits(dataset) if role not in made]
    if not missing:
        return ""
    if "slots" not in made[JUDGED].arrays:
        return "there are no slots"
    if set(missing) <= {"train", "val"}:
        return "there are no slots of the training images (train_slots)"
    return f"there are no predictions for {missing[0]}"


def _explained_reasons(
    skipped: Mapping[str, str], made: Mapping[str, Representations]
) -> dict[str, str]:
    """Reasons in words that fit a file: it has no core, hence no noise, and may have no masks."""
    without = [role for role, split in made.items() if not split.sources("first")]
    told = dict(skipped)
    for key, reason in skipped.items():
        if "initial noise" in reason:
            told[key] = "there is one prediction an image"
        elif "labelled" in reason and without:
            train = "" if JUDGED in without else " of the training images (train_masks)"
            told[key] = f"there are no masks{train}"
    return told
