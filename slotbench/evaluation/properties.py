"""Property prediction: a linear and an MLP probe read each slot's object.

The protocol of Dittadi et al. 2022, arXiv 2107.00637, Section 3 and Appendix B: a probe that
all slots share is trained on frozen slots to predict every property of the paired object.
"""

from typing import ClassVar

import numpy as np
import torch

from slotbench.datasets.format.schema import Array
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.property_scores import property_results
from slotbench.evaluation.result import Result, results_of_sums
from slotbench.evaluation.segmentation import contingency, matched_iou, overlaps
from slotbench.evaluation.slot_probes import Kind, Probe, of_slots, predict
from slotbench.matching import assign
from slotbench.registry import register

PROTOCOLS: tuple[Kind, ...] = ("loss", "mask")
JOINT = "found+described"
FOUND = 0.5
"""Least IoU of an object that is found."""


@register("metrics")
class LinearProperties(Metric):
    """``properties/linear/<protocol>/<property or mean>[/dropped]``, ``found+described/<source>``.

    :mod:`slotbench.evaluation.slot_probes` defines protocols and training,
    :func:`slotbench.evaluation.property_scores.property_results` the scores, and
    :func:`found_and_described` the share of objects that are found and described.
    Skipped where the dataset has no properties or a split shows no object. The protocol ``mask``
    and ``found+described`` are skipped where a split has no labelled pixel or no masks.
    """

    name = "properties"
    summary = "a linear probe of each object's properties, shared by all slots"
    source = "Dittadi et al. 2022, arXiv 2107.00637"
    version = 2
    keys: ClassVar[tuple[str, ...]] = ("properties/linear/*", f"{JOINT}/*")
    better = 1
    shown: ClassVar[tuple[str, ...]] = (
        "properties/linear/loss/mean",
        "properties/linear/mask/mean",
    )
    compared: ClassVar[tuple[str, ...]] = ("properties/linear/mask/mean", f"{JOINT}/attention")
    trains = ("slots", "overlap", "labelled")
    needs = (*trains, *(f"labels/{source}/first" for source in SOURCES))
    cost = 16_000.0
    probe: ClassVar[str] = "linear"
    hidden: ClassVar[int] = 0

    def compute(self, context: Context) -> dict[str, Result]:
        reason = unusable(context)
        if reason:
            return context.skip(self.name, reason)
        probes, made = context.probes(self.hidden), context.judged
        results: dict[str, Result] = {}
        for protocol in PROTOCOLS:
            prefix = f"properties/{self.probe}/{protocol}"
            if protocol == "mask" and not (made.labelled and protocol in probes):
                for key in (prefix, *([] if self.hidden else [JOINT])):
                    context.skip(key, "a split has no labelled pixel")
                continue
            found = predict(probes[protocol], made)
            scored = property_results(found, made.visible, context.seed)
            results |= {f"{prefix}/{name}": value for name, value in scored.items()}
            if protocol == "mask" and not self.hidden:
                results |= self._joint(context, probes[protocol])
        return results

    def _joint(self, context: Context, probe: Probe) -> dict[str, Result]:
        made = context.judged
        if all(prop.kind == "numeric" for prop in probe.encoding.properties):
            return context.skip(JOINT, "the dataset has no categorical property")
        return {
            f"{JOINT}/{source}": found_and_described(probe, made, source, context.seed)
            for source in made.sources()
        }


@register("metrics")
class MlpProperties(LinearProperties):
    """``properties/mlp/<protocol>/<property or mean>[/dropped]``.

    As the linear probe, with one hidden layer of 256 units and LeakyReLU (Dittadi et al. 2022,
    Appendix B, use MLPs of one to three such layers beside the linear probe).
    """

    name = "properties-mlp"
    summary = "the same with one hidden layer of 256"
    source = "Dittadi et al. 2022, arXiv 2107.00637"
    keys: ClassVar[tuple[str, ...]] = ("properties/mlp/*",)
    shown: ClassVar[tuple[str, ...]] = ()
    compared: ClassVar[tuple[str, ...]] = ()
    cost = 40_000.0
    probe = "mlp"
    hidden = 256


def unusable(context: Context) -> str:
    """Why no probe of properties can be trained; "" where one can."""
    if not context.dataset.layout.properties:
        return "the dataset has no properties"
    made = [context.made[role] for role in ("train", "val", JUDGED)]
    if any("slots" not in split.arrays for split in made):
        return "there are no slots"
    return "" if all(split.visible.any() for split in made) else "a split shows no object"


@torch.no_grad()
def found_and_described(probe: Probe, made: Representations, source: str, seed: int) -> Result:
    """The share of true objects that are found and described, with its interval over images.

    An object is found where its slot has an IoU of at least 0.5 with it, and described where the
    probe reads every categorical property right from that slot. Objects and slots are paired so
    that the sum of IoU is greatest. ``n`` counts visible objects.
    """
    encoding, (predicted, _) = probe.encoding, probe.predict(made.slots)
    table = contingency(made.labels(source), torch.from_numpy(made.truth), made.slots.shape[1])
    _, iou, present = overlaps(table)
    order = assign(-iou, present)
    good = matched_iou(iou, present) >= FOUND
    objects = good.shape[1]
    values, targets = of_slots(predicted, order), encoding.encode(made.properties)[:, :objects]
    for prop, columns in zip(encoding.properties, encoding.columns, strict=True):
        if prop.kind == "categorical":
            right = values[..., columns].argmax(dim=2) == targets[..., columns].argmax(dim=2)
            good &= right
    good &= torch.from_numpy(made.visible[:, :objects])
    totals = np.stack([good.sum(dim=1).numpy(), made.visible.sum(axis=1)], axis=1).astype(float)

    def share(sums: Array) -> Array:
        return np.where(sums[:, 1:] > 0, sums[:, :1] / np.maximum(sums[:, 1:], 1), np.nan)

    return results_of_sums(totals, share, seed, int(totals[:, 1].sum()))[0]
