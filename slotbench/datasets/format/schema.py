"""The layout of a prepared dataset: shapes and dtypes of its arrays (table: docs/datasets.md).

A file has one group for each split: ``train``, ``val``, ``test`` and the shifted test sets. A group
of n images, H x W pixels, at most O objects holds ``image`` uint8 (n, H, W, 3), ``mask`` uint8
(n, H, W), ``visible`` bool (n, O), ``property/<name>`` float32 (n, O[, d]) or int16 (n, O), and
``feature/<teacher>`` float16 (n, N, F). In a video file n counts clips of T frames, and T follows
n in every shape.

A shifted test set may have more objects (attribute ``objects`` of its group), flags of changed
objects (``shift/changed``) and no features. Its codes are -1 for classes that ``train`` lacks.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Interval
from pydantic import AfterValidator, Field, Json, TypeAdapter, ValidationError

from slotbench.files import Document

SCHEMA_VERSION = 2
"""The newest schema that is read. Image files are written with schema 1, videos with 2."""
NOT_LABELLED = 255
OBJECTS = "objects"
"""Attribute of a shifted test set that has more objects than the file's layout."""
Size = Annotated[int, Interval(ge=1, le=1 << 16)]

Array = npt.NDArray[Any]
Batch = dict[str, Array]
"""Arrays (n, ...) of images, or (n, T, ...) of clips, by their names in the file."""
ArraySpec = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape without n, dtype."""


def check_name(what: str, name: str) -> str:
    """The name; ValueError where it could be a path or a control sequence."""
    if not 0 < len(name) <= 100 or name[0] == "." or {*name} & {*"/\\"} or not name.isprintable():
        raise ValueError(f"{what} cannot be called {name!r}".strip())
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


Name = Annotated[str, AfterValidator(partial(check_name, ""))]
Printable = Annotated[str, AfterValidator(_printable)]


@dataclass(frozen=True)
class Property:
    """One property of an object: numeric with ``dim`` dimensions, or one of ``classes``."""

    name: str
    kind: Literal["numeric", "categorical"]
    dim: Size = 1
    classes: tuple[str, ...] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        check_name("a property", self.name)

    @property
    def key(self) -> str:
        """Name of its array in the file."""
        return f"property/{self.name}"


def categorical(classes: Mapping[str, Iterable[str]]) -> tuple[Property, ...]:
    """Categorical properties, by name and classes."""
    return tuple(
        Property(name, "categorical", classes=(*names,)) for name, names in classes.items()
    )


@dataclass(frozen=True)
class Feature:
    """Frozen features of a teacher: float16 (positions, width) for each image."""

    name: str
    positions: Size
    width: Size

    def __post_init__(self) -> None:
        check_name("a feature", self.name)

    @property
    def key(self) -> str:
        """Name of its array in the file."""
        return f"feature/{self.name}"


@dataclass(frozen=True)
class Layout:
    """Shapes and dtypes of every array of a file."""

    height: Size
    width: Size
    objects: Annotated[int, Interval(ge=0, lt=NOT_LABELLED)]
    properties: tuple[Property, ...]
    frames: Size | None = None
    """Frames of each clip; None: the file holds images."""
    features: tuple[Feature, ...] = ()
    """A file lists them in an attribute: neither :meth:`to_json` nor the fingerprint has them."""

    def __post_init__(self) -> None:
        for name, count in Counter(prop.name for prop in self.properties).items():
            if count > 1:
                raise ValueError(f"{count} properties are called {name!r}")

    def arrays(self) -> dict[str, ArraySpec]:
        """Array name -> (shape of one image's entry, dtype), without features."""
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

    def stored(self, *, features: bool = False) -> dict[str, ArraySpec]:
        """Array name -> (shape of one stored row, dtype). A row is an image, or a clip (T, ...)."""
        lead = () if self.frames is None else (self.frames,)
        arrays = self.arrays()
        for each in self.features if features else ():
            arrays[each.key] = ((each.positions, each.width), np.dtype(np.float16))
        return {key: ((*lead, *shape), dtype) for key, (shape, dtype) in arrays.items()}

    @property
    def row_images(self) -> int:
        """How many images a stored row holds: 1, or the frames of a clip."""
        return self.frames or 1

    @property
    def rows_are(self) -> str:
        """``images`` or ``clips``."""
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
        for key in sorted(batch.keys() ^ expected.keys()):
            raise ValueError(f"{key}: {'missing' if key in expected else 'not in the layout'}")
        n = len(batch["image"])
        for key, (shape, dtype) in expected.items():
            if batch[key].shape != (n, *shape) or batch[key].dtype != dtype:
                got = f"{batch[key].dtype} {batch[key].shape}"
                raise ValueError(f"{key}: {got}, expected {dtype} {(n, *shape)}")
        return n

    def problem(self, batch: Batch) -> str:
        """How the values of rows break the schema; empty where they do not.

        ``batch`` may hold only some arrays. Properties need ``visible`` beside them.
        """
        mask, visible = batch.get("mask"), batch.get("visible")
        if mask is not None:
            labels = mask[(mask != NOT_LABELLED) & (mask > self.objects)]
            if labels.size:
                return f"mask has label {labels[0]}, expected 0 to {self.objects} or {NOT_LABELLED}"
        if mask is not None and visible is not None:
            # An image without masks has no labelled pixel; its visibility is all that is known.
            labelled = (mask != NOT_LABELLED).any(axis=(-2, -1))
            if ((shown(mask, self.objects) > 0) != visible)[labelled].any():
                return "visible does not say which objects show a pixel"
        changed = batch.get(SHIFT_FLAGS)
        if changed is not None and visible is not None and (changed & ~visible).any():
            return "an object that is not visible is flagged as changed"
        for prop in (prop for prop in self.properties if prop.key in batch):
            values = batch[prop.key][visible]
            if prop.kind == "categorical":
                # A changed object may have a class that the others never have.
                new = False if changed is None else changed[visible] & (values == -1)
                if not ((values >= 0) & (values < len(prop.classes)) | new).all():
                    return f"{prop.key} has a code outside 0 to {len(prop.classes) - 1}"
            elif not np.isfinite(values).all():
                return f"{prop.key} is not finite"
        return ""

    def to_json(self) -> str:
        """The layout as JSON text, as the file stores it."""
        fields = asdict(self)
        del fields["features"]
        # Image files have no "frames", so that their fingerprints stay those of schema 1.
        if self.frames is None:
            del fields["frames"]
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        """The layout of :meth:`to_json`'s text; ValueError names the field that does not fit."""
        try:
            return TypeAdapter(cls).validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


class Attributes(Document):
    """The attributes of a file, without its schema version; it may have more."""

    name: Name
    variant: Name
    origin: Literal["rendered", "original"]
    generator: Printable
    seed: int
    image_size: int
    licence: Printable
    fingerprint: Name
    sources: Json[list[dict[str, Any]]]
    layout: Json[Layout]
    features: Json[tuple[Feature, ...]] = ()
    manifest: Json[dict[str, str]] = Field(default_factory=dict)


def shown(mask: Array, objects: int) -> Array:
    """Pixels of labels 1 to ``objects`` in masks uint8 (..., H, W), int64 (..., objects)."""
    flat = mask.reshape(-1, math.prod(mask.shape[-2:]))
    counts = [np.bincount(row, minlength=objects + 1)[1 : objects + 1] for row in flat]
    return np.array(counts, np.int64).reshape(*mask.shape[:-2], objects)


SPLITS = ("train", "val", "test")
SHIFTED = "test-"
"""Prefix of the names of shifted test sets."""
SHIFT_FLAGS = "shift/changed"
"""bool (n, [T,] O): the changed objects, in test sets whose shift changes single objects."""
_CALLED = {"training": "train", "testing": "test"} | dict.fromkeys(
    ("valid", "validation", "dev"), "val"
)


def split_called(folder: str) -> str | None:
    """The split of a folder name such as ``valid`` or ``testing``; None for other names."""
    name = _CALLED.get(folder.lower(), folder.lower())
    return name if name in SPLITS or name.startswith(SHIFTED) else None


_HEX = "e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7 332288 882255 44aa99 999933 aa4499"
PALETTE = np.frombuffer(bytes.fromhex(_HEX), np.uint8).reshape(-1, 3)
"""sRGB of objects; colour-blind readers can distinguish the first seven."""
BACKGROUND = (40, 40, 40)
UNLABELLED = (255, 255, 255)
LABEL_COLORS = PALETTE[(np.arange(256) - 1) % len(PALETTE)]
"""uint8 (256, 3): the colour of each label of a mask."""
LABEL_COLORS[0], LABEL_COLORS[NOT_LABELLED] = BACKGROUND, UNLABELLED
