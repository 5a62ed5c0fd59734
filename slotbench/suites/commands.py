"""What ``slotbench suite`` does, for the command line and for scripts alike."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from slotbench import registry
from slotbench.errors import SlotbenchError, UserError
from slotbench.progress import say
from slotbench.results.work import preset_for
from slotbench.suites.document import Suite, read
from slotbench.suites.drive import Driver, Picture, look
from slotbench.suites.engines import Engine, Settings
from slotbench.suites.live import Shown
from slotbench.suites.plan import Plan, plan, shell, text_of
from slotbench.suites.state import Journal
from slotbench.training import devices

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Where:
    """Folders and device of a suite's runs."""

    data_dir: Path = Path("data")
    results_dir: Path = Path("results")
    device: str = "auto"


@dataclass(frozen=True)
class How:
    """Who runs them."""

    engine: str = "local"
    workers: int | None = None
    address: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def find(reference: str, results_dir: Path) -> Suite:
    """A suite by its file, the name it is registered by, or the name it was run by here."""
    path = Path(reference)
    if path.suffix == ".toml" or path.is_file():
        return read(path)
    known = registry.entries("suites")
    if reference in known:
        file: Path = known[reference].load()()
        return read(file)
    here = Journal(results_dir, reference).snapshot if "/" not in reference else path
    if here.is_file():
        return read(here)
    raise registry.unknown("suite", reference, known, "Type: slotbench list suites, or a file.")


def planned(suite: Suite, where: Where) -> Plan:
    return plan(suite, where.data_dir, where.results_dir, preset_for(_device(where.device)))


def _device(name: str) -> torch.device:
    """A GPU that is named may be on another machine."""
    return torch.device(name) if name in ("cuda", "mps") else devices.choose(name)


def prepare(suite: Suite, where: Where) -> None:
    """Make the datasets that are missing, one after the other."""
    for words in planned(suite, where).prepare_commands():
        say(f"Preparing: {shell(words)}")
        command = [sys.executable, "-m", *words, "--data-dir", str(where.data_dir)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode == 130:
            raise KeyboardInterrupt
        if done.returncode:
            raise SlotbenchError(f"{shell(words)} failed.", "What it said stands above.")


def run(suite: Suite, where: Where, how: How, *, retry: bool = False) -> Picture:
    """Run what is left of a suite; with ``retry``, what failed before too.

    Raises :class:`UserError` before anything runs where a dataset is not prepared, and
    KeyboardInterrupt after Ctrl-C, SIGTERM or ``suite cancel``: cells have then saved.
    """
    found = planned(suite, where)
    _check_prepared(found)
    journal = Journal(where.results_dir, suite.name)
    with journal.driving(suite.file.read_bytes()), _terminated():
        engine = _engine(how, where.device, journal.folder)
        try:
            return _driven(found, engine, journal, where, retry)
        finally:
            engine.close()


def _driven(found: Plan, engine: Engine, journal: Journal, where: Where, retry: bool) -> Picture:
    driver = Driver(found, engine, journal, where.data_dir, where.results_dir, retry=retry)
    journal.write(
        "begin",
        engine=engine.name,
        workers=engine.capacity,
        file=str(found.suite.file),
        options=dict(engine.settings.options),
        cells=len(found.cells),
    )
    try:
        with Shown() as show:
            picture = driver.run(show)
    except KeyboardInterrupt:
        journal.write("interrupt")
        if engine.detached:
            say(f"The jobs go on. To stop them, type: slotbench suite cancel {found.suite.name}")
        else:
            say("Cells save and leave.")
            driver.stop()
            say(f"To go on, type: slotbench suite run {found.suite.file}")
        raise
    if driver.cancelled:
        say("Cancelled: cells save and leave.")
        driver.stop()
        journal.write("cancelled")
        raise KeyboardInterrupt
    journal.write("close", counts=picture.counts)
    return picture


def status(suite: Suite, where: Where) -> Picture:
    """How far a suite has come, whoever runs it."""
    return look(planned(suite, where))


def cancel(suite: Suite, where: Where) -> int:
    """Ask all who drive a suite to stop, and cancel jobs that nobody drives; how many."""
    journal = Journal(where.results_dir, suite.name)
    drivers = journal.drivers()
    if drivers:
        journal.ask_to_cancel()
        return len(drivers)
    begun = [event for event in journal.events() if event["event"] == "begin"]
    handles = journal.open_handles("slurm")
    if not begun or not handles:
        return 0
    how = How("slurm", options=begun[-1].get("options") or {})
    engine = _engine(how, where.device, journal.folder)
    driver = Driver(planned(suite, where), engine, journal, where.data_dir, where.results_dir)
    driver.adopt()
    adopted = len(driver.given)
    driver.stop()
    return adopted


def document(picture: Picture, journal: Journal) -> dict[str, Any]:
    """What ``--json`` prints."""
    suite = picture.plan.suite
    return {
        "schema": SCHEMA_VERSION,
        "suite": suite.name,
        "question": suite.question,
        "file": str(suite.file),
        "counts": picture.counts,
        "unprepared": dict(picture.plan.unprepared),
        "drivers": journal.drivers(),
        "cells": [
            {
                "run": cell.key,
                "id": cell.run.id,
                "values": {key: _plain(value) for key, value in cell.values.items()},
                "command": shell(cell.words),
                "state": progress.state,
                "reason": progress.reason,
                "step": progress.step,
                "steps": progress.steps,
                "seconds": progress.seconds,
            }
            for cell, progress in picture.cells(*picture.counts)
        ],
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _check_prepared(found: Plan) -> None:
    if not found.unprepared:
        return
    listed = ", ".join(repr(reference) for reference in found.unprepared)
    commands = "\n".join(f"  {shell(words)}" for words in found.prepare_commands())
    what = "Dataset" if len(found.unprepared) == 1 else "Datasets"
    verb = "is" if len(found.unprepared) == 1 else "are"
    raise UserError(
        f"{what} {listed} {verb} not prepared; nothing has been run.",
        f"Type:\n{commands}\nor add --prepare to do so first.",
    )


def _engine(how: How, device: str, folder: Path) -> Engine:
    kind = registry.get("engines", how.engine).load()
    engine: Engine = kind(Settings(how.workers, device, how.address, folder, how.options))
    return engine


@contextmanager
def _terminated() -> Iterator[None]:
    """SIGTERM and a terminal that is closed end a suite as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["How", "Where", "cancel", "document", "find", "prepare", "run", "status", "text_of"]
