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
    size = (dataset.layout.height, dataset.layout.width)
    for source in reversed([source for source in SOURCES if source in given.masks]):
        name = given.masks[source]
        shape = file.arrays[name].shape
        kept: dict[str, list[Array]] = {}
        start, least, most = 0, np.inf, -np.inf
        for masks in read_masks(file, given, source):
            truth = dataset.read(given.split, start, start + len(masks), ("mask",))["mask"]
            total = masks.sum(dim=1)
            least, most = min(least, float(total.min())), max(most, float(total.max()))
            found = mask_overlap(resize(masks, size), torch.from_numpy(truth), objects)
            made = {
                f"labels/{source}/first": labels_from_masks(masks, size).numpy().astype(np.uint8),
                "overlap": found.numpy(),
                "labelled": (truth != NOT_LABELLED).any(axis=(1, 2)),
            }
            if source == "attention" and len(shape) == 4:
                made["entropy"] = attention_entropy(masks).numpy()
            for key, values in made.items():
                kept.setdefault(key, []).append(values)
            start += len(masks)
        arrays |= {key: np.concatenate(values) for key, values in kept.items()}
        told = []
        if shape[-2:] != size:
            told.append(
                f"{name}: {shape[-2]}x{shape[-1]}, resized bilinearly to {size[0]}x{size[1]} "
                "before the argmax"
            )
        if not (least > 0.98 and most < 1.02):  # half precision sums to 1 so
            arrays.pop("entropy", None)
            told.append(
                f"{name}: sums over slots lie in [{least:.3g}, {most:.3g}], not at 1; read as "
                "scores, the greatest at a pixel wins it"
            )
        notes += told if given.split == "test" else []  # train and val are read alike
    return Representations(dataset, given.split, given.count, arrays)


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
    count = dataset.first(split, limit)
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
    given = {metric.name: _unusable(metric, dataset, made) for metric in wanted}
    reasons = {name: why for name, why in given.items() if why}
    found = judged(context, wanted, Stages(progress, {}, wanted, reasons), reasons)
    return {**found, "skipped": _explained(found["skipped"], made)}


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


def _explained(skipped: Mapping[str, str], made: Mapping[str, Representations]) -> dict[str, str]:
    """Reasons in words that fit a file: it has no core, hence no noise, and may have no masks."""
    without = [role for role, split in made.items() if not split.sources()]
    told = dict(skipped)
    for key, reason in skipped.items():
        if "initial noise" in reason:
            told[key] = "there is one prediction an image"
        elif "labelled" in reason and without:
            train = "" if JUDGED in without else " of the training images (train_masks)"
            told[key] = f"there are no masks{train}"
    return told
