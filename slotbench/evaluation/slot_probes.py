"""Probes of single slots: a layer that all slots share predicts the object of each slot.

Three kinds differ in how objects and slots are paired during training. One loop trains them side by
side, because most of a step is overhead that does not grow with their number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.datasets.format.schema import Array, Layout
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.probes import Standardised, batches, fit
from slotbench.evaluation.result import Progress, silent
from slotbench.evaluation.targets import Encoding
from slotbench.matching import assign
from slotbench.rng import building, numpy_generator

Kind = Literal["loss", "mask", "set"]
"""How objects and slots are paired: by the probe's loss (which needs the labels at test time), by
the cosine distance of their masks (which needs none), or by the loss with a logit that there is an
object."""


@dataclass
class SlotData:
    """A probe's data for n images with K slots of width D and at most O objects."""

    slots: Array
    """float32 (n, K, D)."""
    overlap: Array
    """float32 (n, K, O) in [0, 1]: cosine similarity of slots' masks with objects'."""
    visible: Array
    """bool (n, O)."""
    properties: Mapping[str, Array]
    """float32 (n, O[, d]) or int16 (n, O), by property name."""


Slots = SlotData | Representations


class Probe(NamedTuple):
    """A trained probe."""

    encoding: Encoding
    """The meaning of its first P output columns."""
    module: nn.Module
    """Slots (..., D) -> (..., P + 1): the logit that there is an object is last."""
    kind: Kind

    def predict(self, slots: Array) -> tuple[Tensor, Tensor]:
        """Normalised predictions (n, K, P) and logits (n, K) of slots float32 (n, K, D)."""
        output = self.module(torch.from_numpy(slots))
        return self.encoding.normalise(output[..., :-1]), output[..., -1]


class Predictions(NamedTuple):
    """A trained probe's predictions for n images with at most O objects, in P encoded columns."""

    encoding: Encoding
    order: Array
    """int64 (n, O), the slot of each object; -1 where it has none."""
    values: Tensor
    """float32 (n, O, P): standardised numbers and log-probabilities; 0 where there is no slot."""
    targets: Tensor
    """float32 (n, O, P)."""


def train_probes(
    train: Slots,
    val: Slots,
    layout: Layout,
    *,
    seed: int,
    kinds: Sequence[Kind],
    hidden: int = 0,
    steps: int = 6000,
    progress: Progress = silent,
) -> dict[Kind, Probe]:
    """Trained probes of several kinds, linear or with a hidden layer and LeakyReLU.

    :func:`slotbench.evaluation.probes.fit` trains them, for at most ``steps`` steps of 64 images.
    Weights and batches of each kind are drawn from ``seed``, whichever others are trained.

    ValueError where the layout has no property, or a split shows no object.
    """
    if not layout.properties:
        raise ValueError("the layout has no properties to predict")
    check_visible("train", train)
    check_visible("val", val)
    encoding = Encoding.fit(layout, train.properties, train.visible)
    slots = torch.from_numpy(train.slots)
    stack = _Stack(kinds, slots.shape[2], encoding.width, hidden, seed)
    standardised = Standardised(slots)
    ours, theirs = (_Split(data, encoding, standardised, kinds) for data in (train, val))
    purposes = ("sets" if kind == "set" else "probe" for kind in kinds)
    drawn = [batches(len(slots), numpy_generator(seed, name, "batches")) for name in purposes]
    everything = torch.arange(len(theirs.slots)).expand(len(kinds), -1)
    fit(
        list(stack.parameters()),
        lambda: ours.losses(stack, torch.stack([next(index) for index in drawn])),
        lambda: theirs.losses(stack, everything),
        steps=steps,
        progress=progress,
    )
    return {
        kind: Probe(encoding, nn.Sequential(standardised, stack.alone(index)), kind)
        for index, kind in enumerate(kinds)
    }


@torch.no_grad()
def predict(probe: Probe, test: Slots) -> Predictions:
    """The predictions of a ``loss`` or ``mask`` probe for a split's objects.

    ValueError where the split shows no object.
    """
    check_visible("test", test)
    encoding, visible = probe.encoding, torch.from_numpy(test.visible)
    predicted, _ = probe.predict(test.slots)
    targets = encoding.encode(test.properties)
    by_loss = probe.kind == "loss"
    order = assign(encoding.cost(predicted, targets), visible) if by_loss else by_masks(test)
    return Predictions(encoding, order.numpy(), of_slots(predicted, order), targets)


def by_masks(data: Slots) -> Tensor:
    """The slot of each visible object by masks, int64 (n, O); -1 where it has none."""
    return assign(1 - torch.from_numpy(data.overlap).mT, torch.from_numpy(data.visible))


def of_slots(predicted: Tensor, order: Tensor) -> Tensor:
    """The prediction of each object's slot, (B, O, P), from (B, K, P); 0 where it has none.

    ``order`` int64 (B, O) is the slot of each object, -1 for none.
    """
    chosen = predicted.take_along_dim(order.clamp(min=0)[:, :, None], dim=1)
    return chosen * (order >= 0)[:, :, None]


def check_visible(name: str, data: Slots) -> None:
    """ValueError where a split shows no object."""
    if not data.visible.any():
        raise ValueError(f"{name} shows no object whose properties could be predicted")


def probe_losses(
    encoding: Encoding,
    kinds: Sequence[Kind],
    output: Tensor,
    targets: Tensor,
    visible: Tensor,
    by_masks: Tensor | None = None,
) -> Tensor:
    """The losses (G,) of G probes, each averaged over its visible objects that have a slot.

    ``output`` float (G, B, K, P + 1): the prediction, then the logit that there is an object;
    ``targets`` float (G, B, O, P); ``visible`` bool (G, B, O); ``by_masks`` int64 (G, B, O): the
    slot of each object for the kind ``mask``, -1 for none.

    The kind ``set`` adds the cross-entropy of each slot's logit, its objects being paired by the
    least total loss; for the other kinds the logit does not count.
    """
    values, logit = torch.split(output, [encoding.width, 1], dim=-1)
    predicted, logit = encoding.normalise(values), logit[..., 0]
    sets = torch.tensor([float(kind == "set") for kind in kinds])[:, None, None]
    free = [index for index, kind in enumerate(kinds) if kind != "mask"]
    order = torch.full_like(visible, -1, dtype=torch.int64) if by_masks is None else by_masks
    # Taking slot k for an object changes its existence term from softplus(c) to softplus(-c).
    cost = encoding.cost(predicted[free].detach(), targets[free])
    cost = cost - (sets * logit.detach())[free][..., None, :]
    order = order.index_copy(0, torch.tensor(free, dtype=torch.int64), assign(cost, visible[free]))
    # Flat indices: index_select copies whole rows, where indexing by several axes does not.
    taken = (order >= 0).flatten().nonzero()[:, 0]
    images, objects = len(order[0]), order.shape[2]
    slots = order.flatten()[taken] + taken // objects * output.shape[2]
    pairs = encoding.pair_loss(
        predicted.flatten(0, 2).index_select(0, slots), targets.flatten(0, 2).index_select(0, taken)
    )
    total = torch.zeros(len(kinds)).index_add(0, taken // (images * objects), pairs)
    if "set" in kinds:
        exists = torch.zeros(logit.numel()).index_fill(0, slots, 1).view_as(logit)
        sure = functional.binary_cross_entropy_with_logits(logit, exists, reduction="none")
        total = total + (sets * sure).sum(dim=(1, 2))
    return total / (order >= 0).sum(dim=(1, 2)).clamp(min=1)


class _Stack(nn.Module):
    """G probes side by side: standardised slots (G, B, K, D) -> (G, B, K, P + 1).

    The logit of an object, which is last, is always 0 unless the kind is ``set``.
    """

    def __init__(
        self, kinds: Sequence[Kind], width: int, outputs: int, hidden: int, seed: int
    ) -> None:
        super().__init__()
        sizes = [width, *([hidden] if hidden else []), outputs + 1]
        drawn = []
        for kind in kinds:
            purpose = ("sets", hidden) if kind == "set" else ("probe", kind, hidden)
            with building(seed, *purpose):
                wide = [*sizes[:-1], outputs + (kind == "set")]
                drawn.append([nn.Linear(*pair) for pair in pairwise(wide)])
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for size, layers in zip(sizes[1:], zip(*drawn, strict=True), strict=True):
            missing = [size - layer.out_features for layer in layers]
            pairs = list(zip(layers, missing, strict=True))
            weights = [functional.pad(layer.weight, (0, 0, 0, rows)) for layer, rows in pairs]
            biases = [functional.pad(layer.bias, (0, rows)) for layer, rows in pairs]
            self.weights.append(torch.stack(weights).detach())
            self.biases.append(torch.stack(biases).detach())

    def forward(self, slots: Tensor) -> Tensor:
        values = slots.flatten(1, 2)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = functional.leaky_relu(values) if layer else values
            values = torch.baddbmm(bias[:, None], values, weight.mT)
        return values.view(*slots.shape[:3], values.shape[2])

    def alone(self, index: int) -> nn.Sequential:
        """One of the probes as a module of its own."""
        layers: list[nn.Module] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            linear = nn.Linear(weight.shape[2], weight.shape[1])
            linear.load_state_dict({"weight": weight[index], "bias": bias[index]})
            layers += [linear, nn.LeakyReLU()]
        return nn.Sequential(*layers[:-1])


class _Split:
    """One split as the probes are trained on it."""

    def __init__(
        self, data: Slots, encoding: Encoding, standardised: nn.Module, kinds: Sequence[Kind]
    ) -> None:
        self.encoding, self.kinds = encoding, kinds
        self.slots = standardised(torch.from_numpy(data.slots))
        self.targets = encoding.encode(data.properties)
        self.visible = torch.from_numpy(data.visible)
        self.by_masks = by_masks(data) if "mask" in kinds else None

    def losses(self, stack: _Stack, index: Tensor) -> Tensor:
        """The losses (G,) of the probes, each on its own images; ``index`` int64 (G, B)."""

        def rows(part: Tensor) -> Tensor:
            return part.index_select(0, index.flatten()).view(*index.shape, *part.shape[1:])

        order = None if self.by_masks is None else rows(self.by_masks)
        output, targets, visible = stack(rows(self.slots)), rows(self.targets), rows(self.visible)
        return probe_losses(self.encoding, self.kinds, output, targets, visible, order)
