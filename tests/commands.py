"""The command line: in this process, and in one of its own."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from slotbench.cli import main

ROOT = Path(__file__).parents[1]


def run_command(*words):
    """The entry point in this process; its exit code."""
    before = sys.argv
    sys.argv = ["slotbench", *map(str, words)]
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    return int(ended.value.code or 0)


def start_command(*words, cwd=None, limit=None, **variables):
    """The command in a process of its own, its output in pipes; files up to ``limit`` bytes."""

    def lower():
        # The tests may run in a shell's background, which ignores Ctrl-C; a command heeds it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "slotbench", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "errors": "surrogateescape"}
    told = {**os.environ, "COLUMNS": "120", **variables}
    return subprocess.Popen(command, cwd=cwd, preexec_fn=lower, env=told, **pipes)


def slotbench(*words, **options):
    """The same, when it has ended."""
    process = start_command(*words, **options)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def held_open(path):
    """An HDF5 file that another process has open for writing."""
    words = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", words, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        try:
            yield
        finally:
            other.communicate(b"\n")


def meeting_place():
    """The variables by which processes find each other on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def run_ranks(module, folder, *arguments, world=2, seconds=240):
    """Run ``python -m module`` as every rank to its end; ``<folder>/<rank>.txt`` has its output."""
    # The loopback alone: no name of this machine is looked up.
    shared = {**meeting_place(), "WORLD_SIZE": str(world), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-W", "error", "-m", module, *map(str, arguments)]
    with ExitStack() as stack:
        started = []
        for rank in range(world):
            said = stack.enter_context((folder / f"{rank}.txt").open("w"))
            environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            options = {"cwd": ROOT, "env": environment, "stdout": said, "stderr": said}
            started.append(subprocess.Popen(command, **options))
            stack.callback(started[-1].wait)
            stack.callback(started[-1].kill)
        for rank, process in enumerate(started):
            assert process.wait(seconds) == 0, (folder / f"{rank}.txt").read_text()


@contextmanager
def limited(seconds):
    """TimeoutError where a block takes longer."""

    def end(*_):
        raise TimeoutError(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def wait_for(condition, seconds=240):
    """Until it holds; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to it"
        time.sleep(0.02)


def sets(*overrides):
    """``--set`` before each override."""
    return [word for text in overrides for word in ("--set", text)]
