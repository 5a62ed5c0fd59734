"""Several starts of one run: each trains for some steps; the one with the least loss is kept.

From some initial weights, slots learn regions of the frame instead of objects. The loss on val
shows it early, without labels (docs/log.md).
"""

import math
from contextlib import nullcontext

from pydantic import Field

from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import TrainingError
from slotbench.files import Document, read_document, write_json
from slotbench.objectives.gather import rank_and_world
from slotbench.objectives.objective import Objective
from slotbench.progress import bar, say
from slotbench.results.models import built
from slotbench.results.run import Run
from slotbench.training.distributed import agree
from slotbench.training.loop import Host, Trainer
from slotbench.training.signals import StopRequest, asked, signals


class Tried(Document):
    """The result of a start."""

    val_loss: float | None
    """None: the loss did not stay finite."""
    seconds: float = Field(ge=0)


class _Starts(Document):
    """``starts.json``: the results of all starts so far."""

    tried: list[Tried]


def best(run: Run, config: RunConfig, dataset: DatasetFile, host: Host) -> tuple[Objective, float]:
    """The untrained objective of the best start, and the seconds that all starts took.

    Starts differ in their weights alone. ``starts.json`` keeps each result, so that an interrupted
    run repeats none. KeyboardInterrupt after Ctrl-C or SIGTERM.
    """
    file, first = run.path / "starts.json", rank_and_world()[0] == 0
    tried = read_document(file, _Starts).tried if file.exists() else []
    with run.lock() if first else nullcontext(), signals():
        for number in range(len(tried), config.train.starts):
            if first:
                run.write_status("running", step=0, steps=config.train.steps)
            try:
                tried.append(_try(run, config, dataset, host, number))
            except StopRequest as stop:
                if first:
                    run.write_status("interrupted", str(stop))
                    say(f"To go on, type: slotbench train --resume {run.typed}")
                raise KeyboardInterrupt from stop
            if first:
                write_json(file, {"tried": [each.model_dump() for each in tried]})
    losses = [math.inf if each.val_loss is None else each.val_loss for each in tried]
    number = losses.index(min(losses))
    if first:
        told = ", ".join(f"{loss:.4g}" for loss in losses)
        say(f"Start {number + 1} of {len(losses)} goes on. Losses on val: {told}")
    return built(run, config, number), sum(each.seconds for each in tried)


def _try(run: Run, config: RunConfig, dataset: DatasetFile, host: Host, number: int) -> Tried:
    """Train a start for ``start_steps`` and compute its loss on val; saves nothing."""
    trainer = Trainer(run, built(run, config, number), config, dataset, host)
    val = trainer.val_loader()
    loader, steps = trainer.begin(), min(config.train.start_steps, trainer.steps)
    told = f"Start {number + 1} of {config.train.starts}"
    loss: float | None
    try:
        with bar(told, 0 if rank_and_world()[0] else steps) as progress:
            while trainer.step < steps:
                trainer.advance(loader)
                if trainer.step % config.train.log_every == 0:
                    trainer.check()
                    progress.set(trainer.step)
                trainer.raise_if_stopped()
            trainer.check()
            progress.set(trainer.step)
        loss, _ = agree(trainer.val_loss(val), bool(asked()))
    except TrainingError:
        loss = None
    return Tried(
        val_loss=loss if loss is None or math.isfinite(loss) else None, seconds=trainer.seconds
    )
