"""What the commands do, for scripts and notebooks."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.files import read_json
from slotbench.objectives.objective import Objective
from slotbench.progress import bar
from slotbench.report.pictures import draw_slots
from slotbench.report.show import Wish, draw
from slotbench.results.models import trained
from slotbench.results.run import Run
from slotbench.results.work import open_dataset, run_title
from slotbench.tracking import tracker as tracking
from slotbench.training import devices, launch
from slotbench.training.loop import Host


class Watcher:
    """The observer of a run: trackers are told its numbers, its slots are drawn."""

    def __init__(self, trackers: tuple[str, ...], path: Path, config: RunConfig, step: int) -> None:
        self.pictures = path / "pictures"
        told = tracking.Tracked(path, tracking.flat(config.to_dict()), step)
        self.trackers = tracking.Trackers(trackers, told)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Pass the numbers of a step on to every tracker."""
        self.trackers.log(step, values)

    def picture(self, objective: Objective, dataset: DatasetFile, step: int) -> None:
        """Draw the slots of the first validation images."""
        self.pictures.mkdir(exist_ok=True)
        device = next(objective.parameters()).device
        file = self.pictures / f"val-{step:07d}.png"
        draw_slots(objective, dataset, "val", range(4), file, device)

    def close(self, state: str) -> None:
        """End the trackers' runs in this state."""
        self.trackers.close(state)


def host(
    device: str = "auto",
    checkpoint_seconds: float = 120.0,
    gpus: int = 1,
    trackers: tuple[str, ...] = (),
) -> Host:
    """Where and how runs are executed; :class:`UserError` where this machine cannot do it."""
    chosen = devices.choose(device)
    launch.check(chosen, gpus)
    tracking.check(trackers)
    return Host(
        chosen,
        checkpoint_seconds,
        processes=gpus,
        trackers=trackers,
        observe=lambda path, config, step: Watcher(trackers, path, config, step),
    )


def describe(run: Run, host: Host, data_dir: Path, wish: Wish) -> dict[str, Any]:
    """What ``show`` prints; draws the images wished for where the run has a model."""
    config = run.config()
    evaluation = read_json(run.evaluation) if run.evaluation.is_file() else None
    drawn = {}
    if run.model.is_file():
        with open_dataset(config, data_dir) as dataset, bar("Drawing", 1.0, count=False) as told:
            drawn = asdict(
                draw(
                    trained(run, config).to(host.device),
                    dataset,
                    wish,
                    run.pictures,
                    title=run_title(run, config),
                    seed=config.seed,
                    device=host.device,
                    progress=told,
                )
            )
    command = f"slotbench train --resume {shlex.quote(str(run.path))}"
    return {
        "run": str(run.path),
        "config": config.to_dict(),
        "status": run.status(),
        "evaluation": evaluation,
        "pictures": [str(path) for path in sorted(run.pictures.glob("*.png"))],
        "drawn": drawn,
        "resume": command if run.status()["state"] != "done" else "",
    }
