"""Archives of people we do not trust: what they hold is read, what they try is refused."""

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import namedtuple

import pytest
from hypothesis import strategies as st

from slotbench.datasets.originals import archives
from slotbench.datasets.originals.archives import CAPS, Caps, Tar, Zip, extract, folder_of
from slotbench.errors import UserError
from tests.datasets.trees import INPUTS, fuzz

FILES = {
    "b/2.txt": b"two" * 1000,
    "a/1.txt": bytes(range(256)) * 20,
    "empty.json": b"",
    "ä/ö.png": b"x",
}
PACKED = {"a/b": b"text" * 30, "c": b"1234"}
SMALL = Caps(total=200_000, members=50, ratio=20, free=1000)


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


def special(path, kind, name="link", target="/etc/passwd"):
    with tarfile.open(path, "w") as out:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        out.addfile(info)
    return path


def read(archive, caps=CAPS, count=-1):
    with (Zip if archives.is_zip(archive) else Tar)(archive, caps) as source:
        return {name: stream.read(count) for name, stream, _ in source}


KINDS = {
    "deflated.zip": zip_of,
    "stored.zip": lambda path, files: zip_of(path, files, zipfile.ZIP_STORED),
    "a.tar": lambda path, files: tar_of(path, files, "w:"),
    "a.tar.gz": tar_of,
}


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_read_and_unpacked_as_they_were_packed(kind, tmp_path):
    archive = KINDS[kind](tmp_path / kind, FILES)
    assert archives.is_archive(archive)
    assert list(read(archive)) == (sorted(FILES) if "zip" in kind else list(FILES))
    assert read(archive) == FILES
    # A stream that is half read disturbs no other.
    assert read(archive, count=7) == {name: data[:7] for name, data in FILES.items()}
    folder = extract([archive], tmp_path / "out")
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != archives.RECORD
    }
    assert found == FILES


def test_a_zip_is_read_in_any_order_and_by_turns(tmp_path):
    with Zip(zip_of(tmp_path / "a.zip", FILES)) as source:
        assert source.names == sorted(FILES)
        one, two = source.open("b/2.txt"), source.open("a/1.txt")
        pieces = [(one.read(100), two.read(100)) for _ in range(3)]
        assert b"".join(piece for piece, _ in pieces) == FILES["b/2.txt"][:300]
        assert b"".join(piece for _, piece in pieces) == FILES["a/1.txt"][:300]
        assert source.read("b/2.txt", 3000) == FILES["b/2.txt"]
        with pytest.raises(UserError, match=r"member b/2.txt: it has more than 2,999 bytes"):
            source.read("b/2.txt", 2999)
        with pytest.raises(UserError, match="member c: there is no such member"):
            source.read("c", 1)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../x", "leads out"),
        ("a/..", "leads out"),
        ("/etc/x", "absolute"),
        ("c:x", "absolute"),
        ("..\\x", "backslash"),
        ("a\x9bb", "control characters"),
        ("a" * 300, "too long"),
        ("a/" * 600 + "b", "too long"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(kind, name, what, tmp_path):
    make = zip_of if kind == "a.zip" else KINDS["a.tar"]
    archive = make(tmp_path / kind, {"first": b"1", name: b"evil"})
    with pytest.raises(UserError, match=f"{kind}, member .*{what}"):
        extract([archive], tmp_path / "deep" / "out")
    assert sorted(file.name for file in tmp_path.rglob("*")) == [kind, "deep"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_special_members_of_tar_are_refused(kind, tmp_path):
    with pytest.raises(UserError, match=r"a\.tar, member link: it is a link, a device or"):
        read(special(tmp_path / "a.tar", kind))


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO])
def test_special_members_of_zip_are_refused(mode, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        info = zipfile.ZipInfo("link")
        info.external_attr = (mode | 0o777) << 16
        out.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="member link: it is a link or a device"):
        extract([tmp_path / "a.zip"], tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
def test_two_members_of_one_name_are_refused(kind, tmp_path):
    if kind == "a.zip":
        with zipfile.ZipFile(tmp_path / kind, "w") as out:
            out.writestr("a", "1")
            out.writestr("./a", "2")
    else:
        KINDS["a.tar"](tmp_path / kind, {"a": b"1", "./a": b"2"})
    with pytest.raises(UserError, match="member a: two members have this name"):
        read(tmp_path / kind)


def test_a_file_where_a_folder_stands_is_refused(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"x": b"1", "x/y": b"2"})
    with pytest.raises(UserError, match="member x/y: another file stands in its place"):
        extract([archive], tmp_path / "out")


def test_encrypted_members_are_refused(tmp_path):
    data = bytearray(zip_of(tmp_path / "a.zip", {"a": b"1"}).read_bytes())
    place = data.rindex(b"PK\1\2")
    data[place + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UserError, match="member a: it is encrypted"):
        read(tmp_path / "a.zip")


@pytest.mark.parametrize("real", [50, 5_000_000])
def test_no_more_than_the_declared_size_is_written(real, tmp_path):
    """A zip whose only member has another size than both of its headers say."""
    content, declared = b"0" * real, 100
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packed.compress(content) + packed.flush()
    numbers = (zlib.crc32(content[:declared]), len(data), declared)
    name = b"bomb"
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, *numbers, len(name), 0) + name
    listed = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, *numbers, len(name), 0, 0, 0, 0, 0, 0
    )
    start = len(local) + len(data)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(listed) + len(name), start, 0)
    (tmp_path / "a.zip").write_bytes(local + data + listed + name + end)
    found = read(tmp_path / "a.zip")
    assert len(found["bomb"]) == min(real, declared)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"zeros": b"\0" * 90_000}, "this is taken for an attack"),
        ({str(i): os.urandom(70_000) for i in range(3)}, "this is taken for an attack"),
        ({str(i): os.urandom(500) for i in range(51)}, "it has more than 50 members"),
    ],
)
def test_limits(kind, files, what, tmp_path):
    with pytest.raises(UserError, match=f"{kind}.*: {what}"):
        read(KINDS.get(kind, zip_of)(tmp_path / kind, files), SMALL)


def test_a_bomb_of_gzip_is_refused_by_its_header(tmp_path):
    archive = tmp_path / "a.tar.gz"
    header = tarfile.TarInfo("zeros")
    header.size = 1 << 31
    with gzip.open(archive, "wb", 9) as out:
        out.write(header.tobuf())
        out.write(b"\0" * (1 << 20))
    with pytest.raises(UserError, match="this is taken for an attack"):
        read(archive)


def test_a_huge_header_is_refused(tmp_path):
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 31
    with gzip.open(tmp_path / "a.tar.gz", "wb", 9) as out:
        out.write(header.tobuf())
        out.write(b"\0" * (1 << 20))
    with pytest.raises(UserError, match="a header has more than a megabyte"):
        read(tmp_path / "a.tar.gz")


def test_members_that_share_bytes_count_each_time(tmp_path):
    """Fifield's construction: one kernel, listed many times."""
    files = {f"{n:04}": b"" for n in range(100)}
    with zipfile.ZipFile(zip_of(tmp_path / "a.zip", {"aaaa": b"0" * 5000, **files})) as known:
        one, start = known.getinfo("aaaa"), known.start_dir
    data = bytearray((tmp_path / "a.zip").read_bytes())
    for name in files:
        at = data.index(name.encode(), start) - 46
        data[at + 42 : at + 46] = struct.pack("<I", one.header_offset)
        data[at + 16 : at + 28] = struct.pack("<3I", one.CRC, one.compress_size, one.file_size)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UserError, match="this is taken for an attack"):
        read(tmp_path / "a.zip", SMALL)


@INPUTS
def test_damaged_archives_give_what_was_packed_or_an_error(inputs, tmp_path_factory):
    def check(kind, places, cut):
        folder = tmp_path_factory.mktemp("fuzz")
        archive = KINDS[kind](folder / kind, PACKED)
        data = bytearray(archive.read_bytes())
        for where, value in places:
            data[int(where * len(data))] = value
        archive.write_bytes(data[: int(cut * len(data))])
        try:
            out = extract([archive], folder / "out", SMALL)
        except UserError as error:
            message, left = error.message, set()
        else:
            message, left = kind, {"out"}
            found = {path.read_bytes() for path in out.rglob("[!.]*") if path.is_file()}
            # A plain tar has no checksum of its content.
            assert kind == "a.tar" or found <= set(PACKED.values())
        assert kind in message
        assert {file.name for file in folder.iterdir()} == {kind, *left}

    byte = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))
    kinds = st.sampled_from(sorted(KINDS))
    fuzz(inputs, check, kind=kinds, places=st.lists(byte, max_size=6), cut=st.floats(0.3, 1))


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


def test_archives_that_disagree_are_refused(tmp_path):
    packed = [zip_of(tmp_path / f"{n}.zip", {"a": n.encode()}) for n in ("one", "two")]
    with pytest.raises(UserError, match=r"two\.zip, member a: another file stands in its place"):
        extract(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_too_small_is_told_before(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage(0, 0, 1000))
    with pytest.raises(UserError, match=r"a\.zip holds 0\.0 GB, and the disk"):
        extract([zip_of(tmp_path / "a.zip", FILES)], tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello" * 200, gzip.compress(b"hello" * 200, mtime=0)],
    ids=["nothing", "text", "gzip"],
)
def test_a_file_of_another_kind_is_named(content, tmp_path):
    archive = tmp_path / "thing.tar.gz"
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"thing\.tar\.gz: it is damaged, or no archive"):
        read(archive)
