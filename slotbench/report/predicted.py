"""Property predictions of single objects, in words and in the units of the dataset."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from slotbench.datasets.format.schema import Array, Property
from slotbench.evaluation.frozen_pass import Representations, collect
from slotbench.evaluation.slot_probes import Predictions, Probe, predict, train_probes
from slotbench.report.seen import Seen, Viewer

TRAIN_IMAGES, VAL_IMAGES, STEPS = 1_000, 256, 1_500
"""Smaller than the evaluation's probe, so that pictures take seconds."""
FAR = 0.5
"""Numbers further off than this share of a standard deviation are marked."""


@dataclass(frozen=True)
class Value:
    """One property of one object: predicted and true."""

    name: str
    predicted: str
    true: str
    right: bool
    """The class is the true one; a number is at most half a standard deviation off."""
    numeric: bool


@dataclass(frozen=True)
class Prediction:
    """The probe's predictions of one visible object."""

    label: int
    """Its label in the true masks, from 1."""
    slot: int | None
    """The slot it is read from; None where slots are fewer than objects."""
    values: tuple[Value, ...]
    """Empty where the object has no slot."""


def predict_objects(
    viewer: Viewer,
    seen: Sequence[Seen],
    *,
    train_images: int = TRAIN_IMAGES,
    steps: int = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, list[Prediction]]:
    """Predictions of a linear probe on the frozen slots for every visible object, by image.

    The probe of :mod:`slotbench.evaluation.slot_probes` in its ``mask``
    protocol: attention masks pair objects and slots, blind to labels. It trains on the first
    ``train_images`` images of train and is chosen on those of val.

    ValueError where there is nothing to learn: no property, no object, no labelled pixel.
    """
    dataset, told = viewer.dataset, progress or (lambda _done, _total: None)
    sizes = {
        split: min(limit, dataset.size(split))
        for split, limit in (("train", train_images), ("val", VAL_IMAGES))
    }
    total = sum(sizes.values())
    train = _collected(viewer, "train", sizes["train"], lambda done, _: told(done, total))
    before = sizes["train"]
    val = _collected(viewer, "val", sizes["val"], lambda done, _: told(before + done, total))
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


def _collected(
    viewer: Viewer, split: str, limit: int, report: Callable[[int, int], None]
) -> Representations:
    """The first ``limit`` images of a split, as the probe reads them."""
    arrays = collect(
        viewer.objective,
        viewer.dataset,
        split,
        limit,
        seed=viewer.seed,
        wanted=("slots", "overlap", "labelled"),
        device=viewer.device,
        progress=report,
    )
    if not arrays["labelled"].any():
        raise ValueError(f"no pixel of {split} is labelled")
    return Representations(viewer.dataset, split, limit, arrays)


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
        # A class of -1 is one that the dataset does not know.
        name = prop.classes[int(true)] if true >= 0 else "unknown"
        said = int(predicted.argmax())
        return Value(prop.name, prop.classes[said], name, said == int(true), False)
    apart = (predicted - found.targets[at][columns].double()).square().mean().sqrt()
    scale, mean = found.encoding.scale[columns], found.encoding.mean[columns]
    shown = _numbers((predicted * scale + mean).numpy(), scale.numpy())
    text = _numbers(np.atleast_1d(true), scale.numpy())
    return Value(prop.name, shown, text, float(apart) <= FAR, True)


def _numbers(values: Array, scale: Array) -> str:
    """Numbers with as many digits as tell a tenth of a standard deviation apart."""
    digits = [min(6, max(0, math.ceil(-math.log10(one / 5)))) if one > 0 else 1 for one in scale]
    shown = (f"{value:.{count}f}" for value, count in zip(values, digits, strict=True))
    return ", ".join(text.lstrip("-") if float(text) == 0 else text for text in shown)
