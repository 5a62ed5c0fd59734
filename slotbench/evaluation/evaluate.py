"""The evaluation of a trained core: the content of ``evaluation.json``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.evaluation import groups as metrics
from slotbench.evaluation.frozen_pass import (
    ARRAYS,
    DRAWS,
    Cache,
    Representations,
    Stored,
    collect,
    frozen,
)
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.result import Result
from slotbench.objectives.objective import Objective

SCHEMA_VERSION = 1
GROUPS = metrics.default_groups()
"""The groups of metrics that are computed by default."""
LIMITS = {"test": 2_000, "train": 10_000, "val": 1_024}
"""How many images of each split an evaluation uses."""
Progress = Callable[[float, float], None]


def evaluate(
    objective: Objective,
    dataset: DatasetFile,
    *,
    split: str = "test",
    seed: int,
    device: torch.device | str = "cpu",
    groups: Iterable[str] = GROUPS,
    train_images: int = LIMITS["train"],
    val_images: int = LIMITS["val"],
    test_images: int = LIMITS["test"],
    probe_steps: int = 6_000,
    progress: Progress | None = None,
    cache: Cache | None = None,
) -> dict[str, Any]:
    """The content of ``evaluation.json``: every metric of the groups, and how many images counted.

    ``objective`` is on ``device``; its core is judged, and its decoder and predictor if it has
    them. Its weights and modes are not changed. ``groups`` names groups of metrics; each is
    described in its own file.

    Scores are over the first ``test_images`` images of ``split``; probes are trained on the
    first images of train (for at most ``probe_steps`` steps) and chosen on val. The
    core passes once over each split, and not at all where ``cache`` holds the arrays. ``skipped``
    gives the reason for each number that could not be computed. All randomness comes from
    ``seed``. ``progress`` is called with the share that is done and 1.

    :class:`UserError` for an unknown group or split; :class:`SlotbenchError` where the core
    gives slots that are not finite.
    """
    wanted = [metrics.load(name) for name in groups]
    limits = {"train": train_images, "val": val_images}
    sizes = {JUDGED: (split, min(test_images, dataset.size(split)))} | {
        name: (name, min(limits.get(name, test_images), dataset.size(name)))
        for name in dataset.splits
    }
    passes = _Passes(objective, dataset, sizes, seed, device, cache)
    passes.want(JUDGED, ("slots",))
    reasons: dict[str, str] = {}
    for metric in wanted:
        needed = metric.splits(dataset)
        empty = [role for role in needed if role != JUDGED and sizes[role][1] < 1]
        if empty:
            reasons[metric.name] = f"{empty[0]} has no images"
            continue
        for role, names in needed.items():
            passes.want(role, names)
    costs = {metric.name: metric.cost for metric in wanted if metric.name not in reasons}
    stages = Stages(progress, passes.costs() | costs)
    context = Context(dataset, seed, passes.run(stages), probe_steps, str(device))
    return judged(context, wanted, stages, reasons)


def judged(
    context: Context, wanted: Sequence[Metric], stages: "Stages", reasons: Mapping[str, str]
) -> dict[str, Any]:
    """``evaluation.json``. A metric with a reason, by its name, is skipped."""
    results: dict[str, Result] = {}
    for metric in wanted:
        if metric.name in reasons:
            context.skip(metric.name, reasons[metric.name])
            continue
        context.report = stages.stage(metric.name)
        results |= compute(metric, context)
        context.report(1.0)
    stages.finish()
    return document(context, results, wanted)


def compute(metric: Metric, context: Context) -> dict[str, Result]:
    """A metric's results; none where it reads an array that the model does not give.

    ValueError where a key or a version differs from the group's statement.
    """
    try:
        found = metric.compute(context)
    except KeyError as error:
        if error.args[0] not in ARRAYS:
            raise
        return context.skip(metric.name, f"there are no {error.args[0]}")
    for key, result in found.items():
        if metrics.group_of(key) is None:
            raise ValueError(f"{metric.name}: {key} is no key of a registered group")
        if result.version != metric.version:
            raise ValueError(
                f"{metric.name}: {key} has version {result.version}, the group {metric.version}"
            )
    return found


def document(
    context: Context, results: Mapping[str, Result], wanted: Iterable[Metric]
) -> dict[str, Any]:
    """``evaluation.json``; ``groups`` holds the version of each group that was computed."""
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
        "metrics": {key: result.to_dict() for key, result in results.items()},
        "skipped": dict(context.skipped),
    }


class _Passes:
    """The passes of the core that are left to do, one for each split."""

    def __init__(
        self,
        objective: Objective,
        dataset: DatasetFile,
        sizes: Mapping[str, tuple[str, int]],
        seed: int,
        device: torch.device | str,
        cache: Cache | None,
    ) -> None:
        self.objective, self.dataset, self.sizes = objective, dataset, sizes
        self.seed, self.device, self.cache = seed, device, cache
        self.wanted: dict[str, set[str]] = {}
        self.stored: dict[str, Stored] = {}

    def want(self, role: str, names: Iterable[str]) -> None:
        self.wanted.setdefault(role, set()).update(names)

    def costs(self) -> dict[str, float]:
        """The images of each pass; 0 where the cache holds everything."""
        costs = {}
        for role, names in self.wanted.items():
            split, n = self.sizes[role]
            stored = Stored() if self.cache is None else self.cache.read(split, n, sorted(names))
            self.stored[role] = stored
            missing = names - stored.arrays.keys() - stored.absent
            draws = {name.rpartition("/")[2] for name in missing} & set(DRAWS[1:])
            costs[f"pass {role}"] = float(n * (1 + len(draws))) if missing else 0.0
        return costs

    def run(self, stages: "Stages") -> dict[str, Representations]:
        with frozen(self.objective):
            return {role: self._one(role, stages) for role in self.wanted}

    def _one(self, role: str, stages: "Stages") -> Representations:
        split, n = self.sizes[role]
        stored = self.stored.pop(role)
        missing = self.wanted[role] - stored.arrays.keys() - stored.absent
        arrays = stored.arrays
        if missing:
            report = stages.stage(f"pass {role}")
            made = collect(
                self.objective,
                self.dataset,
                split,
                n,
                seed=self.seed,
                wanted=sorted(missing),
                device=self.device,
                progress=lambda done, total: report(done / total),
            )
            arrays = {**arrays, **made}
            if self.cache is not None:
                self.cache.write(split, Stored(made, frozenset(missing - made.keys())))
        return Representations(self.dataset, split, n, arrays)


class Stages:
    """Turns the progress of several stages into one share of work done."""

    def __init__(self, progress: Progress | None, costs: Mapping[str, float]) -> None:
        self._progress, self._costs = progress, costs
        self._done = dict.fromkeys(costs, 0.0)

    def stage(self, name: str) -> Callable[[float], None]:
        """Takes the share of a stage that is done."""
        return partial(self._report, name)

    def _report(self, name: str, share: float) -> None:
        self._done[name] = max(self._done[name], self._costs[name] * share)
        total = sum(self._costs.values())
        if self._progress is not None and total:
            self._progress(sum(self._done.values()) / total, 1.0)

    def finish(self) -> None:
        """Everything is done."""
        if self._progress is not None:
            self._progress(1.0, 1.0)
