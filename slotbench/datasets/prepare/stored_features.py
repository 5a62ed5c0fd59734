"""Frozen features of a teacher, written into a prepared dataset: whole, or not at all.

Features are first stored in small parts beside the file, so that a killed call goes on where it
stopped. Then a copy of the file gets all of them and takes the file's place: the file itself is
never written to.
"""

import json
import time
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
from slotbench.datasets.format.schema import Array, Feature
from slotbench.datasets.prepare.parts import SUFFIX, Parts, amended, sole_writer, sweep
from slotbench.errors import SlotbenchError, UserError
from slotbench.progress import bar, say

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
    with sole_writer(path):
        with DatasetFile(path) as dataset:
            there = _there(dataset, teacher)
            if there is not None:
                say(f"{path} has the features {teacher.name} already.")
                sweep(path, f".{teacher.name}{SUFFIX}")
                return there
            recipe = {"fingerprint": dataset.fingerprint, "teacher": teacher.description}
            parts = Parts(path.with_name(f"{path.name}.{teacher.name}"), recipe)
            inode = path.stat().st_ino
            feature = _compute(dataset, teacher, parts)
        _insert(path, inode, feature, teacher.description, parts)
    return feature


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
    teacher = dataset.teacher(feature.name)
    for split in dataset.splits:
        if feature.key not in dataset.file[split]:
            yield split
            continue
        stored = dataset.file[split][feature.key].attrs
        same_teacher = stored.get("teacher") == teacher
        found = feature_digest(
            dataset.file, dataset.layout, split, feature, dataset.fingerprint, teacher
        )
        if not same_teacher or stored.get("sha256") != found:
            yield split


def _compute(dataset: DatasetFile, teacher: Teacher, parts: Parts) -> Feature:
    """Make the parts that are missing."""
    each, total = dataset.layout.row_images, sum(map(dataset.size, dataset.splits))
    feature: Feature | None = None
    done, fresh, started = 0, 0, time.monotonic()
    with bar(f"Features {teacher.name}", total) as progress:
        for split, start, stop in _pieces(dataset):
            name = f"{split}-{start:08d}-{stop:08d}"
            if parts.has(name):
                made = parts.read(name)["feature"]
            else:
                made = _features(dataset, teacher, split, start * each, stop * each)
                parts.write(name, {"feature": made})
                fresh += len(made)
            shape = Feature(teacher.name, *made.shape[1:])
            if feature is not None and shape != feature:
                raise SlotbenchError(f"{teacher.name}: features {shape} after {feature}.")
            feature, done = shape, done + len(made)
            rate = fresh / (time.monotonic() - started)
            progress.set(done, detail=f"{rate:.1f} images/s")
    if feature is None:
        parts.remove()
        raise UserError(f"{dataset.path} holds no images.", "Prepare it with some.")
    return feature


def _pieces(dataset: DatasetFile) -> Iterator[tuple[str, int, int]]:
    """Split, first and last row of each part."""
    rows = max(1, PART // dataset.layout.row_images)
    for split in dataset.splits:
        for start in range(0, dataset.rows(split), rows):
            yield split, start, min(start + rows, dataset.rows(split))


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


def _insert(path: Path, inode: int, feature: Feature, teacher: str, parts: Parts) -> None:
    """Write the parts as one array a split into a copy that takes the file's place."""
    with DatasetFile(path) as dataset:
        layout, pieces, fingerprint = dataset.layout, list(_pieces(dataset)), dataset.fingerprint
        rows = {split: dataset.rows(split) for split in dataset.splits}
    lead = () if layout.frames is None else (layout.frames,)
    shape = (*lead, feature.positions, feature.width)
    with amended(path, inode, parts) as (file, check):
        for split, count in rows.items():
            if feature.key in file[split]:
                del file[split][feature.key]
            # Such numbers hardly compress, and are read fastest without.
            array = file[split].create_dataset(feature.key, (count, *shape), np.float16)
            for _, start, stop in (piece for piece in pieces if piece[0] == split):
                made = parts.read(f"{split}-{start:08d}-{stop:08d}")["feature"]
                array[start:stop] = made.reshape(stop - start, *shape)
                check()
            array.attrs["teacher"] = teacher
            array.attrs["sha256"] = feature_digest(
                file, layout, split, feature, fingerprint, teacher
            )
        kept = [item for item in layout.features if item.name != feature.name]
        file.attrs["features"] = json.dumps([asdict(item) for item in (*kept, feature)])
