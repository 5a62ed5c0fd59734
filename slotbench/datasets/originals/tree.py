"""Datasets whose original form is a folder of files: listed in order, read one at a time."""

import hashlib
import os
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np

from slotbench.datasets.dataset import Dataset, Importer
from slotbench.datasets.format.schema import NOT_LABELLED, Array, Batch, Layout
from slotbench.datasets.originals.images import fit
from slotbench.errors import UserError

MOST_BYTES = 256 << 20
"""Of one image, label image or table; a longer file is not read into memory."""
T = TypeVar("T")
Split = tuple[str, int]
"""Name of a split and how many records it has."""


class OriginalOnly(Dataset):
    """A dataset that exists as original files alone."""

    sizes: ClassVar[dict[str, int]] = {}

    @property
    def layout(self) -> Layout:
        raise self._not_made_here()

    @property
    def generator(self) -> str:
        raise self._not_made_here()

    def render(self, split: str, start: int, stop: int) -> NoReturn:  # noqa: ARG002
        raise self._not_made_here()

    def _not_made_here(self) -> UserError:
        return UserError(f"{self.name} is not made here; it needs its files.", self.obtain)


class TreeImporter(Importer):
    """Reads records of a few files each, in the order of ``records``, split after split.

    A record has names below ``root``. ``splits`` has the splits' sizes in that order; without,
    the first 70 %, the next 15 % and the last 15 % are train, val and test. ``others`` are files
    that were read before: name and sha256. Every error is a :class:`UserError` that names the
    file.
    """

    def __init__(
        self,
        root: Path,
        layout: Layout,
        records: Sequence[tuple[str, ...]],
        splits: Sequence[Split] = (),
        others: Sequence[dict[str, str]] = (),
    ) -> None:
        self.root, self.layout, self.records = root, layout, records
        self._splits, self._others = splits, others
        self._read, self._digest = 0, hashlib.sha256()

    @abstractmethod
    def image(self, record: int, contents: list[bytes]) -> tuple[Array, Array | None, Batch]:
        """Image uint8 (S, S, 3), labels uint8 (S, S) or none, and more arrays of one row."""

    def batches(self, skip: int, size: int) -> Iterator[tuple[int, Batch]]:
        self._digest, kept = hashlib.sha256(), []
        for record, names in enumerate(self.records):
            # Of the skipped ones too: the hash is over all that the file was made from.
            contents = [self._load(name) for name in names]
            self._read = record + 1
            if record < skip:
                continue
            kept.append(self._one(record, contents))
            if self._read % size == 0 or self._read == len(self.records):
                yield (
                    self._read,
                    {key: np.concatenate([one[key] for one in kept]) for key in kept[0]},
                )
                kept = []

    def _one(self, record: int, contents: list[bytes]) -> Batch:
        image, labels, more = self.image(record, contents)
        batch = self.layout.empty(1)
        batch["image"][0] = image
        batch["mask"][0] = NOT_LABELLED if labels is None else labels
        pixels = np.bincount(batch["mask"].ravel(), minlength=NOT_LABELLED + 1)
        batch["visible"][0] = pixels[1 : self.layout.objects + 1] > 0
        return {**batch, **more, "record": np.array([record], np.int64)}

    def _load(self, name: str) -> bytes:
        data, encoded = load(self.root / name, self.name_of(name)), os.fsencode(name)
        length = len(encoded).to_bytes(4, "big")
        self._digest.update(length + encoded + hashlib.sha256(data).digest())
        return data

    def name_of(self, name: str | PurePosixPath) -> str:
        """How an error calls a file below the root."""
        return shown(self.root / name)

    def fitted(self, name: str, image: Array, labels: Array, crop: float) -> tuple[Array, Array]:
        """Image and labels cropped and resized; :class:`UserError` where they do not match."""
        if image.shape[:2] != labels.shape:
            sizes = ["x".join(map(str, array.shape[1::-1])) for array in (labels, image)]
            raise UserError(f"{name}: {sizes[0]} pixels, but the image has {sizes[1]}.")
        return fit(image, labels, self.layout.height, crop)

    def progress(self) -> tuple[int, int]:
        return self._read, len(self.records)

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


def folder_at(path: Path, what: str) -> Path:
    """``path`` where it is a folder; else :class:`UserError` that says what was expected."""
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(
            f"--from {shown(path)}: this is no folder.",
            f"Expected {what}; unpack an archive first.",
        )
    raise UserError(f"--from {shown(path)}: there is no such folder.", f"Expected {what}.")


def listing(root: Path, named: re.Pattern[str] | None = None) -> list[PurePosixPath]:
    """Every regular file below ``root``, relative to it, sorted by name.

    Links are followed, to each folder once. Names that begin with a dot and ``__MACOSX``, which
    systems leave behind, are left out; so are files whose own name is not ``named`` so.
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
        names[:] = sorted(name for name in names if _counts(name))
        wanted = (name for name in files if named is None or named.fullmatch(name))
        paths = (Path(folder, name) for name in wanted if _counts(name))
        found += (PurePosixPath(path.relative_to(root)) for path in paths if path.is_file())
    return sorted(found, key=str)


def _counts(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def status_of(path: Path) -> os.stat_result:
    """The file's status; :class:`UserError` naming it where it cannot be had."""
    return _reading(path, path.stat)


def load(path: Path, name: str, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most ``most`` bytes, else :class:`UserError`."""
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
    """A file's name as it can be printed: what is no UTF-8 or would steer a terminal is ``?``."""
    text = str(path).encode(errors="replace").decode()
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", text)
