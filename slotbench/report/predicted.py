"""Property predictions of single objects, in words and in the units of the dataset."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from slotbench.datasets.format.schema import Array, Property
from slotbench.evaluation.frozen_pass import collect
from slotbench.evaluation.slot_probes import Predictions, SlotData, predict, train_probes
from slotbench.report.seen import Seen, Viewer

TRAIN_IMAGES, VAL_IMAGES, STEPS = 1_000, 256, 1_500
"""Smaller than the evaluation's probe, so that pictures take seconds."""
FAR = 0.5
"""A number that is more than so many standard deviations off is marked."""


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
    dataset, split = viewer.dataset, viewer.split
    limits = {"train": train_images, "val": VAL_IMAGES}
    sizes = {name: min(limit, dataset.size(name)) for name, limit in limits.items()}
    data, before = [], 0
    for name, size in sizes.items():

        def report(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, sum(sizes.values()))

        data.append(_slot_data(viewer, name, size, report))
        before += size
    objects = [dataset.read(split, one.index, one.index + 1, ("visible",)) for one in seen]
    keys = tuple(prop.key for prop in dataset.layout.properties)
    values = [dataset.read(split, one.index, one.index + 1, keys) for one in seen if keys]
    shown = SlotData(
        np.stack([one.vectors for one in seen]),
        np.stack([one.overlap for one in seen]),
        np.concatenate([batch["visible"] for batch in objects]),
        {
            prop.name: np.concatenate([batch[prop.key] for batch in values])
            for prop in dataset.layout.properties
        },
    )
    train, val = data
    probes = train_probes(
        train, val, dataset.layout, seed=viewer.seed, kinds=("mask",), steps=steps
    )
    found = predict(probes["mask"], shown)
    return {
        one.index: _objects(found, dataset.layout.properties, shown, row)
        for row, one in enumerate(seen)
    }


def _slot_data(
    viewer: Viewer, split: str, limit: int, report: Callable[[int, int], None]
) -> SlotData:
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
    properties = viewer.dataset.layout.properties
    keys = ("visible", *(prop.key for prop in properties))
    batch = viewer.dataset.read(split, 0, limit, keys)
    read = {prop.name: batch[prop.key] for prop in properties}
    return SlotData(arrays["slots"], arrays["overlap"], batch["visible"], read)


def _objects(
    found: Predictions, properties: Sequence[Property], data: SlotData, row: int
) -> list[Prediction]:
    made = []
    for index in np.flatnonzero(data.visible[row]):
        slot = int(found.order[row, index])
        values = [
            _value(prop, columns, found, data.properties[prop.name][row, index], (row, int(index)))
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
