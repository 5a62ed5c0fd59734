"""What a model made of a split, kept in its run directory: ``cache/<split>.h5``.

Every array stands there as it was computed: label maps as whole numbers, compressed, and the
rest as float32. Half precision would change reported digits (rounding slots, features and
overlaps of an untrained core moved probes by 1e-4 to 9e-3 and DCI by 6e-3), so it is not used.
What is true of the images is read from the dataset and stored nowhere else.

A run with 10,000 training, 1,024 validation and 2,000 test images takes 4 bytes for each of
13,024 (K D + F + K O) numbers and some megabytes of label maps: about 30 MB at K = 7, D = 48.
There is one file a split, which is replaced and never added to a second one, and :func:`prune`
keeps all runs together below a limit. Deleting a cache is always safe.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.files import replacing

VERSION = 1
"""Raised when the same model would give other arrays."""
LIMIT = 5 << 30
"""Bytes that the caches of all runs of one results folder may take together."""
Key = Mapping[str, str | int]
_CHUNK = 1 << 20
_DAMAGED = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError)
"""What h5py may raise where a byte is not as it was written."""


@dataclass
class Stored:
    """Arrays of the first n images of a split."""

    arrays: dict[str, Array] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    """Names of arrays that the model cannot give."""


class Cache:
    """The arrays of one model by split; ``key`` is all that they depend on.

    ``digests`` has what those of single splits depend on beside it: that of a shifted test set,
    which is no part of the dataset's fingerprint.

    A file that is damaged, or whose key is another, counts as empty and is replaced; ``note``
    is then called with one line.
    """

    def __init__(
        self,
        folder: Path,
        key: Key,
        note: Callable[[str], None],
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.note = folder, note
        self._all, self._digests = {**key, "cache": VERSION}, dict(digests or {})

    def key(self, split: str) -> str:
        own = {"digest": self._digests[split]} if split in self._digests else {}
        return json.dumps({**self._all, **own}, sort_keys=True)

    def path(self, split: str) -> Path:
        return self.folder / f"{split}.h5"

    def clear(self) -> None:
        """Forget all splits."""
        for path in self.folder.glob("*.h5"):
            path.unlink(missing_ok=True)

    def read(self, split: str, n: int, wanted: Collection[str]) -> Stored:
        """The wanted arrays that are there for n images or more, cut to n."""
        path = self.path(split)
        if not path.is_file():
            return Stored()
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("key") != self.key(split):
                    self.note(f"{path} is of another model or version: computed anew.")
                    return Stored()
                absent = frozenset(json.loads(str(file.attrs["absent"])))
                arrays = {
                    name: _get(file[name])[:n]
                    for name in wanted
                    if name in file and len(file[name]) >= n
                }
        except _DAMAGED:
            self.note(f"{path} is damaged: computed anew.")
            path.unlink(missing_ok=True)
            return Stored()
        path.touch()  # the least recently used goes first, see `prune`
        return Stored(arrays, absent & set(wanted))

    def write(self, split: str, made: Stored) -> None:
        """Add arrays of the same images to what is there, or replace them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(split)
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            absent = set(made.absent)
            if path.is_file():
                absent |= self._keep(split, file, made)
            for name, array in made.arrays.items():
                _put(file, name, array)
            file.attrs["key"] = self.key(split)
            file.attrs["absent"] = json.dumps(sorted(absent))

    def _keep(self, split: str, file: h5py.File, made: Stored) -> set[str]:
        """Copy what the new arrays do not replace; returns what was absent before."""
        try:
            with h5py.File(self.path(split), "r") as before:
                if before.attrs.get("key") != self.key(split):
                    return set()
                for name in _names(before):
                    if name not in made.arrays:
                        before.copy(before[name], file, name)
                return set(json.loads(str(before.attrs["absent"])))
        except _DAMAGED:
            for name in _names(file):
                del file[name]
            return set()


def _put(file: h5py.File, name: str, array: Array) -> None:
    """With a digest, so that damage is seen; label maps are compressed."""
    options: dict[str, Any] = {}
    if name.startswith("labels/") and array.size:
        rows = max(1, min(len(array), _CHUNK // max(1, array[0].nbytes)))
        options = {"chunks": (rows, *array.shape[1:]), "compression": "gzip", "compression_opts": 1}
    stored = file.create_dataset(name, data=np.ascontiguousarray(array), **options)
    stored.attrs["sha256"] = _digest(array)


def _get(stored: h5py.Dataset) -> Array:
    array: Array = stored[()]
    if stored.attrs["sha256"] != _digest(array):
        raise ValueError(f"{stored.name} is not as it was written")
    return array


def _digest(array: Array) -> str:
    digest = hashlib.sha256(f"{array.dtype}:{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _names(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return found


def file_hash(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def prune(results_dir: Path, limit: int = LIMIT) -> int:
    """Delete the least recently used caches of all runs until they take ``limit`` bytes at most.

    Returns the number of bytes that were freed. A cache that another process has open stays
    readable for it.
    """
    found = []
    for path in results_dir.glob("runs/*/*/*/cache/*.h5"):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        found.append((facts.st_mtime, facts.st_size, path))
    total, freed = sum(size for _, size, _ in found), 0
    for _, size, path in sorted(found):
        if total - freed <= limit:
            break
        path.unlink(missing_ok=True)
        freed += size
    return freed
