"""The layout of a prepared dataset: what its arrays are, and how one file is opened.

A file holds one group a split (``train``, ``val``, ``test``, and one for each shifted test
set). n images, O objects (padded), H x W pixels:

=====================  ===========================  =============================================
dataset                dtype, shape                 meaning
=====================  ===========================  =============================================
``image``              uint8 (n, H, W, 3)           one chunk an image
``mask``               uint8 (n, H, W)              0 background, 1..O objects, 255 not labelled
``visible``            bool (n, O)                  the object shows at least one pixel
``property/<name>``    float32 (n, O[, d]) or       attributes ``kind``, ``classes``, ``unit``;
                       int16 (n, O)                 padding is 0 (numeric) or -1 (categorical)
=====================  ===========================  =============================================
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from slotbench.errors import UserError

SCHEMA_VERSION = 1
NOT_LABELLED = 255
SPLITS = ("train", "val", "test")
REQUIRED_ATTRIBUTES = (
    "schema", "name", "variant", "origin", "sources", "generator", "seed", "image_size",
    "licence", "layout", "fingerprint",
)  # fmt: skip

Array = npt.NDArray[Any]
Batch = dict[str, Array]
"""Arrays of n images by dataset name: ``image``, ``mask``, ``visible``, ``property/<name>``."""


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
class Layout:
    """Shapes and dtypes of every array of a file."""

    height: int
    width: int
    objects: int
    properties: tuple[Property, ...]

    def arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Dataset name -> (shape of one image's entry, dtype)."""
        shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
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

    def empty(self, n: int) -> Batch:
        """A batch of n images whose objects are all padding."""
        categorical = {prop.key for prop in self.properties if prop.kind == "categorical"}
        return {
            key: np.full((n, *shape), -1 if key in categorical else 0, dtype)
            for key, (shape, dtype) in self.arrays().items()
        }

    def check(self, batch: Batch) -> int:
        """The number of images in ``batch``; ValueError where an array breaks the layout."""
        expected = self.arrays()
        if set(batch) != set(expected):
            raise ValueError(f"arrays {sorted(batch)}, expected {sorted(expected)}")
        n = len(batch["image"])
        for key, (shape, dtype) in expected.items():
            if batch[key].shape != (n, *shape) or batch[key].dtype != dtype:
                got = f"{batch[key].dtype} {batch[key].shape}"
                raise ValueError(f"{key}: {got}, expected {dtype} {(n, *shape)}")
        return n

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        fields = json.loads(text)
        properties = tuple(
            Property(**{**prop, "classes": tuple(prop["classes"])}) for prop in fields["properties"]
        )
        return cls(fields["height"], fields["width"], fields["objects"], properties)


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
            self.layout = Layout.from_json(self.attributes["layout"])
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

    def _check_splits(self) -> None:
        for split in SPLITS:
            if split not in self.file:
                raise UserError(f"{self.path}: split {split!r} is missing.")
        for split in self.splits:
            n = None
            for key, (shape, dtype) in self.layout.arrays().items():
                if key not in self.file[split]:
                    raise UserError(f"{self.path}: {split}/{key} is missing.")
                array = self.file[split][key]
                n = len(array) if n is None else n
                if array.shape != (n, *shape) or array.dtype != dtype:
                    raise UserError(
                        f"{self.path}: {split}/{key} is {array.dtype} {array.shape}, "
                        f"expected {dtype} {(n, *shape)}."
                    )

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.file)

    @property
    def fingerprint(self) -> str:
        return str(self.attributes["fingerprint"])

    @property
    def reference(self) -> str:
        """How a user names this dataset: ``name:variant``."""
        return f"{self.attributes['name']}:{self.attributes['variant']}"

    def size(self, split: str) -> int:
        """The number of images of a split; :class:`UserError` where there is no such split."""
        if split not in self.file:
            raise UserError(f"{self.path} has no split {split!r}; it has {', '.join(self.splits)}.")
        return len(self.file[split]["image"])

    def read(
        self,
        split: str,
        start: int = 0,
        stop: int | None = None,
        keys: tuple[str, ...] | None = None,
    ) -> Batch:
        """Images ``start`` to ``stop`` of a split, as arrays by dataset name."""
        n = self.size(split)
        stop = n if stop is None else min(stop, n)
        group = self.file[split]
        try:
            return {key: group[key][start:stop] for key in keys or tuple(self.layout.arrays())}
        except OSError as error:
            raise UserError(
                f"{self.path}: {split}, images {start} to {stop}, cannot be read; the file is "
                "damaged.",
                "Prepare it again, with --force.",
            ) from error

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
    """sha256 over the layout and every array of every split, in a fixed order.

    It is a function of the content alone: compression, chunking, the number of workers and
    interruptions do not change it.
    """
    digest = hashlib.sha256(layout.to_json().encode())
    for split in sorted(file):
        for key in sorted(layout.arrays()):
            array = file[split][key]
            digest.update(f"{split}/{key}:{array.shape}".encode())
            for start in range(0, len(array), 256):
                digest.update(np.ascontiguousarray(array[start : start + 256]).tobytes())
    return digest.hexdigest()


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
