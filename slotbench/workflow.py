"""What the commands do, for the command line and for scripts alike."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotbench import devices
from slotbench.config import RunConfig
from slotbench.datasets.prepare import locate
from slotbench.datasets.schema import DatasetFile
from slotbench.errors import UserError
from slotbench.evaluation.evaluate import GROUPS
from slotbench.evaluation.evaluate import evaluate as judge
from slotbench.files import read_json, write_json
from slotbench.progress import bar, say
from slotbench.registry import unknown
from slotbench.report.pictures import draw_slots
from slotbench.resolve import resolve
from slotbench.runs import Run, find
from slotbench.train import Host, trained
from slotbench.train import train as run_training

__all__ = ["Choice", "Host", "describe", "evaluate", "find", "host", "resume", "start"]


@dataclass(frozen=True)
class Choice:
    """What a user typed for ``train``."""

    dataset: str = "clevr"
    core: str = "slot-attention"
    objective: str = "reconstruction"
    alignment: str | None = None
    preset: str = "auto"
    seed: int = 0
    steps: int | None = None
    overrides: tuple[str, ...] = ()


def host(device: str, checkpoint_seconds: float = 120.0) -> Host:
    return Host(devices.choose(device), checkpoint_seconds)


def start(choice: Choice, host: Host, data_dir: Path, results_dir: Path, *, evaluate: bool) -> Run:
    """Train a configuration, or go on with it where it has been begun."""
    preset = choice.preset
    if preset == "auto":
        preset = "quick" if host.device.type == "cpu" else "base"
        say(f"Preset: {preset} (device {devices.describe(host.device)}).")
    with DatasetFile(locate(choice.dataset, data_dir)) as dataset:
        config = resolve(
            dataset, core=choice.core, objective=choice.objective, alignment=choice.alignment,
            preset=preset, seed=choice.seed, steps=choice.steps, overrides=choice.overrides,
        )  # fmt: skip
        return _finish(Run.of(config, results_dir), config, dataset, host, evaluate)


def resume(reference: str, host: Host, data_dir: Path, results_dir: Path, *, evaluate: bool) -> Run:
    """Go on with a run from its last checkpoint."""
    run = find(reference, results_dir)
    config = run.config()
    with open_dataset(config, data_dir) as dataset:
        return _finish(run, config, dataset, host, evaluate)


def _finish(run: Run, config: RunConfig, dataset: DatasetFile, host: Host, judged: bool) -> Run:
    status = run.status()
    if status["state"] == "done":
        say(f"This run is done already: {run.path}")
    else:
        if status["state"] != "new":
            say(f"Going on from step {status['step']:,}: {run.path}")
        run_training(run, config, dataset, host)
    if judged and not run.evaluation.is_file():
        _judge(run, config, dataset, host, "test", GROUPS)
    elif not judged:
        say(f"Next, type: slotbench evaluate {run.id}")
    if judged:
        say("Next, type: slotbench leaderboard")
    return run


def evaluate(run: Run, host: Host, data_dir: Path, *, split: str, metrics: str) -> dict[str, Any]:
    """The run's evaluation; computed anew for the groups named, kept in ``evaluation.json``."""
    groups = GROUPS if metrics == "all" else tuple(metrics.split(","))
    for group in groups:
        if group not in GROUPS:
            raise unknown("group of metrics", group, GROUPS)
    config = run.config()
    with open_dataset(config, data_dir) as dataset:
        return _judge(run, config, dataset, host, split, groups)


def _judge(
    run: Run, config: RunConfig, dataset: DatasetFile, host: Host, split: str, groups: Any
) -> dict[str, Any]:
    objective = trained(run, config).to(host.device)
    with bar("Evaluating", 1.0, count=False) as progress:
        result = judge(
            objective, dataset, split=split, seed=config.seed, device=host.device,
            groups=groups, progress=progress,
        )  # fmt: skip
    kept = _previous(run, result)
    result["metrics"] = {**kept.get("metrics", {}), **result["metrics"]}
    # The leaderboard reads the test split; other splits are kept beside it.
    name = run.evaluation if split == "test" else run.path / f"evaluation-{split}.json"
    write_json(name, result)
    return result


def _previous(run: Run, result: dict[str, Any]) -> dict[str, Any]:
    """The last evaluation, where it is of the same split, data, number of images and seed."""
    if not run.evaluation.is_file():
        return {}
    before: dict[str, Any] = read_json(run.evaluation)
    keys = ("schema", "split", "fingerprint", "resolution", "images", "objects", "slots", "seed")
    same = all(before.get(key) == result[key] for key in keys)
    return before if same else {}


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


def describe(run: Run, data_dir: Path, images: int) -> dict[str, Any]:
    """What ``show`` prints; draws pictures of test images where the run has a model."""
    config = run.config()
    evaluation = read_json(run.evaluation) if run.evaluation.is_file() else None
    if run.model.is_file():
        with open_dataset(config, data_dir) as dataset:
            draw_slots(
                trained(run, config), dataset, "test", range(images),
                run.pictures / "test.png", devices.choose("cpu"),
            )  # fmt: skip
    command = f"slotbench train --resume {shlex.quote(str(run.path))}"
    return {
        "run": str(run.path),
        "config": config.to_dict(),
        "status": run.status(),
        "evaluation": evaluation,
        "pictures": [str(path) for path in sorted(run.pictures.glob("*.png"))],
        "resume": command if run.status()["state"] != "done" else "",
    }
