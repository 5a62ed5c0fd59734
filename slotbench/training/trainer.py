"""One run in progress: its steps, and how far it has come. Driven by :mod:`slotbench.training.loop`."""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from slotbench.config.budget import Budget, flops_of_step
from slotbench.config.run_config import RunConfig, TrainConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import Loader, images_on
from slotbench.datasets.format.views import frames_as_views, make_views
from slotbench.errors import TrainingError
from slotbench.objectives.gather import alone, rank_and_world
from slotbench.objectives.objective import Objective, TrainBatch
from slotbench.results.run import Run
from slotbench.results.teachers import runs_in
from slotbench.training import checkpoint
from slotbench.training.build import build, set_steps
from slotbench.training.distributed import Loss, agree, flops_of_whole_step, mean, own_rows, shared
from slotbench.training.signals import StopRequest, asked

VAL_BATCHES = 8


@dataclass(frozen=True)
class Host:
    """Where and how a run is executed; nothing that its result depends on."""

    device: torch.device
    checkpoint_seconds: float = 120.0
    memory_budget: int | None = None
    processes: int = 1
    """How many share each batch, a GPU each where the device is one."""
    trackers: tuple[str, ...] = ()
    """Where metrics go beside ``metrics.jsonl``, by name."""


def built(run: Run, config: RunConfig) -> Objective:
    """The untrained objective of a run; a teacher that is a run stands in the same folder."""
    with runs_in(run.results_dir):
        return build(config)


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of step ``step``, from 0; a function of the step alone."""
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup))
    if config.decay == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * step / config.steps))
    if config.decay == "exponential":
        return float(rate * 0.5 ** (step / config.half_life))
    return rate


class Trainer:
    """One run in progress: modules, optimiser, data, and the step it has come to."""

    def __init__(self, run: Run, config: RunConfig, dataset: DatasetFile, host: Host) -> None:
        self.run, self.config, self.host = run, config, host
        self.dataset = dataset
        self.objective = built(run, config).to(host.device)
        self.settings = config.train
        self.budget = Budget.parse(config.train.budget) if config.train.budget else None
        self.flops_per_step = 0
        self.optimizer = torch.optim.Adam(
            self.objective.parameters(), config.train.learning_rate, fused=True
        )
        self.loss: Loss = (
            torch.compile(self.objective.loss) if config.train.compile else self.objective.loss
        )
        self.bfloat16 = _bfloat16(config.train, host.device)
        self.step, self.seconds, self.mark, self.stopped = 0, 0.0, time.monotonic(), False
        if run.checkpoint.is_file():
            self._restore(checkpoint.load(run.checkpoint, config.id))

    def _restore(self, saved: checkpoint.Checkpoint) -> None:
        self.objective.load_state_dict(saved.objective)
        self.optimizer.load_state_dict(saved.optimizer)
        self.step, self.seconds = saved.step, saved.seconds

    @property
    def steps(self) -> int:
        return self.settings.steps if self.objective.trains else 0

    def measure(self, loader: Loader) -> None:
        """Count what a step costs; a budget of FLOPs thereby says how many there are."""
        if not self.objective.trains:
            return
        joined = rank_and_world()[1] > 1
        with self.autocast(), alone():
            batch = self.batch(loader, 0)
            count = flops_of_whole_step if joined else flops_of_step
            self.flops_per_step = count(self.objective, batch)
            if joined:
                self.loss = shared(self.objective, self.loss, batch)
        if self.budget is not None and self.budget.unit == "flops":
            self.settings = replace(self.settings, steps=self.budget.steps(self.flops_per_step))
            set_steps(self.objective, self.settings.steps)

    def at_end(self) -> bool:
        """Whether all steps are done, or all seconds of the budget are used up."""
        spent = (
            self.budget is not None
            and self.budget.unit == "seconds"
            and self.seconds >= self.budget.amount
        )
        return self.step >= self.steps or spent

    def begin(self) -> Loader:
        """What batches come from; from here on the time of training counts."""
        loader = self.loader("train", self.settings.batch_size)
        self.objective.train()
        self.measure(loader)
        self.mark = time.monotonic()
        return loader

    def loader(self, split: str, batch_size: int) -> Loader:
        return Loader(
            self.dataset,
            split,
            batch_size,
            self.config.seed,
            keys=("image", *self.objective.reads),
            memory_budget=self.host.memory_budget,
            frames=self.objective.views if self.objective.temporal else 1,
        )

    def batch(self, loader: Loader, step: int, purpose: str = "train") -> TrainBatch:
        """What the objective sees at a step: a function of (seed, step) alone."""
        read = loader.batch(step)
        rank, world = rank_and_world()
        own = own_rows(loader.batch_size)
        read = {key: values[own] for key, values in read.items()}
        labels = {
            key: torch.from_numpy(read[key]).to(self.host.device) for key in self.objective.reads
        }
        if self.objective.temporal:
            views = frames_as_views(torch.from_numpy(read["image"]).to(self.host.device))
            labels = {key: values[:, 0] for key, values in labels.items()}
            return TrainBatch(
                views.images[0], views, self.config.seed, step, purpose, labels, rank, world
            )
        images = images_on(read, self.host.device)
        made = None
        if self.objective.views:
            keys = (self.config.seed, purpose, step)
            made = make_views(
                images, self.config.sections["views"], keys, self.objective.views, first=own.start
            )
        return TrainBatch(images, made, self.config.seed, step, purpose, labels, rank, world)

    def advance(self, loader: Loader) -> dict[str, Tensor]:
        """Take the next step; returns what :meth:`train_step` does."""
        losses = self.train_step(self.batch(loader, self.step))
        self.step += 1
        now = time.monotonic()
        self.seconds, self.stopped = agree(self.seconds + now - self.mark, bool(asked()))
        self.mark = now
        return losses

    def train_step(self, batch: TrainBatch) -> dict[str, Tensor]:
        """One step of the optimiser; returns the losses and the norm of the gradient."""
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
        # A loss or gradient that is not finite must not reach the weights.
        if not math.isfinite(float(losses["loss"]) + float(norm)):
            raise TrainingError(f"the loss is not finite at step {batch.step + 1}")
        self.optimizer.step()
        self.objective.after_step(batch.step)
        return {**losses, "gradient": norm}

    def val_loss(self, loader: Loader) -> float:
        """Mean loss on the first images of ``val``, the same views and noise every time."""
        self.objective.eval()
        total = 0.0
        count = min(VAL_BATCHES, loader.batches_per_epoch)
        with torch.no_grad(), self.autocast(), alone():
            for index in range(count):
                total += float(self.objective.loss(self.batch(loader, index, "val"))["loss"])
        self.objective.train()
        return total / count

    def autocast(self) -> torch.autocast | nullcontext[None]:
        if self.bfloat16:
            return torch.autocast(self.host.device.type, torch.bfloat16)
        return nullcontext()

    def save(self) -> None:
        checkpoint.Checkpoint(
            self.config.id,
            self.step,
            self.seconds,
            self.objective.state_dict(),
            self.optimizer.state_dict(),
        ).save(self.run.checkpoint)

    def raise_if_stopped(self) -> None:
        """:class:`StopRequest` after a signal.

        Of several processes none leaves before the others know: they would wait for it.
        """
        free = self.at_end() or rank_and_world()[1] == 1
        if self.stopped or (asked() and free):
            raise StopRequest(f"stopped by {asked() or 'a signal'}")


def _bfloat16(config: TrainConfig, device: torch.device) -> bool:
    if config.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return config.precision == "bfloat16"
