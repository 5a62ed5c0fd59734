"""The cache of frozen passes: the arrays of a model on disk, and the limit of their size."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.evaluation.frozen_pass import ARRAYS
from slotbench.files import replacing

CACHE_VERSION = 1
"""Raised when the same model would give other arrays."""
LIMIT = 5 << 30
"""Most bytes of all caches of a results folder."""
Stored = dict[str, Array | None]
"""Arrays of the first n images of a split, by name; None for one that the model cannot give."""


class Cache:
    """The arrays of one model by split, in ``<folder>/<split>.npz``; ``key`` identifies the model.

    ``digests`` are those of shifted test sets, which the dataset's fingerprint does not cover. A
    file that is damaged or has another key counts as empty and is replaced, and so are arrays that
    do not fit the model (:meth:`fitting`). ``note`` takes a line about that, and about a file that
    cannot be written. Deleting a cache is always safe.

    Arrays are stored in full precision: half precision would change scores of probes by 1e-4 to
    9e-3. A run of 10,000 training, 1,024 validation and 2,000 test images takes about 30 MB at
    K = 7, D = 48.
    """

    def __init__(
        self,
        folder: Path,
        key: Mapping[str, str | int],
        note: Callable[[str], None],
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.note, self.digests = folder, note, digests or {}
        self.model = {**key, "cache": CACHE_VERSION}

    def key(self, split: str) -> str:
        """Everything that a split's arrays depend on, as JSON."""
        own = {"digest": self.digests[split]} if split in self.digests else {}
        return json.dumps({**self.model, **own}, sort_keys=True)

    def path(self, split: str) -> Path:
        """The file of a split."""
        return self.folder / f"{split}.npz"

    def clear(self) -> None:
        """Forget all splits."""
        for path in self.folder.glob("*.npz"):
            path.unlink(missing_ok=True)

    def read(self, split: str, n: int, wanted: Collection[str]) -> Stored:
        """The wanted arrays that are stored for at least n images, cut to n."""
        found = self._open(split, wanted, self.note)
        return {
            name: None if array is None else array[:n]
            for name, array in found.items()
            if array is None or len(array) >= n
        }

    def fitting(self, split: str, stored: Stored, first: Mapping[str, Array]) -> Stored:
        """Those of the stored arrays that the model could have made; ``note`` tells of others.

        ``first`` holds the arrays that the model gives for the split's first image, with its slots.
        A stored array must have the same dtype and the same shape for each image, and be finite if
        that of the first image is. Label maps hold numbers of slots. An array that is stored as
        absent must be absent from ``first``. Other finite values are not noticed.
        """

        def fits(name: str, array: Array | None) -> bool:
            if array is None or name not in first:
                return array is None and name not in first
            own, slots = first[name], first["slots"].shape[1]
            return (
                (array.dtype, array.shape[1:]) == (own.dtype, own.shape[1:])
                and bool(np.isfinite(array).all() or not np.isfinite(own).all())
                and (not name.startswith("labels/") or 0 <= array.min() <= array.max() < slots)
            )

        found = {name: array for name, array in stored.items() if fits(name, array)}
        if len(found) < len(stored):
            self.note(f"{self.path(split)} does not fit the model: computed anew.")
        return found

    def write(self, split: str, made: Mapping[str, Array | None]) -> None:
        """Add arrays, or replace those of the same names."""
        stored = {**self._open(split, ARRAYS, lambda _: None), **made}
        absent = sorted(name for name, array in stored.items() if array is None)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path(split)) as temporary, zipfile.ZipFile(temporary, "w") as file:
                file.writestr("facts.json", json.dumps({"key": self.key(split), "absent": absent}))
                for name, array in stored.items():
                    if array is not None:
                        content = io.BytesIO()
                        np.save(content, array, allow_pickle=False)
                        # Floats compress slowly and hardly at all.
                        packed = ZIP_DEFLATED if name.startswith("labels/") else ZIP_STORED
                        file.writestr(name, content.getbuffer(), packed, compresslevel=1)
        except OSError as error:  # the evaluation continues without a cache
            self.note(f"{self.path(split)} is not kept: {error.strerror or error}.")

    def _open(self, split: str, wanted: Collection[str], note: Callable[[str], None]) -> Stored:
        """The wanted arrays in a split's file, if it has the same key."""
        path = self.path(split)
        if not path.is_file():
            return {}
        try:
            with zipfile.ZipFile(path) as file:
                facts = json.loads(file.read("facts.json"))
                if facts["key"] != self.key(split):
                    note(f"{path} is of another model or version: computed anew.")
                    return {}
                found: Stored = {name: None for name in wanted if name in facts["absent"]}
                for name in (name for name in wanted if name in file.namelist()):
                    # A member is read as a whole, which checks its CRC.
                    array = np.load(io.BytesIO(file.read(name)), allow_pickle=False)
                    found[name] = array[:]  # raises for a number, which is of no images
            os.utime(path)  # the least recently used goes first, see `prune`
        except Exception:  # zipfile and NumPy raise anything on damaged bytes
            note(f"{path} is damaged: computed anew.")
            return {}
        return found


def prune(results_dir: Path, limit: int = LIMIT) -> int:
    """Delete the least recently used caches of all runs until at most ``limit`` bytes are left.

    Returns the number of bytes freed. A process that has a deleted cache open can still read it.
    """
    found = []
    for path in results_dir.glob("runs/*/*/*/cache/*.npz"):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue
        if path.parent.is_symlink():
            continue  # a link may lead to files of others
        found.append((facts.st_mtime, facts.st_size, path))
    total, freed = sum(size for _, size, _ in found), 0
    for _, size, path in sorted(found):
        if total - freed <= limit:
            break
        path.unlink(missing_ok=True)
        freed += size
    return freed
