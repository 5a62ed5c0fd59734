"""Downloads original files: resumes, retries, and checks length and checksums.

A file is ``<name>.part`` until it is whole and checked. ``<name>.part.json`` notes the version of
the source (ETag, Last-Modified), so that parts of two versions are never joined. Redirects from
https to http and other protocols are refused.
"""

import base64
import contextlib
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import google_crc32c
import urllib3
from pydantic import Field
from urllib3 import exceptions as failures
from urllib3.util import Retry, Timeout

from slotbench import __version__
from slotbench.datasets.dataset import Download
from slotbench.errors import SlotbenchError, UserError
from slotbench.files import Document, explain, read_document, write_json
from slotbench.locks import Held, hold
from slotbench.progress import Bar, bar, say

CHUNK = 1 << 20
AGAIN = "Type the same command again: it goes on where it stopped."
OTHERWISE = "Fetch the file by other means, and give it with --from."
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses that may pass."""
RETRY = Retry(8, backoff_factor=1, backoff_max=60, retry_after_max=60)
"""Tries in a row without :data:`PROGRESS` bytes; waits of 0, 2, 4, ... 60 s."""
PROGRESS = 1 << 20
SLOWEST = 10_000
"""Bytes in ``stall`` seconds; slower connections are closed."""
COUNT = "[0-9]{1,18}"
"""A number of bytes in a header; Python also reads other digits, and refuses very long ones."""
SUMS: dict[str, Callable[[], Any]] = {
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32c": google_crc32c.Checksum,
}


class Passing(failures.HTTPError):
    """A failure that may pass; ``response`` may have a Retry-After."""

    def __init__(self, what: str, response: urllib3.BaseHTTPResponse | None = None) -> None:
        super().__init__(what)
        self.response = response


class Notes(Document):
    """What is known about a part's source."""

    url: str
    etag: str = ""
    modified: str = ""
    total: int | None = None
    """Bytes of the whole file."""
    sums: dict[str, str] = Field(default_factory=dict)
    """The server's checksums, hexadecimal."""


def download(
    files: Sequence[Download], folder: Path, retry: Retry = RETRY, stall: float = 60.0
) -> list[Path]:
    """Downloads the files that a folder lacks; returns the paths of all.

    A connection ends after ``stall`` seconds without data. Raises :class:`SlotbenchError` where a
    source keeps failing or sends something else, and :class:`UserError` where the disk is too small
    or another process downloads the same file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        target = folder / file.name
        if _is_there(file, target):
            say(f"{target} was downloaded before.")
            continue
        try:
            with hold(folder / f".{file.name}.lock"):
                if not _is_there(file, target):
                    _Transfer(file, target, retry, stall).run()
        except Held as error:
            message = f"{target} is being downloaded by another process."
            raise UserError(message, "Wait until it has ended.") from error
        except OSError as error:
            raise explain(error) or error from error
    return [folder / file.name for file in files]


def _is_there(file: Download, target: Path) -> bool:
    return target.is_file() and file.size in (None, target.stat().st_size)


class _Transfer:
    """The download of one file."""

    def __init__(self, file: Download, target: Path, retry: Retry, stall: float) -> None:
        self.file, self.target, self.retry, self.stall = file, target, retry, stall
        self.part = target.with_name(f"{target.name}.part")
        self.notes_path = target.with_name(f"{target.name}.part.json")
        self.checked = bool(file.sha256 or file.md5)
        self.received, self.started = 0, time.monotonic()
        try:
            self.notes = read_document(self.notes_path, Notes)
        except UserError:
            self.discard()
        if self.notes.url != file.url or self.size > (self.notes.total or self.size):
            self.discard()

    @property
    def size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def discard(self) -> None:
        """Removes the part, which is not of this file or version."""
        self.part.unlink(missing_ok=True)
        self.notes_path.unlink(missing_ok=True)
        self.notes = Notes(url=self.file.url)

    def note(self, notes: Notes, total: int | None) -> None:
        self.notes = notes.model_copy(update={"total": total})
        write_json(self.notes_path, self.notes.model_dump())

    def run(self) -> None:
        """Downloads twice where the first checksum is wrong, as with a damaged part."""
        for last in (False, True):
            with bar(f"Downloading {self.file.name}", 1, count=False) as progress:
                self._complete(progress)
            wrong = self._wrong()
            if not wrong:
                self.part.replace(self.target)
                self.notes_path.unlink(missing_ok=True)
                return
            self.discard()
            if last:
                raise SlotbenchError(
                    f"{self.file.url}: {wrong}. The download is removed.",
                    f"The file has changed at its source, or on the way. {OTHERWISE}",
                )
            say(f"{self.file.name}: {wrong}; fetching it once more.")

    def _complete(self, progress: Bar) -> None:
        """Connects until the part is whole."""
        retry = self.retry
        while self.notes.total is None or self.size < self.notes.total or not self.part.exists():
            before = self.received
            try:
                with contextlib.closing(self._ask()) as response:
                    self._receive(response, self._begin(response), progress)
            except failures.HTTPError as error:
                retry = self.retry if self.received - before >= PROGRESS else retry
                try:
                    retry = retry.increment("GET", self.file.url, error=error)
                except failures.MaxRetryError as last:
                    what = f"{_reason(error)}; {len(retry.history) + 1} tries failed"
                    advice = f"{self.size:,} bytes are kept. {AGAIN}"
                    raise SlotbenchError(f"{self.file.url}: {what}.", advice) from last
                progress.set(self.size, self.notes.total, f"{_reason(error)}; trying again")
                try:
                    retry.sleep(getattr(error, "response", None))
                except (failures.InvalidHeader, ValueError, OverflowError):
                    # Its Retry-After is neither seconds nor a date.
                    retry.new(respect_retry_after_header=False).sleep()

    def _ask(self) -> urllib3.BaseHTTPResponse:
        """Requests the rest of the file, if the source has not changed; follows redirects."""
        etag, url = self.notes.etag, self.file.url
        validator = etag if etag.startswith('"') else self.notes.modified
        headers = {"User-Agent": f"slotbench/{__version__}", "Accept-Encoding": "identity"}
        if self.size and (validator or self.checked):
            headers["Range"] = f"bytes={self.size}-"
            headers |= {"If-Range": validator} if validator else {}
        how: dict[str, Any] = {"preload_content": False, "decode_content": False}
        how |= {"redirect": False, "retries": False, "timeout": Timeout(self.stall)}
        for _ in range(10):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise self._final(f"{_plain(url)} is not an http or https address")
            if self.file.url.startswith("https:") and parts.scheme == "http":
                raise self._final(f"it leads from https to http ({_plain(url)})")
            proxy = None if proxy_bypass(parts.hostname) else getproxies().get(parts.scheme)
            pool = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
            try:
                response = pool.request("GET", url, headers=headers, **how)
            except failures.SSLError as error:
                what = f"its certificate cannot be verified ({_plain(error)})"
                raise self._final(what) from error
            place = response.get_redirect_location()
            if not place:
                return response
            response.close()
            try:
                url = urljoin(url, place)
            except ValueError as error:  # such as http://[
                raise self._final(f"it leads to {_plain(place)}, which is no address") from error
        raise self._final("it leads in a circle")

    def _begin(self, response: urllib3.BaseHTTPResponse) -> int:
        """Checks the response against the part; returns its first byte."""
        what, headers = f"HTTP {response.status} {_plain(response.reason)}", response.headers
        if response.status == 416:  # the part is of another file
            self.discard()
            raise Passing(what)
        if response.status in PASSING:
            raise Passing(what, response)
        if response.status not in (200, 206):
            raise self._final(what)
        if headers.get("Content-Type", "").lower().startswith("text/html"):
            raise self._final("the server sends a web page instead of the file")
        encoding = headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise self._final(f"the server changes the file (Content-Encoding {_plain(encoding)})")
        start, found = _described(response, self.file.url)
        if None not in (found.total, self.file.size) and found.total != self.file.size:
            self.discard()
            raise self._final(f"the server says {found.total:,} bytes, expected {self.file.size:,}")
        if start:
            version = ("etag", "modified", "total")
            known = [(getattr(self.notes, key), getattr(found, key)) for key in version]
            if start != self.size or any(a and b and a != b for a, b in known):
                self.discard()
                raise Passing("the file has changed at its source; fetching it anew")
        else:
            self.discard()
            self.note(found, self.file.size if found.total is None else found.total)
        chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        if self.notes.total is None and not (chunked or self.checked):
            raise Passing("the server does not say how long the file is")
        needed, free = (self.notes.total or 0) - start, shutil.disk_usage(self.part.parent).free
        if needed > free:
            raise UserError(
                f"{self.target} needs another {needed / 1e9:.1f} GB, and the disk has "
                f"{free / 1e9:.1f} GB left.",
                f"Free some space, or choose another --data-dir. {AGAIN}",
            )
        return start

    def _receive(self, response: urllib3.BaseHTTPResponse, size: int, progress: Bar) -> None:
        since, came, total = time.monotonic(), 0, self.notes.total
        with self.part.open("ab") as out:
            while total is None or size < total:
                piece = response.read1(CHUNK if total is None else min(CHUNK, total - size))
                if not piece:
                    break
                out.write(piece)
                out.flush()
                size, came = size + len(piece), came + len(piece)
                self.received += len(piece)
                rate = self.received / max(time.monotonic() - self.started, 1e-9)
                of = f" of {total / 1e9:.2f}" if total else ""
                progress.set(size, total, f"{size / 1e9:.2f}{of} GB, {rate / 1e6:.1f} MB/s")
                if time.monotonic() - since > self.stall:
                    if came < SLOWEST:
                        raise Passing(f"only {came:,} bytes in {self.stall:.0f} s")
                    since, came = time.monotonic(), 0
        if total is None:
            self.note(self.notes, size)
        elif size < total:
            raise Passing(f"the connection ended {total - size:,} bytes before the end")
        elif response.headers.get("Transfer-Encoding") and response.read1(1):
            raise self._final("the server sends more bytes than the file has")

    def _final(self, what: str) -> SlotbenchError:
        """A failure that will not pass."""
        return SlotbenchError(f"{self.file.url}: {what}.", OTHERWISE)

    def _wrong(self) -> str:
        """Which checksum does not match; empty where all do."""
        expected = dict(self.notes.sums)
        if self.checked:
            name = "sha256" if self.file.sha256 else "md5"
            expected[name] = (self.file.sha256 or self.file.md5 or "").lower()
        sums = {name: SUMS[name]() for name in expected if name in SUMS}
        if not sums:
            return ""
        with (
            bar(f"Checking {self.file.name}", self.size, count=False) as progress,
            self.part.open("rb") as stream,
        ):
            while piece := stream.read(CHUNK):
                for one in sums.values():
                    one.update(piece)
                progress.set(stream.tell())
        for name, one in sums.items():
            if one.digest().hex() != expected[name]:
                return f"its {name} is {one.digest().hex()}, expected {expected[name]}"
        return ""


def _described(response: urllib3.BaseHTTPResponse, url: str) -> tuple[int, Notes]:
    """The first byte of a response, and what its headers say about the file."""
    headers, start, total = response.headers, 0, None
    length = headers.get("Content-Length", "")
    if re.fullmatch(COUNT, length) and not headers.get("Transfer-Encoding"):
        total = int(length)
    if response.status == 206:
        place = headers.get("Content-Range", "")
        found = re.fullmatch(rf"bytes ({COUNT})-{COUNT}/({COUNT}|\*)", place)
        if not found:
            raise Passing("the server sends a piece and does not say which")
        start = int(found[1])
        end = None if total is None else start + total
        total = end if found[2] == "*" else int(found[2])
        if total is not None and (end or 0) > total:
            raise Passing(f"the server says {total:,} bytes in all, and sends to {end:,}")
    sums = {}
    for entry in headers.get("x-goog-hash", "").split(","):
        name, _, value = entry.strip().partition("=")
        if name in SUMS:
            with contextlib.suppress(ValueError):
                sums[name] = base64.b64decode(value, validate=True).hex()
    etag, modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
    return start, Notes(url=url, etag=etag, modified=modified, total=total, sums=sums)


def _plain(text: object) -> str:
    """A server's text, safe to print."""
    return re.sub("[^ -~]", "?", str(text))[:80]


def _reason(error: failures.HTTPError) -> str:
    if isinstance(error, Passing):
        return str(error)
    silent = isinstance(error, failures.TimeoutError)
    if silent and not isinstance(error, failures.NewConnectionError):
        return "the server is silent for too long"
    cause = error.__cause__ or error.__context__
    text = getattr(cause, "strerror", None) or error
    return f"the server cannot be reached, or the connection broke ({_plain(text)})"
