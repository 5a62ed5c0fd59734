"""Builds the modules of a run and opens its dataset."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slotbench import registry
from slotbench.config.run_config import DatasetInfo, RunConfig
from slotbench.cores.core import Core
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.errors import UserError
from slotbench.files import typed
from slotbench.objectives.objective import Objective
from slotbench.progress import warn
from slotbench.results.run import Run, read_model
from slotbench.training.build import build, fill

SEEDS = 10
"""The number of seeds that are tried to find the seed of a run's rendered data."""
if TYPE_CHECKING:
    from slotbench.cores.teachers import Teacher


def built(run: Run, config: RunConfig, number: int = 0) -> Objective:
    """The untrained objective of a run, with the weights of ``--init``.

    ``number`` counts the starts (:mod:`slotbench.results.starts`).
    """
    start = None
    if config.init and not run.checkpoint.is_file():
        from slotbench.results.earlier import starting_weights

        start = starting_weights(config, run.results_dir)
    return build(config, partial(load_teacher, results_dir=run.results_dir), start, number)


def trained(run: Run, config: RunConfig) -> Objective:
    """The objective of a finished run with its trained weights, for evaluation."""
    if edited := run.edited(config):
        warn(f"{edited} has changed since {run.id} was trained: its numbers may differ.")
    objective = build(config, partial(load_teacher, results_dir=run.results_dir))
    state = read_model(run)
    try:
        fill(objective, state)
    except RuntimeError as error:
        why = " ".join(str(error).split())[:300]
        advice = f"Put back that file, or remove it and type: slotbench train --resume {run.typed}"
        raise UserError(f"{run.model} does not fit config.json: {why}.", advice) from error
    return objective.eval()


def set_slots(core: Core, slots: int) -> None:
    """Set a core's number of slots; :class:`UserError` where its weights fix another."""
    if slots == core.num_slots:
        return
    if not core.any_slots:
        raise UserError(
            f"--slots {slots}: the weights of this core hold {core.num_slots} slots.",
            "Leave --slots out.",
        )
    try:
        core.config = replace(core.config, slots=slots)
    except ValueError as error:
        raise UserError(f"--{error}.") from error


def load_teacher(
    text: str,
    weights: Path | None = None,
    image_size: int = 224,
    *,
    results_dir: Path = Path("results"),
) -> "Teacher":
    """A teacher: ``timm:MODEL``, or the encoder of a run, by its directory or id.

    A run's encoder sees images of the size that it was trained on. :class:`UserError` if there is
    no such model or run, or it has no weights.
    """
    from slotbench.cores.teachers import Teacher, timm_teacher

    if text.startswith("timm:"):
        return timm_teacher(text, weights, image_size)
    if weights is not None:
        raise UserError(f"{text}: a run has weights of its own.", "Leave the weights' file out.")
    from slotbench.results.finding import find

    run = find(text, results_dir)
    config = run.config()
    encoder = trained(run, config).core.encoder
    return Teacher(f"run-{config.id}", encoder, config.dataset.image_size, f"run {config.id}")


def open_dataset(config: RunConfig, data_dir: Path, *, alike: bool = False) -> DatasetFile:
    """The prepared file that a run was trained on; :class:`UserError` if it has changed.

    ``alike`` also accepts data of the same recipe, where single pixels may differ.
    """
    info = config.dataset
    try:
        path = locate(info.reference, data_dir)
    except UserError as error:
        raise UserError(error.message, f"Type: {_preparing(info, data_dir)}") from error
    dataset = DatasetFile(path)
    rendered = bool(dataset.recipe) and dataset.recipe == info.recipe
    if dataset.fingerprint != info.fingerprint and not (alike and rendered):
        dataset.close()
        other = data_dir / info.fingerprint[:8]
        made = f"Type: {_preparing(info, other)}, then add{typed('data', other)} here."
        raise UserError(
            f"{path} is not the data of the training: its fingerprint is "
            f"{dataset.fingerprint[:12]}, expected {info.fingerprint[:12]}.",
            "Name the folder of the right file with --data-dir." if rendered else made,
        )
    return dataset


def _preparing(info: DatasetInfo, data_dir: Path) -> str:
    """The command that makes the data of a run; names the options that are not known."""
    from slotbench.datasets.format.digests import RECIPE, recipe_of

    kind = registry.get("datasets", info.name).load()
    made, unknown = kind(info.variant, info.image_size, 0), ""
    words = f"slotbench prepare {info.name}"
    words += f":{info.variant}" if info.variant != made.variants[0] else ""
    words += f" --image-size {info.image_size}" if info.image_size != kind.image_size else ""
    if info.origin == "rendered":
        facts = {key: getattr(made, key) for key in RECIPE} | {"generator": made.made_by}
        for seed in range(SEEDS):
            if recipe_of({**facts, "seed": seed}, made.layout, made.sizes) == info.recipe:
                words += f" --seed {seed}" if seed else ""
                break
        else:
            unknown = " and its --train, --val, --test and --seed, where they were not the defaults"
    else:
        words += " --download" if made.downloads() else " --from FILE"
    return words + typed("data", data_dir) + unknown


def run_title(run: Run, config: RunConfig) -> str:
    """The title of a run's pictures."""
    names = f"{config.names['core']} + {config.names['objective']}"
    names += f" ({config.alignment})" if config.alignment else ""
    data = f"{config.dataset.reference} ({config.dataset.origin})"
    return f"{names} on {data}, seed {config.seed}, step {run.status()['step']:,}: run {run.id}"
