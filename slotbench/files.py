"""Files that are written whole or not at all, and what the operating system's refusals mean."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slotbench.errors import SlotbenchError, UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def replacing(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """A temporary name beside ``path``; renamed to it when the block ends well, else removed.

    With ``folder``, of the same file system, the temporary name lies there: what a killed
    process leaves behind goes with that folder.
    """
    # Processes of the same number may write at once, on several machines or in containers.
    ours = f"{os.getpid()}-{os.urandom(4).hex()}"
    temporary = (folder or path.parent) / f".{path.name}.{ours}.tmp"
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, document: Any) -> None:
    write_whole(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The document in a file; :class:`UserError` where it is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from error


def reason_of(error: BaseException) -> str:
    """One line for ``status.json``."""
    known = explain(error) if isinstance(error, OSError) else error
    text = (
        known.message if isinstance(known, SlotbenchError) else f"{type(error).__name__}: {error}"
    )
    return " ".join(text.split())


def explain(error: OSError) -> UserError | None:
    """The user's side of an operating system error: a full disk, a folder that is not writable.

    None where the error is of another kind. h5py reports the number in the text alone.
    """
    number = error.errno
    text = str(error)
    where = f" ({error.filename})" if error.filename else ""
    if number in _FULL or any(f"errno = {code}," in text for code in _FULL):
        return UserError(
            f"The disk is full, or a limit on file sizes is reached{where}.",
            "Free some space and type the same command again: it goes on where it stopped.",
        )
    if number in _DENIED or any(f"errno = {code}," in text for code in _DENIED):
        return UserError(
            f"No permission to write{where}.",
            "Choose another folder with --data-dir or --results-dir.",
        )
    if number in (errno.ENOTDIR, errno.EISDIR, errno.ENOENT):
        return UserError(f"{error.strerror}{where}.", "Check the path.")
    return None
