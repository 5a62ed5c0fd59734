"""The training loop. It never asks which objective it runs."""

import json
import time
from contextlib import suppress
from typing import IO, Any

import safetensors.torch
import torch

from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.files import reason_of, write_whole
from slotbench.objectives.objective import Objective
from slotbench.progress import Bar, bar, say
from slotbench.report.pictures import draw_slots
from slotbench.results.run import Run
from slotbench.tracking.tracker import Tracked, Trackers, flat
from slotbench.training.devices import describe
from slotbench.training.signals import StopRequest, signals
from slotbench.training.trainer import Host, Trainer, built, learning_rate


def train(run: Run, config: RunConfig, dataset: DatasetFile, host: Host) -> None:
    """Train a run from its last checkpoint, or from the start, to its last step.

    Raises :class:`TrainingError` where the loss is no longer finite, and KeyboardInterrupt
    after Ctrl-C or SIGTERM; the run's status and checkpoint are written in each case.
    """
    run.create(config)
    with run.lock(), signals():
        trainer = Trainer(run, config, dataset, host)
        run.write_status("running", **_facts(trainer, dataset))
        run.write_environment(_device(host), torch.get_num_threads())
        run.rewind_metrics(trainer.step)
        told = Tracked(run.path, flat(config.to_dict()), trainer.step)
        trackers = Trackers(host.trackers, told)
        try:
            with run.open_metrics() as metrics, bar("Training", trainer.steps) as progress:
                _loop(trainer, metrics, trackers, progress)
            _finish(trainer)
        except StopRequest as stop:
            trainer.save()
            run.write_status("interrupted", str(stop), **_progress(trainer))
            say(
                f"Saved at step {trainer.step:,}. To go on, type: slotbench train --resume {run.id}"
            )
            raise KeyboardInterrupt from stop
        except Exception as error:
            # On a full disk not even this can be written; the run then reads as interrupted.
            with suppress(OSError):
                run.write_status("failed", reason_of(error), **_progress(trainer))
            raise
        finally:
            trackers.close(run.status()["state"])


def _loop(trainer: Trainer, metrics: IO[str], trackers: Trackers, progress: Bar) -> None:
    batch_size = trainer.settings.batch_size
    val = trainer.loader("val", min(batch_size, trainer.dataset.size("val")))
    loader = trainer.begin()
    settings = trainer.settings
    trainer.run.write_status("running", **_progress(trainer))
    progress.set(trainer.step, trainer.steps)
    saved = time.monotonic()
    while not trainer.at_end():
        losses = trainer.advance(loader)
        step, last = trainer.step, trainer.at_end()
        row = {}
        if step % settings.log_every == 0 or last:
            row = {name: float(value) for name, value in losses.items()}
            row["learning_rate"] = learning_rate(settings, step - 1)
            rate = step * batch_size / trainer.seconds
            progress.set(step, detail=f"loss {row['loss']:.4f}  {rate:.0f} images/s")
        if step % settings.val_every == 0 or last:
            row["val_loss"] = trainer.val_loss(val)
        if row:
            metrics.write(json.dumps({"step": step, **row}) + "\n")
            trackers.log(step, row)
        if settings.picture_every and step % settings.picture_every == 0 and not last:
            picture(trainer)
        if time.monotonic() - saved >= trainer.host.checkpoint_seconds and not last:
            trainer.save()
            trainer.run.write_status("running", **_progress(trainer))
            saved = time.monotonic()
        trainer.raise_if_stopped()


def _finish(trainer: Trainer) -> None:
    run = trainer.run
    trainer.save()
    state = {
        name: value.contiguous().cpu() for name, value in trainer.objective.state_dict().items()
    }
    write_whole(run.model, safetensors.torch.save(state))
    picture(trainer)
    run.write_status("done", **_progress(trainer))


def picture(trainer: Trainer) -> None:
    """Slots of the first validation images, as they are at this step."""
    trainer.run.pictures.mkdir(exist_ok=True)
    draw_slots(
        trainer.objective,
        trainer.dataset,
        "val",
        range(4),
        trainer.run.pictures / f"val-{trainer.step:07d}.png",
        trainer.host.device,
    )
    trainer.objective.train()


def _facts(trainer: Trainer, dataset: DatasetFile) -> dict[str, Any]:
    slots, objects = trainer.objective.core.num_slots, dataset.layout.objects
    warnings = []
    if slots < objects:
        warnings.append(f"{slots} slots for up to {objects} objects")
        say(f"[yellow]Warning:[/] {warnings[0]}: some objects cannot have a slot of their own.")
    return {
        **_progress(trainer),
        "warnings": warnings,
        "device": _device(trainer.host),
        "parameters": sum(
            weights.numel() for weights in trainer.objective.parameters() if weights.requires_grad
        ),
    }


def _progress(trainer: Trainer) -> dict[str, Any]:
    images = trainer.step * trainer.config.train.batch_size
    return {
        "step": trainer.step,
        "steps": trainer.step if trainer.at_end() else trainer.steps,
        "seconds": round(trainer.seconds, 3),
        "flops_per_step": trainer.flops_per_step,
        "flops": trainer.flops_per_step * trainer.step,
        "images_per_second": round(images / trainer.seconds, 1) if trainer.seconds else None,
    }


def _device(host: Host) -> str:
    name = describe(host.device)
    return name if host.processes == 1 else f"{host.processes} x {name}"


def trained(run: Run, config: RunConfig) -> Objective:
    """The objective of a finished run with its trained weights, for evaluation."""
    from slotbench.results.run import read_model

    objective = built(run, config)
    objective.load_state_dict(read_model(run))
    return objective.eval()
