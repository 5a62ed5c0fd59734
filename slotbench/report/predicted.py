"""Property predictions of single objects, in words and in the units of the dataset."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slotbench.datasets.format.schema import Array, Property
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.result import Progress, silent
from slotbench.evaluation.slot_probes import Predictions, Probe, predict, train_probes
from slotbench.report.seen import Seen, Viewer

TRAIN_IMAGES, VAL_IMAGES, STEPS = 1_000, 256, 1_500
"""Less than the evaluation uses, so that pictures take seconds."""
FAR = 0.5
"""Predicted numbers that are off by more standard deviations than this are marked."""


@dataclass(frozen=True)
class Value:
    """One property of one object: predicted and true."""

    name: str
    predicted: str
    true: str
    right: bool
    """The true class, or a number at most half a standard deviation off."""
    numeric: bool


@dataclass(frozen=True)
class Prediction:
    """The probe's predictions of one visible object."""

    label: int
    """Its label in the true masks, from 1."""
    slot: int | None
    """The slot that it is paired with; None where slots are fewer than objects."""
    values: tuple[Value, ...]
    """Empty where the object has no slot."""


def predict_objects(
    viewer: Viewer, seen: Sequence[Seen], *, steps: int = STEPS, progress: Progress = silent
) -> dict[int, list[Prediction]]:
    """Predictions of a linear probe on the frozen slots for every visible object, by image.

    The probe is the kind ``mask`` of :mod:`slotbench.evaluation.slot_probes`: attention masks pair
    objects and slots, without labels. It is trained on the first :data:`TRAIN_IMAGES` images of
    train and selected on those of val.

    ValueError where there is nothing to learn: no property, no object, no labelled pixel.
    """
    dataset, wanted = viewer.dataset, ("slots", "overlap", "labelled")
    train = viewer.collect("train", TRAIN_IMAGES, wanted, lambda done, n: progress(done, 2 * n))
    val = viewer.collect("val", VAL_IMAGES, wanted, lambda done, n: progress(n + done, 2 * n))
    for made in (train, val):
        if not made.labelled:
            raise ValueError(f"no pixel of {made.split} is labelled")
    probe = train_probes(
        train, val, dataset.layout, seed=viewer.seed, kinds=("mask",), steps=steps
    )["mask"]
    found = {}
    for one in seen:
        arrays = {"slots": one.vectors[None], "overlap": one.overlap[None]}
        found[one.index] = _objects(
            probe, Representations(dataset, viewer.split, 1, arrays, one.index)
        )
    return found


def _objects(probe: Probe, data: Representations) -> list[Prediction]:
    found, properties, made = predict(probe, data), data.dataset.layout.properties, []
    for index in np.flatnonzero(data.visible[0]):
        slot = int(found.order[0, index])
        values = [
            _value(prop, columns, found, data.properties[prop.name][0, index], (0, int(index)))
            for prop, columns in zip(properties, found.encoding.columns, strict=True)
            if slot >= 0
        ]
        made.append(Prediction(int(index) + 1, slot if slot >= 0 else None, tuple(values)))
    return made


def _value(
    prop: Property, columns: slice, found: Predictions, true: Array, at: tuple[int, int]
) -> Value:
    predicted = found.values[at][columns].double()
    if prop.kind == "categorical":
        # -1 is a class of a shifted test set that the property does not name.
        name = prop.classes[int(true)] if true >= 0 else "unknown"
        said = int(predicted.argmax())
        return Value(prop.name, prop.classes[said], name, said == int(true), False)
    apart = (predicted - found.targets[at][columns].double()).square().mean().sqrt()
    scale, mean = found.encoding.scale[columns], found.encoding.mean[columns]
    shown = _numbers((predicted * scale + mean).numpy(), scale.numpy())
    text = _numbers(np.atleast_1d(true), scale.numpy())
    return Value(prop.name, shown, text, float(apart) <= FAR, True)


def _numbers(values: Array, scale: Array) -> str:
    """Numbers with enough digits to show a tenth of a standard deviation."""
    digits = [min(6, max(0, math.ceil(-math.log10(one / 5)))) if one > 0 else 1 for one in scale]
    shown = (f"{value:.{count}f}" for value, count in zip(values, digits, strict=True))
    return ", ".join(text.lstrip("-") if float(text) == 0 else text for text in shown)
