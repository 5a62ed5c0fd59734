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
from tests.datasets.server import (
    chunked,
    cut,
    dripping,
    good,
    hangs_up,
    head,
    raw,
    serving,
    silent,
    status,
)

CONTENT = np.random.default_rng(0).integers(0, 256, 50_000).astype(np.uint8).tobytes()
OTHER = CONTENT[::-1]
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
SIZE = str(len(CONTENT))
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


@pytest.mark.parametrize(
    "fields", [{}, {"sha256": SHA256.upper()}, {"md5": MD5}, {"size": len(CONTENT)}]
)
def test_a_good_server(fields, tmp_path):
    with serving(good(CONTENT)) as server:
        if "size" in fields:  # a file of another size is fetched anew
            (tmp_path / "data.bin").write_bytes(b"old")
        assert fetch(server, tmp_path, **fields) == CONTENT
        assert fetch(server, tmp_path, **fields) == CONTENT
        assert server.ranges == [None]
        assert server.requests[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize("end", ["close", "reset", "stall"])
def test_a_broken_connection_is_resumed(end, tmp_path):
    failure = cut(CONTENT, 20_000, end=end, ETag='"1"')
    with serving(failure, good(CONTENT, ETag='"1"')) as server:
        assert fetch(server, tmp_path) == CONTENT
        if end != "reset":  # a reset may cost bytes on their way
            assert server.ranges == [None, "bytes=20000-"]
            assert server.requests[1]["if-range"] == '"1"'


@pytest.mark.parametrize(
    "failure",
    [status("500 Oops"), status("429 Slow"), silent, hangs_up, raw(b"nonsense\r\n\r\n")],
    ids=["500", "429", "silent", "hangs-up", "nonsense"],
)
def test_a_server_that_recovers(failure, tmp_path):
    with serving(failure, failure, failure, good(CONTENT)) as server:
        assert fetch(server, tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("behaviour", "what"),
    [
        (status("503 Busy"), "HTTP 503 Busy"),
        (dripping(CONTENT, 0.05), r"only \d+ bytes in 0 s"),  # a trickle is no progress
    ],
)
def test_a_server_that_never_recovers(behaviour, what, tmp_path):
    message = rf"data\.bin: {what}; 5 tries failed"
    with serving(behaviour) as server, pytest.raises(SlotbenchError, match=message) as caught:
        fetch(server, tmp_path)
    assert caught.value.exit_code == 1
    assert "Type the same command again" in caught.value.advice
    server.stop()
    with pytest.raises(SlotbenchError, match="the server cannot be reached"):
        fetch(server, tmp_path)


def test_waits_grow_to_a_minute_or_are_the_servers(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    asked = [status("429 Slow", Retry_After=text) for text in ("7", "999999", "tomorrow")]
    with serving(*asked, *[status("500 Oops")] * 5, good(CONTENT)) as server:
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
        assert notes["etag"] == '"1"'
        assert notes["total"] == len(CONTENT)
        server.behaviours = [good(CONTENT, ETag='"1"')]
        assert fetch(server, tmp_path) == CONTENT
        assert server.ranges[-1] == "bytes=30000-"


@pytest.mark.parametrize(
    "notes", [b"", b"[]", b"\xff", b'{"url": 3}', b'{"url": "http://x/y", "etag": "1"}']
)
def test_a_part_of_unknown_origin_is_dropped(notes, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(OTHER[:1000])
    (tmp_path / "data.bin.part.json").write_bytes(notes)
    with serving(good(CONTENT, ETag='"1"')) as server:
        assert fetch(server, tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"1"'}, {"ETag": '"2"'}),
        ({"ETag": 'W/"1"', "Last_Modified": "Mon"}, {"ETag": 'W/"2"', "Last_Modified": "Tue"}),
        ({}, {}),
    ],
)
@pytest.mark.parametrize("obedient", [True, False])
def test_a_source_that_changes_is_fetched_anew(before, after, obedient, tmp_path):
    new = good(CONTENT, **after)
    if not obedient:  # sends the rest of the new file whatever If-Range says
        lax = new

        def new(server, connection, headers):
            asked = {key: value for key, value in headers.items() if key != "if-range"}
            lax(server, connection, asked)

    with serving(cut(OTHER, 20_000, **before), new) as server:
        assert fetch(server, tmp_path) == CONTENT


ANSWERS = {
    "early": ("bytes 10000-49999/50000", OTHER[:30_000]),
    "longer": ("bytes 20000-49999/60000", OTHER[:30_000]),
    "beyond": ("bytes 20000-59999/50000", OTHER[:40_000]),
    "nonsense": ("bytes x-y/z", OTHER[:30_000]),
    "open": ("bytes 20000-49999/*", CONTENT[20_000:]),
    "shorter": (f"bytes 20000-29999/{SIZE}", CONTENT[20_000:30_000]),
}


@pytest.mark.parametrize(
    "answer",
    [
        status("200 OK", CONTENT, ETag='"1"'),
        *(status("206 Partial Content", body, Content_Range=at) for at, body in ANSWERS.values()),
    ],
    ids=["whole", *ANSWERS],
)
def test_an_answer_with_another_range_than_asked(answer, tmp_path):
    with serving(cut(CONTENT, 20_000, ETag='"1"'), answer, good(CONTENT, ETag='"1"')) as server:
        assert fetch(server, tmp_path) == CONTENT


def test_a_part_longer_than_the_file_has_become(tmp_path):
    short = CONTENT[:10_000]
    with serving(cut(OTHER, 20_000), good(short)) as server:
        assert fetch(server, tmp_path, sha256=hashlib.sha256(short).hexdigest()) == short
        assert server.ranges == [None, "bytes=20000-", None]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (good(CONTENT[:-1]), "the server says 49,999 bytes, expected 50,000"),
        (chunked(CONTENT + b"x"), "the server sends more bytes than the file has"),
        (status("404 Not Found"), "HTTP 404 Not Found"),
        (status("204 No Content"), "HTTP 204 No Content"),
        (status("404 \x1b[31mred\xe9" + 200 * "x"), r"HTTP 404 \?\[31mred\?x{50,90}\. Fetch"),
        (status("200 OK", b"<html>log in", Content_Type="text/html; charset=utf-8"), "a web page"),
        (good(CONTENT, Content_Encoding="gzip"), "the server changes the file .*gzip"),
        (status("302 Found", Location="file:///etc/passwd"), "is not an http or https address"),
        (status("302 Found", Location="/elsewhere"), "it leads in a circle"),
    ],
)
def test_final_failures_are_not_tried_again(answer, what, tmp_path):
    with serving(answer) as server, pytest.raises(SlotbenchError, match=what) as caught:
        fetch(server, tmp_path, size=len(CONTENT))
    assert "--from" in caught.value.advice
    assert len(server.requests) == (10 if "circle" in what else 1)
    assert not (tmp_path / "data.bin").exists()


def test_a_body_without_a_length(tmp_path):
    with serving(chunked(CONTENT, finished=False), chunked(CONTENT)) as server:
        assert fetch(server, tmp_path / "chunked") == CONTENT
    with serving(raw(head("200 OK", {}) + CONTENT)) as server:
        with pytest.raises(SlotbenchError, match="does not say how long the file is"):
            fetch(server, tmp_path / "open")
        assert fetch(server, tmp_path / "open", sha256=SHA256) == CONTENT
    with serving(raw(head("200 OK", {}) + CONTENT[:-5]), good(CONTENT)) as server:
        # Nothing but the checksum tells that it is cut off.
        assert fetch(server, tmp_path / "cut", sha256=SHA256) == CONTENT


@pytest.mark.parametrize("fields", [{"sha256": SHA256}, {"md5": MD5}])
def test_a_wrong_checksum(fields, tmp_path):
    with serving(good(OTHER), good(CONTENT)) as server:
        assert fetch(server, tmp_path, **fields) == CONTENT
    (tmp_path / "data.bin").unlink()
    name = next(iter(fields))
    with (
        serving(good(OTHER)) as server,
        pytest.raises(SlotbenchError, match=f"its {name} is [0-9a-f]+, expected {fields[name]}"),
    ):
        fetch(server, tmp_path, **fields)
    assert kept(tmp_path) == b""
    assert len(server.requests) == 2


def test_a_checksum_that_the_server_states(tmp_path):
    sums = (google_crc32c.Checksum(CONTENT).digest(), bytes.fromhex(MD5))
    crc, md5 = (base64.b64encode(digest).decode() for digest in sums)
    lying = good(OTHER, x_goog_hash=f"crc32c={crc},md5={md5}")
    with serving(lying, good(CONTENT, x_goog_hash="md5=?")) as server:
        assert fetch(server, tmp_path) == CONTENT
        assert len(server.requests) == 2


def test_a_redirect_is_followed_with_its_range(tmp_path):
    with (
        serving(cut(CONTENT, 20_000, ETag='"1"'), good(CONTENT, ETag='"1"')) as real,
        serving(status("302 Found", Location=f"{real.base}/x")) as server,
    ):
        assert fetch(server, tmp_path) == CONTENT
        assert real.ranges == [None, "bytes=20000-"]


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
    with serving(good(CONTENT)) as server, pytest.raises(UserError, match="are to come, and the"):
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
    with serving(good(CONTENT, ETag='"1"')) as server:
        words = ["-c", ON_A_FULL_DISK, f"{server.base}/set/data.bin", str(tmp_path)]
        told = subprocess.check_output([sys.executable, *words], text=True, timeout=60)
    assert "The disk is full" in told
    assert kept(tmp_path)
    assert CONTENT.startswith(kept(tmp_path))


def test_two_processes_do_not_fetch_one_file(tmp_path):
    with (
        serving(good(CONTENT)) as server,
        hold(tmp_path / ".data.bin.lock"),
        pytest.raises(UserError, match="is being downloaded by another process"),
    ):
        fetch(server, tmp_path)


def answer(draw):
    """Anything that a server may do."""
    size = int(draw.integers(60_000))
    answers = [
        cut(CONTENT, size, end="close", ETag='"1"'),
        cut(CONTENT, size, end="reset", ETag='"1"'),
        cut(OTHER, size, ETag='"0"'),
        cut(CONTENT, None, begin=min(size, 50_000), ETag='"1"'),
        raw(draw.bytes(size % 200)),
        raw(b"HTTP/1.1 200 OK\r\n" + draw.bytes(size % 100)),
        status("500 Oops"),
    ]
    return answers[int(draw.integers(len(answers)))]


def test_whatever_servers_do_the_file_is_right_or_there_is_none(count, tmp_path):
    for seed in range(count):
        draw, folder = np.random.default_rng(seed), tmp_path / str(seed)
        answers = [answer(draw) for _ in range(draw.integers(5))]
        with serving(*answers, good(CONTENT, ETag='"1"')) as server:
            file = Download(f"{server.base}/data.bin", size=len(CONTENT), sha256=SHA256)
            try:
                (path,) = download([file], folder, Retry(6), stall=2)
            except SlotbenchError:
                assert not (folder / "data.bin").exists()
                (path,) = download([file], folder, Retry(6), stall=2)
        assert path.read_bytes() == CONTENT
        assert {file.name for file in folder.iterdir()} <= {"data.bin", ".data.bin.lock"}
