"""Scores under a distribution shift: over all, changed and unchanged objects.

Dittadi et al. 2022, arXiv 2107.00637, Section 4: a shift changes the colour, shape or texture of
one object of an image, or the whole image. Probes of the training distribution are scored on it.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import SHIFTED, Array
from slotbench.datasets.shifts.kinds import SHIFTS
from slotbench.evaluation import segmentation
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.properties import PROTOCOLS, property_results
from slotbench.evaluation.result import Result
from slotbench.evaluation.slot_probes import Kind, Predictions, Probe, of_slots, predict
from slotbench.evaluation.targets import Encoding
from slotbench.matching import assign
from slotbench.registry import register

SUBSETS = ("all", "changed", "unchanged")
NEW = {name: shift.new for name, shift in SHIFTS.items() if shift.new}
"""Shift -> properties to which it gives values that are not in training."""


@register("metrics")
class Shifts(Metric):
    """``shifts/<shift>/<subset>/<fg_ari, miou or mbo>/<source>`` and
    ``shifts/<shift>/<subset>/properties/linear/<protocol>/<property or mean>[/dropped]``.

    For every split ``test-<shift>``. The array ``shift/changed`` bool (n, O) of the split divides
    its objects into ``changed`` and ``unchanged``. Without it the shift changed the whole image,
    and ``all`` is the only subset. Probes were trained on the training distribution; pairing by
    loss has two steps (:func:`two_step`). Where images of the split may have more objects than
    training images, the core gets as many more slots, if its weights allow it.
    """

    name = "shifts"
    summary = "masks and probes on shifted test sets: all, changed, unchanged objects"
    source = "Dittadi et al. 2022, arXiv 2107.00637"
    version = 2
    keys = ("shifts/*",)
    better = 1
    ranges: ClassVar = {"*": (None, 1)}
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
        prefix, values = f"shifts/{made.split.removeprefix(SHIFTED)}", dict[str, Tensor]()
        if not made.labelled:
            return context.skip(prefix, segmentation.UNLABELLED)
        changed, subsets = _changed(made)
        truth, flags = torch.from_numpy(made.truth), torch.from_numpy(changed)
        for source in made.sources():
            labels = made.labels(source)
            scores = shifted_masks(labels, truth, flags, int(labels.max()) + 1)
            values |= {
                f"{prefix}/{subset}/{name}/{source}": each
                for subset in subsets
                for name, each in scores[subset].items()
            }
        return context.means(values)

    def _of_probe(self, context: Context, shifts: list[str], protocol: Kind) -> dict[str, Result]:
        if not all(context.made[role].visible.any() for role in ("train", "val", *shifts)):
            return context.skip(f"shifts/{protocol}", "a split shows no object")
        probe = context.probes().get(protocol)
        labelled = all(context.made[role].labelled for role in shifts)
        if probe is None or (protocol == "mask" and not labelled):
            return context.skip(f"shifts/{protocol}", "a split has no labelled pixel")
        results = {}
        for role in shifts:
            made, shift = context.made[role], role.removeprefix(SHIFTED)
            (changed, subsets), new = _changed(made), NEW.get(shift, ())
            predicted = _predicted(probe, made, changed, new)
            found = shifted_properties(predicted, made.visible, changed, context.seed, new)
            for name, result in found.items():
                subset, _, rest = name.partition("/")
                if subset in subsets:
                    key = f"shifts/{shift}/{subset}/properties/linear/{protocol}/{rest}"
                    results[key] = result
        return results


def _changed(made: Representations) -> tuple[Array, tuple[str, ...]]:
    """Which objects the shift changed, bool (n, O), and the subsets of objects to score.

    Where the shift changed the whole image, no object is flagged, and ``all`` is the only subset.
    """
    flags = made.dataset.changed(made.split)
    if flags is None:
        return np.zeros_like(made.visible), ("all",)
    return flags.reshape(-1, made.visible.shape[1])[: made.n], SUBSETS


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

    A probe cannot know a property's new value. Its loss on that property does not say which slot
    holds the changed object. Step 1 assigns all visible objects by ``without``, the cost (B, O, K)
    without the changed property; changed objects keep these slots. Step 2 assigns the unchanged
    objects to the remaining slots by ``cost``, which includes all properties. The authors' code
    does the same. Images without a changed object are assigned by ``cost`` alone.

    ``visible`` and ``changed`` are bool (B, O). ValueError where a cost is not finite.
    """
    moved = changed & visible
    first = assign(without, visible)
    held = torch.zeros(cost.shape[0], cost.shape[2], dtype=torch.bool, device=cost.device)
    image, objects = (moved & (first >= 0)).nonzero(as_tuple=True)
    held[image, first[image, objects]] = True
    # A held slot costs more than any assignment of free slots. It costs the same for every object,
    # so that it does not decide which object goes without a slot.
    wall = 1 + 2 * cost.abs().amax().double() * cost.shape[1] if cost.numel() else 1.0
    second = assign(torch.where(held[:, None, :], wall, cost.double()), visible & ~moved)
    taken = held.gather(1, second.clamp(min=0)) & (second >= 0)
    return torch.where(moved, first, torch.where(taken, -1, second))


def without_properties(encoding: Encoding, names: Iterable[str]) -> Encoding:
    """The encoding without these properties: their columns stay, with no weight in any cost."""
    weight, left_out, kept = torch.ones(encoding.width), set(names), []
    for prop, columns in zip(encoding.properties, encoding.columns, strict=True):
        if prop.name in left_out:
            weight[columns] = 0
        else:
            kept.append((prop, columns))
    properties, places = tuple(zip(*kept, strict=True)) or ((), ())
    square, log = encoding.square * weight, encoding.log * weight
    return replace(encoding, properties=properties, columns=places, square=square, log=log)


def shifted_properties(
    found: Predictions, visible: Array, changed: Array, seed: int, new: Iterable[str] = ()
) -> dict[str, Result]:
    """``<subset>/<property or mean>[/dropped]`` for all, changed and unchanged objects.

    ``visible`` and ``changed`` are bool (n, O). ``new`` names properties whose shifted values no
    probe has seen; they are scored for unchanged objects alone. A subset without an object has
    results without a value.
    """
    known, results = without_properties(found.encoding, new), dict[str, Result]()
    counts = (visible, visible & changed, visible & ~changed)
    for subset, counted in zip(SUBSETS, counts, strict=True):
        scored = found.encoding if subset == "unchanged" else known
        if scored.properties:
            scores = property_results(found._replace(encoding=scored), counted, seed)
            results |= {f"{subset}/{name}": result for name, result in scores.items()}
    return results


def shifted_masks(
    labels: Tensor, truth: Tensor, changed: Tensor, slots: int
) -> dict[str, dict[str, Tensor]]:
    """Subset -> ``fg_ari``, ``miou`` and ``mbo``, each float64 (B,), NaN where nothing counts.

    ``labels`` int (B, H, W) in [0, slots); ``truth`` uint8 (B, H, W), 255 not labelled;
    ``changed`` bool (B, O) with O at least the greatest label. All objects are matched with slots
    together; then each subset's mean is over its own objects. ``fg_ari`` of a subset is over the
    pixels of its objects: for a single object it says whether the object is split.
    """
    table = segmentation.contingency(labels, truth, slots)
    objects, iou, present = segmentation.overlaps(table)
    flags = changed[:, : objects.shape[1]]
    matched, best = segmentation.matched_iou(iou, present), iou.amax(dim=2)
    counts = (present, present & flags, present & ~flags)
    return {
        subset: {
            "fg_ari": segmentation.adjusted_rand(objects * counted[:, :, None]),
            "miou": segmentation.weighted_mean(matched, counted.double()),
            "mbo": segmentation.weighted_mean(best, counted.double()),
        }
        for subset, counted in zip(SUBSETS, counts, strict=True)
    }
