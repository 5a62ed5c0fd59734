"""Locks that end with the process that holds them, however it ends.

``filelock`` asks the kernel (flock). On a file system without locks, such as Lustre mounted
without them, its soft lock is used: a file that names the process, with one warning.
"""

import errno
import shlex
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from slotbench.errors import UserError
from slotbench.progress import say, warn

GLANCE = 2.0
"""Seconds to wait, as another process may hold a lock just to see whether it is free."""
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}


class Held(Exception):  # noqa: N818  # what was found, not what went wrong
    """Another process holds the lock."""


@contextmanager
def hold(file: Path, wait: float = GLANCE) -> Iterator[None]:
    """Hold the lock ``file``; :class:`Held` where another process keeps it for ``wait`` seconds.

    :class:`UserError` where it is a link, which could lead anywhere, or no regular file.
    """
    lock = _acquire(file, wait)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def hold_at_last(file: Path, who: str, wait: float = 0) -> Iterator[None]:
    """As :func:`hold`, but after ``wait`` seconds it says who has the lock, and waits for ever."""
    with ExitStack() as stack:
        try:
            stack.enter_context(hold(file, wait))
        except Held:
            say(f"{who}: this one waits for it (lock: {file}).")
            stack.enter_context(hold(file, -1))
        yield


@contextmanager
def changing(file: Path) -> Iterator[None]:
    """Read a file, change it and write it in here, after every other process that does so."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.with_name(f".{file.name}.lock")
    with hold_at_last(lock, f"Another process changes {file}", GLANCE):
        try:
            yield
        finally:  # before the release: nobody may lock a file that is then removed
            lock.unlink(missing_ok=True)


def held(file: Path) -> bool:
    """Whether a living process holds the lock; OSError where the folder is read-only."""
    if not file.exists():
        return False
    try:
        _acquire(file, 0).release()
    except Held:
        return True
    return False


def _acquire(file: Path, wait: float) -> BaseFileLock:
    there = file.exists()
    if file.is_symlink() or (there and not file.is_file()):
        kind_of = "a link" if file.is_symlink() else "no regular file"
        advice = f"Remove it: rm -r {shlex.quote(str(file))}"
        raise UserError(f"{file} is {kind_of}; expected a lock file.", advice)
    if not there:
        _check_folder(file)
    for kind in (FileLock, SoftFileLock):
        lock: BaseFileLock = kind(file, thread_local=False)
        # filelock may fall back to its soft lock by itself, with a warning.
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                lock.acquire(timeout=wait, poll_interval=0.01)
            except Timeout as error:
                raise Held(file) from error
            except OSError as error:
                if kind is SoftFileLock or error.errno not in _NO_LOCKS:
                    raise
                if not there:  # the soft lock is the file itself
                    file.unlink(missing_ok=True)
                continue
        if said or kind is SoftFileLock:
            _warn_once()
        return lock
    raise AssertionError("the soft lock either holds or raises")


def _check_folder(file: Path) -> None:
    """OSError naming ``file`` where its folder takes no files, such as /proc.

    filelock would try for ever: a lock that is being removed is missing too.
    """
    try:
        with TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        error.filename = str(file)
        raise


@cache
def _warn_once() -> None:
    warn(
        "this file system has no locks. Do not start the same run on two machines: "
        "each may not see the other."
    )
