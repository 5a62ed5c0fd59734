"""One of several processes that share a batch: ``python -m tests.objectives.processes``.

Arguments: the folder of the data, and one where ``<rank>.pt`` tells for every case the loss, the
averaged gradients and the state after a step. The environment tells rank and meeting place.
"""

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from slotbench import registry
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.views import Views
from tests.objectives import tiny

SUMS = ("reconstruction+moco:0.1+slotcon:0.5", "supervised+simsiam:0.5")
ALIGNMENTS = registry.names("alignments")
CASES = [
    (name, ALIGNMENTS[number % len(ALIGNMENTS)] if kind.takes_alignment else None)
    for number, (name, kind) in enumerate(tiny.kinds().items())
    if kind.trains
]
CASES += [("slotcon", each) for each in ALIGNMENTS] + [(name, None) for name in SUMS]
CASES = list(dict.fromkeys(CASES))
Outcome = dict[str, Any]


def share(batch, rank, world):
    """The images of one process: its rows of images, views and labels."""
    each = len(batch.images) // world
    own = slice(rank * each, (rank + 1) * each)
    views = batch.views and Views(*(part[:, own] for part in batch.views))
    labels = {key: values[own] for key, values in batch.labels.items()}
    return replace(
        batch, images=batch.images[own], views=views, labels=labels, rank=rank, world=world
    )


def outcome(made, batch):
    """Loss, gradients by name, and the state after a step, of this process alone."""
    loss = made.loss(batch)["loss"]
    loss.backward()
    gradients = {
        name: weight.grad for name, weight in made.named_parameters() if weight.grad is not None
    }
    made.after_step(0)
    return {"loss": loss.detach(), "gradients": gradients, "state": made.state_dict()}


def averaged(found, world):
    """Loss and gradients as DistributedDataParallel averages them."""
    for value in (found["loss"], *found["gradients"].values()):
        distributed.all_reduce(value)
        value /= world
    return found


def main(data, meeting):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank, world = distributed.get_rank(), distributed.get_world_size()
    files = {video: DatasetFile(data / tiny.FILES[video]) for video in (False, True)}
    found = {}
    for case in CASES:
        made, batch = tiny.made_of(files, case[0], alignment=case[1])
        found[case] = averaged(outcome(made, share(batch, rank, world)), world)
    torch.save(found, meeting / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
