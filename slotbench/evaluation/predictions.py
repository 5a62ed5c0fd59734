"""A file of predictions by a model that was trained elsewhere; its content is not trusted.

An .npz or HDF5 file with arrays for the test split, n images in its order. Arrays for ``train`` and
``val`` have the same names after ``train_`` or ``val_``:

==================  =====================  ======================================================
array               dtype, shape           meaning
==================  =====================  ======================================================
``masks``           float (n, K, h, w), or  masks >= 0, or label maps with labels from 0; the user
                    whole (n, h, w)         says beside the file which source they are
``<source>_masks``  as ``masks``            the same where a file holds masks of several sources
``slots``           float (n, K, D)         slot k belongs to mask k
==================  =====================  ======================================================

docs/predictions.md says which metrics each array allows. Nothing is unpickled. Shapes are checked
before an array is read. HDF5 is read in blocks of images, an array of an .npz as a whole.
"""

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from slotbench.datasets.format.dataset_file import DatasetFile, names_in, opened, storage_problem
from slotbench.datasets.format.schema import Array
from slotbench.errors import UserError
from slotbench.evaluation.masks import SOURCES
from slotbench.files import no_file

PREFIXES = {"test": "", "train": "train_", "val": "val_"}
NAMES = ("masks", *(f"{source}_masks" for source in SOURCES), "slots")
ARRAYS = tuple(prefix + name for prefix in PREFIXES.values() for name in NAMES)
MOST_SLOTS, MOST_SIDE, MOST_WIDTH = 255, 4096, 1 << 16
MOST_BYTES = 1 << 33
"""Largest array that is held in memory: slots, and any array of an .npz."""
MOST_IMAGE_VALUES = 1 << 27
"""Most mask values of one image."""
BLOCK = 1 << 23
"""Values that are read at a time."""
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Info:
    """Shape and dtype that an array declares."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


@dataclass(frozen=True)
class Given:
    """The arrays that a file has for one split; their shapes have been checked."""

    split: str
    count: int
    """How many of its images are used: the first ones."""
    masks: Mapping[str, str]
    """Mask source -> name of its array."""
    slots: str | None
    """Name of the array of slots."""


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turns any exception of h5py, zipfile or NumPy into one :class:`UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{what} cannot be read ({why}).", "Copy or write it again.") from error


class PredictionFile:
    """An open file: its ``arrays`` among :data:`ARRAYS`, and the names of all ``others``.

    :class:`UserError` where it is missing or is neither .npz nor HDF5, and, naming the array,
    where one does not hold plain numbers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: zipfile.ZipFile | h5py.File
        if fault := no_file(path):
            raise UserError(f"--predictions {path}: {fault}.")
        with _reading(str(path)):
            if zipfile.is_zipfile(path):
                self.file = zipfile.ZipFile(path)
                names = [name.removesuffix(".npy") for name in self.file.namelist()]
            elif h5py.is_hdf5(path):
                self.file = opened(path)
                names = names_in(self.file)
            else:
                raise UserError(
                    f"{path} is neither an .npz file nor HDF5.",
                    "Write it with numpy.savez_compressed or h5py; docs/predictions.md has an "
                    "example.",
                )
        self.others = tuple(name for name in names if name not in ARRAYS)
        self.arrays: dict[str, Info] = {}
        try:
            for name in (name for name in names if name in ARRAYS):
                if name in self.arrays:
                    raise self.fail(name, "is there twice")
                with _reading(f"{path}: array {name!r}"):
                    self.arrays[name] = self._info(name)
        except UserError:
            self.file.close()
            raise

    def __enter__(self) -> "PredictionFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def fail(self, name: str, problem: str, advice: str = "") -> UserError:
        """The error that names the file."""
        return UserError(f"{self.path}: array {name!r} {problem}.", advice)

    def blocks(self, name: str, count: int) -> Iterator[tuple[int, Array]]:
        """The first ``count`` entries of an array, some at a time, each block with its start."""
        step = max(1, BLOCK // max(1, math.prod(self.arrays[name].shape[1:])))
        with _reading(f"{self.path}: array {name!r}"):
            if isinstance(self.file, h5py.File):
                array = self.file[name]
                if array.chunks:  # whole chunks at a time, so that each is unpacked once
                    step = max(step // array.chunks[0], 1) * array.chunks[0]
            else:
                with self.file.open(f"{name}.npy") as stream:
                    array = np.lib.format.read_array(stream, allow_pickle=False)
            for start in range(0, count, step):
                yield start, array[start : min(start + step, count)]

    def _info(self, name: str) -> Info:
        if isinstance(self.file, h5py.File):
            info = self._hdf5_info(self.file, name)
        else:
            with self.file.open(f"{name}.npy") as stream:
                shape, _, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
            info = Info(tuple(int(side) for side in shape), dtype)
            if math.prod(shape) * dtype.itemsize > MOST_BYTES:
                raise self.fail(name, f"is {info}, more than 8 GiB", "Write it as HDF5.")
        if info.dtype.hasobject:
            advice = "Save it as an array of numbers."
            raise self.fail(name, "holds Python objects, which are never unpickled", advice)
        if info.dtype.kind not in "biuf":
            raise self.fail(name, f"is of dtype {info.dtype}; expected numbers")
        return info

    def _hdf5_info(self, file: h5py.File, name: str) -> Info:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise self.fail(name, "is a link to elsewhere; expected the array itself")
        array = file[name]
        if not isinstance(array, h5py.Dataset) or array.shape is None:
            raise self.fail(name, "is no array")
        if problem := storage_problem(array):
            raise self.fail(name, problem)
        return Info(array.shape, array.dtype)


def plan(
    file: PredictionFile,
    dataset: DatasetFile,
    limits: Mapping[str, int],
    source: str,
    notes: list[str],
) -> dict[str, Given]:
    """The file's arrays for each split, with their shapes checked.

    ``limits`` says how many images of each split an evaluation uses: a file holds those, or all
    of the split. ``source`` is the mask source of the arrays named ``masks``. ``notes`` takes
    remarks for the user on how the file was read.

    :class:`UserError`, naming file and array, where nothing is there for the test split, or where a
    number of images, a number of axes or a size is not as expected.
    """
    found: dict[str, Given] = {}
    for split, prefix in PREFIXES.items():
        used = min(limits[split], dataset.size(split))
        masks = _masks_of(file, prefix, source)
        slots = f"{prefix}slots" if f"{prefix}slots" in file.arrays else None
        named = [*masks.values(), *([slots] if slots else [])]
        for name in named:
            _check_shape(file, name, dataset, split, used)
        # Masks and slots must agree in K; label maps do not state it.
        counts = {
            name: file.arrays[name].shape[1]
            for name in named
            if name == slots or len(file.arrays[name].shape) == 4
        }
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
            raise UserError(f"{file.path}: {listed} slots an image; slot k belongs to mask k.")
        if named:
            found[split] = Given(split, used, masks, slots)
    if "test" not in found:
        have = ", ".join(repr(name) for name in (*file.arrays, *file.others)[:8]) or "no array"
        raise UserError(
            f"{file.path} has neither 'masks' nor 'slots' for the test split; it has {have}.",
            "docs/predictions.md describes the layout.",
        )
    if file.others:
        notes.append(f"arrays that are not part of the layout: {', '.join(file.others[:8])}")
    widths = {
        given.slots: file.arrays[given.slots].shape[2] for given in found.values() if given.slots
    }
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise UserError(f"{file.path}: slots differ in width: {listed}; expected one model's.")
    return found


def _masks_of(file: PredictionFile, prefix: str, source: str) -> dict[str, str]:
    named = {kind: f"{prefix}{kind}_masks" for kind in SOURCES}
    masks = {kind: name for kind, name in named.items() if name in file.arrays}
    plain = f"{prefix}masks"
    if plain in file.arrays:
        if source in masks:
            raise UserError(
                f"{file.path} holds both {plain!r} and {masks[source]!r}, and {plain!r} are taken "
                f"for {source} masks.",
                "Leave one of them out, or name the other --mask-source.",
            )
        masks[source] = plain
    return masks


def _check_shape(
    file: PredictionFile, name: str, dataset: DatasetFile, split: str, used: int
) -> None:
    info, size, layout = file.arrays[name], dataset.size(split), dataset.layout
    shape, slots = info.shape, name.endswith("slots")
    expected = "float (n, K, D)" if slots else "float (n, K, h, w) or whole numbers (n, h, w)"

    def fail(problem: str, advice: str = "") -> UserError:
        return UserError(f"{file.path}: array {name!r} is {info}: {problem}.", advice)

    if len(shape) not in ((3,) if slots else (3, 4)):
        raise fail(f"expected {expected}")
    if not slots and len(shape) == 3 and info.dtype.kind == "f":
        raise fail(f"a label map holds whole numbers; expected {expected}")
    if shape[0] not in (size, used):
        also = f", or the first {used:,}" if used != size else ""
        many = "more than there are" if shape[0] > size else f"expected {size:,}{also}"
        raise fail(
            f"{shape[0]:,} images, {many}",
            f"{dataset.reference} has {size:,} images in {split}; write one entry for each, in "
            "their order.",
        )
    if min(shape) < 1:
        raise fail("an axis is empty")
    if slots:
        if shape[1] > MOST_SLOTS or shape[2] > MOST_WIDTH:
            raise fail(f"at most {MOST_SLOTS} slots of width {MOST_WIDTH:,} are read")
        if 4 * used * shape[1] * shape[2] > MOST_BYTES:
            raise fail("it needs more than 8 GiB as float32")
        return
    if len(shape) == 4 and _slots_last(shape, layout.height, layout.width):
        advice = f"Save {name}.transpose(0, 3, 1, 2), which is (n, K, h, w)."
        raise fail("it looks like (n, h, w, K)", advice)
    if len(shape) == 4 and shape[1] > MOST_SLOTS:
        raise fail(f"{shape[1]} masks an image, more than {MOST_SLOTS}")
    if max(shape[-2:]) > MOST_SIDE:
        raise fail(f"masks have at most {MOST_SIDE} pixels a side")
    if math.prod(shape[1:]) > MOST_IMAGE_VALUES:
        raise fail(f"more than {MOST_IMAGE_VALUES:,} values an image")


def _slots_last(shape: tuple[int, ...], height: int, width: int) -> bool:
    """Whether axes 1 and 2 have the image's aspect ratio, and axes 2 and 3 have not."""
    _, first, second, third = shape
    return first * width == second * height and second * width != third * height


def read_slots(file: PredictionFile, given: Given) -> Array | None:
    """Slots float32 (n, K, D); :class:`UserError` naming the image where one is not finite."""
    if given.slots is None:
        return None
    blocks = file.blocks(given.slots, given.count)
    return np.concatenate([_finite(file, given.slots, *block) for block in blocks])


def read_masks(file: PredictionFile, given: Given, source: str) -> Iterator[Tensor]:
    """Masks float32 (b, K, h, w) in the order of the images, some images at a time.

    :class:`UserError`, naming array and image, where a mask is negative or not finite, or where a
    label is negative, above 254 or above the number of slots.
    """
    name = given.masks[source]
    if len(file.arrays[name].shape) == 3:
        slots = _label_count(file, given, name)
        for _, block in file.blocks(name, given.count):
            step = max(1, BLOCK // (slots * math.prod(block.shape[1:])))
            for part in np.split(block, range(step, len(block), step)):
                labels = torch.from_numpy(part.astype(np.int64))
                yield functional.one_hot(labels, slots).permute(0, 3, 1, 2).float()
        return
    for start, block in file.blocks(name, given.count):
        values = _finite(file, name, start, block)
        negative = (values < 0).reshape(len(values), -1).any(axis=1)
        if negative.any():
            image = start + int(negative.argmax())
            raise file.fail(
                name,
                f"holds negative values in image {image}; expected masks from 0",
                "If they are logits, take their softmax over slots.",
            )
        yield torch.from_numpy(values)


def _finite(file: PredictionFile, name: str, start: int, block: Array) -> Array:
    """A block as float32; ``start`` is the position of its first image."""
    with np.errstate(over="ignore"):  # overflow gives infinity, which is named below
        values = np.array(block, np.float32)
    good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not good.all():
        raise file.fail(
            name,
            f"holds NaN or infinite values in image {start + int(good.argmin())}",
            "If they are half precision, they may have overflowed: save float32.",
        )
    return values


def _label_count(file: PredictionFile, given: Given, name: str) -> int:
    """K of label maps: the number of slots, else one more than the greatest label."""
    low, high = 0, 0
    for _, block in file.blocks(name, given.count):
        low, high = min(low, int(block.min())), max(high, int(block.max()))
    if low < 0 or high >= MOST_SLOTS:
        raise file.fail(
            name,
            f"holds labels {low} to {high}; expected 0 to {MOST_SLOTS - 1}",
            "255 marks pixels that the truth leaves open; a prediction names a slot everywhere.",
        )
    known = file.arrays[given.slots].shape[1] if given.slots else high + 1
    if high >= known:
        raise file.fail(name, f"holds label {high}, and there are {known} slots an image")
    return known
