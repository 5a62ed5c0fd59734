"""Suites as small as they can be, and engines that start no process."""

import json
import shutil
from pathlib import Path

from slotbench.evaluation.groups import version
from slotbench.files import write_json
from slotbench.results.run import Run
from slotbench.suites.document import read
from slotbench.suites.drive import Driver
from slotbench.suites.engines import Ended, Engine, Settings
from slotbench.suites.plan import Where, plan
from slotbench.suites.state import Journal
from tests.commands import start_command
from tests.conftest import write_blocks

FIXED = """
[fixed]
preset = "quick"
steps = 4
core.width = 8
core.mlp_width = 8
encoder.channels = 8
train.batch_size = 8
train.picture_every = 0
train.log_every = 1
"""
HEAD = """
name = "tiny"
question = "Does anything happen?"
metrics = "segmentation"
"""
ONE = f'{HEAD}[axes]\nobjective = ["random", "simclr"]\n'
TWO = f"{HEAD}seeds = 2\n{ONE.removeprefix(HEAD)}" + 'dataset = ["clevr", "multi-dsprites"]\n'


def write(folder, text=TWO, fixed=FIXED):
    file = folder / "tiny.toml"
    file.write_text(text + fixed)
    return file


def data(folder, blocks):
    """A folder with two small datasets, by the names of ``clevr`` and ``multi-dsprites``."""
    found = folder / "data"
    found.mkdir(exist_ok=True)
    shutil.copy(blocks / "clevr.h5", found)
    write_blocks(found / "multi-dsprites.h5", train=40)
    return found


def planned(suite, data_dir, results):
    suite = read(suite) if isinstance(suite, Path) else suite
    return plan(suite, Where(data_dir, results), "quick")


class Script(Engine):
    """Ends every task it is given, in the order given, as a function says."""

    name = "local"

    def __init__(self, folder, capacity=2):
        super().__init__(Settings(None, "cpu", None, folder))
        self.capacity = capacity
        self.given = []
        self.waiting = []
        self.most = 0

    def submit(self, tasks):
        self.given += [task.run for task in tasks]
        self.waiting += tasks
        self.most = max(self.most, len(self.waiting))
        return [str(len(self.given)) for _ in tasks]

    def poll(self):
        ended = [Ended(task.run, *self.outcome(task)) for task in self.waiting[:1]]
        self.waiting = self.waiting[1:]
        return ended

    def outcome(self, task):
        finish(Path(task.run))
        return "done", ""

    def cancel(self):
        self.waiting = []


def finish(path):
    """Leave what a run leaves that is trained and judged by ``segmentation``."""
    run = Run(path)
    path.mkdir(parents=True, exist_ok=True)
    run.write_status("done", step=4, steps=4)
    judged = {"schema": 1, "split": "test", "fingerprint": "f", "resolution": [32, 32], "images": 4}
    groups = {"segmentation": version("segmentation")}
    write_json(run.evaluation, {**judged, "metrics": {}, "groups": groups})


def drive(plan, engine, results, *, retry=False):
    """Drive a suite to its end, as ``suite run`` does."""
    journal = Journal(results, plan.suite.name)
    with journal.driving(b""):
        return Driver(plan, engine, journal, retry=retry).run(lambda _: None)


def command(folder, *words, limit=None):
    """``slotbench suite ...`` in a process of its own, one thread each; files up to ``limit``."""
    ray = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    return start_command("suite", *words, "--device", "cpu", cwd=folder, limit=limit, **ray)


def whole(cells):
    """Every cell is done; its log has each step once; nothing half written is left."""
    for cell in cells:
        status = json.loads((cell.run.path / "status.json").read_text())
        assert (status["state"], status["reason"]) == ("done", ""), cell.label
        assert cell.progress().state == "done", cell.label
        assert not cell.run.locked()
        steps = [row["step"] for row in cell.run.metrics()]
        assert steps == list(range(1, status["step"] + 1)), cell.label
        assert not list(cell.run.path.rglob("*.tmp"))


def submitted(results):
    """What engines were given, by run, in order."""
    events = Journal(results, "tiny").events()
    return [event.run for event in events if event.event == "submit"]
