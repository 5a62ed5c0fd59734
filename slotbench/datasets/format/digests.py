"""Hashes of a prepared file: its fingerprint, and one of each split and feature array."""

import hashlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from slotbench.datasets.format.schema import Feature, Layout
from slotbench.datasets.format.splits import SHIFT_FLAGS, SPLITS


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
