"""One of two processes that train together: ``python -m tests.training.ranks DATA RESULTS``.

The environment tells rank and meeting place, as the launcher's does. Every case of ``CASES`` is
trained in turn; ``<results>/<rank>-<case>.json`` tells what this process came to.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

from slotbench.config.resolve import dataset_info, resolve
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.results import work
from slotbench.results.run import Run
from slotbench.training.distributed import meeting
from slotbench.training.loop import Host, Trainer
from tests import small

WORLD, TRAIN_STEP = 2, Trainer.train_step
OFTEN = ("train.log_every=1", "train.val_every=2", "train.warmup=0", "train.learning_rate=1e-3")
CASES = {
    "reconstruction": {},
    "simclr": {"objective": "simclr"},
    "moco": {"objective": "moco"},
    "flops": {"core": "bo-qsa", "objective": "vicreg", "budget": "200e6:flops"},
    "seconds": {"objective": "simclr", "budget": "0.3:seconds", "steps": 5000},
    "stopped": {"objective": "simclr", "seed": 1, "steps": 6},
    "starts": {},
}
MORE = {"moco": ("objective.queue=30",), "starts": ("train.starts=2", "train.start_steps=2")}


def choice(case):
    return small.choice(*OFTEN, *MORE.get(case, ()), **CASES[case])


def alone(case, data, results, processes=1):
    """The run of a case that one process trains, or says that it does as one of several."""
    host = Host(torch.device("cpu"), 0.0, processes=processes)
    return work.start(choice(case), host, data, results, evaluate=False)


def watched(case, rank, seen):
    """A step of a case, which is noted in ``seen`` and may go wrong."""

    def step(going, batch):
        if case == "seconds" and rank == 1:
            time.sleep(0.005)  # its clock tells another time
        if case == "stopped" and rank == 1 and going.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        seen.append(going.step)
        return TRAIN_STEP(going, batch)

    return step


def main(data, results):
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    host = Host(torch.device("cpu"), 0.0, processes=WORLD)
    with DatasetFile(data / "clevr.h5") as dataset, meeting(host.device):
        for case in CASES:
            seen = []
            Trainer.train_step = watched(case, rank, seen)
            config = resolve(choice(case), dataset_info(dataset))
            stopped = False
            try:
                run = Run.of(config, results)
                run.create(config)
                work.train_run(run, config, dataset, host)
            except KeyboardInterrupt:
                stopped = True
            told = {"steps": seen, "stopped": stopped}
            (results / f"{rank}-{case}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
