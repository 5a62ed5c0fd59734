"""A run on data that it was not trained on: another dataset, size or number of slots."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slotbench.config.resolve import dataset_info
from slotbench.config.run_config import RunConfig
from slotbench.cores.core import Core
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.schema import Batch
from slotbench.datasets.originals.images import resize
from slotbench.errors import UserError
from slotbench.progress import say
from slotbench.results.leaderboard.records import TRANSFER
from slotbench.results.models import set_slots
from slotbench.results.run import Run


class ResizedImages(DatasetFile):
    """A prepared dataset whose images are read at another size; its masks keep their own."""

    def __init__(self, path: Path, side: int) -> None:
        self.side = side
        super().__init__(path)

    def read(
        self,
        split: str,
        start: int = 0,
        stop: int | None = None,
        keys: tuple[str, ...] | None = None,
    ) -> Batch:
        """As of a dataset; ``image`` is uint8 (n, side, side, 3)."""
        batch = super().read(split, start, stop, keys)
        if "image" in batch and batch["image"].shape[1:3] != (self.side, self.side):
            size, images = (self.side, self.side), batch["image"]
            made = [resize(image, size, "average") for image in images]
            batch["image"] = np.stack(made) if made else images[:, : self.side, : self.side]
        return batch


@dataclass(frozen=True)
class Transfer:
    """The data that a run is judged on, and with how many slots; none: as the data ask for."""

    dataset: DatasetFile
    slots: int | None

    def adapt(self, core: Core) -> int:
        """Give the core its slots, and return how many: one more than the data have objects.

        A core whose weights hold a number keeps it; :class:`UserError` where another is asked for.
        """
        count = self.dataset.layout.objects + 1 if self.slots is None else self.slots
        if self.slots is None and not core.any_slots:
            say(f"The core keeps the {core.num_slots} slots that its weights hold.")
            count = core.num_slots
        set_slots(core, count)
        return count

    def file(self, run: Run, split: str, slots: int) -> Path:
        """Where the evaluation is kept; the leaderboard reads those of the test split."""
        folder = run.path / TRANSFER
        if folder.is_symlink():
            raise UserError(f"{folder} is a link; slotbench writes into a folder of the run.")
        folder = folder if split == "test" else folder / split
        folder.mkdir(parents=True, exist_ok=True)
        data = self.dataset.recipe or self.dataset.fingerprint
        return folder / f"{data[:12]}-{slots}.json"

    def facts(self, slots: int) -> dict[str, Any]:
        """What the evaluation says of it."""
        info = asdict(dataset_info(self.dataset))
        del info["layout"]
        return {"transfer": {"dataset": info, "slots": slots}}


def is_own(dataset: DatasetFile, config: RunConfig, slots: int | None) -> bool:
    """Whether this is the data that the run was trained on, with as many slots."""
    same = dataset.fingerprint == config.dataset.fingerprint
    return same and slots in (None, config.sections["core"].slots)
