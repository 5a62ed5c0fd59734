"""Downloads from servers that stall, truncate, lie, change and break."""

import base64
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench.datasets.originals import download as module
from slotbench.datasets.originals.download import Download, Patience, download
from slotbench.errors import SlotbenchError, UserError
from tests.datasets.server import (
    Behaviour,
    Server,
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


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def patience(waits: list[float]) -> Patience:
    return Patience(tries=4, tries_begun=6, stall=0.3, slowest=5000, sleep=waits.append)


def fetch(server: Server, folder: Path, patience: Patience, **fields: object) -> bytes:
    file = Download(f"{server.base}/set/data.bin", **fields)  # type: ignore[arg-type]
    (path,) = download([file], folder, patience)
    assert path == folder / "data.bin"
    assert [file.name for file in folder.iterdir() if file.name[0] != "."] == ["data.bin"]
    return path.read_bytes()


def kept(folder: Path) -> bytes:
    """What of the file is there after a failure."""
    assert not (folder / "data.bin").exists()
    part = folder / "data.bin.part"
    return part.read_bytes() if part.exists() else b""


@pytest.mark.parametrize(
    "fields",
    [{}, {"sha256": SHA256}, {"sha256": SHA256.upper()}, {"md5": MD5}, {"size": len(CONTENT)}],
)
def test_a_good_server(fields: dict[str, object], tmp_path: Path, patience: Patience) -> None:
    with serving(good(CONTENT)) as server:
        assert fetch(server, tmp_path, patience, **fields) == CONTENT
        assert fetch(server, tmp_path, patience, **fields) == CONTENT
        assert server.ranges == [None]
        assert server.requests[0]["accept-encoding"] == "identity"


FAILURES = {
    "truncated": cut(CONTENT, 20_000, ETag='"1"'),
    "reset": cut(CONTENT, 20_000, end="reset", ETag='"1"'),
    "stalled": cut(CONTENT, 20_000, end="stall", ETag='"1"'),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    failure: str, tmp_path: Path, patience: Patience, waits: list[float]
) -> None:
    with serving(FAILURES[failure], good(CONTENT, ETag='"1"')) as server:
        assert fetch(server, tmp_path, patience) == CONTENT
        # A reset may cost bytes that were on their way.
        assert failure == "reset" or server.ranges == [None, "bytes=20000-"]
        assert server.requests[1].get("if-range") in (
            ('"1"', None) if failure == "reset" else ('"1"',)
        )
    assert waits == [1]


@pytest.mark.parametrize(
    "failure",
    [
        status("500 Oops"),
        status("503 Busy"),
        status("429 Slow down"),
        silent,
        hangs_up,
        raw(b"nonsense\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    ],
    ids=["500", "503", "429", "silent", "hangs-up", "nonsense", "half-a-head"],
)
def test_a_server_that_recovers(
    failure: Behaviour, tmp_path: Path, patience: Patience, waits: list[float]
) -> None:
    with serving(failure, failure, failure, good(CONTENT)) as server:
        assert fetch(server, tmp_path, patience) == CONTENT
    assert waits == [1, 2, 4]


def test_a_server_that_never_recovers(
    tmp_path: Path, patience: Patience, waits: list[float]
) -> None:
    with (
        serving(status("503 Busy")) as server,
        pytest.raises(SlotbenchError, match=r"data\.bin: HTTP 503 Busy; 4 tries failed") as caught,
    ):
        fetch(server, tmp_path, patience)
    assert caught.value.exit_code == 1
    assert "Type the same command again" in caught.value.advice
    assert waits == [1, 2, 4]


def test_waits_are_bounded_and_what_the_server_asks_for(
    tmp_path: Path, patience: Patience, waits: list[float]
) -> None:
    patience = replace(patience, tries=9)
    asked = [status("429 Slow", Retry_After=text) for text in ("7", "999999", "tomorrow")]
    with serving(*asked, *[status("500 Oops")] * 5, good(CONTENT)) as server:
        assert fetch(server, tmp_path, patience) == CONTENT
    assert waits == [7, 60, 4, 8, 16, 32, 60, 60]


def test_nobody_listens(tmp_path: Path, patience: Patience) -> None:
    with serving(good(CONTENT)) as server:
        base = server.base
    with pytest.raises(SlotbenchError, match="the server cannot be reached"):
        download([Download(f"{base}/data.bin")], tmp_path, patience)


def test_progress_makes_the_count_of_failures_begin_anew(
    tmp_path: Path, patience: Patience, waits: list[float]
) -> None:
    patience = replace(patience, tries=2, tries_begun=2, progress=1000)
    with serving(cut(CONTENT, 2000, ETag='"1"')) as server:
        assert fetch(server, tmp_path, patience) == CONTENT
        assert len(server.requests) == 25
    assert set(waits) == {1}


def test_a_trickle_is_no_progress(tmp_path: Path, patience: Patience) -> None:
    with (
        serving(dripping(CONTENT, 0.05)) as server,
        pytest.raises(SlotbenchError, match=r"only \d+ bytes in 0 s; 6 tries failed"),
    ):
        fetch(server, tmp_path, patience)


def test_another_call_goes_on(tmp_path: Path, patience: Patience) -> None:
    with serving(cut(CONTENT, 30_000, ETag='"1"'), status("500 Oops")) as server:
        file = Download(f"{server.base}/data.bin")
        with pytest.raises(SlotbenchError, match="30,000 bytes are kept"):
            download([file], tmp_path, patience)
        assert kept(tmp_path) == CONTENT[:30_000]
        server.behaviours = [good(CONTENT, ETag='"1"')]
        (path,) = download([file], tmp_path, patience)
        assert path.read_bytes() == CONTENT
        assert server.ranges[-1] == "bytes=30000-"


@pytest.mark.parametrize("notes", [b"", b"[]", b"{}", b"\xff", b'{"url": 3}'])
def test_a_part_of_unknown_origin_is_not_gone_on_with(
    notes: bytes, tmp_path: Path, patience: Patience
) -> None:
    (tmp_path / "data.bin.part").write_bytes(OTHER[:1000])
    (tmp_path / "data.bin.part.json").write_bytes(notes)
    with serving(good(CONTENT, ETag='"1"')) as server:
        assert fetch(server, tmp_path, patience) == CONTENT


def test_a_part_of_another_address_is_not_gone_on_with(tmp_path: Path, patience: Patience) -> None:
    with serving(cut(OTHER, 1000, ETag='"1"'), status("404 Gone")) as server:
        with pytest.raises(SlotbenchError, match="HTTP 404"):
            download([Download(f"{server.base}/old/data.bin")], tmp_path, patience)
        server.behaviours = [good(CONTENT, ETag='"1"')]
        assert fetch(server, tmp_path, patience) == CONTENT


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"1"'}, {"ETag": '"2"'}),
        ({"Last_Modified": "Mon"}, {"Last_Modified": "Tue"}),
        ({"ETag": 'W/"1"', "Last_Modified": "Mon"}, {"ETag": 'W/"2"', "Last_Modified": "Tue"}),
        ({}, {}),
    ],
)
@pytest.mark.parametrize("obedient", [True, False])
def test_a_source_that_changes_is_fetched_anew(
    before: dict[str, str],
    after: dict[str, str],
    obedient: bool,
    tmp_path: Path,
    patience: Patience,
) -> None:
    new = good(CONTENT, **after)
    if not obedient:  # sends the rest of the new file whatever If-Range says
        lax = new

        def new(server: Server, connection: object, headers: dict[str, str]) -> None:
            asked = {key: value for key, value in headers.items() if key != "if-range"}
            lax(server, connection, asked)  # type: ignore[arg-type]

    with serving(cut(OTHER, 20_000, **before), new) as server:
        assert fetch(server, tmp_path, patience) == CONTENT


def test_a_server_that_ignores_ranges(tmp_path: Path, patience: Patience) -> None:
    whole = raw(head("200 OK", {"Content-Length": SIZE, "ETag": '"1"'}) + CONTENT)
    with serving(cut(CONTENT, 20_000, ETag='"1"'), whole) as server:
        assert fetch(server, tmp_path, patience) == CONTENT
        assert server.ranges == [None, "bytes=20000-"]


@pytest.mark.parametrize(
    "field",
    [
        "bytes 10000-49999/50000",
        "bytes 20000-49999/60000",
        "bytes 20000-59999/50000",
        "bytes x-y/z",
        "",
        "bytes 20000-49999/*",
    ],
)
def test_a_range_that_is_not_the_one_asked_for(
    field: str, tmp_path: Path, patience: Patience
) -> None:
    length = "40000" if "59999" in field else "30000"
    fields = {"Content-Range": field, "Content-Length": length, "ETag": '"1"'}
    # The bytes are wrong unless they are the rest of the file.
    body = CONTENT[20_000:] if "*" in field else OTHER[: int(length)]
    lie = raw(head("206 Partial Content", fields) + body)
    with serving(cut(CONTENT, 20_000, ETag='"1"'), lie, good(CONTENT, ETag='"1"')) as server:
        assert fetch(server, tmp_path, patience) == CONTENT


def test_a_piece_that_is_shorter_than_what_was_asked_for(
    tmp_path: Path, patience: Patience
) -> None:
    fields = {"Content-Range": f"bytes 20000-29999/{SIZE}", "Content-Length": "10000"}
    piece = raw(head("206 Partial Content", fields | {"ETag": '"1"'}) + CONTENT[20_000:30_000])
    with serving(cut(CONTENT, 20_000, ETag='"1"'), piece, good(CONTENT, ETag='"1"')) as server:
        assert fetch(server, tmp_path, patience) == CONTENT
        assert server.ranges == [None, "bytes=20000-", "bytes=30000-"]


def test_a_part_longer_than_the_file_has_become(tmp_path: Path, patience: Patience) -> None:
    """The server has no such range (416)."""
    short = CONTENT[:10_000]
    with serving(cut(OTHER, 20_000), good(short)) as server:
        file = Download(f"{server.base}/data.bin", sha256=hashlib.sha256(short).hexdigest())
        (path,) = download([file], tmp_path, patience)
        assert path.read_bytes() == short
        assert server.ranges == [None, "bytes=20000-", None]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (good(CONTENT[:-1]), "the server says 49,999 bytes, expected 50,000"),
        (good(CONTENT + b"x"), "the server says 50,001 bytes, expected 50,000"),
        (chunked(CONTENT + b"x"), "the server sends more bytes than the file has"),
        (status("404 Not Found"), "HTTP 404 Not Found"),
        (status("403 Forbidden"), "HTTP 403 Forbidden"),
        (status("204 No Content"), "HTTP 204 No Content"),
        (status("404 \x1b[31mred\xe9" + 200 * "x"), r"HTTP 404 \?\[31mred\?x{50,90}\. Fetch"),
        (status("200 OK", b"<html>log in", Content_Type="text/html; charset=utf-8"), "a web page"),
        (good(CONTENT, Content_Encoding="gzip"), r"changes the file on the way .*gzip"),
    ],
)
def test_what_cannot_be_right_is_not_tried_again(
    answer: Behaviour, what: str, tmp_path: Path, patience: Patience, waits: list[float]
) -> None:
    with serving(answer) as server, pytest.raises(SlotbenchError, match=what) as caught:
        fetch(server, tmp_path, patience, size=len(CONTENT))
    assert "--from" in caught.value.advice
    assert waits == []
    assert not (tmp_path / "data.bin").exists()


def test_bytes_beyond_the_length_are_never_read(tmp_path: Path, patience: Patience) -> None:
    with serving(raw(head("200 OK", {"Content-Length": SIZE}) + CONTENT + b"more")) as server:
        assert fetch(server, tmp_path, patience, sha256=SHA256) == CONTENT


def test_a_body_without_a_length(tmp_path: Path, patience: Patience) -> None:
    with serving(chunked(CONTENT)) as server:
        assert fetch(server, tmp_path / "chunked", patience) == CONTENT
    with serving(chunked(CONTENT, finished=False), chunked(CONTENT)) as server:
        assert fetch(server, tmp_path / "broken", patience) == CONTENT
    endless = raw(head("200 OK", {}) + CONTENT)
    with serving(endless) as server:
        with pytest.raises(SlotbenchError, match="does not say how long the file is"):
            fetch(server, tmp_path / "open", patience)
        assert fetch(server, tmp_path / "open", patience, sha256=SHA256) == CONTENT
    with serving(raw(head("200 OK", {}) + CONTENT[:-5]), good(CONTENT)) as server:
        # Nothing but the checksum tells that it is cut off.
        assert fetch(server, tmp_path / "cut", patience, sha256=SHA256) == CONTENT


@pytest.mark.parametrize("fields", [{"sha256": SHA256}, {"md5": MD5}])
def test_a_wrong_checksum(fields: dict[str, str], tmp_path: Path, patience: Patience) -> None:
    with serving(good(OTHER), good(CONTENT)) as server:
        assert fetch(server, tmp_path, patience, **fields) == CONTENT
    (tmp_path / "data.bin").unlink()
    name = next(iter(fields))
    with (
        serving(good(OTHER)) as server,
        pytest.raises(SlotbenchError, match=f"its {name} is [0-9a-f]+, expected {fields[name]}"),
    ):
        fetch(server, tmp_path, patience, **fields)
    assert kept(tmp_path) == b""
    assert len(server.requests) == 2


def test_a_checksum_that_the_server_states(tmp_path: Path, patience: Patience) -> None:
    def stated(content: bytes) -> str:
        crc = google_crc32c.Checksum(content).digest()
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        return ",".join(
            f"{name}={base64.b64encode(value).decode()}"
            for name, value in (("crc32c", crc), ("md5", md5))
        )

    with serving(
        good(OTHER, x_goog_hash=stated(CONTENT)), good(CONTENT, x_goog_hash="md5=?")
    ) as server:
        assert fetch(server, tmp_path, patience) == CONTENT
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("file:///etc/passwd", "HTTP 302"),
        ("ftp://127.0.0.1/x", "is no http or https address"),
        ("data:text/plain,x", "HTTP 302"),
        ("/elsewhere", "HTTP 302"),  # in a circle
    ],
)
def test_redirects_to_other_schemes_are_refused(
    place: str, what: str, tmp_path: Path, patience: Patience
) -> None:
    with (
        serving(status("302 Found", Location=place)) as server,
        pytest.raises(SlotbenchError, match=what),
    ):
        fetch(server, tmp_path, patience)
    assert kept(tmp_path) == b""


def test_a_redirect_is_followed_with_its_range(tmp_path: Path, patience: Patience) -> None:
    with (
        serving(cut(CONTENT, 20_000, ETag='"1"'), good(CONTENT, ETag='"1"')) as real,
        serving(status("302 Found", Location=f"{real.base}/x")) as server,
    ):
        assert fetch(server, tmp_path, patience) == CONTENT
        assert real.ranges == [None, "bytes=20000-"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "x", "http:///y"])
def test_only_http_is_spoken(url: str, tmp_path: Path, patience: Patience) -> None:
    with pytest.raises(SlotbenchError, match="is no http or https address"):
        download([Download(url)], tmp_path, patience)


def test_https_is_not_left_for_http() -> None:
    import urllib.request
    from http.client import HTTPMessage
    from io import BytesIO

    from slotbench.datasets.originals.download_http import Final, _Redirects

    request = urllib.request.Request("https://a/b")
    arguments = (request, BytesIO(), 302, "", HTTPMessage())
    with pytest.raises(Final, match="from https to http"):
        _Redirects().redirect_request(*arguments, "http://a/c")
    assert _Redirects().redirect_request(*arguments, "https://a/c") is not None


def test_a_disk_that_is_too_small_is_told_before(
    tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(0, 0, 49_999))
    with serving(good(CONTENT)) as server, pytest.raises(UserError, match="are to come, and the"):
        fetch(server, tmp_path, patience)


# In a process of its own: the limit would hold for whatever the test run itself writes to.
ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from slotbench.datasets.download import Download, download
from slotbench.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    download([Download(sys.argv[1])], Path(sys.argv[2]))
except UserError as error:
    print(error)
"""


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    with serving(good(CONTENT, ETag='"1"')) as server:
        words = [f"{server.base}/set/data.bin", str(tmp_path)]
        told = subprocess.run(
            [sys.executable, "-c", ON_A_FULL_DISK, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert "The disk is full" in told.stdout
    assert kept(tmp_path)
    assert CONTENT.startswith(kept(tmp_path))


def test_two_processes_do_not_fetch_one_file(tmp_path: Path, patience: Patience) -> None:
    from slotbench.locks import hold

    with (
        serving(good(CONTENT)) as server,
        hold(tmp_path / ".data.bin.lock"),
        pytest.raises(UserError, match="is being downloaded by another process"),
    ):
        fetch(server, tmp_path, patience)


def test_a_file_of_another_size_is_fetched_anew(tmp_path: Path, patience: Patience) -> None:
    (tmp_path / "data.bin").write_bytes(b"old")
    with serving(good(CONTENT)) as server:
        assert fetch(server, tmp_path, patience, size=len(CONTENT)) == CONTENT


ENDS = st.sampled_from(["close", "reset"])
ANSWERS = st.one_of(
    st.builds(lambda n, end: cut(CONTENT, n, end=end, ETag='"1"'), st.integers(0, 60_000), ENDS),
    st.builds(lambda n: cut(OTHER, n, ETag='"0"'), st.integers(0, 40_000)),
    st.builds(lambda n: cut(CONTENT, None, begin=n, ETag='"1"'), st.integers(0, 50_000)),
    st.builds(
        lambda n: raw(
            head(
                "206 Partial Content",
                {
                    "Content-Range": f"bytes {n}-49999/50000",
                    "Content-Length": str(50_000 - n),
                    "ETag": '"1"',
                },
            )
            + CONTENT[n:]
        ),
        st.integers(0, 50_000),
    ),
    st.builds(raw, st.binary(max_size=200)),
    st.builds(lambda text: raw(b"HTTP/1.1 200 OK\r\n" + text), st.binary(max_size=100)),
    st.just(status("500 Oops")),
)


@given(answers=st.lists(ANSWERS, max_size=4))
@settings(max_examples=100, derandomize=True, deadline=None, database=None)
def test_whatever_servers_do_the_file_is_right_or_there_is_none(
    answers: list[Behaviour], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    patience = Patience(stall=2, sleep=lambda _: None)
    with serving(*answers, good(CONTENT, ETag='"1"')) as server:
        file = Download(f"{server.base}/data.bin", size=len(CONTENT), sha256=SHA256)
        try:
            (path,) = download([file], folder, patience)
        except SlotbenchError:
            assert not (folder / "data.bin").exists()
            (path,) = download([file], folder, patience)
    assert path.read_bytes() == CONTENT
    assert {file.name for file in folder.iterdir()} == {"data.bin", ".data.bin.lock"}


def test_notes_say_what_the_part_is_of(tmp_path: Path, patience: Patience) -> None:
    with serving(cut(CONTENT, 5, ETag='"1"', Last_Modified="Mon"), status("404 Gone")) as server:
        with pytest.raises(SlotbenchError, match="404"):
            fetch(server, tmp_path, patience)
        notes = json.loads((tmp_path / "data.bin.part.json").read_bytes())
        assert notes == {
            "url": f"{server.base}/set/data.bin",
            "etag": '"1"',
            "modified": "Mon",
            "total": len(CONTENT),
            "sums": {},
        }
