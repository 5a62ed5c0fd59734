"""Suites as small as they can be, and engines that run nothing."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from slotbench.suites.document import Suite, read
from slotbench.suites.engines import Ended, Engine, Outcome, Settings, Task
from slotbench.suites.plan import Plan, plan
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
"""
TWO = """
name = "tiny"
question = "Does anything happen?"
metrics = "segmentation"
seeds = 2

[axes]
dataset = ["clevr", "multi-dsprites"]
objective = ["random", "simclr"]
"""


def write(folder: Path, text: str = TWO, fixed: str = FIXED) -> Path:
    file = folder / "tiny.toml"
    file.write_text(text + fixed)
    return file


def data(folder: Path, blocks: Path) -> Path:
    """A folder with two small datasets, by the names of ``clevr`` and ``multi-dsprites``."""
    found = folder / "data"
    found.mkdir(exist_ok=True)
    shutil.copy(blocks / "clevr.h5", found)
    write_blocks(found / "multi-dsprites.h5", train=40)
    return found


def planned(suite: Suite | Path, data_dir: Path, results: Path) -> Plan:
    return plan(read(suite) if isinstance(suite, Path) else suite, data_dir, results, "quick")


class Script(Engine):
    """Ends every task it is given, in the order given, as a function says."""

    name = "local"

    def __init__(self, folder: Path, capacity: int = 2) -> None:
        super().__init__(Settings(None, "cpu", None, folder))
        self.capacity: int | None = capacity
        self.given: list[str] = []
        self.waiting: list[Task] = []
        self.most = 0

    def submit(self, tasks: Sequence[Task]) -> list[str]:
        self.given += [task.run for task in tasks]
        self.waiting += tasks
        self.most = max(self.most, len(self.waiting))
        return [str(len(self.given)) for _ in tasks]

    def poll(self) -> list[Ended]:
        ended = [Ended(task.run, *self.outcome(task)) for task in self.waiting[:1]]
        self.waiting = self.waiting[1:]
        return ended

    def outcome(self, task: Task) -> tuple[Outcome, str]:
        finish(Path(task.run))
        return "done", ""

    def cancel(self) -> None:
        self.waiting = []

    def close(self) -> None:
        pass


def finish(path: Path) -> None:
    """Leave what a run leaves that is trained and judged by ``segmentation``."""
    from slotbench.evaluation.metrics import load
    from slotbench.files import write_json
    from slotbench.runs import Run

    run = Run(path)
    path.mkdir(parents=True, exist_ok=True)
    run.write_status("done", step=4, steps=4)
    write_json(run.evaluation, {"groups": {"segmentation": load("segmentation").version}})
