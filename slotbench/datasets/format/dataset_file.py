"""A prepared dataset, open for reading; :mod:`slotbench.datasets.format.schema` is its layout."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from slotbench.datasets.format.schema import (
    OBJECTS,
    REQUIRED_ATTRIBUTES,
    SCHEMA_VERSION,
    Array,
    ArraySpec,
    Batch,
    Feature,
    Layout,
)
from slotbench.datasets.format.splits import SHIFT_FLAGS, SHIFTED, SPLITS
from slotbench.errors import UserError


class DatasetFile:
    """A prepared dataset, open for reading.

    Raises :class:`UserError` where the file is missing, is no HDF5 file, is truncated, has a
    newer schema, or lacks something that the schema asks for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"No dataset at {path}.", "Type: slotbench list datasets")
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            raise UserError(
                f"{path} cannot be read as HDF5; it is truncated or is another kind of file.",
                "Prepare it again, with --force.",
            ) from error
        try:
            self.attributes = self._read_attributes()
            self.layout = self._read_layout()
            self._check_splits()
        except UserError:
            self.file.close()
            raise

    def _read_attributes(self) -> dict[str, Any]:
        attributes = {key: _python(value) for key, value in self.file.attrs.items()}
        version = attributes.get("schema")
        if not isinstance(version, int):
            raise UserError(f"{self.path}: attribute 'schema' is missing; not a slotbench dataset.")
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{self.path}: schema {version} is newer than this slotbench reads "
                f"({SCHEMA_VERSION}).",
                "Upgrade slotbench, or prepare the dataset again with --force.",
            )
        missing = [key for key in REQUIRED_ATTRIBUTES if key not in attributes]
        if missing:
            raise UserError(f"{self.path}: attribute {missing[0]!r} is missing.")
        return attributes

    def _read_layout(self) -> Layout:
        try:
            listed = json.loads(self.attributes.get("features", "[]"))
            features = tuple(Feature(**fields) for fields in listed)
            return replace(Layout.from_json(self.attributes["layout"]), features=features)
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{self.path}: attribute 'layout' or 'features' is not as it was written: {error}.",
                "Prepare it again, with --force.",
            ) from error

    def _check_splits(self) -> None:
        for split in SPLITS:
            if split not in self.file:
                raise UserError(f"{self.path}: split {split!r} is missing.")
        for split in self.splits:
            n = None
            for key, (shape, dtype) in self._expected(split).items():
                if key not in self.file[split]:
                    raise UserError(f"{self.path}: {split}/{key} is missing.")
                array = self.file[split][key]
                n = len(array) if n is None else n
                if array.shape != (n, *shape) or array.dtype != dtype:
                    raise UserError(
                        f"{self.path}: {split}/{key} is {array.dtype} {array.shape}, "
                        f"expected {dtype} {(n, *shape)}."
                    )

    def _expected(self, split: str) -> dict[str, ArraySpec]:
        stored = self.layout_of(split).stored(features=True)
        if split.startswith(SHIFTED):
            group = self.file[split]
            stored = {
                key: spec
                for key, spec in stored.items()
                if key in group or not key.startswith("feature/")
            }
            if SHIFT_FLAGS in group:
                stored[SHIFT_FLAGS] = stored["visible"]
        return stored

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.file)

    def layout_of(self, split: str) -> Layout:
        """The layout of one split: a shifted test set may have more objects than the others."""
        more = self.file[split].attrs.get(OBJECTS) if split in self.file else None
        if more is None:
            return self.layout
        if not isinstance(_python(more), int) or not split.startswith(SHIFTED):
            raise UserError(
                f"{self.path}: attribute {OBJECTS!r} of {split} is not as it was written.",
                "Prepare it again, with --force.",
            )
        return replace(self.layout, objects=int(more))

    def digest(self, split: str) -> str:
        """The sha256 of a split that the manifest has; empty where it has none."""
        return str(json.loads(self.attributes.get("manifest", "{}")).get(split, ""))

    def changed(self, split: str) -> Array | None:
        """Which objects of a shifted test set were changed, bool (n, [T,] O).

        None where the set says nothing about single objects.
        """
        group = self.file[split]
        return group[SHIFT_FLAGS][()] if SHIFT_FLAGS in group else None

    @property
    def fingerprint(self) -> str:
        return str(self.attributes["fingerprint"])

    @property
    def reference(self) -> str:
        """How a user names this dataset: ``name:variant``."""
        return f"{self.attributes['name']}:{self.attributes['variant']}"

    def teacher(self, feature: str) -> str:
        """The description of the teacher whose features ``feature/<name>`` are."""
        return str(self.file[self.splits[0]][f"feature/{feature}"].attrs.get("teacher", ""))

    def rows(self, split: str) -> int:
        """The number of stored rows of a split: of its images, or of its clips.

        :class:`UserError` where there is no such split.
        """
        if split not in self.file:
            raise UserError(f"{self.path} has no split {split!r}; it has {', '.join(self.splits)}.")
        return len(self.file[split]["image"])

    def size(self, split: str) -> int:
        """The number of images of a split, the frames of all clips where it is video.

        :class:`UserError` where there is no such split.
        """
        return self.rows(split) * self.layout.row_images

    def clips(self, split: str) -> int:
        """The number of clips of a split; :class:`UserError` where the file holds no video."""
        if self.layout.frames is None:
            raise UserError(
                f"{self.path} holds images, not video.",
                "Type: slotbench prepare multi-dsprites-video",
            )
        return self.rows(split)

    def read(
        self,
        split: str,
        start: int = 0,
        stop: int | None = None,
        keys: tuple[str, ...] | None = None,
    ) -> Batch:
        """Images ``start`` to ``stop`` of a split, as arrays (n, ...) by dataset name.

        Without ``keys``: all arrays but the features. In a video of T frames, image i is frame
        i % T of clip i // T. :class:`UserError` where an array is not there or is damaged.
        """
        n, each = self.size(split), self.layout.row_images
        start, stop = min(start, n), n if stop is None else min(stop, n)
        batch = self._read_rows(split, start // each, -(-stop // each), keys)
        if self.layout.frames is None:
            return batch
        shift = start // each * each
        return {
            key: array.reshape(-1, *array.shape[2:])[start - shift : max(start, stop) - shift]
            for key, array in batch.items()
        }

    def read_clips(
        self,
        split: str,
        start: int = 0,
        stop: int | None = None,
        keys: tuple[str, ...] | None = None,
    ) -> Batch:
        """Clips ``start`` to ``stop`` of a split, as arrays (n, T, ...) by dataset name.

        Raises as :meth:`read` and :meth:`clips` do.
        """
        n = self.clips(split)
        return self._read_rows(split, start, n if stop is None else min(stop, n), keys)

    def read_rows(self, split: str, start: int, stop: int) -> Batch:
        """Stored rows, images or clips, of every array but features; raises as :meth:`read`."""
        return self._read_rows(split, start, min(stop, self.rows(split)), None)

    def _read_rows(self, split: str, start: int, stop: int, keys: tuple[str, ...] | None) -> Batch:
        self.require(split, keys or ())
        group = self.file[split]
        try:
            return {key: group[key][start:stop] for key in keys or tuple(self.layout.arrays())}
        except OSError as error:
            raise UserError(
                f"{self.path}: {split}, {self.layout.rows_are} {start} to {stop}, cannot be "
                "read; the file is damaged.",
                "Prepare it again, with --force.",
            ) from error

    def require(self, split: str, keys: Iterable[str]) -> None:
        """:class:`UserError` where a split lacks one of these arrays, or there is no split."""
        self.rows(split)
        missing = [key for key in keys if key not in self._expected(split)]
        if missing and missing[0].startswith("feature/"):
            held = ", ".join(feature.name for feature in self.layout.features) or "none"
            raise UserError(
                f"{self.path} has no features {missing[0].removeprefix('feature/')!r}; "
                f"it has: {held}.",
                f"Type: slotbench prepare {self.attributes['name']} --variant "
                f"{self.attributes['variant']} --features TEACHER",
            )
        if missing:
            raise UserError(f"{self.path} has no array {missing[0]!r}.")

    def blocks(self, split: str, size: int = 256) -> Iterator[Batch]:
        """The whole split in order, at most ``size`` images at a time."""
        for start in range(0, self.size(split), size):
            yield self.read(split, start, start + size)

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> "DatasetFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
