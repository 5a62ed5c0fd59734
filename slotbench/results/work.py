"""Trains and evaluates a run, or continues it."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from slotbench.config.resolve import (
    Choice,
    check_names,
    dataset_info,
    kinds_of,
    resolve,
    tuned_settings,
)
from slotbench.config.run_config import DatasetInfo, RunConfig
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.loader import checked_size
from slotbench.datasets.format.places import locate
from slotbench.errors import RunLocked, SlotbenchError, UserError
from slotbench.objectives.objective import Objective
from slotbench.progress import say
from slotbench.results.models import built, open_dataset
from slotbench.results.run import Run
from slotbench.training import devices
from slotbench.training.distributed import agree, check_batch, first_rank, gone, launched, meeting
from slotbench.training.loop import Host, train


def start(
    choice: Choice,
    host: Host,
    data_dir: Path,
    results_dir: Path,
    *,
    evaluate: bool,
    init: str | None = None,
) -> Run:
    """Train the choice, or continue its run; ``init`` is the run whose weights it starts from."""
    check_names(choice)
    with DatasetFile(locate(choice.dataset, data_dir)) as dataset:
        if choice.preset == "auto":
            choice = replace(choice, preset=_preset(choice, host, dataset_info(dataset)))
            if first_rank():
                say(f"Preset: {choice.preset} (device {devices.describe(host.device)}).")
        stored = {feature.name for feature in dataset.layout.features}
        told = tuple(_teacher_by_id(text, stored, results_dir) for text in choice.overrides)
        config = resolve(replace(choice, overrides=told), dataset_info(dataset))
        if init is not None:
            from slotbench.results.earlier import started_from
            from slotbench.results.finding import find

            config = started_from(config, find(init, results_dir), results_dir)
        return begin(Run.of(config, results_dir), config, dataset, host, evaluate=evaluate)


def _teacher_by_id(override: str, stored: Iterable[str], results_dir: Path) -> str:
    """The override with the id of a teacher that is a run of this folder, which may be moved.

    Names of ``stored`` features take precedence.
    """
    field, _, named = override.partition("=")
    if not field.endswith(".teacher") or named in stored or named.startswith("timm:"):
        return override
    from slotbench.results.finding import find

    with suppress(UserError):
        run = find(named, results_dir)
        if run.results_dir == results_dir.resolve():
            return f"{field}={run.id}"
    return override


def _preset(choice: Choice, host: Host, info: DatasetInfo) -> str:
    """The device's preset, or ``tuned`` where settings were tuned on the dataset with it."""
    preset = preset_for(host.device)
    key, known = tuned_settings(choice, info)
    return "tuned" if key in known and known[key].tuned.preset == preset else preset


def preset_for(device: torch.device) -> str:
    """The preset ``auto`` on a device."""
    return "quick" if device.type == "cpu" else "base"


def resume(
    reference: str,
    host: Host,
    data_dir: Path,
    results_dir: Path,
    *,
    evaluate: bool,
    steps: int | None = None,
) -> Run:
    """Continue a run from its last checkpoint; with ``steps``, extend a finished one.

    The extension is a new run (:mod:`slotbench.results.earlier`).
    """
    from slotbench.results.finding import find

    run = find(reference, results_dir)
    if run.bundled:
        raise UserError(
            f"--resume {run.id}: this run is published; its checkpoint is not.",
            f"To start from its weights, type: slotbench train --init {run.id}",
        )
    config = run.config()
    if (edited := run.edited(config)) and (steps is not None or run.status()["state"] != "done"):
        raise UserError(
            f"--resume {run.id}: {edited} has changed since the run began.",
            "Put it back as it was, or train anew, without --resume.",
        )
    if steps is not None:
        from slotbench.results.earlier import extension

        run, config = extension(run, config, steps)
    with open_dataset(config, data_dir) as dataset:
        return begin(run, config, dataset, host, evaluate=evaluate)


def begin(run: Run, config: RunConfig, dataset: DatasetFile, host: Host, *, evaluate: bool) -> Run:
    """:func:`carry_out`; an error before the first step leaves no directory."""
    new = not run.path.exists()
    groups: tuple[str, ...] = ()
    if evaluate:
        from slotbench.evaluation.groups import default_groups

        groups = default_groups()
    try:
        return carry_out(run, config, dataset, host, groups)
    except RunLocked:  # the directory belongs to another process
        raise
    except UserError:
        if new:
            run.discard()
        raise


def carry_out(
    run: Run, config: RunConfig, dataset: DatasetFile, host: Host, groups: tuple[str, ...]
) -> Run:
    """Train what is left of a run, and evaluate it by these groups of metrics.

    :class:`RunLocked` where another process holds the run.
    """
    if groups and not dataset.size("test"):
        raise UserError(
            f"{dataset.path}: 'test' holds no images to evaluate.",
            "Prepare it with some, or add --no-evaluate.",
        )
    if not run.status_file.exists():
        check_data(config, dataset)
    run.create(config)
    if config.extended and first_rank():
        from slotbench.results.earlier import go_on_from_earlier

        with run.lock():
            go_on_from_earlier(run, config)
    before = run.status()
    # Of several processes, rank 0 locks the run itself.
    if placed := launched():
        _train_with_others(run, config, dataset, host, placed)
        if placed[0]:
            return run
    elif host.processes > 1 and before["state"] not in ("done", "running"):
        _say_where(run, before)
        from slotbench.training import launch

        launch.train(run, config, dataset, host)
    with run.lock():
        status = run.status()
        # A finished run whose model was removed gets it again from its checkpoint.
        if status["state"] != "done" or not run.model.is_file():
            _say_where(run, status)
            train_run(run, config, dataset, host)
        elif before["state"] == "done":
            say(f"This run is done already: {run.path}")
        if not groups:
            return run
        from slotbench.results.stored import groups_left

        if groups_left(run, groups):
            from slotbench.results.judge import judge_run
            from slotbench.tracking import tracker

            found = judge_run(run, config, dataset, host, "test", groups)
            settings = tracker.flat(config.to_dict())
            tracked = tracker.Tracked(run.path, settings, run.status()["step"])
            tracker.tell_evaluation(host.trackers, tracked, found)
    return run


def check_data(config: RunConfig, dataset: DatasetFile) -> None:
    """:class:`UserError` where train gives no batch, or val no loss.

    Of a single image, a loss that compares images would be 0 or NaN.
    """
    kinds = kinds_of(str(config.names["objective"])).values()
    temporal = any(kind.temporal for kind in kinds)
    frames = sum(kind.views for kind in kinds) if temporal else 1
    checked_size(dataset, "train", config.train.batch_size, frames)
    count = checked_size(dataset, "val", 1, frames)
    if count == 1 and any(kind.compares_images for kind in kinds):
        raise UserError(
            f"{dataset.path}: 'val' has only one {'clip' if temporal else 'image'}, and the "
            "objective compares those of a batch.",
            "Prepare it with more, for example: --val 500",
        )


def train_run(run: Run, config: RunConfig, dataset: DatasetFile, host: Host) -> None:
    """Train a run from its last step, or from the best of its starts."""
    objective, spent = begun(run, config, dataset, host)
    train(run, objective, config, dataset, host, spent)


def begun(run: Run, config: RunConfig, dataset: DatasetFile, host: Host) -> tuple[Objective, float]:
    """The objective of a run, and the seconds that its starts took."""
    if config.train.starts == 1 or run.checkpoint.is_file():
        return built(run, config), 0.0
    from slotbench.results.starts import best

    return best(run, config, dataset, host)


def _train_with_others(
    run: Run, config: RunConfig, dataset: DatasetFile, host: Host, placed: tuple[int, int, int]
) -> None:
    """Train as one of the processes that torchrun, Ray Train or srun has started.

    They share the results folder. :class:`SlotbenchError` where another process is lost.
    """
    rank, world, local = placed
    if host.processes > 1:
        raise UserError("--gpus: the launcher has started all processes.", "Leave it out.")
    check_batch(config.train.batch_size, world)
    device = torch.device("cuda", local) if host.device.type == "cuda" else host.device
    host = replace(host, device=device, processes=world)
    try:
        with meeting(device):
            _, done = agree(0.0, rank == 0 and run.status()["state"] == "done")
            if not done:
                train_run(run, config, dataset, host)
    except RuntimeError as error:
        if not gone(error):
            raise
        raise SlotbenchError(
            f"Rank {rank} of {world} has lost another rank, and ends.",
            "Start all of them again: the run goes on from its last checkpoint.",
        ) from error


def _say_where(run: Run, status: dict[str, Any]) -> None:
    if status["state"] != "new":
        step = status["step"] if run.checkpoint.is_file() else 0
        say(f"Going on from step {step:,}: {run.path}")
