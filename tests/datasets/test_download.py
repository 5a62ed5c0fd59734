"""Downloads from servers that stall, truncate, lie, change and break."""

import base64
import hashlib
import json
import subprocess
import sys
from collections import namedtuple

import google_crc32c
import numpy as np
import pytest
from urllib3 import HTTPResponse, PoolManager
from urllib3.util import Retry

from slotbench.datasets.dataset import Download
from slotbench.datasets.originals import download as module
from slotbench.datasets.originals.download import RETRY, download
from slotbench.errors import SlotbenchError, UserError
from slotbench.locks import hold
from tests.datasets.server import chunked, cut, good, head, raw, serving, status

CONTENT = np.random.default_rng(0).integers(0, 256, 50_000).astype(np.uint8).tobytes()
OTHER = CONTENT[::-1]
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
CRC = base64.b64encode(google_crc32c.Checksum(CONTENT).digest()).decode()
QUICK = Retry(4)


def fetch(server, folder, retry=QUICK, **fields):
    file = Download(f"{server.base}/set/data.bin", **fields)
    (path,) = download([file], folder, retry, stall=0.3)
    assert path == folder / "data.bin"
    assert [file.name for file in folder.iterdir() if file.name[0] != "."] == ["data.bin"]
    return path.read_bytes()


def kept(folder):
    """The part that is there after a failure."""
    assert not (folder / "data.bin").exists()
    part = folder / "data.bin.part"
    return part.read_bytes() if part.exists() else b""


GOOD, PLAIN, BARE = good(CONTENT, ETag='"1"'), good(CONTENT), head("200 OK")
HALF, RESUMED = cut(CONTENT, 20_000, ETag='"1"'), [None, "bytes=20000-"]
BROKEN = [status("500 Oops"), status("429 Slow"), raw(end="stall"), raw(), raw(b"nonsense\r\n\r\n")]
VERSIONS = [({"ETag": '"1"'}, {"ETag": '"2"'}), ({}, {})]
VERSIONS += [({"ETag": 'W/"1"', "Last_Modified": "Mon"}, {"ETag": 'W/"2"', "Last_Modified": "Tue"})]
ANSWERS = {
    "early": ("bytes 10000-49999/50000", OTHER[:30_000]),
    "longer": ("bytes 20000-49999/60000", OTHER[:30_000]),
    "beyond": ("bytes 20000-59999/50000", OTHER[:40_000]),
    "nonsense": ("bytes x-y/z", OTHER[:30_000]),
    "long": ("bytes 20000-49999/" + "9" * 400, CONTENT[20_000:]),
    "open": ("bytes 20000-49999/*", CONTENT[20_000:]),
    "shorter": ("bytes 20000-29999/50000", CONTENT[20_000:30_000]),
}
RIGHT = {
    "plain": ([PLAIN], {}, [None]),
    "sha256": ([PLAIN], {"sha256": SHA256.upper()}, [None]),
    "size": ([PLAIN], {"size": len(CONTENT)}, [None]),
    "closed": ([HALF, GOOD], {}, RESUMED),
    "stalled": ([cut(CONTENT, 20_000, "stall", ETag='"1"'), GOOD], {}, RESUMED),
    "reset": ([cut(CONTENT, 20_000, "reset", ETag='"1"'), GOOD], {}, None),  # may cost bytes
    **{f"broken {n}": ([*[way] * 3, PLAIN], {}, None) for n, way in enumerate(BROKEN)},
    **{
        f"changed {n} {obeys}": (
            [cut(OTHER, 20_000, **before), cut(CONTENT, None, obeys=obeys, **after)],
            {},
            None,
        )
        for n, (before, after) in enumerate(VERSIONS)
        for obeys in (True, False)
    },
    "whole again": ([HALF, status("200 OK", CONTENT, ETag='"1"')], {}, RESUMED),
    **{
        name: ([HALF, status("206 Partial Content", body, Content_Range=at), GOOD], {}, None)
        for name, (at, body) in ANSWERS.items()
    },
    # The part is longer than the file has become.
    "too long": ([cut(OTHER * 2, 60_000), PLAIN], {"sha256": SHA256}, [None, "bytes=60000-", None]),
    "chunked": ([chunked(CONTENT), chunked(CONTENT, b"")], {}, None),
    "Chunked": ([chunked(CONTENT, b"", name="Chunked")], {}, [None]),
    "without length": ([raw(BARE + CONTENT)], {"sha256": SHA256}, [None]),
    # Nothing but the checksum tells that it is cut off.
    "cut, without length": ([raw(BARE + CONTENT[:-5]), PLAIN], {"sha256": SHA256}, [None, None]),
    "wrong sha256": ([good(OTHER), PLAIN], {"sha256": SHA256}, [None, None]),
    "wrong md5": ([good(OTHER), PLAIN], {"md5": MD5}, [None, None]),
    "checksum of the server": (
        [good(OTHER, x_goog_hash=f"crc32c={CRC}"), good(CONTENT, x_goog_hash="md5=?")],
        {},
        [None, None],
    ),
    "moved": (
        [status("302 Found", Location="/x"), HALF, status("302 Found", Location="/x"), GOOD],
        {},
        [None, None, *RESUMED[1:] * 2],
    ),
}
"""How the server answers one request after the other, what is known of the file, what is asked."""


@pytest.mark.parametrize("case", RIGHT)
def test_the_file_is_right_in_the_end(case, tmp_path):
    behaviours, fields, ranges = RIGHT[case]
    if "size" in fields:  # a file of another size is fetched anew
        (tmp_path / "data.bin").write_bytes(b"old")
    with serving(*behaviours) as server:
        assert fetch(server, tmp_path, **fields) == CONTENT
        assert ranges is None or server.ranges == ranges
        asked = server.requests.copy()
        assert {request["accept-encoding"] for request in asked} == {"identity"}
        assert fetch(server, tmp_path, **fields) == CONTENT
        assert server.requests == asked


KNOWN = {"size": len(CONTENT)}
DRIPPING = raw(head("200 OK", Content_Length=50_000), *[b"x"] * 100, pause=0.05)
LATER = ("9" * 5000, "Mon, 01 Jan 99999 00:00:00 GMT")
LENGTHS = {"no length": BARE + CONTENT}
for number in ("\xb2", "9" * 400, "9" * 5000):
    LENGTHS[f"number {number[:3]}"] = head("200 OK", Content_Length=number) + CONTENT
COLORED, ELSEWHERE = "404 \x1b[31mred\xe9" + 200 * "x", "file:///etc/passwd"
WRONG = {
    "503": (status("503 Busy"), {}, r"data\.bin: HTTP 503 Busy; 5 tries failed", 5),
    "trickle": (DRIPPING, {}, r"only \d+ bytes in 0 s; 5 tries failed", 5),
    **{
        f"later {date[-5:]}": (status("503", Retry_After=date), {}, "HTTP 503", 5) for date in LATER
    },
    **{name: (raw(LENGTHS[name]), {}, "not say how long the file is", 5) for name in LENGTHS},
    "sha256": (good(OTHER), {"sha256": SHA256}, f"sha256 is [0-9a-f]+, expected {SHA256}", 2),
    "md5": (good(OTHER), {"md5": MD5}, f"its md5 is [0-9a-f]+, expected {MD5}", 2),
    "short": (good(CONTENT[:-1]), KNOWN, "says 49,999 bytes, expected 50,000", 1),
    "long": (chunked(CONTENT + b"x", b""), KNOWN, "more bytes than the file has", 1),
    "404": (status("404 Not Found"), {}, "HTTP 404 Not Found", 1),
    "204": (status("204 No Content"), {}, "HTTP 204 No Content", 1),
    "control": (status(COLORED), {}, r"HTTP 404 \?\[31mred\?x{50,90}\. Fetch", 1),
    "page": (status("200 OK", b"<html>", Content_Type="text/html; a"), {}, "a web page", 1),
    "gzip": (good(CONTENT, Content_Encoding="gzip"), {}, "changes the file .*gzip", 1),
    "file": (status("302", Location=ELSEWHERE), {}, "is not an http or https address", 1),
    "no address": (status("302 Found", Location="http://["), {}, "is no address", 1),
    "circle": (status("302 Found", Location="/else"), {}, "it leads in a circle", 10),
}
"""An answer, what is known of the file, the error, how many requests; five: it may pass."""


@pytest.mark.parametrize("case", WRONG)
def test_a_failure_says_what_to_do(case, tmp_path):
    answer, fields, what, requests = WRONG[case]
    with serving(answer) as server, pytest.raises(SlotbenchError, match=what) as caught:
        fetch(server, tmp_path, **fields)
    assert caught.value.exit_code == 1
    assert ("Type the same command again" if requests == 5 else "--from") in caught.value.advice
    assert len(server.requests) == requests
    assert not (tmp_path / "data.bin").exists()
    assert requests != 2 or not kept(tmp_path)
    if requests == 5:
        with pytest.raises(SlotbenchError, match="the server cannot be reached"):
            fetch(server, tmp_path)


def test_waits_grow_to_a_minute_or_are_the_servers(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    asked = [status("429 Slow", Retry_After=text) for text in ("7", "999999", "tomorrow")]
    with serving(*asked, *[status("500 Oops")] * 5, PLAIN) as server:
        assert fetch(server, tmp_path, RETRY) == CONTENT
    assert waits == [7, 60, 4, 8, 16, 32, 60, 60]


def test_progress_resets_the_count_of_failures(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS", 1000)
    with serving(cut(CONTENT, 2000, ETag='"1"')) as server:
        assert fetch(server, tmp_path, Retry(1)) == CONTENT
        assert len(server.requests) == 25


def test_another_call_goes_on(tmp_path):
    failure = cut(CONTENT, 30_000, ETag='"1"', Last_Modified="Mon")
    with serving(failure, status("500 Oops")) as server:
        with pytest.raises(SlotbenchError, match="30,000 bytes are kept"):
            fetch(server, tmp_path)
        assert kept(tmp_path) == CONTENT[:30_000]
        notes = json.loads((tmp_path / "data.bin.part.json").read_bytes())
        assert (notes["etag"], notes["total"]) == ('"1"', len(CONTENT))
        server.behaviours = [GOOD]
        assert fetch(server, tmp_path) == CONTENT
        assert server.ranges[-1] == "bytes=30000-"
        assert server.requests[-1]["if-range"] == '"1"'


@pytest.mark.parametrize(
    "notes", [b"", b"[]", b"\xff", b'{"url": 3}', b'{"url": "http://x/y", "etag": "\\"1\\""}']
)
def test_a_part_of_unknown_origin_is_dropped(notes, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(OTHER[:1000])
    (tmp_path / "data.bin.part.json").write_bytes(notes)
    with serving(GOOD) as server:
        assert fetch(server, tmp_path) == CONTENT


@pytest.mark.parametrize("url", ["file:///etc/passwd", "x", "http:///y"])
def test_only_http_is_spoken(url, tmp_path):
    with pytest.raises(SlotbenchError, match="is not an http or https address"):
        download([Download(url)], tmp_path)


def test_https_is_not_left_for_http(tmp_path, monkeypatch):
    answer = HTTPResponse(status=302, headers={"Location": "http://a/c"})
    monkeypatch.setattr(PoolManager, "request", lambda *_, **__: answer)
    with pytest.raises(SlotbenchError, match="from https to http"):
        download([Download("https://a/b")], tmp_path)


def test_a_disk_that_is_too_small_is_told_before(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(0, 0, 49_999))
    with serving(PLAIN) as server, pytest.raises(UserError, match="and the disk has"):
        fetch(server, tmp_path)


# In a process of its own: the limit would hold for all that the test run writes.
ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from slotbench.datasets.dataset import Download
from slotbench.datasets.originals.download import download
from slotbench.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    download([Download(sys.argv[1])], Path(sys.argv[2]))
except UserError as error:
    print(error)
"""


def test_a_disk_that_fills_up(tmp_path):
    with serving(GOOD) as server:
        words = ["-c", ON_A_FULL_DISK, f"{server.base}/set/data.bin", str(tmp_path)]
        told = subprocess.check_output([sys.executable, *words], text=True, timeout=60)
    assert "The disk is full" in told
    assert kept(tmp_path)
    assert CONTENT.startswith(kept(tmp_path))


def test_two_processes_do_not_fetch_one_file(tmp_path):
    with (
        serving(PLAIN) as server,
        hold(tmp_path / ".data.bin.lock"),
        pytest.raises(UserError, match="is being downloaded by another process"),
    ):
        fetch(server, tmp_path)


def answer(draw):
    """Anything that a server may do."""
    size = int(draw.integers(60_000))
    answers = [
        cut(CONTENT, size, ETag='"1"'),
        cut(CONTENT, size, "reset", ETag='"1"'),
        cut(OTHER, size, ETag='"0"'),
        status("200 OK", CONTENT[size:], Content_Length=50_000, ETag='"1"'),
        raw(draw.bytes(size % 200)),
        raw(b"HTTP/1.1 200 OK\r\n" + draw.bytes(size % 100)),
        status("500 Oops"),
    ]
    return answers[int(draw.integers(len(answers)))]


def test_whatever_servers_do_the_file_is_right_or_there_is_none(count, tmp_path):
    for seed in range(count):
        draw, folder = np.random.default_rng(seed), tmp_path / str(seed)
        answers = [answer(draw) for _ in range(draw.integers(5))]
        with serving(*answers, GOOD) as server:
            file = Download(f"{server.base}/data.bin", size=len(CONTENT), sha256=SHA256)
            try:
                (path,) = download([file], folder, Retry(6), stall=2)
            except SlotbenchError:
                assert not (folder / "data.bin").exists()
                (path,) = download([file], folder, Retry(6), stall=2)
        assert path.read_bytes() == CONTENT
        assert {file.name for file in folder.iterdir()} <= {"data.bin", ".data.bin.lock"}
