"""Preparation that survives being killed: finished parts beside the file, joined at the end.

``kill -9`` during a write destroys an HDF5 file. So images are first stored in small ``.npz``
parts, each renamed into place when whole. A later call with the same recipe uses them. The last
step joins them into one HDF5 file under a temporary name, renames it, and removes the parts.
"""

import errno
import glob
import json
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.digests import fingerprint_of, recipe_of, split_digest
from slotbench.datasets.format.hdf5 import Check, writing
from slotbench.datasets.format.schema import Batch, Layout
from slotbench.errors import UserError
from slotbench.files import replacing, write_whole
from slotbench.locks import hold_at_last
from slotbench.progress import bar, say

SUFFIX = ".parts"


class Task(NamedTuple):
    """Rows (images or clips) of a split that are made together, and stored as one part."""

    split: str
    start: int
    stop: int
    """The row after the last."""

    @property
    def part(self) -> str:
        """The name of the part."""
        return f"{self.split}-{self.start:08d}-{self.stop:08d}"

    @classmethod
    def all_of(cls, split: str, rows: int, size: int) -> list["Task"]:
        """The tasks of a split, of at most ``size`` rows each."""
        return [cls(split, start, min(start + size, rows)) for start in range(0, rows, size)]


Made = Iterator[tuple[Task, Batch]]
"""Each task with its batch, in any order."""
Make = Callable[[list[Task]], Made]


@contextmanager
def sole_writer(target: Path) -> Iterator[None]:
    """Wait until no other process prepares ``target``, and lock it.

    Removes temporary files of killed processes. A read-only folder is not locked: nothing can be
    written there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_place(target, stat.S_ISREG, "file")
    _check_place(folder_of(target), stat.S_ISDIR, "folder")
    lock = target.with_name(f".{target.name}.lock")
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_at_last(lock, f"Another process prepares {target}"))
        except OSError as error:
            if not (isinstance(error, PermissionError) or error.errno == errno.EROFS):
                raise
            yield
            return
        # Removed before its release: no other process can hold it then.
        stack.callback(lock.unlink, missing_ok=True)
        for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
            left.unlink(missing_ok=True)
        yield


def _check_place(path: Path, right: Callable[[int], bool], kind: str) -> None:
    with suppress(FileNotFoundError):
        if not right(path.stat().st_mode):
            advice = "Move it away, or name another --data-dir."
            raise UserError(f"{path} is no regular {kind}; slotbench writes one there.", advice)


def folder_of(target: Path) -> Path:
    """The folder of the parts of ``target``."""
    return target.with_name(target.name + SUFFIX)


class Parts:
    """The folder of finished parts of the dataset at ``target``.

    Parts of another recipe (seed, size, source or generator) are removed.
    """

    def __init__(self, target: Path, recipe: Mapping[str, Any]) -> None:
        self.folder = folder_of(target)
        text = json.dumps(recipe, sort_keys=True, indent=1).encode()
        recipe_file = self.folder / "recipe.json"
        if self.folder.exists() and (not recipe_file.is_file() or recipe_file.read_bytes() != text):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(recipe_file, text)

    @staticmethod
    def recipe(target: Path) -> dict[str, Any]:
        """The recipe of the parts beside ``target``; empty where there are none."""
        try:
            recipe: dict[str, Any] = json.loads((folder_of(target) / "recipe.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return recipe

    def names(self) -> list[str]:
        """The finished parts, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.npz"))

    def records(self) -> int:
        """How many records an import can skip: those before the first missing part."""
        end = 0
        for start, stop in (map(int, name.split("-")) for name in self.names()):
            if start != end:
                break
            end = stop
        return end

    def write(self, name: str, batch: Batch) -> None:
        """Store a part whole, or not at all."""
        path = self.folder / f"{name}.npz"
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **batch)  # type: ignore[arg-type]

    def read(self, name: str) -> Batch:
        """The arrays of a part; a damaged one is removed, so that the next call makes it anew."""
        path = self.folder / f"{name}.npz"
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except MemoryError:
            raise
        except Exception as error:  # zipfile and NumPy raise anything for damaged bytes
            path.unlink(missing_ok=True)
            again = "Type the same command again: this part is then made anew."
            raise UserError(f"{path} is damaged.", again) from error

    def fill(self, label: str, tasks: list[Task], what: str, make: Make) -> None:
        """Make and store the missing parts; ``what`` names their rows: ``images`` or ``clips``."""
        there = set(self.names())
        missing = [task for task in tasks if task.part not in there]
        total = _rows(tasks)
        before = done = total - _rows(missing)
        if done:
            say(f"Going on: {done:,} of {total:,} {what} were made before.")
        started = time.monotonic()
        with bar(label, total) as progress:
            progress.set(done)
            for task, batch in make(missing):
                self.write(task.part, batch)
                done += _rows([task])
                rate = (done - before) / (time.monotonic() - started)
                progress.set(done, detail=f"{rate:.1f} {what}/s")

    def remove(self) -> None:
        """Remove the folder with all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _rows(tasks: Iterable[Task]) -> int:
    return sum(task.stop - task.start for task in tasks)


def sweep(target: Path, additions: str = "") -> None:
    """Remove parts of processes that were killed after they had written the file.

    ``additions`` is a dot and the name given to :func:`amended`, or a pattern of it.
    """
    for folder in target.parent.glob(f"{glob.escape(target.name)}{additions}{SUFFIX}"):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def amended(
    dataset: DatasetFile, name: str, recipe: Mapping[str, Any], tasks: list[Task], make: Make
) -> Iterator[tuple[h5py.File, Parts, Check]]:
    """A copy of a prepared file for additions; it replaces the file at the end.

    The additions are first made in parts called ``name``, whose recipe includes the file's
    fingerprint. The copy lies among the parts, so that their removal also removes the copy of a
    killed process. :class:`UserError` where the file was replaced meanwhile.
    """
    path, inode = dataset.path, dataset.path.stat().st_ino
    whole = {"fingerprint": dataset.fingerprint, **recipe}
    parts = Parts(path.with_name(f"{path.name}.{name}"), whole)
    parts.fill(f"Adding {name} to {dataset.reference}", tasks, dataset.layout.rows_are, make)
    with replacing(path, parts.folder, follow=True) as temporary:
        shutil.copyfile(path, temporary)
        with writing(temporary, "r+") as (file, check):
            yield file, parts, check
        if path.stat().st_ino != inode:
            raise UserError(f"{path} was replaced meanwhile.", "Type the same command again.")
    parts.remove()


def join(
    target: Path,
    layout: Layout,
    splits: Mapping[str, Iterable[Batch]],
    attributes: Mapping[str, Any],
) -> str:
    """Write the batches of every split as one HDF5 file at ``target``; returns its fingerprint.

    The unfinished file lies among the parts, where there are any: their removal also removes the
    file of a killed process. ValueError where a batch breaks the layout.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = folder_of(target) if folder_of(target).is_dir() else None
    with replacing(target, folder, follow=True) as temporary, writing(temporary) as (file, check):
        for split, batches in splits.items():
            group = create(file, split, layout)
            for batch in batches:
                append(group, layout, batch)
                check()
        fingerprint = fingerprint_of(file, layout)
        manifest = json.dumps({split: split_digest(file, layout, split) for split in file})
        stored = {"schema": layout.schema, "layout": layout.to_json(), "manifest": manifest}
        stored |= attributes
        if attributes.get("origin") == "rendered":
            rows = {split: len(file[split]["image"]) for split in file}
            stored["recipe"] = recipe_of(stored, layout, rows)
        for key, value in {**stored, "fingerprint": fingerprint}.items():
            file.attrs[key] = value
    return fingerprint


def create(file: h5py.File, split: str, layout: Layout) -> h5py.Group:
    """The group of a split, with arrays of no rows yet."""
    group = file.create_group(split)
    lead = () if layout.frames is None else (1,)
    for key, (shape, dtype) in layout.stored().items():
        # With one chunk an image, the loader can read any image alone.
        picture = key in ("image", "mask")
        chunks = (1, *lead, *shape[len(lead) :]) if picture else (1024, *shape)
        chunks = tuple(max(1, size) for size in chunks)  # a layout may have no objects
        packing = {"chunks": chunks, "compression": "gzip", "compression_opts": 1}
        most = (None, *(size or None for size in shape))
        group.create_dataset(key, (0, *shape), dtype, maxshape=most, **packing)
    for prop in layout.properties:
        described = group[prop.key].attrs
        described["kind"], described["unit"] = prop.kind, prop.unit
        if prop.classes:
            described["classes"] = list(prop.classes)
    return group


def append(group: h5py.Group, layout: Layout, batch: Batch) -> None:
    """Add rows; ValueError where the batch breaks the layout."""
    n = layout.check(batch)
    for key, array in batch.items():
        stored = group[key]
        stored.resize(len(stored) + n, axis=0)
        if n:
            stored[-n:] = array
