"""Hashes of a prepared file: its recipe, its content, each split, each feature array."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import h5py

from slotbench.datasets.format.schema import SHIFT_FLAGS, SPLITS, Feature, Layout

RECIPE = ("name", "variant", "generator", "seed", "image_size")


def recipe_of(attributes: Mapping[str, Any], layout: Layout, rows: Mapping[str, int]) -> str:
    """sha256 of how a rendered dataset is made; ``rows`` counts images or clips by split.

    It covers name, variant, generator with its version, seed, image size, the sizes of ``train``,
    ``val`` and ``test``, and the layout. Shifted test sets and features may be added later.
    """
    made = {
        **{key: attributes[key] for key in RECIPE},
        "sizes": {split: rows[split] for split in SPLITS},
        "layout": json.loads(layout.to_json()),
    }
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


def fingerprint_of(file: h5py.File, layout: Layout) -> str:
    """:func:`split_digest` of ``train``, ``val`` and ``test``.

    It does not depend on compression, chunks, workers or interruptions. Shifted test sets may be
    added later: they have their own digests in the manifest.
    """
    return split_digest(file, layout, *sorted(set(SPLITS) & set(file)))


def split_digest(file: h5py.File, layout: Layout, *splits: str) -> str:
    """sha256 of the layout and of every array of some splits, without features."""
    digest = hashlib.sha256(layout.to_json().encode())
    for split in splits:
        extra = (SHIFT_FLAGS,) if SHIFT_FLAGS in file[split] else ()
        for key in sorted((*layout.arrays(), *extra)):
            array = file[split][key]
            digest.update(f"{split}/{key}:{array.shape}".encode())
            _update(digest, array, layout)
    return digest.hexdigest()


def feature_digest(
    file: h5py.File, layout: Layout, split: str, feature: Feature, fingerprint: str, teacher: str
) -> str:
    """sha256 of a split's features, with the fingerprint of the file and the teacher."""
    array = file[split][feature.key]
    digest = hashlib.sha256(f"{fingerprint}:{teacher}:{split}:{array.shape}".encode())
    _update(digest, array, layout)
    return digest.hexdigest()


def _update(digest: Any, array: h5py.Dataset, layout: Layout) -> None:
    rows = max(1, 256 // layout.row_images)
    for start in range(0, len(array), rows):
        digest.update(array[start : start + rows].tobytes())
