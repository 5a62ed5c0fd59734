"""Evaluates a run, also on data that it was not trained on, and keeps the result."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from slotbench.config.resolve import dataset_info
from slotbench.config.run_config import RunConfig
from slotbench.cores.core import Core
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.datasets.format.schema import SHIFTED, Batch
from slotbench.datasets.originals.images import resize
from slotbench.errors import UserError
from slotbench.evaluation.evaluate import evaluate as judge
from slotbench.evaluation.groups import chosen
from slotbench.evaluation.pass_cache import Cache, prune
from slotbench.fields import Names
from slotbench.files import sha256_of, write_json
from slotbench.progress import bar, say
from slotbench.results.leaderboard.records import TRANSFER
from slotbench.results.models import open_dataset, set_slots, trained
from slotbench.results.run import Run
from slotbench.results.stored import last, left_to_do, merged
from slotbench.training.loop import Host


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


def evaluate(
    run: Run,
    host: Host,
    data_dir: Path,
    *,
    split: str,
    metrics: Names,
    force: bool = False,
    cached: bool = True,
    dataset: str | Path | None = None,
    slots: int | None = None,
) -> dict[str, Any]:
    """The run's evaluation, stored in ``evaluation.json``.

    Computes the groups of ``metrics`` that are missing there or have an older version. ``force``
    computes all of them, and the core's output, again. ``cached`` keeps the core's output for
    each split in the run's directory.

    ``dataset`` is other data, a name or a file with images of any size. The run is judged on it
    with ``slots`` slots, and the evaluation is stored in ``transfer/``.
    """
    groups = chosen(metrics)
    config = run.config()
    if dataset is not None:
        path = locate(dataset, data_dir)
        with ResizedImages(path, config.dataset.image_size) as other, run.lock():
            same = other.fingerprint == config.dataset.fingerprint
            own = same and slots in (None, config.sections["core"].slots)
            facts = (run, config, other, host, split, groups)
            return judge_run(*facts, force=force, elsewhere=not own, slots=slots)
    if slots is not None:
        raise UserError(f"--slots {slots} goes with --dataset.", "Type --dataset too.")
    with open_dataset(config, data_dir) as trained_on, run.lock():
        return judge_run(run, config, trained_on, host, split, groups, force=force, cached=cached)


def judge_run(
    run: Run,
    config: RunConfig,
    dataset: DatasetFile,
    host: Host,
    split: str,
    groups: tuple[str, ...],
    *,
    force: bool = False,
    cached: bool = True,
    elsewhere: bool = False,
    slots: int | None = None,
) -> dict[str, Any]:
    """:func:`evaluate` by a caller that has the configuration, the data and the run's lock.

    ``elsewhere``: the run was not trained on this data, or with another number of slots.
    """
    dataset.size(split)  # a split that does not exist has no file either
    objective = trained(run, config).to(host.device)
    # The leaderboard reads the test split; other splits are kept beside it.
    file = run.evaluation if split == "test" else run.path / f"evaluation-{split}.json"
    extra: dict[str, Any] = {}
    if elsewhere:
        file, extra = _transfer(run, objective.core, dataset, split, slots)
        cached = False
    model = sha256_of(run.model)
    before = last(file, dataset, split, config.seed, model)
    # Shifted test sets may join a file later, and are no part of its fingerprint.
    shifted = {
        role: dataset.manifest.get(role, "") for role in dataset.splits if role.startswith(SHIFTED)
    }
    stale = ["shifts"] if before.get("shifted", {}) != shifted else []
    if split in shifted and stale:
        stale = list(groups)
    left = groups if force else left_to_do(before, groups, stale)
    if not left:
        say(f"{run.id}: nothing is missing. To compute it again, add --force.")
        return before
    key: dict[str, str | int] = {
        "model": model,
        "fingerprint": dataset.fingerprint,
        "seed": config.seed,
        "core": objective.core.version,
        "objective": objective.version,
    }
    cache = Cache(run.path / "cache", key, say, shifted) if cached else None
    if cache is not None and force:
        cache.clear()
    with bar("Evaluating", 1.0, count=False) as progress:
        result = judge(
            objective,
            dataset,
            split=split,
            seed=config.seed,
            device=host.device,
            groups=left,
            progress=progress,
            cache=cache,
        )
    judged = shifted if {"shifts", *stale} & set(left) else before.get("shifted", {})
    extra |= {"shifted": judged} if judged else {}
    result = merged(before, {**result, "model": model, **extra})
    write_json(file, result)
    prune(run.results_dir)
    return result


def _transfer(
    run: Run, core: Core, dataset: DatasetFile, split: str, slots: int | None
) -> tuple[Path, dict[str, Any]]:
    """The file of an evaluation on other data, and its field ``transfer``.

    Sets the core's number of slots; None: objects + 1, unless its weights fix the number.
    :class:`UserError` where they fix another one than ``slots``.
    """
    count = dataset.layout.objects + 1 if slots is None else slots
    if slots is None and not core.any_slots:
        say(f"The core keeps the {core.num_slots} slots that its weights hold.")
        count = core.num_slots
    set_slots(core, count)
    # The leaderboard reads the files of the test split.
    folder = run.path / TRANSFER / ("" if split == "test" else split)
    folder.mkdir(parents=True, exist_ok=True)
    info = asdict(dataset_info(dataset))
    del info["layout"]
    file = folder / f"{(dataset.recipe or dataset.fingerprint)[:12]}-{count}.json"
    return file, {"transfer": {"dataset": info, "slots": count}}
