"""Scores under a distribution shift: over all, changed and unchanged objects, version 1.

Dittadi et al. 2022, arXiv 2107.00637, Section 4: a shift changes one object of an image (its
colour, shape or texture), or the whole image, and the probes of the training distribution are
judged on it.
"""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from slotbench.datasets.format.schema import Array
from slotbench.evaluation.property_scores import property_results
from slotbench.evaluation.result import Result
from slotbench.evaluation.segmentation import adjusted_rand, contingency
from slotbench.evaluation.targets import Encoding
from slotbench.matching import assign

VERSION = 1
SUBSETS = ("all", "changed", "unchanged")


def two_step(without: Tensor, cost: Tensor, visible: Tensor, changed: Tensor) -> Tensor:
    """The slot of each object under a shift, int64 (B, O); -1 where it has none.

    A probe cannot know a property's new value, so that its loss on it says nothing about which
    slot holds the changed object. Step 1 assigns all visible objects by ``without``, the cost
    (B, O, K) that leaves the changed property out; changed objects keep these slots. Step 2
    assigns the unchanged objects to the remaining slots by ``cost``, all properties counting.
    This is what the authors' code does; an image without a changed object is assigned by
    ``cost`` alone.

    ``visible`` and ``changed`` are bool (B, O). ValueError where a cost is not finite.
    """
    moved = changed & visible
    first = assign(without, visible)
    held = torch.zeros(cost.shape[0], cost.shape[2], dtype=torch.bool, device=cost.device)
    image, objects = (moved & (first >= 0)).nonzero(as_tuple=True)
    held[image, first[image, objects]] = True
    # More than any assignment without a held slot can cost.
    wall = 1 + 2 * cost.abs().amax().double() * cost.shape[1] if cost.numel() else 1.0
    second = assign(cost.double() + wall * held[:, None, :], visible & ~moved)
    taken = held.gather(1, second.clamp(min=0)) & (second >= 0)
    return torch.where(moved, first, torch.where(taken, -1, second))


def without_properties(encoding: Encoding, names: Iterable[str]) -> Encoding:
    """The encoding in whose costs and losses these properties count nothing."""
    square, log = encoding.square.clone(), encoding.log.clone()
    left_out = set(names)
    for prop, columns in zip(encoding.properties, encoding.columns, strict=True):
        if prop.name in left_out:
            square[columns] = 0
            log[columns] = 0
    return replace(encoding, square=square, log=log)


def shifted_properties(
    encoding: Encoding,
    predicted: Tensor,
    targets: Tensor,
    visible: Array,
    changed: Array,
    order: Array,
    seed: int,
    new: Iterable[str] = (),
) -> dict[str, Result]:
    """``<subset>/<property or mean>[/dropped]`` for each of :data:`SUBSETS`.

    ``predicted`` and ``targets`` float (n, O, P), ``visible`` and ``changed`` bool (n, O),
    ``order`` int64 (n, O); see :func:`slotbench.evaluation.property_scores.property_results`.
    ``new`` names properties that the shift gave values that no probe has seen: they are scored
    for unchanged objects alone. A subset without an object has results without a value.
    """
    subsets = {"all": visible, "changed": visible & changed, "unchanged": visible & ~changed}
    known = _only_known(encoding, set(new))
    results: dict[str, Result] = {}
    for subset, counted in subsets.items():
        scored = encoding if subset == "unchanged" else known
        if not scored.properties:
            continue
        found = property_results(scored, predicted, targets, counted, order, seed)
        results |= {f"{subset}/{name}": result for name, result in found.items()}
    return results


def _only_known(encoding: Encoding, new: set[str]) -> Encoding:
    pairs = zip(encoding.properties, encoding.columns, strict=True)
    kept = [(prop, columns) for prop, columns in pairs if prop.name not in new]
    return replace(
        encoding,
        properties=tuple(prop for prop, _ in kept),
        columns=tuple(columns for _, columns in kept),
    )


def shifted_masks(
    labels: Tensor, truth: Tensor, changed: Tensor, slots: int
) -> dict[str, dict[str, Tensor]]:
    """Subset -> ``fg_ari``, ``miou`` and ``mbo``, each float64 (B,), NaN where nothing counts.

    ``labels`` int (B, H, W) in [0, slots); ``truth`` uint8 (B, H, W), 255 not labelled;
    ``changed`` bool (B, O) with O at least the greatest label. Objects are matched with slots
    once, all together; then each subset's mean is over its own objects. ``fg_ari`` of a subset
    is over the pixels of its objects, which for one object says whether it is split.
    """
    table = contingency(labels, truth, slots)
    objects = table[:, 1:]
    flags = changed[:, : objects.shape[1]]
    present = objects.sum(dim=2) > 0
    union = objects.sum(dim=2)[:, :, None] + table.sum(dim=1)[:, None, :] - objects
    iou = objects.double() / union.clamp(min=1).double()
    order = assign(-iou, present)
    matched = iou.gather(2, order.clamp(min=0)[:, :, None])[:, :, 0] * (order >= 0)
    best = iou.amax(dim=2)
    results = {}
    masks = {"all": present, "changed": present & flags, "unchanged": present & ~flags}
    for subset, counted in masks.items():
        weight = counted.double()
        total = weight.sum(dim=1)
        results[subset] = {
            "fg_ari": adjusted_rand(objects * counted[:, :, None]),
            "miou": (matched * weight).sum(dim=1) / total,
            "mbo": (best * weight).sum(dim=1) / total,
        }
    return results
