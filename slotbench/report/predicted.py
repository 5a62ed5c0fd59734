"""Property predictions of single objects, in words and in the units of the dataset."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Property
from slotbench.evaluation.frozen_pass import frozen, initial_noise
from slotbench.evaluation.masks import mask_overlap, resize
from slotbench.evaluation.properties import Predictions, SlotData, predict, train_probe
from slotbench.objectives.objective import Objective

BATCH = 64
TRAIN_IMAGES, VAL_IMAGES, STEPS = 1_000, 256, 1_500
"""Smaller than the evaluation's probe, so that pictures take seconds."""
FAR = 0.5
"""A number this many standard deviations of the training objects away is marked."""


@dataclass(frozen=True)
class Value:
    """One property of one object: what a probe says, and what is true."""

    name: str
    predicted: str
    true: str
    right: bool
    """The class is the true one; a number is at most half a standard deviation away."""
    numeric: bool


@dataclass(frozen=True)
class Prediction:
    """One visible object and what the probe says of it."""

    label: int
    """Its label in the true masks, from 1."""
    slot: int | None
    """The slot that it is read from; none where slots are fewer than objects."""
    values: tuple[Value, ...]
    """Empty where it has no slot."""


def predict_objects(
    objective: Objective,
    dataset: DatasetFile,
    split: str,
    indices: Sequence[int],
    *,
    seed: int,
    device: torch.device,
    train_images: int = TRAIN_IMAGES,
    steps: int = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, list[Prediction]]:
    """What a linear probe on the frozen slots says of every visible object, by image.

    The probe of :func:`slotbench.evaluation.properties.predict_properties` in its ``mask``
    protocol: objects and slots are paired by their attention masks, blind to labels. It is
    trained on the first ``train_images`` images of train and chosen on those of val.

    ValueError where there is nothing to learn: no property, no object, no labelled pixel.
    """
    sizes = {
        name: min(limit, dataset.size(name))
        for name, limit in (("train", train_images), ("val", VAL_IMAGES))
    }
    total = sum(sizes.values())
    with frozen(objective):
        made, done = [], 0
        for name, size in sizes.items():
            blocks = [(start, min(start + BATCH, size)) for start in range(0, size, BATCH)]
            report = None if progress is None else partial(_report, progress, done, total)
            made.append(_slot_data(objective, dataset, name, blocks, seed, device, report))
            done += size
        chosen = [(index, index + 1) for index in indices]
        shown = _slot_data(objective, dataset, split, chosen, seed, device)
    layout = dataset.layout
    train, val = made
    probe = train_probe(train, val, layout, seed=seed, protocol="mask", steps=steps)
    found = predict(probe, shown)
    return {
        index: _objects(found, layout.properties, shown, row) for row, index in enumerate(indices)
    }


def _report(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _slot_data(
    objective: Objective,
    dataset: DatasetFile,
    split: str,
    blocks: Sequence[tuple[int, int]],
    seed: int,
    device: torch.device,
    report: Callable[[int], None] | None = None,
) -> SlotData:
    """What the probe sees of some blocks of images, each a (start, stop)."""
    kept: list[Batch] = []
    labelled = False
    for start, stop in blocks:
        batch = dataset.read(split, start, stop)
        images = torch.from_numpy(batch.pop("image")).to(device).permute(0, 3, 1, 2).float() / 255
        noise = initial_noise(objective.core, split, start, stop, seed=seed)
        output = objective.core(images, noise)
        mask = torch.from_numpy(batch.pop("mask")).to(device)
        labelled = labelled or bool((mask != NOT_LABELLED).any())
        attention = resize(output.attention.float(), (mask.shape[1], mask.shape[2]))
        overlap = mask_overlap(attention, mask, dataset.layout_of(split).objects)
        batch |= {"slots": output.slots.float().cpu().numpy(), "overlap": overlap.cpu().numpy()}
        kept.append(batch)
        if report is not None:
            report(stop)
    if not labelled:
        raise ValueError(f"no pixel of {split} is labelled")
    joined = {key: np.concatenate([batch[key] for batch in kept]) for key in kept[0]}
    properties = {prop.name: joined[prop.key] for prop in dataset.layout.properties}
    return SlotData(joined["slots"], joined["overlap"], joined["visible"], properties)


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
    # Minus zero is no number that a reader expects.
    return ", ".join(text.lstrip("-") if float(text) == 0 else text for text in shown)
