"""Frozen features of a teacher, written into a prepared dataset: whole, or not at all.

Features are first stored in small parts beside the file, so that a killed call goes on where it
stopped. Then a copy of the file gets all of them and takes the file's place: the file itself is
never written to.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.digests import feature_digest
from slotbench.datasets.format.loader import images_on
from slotbench.datasets.format.schema import Array, Batch, Feature
from slotbench.datasets.prepare.parts import (
    SUFFIX,
    Parts,
    Task,
    Tasks,
    amended,
    sole_writer,
    sweep,
    tasks_of,
)
from slotbench.errors import SlotbenchError, UserError
from slotbench.progress import say

PART, BATCH = 256, 32
"""Images a part, and images that the teacher sees at a time."""


class Teacher(Protocol):
    """A frozen network: images float32 (B, 3, H, W) in [0, 1] -> features float (B, N, F)."""

    @property
    def name(self) -> str:
        """The array becomes ``feature/<name>``."""

    @property
    def description(self) -> str:
        """What made the features, with a hash of its weights; it tells teachers apart."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


def add_features(path: Path, teacher: Teacher) -> Feature:
    """Write the teacher's features of every image of every split into the dataset at ``path``.

    Whole features stay as they are; damaged ones are made again. :class:`UserError` where the file
    has features of that name from another teacher or was replaced meanwhile;
    :class:`SlotbenchError` where the teacher's features are not (B, N, F) or do not fit float16;
    ValueError where its name cannot be a key.
    """
    Feature(teacher.name, 1, 1)
    with sole_writer(path), DatasetFile(path) as dataset:
        there = _there(dataset, teacher)
        if there is not None:
            say(f"{path} has the features {teacher.name} already.")
            sweep(path, f".{teacher.name}{SUFFIX}")
            return there
        recipe = {"fingerprint": dataset.fingerprint, "teacher": teacher.description}
        parts = Parts(path.with_name(f"{path.name}.{teacher.name}"), recipe)
        inode = path.stat().st_ino
        _compute(dataset, teacher, parts)
        return _insert(dataset, inode, teacher, parts)


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


def _tasks(dataset: DatasetFile) -> dict[str, Task]:
    rows, tasks = max(1, PART // dataset.layout.row_images), dict[str, Task]()
    for split in dataset.splits:
        tasks |= tasks_of(split, dataset.rows(split), rows)
    return tasks


def _compute(dataset: DatasetFile, teacher: Teacher, parts: Parts) -> None:
    each, tasks = dataset.layout.row_images, _tasks(dataset)
    if not tasks:
        parts.remove()
        raise UserError(f"{dataset.path} holds no images.", "Prepare it with some.")

    def make(missing: Tasks) -> Iterator[tuple[str, Batch]]:
        for name, (split, start, stop) in missing.items():
            made = _features(dataset, teacher, split, start * each, stop * each)
            yield name, {"feature": made}

    parts.fill(f"Features {teacher.name}", tasks, dataset.layout.rows_are, make)


def _features(dataset: DatasetFile, teacher: Teacher, split: str, start: int, stop: int) -> Array:
    """Features of images ``start`` to ``stop``, float16 (n, N, F)."""
    made: list[Array] = []
    for first in range(start, stop, BATCH):
        batch = dataset.read(split, first, min(first + BATCH, stop), ("image",))
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


def _insert(dataset: DatasetFile, inode: int, teacher: Teacher, parts: Parts) -> Feature:
    """Write the parts as one array a split into a copy that takes the file's place."""
    layout, tasks = dataset.layout, _tasks(dataset)
    size = parts.read(next(iter(tasks)))["feature"].shape[1:]
    feature = Feature(teacher.name, *size)
    shape = (*(() if layout.frames is None else (layout.frames,)), *size)
    with amended(dataset.path, inode, parts) as (file, check):
        for split in dataset.splits:
            if feature.key in file[split]:
                del file[split][feature.key]
            # Such numbers hardly compress, and are read fastest without.
            stored = (dataset.rows(split), *shape)
            array = file[split].create_dataset(feature.key, stored, np.float16)
            for name, (part, start, stop) in tasks.items():
                if part != split:
                    continue
                made = parts.read(name)["feature"]
                if made.shape[1:] != size:
                    raise SlotbenchError(f"{teacher.name}: features {made.shape[1:]} after {size}.")
                array[start:stop] = made.reshape(stop - start, *shape)
                check()
            array.attrs["teacher"] = teacher.description
            array.attrs["sha256"] = feature_digest(
                file, layout, split, feature, dataset.fingerprint, teacher.description
            )
        kept = [item for item in layout.features if item.name != feature.name]
        file.attrs["features"] = json.dumps([asdict(item) for item in (*kept, feature)])
    return feature
