"""The state of a suite, read from the run directories each time.

``results/suites/<name>/`` holds ``suite.toml``, the file of the last run; ``journal.jsonl``, an
append-only log of tasks and how they ended; and a lock for each process that drives the suite. No
file stores the state of a cell.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from slotbench import files
from slotbench.errors import UserError
from slotbench.files import Document
from slotbench.locks import held, hold
from slotbench.results.documents import Status
from slotbench.results.run import Run, kernel, read_status
from slotbench.results.stored import groups_left

CellState = Literal["running", "evaluating", "waiting", "interrupted", "failed", "done"]
STATES: tuple[CellState, ...] = get_args(CellState)
AT_WORK = ("running", "evaluating")
TO_DO = ("waiting", "interrupted")


class Event(Document):
    """A line of ``journal.jsonl``."""

    event: str
    run: str = ""
    engine: str = ""
    handle: str = ""
    options: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """The progress of a cell."""

    state: CellState
    reason: str = ""
    step: int = 0
    steps: int = 0
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """The finished share of the training, in [0, 1]."""
        if self.state in ("done", "evaluating"):
            return 1.0
        return min(1.0, self.step / self.steps) if self.steps else 0.0


def progress_of(run: Run, metrics: tuple[str, ...]) -> Progress:
    """A cell's state, read from its run directory. A damaged file makes it ``interrupted``.

    A cell is done once it is trained and evaluated by these groups of metrics.
    """
    try:
        status = read_status(run.path, run.locked)
        judged = status.state == "done" and not groups_left(run, metrics)
    except UserError as error:
        return Progress("interrupted", error.message)
    done: tuple[CellState, str] = ("done", "")
    state, reason = done if judged else _undone(status, run.locked())
    step = max(status.step, _last_step(run)) if state == "running" else status.step
    return Progress(state, reason, step, status.steps or 0, status.seconds or 0.0)


def _undone(status: Status, locked: bool) -> tuple[CellState, str]:
    trained = status.state == "done"
    if locked:
        return ("evaluating" if trained else "running"), ""
    if trained and status.evaluation_error:
        return "failed", f"evaluation: {status.evaluation_error}"
    if trained:
        return "interrupted", "trained, not judged by all metrics"
    if status.state == "new":
        return "waiting", ""
    return ("failed" if status.state == "failed" else "interrupted"), status.reason


def _last_step(run: Run) -> int:
    """The step of the last line of ``metrics.jsonl``; the status is written less often."""
    with contextlib.suppress(OSError, UserError, ValueError, KeyError, IndexError, TypeError):
        last = files.read_bytes(run.path / "metrics.jsonl").splitlines()[-1]
        return int(files.parse_json(last, "metrics.jsonl")["step"])
    return 0


def record_failure(run: Run, reason: str) -> None:
    """Record why a run ended, unless the run has done so or another process holds it.

    A trained run stays trained; its evaluation then has failed for this reason. Writes nothing if
    the disk is full or the status is damaged.
    """
    with contextlib.suppress(OSError, UserError), run.lock():
        state = run.status()["state"]
        if state == "done":
            run.write_status("done", evaluation_error=reason)
        elif state != "failed" or not run.status()["reason"]:
            run.write_status("failed", reason)


class Journal:
    """A suite's folder: the log of its tasks, and the locks of its drivers."""

    def __init__(self, results_dir: Path, name: str) -> None:
        self.results = results_dir.absolute()
        self.folder = self.results / "suites" / name
        self.file = self.folder / "journal.jsonl"
        self.session = uuid.uuid4().hex[:12]

    @property
    def snapshot(self) -> Path:
        """The suite's file, as it was last run."""
        return self.folder / "suite.toml"

    def write(self, event: str, **fields: Any) -> None:
        """Append a line; a full disk does not end a suite.

        ``run`` is stored relative to the results folder, whose name may not be valid in JSON.
        """
        if "run" in fields:
            with contextlib.suppress(ValueError):  # it lies elsewhere
                fields["run"] = str(Path(fields["run"]).relative_to(self.results))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = {"time": now, "session": self.session, "event": event, **fields}
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK  # a pipe would block
            handle = os.open(self.file, flags, 0o666)
            try:
                os.write(handle, (files.json_text(line, None) + "\n").encode())
            finally:
                os.close(handle)

    def events(self) -> list[Event]:
        """The readable lines, oldest first, with runs as absolute paths."""
        found = []
        for line in files.read_bytes(self.file).splitlines() if self.file.exists() else ():
            with contextlib.suppress(UserError):
                label = str(self.file)
                event = files.parse_document(files.parse_json(line, label), Event, label)
                run = str(self.results / event.run) if event.run else ""
                found.append(event.model_copy(update={"run": run}))
        return found

    def open_handles(self, engine: str) -> dict[str, str]:
        """Run -> handle, for an engine's tasks without a recorded end."""
        handles: dict[str, str] = {}
        for event in self.events():
            if event.event == "submit" and event.engine == engine:
                handles[event.run] = event.handle
            elif event.event in ("end", "withdraw"):
                handles.pop(event.run, None)
        return handles

    @contextmanager
    def driving(self, text: bytes) -> Iterator[None]:
        """Register this process as a driver of the suite; ``text`` is the suite's file."""
        drivers = self.folder / "drivers"
        drivers.mkdir(parents=True, exist_ok=True)
        files.write_whole(self.snapshot, text)
        mine = drivers / f"{self.session}.lock"
        told = mine.with_suffix(".json")
        files.write_json(told, {"kernel": kernel(), "pid": os.getpid()})
        try:
            with hold(mine):
                yield
        finally:
            mine.unlink(missing_ok=True)
            told.unlink(missing_ok=True)

    def drivers(self) -> list[dict[str, Any]]:
        """``kernel`` and ``pid`` of every living driver of the suite."""
        living = []
        for file in sorted((self.folder / "drivers").glob("*.lock")):
            if held(file):
                with contextlib.suppress(UserError):
                    living.append(files.read_json(file.with_suffix(".json")))
        return living

    def cancels(self) -> int:
        """The number of ``suite cancel`` commands so far."""
        with contextlib.suppress(UserError):
            return files.read_bytes(self.file).count(b'"event": "cancel"')
        return 0
