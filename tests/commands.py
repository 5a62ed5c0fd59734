"""The command line: in this process, and in one of its own."""

import os
import resource
import subprocess
import sys
import time

import pytest

from slotbench.cli import main


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
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "slotbench", *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lower,
        env={**os.environ, "COLUMNS": "120", **variables},
    )


def slotbench(*words, **options):
    """The same, when it has ended."""
    process = start_command(*words, **options)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(condition, seconds=240):
    """Until it holds; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to it"
        time.sleep(0.02)


def sets(*overrides):
    """``--set`` before each override."""
    return [word for text in overrides for word in ("--set", text)]
