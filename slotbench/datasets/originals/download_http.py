"""One request for a file, or for the rest of one, over http or https."""

import base64
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

from slotbench import __version__

AGAIN_STATUS = {408, 425, 429, 500, 502, 503, 504}
SUMS = ("md5", "crc32c")


class Retry(Exception):  # noqa: N818  # what went wrong may go well the next time
    """A failure that may pass; ``wait`` is how many seconds the server asks for."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


class Final(Exception):  # noqa: N818
    """A failure that will not pass."""


class Answer:
    """A server's answer: of the whole file (``start`` 0), or of its bytes from ``start`` on."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        headers = response.headers
        self.etag, self.modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
        self.sums = _stated(headers.get_all("x-goog-hash", []))
        self.chunked = bool(response.chunked)
        self.start, self.total = 0, response.length
        if response.status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
            if not found:
                raise Retry("the server sends a piece and does not say which")
            self.start = int(found[1])
            length = None if response.length is None else self.start + response.length
            self.total = length if found[2] == "*" else int(found[2])
            if self.total is not None and (length or 0) > self.total:
                raise Retry(f"the server says {self.total:,} bytes in all, and sends to {length:,}")

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes, as they come; none at the end."""
        try:
            return self._response.read1(count)
        except TimeoutError as error:
            raise Retry("no data for too long") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Retry(f"the connection broke ({_reason(error)})") from error

    def more(self) -> bool:
        """Whether bytes come after the last one, as only an answer without a length can."""
        return self.chunked and bool(self.read(1))


@contextmanager
def ask(url: str, start: int, validator: str, checked: bool, timeout: float) -> Iterator[Answer]:
    """Ask for the bytes from ``start`` on, if the file is still the one of ``validator``.

    Without a validator the whole file is asked for, unless a checksum will tell (``checked``).
    Raises :class:`Retry` and :class:`Final`.
    """
    headers = {"User-Agent": f"slotbench/{__version__}", "Accept-Encoding": "identity"}
    if start and (validator or checked):
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    _check_scheme(url)
    try:
        response = _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            _refused(error)
    except urllib.error.URLError as error:
        _failed(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        _failed(error)
    with response:
        kind = response.headers.get_content_type()
        if kind == "text/html":
            raise Final("the server sends a web page instead of the file")
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise Final(
                f"the server changes the file on the way (Content-Encoding {_plain(encoding)})"
            )
        if response.status not in (200, 206):
            raise Final(f"HTTP {response.status} {_plain(response.reason)}")
        yield Answer(response)


def _refused(error: urllib.error.HTTPError) -> NoReturn:
    what = f"HTTP {error.code} {_plain(error.reason)}"
    if error.code // 100 == 3:
        what = f"it leads in a circle, or to what is no http address (HTTP {error.code})"
    if error.code in AGAIN_STATUS:
        wait = error.headers.get("Retry-After", "") if error.headers else ""
        raise Retry(what, float(wait) if re.fullmatch(r"\d{1,6}", wait) else 0.0) from error
    if error.code == 416:
        raise Gone(what) from error
    raise Final(what) from error


def _failed(reason: Any) -> NoReturn:
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise Final(f"its certificate cannot be verified ({reason.verify_message})")
    if isinstance(reason, Final):
        raise reason
    if isinstance(reason, TimeoutError):
        raise Retry("the server does not answer")
    raise Retry(f"the server cannot be reached ({_reason(reason)})")


def _plain(text: object) -> str:
    """What a server says, as it can be printed."""
    return re.sub("[^ -~]", "?", str(text))[:80]


def _reason(error: Any) -> str:
    return _plain(getattr(error, "strerror", None) or error) or type(error).__name__


class Gone(Retry):
    """The server has no bytes from there on: the part is of another file."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_scheme(newurl)
        if req.type == "https" and urlsplit(newurl).scheme == "http":
            raise Final(f"it leads from https to http ({_plain(newurl)})")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Final(f"{_plain(url)} is no http or https address")


def _opener() -> urllib.request.OpenerDirector:
    """One that speaks http and https alone: not file, ftp or data, as the usual one does."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _stated(headers: list[str]) -> dict[str, str]:
    """The checksums of ``x-goog-hash`` headers, in hexadecimal."""
    found = {}
    for entry in ",".join(headers).split(","):
        name, _, value = entry.strip().partition("=")
        if name in SUMS:
            try:
                found[name] = base64.b64decode(value, validate=True).hex()
            except ValueError:
                continue
    return found
