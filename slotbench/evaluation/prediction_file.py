"""Arrays in a file that somebody else wrote: .npz or HDF5, read image by image and never trusted.

Nothing is unpickled, sizes are checked as they are declared, before anything is read, and arrays
are read in blocks of images, so that a file can ask for no more memory than its arrays need.
"""

import math
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import h5py
import numpy as np

from slotbench.datasets.format.schema import Array
from slotbench.errors import UserError

BLOCK_BYTES = 1 << 26
"""What a block of images may need as it is stored."""
CHUNK_BYTES = 1 << 30
"""The largest HDF5 chunk that is read: it is unpacked as a whole."""
MEMBERS = 256
KINDS = "biuf"
"""Kinds of dtype that are numbers: bool, signed and unsigned whole numbers, floats."""


@dataclass(frozen=True)
class ArrayInfo:
    """What an array says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one image, as stored."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


class PredictionFile(Protocol):
    """An open file; ``arrays`` holds those of the wanted names that it has."""

    path: Path
    arrays: dict[str, ArrayInfo]
    others: tuple[str, ...]
    """Names that nobody asked for; they are not looked at."""

    def blocks(self, name: str, count: int) -> Iterator[Array]:
        """The first ``count`` entries of an array, in order, some at a time."""

    def close(self) -> None: ...

    def __enter__(self) -> "PredictionFile": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_predictions(path: Path, wanted: tuple[str, ...]) -> PredictionFile:
    """Open an .npz or HDF5 file, whatever its name ends with.

    :class:`UserError` where it is missing or is neither, and, naming the array, where a wanted
    one does not hold plain numbers or declares another size than it has.
    """
    if not path.is_file():
        raise UserError(f"--predictions {path}: there is no such file.")
    if zipfile.is_zipfile(path):
        return _Npz(path, wanted)
    if h5py.is_hdf5(path):
        return _Hdf5(path, wanted)
    raise UserError(
        f"{path} is neither an .npz file nor HDF5.",
        "Write it with numpy.savez_compressed or h5py; docs/predictions.md has an example.",
    )


class _Base(ABC):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrays: dict[str, ArrayInfo] = {}
        self.others: tuple[str, ...] = ()

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def fail(self, name: str, what: str, advice: str = "") -> UserError:
        return UserError(f"{self.path}: array {name!r} {what}.", advice)

    def check(self, name: str, info: ArrayInfo) -> None:
        if info.dtype.hasobject:
            raise self.fail(
                name,
                "holds Python objects, which are never unpickled",
                "Save it as an array of numbers.",
            )
        if info.dtype.kind not in KINDS:
            raise self.fail(name, f"is of dtype {info.dtype}; expected numbers")

    def rows(self, info: ArrayInfo) -> int:
        return max(1, BLOCK_BYTES // max(1, info.row_bytes))


class _Npz(_Base):
    """A zip of .npy members, as numpy.savez writes it."""

    def __init__(self, path: Path, wanted: tuple[str, ...]) -> None:
        super().__init__(path)
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise UserError(f"{path} is a damaged .npz file: {error}.") from error
        try:
            self._read_headers(wanted)
        except BaseException:
            self.close()
            raise

    def _read_headers(self, wanted: tuple[str, ...]) -> None:
        members = self.zip.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        if len(members) > MEMBERS:
            raise UserError(f"{self.path} holds {len(members)} arrays; expected at most {MEMBERS}.")
        for name, member in zip(names, members, strict=True):
            if name not in wanted:
                continue
            if names.count(name) > 1:
                raise self.fail(name, "is there twice")
            if member.flag_bits & 1:
                raise self.fail(name, "is encrypted")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self.fail(
                    name,
                    "is packed by another method than numpy's",
                    "Write the file with numpy.savez or numpy.savez_compressed.",
                )
            with self._open(name) as stream:
                info = self._header(name, stream)
                declared = stream.tell() + math.prod(info.shape) * info.dtype.itemsize
            if declared != member.file_size:
                raise self.fail(
                    name,
                    f"says that it is {info}, which takes {declared:,} bytes, and has "
                    f"{member.file_size:,}",
                    "Write the file again.",
                )
            self.arrays[name] = info
        self.others = tuple(name for name in names if name not in wanted)

    def _open(self, name: str) -> Any:
        try:
            return self.zip.open(self._member(name))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
            raise self.fail(name, f"cannot be read: {error}") from error

    def _member(self, name: str) -> str:
        return f"{name}.npy" if f"{name}.npy" in self.zip.NameToInfo else name

    def _header(self, name: str, stream: Any) -> ArrayInfo:
        try:
            version = np.lib.format.read_magic(stream)
            # Plain numbers never need a later version, whose header may be gigabytes long.
            if version != (1, 0):
                raise ValueError(f"version {version} of the .npy format, expected (1, 0)")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        except (
            ValueError,
            TypeError,
            SyntaxError,
            EOFError,
            OSError,
            zlib.error,
            zipfile.BadZipFile,
            MemoryError,
            RecursionError,
        ) as error:
            raise self.fail(name, f"has a header that cannot be read: {error}") from error
        info = ArrayInfo(tuple(int(side) for side in shape), dtype)
        self.check(name, info)
        if any(side < 0 for side in info.shape):
            raise self.fail(name, f"has the shape {info.shape}")
        if fortran and len(info.shape) > 1:
            raise self.fail(
                name, "is stored in Fortran order", f"Save numpy.ascontiguousarray({name}) instead."
            )
        return info

    def blocks(self, name: str, count: int) -> Iterator[Array]:
        info = self.arrays[name]
        with self._open(name) as stream:
            self._header(name, stream)
            for start in range(0, count, step := self.rows(info)):
                rows = min(step, count - start)
                try:
                    content = stream.read(rows * info.row_bytes)
                except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                    raise self.fail(name, f"is damaged: {error}", "Copy it again.") from error
                if len(content) != rows * info.row_bytes:
                    raise self.fail(name, "ends early; the file is damaged", "Copy it again.")
                yield np.frombuffer(content, info.dtype).reshape(rows, *info.shape[1:])

    def close(self) -> None:
        self.zip.close()


class _Hdf5(_Base):
    """An HDF5 file with the arrays at its root."""

    def __init__(self, path: Path, wanted: tuple[str, ...]) -> None:
        super().__init__(path)
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            raise UserError(
                f"{path} cannot be read as HDF5; it is truncated or damaged."
            ) from error
        try:
            for name in wanted:
                if name in self.file.keys():  # noqa: SIM118  # `in file` would follow a link
                    self.arrays[name] = self._info(name)
            self.others = tuple(name for name in self.file if name not in wanted)
        except BaseException:
            self.close()
            raise

    def _info(self, name: str) -> ArrayInfo:
        if not isinstance(self.file.get(name, getlink=True), h5py.HardLink):
            raise self.fail(name, "is a link to elsewhere; expected the array itself")
        array = self.file[name]
        if not isinstance(array, h5py.Dataset) or array.shape is None:
            raise self.fail(name, "is no array")
        if array.external or array.is_virtual:
            raise self.fail(name, "is stored in other files; expected the array itself")
        info = ArrayInfo(array.shape, array.dtype)
        self.check(name, info)
        if array.chunks and math.prod(array.chunks) * array.dtype.itemsize > CHUNK_BYTES:
            raise self.fail(name, f"has chunks of {array.chunks}; expected at most 1 GiB each")
        return info

    def blocks(self, name: str, count: int) -> Iterator[Array]:
        array, info = self.file[name], self.arrays[name]
        # Whole chunks at a time, where that fits: each is then unpacked once.
        chunk = array.chunks[0] if array.chunks else 1
        step = self.rows(info)
        step = max(step // chunk, 1) * chunk if chunk * info.row_bytes <= CHUNK_BYTES else step
        for start in range(0, count, step):
            try:
                yield array[start : min(start + step, count)]
            except OSError as error:
                raise self.fail(name, f"cannot be read: {error}", "Copy it again.") from error

    def close(self) -> None:
        self.file.close()
