"""The process of one cell, as its parent sees it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from slotbench.results.run import Run
from slotbench.suites.engines import Ended, Task
from slotbench.suites.state import record_failure

ELSEWHERE = 75
"""Exit code of a cell that another process holds (EX_TEMPFAIL)."""
STOPPED = (130, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
LOG, KEPT = "stderr.txt", 200
"""The log of a cell's process in its run directory, and the number of last lines kept."""
SAVE_SECONDS = 60.0
VMSTAT = Path("/proc/vmstat")


class CellProcess:
    """``python -m slotbench.cli.cell``; its output goes to ``stderr.txt`` of the run."""

    def __init__(self, task: Task, environment: Mapping[str, str]) -> None:
        self.task = task
        self.log = Path(task.run) / LOG
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)  # a link may lead anywhere, a pipe may block
        self._oom_before = oom_kills()
        request = json.dumps({**asdict(task), "parent": os.getpid()})
        with self.log.open("wb") as stream:
            # A new session: Ctrl-C reaches only the driver, which asks each cell to save.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "slotbench.cli.cell", request],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def poll(self) -> Ended | None:
        """How the process ended, or None while it runs. Records a failure in the run directory."""
        code = self.process.poll()
        if code is None:
            return None
        lines = trim(self.log)
        if code == 0:
            return Ended(self.task.run, "done")
        if code == ELSEWHERE:
            return Ended(self.task.run, "elsewhere")
        if code in STOPPED:
            return Ended(self.task.run, "stopped", "stopped")
        reason = self._reason(code, lines)
        record_failure(Run(Path(self.task.run)), reason)
        return Ended(self.task.run, "failed", reason)

    def wait(self) -> Ended:
        """Wait for its end. An exception meanwhile makes it save and end."""
        try:
            while (ended := self.poll()) is None:
                time.sleep(0.2)
        except BaseException:  # Ray cancels a task by raising KeyboardInterrupt in it
            self.stop()
            raise
        return ended

    def _reason(self, code: int, lines: list[str]) -> str:
        if code < 0:
            name = signal.Signals(-code).name
            if -code != signal.SIGKILL:
                return f"killed by {name}"
            if oom_kills() > self._oom_before:
                return "killed by SIGKILL: the machine ran out of memory"
            return "killed by SIGKILL, as the system does when memory runs out"
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else f"ended with exit code {code}"

    def ask_to_stop(self) -> None:
        """Send SIGTERM, which makes the cell save and end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def stop(self, seconds: float = SAVE_SECONDS) -> None:
        """Make the cell save and end; kill it after ``seconds``."""
        self.ask_to_stop()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def trim(log: Path) -> list[str]:
    """Cut a log to its last lines and return them."""
    try:
        lines = log.read_bytes().splitlines()
        if len(lines) > KEPT:
            lines = lines[-KEPT:]
            log.write_bytes(b"\n".join(lines) + b"\n")
    except OSError:
        return []
    return [line.decode(errors="replace") for line in lines]


def oom_kills() -> int:
    """The number of out-of-memory kills since Linux booted."""
    with contextlib.suppress(OSError, ValueError):
        for line in VMSTAT.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
