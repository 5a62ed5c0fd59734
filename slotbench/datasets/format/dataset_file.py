"""Reads prepared datasets, whose layout is in :mod:`slotbench.datasets.format.schema`."""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from slotbench.datasets.format.schema import (
    OBJECTS,
    SCHEMA_VERSION,
    SHIFT_FLAGS,
    SHIFTED,
    SPLITS,
    Array,
    ArraySpec,
    Attributes,
    Batch,
    Layout,
    check_name,
)
from slotbench.errors import UserError
from slotbench.files import no_file, parse_document

AGAIN = "Prepare it again, with --force."
Keys = tuple[str, ...] | None
MOST_COMPRESSED = 1100
"""Most bytes of content for each byte of a file; gzip reaches 1,032."""
MOST_CHUNK = 1 << 30
"""Largest HDF5 chunk in bytes; it is unpacked as a whole."""
_BROKEN = (OSError, RuntimeError, ValueError, KeyError, TypeError)
"""What h5py raises for damaged or hostile content."""


class DatasetFile:
    """A prepared dataset, open for reading.

    Raises :class:`UserError` where the file is missing, in use or damaged, breaks the schema or
    has a newer one, or holds links, data in other files or names that could be paths.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file, self._bytes = _opened(path)
        self._specs: dict[str, dict[str, ArraySpec]] = {}
        try:
            self.attributes = {key: _python(value) for key, value in self.file.attrs.items()}
            known = self._known_attributes()
            self.layout = replace(known.layout, features=known.features)
            self.manifest = known.manifest
            """The sha256 of each split; empty in a file that has none."""
            self._check_splits()
        except UserError:
            self.file.close()
            raise
        except _BROKEN as error:
            self.file.close()
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"{path} is damaged: {reason}.", AGAIN) from error

    def _wrong(self, what: str, advice: str = "") -> UserError:
        return UserError(f"{self.path}: {what}.", advice)

    def _known_attributes(self) -> Attributes:
        version = self.attributes.get("schema")
        if type(version) is not int or version < 1:
            raise self._wrong("attribute 'schema' is not a version; not a slotbench dataset")
        if version > SCHEMA_VERSION:
            raise self._wrong(
                f"schema {version} is newer than this slotbench reads ({SCHEMA_VERSION})",
                "Upgrade slotbench, or prepare the dataset again with --force.",
            )
        return parse_document(self.attributes, Attributes, str(self.path), AGAIN)

    def _check_splits(self) -> None:
        for split in SPLITS:
            if split not in self.file:
                raise self._wrong(f"split {split!r} is missing")
        for split in names_in(self.file):
            check_name("a split", split)
            self._child(self.file, split, split, h5py.Group)
            self._specs[split] = specs = self._expected(split)
            rows: int | None = None
            for key, (shape, dtype) in specs.items():
                array = self._array(split, key)
                rows = array.shape[0] if rows is None and array.shape else rows
                wanted = (rows, *shape)
                if array.shape != wanted or array.dtype != dtype:
                    raise self._wrong(
                        f"{split}/{key} is {array.dtype} {array.shape}, expected {dtype} {wanted}"
                    )
                if array.nbytes > MOST_COMPRESSED * self._bytes:
                    raise self._wrong(f"{split}/{key} has more rows than the file can hold", AGAIN)

    def _child(self, group: h5py.Group, name: str, label: str, kind: type) -> Any:
        """A group or array of this file; links are refused."""
        if not group.id.links.exists(name.encode()):
            raise self._wrong(f"{label} is missing")
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise self._wrong(f"{label} is a link; expected data in this file", AGAIN)
        child = group[name]
        if not isinstance(child, kind):
            raise self._wrong(f"{label} is not a {kind.__name__.lower()}", AGAIN)
        return child

    def _array(self, split: str, key: str) -> h5py.Dataset:
        group, (*parents, name) = self.file[split], key.split("/")
        for parent in parents:
            group = self._child(group, parent, f"{split}/{key}", h5py.Group)
        array = self._child(group, name, f"{split}/{key}", h5py.Dataset)
        if problem := storage_problem(array):
            raise self._wrong(f"{split}/{key} {problem}", AGAIN)
        return array

    def _expected(self, split: str) -> dict[str, ArraySpec]:
        stored, group = self.layout_of(split).stored(features=True), self.file[split]
        if split.startswith(SHIFTED):
            for feature in self.layout.features:
                if feature.key not in group:
                    del stored[feature.key]
            if SHIFT_FLAGS in group:
                stored[SHIFT_FLAGS] = stored["visible"]
        return stored

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of all splits, sorted."""
        return tuple(self._specs)

    def layout_of(self, split: str) -> Layout:
        """The layout of one split: a shifted test set may have more objects than the others."""
        more = self.file[split].attrs.get(OBJECTS) if split in self.file else None
        if more is None:
            return self.layout
        more = _python(more)
        if not isinstance(more, int) or not 0 <= more < 255 or not split.startswith(SHIFTED):
            wrong = f"attribute {OBJECTS!r} of {split} is {more!r:.60}"
            raise self._wrong(f"{wrong}; expected 0 to 254, on {SHIFTED}* alone", AGAIN)
        return replace(self.layout, objects=more)

    @cached_property
    def recipe(self) -> str:
        """A sha256 of how the dataset was rendered; empty for imported ones."""
        if self.attributes["origin"] != "rendered":
            return ""
        from slotbench.datasets.format.digests import recipe_of

        return recipe_of(self.attributes, self.layout, {key: self.rows(key) for key in SPLITS})

    def changed(self, split: str) -> Array | None:
        """Which objects of a shifted test set were changed, bool (n, [T,] O).

        None where the shift does not change single objects.
        """
        return self.file[split][SHIFT_FLAGS][()] if SHIFT_FLAGS in self._specs[split] else None

    @property
    def fingerprint(self) -> str:
        """The sha256 of the content."""
        return str(self.attributes["fingerprint"])

    @property
    def reference(self) -> str:
        """How a user names this dataset: ``name:variant``."""
        return f"{self.attributes['name']}:{self.attributes['variant']}"

    def teacher(self, feature: str) -> str:
        """The description of the teacher that made ``feature/<name>``."""
        return str(self.file[self.splits[0]][f"feature/{feature}"].attrs.get("teacher", ""))

    def rows(self, split: str) -> int:
        """The number of images or clips of a split; :class:`UserError` for an unknown split."""
        if split not in self._specs:
            raise UserError(f"{self.path} has no split {split!r}; it has {', '.join(self.splits)}.")
        return len(self.file[split]["image"])

    def size(self, split: str) -> int:
        """The number of images or video frames of a split; errors as :meth:`rows`."""
        return self.rows(split) * self.layout.row_images

    def first(self, split: str, limit: int) -> int:
        """The smaller of ``limit`` and the split's size; :class:`UserError` for an empty split."""
        if not (size := self.size(split)):
            raise UserError(f"{self.path}: {split!r} holds no images.", "Prepare it with some.")
        return min(limit, size)

    def read(self, split: str, start: int = 0, stop: int | None = None, keys: Keys = None) -> Batch:
        """Images ``start`` to ``stop`` of a split, as arrays (n, ...).

        ``keys`` names the arrays; the default is all but the features. In a video of T frames,
        image i is frame i % T of clip i // T. :class:`UserError` where an array is missing or
        damaged, or its values break the schema.
        """
        n, each = self.size(split), self.layout.row_images
        stop = n if stop is None else min(stop, n)
        batch = self.read_rows(split, start // each, -(-stop // each), keys)
        if self.layout.frames is None:
            return batch
        part = slice(start % each, start % each + stop - start)
        return {key: array.reshape(-1, *array.shape[2:])[part] for key, array in batch.items()}

    def read_rows(
        self, split: str, start: int = 0, stop: int | None = None, keys: Keys = None
    ) -> Batch:
        """Stored rows, images (n, ...) or clips (n, T, ...); otherwise as :meth:`read`."""
        self.require(split, keys or ())
        group, stop = self.file[split], min(self.rows(split), 1 << 62 if stop is None else stop)
        wanted, place = keys or tuple(self.layout.arrays()), f"{split}, {self.layout.rows_are}"
        read = dict.fromkeys(wanted)
        if any(key.startswith("property/") for key in wanted):  # needed to check them
            read |= dict.fromkeys(key for key in ("visible", SHIFT_FLAGS) if key in group)
        try:
            batch = {key: group[key][start:stop] for key in read}
        except _BROKEN as error:
            said = f"{place} {start} to {stop}, cannot be read; the file is damaged"
            raise self._wrong(said, AGAIN) from error
        if problem := self.layout_of(split).problem(batch):
            raise self._wrong(f"{place} from {start}: {problem}", AGAIN)
        return {key: batch[key] for key in wanted}

    def require(self, split: str, keys: Iterable[str]) -> None:
        """:class:`UserError` where a split or one of its arrays is missing."""
        self.rows(split)
        missing = [key for key in keys if key not in self._specs[split]]
        if missing and missing[0].startswith("feature/"):
            held = ", ".join(feature.name for feature in self.layout.features) or "none"
            raise UserError(
                f"{self.path} has no features {missing[0].removeprefix('feature/')!r}; "
                f"it has: {held}.",
                f"Type: slotbench prepare {self.reference} --features TEACHER",
            )
        if missing:
            raise UserError(f"{self.path} has no array {missing[0]!r}.")

    def blocks(self, split: str, size: int = 256, keys: Keys = None) -> Iterator[Batch]:
        """The whole split in order, at most ``size`` images at a time."""
        for start in range(0, self.size(split), size):
            yield self.read(split, start, start + size, keys)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> "DatasetFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def names_in(group: h5py.Group) -> list[str]:
    """What a group holds; h5py gives bytes for names that are not UTF-8."""
    return [name if isinstance(name, str) else os.fsdecode(name) for name in group]


def storage_problem(array: h5py.Dataset) -> str:
    """Why an array is not read: it lies in other files, or its chunks fill the memory; or ""."""
    if array.external or array.is_virtual:
        return "is stored in other files; expected the array itself"
    if array.chunks and math.prod(array.chunks) * array.dtype.itemsize > MOST_CHUNK:
        return f"has chunks of {array.chunks}; expected at most 1 GiB each"
    return ""


def opened(path: Path) -> h5py.File:
    """An HDF5 file, open for reading; :class:`UserError` where another program writes to it."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if isinstance(error, BlockingIOError) or "already open for write" in str(error):
            raise UserError(
                f"{path} is in use: another program has it open for writing.",
                "Close it there, such as in a notebook or a viewer, and type the same again.",
            ) from error
        if "unable to lock file" not in str(error):
            raise
    return h5py.File(path, "r", locking=False)  # some file systems have no locks


def _opened(path: Path) -> tuple[h5py.File, int]:
    """The file and its size in bytes."""
    if fault := no_file(path):
        raise UserError(f"Dataset {path}: {fault}.", "Type: slotbench list datasets")
    try:
        return opened(path), path.stat().st_size
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: permission denied.") from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read as HDF5; it is truncated or is another kind of file.", AGAIN
        ) from error


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
