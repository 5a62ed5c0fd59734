"""``train --init`` and ``train --resume RUN --steps N``: new runs that follow an earlier one.

The earlier run does not change.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from slotbench.config.run_config import RunConfig, with_steps
from slotbench.errors import UserError
from slotbench.files import read_bytes, sha256_of, write_whole
from slotbench.results.finding import find
from slotbench.results.run import Run, not_finite, read_model
from slotbench.training import checkpoint


def started_from(config: RunConfig, earlier: Run, results_dir: Path) -> RunConfig:
    """The configuration of a run that starts from the weights of ``earlier``.

    :class:`UserError` where that run has another core or encoder, or no trained weights.
    """
    before = earlier.config()
    for section in ("core", "encoder"):
        if before.names[section] != config.names[section]:
            raise UserError(
                f"--init {earlier.id}: its {section} is {before.names[section]!r}, this run's is "
                f"{config.names[section]!r}.",
                "A run can start only from one with the same core and encoder.",
            )
    objective, dataset = str(before.names["objective"]), before.dataset.reference
    _weights(earlier, whole=objective == config.names["objective"])
    here = earlier.bundled or earlier.results_dir == results_dir.resolve()
    init = {
        "run": earlier.id if here else str(earlier.path.resolve()),
        "model": sha256_of(earlier.model),
        "objective": objective,
        "dataset": dataset,
    }
    overrides = {**config.overrides, "init": f"{objective} on {dataset}"}
    return replace(config, init=init, overrides=overrides)


def starting_weights(config: RunConfig, results_dir: Path) -> Mapping[str, Tensor]:
    """The weights that a run starts from: the core's, and the objective's if it is the same.

    :class:`UserError` where the earlier run is gone or was trained again.
    """
    earlier = find(config.init["run"], results_dir, published=True)
    state = _weights(earlier, whole=config.init["objective"] == config.names["objective"])
    if sha256_of(earlier.model) != config.init["model"]:
        raise UserError(
            f"{earlier.model} has changed since this run was configured: its sha256 differs.",
            "Put back the file, or type --init again for another run.",
        )
    return state


def _weights(earlier: Run, *, whole: bool) -> dict[str, Tensor]:
    """The weights of a run, or its core's alone; :class:`UserError` where one is not finite."""
    state = read_model(earlier, finite=False)
    if not whole:
        state = {name: value for name, value in state.items() if name.startswith("core.")}
    if name := not_finite(state):
        raise UserError(
            f"--init {earlier.id}: its weights are not finite: {name} in {earlier.model} holds "
            "NaN or infinite values.",
            "Its training diverged, or the file is damaged. Name another run, or train it again.",
        )
    return state


def extension(run: Run, config: RunConfig, steps: int) -> tuple[Run, RunConfig]:
    """A run that extends a finished one to ``steps`` steps, and its configuration.

    All schedules are those of a run of ``steps`` steps. :class:`UserError` where the run is not
    finished, has a budget, or has as many steps.
    """
    status = run.status()
    if status["state"] != "done":
        raise UserError(
            f"--steps {steps}: {run.path} is {status['state']}; only a finished run is extended.",
            f"Type: slotbench train --resume {run.typed}",
        )
    if config.train.budget:
        budget = config.train.budget
        raise UserError(f"--steps {steps}: a run of the budget {budget} cannot be extended.")
    if status["step"] < 1:
        raise UserError(f"--steps {steps}: this objective trains nothing.")
    if steps <= status["step"]:
        raise UserError(f"--steps {steps}: the run has {status['step']:,} already; expected more.")
    train = with_steps(config.train, steps)
    overrides = {**config.overrides, "train.steps": steps, "extended": status["step"]}
    longer = replace(
        config,
        sections={**config.sections, "train": train},
        overrides=overrides,
        extended={"run": run.id, "step": status["step"]},
    )
    folder = run.results_dir if run.path.is_absolute() else Path(os.path.relpath(run.results_dir))
    return Run.of(longer, folder), longer


def go_on_from_earlier(run: Run, config: RunConfig) -> None:
    """Copy checkpoint and metrics of the earlier run into an extended one, which is locked.

    :class:`UserError` where the earlier run is gone or has changed.
    """
    if run.checkpoint.is_file():
        return
    earlier, step = find(config.extended["run"], run.results_dir), config.extended["step"]
    if not earlier.checkpoint.is_file():
        raise UserError(f"{earlier.path} has no checkpoint to go on from.")
    saved = checkpoint.load(earlier.checkpoint, earlier.config())
    if saved.step != step:
        raise UserError(f"{earlier.checkpoint} is of step {saved.step:,}, expected {step:,}.")
    metrics = earlier.path / "metrics.jsonl"
    write_whole(run.path / "metrics.jsonl", read_bytes(metrics) if metrics.is_file() else b"")
    facts = {"step": step, "steps": config.train.steps, "seconds": saved.seconds}
    extended = dict(config.extended)
    run.write_status("interrupted", f"goes on from {earlier.id}", **facts, extended=extended)
    # Last: without a checkpoint, an interrupted copy starts again.
    replace(saved, run_id=config.id).save(run.checkpoint)
