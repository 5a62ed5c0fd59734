"""The evaluation of what was not trained here: every metric that its content allows.

The metrics are computed by the same functions as those of runs; all that differs is where the
representations come from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.evaluation import groups as metrics
from slotbench.evaluation.evaluate import GROUPS, Progress, compute, document
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.representations import ARRAYS, Representations
from slotbench.evaluation.result import Result

LIMITS = {"test": 2_000, "train": 10_000, "val": 1_024}
"""How many images of each split an evaluation uses, as for runs."""
FRACTION = 10
"""One in so many training images chooses the probes where there is nothing for val."""
_ONE_DRAW = "there is one prediction an image"


def evaluate_given(
    splits: Mapping[str, Representations],
    dataset: DatasetFile,
    *,
    seed: int,
    groups: Iterable[str] = GROUPS,
    probe_steps: int = 6_000,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The content of ``evaluation.json``, with the keys and versions that runs have.

    ``splits`` holds ``test`` and, for the probes, ``train`` and ``val``; where ``val`` has no
    slots, the last tenth of the training images stands in for it. What could not be computed
    stands under ``skipped`` with its reason. :class:`UserError` for an unknown group.
    """
    wanted = [metrics.load(name) for name in groups]
    made = _roles(splits)
    skipped: dict[str, str] = {}
    context = Context(dataset, seed, made, probe_steps, "cpu", skipped)
    results: dict[str, Result] = {}
    total = sum(1 + metric.cost for metric in wanted)
    done = 0.0
    for metric in wanted:
        reason = _unusable(metric, dataset, made)
        if reason:
            skipped[metric.name] = reason
        else:
            results |= _compute(metric, context)
        done += 1 + metric.cost
        if progress is not None:
            progress(done / total, 1.0)
    _explain(skipped, made)
    versions = {metric.name: metric.version for metric in wanted}
    return document(dataset, made[JUDGED], seed, results, skipped, versions)


def _roles(splits: Mapping[str, Representations]) -> dict[str, Representations]:
    roles = {JUDGED: splits["test"]}
    train, val = splits.get("train"), splits.get("val")
    if train is None or "slots" not in train.arrays:
        return roles
    if val is None or "slots" not in val.arrays:
        cut = train.n - max(1, train.n // FRACTION)
        if cut < 1:
            return roles
        return {**roles, "train": _rows(train, 0, cut), "val": _rows(train, cut, train.n)}
    return {**roles, "train": train, "val": val}


def _rows(made: Representations, start: int, stop: int) -> Representations:
    """Images ``start`` to ``stop`` of what was made of a split."""
    part = replace(
        made, n=stop - start, arrays={key: got[start:stop] for key, got in made.arrays.items()}
    )
    # What is true of the images is read lazily, from the first on: here it is cut by hand.
    part.__dict__["visible"] = made.visible[start:stop]
    part.__dict__["properties"] = {
        name: values[start:stop] for name, values in made.properties.items()
    }
    return part


def _unusable(metric: Metric, dataset: DatasetFile, made: Mapping[str, Representations]) -> str:
    """Why a metric cannot be computed from these splits; "" where it may."""
    missing = [role for role in metric.splits(dataset) if role not in made]
    if not missing:
        return ""
    if "slots" not in made[JUDGED].arrays:
        return "there are no slots"
    if set(missing) <= {"train", "val"}:
        return "there are no slots of the training images (train_slots)"
    return f"there are no predictions for {missing[0]}"


def _compute(metric: Metric, context: Context) -> dict[str, Result]:
    """A metric's results; none where it reads an array that is not there."""
    try:
        return compute(metric, context)
    except KeyError as error:
        if error.args[0] not in ARRAYS:
            raise
        return context.skip(metric.name, f"there are no {error.args[0]}")


def _explain(skipped: dict[str, str], made: Mapping[str, Representations]) -> None:
    """Reasons in words that fit a file: without a core there is no noise, and no masks is no
    fault of the dataset's."""
    without = [role for role, split in made.items() if not split.sources("first")]
    for key, reason in skipped.items():
        if "initial noise" in reason:
            skipped[key] = _ONE_DRAW
        elif "labelled" in reason and without:
            train = "" if JUDGED in without else " of the training images (train_masks)"
            skipped[key] = f"there are no masks{train}"
