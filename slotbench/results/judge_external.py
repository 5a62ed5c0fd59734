"""``slotbench evaluate`` for predictions of other models and for baselines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.errors import UserError
from slotbench.evaluation import baselines
from slotbench.evaluation import groups as metrics
from slotbench.evaluation.evaluate import LIMITS
from slotbench.evaluation.external import evaluate_given, from_baseline, from_file
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.masks import SOURCES
from slotbench.evaluation.predictions import PredictionFile, plan
from slotbench.evaluation.result import Progress
from slotbench.fields import Names
from slotbench.files import read_json, sha256_of
from slotbench.progress import bar, say
from slotbench.registry import unknown
from slotbench.results import entries
from slotbench.results.stored import last, left_to_do, merged

READING = 0.3
"""The share of the progress bar that reading masks takes."""
Judged = tuple[Path, dict[str, Any]]
"""The entry's directory and its evaluation."""


@dataclass(frozen=True)
class Request:
    """The options that predictions and baselines share."""

    dataset: str
    metrics: Names = "all"
    seed: int = 0
    data_dir: Path = Path("data")
    results_dir: Path = Path("results")
    force: bool = False
    """Whether to compute again the groups that are stored."""


def evaluate_predictions(
    path: Path, name: str, request: Request, *, mask_source: str = "attention"
) -> Judged:
    """Judge a file of predictions.

    ``mask_source`` is the source of the arrays named ``masks``. If the file does not follow
    docs/predictions.md, :class:`UserError` is raised and nothing is stored.
    """
    name = entries.check_name(name)
    notes: list[str] = []
    if mask_source not in SOURCES:
        raise unknown("mask source", mask_source, SOURCES)
    with (
        DatasetFile(locate(request.dataset, request.data_dir)) as dataset,
        PredictionFile(path) as file,
    ):
        given = plan(file, dataset, LIMITS, mask_source, notes)
        if given["test"].masks.get(mask_source) == "masks":
            others = " or ".join(source for source in SOURCES if source != mask_source)
            notes.append(f"masks: taken for {mask_source} masks (else: --mask-source {others})")
        source = {
            "file": path.name,
            "sha256": sha256_of(path),
            "mask_source": mask_source,
            "arrays": {key: str(info) for key, info in file.arrays.items()},
        }
        config = {"kind": "external", "name": name, "seed": request.seed, "source": source}

        def made(progress: Progress) -> dict[str, Representations]:
            splits = {}
            for split, part in given.items():
                splits[split] = from_file(file, part, dataset, notes)
                progress(len(splits) / len(given), 1.0)
            return splits

        judged = _judge(config, request, dataset, f"{source['sha256']} {mask_source}", made, notes)
    for line in notes:
        say(f"{path.name}: {line}.")
    return judged


def evaluate_baseline(baseline: str, request: Request, *, slots: int | None = None) -> Judged:
    """Judge a trivial masker with ``slots`` slots; None: objects + 1, as cores have."""
    if baseline not in baselines.BASELINES:
        raise unknown("baseline", baseline, tuple(baselines.BASELINES))
    with DatasetFile(locate(request.dataset, request.data_dir)) as dataset:
        count = dataset.layout.objects + 1 if slots is None else slots
        name, seed = f"baseline:{baseline}", request.seed
        config = {"kind": "baseline", "name": name, "seed": seed, "slots": count}
        config["version"] = baselines.VERSION

        def made(progress: Progress) -> dict[str, Representations]:
            asked = (baseline, dataset, LIMITS["test"], count)
            return {"test": from_baseline(*asked, seed=seed, progress=progress)}

        model = f"{baseline} {baselines.VERSION}, {count} slots"
        return _judge(config, request, dataset, model, made, [])


def _judge(
    config: dict[str, Any],
    request: Request,
    dataset: DatasetFile,
    model: str,
    made: Callable[[Progress], dict[str, Representations]],
    notes: list[str],
) -> Judged:
    """Compute the groups that the stored evaluation of the same ``model`` lacks, and store them."""
    groups = metrics.chosen(request.metrics)
    kept = ("name", "variant", "origin", "fingerprint", "image_size")
    info = {key: dataset.attributes[key] for key in kept}
    # Rendered data are one row on every machine by their recipe.
    info |= {"recipe": dataset.recipe} if dataset.recipe else {}
    config = {**config, "dataset": {**info, "objects": dataset.layout.objects}}
    entry = entries.directory(config, request.results_dir)
    stored = entry / "config.json"
    if stored.is_file() and read_json(stored).get("source") != config.get("source"):
        say(f"This replaces {config['name']!r}, seed {request.seed}, made from another file.")
    done = last(entry / "evaluation.json", dataset, "test", request.seed, model)
    left = groups if request.force else left_to_do(done, groups)
    if not left:
        say(f"{config['name']}: nothing is missing. To compute it again, add --force.")
        return entry, done
    with bar("Evaluating", 1.0, count=False) as progress:
        splits = made(lambda done, total: progress(READING * done / total, 1.0))
        result = evaluate_given(
            splits,
            dataset,
            seed=request.seed,
            groups=left,
            progress=lambda done, _: progress(READING + (1 - READING) * done, 1.0),
        )
    result = merged(done, {**result, "model": model})
    threads = torch.get_num_threads()
    return entries.store(config, result, notes, request.results_dir, threads), result


def check_options(
    runs: Sequence[object],
    predictions: Path | str | None,
    baseline: str | None,
    dataset: Path | str | None,
    name: str | None,
    split: str,
    *,
    mask_source: str = "attention",
    slots: int | None = None,
    seed: int = 0,
) -> None:
    """:class:`UserError` unless exactly one thing to evaluate is named, with its options."""
    given = {"RUN": runs, "--predictions": predictions, "--baseline": baseline}
    chosen = [option for option, value in given.items() if value]
    if len(chosen) != 1:
        raise UserError(
            f"{' and '.join(chosen) or 'nothing to evaluate'}: expected one of RUN, --predictions "
            "or --baseline.",
            "For example: slotbench evaluate --baseline kmeans --dataset clevr",
        )
    (what,) = chosen
    typed = {
        "--name": (name is not None, ("--predictions",)),
        "--mask-source": (mask_source != "attention", ("--predictions",)),
        "--slots": (slots is not None, ("--baseline", "RUN")),
        "--seed": (seed != 0, ("--predictions", "--baseline")),
    }
    for option, (there, takers) in typed.items():
        if there and what not in takers:
            raise UserError(f"{option} goes with {' or '.join(takers)}, not with {what}.")
    if what == "RUN":
        return
    if split != "test":
        raise UserError(f"--split {split}: {what} is judged on test.")
    if dataset is None:
        raise UserError(f"{what} needs --dataset.", "For example: --dataset clevr")
    if what == "--predictions" and name is None:
        raise UserError(
            "--predictions needs --name, under which it stands on the leaderboard.",
            entries.NAME_EXAMPLE,
        )
