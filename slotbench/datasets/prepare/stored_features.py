"""Adds a teacher's frozen features to a prepared dataset: all of them, or none.

They are first stored in small parts beside the file, so that a killed call goes on where it
stopped. Then a copy of the file gets them and replaces the file, which is never written to.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.digests import feature_digest
from slotbench.datasets.format.loader import images_on
from slotbench.datasets.format.schema import Array, Feature
from slotbench.datasets.prepare.parts import Made, Task, amended, sole_writer, sweep
from slotbench.errors import SlotbenchError, UserError
from slotbench.progress import say

PART, BATCH = 256, 32
"""Images a part, and images a forward pass of the teacher."""


class Teacher(Protocol):
    """A frozen network: images float32 (B, 3, H, W) in [0, 1] -> features float (B, N, F)."""

    @property
    def name(self) -> str:
        """The array becomes ``feature/<name>``."""

    @property
    def description(self) -> str:
        """The model with a hash of its weights; different for every teacher."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


def add_features(path: Path, teacher: Teacher) -> Feature:
    """Write the teacher's features of all images into the dataset at ``path``.

    Damaged features are made again. :class:`UserError` where the file has features of that name
    from another teacher or was replaced meanwhile; :class:`SlotbenchError` where the features are
    not (B, N, F) or do not fit float16; ValueError where the teacher's name cannot be a key.
    """
    Feature(teacher.name, 1, 1)
    with sole_writer(path), DatasetFile(path) as dataset:
        there = _there(dataset, teacher)
        if there is not None:
            say(f"{path} has the features {teacher.name} already.")
            sweep(path, f".{teacher.name}")
            return there
        layout, tasks = dataset.layout, list[Task]()
        for split in dataset.splits:
            tasks += Task.all_of(split, dataset.rows(split), max(1, PART // layout.row_images))
        if not tasks:
            raise UserError(f"{path} holds no images.", "Prepare it with some.")
        return _add(dataset, teacher, tasks)


def _there(dataset: DatasetFile, teacher: Teacher) -> Feature | None:
    """The features of this teacher, if the file has them and they are whole."""
    for feature in dataset.layout.features:
        if feature.name == teacher.name:
            found = dataset.teacher(feature.name)
            if found != teacher.description:
                raise UserError(
                    f"{dataset.path} has features {feature.name} of another teacher: {found}; "
                    f"asked for: {teacher.description}.",
                    "Type --force to make the whole file again, or --data-dir to keep both.",
                )
            return None if any(damaged_features(dataset, feature)) else feature
    return None


def damaged_features(dataset: DatasetFile, feature: Feature) -> Iterator[str]:
    """The splits whose features do not match their sha256."""
    file, teacher = dataset.file, dataset.teacher(feature.name)
    for split in dataset.splits:
        if feature.key not in file[split]:
            yield split
            continue
        found = feature_digest(file, dataset.layout, split, feature, dataset.fingerprint, teacher)
        stored = file[split][feature.key].attrs
        if (stored.get("teacher"), stored.get("sha256")) != (teacher, found):
            yield split


def _features(dataset: DatasetFile, teacher: Teacher, split: str, start: int, stop: int) -> Array:
    """Features of rows ``start`` to ``stop``, float16 (n, N, F) of n images."""
    made: list[Array] = []
    each = dataset.layout.row_images
    for first in range(start * each, stop * each, BATCH):
        batch = dataset.read(split, first, min(first + BATCH, stop * each), ("image",))
        with torch.no_grad():
            found = teacher(images_on(batch, torch.device("cpu"))).float().cpu().numpy()
        shape = (len(batch["image"]), *(made[0] if made else found).shape[1:])
        if found.ndim != 3 or found.shape != shape:
            raise SlotbenchError(f"{teacher.name}: features {found.shape}, expected (B, N, F).")
        if not (np.abs(found) <= np.finfo(np.float16).max).all():
            raise SlotbenchError(
                f"{teacher.name}: features of {split}, images from {first}, do not fit float16."
            )
        made.append(found.astype(np.float16))
    return np.concatenate(made)


def _add(dataset: DatasetFile, teacher: Teacher, tasks: list[Task]) -> Feature:
    """Make the features in parts, and write them as one array for each split."""
    layout, recipe = dataset.layout, {"teacher": teacher.description}

    def make(missing: list[Task]) -> Made:
        for task in missing:
            yield task, {"feature": _features(dataset, teacher, *task)}

    with amended(dataset, teacher.name, recipe, tasks, make) as (file, parts, check):
        size = parts.read(tasks[0].part)["feature"].shape[1:]
        feature = Feature(teacher.name, *size)
        shape, dtype = replace(layout, features=(feature,)).stored(features=True)[feature.key]
        for split in dataset.splits:
            if feature.key in file[split]:
                del file[split][feature.key]
            # Not compressed: such numbers hardly shrink, and are read fastest so.
            array = file[split].create_dataset(feature.key, (dataset.rows(split), *shape), dtype)
            for task in (task for task in tasks if task.split == split):
                made = parts.read(task.part)["feature"]
                if made.shape[1:] != size:
                    raise SlotbenchError(f"{teacher.name}: features {made.shape[1:]} after {size}.")
                array[task.start : task.stop] = made.reshape(-1, *shape)
                check()
            array.attrs["teacher"] = teacher.description
            array.attrs["sha256"] = feature_digest(
                file, layout, split, feature, dataset.fingerprint, teacher.description
            )
        kept = [item for item in layout.features if item.name != feature.name]
        file.attrs["features"] = json.dumps([asdict(item) for item in (*kept, feature)])
    return feature
