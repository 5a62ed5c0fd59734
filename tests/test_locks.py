"""Locks end with their process; a run on another machine is known by its heartbeat."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from slotbench import locks
from slotbench.errors import RunLocked, UserError
from slotbench.locks import Held, held, hold
from slotbench.results import run as run_module
from slotbench.results.run import Run
from tests.commands import wait_for

HOLD = (
    "import sys, time; from pathlib import Path; from slotbench.locks import hold\n"
    "with hold(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)

ADD = (
    "import sys; from pathlib import Path; from slotbench.locks import changing\n"
    "file = Path(sys.argv[1])\n"
    "for _ in range(50):\n"
    "    with changing(file):\n"
    "        file.write_text(f'{int(file.read_text()) + 1}')"
)


def test_no_change_is_lost_where_several_processes_change_a_file(tmp_path):
    file = tmp_path / "file"
    file.write_text("0")
    started = [subprocess.Popen([sys.executable, "-c", ADD, str(file)]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert file.read_text() == "150"
    assert list(tmp_path.iterdir()) == [file]


def test_a_lock_ends_with_its_process(tmp_path):
    file = tmp_path / "lock"
    words = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        assert held(file)
        with pytest.raises(Held), hold(file, wait=0.05):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not held(file)
    with hold(file):
        assert held(file)
    assert not held(file)


def test_a_link_is_no_lock(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(UserError, match="is a link"), hold(tmp_path / "lock"):
        pass
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_pipe_is_no_lock(tmp_path):
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(UserError, match="no regular file"), hold(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_gets_a_soft_lock_and_one_warning(
    tmp_path, monkeypatch, capsys, number
):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    locks._warn_once.cache_clear()
    for name in ("one", "two"):
        with hold(tmp_path / name):
            assert held(tmp_path / name)
            with pytest.raises(Held), hold(tmp_path / name, wait=0.05):
                pass
        assert not held(tmp_path / name)
    assert capsys.readouterr().err.count("has no locks") == 1


@pytest.fixture
def elsewhere(tmp_path):
    """A run that a process on another machine trains, on a file system that shares no locks."""
    run = Run(tmp_path)
    run.write_status("running", host="another", pid=7)
    return run


def test_a_run_on_another_machine_is_known_by_its_heartbeat(elsewhere, monkeypatch):
    real = time.time
    for hours in (-(10**6), -7, 7, 10**6):
        monkeypatch.setattr(run_module.time, "time", lambda hours=hours: real() + 3600 * hours)
        assert elsewhere.status()["state"] == "running"
        with pytest.raises(RunLocked), elsewhere.lock():
            pass
    monkeypatch.undo()
    before = real() - run_module.DEAD - 5
    os.utime(elsewhere.status_file, (before, before))
    assert elsewhere.status()["state"] == "interrupted"
    with elsewhere.lock():
        assert elsewhere.locked()


def test_whoever_holds_a_run_renews_the_heartbeat(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "BEAT", 0.01)
    run = Run(tmp_path)
    with run.lock():
        run.write_status("running")
        os.utime(run.status_file, (0, 0))
        wait_for(lambda: run.status_file.stat().st_mtime > 10**9)
