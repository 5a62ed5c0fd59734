"""``folder``: images of your own, with masks and properties where you have them.

A mask is a PNG: ``<stem>_mask.png`` beside the image, or the image's name in a folder ``masks``.
That folder lies beside the image or beside its folder ``images``, or further up, where it repeats
the folders below. Properties are in ``properties.csv``: see :mod:`folder_table`.
"""

import contextlib
import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from slotbench.datasets.dataset import OriginalOnly
from slotbench.datasets.format.schema import (
    NOT_LABELLED,
    SHIFTED,
    SPLITS,
    Array,
    Batch,
    Layout,
    Property,
    check_name,
    shown,
    split_called,
)
from slotbench.datasets.originals.folder_table import MOST_LABEL, Rows, read_table
from slotbench.datasets.originals.images import Damaged, read_image, read_values
from slotbench.datasets.originals.importing import TreeImporter, folder_at, listing, status_of
from slotbench.errors import UserError
from slotbench.files import read_bytes
from slotbench.progress import bar, plain, say
from slotbench.registry import register

IMAGES, MASKS, TABLE = "images", "masks", "properties.csv"
SUFFIXES = (".png", ".jpg", ".jpeg")
MASK_ENDING = "_mask.png"
UNKNOWN = 10
"""Room for objects where neither masks nor a table say how many there are."""
EXPECTED = "a folder of PNG or JPEG images"

Names = list[PurePosixPath]


@register("datasets")
class Folder(OriginalOnly):
    """Any folder of images; without masks no pixel is labelled."""

    summary = "images of your own, with masks and properties where you have them"
    source = "slotbench, docs/datasets.md"
    name = "folder"
    variants = ("default",)
    licence = "that of the images"
    unpacks = True
    obtain: ClassVar[str] = "Type: slotbench prepare folder --from DIR, with a folder of images."

    def provenance(self, source: Path) -> dict[str, str]:
        """A digest of the names and sizes of the files."""
        images, masks, table, _ = _sort_out(folder_at(source, EXPECTED))
        names, digest = sorted([*images, *masks, *table]), hashlib.sha256()
        for name in names:
            digest.update(os.fsencode(f"{name}\0{status_of(source / name).st_size}\0"))
        text = f"{source.resolve().name}: {len(names)} files, {digest.hexdigest()[:12]}"
        return {"folder": plain(text)}

    def importer(self, path: Path) -> TreeImporter:
        return FolderImporter(folder_at(path, EXPECTED), self.image_size)


class FolderImporter(TreeImporter):
    """Streams the images of a folder, split after split, each sorted by name."""

    def __init__(self, root: Path, image_size: int) -> None:
        images, masks, table, rest = _sort_out(root)
        if rest:
            kinds = ", ".join(f"{count} {kind}" for kind, count in rest.most_common(5))
            say(f"Left out, being neither PNG nor JPEG: {kinds}.")
        names, splits = _by_split(root, images)
        matched = _match(root, images, masks)
        self.names = names
        self.masks = {name: matched[name] for name in names if name in matched}
        properties, others = tuple[Property, ...](), []
        self.values: Rows | None = None
        if table:
            data = read_bytes(root / TABLE)
            properties, self.values = read_table(data, str(root / TABLE), names)
            others.append({"file": TABLE, "sha256": hashlib.sha256(data).hexdigest()})
        self.ids = self._all_ids(root)
        objects = max(1, len(self.ids)) if self.masks or table else UNKNOWN
        layout = Layout(image_size, image_size, objects, properties)
        files = ((name, self.masks.get(name)) for name in names)
        records = [tuple(str(file) for file in pair if file) for pair in files]
        super().__init__(root, layout, records, splits, others)
        self.rule = (
            "the folders train, val, test and test-*"
            if splits
            else "sorted by name, the first 70 %, the next 15 %, the last 15 %"
        )

    def _all_ids(self, root: Path) -> list[int]:
        """The numbers of all objects, from masks and the table; label k is the k-th."""
        found: set[int] = set()
        with bar("Looking at masks", len(self.masks)) as progress:
            for done, mask in enumerate(self.masks.values(), start=1):
                with contextlib.suppress(Damaged):  # it is named when its image is read
                    values = read_values(read_bytes(root / mask), str(root / mask))
                    found.update(np.unique(values).tolist())
                progress.set(done)
        if NOT_LABELLED in found and found <= {0, NOT_LABELLED}:
            raise UserError(
                f"{root}: all masks hold only 0 and {NOT_LABELLED}, which means not labelled.",
                "Store the number of the object, from 1, in each of its pixels.",
            )
        found.update(*(self.values or {}).values())
        ids = sorted(found - {0, NOT_LABELLED})
        if len(ids) >= NOT_LABELLED:
            raise UserError(
                f"{root}: the masks hold {len(ids)} different numbers of objects, expected "
                f"at most {NOT_LABELLED - 1}.",
                "Number the objects of each image from 1.",
            )
        if ids and max(ids) > len(ids):
            say(f"{len(ids)} numbers of objects, up to {max(ids)}, become 1 to {len(ids)}.")
            return ids
        return list(range(1, max(ids, default=0) + 1))

    def attributes(self) -> dict[str, str]:
        more = super().attributes()
        if self.ids != list(range(1, len(self.ids) + 1)):
            more["label_ids"] = json.dumps(self.ids)
        return more

    def fill(self, batch: Batch, record: int, contents: list[bytes]) -> None:
        name, mask = self.names[record], str(self.root / self.records[record][-1])
        image = read_image(contents[0], str(self.root / name))
        labels = np.full(image.shape[:2], NOT_LABELLED, np.uint8)
        if len(contents) > 1:
            table = np.zeros(MOST_LABEL + 1, np.uint8)
            table[self.ids] = np.arange(1, len(self.ids) + 1)
            table[NOT_LABELLED] = NOT_LABELLED
            labels = table[read_values(contents[1], mask)]
        self.store(batch, mask, image, labels)
        if self.values is not None:
            self._describe(batch, name, labels, self.values.get(name, {}))

    def _describe(
        self, batch: Batch, name: PurePosixPath, labels: Array, rows: Mapping[int, Sequence[float]]
    ) -> None:
        """Write the properties of an image's objects; every labelled object needs a row."""
        slots = [self.ids.index(number) for number in rows]
        for slot, values in zip(slots, rows.values(), strict=True):
            for prop, value in zip(self.layout.properties, values, strict=True):
                batch[prop.key][0, slot] = value
        present = np.flatnonzero(shown(labels, self.layout.objects)).tolist()
        missing = sorted(set(present) - set(slots))
        if missing and self.layout.properties:
            raise UserError(
                f"{self.root / TABLE}: no row for image {name}, "
                f"object {self.ids[missing[0]]}, which its mask shows."
            )
        if not self.masks:  # then all objects of the table are visible
            batch["visible"][0, slots] = True


def _sort_out(root: Path) -> tuple[Names, Names, Names, Counter[str]]:
    """Images, masks, the table if any, and counts of other files by their endings."""
    files = listing(root)
    images, masks, table, rest = Names(), Names(), Names(), Counter[str]()
    # Prepared datasets in the folder have contact sheets beside them, which do not count.
    sheets = {file.with_suffix(".png") for file in files if file.suffix == ".h5"}
    for file in files:
        if MASKS in file.parts[:-1] or file.name.lower().endswith(MASK_ENDING):
            masks.append(file)
        elif file.suffix.lower() in SUFFIXES and file not in sheets:
            images.append(file)
        elif file == PurePosixPath(TABLE):
            table.append(file)
        else:
            rest[file.suffix or file.name] += 1
        if file.name == "_annotations.coco.json" or "SegmentationObject" in file.parts[:-1]:
            raise _other_format(root, file)
    if not images:
        raise UserError(f"--from {root}: it holds no image.", f"Expected {EXPECTED}.")
    return images, masks, table, rest


def _other_format(root: Path, file: PurePosixPath) -> UserError:
    """The error for folders of COCO and Pascal VOC."""
    if file.name == "_annotations.coco.json":
        return UserError(
            f"{root / file}: these are annotations in COCO's format.",
            f"Type: slotbench prepare coco --from {root}",
        )
    place = root.joinpath(*file.parts[: file.parts.index("SegmentationObject")]).resolve()
    return UserError(
        f"{place}: this is a folder of Pascal VOC, whose masks are in SegmentationObject.",
        f"Type: mkdir voc; ln -s {place}/JPEGImages voc/images; "
        f"ln -s {place}/SegmentationObject voc/masks; slotbench prepare folder --from voc",
    )


def _by_split(root: Path, names: Names) -> tuple[Names, list[tuple[str, int]]]:
    """Images sorted by split, and the splits; none where no folders are called so."""
    place = {name: next(filter(split_called, name.parts[:-1]), "") for name in names}
    folders = set(place.values())
    counts = Counter(split_called(folder) or "" for folder in place.values())
    called = Counter(split_called(folder) for folder in folders if folder)
    missing = [split for split in SPLITS if split not in counts]
    if len(missing) == len(SPLITS) or len(folders) == 1:
        return names, []
    twice = [split for split, count in called.items() if count > 1]
    if missing or twice:
        what = f"none is the {missing[0]} split" if missing else f"several are {twice[0]}"
        raise UserError(
            f"--from {root}: folders are called {', '.join(sorted(folders - {''}))}, but {what}.",
            "Expected train, val (or valid, validation, dev) and test, or no such folder.",
        )
    order = [*SPLITS, *sorted(name for name in counts if name.startswith(SHIFTED))]
    for split in order:
        try:
            check_name("a test set", split)
        except ValueError as error:
            raise UserError(f"--from {root}: {error!s}.", "Rename it.") from None
    if counts[""]:
        say(f"Left out: {counts['']} images outside of train, val, test and test-*.")
    chosen = [name for split in order for name in names if split_called(place[name]) == split]
    return chosen, [(split, counts[split]) for split in order]


def _match(root: Path, names: Names, masks: Names) -> dict[PurePosixPath, PurePosixPath]:
    """Image -> its mask; a mask without an image is an error."""
    known, found = {_key(mask): mask for mask in masks}, {}
    for name in names:
        places = name.with_name(name.stem + MASK_ENDING), MASKS / name.with_suffix(".png")
        fits = sorted({known[key] for key in map(_key, places) if key in known})
        if len(fits) > 1:
            raise UserError(f"{root / name}: it has two masks, {fits[0]} and {fits[1]}.")
        if fits:
            found[name] = fits[0]
    unused = set(masks) - set(found.values())
    if unused:
        first = min(unused, key=str)
        raise UserError(
            f"{root / first}: this mask belongs to no image.",
            "A mask has its image's name with .png, in a folder masks, or <stem>_mask.png beside "
            "the image. One file holds all objects of an image, as numbers from 1: join masks of "
            "single objects first.",
        )
    return found


def _key(mask: PurePosixPath) -> str:
    """A mask's name without what may differ: the places of ``images`` and ``masks``, ``.PNG``.

    Letters are composed; Macs store decomposed ones.
    """
    *folders, _ = mask.parts
    if MASKS in folders:
        folders = [MASKS, *(folder for folder in folders if folder not in (IMAGES, MASKS))]
    parts = [*folders, mask.stem + mask.suffix.lower()]
    return unicodedata.normalize("NFC", "/".join(parts))
