"""Writing files and folders: whole or not at all, and nothing of others is lost."""

import errno
import os
from pathlib import Path

import pytest

from slotbench.errors import UserError
from slotbench.files import (
    check_ending,
    explain,
    read_bytes,
    read_json,
    replacing,
    replacing_folder,
    write_json,
    write_whole,
)


def written(out, text="new", *, force=False):
    with replacing_folder(out, ("a",), force=force) as made:
        (made / "a").write_text(text)


def test_a_link_is_replaced_and_one_that_is_typed_is_followed(tmp_path):
    link, mine = tmp_path / "link", tmp_path / "mine"
    mine.write_text("precious")
    link.symlink_to(mine)
    write_whole(link, b"1")
    assert (mine.read_text(), link.read_text(), link.is_symlink()) == ("precious", "1", False)
    link.unlink()
    link.symlink_to(mine)
    write_whole(link, b"2", follow=True)
    assert (mine.read_text(), link.is_symlink()) == ("2", True)


def test_what_another_process_wrote_meanwhile_stays(tmp_path):
    out = tmp_path / "out"

    def slow():
        with replacing_folder(out, ("a",), force=False) as made:
            (made / "a").write_text("slow")
            written(out, "fast")

    with pytest.raises(UserError, match="was written before"):
        slow()
    assert (out / "a").read_text() == "fast"
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_cannot_be_replaced_is_put_back(tmp_path, monkeypatch):
    out, rename = tmp_path / "out", Path.rename
    written(out, "old")

    def fails(path, target):
        if path.name == "made":
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="no"):
        written(out, force=True)
    assert (out / "a").read_text() == "old"


def test_the_folder_in_which_a_command_runs_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for out in (".", "..", tmp_path):
        with pytest.raises(UserError, match="the folder that you are in"):
            written(Path(out), force=True)


def test_force_replaces_nothing_that_something_else_wrote(tmp_path):
    (tmp_path / "results" / "runs").mkdir(parents=True)
    with (
        pytest.raises(UserError, match="holds runs and no manifest"),
        replacing_folder(tmp_path / "results", ("manifest", "runs"), force=True),
    ):
        pass
    assert (tmp_path / "results" / "runs").is_dir()


@pytest.mark.parametrize("kind", [replacing, lambda out: replacing_folder(out, (), force=True)])
def test_what_is_a_file_or_folder_does_not_go_to_stdout(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="does not write to stdout"), kind(Path("-")):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_can_be_read(tmp_path):
    """A reason may hold a name that is not UTF-8."""
    file = tmp_path / "status.json"
    write_json(file, {"reason": "no \udcff.h5", "sign": "\U0001f600 \\ud800"})
    assert read_json(file) == {"reason": "no ?.h5", "sign": "\U0001f600 \\ud800"}


@pytest.mark.slow
def test_a_file_above_two_gigabytes_is_read_whole(tmp_path):
    """One call of read(2) gives at most 2 GiB."""
    with (tmp_path / "file").open("wb") as stream:
        stream.truncate(2**31 + 1)
    assert len(read_bytes(tmp_path / "file", 2**32)) == 2**31 + 1


@pytest.mark.parametrize("kind", [replacing, lambda out: replacing_folder(out, (), force=True)])
def test_a_full_disk_names_what_was_written_and_keeps_what_was_there(tmp_path, kind):
    out, source = tmp_path / "out", tmp_path / "source"
    if kind is replacing:
        out.write_text("old")

    def full():
        with kind(out):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    with pytest.raises(OSError, match="No space left") as caught:
        full()
    assert f"({out})" in explain(caught.value).message
    assert list(tmp_path.iterdir()) == ([out] if kind is replacing else [])
    assert kind is not replacing or out.read_text() == "old"


def test_a_place_that_takes_no_file_is_named_by_the_file_that_was_asked_for(tmp_path):
    def refused():
        with replacing(tmp_path / "out") as temporary:
            raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), str(temporary))

    with pytest.raises(PermissionError) as caught:
        refused()
    assert explain(caught.value).message == f"Read-only file system ({tmp_path / 'out'})."


def test_a_full_device_is_named():
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(Path("/dev/full"), b"x", follow=True)
    assert "(/dev/full)" in explain(caught.value).message


def test_a_file_that_another_process_made_meanwhile_stays(tmp_path):
    out = tmp_path / "out"

    def slow():
        with replacing(out, force=False) as temporary:
            temporary.write_text("slow")
            write_whole(out, b"fast", force=False)

    with pytest.raises(UserError, match="is there already"):
        slow()
    assert out.read_text() == "fast"
    assert list(tmp_path.iterdir()) == [out]


def test_a_name_promises_no_other_format():
    for name in ("a.csv", "a.CSV", "a", "tmp.Xy12", "-", "/dev/stdout"):
        check_ending(Path(name), "csv", ".csv")
    for name in ("a.xlsx", "a.parquet", "a.json", "a.csv.gz", "a.pdf"):
        with pytest.raises(UserError, match="promises something else"):
            check_ending(Path(name), "csv", ".csv")
