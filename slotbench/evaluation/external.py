"""The evaluation of predictions from elsewhere and of trivial maskers.

The same functions judge runs; only the origin of the representations differs.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.evaluation import groups as metrics
from slotbench.evaluation.baselines import mask_images
from slotbench.evaluation.evaluate import GROUPS, Stages, judged
from slotbench.evaluation.frozen_pass import Representations, joined
from slotbench.evaluation.masks import (
    SOURCES,
    attention_entropy,
    labels_from_masks,
    mask_overlap,
    resize,
)
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.predictions import Given, PredictionFile, read_masks, read_slots
from slotbench.evaluation.result import Progress, silent

FRACTION = 10
"""Without predictions for val, one in 10 training images selects the probes."""
_BLOCK = 64
"""Images of a baseline at a time."""


def from_file(
    file: PredictionFile, given: Given, dataset: DatasetFile, notes: list[str]
) -> Representations:
    """A file's arrays for one split, as a core's pass would give them.

    - label maps of every mask source;
    - overlaps of slots with objects, from the first of :data:`SOURCES` that has masks;
    - the entropy of attention masks that sum to 1.

    Without masks no image counts as labelled, so that nothing is paired by masks. ``notes`` takes
    remarks for the user. :class:`UserError`, naming array and image, for values that are not as
    the layout says.
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
        arrays |= joined(_from_masks(file, given, source, dataset))
        sums = arrays.pop("sums")
        least, most, told = sums.min(), sums.max(), []
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


def _from_masks(
    file: PredictionFile, given: Given, source: str, dataset: DatasetFile
) -> Iterator[dict[str, Array]]:
    """The arrays of one source's masks, some images at a time.

    ``sums`` holds the least and the greatest sum over slots at a pixel.
    """
    layout, start = dataset.layout_of(given.split), 0
    soft, size = len(file.arrays[given.masks[source]].shape) == 4, (layout.height, layout.width)
    for masks in read_masks(file, given, source):
        truth = dataset.read(given.split, start, start + len(masks), ("mask",))["mask"]
        start += len(masks)
        overlap = mask_overlap(resize(masks, size), torch.from_numpy(truth), layout.objects)
        found = {
            f"labels/{source}/first": labels_from_masks(masks, size).numpy().astype(np.uint8),
            "overlap": overlap.numpy(),
            "labelled": (truth != NOT_LABELLED).any(axis=(1, 2)),
            "sums": torch.stack(masks.sum(dim=1).aminmax()).numpy(),
        }
        if source == "attention" and soft:
            found["entropy"] = attention_entropy(masks).numpy()
        yield found


def from_baseline(
    name: str, dataset: DatasetFile, limit: int, slots: int, *, seed: int, progress: Progress
) -> Representations:
    """A trivial masker's label maps of the first ``limit`` test images; it has no slots.

    Its masks are no attention and no decoder's. They stand under every source, beside the masks
    that must beat them.
    """
    count = dataset.first("test", limit)

    def blocks() -> Iterator[dict[str, Array]]:
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            batch = dataset.read("test", start, stop, ("image", "mask"))
            labels = mask_images(name, batch["image"], slots, seed=seed, start=start)
            yield {f"labels/{source}/first": labels for source in SOURCES} | {
                "labelled": (batch["mask"] != NOT_LABELLED).any(axis=(1, 2))
            }
            progress(stop, count)

    return Representations(dataset, "test", count, joined(blocks()))


def evaluate_given(
    splits: Mapping[str, Representations],
    dataset: DatasetFile,
    *,
    seed: int,
    groups: Iterable[str] = GROUPS,
    probe_steps: int = 6_000,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The content of ``evaluation.json``, with the keys and versions that runs have.

    ``splits`` holds ``test`` and, for the probes, ``train`` and ``val``; where ``val`` has no
    slots, the last tenth of the training images replaces it. ``skipped`` gives the reason for
    each number that could not be computed. :class:`UserError` for an unknown group.
    """
    made, wanted = _roles(splits), [metrics.load(name) for name in groups]
    given = {metric.name: _unusable(metric, dataset, made) for metric in wanted}
    reasons = {name: why for name, why in given.items() if why}
    context = Context(dataset, seed, made, probe_steps, skipped=reasons)
    stages = Stages(progress, {}, [metric for metric in wanted if metric.name not in reasons])
    found = judged(context, wanted, stages)
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
    """Why a metric cannot be computed from these splits; "" where it can."""
    missing = [role for role in metric.splits(dataset) if role not in made]
    if not missing:
        return ""
    if "slots" not in made[JUDGED].arrays:
        return "there are no slots"
    if set(missing) <= {"train", "val"}:
        return "there are no slots of the training images (train_slots)"
    return f"there are no predictions for {missing[0]}"


def _explained(skipped: Mapping[str, str], made: Mapping[str, Representations]) -> dict[str, str]:
    """Reasons in the words of a file: it has no core and no noise, and may have no masks."""
    without = [role for role, split in made.items() if not split.sources()]
    told = dict(skipped)
    for key, reason in skipped.items():
        if "initial noise" in reason:
            told[key] = "there is one prediction an image"
        elif "labelled" in reason and without:
            train = "" if JUDGED in without else " of the training images (train_masks)"
            told[key] = f"there are no masks{train}"
    return told
