"""Checks, reads and unpacks zip and tar archives, which are not trusted.

For datasets with ``unpacks = True``, ``--from`` may be a folder, an archive, or a folder of
archives; the importer always gets a folder.
"""

import contextlib
import io
import json
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from isal import igzip

from slotbench.datasets.originals.importing import counts, identity_of
from slotbench.datasets.originals.tfrecord import GZIP_ERRORS, GZIP_MAGIC
from slotbench.errors import UserError
from slotbench.locks import changing
from slotbench.progress import bar

RECORD = ".slotbench-unpacked.json"
"""File in an unpacked folder with the :func:`identity_of` its archives."""
ENDING = re.compile(r"\.(tar\.gz|tgz|tar|zip)$", re.IGNORECASE)
PACKED = re.compile(rf"{ENDING.pattern}|\.(7z|bz2|lzma|rar|tbz2?|txz|xz|zst)$", re.IGNORECASE)
"""Also the archives that are not read."""
BESIDE = (".md", ".txt", ".md5", ".sha256")
"""Files with these endings may lie beside archives."""
CHUNK = 1 << 20
MOST_TOTAL, MOST_MEMBERS = 8 << 40, 4_000_000
"""Most bytes and members of an archive; more is taken for an attack."""
MOST_RATIO, FREE = 250, 64 << 20
"""Most bytes of members for each byte of the archive, after the first ``FREE`` bytes. JSON and
label images have 10 to 100."""
DAMAGED = "The archive is damaged; fetch it again."
HOSTILE = "Nothing was unpacked. Is this the archive as it was published?"
ERRORS = (*GZIP_ERRORS, tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error)
ERRORS = (*ERRORS, ValueError, KeyError, RuntimeError, NotImplementedError, EOFError)
"""What readers of damaged archives raise."""


class Archive(ABC):
    """An open archive. Errors are :class:`UserError` that name archive and member.

    The name and declared size of each member are checked before its content is read.
    """

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path, self.stored, self._stream = path, path.stat().st_size, stream
        self._seen: set[str] = set()
        self.size = 0
        """Bytes of the members that were listed; of a zip, of all."""

    @abstractmethod
    def __iter__(self) -> Iterator[tuple[str, "Member", int]]:
        """(name, content, bytes of the archive read so far) of each member."""

    def error(self, what: str, member: str | None = None, advice: str = DAMAGED) -> UserError:
        """The error that names the archive and, where one is given, the member."""
        where = "" if member is None else f", member {member[:80]}"
        return UserError(f"{self.path}{where}: {what}.", advice)

    @contextmanager
    def naming(self, member: str | None = None) -> Iterator[None]:
        """Turns errors of the libraries into :class:`UserError`."""
        try:
            yield
        except ERRORS as error:
            raise self.error(f"it is damaged, or no archive ({error})", member) from error

    def add(self, raw: str, size: int) -> str:
        """Checks a member's name and size; returns its relative path."""
        parts = [part for part in raw.split("/") if part not in ("", ".")]
        name, longest = "/".join(parts), max(map(_bytes_of, parts), default=0)
        odd = "\\" in raw or any(unicodedata.category(letter) == "Cc" for letter in raw)
        for wrong, what in (
            (odd, "its name has a backslash or control characters"),
            (re.match("/|[A-Za-z]:", raw), "its path is absolute"),
            (not parts or ".." in parts, "its path leads out of the archive"),
            (_bytes_of(raw) > 1024 or longest > 255, "its name is too long"),
            (name in self._seen, "two members have this name"),
        ):
            if wrong:
                raise self.error(what, raw, HOSTILE)
        self._seen.add(name)
        self.size += size
        if len(self._seen) > MOST_MEMBERS:
            raise self.error(f"it has more than {MOST_MEMBERS:,} members", advice=HOSTILE)
        if size < 0 or self.size > min(max(FREE, MOST_RATIO * self.stored), MOST_TOTAL):
            what = f"{self.stored:,} bytes would unpack to {self.size:,} or more"
            raise self.error(f"{what}: this is taken for an attack", name, HOSTILE)
        return name


def _bytes_of(text: str) -> int:
    return len(text.encode(errors="replace"))


class Member:
    """The content of a member; errors while it is read name it."""

    def __init__(self, stream: IO[bytes], archive: Archive, name: str) -> None:
        self._stream, self._archive, self._name = stream, archive, name

    def read(self, count: int = -1) -> bytes:
        """At most ``count`` bytes; damage becomes a named error."""
        with self._archive.naming(self._name):
            return self._stream.read(count)


class Zip(Archive):
    """A zip archive; its members can be read in any order."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        super().__init__(path, stream)
        self._members: dict[str, zipfile.ZipInfo] = {}
        with self.naming():
            self._file = zipfile.ZipFile(stream)
        for info in self._file.infolist():
            kind = info.external_attr >> 28
            if info.is_dir() or kind == stat.S_IFDIR >> 12:
                continue
            name = self.add(info.filename, info.file_size)
            if kind not in (0, stat.S_IFREG >> 12):
                raise self.error("it is a link or a device", name, HOSTILE)
            if info.flag_bits & 1:
                raise self.error("it is encrypted", name, "Unpack the archive yourself.")
            self._members[name] = info
        self.names = sorted(self._members)

    def __iter__(self) -> Iterator[tuple[str, Member, int]]:
        """Members sorted by name."""
        done = 0
        for name in self.names:
            done += self._members[name].compress_size
            yield name, self.open(name), done

    def open(self, name: str) -> Member:
        """A member, open for reading."""
        if name not in self._members:
            raise self.error("there is no such member", name)
        with self.naming(name):
            return Member(self._file.open(self._members[name]), self, name)

    def read(self, name: str, most: int) -> bytes:
        """A member of at most ``most`` bytes, whole."""
        data = self.open(name).read(most + 1)
        if len(data) > most:
            raise self.error(f"it has more than {most:,} bytes", name)
        return data


class Tar(Archive):
    """A tar archive, gzipped or not, read forward as a stream."""

    def __iter__(self) -> Iterator[tuple[str, Member, int]]:
        """Members in the archive's order."""
        gzipped = self._stream.read(2) == GZIP_MAGIC
        self._stream.seek(0)
        with self.naming():
            # isal has no types; its streams behave as every binary file does.
            plain = igzip.open(self._stream, "rb") if gzipped else self._stream  # type: ignore[no-untyped-call]
            forward: Any = _Forward(plain)
            tar = tarfile.TarFile(fileobj=forward, encoding="utf-8", errors="surrogateescape")
        while True:
            with self.naming():
                info = tar.next()
                if info is None:
                    forward.finish()
                    return
            tar.members.clear()  # type: ignore[attr-defined]  # keeps memory flat
            if info.isdir():
                continue
            name = self.add(info.name, info.size)
            if not info.isreg() or info.issparse():
                raise self.error("it is a link, a device or no plain file", name, HOSTILE)
            with self.naming(name):
                tarfile.data_filter(info, str(self.path.parent))
                stream = tar.extractfile(info)
            assert stream is not None
            yield name, Member(stream, self, name), self._stream.tell()


class _Forward:
    """The decompressed stream for ``tarfile``: refuses to seek back and to read much at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._place, self._last = stream, 0, b""

    def tell(self) -> int:
        return self._place

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or place < self._place:
            raise tarfile.ReadError("a header points backwards")
        while place > self._place and self.read(min(place - self._place, CHUNK)):
            pass
        return self._place

    def read(self, count: int | None = -1) -> bytes:
        if count is None or not 0 <= count <= CHUNK:
            raise tarfile.ReadError("a header has more than a megabyte")
        self._last = self._stream.read(count)
        self._place += len(self._last)
        return self._last

    def finish(self) -> None:
        """Checks for the empty blocks at the end, and reads on to gzip's checksum.

        ``tarfile`` takes a damaged header for the end.
        """
        if len(self._last) < tarfile.BLOCKSIZE or any(self._last):
            raise tarfile.ReadError("its end is missing")
        while rest := self.read(CHUNK):
            if any(rest):
                raise tarfile.ReadError("more follows its end")


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    return _beginning(path)[:4] in (b"PK\3\4", b"PK\5\6")


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, a tar, or gzipped."""
    start = _beginning(path)
    return is_zip(path) or start[:2] == GZIP_MAGIC or start[257:262] == b"ustar"


def _beginning(path: Path) -> bytes:
    with contextlib.suppress(OSError), path.open("rb") as stream:
        return stream.read(512)
    return b""


def folder_of(path: Path, home: Path) -> Path:
    """``path`` where it is a folder of files; else its archives, unpacked below ``home``.

    ``path`` is a folder, an archive, or a folder of archives with texts beside them.
    """
    if path.is_dir():
        inside = sorted(file for file in path.iterdir() if counts(file.name))
        archives = [file for file in inside if file.suffix.lower() not in BESIDE or file.is_dir()]
        alone = all(PACKED.search(file.name) and file.is_file() for file in archives)
        others = [file for file in archives if not ENDING.search(file.name)]
    else:
        archives, alone = [path], path.is_file()
        others = [] if is_archive(path) else archives
    if alone and others:
        said = "this is not a folder, nor an archive that is read (.zip, .tar, .tar.gz)"
        raise UserError(f"--from {others[0]}: {said}.", "Unpack it, and type: --from FOLDER")
    return unpacked(archives, home / path.resolve().name) if archives and alone else path


def unpacked(archives: Sequence[Path], place: Path) -> Path:
    """The archives, unpacked into ``<place>.unpacked``; returns the folder with the files."""
    folder = extract(archives, place.with_name(f"{ENDING.sub('', place.name)}.unpacked"))
    while True:
        inside = [file for file in folder.iterdir() if counts(file.name)]
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        folder = inside[0]


def extract(archives: Sequence[Path], folder: Path) -> Path:
    """Unpacks archives into one new folder, which appears when it is whole.

    A folder of the same archives is kept. Raises :class:`UserError` for damaged and hostile
    archives, different files of one name, and a disk with too little space.
    """
    record = json.dumps({"archives": identity_of(archives)}).encode()
    if not _is_there(folder, record):
        with changing(folder):  # another variant may be prepared of the same archives
            if not _is_there(folder, record):
                _extract(archives, folder, record)
    return folder


def _is_there(folder: Path, record: bytes) -> bool:
    if folder.exists() and not (folder / RECORD).is_file():
        said = f"{folder} exists and was not unpacked by slotbench."
        raise UserError(said, "Move it away, or choose another --data-dir.")
    return folder.exists() and (folder / RECORD).read_bytes() == record


def _extract(archives: Sequence[Path], folder: Path, record: bytes) -> None:
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        sizes = [archive.stat().st_size for archive in archives]
        with bar(f"Unpacking {folder.stem}", sum(sizes), count=False) as progress:
            for place, archive in enumerate(archives):
                for done, files in _unpack(archive, temporary):
                    progress.set(sum(sizes[:place]) + done, detail=f"{files:,} files")
        (temporary / RECORD).write_bytes(record)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack(path: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """Writes the files; yields (bytes of the archive read, files written) now and then."""
    files, free = 0, shutil.disk_usage(folder).free
    with path.open("rb") as file:
        source = (Zip if is_zip(path) else Tar)(path, file)
        if isinstance(source, Zip) and source.size > free:
            raise UserError(
                f"{path} holds {source.size / 1e9:.1f} GB, and the disk of "
                f"{folder.parent} has {free / 1e9:.1f} GB left.",
                "Free some space, or choose another --data-dir.",
            )
        for files, (name, stream, done) in enumerate(source, start=1):
            target = folder / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as out:
                    shutil.copyfileobj(stream, out, CHUNK)
            except (FileExistsError, NotADirectoryError) as error:
                # Another archive has this name, or the file system ignores case.
                if not target.is_file() or not _same(stream, target):
                    what = "a different file has this name"
                    raise source.error(what, name, HOSTILE) from error
            if files % 100 == 0:
                yield done, files
        if not files:
            raise source.error("it holds no file")
    yield path.stat().st_size, files


def _same(stream: Member, file: Path) -> bool:
    with file.open("rb") as other:
        while piece := stream.read(CHUNK):
            if other.read(len(piece)) != piece:
                return False
        return not other.read(1)
