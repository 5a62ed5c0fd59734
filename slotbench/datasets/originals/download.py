"""Downloading original files: goes on where it stopped, believes no length, checks what it got.

A file is ``<name>.part`` until it is whole and checked; ``<name>.part.json`` notes which version
of the source it is a part of (ETag, Last-Modified), so that parts of two versions are never
joined. Only http and https are spoken, and https is never left for http.
"""

import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rich.markup import escape

from slotbench.datasets.originals.download_http import Answer, Final, Gone, Retry, ask
from slotbench.datasets.originals.download_part import Part
from slotbench.errors import SlotbenchError, UserError
from slotbench.files import explain
from slotbench.locks import Held, hold
from slotbench.progress import Bar, bar, say

CHUNK = 1 << 20
AGAIN = "Type the same command again: it goes on where it stopped."


@dataclass(frozen=True)
class Download:
    """A published file."""

    url: str
    sha256: str | None = None
    """Hexadecimal; none where it is not published."""
    md5: str | None = None
    """Hexadecimal; asked for where there is no sha256."""
    size: int | None = None
    """Bytes; none where they are not published."""

    @property
    def name(self) -> str:
        return re.split("[?#]", self.url)[0].rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Patience:
    """How long a source may fail before the user is told."""

    tries: int = 6
    """Failures in a row while no byte has come."""
    tries_begun: int = 15
    """Failures in a row, each without :attr:`progress`, once bytes have come."""
    first_wait: float = 1.0
    """Seconds before the second try; each wait is twice the last."""
    longest_wait: float = 60.0
    stall: float = 60.0
    """Seconds without data, or with less than :attr:`slowest` bytes, that end a connection."""
    slowest: int = 10_000
    progress: int = 1 << 20
    """Bytes of one connection that make the count of failures begin anew."""
    sleep: Callable[[float], None] = time.sleep


def download(
    files: Sequence[Download], folder: Path, patience: Patience | None = None
) -> list[Path]:
    """Fetch files into a folder; those that are there are kept. Returns their paths, in order.

    Raises :class:`SlotbenchError` where a source keeps failing or is not what it should be, and
    :class:`UserError` where the disk is too small or another process fetches the same file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_fetched(file, folder, patience or Patience()) for file in files]


def _fetched(file: Download, folder: Path, patience: Patience) -> Path:
    target = folder / file.name
    if _there(file, target):
        say(f"{target} was downloaded before.")
        return target
    try:
        with hold(folder / f".{file.name}.lock"):
            if not _there(file, target):
                _fetch(file, Part(target, file.url), patience)
    except Held as error:
        raise UserError(
            f"{target} is being downloaded by another process.", "Wait until it has ended."
        ) from error
    except OSError as error:
        raise explain(error) or error from error
    return target


def _there(file: Download, target: Path) -> bool:
    return target.is_file() and file.size in (None, target.stat().st_size)


def _fetch(file: Download, part: Part, patience: Patience) -> None:
    """Two times where the first one's checksum is wrong: a part of before may be to blame."""
    for last in (False, True):
        with bar(f"Downloading {file.name}", 1, count=False) as progress:
            _complete(file, part, patience, progress)
        wrong = part.wrong(file.sha256, file.md5)
        if not wrong:
            part.finish()
            return
        part.discard()
        if last:
            raise SlotbenchError(
                f"{file.url}: {wrong}. What was downloaded is removed.",
                "The file has changed at its source, or something changes it on the way. Fetch "
                "it by other means, and give it with --from.",
            )
        say(f"{file.name}: {wrong}; fetching it once more.")


def _complete(file: Download, part: Part, patience: Patience, progress: Bar) -> None:
    """Connect as often as it takes until the part is whole."""
    meter = _Meter(progress, part)
    failures, begun = 0, False
    while True:
        before = meter.received
        try:
            _connect(file, part, patience, meter)
            return
        except Retry as error:
            came = meter.received - before
            begun = begun or came > 0
            failures = 1 if came >= patience.progress else failures + 1
            if failures >= (patience.tries_begun if begun else patience.tries):
                raise SlotbenchError(
                    f"{file.url}: {error}; {failures} tries failed.",
                    f"{part.size:,} bytes are kept. {AGAIN}",
                ) from error
            wait = min(
                max(patience.first_wait * 2 ** (failures - 1), error.wait), patience.longest_wait
            )
            meter.wait(str(error), wait)
            patience.sleep(wait)
        except Final as error:
            raise SlotbenchError(
                f"{file.url}: {error}.", "Fetch the file by other means, and give it with --from."
            ) from error


def _connect(file: Download, part: Part, patience: Patience, meter: "_Meter") -> None:
    """One connection; returns where the part is whole, else raises."""
    if part.whole:
        return
    checked = bool(file.sha256 or file.md5)
    try:
        with ask(file.url, part.size, part.validator, checked, patience.stall) as answer:
            left = _agree(file, part, answer)
            if left is not None:
                _check_space(part, left)
            elif not (answer.chunked or checked):
                raise Retry("the server does not say how long the file is")
            with part.open() as out:
                _receive(answer, out, left, patience, meter)
    except Gone:
        part.discard()
        raise
    if part.total is None:
        part.note_total(part.size)


def _agree(file: Download, part: Part, answer: Answer) -> int | None:
    """How many bytes are to come: after those of the part, or in their place."""
    total = answer.total
    if None not in (total, file.size) and total != file.size:
        part.discard()
        raise Final(f"the server says {total:,} bytes, expected {file.size:,}")
    if answer.start:
        other = None not in (total, part.total) and total != part.total
        if other or answer.start != part.size or not part.same(answer):
            part.discard()
            raise Retry("the file has changed at its source; fetching it anew")
    else:
        part.begin(answer, file.size if total is None else total)
    return None if part.total is None else part.total - answer.start


def _receive(
    answer: Answer, out: BinaryIO, left: int | None, patience: Patience, meter: "_Meter"
) -> None:
    since, came = time.monotonic(), 0
    while left is None or left > 0:
        piece = answer.read(CHUNK if left is None else min(CHUNK, left))
        if not piece:
            break
        out.write(piece)
        out.flush()  # what is there when a later line fails is kept
        left = None if left is None else left - len(piece)
        came += len(piece)
        meter.add(len(piece))
        if time.monotonic() - since > patience.stall:
            if came < patience.slowest:
                raise Retry(f"only {came:,} bytes in {patience.stall:.0f} s")
            since, came = time.monotonic(), 0
    if left:
        raise Retry(f"the connection ended {left:,} bytes before the end")
    if left == 0 and answer.more():
        raise Final("the server sends more bytes than the file has")


def _check_space(part: Part, needed: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if needed > free:
        raise UserError(
            f"{part.target}: {needed / 1e9:.1f} GB are to come, and the disk has "
            f"{free / 1e9:.1f} GB left.",
            f"Free some space, or choose another --data-dir. {AGAIN}",
        )


class _Meter:
    """Bytes of this call, on the bar."""

    def __init__(self, progress: Bar, part: Part) -> None:
        self._progress, self._part = progress, part
        self._started, self.received = time.monotonic(), 0

    def add(self, count: int) -> None:
        self.received += count
        rate = self.received / max(time.monotonic() - self._started, 1e-9)
        size, total = self._part.size, self._part.total
        of = f" of {total / 1e9:.2f}" if total else ""
        self._progress.set(size, total, f"{size / 1e9:.2f}{of} GB, {rate / 1e6:.1f} MB/s")

    def wait(self, why: str, seconds: float) -> None:
        text = escape(f"{why}; again in {seconds:.0f} s")
        self._progress.set(self._part.size, self._part.total, text)
