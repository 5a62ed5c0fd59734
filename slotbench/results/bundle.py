"""Results bundles: finished runs with their weights, and a sha256 of every file.

A bundle is a folder or a .zip file: ``manifest.json`` and, for each run,
``runs/<dataset>/<core>+<objective>/<seed>-<id>/`` with :data:`FILES`. It may come from anyone,
so reading one trusts nothing: names stay inside it, links are refused, sizes are bounded before
anything is read, and weights are safetensors, which hold no code.
"""

import hashlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import Field

from slotbench.errors import UserError
from slotbench.files import Document, parse_document, parse_json, read_document, sha256_of
from slotbench.results import DOCUMENTS
from slotbench.results.documents import Schema

KIND = "slotbench results"
MANIFEST = "manifest.json"
FILES = (*DOCUMENTS, "model.safetensors")
MOST_FILES = 100_000
MOST_TOTAL = 256 << 30
MOST_BYTES: Mapping[str, int] = {".json": 64 << 20, ".safetensors": 16 << 30}
"""By the end of a name; no other names are in a bundle."""
_ADVICE = "Do not use the bundle; get it anew."
_CHUNK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:=,-]*")
"""A part of a path: not hidden, without separators or characters with a meaning of their own."""
_BAD_ZIP = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error)
_SPOILED = (*_BAD_ZIP, OSError, RuntimeError, EOFError, ValueError)


class Bundle:
    """A bundle that is open for reading; use :func:`open_bundle`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile | None) -> None:
        self.path = path
        self._root = zipfile.Path(archive) if archive else path
        self._total = 0
        self.sizes = self._archived(archive) if archive else self._in_folder()
        """File -> bytes, of everything that is there."""
        self.manifest = self._manifest()

    @property
    def runs(self) -> list[str]:
        """The folders of the runs, sorted."""
        return sorted({str(PurePosixPath(name).parent) for name in self.manifest.files})

    def pieces(self, name: str) -> Iterator[bytes]:
        """A file in pieces, read no further than its size."""
        left = self.sizes[name]
        with (self._root / name).open("rb") as stream:
            while piece := stream.read(min(_CHUNK, left + 1)):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
        if left:
            raise self.bad(f"{name} does not have the size that is given for it")

    def document(self, name: str) -> Any:
        """A JSON file; :class:`UserError` where it is none."""
        return parse_json(b"".join(self.pieces(name)), f"{self.path}: {name}")

    def digest(self, name: str) -> str:
        """sha256 of a file."""
        found = hashlib.sha256()
        for piece in self.pieces(name):
            found.update(piece)
        return found.hexdigest()

    def bad(self, what: str) -> UserError:
        """The error for a bundle that has changed since it was published."""
        return UserError(f"{self.path}: {what}.", _ADVICE)

    def _archived(self, archive: zipfile.ZipFile) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for info in (info for info in archive.infolist() if not info.is_dir()):
            if info.filename in sizes:
                raise self.bad(f"holds {info.filename!r} twice")
            if info.flag_bits & 1:
                raise self.bad(f"{info.filename!r} is encrypted")
            kind = stat.S_IFMT(info.external_attr >> 16)
            self._add(sizes, info.filename, info.file_size, plain=kind in (0, stat.S_IFREG))
        return sizes

    def _in_folder(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for path in sorted(self.path.rglob("*")):
            facts = path.lstat()
            if not stat.S_ISDIR(facts.st_mode):
                name = path.relative_to(self.path).as_posix()
                self._add(sizes, name, facts.st_size, plain=stat.S_ISREG(facts.st_mode))
        return sizes

    def _add(self, sizes: dict[str, int], name: str, size: int, *, plain: bool) -> None:
        problem = bad_name(name)
        if problem:
            raise self.bad(f"holds a file named {name[:200]!r}: {problem}")
        if not plain:
            raise self.bad(f"{name!r} is a link or a device, not a file")
        if size > MOST_BYTES[PurePosixPath(name).suffix]:
            raise self.bad(f"{name!r} is too large: {size:,} bytes")
        self._total += size
        if len(sizes) >= MOST_FILES or self._total > MOST_TOTAL:
            raise self.bad(f"holds more than {MOST_FILES:,} files or {MOST_TOTAL:,} bytes")
        sizes[name] = size

    def _manifest(self) -> "Manifest":
        if MANIFEST not in self.sizes:
            raise self.bad(f"holds no {MANIFEST}")
        try:
            found = parse_document(self.document(MANIFEST), Manifest, f"{self.path}: {MANIFEST}")
        except UserError as error:
            raise UserError(error.message, _ADVICE) from error
        for name in found.files:
            if bad_name(name) or name == MANIFEST:
                raise self.bad(f"{MANIFEST} has a bad entry for {name[:200]!r}")
        return found


class FileFacts(Document):
    """A file's entry in the manifest."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(Schema):
    """``manifest.json``: the sha256 of every file of a bundle."""

    kind: Literal["slotbench results"]
    files: Annotated[dict[str, FileFacts], Len(1)]


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle to read; :class:`UserError` if it is none, is damaged or is too large."""
    try:
        if path.is_dir():
            yield Bundle(path, None)
        else:
            with zipfile.ZipFile(path) as archive:
                yield Bundle(path, archive)
    except _SPOILED as error:
        raise UserError(
            f"{path} cannot be read as a results bundle ({type(error).__name__}: {error}).",
            "A bundle is what slotbench publish writes: a folder or a .zip file.",
        ) from error


def is_bundle(path: Path) -> bool:
    """Whether a path looks like a bundle rather than a dataset or a run."""
    return (path.is_file() and path.suffix == ".zip") or (path / MANIFEST).is_file()


def bad_name(name: str) -> str:
    """Why a name may not stand in a bundle; "" where it may."""
    parts = name.split("/")
    if len(name) > 500 or len(parts) > 6:
        return "it is too long"
    if not all(_NAME.fullmatch(part) for part in parts):
        return "it is no plain relative path"
    if name != MANIFEST and (len(parts) != 5 or parts[0] != "runs" or parts[-1] not in FILES):
        return "no such file belongs into a bundle"
    return ""


def listed(path: Path) -> Mapping[str, FileFacts]:
    """The files that the manifest of a bundle's folder lists; :class:`UserError` without one."""
    if not (path / MANIFEST).is_file():
        said = f"{path} holds no {MANIFEST}, which says whether its runs are as published"
        raise UserError(f"{said}.", _ADVICE)
    try:
        return read_document(path / MANIFEST, Manifest).files
    except UserError as error:
        raise UserError(error.message, _ADVICE) from error


def check_files(run: Path, facts: Mapping[str, FileFacts], names: Iterable[str] = FILES) -> None:
    """:class:`UserError` for the first of a run's files that does not match its listed hash."""
    folder = "/".join(("runs", *run.resolve().parts[-3:]))
    for name in names:
        file, known = run / name, facts.get(f"{folder}/{name}")
        if known is None or not file.is_file() or sha256_of(file) != known.sha256:
            raise UserError(f"{file} is not the file that the bundle's {MANIFEST} lists.", _ADVICE)


def check_hashes(bundle: Bundle) -> list[str]:
    """Faults, one line a file; empty if every file is there and has its sha256."""
    listed, there = bundle.manifest.files, bundle.sizes.keys() - {MANIFEST}
    every = {f"{folder}/{name}" for folder in bundle.runs for name in FILES}
    spoiled = {name for name in listed.keys() & there if bundle.digest(name) != listed[name].sha256}
    faults = {
        "in the manifest, but missing": listed.keys() - there,
        "not in the manifest": there - listed.keys(),
        "every run of a bundle has one, and it is missing": every - listed.keys(),
        "its sha256 is not the manifest's": spoiled,
    }
    return sorted(f"{name}: {fault}" for fault, names in faults.items() for name in names)
