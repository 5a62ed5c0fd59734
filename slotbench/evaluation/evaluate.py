"""The evaluation of a trained core: the content of ``evaluation.json``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.errors import UserError
from slotbench.evaluation import frozen_pass
from slotbench.evaluation import groups as metrics
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.pass_cache import Cache, Stored
from slotbench.evaluation.result import Progress, Result, silent
from slotbench.objectives.objective import Objective
from slotbench.registry import unknown

SCHEMA_VERSION = 1
GROUPS = metrics.default_groups()
"""The groups of metrics that are computed by default."""
LIMITS = {"test": 2_000, "train": 10_000, "val": 1_024}
"""How many images of each split an evaluation uses; of shifted test sets, as many as of test."""


def evaluate(
    objective: Objective,
    dataset: DatasetFile,
    *,
    split: str = "test",
    seed: int,
    device: torch.device | str = "cpu",
    groups: Iterable[str] = GROUPS,
    limits: Mapping[str, int] = LIMITS,
    probe_steps: int = 6_000,
    progress: Progress = silent,
    cache: Cache | None = None,
) -> dict[str, Any]:
    """The content of ``evaluation.json``: every metric of the groups, and how many images counted.

    ``objective`` is on ``device``; its core is judged, and its decoder and predictor if it has
    them. Its weights and modes are not changed.

    The first ``limits["test"]`` images of ``split`` are scored. Probes are trained on the first
    images of train, for at most ``probe_steps`` steps, and selected on val. The core passes once
    over each split, and over its first image alone where ``cache`` holds the arrays. ``skipped``
    gives the reason for each number that could not be computed. All randomness comes from ``seed``.

    :class:`UserError` for an unknown group or split; :class:`SlotbenchError` where the core
    gives slots that are not finite.
    """
    wanted = [metrics.load(name) for name in groups]
    most = {name: limits.get(name, limits["test"]) for name in dataset.splits}
    sizes = {JUDGED: (split, min(limits["test"], dataset.size(split)))} | {
        name: (name, min(n, dataset.size(name))) for name, n in most.items()
    }
    needed: dict[str, set[str]] = {JUDGED: {"slots"}}
    reasons: dict[str, str] = {}
    for metric in wanted:
        asked = metric.splits(dataset)
        if empty := [role for role in asked if role != JUDGED and sizes[role][1] < 1]:
            reasons[metric.name] = f"{empty[0]} has no images"
            continue
        for role, names in asked.items():
            for name in set(names).difference(frozen_pass.ARRAYS):
                raise unknown(f"array of the metric {metric.name}:", name, frozen_pass.ARRAYS)
            needed.setdefault(role, set()).update(names)
    passed = partial(frozen_pass.collect, objective, dataset, seed=seed, device=device)
    stored: dict[str, Stored] = {role: {} for role in needed}
    if cache is not None:
        for role, read in needed.items():
            where, n = sizes[role]
            if found := cache.read(where, n, sorted(read)):
                first = passed(where, 1, wanted={"slots", *found})
                stored[role] = cache.fitting(where, found, first)
    missing = {role: sorted(names - stored[role].keys()) for role, names in needed.items()}
    costs = {
        role: float(sizes[role][1] * len({frozen_pass.draw_of(name) for name in names}))
        for role, names in missing.items()
    }
    stages = Stages(progress, costs, [each for each in wanted if each.name not in reasons])
    made = {}
    for role, absent in missing.items():
        where, n = sizes[role]
        if absent:
            arrays = passed(where, n, wanted=absent, progress=stages.stage(role))
            new = {name: arrays.get(name) for name in absent}
            stored[role] |= new
            if cache is not None:
                cache.write(where, new)
        arrays = {name: array for name, array in stored[role].items() if array is not None}
        made[role] = frozen_pass.Representations(dataset, where, n, arrays)
    context = Context(dataset, seed, made, probe_steps, str(device), reasons)
    return judged(context, wanted, stages)


def judged(context: Context, wanted: Sequence[Metric], stages: "Stages") -> dict[str, Any]:
    """``evaluation.json``. Metrics whose names ``context.skipped`` has already are not computed."""
    results: dict[str, Result] = {}
    for metric in wanted:
        if metric.name not in context.skipped:
            context.report = stages.stage(metric.name)
            results |= compute(metric, context)
            context.report(1, 1)
    dataset, judged = context.dataset, context.judged
    return {
        "schema": SCHEMA_VERSION,
        "split": judged.split,
        "dataset": dataset.reference,
        "origin": dataset.attributes["origin"],
        "fingerprint": dataset.fingerprint,
        "resolution": [dataset.layout.height, dataset.layout.width],
        "images": judged.n,
        "objects": int(judged.visible.sum()),
        "slots": judged.slots.shape[1] if "slots" in judged.arrays else None,
        "seed": context.seed,
        "groups": {metric.name: metric.version for metric in wanted},
        "plugins": {
            metric.name: digest
            for metric in wanted
            if (digest := metrics.foreign_digest(metric.name))
        },
        "metrics": {key: result.to_dict() for key, result in results.items()},
        "skipped": context.skipped,
    }


def compute(metric: Metric, context: Context) -> dict[str, Result]:
    """A metric's results, with its version. It is skipped where the model lacks an array it reads.

    :class:`UserError` where it returns no dictionary of :class:`Result`, or a key that its group
    does not state.
    """
    try:
        found = metric.compute(context)
    except KeyError as error:
        if error.args[0] not in frozen_pass.ARRAYS:
            raise
        return context.skip(metric.name, f"there are no {error.args[0]}")
    if not isinstance(found, Mapping) or not all(
        isinstance(key, str) and isinstance(result, Result) for key, result in found.items()
    ):
        said = f"The metric {metric.name} gives no dictionary of key and Result."
        raise UserError(said, "For example: return context.means({key: float tensor (images,)})")
    for key in found:
        if metrics.group_of(key) != metric.name:
            said = f"The metric {metric.name} gives {key!r}, which is none of its keys."
            raise UserError(said, f"Add it to 'keys', unless {metrics.group_of(key)} has it.")
    return {key: replace(result, version=metric.version) for key, result in found.items()}


class Stages:
    """Turns the progress of passes and metrics into one share of the work done."""

    def __init__(
        self, progress: Progress, passes: Mapping[str, float], wanted: Iterable[Metric]
    ) -> None:
        self._progress = progress
        self._costs = {**passes, **{metric.name: 1 + metric.cost for metric in wanted}}
        self._done = dict.fromkeys(self._costs, 0.0)

    def stage(self, name: str) -> Progress:
        """Takes the progress of one stage: a split by its role, or a metric by its name."""

        def report(done: float, total: float = 1) -> None:
            self._done[name] = max(self._done[name], self._costs[name] * done / total)
            self._progress(sum(self._done.values()) / sum(self._costs.values()), 1.0)

        return report
