"""The layout of a prepared dataset: what its arrays are, and how one file is opened.

A file holds one group a split (``train``, ``val``, ``test``, and one for each shifted test
set). n images, O objects (padded), H x W pixels, and for each teacher N positions of
width F:

=====================  ===========================  =============================================
dataset                dtype, shape                 meaning
=====================  ===========================  =============================================
``image``              uint8 (n, H, W, 3)           one chunk an image
``mask``               uint8 (n, H, W)              0 background, 1..O objects, 255 not labelled
``visible``            bool (n, O)                  the object shows at least one pixel
``property/<name>``    float32 (n, O[, d]) or       attributes ``kind``, ``classes``, ``unit``;
                       int16 (n, O)                 padding is 0 (numeric) or -1 (categorical)
``feature/<teacher>``  float16 (n, N, F)            optional; attributes ``teacher``, ``sha256``
=====================  ===========================  =============================================

A shifted test set may have more objects than the others (the attribute ``objects`` of its group), a
flag for each object that was changed (``shift/changed``), and -1 where a changed object has a class
that the property does not know. It may lack features.

In a video file n counts clips of T frames, and every shape goes on with T: ``image`` is
(n, T, H, W, 3). Whoever asks for no clips reads it as n * T images, frame after frame.

The fingerprint covers the layout, and images, masks, visibility and properties of ``train``,
``val`` and ``test``: what a result is about. The attribute ``manifest`` has a sha256 of every
split. Features are derived from the images, may be added later, and change neither; each array
of them has a sha256 of its own, over its content, its teacher and the fingerprint.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from slotbench.datasets.splits import SHIFT_FLAGS as SHIFT_FLAGS
from slotbench.datasets.splits import SHIFTED as SHIFTED
from slotbench.datasets.splits import SPLITS as SPLITS
from slotbench.errors import UserError

SCHEMA_VERSION = 2
"""The newest that is read. A file says the oldest that describes it: 1 for images, 2 for video."""
NOT_LABELLED = 255
OBJECTS = "objects"
"""Attribute of a shifted test set that has more objects than the file's layout."""
REQUIRED_ATTRIBUTES = (
    "schema", "name", "variant", "origin", "sources", "generator", "seed", "image_size",
    "licence", "layout", "fingerprint",
)  # fmt: skip

Array = npt.NDArray[Any]
Batch = dict[str, Array]
"""Arrays by dataset name: of n images, or, where clips are asked for, of n clips (n, T, ...)."""
ArraySpec = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape without n, dtype."""


@dataclass(frozen=True)
class Property:
    """One property of an object: numeric with ``dim`` dimensions, or one of ``classes``."""

    name: str
    kind: Literal["numeric", "categorical"]
    dim: int = 1
    classes: tuple[str, ...] = ()
    unit: str = ""

    @property
    def key(self) -> str:
        return f"property/{self.name}"


@dataclass(frozen=True)
class Feature:
    """Frozen features of a teacher: float16 (positions, width) for each image."""

    name: str
    positions: int
    width: int

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise ValueError(f"a feature cannot be called {self.name!r}")
        if self.positions < 1 or self.width < 1:
            raise ValueError(f"{self.name}: expected positions and width of 1 or above")

    @property
    def key(self) -> str:
        return f"feature/{self.name}"


@dataclass(frozen=True)
class Layout:
    """Shapes and dtypes of every array of a file."""

    height: int
    width: int
    objects: int
    properties: tuple[Property, ...]
    frames: int | None = None
    """Frames of each clip; none: the file holds images."""
    features: tuple[Feature, ...] = ()
    """No part of the text and so of the fingerprint: a file lists them in an attribute."""

    def arrays(self) -> dict[str, ArraySpec]:
        """Dataset name -> (shape of one image's entry, dtype); all but the features."""
        shapes: dict[str, ArraySpec] = {
            "image": ((self.height, self.width, 3), np.dtype(np.uint8)),
            "mask": ((self.height, self.width), np.dtype(np.uint8)),
            "visible": ((self.objects,), np.dtype(np.bool_)),
        }
        for prop in self.properties:
            if prop.kind == "categorical":
                shapes[prop.key] = ((self.objects,), np.dtype(np.int16))
            else:
                tail = () if prop.dim == 1 else (prop.dim,)
                shapes[prop.key] = ((self.objects, *tail), np.dtype(np.float32))
        return shapes

    def feature_arrays(self) -> dict[str, ArraySpec]:
        """Dataset name -> (shape of one image's features, dtype)."""
        return {
            feature.key: ((feature.positions, feature.width), np.dtype(np.float16))
            for feature in self.features
        }

    def stored(self, *, features: bool = False) -> dict[str, ArraySpec]:
        """Dataset name -> (shape of one stored row, dtype): of an image, or of a clip (T, ...)."""
        lead = () if self.frames is None else (self.frames,)
        arrays = self.arrays() | (self.feature_arrays() if features else {})
        return {key: ((*lead, *shape), dtype) for key, (shape, dtype) in arrays.items()}

    @property
    def row_images(self) -> int:
        """How many images a stored row holds: 1, or the frames of a clip."""
        return self.frames or 1

    @property
    def rows_are(self) -> str:
        return "images" if self.frames is None else "clips"

    @property
    def schema(self) -> int:
        """The oldest schema version that describes such a file."""
        return 1 if self.frames is None else 2

    def empty(self, n: int) -> Batch:
        """A batch of n rows (images or clips) whose objects are all padding."""
        categorical = {prop.key for prop in self.properties if prop.kind == "categorical"}
        return {
            key: np.full((n, *shape), -1 if key in categorical else 0, dtype)
            for key, (shape, dtype) in self.stored().items()
        }

    def check(self, batch: Batch) -> int:
        """The number of rows in ``batch``; ValueError where an array breaks the layout."""
        expected = self.stored()
        if set(batch) != set(expected):
            raise ValueError(f"arrays {sorted(batch)}, expected {sorted(expected)}")
        n = len(batch["image"])
        for key, (shape, dtype) in expected.items():
            if batch[key].shape != (n, *shape) or batch[key].dtype != dtype:
                got = f"{batch[key].dtype} {batch[key].shape}"
                raise ValueError(f"{key}: {got}, expected {dtype} {(n, *shape)}")
        return n

    def to_json(self) -> str:
        fields = asdict(self)
        del fields["features"]
        # The text of image files, and so their fingerprints, stays as it was before video.
        if self.frames is None:
            del fields["frames"]
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        fields = json.loads(text)
        properties = tuple(
            Property(**{**prop, "classes": tuple(prop["classes"])}) for prop in fields["properties"]
        )
        # Those of a run's configuration; in a file they have an attribute of their own.
        features = tuple(Feature(**feature) for feature in fields.get("features", ()))
        return cls(
            fields["height"], fields["width"], fields["objects"], properties,
            fields.get("frames"), features,
        )  # fmt: skip


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
                key: spec for key, spec in stored.items()
                if key in group or not key.startswith("feature/")
            }  # fmt: skip
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


def fingerprint_of(file: h5py.File, layout: Layout) -> str:
    """sha256 over the layout and every array of ``train``, ``val`` and ``test`` but the features.

    It is a function of the content alone: compression, chunking, the number of workers and
    interruptions do not change it. Shifted test sets may be added later: they are no part of
    it, and have their own digests in the manifest.
    """
    digest = hashlib.sha256(layout.to_json().encode())
    for split in sorted(set(SPLITS) & set(file)):
        _update(digest, file, layout, split)
    return digest.hexdigest()


def split_digest(file: h5py.File, layout: Layout, split: str) -> str:
    """sha256 over the layout and every array of one split but the features."""
    digest = hashlib.sha256(layout.to_json().encode())
    _update(digest, file, layout, split)
    return digest.hexdigest()


def _update(digest: Any, file: h5py.File, layout: Layout, split: str) -> None:
    extra = (SHIFT_FLAGS,) if SHIFT_FLAGS in file[split] else ()
    for key in sorted((*layout.arrays(), *extra)):
        array = file[split][key]
        digest.update(f"{split}/{key}:{array.shape}".encode())
        for block in _blocks(array, layout):
            digest.update(block)


def feature_digest(
    file: h5py.File, layout: Layout, split: str, feature: Feature, fingerprint: str, teacher: str
) -> str:
    """sha256 of a feature array of a split, of what it was made from and by whom."""
    array = file[split][feature.key]
    digest = hashlib.sha256(f"{fingerprint}:{teacher}:{split}:{array.shape}".encode())
    for block in _blocks(array, layout):
        digest.update(block)
    return digest.hexdigest()


def _blocks(array: h5py.Dataset, layout: Layout) -> Iterator[bytes]:
    rows = max(1, 256 // layout.row_images)
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows]).tobytes()


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
