"""A lock that ends with the process that holds it, however it ends.

The kernel lets go of ``flock`` when a process dies, so on one machine, and on network file
systems that pass locks on (NFS), no clock is asked and no lock is ever left behind. On file
systems that keep locks to each machine, the holder's beat says that it lives: the file names
the kernel it runs under, and its time of change is renewed every few seconds. It is compared with
that of a file made now, in the same folder: this machine's clock may be wrong, or jump.
"""

import contextlib
import fcntl
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

BEAT, DEAD = 10.0, 120.0
"""Seconds from one beat to the next, and without one until a holder elsewhere counts as dead."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TRIES, PAUSE = 200, 0.01


class Held(Exception):  # noqa: N818  # what was found, not what went wrong
    """Another process holds the lock."""


class Lock:
    """One lock, one file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock; :class:`Held` at once where another process does."""
        with self.file.open("a+") as stream:
            _take(stream.fileno())
            if _elsewhere(stream.fileno(), self.file.parent):
                raise Held(self.file)
            # Who holds it matters to other machines alone: a full disk is no reason to stop.
            with contextlib.suppress(OSError):
                stream.truncate(0)
                stream.write(json.dumps({"kernel": kernel(), "pid": os.getpid()}))
                stream.flush()
            ended = threading.Event()
            beat = threading.Thread(target=_beat, args=(stream.fileno(), ended), daemon=True)
            beat.start()
            try:
                yield
            finally:
                ended.set()
                beat.join()
                with contextlib.suppress(OSError):
                    stream.truncate(0)

    def held(self) -> bool:
        """Whether a living process holds the lock."""
        try:
            with self.file.open("r") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return _elsewhere(stream.fileno(), self.file.parent)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True

    def holder(self) -> dict[str, Any]:
        """``kernel`` and ``pid`` of who holds the lock; empty where nobody does or says."""
        if not self.held():
            return {}
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(self.file.read_text())
            return found
        return {}


def _take(handle: int) -> None:
    """Those who only look hold a lock too, for an instant, and share it: they are waited for."""
    for _ in range(TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Held from error
        fcntl.flock(handle, fcntl.LOCK_UN)
        time.sleep(PAUSE)
    raise Held


def _elsewhere(handle: int, folder: Path) -> bool:
    """Whether a process under another kernel holds a lock that is not seen from here."""
    try:
        holder = json.loads(os.pread(handle, 4096, 0))["kernel"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if holder == kernel():
        return False
    return abs(_now(folder) - os.fstat(handle).st_mtime) < DEAD


def _now(folder: Path) -> float:
    """The time by the clock that stamps the files of a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:  # a folder to look at only, or a full disk
        return time.time()


def _beat(handle: int, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(handle)


@cache
def kernel() -> str:
    """Names the running kernel: containers on one machine share it, a restart changes it."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return platform.node()
