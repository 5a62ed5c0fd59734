"""The training loop, from top to bottom. It never asks which objective it runs.

Images, views and noise of a step are functions of (seed, step), so resuming needs the step number
alone. Of several processes, each takes its rows of every batch, and rank 0 writes.

No step waits for the device. A flag on the device says whether losses and gradients are finite; it
is read every ``log_every`` steps and before saving. From the first bad step on, the optimiser
changes nothing.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import safetensors.torch
import torch
from torch import Tensor

from slotbench.config.budget import Budget
from slotbench.config.run_config import RunConfig, TrainConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import Loader, as_floats
from slotbench.datasets.format.views import frames_as_views, make_views
from slotbench.errors import TrainingError
from slotbench.files import reason_of, write_whole
from slotbench.objectives.gather import alone, rank_and_world
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.progress import Bar, bar, counted, say, warn
from slotbench.training import checkpoint
from slotbench.training.build import check_core, set_steps
from slotbench.training.devices import Feed, bfloat16, describe
from slotbench.training.distributed import Loss, agree, gone, mean, own_rows, shared
from slotbench.training.flops import flops_of_step, flops_of_whole_step
from slotbench.training.signals import StopRequest, asked, signals

NOT_FINITE = "Mend the loss if it is yours. Else: --set train.learning_rate=NUMBER, half as large."
VAL_BATCHES = 8
"""The validation loss is the mean over so many batches."""


class Observer:
    """Called while a run trains. Does nothing; subclasses draw pictures and feed trackers."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """The numbers of a step, as in a line of ``metrics.jsonl``."""

    def picture(self, objective: Objective, dataset: DatasetFile, step: int) -> None:
        """Draw the slots of the objective after a step."""

    def close(self, state: str) -> None:
        """The run ends as ``done``, ``failed`` or ``interrupted``."""


class Record(Protocol):
    """The part of :class:`slotbench.results.run.Run` that the loop uses."""

    path: Path
    checkpoint: Path
    model: Path

    @property
    def typed(self) -> str: ...
    def create(self, config: RunConfig) -> None: ...
    def lock(self) -> AbstractContextManager[None]: ...
    def status(self) -> dict[str, Any]: ...
    def write_status(self, state: Any, reason: str = "", **fields: Any) -> None: ...
    def write_environment(self, device: str, threads: int) -> None: ...
    def rewind_metrics(self, step: int) -> None: ...
    def add_metrics(self, row: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Host:
    """Where and how a run is executed; results do not depend on it."""

    device: torch.device
    checkpoint_seconds: float = 120.0
    memory_budget: int | None = None
    """Most bytes of images in memory; none: a quarter of what is free."""
    processes: int = 1
    """Processes that share each batch; each has a GPU of its own, if any."""
    trackers: tuple[str, ...] = ()
    """Where metrics go beside ``metrics.jsonl``, by name."""
    observe: Callable[[Path, RunConfig, int], Observer] = lambda *_: Observer()
    """Makes a run's observer from its directory, configuration and first step."""

    @property
    def name(self) -> str:
        """The device as results name it."""
        name = describe(self.device)
        return name if self.processes == 1 else f"{self.processes} x {name}"


def train(
    run: Record,
    objective: Objective,
    config: RunConfig,
    dataset: DatasetFile,
    host: Host,
    spent: float = 0.0,
) -> None:
    """Train a run from its last checkpoint, or from the start, to its last step.

    ``objective`` is the untrained one of ``config``; its choice took ``spent`` seconds. Rank 0
    alone locks the run and writes. :class:`TrainingError` where the loss is no longer finite,
    KeyboardInterrupt after Ctrl-C or SIGTERM; status and checkpoint are written in each case.
    """
    if rank_and_world()[0]:
        with signals():
            _follow(Trainer(run, objective, config, dataset, host, spent))
        return
    run.create(config)
    with run.lock(), signals():
        trainer = Trainer(run, objective, config, dataset, host, spent)
        run.write_status("running", **_facts(trainer))
        run.write_environment(host.name, torch.get_num_threads())
        run.rewind_metrics(trainer.step)
        observer = host.observe(run.path, config, trainer.step)
        try:
            with bar("Training", trainer.steps) as progress:
                _lead(trainer, observer, progress)
            _finish(trainer, observer)
        except StopRequest as stop:
            trainer.save()
            run.write_status("interrupted", str(stop), **_progress(trainer))
            resume = f"slotbench train --resume {run.typed}"
            say(f"Saved at step {trainer.step:,}. To go on, type: {resume}")
            raise KeyboardInterrupt from stop
        except KeyboardInterrupt:  # the second Ctrl-C: the run reads as interrupted
            raise
        except BaseException as error:  # a plugin may call sys.exit
            # On a full disk this fails too; the run then reads as interrupted.
            with suppress(OSError):
                if isinstance(error, TrainingError) and (bad := int(trainer.bad)):
                    run.add_metrics({"step": bad, "finite": False})
                reason = "another process is lost" if gone(error) else reason_of(error)
                run.write_status("failed", reason, **_progress(trainer))
            raise
        finally:
            observer.close(run.status()["state"])


def _lead(trainer: "Trainer", observer: Observer, progress: Bar) -> None:
    """Take every step; log, validate, draw and save in between."""
    run, batch = trainer.run, trainer.settings.batch_size
    val = trainer.val_loader()
    loader = trainer.begin()  # a budget of FLOPs sets the steps
    settings = trainer.settings
    run.write_status("running", **_progress(trainer))
    progress.set(trainer.step, trainer.steps)
    saved = time.monotonic()
    while not trainer.at_end():
        losses = trainer.advance(loader)
        step, last = trainer.step, trainer.at_end()
        row = {}
        if step % settings.log_every == 0 or last:
            trainer.check()
            # The loss is finite; a part that is not has no number in JSON.
            row = {name: float(value) for name, value in losses.items() if value.isfinite()}
            row["learning_rate"] = learning_rate(settings, step - 1)
            rate = trainer.taken * batch / trainer.seconds
            progress.set(step, detail=f"loss {row['loss']:.4f}  {rate:.0f} images/s")
        if step % settings.val_every == 0 or last:
            row["val_loss"] = trainer.val_loss(val)
            if not math.isfinite(row["val_loss"]):
                said = f"the loss is not finite after step {step}, on val"
                raise TrainingError(said, NOT_FINITE)
        if row:
            run.add_metrics({"step": step, **row})
            observer.log(step, row)
        if settings.picture_every and step % settings.picture_every == 0 and not last:
            trainer.draw(observer)
        if time.monotonic() - saved >= trainer.host.checkpoint_seconds and not last:
            trainer.save()
            run.write_status("running", **_progress(trainer))
            saved = time.monotonic()
        trainer.raise_if_stopped()


def _follow(trainer: "Trainer") -> None:
    """Take the same steps as rank 0 and write nothing; KeyboardInterrupt where all stop."""
    loader = trainer.begin()
    try:
        while not trainer.at_end():
            trainer.advance(loader)
            if trainer.step % trainer.settings.log_every == 0:
                trainer.check()
            trainer.raise_if_stopped()
    except StopRequest as stop:
        raise KeyboardInterrupt from stop


def _finish(trainer: "Trainer", observer: Observer) -> None:
    """Write the trained weights, then the status ``done``."""
    trainer.save()
    state = trainer.objective.state_dict()
    tensors = {name: value.contiguous().cpu() for name, value in state.items()}
    write_whole(trainer.run.model, safetensors.torch.save(tensors))
    trainer.draw(observer)
    trainer.run.write_status("done", **_progress(trainer))


def _facts(trainer: "Trainer") -> dict[str, Any]:
    slots, objects = trainer.objective.core.num_slots, trainer.dataset.layout.objects
    warnings = []
    if slots < objects:
        warnings.append(f"{counted(slots, 'slot')} for up to {counted(objects, 'object')}")
        warn(f"{warnings[0]}: some objects cannot have a slot of their own.")
    weights = trainer.objective.parameters()
    return {
        **_progress(trainer),
        "warnings": warnings,
        "device": trainer.host.name,
        "parameters": sum(each.numel() for each in weights if each.requires_grad),
    }


def _progress(trainer: "Trainer") -> dict[str, Any]:
    images = trainer.taken * trainer.settings.batch_size
    return {
        "step": trainer.step,
        "steps": trainer.step if trainer.at_end() else trainer.steps,
        "seconds": round(trainer.seconds, 3),
        "flops_per_step": trainer.flops_per_step,
        "flops": trainer.flops_per_step * trainer.taken,
        "images_per_second": round(images / trainer.seconds, 1) if trainer.seconds else None,
    }


def learning_rate(config: TrainConfig, step: int) -> float:
    """The learning rate of step ``step``, counted from 0."""
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup))
    if config.decay == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * step / config.steps))
    if config.decay == "exponential":
        return float(rate * 0.5 ** (step / config.half_life))
    return rate


class Trainer:
    """One run in progress: objective, optimiser, data, and the number of steps taken."""

    def __init__(
        self,
        run: Record,
        objective: Objective,
        config: RunConfig,
        dataset: DatasetFile,
        host: Host,
        spent: float = 0.0,
    ) -> None:
        self.run, self.config, self.host, self.dataset = run, config, host, dataset
        self.objective = objective.to(host.device)
        self.settings = config.train
        self.budget = Budget.parse(config.train.budget) if config.train.budget else None
        self.flops_per_step = 0
        self.optimizer = torch.optim.Adam(
            self.objective.parameters(), config.train.learning_rate, fused=True
        )
        self.loss: Loss = self.objective.loss
        if config.train.compile:
            self.loss = torch.compile(self.objective.loss)
        self.bfloat16 = bfloat16(host.device, config.train.precision)
        self.bad = torch.zeros((), dtype=torch.int64, device=host.device)
        """The first step whose loss or gradient was not finite; 0: none."""
        self.step, self.seconds, self.mark, self.stopped = 0, spent, time.monotonic(), False
        if run.checkpoint.is_file():
            saved = checkpoint.load(run.checkpoint, config)
            saved.restore(run.checkpoint, self.objective, self.optimizer)
            self.step, self.seconds = saved.step, saved.seconds

    @property
    def steps(self) -> int:
        """Steps of the whole run; 0 where the objective trains nothing."""
        return self.settings.steps if self.objective.trains else 0

    @property
    def taken(self) -> int:
        """Steps of the run and of all its starts."""
        several = self.objective.trains and self.settings.starts > 1
        tried = self.settings.starts * self.settings.start_steps if several else 0
        return self.step + tried

    def at_end(self) -> bool:
        """Whether all steps are done or all seconds of the budget are spent."""
        budget = self.budget
        if budget is not None and budget.unit == "seconds" and self.seconds >= budget.amount:
            return True
        return self.step >= self.steps

    def begin(self) -> Feed:
        """Check the core, count a step's cost, and start the clock; returns the batches."""
        loader = self.loader("train", self.settings.batch_size)
        self.objective.train()
        if self.objective.trains:
            self._measure(loader)
        self.mark = time.monotonic()
        return loader

    def _measure(self, loader: Feed) -> None:
        """Count the FLOPs of a step, from which a budget of FLOPs sets the number of steps."""
        joined = rank_and_world()[1] > 1
        with self.autocast(), alone():
            batch = self.batch(loader, 0)
            check_core(self.objective.core, batch.images)
            self.objective.train()
            count = flops_of_whole_step if joined else flops_of_step
            self.flops_per_step = count(self.objective, batch)
            if joined:
                self.loss = shared(self.objective, self.loss, batch)
        if self.budget is not None and self.budget.unit == "flops":
            self.settings = replace(self.settings, steps=self.budget.steps(self.flops_per_step))
            set_steps(self.objective, self.settings.steps)

    def loader(self, split: str, batch_size: int) -> Feed:
        """Batches of a split: the arrays that the objective reads, frames for a temporal one."""
        loader = Loader(
            self.dataset,
            split,
            batch_size,
            self.config.seed,
            keys=("image", *self.objective.reads),
            memory_budget=self.host.memory_budget,
            frames=self.objective.views if self.objective.temporal else 1,
        )
        return Feed(loader, self.host.device)

    def val_loader(self) -> Feed:
        """Batches of ``val``, as large as in training, or all of it if it has less."""
        count = (self.dataset.rows if self.objective.temporal else self.dataset.size)("val")
        return self.loader("val", min(self.settings.batch_size, count))

    def batch(self, loader: Feed, step: int, purpose: str = "train") -> TrainBatch:
        """The batch of a step: a function of (seed, step) alone."""
        own, seed = own_rows(loader.loader.batch_size), self.config.seed
        labels = loader(step, own)
        pixels, views = labels.pop("image"), None
        if self.objective.temporal:
            views = frames_as_views(pixels)
            images = views.images[0]
            labels = {key: values[:, 0] for key, values in labels.items()}
        else:
            images = as_floats(pixels)
            if count := self.objective.views:
                options, keys = self.config.sections["views"], (seed, purpose, step)
                views = make_views(images, options, keys, count, first=own.start)
        return TrainBatch(images, views, seed, step, purpose, labels, *rank_and_world())

    def advance(self, loader: Feed) -> dict[str, Tensor]:
        """Take the next step; returns the result of :meth:`train_step`."""
        losses = self.train_step(self.batch(loader, self.step))
        self.step += 1
        now = time.monotonic()
        self.seconds, self.stopped = agree(self.seconds + now - self.mark, bool(asked()))
        self.mark = now
        return losses

    def train_step(self, batch: TrainBatch) -> dict[str, Tensor]:
        """One step of the optimiser; returns the losses and the gradient's norm, scalars."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, batch.step)
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            losses = self.loss(batch)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        losses = mean({name: value.detach() for name, value in losses.items()})
        norm = torch.nn.utils.clip_grad_norm_(
            self.objective.parameters(), settings.clip or math.inf
        )
        first = (self.bad == 0) & ~(losses["loss"] + norm).isfinite()
        self.bad = torch.where(first, batch.step + 1, self.bad)
        # GradScaler's flag: with it the optimiser leaves weights and state unchanged.
        self.optimizer.found_inf = (self.bad > 0).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.objective.after_step(batch.step)
        return {**losses, "gradient": norm}

    def check(self) -> None:
        """Wait for the device; :class:`TrainingError` where a step so far was not finite."""
        if bad := int(self.bad):
            raise TrainingError(f"the loss is not finite at step {bad}", NOT_FINITE)

    def val_loss(self, loader: Feed) -> float:
        """Mean loss on the first images of ``val``, the same views and noise every time."""
        self.objective.eval()
        count = min(VAL_BATCHES, loader.loader.batches_per_epoch)
        with torch.no_grad(), self.autocast(), alone():
            losses = [
                self.objective.loss(self.batch(loader, index, "val"))["loss"]
                for index in range(count)
            ]
        self.objective.train()
        return math.fsum(torch.stack(losses).tolist()) / count

    def draw(self, observer: Observer) -> None:
        """Have the observer draw the slots."""
        observer.picture(self.objective, self.dataset, self.step)
        self.objective.train()

    def autocast(self) -> torch.autocast:
        """Autocast to bfloat16, if the run uses it."""
        return torch.autocast(self.host.device.type, torch.bfloat16, enabled=self.bfloat16)

    def save(self) -> None:
        """Write the checkpoint that the run goes on from."""
        self.check()
        state = self.objective.state_dict(), self.optimizer.state_dict()
        saved = checkpoint.Checkpoint(self.config.id, self.step, self.seconds, *state)
        saved.save(self.run.checkpoint)

    def raise_if_stopped(self) -> None:
        """:class:`StopRequest` after a signal.

        With several ranks, stop only once all have agreed; otherwise the rest deadlock.
        """
        free = self.at_end() or rank_and_world()[1] == 1
        if self.stopped or (asked() and free):
            self.check()
            raise StopRequest(f"stopped by {asked() or 'a signal'}")
