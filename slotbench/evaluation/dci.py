"""Disentanglement, completeness and informativeness of slots.

DCI of Eastwood and Williams 2018 (ICLR, "A Framework for the Quantitative Evaluation of
Disentangled Representations"), Section 3, per slot. A code is the slot that is paired with an
object by its mask; a factor is a property of that object. Gradient-boosted trees predict every
factor from the code. Their importances say which dimensions of the code they used.

Choices that the definition leaves open:

- Trees: scikit-learn's histogram gradient boosting, 50 stages of depth 3, 64 bins, leaves of at
  least 5 objects, on at most 5,000 training objects. A dimension's importance is the sum of the
  gains of its splits. No early stopping, which needs two objects of every class.
- A numeric property of d dimensions is d factors, one regressor each; a categorical property is
  one factor, one classifier. Each factor weighs the same.
- Informativeness is the share of error removed, 1 - error / error of the best constant: R2 for
  numeric factors, Cohen's kappa against the majority for categorical ones; negative values count
  as 0. (The paper reports the error itself, where less is better.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import entr
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from slotbench.datasets.format.schema import Array, Property
from slotbench.evaluation.metric import JUDGED, Context, Metric
from slotbench.evaluation.properties import unusable
from slotbench.evaluation.result import Progress, Result, finite, results_of_sums, silent
from slotbench.evaluation.slot_probes import Slots, by_masks
from slotbench.registry import register
from slotbench.rng import numpy_generator

ROWS = 5000
TREES = {"max_iter": 50, "max_depth": 3, "max_bins": 64, "min_samples_leaf": 5}
NAMES = ("disentanglement", "completeness", "informativeness")
LEAST = 1e-12
"""Sums up to this count as 0."""


@register("metrics")
class Dci(Metric):
    """``dci/<disentanglement, completeness or informativeness>`` of the slot of each object.

    :func:`dci` defines them. Objects and slots are paired by their masks, so it is skipped where
    a split has no labelled pixel or no masks.
    """

    name = "dci"
    summary = "disentanglement, completeness and informativeness of slots"
    source = "Eastwood and Williams 2018"
    version = 2
    keys = ("dci/*",)
    better = 1
    ranges: ClassVar = {"*": (0, 1)}
    needs = trains = ("slots", "overlap", "labelled")
    cost = 2_000.0

    def compute(self, context: Context) -> dict[str, Result]:
        splits = [context.made[role] for role in ("train", JUDGED)]
        reason = unusable(context)
        if not reason and not all(made.labelled for made in splits):
            reason = "a split has no labelled pixel"
        if reason:
            return context.skip(self.name, reason)
        train, test = map(matched_codes, splits)
        properties = context.dataset.layout.properties
        found = dci(train, test, properties, seed=context.seed, progress=context.progress())
        return {f"dci/{name}": value for name, value in found.items()}


@dataclass
class Codes:
    """m objects that have a slot: the slot, and the properties of the object."""

    codes: Array
    """float32 (m, D)."""
    factors: Mapping[str, Array]
    """float32 (m,) or (m, d), or int16 (m,), by property name."""
    image: Array
    """int64 (m,): the image that each object is in."""

    def columns(self, properties: tuple[Property, ...]) -> list[Array]:
        """Each factor's values (m,): float64 numbers, or whole numbers for classes."""
        found: list[Array] = []
        for prop in properties:
            values = np.asarray(self.factors[prop.name])
            if prop.kind == "numeric":
                found += list(values.reshape(len(values), -1).T.astype(np.float64))
            else:
                found.append(values)
        return found


def matched_codes(data: Slots) -> Codes:
    """The slot of each visible object, paired by masks; objects without a slot are left out."""
    order = by_masks(data).numpy()
    image, objects = (order >= 0).nonzero()
    factors = {name: np.asarray(values)[image, objects] for name, values in data.properties.items()}
    return Codes(np.asarray(data.slots)[image, order[image, objects]], factors, image)


def dci(
    train: Codes,
    test: Codes,
    properties: tuple[Property, ...],
    *,
    seed: int,
    progress: Progress = silent,
) -> dict[str, Result]:
    """``disentanglement``, ``completeness`` and ``informativeness``, each in [0, 1].

    With R (D, F) the importances, each factor's column summing to 1:

    - disentanglement: 1 - entropy (base F) of each dimension's row over factors, averaged with
      the rows' sums as weights (Section 3.1);
    - completeness: 1 - entropy (base D) of each factor's column over dimensions, averaged;
    - informativeness: see the module; measured on ``test``, with a bootstrap interval over its
      images.

    ``n`` is the number of test objects, ``left_out`` counts factors that are constant in
    the training objects and so cannot be learned. Disentanglement is None below two factors,
    completeness below two dimensions, and all three where there is no factor. The training
    objects are drawn from (seed, "dci").
    """
    chosen = numpy_generator(seed, "dci", "rows").permutation(len(train.codes))[:ROWS]
    pairs = zip(train.columns(properties), test.columns(properties), strict=True)
    factors = [(given[chosen], truth) for given, truth in pairs]
    usable = [pair for pair in factors if len(np.unique(pair[0])) > 1]
    n, left_out = len(test.codes), len(factors) - len(usable)
    if not usable or n == 0:
        return dict.fromkeys(NAMES, Result(None, 0, left_out))
    importances, totals = [], []
    for index, (given, truth) in enumerate(usable):
        kind = HistGradientBoostingRegressor if _numeric(truth) else HistGradientBoostingClassifier
        model = kind(early_stopping=False, **TREES).fit(train.codes[chosen], given)
        importances.append(_importances(model, train.codes.shape[1]))
        totals.append(_totals(model.predict(test.codes), truth, test.image))
        progress(index + 1, len(usable))
    matrix, numeric = np.stack(importances, axis=1), [_numeric(truth) for _, truth in usable]
    cuts = np.cumsum([part.shape[1] for part in totals])[:-1]

    def informativeness(sums: Array) -> Array:
        """The mean skill over the factors that vary: (R, M) -> (R, 1)."""
        parts = zip(numeric, np.split(sums, cuts, axis=1), strict=True)
        skills = np.stack([_skill(*part) for part in parts], axis=1)
        known = ~np.isnan(skills)
        total = np.where(known, skills, 0.0).sum(axis=1)
        mean = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
        return mean[:, None]

    joined = np.concatenate(totals, axis=1)
    return {
        "disentanglement": Result(finite(disentanglement(matrix)), n, left_out),
        "completeness": Result(finite(completeness(matrix)), n, left_out),
        "informativeness": results_of_sums(joined, informativeness, seed, n, left_out)[0],
    }


def disentanglement(importances: Array) -> float:
    """How far each dimension serves one factor alone: in [0, 1], NaN for fewer than two factors.

    ``importances`` float (D, F), at least 0. Dimensions that serve none have no weight.
    """
    weights = importances.sum(axis=1)
    if importances.shape[1] < 2 or weights.sum() <= LEAST:
        return float("nan")
    return float((_concentration(importances) * weights).sum() / weights.sum())


def completeness(importances: Array) -> float:
    """How far one dimension holds each factor: in [0, 1], NaN for fewer than two dimensions.

    ``importances`` float (D, F), at least 0. Factors that no dimension serves count as 0.
    """
    if importances.shape[0] < 2 or not importances.shape[1]:
        return float("nan")
    return float(_concentration(importances.T).mean())


def _concentration(rows: Array) -> Array:
    """1 - entropy / greatest entropy of each row; 0 for an empty row."""
    totals = rows.sum(axis=1, keepdims=True)
    entropy = entr(rows / np.maximum(totals, LEAST)).sum(axis=1)
    concentration = 1 - entropy / np.log(rows.shape[1])
    return np.where(totals[:, 0] > LEAST, concentration, 0.0)


def _numeric(values: Array) -> bool:
    return bool(values.dtype.kind == "f")


def _importances(model: Any, width: int) -> Array:
    """The summed gain of each dimension's splits, float64 (width,), summing to 1 (or 0)."""
    # scikit-learn gives histogram trees no `feature_importances_`: their nodes have the gains.
    nodes = np.concatenate([tree.nodes for stage in model._predictors for tree in stage])
    nodes = nodes[nodes["is_leaf"] == 0]
    gains: Array = np.bincount(nodes["feature_idx"], nodes["gain"], minlength=width)
    gains /= max(gains.sum(), LEAST)
    return gains


def _totals(predicted: Array, truth: Array, image: Array) -> Array:
    """Each image's part of the sums of :func:`_skill`, float64 (images, M)."""
    if _numeric(truth):
        centred = truth - truth.mean()  # the sums lose fewer digits around 0
        columns = [np.ones(len(truth)), (predicted - truth) ** 2, centred, centred**2]
    else:
        columns = [np.ones(len(truth)), predicted != truth]
        columns += [truth == value for value in np.unique(truth)]
    images = np.unique(image, return_inverse=True)[1]
    return np.stack(
        [np.bincount(images, np.asarray(column, np.float64)) for column in columns], axis=1
    )


def _skill(numeric: bool, sums: Array) -> Array:
    """1 - error / error of the best constant, at least 0: (R, M) -> (R,); NaN if undefined."""
    count, error = sums[:, 0], sums[:, 1]
    if numeric:
        constant = sums[:, 3] - sums[:, 2] ** 2 / np.maximum(count, 1)
    else:
        constant = count - sums[:, 2:].max(axis=1)
    defined = constant > LEAST
    skill = np.maximum(0.0, 1 - error / np.where(defined, constant, 1.0))
    return np.where(defined, skill, np.nan)
