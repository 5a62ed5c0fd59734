"""Reading the arrays of a prediction file whose layout has been checked, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from slotbench.datasets.format.schema import Array
from slotbench.errors import UserError
from slotbench.evaluation.prediction_file import PredictionFile
from slotbench.evaluation.predictions import MOST_SLOTS, Given, Notes

_BLOCK_NUMBERS = 1 << 23
"""Mask values that are worked on at a time."""


def read_slots(file: PredictionFile, given: Given) -> Array | None:
    """Slots float32 (n, K, D); :class:`UserError` naming the image where one is not finite."""
    if given.slots is None:
        return None
    parts, start = [], 0
    for block in file.blocks(given.slots, given.count):
        values = np.asarray(block, np.float32)
        _finite(file, given.slots, values, start)
        parts.append(values)
        start += len(values)
    return np.concatenate(parts)


def _finite(file: PredictionFile, name: str, values: Array, start: int) -> None:
    good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not good.all():
        raise UserError(
            f"{file.path}: array {name!r} holds NaN or infinite values in image "
            f"{start + int(good.argmin())}.",
            "If they are half precision, they may have overflowed: save float32.",
        )


@dataclass
class MaskReader:
    """The masks of one array, as float32 blocks (b, K, h, w) in the order of the images."""

    file: PredictionFile
    name: str
    count: int
    slots: int
    """K."""
    size: tuple[int, int]
    """h, w."""
    sums: tuple[float, float] = (float("inf"), float("-inf"))
    """Least and greatest sum over slots at a pixel of what has been read."""

    @property
    def label_map(self) -> bool:
        return len(self.file.arrays[self.name].shape) == 3

    @classmethod
    def of(cls, file: PredictionFile, given: Given, source: str) -> "MaskReader":
        """:class:`UserError` where a label map holds negative labels or 255 or above."""
        name = given.masks[source]
        info = file.arrays[name]
        size = (info.shape[-2], info.shape[-1])
        if len(info.shape) == 4:
            return cls(file, name, given.count, info.shape[1], size)
        known = file.arrays[given.slots].shape[1] if given.slots else None
        return cls(file, name, given.count, _labels(file, name, given.count, known), size)

    def blocks(self) -> Iterator[Tensor]:
        """:class:`UserError` naming the image where a mask is negative or not finite."""
        start, step = 0, max(1, _BLOCK_NUMBERS // (self.slots * self.size[0] * self.size[1]))
        for block in self.file.blocks(self.name, self.count):
            for first in range(0, len(block), step):
                part = block[first : first + step]
                if self.label_map:
                    yield one_hot(part, self.slots)
                else:
                    values = np.asarray(part, np.float32)
                    self._check(values, start + first)
                    yield torch.from_numpy(np.array(values))  # blocks may be read-only
            start += len(block)

    def _check(self, values: Array, start: int) -> None:
        _finite(self.file, self.name, values, start)
        negative = (values < 0).reshape(len(values), -1).any(axis=1)
        if negative.any():
            raise UserError(
                f"{self.file.path}: array {self.name!r} holds negative values in image "
                f"{start + int(negative.argmax())}; expected masks from 0.",
                "If they are logits, take their softmax over slots.",
            )
        sums = values.sum(axis=1)
        self.sums = min(self.sums[0], float(sums.min())), max(self.sums[1], float(sums.max()))

    def explain(self, size: tuple[int, int], notes: Notes) -> None:
        """Says how the masks were read, where that is not plain; after :meth:`blocks`."""
        if self.size != size:
            notes.add(
                f"{self.name}: {self.size[0]}x{self.size[1]}, resized bilinearly to "
                f"{size[0]}x{size[1]} before the argmax"
            )
        if not self.label_map and not self.sums_to_one:
            notes.add(
                f"{self.name}: sums over slots lie in [{self.sums[0]:.3g}, {self.sums[1]:.3g}], "
                "not at 1; read as scores, the greatest at a pixel wins it"
            )

    @property
    def sums_to_one(self) -> bool:
        """Whether all sums were about 1, as those of a softmax in half precision are."""
        return 0.98 < self.sums[0] <= self.sums[1] < 1.02


def one_hot(labels: Array, slots: int) -> Tensor:
    """Masks float32 (b, K, h, w) of label maps of whole numbers (b, h, w) in [0, K)."""
    index = torch.from_numpy(np.asarray(labels).astype(np.int64))
    return functional.one_hot(index, slots).permute(0, 3, 1, 2).float()


def _labels(file: PredictionFile, name: str, count: int, known: int | None) -> int:
    """K of label maps: that of the slots, else one more than the greatest label."""
    low, high = 0, 0
    for block in file.blocks(name, count):
        low, high = min(low, int(block.min())), max(high, int(block.max()))
    if low < 0 or high >= MOST_SLOTS:
        raise UserError(
            f"{file.path}: array {name!r} holds labels {low} to {high}; expected 0 to "
            f"{MOST_SLOTS - 1}.",
            "255 marks pixels that the truth leaves open; a prediction names a slot everywhere.",
        )
    if known is not None and high >= known:
        raise UserError(
            f"{file.path}: array {name!r} holds label {high}, and there are {known} slots an image."
        )
    return high + 1 if known is None else known
