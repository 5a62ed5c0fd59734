"""Ctrl-C and SIGTERM stop a run between two steps; a child process ends with its parent."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PR_SET_PDEATHSIG = 1
"""prctl(2)."""
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals after which a run saves and stops."""
_noted: list[str] = []


class StopRequest(Exception):  # noqa: N818  # no error: the user asked
    """A signal of :data:`STOPS` came; the loop saves and leaves."""


@contextmanager
def signals() -> Iterator[None]:
    """Inside the block, note the signals of :data:`STOPS`; the second one raises at once."""

    def note(number: int, _frame: object) -> None:
        if _noted:
            raise KeyboardInterrupt
        _noted.append(signal.Signals(number).name)

    _noted.clear()
    # `nohup` has SIGHUP ignored, and it stays so.
    caught = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def asked() -> str:
    """The signal that asked this process to stop; "": none."""
    return _noted[0] if _noted else ""


def end_with(parent: int) -> None:
    """On Linux, have the kernel send SIGTERM to this process when its parent dies."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before
        sys.exit(-signal.SIGTERM)
