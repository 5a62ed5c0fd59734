"""Preparation that survives being killed: finished parts beside the file, joined at the end.

HDF5 files do not survive ``kill -9`` in the middle of a write, so images are first stored in
small ``.npz`` parts, each renamed into place when whole. A later call with the same recipe
takes up the parts that are there; the last step joins them into one HDF5 file under a
temporary name, renames that, and removes the parts.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from slotbench.datasets.format.digests import fingerprint_of, split_digest
from slotbench.datasets.format.schema import Batch, Layout
from slotbench.files import replacing, write_whole

SUFFIX = ".parts"


class Parts:
    """The folder of finished parts of the dataset at ``target``.

    Parts that were made by another recipe (another seed, size, source or generator) are
    removed: mixing them would give a file that no recipe describes.
    """

    def __init__(self, target: Path, recipe: Mapping[str, Any]) -> None:
        self.target = target
        self.folder = target.with_name(target.name + SUFFIX)
        text = json.dumps(recipe, sort_keys=True, indent=1)
        recipe_file = self.folder / "recipe.json"
        if self.folder.exists() and (not recipe_file.is_file() or recipe_file.read_text() != text):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(recipe_file, text.encode())

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def has(self, name: str) -> bool:
        return self.path(name).is_file()

    def names(self) -> list[str]:
        """The finished parts, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.npz"))

    def write(self, name: str, batch: Batch) -> None:
        with replacing(self.path(name)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **batch)  # type: ignore[arg-type]

    def read(self, name: str) -> Batch:
        with np.load(self.path(name), allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def join(
    target: Path,
    layout: Layout,
    splits: Mapping[str, Iterable[Batch]],
    attributes: Mapping[str, Any],
) -> str:
    """Write the batches of every split as one HDF5 file at ``target``; returns its fingerprint.

    The file has a temporary name until it is whole, among the parts where there are any: a call
    that is killed leaves nothing that their removal does not take away. ValueError where a batch
    breaks the layout.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    parts = target.with_name(target.name + SUFFIX)
    folder = parts if parts.is_dir() else None
    with replacing(target, folder) as temporary, h5py.File(temporary, "w") as file:
        for split, batches in splits.items():
            group = create(file, split, layout)
            for batch in batches:
                append(group, layout, batch)
        fingerprint = fingerprint_of(file, layout)
        manifest = json.dumps({split: split_digest(file, layout, split) for split in file})
        stored = {
            "schema": layout.schema,
            "layout": layout.to_json(),
            "manifest": manifest,
            **attributes,
        }
        for key, value in {**stored, "fingerprint": fingerprint}.items():
            file.attrs[key] = value
    return fingerprint


def create(file: h5py.File, split: str, layout: Layout) -> h5py.Group:
    """The group of a split, with arrays of no rows yet."""
    group = file.create_group(split)
    lead = () if layout.frames is None else (1,)
    for key, (shape, dtype) in layout.stored().items():
        # One chunk an image lets the loader read any image alone; small arrays share chunks.
        picture = key in ("image", "mask")
        chunks = (1, *lead, *shape[len(lead) :]) if picture else (1024, *shape)
        group.create_dataset(
            key,
            (0, *shape),
            dtype,
            maxshape=(None, *shape),
            chunks=chunks,
            compression="gzip",
            compression_opts=1,
        )
    for prop in layout.properties:
        described = group[prop.key].attrs
        described["kind"], described["unit"] = prop.kind, prop.unit
        if prop.classes:
            described["classes"] = list(prop.classes)
    return group


def append(group: h5py.Group, layout: Layout, batch: Batch) -> None:
    """Add rows; ValueError where the batch breaks the layout."""
    n = layout.check(batch)
    for key, array in batch.items():
        stored = group[key]
        stored.resize(len(stored) + n, axis=0)
        if n:
            stored[-n:] = array
