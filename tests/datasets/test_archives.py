"""Archives of people we do not trust: what they hold is read, what they try is refused."""

import gzip
import io
import os
import stat
import struct
import tarfile
import threading
import zipfile
import zlib
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from slotbench.datasets.originals import archives
from slotbench.datasets.originals.archives import Tar, Zip, extract, folder_of
from slotbench.errors import UserError
from slotbench.files import explain

FILES = {"b/2.txt": b"two" * 1000, "a/1.txt": bytes(range(256)) * 20}
FILES |= {"empty.json": b"", "ä/ö.png": b"x"}
PACKED = {"a/b": b"text" * 30, "c": b"1234"}


def zip_of(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as out:
        out.writestr("b/", b"")
        for name, data in files.items():
            out.writestr(name, data)
    return path


def tar_of(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as out:
        folder = tarfile.TarInfo("./b")
        folder.type = tarfile.DIRTYPE
        out.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


KINDS = {
    "deflated.zip": zip_of,
    "stored.zip": partial(zip_of, method=zipfile.ZIP_STORED),
    "a.tar": partial(tar_of, mode="w:"),
    "a.tar.gz": tar_of,
}


def read(path, count=-1):
    with path.open("rb") as stream:
        source = (Zip if archives.is_zip(path) else Tar)(path, stream)
        return {name: member.read(count) for name, member, _ in source}


@pytest.fixture
def small(monkeypatch):
    """Small limits."""
    limits = {"MOST_TOTAL": 200_000, "MOST_MEMBERS": 50, "MOST_RATIO": 20, "FREE": 1000}
    for name, value in limits.items():
        monkeypatch.setattr(archives, name, value)


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_read_and_unpacked_as_they_were_packed(kind, tmp_path):
    archive = KINDS[kind](tmp_path / kind, FILES)
    assert archives.is_archive(archive)
    assert list(read(archive)) == (sorted(FILES) if "zip" in kind else list(FILES))
    assert read(archive) == FILES
    # A stream that is half read disturbs no other.
    assert read(archive, count=7) == {name: data[:7] for name, data in FILES.items()}
    folder = extract([archive], tmp_path / "out")
    files = [path for path in folder.rglob("[!.]*") if path.is_file()]
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in files} == FILES


def test_a_zip_is_read_in_any_order_and_by_turns(tmp_path):
    path = zip_of(tmp_path / "a.zip", FILES)
    with path.open("rb") as stream:
        source = Zip(path, stream)
        one, two = source.open("b/2.txt"), source.open("a/1.txt")
        pieces = [(one.read(100), two.read(100)) for _ in range(3)]
        assert b"".join(piece for piece, _ in pieces) == FILES["b/2.txt"][:300]
        assert b"".join(piece for _, piece in pieces) == FILES["a/1.txt"][:300]
        assert source.read("b/2.txt", 3000) == FILES["b/2.txt"]
        with pytest.raises(UserError, match=r"member b/2.txt: it has more than 2,999 bytes"):
            source.read("b/2.txt", 2999)
        with pytest.raises(UserError, match="member c: there is no such member"):
            source.read("c", 1)


def special_tar(path, kind):
    with tarfile.open(path, "w") as out:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        out.addfile(info)


def special_zip(path, mode):
    with zipfile.ZipFile(path, "w") as out:
        info = zipfile.ZipInfo("link")
        info.external_attr = (mode | 0o777) << 16
        out.writestr(info, "/etc/passwd")


def encrypted(path):
    data = bytearray(zip_of(path, {"a": b"1"}).read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)


def huge_member(path, kind):
    """A gzipped tar whose header states two gigabytes."""
    header = tarfile.TarInfo("zeros")
    header.type, header.size = kind, 1 << 31
    with gzip.open(path, "wb", 9) as out:
        out.write(header.tobuf())
        out.write(b"\0" * (1 << 20))


def shared_bytes(path):
    """Fifield's construction: one kernel, listed many times."""
    files = {f"{n:04}": b"" for n in range(40)}
    with zipfile.ZipFile(zip_of(path, {"aaaa": b"0" * 5000, **files})) as known:
        one, start = known.getinfo("aaaa"), known.start_dir
    data = bytearray(path.read_bytes())
    for name in files:
        at = data.index(name.encode(), start) - 46
        data[at + 42 : at + 46] = struct.pack("<I", one.header_offset)
        data[at + 16 : at + 28] = struct.pack("<3I", one.CRC, one.compress_size, one.file_size)
    path.write_bytes(data)


NAMES = {"../x": "leads out", "a/..": "leads out", "/etc/x": "absolute", "c:x": "absolute"}
NAMES |= {"..\\x": "backslash", "a\x9bb": "control characters", "a" * 300: "too long"}
NAMES |= {"a/" * 600 + "b": "too long", "./first": "two members have this name"}
MANY = {
    "this is taken for an attack": {"zeros": b"\0" * 90_000},
    "[0-9,]+ bytes would unpack": {str(i): os.urandom(70_000) for i in range(3)},
    "it has more than 50 members": {str(i): os.urandom(500) for i in range(51)},
}
TARS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
PACKING = ("deflated.zip", "a.tar.gz")
HOSTILE = [
    *(
        (kind, partial(KINDS[kind], files={"first": b"1", name: b"evil"}), what)
        for kind in ("deflated.zip", "a.tar")
        for name, what in NAMES.items()
    ),
    *((kind, partial(KINDS[kind], files=MANY[what]), what) for kind in PACKING for what in MANY),
    *(("a.tar", partial(special_tar, kind=kind), "link: it is a link, a device") for kind in TARS),
    ("a.zip", partial(special_zip, mode=stat.S_IFLNK), "member link: it is a link or a device"),
    ("a.zip", partial(special_zip, mode=stat.S_IFIFO), "member link: it is a link or a device"),
    ("a.zip", encrypted, "member a: it is encrypted"),
    ("a.zip", shared_bytes, "this is taken for an attack"),
    ("a.zip", partial(zip_of, files={"x": b"1", "x/y": b"2"}), "x/y: a different file has this"),
    ("a.tar.gz", partial(huge_member, kind=tarfile.REGTYPE), "this is taken for an attack"),
    ("a.tar.gz", partial(huge_member, kind=tarfile.XHDTYPE), "a header has more than a megabyte"),
    *(
        ("a.tar.gz", partial(Path.write_bytes, data=data), "it is damaged, or no archive")
        for data in (b"", b"hello" * 200, gzip.compress(b"hello" * 200, mtime=0))
    ),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("kind", "make", "what"), HOSTILE)
def test_hostile_archives_are_refused_by_name(kind, make, what, tmp_path):
    archive = tmp_path / kind
    make(archive)
    with pytest.raises(UserError, match=f"{kind}.*{what}"):
        extract([archive], tmp_path / "deep" / "out")
    assert {file.name for file in tmp_path.rglob("*")} == {kind, "deep"}


@pytest.mark.parametrize("real", [50, 5_000_000])
def test_no_more_than_the_declared_size_is_written(real, tmp_path):
    """A zip whose only file has another size than both of its headers say."""
    content, declared = b"0" * real, 100
    data = bytearray(zip_of(tmp_path / "a.zip", {"bomb": content}).read_bytes())
    for at in (data.index(b"bomb") - 16, data.rindex(b"bomb") - 30):  # checksum, packed, size
        data[at : at + 4] = struct.pack("<I", zlib.crc32(content[:declared]))
        data[at + 8 : at + 12] = struct.pack("<I", declared)
    (tmp_path / "a.zip").write_bytes(data)
    assert len(read(tmp_path / "a.zip")["bomb"]) == min(real, declared)


def test_what_was_unpacked_is_kept_until_its_archive_changes(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"a": b"1"})
    out = extract([archive], tmp_path / "out")
    (out / "mark").touch()
    assert (extract([archive], tmp_path / "out") / "mark").exists()
    zip_of(archive, {"a": b"22"})
    assert not (extract([archive], tmp_path / "out") / "mark").exists()
    assert (out / "a").read_bytes() == b"22"


def test_a_folder_of_the_users_own_is_never_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis").touch()
    with pytest.raises(UserError, match="was not unpacked by slotbench"):
        extract([zip_of(tmp_path / "a.zip", FILES)], tmp_path / "out")
    assert (tmp_path / "out" / "thesis").exists()


def test_an_interrupted_call_leaves_nothing_and_begins_anew(tmp_path, monkeypatch):
    archive = zip_of(tmp_path / "a.zip", FILES)
    copy, written = archives.shutil.copyfileobj, []

    def copy_two(stream, out, size):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(out)
        copy(stream, out, size)

    with monkeypatch.context() as context:
        context.setattr(archives.shutil, "copyfileobj", copy_two)
        with pytest.raises(KeyboardInterrupt):
            extract([archive], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # What a killed call would leave.
    (tmp_path / ".out.tmp" / "old").mkdir(parents=True)
    assert not (extract([archive], tmp_path / "out") / "old").exists()


def test_two_processes_that_unpack_one_archive_take_turns(tmp_path, monkeypatch):
    """Without it the second would remove what the first has written so far."""
    archive, ended = zip_of(tmp_path / "a.zip", FILES), []
    extracted, meeting = archives._extract, threading.Barrier(2)

    def slow(*given):
        with pytest.raises(threading.BrokenBarrierError):
            meeting.wait(0.3)  # the other one never gets here
        extracted(*given)
        ended.append(given)

    monkeypatch.setattr(archives, "_extract", slow)
    with ThreadPoolExecutor(2) as pool:
        folders = [pool.submit(extract, [archive], tmp_path / "out") for _ in range(2)]
    assert [folder.result() for folder in folders] == [tmp_path / "out"] * 2
    assert len(ended) == 1  # the second finds the folder


def test_several_archives_become_one_folder(tmp_path):
    home = tmp_path / "home"
    source = tmp_path / "parts"
    source.mkdir()
    (source / "one.md5").touch()
    (source / "Thumbs.db").touch()
    tar_of(source / "one.tar.gz", {"set/images/1.png": b"1", "set/LICENSE": b"free"})
    zip_of(source / "two.zip", {"set/masks/1.png": b"2", "set/LICENSE": b"free"})
    folder = folder_of(source, home)
    assert folder == home / "parts.unpacked" / "set"
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "images", "masks"]
    assert folder_of(folder, home) == folder
    assert folder_of(tmp_path / "missing", home) == tmp_path / "missing"


@pytest.mark.parametrize("name", ["a.tar.xz", "a.tar.zst", "a.7z", "a.RAR", "dir"])
def test_other_archives_are_named_with_those_that_are_read(name, tmp_path):
    path = tmp_path / name
    if name == "dir":
        path.mkdir()
        zip_of(path / "a.zip", FILES)
        path /= "b.tar.bz2"
    path.write_bytes(b"\xfd7zXZ\0")
    source = path.parent if name == "dir" else path
    said = rf"{path.name}: this is not a folder, nor an archive that is read \(.zip, .tar, .tar.gz"
    with pytest.raises(UserError, match=said):
        folder_of(source, tmp_path)


def test_a_link_to_nowhere_is_named(tmp_path):
    (tmp_path / "originals").symlink_to("gone")
    with pytest.raises(FileExistsError) as caught:
        extract([zip_of(tmp_path / "a.zip", FILES)], tmp_path / "originals" / "out")
    assert "originals is a link to nowhere" in str(explain(caught.value))


def test_archives_that_disagree_are_refused(tmp_path):
    packed = [zip_of(tmp_path / f"{n}.zip", {"a": n.encode()}) for n in ("one", "two")]
    with pytest.raises(UserError, match=r"two\.zip, member a: a different file has this name"):
        extract(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_too_small_is_told_before(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage(0, 0, 1000))
    with pytest.raises(UserError, match=r"a\.zip holds 0\.0 GB, and the disk"):
        extract([zip_of(tmp_path / "a.zip", FILES)], tmp_path / "out")
