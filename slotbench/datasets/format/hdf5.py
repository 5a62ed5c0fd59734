"""Writes HDF5 files on disks that may fill."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py

Check = Callable[[], None]
"""Raises OSError where a write has failed."""


class _Disk(io.FileIO):
    """A file that remembers its first failed write and reports the later ones as done.

    HDF5 dies of a segmentation fault where it cannot write while it closes a file.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        total = len(left)
        while len(left) and self.failure is None:
            try:
                left = left[super().write(left) or 0 :]
            except OSError as error:
                self.failure = error
        return total

    def check(self) -> None:
        """OSError where a write has failed."""
        if self.failure is not None:
            raise self.failure


@contextmanager
def writing(path: Path, mode: Literal["w", "r+"] = "w") -> Iterator[tuple[h5py.File, Check]]:
    """An HDF5 file, open for writing, and a function that raises OSError where the disk is full.

    Call it after each block of data. The error is raised at the end in any case.
    """
    with _Disk(path, f"{mode}+" if mode == "w" else mode) as disk:
        try:
            with h5py.File(disk, mode) as file:
                yield file, disk.check
        finally:
            disk.check()
