"""Zip archives: the directory is read by ``zipfile`` and checked, the members are inflated here.

``zipfile`` stops at a member's declared size and so does not tell when the real one is larger.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from slotbench.datasets.originals.archive_rules import (
    CHUNK,
    DAMAGED,
    HOSTILE,
    LIMITS,
    Limits,
    Rules,
    stream_of,
)
from slotbench.datasets.originals.tree import shown
from slotbench.errors import UserError

MOST_DIRECTORY = 512 << 20
"""Bytes of the list of members; those of COCO and CLEVR have 10 million."""
LOCAL = struct.Struct("<4s5H3I2H")
ENCRYPTED = 1


class Zip:
    """A zip archive, open for reading in any order.

    Iterating gives (name, stream) of every file, sorted by name; a stream is good until the
    next one is asked for. Raises :class:`UserError` naming the archive, and the member where
    there is one, for whatever is damaged or hostile: see :class:`archive_rules.Rules`.
    """

    def __init__(self, archive: Path, limits: Limits = LIMITS) -> None:
        self.rules = Rules(archive, limits)
        self.size = archive.stat().st_size
        self.done = 0
        """Bytes of the archive that were read, for a progress bar."""
        self._file = _Bounded(archive.open("rb", buffering=0))
        try:
            self._members = self._directory()
        except BaseException:
            self._file.close()
            raise

    def _directory(self) -> dict[str, zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self._file) as directory:
                listed = directory.infolist()
        except UserError:
            raise
        except Exception as error:  # of hostile bytes it raises errors of every kind
            raise self.rules.error(f"this is no zip archive, or a part of one ({error})") from error
        found = {}
        for info in listed:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or kind == stat.S_IFDIR:
                if info.filename.strip("/.") or ".." in info.filename:
                    self.rules.name(info.filename)
                continue
            found[self._checked(info, kind)] = info
        self._apart(found)
        self.rules.volume(sum(info.file_size for info in found.values()), self.size)
        return dict(sorted(found.items()))

    def _checked(self, info: zipfile.ZipInfo, kind: int) -> str:
        name = self.rules.file(info.filename, info.file_size)
        if kind not in (0, stat.S_IFREG):
            what = "a symbolic link" if kind == stat.S_IFLNK else "a device or another special file"
            raise self.rules.error(f"it is {what}", name, HOSTILE)
        if info.flag_bits & ENCRYPTED:
            raise self.rules.error("it is encrypted", name, "Unpack the archive yourself.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self.rules.error(
                f"its compression, number {info.compress_type}, is not read",
                name,
                "Stored and deflated members are. Unpack the archive yourself.",
            )
        self.rules.volume(info.file_size, info.compress_size, name)
        return name

    def _apart(self, members: dict[str, zipfile.ZipInfo]) -> None:
        """Members that share bytes are the way to petabytes in a small archive."""
        end = 0
        for name, info in sorted(members.items(), key=lambda item: item[1].header_offset):
            if info.header_offset < end:
                raise self.rules.error("it shares bytes with another member", name, HOSTILE)
            end = info.header_offset + LOCAL.size + info.compress_size
        if end > self.size:
            raise self.rules.error("the archive is truncated")

    @property
    def names(self) -> list[str]:
        """The files, sorted."""
        return list(self._members)

    def declared(self, name: str) -> int:
        """The size in bytes that a member is said to have; reading checks it."""
        return self._members[name].file_size

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[tuple[str, BinaryIO]]:
        self.done = 0
        for name, info in self._members.items():
            yield name, stream_of(self._pieces(name))
            self.done += info.compress_size

    def open(self, name: str) -> BinaryIO:
        return stream_of(self._pieces(name))

    def read(self, name: str, most: int = 256 << 20) -> bytes:
        """A member of at most ``most`` bytes, whole."""
        size = self._member(name).file_size
        if size > most:
            raise self.rules.error(f"{size:,} bytes, expected at most {most:,}", name)
        return b"".join(self._pieces(name))

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise self.rules.error("there is no such member", name)
        return self._members[name]

    def _pieces(self, name: str) -> Iterator[bytes]:
        """The content, checked against the declared size and CRC-32 as it goes by."""
        info, real, crc = self._member(name), 0, 0
        for piece in self._inflated(name, info):
            real += len(piece)
            if real > info.file_size:
                raise self.rules.error(
                    f"it holds more than the {info.file_size:,} bytes that it declares",
                    name,
                    HOSTILE,
                )
            crc = zlib.crc32(piece, crc)
            yield piece
        if real != info.file_size:
            raise self.rules.error(f"{real:,} bytes of the {info.file_size:,} declared", name)
        if crc != info.CRC:
            raise self.rules.error("its checksum does not match", name)

    def _inflated(self, name: str, info: zipfile.ZipInfo) -> Iterator[bytes]:
        raw = self._raw(name, info)
        if info.compress_type == zipfile.ZIP_STORED:
            yield from raw
            return
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for piece in raw:
                while piece and not engine.eof:
                    yield engine.decompress(piece, CHUNK)
                    piece = engine.unconsumed_tail
            while not engine.eof and (piece := engine.decompress(b"", CHUNK)):
                yield piece
        except zlib.error as error:
            raise self.rules.error(f"it cannot be unpacked ({error})", name) from error
        if not engine.eof:
            raise self.rules.error("it is truncated", name)

    def _raw(self, name: str, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """The stored bytes; each piece is sought, so that several members can be read in turn."""
        place = info.header_offset
        header = self._at(place, LOCAL.size)
        if len(header) < LOCAL.size or header[:4] != b"PK\3\4":
            raise self.rules.error("it is not where the archive's list says", name)
        *_, named, extra = LOCAL.unpack(header)
        place += LOCAL.size + named + extra
        left = info.compress_size
        while left:
            piece = self._at(place, min(left, CHUNK))
            if not piece:
                raise self.rules.error("the archive is truncated", name)
            yield piece
            place, left = place + len(piece), left - len(piece)

    def _at(self, place: int, count: int) -> bytes:
        self._file.seek(place)
        return self._file.read(count)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Zip":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Bounded(io.BufferedReader):
    """A file of which no piece is read that would fill the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_DIRECTORY:
            raise UserError(
                f"{shown(str(getattr(self.raw, 'name', 'the archive')))}: its list of members has "
                f"{size:,} bytes.",
                DAMAGED,
            )
        return super().read(size)
