"""Scores under a distribution shift: over all, changed and unchanged objects.

Dittadi et al. 2022, arXiv 2107.00637, Section 4: a shift changes one object of an image (its
colour, shape or texture), or the whole image, and the probes of the training distribution are
judged on it.
"""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SHIFT_FLAGS, SHIFTED, Array
from slotbench.datasets.shifts.kinds import SHIFTS
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.properties import PROTOCOLS
from slotbench.evaluation.property_scores import Predictions, property_results
from slotbench.evaluation.result import Result, mean_result
from slotbench.evaluation.segmentation import (
    UNLABELLED,
    adjusted_rand,
    contingency,
    matched_iou,
    overlaps,
    weighted_mean,
)
from slotbench.evaluation.slot_probes import Kind, Probe, of_slots, predict
from slotbench.evaluation.targets import Encoding
from slotbench.matching import assign
from slotbench.registry import register

NEW = {name: shift.new for name, shift in SHIFTS.items() if shift.new}
"""Shift -> properties to which it gives values that are not in training."""


@register("metrics")
class Shifts(Metric):
    """``shifts/<shift>/<subset>/<fg_ari, miou or mbo>/<source>`` and
    ``shifts/<shift>/<subset>/properties/linear/<protocol>/<property or mean>[/dropped]``.

    On every split called ``test-<shift>``. Subsets are ``all``, ``changed`` and ``unchanged``
    objects, from the array ``shift/changed`` bool (n, O) of the split; without it the whole image
    was changed, and there is ``all`` alone. Probes were trained on the training distribution;
    pairing by loss is two-step (:func:`two_step`). Where images of the split may have more objects
    than training images, the core gets as many more slots, if its weights can give them.
    """

    name = "shifts"
    summary = "masks and probes on shifted test sets: all, changed, unchanged objects"
    source = "Dittadi et al. 2022, arXiv 2107.00637"
    version = 2
    keys = ("shifts/*",)
    better = 1
    trains = ("slots", "overlap", "labelled")
    cost = 4_000.0

    def splits(self, dataset: DatasetFile) -> dict[str, tuple[str, ...]]:
        found = [split for split in dataset.splits if split.startswith(SHIFTED)]
        if not found:
            return {}
        labels = tuple(f"labels/{source}/first" for source in SOURCES)
        wanted = dict.fromkeys(("train", "val"), self.trains)
        return wanted | dict.fromkeys(found, (*self.trains, *labels))

    def compute(self, context: Context) -> dict[str, Result]:
        shifts = [role for role in context.made if role.startswith(SHIFTED)]
        if not shifts:
            return context.skip(self.name, "the dataset has no shifted test sets")
        results: dict[str, Result] = {}
        for role in shifts:
            results |= self._of_masks(context, context.made[role])
        if not context.dataset.layout.properties:
            context.skip(f"{self.name}/properties", "the dataset has no properties")
            return results
        for protocol in PROTOCOLS:
            results |= self._of_probe(context, shifts, protocol)
        return results

    def _of_masks(self, context: Context, made: Representations) -> dict[str, Result]:
        prefix = f"shifts/{made.split.removeprefix(SHIFTED)}"
        if not made.labelled:
            return context.skip(prefix, UNLABELLED)
        flags, truth = _changed(made), torch.from_numpy(made.truth)
        changed = torch.zeros(made.n, made.dataset.layout_of(made.split).objects, dtype=torch.bool)
        if flags is not None:
            changed = torch.from_numpy(flags)
        results = {}
        for source in made.sources("first"):
            labels = torch.from_numpy(made.arrays[f"labels/{source}/first"])
            scores = shifted_masks(labels, truth, changed, int(labels.max()) + 1)
            for subset, found in scores.items():
                if flags is None and subset != "all":
                    continue
                for name, values in found.items():
                    key = f"{prefix}/{subset}/{name}/{source}"
                    results[key] = mean_result(values, context.seed, self.version)
        return results

    def _of_probe(self, context: Context, shifts: list[str], protocol: Kind) -> dict[str, Result]:
        if not all(context.made[role].visible.any() for role in ("train", "val", *shifts)):
            return context.skip(f"shifts/{protocol}", "a split shows no object")
        probe = context.probes().get(protocol)
        labelled = all(context.made[role].labelled for role in shifts)
        if probe is None or (protocol == "mask" and not labelled):
            return context.skip(f"shifts/{protocol}", "a split has no labelled pixel")
        results = {}
        for role in shifts:
            made, flags, shift = (
                context.made[role],
                _changed(context.made[role]),
                role[len(SHIFTED) :],
            )
            changed = made.visible & False if flags is None else flags
            new = NEW.get(shift, ())
            predicted = _predicted(probe, made, changed, new)
            found = shifted_properties(predicted, made.visible, changed, context.seed, new)
            for name, result in found.items():
                subset, _, rest = name.partition("/")
                if flags is not None or subset == "all":
                    key = f"shifts/{shift}/{subset}/properties/linear/{protocol}/{rest}"
                    results[key] = replace(result, version=self.version)
        return results


def _changed(made: Representations) -> Array | None:
    """Which objects the shift changed, bool (n, O); None where it changed the whole image."""
    group = made.dataset.file[made.split]
    if SHIFT_FLAGS not in group:
        return None
    flags: Array = group[SHIFT_FLAGS][()]
    return flags.reshape(-1, made.dataset.layout_of(made.split).objects)[: made.n]


@torch.no_grad()
def _predicted(
    probe: Probe, made: Representations, changed: Array, new: tuple[str, ...]
) -> Predictions:
    """As :func:`slotbench.evaluation.slot_probes.predict`, with pairing by loss in two steps."""
    found = predict(probe, made)
    if probe.kind == "mask":
        return found
    predicted, targets = probe.predict(made.slots)[0], found.targets
    order = two_step(
        without_properties(probe.encoding, new).cost(predicted, targets),
        probe.encoding.cost(predicted, targets),
        torch.from_numpy(made.visible),
        torch.from_numpy(changed),
    )
    return found._replace(order=order.numpy(), values=of_slots(predicted, order))


def two_step(without: Tensor, cost: Tensor, visible: Tensor, changed: Tensor) -> Tensor:
    """The slot of each object under a shift, int64 (B, O); -1 where it has none.

    A probe cannot know a property's new value, so its loss on it says nothing about which slot
    holds the changed object. Step 1 assigns all visible objects by ``without``, the cost
    (B, O, K) that leaves the changed property out; changed objects keep these slots. Step 2
    assigns the unchanged objects to the remaining slots by ``cost``, all properties counting.
    The authors' code does the same. An image without a changed object is assigned by ``cost``
    alone.

    ``visible`` and ``changed`` are bool (B, O). ValueError where a cost is not finite.
    """
    moved = changed & visible
    first = assign(without, visible)
    held = torch.zeros(cost.shape[0], cost.shape[2], dtype=torch.bool, device=cost.device)
    image, objects = (moved & (first >= 0)).nonzero(as_tuple=True)
    held[image, first[image, objects]] = True
    # A held slot costs more than any assignment without one, and the same for every object: its
    # own cost must not decide which object goes without a slot.
    wall = 1 + 2 * cost.abs().amax().double() * cost.shape[1] if cost.numel() else 1.0
    second = assign(torch.where(held[:, None, :], wall, cost.double()), visible & ~moved)
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
    found: Predictions, visible: Array, changed: Array, seed: int, new: Iterable[str] = ()
) -> dict[str, Result]:
    """``<subset>/<property or mean>[/dropped]`` for all, changed and unchanged objects.

    ``visible`` and ``changed`` are bool (n, O). ``new`` names properties whose shifted values no
    probe has seen: they are scored for unchanged objects alone. A subset without an object has
    results without a value.
    """
    encoding, unseen = found.encoding, set(new)
    pairs = zip(encoding.properties, encoding.columns, strict=True)
    kept = [(prop, columns) for prop, columns in pairs if prop.name not in unseen]
    known = replace(
        encoding,
        properties=tuple(prop for prop, _ in kept),
        columns=tuple(columns for _, columns in kept),
    )
    subsets = {"all": visible, "changed": visible & changed, "unchanged": visible & ~changed}
    results: dict[str, Result] = {}
    for subset, counted in subsets.items():
        scored = encoding if subset == "unchanged" else known
        if scored.properties:
            scores = property_results(found._replace(encoding=scored), counted, seed)
            results |= {f"{subset}/{name}": result for name, result in scores.items()}
    return results


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
    objects, iou, present = overlaps(table)
    flags = changed[:, : objects.shape[1]]
    matched, best = matched_iou(iou, present), iou.amax(dim=2)
    results = {}
    masks = {"all": present, "changed": present & flags, "unchanged": present & ~flags}
    for subset, counted in masks.items():
        results[subset] = {
            "fg_ari": adjusted_rand(objects * counted[:, :, None]),
            "miou": weighted_mean(matched, counted.double()),
            "mbo": weighted_mean(best, counted.double()),
        }
    return results
