"""What a model makes of single images, as arrays that can be drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from slotbench.cores.decoders.spatial import Decoded
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import NOT_LABELLED, Array
from slotbench.evaluation.frozen_pass import frozen, initial_noise
from slotbench.evaluation.masks import labels_from_masks, reconstruction_error, resize
from slotbench.evaluation.segmentation import scores
from slotbench.matching import assign
from slotbench.objectives.objective import Objective

BATCH = 64
PURE = 0.95
"""The least share of a slot's pixels that is background, where the slot is drawn as such."""


@dataclass(frozen=True)
class Seen:
    """One image of H x W pixels as a model with K slots sees it."""

    split: str
    index: int
    image: Array
    """uint8 (H, W, 3)."""
    truth: Array
    """uint8 (H, W): 0 background, 1..O objects, 255 not labelled."""
    labels: dict[str, Array]
    """int64 (H, W) in [0, K) for each source of masks: ``attention``, and ``decoder`` if any."""
    fg_ari: dict[str, float | None]
    """By source; None where the image shows no object."""
    slots: Array
    """uint8 (K, H, W, 4): each slot's own image, its share of each pixel being the opacity.

    The decoder's parts and masks; without a decoder the image itself and the attention."""
    decoded: Array | None
    """uint8 (H, W, 3)."""
    error: float | None
    """Mean squared error of the decoded image."""

    @property
    def objects(self) -> list[int]:
        """The true labels that occur, ascending."""
        found = np.unique(self.truth)
        return [int(label) for label in found if label not in (0, NOT_LABELLED)]

    @property
    def background(self) -> int | None:
        """The slot that stands for the background, where one does so in every source.

        It wins at least half of the background, and at least 95 % of the labelled pixels that
        it wins are background. A slot that has swallowed an object is none.
        """
        return background_slot(self.truth, self.labels)

    def matched(self, source: str) -> dict[int, int | None]:
        """The slot of each object, by the Hungarian algorithm on IoU with a source's masks.

        The background's slot takes no part; None where an object is left without a slot that
        overlaps it.
        """
        return matched_slots(self.truth, self.labels[source], len(self.slots), self.background)


def background_slot(truth: Array, labels: dict[str, Array]) -> int | None:
    """See :attr:`Seen.background`."""
    ground = truth == 0
    candidates: set[int] | None = None
    for found in labels.values():
        slots = int(found.max()) + 1
        inside = np.bincount(found[ground], minlength=slots)
        won = np.bincount(found[truth != NOT_LABELLED], minlength=slots)
        fits = (2 * inside >= ground.sum()) & (inside >= PURE * won) & (inside > 0)
        # A tie, half of the background each, is settled by the first slot.
        these = set(np.flatnonzero(fits).tolist())
        candidates = these if candidates is None else candidates & these
    return min(candidates) if candidates else None


def matched_slots(
    truth: Array, labels: Array, slots: int, background: int | None
) -> dict[int, int | None]:
    """See :meth:`Seen.matched`."""
    objects = [int(label) for label in np.unique(truth) if label not in (0, NOT_LABELLED)]
    free = [slot for slot in range(slots) if slot != background]
    if not objects or not free:
        return dict.fromkeys(objects)
    counted = truth != NOT_LABELLED
    iou = np.zeros((len(objects), len(free)))
    for row, label in enumerate(objects):
        for column, slot in enumerate(free):
            one, other = truth == label, (labels == slot) & counted
            iou[row, column] = (one & other).sum() / (one | other).sum()
    order = assign(-torch.from_numpy(iou)).tolist()
    return {
        label: free[column] if column >= 0 and iou[row, column] > 0 else None
        for row, (label, column) in enumerate(zip(objects, order, strict=True))
    }


def look(
    objective: Objective,
    dataset: DatasetFile,
    split: str,
    indices: Sequence[int],
    *,
    seed: int,
    device: torch.device,
) -> list[Seen]:
    """Each of the images as the model sees it, with the initial noise of the evaluation."""
    with frozen(objective):
        return [_look(objective, dataset, split, index, seed, device) for index in indices]


def _look(
    objective: Objective,
    dataset: DatasetFile,
    split: str,
    index: int,
    seed: int,
    device: torch.device,
) -> Seen:
    batch = dataset.read(split, index, index + 1, ("image", "mask"))
    images = _floats(batch["image"], device)
    noise = initial_noise(objective.core, split, index, index + 1, seed=seed)
    output = objective.core(images, noise)
    decoded = objective.decode(output, images)
    truth = torch.from_numpy(batch["mask"])
    size = (truth.shape[1], truth.shape[2])
    labels = {"attention": labels_from_masks(output.attention.float(), size).cpu()}
    parts, shares = images[0].expand(output.attention.shape[1], -1, -1, -1), output.attention
    if decoded is not None:
        labels["decoder"] = labels_from_masks(decoded.masks.float(), size).cpu()
        shares = decoded.masks
        if decoded.parts is not None:
            parts = resize(decoded.parts[0], size)
        else:
            parts = images[0].expand(shares.shape[1], -1, -1, -1)
    opacity = resize(shares.float(), size)[0][:, None]
    return Seen(
        split,
        index,
        batch["image"][0],
        batch["mask"][0],
        {source: found[0].numpy() for source, found in labels.items()},
        {source: _fg_ari(found, truth, shares.shape[1])[0] for source, found in labels.items()},
        _bytes(torch.cat([parts, opacity], dim=1)),
        *_decoded(decoded, images),
    )


def _decoded(decoded: Decoded | None, images: torch.Tensor) -> tuple[Array | None, float | None]:
    if decoded is None or decoded.image is None:
        return None, None
    picture = resize(decoded.image.float(), (images.shape[2], images.shape[3]))
    return _bytes(picture)[0], float(reconstruction_error(decoded.image, images)[0])


def fg_ari(
    objective: Objective,
    dataset: DatasetFile,
    split: str,
    limit: int,
    *,
    seed: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[float | None]]:
    """FG-ARI of the first ``limit`` images by source of masks; None: the image has no object."""
    total = min(limit, dataset.size(split))
    found: dict[str, list[float | None]] = {}
    with frozen(objective):
        for start in range(0, total, BATCH):
            stop = min(start + BATCH, total)
            batch = dataset.read(split, start, stop, ("image", "mask"))
            images = _floats(batch["image"], device)
            noise = initial_noise(objective.core, split, start, stop, seed=seed)
            output = objective.core(images, noise)
            masks = {"attention": output.attention, "decoder": objective.masks(images, output)}
            truth = torch.from_numpy(batch["mask"])
            for source, one in masks.items():
                if one is not None:
                    labels = labels_from_masks(one.float(), (truth.shape[1], truth.shape[2]))
                    scored = _fg_ari(labels.cpu(), truth, one.shape[1])
                    found.setdefault(source, []).extend(scored)
            if progress is not None:
                progress(stop, total)
    return found


def _fg_ari(labels: torch.Tensor, truth: torch.Tensor, slots: int) -> list[float | None]:
    values = scores(labels, truth, slots)["fg_ari"]
    return [None if torch.isnan(value) else float(value) for value in values]


def _floats(images: Array, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255


def _bytes(images: torch.Tensor) -> Array:
    """float (n, C, H, W) in [0, 1] -> uint8 (n, H, W, C)."""
    scaled = (images.clamp(0, 1) * 255).round().byte()
    return scaled.permute(0, 2, 3, 1).cpu().numpy()
