"""``slotbench evaluate`` for what was not trained here: a file of predictions, or a baseline."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.errors import UserError
from slotbench.evaluation import baselines
from slotbench.evaluation import groups as metrics
from slotbench.evaluation.external import LIMITS, evaluate_given
from slotbench.evaluation.masked import from_baseline, from_file
from slotbench.evaluation.prediction_file import open_predictions
from slotbench.evaluation.predictions import ARRAYS, SOURCES, Notes, Source, plan
from slotbench.evaluation.representations import Representations
from slotbench.progress import bar, say
from slotbench.registry import unknown
from slotbench.results import entries
from slotbench.results.stored import last, left_to_do, merged

READING = 0.3
"""The share of the bar for reading a file; only the bar uses it."""


@dataclass(frozen=True)
class Request:
    """What a user typed beside the file or the baseline."""

    dataset: str
    metrics: str = "all"
    seed: int = 0
    data_dir: Path = Path("data")
    results_dir: Path = Path("results")
    force: bool = False
    """Whether to compute what is there already, too."""


def evaluate_predictions(
    path: Path, name: str, request: Request, *, mask_source: str = "attention"
) -> tuple[Path, dict[str, Any]]:
    """Judge a file of predictions; returns the entry's directory and its evaluation.

    ``mask_source`` says what the arrays named ``masks`` are: ``attention`` or ``decoder``.
    :class:`UserError` where the file is not as docs/predictions.md says; nothing is stored then.
    """
    name, groups = entries.check_name(name), metrics.chosen(request.metrics)
    if mask_source not in SOURCES:
        raise unknown("mask source", mask_source, SOURCES)
    source, notes = cast(Source, mask_source), Notes()
    with (
        DatasetFile(locate(request.dataset, request.data_dir)) as dataset,
        open_predictions(path, ARRAYS) as file,
    ):
        given = plan(file, dataset, LIMITS, source, notes)
        _say_source(given["test"].masks, source, notes)
        config: dict[str, Any] = {
            "kind": "external",
            "name": name,
            "seed": request.seed,
            "dataset": _dataset_info(dataset),
            "source": {
                "file": path.name,
                "sha256": entries.sha256_of(path),
                "mask_source": mask_source,
                "arrays": {key: str(info) for key, info in file.arrays.items()},
            },
        }
        before = entries.previous(config, request.results_dir)
        if before is not None and before["source"]["sha256"] != config["source"]["sha256"]:
            say(f"This replaces {name!r}, seed {request.seed}, that was made from another file.")
        model = f"{config['source']['sha256']} {mask_source}"
        done, left = _left(config, request, dataset, model, groups)
        if not left:
            return entries.directory(config, request.results_dir), done
        with bar("Evaluating", 1.0, count=False) as progress:
            splits: dict[str, Representations] = {}
            for index, (split, part) in enumerate(given.items()):
                splits[split] = from_file(file, part, dataset, notes)
                progress(READING * (index + 1) / len(given), 1.0)
            result = evaluate_given(
                splits,
                dataset,
                seed=request.seed,
                groups=left,
                progress=lambda done, _: progress(READING + (1 - READING) * done, 1.0),
            )
    result = merged(done, {**result, "model": model})
    for line in notes.lines:
        say(f"{path.name}: {line}.")
    return entries.store(
        config, result, list(notes.lines), request.results_dir, torch.get_num_threads()
    ), result


def _left(
    config: dict[str, Any],
    request: Request,
    dataset: DatasetFile,
    model: str,
    groups: tuple[str, ...],
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The evaluation of the same predictions that is there, and the groups it lacks."""
    file = entries.directory(config, request.results_dir) / "evaluation.json"
    done = last(file, dataset, "test", request.seed, model)
    left = groups if request.force else left_to_do(done, groups)
    if not left:
        say(f"{config['name']}: nothing is missing. To compute it again, add --force.")
    return done, left


def _say_source(masks: dict[str, str], source: Source, notes: Notes) -> None:
    if masks.get(source) == "masks":
        other = next(kind for kind in SOURCES if kind != source)
        notes.add(f"masks: taken for {source} masks (else: --mask-source {other})")


def evaluate_baseline(
    baseline: str, request: Request, *, slots: int | None = None
) -> tuple[Path, dict[str, Any]]:
    """Judge a trivial masker, with the slots that cores have unless ``slots`` says otherwise."""
    if baseline not in baselines.BASELINES:
        raise unknown("baseline", baseline, tuple(baselines.BASELINES))
    groups = metrics.chosen(request.metrics)
    with DatasetFile(locate(request.dataset, request.data_dir)) as dataset:
        count = dataset.layout.objects + 1 if slots is None else slots
        config: dict[str, Any] = {
            "kind": "baseline",
            "name": f"baseline:{baseline}",
            "seed": request.seed,
            "slots": count,
            "version": baselines.VERSION,
            "dataset": _dataset_info(dataset),
        }
        model = f"{baseline} {baselines.VERSION}, {count} slots"
        done, left = _left(config, request, dataset, model, groups)
        if not left:
            return entries.directory(config, request.results_dir), done
        with bar("Evaluating", 1.0, count=False) as progress:
            made = from_baseline(
                baseline,
                dataset,
                "test",
                LIMITS["test"],
                count,
                seed=request.seed,
                progress=lambda done, total: progress(0.9 * done / total, 1.0),
            )
            result = evaluate_given({"test": made}, dataset, seed=request.seed, groups=left)
            progress(1.0, 1.0)
    result = merged(done, {**result, "model": model})
    return entries.store(config, result, [], request.results_dir, torch.get_num_threads()), result


def _dataset_info(dataset: DatasetFile) -> dict[str, Any]:
    kept = ("name", "variant", "origin", "fingerprint", "image_size")
    info = {key: dataset.attributes[key] for key in kept}
    return {**info, "objects": dataset.layout.objects}


def check_options(
    runs: list[str] | None,
    predictions: Path | None,
    baseline: str | None,
    dataset: str | None,
    name: str | None,
    split: str,
) -> None:
    """:class:`UserError` where what is to be evaluated is not said, or is said twice."""
    given = {"RUN": runs, "--predictions": predictions, "--baseline": baseline}
    chosen = [option for option, value in given.items() if value]
    if len(chosen) != 1:
        what = " and ".join(chosen) if chosen else "nothing to evaluate"
        raise UserError(
            f"{what}: expected one of RUN, --predictions or --baseline.",
            "For example: slotbench evaluate --baseline kmeans --dataset clevr",
        )
    if chosen == ["RUN"]:
        for option, value in (("--dataset", dataset), ("--name", name)):
            if value is not None:
                raise UserError(f"{option} goes with --predictions or --baseline; a run has both.")
        return
    if split != "test":
        raise UserError(f"--split {split}: {chosen[0]} is judged on test.")
    if dataset is None:
        raise UserError(f"{chosen[0]} needs --dataset.", "For example: --dataset clevr")
    if predictions is not None and name is None:
        raise UserError(
            "--predictions needs --name, under which it stands on the leaderboard.",
            'For example: --name "SLATE (authors\' code)"',
        )
    if baseline is not None and name is not None:
        raise UserError("--name goes with --predictions; a baseline has a name.")
