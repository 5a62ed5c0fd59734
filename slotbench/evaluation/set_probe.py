"""The probe whose outputs are a set: every slot predicts an object and how sure it is of one.

As in Slot Attention (Locatello et al. 2020, Section 4.2 and Appendix E), where a network that
all slots share predicts the properties and whether the slot stands for an object, and objects
are paired with slots by the Hungarian algorithm. Three things differ: slots are frozen, because
here the core is judged; the probe is linear unless ``hidden`` is given; and the loss is that of
the property probe (squared error and cross-entropy), not a Huber loss on all outputs.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.datasets.format.schema import Array, Layout
from slotbench.evaluation.fitting import Progress, fit
from slotbench.evaluation.properties import SlotData
from slotbench.evaluation.result import Result
from slotbench.evaluation.set_prediction import (
    COORDINATES,
    ObjectSets,
    average_precision,
    scale_position,
    true_sets,
)
from slotbench.evaluation.targets import Encoding
from slotbench.matching import assign
from slotbench.rng import building, numpy_generator


def predict_sets(
    train: SlotData,
    val: SlotData,
    test: SlotData,
    layout: Layout,
    *,
    seed: int,
    hidden: int = 0,
    steps: int = 6000,
    progress: Progress | None = None,
) -> dict[str, Result]:
    """``ap/<threshold>`` of the probe's sets on ``test``; masks are not used.

    Trained as :mod:`slotbench.evaluation.fitting` says, for at most ``steps`` steps. At test time
    no label is seen. Weights and batches are drawn from (seed, "sets").

    ValueError where the layout has no ``position``, where a split shows no object or where slots
    are not finite.
    """
    _check(layout, {"train": train, "val": val, "test": test})
    encoding = Encoding.fit(layout, train.properties, train.visible)
    with building(seed, "sets", hidden):
        probe = _probe(train.slots.shape[2], encoding.width + 1, hidden)
    ours, theirs = (_tensors(data, encoding) for data in (train, val))

    def loss(batch: Sequence[Tensor]) -> Tensor:
        return set_loss(encoding, probe(batch[0]), batch[1], batch[2])

    fit(
        probe,
        len(ours[0]),
        lambda index: loss([part[index] for part in ours]),
        lambda: loss(theirs),
        steps=steps,
        generator=numpy_generator(seed, "sets", "batches"),
        progress=progress,
    )
    shown = np.asarray(train.properties[COORDINATES])[train.visible].reshape(
        int(train.visible.sum()), -1
    )
    with torch.no_grad():
        output = probe(_tensor(test.slots))
    predicted = _sets(output, encoding, shown)
    truth = true_sets(layout, test.properties, test.visible, shown)
    return average_precision(predicted, truth, seed=seed)


def _check(layout: Layout, splits: dict[str, SlotData]) -> None:
    if COORDINATES not in {prop.name for prop in layout.properties}:
        raise ValueError(f"the layout has no property {COORDINATES!r}")
    for name, data in splits.items():
        if not data.visible.any():
            raise ValueError(f"{name} shows no object whose properties could be predicted")
        if not np.isfinite(data.slots).all():
            raise ValueError(f"{name} slots hold NaN or infinite values")


def _tensor(slots: Array) -> Tensor:
    return torch.from_numpy(np.asarray(slots, np.float32))


def _tensors(data: SlotData, encoding: Encoding) -> tuple[Tensor, Tensor, Tensor]:
    """Slots (n, K, D), targets (n, O, P) and visible bool (n, O)."""
    visible = torch.from_numpy(np.asarray(data.visible, bool))
    return _tensor(data.slots), encoding.encode(data.properties), visible


def _probe(width: int, outputs: int, hidden: int) -> nn.Module:
    if hidden == 0:
        return nn.Linear(width, outputs)
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def set_loss(encoding: Encoding, output: Tensor, targets: Tensor, visible: Tensor) -> Tensor:
    """The loss of a batch of sets, over its visible objects that have a slot.

    ``output`` float (B, K, P + 1): the prediction, then the logit that there is an object;
    ``targets`` float (B, O, P); ``visible`` bool (B, O). Objects and slots are paired by the
    least total loss; a slot without an object should say that there is none.
    """
    predicted, logit = encoding.normalise(output[..., :-1]), output[..., -1]
    # Taking slot k for an object changes its existence term from softplus(c) to softplus(-c).
    cost = encoding.cost(predicted.detach(), targets) - logit.detach()[:, None, :]
    order = assign(cost, visible)
    image, objects = (order >= 0).nonzero(as_tuple=True)
    slot = order[image, objects]
    losses = encoding.pair_loss(predicted[image, slot], targets[image, objects])
    exists = torch.zeros_like(logit)
    exists[image, slot] = 1
    sure = functional.binary_cross_entropy_with_logits(logit, exists, reduction="sum")
    return (losses.sum() + sure) / max(1, len(losses))


def _sets(output: Tensor, encoding: Encoding, shown: Array) -> ObjectSets:
    """The probe's outputs (n, K, P + 1) as sets; coordinates are no longer standardised."""
    values, confidence = output[..., :-1].double().numpy(), output[..., -1].double().sigmoid()
    classes, position = [], values[..., :0]
    for prop, columns in zip(encoding.properties, encoding.columns, strict=True):
        if prop.kind == "categorical":
            classes.append(values[..., columns].argmax(axis=2))
        elif prop.name == COORDINATES:
            mean, scale = encoding.mean[columns].numpy(), encoding.scale[columns].numpy()
            position = scale_position(values[..., columns] * scale + mean, prop, shown)
    stacked = np.stack(classes, axis=2) if classes else np.zeros((*confidence.shape, 0), np.int64)
    return ObjectSets(position, stacked, confidence.numpy())
