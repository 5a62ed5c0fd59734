"""Base classes of importers, which read original files record by record."""

import hashlib
import json
import os
import re
import stat
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import ijson
import numpy as np

from slotbench.datasets.format.schema import Array, Batch, Layout, shown
from slotbench.datasets.originals.images import Damaged, fit
from slotbench.datasets.originals.tfrecord import Record, RecordFile
from slotbench.errors import UserError
from slotbench.files import read_bytes
from slotbench.progress import plain, say

MOST_NAMES = 100
"""Damaged files whose names are stored."""
DEEPEST = 2000
"""Brackets within brackets; the memory that ijson takes grows with their square."""
SYSTEM_FILES = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"}


class Importer(ABC):
    """Reads original files as a stream of records; memory stays flat.

    ``batches`` yields batches in the order of the source. Their array ``record`` int64 (n,) is the
    position of each image in the source.
    """

    rule: str = ""
    """How the splits are made; stored with their bounds."""
    skip_damaged: bool = False
    """Leave out records with a damaged image and list them in the attribute ``damaged``;
    otherwise the first one ends the import."""

    def __init__(self, layout: Layout, total: int = 0) -> None:
        self.layout, self.read, self.total = layout, 0, total
        self.damaged: dict[int, str] = {}
        """Record that was left out -> its damaged file."""

    @abstractmethod
    def rows(self) -> Iterator[Callable[[], Batch | None]]:
        """A function for every record, which reads it as a batch of one image.

        It returns None where the variant leaves the record out. A resumed import calls it only
        for new records, unless it counts damaged ones.
        """

    @abstractmethod
    def paths(self) -> Iterable[Path]:
        """All original files, in the order in which they are read."""

    @abstractmethod
    def sources(self) -> list[dict[str, str]]:
        """File name and sha256 of every file read; complete when ``batches`` has ended."""

    def batches(self, skip: int, size: int) -> Iterator[tuple[int, Batch]]:
        """(records read so far, batch) for every ``size`` records after the first ``skip``."""
        self.damaged, self.read, kept = {}, 0, list[Batch]()
        for record, row in enumerate(self.rows()):
            self.read = record + 1
            if record >= skip or self.skip_damaged:
                batch = self._one(record, row)
                if record >= skip and batch is not None:
                    kept.append({**batch, "record": np.array([record], np.int64)})
            if self.read > skip and self.read % size == 0:
                yield self.read, self._stack(kept)
                kept = []
        if self.damaged:
            first = next(iter(self.damaged.values()))
            if len(self.damaged) == self.read:
                raise UserError(f"All {self.read} images are damaged, such as {first}.")
            say(f"Left out: {len(self.damaged)} damaged images, such as {first}.")
        if self.read > skip and self.read % size:
            yield self.read, self._stack(kept)

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

    def progress(self) -> tuple[int, int]:
        """(records or bytes of the source read, how many in all)."""
        return self.read, max(self.total, self.read)

    def attributes(self) -> dict[str, str]:
        """Further attributes of the file; complete when ``batches`` has ended."""
        if not self.damaged:
            return {}
        names = [plain(self.damaged[record]) for record in sorted(self.damaged)[:MOST_NAMES]]
        return {"damaged": json.dumps({"count": len(self.damaged), "files": names})}

    def identity(self) -> dict[str, Any]:
        """Fingerprint used to check that a resumed import reads the same source."""
        return {"files": identity_of(self.paths())}

    def splits(self, records: int) -> dict[str, tuple[int, int]]:
        """First record of each split and the one after its last; called when all are read.

        The default: first 70 %, next 15 %, last 15 %. These are the usual splits of CLEVR's
        100,000 scenes. A source with splits of its own yields them one after the other; further
        test sets are called ``test-<what>``.
        """
        train, val = records * 70 // 100, records * 85 // 100
        return {"train": (0, train), "val": (train, val), "test": (val, records)}


class TFRecordImporter(Importer):
    """Reads TFRecord files, one after the other. Files of one group stand together."""

    def __init__(self, layout: Layout, files: Iterable[RecordFile]) -> None:
        super().__init__(layout)
        self.files = list(files)

    @abstractmethod
    def row(self, record: Record) -> Batch | None:
        """A record as a batch of one; None where the variant leaves it out."""

    def rows(self) -> Iterator[Callable[[], Batch | None]]:
        return (partial(self._row, file, data) for file in self.files for data in file)

    def _row(self, file: RecordFile, data: bytes) -> Batch | None:
        return self.row(Record(file, data))

    def bounds(self) -> dict[str, tuple[int, int]]:
        """First record of each group and the one after its last; known when all are read."""
        found, start = dict[str, tuple[int, int]](), 0
        for file in self.files:
            first, _ = found.get(file.group, (start, start))
            start += file.record
            found[file.group] = first, start
        return found

    def progress(self) -> tuple[int, int]:
        return sum(file.bytes_read for file in self.files), sum(file.size for file in self.files)

    def sources(self) -> list[dict[str, str]]:
        return [{"file": file.path.name, "sha256": file.sha256} for file in self.files]

    def paths(self) -> Iterable[Path]:
        return [file.path for file in self.files]


class TreeImporter(Importer):
    """Reads records of a few files each, split after split.

    ``records`` are names below ``root``. ``splits`` has the sizes of the splits in that order;
    without it they are 70, 15 and 15 %. ``others`` are name and sha256 of files that were read
    before. Every error is a :class:`UserError` that names the file.
    """

    def __init__(
        self,
        root: Path,
        layout: Layout,
        records: Sequence[tuple[str, ...]],
        splits: Sequence[tuple[str, int]] = (),
        others: Sequence[dict[str, str]] = (),
    ) -> None:
        super().__init__(layout, len(records))
        self.root, self.records = root, records
        self._splits, self._others, self._digest = splits, others, hashlib.sha256()

    @abstractmethod
    def fill(self, batch: Batch, record: int, contents: list[bytes]) -> None:
        """Write a record into an empty batch of one row, its picture by :meth:`store`."""

    def rows(self) -> Iterator[Callable[[], Batch]]:
        self._digest = hashlib.sha256()
        for record, names in enumerate(self.records):
            # Skipped records are read too: the hash covers every file.
            yield partial(self._row, record, [self._load(name) for name in names])

    def _row(self, record: int, contents: list[bytes]) -> Batch:
        batch = self.layout.empty(1)
        self.fill(batch, record, contents)
        return batch

    def _load(self, name: str) -> bytes:
        data, encoded = read_bytes(self.root / name), os.fsencode(name)
        length = len(encoded).to_bytes(4, "big")
        self._digest.update(length + encoded + hashlib.sha256(data).digest())
        return data

    def store(self, batch: Batch, name: str, image: Array, labels: Array, crop: float = 1) -> None:
        """Write image uint8 (H, W, 3) and labels uint8 (H, W), as :func:`fit` makes them.

        :class:`UserError` naming the file of labels where the sizes of the two differ.
        """
        if image.shape[:2] != labels.shape:
            sizes = ["x".join(map(str, array.shape[1::-1])) for array in (labels, image)]
            raise UserError(f"{name}: {sizes[0]} labelled pixels, but the image has {sizes[1]}.")
        batch["image"][0], batch["mask"][0] = fit(image, labels, self.layout.height, crop)
        batch["visible"] = shown(batch["mask"], self.layout.objects) > 0

    def sources(self) -> list[dict[str, str]]:
        files = sum(map(len, self.records))
        name = f"{plain(self.root.resolve().name)}: {files} files"
        return [*self._others, {"file": name, "sha256": self._digest.hexdigest()}]

    def paths(self) -> Iterable[Path]:
        return (self.root / name for names in self.records for name in names)

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "others": list(self._others)}

    def splits(self, records: int) -> dict[str, tuple[int, int]]:
        if not self._splits:
            return super().splits(records)
        ends = list(accumulate(size for _, size in self._splits))
        named = zip(self._splits, [0, *ends], ends, strict=False)
        return {name: (start, end) for (name, _), start, end in named}


def identity_of(paths: Iterable[Path]) -> str:
    """sha256 over name, size and time of change of files."""
    digest = hashlib.sha256()
    for path in paths:
        status = status_of(path)
        digest.update(os.fsencode(path.name))
        digest.update(f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def folder_at(path: Path, what: str) -> Path:
    """``path`` where it is a folder; otherwise :class:`UserError` with what was expected."""
    if not path.is_dir():
        said = "this is not a folder" if path.exists() else "there is no such folder"
        raise UserError(f"--from {path}: {said}.", f"Expected {what}; unpack an archive first.")
    return path


def listing(root: Path, named: re.Pattern[str] | None = None) -> list[PurePosixPath]:
    """Every file below ``root`` that ``named`` matches, relative to it, sorted by name.

    Links are followed, each folder once. Hidden files and files of operating systems
    (``Thumbs.db``, ``__MACOSX``) are left out. :class:`UserError` for a link to nowhere and for a
    pipe, a socket or a device.
    """
    found: list[PurePosixPath] = []
    seen: set[tuple[int, int]] = set()

    def refused(error: OSError) -> None:
        raise UserError(f"{error.filename or root}: cannot be read ({error.strerror}).")

    for folder, names, files in os.walk(root, followlinks=True, onerror=refused):
        status = status_of(Path(folder))
        if (status.st_dev, status.st_ino) in seen:
            names.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        names[:] = sorted(name for name in names if counts(name))
        wanted = (name for name in files if named is None or named.fullmatch(name))
        paths = (Path(folder, name) for name in wanted if counts(name))
        for path in paths:
            if not stat.S_ISREG(status_of(path).st_mode):
                raise UserError(f"{path} is not a regular file.", "Remove it, or move it away.")
            found.append(PurePosixPath(path.relative_to(root)))
    return sorted(found, key=lambda file: unicodedata.normalize("NFC", str(file)))


def counts(name: str) -> bool:
    """False for hidden files and those of operating systems."""
    return not name.startswith(".") and name.lower() not in SYSTEM_FILES


def status_of(path: Path) -> os.stat_result:
    """The file's status; :class:`UserError` naming the file on failure."""
    try:
        return path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error


class Readable(Protocol):
    """A binary stream."""

    def read(self, count: int = ..., /) -> bytes: ...


def json_items(stream: Readable, key: str, where: str, advice: str) -> Iterator[Any]:
    """The items of the array that a top-level object has under ``key``.

    :class:`UserError` naming ``where`` for a stream that is no JSON, and for no items.
    """
    count, depth, items = 0, 0, ijson.sendable_list()
    parser = ijson.items_coro(items, f"{key}.item", use_float=True)
    try:
        while data := stream.read(1 << 16):
            # Brackets in texts count too, and seldom are as many.
            letters = np.frombuffer(data, np.uint8) | 32  # [ and {, ] and } differ by this bit
            depths = depth + np.cumsum((letters == ord("{")) * 1 - (letters == ord("}")))
            depth = max(int(depths[-1]), 0)
            if depths.max() > DEEPEST:
                raise ValueError("it is nested too deep")
            parser.send(data)
            yield from items
            count += len(items)
            items.clear()
        parser.close()
    except (ijson.JSONError, ValueError) as error:
        said = error.args[0] if error.args else ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(error)
        first, *_ = text.splitlines()
        raise UserError(f"{where}: this is not valid JSON ({first}).", advice) from error
    if not count:
        raise UserError(f"{where}: it has no list {key!r}, or an empty one.", advice)
