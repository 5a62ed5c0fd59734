"""From a run to its modules: untrained, trained, or as the teacher of another run."""

from functools import partial
from pathlib import Path

from slotbench.config.run_config import RunConfig
from slotbench.cores.teachers import Teacher, timm_teacher
from slotbench.errors import UserError
from slotbench.objectives.objective import Objective
from slotbench.results.run import Run, find, read_model
from slotbench.training.build import build


def built(run: Run, config: RunConfig) -> Objective:
    """The untrained objective of a run; a teacher that is a run is in the same results folder."""
    return build(config, partial(load_teacher, results_dir=run.results_dir))


def trained(run: Run, config: RunConfig) -> Objective:
    """The objective of a finished run with its trained weights, for evaluation."""
    objective = built(run, config)
    objective.load_state_dict(read_model(run))
    return objective.eval()


def load_teacher(
    text: str,
    weights: Path | None = None,
    image_size: int = 224,
    *,
    results_dir: Path = Path("results"),
) -> Teacher:
    """``timm:MODEL``, or the directory or id of a run below ``results_dir``.

    A run's encoder sees the size that it was trained on; its features are those without
    coordinates. :class:`UserError` where there is no such model or run, or it has no weights.
    """
    if text.startswith("timm:"):
        return timm_teacher(text, weights, image_size)
    if weights is not None:
        raise UserError(f"{text}: a run has weights of its own.", "Leave the weights' file out.")
    run = find(text, results_dir)
    config = run.config()
    encoder = trained(run, config).core.encoder
    return Teacher(f"run-{config.id}", encoder, config.dataset.image_size, f"run {config.id}")
