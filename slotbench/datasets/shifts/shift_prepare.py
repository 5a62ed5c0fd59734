"""Adds shifted test sets to a prepared dataset: all that the user asked for, or none.

They are first stored in small parts beside the file, so that a killed call goes on where it
stopped. Then a copy of the file gets them and replaces the file, which is never written to. The
other splits, and so the fingerprint, do not change.
"""

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from slotbench.datasets.dataset import Dataset
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.digests import split_digest
from slotbench.datasets.format.hdf5 import Check
from slotbench.datasets.format.schema import NOT_LABELLED, OBJECTS, SHIFT_FLAGS, Layout
from slotbench.datasets.prepare.parts import Made, Parts, Task, amended, append, create, sweep
from slotbench.datasets.prepare.workers import Engine
from slotbench.datasets.shifts.kinds import SHIFTS, VERSION, chosen, refused, split_of
from slotbench.datasets.shifts.shift_images import change
from slotbench.errors import SlotbenchError, UserError
from slotbench.progress import say

DRAWN_PART, IMAGES_PART = 50, 500
"""Rows a part, of images that are drawn and of finished images that are changed."""
DESCRIPTION = "shift"
"""Attribute of a shifted test set: how it was made."""


@dataclass(frozen=True)
class Planned:
    """A test set to add."""

    shift: str
    drawn: bool
    """Whether its scenes are drawn; else finished images are changed."""
    layout: Layout
    tasks: list[Task]

    @classmethod
    def of(cls, file: DatasetFile, dataset: Dataset, shift: str) -> "Planned":
        """The test set of a shift of that file."""
        drawn = file.attributes["origin"] == "rendered" and shift in dataset.drawn_shifts
        layout = dataset.shifted_layout(shift) if drawn else replace(file.layout, features=())
        size = DRAWN_PART if drawn else IMAGES_PART
        return cls(shift, drawn, layout, Task.all_of(split_of(shift), file.rows("test"), size))

    @property
    def split(self) -> str:
        """Its name in the file."""
        return split_of(self.shift)

    @property
    def description(self) -> str:
        """How it is made, as JSON."""
        described = {
            "shift": self.shift,
            "version": VERSION,
            "made": "drawn" if self.drawn else "on finished images",
            "changes": SHIFTS[self.shift].summary,
            "new": list(SHIFTS[self.shift].new),
        }
        return json.dumps(described, sort_keys=True)

    def there(self, file: DatasetFile) -> bool:
        """Whether the file has this test set, whole and of this version."""
        if self.split not in file.splits:
            return False
        attributes = file.file[self.split].attrs
        if DESCRIPTION not in attributes:
            raise UserError(
                f"{file.path} has a test set {self.split} of its own: --shifts {self.shift} would "
                "replace it.",
                "Name other shifts.",
            )
        same = attributes[DESCRIPTION] == self.description
        stored = file.manifest.get(self.split)
        if same and stored == split_digest(file.file, file.layout, self.split):
            return True
        say(f"{self.split} is {'damaged' if same else 'of another version'} and is made again.")
        return False

    def fill(self, group: h5py.Group, parts: Parts, check: Check) -> None:
        """Write the finished parts and the description into the test set's group."""
        flags = []
        for task in self.tasks:
            batch = parts.read(task.part)
            if SHIFT_FLAGS in batch:
                flags.append(batch.pop(SHIFT_FLAGS))
            append(group, self.layout, batch)
            check()
        if bool(flags) != self.shift.startswith("object_"):
            raise SlotbenchError(f"{self.split}: only shifts of single objects have flags.")
        if flags:
            group[SHIFT_FLAGS] = np.concatenate(flags)
        group.attrs[DESCRIPTION] = self.description


def add_shifts(path: Path, dataset: Dataset, asked: tuple[str, ...], engine: Engine) -> None:
    """Add the test sets ``test-<shift>``.

    The caller is the file's :func:`sole_writer`. Whole test sets stay as they are.
    :class:`UserError` where the dataset cannot have a named one, where the file has a test set of
    that name from elsewhere, and where it was replaced meanwhile.
    """
    with DatasetFile(path) as file:
        shifts, left_out = chosen(dataset, asked, file.attributes["origin"])
        for shift, reason in left_out.items():
            say(f"Without {shift}: {reason}.")
        plans = [Planned.of(file, dataset, shift) for shift in shifts]
        plans = [plan for plan in plans if not plan.there(file)]
        if not plans:
            say(f"{path} has these shifted test sets already.")
            sweep(path, ".shifts")
            return
        _check_labels(file, dataset, plans)
        manifest, make = dict(file.manifest), partial(_make, file, dataset, plans, engine)
        tasks = [task for plan in plans for task in plan.tasks]
        with amended(file, "shifts", {"version": VERSION}, tasks, make) as (stored, parts, check):
            for plan in plans:
                if plan.split in stored:
                    del stored[plan.split]
                group = create(stored, plan.split, plan.layout)
                plan.fill(group, parts, check)
                if plan.layout.objects != file.layout.objects:
                    group.attrs[OBJECTS] = plan.layout.objects
                manifest[plan.split] = split_digest(stored, file.layout, plan.split)
            stored.attrs["manifest"] = json.dumps(manifest)
        if file.layout.features:
            say("The new test sets have no frozen features yet: type --features TEACHER again.")


def _check_labels(file: DatasetFile, dataset: Dataset, plans: list[Planned]) -> None:
    """:class:`UserError` where masks are needed and no test image has any."""
    needing = [plan.shift for plan in plans if not plan.drawn]
    masks = (batch["mask"] for batch in file.blocks("test", keys=("mask",)))
    if needing and not any((mask != NOT_LABELLED).any() for mask in masks):
        reason = "its images have no masks, so what an object shows is not known"
        raise refused(dataset, needing[0], reason)


def _make(
    file: DatasetFile, dataset: Dataset, plans: list[Planned], engine: Engine, missing: list[Task]
) -> Made:
    by_split, drawn = {plan.split: plan for plan in plans}, list[Task]()
    seed, occluder = int(file.attributes["seed"]), dataset.occluder
    for task in missing:
        split, start, stop = task
        if by_split[split].drawn:
            drawn.append(task)
            continue
        rows = file.read_rows("test", start, stop)
        yield task, change(rows, file.layout, by_split[split].shift, occluder, seed, start)
    yield from engine.render_all(dataset.settings, drawn)
