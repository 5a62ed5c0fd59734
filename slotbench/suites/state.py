"""How far a suite has come: read from the run directories, every time.

``results/suites/<name>/`` holds ``suite.toml``, the file as it was last run; ``journal.jsonl``,
to which is only ever added, and which says what engines were given and how it ended; and a lock
for each process that drives the suite. None of them says what state a cell is in.
"""

import contextlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from slotbench.errors import UserError
from slotbench.files import read_json, write_json, write_whole
from slotbench.locks import held, hold
from slotbench.results.run import Run, kernel
from slotbench.results.stored import groups_left

CellState = Literal["waiting", "running", "evaluating", "done", "failed", "interrupted"]
STATES: tuple[CellState, ...] = (
    "running",
    "evaluating",
    "waiting",
    "interrupted",
    "failed",
    "done",
)
AT_WORK = ("running", "evaluating")
TO_DO = ("waiting", "interrupted")


@dataclass(frozen=True)
class Progress:
    """What a run's directory says."""

    state: CellState
    reason: str = ""
    step: int = 0
    steps: int = 0
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """How much of the training is done, in [0, 1]."""
        if self.state in ("done", "evaluating"):
            return 1.0
        return min(1.0, self.step / self.steps) if self.steps else 0.0


def progress_of(run: Run, metrics: tuple[str, ...]) -> Progress:
    """A cell's state; done is what has been trained, and judged by these groups of metrics."""
    try:
        status = run.status()
    except UserError as error:
        return Progress("interrupted", error.message)
    if status["state"] == "done" and not groups_left(run, metrics):
        return Progress("done", "", *_cost(status))
    state, reason = _undone(status, run.locked())
    step, steps, seconds = _cost(status)
    if state == "running":
        step = max(step, _last_step(run))
    return Progress(state, reason, step, steps, seconds)


def _cost(status: dict[str, Any]) -> tuple[int, int, float]:
    """Step, steps and seconds."""
    seconds = float(status.get("seconds") or 0.0)
    return int(status.get("step") or 0), int(status.get("steps") or 0), seconds


def _undone(status: dict[str, Any], locked: bool) -> tuple[CellState, str]:
    trained = status["state"] == "done"
    if locked:
        return ("evaluating" if trained else "running"), ""
    if trained:
        error = status.get("evaluation_error")
        if error:
            return "failed", f"evaluation: {error}"
        return "interrupted", "trained, not judged by all metrics"
    if status["state"] == "new":
        return "waiting", ""
    state: CellState = "failed" if status["state"] == "failed" else "interrupted"
    return state, str(status["reason"])


def _last_step(run: Run) -> int:
    """The step of the last line of ``metrics.jsonl``; the status is written less often."""
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        with (run.path / "metrics.jsonl").open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 4096))
            lines = stream.read().splitlines()
        return int(json.loads(lines[-1])["step"])
    return 0


def record_failure(run: Run, reason: str) -> None:
    """Write down why a run ended, where it could not do so itself and nobody has it in hand.

    Nothing is written where the disk is full, or where the status is damaged.

    A run that is trained stays so: it then says why it could not be evaluated.
    """
    with contextlib.suppress(OSError, UserError), run.lock():
        state = run.status()["state"]
        if state == "done":
            run.write_status("done", evaluation_error=reason)
        elif state != "failed" or not run.status()["reason"]:
            run.write_status("failed", reason)


def counts(found: Iterable[Progress]) -> dict[str, int]:
    """How many cells are in each state, all states named."""
    counted = Counter(progress.state for progress in found)
    return {state: counted[state] for state in STATES}


class Journal:
    """A suite's folder: what was asked of engines, and who drives it."""

    def __init__(self, results_dir: Path, name: str) -> None:
        self.folder = results_dir.absolute() / "suites" / name
        self.file = self.folder / "journal.jsonl"
        self.session = uuid.uuid4().hex[:12]

    @property
    def snapshot(self) -> Path:
        return self.folder / "suite.toml"

    def write(self, event: str, **fields: Any) -> None:
        """Add a line; nothing depends on it so much that a full disk should end a suite."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = {"time": now, "session": self.session, "event": event, **fields}
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(handle, (json.dumps(line) + "\n").encode())
            finally:
                os.close(handle)

    def events(self) -> list[dict[str, Any]]:
        """Every line that is whole, oldest first."""
        if not self.file.is_file():
            return []
        found = []
        for line in self.file.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    found.append(event)
        return found

    def open_handles(self, engine: str) -> dict[str, str]:
        """Run -> handle of what an engine was given and nobody has seen the end of."""
        handles: dict[str, str] = {}
        for event in self.events():
            if event["event"] == "submit" and event.get("engine") == engine:
                handles[event["run"]] = str(event["handle"])
            elif event["event"] in ("end", "withdraw"):
                handles.pop(str(event.get("run")), None)
        return handles

    @contextmanager
    def driving(self, text: bytes) -> Iterator[None]:
        """Register this process as a driver of the suite; ``text`` is the suite's file."""
        drivers = self.folder / "drivers"
        drivers.mkdir(parents=True, exist_ok=True)
        write_whole(self.snapshot, text)
        mine = drivers / f"{self.session}.lock"
        told = mine.with_suffix(".json")
        write_json(told, {"kernel": kernel(), "pid": os.getpid()})
        try:
            with hold(mine):
                yield
        finally:
            mine.unlink(missing_ok=True)
            told.unlink(missing_ok=True)

    def drivers(self) -> list[dict[str, Any]]:
        """``kernel`` and ``pid`` of every living process that drives the suite."""
        living = []
        for file in sorted((self.folder / "drivers").glob("*.lock")):
            if held(file):
                with contextlib.suppress(UserError):
                    living.append(read_json(file.with_suffix(".json")))
        return living

    def ask_to_cancel(self) -> None:
        """Ask all who drive the suite to stop."""
        self.write("cancel")


class CancelWatch:
    """Whether anybody has asked to cancel since this was made."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.seen = self._size()

    def _size(self) -> int:
        try:
            return self.journal.file.stat().st_size
        except OSError:
            return 0

    def asked(self) -> bool:
        size = self._size()
        if size <= self.seen:
            return False
        try:
            with self.journal.file.open("rb") as stream:
                stream.seek(self.seen)
                new = stream.read()
        except OSError:
            return False
        whole = new[: new.rfind(b"\n") + 1]
        self.seen += len(whole)
        return b'"event": "cancel"' in whole
