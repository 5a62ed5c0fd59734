"""The shards of a dataset of TensorFlow Datasets (TFDS), read without TensorFlow.

A folder holds ``<name>-<split>.tfrecord-<i>-of-<n>``, with i and n of five digits, and
``dataset_info.json``, which says how many records each shard has.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, Strict

from slotbench.datasets.originals.importing import folder_at
from slotbench.datasets.originals.tfrecord import RecordFile
from slotbench.errors import UserError
from slotbench.files import Document, read_document

SHARD = re.compile(r"(\w+)-(\w+)\.tfrecord-(\d{5})-of-(\d{5})", re.ASCII)
"""Name, split, index, number of shards."""
INFO = "dataset_info.json"


class SplitInfo(Document):
    """A split; TFDS writes its numbers as text."""

    name: str
    shardLengths: list[Annotated[int, Strict(False)]] = Field(default_factory=list)  # noqa: N815


class Info(Document):
    """The part of ``dataset_info.json`` that is read."""

    name: str | None = None
    splits: list[SplitInfo] = Field(default_factory=list)


def shards(
    root: Path, name: str, splits: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[RecordFile]:
    """Every shard of the given splits of a dataset, in that order; its group is its split.

    Splits in ``optional`` may be missing. :class:`UserError` names a missing shard, another
    dataset in the folder, or what is wrong with ``dataset_info.json``.
    """
    folder_at(root, f"the folder of TFDS with {name}'s shards")
    found, lengths = _found(root, name), _lengths(root / INFO, name)
    for split in splits:
        if split not in optional or split in found:
            yield from _whole(root, name, split, found.get(split, {}), lengths.get(split))


def _found(root: Path, name: str) -> dict[str, dict[tuple[int, int], Path]]:
    """Split -> (index, number of shards) -> file, of this dataset alone."""
    found: dict[str, dict[tuple[int, int], Path]] = {}
    others, where = set(), f"--from {root}"
    for path in sorted(root.iterdir()):
        match = SHARD.fullmatch(path.name)
        if match and match[1] == name:
            found.setdefault(match[2], {})[int(match[3]), int(match[4])] = path
        elif match:
            others.add(match[1])
    if not found and others:
        raise UserError(f"{where}: it holds shards of {', '.join(sorted(others))}, not of {name}.")
    if not found:
        below = sorted(root.glob(f"**/{name}-*.tfrecord-00000-of-*"))
        raise UserError(
            f"{where}: it holds no shard of {name}, such as {name}-train.tfrecord-00000-of-00032.",
            f"Type: --from {below[0].parent}" if below else "",
        )
    return found


def _whole(
    root: Path, name: str, split: str, found: dict[tuple[int, int], Path], lengths: list[int] | None
) -> list[RecordFile]:
    """The shards of a split in order; :class:`UserError` where the set is not complete."""
    prefix, where = f"{name}-{split}.tfrecord", root
    if not found:
        raise UserError(f"{where}: the split {split!r} is missing ({prefix}-*).")
    counts = {count for _, count in found}
    if len(counts) > 1:
        both = f"of {min(counts)} shards, some of {max(counts)}"
        raise UserError(f"{where}: some files of {prefix} are {both}.")
    (count,) = counts
    missing = [index for index in range(count) if (index, count) not in found]
    if missing:
        file = f"{prefix}-{missing[0]:05d}-of-{count:05d}"
        more = f", and {len(missing) - 1} more of the {count}" if len(missing) > 1 else ""
        raise UserError(f"{root / file} is missing{more}.", "Fetch all shards.")
    if lengths is not None and len(lengths) != count:
        what = f"it has {len(lengths)} shards of {split!r}; the folder has {count}"
        raise UserError(f"{root / INFO}: {what}.")
    expected: Sequence[int | None] = lengths or [None] * count
    return [RecordFile(found[i, count], split, expected[i]) for i in range(count)]


def _lengths(path: Path, name: str) -> dict[str, list[int]]:
    """Split -> records of each shard, as far as ``dataset_info.json`` says."""
    if not path.exists():
        return {}
    try:
        info = read_document(path, Info)
    except UserError as error:
        advice = "Fetch it again, or remove it: the shards alone are enough."
        raise UserError(error.message, advice) from error
    if info.name not in (None, name):
        raise UserError(f"{path}: this is {info.name!r:.60}, not {name!r}.")
    return {split.name: split.shardLengths for split in info.splits if split.shardLengths}
