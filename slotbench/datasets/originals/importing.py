"""What importers share: reading records one by one, and reading folders of files."""

import hashlib
import json
import os
import re
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np

from slotbench.datasets.dataset import Dataset, Importer
from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Layout
from slotbench.datasets.originals.images import Damaged, fit
from slotbench.errors import UserError
from slotbench.progress import say

MOST_BYTES = 256 << 20
"""Largest image, label image or table that is read."""
MOST_NAMES = 100
"""Damaged files whose names are stored."""
SYSTEM_FILES = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"}
T = TypeVar("T")
Split = tuple[str, int]
"""Name of a split and its number of records."""


class OriginalOnly(Dataset):
    """A dataset that exists as original files alone."""

    sizes: ClassVar[dict[str, int]] = {}

    @property
    def layout(self) -> NoReturn:
        self.render("train", 0, 0)

    @property
    def generator(self) -> NoReturn:
        self.render("train", 0, 0)

    def render(self, split: str, start: int, stop: int) -> NoReturn:  # noqa: ARG002
        raise UserError(f"{self.name} is not made here; it needs its files.", self.obtain)


class RecordImporter(Importer):
    """An importer that reads one record after the other.

    With ``skip_damaged``, records with a damaged image are left out and their files are listed
    in the attribute ``damaged``. Otherwise the first one ends the import.
    """

    def __init__(self) -> None:
        self.damaged: dict[int, str] = {}

    @abstractmethod
    def rows(self, skip: int) -> Iterator[Callable[[], Batch | None]]:
        """A function for every record, which reads it as a batch of one image.

        It returns None where the variant leaves the record out. It is not called for the first
        ``skip`` records unless damaged ones are counted.
        """

    def batches(self, skip: int, size: int) -> Iterator[tuple[int, Batch]]:
        self.damaged, kept, read = {}, list[Batch](), 0
        for read, row in enumerate(self.rows(skip), start=1):
            if read > skip or self.skip_damaged:
                batch = self._one(read - 1, row)
                if read > skip and batch is not None:
                    kept.append({**batch, "record": np.array([read - 1], np.int64)})
            if read > skip and read % size == 0:
                yield read, self._stack(kept)
                kept = []
        if self.damaged:
            first = next(iter(self.damaged.values()))
            if len(self.damaged) == read:
                raise UserError(f"All {read} images are damaged, such as {first}.")
            say(f"Left out: {len(self.damaged)} damaged images, such as {first}.")
        if read > skip and read % size:
            yield read, self._stack(kept)

    def _one(self, record: int, row: Callable[[], Batch | None]) -> Batch | None:
        try:
            return row()
        except Damaged as error:
            if not self.skip_damaged:
                advice = "Fetch it again, or type --skip-damaged to leave such images out."
                raise UserError(error.message, advice) from error
            self.damaged[record] = error.file
            return None

    def _stack(self, rows: list[Batch]) -> Batch:
        rows = [{**self.layout.empty(0), "record": np.empty(0, np.int64)}, *rows]
        return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}

    def attributes(self) -> dict[str, str]:
        if not self.damaged:
            return {}
        names = [self.damaged[record] for record in sorted(self.damaged)[:MOST_NAMES]]
        return {"damaged": json.dumps({"count": len(self.damaged), "files": names})}


class TreeImporter(RecordImporter):
    """Reads records of a few files each, split after split.

    ``records`` are names below ``root``. ``splits`` has the sizes of the splits in that order;
    without it the split is 70 / 15 / 15 %. ``others`` are files that were read before: name and
    sha256. Every error is a :class:`UserError` that names the file.
    """

    def __init__(
        self,
        root: Path,
        layout: Layout,
        records: Sequence[tuple[str, ...]],
        splits: Sequence[Split] = (),
        others: Sequence[dict[str, str]] = (),
    ) -> None:
        super().__init__()
        self.root, self.layout, self.records = root, layout, records
        self._splits, self._others = splits, others
        self._done, self._digest = 0, hashlib.sha256()

    @abstractmethod
    def image(self, record: int, contents: list[bytes]) -> tuple[Array, Array, Batch]:
        """Image uint8 (S, S, 3), labels uint8 (S, S), and more arrays of one row."""

    def rows(self, skip: int) -> Iterator[Callable[[], Batch]]:  # noqa: ARG002
        self._digest = hashlib.sha256()
        for record, names in enumerate(self.records):
            # Skipped records are read too: the hash covers every file.
            contents = [self._load(name) for name in names]
            self._done = record + 1
            yield partial(self._row, record, contents)

    def _row(self, record: int, contents: list[bytes]) -> Batch:
        batch = self.layout.empty(1)
        batch["image"][0], batch["mask"][0], more = self.image(record, contents)
        batch["visible"][0] = visible(batch["mask"], self.layout.objects)
        return {**batch, **more}

    def _load(self, name: str) -> bytes:
        data, encoded = load(self.root / name, self.name_of(name)), os.fsencode(name)
        length = len(encoded).to_bytes(4, "big")
        self._digest.update(length + encoded + hashlib.sha256(data).digest())
        return data

    def name_of(self, name: str | PurePosixPath) -> str:
        """A file below the root, as errors call it."""
        return shown(self.root / name)

    def fitted(self, name: str, image: Array, labels: Array, crop: float) -> tuple[Array, Array]:
        """Image and labels, cropped and resized; :class:`UserError` where their sizes differ."""
        if image.shape[:2] != labels.shape:
            sizes = ["x".join(map(str, array.shape[1::-1])) for array in (labels, image)]
            raise UserError(f"{name}: {sizes[0]} pixels, but the image has {sizes[1]}.")
        return fit(image, labels, self.layout.height, crop)

    def progress(self) -> tuple[int, int]:
        return self._done, len(self.records)

    def sources(self) -> list[dict[str, str]]:
        files = sum(map(len, self.records))
        name = f"{shown(self.root.resolve().name)}: {files} files"
        return [*self._others, {"file": name, "sha256": self._digest.hexdigest()}]

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for name in (name for names in self.records for name in names):
            status = status_of(self.root / name)
            digest.update(os.fsencode(name))
            digest.update(f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
        return {"files": digest.hexdigest(), "others": list(self._others)}

    def splits(self, records: int) -> dict[str, tuple[int, int]]:
        if not self._splits:
            return super().splits(records)
        found, start = {}, 0
        for name, size in self._splits:
            found[name], start = (start, start + size), start + size
        return found


def visible(mask: Array, objects: int) -> Array:
    """Which labels 1 to ``objects`` a mask uint8 (..., H, W) shows: bool (objects,)."""
    return np.bincount(mask.ravel(), minlength=NOT_LABELLED + 1)[1 : objects + 1] > 0


def file_identity(path: Path) -> dict[str, Any]:
    """Name, size and time of change of a file: enough to tell that it is the same."""
    status = path.stat()
    return {"file": path.name, "bytes": status.st_size, "mtime": status.st_mtime_ns}


def folder_at(path: Path, what: str) -> Path:
    """``path`` where it is a folder; otherwise :class:`UserError` says what was expected."""
    if path.is_dir():
        return path
    if path.exists():
        advice = f"Expected {what}; unpack an archive first."
        raise UserError(f"--from {shown(path)}: this is no folder.", advice)
    raise UserError(f"--from {shown(path)}: there is no such folder.", f"Expected {what}.")


def listing(root: Path, named: re.Pattern[str] | None = None) -> list[PurePosixPath]:
    """Every regular file below ``root``, relative to it, sorted by name.

    Links are followed, each folder once. Hidden files and files of operating systems
    (``Thumbs.db``, ``__MACOSX``) are left out, and so are names that ``named`` does not match.
    """
    found: list[PurePosixPath] = []
    seen: set[tuple[int, int]] = set()

    def refused(error: OSError) -> None:
        raise UserError(f"{shown(error.filename or root)}: cannot be read ({error.strerror}).")

    for folder, names, files in os.walk(root, followlinks=True, onerror=refused):
        status = status_of(Path(folder))
        if (status.st_dev, status.st_ino) in seen:
            names.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        names[:] = sorted(name for name in names if counts(name))
        wanted = (name for name in files if named is None or named.fullmatch(name))
        paths = (Path(folder, name) for name in wanted if counts(name))
        found += (PurePosixPath(path.relative_to(root)) for path in paths if path.is_file())
    return sorted(found, key=lambda file: unicodedata.normalize("NFC", str(file)))


def counts(name: str) -> bool:
    """Whether a file or folder is the user's, not left behind by an operating system."""
    return not name.startswith(".") and name.lower() not in SYSTEM_FILES


def status_of(path: Path) -> os.stat_result:
    """The file's status; :class:`UserError` naming the file on failure."""
    return _reading(path, path.stat)


def load(path: Path, name: str, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most ``most`` bytes; otherwise :class:`UserError`."""
    if not _reading(path, path.is_file):
        raise UserError(f"{name}: there is no such file.")
    size = status_of(path).st_size
    if size > most:
        raise UserError(f"{name}: {size:,} bytes are more than the {most:,} that are read.")
    return _reading(path, path.read_bytes)


def _reading(path: Path, action: Callable[[], T]) -> T:
    try:
        return action()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shown(path)}: cannot be read ({reason}).") from error


def shown(path: Path | PurePosixPath | str) -> str:
    """A file's name, safe to print: control characters and bad UTF-8 become ``?``."""
    text = str(path).encode(errors="replace").decode()
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", text)
