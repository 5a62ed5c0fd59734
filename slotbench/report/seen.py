"""Single images with a model's masks and slots, as arrays that can be drawn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import images_on
from slotbench.datasets.format.schema import BACKGROUND, LABEL_COLORS, NOT_LABELLED, Array
from slotbench.evaluation.frozen_pass import (
    Representations,
    check_finite,
    collect,
    frozen,
    initial_noise,
)
from slotbench.evaluation.masks import (
    labels_from_masks,
    mask_overlap,
    masks_of,
    reconstruction_error,
    resize,
)
from slotbench.evaluation.result import Progress, finite
from slotbench.evaluation.segmentation import scores
from slotbench.matching import assign
from slotbench.objectives.objective import Objective

PURE = 0.95
"""Least share of background among the pixels of a slot that is drawn as background."""


@dataclass(frozen=True)
class Viewer:
    """A model, the split it looks at, and the seed of its initial noise."""

    objective: Objective
    dataset: DatasetFile
    split: str
    seed: int
    device: torch.device

    def collect(
        self, split: str, limit: int, wanted: Collection[str], progress: Progress
    ) -> Representations:
        """The arrays ``wanted`` of the first images of a split, as for the evaluation."""
        n = self.dataset.first(split, limit)
        arrays = collect(
            self.objective,
            self.dataset,
            split,
            n,
            seed=self.seed,
            wanted=wanted,
            device=self.device,
            progress=progress,
        )
        return Representations(self.dataset, split, n, arrays)


@dataclass(frozen=True)
class Seen:
    """One image of H x W pixels as a model with K slots of width D sees it."""

    split: str
    index: int
    image: Array
    """uint8 (H, W, 3)."""
    truth: Array
    """uint8 (H, W): 0 background, 1..O objects, 255 not labelled."""
    labels: dict[str, Array]
    """int64 (H, W) in [0, K) for each source of masks: ``attention``, and ``decoder`` and
    ``predictor`` where the objective has them."""
    fg_ari: dict[str, float | None]
    """By source; None where the image shows no object."""
    slots: Array
    """uint8 (K, H, W, 4): each slot's own image, with its mask as opacity.

    The decoder's parts and masks; without a decoder the image itself and the attention."""
    vectors: Array
    """float32 (K, D): the slots themselves."""
    overlap: Array
    """float32 (K, O) in [0, 1]: cosine similarity of attention masks with true masks."""
    decoded: Array | None
    """uint8 (H, W, 3)."""
    error: float | None
    """Mean squared error of the decoded image."""

    @property
    def background(self) -> int | None:
        """The slot of the background; None where there is none (:func:`background_slot`)."""
        return background_slot(self.truth, self.labels)

    def matched(self, source: str) -> dict[int, int | None]:
        """The slot of each object in a source's masks (:func:`matched_slots`)."""
        return matched_slots(self.truth, self.labels[source], len(self.slots), self.background)


def objects_of(truth: Array) -> list[int]:
    """The labels of objects that occur in true masks uint8 (H, W), ascending."""
    return [int(label) for label in np.unique(truth) if label not in (0, NOT_LABELLED)]


def background_slot(truth: Array, labels: dict[str, Array]) -> int | None:
    """The slot that holds the background in the label maps of every source; None if none does.

    It wins at least half of the background, and at least 95 % of the labelled pixels that it
    wins are background. If two slots win half each, it is the first.
    """
    ground, candidates = truth == 0, []
    for found in labels.values():
        slots = int(found.max()) + 1
        inside = np.bincount(found[ground], minlength=slots)
        won = np.bincount(found[truth != NOT_LABELLED], minlength=slots)
        fits = (2 * inside >= ground.sum()) & (inside >= PURE * won) & (inside > 0)
        candidates.append(set(np.flatnonzero(fits).tolist()))
    return min(set.intersection(*candidates), default=None)


def matched_slots(
    truth: Array, labels: Array, slots: int, background: int | None
) -> dict[int, int | None]:
    """The slot of each object by the Hungarian algorithm on the IoU of a label map.

    The background's slot is left out. None for an object that no other slot overlaps.
    """
    objects = objects_of(truth)
    free = [slot for slot in range(slots) if slot != background]
    if not objects or not free:
        return dict.fromkeys(objects)
    one = np.stack([truth == label for label in objects])[:, None]
    other = np.stack([(labels == slot) & (truth != NOT_LABELLED) for slot in free])[None]
    iou = (one & other).sum(axis=(2, 3)) / (one | other).sum(axis=(2, 3))
    order = assign(-torch.from_numpy(iou)).tolist()
    return {
        label: free[column] if column >= 0 and iou[row, column] > 0 else None
        for row, (label, column) in enumerate(zip(objects, order, strict=True))
    }


def paired_colors(seen: Seen, source: str) -> Array:
    """uint8 (K, 3): each slot in the colour of the object that it is paired with, else grey."""
    greys = np.linspace(90, 190, len(seen.slots)).astype(np.uint8)
    colors = np.repeat(greys[:, None], 3, axis=1)
    for label, slot in seen.matched(source).items():
        if slot is not None:
            colors[slot] = LABEL_COLORS[label]
    if seen.background is not None:
        colors[seen.background] = BACKGROUND
    return colors


def look(viewer: Viewer, indices: Sequence[int]) -> list[Seen]:
    """Each of the images as the model sees it, with the initial noise of the evaluation.

    :class:`SlotbenchError` where slots or masks are not finite.
    """
    with frozen(viewer.objective):
        return [_look(viewer, index) for index in indices]


def _look(viewer: Viewer, index: int) -> Seen:
    objective, split = viewer.objective, viewer.split
    batch = viewer.dataset.read(split, index, index + 1, ("image", "mask"))
    images = images_on(batch, viewer.device)
    noise = initial_noise(objective.core, split, index, index + 1, seed=viewer.seed)
    output = objective.core(images, noise)
    masks, decoded = masks_of(objective, output, images)
    named = {f"{source} masks": found for source, found in masks.items()}
    check_finite(objective.core, split, index, {"slots": output.slots, **named})
    truth, shares = torch.from_numpy(batch["mask"]), masks.get("decoder", masks["attention"])
    size, slots = (truth.shape[1], truth.shape[2]), shares.shape[1]
    objects = viewer.dataset.layout_of(split).objects
    overlap = mask_overlap(resize(masks["attention"], size), truth.to(viewer.device), objects)
    labels = {source: labels_from_masks(found, size).cpu() for source, found in masks.items()}
    fg_ari = {source: scores(found, truth, slots)["fg_ari"] for source, found in labels.items()}
    picture, error = None, None
    parts = images[0].expand(slots, -1, -1, -1)
    if decoded is not None:
        parts = parts if decoded.parts is None else resize(decoded.parts[0], size)
        if decoded.image is not None:
            picture = _bytes(resize(decoded.image.float(), size))[0]
            error = float(reconstruction_error(decoded.image, images)[0])
    return Seen(
        split,
        index,
        batch["image"][0],
        batch["mask"][0],
        {source: found[0].numpy() for source, found in labels.items()},
        {source: finite(float(found)) for source, found in fg_ari.items()},
        _bytes(torch.cat([parts, resize(shares, size)[0][:, None]], dim=1)),
        output.slots[0].float().cpu().numpy(),
        overlap[0].cpu().numpy(),
        picture,
        error,
    )


def _bytes(images: torch.Tensor) -> Array:
    """float (n, C, H, W) in [0, 1] -> uint8 (n, H, W, C)."""
    scaled = (images.clamp(0, 1) * 255).round().byte()
    return scaled.permute(0, 2, 3, 1).cpu().numpy()
