"""``folder``: images of your own, with masks and properties where you have them.

Masks are PNGs, ``<stem>_mask.png`` beside the image, or with the image's name in a folder
``masks`` that stands beside the image, beside a folder ``images`` that holds it, or further up
and repeats the folders below. Properties are in ``properties.csv``: see :mod:`folder_table`.
"""

import hashlib
import os
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from slotbench.datasets.dataset import Importer
from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Layout
from slotbench.datasets.format.splits import SHIFTED, SPLITS
from slotbench.datasets.originals.folder_table import Table, read_table
from slotbench.datasets.originals.images import fit, read_image, read_labels
from slotbench.datasets.originals.tree import (
    OriginalOnly,
    Split,
    TreeImporter,
    folder_at,
    listing,
    load,
    shown,
    status_of,
)
from slotbench.errors import UserError
from slotbench.progress import bar, say
from slotbench.registry import register

IMAGES, MASKS, TABLE = "images", "masks", "properties.csv"
SUFFIXES = (".png", ".jpg", ".jpeg")
MASK_ENDING = "_mask.png"
UNKNOWN = 10
"""Objects that there is room for where neither masks nor a table say how many there are; the
number of slots follows from it."""
EXPECTED = "a folder of PNG or JPEG images"

Names = list[PurePosixPath]


@register("datasets")
class Folder(OriginalOnly):
    """Any folder of images; without masks all pixels are not labelled."""

    summary = "images of your own, with masks and properties where you have them"
    source = "slotbench, docs/datasets.md"
    name = "folder"
    variants = ("default",)
    licence = "that of the images"
    unpacks = True
    obtain: ClassVar[str] = "Type: slotbench prepare folder --from DIR, with a folder of images."

    def provenance(self, source: Path) -> dict[str, str]:
        """Names and sizes of the files: another folder, or one that has changed, differs."""
        images, masks, table, _ = _sort_out(folder_at(source, EXPECTED))
        names, digest = sorted([*images, *masks, *table]), hashlib.sha256()
        for name in names:
            digest.update(os.fsencode(f"{name}\0{status_of(source / name).st_size}\0"))
        text = f"{source.resolve().name}: {len(names)} files, {digest.hexdigest()[:12]}"
        return {"folder": shown(text)}

    def importer(self, path: Path) -> Importer:
        return FolderImporter(folder_at(path, EXPECTED), self.image_size)


class FolderImporter(TreeImporter):
    """Streams the images of a folder, split after split, each sorted by name."""

    def __init__(self, root: Path, image_size: int) -> None:
        images, masks, table, rest = _sort_out(root)
        if rest:
            kinds = ", ".join(f"{count} {shown(kind)}" for kind, count in rest.most_common(5))
            say(f"Left out, being neither PNG nor JPEG: {kinds}.")
        names, splits = _by_split(images)
        matched = _match(root, images, masks)
        self.names = names
        self.masks = {name: matched[name] for name in names if name in matched}
        highest = self._scan(root)
        self.table: Table | None = None
        others = []
        if table:
            data = load(root / TABLE, shown(root / TABLE))
            self.table = read_table(data, shown(root / TABLE), names)
            others.append({"file": TABLE, "sha256": hashlib.sha256(data).hexdigest()})
            highest = max(highest, self.table.highest)
        properties = self.table.properties if self.table else ()
        known = bool(self.masks or self.table)
        objects = max(1, highest) if known else UNKNOWN
        layout = Layout(image_size, image_size, objects, properties)
        records = [
            tuple(str(file) for file in (name, self.masks.get(name)) if file) for name in names
        ]
        super().__init__(root, layout, records, splits, others)
        self.rule = (
            "the folders train, val, test and test-*"
            if splits
            else "sorted by name, the first 70 %, the next 15 %, the last 15 %"
        )

    def _scan(self, root: Path) -> int:
        """The highest label of all masks."""
        found: set[int] = set()
        if self.masks:
            with bar("Looking at masks", len(self.masks)) as progress:
                for done, mask in enumerate(self.masks.values(), start=1):
                    path = shown(root / mask)
                    found.update(np.unique(read_labels(load(root / mask, path), path)).tolist())
                    progress.set(done)
        if NOT_LABELLED in found and found <= {0, NOT_LABELLED}:
            raise UserError(
                f"{shown(root)}: all masks hold 0 and {NOT_LABELLED} alone, and {NOT_LABELLED} "
                "says that a pixel is not labelled.",
                "Store the number of the object, from 1, in each of its pixels.",
            )
        return max(found - {NOT_LABELLED}, default=0)

    def image(self, record: int, contents: list[bytes]) -> tuple[Array, Array | None, Batch]:
        name, mask = self.names[record], self.name_of(self.records[record][-1])
        image = read_image(contents[0], self.name_of(name))
        if len(contents) == 1:
            return fit(image, None, self.layout.height)[0], None, self._described(name, None)
        labels = read_labels(contents[1], mask, self.layout.objects)
        more = self._described(name, labels)
        return *self.fitted(mask, image, labels, 1.0), more

    def _described(self, name: PurePosixPath, labels: Array | None) -> Batch:
        """The properties of an image's objects, of which every labelled one needs a row."""
        if self.table is None:
            return {}
        empty = self.layout.empty(1)
        more = {prop.key: empty[prop.key] for prop in self.layout.properties}
        rows = self.table.rows.get(name, {})
        for label, values in rows.items():
            for prop, value in zip(self.layout.properties, values, strict=True):
                more[prop.key][0, label - 1] = value
        present = [] if labels is None else np.unique(labels).tolist()
        missing = set(present) - set(rows) - {0, NOT_LABELLED}
        if missing and self.layout.properties:
            raise UserError(
                f"{shown(self.root / TABLE)}: no row for image {shown(name)}, "
                f"object {min(missing)}, which its mask shows."
            )
        if not self.masks:  # nothing shows which pixels are whose; these objects are there
            more["visible"] = empty["visible"]
            more["visible"][0, [label - 1 for label in rows]] = True
        return more


def _sort_out(root: Path) -> tuple[Names, set[PurePosixPath], Names, Counter[str]]:
    """Images, masks, the table where there is one, and how many files of what other kinds."""
    files = listing(root)
    images, masks, table, rest = [], set(), [], Counter[str]()
    # Prepared datasets may lie below the folder; their contact sheets are no images of it.
    sheets = {file.with_suffix(".png") for file in files if file.suffix == ".h5"}
    for file in files:
        if MASKS in file.parts[:-1] or file.name.endswith(MASK_ENDING):
            masks.add(file)
        elif file.suffix.lower() in SUFFIXES and file not in sheets:
            images.append(file)
        elif file == PurePosixPath(TABLE):
            table.append(file)
        else:
            rest[file.suffix or file.name] += 1
    if not images:
        raise UserError(f"--from {shown(root)}: it holds no image.", f"Expected {EXPECTED}.")
    return images, masks, table, rest


def _by_split(names: Names) -> tuple[Names, list[Split]]:
    """Images split after split where folders say so; else as they are, and no splits."""

    def folder(name: PurePosixPath) -> str:
        parts = name.parts[:-1]
        inner = parts[1:] if parts[:1] == (IMAGES,) else parts
        return inner[0] if inner else ""

    counts = Counter(map(folder, names))
    if not set(SPLITS) <= set(counts):
        return names, []
    order = [*SPLITS, *sorted(name for name in counts if name.startswith(SHIFTED))]
    left = sum(counts.values()) - sum(counts[split] for split in order)
    if left:
        say(f"Left out: {left} images outside of train, val, test and test-*.")
    chosen = [name for split in order for name in names if folder(name) == split]
    return chosen, [(split, counts[split]) for split in order]


def _match(
    root: Path, names: Names, masks: set[PurePosixPath]
) -> dict[PurePosixPath, PurePosixPath]:
    """The mask of every image that has one; a mask of no image is taken for a mistake."""
    found = {}
    for name in names:
        fits = [mask for mask in _mask_names(name) if mask in masks]
        if len(fits) > 1:
            both = " and ".join(map(shown, fits[:2]))
            raise UserError(f"{shown(root / name)}: it has two masks, {both}.")
        if fits:
            found[name] = fits[0]
    unused = masks - set(found.values())
    if unused:
        first = min(unused, key=str)
        raise UserError(
            f"{shown(root / first)}: this mask belongs to no image.",
            "A mask has its image's name with .png, in a folder masks, or <stem>_mask.png "
            "beside the image.",
        )
    return found


def _mask_names(name: PurePosixPath) -> Names:
    """Where the mask of an image may be."""
    places = [name.with_name(name.stem + MASK_ENDING)]
    for depth in range(len(name.parts)):
        base, rest = PurePosixPath(*name.parts[:depth]), name.parts[depth:]
        places.append(base / MASKS / PurePosixPath(*rest).with_suffix(".png"))
        if rest[0] == IMAGES and len(rest) > 1:
            places.append(base / MASKS / PurePosixPath(*rest[1:]).with_suffix(".png"))
    return places
