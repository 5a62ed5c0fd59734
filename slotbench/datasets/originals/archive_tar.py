"""Tar archives, gzipped or not, read forward as a stream: memory stays flat."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from isal import igzip

from slotbench.datasets.originals.archive_rules import (
    CHUNK,
    HOSTILE,
    LIMITS,
    Limits,
    Rules,
    stream_of,
)
from slotbench.datasets.originals.tfrecord import GZIP_ERRORS, GZIP_MAGIC
from slotbench.errors import UserError

KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


class Tar:
    """A tar archive; iterating gives (name, stream) of every file, in the archive's order.

    A stream is good until the next one is asked for. Raises :class:`UserError` naming the
    archive, and the member where there is one, for whatever is damaged or hostile: see
    :class:`archive_rules.Rules`.
    """

    def __init__(self, archive: Path, limits: Limits = LIMITS) -> None:
        self.rules = Rules(archive, limits)
        self.size = archive.stat().st_size
        self._file = archive.open("rb")

    @property
    def done(self) -> int:
        """Bytes of the archive that were read, for a progress bar."""
        return self.size if self._file.closed else self._file.tell()

    def __iter__(self) -> Iterator[tuple[str, BinaryIO]]:
        self._file.seek(0)
        gzipped = self._file.read(2) == GZIP_MAGIC
        self._file.seek(0)
        # isal has no types; what it opens reads as every binary file does.
        plain = igzip.open(self._file, "rb") if gzipped else self._file  # type: ignore[no-untyped-call]
        forward = _Forward(plain, self.rules, self._file)
        tar = self._opened(forward)
        while (info := self._next(tar)) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
            if not info.isdir():
                name = self._checked(info)
                yield name, stream_of(self._pieces(tar, info, name))
            elif info.name.strip("/.") or ".." in info.name:
                self.rules.name(info.name)
        self._finish(forward)

    def _opened(self, forward: "_Forward") -> tarfile.TarFile:
        try:
            return tarfile.TarFile(
                fileobj=forward, mode="r", encoding="utf-8", errors="surrogateescape"
            )
        except UserError:
            raise
        except Exception as error:  # of hostile bytes it raises errors of every kind
            raise self.rules.error(f"this is no tar archive ({error})") from error

    def _next(self, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
        try:
            return tar.next()
        except UserError:
            raise
        except Exception as error:
            raise self.rules.error(f"it is damaged or truncated ({error})") from error

    def _checked(self, info: tarfile.TarInfo) -> str:
        name = self.rules.file(info.name, info.size)
        if info.sparse is not None or not info.isreg():
            raise self.rules.error(f"it is {KINDS.get(info.type, 'no plain file')}", name, HOSTILE)
        return name

    def _pieces(self, tar: tarfile.TarFile, info: tarfile.TarInfo, name: str) -> Iterator[bytes]:
        left = info.size
        stream = tar.extractfile(info)
        while left:
            try:
                piece = stream.read(min(left, CHUNK)) if stream else b""
            except tarfile.TarError:
                piece = b""
            if not piece:
                raise self.rules.error("it is truncated", name)
            yield piece
            left -= len(piece)

    def _finish(self, forward: "_Forward") -> None:
        """An archive ends with empty blocks; without them it was cut off between two members."""
        if len(forward.last) < tarfile.BLOCKSIZE or any(forward.last):
            raise self.rules.error("it is damaged or truncated: its end is missing")
        # To the end of the stream, where gzip's checksum stands.
        while rest := forward.read(CHUNK):
            if any(rest):
                raise self.rules.error("more follows its end", advice=HOSTILE)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Tar":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Forward(io.RawIOBase):
    """The decompressed stream as ``tarfile`` reads it: never back, never a large piece at once."""

    def __init__(self, stream: BinaryIO, rules: Rules, file: BinaryIO) -> None:
        self._stream, self._rules, self._file = stream, rules, file
        self._place = 0
        self.last = b""

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or place < self._place:
            raise tarfile.ReadError("its headers lead back")
        while place > self._place and self.read(min(place - self._place, CHUNK)):
            pass
        return self._place

    def read(self, count: int | None = -1) -> bytes:
        if count is None or not 0 <= count <= CHUNK:
            raise tarfile.ReadError("it has a header of more than a megabyte")
        try:
            self.last = self._stream.read(count)
        except GZIP_ERRORS as error:
            raise self._rules.error(f"the gzip stream is damaged or truncated ({error})") from error
        self._place += len(self.last)
        self._rules.volume(self._place, self._file.tell())
        return self.last
