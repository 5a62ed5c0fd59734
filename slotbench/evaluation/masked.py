"""Representations out of given masks and slots: what a core's pass gives, without the core."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.evaluation import health
from slotbench.evaluation.baselines import mask_images
from slotbench.evaluation.prediction_file import PredictionFile
from slotbench.evaluation.prediction_masks import MaskReader, read_slots
from slotbench.evaluation.predictions import SOURCES, Given, Notes
from slotbench.evaluation.representations import Representations
from slotbench.evaluation.scoring import mask_overlap
from slotbench.evaluation.segmentation import labels_from_masks, resize

Progress = Callable[[int, int], None]
_BLOCK = 64
"""Images of a baseline at a time."""


def from_file(
    file: PredictionFile,
    given: Given,
    dataset: DatasetFile,
    notes: Notes,
    progress: Progress | None = None,
) -> Representations:
    """What a file says of one split.

    Label maps of every mask source; overlaps, which pair slots with objects, from the attention
    masks where there are any, else from the decoder's; the entropy of attention masks that sum
    to 1. Without masks no image counts as labelled, so that nothing is paired by masks.

    :class:`UserError`, naming array and image, where values are not as the layout says.
    """
    arrays: dict[str, Array] = {}
    slots = read_slots(file, given)
    if slots is not None:
        arrays["slots"] = slots
        objects = dataset.layout_of(given.split).objects
        arrays["overlap"] = np.zeros((*slots.shape[:2], objects), np.float32)
    arrays["labelled"] = np.zeros(given.count, bool)
    for number, source in enumerate(source for source in SOURCES if source in given.masks):
        reader = MaskReader.of(file, given, source)
        tell = None if number else progress
        made = _of_masks(reader.blocks(), dataset, given, source, tell)
        if source != "attention" or reader.label_map or not reader.sums_to_one:
            del made["entropy"]
        if number:
            del made["overlap"]
        arrays |= made
        if given.split == "test":  # those of train and val are read alike
            reader.explain((dataset.layout.height, dataset.layout.width), notes)
    return Representations(dataset, given.split, given.count, arrays)


def from_baseline(
    name: str,
    dataset: DatasetFile,
    split: str,
    limit: int,
    slots: int,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Representations:
    """A trivial masker's label maps of the first ``limit`` images of a split.

    It has neither attention nor a decoder: its masks stand as those of both sources, so that
    they are beside what must beat them. It has no slots.
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
    joined = np.concatenate(labels)
    arrays = {f"labels/{source}/first": joined for source in SOURCES}
    arrays["labelled"] = np.concatenate(labelled)
    return Representations(dataset, split, count, arrays)


def _of_masks(
    blocks: Iterable[Tensor],
    dataset: DatasetFile,
    given: Given,
    source: str,
    progress: Progress | None,
) -> dict[str, Array]:
    size = (dataset.layout.height, dataset.layout.width)
    objects = dataset.layout_of(given.split).objects
    kept: dict[str, list[Array]] = {}
    start = 0
    for masks in blocks:
        stop = start + len(masks)
        truth = torch.from_numpy(dataset.read(given.split, start, stop, ("mask",))["mask"])
        made = {
            f"labels/{source}/first": labels_from_masks(masks, size).numpy().astype(np.uint8),
            "overlap": mask_overlap(resize(masks, size), truth, objects).numpy(),
            "entropy": health.attention_entropy(masks).numpy(),
            "labelled": (truth != NOT_LABELLED).flatten(1).any(dim=1).numpy(),
        }
        for name, values in made.items():
            kept.setdefault(name, []).append(values)
        start = stop
        if progress is not None:
            progress(start, given.count)
    return {name: np.concatenate(values) for name, values in kept.items()}
