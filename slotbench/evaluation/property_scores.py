"""R2 and accuracy of predicted properties, with intervals over images."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from slotbench.datasets.format.schema import Array, Property
from slotbench.evaluation.result import Result, results_of_sums
from slotbench.evaluation.targets import Encoding

OUTSIDE_MEAN = (
    "rotation",
    "orientation",
    "depth",
    "pixel_coords",
    "image_position",
    "level",
    "violation",
)
"""Properties that are in no mean, as they are in none of the lists of Dittadi et al.'s code."""
Sums = npt.NDArray[np.float64]


class Predictions(NamedTuple):
    """A trained probe's predictions for n images with at most O objects, in P encoded columns."""

    encoding: Encoding
    order: Array
    """int64 (n, O), the slot of each object; -1 where it has none."""
    values: Tensor
    """float32 (n, O, P): standardised numbers and log-probabilities; 0 where there is no slot."""
    targets: Tensor
    """float32 (n, O, P)."""


def property_results(found: Predictions, visible: Array, seed: int) -> dict[str, Result]:
    """R2 of each numeric property, accuracy of each categorical one, and their ``mean``.

    ``mean`` is over the list of Dittadi et al.'s code: all properties but :data:`OUTSIDE_MEAN`, x
    and y of ``position`` being one entry each. A property that is itself called ``mean`` is
    reported as ``mean_property``.

    ``visible`` bool (n, O) says which objects count. Those without a slot count as wrong
    (accuracy) or as predicted by the training mean (R2), which is 0 after standardisation; the
    results with the suffix ``/dropped`` leave them out, as the paper does. ``n`` counts objects.
    """
    encoding = found.encoding
    paired = visible & (found.order >= 0)
    values, truth = found.values.double().numpy(), found.targets.double().numpy()
    values = np.where(paired[:, :, None], values, 0.0)
    results: dict[str, Result] = {}
    for suffix, counted in (("", visible), ("/dropped", paired)):
        totals, widths = [], []
        for prop, columns in zip(encoding.properties, encoding.columns, strict=True):
            sums = _sums(prop, values[..., columns], truth[..., columns], counted, paired)
            totals.append(sums)
            widths.append(sums.shape[1])
        scores = _Scores(encoding.properties, tuple(np.cumsum(widths)[:-1]))
        names = [prop.name for prop in encoding.properties]
        names = [f"{name}_property" if name == "mean" else name for name in names] + ["mean"]
        joined, n = np.concatenate(totals, axis=1), int(counted.sum())
        scored = results_of_sums(joined, scores, seed, n, int(visible.sum()) - n)
        results |= dict(zip((name + suffix for name in names), scored, strict=True))
    return results


def _sums(prop: Property, values: Array, truth: Array, counted: Array, paired: Array) -> Sums:
    """Each image's part of the sums for :class:`_Scores`, (n, M)."""
    count = counted.sum(axis=1, keepdims=True).astype(np.float64)
    if prop.kind == "categorical":
        right = (values.argmax(axis=2) == truth.argmax(axis=2)) & paired & counted
        return np.concatenate([count, right.sum(axis=1, keepdims=True)], axis=1)
    weight = counted[:, :, None].astype(np.float64)
    residual = ((values - truth) ** 2 * weight).sum(axis=1)
    return np.concatenate(
        [count, residual, (truth * weight).sum(axis=1), (truth**2 * weight).sum(axis=1)], axis=1
    )


class _Scores:
    """Sums (R, M) over images -> R2 or accuracy of each property, and the mean: (R, p + 1)."""

    def __init__(self, properties: tuple[Property, ...], cuts: tuple[int, ...]) -> None:
        self.properties, self.cuts = properties, cuts

    def __call__(self, sums: Sums) -> Sums:
        parts = np.split(sums, self.cuts, axis=1)
        columns, counted = [], []
        for prop, part in zip(self.properties, parts, strict=True):
            each = _accuracy(part) if prop.kind == "categorical" else _r2(part, prop.dim)
            columns.append(each.mean(axis=1))
            if prop.name == "position":
                counted += list(each[:, :2].T)
            elif prop.name not in OUTSIDE_MEAN:
                counted.append(columns[-1])
        mean = np.mean(counted, axis=0) if counted else np.full(len(sums), np.nan)
        return np.stack([*columns, mean], axis=1)


def _accuracy(sums: Sums) -> Sums:
    """The share of right classes, (R, 1)."""
    count, right = sums[:, :1], sums[:, 1:]
    return np.where(count > 0, right / np.maximum(count, 1), np.nan)


def _r2(sums: Sums, dim: int) -> Sums:
    """The coefficient of determination of each dimension, (R, dim).

    As scikit-learn's r2_score: a dimension that does not vary scores 1 where it is predicted
    exactly and 0 otherwise.
    """
    count = np.maximum(sums[:, :1], 1)
    residual, total, square = np.split(sums[:, 1:], [dim, 2 * dim], axis=1)
    spread = np.maximum(square - total**2 / count, 0)
    constant = spread <= 1e-12 * square
    score = 1 - residual / np.where(constant, 1, spread)
    score = np.where(constant, np.where(residual <= 1e-12 * square, 1.0, 0.0), score)
    return np.where(sums[:, :1] > 0, score, np.nan)
