"""The evaluation of a trained core: what ``evaluation.json`` holds."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, get_args

import torch

from slotbench.datasets.schema import DatasetFile, Layout
from slotbench.evaluation import health, segmentation
from slotbench.evaluation.probes import SceneData, knn_count, linear_probe, scene_labels
from slotbench.evaluation.properties import Protocol, SlotData, predict_properties
from slotbench.evaluation.representations import Representations, collect, frozen
from slotbench.evaluation.result import Result, mean_result
from slotbench.objectives.base import Objective
from slotbench.registry import unknown

SCHEMA_VERSION = 1
GROUPS = ("segmentation", "properties", "linear-probe", "health")
PROPERTY_COST, LINEAR_COST = 8_000, 1_000
"""What a probe costs, in images passed through a small core; only the progress bar uses it."""
Progress = Callable[[float, float], None]


def evaluate(
    objective: Objective,
    dataset: DatasetFile,
    *,
    split: str = "test",
    seed: int,
    device: torch.device | str = "cpu",
    groups: Iterable[str] = GROUPS,
    train_images: int = 10_000,
    val_images: int = 1_024,
    test_images: int = 2_000,
    probe_steps: int = 6_000,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The content of ``evaluation.json``: every metric of the groups, with what it counted.

    ``objective`` is on ``device``; its core is judged, and its decoder where it has one. Its
    weights and modes are not changed. ``groups`` names groups of :data:`GROUPS`:

    - ``segmentation``: ``ari``, ``fg_ari``, ``miou``, ``mbo``, ``sc`` and ``msc``, each as
      ``<metric>/attention`` and ``<metric>/decoder``, and ``recon_mse`` at the image's size.
    - ``properties``: ``properties/linear/<protocol>/<property or mean>[/dropped]``.
    - ``linear-probe``: ``linear_probe/<slots or features>/<map or count>`` and
      ``knn/<slots or features>/count``.
    - ``health``: ``health/<name>`` of the attention and the slots.

    Scores are over the first ``test_images`` images of ``split``; probes are trained on the
    first images of train (the property probe for at most ``probe_steps`` steps) and chosen on
    those of val. What could not be computed stands under
    ``skipped`` with its reason. All randomness comes from ``seed``. ``progress`` is called with
    the share that is done and 1.

    :class:`UserError` for an unknown group or split; :class:`SlotbenchError` where the core
    gives slots that are not finite.
    """
    wanted = tuple(groups)
    for group in wanted:
        if group not in GROUPS:
            raise unknown("group of metrics", group, GROUPS)
    tested = min(test_images, dataset.size(split))
    limits = {
        name: min(limit, dataset.size(name))
        for name, limit in (("train", train_images), ("val", val_images))
    }
    probes = [group for group in ("properties", "linear-probe") if group in wanted]
    empty = [name for name, limit in limits.items() if limit < 1]
    stages = _Stages(progress, _costs(wanted, tested, limits))
    with frozen(objective):
        run = partial(collect, objective.core, dataset=dataset, seed=seed, device=device)
        test = run(
            decode=objective.decode, split=split, limit=tested, score=wanted,
            progress=stages.stage("test"),
        )  # fmt: skip
        seen = [
            run(decode=None, split=name, limit=limit, progress=stages.stage(name))
            for name, limit in limits.items()
            if probes and not empty
        ]
    evaluation = _Evaluation(dataset.layout, seed, stages, test, probe_steps)
    if "segmentation" in wanted:
        evaluation.segmentation()
    if "health" in wanted:
        evaluation.health()
    if empty:
        evaluation.skipped |= dict.fromkeys(probes, f"{empty[0]} has no images")
    elif probes:
        train, val = seen
        if "properties" in wanted:
            evaluation.properties(train, val)
        if "linear-probe" in wanted:
            evaluation.linear_probe(train, val)
    stages.finish()
    return {
        "schema": SCHEMA_VERSION,
        "split": split,
        "dataset": dataset.reference,
        "origin": dataset.attributes["origin"],
        "fingerprint": dataset.fingerprint,
        "resolution": [dataset.layout.height, dataset.layout.width],
        "images": len(test.slots),
        "objects": int(test.visible.sum()),
        "slots": test.slots.shape[1],
        "seed": seed,
        "metrics": {key: result.to_dict() for key, result in evaluation.results.items()},
        "skipped": evaluation.skipped,
    }


def _costs(wanted: tuple[str, ...], tested: int, limits: dict[str, int]) -> dict[str, float]:
    costs: dict[str, float] = {"test": tested * (2 if "health" in wanted else 1)}
    if "properties" in wanted or "linear-probe" in wanted:
        costs |= limits
    if "properties" in wanted:
        costs |= dict.fromkeys(get_args(Protocol), PROPERTY_COST)
    if "linear-probe" in wanted:
        costs |= dict.fromkeys(("slots", "features"), LINEAR_COST)
    return costs


class _Stages:
    """One share of work done, out of the progress of several stages."""

    def __init__(self, progress: Progress | None, costs: dict[str, float]) -> None:
        self._progress, self._costs = progress, costs
        self._done = dict.fromkeys(costs, 0.0)

    def stage(self, name: str) -> Callable[[int, int], None] | None:
        return None if self._progress is None else partial(self._report, name)

    def _report(self, name: str, done: int, total: int) -> None:
        assert self._progress is not None  # `stage` hands out no callback otherwise
        self._done[name] = self._costs[name] * done / total
        self._progress(sum(self._done.values()) / sum(self._costs.values()), 1.0)

    def finish(self) -> None:
        if self._progress is not None:
            self._progress(1.0, 1.0)


class _Evaluation:
    """Turns representations into results, group by group."""

    def __init__(
        self, layout: Layout, seed: int, stages: _Stages, test: Representations, probe_steps: int
    ) -> None:
        self.layout, self.seed, self.stages, self.test = layout, seed, stages, test
        self.probe_steps = probe_steps
        self.results: dict[str, Result] = {}
        self.skipped: dict[str, str] = {}

    def segmentation(self) -> None:
        if not self.test.labelled:
            self.skipped["segmentation"] = "no pixel of the images is labelled"
        for key, values in self.test.scores.items():
            scored = self.test.labelled and key.split("/")[0] in segmentation.METRICS
            if scored or key == "recon_mse":
                self.results[key] = mean_result(values, self.seed, segmentation.VERSION)

    def health(self) -> None:
        for key, values in self.test.scores.items():
            if key.startswith("health/"):
                self.results[key] = mean_result(values, self.seed, health.VERSION)
        rank = health.effective_rank(torch.from_numpy(self.test.slots))
        n = len(self.test.slots)
        self.results["health/effective_rank"] = Result(rank, n, version=health.VERSION)
        if not self.results["health/consistency"].n:
            self.skipped["health/consistency"] = "the core draws no initial noise"

    def properties(self, train: Representations, val: Representations) -> None:
        splits = (train, val, self.test)
        if not self.layout.properties:
            self.skipped["properties"] = "the dataset has no properties"
        elif not all(made.visible.any() for made in splits):
            self.skipped["properties"] = "a split shows no object"
        else:
            first, second, third = (
                SlotData(made.slots, made.overlap, made.visible, made.properties) for made in splits
            )
            for protocol in get_args(Protocol):
                prefix = f"properties/linear/{protocol}"
                if protocol == "mask" and not all(made.labelled for made in splits):
                    self.skipped[prefix] = "a split has no labelled pixel"
                    continue
                found = predict_properties(
                    first, second, third, self.layout, seed=self.seed, protocol=protocol,
                    steps=self.probe_steps, progress=self.stages.stage(protocol),
                )  # fmt: skip
                self.results |= {f"{prefix}/{name}": value for name, value in found.items()}

    def linear_probe(self, train: Representations, val: Representations) -> None:
        for source in ("slots", "features"):
            first, second, third = (self._scenes(made, source) for made in (train, val, self.test))
            found = linear_probe(
                first, second, third, seed=self.seed, progress=self.stages.stage(source)
            )
            self.results |= {f"linear_probe/{source}/{name}": got for name, got in found.items()}
            self.results[f"knn/{source}/count"] = knn_count(first, third, seed=self.seed)

    def _scenes(self, made: Representations, source: str) -> SceneData:
        features = made.slots.mean(axis=1) if source == "slots" else made.features
        present = scene_labels(self.layout, made.properties, made.visible)
        return SceneData(features, present, made.visible.sum(axis=1))
