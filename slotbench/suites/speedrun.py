"""``slotbench speedrun``: seconds of training until a model finds the objects.

The clock runs during training, which includes loading, views and optimiser. It stops while the
model is built, its FLOPs are counted and its masks are checked on val. Processor time is measured
too, because other work on a shared machine lengthens wall time. Every attempt, fast or slow, is a
row of docs/speedrun.md.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from slotbench.config.resolve import Choice, dataset_info, resolve
from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import images_on
from slotbench.datasets.format.places import locate
from slotbench.datasets.format.schema import NOT_LABELLED
from slotbench.errors import UserError
from slotbench.evaluation.masks import labels_from_masks
from slotbench.evaluation.segmentation import scores
from slotbench.files import check_file, read_bytes, write_whole
from slotbench.locks import changing
from slotbench.objectives.objective import Objective
from slotbench.progress import plain, say
from slotbench.results.run import Run, source_commit
from slotbench.results.work import begun
from slotbench.training.loop import Host, Trainer

IMAGES, BATCH = 200, 50
GOALS: dict[str, Mapping[str, float]] = {
    "FG-ARI 0.80": {"fg_ari": 0.8},
    "FG-ARI 0.80 and mIoU 0.60": {"fg_ari": 0.8, "miou": 0.6},
}
"""The scores that attention masks must reach on val."""
TIMES = [f"{goal}: {clock} s" for goal in GOALS for clock in ("wall", "processor")]
HEADINGS = ("date", "commit", "device", "what changed", "objective", *TIMES)


def check_masks(dataset: DatasetFile) -> None:
    """:class:`UserError` if no image for :func:`val_scores` shows an object."""
    masks = dataset.read("val", 0, IMAGES, ("mask",))["mask"]
    if not ((masks > 0) & (masks != NOT_LABELLED)).any():
        raise UserError(
            f"{dataset.path}: the first {IMAGES} images of val show no labelled object, so that "
            "fg_ari cannot be computed.",
            "Choose a dataset with masks.",
        )


@torch.no_grad()
def val_scores(objective: Objective, dataset: DatasetFile) -> dict[str, float]:
    """Mean segmentation scores of attention on the first images of val, from fixed noise."""
    objective.eval()
    device, found = next(objective.parameters()).device, []
    total = min(IMAGES, dataset.size("val"))
    for start in range(0, total, BATCH):
        batch = dataset.read("val", start, min(start + BATCH, total), ("image", "mask"))
        truth = torch.from_numpy(batch["mask"])
        output, size = objective.core(images_on(batch, device)), (truth.shape[1], truth.shape[2])
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


def speedrun(
    choice: Choice, seeds: int, every: int, goals: int, host: Host, data_dir: Path
) -> list[Attempt]:
    """Attempts on seeds 0 to ``seeds`` - 1, one after the other, for the first ``goals`` goals."""
    with DatasetFile(locate(choice.dataset, data_dir)) as dataset:
        check_masks(dataset)
        info = dataset_info(dataset)
        configs = [resolve(replace(choice, seed=seed), info) for seed in range(seeds)]
        return [attempt(config, dataset, host, every, tuple(GOALS)[:goals]) for config in configs]


def attempt(
    config: RunConfig, dataset: DatasetFile, host: Host, every: int, goals: Sequence[str]
) -> Attempt:
    """Train until all goals are reached or the steps are done; a check every ``every`` steps."""
    made = Attempt(config.seed)
    with tempfile.TemporaryDirectory(prefix="slotbench-") as folder:
        run = Run(Path(folder))
        clock = time.process_time()
        objective, tried = begun(run, config, dataset, host)
        # Trying several starts counts; building a model does not.
        spent = time.process_time() - clock if tried else 0.0
        trainer = Trainer(run, objective, config, dataset, host, tried)
        loader = trainer.begin()
        while not trainer.at_end() and len(made.reached) < len(goals):
            clock = time.process_time()
            for _ in range(min(every, trainer.steps - trainer.step)):
                trainer.advance(loader)
            trainer.check()
            spent += time.process_time() - clock
            made.last = val_scores(trainer.objective, dataset)
            say(
                f"seed {config.seed}, step {trainer.step}, {trainer.seconds:.1f} s "
                f"({spent:.1f} s of processor): FG-ARI {made.last['fg_ari']:.3f}, "
                f"mIoU {made.last['miou']:.3f}, ARI {made.last['ari']:.3f}"
            )
            for goal in goals:
                if all(made.last[name] >= least for name, least in GOALS[goal].items()):
                    made.reached.setdefault(goal, (trainer.step, trainer.seconds, spent))
            trainer.objective.train()
            trainer.mark = time.monotonic()
    return made


def board_row(attempts: Sequence[Attempt], what: str, objective: str, host: Host) -> str:
    """A row of the board, in Markdown: a value for each of :data:`HEADINGS`."""
    commit = str(source_commit().get("commit", ""))[:7]
    note = " ".join(plain(what).split()).replace("|", "\\|")
    cells = [datetime.now(UTC).date().isoformat(), commit, host.name, note, objective]
    for goal in GOALS:
        reached = [each.reached.get(goal, (0, math.inf, math.inf)) for each in attempts]
        cells += [_told([each[clock] for each in reached]) for clock in (1, 2)]
    return "| " + " | ".join(cells) + " |"


def add_row(board: Path, row: str) -> None:
    """Add a row to the end of a board; a new board begins with its headings."""
    with changing(board):
        write_whole(board, f"{read_board(board).rstrip()}\n{row}\n".encode(), follow=True)


def read_board(board: Path) -> str:
    """The text of a board, or the headings of a new one; :class:`UserError` for no text file."""
    check_file(board)
    if not board.exists():
        return f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|\n"
    try:
        return read_bytes(board).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"--board {board}: this is not UTF-8 text.", "Name a new file.") from error


def _told(seconds: Sequence[float]) -> str:
    """Seconds of each seed, the median and the worst; a dash for a missed goal."""
    words = ", ".join("-" if math.isinf(each) else f"{each:.0f}" for each in seconds)
    if len(seconds) < 2 or all(map(math.isinf, seconds)):
        return words
    middle, worst = statistics.median(seconds), max(seconds)
    return f"{words} (median {middle:.0f}, worst {worst:.0f})".replace("inf", "-")
