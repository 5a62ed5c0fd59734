"""The actions of ``slotbench suite``, for the command line and for scripts."""

import math
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slotbench import plugins, registry
from slotbench.config import tuned
from slotbench.errors import SlotbenchError, UserError
from slotbench.progress import say
from slotbench.results import kept
from slotbench.suites.document import Suite, read
from slotbench.suites.drive import Driver, Picture, look
from slotbench.suites.engines import Engine, Settings
from slotbench.suites.live import shown
from slotbench.suites.plan import Plan, from_text, plan, to_text
from slotbench.suites.plan import Where as Where
from slotbench.suites.state import Journal
from slotbench.training.signals import signals

SCHEMA_VERSION = 1
MANY_CELLS = 200
"""The least number of cells of a cached plan."""


def find(reference: str, results_dir: Path) -> Suite:
    """A suite by its file, its registered name, or the name of a suite in ``results_dir``."""
    path = Path(reference)
    if path.suffix == ".toml" or path.is_file():
        return read(path)
    known = registry.entries("suites")
    if reference in known:
        file: Path = known[reference].load()()
        return read(file)
    if path.name == reference != "..":
        here = Journal(results_dir, reference).snapshot
        if here.is_file():
            return read(here)
    raise registry.unknown(
        "suite", reference, known, "Type a name of: slotbench list suites, or a TOML file."
    )


def planned(suite: Suite, where: Where) -> Plan:
    """The suite's plan. The device ``cuda`` or ``mps`` may be on another machine."""
    import torch

    from slotbench.results.work import preset_for
    from slotbench.training import devices

    remote = where.device in ("cuda", "mps")
    device = torch.device(where.device) if remote else devices.choose(where.device)
    return plan(suite, where, preset_for(device))


def prepare(suite: Suite, where: Where) -> None:
    """Prepare the missing datasets one by one."""
    for words in planned(suite, where).prepare_commands():
        say(f"Preparing: {shlex.join(words)}")
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode == 130:
            raise KeyboardInterrupt
        if done.returncode:
            kind = UserError if done.returncode == UserError.exit_code else SlotbenchError
            raise kind(f"{shlex.join(words)} failed.", "Its output is above.")


def run(
    suite: Suite,
    where: Where,
    engine: str = "local",
    *,
    workers: int | None = None,
    address: str | None = None,
    options: Mapping[str, str] | None = None,
    retry: bool = False,
) -> Picture:
    """Run the unfinished cells; with ``retry``, the failed ones too.

    :class:`UserError` before anything runs if a dataset is not prepared. KeyboardInterrupt after
    Ctrl-C, SIGTERM, SIGHUP or ``suite cancel``, once the cells have saved.
    """
    found = planned(suite, where)
    if found.unprepared:
        listed = ", ".join(map(repr, found.unprepared))
        commands = "\n".join(f"  {shlex.join(words)}" for words in found.prepare_commands())
        advice = f"Type:\n{commands}\nor add --prepare to do so first."
        raise UserError(f"Not prepared: {listed}. Nothing has been run.", advice)
    journal = Journal(where.results_dir, suite.name)
    with journal.driving(suite.file.read_bytes()):
        settings = Settings(workers, where.device, address, journal.folder, options or {})
        by: Engine = registry.get("engines", engine).load()(settings)
        # The engine comes first: Ray installs its own signal handler.
        with signals():
            try:
                return _driven(Driver(found, by, journal, retry=retry))
            finally:
                by.close()


def _driven(driver: Driver) -> Picture:
    engine, journal, suite = driver.engine, driver.journal, driver.plan.suite
    journal.write(
        "begin",
        engine=engine.name,
        workers=engine.capacity,
        file=str(suite.file),
        options=dict(engine.settings.options),
        cells=len(driver.plan.cells),
    )
    with shown() as show:
        picture = driver.run(show)
    if not driver.stopped:
        journal.write("close", counts=picture.counts)
        return picture
    again = shlex.quote(str(suite.file)) + driver.plan.where.options
    if driver.stopped != "cancel" and engine.detached:
        say(f"The jobs go on. To stop them, type: slotbench suite cancel {again}")
    else:
        say(f"Stopped by {driver.stopped}: cells save and leave.")
        driver.stop()
        say(f"To go on, type: slotbench suite run {again}")
    journal.write("stop", reason=driver.stopped)
    raise KeyboardInterrupt


def status(suite: Suite, where: Where) -> Picture:
    """The state of a suite, whichever process runs it.

    The plan of a large suite is cached, because making it takes longer than reading the runs.
    """
    if math.prod(map(len, suite.axes.values())) < MANY_CELLS:
        return look(planned(suite, where))
    folders = (where.data_dir.absolute(), where.results_dir.absolute())
    gpus = (sorted(map(str, Path("/dev").glob("nvidia*"))), os.environ.get("CUDA_VISIBLE_DEVICES"))
    used = [str(plugin["file"]) for plugin in plugins.loaded()]
    data = [*map(str, where.data_dir.glob("*.h5")), *suite.datasets()]
    used += map(str, (where.results_dir / tuned.FOLDER).glob("*.toml"))
    key = kept.key((repr(suite), folders, where.device, gpus, version("torch")), [*data, *used])
    if text := kept.recall(key):
        return look(from_text(suite, where, text))
    found = planned(suite, where)
    kept.keep(key, to_text(found))
    return look(found)


def cancel(suite: Suite, where: Where) -> int:
    """Ask all drivers of a suite to stop, or cancel its jobs if it has none; returns how many."""
    journal = Journal(where.results_dir, suite.name)
    drivers = journal.drivers()
    if drivers:
        journal.write("cancel")
        return len(drivers)
    begun = {event.engine: event for event in journal.events() if event.event == "begin"}
    ended = 0
    for name in filter(journal.open_handles, begun):
        kind: type[Engine] = registry.get("engines", name).load()
        if kind.detached:
            settings = Settings(None, where.device, None, journal.folder, begun[name].options)
            driver = Driver(planned(suite, where), kind(settings), journal)
            driver.adopt()
            ended += len(driver.given)
            driver.stop()
    return ended


def document(picture: Picture, journal: Journal) -> dict[str, Any]:
    """The JSON document of ``suite status --json``."""
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
                "values": {
                    key: list(value) if isinstance(value, tuple) else value
                    for key, value in cell.values.items()
                },
                "command": shlex.join(cell.words),
                **vars(progress),
            }
            for cell, progress in picture.cells(*picture.counts)
        ],
    }
