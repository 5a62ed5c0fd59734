"""Seconds until attention finds the objects of rendered clevr6.

Type: python -m benchmarks.goals speedrun. Prepares 6,000 images first where ``data/clevr.h5`` is
missing. One seed; the board has five.
"""

from pathlib import Path

import torch

from benchmarks.goals import Goal
from slotbench.config.resolve import Choice
from slotbench.datasets.prepare.preparation import Request, prepare
from slotbench.suites.speedrun import GOALS, speedrun
from slotbench.training.devices import keep_memory
from slotbench.training.loop import Host


def goals(data_dir: Path = Path("data")) -> list[Goal]:
    """Wall time of reconstruction, preset ``quick``, seed 0."""
    keep_memory()
    if not (data_dir / "clevr.h5").is_file():
        sizes = {"train": 6_000, "val": 500, "test": 1_000}
        prepare(Request("clevr", sizes=sizes, data_dir=data_dir))
    choice = Choice(objective="reconstruction", preset="quick")
    (made,) = speedrun(choice, 1, 50, 1, Host(torch.device("cpu")), data_dir)
    goal = next(iter(GOALS))
    spent = made.reached[goal][1] if goal in made.reached else float("inf")
    return [Goal(f"{goal}, reconstruction, seed 0: seconds", spent, 60)]
