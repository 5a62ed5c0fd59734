"""Set prediction: average precision of the slots as a set of objects.

Slot Attention (Locatello et al. 2020, arXiv 2006.15055, Section 4.2 and Appendix E), after the
metric of Deep Set Prediction Networks (Zhang et al. 2019, arXiv 1906.06565). The rules are those
of the paper's own code:

1. Predictions of all images are sorted by falling confidence.
2. The candidates of a prediction are the objects of its image with the same categorical
   properties. The nearest candidate is its object.
3. A prediction is right if its object is nearer than the threshold and no earlier prediction took
   it. A second prediction of one object is wrong, even if another object is near.
4. Average precision is the area under the precision envelope over recall (PASCAL VOC 2010).

Distances are Euclidean, on coordinates scaled to [-3, 3]. Of equal confidences the first
prediction wins.

The predictions come from a probe that all slots share. It predicts an object's properties and the
logit that there is an object. Three things differ from the paper: slots are frozen, because the
core is judged; the probe is linear; its loss is the property probe's (squared error and
cross-entropy), not a Huber loss on all outputs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from slotbench.datasets.format.schema import Array, Layout, Property
from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.properties import unusable
from slotbench.evaluation.result import RESAMPLES, Result
from slotbench.evaluation.slot_probes import Probe
from slotbench.registry import register
from slotbench.rng import numpy_generator

THRESHOLDS = (float("inf"), 1.0, 0.5, 0.25, 0.125)
COORDINATES = "position"
"""The property whose distance counts."""
REACH = 3.0
_BLOCK = 1 << 22
"""Numbers that the bootstrap holds at a time."""


@register("metrics")
class SetPrediction(Metric):
    """``set_prediction/linear/ap/<inf, 1, 0.5, 0.25 or 0.125>``: average precision.

    :func:`slotbench.evaluation.slot_probes.probe_losses` defines the probe's loss,
    :func:`average_precision` the score and its edge cases. Skipped where the dataset has no
    property ``position`` or a split shows no object.
    """

    name = "set-prediction"
    summary = "average precision of predicted sets of objects"
    source = "Locatello et al. 2020, arXiv 2006.15055"
    version = 2
    keys = ("set_prediction/*",)
    better = 1
    ranges: ClassVar = {"*": (0, 1)}
    needs = trains = ("slots", "overlap")
    cost = 500.0

    def compute(self, context: Context) -> dict[str, Result]:
        layout = context.dataset.layout
        reason = unusable(context)
        if not reason and COORDINATES not in {prop.name for prop in layout.properties}:
            reason = f"the dataset has no property {COORDINATES}"
        if reason:
            return context.skip(self.name, reason)
        train, made = context.made["train"], context.judged
        positions = train.properties[COORDINATES][train.visible]
        shown = positions.reshape(len(positions), -1)
        predicted = predicted_sets(context.probes()["set"], made.slots, shown)
        truth = true_sets(layout, made.properties, made.visible, shown)
        found = average_precision(predicted, truth, seed=context.seed)
        return {f"set_prediction/linear/{name}": value for name, value in found.items()}


@dataclass
class ObjectSets:
    """Sets of n images with at most E elements each, predicted (E = K) or true (E = O)."""

    position: Array
    """float (n, E, d), scaled to [-3, 3]."""
    classes: Array
    """int (n, E, C): the class of each categorical property."""
    confidence: Array
    """float (n, E): how sure the prediction is; for true sets 1 for an object, 0 for padding."""


@torch.no_grad()
def predicted_sets(probe: Probe, slots: Array, shown: Array) -> ObjectSets:
    """The sets that a probe of the kind ``set`` reads from slots float32 (n, K, D).

    ``shown`` float (m, d) holds the positions of the visible training objects.
    """
    encoding, (predicted, logit) = probe.encoding, probe.predict(slots)
    values = predicted.double().numpy()
    classes, position = [], values[..., :0]
    for prop, columns in zip(encoding.properties, encoding.columns, strict=True):
        if prop.kind == "categorical":
            classes.append(values[..., columns].argmax(axis=2))
        elif prop.name == COORDINATES:
            mean, scale = encoding.mean[columns].numpy(), encoding.scale[columns].numpy()
            position = scale_position(values[..., columns] * scale + mean, prop, shown)
    return ObjectSets(position, _stacked(classes, logit.shape), logit.double().sigmoid().numpy())


def _stacked(classes: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """Codes (n, E) of each categorical property as (n, E, C); C may be 0."""
    return np.stack(classes, axis=2) if classes else np.zeros((*shape, 0), np.int64)


def scale_position(values: Array, prop: Property, train: Array) -> Array:
    """Coordinates (..., d) mapped linearly to [-3, 3] from the range that the unit names.

    The unit ``x and y in [0, 1]`` names [0, 1]; scene units in [-3, 3] stay as they are. Where the
    unit names no range, it is each dimension's range over ``train`` float (m, d), the visible
    training objects.
    """
    named = re.search(r"\[(-?[\d.]+), (-?[\d.]+)\]", prop.unit)
    if named:
        low, high = np.float64(named[1]), np.float64(named[2])
    else:
        low, high = train.min(axis=0).astype(np.float64), train.max(axis=0).astype(np.float64)
    width = np.where(high > low, high - low, 1.0)
    return (values.astype(np.float64) - (low + high) / 2) * (2 * REACH / width)


def true_sets(
    layout: Layout, properties: Mapping[str, Array], visible: Array, train: Array
) -> ObjectSets:
    """The true sets of n images; from a batch's ``properties`` and ``visible``.

    ``train`` float (m, d) holds the positions of the visible training objects. KeyError where
    the layout has no ``position``.
    """
    prop = {prop.name: prop for prop in layout.properties}[COORDINATES]
    position = np.asarray(properties[COORDINATES]).reshape(*visible.shape, prop.dim)
    names = [prop.name for prop in layout.properties if prop.kind == "categorical"]
    classes = _stacked([np.asarray(properties[name]) for name in names], visible.shape)
    return ObjectSets(scale_position(position, prop, train), classes, visible.astype(np.float64))


def average_precision(predicted: ObjectSets, truth: ObjectSets, *, seed: int) -> dict[str, Result]:
    """``ap/<threshold>`` in [0, 1] for each of :data:`THRESHOLDS`.

    ``n`` is the number of true objects; the value is None where there is none. The interval is
    the 95 % percentile bootstrap over images.
    """
    visible = truth.confidence > 0
    objects = visible.sum(axis=1)
    nearest, distance = _nearest(predicted, truth, visible)
    order = np.argsort(-predicted.confidence.ravel(), kind="stable")
    images, slots = predicted.confidence.shape
    owner = np.repeat(np.arange(images), slots)[order]
    key = (np.arange(images)[:, None] * max(1, visible.shape[1]) + nearest).ravel()[order]
    far = distance.ravel()[order]
    # How often each image is drawn in each resample, float32 (R, images).
    generator = numpy_generator(seed, "bootstrap", "sets", images)
    even = np.full(images, 1 / images)
    weights = generator.multinomial(images, even, RESAMPLES).astype(np.float32)
    results, total = {}, int(objects.sum())
    step = max(1, _BLOCK // max(1, len(far)))
    for threshold in THRESHOLDS:
        if not total:
            results[f"ap/{threshold:g}"] = Result(None, 0)
            continue
        right = _first(key, np.isfinite(far) & (far < threshold))
        value = float(_area(right, np.ones((1, len(right))), np.array([float(total)]))[0])
        blocks = (weights[start : start + step] for start in range(0, len(weights), step))
        values = [_area(right, block[:, owner], block @ objects) for block in blocks]
        low, high = map(float, np.quantile(np.concatenate(values), (0.025, 0.975)))
        results[f"ap/{threshold:g}"] = Result(value, total, low=low, high=high)
    return results


def _nearest(predicted: ObjectSets, truth: ObjectSets, visible: Array) -> tuple[Array, Array]:
    """The nearest object whose classes are right, int (n, K), and its distance; inf if none."""
    images, slots = predicted.confidence.shape
    if not visible.shape[1]:
        return np.zeros((images, slots), np.int64), np.full((images, slots), np.inf)
    nearest, distance = [], []
    for start in range(0, images, 256):
        block = slice(start, start + 256)
        same = predicted.classes[block, :, None] == truth.classes[block, None]
        match = same.all(axis=3) & visible[block, None]
        apart = predicted.position[block, :, None] - truth.position[block, None]
        far = np.where(match, np.linalg.norm(apart, axis=3), np.inf)
        nearest.append(far.argmin(axis=2))
        distance.append(far.min(axis=2))
    return np.concatenate(nearest), np.concatenate(distance)


def _first(key: Array, candidate: Array) -> Array:
    """bool: the first candidate of each key, in order; every other place is False."""
    places = candidate.nonzero()[0]
    right = np.zeros(len(key), bool)
    right[places[np.unique(key[places], return_index=True)[1]]] = True
    return right


def _area(right: Array, weights: Array, objects: Array) -> Array:
    """Area under the precision envelope, (R,).

    ``right`` bool (m,) in the order of confidence, ``weights`` float (R, m) how often each
    prediction counts, ``objects`` float (R,) how many true objects there are.
    """
    gained = weights * right
    found = np.cumsum(gained, axis=1)
    precision = found / np.maximum(np.cumsum(weights, axis=1), 1e-12)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area: Array = (envelope * gained).sum(axis=1) / np.maximum(objects, 1e-12)
    return area
