"""Ctrl-C and SIGTERM: noted where they come, heeded between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_noted: list[str] = []


class StopRequest(Exception):  # noqa: N818  # no error: the user asked
    """Ctrl-C or SIGTERM came; the loop saves and leaves."""


@contextmanager
def signals() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM are noted; the second ends the process at once."""

    def note(number: int, _frame: object) -> None:
        if _noted:
            raise KeyboardInterrupt
        _noted.append(signal.Signals(number).name)

    _noted.clear()
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def asked() -> str:
    """The signal that asked this process to stop; empty: none did."""
    return _noted[0] if _noted else ""
