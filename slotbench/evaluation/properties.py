"""Property prediction: what each slot says about the object it stands for, version 1.

The protocol of Dittadi et al. 2022, arXiv 2107.00637, Section 3 and Appendix B: a probe that
all slots share is trained on frozen slots to predict every property of the paired object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from slotbench.datasets.format.schema import Array, Layout
from slotbench.evaluation.fitting import Progress, fit
from slotbench.evaluation.property_scores import property_results
from slotbench.evaluation.result import Result
from slotbench.evaluation.targets import Encoding
from slotbench.matching import assign
from slotbench.rng import building, numpy_generator

"""Steps without a better validation loss after which training ends early."""
Protocol = Literal["loss", "mask"]


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


@dataclass
class _Split:
    slots: Tensor
    targets: Tensor
    visible: Tensor
    order: Tensor | None
    """int64 (n, O), the slot of each object, where it does not depend on the probe."""

    def rows(self, index: Tensor | slice) -> "_Split":
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

    The probe is linear, or an MLP with one layer of ``hidden`` units and LeakyReLU. It is
    trained as :mod:`slotbench.evaluation.fitting` says, for at most ``steps`` steps. Weights and
    batches are drawn from (seed, "probe").

    Objects and slots are paired by the Hungarian algorithm, anew for every batch:

    - ``loss``: the cost is the probe's own loss for the pair; it sees labels at test time.
    - ``mask``: the cost is the cosine distance of their masks; it is blind to labels.

    Invisible objects are not paired. Where slots are fewer than objects, those left over count
    as wrong (accuracy) or as predicted by the training mean (R2); the results with the suffix
    ``/dropped`` leave them out, as the paper does, and their ``left_out`` is their number.

    ValueError where the layout has no property, where a split shows no object, or where slots
    are not finite.
    """
    found = probe_predictions(
        train,
        val,
        test,
        layout,
        seed=seed,
        protocol=protocol,
        hidden=hidden,
        steps=steps,
        progress=progress,
    )
    return property_results(
        found.encoding, found.values, found.targets, test.visible, found.order, seed
    )


class Predictions(NamedTuple):
    """What a trained probe says of n images with at most O objects, in P encoded columns."""

    encoding: Encoding
    order: Array
    """int64 (n, O), the slot of each object; -1 where it has none."""
    values: Tensor
    """float32 (n, O, P): standardised numbers and log-probabilities; 0 where there is no slot."""
    targets: Tensor
    """float32 (n, O, P)."""


def probe_predictions(
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
) -> Predictions:
    """The predictions that :func:`predict_properties` scores; the same arguments and errors."""
    if layout.properties and not test.visible.any():
        raise ValueError("test shows no object whose properties could be predicted")
    encoding, probe = train_probe(
        train,
        val,
        layout,
        seed=seed,
        protocol=protocol,
        hidden=hidden,
        steps=steps,
        progress=progress,
    )
    prepared = _prepare(test, encoding, protocol)
    order, predicted = _predict(probe, encoding, prepared)
    return Predictions(encoding, order, predicted, prepared.targets)


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
) -> tuple[Encoding, nn.Module]:
    """The trained probe, slots (..., D) -> (..., P), and what its P columns mean.

    The arguments and errors are those of :func:`predict_properties`.
    """
    if not layout.properties:
        raise ValueError("the layout has no properties to predict")
    for name, data in (("train", train), ("val", val)):
        if not data.visible.any():
            raise ValueError(f"{name} shows no object whose properties could be predicted")
    encoding = Encoding.fit(layout, train.properties, train.visible)
    prepared = [_prepare(data, encoding, protocol) for data in (train, val)]
    with building(seed, "probe", protocol, hidden):
        probe = _probe(train.slots.shape[2], encoding.width, hidden)
    ours, theirs = prepared
    fit(
        probe,
        len(ours.slots),
        lambda index: _loss(probe, encoding, ours.rows(index)),
        lambda: _loss(probe, encoding, theirs),
        steps=steps,
        generator=numpy_generator(seed, "probe", "batches"),
        progress=progress,
    )
    return encoding, probe


def _prepare(data: SlotData, encoding: Encoding, protocol: Protocol) -> _Split:
    slots = torch.from_numpy(np.asarray(data.slots, np.float32))
    if not torch.isfinite(slots).all():
        raise ValueError("slots hold NaN or infinite values")
    visible = torch.from_numpy(np.asarray(data.visible, bool))
    order = None
    if protocol == "mask":
        order = assign(1 - torch.from_numpy(np.asarray(data.overlap)).mT, visible)
    return _Split(slots, encoding.encode(data.properties), visible, order)


def _probe(width: int, outputs: int, hidden: int) -> nn.Module:
    if hidden == 0:
        return nn.Linear(width, outputs)
    return nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(), nn.Linear(hidden, outputs))


def _pair(encoding: Encoding, predicted: Tensor, batch: _Split) -> Tensor:
    """The slot of each object, int64 (B, O); -1 where it has none."""
    if batch.order is not None:
        return batch.order
    return assign(encoding.cost(predicted.detach(), batch.targets), batch.visible)


def _loss(probe: nn.Module, encoding: Encoding, batch: _Split) -> Tensor:
    """The loss averaged over the visible objects of the batch that have a slot."""
    predicted = encoding.normalise(probe(batch.slots))
    order = _pair(encoding, predicted, batch)
    image, objects = (order >= 0).nonzero(as_tuple=True)
    chosen = predicted[image, order[image, objects]]
    losses = encoding.pair_loss(chosen, batch.targets[image, objects])
    return losses.sum() / max(1, len(losses))


@torch.no_grad()
def _predict(probe: nn.Module, encoding: Encoding, test: _Split) -> tuple[Array, Tensor]:
    """The slot of each object (n, O), and what it predicts (n, O, P); 0 where it has none."""
    predicted = encoding.normalise(probe(test.slots))
    order = _pair(encoding, predicted, test)
    chosen = predicted.take_along_dim(order.clamp(min=0)[:, :, None], dim=1)
    return order.numpy(), chosen * (order >= 0)[:, :, None]
