"""Evaluates a run and keeps the result in its directory."""

from pathlib import Path
from typing import Any

from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.datasets.format.schema import SHIFTED
from slotbench.errors import UserError
from slotbench.evaluation.evaluate import evaluate as judge
from slotbench.evaluation.frozen_pass import Cache, prune
from slotbench.evaluation.groups import chosen
from slotbench.files import sha256_of, write_json
from slotbench.progress import bar, say
from slotbench.results.models import open_dataset, trained
from slotbench.results.run import Run
from slotbench.results.stored import last, left_to_do, merged
from slotbench.results.transfer import ResizedImages, Transfer, is_own
from slotbench.training.loop import Host


def evaluate(
    run: Run,
    host: Host,
    data_dir: Path,
    *,
    split: str,
    metrics: str,
    force: bool = False,
    cached: bool = True,
    dataset: str | None = None,
    slots: int | None = None,
) -> dict[str, Any]:
    """The run's evaluation, kept in ``evaluation.json``.

    Computes the named groups that are missing there or were computed by an older version;
    ``force`` computes all of them, and the passes of the core, anew. ``cached`` keeps the core's
    output for each split in the run's directory, for the next time.

    With ``dataset``, a name or a file, the run is judged on that data, of whatever size, with
    ``slots`` slots; the evaluation is kept in ``transfer/``.
    """
    groups = chosen(metrics)
    config = run.config()
    if dataset is not None:
        path = locate(dataset, data_dir)
        with ResizedImages(path, config.dataset.image_size) as other, run.lock():
            elsewhere = None if is_own(other, config, slots) else Transfer(other, slots)
            return judge_run(
                run, config, other, host, split, groups, force=force, transfer=elsewhere
            )
    if slots is not None:
        raise UserError(f"--slots {slots}: on which data?", "Type --dataset too.")
    with open_dataset(config, data_dir) as own, run.lock():
        return judge_run(run, config, own, host, split, groups, force=force, cached=cached)


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
    transfer: Transfer | None = None,
) -> dict[str, Any]:
    """:func:`evaluate` by a caller that has the configuration, the data and the run's lock."""
    dataset.size(split)  # a split that does not exist has no file either
    objective = trained(run, config).to(host.device)
    # The leaderboard reads the test split; other splits are kept beside it.
    file = run.evaluation if split == "test" else run.path / f"evaluation-{split}.json"
    extra: dict[str, Any] = {}
    if transfer is not None:
        slots = transfer.adapt(objective.core)
        file, extra, cached = transfer.file(run, split, slots), transfer.facts(slots), False
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
