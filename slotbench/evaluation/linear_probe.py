"""Scene-level probes on a frozen representation: linear, and k nearest neighbours.

One vector an image (the mean over slots, or over the encoder's features) predicts which values
of each categorical property occur in the scene, and how many objects it shows.
"""

import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from slotbench.datasets.format.schema import Array, Layout
from slotbench.errors import SlotbenchError
from slotbench.evaluation.frozen_pass import Representations
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.result import Progress, Result, mean_result, silent
from slotbench.registry import register

SOURCES = ("slots", "features")
GRID = (0.01, 0.1, 1.0, 10.0)
"""Values of C, the inverse strength of the L2 penalty, ascending for warm starts."""
MAX_ITERATIONS = 5000
NEIGHBOURS = 20
TEMPERATURE = 0.07


@register("metrics")
class LinearProbe(Metric):
    """``linear_probe/<slots or features>/<map or count>`` and ``knn/<slots or features>/count``.

    :func:`linear_probe` and :func:`knn_count` on the mean over slots, and on the mean over the
    encoder's features. A source that is missing has no keys: predictions from elsewhere have no
    features.
    """

    name = "linear-probe"
    summary = "the scene's content, from one vector an image; k-NN"
    source = "Wu et al. 2018, arXiv 1805.01978"
    version = 1
    keys = ("linear_probe/*", "knn/*")
    better = 1
    ranges: ClassVar = {"*": (0, 1)}
    shown = compared = ("linear_probe/slots/map",)
    needs = trains = SOURCES
    cost = 2_000.0

    def compute(self, context: Context) -> dict[str, Result]:
        results: dict[str, Result] = {}
        splits = [context.made[role] for role in ("train", "val", JUDGED)]
        for index, source in enumerate(SOURCES):
            if any(source not in made.arrays for made in splits):
                continue
            train, val, test = (_scenes(made, context.dataset.layout, source) for made in splits)
            found = linear_probe(
                train, val, test, seed=context.seed, progress=context.progress(index, len(SOURCES))
            )
            results |= {f"linear_probe/{source}/{name}": got for name, got in found.items()}
            results[f"knn/{source}/count"] = knn_count(train, test, seed=context.seed)
        return results or context.skip(self.name, "there are no slots and no features")


@dataclass
class SceneData:
    """n images: one vector each, and the content of the scene."""

    features: Array
    """float32 (n, F)."""
    present: Array
    """bool (n, C): which (property, class) occurs in the scene, as :func:`scene_labels`."""
    count: Array
    """int64 (n,): the number of visible objects."""


def _scenes(made: Representations, layout: Layout, source: str) -> SceneData:
    features = made.slots.mean(axis=1) if source == "slots" else made.arrays["features"]
    present = scene_labels(layout, made.properties, made.visible)
    return SceneData(features, present, made.visible.sum(axis=1))


def scene_labels(layout: Layout, properties: Mapping[str, Array], visible: Array) -> Array:
    """Which value of which categorical property a visible object has: bool (n, C).

    ``properties`` maps names to int16 (n, O), ``visible`` is bool (n, O); C is the number of
    all classes of all categorical properties, in the order of the layout.
    """
    columns = [
        ((properties[prop.name] == index) & visible).any(axis=1)
        for prop in layout.properties
        if prop.kind == "categorical"
        for index in range(len(prop.classes))
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((len(visible), 0), bool)


def linear_probe(
    train: SceneData, val: SceneData, test: SceneData, *, seed: int, progress: Progress = silent
) -> dict[str, Result]:
    """Logistic regression on standardised features: ``map`` and ``count``.

    - ``map``: mean average precision on test, over the (property, class) pairs that vary among the
      training scenes and occur in test. A class of all or no training scenes cannot be learned.
      ``n`` counts these pairs, ``left_out`` the others.
    - ``count``: accuracy of the number of objects.

    C is selected from :data:`GRID` on val: once for all pairs by their mean average precision, once
    for the count by its accuracy. The strongest penalty wins a tie.
    :class:`SlotbenchError` where a fit does not converge.
    """
    scaler = StandardScaler().fit(train.features.astype(np.float64))
    inputs = [scaler.transform(data.features.astype(np.float64)) for data in (train, val, test)]
    varying = np.flatnonzero(train.present.any(axis=0) & ~train.present.all(axis=0))
    fits = len(varying) + 1
    scores = np.zeros((2, len(GRID), len(varying)))
    for column, label in enumerate(varying):
        models = _path(inputs[0], train.present[:, label])
        for row, model in enumerate(models):
            for which, (data, vectors) in enumerate(((val, inputs[1]), (test, inputs[2]))):
                present, predicted = data.present[:, label], vectors @ model.coef_[0]
                found = average_precision_score(present, predicted) if present.any() else np.nan
                scores[which, row, column] = found
        progress(column + 1, fits)
    count = _count(inputs, train, val, test, seed)
    progress(fits, fits)
    return {"map": _mean_precision(scores, train.present.shape[1]), "count": count}


def _path(inputs: Array, labels: Array) -> list[LogisticRegression]:
    """A fitted model for each C of the grid; each fit starts from the last."""
    models: list[LogisticRegression] = []
    model = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True)
    for strength in GRID:
        model.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model.fit(inputs, labels)
            except ConvergenceWarning as warning:
                raise SlotbenchError(
                    f"The linear probe with C={strength} did not converge in "
                    f"{MAX_ITERATIONS} iterations."
                ) from warning
        models.append(deepcopy(model))
    return models


def _mean_precision(scores: Array, classes: int) -> Result:
    """``scores`` float64 (2, grid, pairs): average precision on val and test, NaN if undefined."""
    on_val, on_test = scores
    defined = ~np.isnan(on_test[0])
    if not defined.any():
        return Result(None, 0, classes)
    usable = ~np.isnan(on_val[0])
    best = int(on_val[:, usable].mean(axis=1).argmax()) if usable.any() else 0
    n = int(defined.sum())
    return Result(float(on_test[best, defined].mean()), n, classes - n)


def _count(
    inputs: list[Array], train: SceneData, val: SceneData, test: SceneData, seed: int
) -> Result:
    if len(np.unique(train.count)) < 2:
        right = test.count == train.count[0]
    else:
        models = _path(inputs[0], train.count)
        on_val = [(model.predict(inputs[1]) == val.count).mean() for model in models]
        right = models[int(np.argmax(on_val))].predict(inputs[2]) == test.count
    return mean_result(right, seed)


def knn_count(train: SceneData, test: SceneData, *, seed: int) -> Result:
    """Accuracy of the number of objects by k nearest neighbours; nothing is trained.

    Cosine similarity; k = 20, or all training images if they are fewer. A neighbour votes with
    weight exp(similarity / 0.07) (Wu et al. 2018, arXiv 1805.01978, Section 3.4).
    """
    bank = functional.normalize(torch.from_numpy(train.features).float(), dim=1)
    queries = functional.normalize(torch.from_numpy(test.features).float(), dim=1)
    values, classes = np.unique(train.count, return_inverse=True)
    votes_for = torch.from_numpy(np.eye(len(values))[classes])
    right = []
    for start in range(0, len(queries), 512):
        similarity = queries[start : start + 512] @ bank.T
        nearest, index = similarity.topk(min(NEIGHBOURS, len(bank)), dim=1)
        # Relative to the nearest neighbour's weight: exp(1 / 0.07) is large.
        weights = ((nearest - nearest[:, :1]) / TEMPERATURE).double().exp()
        votes = (weights[:, :, None] * votes_for[index]).sum(dim=1)
        right.append(values[votes.argmax(dim=1).numpy()] == test.count[start : start + 512])
    return mean_result(np.concatenate(right), seed)
