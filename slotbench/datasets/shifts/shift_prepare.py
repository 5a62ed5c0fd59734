"""Shifted test sets, written into a prepared dataset: all that were asked for, or none.

They are first made in small parts beside the file, so that a killed call goes on where it
stopped. Then a copy of the file gets them and takes the file's place: the file itself is never
written to. Train, val and test, and with them the fingerprint, stay as they are.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.digests import split_digest
from slotbench.datasets.format.schema import NOT_LABELLED, OBJECTS, SHIFT_FLAGS, Batch, Layout
from slotbench.datasets.prepare.parts import (
    SUFFIX,
    Parts,
    Task,
    Tasks,
    amended,
    append,
    create,
    sweep,
    tasks_of,
)
from slotbench.datasets.prepare.workers import Engine
from slotbench.datasets.shifts.kinds import SHIFTS, VERSION, chosen, refused, shift_of, split_of
from slotbench.datasets.shifts.shift_images import change
from slotbench.errors import SlotbenchError, UserError
from slotbench.progress import say

DRAWN_PART, IMAGES_PART = 50, 500
"""Rows a part, of images that are drawn and of finished images that are changed."""
DESCRIPTION = "shift"
"""Attribute of a shifted test set: how it was made."""


def add_shifts(
    path: Path, dataset: Dataset, asked: tuple[str, ...], engine: Engine
) -> tuple[str, ...]:
    """Add the test sets ``test-<shift>``; returns the asked shifts that the file then has.

    The caller is the file's :func:`sole_writer`. Whole test sets stay as they are.
    :class:`UserError` where the dataset cannot have a named one, where the file has a test set of
    that name from elsewhere, and where it was replaced meanwhile.
    """
    with DatasetFile(path) as file:
        shifts, left_out = chosen(dataset, asked, file.attributes["origin"])
        for shift, reason in left_out.items():
            say(f"Without {shift}: {reason}.")
        missing = [shift for shift in shifts if not _there(file, dataset, shift)]
        if not missing:
            say(f"{path} has these shifted test sets already.")
            sweep(path, f".shifts{SUFFIX}")
            return shifts
        _check_labels(file, dataset, missing)
        recipe = {"fingerprint": file.fingerprint, "version": VERSION}
        parts = Parts(path.with_name(f"{path.name}.shifts"), recipe)
        inode = path.stat().st_ino
        _make(file, dataset, missing, parts, engine)
        _insert(file, inode, dataset, missing, parts)
        if file.layout.features:
            say("The new test sets have no frozen features yet: type --features TEACHER again.")
    return shifts


def _drawn(file: DatasetFile, dataset: Dataset, shift: str) -> bool:
    return file.attributes["origin"] == "rendered" and shift in dataset.drawn_shifts


def _description(file: DatasetFile, dataset: Dataset, shift: str) -> str:
    described = {
        "shift": shift,
        "version": VERSION,
        "made": "drawn" if _drawn(file, dataset, shift) else "on finished images",
        "changes": SHIFTS[shift].summary,
        "new": list(SHIFTS[shift].new),
    }
    return json.dumps(described, sort_keys=True)


def _there(file: DatasetFile, dataset: Dataset, shift: str) -> bool:
    """Whether the file has this test set, whole and of this version."""
    split = split_of(shift)
    if split not in file.splits:
        return False
    if DESCRIPTION not in file.file[split].attrs:
        raise UserError(
            f"{file.path} has a test set {split} of its own: --shifts {shift} would replace it.",
            "Name other shifts.",
        )
    same = file.file[split].attrs[DESCRIPTION] == _description(file, dataset, shift)
    if same and file.manifest.get(split) == split_digest(file.file, file.layout, split):
        return True
    say(f"{split} is {'damaged' if same else 'of another version'} and is made again.")
    return False


def _check_labels(file: DatasetFile, dataset: Dataset, shifts: list[str]) -> None:
    """:class:`UserError` where masks are needed and no test image has any."""
    needing = [shift for shift in shifts if not _drawn(file, dataset, shift)]
    if needing:
        for start in range(0, file.size("test"), 256):
            if (file.read("test", start, start + 256, ("mask",))["mask"] != NOT_LABELLED).any():
                return
        reason = "its images have no masks, so what an object shows is not known"
        raise refused(dataset, needing[0], reason)


def _layout(file: DatasetFile, dataset: Dataset, shift: str) -> Layout:
    if not _drawn(file, dataset, shift):
        return replace(file.layout, features=())
    return dataset.shifted_layout(shift)


def _tasks(file: DatasetFile, dataset: Dataset, shift: str) -> dict[str, Task]:
    size = DRAWN_PART if _drawn(file, dataset, shift) else IMAGES_PART
    return tasks_of(split_of(shift), file.rows("test"), size)


def _make(
    file: DatasetFile, dataset: Dataset, shifts: list[str], parts: Parts, engine: Engine
) -> None:
    """Make the parts that are missing."""
    seed = int(file.attributes["seed"])

    def make(missing: Tasks) -> Iterator[tuple[str, Batch]]:
        drawn: dict[str, Task] = {}
        for name, (split, start, stop) in missing.items():
            shift = str(shift_of(split))
            if _drawn(file, dataset, shift):
                drawn[name] = (split, start, stop)
                continue
            rows = file.read_rows("test", start, stop)
            yield name, change(rows, file.layout, shift, dataset.occluder, seed, start)
        settings = (dataset.name, dataset.variant, dataset.image_size, dataset.seed)
        yield from engine.render_all(settings, drawn)

    tasks = {name: task for shift in shifts for name, task in _tasks(file, dataset, shift).items()}
    parts.fill(f"Shifts of {file.reference}", tasks, file.layout.rows_are, make)


def _insert(
    file: DatasetFile, inode: int, dataset: Dataset, shifts: list[str], parts: Parts
) -> None:
    """Write the parts as one group a shift into a copy that takes the file's place."""
    manifest = dict(file.manifest)
    with amended(file.path, inode, parts) as (stored, check):
        for shift in shifts:
            split, layout = split_of(shift), _layout(file, dataset, shift)
            if split in stored:
                del stored[split]
            group, flags = create(stored, split, layout), []
            for name in _tasks(file, dataset, shift):
                batch = parts.read(name)
                if shift.startswith("object_") != (SHIFT_FLAGS in batch):
                    what = "flags are for shifts of single objects, and only those"
                    raise SlotbenchError(f"{split}: {what}.")
                if SHIFT_FLAGS in batch:
                    flags.append(batch.pop(SHIFT_FLAGS))
                append(group, layout, batch)
                check()
            if flags:
                group[SHIFT_FLAGS] = np.concatenate(flags)
            group.attrs[DESCRIPTION] = _description(file, dataset, shift)
            if layout.objects != file.layout.objects:
                group.attrs[OBJECTS] = layout.objects
            manifest[split] = split_digest(stored, file.layout, split)
        stored.attrs["manifest"] = json.dumps(manifest)
