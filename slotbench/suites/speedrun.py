"""``slotbench speedrun``: seconds of training until a model finds the objects.

The clock runs while the model trains: loading, views and optimiser included. It stops for the
check on the first images of val every few steps, for building the model and for counting its
FLOPs. Processor time is taken beside wall time, because other work on a shared machine lengthens
the latter. An attempt is a row of ``docs/speedrun.md``, whether it was quick or not.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.evaluation.masks import labels_from_masks
from slotbench.evaluation.segmentation import scores
from slotbench.objectives.objective import Objective
from slotbench.progress import say
from slotbench.results.models import built
from slotbench.results.run import Run
from slotbench.training.loop import Host, Trainer

IMAGES, BATCH = 200, 50
GOALS: dict[str, Mapping[str, float]] = {
    "FG-ARI 0.80": {"fg_ari": 0.8},
    "FG-ARI 0.80 and mIoU 0.60": {"fg_ari": 0.8, "miou": 0.6},
}
"""What attention masks must reach on val."""


@torch.no_grad()
def val_scores(objective: Objective, dataset: DatasetFile) -> dict[str, float]:
    """Mean segmentation scores of attention on the first images of val, from the fixed noise."""
    objective.eval()
    device, found = next(objective.parameters()).device, []
    for start in range(0, min(IMAGES, dataset.size("val")), BATCH):
        batch = dataset.read("val", start, min(start + BATCH, IMAGES, dataset.size("val")))
        images, truth = torch.from_numpy(batch["image"]), torch.from_numpy(batch["mask"])
        output = objective.core(images.permute(0, 3, 1, 2).float().div(255).to(device))
        size = (truth.shape[1], truth.shape[2])
        labels = labels_from_masks(output.attention.float().cpu(), size)
        found.append(scores(labels, truth, objective.core.num_slots))
    values = {name: torch.cat([part[name] for part in found]) for name in found[0]}
    return {name: float(each[~each.isnan()].mean()) for name, each in values.items()}


@dataclass
class Attempt:
    """One seed's training; ``reached`` holds step, seconds and processor seconds of each goal."""

    seed: int
    reached: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    """The scores of the last check."""


def attempt(config: RunConfig, dataset: DatasetFile, host: Host, every: int) -> Attempt:
    """Train until every goal is reached or the steps are done; checks every ``every`` steps."""
    made = Attempt(config.seed)
    with tempfile.TemporaryDirectory(prefix="slotbench-") as folder:
        run = Run(Path(folder))
        trainer = Trainer(run, built(run, config), config, dataset, host)
        loader, spent = trainer.begin(), 0.0
        while not trainer.at_end() and len(made.reached) < len(GOALS):
            begun = time.process_time()
            for _ in range(every):
                if not trainer.at_end():
                    trainer.advance(loader)
            trainer.check()
            spent += time.process_time() - begun
            made.last = val_scores(trainer.objective, dataset)
            say(
                f"seed {config.seed}, step {trainer.step}, {trainer.seconds:.1f} s "
                f"({spent:.1f} s of processor): FG-ARI {made.last['fg_ari']:.3f}, "
                f"mIoU {made.last['miou']:.3f}, ARI {made.last['ari']:.3f}"
            )
            for goal, least in GOALS.items():
                if all(made.last[name] >= value for name, value in least.items()):
                    made.reached.setdefault(goal, (trainer.step, trainer.seconds, spent))
            trainer.objective.train()
            trainer.mark = time.monotonic()
    return made


def told(attempts: Sequence[Attempt], goal: str) -> str:
    """Seconds seed by seed, with the median and the worst; a dash where the goal was missed."""
    walls = [each.reached[goal][1] if goal in each.reached else float("inf") for each in attempts]
    words = " ".join(f"{wall:.0f}" if wall < float("inf") else "-" for wall in walls)
    if len(walls) == 1:
        return words
    middle, worst = statistics.median(walls), max(walls)
    return f"{words}; median {middle:.0f}, worst {worst:.0f}"
