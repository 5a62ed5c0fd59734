"""The layout of a prepared dataset: what its arrays are.

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

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

SCHEMA_VERSION = 2
"""The newest that is read. A file says the oldest that describes it: 1 for images, 2 for video."""
NOT_LABELLED = 255
OBJECTS = "objects"
"""Attribute of a shifted test set that has more objects than the file's layout."""
REQUIRED_ATTRIBUTES = (
    "schema",
    "name",
    "variant",
    "origin",
    "sources",
    "generator",
    "seed",
    "image_size",
    "licence",
    "layout",
    "fingerprint",
)

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
            fields["height"],
            fields["width"],
            fields["objects"],
            properties,
            fields.get("frames"),
            features,
        )
