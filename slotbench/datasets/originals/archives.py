"""Zip and tar(.gz) archives of people we do not trust: read as streams, or unpacked whole.

For importers of folders: set ``unpacks = True`` in the dataset's class. Then ``--from`` may be a
folder, an archive, or a folder of nothing but archives; ``Dataset.importer`` and
``Dataset.provenance`` are always given a folder, from :func:`folder_of`.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from slotbench.datasets.originals.archive_rules import CHUNK, HOSTILE, LIMITS, Limits
from slotbench.datasets.originals.archive_tar import Tar
from slotbench.datasets.originals.archive_zip import Zip
from slotbench.datasets.originals.tfrecord import GZIP_MAGIC
from slotbench.datasets.originals.tree import shown
from slotbench.errors import UserError
from slotbench.progress import Bar, bar

__all__ = [
    "Limits",
    "Tar",
    "Zip",
    "extract",
    "folder_of",
    "is_archive",
    "is_zip",
    "members",
    "unpacked",
]

RECORD = ".slotbench-unpacked.json"
"""In an unpacked folder: the archives that it came from."""
ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip")
BESIDE = (".md", ".txt", ".md5", ".sha256")
"""Endings of what is often fetched with archives and may lie beside them."""


def is_zip(path: Path) -> bool:
    return _beginning(path)[:4] in (b"PK\3\4", b"PK\5\6")


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, a tar, or gzipped (which only a tar is expected to be)."""
    start = _beginning(path)
    return is_zip(path) or start[:2] == GZIP_MAGIC or start[257:262] == b"ustar"


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(512)
    except OSError:
        return b""


def opened(archive: Path, limits: Limits = LIMITS) -> Zip | Tar:
    return Zip(archive, limits) if is_zip(archive) else Tar(archive, limits)


def members(archive: Path, limits: Limits = LIMITS) -> Iterator[tuple[str, BinaryIO]]:
    """(name, stream) of every file: of a zip sorted by name, of a tar as they stand.

    Nothing is extracted. Names are relative, with ``/`` between their parts. A stream is good
    until the next one is asked for. :class:`UserError` names the archive and the member that
    leads out of it, is a link or a device, stands twice, is damaged, or holds far too much.
    """
    with opened(archive, limits) as source:
        yield from source


def folder_of(path: Path, home: Path) -> Path:
    """A folder of files: ``path`` itself, or what archives hold, unpacked below ``home``.

    ``path`` is a folder, an archive, or a folder of nothing but archives (and checksums and
    texts). Archives that were unpacked before, and have not changed, are not unpacked again.
    """
    archives = _archives(path)
    return unpacked(archives, home / path.resolve().name) if archives else path


def unpacked(archives: Sequence[Path], place: Path) -> Path:
    """What archives hold: in ``<place>.unpacked``, or in the only folder that is in there."""
    name = place.name
    stem = next((name[: -len(end)] for end in ENDINGS if name.lower().endswith(end)), name)
    return _root(extract(archives, place.with_name(f"{stem}.unpacked")))


def _archives(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if is_archive(path) else []
    if not path.is_dir():
        return []
    inside = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    inside = [file for file in inside if file.suffix.lower() not in BESIDE or file.is_dir()]
    alone = all(file.name.lower().endswith(ENDINGS) and file.is_file() for file in inside)
    return inside if alone else []


def _root(folder: Path) -> Path:
    """Past folders that hold one folder and nothing else, as archives often do."""
    while True:
        inside = [file for file in folder.iterdir() if not file.name.startswith((".", "__MACOSX"))]
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        folder = inside[0]


def extract(archives: Sequence[Path], folder: Path, limits: Limits = LIMITS) -> Path:
    """Unpack archives into one new folder, which appears when it is whole.

    A call that was killed begins anew. Where the folder is there, made from the same archives,
    it is kept. Raises :class:`UserError` as :func:`members` does, where two archives hold
    different files of one name, and where the disk has too little space.
    """
    record = {"archives": [_identity(archive) for archive in archives]}
    if folder.exists():
        if _record(folder) == record:
            return folder
        if not (folder / RECORD).is_file():
            raise UserError(
                f"{shown(folder)} exists and was not unpacked by slotbench.",
                "Move it away, or choose another --data-dir.",
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with bar(f"Unpacking {folder.stem}", 1, count=False) as progress:
            before, total = 0, sum(archive.stat().st_size for archive in archives)
            for archive in archives:
                _unpack(archive, temporary, limits, _Share(progress, before, total))
                before += archive.stat().st_size
        (temporary / RECORD).write_text(json.dumps(record))
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


class _Share:
    """The part of a bar that one of several archives fills."""

    def __init__(self, progress: Bar, before: int, total: int) -> None:
        self._progress, self._before, self._total = progress, before, total

    def set(self, done: int, files: int) -> None:
        self._progress.set(self._before + done, self._total, detail=f"{files:,} files")


def _unpack(archive: Path, folder: Path, limits: Limits, share: _Share) -> None:
    with opened(archive, limits) as source:
        if isinstance(source, Zip):
            _check_space(folder, sum(map(source.declared, source.names)), archive)
        count = 0
        for count, (name, stream) in enumerate(source, start=1):
            target = folder / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(stream, target)
            except (FileExistsError, NotADirectoryError) as error:
                # Of another archive, or of a name that this file system takes for the same.
                if not target.is_file() or not _same(stream, target):
                    what = "another file stands in its place"
                    raise source.rules.error(what, name, HOSTILE) from error
            if count % 100 == 0:
                share.set(source.done, count)
        if not count:
            raise source.rules.error("it holds no file")
        share.set(source.size, count)


def _write(stream: BinaryIO, target: Path) -> None:
    with target.open("xb") as out:
        while piece := stream.read(CHUNK):
            out.write(piece)


def _same(stream: BinaryIO, file: Path) -> bool:
    with file.open("rb") as other:
        while piece := stream.read(CHUNK):
            if other.read(len(piece)) != piece:
                return False
        return not other.read(1)


def _check_space(folder: Path, size: int, archive: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{shown(archive)} holds {size / 1e9:.1f} GB, and the disk of {shown(folder.parent)} "
            f"has {free / 1e9:.1f} GB left.",
            "Free some space, or choose another --data-dir.",
        )


def _identity(archive: Path) -> dict[str, Any]:
    status = archive.stat()
    return {"file": archive.name, "bytes": status.st_size, "mtime": status.st_mtime_ns}


def _record(folder: Path) -> Any:
    try:
        return json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None
