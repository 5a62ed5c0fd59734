"""The shards in which TensorFlow Datasets (TFDS) stores a dataset, as files alone.

A folder holds, for each split, ``<name>-<split>.tfrecord-<i>-of-<n>``, i and n of five digits,
and ``dataset_info.json``, which says how many records each shard has.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, Strict

from slotbench.datasets.originals.importing import folder_at, load, shown, status_of
from slotbench.datasets.originals.tfrecord import RecordFile
from slotbench.errors import UserError
from slotbench.files import Document, parse_json

SHARD = re.compile(r"(\w+)-(\w+)\.tfrecord-(\d{5})-of-(\d{5})", re.ASCII)
"""Name, split, index, number of shards."""
INFO = "dataset_info.json"
MOST_INFO = 16 << 20
"""Bytes of ``dataset_info.json``; a longer file is not read."""


class SplitInfo(Document):
    """A split; TFDS writes its numbers as text."""

    name: str
    shardLengths: list[Annotated[int, Strict(False)]] = Field(default_factory=list)  # noqa: N815


class Info(Document):
    """The part of ``dataset_info.json`` that is read."""

    name: str | None = None
    splits: list[SplitInfo] = Field(default_factory=list)


@dataclass
class Shard:
    """One file of a split."""

    path: Path
    split: str
    records: int | None
    """Records it should hold; None: not known."""
    size: int
    sha256: str = ""
    """Known when the file has been read."""


class Shards:
    """Every shard of the given splits, in that order, read one after the other.

    Splits in ``optional`` may be missing. Raises :class:`UserError` naming the file where a
    shard is missing, where the folder holds another dataset, and where ``dataset_info.json`` is
    not as TFDS writes it.
    """

    def __init__(
        self, root: Path, name: str, splits: Sequence[str], optional: Sequence[str] = ()
    ) -> None:
        self.root, self.name = folder_at(root, f"the folder of TFDS with {name}'s shards"), name
        found, lengths = self._found(), self._lengths()
        self.shards: list[Shard] = []
        for split in splits:
            if split not in optional or split in found:
                self.shards += self._whole(split, found.get(split, {}), lengths.get(split))
        self.count: dict[str, int] = {}
        """Records of each split that were read."""
        self._done = 0
        self._current: RecordFile | None = None

    def __iter__(self) -> Iterator[tuple[RecordFile, bytes]]:
        """Each record with the file it is in, whose ``bad_record`` makes errors."""
        self.count, self._done = {shard.split: 0 for shard in self.shards}, 0
        for shard in self.shards:
            self._current = file = RecordFile(shard.path)
            for data in file:
                self.count[shard.split] += 1
                yield file, data
            shard.sha256 = file.sha256
            if shard.records not in (None, file.record):
                raise UserError(
                    f"{shown(shard.path)}: it holds {file.record} records, but {INFO} says "
                    f"{shard.records}.",
                    "The file is damaged; fetch it again.",
                )
            self._done, self._current = self._done + shard.size, None

    def progress(self) -> tuple[int, int]:
        """(bytes read, bytes in all)."""
        now = self._current.bytes_read if self._current else 0
        return self._done + now, sum(shard.size for shard in self.shards)

    def sources(self) -> list[dict[str, str]]:
        """File name and sha256 of every shard."""
        return [{"file": shard.path.name, "sha256": shard.sha256} for shard in self.shards]

    def identity(self) -> dict[str, Any]:
        """Names and sizes of the shards."""
        digest = hashlib.sha256()
        for shard in self.shards:
            changed = status_of(shard.path).st_mtime_ns
            digest.update(f"{shard.path.name} {shard.size} {changed}\n".encode())
        return {"shards": digest.hexdigest()}

    def _found(self) -> dict[str, dict[tuple[int, int], Path]]:
        """Split -> (index, of how many) -> file, of this dataset alone."""
        found: dict[str, dict[tuple[int, int], Path]] = {}
        others, where = set(), f"--from {shown(self.root)}"
        for path in sorted(self.root.iterdir()):
            match = SHARD.fullmatch(path.name)
            if match and match[1] == self.name:
                found.setdefault(match[2], {})[int(match[3]), int(match[4])] = path
            elif match:
                others.add(match[1])
        if not found and others:
            raise UserError(
                f"{where}: it holds shards of {', '.join(sorted(others))}, not of {self.name}."
            )
        if not found:
            below = sorted(self.root.glob(f"**/{self.name}-*.tfrecord-00000-of-*"))
            raise UserError(
                f"{where}: it holds no shard of {self.name}, such as "
                f"{self.name}-train.tfrecord-00000-of-00032.",
                f"Type: --from {shown(below[0].parent)}" if below else "",
            )
        return found

    def _whole(
        self, split: str, found: dict[tuple[int, int], Path], lengths: list[int] | None
    ) -> list[Shard]:
        """The shards of a split in order; :class:`UserError` where the set is not complete."""
        prefix, where = f"{self.name}-{split}.tfrecord", shown(self.root)
        counts = {shards for _, shards in found}
        if not found:
            raise UserError(f"{where}: the split {split!r} is missing ({prefix}-*).")
        if len(counts) > 1:
            both = f"of {min(counts)} shards, some of {max(counts)}"
            raise UserError(f"{where}: some files of {prefix} are {both}.")
        (shards,) = counts
        missing = [index for index in range(shards) if (index, shards) not in found]
        if missing or len(found) != shards:
            name = f"{prefix}-{(missing or [shards])[0]:05d}-of-{shards:05d}"
            more = f", and {len(missing) - 1} more of the {shards}" if len(missing) > 1 else ""
            what = "missing" if missing else "more than there can be"
            raise UserError(f"{shown(self.root / name)} is {what}{more}.", "Fetch all shards.")
        if lengths is not None and len(lengths) != shards:
            what = f"it has {len(lengths)} shards of {split!r}; the folder has {shards}"
            raise UserError(f"{shown(self.root / INFO)}: {what}.")
        paths = [found[index, shards] for index in range(shards)]
        return [
            Shard(path, split, lengths[index] if lengths else None, status_of(path).st_size)
            for index, path in enumerate(paths)
        ]

    def _lengths(self) -> dict[str, list[int]]:
        """Split -> records of each shard, as far as the folder says."""
        path = self.root / INFO
        if not path.exists():
            return {}
        try:
            info = Info.model_validate(parse_json(load(path, shown(path), MOST_INFO), shown(path)))
        except (ValueError, UserError) as error:
            raise UserError(
                f"{shown(path)}: it is not as TFDS writes it.",
                "Fetch it again, or take it away: the shards alone are enough.",
            ) from error
        if info.name not in (None, self.name):
            raise UserError(
                f"{shown(path)}: this is {shown(str(info.name)[:60])!r}, not {self.name!r}."
            )
        return {split.name: split.shardLengths for split in info.splits if split.shardLengths}
