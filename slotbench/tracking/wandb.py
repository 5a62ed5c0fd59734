"""Weights & Biases. ``WANDB_PROJECT``, ``WANDB_MODE=offline`` and so on are wandb's own."""

import os
import uuid

from slotbench.registry import register
from slotbench.tracking.tracker import Tracked, Tracker, Values


@register("trackers")
class WandB(Tracker):
    """One W&B run; without a network, files in the run's directory that ``wandb sync`` sends."""

    name = "wandb"
    summary = "Weights & Biases, with or without a network"
    source = "wandb"

    packages = ("wandb",)

    def __init__(self, run: Tracked) -> None:
        import wandb

        # Not the run's own id: two people may train the same configuration.
        name = run.known("wandb") or f"{run.name}-{uuid.uuid4().hex[:8]}"
        self.run = wandb.init(
            id=name,
            name=run.name,
            group=run.group,
            config=dict(run.settings),
            resume="allow",
            project=os.environ.get("WANDB_PROJECT", "slotbench"),
            dir=str(run.path),
            settings=wandb.Settings(silent=True, console="off"),
        )
        run.remember("wandb", name)

    def log(self, step: int, values: Values) -> None:
        self.run.log(dict(values), step=step)

    def close(self, state: str) -> None:
        # Anything but 0 shows the run as failed.
        self.run.finish(exit_code=0 if state == "done" else 1)
