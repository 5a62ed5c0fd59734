"""Property prediction: what each slot says about its object, by a linear and by an MLP probe.

The protocol of Dittadi et al. 2022, arXiv 2107.00637, Section 3 and Appendix B: a probe that
all slots share is trained on frozen slots to predict every property of the paired object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from slotbench.datasets.format.schema import Array, Layout
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.probes import finite_slots, fit, layers
from slotbench.evaluation.property_scores import VERSION, property_results
from slotbench.evaluation.result import Progress, Result, bootstrap, finite
from slotbench.evaluation.segmentation import contingency, matched_iou, overlaps
from slotbench.evaluation.targets import Encoding
from slotbench.matching import assign
from slotbench.registry import register
from slotbench.rng import building, numpy_generator

Protocol = Literal["loss", "mask"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
JOINT = "found+described"
FOUND = 0.5
"""Least IoU of an object that is found."""


@register("metrics")
class LinearProperties(Metric):
    """``properties/linear/<protocol>/<property or mean>[/dropped]``, ``found+described/<source>``.

    :func:`predict_properties` defines protocols, training and what counts for objects that are
    left over; :func:`found_and_described` defines the share of objects that are found and
    described. ``/dropped`` is the paper's own variant, which leaves out objects without a slot.
    Skipped where the dataset has no properties or a split shows no object; what pairs by masks
    is skipped alone where a split has no labelled pixel or no masks.
    """

    name = "properties"
    summary = "a linear probe of each object's properties, shared by all slots"
    source = "Dittadi et al. 2022, arXiv 2107.00637"
    version = VERSION
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
        splits = [context.made[role] for role in ("train", "val", JUDGED)]
        train, val, test = (slot_data(made) for made in splits)
        results: dict[str, Result] = {}
        for index, protocol in enumerate(PROTOCOLS):
            prefix = f"properties/{self.probe}/{protocol}"
            if protocol == "mask" and not all(made.labelled for made in splits):
                reason = "a split has no labelled pixel"
                context.skip(prefix, reason)
                if self.probe == "linear":
                    context.skip(JOINT, reason)
                continue
            probe = train_probe(
                train,
                val,
                context.dataset.layout,
                seed=context.seed,
                protocol=protocol,
                hidden=self.hidden,
                steps=context.probe_steps,
                progress=context.progress(index, len(PROTOCOLS)),
            )
            scored = score(predict(probe, test), test, context.seed)
            results |= {f"{prefix}/{name}": value for name, value in scored.items()}
            if protocol == "mask" and self.probe == "linear":
                results |= self._joint(context, probe)
        return results

    def _joint(self, context: Context, probe: "Probe") -> dict[str, Result]:
        made = context.judged
        if all(prop.kind == "numeric" for prop in probe.encoding.properties):
            return context.skip(JOINT, "the dataset has no categorical property")
        return {
            f"{JOINT}/{source}": found_and_described(probe, made, source, context.seed)
            for source in made.sources("first")
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


@dataclass
class SlotData:
    """What the probe sees of n images with K slots of width D and at most O objects."""

    slots: Array
    """float32 (n, K, D)."""
    overlap: Array
    """float32 (n, K, O) in [0, 1]: cosine similarity of slots' masks with objects'."""
    visible: Array
    """bool (n, O)."""
    properties: Mapping[str, Array]
    """float32 (n, O[, d]) or int16 (n, O), by property name."""


def slot_data(made: Representations) -> SlotData:
    """One split as a probe of slots sees it."""
    return SlotData(made.slots, made.overlap, made.visible, made.properties)


def unusable(context: Context) -> str:
    """Why no probe of properties can be trained; "" where one can."""
    if not context.dataset.layout.properties:
        return "the dataset has no properties"
    made = [context.made[role] for role in ("train", "val", JUDGED)]
    if any("slots" not in split.arrays for split in made):
        return "there are no slots"
    return "" if all(split.visible.any() for split in made) else "a split shows no object"


class Probe(NamedTuple):
    """A trained probe."""

    encoding: Encoding
    """What its P output columns mean."""
    module: nn.Module
    """Slots (..., D) -> (..., P)."""
    protocol: Protocol


class Predictions(NamedTuple):
    """What a trained probe says of n images with at most O objects, in P encoded columns."""

    encoding: Encoding
    order: Array
    """int64 (n, O), the slot of each object; -1 where it has none."""
    values: Tensor
    """float32 (n, O, P): standardised numbers and log-probabilities; 0 where there is no slot."""
    targets: Tensor
    """float32 (n, O, P)."""


@dataclass
class _Split:
    slots: Tensor
    targets: Tensor
    visible: Tensor
    order: Tensor | None
    """int64 (n, O), the slot of each object, where it does not depend on the probe."""

    def rows(self, index: Tensor) -> "_Split":
        order = None if self.order is None else self.order[index]
        return _Split(self.slots[index], self.targets[index], self.visible[index], order)


def predict_properties(
    train: SlotData,
    val: SlotData,
    test: SlotData,
    layout: Layout,
    *,
    seed: int,
    protocol: Protocol,
    hidden: int = 0,
    steps: int = 6000,
    progress: Progress | None = None,
) -> dict[str, Result]:
    """R2 of each numeric property, accuracy of each categorical one, and their ``mean``.

    The probe is linear, or an MLP with one layer of ``hidden`` units and LeakyReLU. It is trained
    by :func:`slotbench.evaluation.probes.fit`, for at most ``steps`` steps. Weights and batches
    are drawn from (seed, "probe").

    Objects and slots are paired by the Hungarian algorithm, anew for every batch:

    - ``loss``: the cost is the probe's own loss for the pair; it sees labels at test time.
    - ``mask``: the cost is the cosine distance of their masks; it is blind to labels.

    Invisible objects are not paired. Where slots are fewer than objects, those left over count
    as wrong (accuracy) or as predicted by the training mean (R2); the results with the suffix
    ``/dropped`` leave them out, as the paper does, and their ``left_out`` is their number.

    ValueError where the layout has no property, where a split shows no object, or where slots
    are not finite.
    """
    probe = train_probe(
        train,
        val,
        layout,
        seed=seed,
        protocol=protocol,
        hidden=hidden,
        steps=steps,
        progress=progress,
    )
    return score(predict(probe, test), test, seed)


def train_probe(
    train: SlotData,
    val: SlotData,
    layout: Layout,
    *,
    seed: int,
    protocol: Protocol,
    hidden: int = 0,
    steps: int = 6000,
    progress: Progress | None = None,
) -> Probe:
    """The trained probe; the arguments and errors are those of :func:`predict_properties`."""
    if not layout.properties:
        raise ValueError("the layout has no properties to predict")
    check_visible("train", train)
    check_visible("val", val)
    encoding = Encoding.fit(layout, train.properties, train.visible)
    ours, theirs = (_prepare(data, encoding, protocol) for data in (train, val))
    with building(seed, "probe", protocol, hidden):
        module = layers(ours.slots, encoding.width, hidden, nn.LeakyReLU)
    probe = Probe(encoding, module, protocol)
    fit(
        module,
        len(ours.slots),
        lambda index: _loss(probe, ours.rows(index)),
        lambda: _loss(probe, theirs),
        steps=steps,
        generator=numpy_generator(seed, "probe", "batches"),
        progress=progress,
    )
    return probe


@torch.no_grad()
def predict(probe: Probe, test: SlotData) -> Predictions:
    """What a trained probe says of a split; errors as :func:`predict_properties`."""
    check_visible("test", test)
    prepared = _prepare(test, probe.encoding, probe.protocol)
    predicted = probe.encoding.normalise(probe.module(prepared.slots))
    order = _pair(probe.encoding, predicted, prepared)
    values = of_slots(predicted, order)
    return Predictions(probe.encoding, order.numpy(), values, prepared.targets)


def score(found: Predictions, test: SlotData, seed: int) -> dict[str, Result]:
    """R2 and accuracy of predictions; see :func:`predict_properties`."""
    return property_results(
        found.encoding, found.values, found.targets, test.visible, found.order, seed
    )


@torch.no_grad()
def found_and_described(probe: Probe, made: Representations, source: str, seed: int) -> Result:
    """The share of true objects that are found and described, with its interval over images.

    An object is found where its slot has an IoU of at least 0.5 with it, and described where the
    probe reads every categorical property right from that slot. Objects and slots are paired so
    that the sum of IoU is greatest. ``n`` counts visible objects.
    """
    encoding, labels = probe.encoding, torch.from_numpy(made.arrays[f"labels/{source}/first"])
    predicted = encoding.normalise(probe.module(finite_slots(made.slots)))
    _, iou, present = overlaps(
        contingency(labels, torch.from_numpy(made.truth), made.slots.shape[1])
    )
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
        return np.where(sums[:, 1] > 0, sums[:, 0] / np.maximum(sums[:, 1], 1), np.nan)

    low, high = (finite(float(end)) for end in bootstrap(totals, share, seed))
    value = finite(share(totals.sum(axis=0, keepdims=True))[0])
    return Result(value, int(totals[:, 1].sum()), 0, VERSION, low, high)


def of_slots(predicted: Tensor, order: Tensor) -> Tensor:
    """The prediction of each object's slot, (B, O, P), from (B, K, P); 0 where it has none.

    ``order`` int64 (B, O) is the slot of each object, -1 for none.
    """
    chosen = predicted.take_along_dim(order.clamp(min=0)[:, :, None], dim=1)
    return chosen * (order >= 0)[:, :, None]


def check_visible(name: str, data: SlotData) -> None:
    """ValueError where a split shows no object."""
    if not data.visible.any():
        raise ValueError(f"{name} shows no object whose properties could be predicted")


def _prepare(data: SlotData, encoding: Encoding, protocol: Protocol) -> _Split:
    visible = torch.from_numpy(np.asarray(data.visible, bool))
    order = None
    if protocol == "mask":
        order = assign(1 - torch.from_numpy(np.asarray(data.overlap)).mT, visible)
    return _Split(finite_slots(data.slots), encoding.encode(data.properties), visible, order)


def _pair(encoding: Encoding, predicted: Tensor, batch: _Split) -> Tensor:
    """The slot of each object, int64 (B, O); -1 where it has none."""
    if batch.order is not None:
        return batch.order
    return assign(encoding.cost(predicted.detach(), batch.targets), batch.visible)


def _loss(probe: Probe, batch: _Split) -> Tensor:
    """The loss averaged over the visible objects of the batch that have a slot."""
    predicted = probe.encoding.normalise(probe.module(batch.slots))
    order = _pair(probe.encoding, predicted, batch)
    image, objects = (order >= 0).nonzero(as_tuple=True)
    chosen = predicted[image, order[image, objects]]
    losses = probe.encoding.pair_loss(chosen, batch.targets[image, objects])
    return losses.sum() / max(1, len(losses))
