"""Property prediction: a linear and an MLP probe read each slot's object.

The protocol of Dittadi et al. 2022, arXiv 2107.00637, Section 3 and Appendix B: a probe that
all slots share is trained on frozen slots to predict every property of the paired object.
"""

from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from slotbench.datasets.format.schema import Array, Property
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.result import Result, results_of_sums
from slotbench.evaluation.segmentation import contingency, matched_iou, overlaps
from slotbench.evaluation.slot_probes import Kind, Predictions, Probe, of_slots, predict
from slotbench.matching import assign
from slotbench.registry import register

PROTOCOLS: tuple[Kind, ...] = ("loss", "mask")
JOINT = "found+described"
FOUND = 0.5
"""Least IoU of an object that is found."""
OUTSIDE_MEAN = (
    "rotation",
    "orientation",
    "depth",
    "pixel_coords",
    "image_position",
    "level",
    "violation",
)
"""Properties that no mean includes. Dittadi et al.'s code lists none of them."""
Sums = npt.NDArray[np.float64]


@register("metrics")
class LinearProperties(Metric):
    """``properties/linear/<protocol>/<property or mean>[/dropped]``, ``found+described/<source>``.

    :mod:`slotbench.evaluation.slot_probes` defines protocols and training,
    :func:`property_results` and :func:`found_and_described` the scores. Skipped where the dataset
    has no properties or a split shows no object. The protocol ``mask`` and ``found+described`` are
    skipped where a split has no labelled pixel or no masks.
    """

    name = "properties"
    summary = "a linear probe of each object's properties, shared by all slots"
    source = "Dittadi et al. 2022, arXiv 2107.00637"
    version = 2
    keys: ClassVar[tuple[str, ...]] = ("properties/linear/*", f"{JOINT}/*")
    better = 1
    ranges: ClassVar = {f"{JOINT}/*": (0, 1), "*": (None, 1)}
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

    An object is found where its slot has an IoU of at least 0.5 with it. It is described where the
    probe predicts every categorical property of it right from that slot. Objects and slots are
    paired for the greatest sum of IoU. ``n`` counts visible objects.
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
    totals = np.stack([made.visible.sum(axis=1), good.sum(dim=1).numpy()], axis=1).astype(float)
    return results_of_sums(totals, _accuracy, seed, int(totals[:, 0].sum()))[0]


def property_results(found: Predictions, visible: Array, seed: int) -> dict[str, Result]:
    """R2 of each numeric property, accuracy of each categorical one, and their ``mean``.

    ``mean`` follows Dittadi et al.'s code: all properties but :data:`OUTSIDE_MEAN`; x and y of
    ``position`` are one entry each. A property called ``mean`` is reported as ``mean_property``.

    ``visible`` bool (n, O) says which objects count. One without a slot counts as wrong (accuracy)
    or as predicted by the training mean (R2), which is 0 after standardisation. Results with the
    suffix ``/dropped`` leave it out, as the paper does. ``n`` counts objects.
    """
    encoding = found.encoding
    paired = visible & (found.order >= 0)
    values, truth = found.values.double().numpy(), found.targets.double().numpy()
    values = np.where(paired[:, :, None], values, 0.0)
    results: dict[str, Result] = {}
    for suffix, counted in (("", visible), ("/dropped", paired)):
        totals, widths = [], []
        for prop, columns in zip(encoding.properties, encoding.columns, strict=True):
            sums = _sums(prop, values[..., columns], truth[..., columns], counted, paired)
            totals.append(sums)
            widths.append(sums.shape[1])
        scores = partial(_scores, encoding.properties, np.cumsum(widths)[:-1])
        names = [prop.name for prop in encoding.properties]
        names = [f"{name}_property" if name == "mean" else name for name in names] + ["mean"]
        joined, n = np.concatenate(totals, axis=1), int(counted.sum())
        scored = results_of_sums(joined, scores, seed, n, int(visible.sum()) - n)
        results |= dict(zip((name + suffix for name in names), scored, strict=True))
    return results


def _sums(prop: Property, values: Array, truth: Array, counted: Array, paired: Array) -> Sums:
    """Each image's part of the sums for :func:`_scores`, (n, M)."""
    count = counted.sum(axis=1, keepdims=True).astype(np.float64)
    if prop.kind == "categorical":
        right = (values.argmax(axis=2) == truth.argmax(axis=2)) & paired & counted
        return np.concatenate([count, right.sum(axis=1, keepdims=True)], axis=1)
    weight = counted[:, :, None].astype(np.float64)
    residual = ((values - truth) ** 2 * weight).sum(axis=1)
    return np.concatenate(
        [count, residual, (truth * weight).sum(axis=1), (truth**2 * weight).sum(axis=1)], axis=1
    )


def _scores(properties: tuple[Property, ...], cuts: Array, sums: Sums) -> Sums:
    """R2 or accuracy of each property, and their mean: (R, p + 1).

    ``sums`` (R, M) are over images; ``cuts`` are the columns where the sums of a property begin.
    """
    columns, counted = [], []
    for prop, part in zip(properties, np.split(sums, cuts, axis=1), strict=True):
        each = _accuracy(part) if prop.kind == "categorical" else _r2(part, prop.dim)
        columns.append(each.mean(axis=1))
        if prop.name == "position":
            counted += list(each[:, :2].T)
        elif prop.name not in OUTSIDE_MEAN:
            counted.append(columns[-1])
    mean = np.mean(counted, axis=0) if counted else np.full(len(sums), np.nan)
    return np.stack([*columns, mean], axis=1)


def _accuracy(sums: Sums) -> Sums:
    """The share of right answers, (R, 1), of counts and right answers (R, 2); NaN for none."""
    count, right = sums[:, :1], sums[:, 1:]
    return np.where(count > 0, right / np.maximum(count, 1), np.nan)


def _r2(sums: Sums, dim: int) -> Sums:
    """R2 of each dimension, (R, dim), as scikit-learn's ``r2_score``.

    A dimension that does not vary scores 1 where it is predicted exactly, else 0.
    """
    count = np.maximum(sums[:, :1], 1)
    residual, total, square = np.split(sums[:, 1:], [dim, 2 * dim], axis=1)
    spread = np.maximum(square - total**2 / count, 0)
    constant = spread <= 1e-12 * square
    score = 1 - residual / np.where(constant, 1, spread)
    score = np.where(constant, np.where(residual <= 1e-12 * square, 1.0, 0.0), score)
    return np.where(sums[:, :1] > 0, score, np.nan)
