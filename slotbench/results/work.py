"""Carries a run out: trains it, evaluates it, and goes on where it was left."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from slotbench.config.resolve import Choice, check_names, dataset_info, resolve
from slotbench.config.run_config import RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.splits import SHIFTED
from slotbench.datasets.prepare.preparation import locate
from slotbench.errors import UserError
from slotbench.evaluation.cache import Cache, file_hash, prune
from slotbench.evaluation.evaluate import GROUPS
from slotbench.evaluation.evaluate import evaluate as judge
from slotbench.evaluation.groups import chosen
from slotbench.files import write_json
from slotbench.progress import bar, say
from slotbench.results.models import built, trained
from slotbench.results.run import Run, find
from slotbench.results.stored import groups_left, last, left_to_do, merged
from slotbench.tracking import tracker as tracking
from slotbench.training import devices, launch
from slotbench.training.loop import Host, train


def start(choice: Choice, host: Host, data_dir: Path, results_dir: Path, *, evaluate: bool) -> Run:
    """Train what was chosen, or go on with it where it has been begun; returns the run."""
    check_names(choice)
    if choice.preset == "auto":
        choice = replace(choice, preset=preset_for(host.device))
        say(f"Preset: {choice.preset} (device {devices.describe(host.device)}).")
    with DatasetFile(locate(choice.dataset, data_dir)) as dataset:
        stored = {feature.name for feature in dataset.layout.features}
        told = tuple(_teacher_by_id(text, stored, results_dir) for text in choice.overrides)
        config = resolve(replace(choice, overrides=told), dataset_info(dataset))
        groups = GROUPS if evaluate else ()
        return carry_out(Run.of(config, results_dir), config, dataset, host, groups)


def _teacher_by_id(override: str, stored: Iterable[str], results_dir: Path) -> str:
    """Name a teacher that is a run of this folder by its id, so that the folder can be moved.

    ``stored`` are the features of the dataset's file, whose names come first.
    """
    field, _, named = override.partition("=")
    if not field.endswith(".teacher") or named in stored or named.startswith("timm:"):
        return override
    with suppress(UserError):
        run = find(named, results_dir)
        if run.results_dir == results_dir.resolve():
            return f"{field}={run.id}"
    return override


def preset_for(device: torch.device) -> str:
    """What the preset ``auto`` stands for on a device."""
    return "quick" if device.type == "cpu" else "base"


def resume(reference: str, host: Host, data_dir: Path, results_dir: Path, *, evaluate: bool) -> Run:
    """Go on with a run from its last checkpoint."""
    run = find(reference, results_dir)
    config = run.config()
    with open_dataset(config, data_dir) as dataset:
        return carry_out(run, config, dataset, host, GROUPS if evaluate else ())


def carry_out(
    run: Run, config: RunConfig, dataset: DatasetFile, host: Host, groups: tuple[str, ...]
) -> Run:
    """Do what is left to do of a run: training, and evaluation by these groups of metrics.

    :class:`slotbench.results.run.RunLocked` where another process holds the run.
    """
    run.create(config)
    status = run.status()
    # Several processes hold the run themselves: rank 0, which writes, has the lock.
    shared = host.processes > 1 and status["state"] not in ("done", "running")
    if shared:
        _say_where(run, status)
        launch.train(run, config, dataset, host)
    with run.lock():
        status = run.status()
        if status["state"] != "done":
            _say_where(run, status)
            train(run, built(run, config), config, dataset, host)
        elif not shared:
            say(f"This run is done already: {run.path}")
        if groups_left(run, groups):
            found = _judge(run, config, dataset, host, "test", groups)
            settings = tracking.flat(config.to_dict())
            tracked = tracking.Tracked(run.path, settings, run.status()["step"])
            tracking.tell_evaluation(host.trackers, tracked, found)
    if groups:
        say("Next, type: slotbench leaderboard")
    else:
        say(f"Next, type: slotbench evaluate {run.id}")
    return run


def _say_where(run: Run, status: dict[str, Any]) -> None:
    if status["state"] != "new":
        say(f"Going on from step {status['step']:,}: {run.path}")


def evaluate(
    run: Run,
    host: Host,
    data_dir: Path,
    *,
    split: str,
    metrics: str,
    force: bool = False,
    cached: bool = True,
) -> dict[str, Any]:
    """The run's evaluation, kept in ``evaluation.json``.

    Computes the named groups that are missing there or were computed by an older version;
    ``force`` computes all of them, and the passes of the core, anew. ``cached`` keeps the core's
    output for each split in the run's directory, for the next time.
    """
    groups = chosen(metrics)
    config = run.config()
    with open_dataset(config, data_dir) as dataset, run.lock():
        return _judge(run, config, dataset, host, split, groups, force=force, cached=cached)


def _judge(
    run: Run,
    config: RunConfig,
    dataset: DatasetFile,
    host: Host,
    split: str,
    groups: tuple[str, ...],
    *,
    force: bool = False,
    cached: bool = True,
) -> dict[str, Any]:
    # The leaderboard reads the test split; other splits are kept beside it.
    file = run.evaluation if split == "test" else run.path / f"evaluation-{split}.json"
    objective = trained(run, config).to(host.device)
    model = file_hash(run.model)
    before = last(file, dataset, split, config.seed, model)
    # Shifted test sets may join a file later, and are no part of its fingerprint.
    shifted = {role: dataset.digest(role) for role in dataset.splits if role.startswith(SHIFTED)}
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
    result = merged(before, {**result, "model": model, **({"shifted": judged} if judged else {})})
    write_json(file, result)
    prune(run.results_dir)
    return result


def open_dataset(config: RunConfig, data_dir: Path) -> DatasetFile:
    """The prepared file that a run was trained on; :class:`UserError` where it has changed."""
    path = locate(config.dataset.reference, data_dir)
    dataset = DatasetFile(path)
    if dataset.fingerprint != config.dataset.fingerprint:
        dataset.close()
        raise UserError(
            f"{path} is not the data that this run was trained on: its fingerprint is "
            f"{dataset.fingerprint[:12]}, the run's {config.dataset.fingerprint[:12]}.",
            "Name the folder of the right file with --data-dir.",
        )
    return dataset


def run_title(run: Run, config: RunConfig) -> str:
    """What stands above a run's pictures."""
    names = f"{config.names['core']} + {config.names['objective']}"
    names += f" ({config.alignment})" if config.alignment else ""
    data = f"{config.dataset.reference} ({config.dataset.origin})"
    return f"{names} on {data}, seed {config.seed}, step {run.status()['step']:,}: run {run.id}"
