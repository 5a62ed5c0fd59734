"""The TFRecord wire format and the part of protobuf that ``tf.Example`` needs.

A record is its length (uint64, little-endian), a masked CRC-32C of that, the data, and a masked
CRC-32C of the data. TFDS writes plain files; DeepMind's multi_object_datasets are gzipped. Their
images store every byte as its own entry of a ``bytes_list``, the triple 0x0A 0x01 <byte>. So the
image is every third byte of the buffer; protobuf objects would take a hundred times as long.
"""

import hashlib
import io
import math
import shlex
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

import google_crc32c
import numpy as np
from isal import igzip, igzip_lib

from slotbench.datasets.format.schema import Array
from slotbench.errors import UserError
from slotbench.files import no_file

MAX_RECORD = 64 << 20
"""Bytes of the longest record that is read. CLEVR's longest have 3.2 million."""
MAX_FEATURES = 1000
MASK_DELTA = 0xA282EAD8
GZIP_MAGIC = b"\x1f\x8b"
T = TypeVar("T")
GZIP_ERRORS: tuple[Any, ...] = (OSError, EOFError, zlib.error, igzip_lib.error)


class RecordFile:
    """A TFRecord file, gzipped or not, read as a stream; memory stays flat.

    ``bytes_read`` counts bytes of the file as stored; ``sha256`` is known when every record has
    been read. Every error is a :class:`UserError` that names the file, the record (from 0) and the
    byte offset in the decompressed stream. ``group`` is the source's name of the split,
    ``expected`` the number of records that TFDS states.
    """

    def __init__(self, path: Path, group: str = "train", expected: int | None = None) -> None:
        if fault := no_file(path):
            inside = sorted([*path.glob("*.tfrecords"), *path.glob("*.zip")])
            named = f"Type: --from {shlex.quote(str(inside[0]))}" if inside else ""
            raise UserError(
                f"--from {path}: {fault}.", named or "Name the file as it was published."
            )
        self.path, self.size = path, path.stat().st_size
        self.group, self.expected = group, expected
        self.record, self.offset = 0, 0
        self.bytes_read, self.sha256 = 0, ""

    def __iter__(self) -> Iterator[bytes]:
        self.record, self.offset = 0, 0
        with _Hashed(self.path) as raw, self._records(raw) as stream:
            while header := self._take(stream, 12, at_start=True):
                length, check = struct.unpack("<QI", header)
                if _masked(header[:8]) != check:
                    raise self._error("the checksum of the length does not match")
                if length > MAX_RECORD:
                    raise self._error(f"a record of {length:,} bytes is longer than any")
                # Two reads: cutting off the checksum would copy megabytes.
                data, footer = self._take(stream, length), self._take(stream, 4)
                if _masked(data) != struct.unpack("<I", footer)[0]:
                    raise self._error("the checksum of the data does not match")
                self.bytes_read = raw.count
                yield data
                self.record += 1
                self.offset += 16 + length
            if not self.record:
                raise self._error("the file holds no record")
            if self.expected not in (None, self.record):
                said = f"dataset_info.json says {self.expected}"
                raise self._error(f"it holds {self.record} records, but {said}")
            while raw.read(1 << 20):  # the hash covers all of the file
                pass
            self.bytes_read, self.sha256 = raw.count, raw.digest.hexdigest()

    def _records(self, raw: "_Hashed") -> IO[bytes]:
        """The stream of records, decompressed where the file is gzipped."""
        stored = io.BufferedReader(raw)
        begin = stored.peek(12)[:12]
        # A record's length may look like gzip's magic bytes; its checksum tells the two apart.
        if len(begin) == 12 and _masked(begin[:8]) == struct.unpack("<I", begin[8:])[0]:
            return stored
        if not begin.startswith(GZIP_MAGIC):
            raise self._error(
                "this is not a TFRecord file, gzipped or not",
                "Expected the TFRecord file as it is published.",
            )
        # isal has no types; its streams behave as every binary file does.
        return igzip.open(stored, "rb")  # type: ignore[no-any-return, no-untyped-call]

    def _take(self, stream: IO[bytes], count: int, at_start: bool = False) -> bytes:
        """The next ``count`` bytes; none at the end of the file where a record may begin."""
        try:
            data = stream.read(count)
        except GZIP_ERRORS as error:
            raise self._error(
                f"it cannot be read, or the gzip stream is damaged or truncated ({error})"
            ) from error
        if len(data) < count and not (at_start and not data):
            raise self._error("the file ends in the middle of a record")
        return data

    def _error(self, what: str, advice: str = "The file is damaged; fetch it again.") -> UserError:
        return UserError(f"{self.place(what)}.", advice)

    def place(self, what: str) -> str:
        """``what``, with the file, the record and its offset in front."""
        return f"{self.path}: record {self.record}, byte {self.offset:,}: {what}"

    def bad_record(self, what: str) -> UserError:
        """The error for a record that does not fit the dataset."""
        return self._error(what, "Is this the right file for this dataset and variant?")


class _Hashed(io.RawIOBase):
    """A file, hashed as it is read."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("rb")
        self.count, self.digest = 0, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)
        self.digest.update(memoryview(buffer)[:count])
        self.count += count
        return int(count)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _masked(data: bytes) -> int:
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for index in range(10):
        if place + index >= len(data):
            raise ValueError("a number is cut off")
        byte = data[place + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, place + index + 1
    raise ValueError("a number has more than ten bytes")


def _fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """(field number, wire type, content) of a message; ValueError where it is malformed."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            end = _varint(data, place)[1]
        elif wire in (1, 5):
            end = place + (8 if wire == 1 else 4)
        elif wire == 2:
            length, place = _varint(data, place)
            end = place + length
        else:
            raise ValueError(f"wire type {wire} is none of protobuf's")
        if end > len(data):
            raise ValueError("a field is cut off")
        yield number, wire, data[place:end]
        place = end


def parse_example(data: bytes) -> dict[str, memoryview]:
    """The features of a ``tf.Example`` by name, not decoded; ValueError where malformed."""
    features: dict[str, memoryview] = {}
    for number, wire, content in _fields(memoryview(data)):
        if (number, wire) != (1, 2):
            continue
        for inner, kind, entry in _fields(content):
            if (inner, kind) != (1, 2):
                continue
            parts = {field: value for field, _, value in _fields(entry) if field in (1, 2)}
            if len(parts) == 2:
                features[str(parts[1], "utf-8")] = parts[2]
            if len(features) > MAX_FEATURES:
                raise ValueError(f"it has more than {MAX_FEATURES:,} features")
    return features


LISTS = {1: ("bytes_list", (2,)), 2: ("float_list", (2, 5)), 3: ("int64_list", (0, 2))}
"""Field of a feature -> the name of its list, and the wire types of entries, packed or not."""


def _list_of(feature: memoryview, number: int) -> memoryview:
    """The content of a feature's only list, which is field ``number``."""
    found = [(field, wire, content) for field, wire, content in islice(_fields(feature), 2)]
    if [(field, wire) for field, wire, _ in found] != [(number, 2)]:
        raise ValueError(f"not a {LISTS[number][0]}")
    return found[0][2]


def _entries(feature: memoryview, number: int) -> Iterator[memoryview]:
    """The entries of a feature's list; ValueError where one is of another wire type."""
    kind, wires = LISTS[number]
    for field, wire, entry in _fields(_list_of(feature, number)):
        if field != 1 or wire not in wires:
            raise ValueError(f"not a {kind}")
        yield entry


def read_bytes(feature: memoryview) -> Array:
    """A ``bytes_list`` as uint8 (n,), whether each byte is its own entry or all are one."""
    raw = np.frombuffer(_list_of(feature, 1), np.uint8)
    if len(raw) % 3 == 0:
        triples = raw.reshape(-1, 3)
        if (triples[:, 0] == 0x0A).all() and (triples[:, 1] == 1).all():
            return triples[:, 2]
    # Joined one by one: a list of millions of empty entries takes no memory.
    joined = bytearray()
    for entry in _entries(feature, 1):
        joined += entry
    return np.frombuffer(joined, np.uint8)


def read_entries(feature: memoryview, count: int) -> list[memoryview]:
    """The entries of a ``bytes_list``; ValueError where there are not ``count``."""
    entries = list(islice(_entries(feature, 1), count + 1))
    if len(entries) != count:
        found = f"more than {count}" if entries[count:] else f"{len(entries)}"
        raise ValueError(f"{found} entries, expected {count}")
    return entries


def read_floats(feature: memoryview) -> Array:
    """A ``float_list`` as float32 (n,)."""
    joined = bytearray()
    for entry in _entries(feature, 2):
        if len(entry) % 4:
            raise ValueError("a float is cut off")
        joined += entry
    return np.frombuffer(joined, "<f4").astype(np.float32)


def read_ints(feature: memoryview) -> Array:
    """An ``int64_list`` as int64 (n,)."""
    values = array("Q")
    for entry in _entries(feature, 3):
        place = 0
        while place < len(entry):
            value, place = _varint(entry, place)
            values.append(value & (1 << 64) - 1)
    return np.frombuffer(values, np.int64)  # two's complement


class Record:
    """The features of one record, decoded on demand; errors name file, record and feature."""

    def __init__(self, file: RecordFile, data: bytes) -> None:
        self.file = file
        try:
            self._features = parse_example(data)
        except ValueError as error:
            raise file.bad_record(f"is not a tf.Example ({error})") from error

    def read(self, key: str, reader: Callable[..., T], *more: Any) -> T:
        """A feature by one of the functions ``read_*`` above."""
        if key not in self._features:
            raise self.file.bad_record(f"feature {key!r} is missing")
        try:
            return reader(self._features[key], *more)
        except ValueError as error:
            raise self.file.bad_record(f"feature {key!r}: {error}") from error

    def array(self, key: str, reader: Callable[..., Array], shape: tuple[int, ...]) -> Array:
        """A feature as an array of that shape."""
        values = self.read(key, reader)
        if values.size != math.prod(shape):
            expected = "x".join(map(str, shape))
            what = f"feature {key!r} has {values.size} numbers, expected {expected}"
            raise self.file.bad_record(what)
        return values.reshape(shape)

    def check_finite(self, key: str, values: Array) -> Array:
        """Refuse numbers that are not finite."""
        if not np.isfinite(values).all():
            raise self.file.bad_record(f"feature {key!r} has a number that is not finite")
        return values
