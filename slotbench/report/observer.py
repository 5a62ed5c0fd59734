"""Watches a run while it trains: passes its numbers to the trackers and draws its slots."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.objectives.objective import Objective


class Watcher:
    """The observer of one run: see :class:`slotbench.training.loop.Observer`."""

    def __init__(self, trackers: tuple[str, ...], path: Path, config: RunConfig, step: int) -> None:
        self.pictures = path / "pictures"
        self.trackers: Any = None
        if trackers:
            from slotbench.tracking.tracker import Tracked, Trackers, flat

            self.trackers = Trackers(trackers, Tracked(path, flat(config.to_dict()), step))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Pass the numbers of a step on to every tracker."""
        if self.trackers is not None:
            self.trackers.log(step, values)

    def picture(self, objective: Objective, dataset: DatasetFile, step: int) -> None:
        """Draw the slots of the first validation images."""
        from slotbench.report.pictures import draw_slots

        self.pictures.mkdir(exist_ok=True)
        device = next(objective.parameters()).device
        draw_slots(
            objective, dataset, "val", range(4), self.pictures / f"val-{step:07d}.png", device
        )

    def close(self, state: str) -> None:
        """End the trackers' runs in this state."""
        if self.trackers is not None:
            self.trackers.close(state)
